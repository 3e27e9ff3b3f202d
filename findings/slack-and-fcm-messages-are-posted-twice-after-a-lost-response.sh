#!/usr/bin/env bash
# slack_sdk and firebase-admin by default post a message a second time if the connection ends before the response.
#
# Expected: a POST that sends a message is not repeated by the library, because it may have been accepted. The call raises, and the program
#   decides. requests does so with its defaults, and send_each_async of firebase-admin too.
# Happens: WebClient and WebhookClient have a retry handler for connection errors by default, and it does not look at the method. The
#   synchronous functions of firebase-admin allow one repetition after a read error. A server that accepts the message and loses the
#   connection gets the same message twice. The call returns success and the id of the SECOND message.
# Where a service desk meets it: a proxy restarts in the moment of a send. A person gets the same alarm twice, and a later update of the
#   Slack message by its `ts` changes only the second copy. In firebase-admin the two ways to send behave differently.
# What to do: WebClient(retry_handlers=[]), WebhookClient(retry_handlers=[]), and a record of the attempt before the send. For FCM set a
#   collapse key or a tag, so that the second copy replaces the first one on the device.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check slack_sdk==3.47.0 firebase-admin==7.7.0 requests==2.34.2 urllib3==2.8.0 httpx==0.28.1

cat > "$work/twice.py" <<'PY'
import asyncio
import http.server
import json
import logging
import threading
import firebase_admin
import requests
import slack_sdk.version
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials, messaging
from slack_sdk import WebClient, WebhookClient

logging.disable(logging.CRITICAL)
posts = 0


class Vendor(http.server.BaseHTTPRequestHandler):
    """Accepts each message, and closes the connection of the first one without a response."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global posts
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/token":
            answer = {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}
        else:
            posts += 1
            if posts == 1:
                self.close_connection = True
                return
            answer = {"ok": True, "ts": f"{posts}.0", "name": f"projects/desk/messages/{posts}"}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def report(name, send):
    global posts
    posts = 0
    try:
        result = f"returns {send()}"
    except Exception as error:
        result = f"raises {type(error).__name__}"
    print(f"{name}: {result}, messages at the server: {posts}")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
print(f"slack_sdk {slack_sdk.version.__version__}, firebase-admin {firebase_admin.__version__}, requests {requests.__version__}")

report("requests.post", lambda: requests.post(f"{url}/hook", json={"text": "overdue"}).status_code)
for name, options in [("", {}), (", retry_handlers=[]", {"retry_handlers": []})]:
    web = WebClient("xoxb-1", base_url=f"{url}/api/", **options)
    hook = WebhookClient(f"{url}/hook", **options)
    report(f"WebClient.chat_postMessage{name}", lambda: web.chat_postMessage(channel="C1", text="overdue")["ts"])
    report(f"WebhookClient.send{name}", lambda: hook.send(text="overdue").status_code)

key = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
account = {
    "type": "service_account", "project_id": "desk", "private_key_id": "1", "private_key": key.decode(),
    "client_email": "desk@desk.example", "token_uri": f"{url}/token",
}
app = firebase_admin.initialize_app(credentials.Certificate(account))
# Only the address is replaced. The client has the same retries for http:// and https://.
messaging._get_messaging_service(app)._fcm_url = f"{url}/v1/projects/desk/messages:send"
message = messaging.Message(token="device", notification=messaging.Notification(title="overdue"))


def first(batch):
    if batch.responses[0].success:
        return batch.responses[0].message_id
    raise batch.responses[0].exception


report("messaging.send", lambda: messaging.send(message))
report("messaging.send_each", lambda: first(messaging.send_each([message])))
report("messaging.send_each_async", lambda: first(asyncio.run(messaging.send_each_async([message]))))
server.shutdown()
PY
"$work/venv/bin/python" -W ignore "$work/twice.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
slack_sdk 3.47.0, firebase-admin 7.7.0, requests 2.34.2
requests.post: raises ConnectionError, messages at the server: 1
WebClient.chat_postMessage: returns 2.0, messages at the server: 2
WebhookClient.send: returns 200, messages at the server: 2
WebClient.chat_postMessage, retry_handlers=[]: raises RemoteDisconnected, messages at the server: 1
WebhookClient.send, retry_handlers=[]: raises RemoteDisconnected, messages at the server: 1
messaging.send: returns projects/desk/messages/2, messages at the server: 2
messaging.send_each: returns projects/desk/messages/2, messages at the server: 2
messaging.send_each_async: raises UnknownError, messages at the server: 1
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
