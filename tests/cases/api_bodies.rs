//! These tests send invalid bodies, parameters and headers to `/v1`. The error response must name the
//! invalid part.

use std::collections::{BTreeMap, BTreeSet};

use functions::http::api::openapi::DOCUMENT;
use serde_json::{Map, Value, json};
use tests::process::{APP, Served, client};

/// The ticket numbers in the example bodies of the API description.
const EXAMPLE_NUMBERS: [&str; 2] = ["REQ20260102000001", "REQ20260102000002"];

/// Returns the example body of an operation in the API description, or `None` if the description has no
/// example. The function replaces the ticket numbers in the example by the numbers `sn` and `other`.
fn example(operation: &Value, sn: &str, other: &str) -> Option<Value> {
    let example = operation.pointer("/requestBody/content/application~1json/example")?;
    let text = example
        .to_string()
        .replace(EXAMPLE_NUMBERS[0], sn)
        .replace(EXAMPLE_NUMBERS[1], other);
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// Returns the workflow definition in the example bodies of the API description. It contains every kind of
/// member that a definition can have.
fn definition() -> Value {
    let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
    let create = &document["paths"]["/v1/workflows"]["post"];
    example(create, "", "").expect("an example")["definition"].clone()
}

/// Replaces each parameter in the path template `path` by an example value. The parameter `{sn}` is
/// replaced by the ticket number `sn`. Returns the path.
fn filled(path: &str, sn: &str) -> String {
    let part = |part: &str| match part {
        "{sn}" => sn.to_owned(),
        "{node}" => "3".into(),
        "{id}" if path.starts_with("/v1/workflows") => "11".into(),
        "{id}" if path.starts_with("/v1/drafts") => "17".into(),
        "{id}" if path.starts_with("/v1/services") => "22".into(),
        "{id}" if path.starts_with("/v1/catalog") => "4".into(),
        "{id}" => "77".into(),
        "{version}" | "{part}" => "1".into(),
        "{code}" => "NEW".into(),
        "{key}" if path.starts_with("/v1/notification-templates") => "work_assigned".into(),
        "{key}" => "room".into(),
        "{template}" => "none".into(),
        "{app}" => "other_app".into(),
        "{integration}" => "other_crm".into(),
        "{kind}" => "collect".into(),
        "{calendar}" => "berlin".into(),
        "{chain}" | "{policy}" => "default".into(),
        "{rota}" => "ops".into(),
        "{person}" => "none".into(),
        "{account}" => "mail".into(),
        "{channel}" => "email".into(),
        "{step}" => "enable_advanced_features".into(),
        "{subscription}" => "key_tickets".into(),
        "{attachment}" => "att-00000000000000000000000000000000".into(),
        other => other.to_owned(),
    };
    path.trim_start_matches("/v1/")
        .split('/')
        .map(part)
        .collect::<Vec<_>>()
        .join("/")
}

/// A request body that the desk must reject. `how` describes the difference to the valid body. `pointer` is
/// the JSON pointer of the wrong member.
struct Wrong {
    how: &'static str,
    pointer: String,
    body: Value,
}

/// Adds invalid variants of the valid request body `whole` to `out`. The function changes only the part of
/// the body at the JSON pointer `at`. `example` is this part, and `schema` is the schema of this part. In
/// each variant, one member violates the schema. `document` is the API description, which contains all
/// schemas.
fn wrongs(
    document: &Value,
    schema: &Value,
    example: &Value,
    at: &str,
    whole: &Value,
    out: &mut Vec<Wrong>,
) {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|name| name.strip_prefix('#'))
    {
        return wrongs(
            document,
            document.pointer(name).expect("a schema"),
            example,
            at,
            whole,
            out,
        );
    }
    if let Some(cases) = schema["oneOf"].as_array() {
        // A `oneOf` schema contains several alternatives. Some members of an alternative must have a
        // constant value. The test uses the first alternative with constant values that the example body
        // also contains.
        let is_case = |case: &&Value| {
            let words = case["properties"].as_object().into_iter().flatten();
            let mut constants =
                words.filter_map(|(name, of)| of.get("const").map(|word| (name, word)));
            case["type"] == "object" && constants.all(|(name, word)| example[name] == *word)
        };
        if let Some(case) = cases.iter().find(is_case) {
            wrongs(document, case, example, at, whole, out);
        }
        return;
    }
    if let Some(shape) = schema["anyOf"].get(0) {
        return wrongs(document, shape, example, at, whole, out);
    }
    match example {
        Value::Object(members) => {
            let Some(properties) = schema["properties"].as_object() else {
                for (name, value) in members {
                    wrong_elements(
                        document,
                        &schema["additionalProperties"],
                        &format!("{at}/{name}"),
                        whole,
                        out,
                    );
                    wrongs(
                        document,
                        &schema["additionalProperties"],
                        value,
                        &format!("{at}/{name}"),
                        whole,
                        out,
                    );
                }
                return;
            };
            out.push(Wrong {
                how: "an unknown member",
                pointer: format!("{at}/unheard_of"),
                body: with(whole, &format!("{at}/unheard_of"), Some(json!("x"))),
            });
            // The schema extension `x-required-unless` contains pairs of members. The first member of a
            // pair is required if the second member is absent. The test therefore removes both members,
            // and the desk must report the first member.
            for (name, other) in schema["x-required-unless"]
                .as_object()
                .into_iter()
                .flatten()
            {
                let pointer = format!("{at}/{name}");
                let without = with(
                    whole,
                    &format!("{at}/{}", other.as_str().expect("a member")),
                    None,
                );
                out.push(Wrong {
                    how: "a conditionally required member is missing",
                    body: with(&without, &pointer, None),
                    pointer,
                });
            }
            for (name, of) in properties {
                let pointer = format!("{at}/{name}");
                if schema["required"]
                    .as_array()
                    .is_some_and(|required| required.contains(&json!(name)))
                {
                    out.push(Wrong {
                        how: "a required member is missing",
                        body: with(whole, &pointer, None),
                        pointer: pointer.clone(),
                    });
                }
                if of.get("const").is_none() {
                    if !takes_null(of) {
                        out.push(Wrong {
                            how: "a member is null",
                            body: with(whole, &pointer, Some(Value::Null)),
                            pointer: pointer.clone(),
                        });
                    }
                    if let Some(value) = of_another_type(document, of) {
                        out.push(Wrong {
                            how: "a member of a wrong type",
                            body: with(whole, &pointer, Some(value)),
                            pointer: pointer.clone(),
                        });
                    }
                }
                if let Some(value) = members.get(name) {
                    wrongs(document, of, value, &pointer, whole, out);
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            // If the items of an array are arrays with a minimum length (`minItems`), the test does not
            // change these items. For a wrong item of this kind, the desk reports the outer array, but the
            // test would expect the item itself.
            for (number, item) in items
                .iter()
                .enumerate()
                .filter(|_| schema["items"].get("minItems").is_none())
            {
                let pointer = format!("{at}/{number}");
                wrong_elements(document, &schema["items"], &pointer, whole, out);
                wrongs(
                    document,
                    &schema["items"],
                    item,
                    &format!("{at}/{number}"),
                    whole,
                    out,
                );
            }
        }
        _ => {}
    }
}

/// Adds invalid variants of the request body `whole` to `out`. In each variant, the array element or map
/// value at the JSON pointer `pointer` is null or has a wrong type.
fn wrong_elements(
    document: &Value,
    schema: &Value,
    pointer: &str,
    whole: &Value,
    out: &mut Vec<Wrong>,
) {
    if !schema.is_object() {
        return;
    }
    let null = if takes_null(schema) {
        None
    } else {
        Some(Value::Null)
    };
    for (how, value) in [
        ("an element is null", null),
        (
            "an element of a wrong type",
            of_another_type(document, schema),
        ),
    ] {
        if let Some(value) = value {
            let mut body = whole.clone();
            *body.pointer_mut(pointer).expect("an element") = value;
            out.push(Wrong {
                how,
                pointer: pointer.to_owned(),
                body,
            });
        }
    }
}

/// Returns a copy of the request body `whole` in which one member is changed. If `value` is `None`, the
/// member at the JSON pointer `pointer` is removed. Otherwise the member gets this value.
fn with(whole: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut body = whole.clone();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let members = body
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .expect("an object");
    match value {
        Some(value) => drop(members.insert(name.to_owned(), value)),
        None => drop(members.remove(name)),
    }
    body
}

fn takes_null(schema: &Value) -> bool {
    let types = schema["type"]
        .as_array()
        .is_some_and(|types| types.contains(&json!("null")));
    types
        || *schema == json!({})
        || schema["anyOf"]
            .as_array()
            .is_some_and(|shapes| shapes.iter().any(|shape| shape["type"] == "null"))
}

/// Returns a value that violates the schema, or `None` if the schema accepts every value. `document` is
/// the API description. A schema can refer to another schema in this document.
fn of_another_type(document: &Value, schema: &Value) -> Option<Value> {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|name| name.strip_prefix('#'))
    {
        return of_another_type(document, document.pointer(name).expect("a schema"));
    }
    if schema.get("enum").is_some() {
        return Some("NO_SUCH_WORD".into());
    }
    match &schema["type"] {
        Value::String(kind) if kind == "string" => Some(7.into()),
        Value::String(kind) if kind == "integer" => Some("7".into()),
        Value::String(kind) if kind == "boolean" => Some("true".into()),
        Value::String(kind) if kind == "object" => Some("x".into()),
        Value::String(_) | Value::Array(_) => Some(json!({ "x": 1 })),
        _ if schema.get("oneOf").is_some() || schema.get("anyOf").is_some() => Some(json!([[]])),
        _ => None,
    }
}

async fn ticket(desk: &Served, title: &str) -> String {
    let fields = json!({ "title": title, "apply_content": "c", "impact": "2", "urgency": "3", "ZHIDINGSHENPIREN": "zhangsan,wangwu", "LIANXIDIANHUA": "13800000000" });
    let (status, created) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": 22, "fields": fields }),
        )
        .await;
    assert_eq!(status, 201, "{created}");
    created["sn"].as_str().expect("a number").to_owned()
}

