//! Builds the OpenAPI document for the tests. One test compares the document with
//! `docs/openapi.json`, which the server contains.

use axum::http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::RESOURCES;
use super::definition::named_shapes;
use super::problem::{ProblemBody, reasons};
use super::resource::{Key, Kind, Operation};
use super::shape::{Member, has_required, schema_of};
use crate::http::blueking;

/// A valid request body of each operation with a JSON body. A key is a method and a path. The tests of
/// the request bodies send these bodies to a desk.
const EXAMPLES: &str = include_str!("examples.json");

/// Builds the OpenAPI document.
fn describe() -> Value {
    let mut examples: Map<String, Value> = serde_json::from_str(EXAMPLES).expect("JSON");
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    let operations = RESOURCES
        .iter()
        .flat_map(|resource| resource.operations.iter().map(move |one| (resource, one)));
    for (resource, operation) in operations {
        let entry = paths
            .entry(operation.path.to_owned())
            .or_insert_with(|| json!({}));
        let mut described = described(operation, &mut schemas);
        let json = "/requestBody/content/application~1json";
        if let Some(body) = described.pointer_mut(json) {
            let name = format!("{} {}", operation.method, operation.path);
            body["example"] = examples
                .remove(&name)
                .unwrap_or_else(|| panic!("examples.json has no body for {name}"));
        }
        let scopes = resource.scopes_of(operation).iter();
        described["x-scopes"] = scopes.map(|scope| scope.key()).collect();
        entry[operation.method.to_lowercase()] = described;
    }
    assert!(
        examples.is_empty(),
        "examples.json has bodies of operations that do not exist: {:?}",
        examples.keys()
    );
    for operation in blueking::described() {
        paths.insert(
            format!("/api/c/compapi/v2/itsm/{}/", operation.name),
            of_blueking(operation),
        );
    }
    paths.extend(crate::http::described_health());
    let mut document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Ledgerdesk", "version": env!("CARGO_PKG_VERSION"), "description": "The REST API of a service desk. Errors are problem details (RFC 9457); with `Accept-Language: zh-CN`, the reason why a ticket rejects an operation is Chinese.", "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "servers": [{ "url": "/", "description": "the desk that serves this document" }],
        "paths": paths,
        "security": [{ "application": [] }, { "application": [], "user": [] }],
        "components": {
            "securitySchemes": {
                "application": { "type": "http", "scheme": "basic", "description": "code and secret of an application" },
                "user": { "type": "apiKey", "in": "header", "name": "X-Bk-Token", "description": "the login token of the acting user; required for an application that may not impersonate users" },
            },
            "responses": problem_responses(),
            "schemas": {
                "Envelope": { "type": "object", "required": ["result", "code", "message", "data"], "properties": {
                    "result": { "type": "boolean" }, "code": { "type": "integer" }, "message": { "type": "string" }, "data": {}, "request_id": { "type": "string" } } },
            },
        },
    });
    let known = &mut document["components"]["schemas"];
    for status in PROBLEMS {
        known[problem_name(status)] = problem_schema(status, &mut schemas);
    }
    for (name, mut schema) in schemas.take_definitions(true) {
        make_optional_not_null(&mut schema);
        known[name] = schema;
    }
    for (name, shape) in named_shapes() {
        let mut schema = shape.schema();
        for (name, variant) in named_variants(name, &mut schema) {
            known[name] = variant;
        }
        known[name] = schema;
    }
    known["Definition"]["description"] = "A workflow definition.".into();
    document
}

/// Removes null from the types of members that a response can omit. Such a member is never null.
fn make_optional_not_null(schema: &mut Value) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (name, property) in properties {
        let is_required = required
            .as_array()
            .is_some_and(|required| required.contains(&json!(name)));
        let types = property.get("type").and_then(Value::as_array);
        if let (false, Some(types)) = (is_required, types) {
            let types: Vec<Value> = types
                .iter()
                .filter(|name| **name != "null")
                .cloned()
                .collect();
            property["type"] = if let [one] = &types[..] {
                one.clone()
            } else {
                types.into()
            };
        }
        let can_be_null = property.to_string().contains("null");
        assert!(
            is_required || !can_be_null,
            "{name} is optional and can be null"
        );
    }
}

/// Gives each variant of a schema a name of its own, from which generators make the names of types.
/// `name` is the name of the schema. Returns the variants, and replaces them by references.
fn named_variants(name: &str, schema: &mut Value) -> Map<String, Value> {
    let mut named = Map::new();
    let mut mapping = Map::new();
    let mut tag = String::new();
    let Some(Value::Array(variants)) = schema.get_mut("oneOf") else {
        return named;
    };
    for variant in variants {
        let Some((member, word)) = constant(variant) else {
            return Map::new();
        };
        let parts = word.split('_').map(|part| {
            let (first, rest) = part.split_at(1);
            format!("{}{}", first.to_uppercase(), rest.to_lowercase())
        });
        let own = format!("{}{name}", parts.collect::<String>());
        let reference = format!("#/components/schemas/{own}");
        let variant = std::mem::replace(variant, json!({ "$ref": reference }));
        named.insert(own, variant);
        mapping.insert(word, reference.into());
        tag = member;
    }
    schema["discriminator"] = json!({ "propertyName": tag, "mapping": mapping });
    named
}

/// Returns the member of an object schema that has only one value, and this value.
fn constant(schema: &Value) -> Option<(String, String)> {
    let properties = schema.get("properties")?.as_object()?;
    properties.iter().find_map(|(member, property)| {
        let word = property.get("const")?.as_str()?;
        Some((member.clone(), word.to_owned()))
    })
}

