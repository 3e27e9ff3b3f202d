"""Drives a desk with the client that openapi-python-client generates: deploys a workflow with a field of every type,
submits a ticket with a value for each field, approves it, and compares the values of the finished ticket.

Arguments: the address of the desk. Prints one line with figures.
"""

import base64
import sys
from io import BytesIO

from ledgerdesk_client import AuthenticatedClient
from ledgerdesk_client.api.attachments import post_attachments
from ledgerdesk_client.api.services import post_services
from ledgerdesk_client.api.tickets import decide_ticket, get_tickets_sn, post_tickets
from ledgerdesk_client.api.workflows import post_workflows, post_workflows_id_deploy
from ledgerdesk_client.models import (
    ChangedService,
    ChangedTicket,
    ConflictProblem,
    DecideTicketBody,
    Definition,
    DeployedVersion,
    Field,
    FieldType,
    ForbiddenProblem,
    NewTicket,
    Node,
    NodeKind,
    OpenProcessors,
    Option,
    PersonProcessors,
    PostServicesBody,
    PostServicesBodyKind,
    PostTicketsBody,
    PostTicketsBodyFields,
    PostWorkflowsBody,
    SavedDraft,
    Ticket,
    Transition,
    UploadedFiles,
)
from ledgerdesk_client.types import File

desk = sys.argv[1]
credentials = base64.b64encode(b"test_app:test-secret").decode()
client = AuthenticatedClient(base_url=desk, token=credentials, prefix="Basic", raise_on_unexpected_status=True)


def expect(kind, answer):
    assert isinstance(answer, kind), f"{kind.__name__} expected, not {answer}"
    return answer


file = File(payload=BytesIO(b"content"), file_name="note.txt")
uploaded = expect(
    UploadedFiles, post_attachments.sync(client=client, body=file, name="note.txt", x_on_behalf_of="lisi")
)
file_id = uploaded.attachments[0].id

VALUES = {
    FieldType.STRING: "text",
    FieldType.TEXT: "more text",
    FieldType.RICHTEXT: "<p>text</p>",
    FieldType.LINK: "https://example.com/a",
    FieldType.INT: 15,
    FieldType.BOOLEAN: True,
    FieldType.DATE: "2026-12-01",
    FieldType.DATETIME: "2026-12-01 10:00:00",
    FieldType.DATETIMERANGE: "2026-12-01 10:00:00 ~ 2026-12-02 10:00:00",
    FieldType.SELECT: "a",
    FieldType.RADIO: "b",
    FieldType.INPUTSELECT: "a",
    FieldType.MULTISELECT: ["a", "b"],
    FieldType.CHECKBOX: ["b"],
    FieldType.MEMBER: "zhangsan",
    FieldType.MEMBERS: ["zhangsan", "wangwu"],
    FieldType.TREESELECT: "a",
    FieldType.CASCADE: "a",
    FieldType.TABLE: [{"a": "1"}, {"a": "2"}],
    FieldType.CUSTOMTABLE: [{"host": "web-1"}],
    FieldType.FILE: [file_id],
    FieldType.CUSTOM_FORM: {"schema": 1},
}
assert set(VALUES) == set(FieldType), "every type of a field has a value"
OPTIONS = [Option(key="a", name="A"), Option(key="b", name="B")]
SELECTING = {
    FieldType.SELECT,
    FieldType.RADIO,
    FieldType.INPUTSELECT,
    FieldType.MULTISELECT,
    FieldType.CHECKBOX,
    FieldType.TREESELECT,
    FieldType.CASCADE,
}


def key(kind):
    return "f_" + kind.name.lower()


def field(kind):
    made = Field(key=key(kind), type_=kind, name=kind.name, is_required=True)
    if kind in SELECTING:
        made.choice = OPTIONS
    if kind is FieldType.CUSTOMTABLE:
        made.meta = {"columns": [{"key": "host", "name": "Host", "display": "input", "required": True}]}
    return made