pub(crate) async fn described(desk: &Served) -> Value {
    client()
        .get(format!("{}/openapi.json", desk.base))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON")
}

pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .filter(|(path, _)| path.starts_with("/v1/"));
    paths
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .expect("methods")
                .iter()
                .map(|(method, of)| (path.clone(), method.to_uppercase(), of.clone()))
        })
        .collect()
}

/// Operations that reject even a valid body in this test, and the status of the response. Status 404 means
/// that the item in the path does not exist in this test. Status 409 means that the state of the ticket does
/// not allow the operation. Status 403 means that only the person in the path may execute the operation.
const REJECTED: [(&str, u16); 35] = [
    ("POST /v1/applications", 404),
    ("POST /v1/applications/{application}/withdraw", 404),
    ("POST /v1/callbacks/{callback}/resend", 404),
    ("POST /v1/cases/{case}/process", 404),
    ("POST /v1/cases/{case}/write", 404),
    ("PUT /v1/cases/{case}/crm", 404),
    ("POST /v1/executions/{execution}/approve", 404),
    ("POST /v1/executions/{execution}/reject", 404),
    ("PUT /v1/executions/{execution}/parameters", 404),
    ("POST /v1/experiments/{experiment}/apply", 404),
    ("POST /v1/experiments/{experiment}/stop", 404),
    ("POST /v1/experiments/{experiment}/withdraw", 404),
    ("POST /v1/notification-templates/{key}/publish", 409),
    ("POST /v1/notification-templates/{key}/test", 409),
    ("POST /v1/notifications/{notification}/archive", 404),
    ("POST /v1/notifications/{notification}/read", 404),
    ("POST /v1/notifications/{notification}/restore", 404),
    ("POST /v1/notifications/{notification}/seen", 404),
    ("POST /v1/notifications/{notification}/snooze", 404),
    ("POST /v1/notifications/{notification}/unread", 404),
    ("POST /v1/tickets/{sn}/chat-group", 409),
    ("POST /v1/tickets/{sn}/claim", 409),
    ("POST /v1/tickets/{sn}/distribute", 409),
    ("POST /v1/tickets/{sn}/retry", 409),
    ("POST /v1/tickets/{sn}/ignore", 409),
    ("POST /v1/tickets/{sn}/route", 409),
    ("POST /v1/tickets/{sn}/remind", 409),
    ("POST /v1/uploads/{attachment}/complete", 404),
    ("PUT /v1/templates/{template}", 404),
    ("POST /v1/people/{person}/addresses/{kind}/release", 404),
    ("POST /v1/people/{person}/addresses/{kind}/verify", 403),
    ("POST /v1/people/{person}/forget", 404),
    ("POST /v1/people/{person}/notification-feedback", 403),
    (
        "POST /v1/people/{person}/notification-recommendations/{recommendation}/apply",
        404,
    ),
    ("POST /v1/workflows/{id}/deploy", 404),
];

/// Returns the user who may perform an action on a ticket that the function [`ticket`] creates.
fn actor(action: &str) -> &'static str {
    match action {
        "withdraw" | "rate" | "remind" | "remark" | "follow" | "unfollow" | "link" | "unlink" => {
            "lisi"
        }
        "submit" | "decide" | "claim" | "distribute" | "deliver" | "terminate" | "acknowledge"
        | "resolve" | "escalate" => "zhangsan",
        _ => "admin",
    }
}

/// Creates a ticket in a state that allows `action`, and returns the ticket number. For example, the
/// function suspends the ticket if `action` is `resume`. If `action` is `unlink`, the function links the
/// ticket to the ticket `other`.
async fn prepared(desk: &Served, action: &str, other: &str) -> String {
    let sn = ticket(desk, "one").await;
    let before = match action {
        "resume" => Some(("suspend", "admin", json!({ "message": "x" }))),
        "rate" => Some(("close", "admin", json!({ "status": "FINISHED" }))),
        "unlink" => Some((
            "link",
            "lisi",
            json!({ "other": other, "relation": "related" }),
        )),
        _ => None,
    };
    if let Some((step, user, body)) = before {
        let (status, answer) = desk
            .v1("POST", &format!("tickets/{sn}/{step}"), user, body)
            .await;
        assert_eq!(status, 200, "{step}: {answer}");
    }
    sn
}

