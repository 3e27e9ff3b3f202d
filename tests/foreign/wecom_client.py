"""Sends messages to an imitation of WeCom and WeChat with the client libraries wechatpy and apprise.

Usage: wecom_client.py URL ACCOUNTS

ACCOUNTS is a JSON object with the members of the accounts of the imitation: `robot`, `corpid`, `corpsecret`, `agentid`,
`members`, `unlicensed`, `appid`, `secret`, `template_id`, `followers` and `former`.

The libraries are not changed. Both have the fixed hosts of the vendor, so requests to these hosts are sent to URL. Prints the
calls with their results as JSON, and fails if a result differs from the expected one.
"""

import json
import sys
from urllib.parse import urlsplit

import apprise
import requests
from apprise.plugins.wechat import NotifyWeChat
from apprise.plugins.wecombot import NotifyWeComBot
from requests.adapters import HTTPAdapter
from wechatpy import WeChatClient as PublicClient
from wechatpy.enterprise import WeChatClient as AppClient
from wechatpy.exceptions import APILimitedException, WeChatClientException

HOSTS = ("https://qyapi.weixin.qq.com", "https://api.weixin.qq.com")
CALLS = []


class Local(HTTPAdapter):
    """Sends requests for the hosts of the vendor to another address."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def send(self, request, *arguments, **named):
        parts = urlsplit(request.url)
        request.url = self.base + parts._replace(scheme="", netloc="").geturl()
        return super().send(request, *arguments, **named)


def check(name, actual, expected):
    CALLS.append({"call": name, "result": actual})
    if actual != expected:
        raise AssertionError(f"{name}: expected {expected!r}, got {actual!r}")


def code_of(action):
    """Returns the code with which the library reports a refusal, or the response if there is none."""
    try:
        return action()
    except WeChatClientException as error:
        return error.errcode


def mounted(client, base):
    for host in HOSTS:
        client._http.mount(host, Local(base))
    return client


def application(base, accounts):
    """Uses the application with wechatpy."""
    member, agent = accounts["members"][0], accounts["agentid"]
    connect = lambda secret: mounted(AppClient(accounts["corpid"], secret), base)  # noqa: E731
    client = connect(accounts["corpsecret"])
    token = client.fetch_access_token()
    check("gettoken", [token["errcode"], 7000 < token["expires_in"] <= 7200], [0, True])
    message = client.message
    sent = message.send_text_card(agent, member, "title", "description", "https://desk.example", "open")
    check("a text card", [sent["errcode"], sent["invaliduser"]], [0, ""])
    check("a text", message.send_text(agent, [member], "工单 <b>")["errcode"], 0)
    # The code is 0 although one of the recipients is invalid.
    partial = message.send_text(agent, [member, "Nobody"], "partial")
    check("an invalid recipient", [partial["errcode"], partial["invaliduser"]], [0, "nobody"])
    unlicensed = message.send_text(agent, accounts["unlicensed"], "x")
    check("no license", [unlicensed["errcode"], unlicensed["unlicenseduser"]], [0, accounts["unlicensed"][0]])
    check("only invalid recipients", code_of(lambda: message.send_text(agent, "nobody", "x")), 81013)
    check("another agent", code_of(lambda: message.send_text(agent + 1, member, "x")), 40056)
    check("an agent as text", code_of(lambda: message.send_text(str(agent), member, "x")), 40056)
    check("no content", code_of(lambda: message.send_text(agent, member, "")), 44004)
    long = "字" * 700
    check("large Markdown", code_of(lambda: message.send_markdown(agent, member, long)), 45002)
    wrong = connect(accounts["corpsecret"] + "x")
    check("a wrong secret", code_of(lambda: wrong.message.send_text(agent, member, "x")), 40001)
    # The library gets a new token and sends the message again after the code 40014.
    client.session.set(client.access_token_key, "void")
    check("a void token", message.send_text(agent, member, "again")["errcode"], 0)
    card = {
        "card_type": "button_interaction",
        "main_title": {"title": "title"},
        "task_id": "wechatpy-1",
        "button_list": [{"text": "同意", "style": 1, "key": "approve"}],
    }
    buttons = lambda: message.send(agent, member, msg={"msgtype": "template_card", "template_card": card})  # noqa: E731
    check("a card with buttons", "response_code" in buttons(), True)
    check("the same task", code_of(buttons), 42014)


def groups(base, accounts):
    """Creates and changes a group of the application with wechatpy."""
    client = mounted(AppClient(accounts["corpid"], accounts["corpsecret"]), base)
    chat, (first, second) = client.appchat, accounts["members"]
    name = "REQ1 " + "长" * 60
    create = lambda key, people: chat.create(key, name, first, people)  # noqa: E731
    check("a group", create("wechatpy1", [first, second])["chatid"], "wechatpy1")
    check("the same group", code_of(lambda: create("wechatpy1", [first, second])), 86215)
    check("a group of one person", code_of(lambda: create("wechatpy2", [first])), 86006)
    check("an unknown member", code_of(lambda: create("wechatpy2", [first, "nobody"])), 40031)
    check("a wrong id", code_of(lambda: create("wechatpy-2", [first, second])), 86001)
    check("a member leaves", chat.update("wechatpy1", name="new", del_user_list=[second])["errcode"], 0)
    shown = chat.get("wechatpy1")
    check("the changed group", [shown["name"], shown["owner"], shown["userlist"]], ["new", first, [first]])
    check("a member joins", chat.update("wechatpy1", add_user_list=[second])["errcode"], 0)
    check("an unknown group", code_of(lambda: chat.update("unknown", name="x")), 86003)
    check("a text to the group", chat.send_text("wechatpy1", "工单 <b>")["errcode"], 0)
    card = {"title": "t", "description": "d", "url": "https://desk.example", "btntxt": "open"}
    check("a card to the group", chat.send("wechatpy1", "textcard", **card)["errcode"], 0)
    check("no text to the group", code_of(lambda: chat.send_text("wechatpy1", "")), 44004)


def public_account(base, accounts):
    """Uses the public account with wechatpy."""
    client = mounted(PublicClient(accounts["appid"], accounts["secret"]), base)
    openid, template = accounts["followers"][0], accounts["template_id"]
    data = {"first": {"value": "x"}, "keyword1": {"value": "REQ1"}, "remark": {"value": "y"}}
    send = lambda to, template, data: client.message.send_template(to, template, data, "https://desk.example")  # noqa: E731
    sent = send(openid, template, data)
    check("a template message", [sent["errcode"], type(sent["msgid"]).__name__], [0, "int"])
    check("an unknown openid", code_of(lambda: send("nobody", template, data)), 40003)
    check("no follower", code_of(lambda: send(accounts["former"][0], template, data)), 43004)
    check("another template", code_of(lambda: send(openid, "other", data)), 40037)
    check("a wrong member", code_of(lambda: send(openid, template, {"first": {"value": ""}})), 47003)
    wrong = mounted(PublicClient(accounts["appid"], "wrong"), base)
    check("a wrong secret", code_of(lambda: wrong.message.send_template(openid, template, data)), 40125)


def robot(base, accounts):
    """Uses the robot with apprise. Its result is not the verdict of the vendor: every HTTP status 200 counts as sent."""
    NotifyWeComBot.notify_url = base + "/cgi-bin/webhook/send?key={key}"
    NotifyWeChat.token_url = base + "/cgi-bin/gettoken"
    NotifyWeChat.notify_url = base + "/cgi-bin/message/send"
    for plugin in (NotifyWeComBot, NotifyWeChat):
        plugin.request_rate_per_sec = 0

    def notify(url, body):
        sender = apprise.Apprise()
        if not sender.add(url):
            raise AssertionError("the URL is not accepted")
        return bool(sender.notify(body=body))

    check("apprise: the robot", notify(f"wecombot://{accounts['robot']}", "from apprise"), True)
    check("apprise: a wrong key", notify("wecombot://wrong", "lost"), True)
    app = f"wechat://{accounts['corpid']}:%s@{accounts['agentid']}/@%s"
    member = accounts["members"][0]
    check("apprise: the application", notify(app % (accounts["corpsecret"], member), "from apprise"), True)
    check("apprise: a wrong secret", notify(app % ("wrong", member), "x"), False)
    check("apprise: no license", notify(app % (accounts["corpsecret"], accounts["unlicensed"][0]), "lost"), True)
    # Requests after the limit of 20 messages in one minute are refused with HTTP status 200.
    url = f"{base}/cgi-bin/webhook/send"
    body = {"msgtype": "markdown", "markdown": {"content": "x"}}
    post = lambda: requests.post(url, params={"key": accounts["robot"]}, json=body, timeout=10)  # noqa: E731
    codes = [post().json()["errcode"] for _ in range(20)]
    check("20 more messages of the robot", codes, [0] * 19 + [45009])
    check("apprise: too many messages", notify(f"wecombot://{accounts['robot']}", "lost"), True)
    # wechatpy has an own exception for this code, which is a kind of the exception for all codes.
    check("the exception for a rate limit", issubclass(APILimitedException, WeChatClientException), True)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    base, accounts = sys.argv[1].rstrip("/"), json.loads(sys.argv[2])
    application(base, accounts)
    groups(base, accounts)
    public_account(base, accounts)
    robot(base, accounts)
    print(json.dumps({"calls": len(CALLS), "results": CALLS}))


if __name__ == "__main__":
    main()
