#!/usr/bin/env python3
"""Measures how long a Lambda's start takes, from the start of its process to its first poll, and how much memory it has taken by then.

usage: start.py HELLO HTTP BACKGROUND      all built with --profile lambda; the environment is what localstack/up wrote

A stand-in for the Lambda runtime API listens on loopback and answers no poll. The programs are started in turns, 20 times each; printed are
medians. Figures of this machine, not of AWS: there is no micro VM, no package to fetch and no share of a processor.
"""
import http.server
import os
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time

RUNS = 20
polled = threading.Event()
polled_at = 0.0


class Runtime(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global polled_at
        polled_at = time.perf_counter()
        polled.set()
        # Nobody is answered: the process waits as an idle function does.
        time.sleep(3600)

    def log_message(self, *_):
        pass


def memory(process, field):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def start(program, function, api):
    given = {
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_GROUP_NAME": "none",
        "AWS_LAMBDA_LOG_STREAM_NAME": "none",
        "_HANDLER": function,
        "LEDGERDESK_LOG": "warn",
    }
    environment = {**os.environ, **given}
    polled.clear()
    began = time.perf_counter()
    process = subprocess.Popen([program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert polled.wait(30), f"{program} as {function} does not poll"
    taken = (polled_at - began) * 1000
    peak = memory(process, "VmHWM")
    process.kill()
    process.wait()
    return taken, peak


def main(hello, http_program, background):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api = f"127.0.0.1:{server.server_port}"
    template = pathlib.Path(__file__).parent.parent / "infra/deploy/template.yaml"
    functions = re.findall(r"^ +Handler: (\w+)\n( +CodeUri:)?", template.read_text(encoding="utf-8"), re.MULTILINE)
    assert functions, f"{template} has no handlers"
    # A function with a package of its own serves HTTP requests.
    contestants = [("hello", hello, "hello")]
    contestants += [(name, http_program if own else background, name) for name, own in functions]
    measured = {name: [] for name, _, _ in contestants}
    for _ in range(RUNS):
        for name, program, function in contestants:
            measured[name].append(start(program, function, api))
    print(f"{'function':<10} {'start, ms':>10} {'of hello':>9} {'peak, MiB':>10}")
    base = statistics.median(taken for taken, _ in measured["hello"])
    for name, runs in measured.items():
        taken, peak = statistics.median(taken for taken, _ in runs), statistics.median(peak for _, peak in runs)
        print(f"{name:<10} {taken:>10.1f} {taken / base:>8.1f}x {peak:>10.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
