#!/usr/bin/env bash
# jira (PyPI) raises ValueError, not JIRAError, and does not try again if Retry-After is a date.
#
# Expected: RFC 9110 allows two forms of Retry-After: seconds and an HTTP date. A client that obeys the header waits in both cases, or it
#   ignores the date and raises JIRAError with the status.
# Happens: "Retry-After: 1" and a 429 without the header are tried again, and the call succeeds. With a date, the call raises "ValueError:
#   invalid literal for int()" after the first request. The error is no JIRAError and has neither the status nor the URL. With
#   max_retries=0 the client does not read the header, and the same response raises JIRAError 429.
# Where a service desk meets it: Jira itself sends seconds, so each test passes. A proxy before it can send the end of the maintenance
#   as a date. A program that defers a ticket on JIRAError 429 and 503 then handles it as a bad value and gives up.
# What to do: clients catch ValueError around each call, or use max_retries=0 and their own schedule. Servers send seconds.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jira==3.10.5 requests==2.34.2 urllib3==2.8.0

cat > "$work/later.py" <<'PY'
import http.server
import json
import logging
import threading
import time
from email.utils import formatdate
import jira
import requests

logging.disable(logging.CRITICAL)
status, header, count = 429, None, 0


class Limited(http.server.BaseHTTPRequestHandler):
    """Rejects the first request for the issue and answers the second."""

    def do_GET(self):
        global count
        count += 1
        body = b"" if count == 1 else json.dumps({"id": "1", "key": "PAY-1", "fields": {}}).encode()
        self.send_response(status if count == 1 else 200)
        if count == 1 and header:
            self.send_header("retry-after", header)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Limited)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"jira {jira.__version__}, requests {requests.__version__}")
date = formatdate(time.time() + 1, usegmt=True)
for status, name, header, options in [
    (429, "no Retry-After", None, {}),
    (429, "Retry-After: 1", "1", {}),
    (429, "Retry-After: <date>", date, {}),
    (503, "Retry-After: 1", "1", {}),
    (503, "Retry-After: <date>", date, {}),
    (429, "Retry-After: <date>, max_retries=0", date, {"max_retries": 0}),
]:
    count = 0
    client = jira.JIRA(f"http://127.0.0.1:{server.server_port}", basic_auth=("agent", "secret"), get_server_info=False, **options)
    # Only the waits between the attempts are shortened: to 0 s.
    client._session.max_retry_delay = 0
    try:
        result = f"returns {client.issue('PAY-1').key}"
    except (jira.JIRAError, ValueError) as error:
        result = f"raises {type(error).__name__}, status_code {getattr(error, 'status_code', None)}"
    print(f"{status}, {name}: {result}, requests: {count}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/later.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
jira 3.10.5, requests 2.34.2
429, no Retry-After: returns PAY-1, requests: 2
429, Retry-After: 1: returns PAY-1, requests: 2
429, Retry-After: <date>: raises ValueError, status_code None, requests: 1
503, Retry-After: 1: returns PAY-1, requests: 2
503, Retry-After: <date>: raises ValueError, status_code None, requests: 1
429, Retry-After: <date>, max_retries=0: raises JIRAError, status_code 429, requests: 1
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
