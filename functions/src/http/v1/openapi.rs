//! The description of every path this desk answers (OpenAPI 3.1), made from the same tables that answer.

use std::sync::OnceLock;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::tickets::OPERATIONS;
use crate::http::{blueking, scope};

/// The description as it is sent, and its tag: both are made once.
static DOCUMENT: OnceLock<(String, String)> = OnceLock::new();

/// `GET /openapi.json`.
pub async fn document() -> Response {
    let (text, tag) = DOCUMENT.get_or_init(|| {
        let text = describe().to_string();
        let tag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..32]);
        (text, tag)
    });
    let headers = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, "public, no-cache"), (header::CONTENT_TYPE, "application/json")];
    match scope::if_none_match() {
        Some(known) if scope::is_known(&known, tag) => (StatusCode::NOT_MODIFIED, headers).into_response(),
        _ => (headers, text.as_str()).into_response(),
    }
}

/// The whole description.
pub fn describe() -> Value {
    let mut paths = Map::new();
    for (path, method, summary, kind) in PATHS {
        let entry = paths.entry((*path).to_owned()).or_insert_with(|| json!({}));
        entry[*method] = operation(path, method, summary, kind);
    }
    for (name, needs) in OPERATIONS {
        let properties: Map<String, Value> = needs.iter().map(|need| ((*need).to_owned(), member(need))).collect();
        let body = json!({ "type": "object", "properties": properties });
        paths.insert(
            format!("/v1/tickets/{{sn}}/{name}"),
            json!({ "post": operation("/v1/tickets/{sn}", "post", &format!("{name} a ticket"), &Kind::Write(body)) }),
        );
    }
    for (name, writes) in blueking::names() {
        paths.insert(format!("/api/c/compapi/v2/itsm/{name}/"), of_blueking(name, writes));
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Ledgerdesk", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "paths": paths,
        "security": [{ "application": [] }],
        "components": {
            "securitySchemes": { "application": { "type": "http", "scheme": "basic", "description": "code and secret of an application" } },
            "schemas": {
                "Problem": { "type": "object", "required": ["title", "status", "detail"], "properties": {
                    "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" },
                    "errors": { "type": "array", "items": { "type": "object", "properties": { "field": { "type": "string" }, "detail": { "type": "string" } } } } } },
                "Envelope": { "type": "object", "required": ["result", "code", "message", "data"], "properties": {
                    "result": { "type": "boolean" }, "code": { "type": "integer" }, "message": { "type": "string" }, "data": {}, "request_id": { "type": "string" } } },
            },
        },
    })
}

/// What an operation takes and does.
enum Kind {
    Read,
    Write(Value),
    /// Takes a body of these members, all of them texts, numbers or whatever [`member`] says.
    Fills(&'static [&'static str]),
    Removes,
    /// Takes bytes: a form of files, or the file itself.
    Upload,
    /// Answers bytes.
    Download,
}

/// What a new service is said to be.
const NEW_SERVICE: &[&str] = &[
    "kind",
    "name",
    "desc",
    "is_enabled",
    "owners",
    "catalog",
    "workflow",
    "version",
    "workflow_file",
    "display_type",
    "display_roles",
    "seals_text",
    "can_ticket_agency",
    "rate_after_days",
    "priorities",
];
/// What may be said of one that is there: its kind stays.
const SERVICE: &[&str] = NEW_SERVICE.split_at(1).1;

/// What stands in the queries of paths that take something there, by path and method.
const QUERIES: &[(&str, &str, &[&str])] = &[
    (
        "/v1/tickets",
        "get",
        &["list", "user", "service", "kind", "status", "creator", "catalog", "bk_biz_id", "tag", "created_after", "created_before", "page", "page_size"],
    ),
    ("/v1/tickets/{sn}/events", "get", &["at"]),
    ("/v1/tickets/{sn}/remarks", "get", &["after"]),
    ("/v1/calls", "get", &["state", "page", "page_size"]),
    ("/v1/templates", "get", &["service"]),
    ("/v1/attachments", "post", &["name", "for"]),
];

/// One parameter of a query.
fn parameter(name: &str) -> Value {
    let schema = match name {
        "list" => json!({ "enum": ["all", "todo", "claim", "approval", "created", "dealt", "following"] }),
        "state" => json!({ "enum": ["all", "failed"] }),
        "for" => json!({ "enum": ["workflow"] }),
        "page" => json!({ "type": "integer", "minimum": 1 }),
        "after" => json!({ "type": "integer", "minimum": 0 }),
        "page_size" => json!({ "type": "integer", "minimum": 1, "maximum": 200 }),
        "at" | "created_after" | "created_before" => json!({ "type": "string", "format": "date-time" }),
        _ => json!({ "type": "string" }),
    };
    json!({ "name": name, "in": "query", "schema": schema })
}

