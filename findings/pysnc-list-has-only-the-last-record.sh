#!/usr/bin/env bash
# pysnc: list(records) has the right length, but every item is the last record.
#
# Expected: a for loop yields one record after the other, so list(records), sorted(records) and a dict of them have different records.
# Happens: a GlideRecord is a cursor, and its iterator yields the cursor itself each time. A loop that uses each record at once is
#   correct. After list() every item is the same object, at the last record. Assigning a field and calling update() for each item changes
#   the last record several times and the others never. sorted() compares the moving cursor with itself.
# Where a service desk meets it: a program collects incidents first and changes or compares them afterwards, in batches or in threads. The
#   count in its report is right.
# What to do: collect values (record.serialize(), record.get_value("number")) or copies: [record.pop_record() for record in records].
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pysnc==1.2.1 requests==2.34.2

cat > "$work/list.py" <<'PY'
import http.server
import json
import threading
from importlib.metadata import version
from urllib.parse import urlparse
import pysnc
import requests

INCIDENTS = [{"sys_id": f"{number:032x}", "number": f"INC{number}", "state": "2"} for number in [1, 2, 3, 4]]
changed = []


class ServiceNow(http.server.BaseHTTPRequestHandler):
    def reply(self, result):
        body = json.dumps({"result": result}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("x-total-count", str(len(INCIDENTS)))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply([{name: {"value": value, "display_value": value} for name, value in incident.items()} for incident in INCIDENTS])

    def do_PATCH(self):
        self.rfile.read(int(self.headers["content-length"]))
        incident = next(incident for incident in INCIDENTS if incident["sys_id"] == urlparse(self.path).path.rsplit("/", 1)[1])
        changed.append(incident["number"])
        self.reply(incident)

    def log_message(self, *arguments):
        pass


class Loopback(requests.adapters.HTTPAdapter):
    """Sends requests for https://desk.example to the local server, because pysnc refuses http URLs."""

    def send(self, request, **options):
        request.url = request.url.replace("https://desk.example", f"http://127.0.0.1:{server.server_port}")
        return super().send(request, **options)


def query():
    records = client.GlideRecord("incident")
    records.query()
    return records


def numbers(records):
    return ", ".join(record.get_value("number") for record in records)


def close(records):
    changed.clear()
    for record in records:
        record.state = "7"
        record.update()
    return ", ".join(changed)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ServiceNow)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = requests.Session()
session.mount("https://", Loopback())
client = pysnc.ServiceNowClient("https://desk.example", session, auto_retry=False)
print(f"pysnc {version('pysnc')}")
print("for loop:", numbers(query()))
print("list:", numbers(list(query())))
print("different objects in the list:", len({id(record) for record in list(query())}))
print("dict by number:", ", ".join(f"{key} is {record.get_value('number')}" for key, record in {record.get_value("number"): record for record in query()}.items()))
print("sorted by number, descending:", numbers(sorted(query(), key=lambda record: record.get_value("number"), reverse=True)))
print("copies by pop_record:", numbers([record.pop_record() for record in query()]))
print("updated in a for loop:", close(query()))
print("updated in a list:", close(list(query())))
server.shutdown()
PY
"$work/venv/bin/python" "$work/list.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
pysnc 1.2.1
for loop: INC1, INC2, INC3, INC4
list: INC4, INC4, INC4, INC4
different objects in the list: 1
dict by number: INC1 is INC4, INC2 is INC4, INC3 is INC4, INC4 is INC4
sorted by number, descending: INC4, INC4, INC4, INC4
copies by pop_record: INC1, INC2, INC3, INC4
updated in a for loop: INC1, INC2, INC3, INC4
updated in a list: INC4, INC4, INC4, INC4
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
