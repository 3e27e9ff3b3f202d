#!/usr/bin/env python3
"""Imitates the log platform of BlueKing, which applies to a desk with the official SDKs, unmodified.

usage: bk_log.py DESK_URL APP SECRET COUNT

Creates COUNT collectors in memory and applies for each one (requirements/external-itsm.md). One half of the applications
uses bk-itsm-sdk, the other half bkapi-component-open. The program then decides the tickets as their approver. It prints
one JSON line for each collector, and one for the whole run. If a collector or the desk deviates from the flow of the log
platform, the program exits with an error.
"""

import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bkapi_client_core.exceptions import APIGatewayResponseError

# The import of sdk.py writes no file into the source tree.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sdk import clients, form  # noqa: E402

PATIENCE_S = 60
CALLBACK_PATH = "/api/v1/databus/collect_itsm_cb/collect_itsm_callback/"
ROLE = "LOG_SEARCH"
APPROVER = "admin"
APPLICANT = "lisi"
# The statuses of a collector (bklog, log_databus/constants.py).
NOT_APPLIED, APPLYING, GRANTED, REFUSED = "未申请", "申请中", "采集接入完成", "采集接入失败"
# One of this number of applications is refused, loses its callbacks, gets forged callbacks, or gets its callback twice.
REFUSED_OF, LOST_OF, FORGED_OF, REPEATED_OF = 3, 5, 7, 6
# The members of a callback that the log platform requires as texts. `approve_result` is required as a boolean.
REQUIRED = ("sn", "title", "ticket_url", "current_status", "updated_by", "update_at", "token")


class LogPlatformError(Exception):
    code = 500


class CollectItsmHasApply(LogPlatformError):
    code = 502


class CollectItsmNotExists(LogPlatformError):
    code = 503


class CollectItsmTokenIllega(LogPlatformError):
    code = 504


class ItsmError(LogPlatformError):
    """The desk rejected a request."""


class Counted:
    """A client of an SDK that counts its calls and raises an error for each rejection."""

    # The method `token_verify` of bkapi-component-open has the path `token/verify/`. bk-itsm-sdk has no such method.
    PATHS = {"token_verify": "token/verify"}
    calls = {"bk-itsm-sdk": 0, "bkapi-component-open": 0}
    lock = threading.Lock()

    def __init__(self, name, client):
        self.sdk = name.split()[0]
        self.client = client

    def __call__(self, operation, data, read=False):
        with Counted.lock:
            Counted.calls[self.sdk] += 1
        if self.sdk == "bk-itsm-sdk":
            # The log platform sends reads as POST requests, except for `get_services`.
            operation, read = self.PATHS.get(operation, operation), False
        try:
            ok, message, answer = self.client.call(operation, data, read)
        except APIGatewayResponseError as error:
            raise ItsmError(f"{operation}: {error}") from error
        if not ok:
            raise ItsmError(f"{operation} {data}: {message}")
        return answer


class Collector:
    """A configuration of the log platform for the collection of logs."""

    def __init__(self, number, itsm):
        self.number = number
        self.itsm = itsm
        self.sn = ""
        self.url = ""
        self.statuses = [NOT_APPLIED]
        self.etl_tasks = 0
        self.is_granted = number % REFUSED_OF != 0
        self.is_lost = number % LOST_OF == 0
        self.found_by = ""

    @property
    def status(self):
        return self.statuses[-1]


