#!/usr/bin/env python3
"""A mail relay that stores mails in a file, by the PyPI package aiosmtpd.

usage: smtp_sink.py PORT FILE

The relay listens on the loopback address. It appends one JSON object per mail to FILE: the recipient, the decoded
headers and the decoded parts, as the Python package `email` reads them. The part of an address before the sign @
selects the reply:

nobody      550 5.1.1, the address does not exist
full        452 4.2.2, the mailbox is full
greylisted  451 4.7.1 for the first mail of an address, then the mail is accepted
reset       the connection ends after the mail is stored and before the reply
others      the mail is accepted
"""
import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP

port, path = int(sys.argv[1]), sys.argv[2]
seen = set()


class Sink:
    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "nobody":
            return "550 5.1.1 no such mailbox"
        if name == "full":
            return "452 4.2.2 mailbox full"
        if name == "greylisted" and address not in seen:
            seen.add(address)
            return "451 4.7.1 greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
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
        if envelope.rcpt_tos[0].startswith("reset@"):
            server.transport.abort()
            return "421 4.3.2 closing"
        return "250 2.0.0 stored"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="relay.example"), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
