#!/usr/bin/env bash
# requests repeats a GET after 413, 429 or 503 with Retry-After, although max_retries is documented for failed connections only.
#
# Expected: HTTPAdapter(max_retries=2) "applies only to failed DNS lookups, socket connections and connection timeouts, never to requests
#   where data has made it to the server" (its documentation), so a 429 is returned at once.
# Happens: the integer becomes urllib3's Retry, which obeys Retry-After by default. A GET that is answered with 413, 429 or 503 AND
#   Retry-After blocks for the named time and is sent again, 3 times in all. Without Retry-After it is sent once. A POST is sent once.
#   After the last attempt the response is returned without an error, so the caller sees one 429 and the server counts three requests.
# Where a service desk meets it: integrations mount the adapter to survive a restart of the desk. A limit with "Retry-After: 60" then
#   blocks the calling thread for two minutes, whatever timeout= the caller passed, and 413 is repeated although it cannot succeed.
# What to do: clients pass urllib3's Retry(2, read=False, respect_retry_after_header=False). Servers keep Retry-After small, send it
#   only for states that really pass, and never with 413.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check requests==2.34.2 urllib3==2.8.0

cat > "$work/retry.py" <<'PY'
import http.server
import threading
import time
import requests
import urllib3

count = 0


class Limited(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global count
        count += 1
        _, status, *rest = self.path.split("/")
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(int(status))
        if rest:
            self.send_header("retry-after", rest[0])
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Limited)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"requests {requests.__version__}, urllib3 {urllib3.__version__}")
connect_only = urllib3.Retry(2, read=False, respect_retry_after_header=False)
for retries, method, path in [
    (0, "GET", "/429/1"),
    (2, "GET", "/429/1"),
    (2, "GET", "/503/1"),
    (2, "GET", "/413/1"),
    (2, "GET", "/429"),
    (2, "POST", "/429/1"),
    (connect_only, "GET", "/429/1"),
]:
    count = 0
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
    start = time.monotonic()
    response = session.request(method, f"http://127.0.0.1:{server.server_port}{path}", timeout=0.5)
    returned = "after the named time" if time.monotonic() - start > 1.9 else "at once"
    name = retries if isinstance(retries, int) else "Retry without Retry-After"
    print(f"max_retries={name}, timeout=0.5, {method} {path}: {response.status_code} after {count} requests, {returned}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/retry.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
requests 2.34.2, urllib3 2.8.0
max_retries=0, timeout=0.5, GET /429/1: 429 after 1 requests, at once
max_retries=2, timeout=0.5, GET /429/1: 429 after 3 requests, after the named time
max_retries=2, timeout=0.5, GET /503/1: 503 after 3 requests, after the named time
max_retries=2, timeout=0.5, GET /413/1: 413 after 3 requests, after the named time
max_retries=2, timeout=0.5, GET /429: 429 after 1 requests, at once
max_retries=2, timeout=0.5, POST /429/1: 429 after 1 requests, at once
max_retries=Retry without Retry-After, timeout=0.5, GET /429/1: 429 after 1 requests, at once
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