class ItsmHandler:
    """The part of the log platform that talks to the ITSM (bklog, log_databus/handlers/itsm.py)."""

    def __init__(self, collectors, callback_url):
        self.collectors = collectors
        self.callback_url = callback_url
        self.lock = threading.RLock()
        self.received, self.repeated, self.wrong_tokens, self.found_by_polling = 0, 0, 0, 0

    def discover(self, itsm, role=ROLE):
        services = itsm("get_services", {"display_type": "API", "display_role": role}, read=True)
        if not services:
            raise CollectItsmNotExists(f"no service for {role}")
        return services[0]["id"]

    def apply(self, collector):
        if collector.status in (APPLYING, GRANTED):
            raise CollectItsmHasApply(f"collector {collector.number} has an application")
        service = self.discover(collector.itsm)
        fields = form(
            title=f"日志采集接入 {collector.number}",
            bk_biz_id="2",
            expect_access_data="2026-12-01",
            single_log_size=200,
            single_host_peak=300,
            single_host_log_volume=20,
            expect_host_size=10,
            log_keep_days=7,
            hot_data_days=3,
            apply_reason=f"采集项 {collector.number}",
        )
        meta = {"callback_url": self.callback_url}
        created = collector.itsm("create_ticket", {"service_id": service, "creator": APPLICANT, "operator": APPLICANT, "fields": fields, "meta": meta})
        with self.lock:
            collector.sn = created["sn"]
            collector.statuses.append(APPLYING)

    def show(self, collector):
        """Reads what the page of a collector shows."""
        status = collector.itsm("get_ticket_status", {"sn": collector.sn}, read=True)
        info = collector.itsm("get_ticket_info", {"sn": collector.sn}, read=True)
        for ticket in (status, info):
            assert ticket["ticket_url"] and ticket["iframe_ticket_url"], ticket
        assert status["current_status"] == info["current_status"], (status, info)
        collector.url = info["iframe_ticket_url"]
        return status, {field["key"]: field["value"] for field in info["fields"]}

    def callback(self, body):
        """Handles a callback. Raises an error if its token is invalid or a member is missing."""
        missing = [name for name in REQUIRED if not isinstance(body.get(name), str) or not body[name]]
        if missing or not isinstance(body.get("approve_result"), bool):
            raise LogPlatformError(f"members are missing or wrong: {missing} {body}")
        collector = self.collector(body["sn"])
        if not collector.itsm("token_verify", {"token": body["token"]})["is_passed"]:
            with self.lock:
                self.wrong_tokens += 1
            raise CollectItsmTokenIllega(f"the token of the callback for {body['sn']} is invalid")
        with self.lock:
            self.received += 1
            self.repeated += collector.status in (GRANTED, REFUSED)
        self.update(collector, "callback")

    def update(self, collector, cause):
        """Reads a ticket and changes the status of its collector. Returns true if the status changed."""
        info = collector.itsm("get_ticket_info", {"sn": collector.sn}, read=True)
        fields = {field["key"]: field["value"] for field in info["fields"]}
        with self.lock:
            # A granted collector stays granted, and its task exists once.
            if info["current_status"] == "RUNNING" or collector.status in (GRANTED, REFUSED):
                return False
            is_granted = fields.get("approval_result") == "true"
            collector.statuses.append(GRANTED if is_granted else REFUSED)
            collector.etl_tasks += is_granted
            collector.found_by = cause
            return True

    def poll(self, itsm):
        """Reads the results of all tickets whose callbacks failed, as the regular task of the log platform does."""
        failed = set(itsm("callback_failed_ticket", {}, read=True))
        lost = sorted(one.sn for one in self.collectors if one.sn in failed and one.status == APPLYING)
        if not lost:
            return
        results = itsm("ticket_approval_result", {"sn": lost})
        assert sorted(result["sn"] for result in results) == lost, results
        for result in results:
            assert result["current_status"] == "FINISHED" and isinstance(result["approve_result"], bool), result
            self.found_by_polling += self.update(self.collector(result["sn"]), "poll")

    def collector(self, sn):
        with self.lock:
            found = [one for one in self.collectors if one.sn == sn]
        if len(found) != 1:
            raise LogPlatformError(f"{len(found)} collectors have the ticket {sn}")
        return found[0]


class Receiver(ThreadingHTTPServer):
    """Receives callbacks. The callbacks of lost tickets get the status 500 and no further handling."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Requests)
        self.handler = None
        # The first accepted callback of each ended ticket.
        self.bodies = {}
        self.lost = set()
        self.errors = []

    def callback_url(self):
        return f"http://127.0.0.1:{self.server_port}{CALLBACK_PATH}"


class Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != CALLBACK_PATH:
            return self.answer(404, {})
        body = json.loads(raw)
        collector = self.server.handler.collector(body["sn"])
        if collector.is_lost and collector.status == APPLYING:
            self.server.lost.add(body["sn"])
            return self.answer(500, {"result": False, "data": None, "code": 500, "message": "the log platform restarts"})
        try:
            self.server.handler.callback(body)
            if collector.status != APPLYING:
                self.server.bodies.setdefault(body["sn"], body)
            return self.answer(200, {"result": True, "data": None, "code": 0, "message": ""})
        except LogPlatformError as error:
            name = type(error).__name__
            if not isinstance(error, CollectItsmTokenIllega):
                self.server.errors.append(f"{name}: {error}")
            return self.answer(200, {"result": False, "data": None, "code": error.code, "message": f"{name}: {error}"})
        except Exception as error:  # An assertion of another thread must end the program too.
            self.server.errors.append(repr(error))
            return self.answer(500, {"result": False, "data": None, "code": 500, "message": repr(error)})

    def answer(self, status, body):
        raw = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


def until(what, is_met, poll=lambda: None):
    """Waits for a condition. Calls `poll` before each check."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        poll()
        if is_met():
            return
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def raises(error, call, *arguments):
    try:
        call(*arguments)
    except error:
        return
    raise AssertionError(f"{error.__name__} is not raised")