/// The desk rejects a request body if a member is missing, null, misspelled or of a wrong type. The error
/// names the member (cases/first-use.md, fault F2; cases/crossings.md, case 6).
#[tokio::test]
async fn every_operation_rejects_every_wrong_member_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = tempfile::tempdir().expect("a directory");
    let integrations = source.path().join("integrations.toml");
    let text = format!(
        "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"{}\"]\nmapping = \"crm.toml\"\n\
         [[integration]]\nname = \"company_itsm\"\nkind = \"bk_itsm\"\nurl = \"https://itsm.example.com\"\napp = \"desk\"\nuser = \"admin\"\n",
        tests::process::APP.0
    );
    std::fs::write(&integrations, text).expect("written");
    let mapping = "record = \"/id\"\nservice = { value = 22 }\nrequester = { value = \"lisi\" }\n[fields]\ntitle = \"/title\"";
    std::fs::write(source.path().join("crm.toml"), mapping).expect("written");
    let integrations = integrations.to_str().expect("a path");
    let desk = Served::start(directory.path(), &["--integrations", integrations]);
    let (sn, other) = (ticket(&desk, "one").await, ticket(&desk, "other").await);
    let document = described(&desk).await;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures: Vec<String> = Vec::new();
    let (mut tried, mut accepted, mut rejected) = (0, 0, Vec::new());
    let mut pointers = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let template = path.clone();
        let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema")
        else {
            continue;
        };
        tried += 1;
        let name = format!("{method} {}", filled(&path, &sn));
        let Some(example) = example(&operation, &sn, &other) else {
            failures.push(format!("{name}: the description has no example"));
            continue;
        };
        let path = filled(&path, &sn);
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|required| !required.is_empty());
        if operation["requestBody"]["required"] != is_required {
            failures.push(format!(
                "{name}: requestBody.required is {}, and its members say {is_required}",
                operation["requestBody"]["required"]
            ));
        }
        let mut wrong = Vec::new();
        wrongs(&document, schema, &example, "", &example, &mut wrong);
        for Wrong { how, pointer, body } in wrong {
            let (status, answer) = desk.v1(&method, &path, "admin", body).await;
            let last = pointer.rsplit('/').next().unwrap_or_default();
            let is_named = answer["errors"].as_array().is_some_and(|errors| {
                errors
                    .iter()
                    .any(|error| error["field"] == pointer.as_str())
            });
            let is_worded = answer["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(last));
            if status != 400 || !is_named || !is_worded {
                failures.push(format!(
                    "{name}: {how} at {pointer}: {status} {}",
                    answer["detail"]
                ));
            }
            *counts.entry(how).or_default() += 1;
            pointers.insert(pointer);
        }
        // After the invalid bodies, the test sends the valid body of the same operation. The desk must
        // accept this body, or return an error status that the API description lists.
        let action = template
            .strip_prefix("/v1/tickets/{sn}/")
            .filter(|action| !action.contains('/'));
        let (user, path) = match action {
            Some(action) => (
                actor(action),
                format!("tickets/{}/{action}", prepared(&desk, action, &other).await),
            ),
            None if template == "/v1/tickets" => ("lisi", path),
            None => ("admin", path),
        };
        let key = format!("example {name}");
        let (status, _, answer) = desk
            .v1_with(
                &method,
                &path,
                user,
                example,
                &[("idempotency-key", key.as_str())],
            )
            .await;
        let operation_name = format!("{method} {template}");
        let expected = REJECTED
            .iter()
            .find(|(known, _)| *known == operation_name)
            .map(|(_, status)| *status);
        if operation["responses"].get(status.to_string()).is_none()
            || !expected.map_or(status < 300, |expected| status == expected)
        {
            failures.push(format!("{name}: the valid body: {status} {answer}"));
        }
        match expected {
            None => accepted += 1,
            Some(status) => rejected.push(format!("{operation_name} {status}")),
        }
    }
    println!(
        "{tried} operations with a body: {counts:?}, {} members; {} failures",
        pointers.len(),
        failures.len()
    );
    println!(
        "{accepted} valid bodies accepted, {} rejected by a rule: {rejected:?}",
        rejected.len()
    );
    assert!(
        failures.is_empty(),
        "{} of them:\n{}",
        failures.len(),
        failures[..failures.len().min(40)].join("\n")
    );
    assert!(
        tried >= 45 && counts.len() == 7 && counts.values().sum::<usize>() > 500,
        "{tried} {counts:?}"
    );
    assert_eq!(
        (accepted, rejected.len()),
        (tried - REJECTED.len(), REJECTED.len())
    );
    for pointer in [
        "/dynamic_fields/0/name",
        "/dynamic_fields/0/unheard_of",
        "/callback/headers/X-Portal",
        "/processors/4/0",
        "/kind",
        "/version",
        "/decisions/0/pass",
    ] {
        assert!(pointers.contains(pointer), "{pointer} was not tried");
    }
}

/// The desk rejects query parameters that are unknown, repeated or have an unknown value
/// (cases/first-use.md, section 2).
#[tokio::test]
async fn every_operation_rejects_unknown_and_repeated_parameters() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let sn = ticket(&desk, "one").await;
    let (mut unknown, mut repeated, mut empty, mut failures) = (0, 0, 0, Vec::new());
    for (path, method, operation) in operations(&described(&desk).await) {
        let path = filled(&path, &sn);
        let mut tries = vec![("colour".to_owned(), "colour=red".to_owned())];
        unknown += 1;
        for parameter in operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
        {
            let name = parameter["name"].as_str().expect("a name");
            let value = match parameter["schema"]["type"].as_str() {
                Some("integer") => "1",
                _ if parameter["schema"]["format"] == "date-time" => "2026-11-22T00:00:00Z",
                _ => parameter["schema"]["enum"][0]
                    .as_str()
                    .or(parameter["schema"]["items"]["enum"][0].as_str())
                    .unwrap_or("1"),
            };
            tries.push((name.to_owned(), format!("{name}={value}&{name}={value}")));
            tries.push((name.to_owned(), format!("{name}=")));
            repeated += 1;
            empty += 1;
        }
        for (name, query) in tries {
            let (status, answer) = desk
                .v1(&method, &format!("{path}?{query}"), "admin", Value::Null)
                .await;
            let is_named = answer["errors"]
                .as_array()
                .is_some_and(|errors| errors.iter().any(|error| error["field"] == name.as_str()));
            if status != 400 || !is_named {
                failures.push(format!(
                    "{method} {path}?{query}: {status} {}",
                    answer["detail"]
                ));
            }
        }
    }
    println!(
        "{unknown} operations with an unknown parameter, {repeated} repeated and {empty} empty parameters: {} accepted",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(unknown > 80 && repeated >= 15);
    for (query, field) in [
        ("status=WITHDRAWN", "status"),
        ("status=RUNNING,NOPE", "status"),
        ("kind=incident", "kind"),
        ("list=mine", "list"),
        ("service=x", "service"),
        ("page=0", "page"),
        ("page_size=201", "page_size"),
        ("created_after=2026-11-22", "created_after"),
        ("created_before=2026-11-22T10:00:00", "created_before"),
    ] {
        let (status, answer) = desk
            .v1("GET", &format!("tickets?{query}"), "lisi", Value::Null)
            .await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!(field)),
            "{query}: {answer}"
        );
        assert!(
            answer["detail"].as_str().expect("a detail").contains(field),
            "{answer}"
        );
    }
    for query in [
        "status=RUNNING,REVOKED&kind=request,change&created_after=2026-11-22T10:00:00+08:00",
        "list=all&service=22&page=1&page_size=200",
    ] {
        assert_eq!(
            desk.v1("GET", &format!("tickets?{query}"), "lisi", Value::Null)
                .await
                .0,
            200,
            "{query}"
        );
    }
}

