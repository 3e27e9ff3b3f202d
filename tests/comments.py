#!/usr/bin/env python3
"""Draws comment blocks of the source by a seed, for a review of the prose.

usage: comments.py [--seed N] [--count N]

A block is a run of comment lines (`//`, `///`, `//!`) in a Rust file of the five crates, with its
file, its line and the next line of code. The same seed draws the same blocks from the same tree.
"""
import argparse
import pathlib
import random
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMENT = re.compile(r"^\s*(///|//!|//)(?!/)\s?(.*)$")


def blocks():
    found = []
    for crate in ("events", "domain", "infra", "functions", "tests"):
        for path in sorted((ROOT / crate).rglob("*.rs")):
            if "target" in path.parts:
                continue
            lines = path.read_text(encoding="utf-8").splitlines()
            number = 0
            while number < len(lines):
                match = COMMENT.match(lines[number])
                if not match:
                    number += 1
                    continue
                begin, kind, text = number, match.group(1), []
                while number < len(lines) and (line := COMMENT.match(lines[number])) and line.group(1) == kind:
                    text.append(line.group(2))
                    number += 1
                code = lines[number].strip() if number < len(lines) else ""
                found.append((path.relative_to(ROOT).as_posix(), begin + 1, " ".join(text).strip(), code))
    return found


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seed", type=int, default=12)
    arguments.add_argument("--count", type=int, default=60)
    given = arguments.parse_args()
    everything = blocks()
    drawn = random.Random(given.seed).sample(everything, given.count)
    print(f"{len(everything)} blocks, {given.count} drawn by seed {given.seed}")
    for number, (path, line, text, code) in enumerate(sorted(drawn), 1):
        print(f"{number}. {path}:{line}\n   {text}\n   before: {code}")


if __name__ == "__main__":
    main()
