"""Sends mails with Apprise, one after another, as a program that calls `notify` for each message.

usage: apprise_mails.py PORT COUNT      prints JSON: {"seconds": ..., "sent": ...}
"""
import json
import logging
import sys
import time

import apprise


def main(port, count):
    logging.disable(logging.CRITICAL)
    body = "\n".join(["Ticket REQ20261130000042 waits for your approval.", "Title: VPN account", "Priority: medium"])
    sent = 0
    begin = time.monotonic()
    for number in range(count):
        sender = apprise.Apprise()
        to = f"reader{number % 50:03}@example.com"
        sender.add(f"mailto://127.0.0.1:{port}/?from=desk@example.com&to={to}&mode=insecure")
        sent += bool(sender.notify(title=f"[REQ{number}] Approval needed: VPN account", body=body))
    print(json.dumps({"seconds": time.monotonic() - begin, "sent": sent}))


main(int(sys.argv[1]), int(sys.argv[2]))