/// The desk rejects a decision without the member `pass`, and does not approve the ticket
/// (cases/first-use.md, fault F2).
#[tokio::test]
async fn a_decision_without_pass_is_rejected() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let sn = ticket(&desk, "one").await;
    let path = format!("tickets/{sn}/decide");
    for body in [
        json!({ "node": 3 }),
        json!({ "node": 3, "pas": false }),
        json!({ "node": 3, "approve": false }),
        json!({ "node": 3, "pass": null }),
        json!({ "node": 3, "pass": "false" }),
        json!({ "node": 3, "pass": 0 }),
        Value::Null,
    ] {
        let (status, answer) = desk.v1("POST", &path, "zhangsan", body.clone()).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(
            answer["errors"]
                .as_array()
                .expect("errors")
                .iter()
                .any(|error| error["field"] == "/pass"),
            "{body}: {answer}"
        );
    }
    let (_, answer) = desk
        .v1("POST", &path, "zhangsan", json!({ "nod": 3, "pas": false }))
        .await;
    assert_eq!(
        answer["errors"].as_array().map(Vec::len),
        Some(3),
        "all at once: {answer}"
    );
    let twice = client()
        .post(format!("{}/v1/{path}", desk.base))
        .basic_auth(APP.0, Some(APP.1))
        .header("x-on-behalf-of", "zhangsan");
    let answer = twice
        .header("content-type", "application/json")
        .body(r#"{"node":3,"pass":false,"pass":true}"#)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 400, "a duplicate member");
    let (_, shown) = desk
        .v1("GET", &format!("tickets/{sn}"), "lisi", Value::Null)
        .await;
    assert_eq!(
        (&shown["nodes"][1]["status"], &shown["nodes"][1]["pass"]),
        (&json!("RUNNING"), &Value::Null)
    );
    // In a decision over `/v1`, the member `node` is optional if the user can decide only one node of the
    // ticket.
    let (status, answer) = desk
        .v1("POST", &path, "zhangsan", json!({ "pass": true }))
        .await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = desk
        .v1("POST", &path, "zhangsan", json!({ "pass": true }))
        .await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (400, &json!("/node")),
        "no node of the ticket waits for the person: {answer}"
    );
    let headers = [("idempotency-key", "once")];
    for _ in 0..2 {
        let (status, _, answer) = desk
            .v1_with("POST", &path, "admin", json!({ "pass": true }), &headers)
            .await;
        assert_eq!(
            status, 200,
            "a repeated request is answered as the first one: {answer}"
        );
    }
}

/// A PUT request does not change members that are missing in its body. To empty a list, the body must
/// contain an empty list (cases/crossings.md, case 6).
#[tokio::test]
async fn a_put_keeps_every_member_that_its_body_leaves_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let send =
        async |method: &str, path: &str, body: Value| desk.v1(method, path, "admin", body).await;
    for (path, whole, change) in [
        (
            "dictionary/XX",
            json!({ "name": "n", "is_enabled": false, "items": [{ "key": "r", "name": "red" }] }),
            json!({ "name": "n2" }),
        ),
        (
            "roles/77",
            json!({ "key": "PAINTERS", "name": "n", "members": ["wangwu", "lisi"] }),
            json!({ "name": "n2" }),
        ),
        (
            "fields/room",
            json!({ "type": "SELECT", "name": "n", "choice": [{ "key": "A", "name": "甲" }], "is_required": true, "default": "A" }),
            json!({ "name": "n2" }),
        ),
    ] {
        for missing in ["name", "items", "members", "type", "key"] {
            let mut part = whole.clone();
            if part
                .as_object_mut()
                .expect("an object")
                .remove(missing)
                .is_some()
            {
                let (status, answer) = send("PUT", path, part).await;
                assert_eq!(
                    (status, &answer["errors"][0]["field"]),
                    (400, &json!(format!("/{missing}"))),
                    "a new {path} without {missing}: {answer}"
                );
            }
        }
        assert!(send("PUT", path, whole.clone()).await.0 < 300, "{path}");
        let (_, before) = send("GET", path, Value::Null).await;
        assert!(send("PUT", path, change).await.0 < 300, "{path}");
        let (_, mut after) = send("GET", path, Value::Null).await;
        assert_eq!(after["name"], "n2", "{path}");
        after["name"] = "n".into();
        assert_eq!(after, before, "{path}");
    }
    let (_, before) = send("GET", "services/22", Value::Null).await;
    assert_eq!(
        send("PUT", "services/22", json!({ "name": "另名" }))
            .await
            .0,
        200
    );
    let (_, mut after) = send("GET", "services/22", Value::Null).await;
    after["name"] = before["name"].clone();
    assert_eq!(after, before);
    for (path, list) in [
        ("dictionary/XX", "items"),
        ("roles/77", "members"),
        ("fields/room", "choice"),
    ] {
        assert_eq!(
            send("PUT", path, json!({ list: null })).await.0,
            400,
            "{path}"
        );
        assert!(
            send("PUT", path, json!({ list: [] })).await.0 < 300,
            "{path}"
        );
        let (_, shown) = send("GET", path, Value::Null).await;
        assert!(
            shown[list].as_array().is_none_or(Vec::is_empty),
            "{path}: {shown}"
        );
    }
    let (status, answer) = send("PUT", "roles/77", json!({ "key": "OTHER" })).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (400, &json!("/key")),
        "a key that would be ignored: {answer}"
    );
    let (status, answer) = send("PUT", "services/22", json!({ "workflow": 13 })).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (400, &json!("/version")),
        "the number of a version belongs to one workflow: {answer}"
    );
}

/// Services, categories and roles can be read in a list, and also individually by id (cases/first-use.md,
/// section 2).
#[tokio::test]
async fn services_categories_and_roles_can_be_read_individually() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let get = async |path: &str| desk.v1("GET", path, "lisi", Value::Null).await;
    for (list, members, id) in [
        ("services", "services", "service"),
        ("catalog", "catalogs", "id"),
        ("roles", "roles", "role"),
    ] {
        let (_, all) = get(list).await;
        for one in all[members].as_array().expect("a list") {
            let (status, mut shown) = get(&format!("{list}/{}", one[id])).await;
            assert_eq!(status, 200, "{list}: {shown}");
            if list == "catalog" {
                assert!(shown["services"].is_array(), "{shown}");
                shown.as_object_mut().expect("an object").remove("services");
            }
            assert_eq!(shown, *one, "{list}");
        }
        assert_eq!(get(&format!("{list}/99999")).await.0, 404);
        assert_eq!(get(&format!("{list}/x")).await.0, 404);
    }
}

