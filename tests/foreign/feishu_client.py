"""Sends messages to an imitation of Feishu with the client library of the vendor, lark-oapi, and with apprise.

Usage: feishu_client.py URL APP_ID APP_SECRET OPEN_BOT SIGNED_BOT PERSON BUSY_PERSON

OPEN_BOT and SIGNED_BOT are the tokens of custom bots. Only the second one checks signatures. PERSON and BUSY_PERSON are open
ids. Prints the calls and their results as JSON object, and fails if a result is not the expected one.
"""

import json
import sys
import uuid

import apprise
import lark_oapi as lark
from apprise.plugins.feishu import NotifyFeishu
from lark_oapi.api.im.v1 import (
    CreateChatMembersRequest,
    CreateChatMembersRequestBody,
    CreateChatRequest,
    CreateChatRequestBody,
    CreateMessageRequest,
    CreateMessageRequestBody,
    DeleteChatMembersRequest,
    DeleteChatMembersRequestBody,
    DeleteChatRequest,
    PatchMessageRequest,
    PatchMessageRequestBody,
    UpdateChatRequest,
    UpdateChatRequestBody,
    UrgentAppMessageRequest,
    UrgentReceivers,
)
from lark_oapi.core.exception import ObtainAccessTokenException

TEXT = "Ticket — 工单 & <b>\"x\"</b>"
MESSAGES_MAX = 20


def expect(actual, expected, subject):
    if actual != expected:
        raise AssertionError(f"{subject}: expected {expected!r}, got {actual!r}")


def client(url, app_id, secret):
    return lark.Client.builder().app_id(app_id).app_secret(secret).domain(url).log_level(lark.LogLevel.ERROR).build()


def create_message(client, to, kind, content, key, id_type="open_id"):
    body = CreateMessageRequestBody.builder().receive_id(to).msg_type(kind).content(json.dumps(content)).uuid(key)
    request = CreateMessageRequest.builder().receive_id_type(id_type).request_body(body.build()).build()
    return client.im.v1.message.create(request)


def card(title):
    button = {
        "tag": "button",
        "text": {"tag": "plain_text", "content": "Approve"},
        "type": "primary",
        "value": {"name": "approve", "value": "signed"},
    }
    return {
        "config": {"update_multi": True},
        "header": {"title": {"tag": "plain_text", "content": title}},
        "elements": [{"tag": "action", "actions": [button]}],
    }


def use_group(client, person):
    """Creates, changes and dissolves a group of the application. Returns its id."""
    im = client.im.v1

    def create(key):
        body = CreateChatRequestBody.builder().name("REQ1 工单").chat_mode("group").chat_type("private").build()
        request = CreateChatRequest.builder().user_id_type("open_id").uuid(key).request_body(body).build()
        return im.chat.create(request)

    key = uuid.uuid4().hex
    group = create(key).data.chat_id
    expect(create(key).data.chat_id, group, "the id of a repeated group")

    def add(people, succeed_type):
        body = CreateChatMembersRequestBody.builder().id_list(people).build()
        request = CreateChatMembersRequest.builder().chat_id(group).member_id_type("open_id")
        return im.chat_members.create(request.succeed_type(succeed_type).request_body(body).build())

    refused = add([person, "ou_unknown"], 0)
    expect((refused.raw.status_code, refused.code), (400, 232043), "an unknown member")
    expect(add([person, "ou_unknown"], 1).data.invalid_id_list, ["ou_unknown"], "the members who were not added")
    body = UpdateChatRequestBody.builder().name("【已挂起】REQ1").build()
    update = UpdateChatRequest.builder().chat_id(group).request_body(body).build()
    expect(im.chat.update(update).code, 0, "a new name of the group")
    sent = create_message(client, group, "text", {"text": TEXT}, uuid.uuid4().hex, "chat_id")
    expect(sent.code, 0, "a text to the group")
    body = DeleteChatMembersRequestBody.builder().id_list([person]).build()
    leave = DeleteChatMembersRequest.builder().chat_id(group).member_id_type("open_id").request_body(body).build()
    expect(im.chat_members.delete(leave).code, 0, "a member who leaves")
    dissolve = DeleteChatRequest.builder().chat_id(group).build()
    expect(im.chat.delete(dissolve).code, 0, "the end of the group")
    expect(im.chat.update(update).code, 232009, "a change after the end")
    return group


