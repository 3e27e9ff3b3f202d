#!/usr/bin/env bash
# aioapns sends a notification again after GOAWAY, although the server accepted it and named its stream as one that it completes.
#
# Expected: RFC 9113 (6.8): GOAWAY without an error ends a connection gracefully. The server completes the streams up to
#   `last_stream_id`, so the client waits for these responses. Only requests on LATER streams are sent again.
# Happens: aioapns closes the connection as soon as GOAWAY arrives. Each waiting notification is sent on a new connection, without a look at
#   `last_stream_id`, up to max_connection_attempts times. The result is one status 200, and the server has two notifications with the same
#   apns-id. h2 reports last_stream_id in the event, so the information is there.
# Where a service desk meets it: a server or a proxy that restarts ends its connections in this way. A person gets an alarm twice, and
#   the record of the sender has one delivery.
# What to do: set collapse_key, so that the second notification replaces the first one on the device. A client of your own compares
#   its streams with last_stream_id before it repeats a request.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aioapns==4.0 h2==4.4.1 hyperframe==6.1.0 cryptography==50.0.2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -days 2 -keyout "$work/server.key" -out "$work/server.pem" 2>/dev/null

cat > "$work/goaway.py" <<'PY'
import asyncio
import logging
import ssl
import sys
from importlib.metadata import version
import h2.config
import h2.connection
import h2.events
from aioapns import APNs, NotificationRequest
from aioapns.connection import APNsProductionClientProtocol
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hyperframe.frame import GoAwayFrame

logging.disable(logging.CRITICAL)
work = sys.argv[1]
connections = 0


class Apple(asyncio.Protocol):
    """Accepts each notification, and ends the first connection gracefully before it sends the response."""

    def connection_made(self, transport):
        global connections
        connections += 1
        self.number, self.transport, self.headers = connections, transport, {}
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        transport.write(self.http.data_to_send())

    def data_received(self, data):
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.headers[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                notification = self.headers.pop(event.stream_id)["apns-id"]
                print(f"connection {self.number}, stream {event.stream_id}: the server accepts {notification}")
                self.transport.write(self.http.data_to_send())
                if self.number == 1:
                    print(f"connection 1: GOAWAY, NO_ERROR, last_stream_id {event.stream_id}; the response follows in 0.3 s")
                    self.transport.write(GoAwayFrame(0, last_stream_id=event.stream_id).serialize())
                asyncio.get_running_loop().call_later(0.3, self.respond, event.stream_id, notification)
        self.transport.write(self.http.data_to_send())

    def connection_lost(self, error):
        if self.number == 1:
            print("connection 1: closed by the client")

    def respond(self, stream, notification):
        if not self.transport.is_closing():
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
    alarm = {"aps": {"alert": "INC-001234 is overdue"}}
    result = await apns.send_notification(NotificationRequest(device_token="ab" * 32, message=alarm, notification_id="n-1"))
    print(f"send_notification returns status {result.status} for {result.notification_id}")


print(f"aioapns {version('aioapns')}, h2 {version('h2')}")
asyncio.run(main())
PY
"$work/venv/bin/python" "$work/goaway.py" "$work" | tee "$work/seen"

cat > "$work/expected" <<'OUT'
aioapns 4.0, h2 4.4.1
connection 1, stream 1: the server accepts n-1
connection 1: GOAWAY, NO_ERROR, last_stream_id 1; the response follows in 0.3 s
connection 1: closed by the client
connection 2, stream 1: the server accepts n-1
send_notification returns status 200 for n-1
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
