"""Sends a message of a person to the desk as Slack does, signed by the client library of Slack, slack_sdk.

Usage: slack_event.py URL SECRET CHANNEL USER ID TEXT

URL is the address of the desk for messages of Slack, SECRET its signing secret, and ID the id of the event. The message is in
a channel and mentions the app. The program sends the same request twice, as Slack does if an answer is lost. A third request
has the signature of another secret. The program prints the statuses of the three answers as JSON.
"""

import json
import sys
import time
import urllib.error
import urllib.request

from slack_sdk.signature import SignatureVerifier


def post(url, secret, body):
    verifier = SignatureVerifier(secret)
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": verifier.generate_signature(timestamp=timestamp, body=body),
    }
    if not verifier.is_valid_request(body, headers):
        raise AssertionError("the library does not accept its own signature")
    request = urllib.request.Request(url, body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def main():
    url, secret, channel, user, identity, text = sys.argv[1:]
    mention = {"type": "app_mention", "channel": channel, "user": user, "ts": f"{time.time():.6f}"}
    event = mention | {"text": f"<@U000000APP> {text}"}
    body = json.dumps({"type": "event_callback", "event_id": identity, "event": event}, ensure_ascii=False)
    print(json.dumps([post(url, secret, body), post(url, secret, body), post(url, secret + "x", body)]))


main()
