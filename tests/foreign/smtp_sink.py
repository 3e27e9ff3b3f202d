#!/usr/bin/env python3
"""A mail relay that stores mails in a file, by the PyPI package aiosmtpd.

usage: smtp_sink.py PORT FILE [MODE [FOLDER [PASSWORD]]]

The relay listens on the loopback address. It appends one JSON object per mail to FILE: the recipient, the decoded
headers and the decoded parts, as the Python package `email` reads them. The part of an address before the sign @
selects the reply:

nobody      550 5.1.1, the address does not exist
full        452 4.2.2, the mailbox is full
quota       552 5.2.2, the mailbox is full, and this does not change
oversized   552 5.3.4 after the content, the mail is too large
toolarge    552 after the content, the same without an enhanced code
greylisted  451 4.7.1 for the first mail of an address, then the mail is accepted
reset       the connection ends after the mail is stored and before the reply
others      the mail is accepted

MODE is the encryption of the relay. Without it, the relay has none.

starttls    the client must use STARTTLS
implicit    the connection begins with TLS
refused     the relay offers STARTTLS and refuses it with 454 4.7.0
aborted     the relay offers STARTTLS and ends the connection instead of the handshake

In the first two modes, the relay uses the certificate FOLDER/server.pem and its key FOLDER/server.key. With PASSWORD,
clients must log in with this password. The reply to another password contains the given password, as the replies of some
relays do.
"""
import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, path, mode, folder, password = (*sys.argv[1:], *[""] * 5)[:5]
seen = set()


class Sink:
    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "nobody":
            return "550 5.1.1 no such mailbox"
        if name == "full":
            return "452 4.2.2 mailbox full"
        if name == "quota":
            return "552 5.2.2 mailbox full"
        if name == "greylisted" and address not in seen:
            seen.add(address)
            return "451 4.7.1 greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        name = envelope.rcpt_tos[0].split("@")[0]
        if name == "oversized":
            return "552 5.3.4 message size exceeds the limit"
        if name == "toolarge":
            return "552 message size exceeds the limit"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        stored = {
            "to": envelope.rcpt_tos[0],
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "defects": [type(defect).__name__ for defect in message.defects],
            "parts": parts,
        }
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(stored, ensure_ascii=False) + "\n")
        if name == "reset":
            server.transport.abort()
            return "421 4.3.2 closing"
        return "250 2.0.0 stored"


class Refusing(SMTP):
    """Offers STARTTLS, and does not begin TLS."""

    async def smtp_STARTTLS(self, arg):
        if mode == "refused":
            await self.push("454 4.7.0 TLS not available")
            return
        await self.push("220 2.0.0 ready")
        self.transport.close()


def log_in(server, session, envelope, mechanism, given):
    if given.password.decode() == password:
        return AuthResult(success=True)
    return AuthResult(success=False, handled=False, message=f"535 5.7.8 {given.password.decode()} is not the password")


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if folder:
        made.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
    return made


def session():
    options = {"hostname": "relay.example"}
    if password:
        options |= {"authenticator": log_in, "auth_required": True, "auth_require_tls": mode == "starttls"}
    if mode in ("refused", "aborted"):
        return Refusing(Sink(), tls_context=context(), **options)
    if mode == "starttls":
        options |= {"tls_context": context(), "require_starttls": True}
    return SMTP(Sink(), **options)


async def main():
    loop = asyncio.get_running_loop()
    encryption = context() if mode == "implicit" else None
    server = await loop.create_server(session, "127.0.0.1", int(port), ssl=encryption)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
