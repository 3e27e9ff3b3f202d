#!/usr/bin/env bash
# pysnc: limit = 199 returns 200 records, and limit = 0 returns all.
#
# Expected: "limits on the number of results returned" (its documentation): records.limit = n returns n records or fewer.
# Happens: records arrive in batches, 100 by default. If n is one less than a multiple of the batch size, and greater than one batch, the
#   last batch is requested in full, and one record too many is returned: 199 gives 200, 299 gives 300. Other positive limits are
#   correct. 0 is taken as "no limit".
# Where a service desk meets it: a quota decides how many incidents one run may still take over, so limit = quota - taken. If nothing of
#   the quota is left, the limit is 0, and the run takes over all incidents.
# What to do: cut the iteration with itertools.islice(records, n), which also reads no further batch. Do not query if n is 0.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pysnc==1.2.1 requests==2.34.2

cat > "$work/limit.py" <<'PY'
import http.server
import itertools
import json
import threading
from importlib.metadata import version
from urllib.parse import parse_qs, urlparse
import pysnc
import requests

TOTAL = 450
limits = []


class ServiceNow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = parse_qs(urlparse(self.path).query)
        start, limit = int(query["sysparm_offset"][0]), int(query["sysparm_limit"][0])
        limits.append(limit)
        incidents = [{"sys_id": {"value": str(number), "display_value": str(number)}} for number in range(TOTAL)]
        body = json.dumps({"result": incidents[start : start + limit]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("x-total-count", str(TOTAL))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Loopback(requests.adapters.HTTPAdapter):
    """Sends requests for https://desk.example to the local server, because pysnc refuses http URLs."""

    def send(self, request, **options):
        request.url = request.url.replace("https://desk.example", f"http://127.0.0.1:{server.server_port}")
        return super().send(request, **options)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ServiceNow)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = requests.Session()
session.mount("https://", Loopback())
client = pysnc.ServiceNowClient("https://desk.example", session, auto_retry=False)
print(f"pysnc {version('pysnc')}, {TOTAL} records, {client.GlideRecord('incident').batch_size} in a batch")
for limit in [0, 1, 99, 100, 101, 198, 199, 200, 299]:
    limits.clear()
    records = client.GlideRecord("incident")
    records.limit = limit
    records.query()
    print(f"limit = {limit}: {sum(1 for _ in records)} records, sysparm_limit of the requests: {', '.join(map(str, limits))}")
limits.clear()
records = client.GlideRecord("incident")
records.query()
print(f"islice(records, 199): {sum(1 for _ in itertools.islice(records, 199))} records, sysparm_limit of the requests: {', '.join(map(str, limits))}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/limit.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
pysnc 1.2.1, 450 records, 100 in a batch
limit = 0: 450 records, sysparm_limit of the requests: 100, 100, 100, 100, 100
limit = 1: 1 records, sysparm_limit of the requests: 1
limit = 99: 99 records, sysparm_limit of the requests: 99
limit = 100: 100 records, sysparm_limit of the requests: 100
limit = 101: 101 records, sysparm_limit of the requests: 100, 1
limit = 198: 198 records, sysparm_limit of the requests: 100, 98
limit = 199: 200 records, sysparm_limit of the requests: 100, 100
limit = 200: 200 records, sysparm_limit of the requests: 100, 100
limit = 299: 300 records, sysparm_limit of the requests: 100, 100, 100
islice(records, 199): 199 records, sysparm_limit of the requests: 100, 100
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