/// As RFC 9110 allows, a condition header such as `If-Match` may contain a weak entity tag, several tags
/// or `*`. The desk accepts all these forms. If a read request contains the current tag, the response has
/// status 304 (cases/crossings.md, cases 5 and 12).
#[tokio::test]
async fn tags_are_compared_in_every_form_that_rfc_9110_has() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let sn = ticket(&desk, "one").await;
    let path = format!("tickets/{sn}");
    let remark = format!("{path}/remark");
    let tag = async || {
        let (_, headers, _) = desk.v1_with("GET", &path, "lisi", Value::Null, &[]).await;
        headers["etag"].to_str().expect("a tag").to_owned()
    };
    for form in ["{}", "W/{}", "\"999\", {}", "\"x,y\",W/{}", "*"] {
        let header = form.replace("{}", &tag().await);
        let (status, _, answer) = desk
            .v1_with(
                "POST",
                &remark,
                "lisi",
                json!({ "text": "x" }),
                &[("if-match", header.as_str())],
            )
            .await;
        assert_eq!(status, 200, "{header}: {answer}");
    }
    let bare = tag().await.trim_matches('"').to_owned();
    assert_eq!(
        desk.v1_with(
            "POST",
            &remark,
            "lisi",
            json!({ "text": "x" }),
            &[("if-match", bare.as_str())]
        )
        .await
        .0,
        200
    );
    for header in ["\"1\"", "W/\"1\"", "\"x\"", "\"1\", \"2\""] {
        let (status, _, answer) = desk
            .v1_with(
                "POST",
                &remark,
                "lisi",
                json!({ "text": "x" }),
                &[("if-match", header)],
            )
            .await;
        assert_eq!(status, 412, "{header}: {answer}");
    }
    for header in ["x", "\"1", "1\"", "W/1", "\"1\" \"2\"", "*, \"1\""] {
        let (status, _, answer) = desk
            .v1_with(
                "POST",
                &remark,
                "lisi",
                json!({ "text": "x" }),
                &[("if-match", header)],
            )
            .await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!("If-Match")),
            "{header}: {answer}"
        );
    }
    let now = tag().await;
    for header in [
        now.clone(),
        format!("W/{now}"),
        format!("\"1\", {now}"),
        "*".to_owned(),
    ] {
        let (status, headers, _) = desk
            .v1_with(
                "GET",
                &path,
                "lisi",
                Value::Null,
                &[("if-none-match", header.as_str())],
            )
            .await;
        assert_eq!(
            (status, headers["etag"].to_str().expect("a tag")),
            (304, now.as_str()),
            "{header}"
        );
    }
    for header in ["\"1\"", "nonsense"] {
        assert_eq!(
            desk.v1_with(
                "GET",
                &path,
                "lisi",
                Value::Null,
                &[("if-none-match", header)]
            )
            .await
            .0,
            200,
            "{header}"
        );
    }
}

/// A proxy may publish the desk below any base path, for example `/desk/`. With each base path, the header
/// `Location` of a new ticket must contain a valid URL of this ticket (cases/crossings.md, case 10).
#[tokio::test]
async fn the_location_of_a_ticket_resolves_below_any_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &["--site", "https://desk.example/itsm"]);
    for path in ["tickets", "tickets/"] {
        let (status, headers, body) = desk
            .v1_with(
                "POST",
                path,
                "lisi",
                json!({ "service_id": 17, "fields": { "title": "t" } }),
                &[],
            )
            .await;
        assert_eq!(status, 201, "{body}");
        let (location, sn) = (
            headers["location"].to_str().expect("a location"),
            body["sn"].as_str().expect("a number"),
        );
        for base in ["https://desk.example/itsm/v1/", "http://127.0.0.1:8080/v1/"] {
            let request: reqwest::Url = format!("{base}{path}").parse().expect("an address");
            assert_eq!(
                request.join(location).expect("an address").as_str(),
                format!("{base}tickets/{sn}"),
                "{location}"
            );
        }
    }
}

/// The BlueKing API and `/v1` read user names in headers as UTF-8 text (cases/crossings.md, case 8).
#[tokio::test]
async fn names_in_headers_are_read_as_utf_8_by_both_apis() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let gateway_credentials = format!(
        r#"{{"bk_app_code":"{}","bk_app_secret":"{}","bk_username":"张三"}}"#,
        APP.0, APP.1
    );
    let value =
        |text: &str| reqwest::header::HeaderValue::from_bytes(text.as_bytes()).expect("a header");
    let body = json!({ "service_id": 17, "creator": "张三", "fields": [{ "key": "title", "value": "t" }] });
    let bk = client()
        .post(format!("{}/v2/itsm/create_ticket/", desk.base))
        .header("x-bkapi-authorization", value(&gateway_credentials))
        .json(&body);
    let created: Value = bk
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("an envelope");
    assert_eq!(created["result"], true, "{created}");
    let shown = client()
        .get(format!("{}/v1/tickets?list=created", desk.base))
        .header("x-bkapi-authorization", value(&gateway_credentials));
    let listed: Value = shown
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(listed["count"], 1, "{listed}");
    // The name of the authentication scheme, for example `Basic`, is not case-sensitive.
    let request = client()
        .get(format!("{}/v1/services", desk.base))
        .basic_auth(APP.0, Some(APP.1))
        .build()
        .expect("a request");
    let header = request.headers()["authorization"]
        .to_str()
        .expect("a header")
        .replace("Basic", "basic");
    let answer = client()
        .get(format!("{}/v1/services", desk.base))
        .header("authorization", header)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    // The desk rejects a header whose value is not UTF-8 text, and the error names the header.
    let gbk = reqwest::header::HeaderValue::from_bytes(b"\xd5\xc5\xc8\xfd").expect("a header");
    for header in ["x-on-behalf-of", "idempotency-key"] {
        let request = client()
            .post(format!("{}/v1/tickets", desk.base))
            .basic_auth(APP.0, Some(APP.1))
            .header(header, gbk.clone());
        let answer = request
            .json(&json!({ "service_id": 17 }))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_u16(), 400, "{header}");
        assert!(
            answer
                .text()
                .await
                .expect("a body")
                .to_lowercase()
                .contains(header),
            "{header}"
        );
    }
    let long = "k".repeat(256);
    let (status, _, answer) = desk
        .v1_with(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": 17, "fields": { "title": "t" } }),
            &[("idempotency-key", long.as_str())],
        )
        .await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (400, &json!("Idempotency-Key")),
        "a key that would be ignored: {answer}"
    );
}

/// The desk rejects a body that is too large and a body that is not JSON. The two errors have different
/// statuses and reasons (cases/hostile-and-broken.md, case 28).
#[tokio::test]
async fn too_large_bodies_and_invalid_json_have_separate_statuses() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let send = async |content_type: Option<&str>, body: Vec<u8>| {
        let mut request = client()
            .post(format!("{}/v1/tickets", desk.base))
            .basic_auth(APP.0, Some(APP.1))
            .header("x-on-behalf-of", "lisi")
            .body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        request.send().await.expect("an answer").status().as_u16()
    };
    let ticket = || br#"{"service_id":17,"fields":{"title":"t"}}"#.to_vec();
    let deep = [vec![b'['; 100], vec![b']'; 100]].concat();
    let json_type = Some("application/json");
    assert_eq!(send(json_type, vec![b' '; (1 << 20) + 1]).await, 413);
    for content_type in [
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("text/json"),
        Some("application/json; charset=gbk"),
        None,
    ] {
        assert_eq!(send(content_type, ticket()).await, 415, "{content_type:?}");
    }
    for body in [
        b"{".to_vec(),
        b"[]".to_vec(),
        b"{\"tag\":\"\xff\"}".to_vec(),
        deep,
        br#"{"tag":"a","tag":"b"}"#.to_vec(),
    ] {
        assert_eq!(
            send(json_type, body.clone()).await,
            400,
            "{}",
            String::from_utf8_lossy(&body)
        );
    }
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.desk+json",
    ] {
        assert_eq!(
            send(Some(content_type), ticket()).await,
            201,
            "{content_type}"
        );
    }
}

