"""Sends messages to imitations of DingTalk with client libraries of other projects, and checks every result.

Usage: dingtalk_client.py group ROBOT_URL TOKEN ROBOT_SECRET
       dingtalk_client.py app APP_URL KEY SECRET ROBOT_CODE AGENT TEMPLATE PERSON

apprise sends to the custom robot of a group. alibabacloud-dingtalk, the library of the vendor, gets access tokens, sends with
the robot of an app and with interactive cards, and creates and changes a scene group. No library of the vendor sends work
notices with the older interface, so `requests` sends these requests as the documentation of the vendor describes them. The
client replaces only the hosts.

Prints a JSON object with the number of calls and the results. The clock of the imitation at APP_URL must not change while the
client runs.
"""

import json
import sys
from urllib.parse import unquote

# The libraries are large, so each part imports only its own.
if sys.argv[1:2] == ["group"]:
    import apprise
else:
    import requests
    from alibabacloud_dingtalk.card_1_0 import models as card_models
    from alibabacloud_dingtalk.card_1_0.client import Client as CardClient
    from alibabacloud_dingtalk.im_1_0 import models as group_models
    from alibabacloud_dingtalk.im_1_0.client import Client as GroupClient
    from alibabacloud_dingtalk.oauth2_1_0 import models as token_models
    from alibabacloud_dingtalk.oauth2_1_0.client import Client as TokenClient
    from alibabacloud_dingtalk.robot_1_0 import models as robot_models
    from alibabacloud_dingtalk.robot_1_0.client import Client as RobotClient
    from alibabacloud_tea_openapi.models import Config
    from alibabacloud_tea_util.models import RuntimeOptions
    from Tea.exceptions import TeaException

PER_SECOND = 20
# The template of scene groups at the imitation.
GROUP_TEMPLATE = "group-template"
results = {}
calls = 0


def expect(actual, expected, subject):
    global calls
    calls += 1
    if actual != expected:
        raise AssertionError(f"{subject}: expected {expected!r}, got {actual!r}")
    results[subject] = actual


def group_robot(url, token, secret, is_corrected):
    robot = apprise.Apprise.instantiate(f"dingtalk://{secret}@{token}/?format=markdown")
    robot.notify_url = f"{url}?access_token={{token}}"
    robot.request_rate_per_sec = 0
    if is_corrected:
        # apprise 2.2.0 encodes the signature, and `requests` encodes it again. This decodes it once.
        signature = robot.get_signature
        robot.get_signature = lambda: tuple(unquote(part) for part in signature())
    return robot


def send_to_group(url, token, secret):
    send = lambda *robot: group_robot(url, *robot).notify(title="Printer 1", body="No paper — 卡纸")
    # The imitation refuses the first three messages with HTTP status 200. apprise reports them as sent.
    expect(send(token, secret, False), True, "apprise: signature encoded twice")
    expect(send(token, "SECwrong", True), True, "apprise: wrong secret")
    expect(send("other", secret, True), True, "apprise: wrong token")
    expect(send(token, secret, True), True, "apprise: right signature")


def code_of(action):
    try:
        action()
    except TeaException as error:
        return error.code
    return "no error"


