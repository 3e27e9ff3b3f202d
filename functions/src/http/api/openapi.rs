//! Creates the OpenAPI 3.1 document of the service desk. The document is built from a list of all
//! operations. The server uses the same list to check requests and to select handlers.

use std::sync::OnceLock;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::RESOURCES;
use super::definition::named_shapes;
use super::resource::{Key, Kind, Operation};
use super::shape::{Member, has_required, schema_of};
use crate::app::request_scope;
use crate::http::{blueking, scope};

/// The OpenAPI document and its entity tag. Both are created at the first request for the document.
static DOCUMENT: OnceLock<(String, String)> = OnceLock::new();

/// Handles `GET /openapi.json`.
pub async fn document() -> Response {
    let (text, tag) = DOCUMENT.get_or_init(|| {
        let text = describe().to_string();
        let tag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..32]);
        (text, tag)
    });
    let headers = [
        (header::ETAG, tag.as_str()),
        (header::CACHE_CONTROL, "public, no-cache"),
        (header::CONTENT_TYPE, "application/json"),
    ];
    match request_scope::if_none_match() {
        Some(known) if scope::is_known(&known, tag) => {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        }
        _ => (headers, text.as_str()).into_response(),
    }
}

/// Builds the OpenAPI document.
pub fn describe() -> Value {
    let mut paths = Map::new();
    for operation in RESOURCES.iter().flat_map(|resource| resource.operations) {
        let entry = paths
            .entry(operation.path.to_owned())
            .or_insert_with(|| json!({}));
        entry[operation.method.to_lowercase()] = described(operation);
    }
    for (name, writes) in blueking::names() {
        paths.insert(
            format!("/api/c/compapi/v2/itsm/{name}/"),
            of_blueking(name, writes),
        );
    }
    paths.extend(crate::http::described_health());
    let mut document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Ledgerdesk", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "paths": paths,
        "security": [{ "application": [] }, { "application": [], "user": [] }],
        "components": {
            "securitySchemes": {
                "application": { "type": "http", "scheme": "basic", "description": "code and secret of an application" },
                "user": { "type": "apiKey", "in": "header", "name": "X-Bk-Token", "description": "the login token of the acting user; required for an application that may not impersonate users" },
            },
            "schemas": {
                "Problem": { "type": "object", "required": ["title", "status", "detail"], "properties": {
                    "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" },
                    "errors": { "type": "array", "items": { "type": "object", "properties": { "field": { "type": "string" }, "detail": { "type": "string" } } } } } },
                "Envelope": { "type": "object", "required": ["result", "code", "message", "data"], "properties": {
                    "result": { "type": "boolean" }, "code": { "type": "integer" }, "message": { "type": "string" }, "data": {}, "request_id": { "type": "string" } } },
            },
        },
    });
    for (name, shape) in named_shapes() {
        document["components"]["schemas"][name] = shape.schema();
    }
    document
}

