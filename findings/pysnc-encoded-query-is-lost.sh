#!/usr/bin/env bash
# pysnc: a second add_encoded_query replaces the first, and an encoded query beside a join query is not sent at all.
#
# Expected: "Adds a raw query. Appends (comes after) all other defined queries" (its documentation). Two encoded queries narrow the result,
#   as two calls of add_query do.
# Happens: only the last encoded query is kept. If the record has a join query and no add_query, pysnc sends the first join query alone.
#   The encoded query, a second join query and the order are missing. With one add_query, all of them are sent. No error: the result only
#   has more records.
# Where a service desk meets it: a program takes a filter from its configuration, adds its own ("only changed since yesterday"), and then
#   updates or closes every record of the result. It changes records that one of the two filters excludes.
# What to do: join the texts with ^ and call add_encoded_query once. Beside a join query, add one condition with add_query first.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pysnc==1.2.1 requests==2.34.2

cat > "$work/query.py" <<'PY'
import http.server
import threading
from importlib.metadata import version
from urllib.parse import parse_qs, urlparse
import pysnc
import requests

queries = []


class ServiceNow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        queries.append(parse_qs(urlparse(self.path).query)["sysparm_query"][0])
        body = b'{"result": []}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("x-total-count", "0")
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
CALLS = {
    "query": lambda records: records.add_query("active", "true"),
    "query 2": lambda records: records.add_query("priority", "1"),
    "encoded": lambda records: records.add_encoded_query("state=2"),
    "encoded 2": lambda records: records.add_encoded_query("impact=1"),
    "join": lambda records: records.add_join_query("task_sla", join_table_field="task"),
    "join 2": lambda records: records.add_join_query("task_ci", join_table_field="task"),
}
print(f"pysnc {version('pysnc')}")
for calls in [
    ["query", "query 2"],
    ["query", "encoded"],
    ["encoded", "encoded 2"],
    ["query", "encoded", "encoded 2"],
    ["join", "encoded"],
    ["join", "join 2"],
    ["query", "join", "join 2", "encoded"],
]:
    records = client.GlideRecord("incident")
    for call in calls:
        CALLS[call](records)
    records.query()
    print(f"{', '.join(calls)}: {queries[-1]}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/query.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
pysnc 1.2.1
query, query 2: active=true^priority=1^ORDERBYsys_id
query, encoded: active=true^state=2^ORDERBYsys_id
encoded, encoded 2: impact=1^ORDERBYsys_id
query, encoded, encoded 2: active=true^impact=1^ORDERBYsys_id
join, encoded: JOINincident.sys_id=task_sla.task!
join, join 2: JOINincident.sys_id=task_sla.task!
query, join, join 2, encoded: active=true^JOINincident.sys_id=task_sla.task!^JOINincident.sys_id=task_ci.task!^state=2^ORDERBYsys_id
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
