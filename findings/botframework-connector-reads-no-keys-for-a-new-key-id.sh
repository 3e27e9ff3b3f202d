#!/usr/bin/env bash
# botframework-connector raises IndexError for a token with a new key, and does not read the published keys again before a day is over.
#
# Expected: a token names a key that is not in the cache. The keys were read two hours ago, so the library reads them again (its own
#   comment: "Refresh the cache if a key is not found (max once per hour)"), finds the new key, and accepts the token.
# Happens: the search takes the first element of an empty list. It raises IndexError before the second read, in every hour of the day. The
#   token is accepted only after the cache is a day old.
# Where a service desk meets it: the Bot Framework replaces its keys. From this moment, a bot with this library refuses all messages and all
#   pressed buttons of Teams until its cache ends or its process restarts, and the log shows only "list index out of range".
# What to do: restart the process after the error, or replace the private function _OpenIdMetadata._find by one that returns None.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check botframework-connector==4.17.1 aiohttp==3.13.2

cat > "$work/rotate.py" <<'PY'
import asyncio
import http.server
import json
import threading
import time
from datetime import datetime, timedelta
from importlib.metadata import version

import jwt
from botframework.connector.auth import ChannelValidation, JwtTokenValidation, SimpleCredentialProvider
from botframework.connector.auth.jwt_token_extractor import JwtTokenExtractor
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

APP, SERVICE = "0a1b2c3d-0000-4000-8000-000000000001", "https://smba.trafficmanager.net/teams"
keys = {name: rsa.generate_private_key(65537, 2048) for name in ("old", "new")}
published, reads = ["old"], 0


class Login(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global reads
        if self.path == "/keys":
            reads += 1
            public = [(name, json.loads(RSAAlgorithm.to_jwk(keys[name].public_key()))) for name in published]
            answer = {"keys": [{**key, "kid": name, "endorsements": ["msteams"]} for name, key in public]}
        else:
            answer = {"jwks_uri": f"http://127.0.0.1:{server.server_port}/keys"}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


async def check(name):
    now = int(time.time())
    claims = {"iss": "https://api.botframework.com", "aud": APP, "serviceurl": SERVICE, "nbf": now, "exp": now + 600}
    token = jwt.encode(claims, keys[name], algorithm="RS256", headers={"kid": name})
    try:
        await JwtTokenValidation.validate_auth_header(
            f"Bearer {token}", SimpleCredentialProvider(APP, ""), "", "msteams", SERVICE
        )
        return "accepted"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def main():
    url = f"http://127.0.0.1:{server.server_port}/metadata"
    ChannelValidation.open_id_metadata_endpoint = url
    print(f"botframework-connector {version('botframework-connector')}")
    print(f"old key: {await check('old')}, reads: {reads}")
    published.append("new")
    cache = JwtTokenExtractor.get_open_id_metadata(url)
    for hours in (2, 23, 25):
        cache.last_updated = datetime.now() - timedelta(hours=hours)
        print(f"new key, read {hours} hours ago: {await check('new')}, reads: {reads}")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login)
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main())
server.shutdown()
PY
"$work/venv/bin/python" -W ignore "$work/rotate.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
botframework-connector 4.17.1
old key: accepted, reads: 1
new key, read 2 hours ago: IndexError: list index out of range, reads: 1
new key, read 23 hours ago: IndexError: list index out of range, reads: 1
new key, read 25 hours ago: accepted, reads: 2
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