def main():
    if len(sys.argv) != 8:
        raise SystemExit(__doc__)
    url, app_id, secret, open_bot, signed_bot, person, busy_person = sys.argv[1:]
    results = {}

    # The library stores the access token by the application only, so the wrong key must be used first.
    try:
        create_message(client(url, app_id, secret + "x"), person, "text", {"text": TEXT}, "")
        raise AssertionError("a wrong key was accepted")
    except ObtainAccessTokenException as error:
        expect(error.code, 10014, "the code for a wrong key")
        results["wrong_secret"] = error.code

    application = client(url, app_id, secret)
    key = uuid.uuid4().hex
    first = create_message(application, person, "text", {"text": TEXT}, key)
    expect((first.code, first.success()), (0, True), "a text")
    again = create_message(application, person, "text", {"text": TEXT}, key)
    expect(again.data.message_id, first.data.message_id, "the id of a repeated message")
    results["text"] = first.data.message_id

    sent = create_message(application, person, "interactive", card("Old"), uuid.uuid4().hex)
    expect(sent.code, 0, "a card")
    body = PatchMessageRequestBody.builder().content(json.dumps(card("New"))).build()
    update = PatchMessageRequest.builder().message_id(sent.data.message_id).request_body(body).build()
    expect(application.im.v1.message.patch(update).code, 0, "a new card")
    receivers = UrgentReceivers.builder().user_id_list([person, "ou_other"]).build()
    urgent = UrgentAppMessageRequest.builder().message_id(sent.data.message_id).user_id_type("open_id")
    urgent = application.im.v1.message.urgent_app(urgent.request_body(receivers).build())
    expect((urgent.code, urgent.data.invalid_user_id_list), (0, ["ou_other"]), "an urgent message")
    results["card"] = sent.data.message_id

    unknown = create_message(application, "ou_unknown", "text", {"text": TEXT}, "")
    expect((unknown.raw.status_code, unknown.code), (400, 230001), "an unknown person")
    wrong = create_message(application, person, "interactive", {"no": "card"}, "")
    expect((wrong.raw.status_code, wrong.code), (400, 230099), "a wrong card")
    kind = create_message(application, person, "text", {"text": TEXT}, "", "name")
    expect(kind.code, 99992402, "a wrong kind of id")
    results["refused"] = [unknown.code, wrong.code, kind.code]

    results["group"] = use_group(application, person)

    # Feishu accepts 5 messages in one second to one person.
    codes = [create_message(application, busy_person, "text", {"text": TEXT}, "").code for _ in range(MESSAGES_MAX)]
    expect(set(codes), {0, 230020}, "the codes of many messages")
    results["limited"] = codes.count(230020)

    # Only the host in the URL of apprise is replaced. Apprise waits between two messages by default.
    NotifyFeishu.notify_url = NotifyFeishu.notify_url.replace("https://open.feishu.cn", url)
    NotifyFeishu.request_rate_per_sec = 0
    results["apprise"] = {}
    for name, bot in (("open", open_bot), ("signed", signed_bot)):
        notifier = apprise.Apprise()
        expect(notifier.add(f"feishu://{bot}"), True, "the URL of a bot")
        # Apprise signs nothing and reads only the HTTP status. It reports success even for the refused message.
        expect(bool(notifier.notify(body=TEXT)), True, f"the result of apprise for the bot {name}")
        results["apprise"][name] = True
    print(json.dumps(results))


if __name__ == "__main__":
    main()