fn described(operation: &Operation) -> Value {
    let Operation {
        path,
        summary,
        kind,
        query,
        answers,
        ..
    } = *operation;
    let mut statuses = answers.to_vec();
    statuses.extend_from_slice(match kind {
        Kind::Read if operation.is_tagged => &["304"],
        Kind::Upload => &["507"],
        Kind::Download => &["304", "410", "416"],
        Kind::Read | Kind::Acts(_) | Kind::Takes(_) | Kind::Removes => &[],
    });
    statuses.extend([
        "400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "429", "503",
    ]);
    let problem = json!({ "description": "a problem (RFC 9457)", "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    let answers: Map<String, Value> = statuses
        .into_iter()
        .map(|status| {
            let answer = match status {
                "200" | "206" if matches!(kind, Kind::Download) => json!({ "description": "the content of the file", "content": { "*/*": { "schema": {} } } }),
                "200" | "201" => json!({ "description": "done", "content": { "application/json": { "schema": {} } } }),
                "204" => json!({ "description": "done" }),
                "304" => json!({ "description": "not modified: the caller has the current representation" }),
                _ => problem.clone(),
            };
            (status.to_owned(), answer)
        })
        .collect();
    let mut described = json!({ "operationId": id_of(operation), "tags": [tag_of(path)], "summary": summary, "responses": answers });
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": if matches!(name, "id" | "version" | "node" | "part") { "integer" } else { "string" } } }))
        .collect();
    parameters.push(json!({ "name": "X-On-Behalf-Of", "in": "header", "schema": { "type": "string" }, "description": "the acting user" }));
    for (name, parameter_type) in query {
        let mut parameter =
            json!({ "name": name, "in": "query", "schema": parameter_type.schema() });
        if parameter_type.is_list() {
            // The settings `style` and `explode` describe a list parameter that occurs only once in
            // the query. Commas separate the values of the list. The server rejects a repeated
            // parameter.
            parameter["style"] = "form".into();
            parameter["explode"] = false.into();
        }
        parameters.push(parameter);
    }
    if operation.key != Key::Ignored {
        let is_required = operation.key == Key::Required;
        parameters.push(
            json!({ "name": "Idempotency-Key", "in": "header", "required": is_required, "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
            "description": "a repeated request with the same key is executed once" }),
        );
    }
    if matches!(kind, Kind::Acts(_)) {
        parameters.push(json!({ "name": "If-Match", "in": "header", "schema": { "type": "string" },
            "description": "tags of the ticket versions that the caller accepts, from the header `ETag`; separated by commas, or *" }));
    }
    if operation.is_tagged {
        parameters.push(
            json!({ "name": "If-None-Match", "in": "header", "schema": { "type": "string" }, "description": "the tag of the representation that the caller has" }),
        );
    }
    if matches!(kind, Kind::Download) {
        parameters.push(json!({ "name": "Range", "in": "header", "schema": { "type": "string" } }));
    }
    described["parameters"] = parameters.into();
    match kind {
        Kind::Upload => body_of_upload(path, &mut described),
        Kind::Acts(members) | Kind::Takes(members) => described["requestBody"] = body_of(members),
        Kind::Read | Kind::Removes | Kind::Download => {}
    }
    described
}

/// Returns the OpenAPI id of an operation. Code generators use this id as a function name.
fn id_of(operation: &Operation) -> String {
    let parts: Vec<&str> = operation
        .path
        .split('/')
        .skip(2)
        .map(|part| part.trim_matches(['{', '}']))
        .collect();
    match (operation.kind, &parts[..]) {
        (Kind::Acts(_), ["tickets", "sn", action]) => format!("{action}_ticket"),
        _ => format!(
            "{}_{}",
            operation.method.to_lowercase(),
            parts.join("_").replace('-', "_")
        ),
    }
}

/// Returns the OpenAPI tag of a path: the path segment that follows `/v1`.
fn tag_of(path: &str) -> &str {
    path.split('/').nth(2).unwrap_or_default()
}

fn body_of(members: &[Member]) -> Value {
    json!({ "required": has_required(members), "content": { "application/json": { "schema": schema_of(members) } } })
}

/// Adds the description of the request body to `described`, the description of an upload operation.
/// The body is a form with files, or the content of one file. For the content of one file, a query
/// parameter contains the file name.
fn body_of_upload(path: &str, described: &mut Value) {
    let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
    let mut content = json!({ "application/octet-stream": bytes });
    if path == "/v1/attachments" {
        let files = json!({ "type": "object", "properties": { "field_file": { "type": "array", "items": { "type": "string", "format": "binary" } } } });
        content["multipart/form-data"] = json!({ "schema": files });
    }
    described["requestBody"] = json!({ "content": content });
}

/// Returns the OpenAPI description of an operation of the BlueKing API. `writes` is true if the
/// operation changes data.
///
/// A caller with valid credentials gets status 200, or status 429 if the caller exceeds a limit. A
/// caller without valid credentials gets status 403.
fn of_blueking(name: &str, writes: bool) -> Value {
    let envelope = json!({ "description": "the response envelope", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Envelope" } } } });
    let mut answers = json!({ "200": envelope, "403": envelope, "429": envelope });
    answers["403"]["description"] = "the caller is unknown".into();
    answers["429"]["description"] = "the caller exceeds its limit".into();
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
    let properties: Map<String, Value> = texts
        .iter()
        .map(|text| {
            (
                (*text).to_owned(),
                json!({ "type": ["string", "integer", "null"] }),
            )
        })
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    schema["properties"]["fields"] = json!({ "type": "array", "items": { "type": "object" } });
    schema["properties"]["meta"] = json!({ "type": ["object", "null"] });
    let post = json!({ "operationId": format!("bk_{name}"), "tags": ["blueking"], "summary": name, "responses": answers, "requestBody": { "content": { "application/json": { "schema": schema } } } });
    if writes {
        json!({ "post": post })
    } else {
        json!({ "post": post, "get": { "operationId": format!("bk_{name}_by_query"), "tags": ["blueking"], "summary": name, "responses": answers } })
    }
}
