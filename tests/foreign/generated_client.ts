// Drives a desk with the types that openapi-typescript generates: deploys a workflow with a field of every type,
// submits a ticket with a value for each field, approves it, and compares the values of the finished ticket. A wrong
// or missing member in this file is an error of the compiler.
//
// Argument: the address of the desk. Prints one line with figures.

import createClient from "openapi-fetch";
import type { components, paths } from "./api";

type Field = components["schemas"]["Field"];
type FieldType = NonNullable<Field["type"]>;

const desk = process.argv[2]!;
const authorization = `Basic ${Buffer.from("test_app:test-secret").toString("base64")}`;
const client = createClient<paths>({ baseUrl: desk, headers: { Authorization: authorization } });
const as = (user: string) => ({ "X-On-Behalf-Of": user });

function check(holds: boolean, what: unknown): asserts holds {
    if (!holds) throw new Error(typeof what === "string" ? what : JSON.stringify(what));
}

const uploaded = await client.POST("/v1/attachments", {
    params: { query: { name: "note.txt" }, header: as("lisi") },
    headers: { "Content-Type": "application/octet-stream" },
    body: "content",
    bodySerializer: (body: unknown) => body as string,
});
check(uploaded.data !== undefined, uploaded.error);
const file = uploaded.data.attachments[0]!.id;

// The compiler rejects this table if a type of a field is missing.
const values: Record<FieldType, unknown> = {
    STRING: "text",
    TEXT: "more text",
    RICHTEXT: "<p>text</p>",
    LINK: "https://example.com/a",
    INT: 15,
    BOOLEAN: true,
    DATE: "2026-12-01",
    DATETIME: "2026-12-01 10:00:00",
    DATETIMERANGE: "2026-12-01 10:00:00 ~ 2026-12-02 10:00:00",
    SELECT: "a",
    RADIO: "b",
    INPUTSELECT: "a",
    MULTISELECT: ["a", "b"],
    CHECKBOX: ["b"],
    MEMBER: "zhangsan",
    MEMBERS: ["zhangsan", "wangwu"],
    TREESELECT: "a",
    CASCADE: "a",
    TABLE: [{ a: "1" }, { a: "2" }],
    CUSTOMTABLE: [{ host: "web-1" }],
    FILE: [file],
    "CUSTOM-FORM": { schema: 1 },
};
// Lists of keys and of people are shown as texts with commas, numbers and flags as texts.
const shownAs: Partial<Record<FieldType, unknown>> = {
    INT: "15",
    BOOLEAN: "true",
    MULTISELECT: "a,b",
    CHECKBOX: "b",
    MEMBERS: "zhangsan,wangwu",
};
const types = Object.keys(values) as FieldType[];
const key = (type: FieldType) => `f_${type.toLowerCase().replace("-", "_")}`;
const selecting: FieldType[] = ["SELECT", "RADIO", "INPUTSELECT", "MULTISELECT", "CHECKBOX", "TREESELECT", "CASCADE"];

function field(type: FieldType): Field {
    const made: Field = { key: key(type), type, name: type, is_required: true };
    if (selecting.includes(type)) {
        made.choice = [{ key: "a", name: "A" }, { key: "b", name: "B" }];
    }
    if (type === "CUSTOMTABLE") {
        made.meta = { columns: [{ key: "host", name: "Host", display: "input", required: true }] };
    }
    return made;
}

const definition: components["schemas"]["Definition"] = {
    name: "generated typescript",
    nodes: [
        { id: 1, name: "Start", kind: "START" },
        { id: 2, name: "Request", kind: "NORMAL", processors: { type: "OPEN" }, fields: ["title", ...types.map(key)] },
        { id: 3, name: "Approval", kind: "APPROVAL", processors: { type: "PERSON", who: ["zhangsan"] }, fields: ["result"] },
        { id: 4, name: "End", kind: "END" },
    ],
    transitions: [1, 2, 3].map((at) => ({ id: at, from: at, to: at + 1 })),
    fields: [
        { key: "title", type: "STRING", name: "Title", is_required: true },
        {
            key: "result",
            type: "RADIO",
            name: "Result",
            is_required: true,
            is_approve_result: true,
            choice: [{ key: "true", name: "Yes" }, { key: "false", name: "No" }],
        },
        ...types.map(field),
    ],
};
const draft = await client.POST("/v1/workflows", { params: { header: as("admin") }, body: { definition } });
check(draft.data !== undefined && draft.data.problems.length === 0, draft);
const version = await client.POST("/v1/workflows/{id}/deploy", {
    params: { path: { id: draft.data.workflow }, header: as("admin") },
    body: {},
});
check(version.data !== undefined, version.error);
const service = await client.POST("/v1/services", {
    params: { header: as("admin") },
    body: {
        kind: "request",
        name: "generated typescript",
        workflow: version.data.workflow,
        version: version.data.version,
        catalog: 4,
    },
});
check(service.data !== undefined, service.error);
const fields = { title: "generated", ...Object.fromEntries(types.map((type) => [key(type), values[type]])) };
const created = await client.POST("/v1/tickets", {
    params: { header: as("lisi") },
    body: { service_id: service.data.service, fields },
});
check(created.data !== undefined, created.error);
const sn = created.data.sn;
const decided = await client.POST("/v1/tickets/{sn}/decide", {
    params: { path: { sn }, header: as("zhangsan") },
    body: { node: 3, pass: true, message: "seen" },
});
check(decided.data?.status === "FINISHED", decided);
const again = await client.POST("/v1/tickets/{sn}/decide", {
    params: { path: { sn }, header: as("zhangsan") },
    body: { node: 3, pass: true },
});
// The compiler knows the reasons of each status.
check(again.error?.status === 409 && again.error.reason === "ended", again.error);
const ticket = await client.GET("/v1/tickets/{sn}", { params: { path: { sn }, header: as("lisi") } });
check(ticket.data?.fields !== undefined, ticket.error);
let compared = 0;
for (const type of types) {
    const value = ticket.data.fields.find((one) => one.key === key(type))?.value;
    const expected = shownAs[type] ?? values[type];
    if (type === "FILE") {
        check(JSON.stringify(value).includes(file), value);
    } else {
        check(JSON.stringify(value) === JSON.stringify(expected), [type, value, expected]);
    }
    compared += 1;
}
console.log(`${ticket.data.sn} ${ticket.data.current_status}: ${compared} types of fields`);