class App:
    """An app of DingTalk, with the library of the vendor."""

    def __init__(self, url, key, secret, robot, template):
        self.key, self.secret, self.robot, self.template = key, secret, robot, template
        self.config = Config(protocol=url.split("://")[0], region_id="central")
        self.config.endpoint = url.split("://")[1].rstrip("/")

    def token(self, secret=None):
        request = token_models.GetAccessTokenRequest(app_key=self.key, app_secret=secret or self.secret)
        body = TokenClient(self.config).get_access_token(request).body
        expect(body.expire_in, 7200, "lifetime of a token")
        return body.access_token

    def send(self, token, people, **changed):
        parameters = {"title": "Printer 1", "text": "#### Printer 1\n\nNo paper — 卡纸"}
        fields = {
            "robot_code": self.robot,
            "user_ids": people,
            "msg_key": "sampleMarkdown",
            "msg_param": json.dumps(parameters, ensure_ascii=False),
        }
        request = robot_models.BatchSendOTORequest(**{**fields, **changed})
        headers = robot_models.BatchSendOTOHeaders(x_acs_dingtalk_access_token=token)
        response = RobotClient(self.config).batch_send_otowith_options(request, headers, RuntimeOptions())
        return response.body

    def deliver(self, token, person, track="track-1", template=None):
        request = card_models.CreateAndDeliverRequest(
            callback_type="HTTP",
            callback_route_key="desk",
            card_template_id=template or self.template,
            out_track_id=track,
            open_space_id=f"dtv1.card//IM_ROBOT.{person}",
            user_id_type=1,
            card_data=card_models.CreateAndDeliverRequestCardData(card_param_map={"title": "Printer 1"}),
            im_robot_open_space_model=card_models.CreateAndDeliverRequestImRobotOpenSpaceModel(support_forward=False),
            im_robot_open_deliver_model=card_models.CreateAndDeliverRequestImRobotOpenDeliverModel(
                space_type="IM_ROBOT", robot_code=self.robot
            ),
        )
        headers = card_models.CreateAndDeliverHeaders(x_acs_dingtalk_access_token=token)
        return CardClient(self.config).create_and_deliver_with_options(request, headers, RuntimeOptions()).body

    def group(self, token, operation, **fields):
        """Makes one request about a scene group. `operation` is the name of a function of the library."""
        name = "".join(part.capitalize() for part in operation.split("_"))
        request = getattr(group_models, f"{name}Request")(**fields)
        headers = getattr(group_models, f"{name}Headers")(x_acs_dingtalk_access_token=token)
        call = getattr(GroupClient(self.config), f"{operation}_with_options")
        return call(request, headers, RuntimeOptions()).body

    def send_to(self, token, conversation, **changed):
        parameters = json.dumps({"title": "Printer 1", "text": "No paper — 卡纸"}, ensure_ascii=False)
        fields = {"robot_code": self.robot, "msg_key": "sampleMarkdown", "msg_param": parameters}
        fields["open_conversation_id"] = conversation
        request = robot_models.OrgGroupSendRequest(**{**fields, **changed})
        headers = robot_models.OrgGroupSendHeaders(x_acs_dingtalk_access_token=token)
        return RobotClient(self.config).org_group_send_with_options(request, headers, RuntimeOptions()).body


def use_group(app, person):
    token = app.token()
    fields = {"title": "REQ1 卡纸", "template_id": GROUP_TEMPLATE, "owner_user_id": person, "uuid": "library"}
    create = lambda **changed: app.group(token, "create_scene_group", **{**fields, **changed})  # noqa: E731
    group = create().open_conversation_id
    expect(create().open_conversation_id, group, "group: the same uuid")
    expect(code_of(lambda: create(template_id="x")), "groupTemplate.notFound", "group: wrong template")
    expect(code_of(lambda: create(owner_user_id="nobody")), "member.notFound", "group: unknown owner")
    change = lambda operation, **named: app.group(token, operation, open_conversation_id=group, **named)  # noqa: E731
    expect(change("add_scene_group_member", user_ids=[person]).success, True, "group: a member joins")
    unknown = code_of(lambda: change("add_scene_group_member", user_ids=["nobody"]))
    expect(unknown, "member.notFound", "group: unknown member")
    owner = code_of(lambda: change("remove_scene_group_member", user_ids=[person]))
    expect(owner, "permession.checkFailed", "group: the owner cannot leave")
    expect(change("update_scene_group", title="new").success, True, "group: new name")
    expect(bool(app.send_to(token, group).process_query_key), True, "group: id of the message")
    wrong = code_of(lambda: app.send_to(token, group, robot_code="other"))
    expect(wrong, "invalidParameter.robotCode.auth", "group: another robot")
    expect(change("dsband_open_scene_group").success, True, "group: the end")
    late = code_of(lambda: change("update_scene_group", title="late"))
    expect(late, "conversation.notFound", "group: a change after the end")