/// An error response shows names of people and services instead of internal ids, and has one entry for each
/// wrong field (cases/hostile-and-broken.md, case 28; cases/first-use.md, section 2).
#[tokio::test]
async fn problems_name_people_services_and_every_missing_field() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let sn = ticket(&desk, "one").await;
    // The user lisi is registered in the desk. The user nobodyx is not registered.
    for user in ["lisi", "nobodyx"] {
        let (status, answer) = desk
            .v1(
                "POST",
                &format!("tickets/{sn}/decide"),
                user,
                json!({ "node": 3, "pass": true }),
            )
            .await;
        assert_eq!(
            (status, answer["detail"].as_str()),
            (403, Some(format!("{user} may not act on node 3").as_str())),
            "{answer}"
        );
        let (_, answer) = desk
            .v1(
                "POST",
                "decisions",
                user,
                json!({ "decisions": [{ "sn": sn, "node": 3, "pass": true }] }),
            )
            .await;
        assert_eq!(
            answer["results"][0]["detail"],
            format!("{user} may not act on node 3")
        );
    }
    let (status, answer) = desk
        .v1(
            "POST",
            &format!("tickets/{sn}/remark"),
            "nobodyx",
            json!({ "text": "x" }),
        )
        .await;
    assert_eq!(
        (status, answer["detail"].as_str()),
        (403, Some("nobodyx may not see this ticket"))
    );
    let (status, answer) = desk
        .v1("POST", "tickets", "lisi", json!({ "service_id": 22 }))
        .await;
    let fields: Vec<&str> = answer["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect();
    assert!(
        status == 400 && fields.len() > 1 && fields.contains(&"/fields/title"),
        "{answer}"
    );
    assert!(
        answer["detail"]
            .as_str()
            .expect("a detail")
            .contains("`title` is required"),
        "{answer}"
    );
    let (_, service) = desk.v1("GET", "services/22", "lisi", Value::Null).await;
    let version = format!(
        "workflows/{}/versions/{}",
        service["workflow"], service["workflow_version"]
    );
    let (status, answer) = desk.v1("DELETE", &version, "admin", Value::Null).await;
    let detail = answer["detail"].as_str().expect("a detail");
    assert!(
        status == 409
            && detail.contains(service["name"].as_str().expect("a name"))
            && !detail.contains("ServiceId"),
        "{answer}"
    );
    // If a path exists but does not support the method, the response has status 405 and lists the allowed
    // methods.
    let (status, headers, _) = desk
        .v1_with("PATCH", &format!("tickets/{sn}"), "lisi", Value::Null, &[])
        .await;
    assert_eq!(
        (status, headers["allow"].to_str().expect("methods")),
        (405, "GET")
    );
}

/// If a workflow definition contains wrong members, the error response contains a JSON pointer to each of
/// these members (cases/first-use.md, fault F2).
#[tokio::test]
async fn a_definition_reports_every_wrong_member_with_its_pointer() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let mut wrong = definition();
    wrong["fields"][1]["type"] = "SELEKT".into();
    wrong["fields"][0]["is_requierd"] = true.into();
    wrong["nodes"][2]["processor"] = json!({ "type": "OPEN" });
    wrong["nodes"][2]["processors"] = json!({ "type": "PERSON", "who": "zhangsan" });
    wrong["transitions"][1]
        .as_object_mut()
        .expect("a line")
        .remove("to");
    let (status, answer) = desk
        .v1("POST", "workflows", "admin", json!({ "definition": wrong }))
        .await;
    let mut fields: Vec<&str> = answer["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect();
    fields.sort_unstable();
    let expected = [
        "/definition/fields/0/is_requierd",
        "/definition/fields/1/type",
        "/definition/nodes/2/processor",
        "/definition/nodes/2/processors/who",
        "/definition/transitions/1/to",
    ];
    assert_eq!((status, fields), (400, expected.to_vec()), "{answer}");
    // A client can read a definition from the desk and send the same definition back. The desk accepts this
    // definition.
    let (status, created) = desk
        .v1(
            "POST",
            "workflows",
            "admin",
            json!({ "definition": definition() }),
        )
        .await;
    assert_eq!(status, 201, "{created}");
    let path = format!("workflows/{}", created["workflow"]);
    let (_, shown) = desk.v1("GET", &path, "admin", Value::Null).await;
    let (status, answer) = desk
        .v1(
            "PUT",
            &format!("{path}/draft"),
            "admin",
            json!({ "definition": shown["draft"] }),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    for version in [11, 13] {
        let (_, shown) = desk
            .v1(
                "GET",
                &format!("workflows/{version}/versions/1"),
                "admin",
                Value::Null,
            )
            .await;
        let (status, answer) = desk
            .v1(
                "POST",
                "workflows",
                "admin",
                json!({ "definition": shown["definition"] }),
            )
            .await;
        assert_eq!(status, 201, "workflow {version}: {answer}");
    }
    let extra: Map<String, Value> = [
        ("definition".to_owned(), definition()),
        ("note".to_owned(), json!("x")),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        desk.v1("POST", "workflows", "admin", extra.into()).await.1["errors"][0]["field"],
        "/note"
    );
}

/// The desk rejects the query parameter `user` in a request for a ticket list that does not depend on a
/// user. The desk also rejects unusual spellings of an id, for example `01` (cases/first-use.md, section
/// 2).
#[tokio::test]
async fn a_user_without_a_list_and_odd_ids_are_rejected() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    ticket(&desk, "one").await;
    for query in [
        "user=zhangsan",
        "user=zhangsan&list=all",
        "user=a;b&list=todo",
        "creator=a;b",
    ] {
        let (status, answer) = desk
            .v1("GET", &format!("tickets?{query}"), "lisi", Value::Null)
            .await;
        assert_eq!(status, 400, "{query}: {answer}");
    }
    let (_, todo) = desk
        .v1(
            "GET",
            "tickets?user=zhangsan&list=todo",
            "lisi",
            Value::Null,
        )
        .await;
    assert_eq!(todo["count"], 1, "{todo}");
    let members = json!({ "members": ["admin", "lisi"] });
    for id in ["01", "+1", "%201"] {
        assert_eq!(
            desk.v1("PUT", &format!("roles/{id}"), "admin", members.clone())
                .await
                .0,
            404,
            "{id}"
        );
    }
}

