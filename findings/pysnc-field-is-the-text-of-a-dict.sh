#!/usr/bin/env bash
# pysnc: a field of a record is a str and prints as its value, but json.dumps, join, + and startswith use the text of a dict.
#
# Expected: record.number is an instance of str. It equals "INC0000001" and prints as INC0000001, so it can be used as a str.
# Happens: pysnc reads value and display value in one request by default. The str is built from the dict with both, and only some methods
#   are overridden. print, a plain f-string, ==, in, len, [] and keys of dicts use the value. json.dumps, str.join, "text" + field,
#   startswith, re and a format with a width use "{'value': 'INC0000001', ...}". No error and no warning. An assigned value does not
#   change that text: after record.state = "7" these functions still use the old value.
# Where a service desk meets it: a synchronization stores numbers as JSON or builds an encoded query with join. The log shows correct
#   numbers, because a log prints. The stored text and the query have the dict.
# What to do: use record.get_value("number") or str(record.number) for everything except printing and comparing.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pysnc==1.2.1 requests==2.34.2

cat > "$work/field.py" <<'PY'
import http.server
import json
import re
import threading
from importlib.metadata import version
import pysnc
import requests


class ServiceNow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        incident = {
            "sys_id": {"value": "1", "display_value": "1"},
            "number": {"value": "INC0000001", "display_value": "INC0000001"},
            "state": {"value": "2", "display_value": "In Progress"},
        }
        body = json.dumps({"result": [incident]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("x-total-count", "1")
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
record = client.GlideRecord("incident")
record.query()
record.next()
number = record.number
print(f"pysnc {version('pysnc')}")
print("isinstance(number, str):", isinstance(number, str))
print("print:", number)
print("f-string:", f"{number}")
print("== 'INC0000001':", number == "INC0000001")
print("in ['INC0000001']:", number in ["INC0000001"])
print("len:", len(number))
print("number[:3]:", number[:3])
print("key of a dict:", {"INC0000001": "found"}.get(number))
print("startswith('INC'):", number.startswith("INC"))
print("re.match('INC'):", re.match("INC", number))
print("f-string with a width:", f"[{number:>12}]")
print("'number=' + number:", "number=" + number)
print("','.join:", ",".join([number]))
print("json.dumps:", json.dumps({"number": number}))
print("json.dumps of get_value:", json.dumps({"number": record.get_value("number")}))
record.state = "7"
print("state after record.state = '7': print", record.state, "json.dumps", json.dumps(record.state))
server.shutdown()
PY
"$work/venv/bin/python" "$work/field.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
pysnc 1.2.1
isinstance(number, str): True
print: INC0000001
f-string: INC0000001
== 'INC0000001': True
in ['INC0000001']: True
len: 10
number[:3]: INC
key of a dict: found
startswith('INC'): False
re.match('INC'): None
f-string with a width: [{'value': 'INC0000001', 'display_value': 'INC0000001'}]
'number=' + number: number={'value': 'INC0000001', 'display_value': 'INC0000001'}
','.join: {'value': 'INC0000001', 'display_value': 'INC0000001'}
json.dumps: {"number": "{'value': 'INC0000001', 'display_value': 'INC0000001'}"}
json.dumps of get_value: {"number": "INC0000001"}
state after record.state = '7': print 7 json.dumps "{'value': '2', 'display_value': 'In Progress'}"
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
