#!/usr/bin/env bash
# pywebpush signs each push with the audience of the FIRST push service if one dict of claims is used for all of them.
#
# Expected: vapid_claims={"sub": ...} names the sender. `aud` and `exp` are missing, so webpush() computes them for each subscription, from
#   its endpoint and the clock. A caller can keep the dict as a constant.
# Happens: webpush() writes `aud` and `exp` into the caller's dict. The next call finds `aud` and keeps it. A subscription at another
#   push service gets a token for the first one, and RFC 8292 requires this service to refuse it. `exp` is also kept until it
#   is past, so at the end of each 12 hours the tokens are valid for seconds only.
# Where a service desk meets it: people use different browsers, so their subscriptions belong to Google, Mozilla, Apple and Microsoft. A test
#   with one browser works. Afterwards, only the people of the service that was used first after a restart get their alarms.
# What to do: pass a new dict each time: vapid_claims=dict(CLAIMS).
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pywebpush==2.5.0

cat > "$work/push.py" <<'PY'
import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid
from pywebpush import WebPushException, webpush


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class PushService(BaseHTTPRequestHandler):
    """Accepts a push if its token is for this service, as RFC 8292 requires."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        token = self.headers["Authorization"].removeprefix("vapid t=").split(",")[0]
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.send_response(201 if claims["aud"] == origin(self.server) else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *values):
        pass


def origin(server):
    return f"http://127.0.0.1:{server.server_port}"


services = {name: ThreadingHTTPServer(("127.0.0.1", 0), PushService) for name in ["first", "second"]}
for service in services.values():
    threading.Thread(target=service.serve_forever, daemon=True).start()
key = Vapid()
key.generate_keys()
browser = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def send(name, claims):
    info = {"endpoint": f"{origin(services[name])}/push/1", "keys": {"p256dh": base64url(browser), "auth": base64url(bytes(16))}}
    try:
        status = webpush(info, "INC-1 waits for you", vapid_private_key=key, vapid_claims=claims).status_code
    except WebPushException as error:
        status = error.response.status_code
    print(f"  {name} service: {status}")


print(f"pywebpush {version('pywebpush')}")
claims = {"sub": "mailto:desk@desk.example"}
print("one dict for all pushes")
for name in ["first", "second", "first", "second"]:
    send(name, claims)
print(f"  members of the dict afterwards: {', '.join(sorted(claims))}")
print(f"  aud is the {'first' if claims['aud'] == origin(services['first']) else 'second'} service")
claims = {"sub": "mailto:desk@desk.example"}
print("a new dict for each push")
for name in ["first", "second", "first", "second"]:
    send(name, dict(claims))
PY
"$work/venv/bin/python" "$work/push.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
pywebpush 2.5.0
one dict for all pushes
  first service: 201
  second service: 403
  first service: 201
  second service: 403
  members of the dict afterwards: aud, exp, sub
  aud is the first service
a new dict for each push
  first service: 201
  second service: 201
  first service: 201
  second service: 201
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