/// An error response contains the JSON pointer of the wrong member, and no internal id (cases/first-use.md,
/// section 2).
#[tokio::test]
async fn a_problem_points_at_the_member_that_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let sn = ticket(&desk, "one").await;
    let act = |action: &str| format!("tickets/{sn}/{action}");
    for (method, path, user, body, status, field) in [
        (
            "POST",
            act("decide"),
            "zhangsan",
            json!({ "node": 99, "pass": true }),
            404,
            "/node",
        ),
        (
            "POST",
            act("remark"),
            "lisi",
            json!({ "text": "x", "parent": 99 }),
            409,
            "/parent",
        ),
        (
            "POST",
            act("remark"),
            "lisi",
            json!({ "text": "x", "people": ["lisi", "a;b"] }),
            400,
            "/people/1",
        ),
        (
            "POST",
            act("link"),
            "lisi",
            json!({ "other": sn, "relation": "related" }),
            409,
            "/other",
        ),
        (
            "POST",
            "tickets".into(),
            "lisi",
            json!({ "service_id": 17, "fields": { "title": "t" }, "processors": { "99": ["lisi"] } }),
            409,
            "/processors/99",
        ),
        (
            "PUT",
            "services/22".into(),
            "admin",
            json!({ "version": 99 }),
            404,
            "/version",
        ),
        (
            "PUT",
            "services/22".into(),
            "admin",
            json!({ "catalog": 999 }),
            404,
            "/catalog",
        ),
        (
            "PUT",
            "services/22".into(),
            "admin",
            json!({ "workflow_file": {} }),
            400,
            "/workflow_file",
        ),
        (
            "PUT",
            "services/22".into(),
            "admin",
            json!({ "owners": ["lisi", 1] }),
            400,
            "/owners/1",
        ),
        (
            "PUT",
            "services/22".into(),
            "admin",
            json!({ "name": "a\nb" }),
            400,
            "/name",
        ),
        (
            "PUT",
            "dictionary/D1".into(),
            "admin",
            json!({ "name": "n", "items": [{ "key": "a", "name": "x" }, { "key": "a", "name": "y" }] }),
            400,
            "/items/1/key",
        ),
        (
            "PUT",
            "dictionary/D1".into(),
            "admin",
            json!({ "name": "n", "items": [{ "key": "a", "name": "x", "items": [{ "key": " ", "name": "y" }] }] }),
            400,
            "/items/0/items/0/key",
        ),
        (
            "PUT",
            "fields/f1".into(),
            "admin",
            json!({ "type": "STRING", "name": " " }),
            400,
            "/name",
        ),
        (
            "PUT",
            "apps/other_app".into(),
            "admin",
            json!({ "secret": "s".repeat(5000) }),
            400,
            "/secret",
        ),
        (
            "PUT",
            "catalog/4".into(),
            "admin",
            json!({ "parent": 999 }),
            404,
            "/parent",
        ),
        (
            "PUT",
            "catalog/4".into(),
            "admin",
            json!({ "parent": 0 }),
            404,
            "/parent",
        ),
        (
            "POST",
            "catalog".into(),
            "admin",
            json!({ "parent": -1, "name": "x" }),
            404,
            "/parent",
        ),
    ] {
        let (answered, answer) = desk.v1(method, &path, user, body.clone()).await;
        assert_eq!(
            (answered, &answer["errors"][0]["field"]),
            (status, &json!(field)),
            "{method} {path} {body}: {answer}"
        );
    }
    assert_eq!(
        desk.v1("GET", "apps/other_app", "admin", Value::Null)
            .await
            .0,
        404,
        "an app with a rejected secret is not registered"
    );
    let mut flow = definition();
    flow["nodes"][2]["processors"] = json!({ "type": "PERSON", "who": ["zhangsan", "a;b"] });
    let (status, answer) = desk
        .v1("POST", "workflows", "admin", json!({ "definition": flow }))
        .await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (400, &json!("/definition/nodes/2/processors/who/1")),
        "{answer}"
    );
    flow["nodes"][2]["processors"] = json!({ "type": "GENERAL", "who": [9999] });
    let (status, answer) = desk
        .v1("POST", "workflows", "admin", json!({ "definition": flow }))
        .await;
    assert!(
        status == 201
            && answer["warnings"][0]
                .as_str()
                .is_some_and(|warning| warning.contains("role 9999")),
        "{answer}"
    );
    for path in [
        "drafts/services/17".to_owned(),
        format!("drafts/tickets/{sn}/3"),
    ] {
        let (status, answer) = desk.v1("GET", &path, "lisi", Value::Null).await;
        let detail = answer["detail"].as_str().expect("a detail");
        assert!(
            status == 404 && (detail.contains("17") || detail.contains(&sn)) && detail.len() < 80,
            "{answer}"
        );
    }
    // The operations `retry` and `ignore` apply to a failed automatic node. The member `values` of their
    // request bodies contains values for this node. If one of these values is wrong, the JSON pointer in the
    // error begins with `/values`.
    let mut flow = definition();
    flow["nodes"] = json!([
        { "id": 1, "name": "开始", "kind": "START" }, { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title"] },
        { "id": 3, "name": "调用", "kind": "WEBHOOK", "service_task": { "does": "request", "method": "POST", "url": "http://127.0.0.1:1/", "timeout_ms": 100, "attempts_max": 1 } },
        { "id": 9, "name": "结束", "kind": "END" },
    ]);
    flow["transitions"] = json!([{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }]);
    flow["fields"] = json!([{ "id": 1, "key": "title", "type": "STRING", "name": "标题" }]);
    flow.as_object_mut()
        .expect("an object")
        .retain(|key, _| matches!(key.as_str(), "name" | "nodes" | "transitions" | "fields"));
    let (_, drawn) = desk
        .v1("POST", "workflows", "admin", json!({ "definition": flow }))
        .await;
    let (status, answer) = desk
        .v1(
            "POST",
            &format!("workflows/{}/deploy", drawn["workflow"]),
            "admin",
            json!({}),
        )
        .await;
    assert_eq!(status, 201, "{answer}");
    let service = json!({ "kind": "request", "name": "调用", "workflow": drawn["workflow"], "version": 1, "catalog": 4 });
    let (_, service) = desk.v1("POST", "services", "admin", service).await;
    let (_, opened) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": service["service"], "fields": { "title": "t" } }),
        )
        .await;
    let called = format!("tickets/{}", opened["sn"].as_str().expect("a number"));
    let mut is_failed = false;
    for _ in 0..100 {
        let (_, shown) = desk.v1("GET", &called, "admin", Value::Null).await;
        is_failed = shown["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.iter().any(|node| node["status"] == "FAILED"));
        if is_failed {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(is_failed, "the call fails");
    for action in ["retry", "ignore"] {
        let (status, answer) = desk
            .v1(
                "POST",
                &format!("{called}/{action}"),
                "admin",
                json!({ "values": { "nosuch": "x" } }),
            )
            .await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!("/values/nosuch")),
            "{action}: {answer}"
        );
    }
}

/// Some operations check a condition header, for example `If-Match`. All other operations reject such a
/// header. If the header lists several versions, the condition is true if one of them is the current version
/// (cases/crossings.md, case 5).
#[tokio::test]
async fn a_condition_is_checked_or_rejected_at_every_operation() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let sn = ticket(&desk, "one").await;
    let document = described(&desk).await;
    let (mut compared, mut rejected) = (0, 0);
    for (template, method, operation) in operations(&document) {
        let is_conditional = operation["parameters"]
            .as_array()
            .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "If-Match"));
        if is_conditional {
            let action = template.rsplit('/').next().expect("an action");
            let to = json!({ "people": ["wangwu"] });
            let body = match action {
                "decide" => json!({ "node": 3, "pass": true }),
                "distribute" | "deliver" | "reassign" => {
                    json!({ "node": 3, "to": to, "message": "x" })
                }
                "terminate" | "suspend" => json!({ "message": "x" }),
                "close" => json!({ "status": "FINISHED" }),
                "route" => json!({ "node": 3, "transition": 1 }),
                "edit" => json!({ "fields": { "title": "t" } }),
                "remark" => json!({ "text": "x" }),
                "rate" => json!({ "stars": 5 }),
                "link" => json!({ "other": ticket(&desk, "other").await, "relation": "related" }),
                "unlink" => json!({ "other": sn }),
                "submit" | "claim" | "retry" | "ignore" | "acknowledge" | "escalate" => {
                    json!({ "node": 3 })
                }
                _ => json!({}),
            };
            for tag in [
                "\"1\"",
                "W/\"1\"",
                "\"x\"",
                "\"-1\"",
                "\"99999999999999999999\"",
            ] {
                let (status, _, answer) = desk
                    .v1_with(
                        &method,
                        &format!("tickets/{sn}/{action}"),
                        actor(action),
                        body.clone(),
                        &[("if-match", tag)],
                    )
                    .await;
                assert_eq!(status, 412, "{action} {tag}: {answer}");
                assert!(
                    !answer["detail"]
                        .as_str()
                        .expect("a detail")
                        .contains("ticket-"),
                    "{answer}"
                );
            }
            compared += 1;
        } else if method != "GET" {
            let path = filled(&template, &sn);
            let (status, _, answer) = desk
                .v1_with(
                    &method,
                    &path,
                    "admin",
                    Value::Null,
                    &[("if-match", "\"1\"")],
                )
                .await;
            assert_eq!(
                (status, &answer["errors"][0]["field"]),
                (400, &json!("If-Match")),
                "{method} {path}: {answer}"
            );
            rejected += 1;
        }
    }
    assert!(
        compared == 25 && rejected >= 35,
        "{compared} compared, {rejected} rejected"
    );
    // A condition header may list several versions in any order. The condition is true if the current
    // version is in this list.
    let (_, headers, _) = desk
        .v1_with("GET", &format!("tickets/{sn}"), "lisi", Value::Null, &[])
        .await;
    let now: i64 = headers["etag"]
        .to_str()
        .expect("a tag")
        .trim_matches('"')
        .parse()
        .expect("a version");
    let tags: Vec<String> = (now..now + 20)
        .map(|version| format!("\"{version}\""))
        .collect();
    let tags = tags.join(", ");
    let path = format!("tickets/{sn}/remark");
    let remark = || desk.v1_with("POST", &path, "lisi", json!({ "text": "x" }), &[]);
    let conditional = async || {
        desk.v1_with(
            "POST",
            &path,
            "lisi",
            json!({ "text": "x" }),
            &[("if-match", tags.as_str())],
        )
        .await
        .0
    };
    let (one, two, three, _) = tokio::join!(conditional(), conditional(), conditional(), remark());
    assert_eq!([one, two, three], [200, 200, 200]);
}

