#!/usr/bin/env bash
# zammad-py raises requests' HTTPError without the response, so a missing ticket and an overloaded server look the same.
#
# Expected: the exception is requests.exceptions.HTTPError, so error.response.status_code is the status, as in each program that uses
#   requests.
# Happens: zammad-py catches the error of requests and raises a new HTTPError that has only the text of the body. `response` and `request`
#   are None, so the usual check itself fails with AttributeError. The text of an empty body is "". The first error with its response is
#   in __context__.
# Where a service desk meets it: a synchronization looks for a ticket and creates it if the status is 404. Every other status must be
#   tried again later. A program that takes each HTTPError as "not found" creates a duplicate whenever Zammad is restarted.
# What to do: read error.__context__.response.status_code, and treat only 404 as "not found".
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check zammad-py==3.2.1 requests==2.34.2

cat > "$work/errors.py" <<'PY'
import http.server
import threading
from importlib.metadata import version
import requests
from zammad_py import ZammadAPI

ANSWERS = {404: b'{"error": "Couldn\'t find Ticket"}', 422: b'{"error": "Title is required"}', 503: b""}


class Zammad(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(self.path.rsplit("/", 1)[1])
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWERS[status])))
        self.end_headers()
        self.wfile.write(ANSWERS[status])

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Zammad)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/api/v1/"
client = ZammadAPI(url, username="agent", password="secret")
print(f"zammad-py {version('zammad-py')}, requests {requests.__version__}")
for status in ANSWERS:
    try:
        requests.get(f"{url}tickets/{status}").raise_for_status()
    except requests.HTTPError as error:
        print(f"requests,  status {status}: error.response.status_code is {error.response.status_code}")
    # The id of a ticket is the status that the server returns for it.
    try:
        client.ticket.find(status)
    except requests.HTTPError as error:
        inner = error.__context__.response.status_code
        print(f"zammad-py, status {status}: error.response is {error.response}, the text is {str(error)!r}, __context__ has {inner}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/errors.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
zammad-py 3.2.1, requests 2.34.2
requests,  status 404: error.response.status_code is 404
zammad-py, status 404: error.response is None, the text is '{"error": "Couldn\'t find Ticket"}', __context__ has 404
requests,  status 422: error.response.status_code is 422
zammad-py, status 422: error.response is None, the text is '{"error": "Title is required"}', __context__ has 422
requests,  status 503: error.response.status_code is 503
zammad-py, status 503: error.response is None, the text is '', __context__ has 503
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
