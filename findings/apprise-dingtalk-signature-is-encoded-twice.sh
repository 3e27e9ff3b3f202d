#!/usr/bin/env bash
# apprise sends the DingTalk signature with %253D at its end, so a server that decodes the query once reads another signature.
#
# Expected: DingTalk describes `sign` as the Base64 text of an HMAC-SHA256, URL-encoded. requests encodes each value of `params`, so a
#   library passes the Base64 text and the query has %3D.
# Happens: the plugin encodes the text itself and then passes it in `params`. requests encodes the percent signs again. Base64 of 32 bytes
#   always ends with "=", so each signed request is affected: the query has %253D, and the decoded value ends with "%3D". Only a
#   second decoding gives the signature.
# Where a service desk meets it: a desk or a gateway takes the place of oapi.dingtalk.com for existing scripts, or a test checks the
#   signature of a robot. It follows the document and answers 310000 to each message of apprise.
# What to do: a server that imitates DingTalk decodes `sign` once and accepts nothing else. Clients compute the signature with the
#   documented steps and encode it once, for example with requests and the plain Base64 text.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check apprise==2.2.0 requests==2.34.2

cat > "$work/sign.py" <<'PY'
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from importlib.metadata import version
from urllib.parse import parse_qs, unquote, urlparse
import apprise
import requests
from apprise.plugins.dingtalk import NotifyDingTalk

TOKEN, SECRET = "0123456789abcdef", "SEC0123456789abcdef"
query = None


def signature(timestamp):
    return base64.b64encode(hmac.new(SECRET.encode(), f"{timestamp}\n{SECRET}".encode(), hashlib.sha256).digest()).decode()


class Robot(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global query
        self.rfile.read(int(self.headers["content-length"]))
        query = urlparse(self.path).query
        body = json.dumps({"errcode": 0, "errmsg": "ok"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def report(name):
    sent = query.split("sign=")[1].split("&")[0]
    members = {key: values[0] for key, values in parse_qs(query).items()}
    right = signature(members["timestamp"])
    once = members["sign"]
    end = sent[sent.rindex("%") :]
    print(f"{name}: the query ends with {end}; right after one decoding: {once == right}, after two: {unquote(once) == right}")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Robot)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"apprise {apprise.__version__}, requests {version('requests')}")
url = f"http://127.0.0.1:{server.server_port}/robot/send?access_token="
# Only the address is replaced.
NotifyDingTalk.notify_url = url + "{token}"
robot = apprise.Apprise()
robot.add(f"dingtalk://{SECRET}@{TOKEN}/")
robot.notify(body="INC-001234 is overdue")
report("apprise")
now = str(round(time.time() * 1000))
message = {"msgtype": "text", "text": {"content": "INC-001234 is overdue"}}
requests.post(url + TOKEN, params={"timestamp": now, "sign": signature(now)}, json=message)
report("requests with the Base64 text")
server.shutdown()
PY
"$work/venv/bin/python" "$work/sign.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
apprise 2.2.0, requests 2.34.2
apprise: the query ends with %253D; right after one decoding: False, after two: True
requests with the Base64 text: the query ends with %3D; right after one decoding: True, after two: True
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
