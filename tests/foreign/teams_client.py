"""Sends messages to an imitation of Microsoft Teams with unchanged client libraries: apprise for the workflow, and
botframework-connector with MSAL for the bot.

Usage: teams_client.py URL WORKFLOW SIGNATURE APP_ID SECRET CHAT BLOCKED_CHAT

URL is the address of the imitation. The libraries use https, and MSAL uses the host login.microsoftonline.com. The requests
for these addresses are sent to URL, because the imitation has no certificate. Prints the calls and their results as a JSON
object. Fails if a result is not the expected one.
"""

import json
import logging
import sys
from urllib.parse import urlsplit

import apprise
from botbuilder.schema import Activity, Attachment
from botframework.connector import ConnectorClient
from botframework.connector.auth import MicrosoftAppCredentials
from requests.adapters import HTTPAdapter

CARD = {
    "type": "AdaptiveCard",
    "version": "1.4",
    "body": [{"type": "TextBlock", "text": "卡纸 & <b>\"jam\"</b>", "wrap": True}],
}
CARD_TYPE = "application/vnd.microsoft.card.adaptive"
# The highest number of messages to one chat in 30 seconds is 60.
MESSAGES_MAX = 70
RESULTS = {}


def record(name, actual, expected):
    RESULTS[name] = actual
    if actual != expected:
        raise AssertionError(f"{name}: expected {expected!r}, got {actual!r}")


def redirect(url):
    """Sends the requests for the vendor and for https to the imitation, without a change of the libraries."""
    place = urlsplit(url).netloc
    original = HTTPAdapter.send

    def send(self, request, *arguments, **named):
        for host in (place, "login.microsoftonline.com"):
            prefix = f"https://{host}/"
            if request.url.startswith(prefix):
                request.url = f"http://{place}/" + request.url[len(prefix) :]
        return original(self, request, *arguments, **named)

    HTTPAdapter.send = send


def workflow(place, identity, signature):
    # A new object for each message, because apprise waits 5 seconds between two messages of one object.
    def notify(identity, signature, body="text"):
        sender = apprise.Apprise()
        if not sender.add(f"workflows://{place}/{identity}/{signature}/?image=no"):
            raise AssertionError("apprise rejects the address of the workflow")
        return bool(sender.notify(title="Printer — 打印机", body=body))

    record("apprise sends a card", notify(identity, signature), True)
    record("apprise sends a mention", notify(identity, signature, "<at>lisi@example.com</at> **now**"), True)
    record("apprise sends a wrong signature", notify(identity, signature + "x"), False)
    record("apprise sends to an unknown workflow", notify("unknown", signature), False)
    # Status 200 with the sentence that Teams returned HTTP error 429. apprise reads only the status.
    record("apprise sends to a retired connector", notify("retired", signature), True)


def attempt(action):
    """Returns the id of a message, or the status and the code of the error."""
    try:
        return ["ok", action().id]
    except Exception as error:
        response = getattr(error, "response", None)
        if response is None:
            return [type(error).__name__, str(error).partition(",")[0]]
        return [response.status_code, error.error.error.code]


def bot(url, app, secret, chat, blocked):
    def connect(secret):
        client = ConnectorClient(MicrosoftAppCredentials(app, secret), base_url=f"{url}/teams")
        # The library would wait and repeat a request after status 429.
        client.config.retry_policy.retries = 0
        return client.conversations

    chats = connect(secret)
    attachment = Attachment(content_type=CARD_TYPE, content=CARD)
    message = Activity(type="message", summary="Printer", attachments=[attachment])
    status, first = attempt(lambda: chats.send_to_conversation(chat, message))
    record("the bot sends a card", status, "ok")
    changed = Activity(type="message", text="changed")
    record("the bot replaces it", attempt(lambda: chats.update_activity(chat, first, changed)), ["ok", first])
    record(
        "the bot replaces an unknown message",
        attempt(lambda: chats.update_activity(chat, first + "0", changed)),
        [404, "ActivityNotFoundInConversation"],
    )
    record(
        "the bot sends to a person who removed it",
        attempt(lambda: chats.send_to_conversation(blocked, message)),
        [403, "BotNotInConversationRoster"],
    )
    record(
        "the bot sends to an unknown chat",
        attempt(lambda: chats.send_to_conversation("a:unknown", message)),
        [404, "ConversationNotFound"],
    )
    record(
        "the bot sends an empty message",
        attempt(lambda: chats.send_to_conversation(chat, Activity(type="message"))),
        [400, "BadArgument"],
    )
    large = Activity(type="message", text="x" * 30_000)
    record(
        "the bot sends a large message",
        attempt(lambda: chats.send_to_conversation(chat, large)),
        [413, "MessageSizeTooBig"],
    )
    record(
        "the bot has a wrong secret",
        attempt(lambda: connect(secret + "x").send_to_conversation(chat, message)),
        ["PermissionError", "Failed to get access token with error: invalid_client"],
    )
    for _ in range(MESSAGES_MAX):
        result = attempt(lambda: chats.send_to_conversation(chat, changed))
        if result[0] != "ok":
            break
    record("the bot sends too fast", result, [429, "Throttled"])


def main():
    if len(sys.argv) != 8:
        raise SystemExit(__doc__)
    url, identity, signature, app, secret, chat, blocked = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    redirect(url)
    workflow(urlsplit(url).netloc, identity, signature)
    bot(url, app, secret, chat, blocked)
    print(json.dumps(RESULTS))


if __name__ == "__main__":
    main()