definition = Definition(
    name="generated python",
    nodes=[
        Node(id=1, name="Start", kind=NodeKind.START),
        Node(
            id=2,
            name="Request",
            kind=NodeKind.NORMAL,
            processors=OpenProcessors(type_="OPEN"),
            fields=["title", *(key(kind) for kind in FieldType)],
        ),
        Node(
            id=3,
            name="Approval",
            kind=NodeKind.APPROVAL,
            processors=PersonProcessors(type_="PERSON", who=["zhangsan"]),
            fields=["result"],
        ),
        Node(id=4, name="End", kind=NodeKind.END),
    ],
    transitions=[Transition(id=at, from_=at, to=at + 1) for at in (1, 2, 3)],
    fields=[
        Field(key="title", type_=FieldType.STRING, name="Title", is_required=True),
        Field(
            key="result",
            type_=FieldType.RADIO,
            name="Result",
            is_required=True,
            is_approve_result=True,
            choice=[Option(key="true", name="Yes"), Option(key="false", name="No")],
        ),
        *(field(kind) for kind in FieldType),
    ],
)
draft = expect(
    SavedDraft,
    post_workflows.sync(client=client, body=PostWorkflowsBody(definition=definition), x_on_behalf_of="admin"),
)
assert draft.problems == [], draft.problems
version = expect(DeployedVersion, post_workflows_id_deploy.sync(draft.workflow, client=client, x_on_behalf_of="admin"))
service = expect(
    ChangedService,
    post_services.sync(
        client=client,
        body=PostServicesBody(
            kind=PostServicesBodyKind.REQUEST,
            name="generated python",
            workflow=version.workflow,
            version=version.version,
            catalog=4,
        ),
        x_on_behalf_of="admin",
    ),
)
form = PostTicketsBodyFields.from_dict({"title": "generated", **{key(kind): value for kind, value in VALUES.items()}})
created = expect(
    NewTicket,
    post_tickets.sync(
        client=client, body=PostTicketsBody(service_id=service.service, fields=form), x_on_behalf_of="lisi"
    ),
)
refused = expect(
    ForbiddenProblem,
    decide_ticket.sync(
        created.sn, client=client, body=DecideTicketBody(node=3, pass_=True), x_on_behalf_of="lisi"
    ),
)
assert refused.reason == "not_allowed", refused
decided = expect(
    ChangedTicket,
    decide_ticket.sync(
        created.sn,
        client=client,
        body=DecideTicketBody(node=3, pass_=True, message="seen"),
        x_on_behalf_of="zhangsan",
    ),
)
assert decided.status == "FINISHED", decided
again = expect(
    ConflictProblem,
    decide_ticket.sync(
        created.sn, client=client, body=DecideTicketBody(node=3, pass_=True), x_on_behalf_of="zhangsan"
    ),
)
assert again.reason == "ended", again
assert isinstance(get_tickets_sn.sync(created.sn, client=client, x_on_behalf_of="chuyi"), ForbiddenProblem)
ticket = expect(Ticket, get_tickets_sn.sync(created.sn, client=client, x_on_behalf_of="lisi"))
shown = {field.key: field.value for field in ticket.fields}
compared = 0
for kind, value in VALUES.items():
    # Lists of keys and of people are shown as texts with commas, numbers and flags as texts.
    plain = {
        FieldType.INT: "15",
        FieldType.BOOLEAN: "true",
        FieldType.MULTISELECT: "a,b",
        FieldType.CHECKBOX: "b",
        FieldType.MEMBERS: "zhangsan,wangwu",
    }.get(kind, value)
    if kind is not FieldType.FILE:
        assert shown[key(kind)] == plain, f"{kind}: {shown[key(kind)]!r} is not {plain!r}"
    else:
        assert file_id in str(shown[key(kind)]), shown[key(kind)]
    compared += 1
print(f"{ticket.sn} {ticket.current_status}: {compared} types of fields")
