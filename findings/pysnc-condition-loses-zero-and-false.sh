#!/usr/bin/env bash
# pysnc: add_query("reopen_count", ">", 0) sends reopen_count=> instead of reopen_count>0.
#
# Expected: a condition with a field, an operator and a value is sent in this order. 1 and 0 differ only in the digit, and a number can be
#   given as a number or as a text.
# Happens: pysnc decides by the truth of the value whether three arguments were given. 0, 0.0, False and "" are dropped, the given operator
#   becomes the value, and the operator becomes "=". With 1 or "0" the condition is right. Or-conditions and the conditions of join
#   queries are built in the same way. No error and no warning.
# Where a service desk meets it: reports and synchronizations query reopened incidents (> 0), inactive ones (= False) and those
#   with an assignee (!= ""). The threshold comes from a configuration, works for 1 and fails for 0.
# What to do: give values as texts ("0", "false"), and use add_null_query and add_not_null_query for empty fields.
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
print(f"pysnc {version('pysnc')}")
for condition in [
    ("reopen_count", ">", 1),
    ("reopen_count", ">", 0),
    ("reopen_count", ">", "0"),
    ("reopen_count", "<=", 0.0),
    ("active", "=", True),
    ("active", "=", False),
    ("assigned_to", "!=", ""),
]:
    records = client.GlideRecord("incident")
    records.add_query(*condition)
    records.query()
    print(f"add_query{condition} sends {queries[-1].removesuffix('^ORDERBYsys_id')}")
records = client.GlideRecord("incident")
records.add_query("priority", "<", 3).add_or_condition("reopen_count", ">", 0)
records.query()
print(f"add_query('priority', '<', 3).add_or_condition('reopen_count', '>', 0) sends {queries[-1].removesuffix('^ORDERBYsys_id')}")
records = client.GlideRecord("incident")
records.add_join_query("task_sla", join_table_field="task").add_query("percentage", ">", 0)
records.query()
print(f"add_join_query('task_sla', join_table_field='task').add_query('percentage', '>', 0) sends {queries[-1].removesuffix('^ORDERBYsys_id')}")
records = client.GlideRecord("incident")
records.add_not_null_query("assigned_to")
records.query()
print(f"add_not_null_query('assigned_to') sends {queries[-1].removesuffix('^ORDERBYsys_id')}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/query.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
pysnc 1.2.1
add_query('reopen_count', '>', 1) sends reopen_count>1
add_query('reopen_count', '>', 0) sends reopen_count=>
add_query('reopen_count', '>', '0') sends reopen_count>0
add_query('reopen_count', '<=', 0.0) sends reopen_count=<=
add_query('active', '=', True) sends active=True
add_query('active', '=', False) sends active==
add_query('assigned_to', '!=', '') sends assigned_to=!=
add_query('priority', '<', 3).add_or_condition('reopen_count', '>', 0) sends priority<3^ORreopen_count=>
add_join_query('task_sla', join_table_field='task').add_query('percentage', '>', 0) sends JOINincident.sys_id=task_sla.task!percentage=>
add_not_null_query('assigned_to') sends assigned_toISNOTEMPTY
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
