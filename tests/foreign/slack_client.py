"""Uses an imitation of Slack with the client library of Slack, slack_sdk, and checks the blocks of messages with its models.

Usage: slack_client.py API TOKEN WEBHOOK [FILE...]

API is the base URL of the Web API and ends with a slash, TOKEN the bot token, and WEBHOOK the URL of an incoming webhook.
Each FILE is the JSON body of a message of the desk. The program checks every result and prints the number of calls by their
results, and the number of checked blocks, as JSON. It ends with an error if a result is not that of Slack.
"""

import json
import sys
from collections import Counter

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

PERSON, OTHER, BUSY = "U0000LISI", "U000WANGWU", "W0ZHANGSAN"
APP, CHANNEL, ARCHIVED, PRIVATE, NEWS = "U000000APP", "C0000QUEUE", "C000000OLD", "G00PRIVATE", "C0000NEWS0"
# Number of messages that a conversation accepts at once.
BURST = 5

results = Counter()


def expect(actual, expected, subject):
    if actual != expected:
        raise AssertionError(f"{subject}: expected {expected!r}, got {actual!r}")


def call(method, **arguments):
    """Calls a method that succeeds."""
    answer = method(**arguments)
    expect((answer.status_code, answer["ok"]), (200, True), f"the answer to {arguments}")
    results["ok"] += 1
    return answer


def refused(code, method, status=200, **arguments):
    """Calls a method that is refused, usually with HTTP status 200."""
    try:
        method(**arguments)
    except SlackApiError as error:
        expect(error.response["error"], code, f"the error for {arguments}")
        expect(error.response.status_code, status, f"the status for {arguments}")
        results[code] += 1
        return error.response
    raise AssertionError(f"{code}: the call succeeded")


def sample():
    """Returns blocks that are made with the models of the library."""
    button = ButtonElement(text=PlainTextObject(text="Approve"), action_id="approve", value="v1", style="primary")
    return [
        HeaderBlock(text=PlainTextObject(text="Approval needed")),
        SectionBlock(fields=[MarkdownTextObject(text="*Priority*: high"), PlainTextObject(text="Service: VPN")]),
        ContextBlock(elements=[PlainTextObject(text="You are the approver.")]),
        ActionsBlock(elements=[button]),
    ]


def web(url, token):
    client = WebClient(token=token, base_url=url)
    expect(call(client.auth_test)["user_id"], APP, "the user of the app")
    found = call(client.users_lookupByEmail, email="lisi@example.com")
    expect(found["user"]["id"], PERSON, "the person with the mail address")
    refused("users_not_found", client.users_lookupByEmail, email="nobody@example.com")

    direct = call(client.chat_postMessage, channel=PERSON, text="hello")
    expect(direct["channel"][0], "D", "the kind of a conversation with a person")
    posted = call(client.chat_postMessage, channel=CHANNEL, text="Approval needed", blocks=sample())
    expect(posted["channel"], CHANNEL, "the channel")
    if posted["ts"] <= direct["ts"]:
        raise AssertionError("the time stamps are not in order")
    for one in (direct, posted):
        changed = call(client.chat_update, channel=one["channel"], ts=one["ts"], text="decided", blocks=sample()[:1])
        expect((changed["channel"], changed["ts"]), (one["channel"], one["ts"]), "the id of a changed message")
    refused("message_not_found", client.chat_update, channel=CHANNEL, ts=direct["ts"], text="x")
    refused("no_text", client.chat_update, channel=CHANNEL, ts=posted["ts"], text="")

    post = client.chat_postMessage
    refused("channel_not_found", post, channel="U000NOBODY", text="x")
    refused("cannot_dm_bot", post, channel=APP, text="x")
    refused("is_archived", post, channel=ARCHIVED, text="x")
    refused("not_in_channel", post, channel=PRIVATE, text="x")
    refused("restricted_action", post, channel=NEWS, text="x")
    refused("no_text", post, channel=PERSON, text="")
    divider = {"type": "divider"}
    refused("invalid_blocks", post, channel=PERSON, text="x", blocks=[divider] * 51)
    long = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}
    refused("msg_blocks_too_long", post, channel=PERSON, text="x", blocks=[long] * 5)
    # The models of the library accept a header without a text, which Slack refuses.
    empty = HeaderBlock(text=PlainTextObject(text=""))
    empty.validate_json()
    refused("invalid_blocks", post, channel=PERSON, text="x", blocks=[empty])

    refused("invalid_auth", WebClient(token=token + "x", base_url=url).auth_test)
    refused("not_authed", WebClient(base_url=url).auth_test)
    refused("unknown_method", client.api_call, api_method="no.suchMethod")

    for _ in range(BURST):
        call(client.chat_postMessage, channel=BUSY, text="x")
    limited = refused("ratelimited", post, status=429, channel=BUSY, text="x")
    expect(limited.headers["Retry-After"], "1", "the pause after too many messages")
    # Another conversation has its own rate.
    call(client.chat_postMessage, channel=OTHER, text="x")