def post(url, body):
    """Sends a callback as another system, and returns the response of the log platform."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def forged(collector):
    return {
        "sn": collector.sn, "title": "t", "ticket_url": "u", "current_status": "FINISHED", "updated_by": ",admin,",
        "update_at": "2026-11-30 10:00:00.000000", "approve_result": True, "token": "forged", "last_approver": "admin",
    }


def decide(approver, collector):
    """Approves or rejects a ticket, as a person does."""
    decision = form(
        approval_result="true" if collector.is_granted else "false",
        can_use_independent_es_cluster="false",
        evaluate_remark="",
        reject_remark="" if collector.is_granted else "容量不足",
    )
    approver("operate_node", {"sn": collector.sn, "operator": APPROVER, "state_id": 3, "action_type": "TRANSITION", "fields": decision})


def main():
    base, code, secret, count = sys.argv[1:5]
    # The names of the clients begin with the name of their SDK. The applications alternate between all clients.
    itsms = [Counted(name, client) for name, client in clients(base, code, secret).items()]
    approver = next(itsm for itsm in itsms if itsm.sdk == "bkapi-component-open")
    collectors = [Collector(number, itsms[number % len(itsms)]) for number in range(int(count))]
    receiver = Receiver()
    handler = receiver.handler = ItsmHandler(collectors, receiver.callback_url())
    threading.Thread(target=receiver.serve_forever, daemon=True).start()

    for itsm in itsms:
        raises(CollectItsmNotExists, handler.discover, itsm, "NO_SUCH_ROLE")
    for name, client in clients(base, code, "wrong-secret").items():
        raises(ItsmError, handler.discover, Counted(name, client))

    for collector in collectors:
        handler.apply(collector)
        raises(CollectItsmHasApply, handler.apply, collector)
        status, fields = handler.show(collector)
        assert status["current_status"] == "RUNNING", status
        assert [step["state_id"] for step in status["current_steps"]] == [3], status
        assert fields["apply_reason"] == f"采集项 {collector.number}" and not fields["approval_result"], fields
    assert len({collector.sn for collector in collectors}) == len(collectors)

    # Forged callbacks change nothing, before and after the decision.
    strangers = [collector for collector in collectors if collector.number % FORGED_OF == 1]
    for collector in strangers:
        if collector.is_lost:
            continue
        answer = post(receiver.callback_url(), forged(collector))
        assert answer["result"] is False and answer["code"] == CollectItsmTokenIllega.code, answer
        assert collector.status == APPLYING, collector.statuses

    # A valid token of another ticket decides nothing, because the log platform reads the ticket again.
    with_callback = [collector for collector in collectors if not collector.is_lost]
    first, last = with_callback[0], with_callback[-1]
    assert first is not last, "COUNT is too small"
    decide(approver, first)
    until("the first callback arrives", lambda: first.sn in receiver.bodies)
    answer = post(receiver.callback_url(), {**forged(last), "token": receiver.bodies[first.sn]["token"]})
    assert answer["result"] is True and last.status == APPLYING, (answer, last.statuses)

    for collector in collectors:
        if collector is not first:
            decide(approver, collector)

    until("the callbacks arrive", lambda: all(one.status != APPLYING for one in collectors if not one.is_lost))
    until("the lost callbacks arrive", lambda: len(receiver.lost) == sum(one.is_lost for one in collectors))
    until("a poll finds the lost callbacks", lambda: all(one.status != APPLYING for one in collectors), lambda: handler.poll(itsms[0]))
    until("the desk sends each callback until it is accepted", lambda: all(one.sn in receiver.bodies for one in collectors))

    for collector in collectors:
        body = receiver.bodies[collector.sn]
        if collector.number % REPEATED_OF == 0:
            assert post(receiver.callback_url(), body)["result"] is True
        if collector in strangers:
            answer = post(receiver.callback_url(), forged(collector))
            assert answer["code"] == CollectItsmTokenIllega.code, answer
        if collector.is_granted:
            raises(CollectItsmHasApply, handler.apply, collector)
    assert approver("callback_failed_ticket", {}, read=True) == []

    results = {result["sn"]: result for result in itsms[0]("ticket_approval_result", {"sn": [one.sn for one in collectors]})}
    for collector in collectors:
        ended = GRANTED if collector.is_granted else REFUSED
        assert collector.statuses == [NOT_APPLIED, APPLYING, ended], collector.statuses
        assert collector.etl_tasks == int(collector.is_granted), collector.etl_tasks
        assert collector.found_by == ("poll" if collector.is_lost else "callback"), collector.found_by
        assert results[collector.sn]["current_status"] == "FINISHED", results[collector.sn]
        print(json.dumps({"collector": collector.number, "sn": collector.sn, "sdk": collector.itsm.sdk, "status": collector.status, "found_by": collector.found_by}, ensure_ascii=False))
    assert not receiver.errors, receiver.errors
    receiver.shutdown()

    granted = sum(one.status == GRANTED for one in collectors)
    print(json.dumps({
        "applied": len(collectors), "granted": granted, "refused": len(collectors) - granted, "callbacks": handler.received,
        "repeated": handler.repeated, "wrong_tokens": handler.wrong_tokens, "found_by_polling": handler.found_by_polling,
        "calls": Counted.calls,
    }))


if __name__ == "__main__":
    main()
