#!/usr/bin/env python3
"""Compares two builds of the program, in turns in one run.

usage: beside.py OLD NEW [--rounds N] [--memory TICKETS] [--policy]      both programs built with --release

Figures of each build, on a fresh directory with the demo company:

* the rate and the latencies of `create_ticket` over HTTP with 64 keep-alive clients, and the latencies with 8;
* the slowest requests in the first two seconds of a desk, during which all clients verify one secret;
* the resident memory of an idle desk and, with --memory, after half of TICKETS and after all of them;
* on an idle desk, the time from the response to a withdrawal until the first byte of its callback
  arrives at a receiver on loopback.

With --policy, a third desk runs NEW with a notification policy that fills the inbox of each approver.

The clients are the program `wrk` (Debian package wrk). Everything talks to loopback, the number of
requests and their time are bounded, and all processes end with the script. The ratio of the rates is
new divided by old.
"""
import argparse
import collections
import json
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

SECONDS = 8
NUMBERS_IN_BLOCK = 200
FIRST_SECONDS = 2
CALLBACKS = 25
THREADS = 2
APP = ("beside_app", "secret-of-the-comparison")
# Each run of wrk uses the next app, because the desk limits the requests and the written bytes of one app.
APPS = [f"{APP[0]}_{number}" for number in range(24)]
API = "/api/c/compapi/v2/itsm"


def body(callback=None, app=APPS[-1]):
    fields = {
        "title": "并排", "APPROVER": "zhangsan,wangwu", "APPROVAL_CONTENT": "屏蔽告警一小时",
    }
    request = {
        "bk_app_code": app, "bk_app_secret": APP[1], "creator": "lisi",
        "fields": [{"key": key, "value": value} for key, value in fields.items()],
        "fast_approval": True,
    }
    if callback:
        request["meta"] = {"callback_url": callback}
    return request