def channels(url, token):
    """Creates, changes and archives a private channel."""
    client = WebClient(token=token, base_url=url)
    create = client.conversations_create
    channel = call(create, name="req1-library", is_private=True)["channel"]["id"]
    refused("name_taken", create, name="req1-library", is_private=True)
    refused("invalid_name_specials", create, name="REQ1 library", is_private=True)
    invite = client.conversations_invite
    call(invite, channel=channel, users=[PERSON])
    refused("already_in_channel", invite, channel=channel, users=[PERSON])
    failed = refused("user_not_found", invite, channel=channel, users=[OTHER, "U000NOBODY"])
    expect(failed["errors"][0]["user"], "U000NOBODY", "the person who was not invited")
    partial = call(invite, channel=channel, users=[OTHER, "U000NOBODY"], force=True)
    expect([one["user"] for one in partial["errors"]], ["U000NOBODY"], "the people who were not invited")
    call(client.conversations_kick, channel=channel, user=PERSON)
    refused("not_in_channel", client.conversations_kick, channel=channel, user=PERSON)
    topic = call(client.conversations_setTopic, channel=channel, topic="REQ1 工单")
    expect(topic["channel"]["topic"]["value"], "REQ1 工单", "the topic")
    call(client.chat_postMessage, channel=channel, text="hello")
    listed = call(client.users_conversations, types="private_channel", exclude_archived=True, limit=200)
    expect([one["name"] for one in listed["channels"]], ["req1-library"], "the channels of the app")
    call(client.conversations_archive, channel=channel)
    refused("already_archived", client.conversations_archive, channel=channel)
    refused("is_archived", client.chat_postMessage, channel=channel, text="late")


def webhook(url):
    def send(status, body, to=url, **arguments):
        answer = WebhookClient(to).send(**arguments)
        expect((answer.status_code, answer.body), (status, body), f"the answer of the webhook to {arguments}")
        results[f"webhook {body}"] += 1
        return answer

    send(200, "ok", text="hello")
    send(200, "ok", text="hello", blocks=sample())
    send(400, "no_text")
    send(400, "invalid_blocks", text="x", blocks=[{"type": "section"}])
    send(400, "too_many_attachments", attachments=[{"text": "x"}] * 101)
    send(404, "no_service", to=url + "x", text="hello")
    for _ in range(BURST - 2):
        send(200, "ok", text="hello")
    limited = send(429, "rate_limited", text="hello")
    expect(limited.headers["Retry-After"], "1", "the pause after too many messages")


def check(block):
    """Checks one block and its parts. The library reads the parts, but checks only the block itself."""
    parsed = Block.parse(block)
    parsed.validate_json()
    expect(parsed.to_dict(), block, "the block that the library has read")
    for element in getattr(parsed, "elements", None) or []:
        element.validate_json()
    for text in [getattr(parsed, "text", None), *(getattr(parsed, "fields", None) or [])]:
        if text is not None:
            text.validate_json()


def main():
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    api, token, hook, *files = sys.argv[1:]
    web(api, token)
    channels(api, token)
    webhook(hook)
    kinds = Counter()
    for name in files:
        with open(name, encoding="utf-8") as file:
            message = json.load(file)
        if not message["text"]:
            raise AssertionError(f"{name}: the message has no text for notifications")
        for block in message["blocks"]:
            check(block)
            kinds[block["type"]] += 1
    print(json.dumps({"results": results, "blocks": kinds}))


if __name__ == "__main__":
    main()
