#!/usr/bin/env python3
"""Compares two builds of the program, in turns in one run.

usage: beside.py OLD NEW [--rounds N]      both programs built with --release

Two figures of each build, on a fresh directory with the demo company:

* the rate of `create_ticket` over HTTP with 64 keep-alive clients;
* on an idle desk, the time from the response to a withdrawal until the first byte of its callback
  arrives at a receiver on loopback.

Everything talks to loopback, the number of requests is bounded, and all processes end with the
script. The ratio of the rates is new divided by old.
"""
import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

CLIENTS = 64
TICKETS = 4000
CALLBACKS = 25
APP = ("beside_app", "secret-of-the-comparison")
API = "/api/c/compapi/v2/itsm"


def body(callback=None):
    fields = {
        "title": "并排", "APPROVER": "zhangsan,wangwu", "APPROVAL_CONTENT": "屏蔽告警一小时",
    }
    request = {
        "bk_app_code": APP[0], "bk_app_secret": APP[1], "creator": "lisi",
        "fields": [{"key": key, "value": value} for key, value in fields.items()],
        "fast_approval": True,
    }
    if callback:
        request["meta"] = {"callback_url": callback}
    return request


class Desk:
    """A running desk of one build."""

    def __init__(self, program):
        self.directory = tempfile.TemporaryDirectory()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = open(f"{self.directory.name}.log", "w+b")
        self.process = subprocess.Popen(
            [program, "serve", "--demo", "--listen", f"127.0.0.1:{self.port}", "--data", self.directory.name,
             "--app", ":".join(APP), "--egress", "loopback"],
            stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1).read()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.log.seek(0)
                    raise SystemExit(f"{program} does not start: {self.log.read().decode(errors='replace')}")
                time.sleep(0.05)

    def call(self, operation, request):
        data = json.dumps({"bk_app_code": APP[0], "bk_app_secret": APP[1], **request}).encode()
        sent = urllib.request.Request(f"http://127.0.0.1:{self.port}{API}/{operation}/", data, {"content-type": "application/json"})
        answer = json.load(urllib.request.urlopen(sent, timeout=30))
        if answer.get("result") is not True:
            raise SystemExit(f"{operation} was rejected: {answer}")
        return answer["data"]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        self.directory.cleanup()


async def client(port, request, left, failed):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while left[0] > 0:
        left[0] -= 1
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        answer = await reader.readexactly(length)
        if b'"result":true' not in answer.replace(b" ", b""):
            failed.append(answer)
    writer.close()


async def load(port, total):
    data = json.dumps(body()).encode()
    request = (f"POST {API}/create_ticket/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
               f"content-length: {len(data)}\r\n\r\n").encode() + data
    left, failed = [total], []
    began = time.perf_counter()
    await asyncio.gather(*(client(port, request, left, failed) for _ in range(CLIENTS)))
    if failed:
        raise SystemExit(f"{len(failed)} requests failed, such as {failed[0][:300]}")
    return total / (time.perf_counter() - began)


class Receiver(threading.Thread):
    """Accepts callbacks and notes when the first byte of each arrives."""

    def __init__(self):
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.first_byte = []
        self.arrived = threading.Condition()

    def run(self):
        while True:
            connection, _ = self.server.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            while True:
                received = connection.recv(65536)
                if not received:
                    return
                now = time.perf_counter()
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                head, rest = received.split(b"\r\n\r\n", 1)
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                while len(rest) < length:
                    rest += connection.recv(65536)
                connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"code":0}')
                with self.arrived:
                    self.first_byte.append(now)
                    self.arrived.notify()

    def next(self, seen):
        with self.arrived:
            if not self.arrived.wait_for(lambda: len(self.first_byte) > seen, 30):
                raise SystemExit("no callback within 30 s")
            return self.first_byte[seen]


def callbacks(desk, receiver):
    delays = []
    for _ in range(CALLBACKS):
        request = body(f"http://127.0.0.1:{receiver.port}/callback/")
        sn = desk.call("create_ticket", request)["sn"]
        # An idle desk: nothing else is under way.
        time.sleep(0.15)
        seen = len(receiver.first_byte)
        desk.call("operate_ticket", {"sn": sn, "operator": "lisi", "action_type": "WITHDRAW"})
        answered = time.perf_counter()
        delays.append(max(0.0, receiver.next(seen) - answered) * 1000)
    return delays


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("old")
    arguments.add_argument("new")
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    receiver = Receiver()
    receiver.start()
    rates = {"old": [], "new": []}
    delays = {"old": [], "new": []}
    for number in range(given.rounds):
        order = [("old", given.old), ("new", given.new)]
        for name, program in order if number % 2 == 0 else reversed(order):
            desk = Desk(program)
            try:
                asyncio.run(load(desk.port, TICKETS // 8))
                rates[name].append(asyncio.run(load(desk.port, TICKETS)))
            finally:
                desk.stop()
            desk = Desk(program)
            try:
                delays[name].extend(callbacks(desk, receiver))
            finally:
                desk.stop()
        print(f"round {number + 1}: old {rates['old'][-1]:.0f}/s, new {rates['new'][-1]:.0f}/s, "
              f"ratio {rates['new'][-1] / rates['old'][-1]:.2f}", flush=True)
    ratio = statistics.median(new / old for new, old in zip(rates["new"], rates["old"]))
    print(f"create_ticket, {CLIENTS} keep-alive clients, {TICKETS} tickets per round: "
          f"old {statistics.median(rates['old']):.0f}/s, new {statistics.median(rates['new']):.0f}/s, median ratio {ratio:.2f}")
    for name in ("old", "new"):
        ordered = sorted(delays[name])
        print(f"commit to first byte at the receiver, {name}: median {statistics.median(ordered):.1f} ms, "
              f"95 % {ordered[int(len(ordered) * 0.95)]:.1f} ms, {len(ordered)} callbacks")


if __name__ == "__main__":
    main()