/// The statuses of error responses that any operation can return.
const PROBLEMS_OF_ALL: [&str; 12] = [
    "400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "429", "503",
];
/// The statuses of all error responses.
const PROBLEMS: [&str; 15] = [
    "400", "401", "403", "404", "405", "409", "410", "412", "413", "415", "416", "422", "429",
    "503", "507",
];

/// Returns the name of the schema and of the response for an error with the given status.
fn problem_name(status: &str) -> String {
    let status = status.parse::<u16>().expect("a status");
    let status = StatusCode::from_u16(status).expect("a status");
    let name = status.canonical_reason().expect("a known status");
    format!("{}Problem", name.replace(' ', ""))
}

/// Returns the error responses, by name.
fn problem_responses() -> Value {
    let response = |status: &str| {
        let schema = json!({ "$ref": format!("#/components/schemas/{}", problem_name(status)) });
        json!({ "description": "a problem (RFC 9457)", "content": { "application/problem+json": { "schema": schema } } })
    };
    PROBLEMS
        .iter()
        .map(|status| (problem_name(status), response(status)))
        .collect::<Map<_, _>>()
        .into()
}

/// Returns the schema of the error body with the given status. The schema lists the reasons that
/// occur with this status.
fn problem_schema(status: &str, schemas: &mut SchemaGenerator) -> Value {
    let status = status.parse::<u16>().expect("a status");
    let mut schema: Value = <ProblemBody as schemars::JsonSchema>::json_schema(schemas).into();
    schema["properties"]["status"] = json!({ "type": "integer", "const": status });
    schema["properties"]["reason"] = json!({
        "type": "string",
        "enum": reasons(StatusCode::from_u16(status).expect("a status")),
    });
    schema
}

fn described(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
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
        Kind::Takes(_) if path.starts_with("/v1/uploads") => &["507"],
        Kind::Download => &["304", "410", "416"],
        Kind::Read | Kind::Acts(_) | Kind::Takes(_) | Kind::Removes | Kind::Events => &[],
    });
    statuses.extend(PROBLEMS_OF_ALL);
    let body = operation.reply.map(|reply| Value::from(reply(schemas)));
    let binary = json!({ "type": "string", "format": "binary" });
    let answers: Map<String, Value> = statuses
        .into_iter()
        .map(|status| {
            let answer = match status {
                "200" | "206" if matches!(kind, Kind::Download) => json!({ "description": "the content of the file; the header Content-Type is the media type of the file", "content": { "application/octet-stream": { "schema": binary } } }),
                "200" if matches!(kind, Kind::Events) => json!({ "description": "server-sent events", "content": { "text/event-stream": { "schema": { "type": "string" } } } }),
                "200" | "201" => {
                    let schema = body
                        .clone()
                        .unwrap_or_else(|| panic!("{} {path} has no response type", operation.method));
                    json!({ "description": "done", "content": { "application/json": { "schema": schema } } })
                }
                "204" => json!({ "description": "done" }),
                "304" => json!({ "description": "not modified: the caller has the current representation" }),
                _ => json!({ "$ref": format!("#/components/responses/{}", problem_name(status)) }),
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
    if matches!(kind, Kind::Events) {
        parameters.push(json!({ "name": "Last-Event-ID", "in": "header", "schema": { "type": "string" },
            "description": "the id of the last event that the client got; takes precedence over `after`" }));
    }
    if matches!(kind, Kind::Download) {
        parameters.push(json!({ "name": "Range", "in": "header", "schema": { "type": "string" } }));
    }
    described["parameters"] = parameters.into();
    match kind {
        Kind::Upload => body_of_upload(path, &mut described),
        Kind::Acts(members) | Kind::Takes(members) => described["requestBody"] = body_of(members),
        Kind::Read | Kind::Removes | Kind::Download | Kind::Events => {}
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

/// Returns the OpenAPI description of an operation of the BlueKing API.
///
/// A caller with valid credentials gets status 200, or status 429 if the caller exceeds a limit. A
/// caller without valid credentials gets status 403.
fn of_blueking(operation: blueking::Described) -> Value {
    let blueking::Described {
        name,
        query,
        body,
        scope,
    } = operation;
    let envelope = json!({ "description": "the response envelope", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Envelope" } } } });
    let mut answers = json!({ "200": envelope, "403": envelope, "429": envelope });
    answers["403"]["description"] = "the caller is unknown".into();
    answers["429"]["description"] = "the caller exceeds its limit".into();
    // `token/verify` and `token_verify` are two names of one operation, and each id must be unique.
    let id = match name.split_once('/') {
        Some((first, second)) => format!("{first}_{second}_path"),
        None => name.to_owned(),
    };
    let mut described = json!({ "post": { "operationId": format!("bk_{id}"), "tags": ["blueking"], "summary": name, "responses": answers, "requestBody": { "content": { "application/json": { "schema": body } } } } });
    if let Some(query) = query {
        described["get"] = json!({ "operationId": format!("bk_{id}_by_query"), "tags": ["blueking"], "summary": name, "responses": answers, "parameters": query });
    }
    for operation in described.as_object_mut().into_iter().flatten() {
        operation.1["x-scopes"] = json!([scope.key()]);
    }
    described
}

#[test]
fn the_openapi_document_is_current() {
    let document = format!("{:#}\n", describe());
    if document == super::openapi::DOCUMENT {
        return;
    }
    let written = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/openapi.json");
    std::fs::write(written, document).expect("the directory target exists");
    panic!("docs/openapi.json is out of date: copy target/openapi.json to docs/openapi.json");
}
