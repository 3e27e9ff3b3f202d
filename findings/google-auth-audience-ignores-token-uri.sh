#!/usr/bin/env bash
# google-auth sends the token request to `token_uri` of the service account, but the signed assertion always names Google as its audience.
#
# Expected: RFC 7523 requires an audience that identifies the authorization server, and it may be the URL of the token endpoint. The file
#   of the service account has this URL once, as token_uri. With another token_uri, the assertion has this URL as `aud`.
# Happens: token_uri decides only where the request goes. `aud` is the constant https://oauth2.googleapis.com/token, in the code of
#   google-auth. firebase-admin takes its credentials from there, so its assertions have it too. There is no setting for it.
# Where a service desk meets it: a company sends push notifications through a proxy or a stand-in, and writes its address into the file of
#   the service account. A token endpoint that checks the audience against its own URL refuses each assertion as invalid_grant.
# What to do: a stand-in accepts the audience of Google beside its own URL. A client that computes its own assertion uses token_uri only
#   as the address, and https://oauth2.googleapis.com/token as the audience if the real Google is behind it.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check google-auth==2.63.0 firebase-admin==7.7.0 PyJWT==2.15.1 requests==2.34.2

cat > "$work/audience.py" <<'PY'
import http.server
import json
import threading
from importlib.metadata import version
from urllib.parse import parse_qs
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials
from google.auth.transport.requests import Request
from google.oauth2 import service_account

seen = None


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global seen
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        claims = jwt.decode(form["assertion"][0], private.public_key(), algorithms=["RS256"], options={"verify_aud": False})
        seen = f"POST {self.path}, aud {claims['aud']}, is the token_uri: {claims['aud'] == token_uri}"
        content = json.dumps({"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


private = rsa.generate_private_key(65537, 2048)
pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenEndpoint)
threading.Thread(target=server.serve_forever, daemon=True).start()
token_uri = f"http://127.0.0.1:{server.server_port}/oauth/token"
account = {
    "type": "service_account", "project_id": "desk", "private_key_id": "1", "private_key": pem.decode(),
    "client_email": "desk@desk.example", "token_uri": token_uri,
}
print(f"google-auth {version('google-auth')}, firebase-admin {version('firebase-admin')}")
scopes = ["https://www.googleapis.com/auth/firebase.messaging"]
for name, source in [
    ("google-auth", service_account.Credentials.from_service_account_info(account, scopes=scopes)),
    ("firebase-admin", credentials.Certificate(account).get_credential()),
]:
    source.refresh(Request())
    print(f"{name}: {seen}")
server.shutdown()
PY
"$work/venv/bin/python" "$work/audience.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
google-auth 2.63.0, firebase-admin 7.7.0
google-auth: POST /oauth/token, aud https://oauth2.googleapis.com/token, is the token_uri: False
firebase-admin: POST /oauth/token, aud https://oauth2.googleapis.com/token, is the token_uri: False
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
