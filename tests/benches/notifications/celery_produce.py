"""Gives tasks to the Celery workers of the benchmark. Prints JSON lines.

usage: celery_produce.py mail|mail_kept COUNT
           the first line has the time before the first task, in milliseconds since 1970
       celery_produce.py post COUNT PER_SECOND
           tasks at a fixed rate; each line has a key and the time before its task
       celery_produce.py later COUNT HOURS
           tasks that are due after some hours; ends when the worker holds all of them
       celery_produce.py ready
           waits until a worker executes tasks
"""
import datetime
import json
import sys
import time
import uuid

import redis

import celery_tasks

TEXT = "\n".join(
    [
        "Hello reader, ticket REQ20261130000042 waits for your approval.",
        "Number: REQ20261130000042",
        "Title: VPN account for the new project",
        "Priority: medium",
        "Service: fast approval",
        "Requester: lisi",
        "Open the ticket: http://127.0.0.1:8080/tickets/REQ20261130000042",
        "You get this message because the ticket waits for you.",
    ]
)
PATIENCE_S = 300
PAUSE_S = 0.05


def show(**line):
    print(json.dumps(line), flush=True)


def now_ms():
    return time.time_ns() // 1_000_000


def mails(name, count):
    task = celery_tasks.app.tasks[name]
    show(begin_ms=now_ms())
    for number in range(count):
        task.delay(f"reader{number % 50:03}@example.com", f"[REQ{number}] Approval needed: VPN account", TEXT)
    show(given_ms=now_ms())


def posts(count, per_second):
    celery_tasks.app.tasks["post"].delay("warm-up")
    begin = time.monotonic()
    for number in range(count):
        due = begin + number / per_second
        time.sleep(max(0.0, due - time.monotonic()))
        key = f"celery-{uuid.uuid4().hex}"
        begin_ms = now_ms()
        celery_tasks.app.tasks["post"].delay(key)
        show(key=key, begin_ms=begin_ms)


def held(count, hours):
    eta = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    task = celery_tasks.app.tasks["later"]
    with celery_tasks.app.producer_pool.acquire(block=True) as producer:
        for number in range(count):
            task.apply_async((uuid.uuid4().hex, f"reader{number % 50:03}"), eta=eta, producer=producer)
    broker = redis.Redis.from_url(celery_tasks.REDIS)
    deadline = time.monotonic() + PATIENCE_S
    # The worker has received a task when the broker waits for its acknowledgment.
    while broker.hlen("unacked") < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"the worker received {broker.hlen('unacked')} of {count} tasks")
        time.sleep(PAUSE_S)
    show(held=broker.hlen("unacked"), broker_bytes=broker.info("memory")["used_memory"])


def ready():
    deadline = time.monotonic() + PATIENCE_S
    while not celery_tasks.app.control.ping(timeout=1.0):
        if time.monotonic() > deadline:
            raise SystemExit("no worker answers")
    show(ready=True)


def main(arguments):
    match arguments:
        case ["mail" | "mail_kept" as name, count]:
            mails(name, int(count))
        case ["post", count, per_second]:
            posts(int(count), float(per_second))
        case ["later", count, hours]:
            held(int(count), float(hours))
        case ["ready"]:
            ready()
        case _:
            raise SystemExit(__doc__)


main(sys.argv[1:])
