#!/usr/bin/env bash
# aioapns signs a new provider token for each connection, and it closes a connection after 10 s without a notification.
#
# Expected: one APNs object has one provider token and signs a new one after 30 minutes, the value of TOKEN_TTL in its code. Apple requires
#   a new token at least every 60 minutes and at most every 20 minutes, and answers 429 TooManyProviderTokenUpdates.
# Happens: the token belongs to the connection. A sender with a notification every 11 s opens a connection and signs a token each time, more
#   than 100 tokens in the 20 minutes in which Apple allows one. A second connection of the same object also has a token of its own. Under a
#   steady load nothing of this is visible.
# Where a service desk meets it: notifications arrive a few times per minute. A load test shows one token per connection, and
#   a quiet hour shows one token per notification.
# What to do: keep the token outside the library and give each connection the same one, for example with one object in place of
#   aioapns.connection.JWTAuthorizationHeaderProvider. A client of your own has one token per key and team, not per connection.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aioapns==4.0 h2==4.4.1 cryptography==50.0.2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -days 2 -keyout "$work/server.key" -out "$work/server.pem" 2>/dev/null

cat > "$work/tokens.py" <<'PY'
import asyncio
import ssl
import sys
from importlib.metadata import version
import h2.config
import h2.connection
import h2.events
import h2.settings
from aioapns import APNs, NotificationRequest
from aioapns.connection import APNsProductionClientProtocol
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

work = sys.argv[1]
connections = 0
seen = []


class Apple(asyncio.Protocol):
    def connection_made(self, transport):
        global connections
        connections += 1
        self.number, self.transport, self.headers = connections, transport, {}
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        # One notification at a time, so that two at once need two connections.
        self.http.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        transport.write(self.http.data_to_send())

    def data_received(self, data):
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.headers[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                headers = self.headers.pop(event.stream_id)
                seen.append((self.number, headers["authorization"].removeprefix("bearer ")))
                asyncio.get_running_loop().call_later(0.5, self.accept, event.stream_id, headers["apns-id"])
        self.transport.write(self.http.data_to_send())

    def accept(self, stream, notification):
        self.http.send_headers(stream, [(":status", "200"), ("apns-id", notification)], end_stream=True)
        self.transport.write(self.http.data_to_send())


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{work}/server.pem", f"{work}/server.key")
    context.set_alpn_protocols(["h2"])
    server = await asyncio.get_running_loop().create_server(Apple, "127.0.0.1", 0, ssl=context)
    # Only the address is replaced.
    APNsProductionClientProtocol.APNS_SERVER = "localhost"
    APNsProductionClientProtocol.APNS_PORT = server.sockets[0].getsockname()[1]
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    trust = ssl.create_default_context(cafile=f"{work}/server.pem")
    apns = APNs(key=key.decode(), key_id="KEY1234567", team_id="TEAM123456", topic="example.desk", ssl_context=trust)
    tokens = []
    for pause, count in [(0, 1), (2, 1), (11, 1), (11, 1), (1, 2)]:
        await asyncio.sleep(pause)
        seen.clear()
        send = [apns.send_notification(NotificationRequest(device_token="ab" * 32, message={"aps": {"alert": "x"}})) for _ in range(count)]
        results = [result.status for result in await asyncio.gather(*send)]
        for number, token in sorted(seen):
            known = token in tokens
            tokens += [] if known else [token]
            state = "a known token" if known else "a new token"
            print(f"after {pause} s, {count} at once: status {results[0]}, connection {number}, {state}, tokens so far: {len(tokens)}")


print(f"aioapns {version('aioapns')}, one APNs object")
asyncio.run(main())
PY
"$work/venv/bin/python" "$work/tokens.py" "$work" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
aioapns 4.0, one APNs object
after 0 s, 1 at once: status 200, connection 1, a new token, tokens so far: 1
after 2 s, 1 at once: status 200, connection 1, a known token, tokens so far: 1
after 11 s, 1 at once: status 200, connection 2, a new token, tokens so far: 2
after 11 s, 1 at once: status 200, connection 3, a new token, tokens so far: 3
after 1 s, 2 at once: status 200, connection 3, a known token, tokens so far: 3
after 1 s, 2 at once: status 200, connection 4, a new token, tokens so far: 4
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
