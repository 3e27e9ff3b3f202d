"""Sends short messages with the client libraries of Twilio and Alibaba Cloud, and with Apprise.

Usage: sms_client.py URL SECRET

URL is the imitation of the gateways on the loopback address, and SECRET is its secret. The programs of the libraries are
unchanged: only the host of their requests is replaced by URL. Prints each call with its result as JSON. Fails if a result
is not the one of the original.
"""

import json
import logging
import sys
from urllib.parse import urlsplit

SID = "AC0123456789abcdef0123456789abcdef"
FROM = "+15005550006"
TO = "+8613800000001"
TEXT = "REQ1 请审批: 申请权限, 项目一、项目二、项目三 & <b>50%</b>\nhttps://desk.example/tickets/REQ1"


def expect(actual, expected, subject):
    if actual != expected:
        raise AssertionError(f"{subject}: expected {expected!r}, got {actual!r}")


def twilio(url, secret):
    """Uses the REST client of Twilio. Its HTTP client sends the requests for the host of Twilio to the imitation."""
    from twilio.base.exceptions import TwilioRestException
    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    class Loopback(TwilioHttpClient):
        def request(self, method, uri, *arguments, **named):
            named.setdefault("timeout", 10)
            path = urlsplit(uri)
            expect(path.netloc, "api.twilio.com", "the host of Twilio")
            return super().request(method, url + path.path, *arguments, **named)

    client = Client(SID, secret, http_client=Loopback())
    message = client.messages.create(to=TO, from_=FROM, body=TEXT)
    results = {"accepted": {"status": message.status, "segments": message.num_segments, "error": message.error_code}}
    expect(results["accepted"], {"status": "queued", "segments": "2", "error": None}, "an accepted message")
    expect((message.sid[:2], len(message.sid), message.body), ("SM", 34, TEXT), "the message")
    expect(message.date_created.tzinfo is not None, True, "the time of the message")

    def refused(name, status, code, to=TO, sender=FROM, body=TEXT, used=client):
        try:
            used.messages.create(to=to, from_=sender, body=body)
        except TwilioRestException as error:
            results[name] = [error.status, error.code]
            expect(results[name], [status, code], name)
            return
        raise AssertionError(f"{name}: accepted")

    refused("bad number", 400, 21211, to="+15005550001")
    refused("opted out", 400, 21610, to="+15005550004")
    refused("no mobile number", 400, 21614, to="+15005550009")
    refused("wrong sender", 400, 21606, sender="+15005550007")
    refused("full queue", 400, 21611, sender="+15005550008")
    refused("too long", 400, 21617, body="x" * 1601)
    refused("wrong token", 401, 20003, used=Client(SID, "wrong", http_client=Loopback()))
    return results


def apprise(url, secret):
    """Uses the plugin of Apprise for Twilio. It logs the code of a refusal, and returns only whether it succeeded."""
    import apprise as library
    from apprise.plugins.twilio import NotifyTwilio

    NotifyTwilio.notify_sms_url = f"{url}/2010-04-01/Accounts/{{sid}}/Messages.json"
    # Apprise waits for five seconds between its requests.
    NotifyTwilio.request_rate_per_sec = 0
    logged = []

    class Listener(logging.Handler):
        def emit(self, record):
            logged.append(record.getMessage())

    logging.getLogger("apprise").addHandler(Listener())

    def send(token, to):
        del logged[:]
        target = library.Apprise()
        expect(target.add(f"twilio://{SID}:{token}@{FROM[1:]}/{to[1:]}"), True, "the URL of Apprise")
        done = target.notify(body="REQ1 from apprise")
        code = next((line.rsplit("error=", 1)[1].rstrip(".") for line in logged if "error=" in line), None)
        # The result is an object of Apprise. It is true only if the message was sent.
        return [bool(done), code]

    results = {}
    for name, token, to, expected in [
        ("accepted", secret, TO, [True, None]),
        ("bad number", secret, "+15005550001", [False, "21211"]),
        ("wrong token", "wrong", TO, [False, "20003"]),
    ]:
        results[name] = send(token, to)
        expect(results[name], expected, name)
    return results


def template(url, secret):
    """Uses the core library of Alibaba Cloud with the domain of the imitation."""
    from aliyunsdkcore.acs_exception.exceptions import ServerException
    from aliyunsdkcore.client import AcsClient
    from aliyunsdkcore.request import CommonRequest

    def send(secret, method="POST", in_body=False, **changed):
        client = AcsClient("testId", secret, "cn-hangzhou", auto_retry=False)
        request = CommonRequest(domain=urlsplit(url).netloc, version="2017-05-25", action_name="SendSms")
        request.set_protocol_type("http")
        request.set_method(method)
        request.set_accept_format("json")
        parameters = {
            "PhoneNumbers": "13800000002",
            "SignName": "服务台",
            "TemplateCode": "SMS_71390007",
            "TemplateParam": json.dumps({"sn": "REQ1", "title": "申请 权限 *~+&"}),
            **changed,
        }
        for name, value in parameters.items():
            (request.add_body_params if in_body else request.add_query_param)(name, value)
        try:
            return json.loads(client.do_action_with_exception(request))["Code"]
        except ServerException as error:
            return [error.get_http_status(), error.get_error_code()]

    results = {}
    for name, expected, given in [
        ("accepted", "OK", {}),
        ("accepted in a form", "OK", {"in_body": True}),
        ("accepted by GET", "OK", {"method": "GET"}),
        ("bad number", "isv.MOBILE_NUMBER_ILLEGAL", {"PhoneNumbers": "238"}),
        ("wrong template", "isv.SMS_TEMPLATE_ILLEGAL", {"TemplateCode": "SMS_1"}),
        ("URL in a value", "isv.PARAM_NOT_SUPPORT_URL", {"TemplateParam": '{"sn":"1","title":"https://x"}'}),
        ("wrong secret", [400, "SignatureDoesNotMatch"], {"secret": "wrong"}),
    ]:
        results[name] = send(**{"secret": secret, **given})
        expect(results[name], expected, name)
    return results


def main():
    url, secret = sys.argv[1].rstrip("/"), sys.argv[2]
    systems = {"twilio": twilio, "apprise": apprise, "template": template}
    print(json.dumps({name: call(url, secret) for name, call in systems.items()}, ensure_ascii=False))


if __name__ == "__main__":
    main()
