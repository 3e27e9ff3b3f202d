#!/usr/bin/env python3
"""Verifies an export of `ledgerdesk audit export` without any code of the project.

usage: verify.py EXPORT.jsonl [POSITION:HASH]      the last argument is a head that was published elsewhere

Needs only the standard library and the package `blake3`. Every rule comes from the design: a commit's hash is BLAKE3 over
length-prefixed fields under the tag `ledgerdesk.commit.v1`, a feed hash the same under `ledgerdesk.feed.v1`.
"""
import json
import sys

try:
    from blake3 import blake3
except ImportError:
    sys.exit("verify.py needs the package blake3: python3 -m pip install blake3")


def chain(*fields):
    hasher = blake3()
    for field in fields:
        hasher.update(len(field).to_bytes(8, "big"))
        hasher.update(field)
    return hasher.digest()


def number(text):
    return int(text).to_bytes(8, "big", signed=True)


def main(path, published=None):
    findings, streams = [], {}
    position, feed, pending = 0, bytes(32), []
    at, kept = published.split(":") if published else ("0", None)
    lines = events = 0
    for count, line in enumerate(open(path, encoding="utf-8"), 1):
        lines += 1
        event = json.loads(line)
        where = f"line {count} ({event['id']})"
        if event["specversion"] != "1.0":
            findings.append(f"{where}: not CloudEvents 1.0")
        if event.get("filtered"):
            findings.append(f"{where}: the export was filtered, so it proves nothing; export without --stream, --kind, --from and --until")
            break
        if "body" in event:
            if pending:
                findings.append(f"{where}: {len(pending)} events of the commit before are missing")
            body = json.loads(event["body"])
            stream, first, n = event["stream"], int(event["first"]), int(event["count"])
            then, tail = streams.get(stream, (1, bytes(32)))
            if first != then:
                findings.append(f"{where}: the stream goes on at {first}, expected {then}")
            if bytes.fromhex(event["prevhash"]) != tail:
                findings.append(f"{where}: the stream's chain is broken")
            digest = chain(b"ledgerdesk.commit.v1", bytes.fromhex(event["prevhash"]), stream.encode(), number(first), number(n),
                           bytes.fromhex(event["commandid"]), number(event["committedat"]), event["body"].encode())
            if digest.hex() != event["hash"]:
                findings.append(f"{where}: the hash does not fit the body")
            if int(event["position"]) != position + 1:
                findings.append(f"{where}: position {position + 1} is missing")
            position = int(event["position"])
            feed = chain(b"ledgerdesk.feed.v1", feed, number(position), bytes.fromhex(event["hash"]))
            if feed.hex() != event["feedhash"]:
                findings.append(f"{where}: the feed's chain is broken")
            feed = bytes.fromhex(event["feedhash"])
            if position == int(at) and kept != feed.hex():
                findings.append(f"{where}: position {at} is not what was published: its feed hash differs")
            streams[stream] = (first + n, bytes.fromhex(event["hash"]))
            pending = list(body["events"])
            if len(pending) != n:
                findings.append(f"{where}: the body holds {len(pending)} events, not {n}")
        if not pending:
            findings.append(f"{where}: an event that no body holds")
            continue
        told = pending.pop(0)
        events += 1
        # Exports of older versions have these members on the first line of a commit only.
        if int(event.get("position", position)) != position:
            findings.append(f"{where}: the line names position {event['position']}, its commit is at {position}")
        if event.get("actor", body["meta"]["actor"]) != body["meta"]["actor"] or event.get("channel", body["meta"]["channel"]) != body["meta"]["channel"]:
            findings.append(f"{where}: the line names another actor or channel than the body (its hash covers the body)")
        if told["data"] != event["data"] or f"{told['type']}.v{told['version']}" != event["type"].removeprefix("io.ledgerdesk."):
            findings.append(f"{where}: the line does not say what the body says (its hash covers the body)")
    if pending:
        findings.append(f"the end: {len(pending)} events are missing")
    if int(at) > position:
        findings.append(f"the export ends at {position}, but {at} was published")
    for finding in findings:
        print("FOUND", finding)
    print(f"{position} commits, {events} events, {len(streams)} streams: {'ok' if not findings else f'{len(findings)} findings'}")
    return 1 if findings else 0


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    sys.exit(main(*sys.argv[1:]))
