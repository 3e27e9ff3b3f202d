#!/usr/bin/env bash
# bk-itsm-sdk reports a rejected request as a success if its code is 0, and raises an error for a login page.
#
# Expected: a call returns (is_success, message, data). It is a success if the member `result` of the response is true. A response that is
#   not JSON is a failure, like each other problem of the transport.
# Happens: the client reads only `code`. {"result": false, "code": 0} is (True, "success", None), and {"result": true, "code": "0"} is
#   (False, "success", {}). For an HTML page with status 200, the call raises JSONDecodeError, although the client catches all errors of
#   requests: the body is decoded outside its try block.
# Where a service desk meets it: BlueKing returns codes as texts in some operations, and a login page if a session has ended. A program
#   that trusts the first member stores a rejected application as created, or stops with an error that it does not expect.
# What to do: clients also check that `data` is present, and catch ValueError. Servers return `code` as a number, 0 only with `result`
#   true.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check bk-itsm-sdk==1.0.2 setuptools==65.5.0

cat > "$work/result.py" <<'PY'
import http.server
import logging
import threading
from itsm_sdk.itsm import ITSM

logging.disable(logging.CRITICAL)
body = b""


class Fixed(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fixed)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = ITSM("my_app", "my-secret", bk_apigateway_url=f"http://127.0.0.1:{server.server_port}").client
for body in [
    b'{"result": true, "code": 0, "message": "success", "data": {"sn": "REQ1"}}',
    b'{"result": false, "code": 0, "message": "no capacity", "data": null}',
    b'{"result": true, "code": "0", "message": "success", "data": {"sn": "REQ1"}}',
    b"<html>login</html>",
]:
    try:
        print(body.decode(), "->", client.create_ticket({"service_id": 18}))
    except ValueError as error:
        print(body.decode(), "-> raises", type(error).__name__)
server.shutdown()
PY
"$work/venv/bin/python" "$work/result.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
{"result": true, "code": 0, "message": "success", "data": {"sn": "REQ1"}} -> (True, 'success', {'sn': 'REQ1'})
{"result": false, "code": 0, "message": "no capacity", "data": null} -> (True, 'success', None)
{"result": true, "code": "0", "message": "success", "data": {"sn": "REQ1"}} -> (False, 'success', {})
<html>login</html> -> raises JSONDecodeError
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed"; exit 1; }