const PATHS: &[(&str, &str, &str, Kind)] = &[
    ("/v1/tickets", "get", "lists tickets, newest first, by list, service, kind, status, creator, catalog, tag and time", Kind::Read),
    (
        "/v1/tickets",
        "post",
        "submits a ticket",
        Kind::Fills(&["service_id", "creator", "fields", "tag", "from", "attention", "callback", "processors", "dynamic_fields", "envs"]),
    ),
    ("/v1/tickets/{sn}", "get", "shows a ticket", Kind::Read),
    ("/v1/tickets/{sn}/events", "get", "every event of a ticket", Kind::Read),
    ("/v1/tickets/{sn}/remarks", "get", "remarks, oldest first", Kind::Read),
    ("/v1/tickets/{sn}/calls", "get", "calls of automatic nodes, with every attempt", Kind::Read),
    ("/v1/calls", "get", "calls of all tickets, newest first, all or those that failed; for superusers", Kind::Read),
    ("/v1/tickets/{sn}/nodes/{node}/form", "get", "the form of a node, with what stands in it", Kind::Read),
    ("/v1/tickets/{sn}/nodes/{node}/options", "post", "what may be chosen in a field", Kind::Fills(&["field", "fields"])),
    ("/v1/attachments", "post", "uploads files", Kind::Upload),
    ("/v1/attachments/{attachment}", "get", "what a file is", Kind::Read),
    ("/v1/attachments/{attachment}", "delete", "throws a file away that nothing holds", Kind::Removes),
    ("/v1/attachments/{attachment}/content", "get", "the bytes of a file, or a range of them", Kind::Download),
    ("/v1/uploads", "post", "begins an upload in parts", Kind::Fills(&["name"])),
    ("/v1/uploads/{attachment}/{part}", "put", "stores one part", Kind::Upload),
    ("/v1/uploads/{attachment}/complete", "post", "says that all parts are there, by their tags", Kind::Fills(&["parts", "media_type"])),
    ("/v1/drafts", "get", "forms that were not sent", Kind::Read),
    ("/v1/drafts/services/{id}", "get", "the draft of a ticket of a service", Kind::Read),
    ("/v1/drafts/services/{id}", "put", "keeps it", Kind::Fills(&["fields"])),
    ("/v1/drafts/services/{id}", "delete", "throws it away", Kind::Removes),
    ("/v1/drafts/tickets/{sn}/{node}", "get", "the draft of a node's form", Kind::Read),
    ("/v1/drafts/tickets/{sn}/{node}", "put", "keeps it", Kind::Fills(&["fields"])),
    ("/v1/drafts/tickets/{sn}/{node}", "delete", "throws it away", Kind::Removes),
    ("/v1/templates", "get", "forms that are kept under a name", Kind::Read),
    ("/v1/templates", "post", "keeps a form under a name", Kind::Fills(&["service_id", "name", "fields"])),
    ("/v1/templates/{template}", "get", "one template", Kind::Read),
    ("/v1/templates/{template}", "put", "changes it", Kind::Fills(&["name", "fields"])),
    ("/v1/templates/{template}", "delete", "throws it away", Kind::Removes),
    ("/v1/decisions", "post", "decides many approvals", Kind::Fills(&["decisions"])),
    ("/v1/workflows", "get", "lists workflows", Kind::Read),
    ("/v1/workflows", "post", "draws a workflow", Kind::Fills(&["definition"])),
    ("/v1/workflows/import", "post", "takes over a workflow of BlueKing ITSM", Kind::Fills(&["workflow"])),
    ("/v1/workflows/{id}", "get", "shows a workflow with its draft", Kind::Read),
    ("/v1/workflows/{id}/draft", "put", "keeps a draft", Kind::Fills(&["definition"])),
    ("/v1/workflows/{id}/deploy", "post", "makes the next version", Kind::Fills(&[])),
    ("/v1/workflows/{id}/close", "post", "lets no new service use it", Kind::Fills(&[])),
    ("/v1/workflows/{id}/reopen", "post", "lets services use it again", Kind::Fills(&[])),
    ("/v1/workflows/{id}/versions/{version}", "get", "shows a version", Kind::Read),
    ("/v1/workflows/{id}/versions/{version}", "delete", "takes a version off the list", Kind::Removes),
    ("/v1/workflows/{id}/versions/{version}/export", "get", "a version as BlueKing ITSM exports it", Kind::Read),
    ("/v1/workflows/{id}/versions/{version}/restore", "post", "makes the draft what a version was", Kind::Fills(&[])),
    ("/v1/services", "get", "lists services", Kind::Read),
    ("/v1/services", "post", "adds a service for a workflow that is there, or takes one over with its workflow", Kind::Fills(NEW_SERVICE)),
    ("/v1/services/{id}/form", "get", "the form with which a ticket is submitted", Kind::Read),
    ("/v1/services/{id}/options", "post", "what may be chosen in a field", Kind::Fills(&["field", "fields"])),
    ("/v1/services/{id}", "put", "changes or moves a service", Kind::Fills(SERVICE)),
    ("/v1/services/{id}", "delete", "takes a service off the list that stands in no catalog", Kind::Removes),
    ("/v1/catalog", "get", "the catalog tree", Kind::Read),
    ("/v1/catalog", "post", "adds a catalog", Kind::Fills(&["parent", "name", "desc"])),
    ("/v1/catalog/{id}", "put", "changes or moves a catalog", Kind::Fills(&["parent", "name", "desc"])),
    ("/v1/catalog/{id}", "delete", "removes an empty catalog", Kind::Removes),
    ("/v1/dictionary", "get", "every dictionary", Kind::Read),
    ("/v1/dictionary/{code}", "get", "one dictionary", Kind::Read),
    ("/v1/dictionary/{code}", "put", "defines a dictionary", Kind::Fills(&["name", "is_enabled", "items"])),
    ("/v1/dictionary/{code}", "delete", "takes a dictionary off the list that no workflow uses", Kind::Removes),
    ("/v1/fields", "get", "the library of shared fields", Kind::Read),
    ("/v1/fields/{key}", "get", "one shared field", Kind::Read),
    (
        "/v1/fields/{key}",
        "put",
        "defines a shared field",
        Kind::Fills(&["type", "name", "desc", "is_required", "is_readonly", "choice", "default", "regex", "custom_regex", "meta", "source_type", "source_uri"]),
    ),
    ("/v1/fields/{key}", "delete", "takes it out of the library", Kind::Removes),
    ("/v1/roles", "get", "every role with its members", Kind::Read),
    ("/v1/roles/{id}", "put", "defines a role", Kind::Fills(&["key", "name", "members"])),
    ("/v1/roles/{id}", "delete", "takes a role off the list that no workflow uses", Kind::Removes),
];

