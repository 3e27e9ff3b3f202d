"""Sends messages through the company message bus of BlueKing with the client library bkapi-component-open.

Usage: cmsi_client.py URL APP SECRET

URL is the imitation of the bus. It must know the user lisi, and the user zhaoliu without addresses. Prints each call with its
result as JSON. Fails if a result is not the one of the original.
"""

import json
import sys

from bkapi_component.open.client import Client


def expect(actual, expected, subject):
    if actual != expected:
        raise AssertionError(f"{subject}: expected {expected!r}, got {actual!r}")


def connect(url, app, secret, version=""):
    client = Client(endpoint=url, bk_api_ver=version)
    client.update_bkapi_authorization(bk_app_code=app, bk_app_secret=secret, bk_username="admin")
    client.set_timeout(10)
    return client.cmsi


def main():
    url, app, secret = sys.argv[1:]
    bus = connect(url, app, secret)
    message = {"receiver__username": "lisi", "title": "工单 REQ1", "content": "请审批 <b>&"}
    results = {}

    def call(name, operation, body, expected):
        answer = operation(body)
        results[name] = [answer["result"], answer["code"]]
        expect(results[name], expected, name)
        return answer

    types = call("types", bus.get_msg_type, {}, [True, 0])["data"]
    expect({one["type"] for one in types} >= {"mail", "sms", "weixin"}, True, "the types")
    call("mail", bus.send_msg, {**message, "msg_type": "mail"}, [True, 0])
    call("own mail", bus.send_mail, message, [True, 0])
    call("own sms", bus.send_sms, {"receiver__username": "lisi", "content": "c"}, [True, 0])
    weixin = {"receiver__username": "lisi", "data": {"heading": "h", "message": "m"}}
    call("own weixin", bus.send_weixin, weixin, [True, 0])
    newer = connect(url, app, secret, "v2")
    call("version 2", newer.send_msg, {**message, "msg_type": "sms"}, [True, 0])
    some = {**message, "msg_type": "mail", "receiver__username": "lisi,ghost,zhaoliu"}
    answer = call("some users", bus.send_msg, some, [False, 1306000])
    expect(answer["data"]["username_check"]["invalid"], ["ghost", "zhaoliu"], "the users without a message")
    expect("are not blueking users: ghost" in answer["message"], True, answer["message"])
    call("no user", bus.send_msg, {**some, "receiver__username": "ghost"}, [False, 1306000])
    call("wrong type", bus.send_msg, {**message, "msg_type": "fax"}, [False, 1306000])
    call("no title", bus.send_msg, {"msg_type": "mail", "receiver__username": "lisi", "content": "c"}, [False, 1306406])
    call("wrong secret", connect(url, app, "wrong").send_msg, {**message, "msg_type": "mail"}, [False, 1306403])
    print(json.dumps(results, ensure_ascii=False))


if __name__ == "__main__":
    main()
