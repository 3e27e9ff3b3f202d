#!/usr/bin/env python3
"""Appends mails to a folder of an IMAP server, by the Python module imaplib.

usage: imap_append.py PORT PASSWORD FILE...

Each FILE contains one mail. The program prints the number of mails in the folder.
"""
import imaplib
import sys

server = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
server.login("itsm", sys.argv[2])
for path in sys.argv[3:]:
    with open(path, "rb") as file:
        status, answer = server.append("INBOX", None, None, file.read())
    if status != "OK":
        sys.exit(f"{path}: {answer}")
status, count = server.select("INBOX", readonly=True)
print(count[0].decode())
server.logout()