fn member(name: &str) -> Value {
    match name {
        "node" | "line" | "parent" | "stars" | "service_id" | "catalog" | "version" | "rate_after_days" => json!({ "type": "integer" }),
        "pass" | "internal" | "attention" | "is_enabled" | "seals_text" | "can_ticket_agency" | "is_required" | "is_readonly" => json!({ "type": "boolean" }),
        "people" | "owners" | "members" | "parts" | "display_roles" => json!({ "type": "array", "items": { "type": "string" } }),
        "priorities" => json!({ "type": "array", "items": { "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": 3 } } }),
        "choice" => json!({ "type": "array", "items": { "type": "object" } }),
        "fields" | "values" => json!({ "type": "object" }),
        "callback" => json!({ "type": "object", "properties": {
            "url": { "type": "string" }, "headers": { "type": "object", "additionalProperties": { "type": "string" } }, "on_status": { "type": "boolean" } } }),
        "processors" => json!({ "type": "object", "additionalProperties": { "type": "array", "items": { "type": "string" } } }),
        "envs" => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        "dynamic_fields" => json!({ "type": "array", "items": { "type": "object", "properties": {
            "name": { "type": "string" }, "type": { "enum": ["STRING", "INT", "LINK"] }, "value": { "type": "string" } } } }),
        "decisions" => json!({ "type": "array", "items": { "type": "object", "properties": {
            "sn": { "type": "string" }, "node": { "type": "integer" }, "pass": { "type": "boolean" }, "message": { "type": "string" } } } }),
        "to" => json!({ "type": "object", "properties": {
            "people": { "type": "array", "items": { "type": "string" } }, "roles": { "type": "array", "items": { "type": "integer" } }, "department": { "type": "string" } } }),
        "items" => json!({ "type": "array", "items": { "type": "object", "properties": { "key": { "type": "string" }, "name": { "type": "string" } } } }),
        // A file where one is imported, a number where a service points at one.
        "definition" | "workflow" | "workflow_file" | "default" | "meta" => json!({}),
        _ => json!({ "type": "string" }),
    }
}