class Desk:
    """A running desk of one build."""

    def __init__(self, program, more=()):
        self.directory = tempfile.TemporaryDirectory()
        self.created, self.unfinished, self.runs = 0, 0, 1
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = open(f"{self.directory.name}.log", "w+b")
        self.process = subprocess.Popen(
            [program, "serve", "--demo", "--listen", f"127.0.0.1:{self.port}", "--data", self.directory.name,
             *(word for code in APPS for word in ("--app", f"{code}:{APP[1]}")), "--egress", "loopback", *more],
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
        data = json.dumps({**request, "bk_app_code": APPS[-1], "bk_app_secret": APP[1]}).encode()
        sent = urllib.request.Request(f"http://127.0.0.1:{self.port}{API}/{operation}/", data, {"content-type": "application/json"})
        answer = json.load(urllib.request.urlopen(sent, timeout=30))
        if answer.get("result") is not True:
            raise SystemExit(f"{operation} was rejected: {answer}")
        return answer["data"]

    def resident_mb(self):
        """Returns the resident memory in MB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        self.directory.cleanup()


def wrk(desk, clients, seconds):
    """Creates tickets for some seconds. Returns the rate and the latencies in milliseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            'wrk.method = "POST"\n'
            'wrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = [==[{json.dumps(body(app=APPS[desk.runs]))}]==]\n"
            "done = function(summary, latency)\n"
            "  local failed = 0\n"
            "  for _, n in pairs(summary.errors) do failed = failed + n end\n"
            '  io.write(string.format(\'{"requests":%d,"us":%d,"p50":%d,"p99":%d,"max":%d,"failed":%d}\\n\','
            " summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, failed))\n"
            "end\n")
        script.flush()
        output = subprocess.run(
            ["wrk", f"-t{THREADS}", f"-c{clients}", f"-d{seconds}s", "-s", script.name,
             f"http://127.0.0.1:{desk.port}{API}/create_ticket/"],
            capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    found = json.loads(output.strip().splitlines()[-1])
    if found["failed"]:
        raise SystemExit(f"{found['failed']} requests failed")
    # A response of the API can have status 200 and still be an error, so the tickets are counted by their numbers.
    desk.created += found["requests"]
    number = int(desk.call("create_ticket", body())["sn"][-6:])
    desk.created += 1
    # wrk does not count the requests that are still running when it ends. If it ends while the desk reserves a block of
    # numbers, this block is lost.
    desk.unfinished += 2 * clients + NUMBERS_IN_BLOCK
    if not desk.created <= number <= desk.created + desk.unfinished:
        raise SystemExit(f"{desk.created} requests, but the ticket has number {number}")
    desk.runs += 1
    return {
        "rate": found["requests"] / found["us"] * 1e6,
        **{key: found[key] / 1000 for key in ("p50", "p99", "max")},
    }


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


def rate_with_policy(program):
    """Returns the tickets per second of a desk with a notification policy."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as accounts:
        accounts.write("[policy]\naccounts = []\n")
        accounts.flush()
        desk = Desk(program, ["--accounts", accounts.name])
        try:
            wrk(desk, 64, FIRST_SECONDS)
            return wrk(desk, 64, SECONDS)["rate"]
        finally:
            desk.stop()


def measure(program, receiver, figures):
    """Measures one build once, and adds its figures to the lists in `figures`."""
    desk = Desk(program)
    try:
        figures["idle memory, MB"].append(desk.resident_mb())
        first = wrk(desk, 64, FIRST_SECONDS)
        figures["64 clients, first 2 s, slowest, ms"].append(first["max"])
        with_64 = wrk(desk, 64, SECONDS)
        figures["64 clients, tickets per second"].append(with_64["rate"])
        figures["64 clients, median, ms"].append(with_64["p50"])
        figures["64 clients, 99 %, ms"].append(with_64["p99"])
        with_8 = wrk(desk, 8, SECONDS)
        figures["8 clients, 99 %, ms"].append(with_8["p99"])
    finally:
        desk.stop()
    desk = Desk(program)
    try:
        figures["response to first byte of the callback, ms"].extend(callbacks(desk, receiver))
    finally:
        desk.stop()


def memory(program, tickets):
    """Returns the resident memory in MB after half of the tickets and after all tickets."""
    desk = Desk(program)
    try:
        found = []
        for wanted in (tickets // 2, tickets):
            while desk.created < wanted:
                wrk(desk, 64, 5)
            found.append(desk.resident_mb())
        return found
    finally:
        desk.stop()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("old")
    arguments.add_argument("new")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--memory", type=int, metavar="TICKETS")
    arguments.add_argument("--policy", action="store_true")
    given = arguments.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("the program wrk is missing; install the package wrk")
    receiver = Receiver()
    receiver.start()
    builds = {"old": given.old, "new": given.new}
    figures = {name: collections.defaultdict(list) for name in builds}
    with_policy = []
    for number in range(given.rounds):
        order = list(builds) if number % 2 == 0 else list(reversed(builds))
        for name in order:
            measure(builds[name], receiver, figures[name])
        if given.policy:
            with_policy.append(rate_with_policy(given.new))
        rates = [figures[name]["64 clients, tickets per second"][-1] for name in ("old", "new")]
        print(f"round {number + 1}: old {rates[0]:.0f}/s, new {rates[1]:.0f}/s, ratio {rates[1] / rates[0]:.2f}", flush=True)
    for figure, old in figures["old"].items():
        new = figures["new"][figure]
        ratios = [n / o for n, o in zip(new, old) if o]
        print(f"{figure}: old {statistics.median(old):.1f}, new {statistics.median(new):.1f}, "
              f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), {len(old)} values")
    if with_policy:
        without = figures["new"]["64 clients, tickets per second"]
        ratios = [one / other for one, other in zip(with_policy, without)]
        print(f"64 clients, tickets per second with a notification policy: new {statistics.median(with_policy):.0f}, "
              f"median ratio to new without it {statistics.median(ratios):.2f}")
    for name, program in builds.items() if given.memory else ():
        half, whole = memory(program, given.memory)
        print(f"memory of {name}: {half:.0f} MB after {given.memory // 2} tickets, {whole:.0f} MB after {given.memory}")


if __name__ == "__main__":
    main()
