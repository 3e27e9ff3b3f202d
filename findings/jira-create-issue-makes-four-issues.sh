#!/usr/bin/env bash
# jira (PyPI): one call of create_issue can create four issues, because the client repeats a POST after a lost connection.
#
# Expected: a request that is not idempotent is sent once. If the connection ends before the response, the call raises, and the program
#   decides. requests and urllib3 do so for a POST with their defaults.
# Happens: the session of the client repeats every method after a ConnectionError, by default 3 times, 10 to 60 s apart. A server or
#   proxy that stores the issue and then loses the connection gets the same POST again. If only the first response is lost, the call
#   returns the SECOND issue and reports no problem. If all are lost, it raises after four issues. A read timeout is not repeated.
# Where a service desk meets it: it creates an issue for each escalated ticket. During a restart of Jira or of a proxy, the ticket is
#   bound to one issue, and people work on copies that no ticket refers to.
# What to do: JIRA(..., max_retries=0). Write the number of the ticket into the issue, and search for it before a new attempt.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jira==3.10.5 requests==2.34.2 urllib3==2.8.0

cat > "$work/create.py" <<'PY'
import http.server
import json
import logging
import threading
import jira
import requests

logging.disable(logging.CRITICAL)
issues, lost, is_over = [], 0, threading.Event()


class Jira(http.server.BaseHTTPRequestHandler):
    def reply(self, body):
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.endswith("/serverInfo"):
            self.reply({"versionNumbers": [9, 12, 0], "deploymentType": "Server"})
        elif "/issue/" in self.path:
            self.reply({"id": "1", "key": self.path.split("/issue/")[1].split("?")[0], "fields": {}})
        else:
            self.reply([])

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        issues.append(f"PAY-{len(issues) + 1}")
        key = issues[-1]
        if lost == "late":
            is_over.wait(30)
        elif len(issues) > lost:
            self.reply({"id": "1", "key": key})
        # Otherwise the connection is closed without a response.

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Jira)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"jira {jira.__version__}, requests {requests.__version__}")
for name, lost, options in [
    ("no response is lost", 0, {}),
    ("the first response is lost", 1, {}),
    ("all responses are lost", 9, {}),
    ("all responses are lost, max_retries=0", 9, {"max_retries": 0}),
    ("the response is late, timeout=3", "late", {"timeout": 3}),
]:
    issues.clear()
    client = jira.JIRA(f"http://127.0.0.1:{server.server_port}", basic_auth=("agent", "secret"), **options)
    # Only the waits between the attempts are shortened: to 0 s.
    client._session.max_retry_delay = 0
    try:
        result = f"returns {client.create_issue(project={'key': 'PAY'}, issuetype={'name': 'Bug'}, summary='disk full').key}"
    except requests.RequestException as error:
        result = f"raises {type(error).__name__}"
    print(f"{name}: create_issue {result}; the server has {', '.join(issues)}")
is_over.set()
server.shutdown()
PY
"$work/venv/bin/python" "$work/create.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
jira 3.10.5, requests 2.34.2
no response is lost: create_issue returns PAY-1; the server has PAY-1
the first response is lost: create_issue returns PAY-2; the server has PAY-1, PAY-2
all responses are lost: create_issue raises ConnectionError; the server has PAY-1, PAY-2, PAY-3, PAY-4
all responses are lost, max_retries=0: create_issue raises ConnectionError; the server has PAY-1
the response is late, timeout=3: create_issue raises ReadTimeout; the server has PAY-1
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
