#!/usr/bin/env bash
# httpx cuts one line of JSON Lines into two if a text in it has U+2028, U+2029 or U+0085.
#
# Expected: iter_lines() yields one item per line feed, so every item of a JSON Lines response is one JSON document.
# Happens: httpx (iter_lines, aiter_lines) and requests (iter_lines with decode_unicode=True) split where Python's str.splitlines()
#   splits. That includes U+0085, U+2028 and U+2029, which RFC 8259 allows unescaped in a string. The JSON document arrives in two halves
#   and neither half is JSON. aiohttp, and requests on bytes, split at line feeds only. curl and jq are not affected.
# Where a service desk meets it: exports and event streams are JSON Lines or server-sent events, and a user pastes a text with U+2028 from a
#   web page or a slide into a ticket. The export works for months and fails at that ticket.
# What to do: writers of JSON Lines and of server-sent events escape these three characters (\u2028, \u2029, \u0085), which
#   changes no value. Readers split the bytes at line feeds themselves.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 requests==2.34.2 aiohttp==3.14.5

cat > "$work/lines.py" <<'PY'
import asyncio
import http.server
import json
import threading
import aiohttp
import httpx
import requests

DOCUMENTS = [{"id": 1, "text": "first\u2028second"}, {"id": 2, "text": "a\u0085b"}, {"id": 3, "text": "c\u2029d"}]


class Export(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        escaped = self.path == "/escaped"
        body = "".join(json.dumps(document, ensure_ascii=escaped) + "\n" for document in DOCUMENTS).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def read(name, lines):
    documents = 0
    for line in lines:
        try:
            documents += json.loads(line)["id"] > 0
        except ValueError:
            pass
    print(f"{name}: {len(lines)} lines, {documents} are JSON")


async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return [line async for line in response.content]


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Export)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"httpx {httpx.__version__}, requests {requests.__version__}, aiohttp {aiohttp.__version__}; 3 documents are sent")
for path in ["/verbatim", "/escaped"]:
    url = f"http://127.0.0.1:{server.server_port}{path}"
    with httpx.stream("GET", url) as response:
        read(f"{path} httpx iter_lines", list(response.iter_lines()))
    with requests.get(url, stream=True) as response:
        read(f"{path} requests iter_lines, decode_unicode", list(response.iter_lines(decode_unicode=True)))
    with requests.get(url, stream=True) as response:
        read(f"{path} requests iter_lines", list(response.iter_lines()))
    read(f"{path} aiohttp", asyncio.run(with_aiohttp(url)))
server.shutdown()
PY
"$work/venv/bin/python" "$work/lines.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
httpx 0.28.1, requests 2.34.2, aiohttp 3.14.5; 3 documents are sent
/verbatim httpx iter_lines: 6 lines, 0 are JSON
/verbatim requests iter_lines, decode_unicode: 6 lines, 0 are JSON
/verbatim requests iter_lines: 3 lines, 3 are JSON
/verbatim aiohttp: 3 lines, 3 are JSON
/escaped httpx iter_lines: 3 lines, 3 are JSON
/escaped requests iter_lines, decode_unicode: 3 lines, 3 are JSON
/escaped requests iter_lines: 3 lines, 3 are JSON
/escaped aiohttp: 3 lines, 3 are JSON
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
