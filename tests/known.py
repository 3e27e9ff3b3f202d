"""Most of what schemathesis makes up about tickets, services, workflows and files becomes something that is there, so that more than absence is tried.

Loaded by tests/schemathesis through SCHEMATHESIS_HOOKS; it makes some of each first, over the doors of the desk at KNOWN_DESK.
"""

import base64
import json
import os
import urllib.request

import schemathesis

DESK = os.environ["KNOWN_DESK"]
APP = ("demo_app", "demo-secret-for-trials-only")


def ask(path, body=None, raw=None, user="lisi"):
    data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
    request = urllib.request.Request(DESK + path, data=data, method="POST" if data is not None else "GET")
    request.add_header("Authorization", "Basic " + base64.b64encode(":".join(APP).encode()).decode())
    request.add_header("Content-Type", "application/octet-stream" if raw is not None else "application/json")
    request.add_header("X-On-Behalf-Of", user)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def tickets():
    wishes = [
        (22, {"title": "t", "apply_content": "c", "impact": "2", "urgency": "3", "ZHIDINGSHENPIREN": "admin", "LIANXIDIANHUA": "13800000000"}),
        (17, {"title": "t"}),
    ]
    return [ask("/v1/tickets", {"service_id": service, "fields": fields})["sn"] for service, fields in wishes for _ in range(6)]


FILES = [ask("/v1/attachments?name=a.txt", raw=b"text", user="admin")["attachments"][0]["id"] for _ in range(4)]
TEMPLATES = [ask("/v1/templates", {"service_id": 17, "name": f"t{number}", "fields": {"title": "t"}}, user="admin")["id"] for number in range(4)]
KNOWN = {
    "sn": tickets(),
    "attachment": FILES,
    "template": TEMPLATES,
    "id": [1, 17, 19, 20, 22],
    "version": [1],
    "node": [2, 3, 4],
    "state_id": [2, 3, 4],
    "service_id": [17, 19, 22],
    "code": ["IMPACT", "PLAT_TYPE"],
    "key": ["impact", "title"],
    "other": [],
}
KNOWN["other"] = KNOWN["sn"]


def known(name, value):
    # What becomes of a value hangs on the value alone, so that the same seed does the same again.
    pick = sum(str(value).encode()) + len(name)
    return value if pick % 8 == 0 else KNOWN[name][pick // 8 % len(KNOWN[name])]


def mapped(values):
    if not isinstance(values, dict):
        return values
    return {name: known(name, value) if name in KNOWN else value for name, value in values.items()}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return mapped(path_parameters)


@schemathesis.hook
def map_body(context, body):
    return mapped(body)
