#!/usr/bin/env bash
# lark-oapi lets a second client with a wrong app secret send messages, because the token of the first client is found by the app id.
#
# Expected: each client obtains a token with its own app id, secret and domain. A client with a wrong secret fails at its first call,
#   so a call to the server is a test of the settings.
# Happens: the tokens of all clients are in one cache of the process, and the key is the app id alone. After one good call, a client with
#   a wrong secret succeeds without a token request. A client with the same app id and ANOTHER DOMAIN sends the token of the first
#   domain there. In a new process the wrong secret gives the error 10014.
# Where a service desk meets it: an administrator replaces the secret of a channel, and "send a test message" succeeds with any text.
#   Notifications stop up to two hours later, or at the next restart. A stand-in and the vendor in one process share tokens too.
# What to do: test new settings in a new process, or request the token yourself and pass it (enable_set_token and RequestOption). A cache
#   of your own has the domain, the app id and a hash of the secret in its key.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check lark-oapi==1.7.5 requests==2.34.2 setuptools==65.5.0

cat > "$work/send.py" <<'PY'
import http.server
import json
import logging
import sys
import threading
from importlib.metadata import version
import lark_oapi as lark
from lark_oapi.api.im.v1 import CreateMessageRequest, CreateMessageRequestBody
from lark_oapi.core.exception import ObtainAccessTokenException

logging.disable(logging.CRITICAL)


class Feishu(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "tenant_access_token" in self.path:
            self.server.token_requests += 1
            if body["app_secret"] == "right":
                answer = {"code": 0, "msg": "ok", "tenant_access_token": self.server.token, "expire": 7200}
            else:
                answer = {"code": 10014, "msg": "app secret invalid"}
        else:
            self.server.seen = self.headers["authorization"]
            answer = {"code": 0, "msg": "success", "data": {"message_id": "om_1"}}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def start(token):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Feishu)
    server.token, server.token_requests, server.seen = token, 0, None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def send(name, server, secret):
    server.token_requests, server.seen = 0, None
    domain = f"http://127.0.0.1:{server.server_port}"
    client = lark.Client.builder().app_id("cli_1").app_secret(secret).domain(domain).build()
    content = json.dumps({"text": "INC-001234 is overdue"})
    message = CreateMessageRequestBody.builder().receive_id("ou_1").msg_type("text").content(content).build()
    request = CreateMessageRequest.builder().receive_id_type("open_id").request_body(message).build()
    try:
        result = f"success {client.im.v1.message.create(request).success()}"
    except ObtainAccessTokenException as error:
        result = f"raises {type(error).__name__} {error.code}"
    print(f"{name}: {result}, token requests: {server.token_requests}, the message has {server.seen}")


first, second = start("t-first"), start("t-second")
if sys.argv[1] == "both":
    print(f"lark-oapi {version('lark-oapi')}")
    send("right secret", first, "right")
    send("wrong secret, same process", first, "wrong")
    send("right secret, other domain, same process", second, "right")
else:
    send("wrong secret, new process", first, "wrong")
for server in [first, second]:
    server.shutdown()
PY
{
    "$work/venv/bin/python" -W ignore "$work/send.py" both
    "$work/venv/bin/python" -W ignore "$work/send.py" alone
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
lark-oapi 1.7.5
right secret: success True, token requests: 1, the message has Bearer t-first
wrong secret, same process: success True, token requests: 0, the message has Bearer t-first
right secret, other domain, same process: success True, token requests: 0, the message has Bearer t-first
wrong secret, new process: raises ObtainAccessTokenException 10014, token requests: 1, the message has None
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
