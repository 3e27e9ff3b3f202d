#!/usr/bin/env bash
# wechatpy obtains a new token and sends again after EACH 40014, 40001 or 42001, so one call can become any number of requests.
#
# Expected: after a refused token the client obtains a new one, sends once more, and then raises. A token that was issued a moment ago and
#   is refused is no expired token, and another one does not help.
# Happens: the retry calls the same function again, and no attempt is counted. A server that refuses five times gets six messages and six
#   token requests from one call, without a wait between them. The call returns as if nothing had happened. With
#   auto_retry=False the call raises after the first refusal.
# Where a service desk meets it: WeCom limits how often a token may be requested. While a server refuses tokens, one notification becomes a
#   series of requests as fast as the network allows, in a call that does not end before the server accepts a token.
# What to do: WeChatClient(..., auto_retry=False), and one renewal by the caller.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check wechatpy==1.8.18 requests==2.34.2 cryptography==50.0.2

cat > "$work/renew.py" <<'PY'
import http.server
import json
import threading
import warnings
from importlib.metadata import version
from urllib.parse import parse_qs, urlparse

warnings.simplefilter("ignore")
import requests
from wechatpy.enterprise import WeChatClient
from wechatpy.exceptions import WeChatClientException

REFUSALS = 5
sends, tokens = [], 0


class WeCom(http.server.BaseHTTPRequestHandler):
    def reply(self, answer):
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        global tokens
        tokens += 1
        self.reply({"errcode": 0, "errmsg": "ok", "access_token": f"token-{tokens}", "expires_in": 7200})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        sends.append(parse_qs(urlparse(self.path).query)["access_token"][0])
        if len(sends) <= REFUSALS:
            self.reply({"errcode": 40014, "errmsg": "invalid access_token"})
        else:
            self.reply({"errcode": 0, "errmsg": "ok", "msgid": "1"})

    def log_message(self, *arguments):
        pass


class Loopback(requests.adapters.HTTPAdapter):
    """Replaces the fixed host of the library, and nothing else."""

    def send(self, request, **options):
        request.url = request.url.replace("https://qyapi.weixin.qq.com", f"http://127.0.0.1:{server.server_port}")
        return super().send(request, **options)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), WeCom)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"wechatpy {version('wechatpy')}, the server refuses {REFUSALS} times")
for options in [{}, {"auto_retry": False}]:
    sends.clear()
    tokens = 0
    client = WeChatClient("ww1", "secret", **options)
    client._http.mount("https://qyapi.weixin.qq.com/", Loopback())
    try:
        result = f"returns {client.message.send_text(1000002, 'zhangsan', 'INC-001234 is overdue')['errmsg']}"
    except WeChatClientException as error:
        result = f"raises {type(error).__name__} {error.errcode}"
    print(f"{options}: {result}, token requests: {tokens}, messages: {len(sends)} with {sends[0]} to {sends[-1]}")
server.shutdown()
PY
"$work/venv/bin/python" -W ignore "$work/renew.py" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
wechatpy 1.8.18, the server refuses 5 times
{}: returns ok, token requests: 6, messages: 6 with token-1 to token-6
{'auto_retry': False}: raises WeChatClientException 40014, token requests: 1, messages: 1 with token-1 to token-1
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