fn operation(path: &str, method: &str, summary: &str, kind: &Kind) -> Value {
    let (mut statuses, body) = match kind {
        Kind::Read => (vec!["200"], None),
        Kind::Write(body) => (vec!["200"], Some(body.clone())),
        Kind::Fills(members) => {
            let properties: Map<String, Value> = members.iter().map(|name| ((*name).to_owned(), member(name))).collect();
            (vec!["200", "201", "204"], Some(json!({ "type": "object", "properties": properties })))
        }
        Kind::Removes => (vec!["204"], None),
        Kind::Upload => (vec!["200", "201", "507"], None),
        Kind::Download => (vec!["200", "206", "304", "410", "416"], None),
    };
    statuses.extend(["400", "401", "403", "404", "405", "409", "412", "413", "422", "429", "503"]);
    let problem =
        json!({ "description": "a problem (RFC 9457)", "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    let answers: Map<String, Value> = statuses
        .into_iter()
        .map(|status| {
            let answer = match status {
                "200" | "206" if matches!(kind, Kind::Download) => json!({ "description": "the bytes", "content": { "*/*": { "schema": {} } } }),
                "200" | "201" => json!({ "description": "done", "content": { "application/json": { "schema": {} } } }),
                "204" => json!({ "description": "done" }),
                "304" => json!({ "description": "the bytes are those of If-None-Match" }),
                _ => problem.clone(),
            };
            (status.to_owned(), answer)
        })
        .collect();
    let mut described = json!({ "summary": summary, "responses": answers });
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": if matches!(name, "id" | "version" | "node" | "part") { "integer" } else { "string" } } }))
        .collect();
    parameters.push(json!({ "name": "X-On-Behalf-Of", "in": "header", "schema": { "type": "string" }, "description": "the user who acts" }));
    let takes = QUERIES.iter().filter(|(known, known_method, _)| *known == path && *known_method == method).flat_map(|(.., names)| *names);
    parameters.extend(takes.map(|name| parameter(name)));
    if matches!(kind, Kind::Write(_) | Kind::Fills(_)) {
        parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "maxLength": 255 },
            "description": "the same request again under the same key is the same request" }));
    }
    if matches!(kind, Kind::Write(_)) {
        parameters
            .push(json!({ "name": "If-Match", "in": "header", "schema": { "type": "integer" }, "description": "the version of the ticket that was seen" }));
    }
    if matches!(kind, Kind::Download) {
        parameters.push(json!({ "name": "Range", "in": "header", "schema": { "type": "string" } }));
    }
    described["parameters"] = parameters.into();
    if matches!(kind, Kind::Upload) {
        body_of_upload(path, &mut described);
    }
    if let Some(body) = body {
        described["requestBody"] = json!({ "required": false, "content": { "application/json": { "schema": body } } });
    }
    described
}

/// A file as the body, or a form of files; its name stands in the query, where it is the body.
fn body_of_upload(path: &str, described: &mut Value) {
    let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
    let mut content = json!({ "application/octet-stream": bytes });
    if path == "/v1/attachments" {
        let files = json!({ "type": "object", "properties": { "field_file": { "type": "array", "items": { "type": "string", "format": "binary" } } } });
        content["multipart/form-data"] = json!({ "schema": files });
    }
    described["requestBody"] = json!({ "content": content });
}

/// The BlueKing API answers 200 to everything a known caller asks within its limits, and 403 to others.
fn of_blueking(name: &str, writes: bool) -> Value {
    let envelope = json!({ "description": "the envelope", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Envelope" } } } });
    let mut answers = json!({ "200": envelope, "403": envelope, "429": envelope });
    answers["403"]["description"] = "the caller is unknown".into();
    answers["429"]["description"] = "the caller is over its limit".into();
    let texts = [
        "sn",
        "creator",
        "operator",
        "action_type",
        "action_message",
        "service_id",
        "state_id",
        "user",
        "view_type",
        "page",
        "page_size",
        "token",
        "name",
        "users",
        "stars",
    ];
    let properties: Map<String, Value> = texts.iter().map(|text| ((*text).to_owned(), json!({ "type": ["string", "integer", "null"] }))).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    schema["properties"]["fields"] = json!({ "type": "array", "items": { "type": "object" } });
    schema["properties"]["meta"] = json!({ "type": ["object", "null"] });
    let post = json!({ "summary": name, "responses": answers, "requestBody": { "content": { "application/json": { "schema": schema } } } });
    if writes { json!({ "post": post }) } else { json!({ "post": post, "get": { "summary": name, "responses": answers } }) }
}
