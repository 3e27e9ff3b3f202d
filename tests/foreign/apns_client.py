"""Sends messages through the Apple Push Notification service (APNs) with the library aioapns, the only change being its
host and port.

Usage: apns_client.py relay FOLDER PORT
       apns_client.py send FOLDER KEY_FILE KEY_ID TEAM_ID TOPIC DEVICE GONE

`relay` listens with TLS on a port of the loopback address and forwards the content of each connection to PORT, because
APNs and aioapns need TLS, and the imitation of APNs has none. It makes a new certificate, writes its certificate
authority to FOLDER/ca.pem and then its port to FOLDER/port, and runs until it is ended.

`send` sends messages to a device, to a device whose app was removed, and some messages that APNs refuses, and checks each
result. Prints a JSON object with the number of calls and the results. Fails if a result is another one than expected.
"""

import asyncio
import datetime
import ipaddress
import json
import logging
import os
import ssl
import sys
from uuid import uuid4


def certificates(folder):
    """Writes a certificate authority, and a certificate with its key for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject, public):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("test authority"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
            )
        )

    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = dict.fromkeys(
        [
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    ca = (
        builder("test authority", authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**{**usage, "key_cert_sign": True}), critical=True)
        .sign(authority, hashes.SHA256())
    )
    server = (
        builder("127.0.0.1", key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**usage, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    files = {
        "ca.pem": ca.public_bytes(pem),
        "server.pem": server.public_bytes(pem),
        "server.key": key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for file, content in files.items():
        with open(os.path.join(folder, file), "wb") as output:
            output.write(content)


async def relay(folder, port):
    certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
    context.set_alpn_protocols(["h2"])

    async def forward(reader, writer):
        try:
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connected(reader, writer):
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(forward(reader, inner_writer), forward(inner_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    file = os.path.join(folder, "port")
    with open(file + ".new", "w", encoding="ascii") as output:
        output.write(str(server.sockets[0].getsockname()[1]))
    os.rename(file + ".new", file)
    await server.serve_forever()


async def send(folder, key_file, key_id, team_id, topic, device, gone):
    from aioapns import APNs, NotificationRequest, PushType
    from aioapns.connection import APNsProductionClientProtocol
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    # The library reports each refusal in its log.
    logging.getLogger("aioapns").setLevel(logging.CRITICAL)
    APNsProductionClientProtocol.APNS_SERVER = "127.0.0.1"
    with open(os.path.join(folder, "port"), encoding="ascii") as file:
        APNsProductionClientProtocol.APNS_PORT = int(file.read())
    with open(key_file, encoding="ascii") as file:
        right = file.read()
    wrong = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )
    context = ssl.create_default_context(cafile=os.path.join(folder, "ca.pem"))

    def client(key, kid=key_id):
        return APNs(key=key, key_id=kid, team_id=team_id, topic=topic, ssl_context=context)

    async def result(apns, to=device, text="x", **further):
        request = NotificationRequest(
            device_token=to,
            message={"aps": {"alert": {"title": "REQ1 · 高", "body": text}}},
            notification_id=str(uuid4()),
            time_to_live=3600,
            priority=10,
            push_type=PushType.ALERT,
            **further,
        )
        answer = await asyncio.wait_for(apns.send_notification(request), 20)
        if answer.notification_id != request.notification_id:
            raise AssertionError(f"another apns-id: {answer.notification_id}")
        return " ".join(filter(None, [answer.status, answer.description, "at" if answer.timestamp else ""]))

    first, second = client(right), client(right)
    results = {
        "device": (await result(first, collapse_key="REQ1"), "200"),
        "text": (await result(first, text="请审批 \" \\ </b>"), "200"),
        "gone": (await result(first, to=gone), "410 Unregistered at"),
        "unknown": (await result(first, to="ab" * 32), "400 BadDeviceToken"),
        "topic": (await result(first, apns_topic="com.example.other"), "400 TopicDisallowed"),
        "collapse": (await result(first, collapse_key="x" * 65), "400 BadCollapseId"),
        "large": (await result(first, text="x" * 4096), "413 PayloadTooLarge"),
        "other_key": (await result(client(wrong)), "403 InvalidProviderToken"),
        "other_id": (await result(client(right, kid="OTHER")), "403 InvalidProviderToken"),
        # Each connection of the library signs its own token.
        "second_token": (await result(second), "429 TooManyProviderTokenUpdates"),
    }
    parallel = await asyncio.gather(*(result(first, text=str(number)) for number in range(20)))
    results["parallel"] = (sorted(set(parallel)), ["200"])
    for name, (actual, wanted) in results.items():
        if actual != wanted:
            raise AssertionError(f"{name}: expected {wanted}, got {actual}")
    return {
        "calls": len(results) - 1 + len(parallel),
        "results": {name: actual for name, (actual, _) in results.items()},
    }


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    answer = asyncio.run({"relay": relay, "send": send}[command](*arguments))
    print(json.dumps(answer))
