#!/usr/bin/env bash
# bk-itsm-sdk ignores the parameter bk_username in gateway mode, and over the component bus it replaces bk_username in the data with null.
#
# Expected: each operation has the parameters bk_username and bk_token, and BlueKing documents both as members of the request. The name
#   reaches the server in both ways and in both modes of the client.
# Happens: with bk_apigateway_url the parameter is sent nowhere, and the header X-Bkapi-Authorization has only the app. A name in the data
#   stays in the body. With bk_esb_url the client writes the parameter into the data, even its default: a name in the data becomes null.
#   So each way of naming the user works in one mode only. The client gives no error and no warning.
# Where a service desk meets it: an app moves from the bus to a gateway by a change of one URL. Its calls then have no user, although the
#   code names one in each call.
# What to do: over the bus use the parameter, never the data. Through a gateway use bkapi-component-open, which sends bk_username in the
#   header. Name the acting person in `creator` and `operator`, which both modes send unchanged.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check bk-itsm-sdk==1.0.2 setuptools==65.5.0 bkapi-component-open==2.1.0

cat > "$work/user.py" <<'PY'
import http.server
import json
import threading
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
from bkapi_component.open.client import Client
from itsm_sdk.itsm import ITSM

seen = None


class Itsm(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global seen
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        header = json.loads(self.headers.get("x-bkapi-authorization", "{}"))
        # The app and its secret are always sent and are not printed.
        seen = {"header": header.get("bk_username", "absent"), "body": body.get("bk_username", "absent"), "creator": body["creator"]}
        answer = b'{"result": true, "code": 0, "message": "success", "data": {"sn": "REQ1"}}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Itsm)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
print(f"bk-itsm-sdk {version('bk-itsm-sdk')}, bkapi-component-open {version('bkapi-component-open')}")
for mode, where in [("bus", {"bk_esb_url": url}), ("gateway", {"bk_apigateway_url": url})]:
    for name, data, options in [("parameter", {}, {"bk_username": "zhangsan"}), ("data", {"bk_username": "zhangsan"}, {})]:
        client = ITSM("my_app", "my-secret", **where).client
        result = client.create_ticket({"service_id": 18, "creator": "lisi", **data}, **options)
        print(f"bk-itsm-sdk, {mode}, bk_username as {name}: server sees {json.dumps(seen)}; client returns {result[0]}")
client = Client(endpoint=url)
client.update_bkapi_authorization(bk_app_code="my_app", bk_app_secret="my-secret", bk_username="zhangsan")
result = client.itsm.create_ticket({"service_id": 18, "creator": "lisi"})
print(f"bkapi-component-open: server sees {json.dumps(seen)}; client returns {result['result']}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/user.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
bk-itsm-sdk 1.0.2, bkapi-component-open 2.1.0
bk-itsm-sdk, bus, bk_username as parameter: server sees {"header": "absent", "body": "zhangsan", "creator": "lisi"}; client returns True
bk-itsm-sdk, bus, bk_username as data: server sees {"header": "absent", "body": null, "creator": "lisi"}; client returns True
bk-itsm-sdk, gateway, bk_username as parameter: server sees {"header": "absent", "body": "absent", "creator": "lisi"}; client returns True
bk-itsm-sdk, gateway, bk_username as data: server sees {"header": "absent", "body": "zhangsan", "creator": "lisi"}; client returns True
bkapi-component-open: server sees {"header": "zhangsan", "body": "absent", "creator": "lisi"}; client returns True
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
