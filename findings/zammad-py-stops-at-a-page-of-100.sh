#!/usr/bin/env bash
# zammad-py reads 100 of 250 tickets if per_page is more than 100, and then reports the last page.
#
# Expected: a larger page needs fewer requests. A loop over next_page() until is_last_page() returns every ticket, whatever the size is.
# Happens: Zammad returns at most 100 tickets in a page, also for per_page=250, without an error. zammad-py takes each page that is shorter
#   than per_page as the last one. With per_page=250 the loop ends after one request and has 100 tickets. With per_page=100 it returns all
#   250.
# Where a service desk meets it: an import or a nightly comparison of two desks reads all tickets. It works with
#   up to 100 tickets. Later, the tickets with higher ids look as if they were deleted.
# What to do: never set per_page above the limit of the operation, or read pages until one is empty.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check zammad-py==3.2.1 requests==2.34.2

cat > "$work/pages.py" <<'PY'
import http.server
import json
import threading
from importlib.metadata import version
from urllib.parse import parse_qs, urlparse
from zammad_py import ZammadAPI

TICKETS = [{"id": number} for number in range(1, 251)]
PAGE_MAX = 100
requests = 0


class Zammad(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global requests
        requests += 1
        query = parse_qs(urlparse(self.path).query)
        size = min(int(query["per_page"][0]), PAGE_MAX)
        start = (int(query["page"][0]) - 1) * size
        body = json.dumps(TICKETS[start : start + size]).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def until_last_page(page):
    tickets = list(page)
    while not page.is_last_page():
        page = page.next_page()
        tickets += page
    return tickets


def until_empty(page):
    tickets = list(page)
    while len(page):
        page = page.next_page()
        tickets += page
    return tickets


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Zammad)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = ZammadAPI(f"http://127.0.0.1:{server.server_port}/api/v1/", username="agent", password="secret")
print(f"zammad-py {version('zammad-py')}, {len(TICKETS)} tickets, at most {PAGE_MAX} in a page")
for read in [until_last_page, until_empty]:
    for size in [50, 100, 101, 250]:
        requests = 0
        tickets = read(client.ticket.all(filters={"per_page": size}))
        print(f"{read.__name__}, per_page={size}: {len(tickets)} tickets, the last has id {tickets[-1]['id']}, requests: {requests}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/pages.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
zammad-py 3.2.1, 250 tickets, at most 100 in a page
until_last_page, per_page=50: 250 tickets, the last has id 250, requests: 6
until_last_page, per_page=100: 250 tickets, the last has id 250, requests: 3
until_last_page, per_page=101: 100 tickets, the last has id 100, requests: 1
until_last_page, per_page=250: 100 tickets, the last has id 100, requests: 1
until_empty, per_page=50: 250 tickets, the last has id 250, requests: 6
until_empty, per_page=100: 250 tickets, the last has id 250, requests: 4
until_empty, per_page=101: 250 tickets, the last has id 250, requests: 4
until_empty, per_page=250: 250 tickets, the last has id 250, requests: 4
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