def send_with_app(app, person):
    expect(code_of(lambda: app.token("wrong")), "invalidClientIdOrSecret", "wrong secret of the app")
    token = app.token()
    expect(code_of(lambda: app.send("old", [person])), "InvalidAuthentication", "wrong token")
    body = app.send(token, [person, "nobody"])
    expect(bool(body.process_query_key), True, "robot: id of the message")
    expect(body.invalid_staff_id_list, ["nobody"], "robot: unknown person")
    for fields, code in [
        ({"robot_code": "other"}, "robotCode.auth"),
        ({"msg_key": "sampleActionCard1"}, "msgKey.invalid"),
        ({"msg_param": "no JSON"}, "msgParam.invalid"),
        ({"msg_param": json.dumps({"title": "a", "text": "x" * 15_000})}, "msgParam.invalid"),
        ({"user_ids": []}, "userIds.empty"),
    ]:
        name = f"robot: {code} {len(results)}"
        expect(code_of(lambda: app.send(token, [person], **fields)), f"invalidParameter.{code}", name)
    parameters = {"title": "a", "text": "b"}
    for number in (1, 2):
        parameters |= {f"actionTitle{number}": "c", f"actionURL{number}": "https://desk.example"}
    card = {"msg_key": "sampleActionCard2", "msg_param": json.dumps(parameters)}
    expect(app.send(token, [person], **card).invalid_staff_id_list, [], "robot: card with two buttons")
    sent = 7
    while sent < PER_SECOND:
        app.send(token, [person])
        sent += 1
    limited = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"
    expect(code_of(lambda: app.send(token, [person])), limited, "robot: too many requests in one second")

    result = app.deliver(token, person).result
    expect(result.out_track_id, "track-1", "card: id")
    expect(result.deliver_results[0].success, True, "card: delivered")
    failed = app.deliver(token, "nobody").result.deliver_results[0]
    expect([failed.success, failed.error_msg], [False, "spaceId is illegal"], "card: unknown person")
    wrong = code_of(lambda: app.deliver(token, person, template="other"))
    expect(wrong, "param.templateUnpublished", "card: wrong template")


def send_notices(url, key, secret, agent, person):
    def token(given):
        parameters = {"appkey": key, "appsecret": given}
        return requests.get(f"{url}/gettoken", params=parameters, timeout=10).json()

    def send(access_token, **changed):
        message = {"msgtype": "text", "text": {"content": "No paper — 卡纸"}}
        body = {"agent_id": int(agent), "userid_list": person, "msg": message, **changed}
        path = "/topapi/message/corpconversation/asyncsend_v2"
        response = requests.post(f"{url}{path}", params={"access_token": access_token}, json=body, timeout=10)
        expect(response.status_code, 200, "notice: HTTP status")
        return response.json()

    expect(token("wrong")["errcode"], 40089, "notice: wrong secret")
    granted = token(secret)
    expect([granted["errcode"], granted["expires_in"]], [0, 7200], "notice: token")
    token = granted["access_token"]
    refused = send("old")
    expect([refused["errcode"], refused["sub_code"]], [88, "40014"], "notice: wrong token")
    first, second = send(token), send(token)
    expect([first["errcode"], second["errcode"]], [0, 0], "notice: the same content twice")
    expect(isinstance(first["task_id"], int), True, "notice: id of the task")
    expect(send(token, agent_id=1)["errcode"], 400002, "notice: wrong app")
    expect(send(token, userid_list="nobody")["errcode"], 33012, "notice: unknown person")
    expect(send(token, msg={"msgtype": "fax"})["errcode"], 40035, "notice: unknown type")


def main():
    if sys.argv[1:2] == ["group"]:
        send_to_group(*sys.argv[2:])
    else:
        url, key, secret, robot, agent, template, person = sys.argv[2:]
        app = App(url, key, secret, robot, template)
        use_group(app, person)
        send_with_app(app, person)
        send_notices(url.rstrip("/"), key, secret, agent, person)
    print(json.dumps({"calls": calls, "results": results}, ensure_ascii=False))


main()
