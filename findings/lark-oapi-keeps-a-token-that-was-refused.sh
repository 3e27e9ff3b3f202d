#!/usr/bin/env bash
# lark-oapi sends a tenant token that the server refused with 99991663 again and again, until the token would have ended by itself.
#
# Expected: the client manages the tokens. If the server answers that the token is invalid, the client removes it from its cache and
#   obtains a new one, at the latest for the next call. wechatpy does so for 40014.
# Happens: the cache looks only at the lifetime of the token. The response with 99991663 is returned to the program, and each further call
#   sends the same token, also from a new client. There is no token request until 10 minutes before the announced end, so a process can
#   fail for almost two hours. A restart is enough to send again.
# Where a service desk meets it: a token ends early, for example after a new app secret or a move of the tenant. Each attempt of each
#   notification fails with the same code, although the settings are right, and the retries end before the token does.
# What to do: obtain the token yourself, pass it with enable_set_token and RequestOption, and request a new one once after 99991663.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check lark-oapi==1.7.5 requests==2.34.2 setuptools==65.5.0

cat > "$work/refused.py" <<'PY'
import http.server
import json
import logging
import threading
from importlib.metadata import version
import lark_oapi as lark
from lark_oapi.api.im.v1 import CreateMessageRequest, CreateMessageRequestBody

logging.disable(logging.CRITICAL)
issued = 0
valid = None
seen = None


class Feishu(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global issued, valid, seen
        self.rfile.read(int(self.headers["content-length"]))
        status = 200
        if "tenant_access_token" in self.path:
            issued += 1
            valid = f"t-{issued}"
            answer = {"code": 0, "msg": "ok", "tenant_access_token": valid, "expire": 7200}
        else:
            seen = self.headers["authorization"].removeprefix("Bearer ")
            if seen == valid:
                answer = {"code": 0, "msg": "success", "data": {"message_id": "om_1"}}
            else:
                status, answer = 400, {"code": 99991663, "msg": "Invalid access token for authorization."}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Feishu)
threading.Thread(target=server.serve_forever, daemon=True).start()


def client():
    return lark.Client.builder().app_id("cli_1").app_secret("secret").domain(f"http://127.0.0.1:{server.server_port}").build()


def send(name, client):
    content = json.dumps({"text": "INC-001234 is overdue"})
    message = CreateMessageRequestBody.builder().receive_id("ou_1").msg_type("text").content(content).build()
    response = client.im.v1.message.create(CreateMessageRequest.builder().receive_id_type("open_id").request_body(message).build())
    print(f"{name}: code {response.code}, sent with {seen}, token requests so far: {issued}")


print(f"lark-oapi {version('lark-oapi')}, each token is announced with 7200 s")
app = client()
send("first message", app)
valid = None
print("the server ends the token")
for number in range(1, 4):
    send(f"attempt {number}", app)
send("attempt 4, a new client", client())
server.shutdown()
PY
"$work/venv/bin/python" -W ignore "$work/refused.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
lark-oapi 1.7.5, each token is announced with 7200 s
first message: code 0, sent with t-1, token requests so far: 1
the server ends the token
attempt 1: code 99991663, sent with t-1, token requests so far: 1
attempt 2: code 99991663, sent with t-1, token requests so far: 1
attempt 3: code 99991663, sent with t-1, token requests so far: 1
attempt 4, a new client: code 99991663, sent with t-1, token requests so far: 1
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