/// A misspelled name of a person is rejected if the directory lists all people, and causes a warning otherwise.
/// A ticket could otherwise wait for ever for a person who does not exist (cases/first-use.md, H2).
#[tokio::test]
async fn misspelled_names_are_rejected_by_the_directory_or_named_in_a_warning() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("organization.toml");
    let people: String = ["admin", "lisi", "zhangsan", "wangwu", "sunqi"]
        .map(|name| format!("[[person]]\nname = \"{name}\"\n"))
        .concat();
    std::fs::write(&file, format!("lists_all_people = true\n{people}")).expect("written");
    let listed = Served::start(
        &folder.path().join("listed"),
        &["--directory", file.to_str().expect("a path")],
    );
    let sn = ticket(&listed, "one").await;
    let deliver = |to: &str| json!({ "node": 3, "to": { "people": [to] }, "message": "absent" });
    let path = format!("tickets/{sn}/deliver");
    let (status, answer) = listed
        .v1("POST", &path, "zhangsan", deliver("wangwuu"))
        .await;
    assert_eq!(
        (status, answer["detail"].as_str()),
        (
            400,
            Some("wangwuu is not in the directory of the organization; check the spelling")
        ),
        "{answer}"
    );
    assert_eq!(
        (&answer["reason"], &answer["errors"][0]["field"]),
        (&json!("unknown_person"), &json!("/to/people"))
    );
    let operate = json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "DELIVER", "processors_type": "PERSON", "processors": "wangwuu", "action_message": "absent" });
    let answer = listed.bk("operate_node", operate).await;
    assert!(
        answer["result"] == false
            && answer["message"]
                .as_str()
                .is_some_and(|text| text.contains("用户【wangwuu】不存在")),
        "{answer}"
    );
    for (method, path, body, field) in [
        (
            "POST",
            format!("tickets/{sn}/follow"),
            json!({ "people": ["lisii"] }),
            "/people",
        ),
        (
            "PUT",
            "roles/1".to_owned(),
            json!({ "members": ["admin", "zhangsann"] }),
            "/members",
        ),
        (
            "PUT",
            "services/22".to_owned(),
            json!({ "owners": ["zhangsann"] }),
            "/owners",
        ),
        (
            "POST",
            "workflows".to_owned(),
            json!({ "definition": { "name": "n", "fields": [], "transitions": [], "nodes": [{ "id": 3, "name": "Approval", "kind": "APPROVAL", "processors": { "type": "PERSON", "who": ["zhangsann"] } }] } }),
            "/definition/nodes",
        ),
    ] {
        let user = if path.starts_with("tickets") {
            "lisi"
        } else {
            "admin"
        };
        let (status, answer) = listed.v1(method, &path, user, body).await;
        assert_eq!(
            (
                status,
                &answer["reason"],
                answer["errors"][0]["field"].as_str()
            ),
            (400, &json!("unknown_person"), Some(field)),
            "{path}: {answer}"
        );
    }
    let saved = json!({ "fields": {} });
    let (status, answer) = listed.v1("PUT", "drafts/services/22", "lisii", saved).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (400, &json!("X-On-Behalf-Of")),
        "{answer}"
    );
    let preferences = json!({ "language": "en" });
    let path_of = |person: &str| format!("people/{person}/preferences");
    let (status, answer) = listed
        .v1("PUT", &path_of("zhangsang"), "admin", preferences.clone())
        .await;
    assert_eq!(
        (status, &answer["reason"]),
        (400, &json!("unknown_person")),
        "{answer}"
    );
    // The desk has never met sunqi, but the directory knows this person.
    let (status, answer) = listed.v1("POST", &path, "zhangsan", deliver("sunqi")).await;
    assert_eq!((status, &answer["warnings"]), (200, &json!([])), "{answer}");
    let step = json!([{ "notify": { "leader": true } }, { "notify": { "person": "wangwuu" } }]);
    let layer = json!([{
        "people": ["lisi", "wangwuu"],
        "start": "2026-11-23T09:00",
        "shift": { "weeks": 1 },
        "zone": "Asia/Shanghai",
    }]);
    for (path, body, place) in [
        (
            "escalation-chains/default",
            json!({ "step": step }),
            "/step/1/notify",
        ),
        ("rotas/ops", json!({ "layer": layer }), "/layer/0/people"),
    ] {
        let (status, answer) = listed.v1("PUT", path, "admin", body).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!(place)),
            "{answer}"
        );
        assert!(
            answer["detail"]
                .as_str()
                .is_some_and(|text| text.contains("wangwuu"))
        );
        let (status, _) = listed.v1("GET", path, "admin", Value::Null).await;
        assert_eq!(status, 404, "nothing was stored");
    }
    drop(listed);

    let desk = Served::start(&folder.path().join("alone"), &[]);
    let sn = ticket(&desk, "one").await;
    let path = format!("tickets/{sn}/deliver");
    let (status, answer) = desk.v1("POST", &path, "zhangsan", deliver("wangwuu")).await;
    assert_eq!(
        (status, &answer["warnings"]),
        (200, &json!(["wangwuu is unknown; check the spelling"])),
        "{answer}"
    );
    for (person, warnings) in [
        (
            "zhangsang",
            json!(["zhangsang is unknown; check the spelling"]),
        ),
        ("zhangsan", Value::Null),
    ] {
        let path = path_of(person);
        let (status, answer) = desk.v1("PUT", &path, "admin", preferences.clone()).await;
        assert_eq!((status, &answer["warnings"]), (200, &warnings), "{answer}");
        let (_, shown) = desk.v1("GET", &path, "admin", Value::Null).await;
        assert_eq!(shown["warnings"], Value::Null, "{shown}");
    }
}
