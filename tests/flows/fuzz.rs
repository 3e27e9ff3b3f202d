//! These tests send random requests to the BlueKing API and to `/v1`. No response may be a server error.
//! Each status must be documented in `/openapi.json`, and each body must have the required structure.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use tests::{TRUSTED, approval_request};

use crate::TestDesk;
use crate::attachments::upload;

/// Number of random requests that the test sends to each of the two APIs.
const CASES: usize = 10_000;

/// A random number generator (SplitMix64) that returns the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("small")
    }
    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

const TEXTS: [&str; 18] = [
    "",
    "true",
    "false",
    "lisi",
    "zhangsan",
    "admin",
    "TRANSITION",
    "WITHDRAW",
    "my_todo",
    "PERSON",
    "2026-11-22 10:00:00",
    "-1",
    "99999999999999999999",
    "'; DROP TABLE entries; --",
    "${title} {{7*7}}",
    "<script>alert(1)</script>",
    "\u{0}\u{1F600}\u{202E}名",
    "a,b,,c",
];

/// Returns a random value for the request member `name`. In two of three calls, the value is plausible for
/// this name. `known` contains ticket numbers that exist. `depth` is the maximum number of nested arrays
/// and objects in the value.
fn value(name: &str, known: &[String], dice: &mut Dice, depth: usize) -> Value {
    if dice.below(3) > 0 {
        match name {
            "sn" | "from" | "other" | "process_inst_id" => return dice.pick(known).clone().into(),
            "service_id" | "node" | "state_id" | "activity" | "transition" | "stars"
            | "catalog" | "parent" => {
                return (*dice.pick(&[1, 2, 3, 4, 22, 19, 0, -1])).into();
            }
            "operator" | "creator" | "approver" | "handler" | "user" => {
                return (*dice.pick(&["lisi", "zhangsan", "wangwu", "admin"])).into();
            }
            "action_type" => {
                return (*dice.pick(&[
                    "TRANSITION",
                    "CLAIM",
                    "DISTRIBUTE",
                    "DELIVER",
                    "TERMINATE",
                    "SUSPEND",
                    "UNSUSPEND",
                    "WITHDRAW",
                    "X",
                ]))
                .into();
            }
            "view_type" => {
                return (*dice.pick(&[
                    "my_todo",
                    "my_created",
                    "my_history",
                    "my_dealt",
                    "my_attention",
                    "my_approval",
                    "x",
                ]))
                .into();
            }
            "fields" if dice.below(2) == 0 => return approval_request()["fields"].clone(),
            _ => {}
        }
    }
    match dice.below(if depth == 0 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => (dice.below(2) == 0).into(),
        2 => (i64::try_from(dice.below(1 << 40)).expect("small") - 10).into(),
        3 => json!(1.5e300),
        4 | 5 => (*dice.pick(&TEXTS)).into(),
        6 => "长".repeat(1 + dice.below(3000)).into(),
        7 => (0..dice.below(4))
            .map(|_| value("item", known, dice, depth - 1))
            .collect(),
        _ => Value::Object(
            (0..dice.below(4))
                .map(|_| {
                    (
                        (*dice.pick(&[
                            "key",
                            "value",
                            "name",
                            "type",
                            "sn",
                            "meta",
                            "callback_url",
                        ]))
                        .to_owned(),
                        value("item", known, dice, depth - 1),
                    )
                })
                .collect(),
        ),
    }
}

/// Returns a random value for a query parameter. If the parameter has a list of allowed values, about one
/// third of the returned values are from this list.
fn queried(parameter: &Value, dice: &mut Dice) -> String {
    let named: Vec<&str> = parameter["schema"]["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match dice.below(3) {
        0 if !named.is_empty() => (*dice.pick(&named)).to_owned(),
        1 if parameter["schema"]["type"] == "integer" => dice.below(4).to_string(),
        1 if parameter["schema"]["format"] == "date-time" => "2026-11-22T02:00:00Z".to_owned(),
        _ => (*dice.pick(&[
            "x",
            "4",
            "22",
            "lisi",
            "request,change",
            "RUNNING",
            "-1",
            "%E5%90%8D",
            "2026-11-22",
        ]))
        .to_owned(),
    }
}

async fn known(desk: &TestDesk) -> Vec<String> {
    let mut known = Vec::new();
    for _ in 0..8 {
        known.push(
            desk.must("create_ticket", approval_request()).await["sn"]
                .as_str()
                .expect("sn")
                .to_owned(),
        );
    }
    known.push("REQ19990101000001".into());
    known
}

#[tokio::test]
async fn the_blueking_api_returns_its_envelope_for_every_request() {
    let desk = TestDesk::open().await;
    let known = known(&desk).await;
    let names: Vec<(&str, bool)> = functions::http::blueking::names().collect();
    let members = [
        "sn",
        "operator",
        "creator",
        "state_id",
        "action_type",
        "action_message",
        "fields",
        "field",
        "processors",
        "processors_type",
        "service_id",
        "meta",
        "tag",
        "attention",
        "dynamic_fields",
        "from_ticket_id",
        "page",
        "page_size",
        "sns",
        "create_at__gte",
        "create_at__lte",
        "end_at__lte",
        "username",
        "user",
        "view_type",
        "token",
        "approver",
        "action",
        "remark",
        "stars",
        "comments",
        "users",
        "parent__id",
        "name",
        "desc",
        "key",
        "workflow",
        "id",
        "catalog_id",
        "current_status__in",
        "process_inst_id",
        "activity",
        "handler",
        "submit_action",
        "fast_approval",
        "workflow_id",
        "ticket_creator",
        "has_service",
        "service_key",
    ];
    let mut dice = Dice(1);
    let mut codes: BTreeMap<i64, usize> = BTreeMap::new();
    for case in 0..CASES {
        let (name, _) = *dice.pick(&names);
        let mut body = Map::new();
        for _ in 0..dice.below(9) {
            let member = *dice.pick(&members);
            body.insert(member.to_owned(), value(member, &known, &mut dice, 2));
        }
        body.insert("bk_app_code".into(), TRUSTED.0.into());
        body.insert("bk_app_secret".into(), TRUSTED.1.into());
        let method = if dice.below(8) == 0 {
            Method::GET
        } else {
            Method::POST
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/c/compapi/v2/itsm/{name}/"))
            .header("content-type", "application/json");
        let text = Value::Object(body).to_string();
        // On average, one of 40 request bodies is cut in the middle, and one of 40 request bodies gets an
        // additional bracket at its end.
        let text = match dice.below(40) {
            0 => text[..text
                .char_indices()
                .nth(text.chars().count() / 2)
                .map_or(0, |(at, _)| at)]
                .to_owned(),
            1 => format!("{text}]"),
            _ => text,
        };
        let (status, answer) = desk
            .send(request.body(text.clone().into()).expect("a request"))
            .await;
        assert!(
            status == 200 || status == 403,
            "case {case}: {name} {text}: {status}"
        );
        if status == 200 {
            let envelope: Value = serde_json::from_slice(&answer).expect("an envelope");
            let code = envelope["code"].as_i64().expect("an integer");
            assert!(
                envelope["message"].is_string()
                    && envelope["result"] == (code == 0)
                    && code != 3_900_500,
                "case {case}: {name} {text}: {envelope}"
            );
            *codes.entry(code).or_default() += 1;
        }
    }
    println!("{CASES} requests: answers by code {codes:?}");
    assert!(
        codes.len() >= 7 && codes[&0] > CASES / 20,
        "both sides of the rules were met: {codes:?}"
    );
}

#[tokio::test]
async fn the_rest_api_returns_only_statuses_of_its_description() {
    let desk = TestDesk::open().await;
    let known = known(&desk).await;
    let described: Value =
        serde_json::from_str(functions::http::api::openapi::DOCUMENT).expect("JSON");
    let paths: Vec<(String, String, Value)> = described["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .filter(|(path, _)| path.starts_with("/v1"))
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .expect("methods")
                .iter()
                .map(|(method, operation)| (path.clone(), method.to_uppercase(), operation.clone()))
        })
        // A response with server-sent events ends after minutes.
        .filter(|(_, _, operation)| {
            let content = &operation["responses"]["200"]["content"];
            content["text/event-stream"].is_null()
        })
        .collect();
    let basic =
        base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", TRUSTED.0, TRUSTED.1));
    let (mut files, mut templates) = (
        vec!["att-00000000000000000000000000000000".to_owned()],
        vec!["none".to_owned()],
    );
    for number in 0..6 {
        files.push(
            upload(&desk, "admin", "a.txt", b"text").await["id"]
                .as_str()
                .expect("an id")
                .to_owned(),
        );
        let template =
            json!({ "service_id": 22, "name": format!("t{number}"), "fields": { "title": "t" } });
        templates.push(
            desk.v1("POST", "templates", "admin", template).await.1["id"]
                .as_str()
                .expect("an id")
                .to_owned(),
        );
    }
    let mut dice = Dice(2);
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for case in 0..CASES {
        let (path, method, operation) = dice.pick(&paths).clone();
        let part = |name: &str, dice: &mut Dice| match name {
            "sn" => dice.pick(&known).clone(),
            "attachment" => dice.pick(&files).clone(),
            "template" => dice.pick(&templates).clone(),
            "key" => (*dice.pick(&["impact", "room", "a-b", "%E5%90%8D"])).to_owned(),
            "node" => (*dice.pick(&["2", "3", "4", "77"])).to_owned(),
            "code" => (*dice.pick(&["IMPACT", "NEW", "%E5%90%8D", "a%2Fb"])).to_owned(),
            _ => (*dice.pick(&[
                "1",
                "11",
                "13",
                "4",
                "17",
                "22",
                "0",
                "-3",
                "x",
                "9999999999999999999999",
            ]))
            .to_owned(),
        };
        let uri: Vec<String> = path
            .split('/')
            .map(|segment| {
                segment
                    .strip_prefix('{')
                    .and_then(|name| name.strip_suffix('}'))
                    .map_or_else(|| segment.to_owned(), |name| part(name, &mut dice))
            })
            .collect();
        let members: Vec<String> = operation
            .pointer("/requestBody/content/application~1json/schema/properties")
            .and_then(Value::as_object)
            .map(|all| all.keys().cloned().collect())
            .unwrap_or_default();
        let mut body = Map::new();
        for member in members.iter().chain(&["message".to_owned()]) {
            if dice.below(4) > 0 {
                body.insert(member.clone(), value(member, &known, &mut dice, 2));
            }
        }
        let parameters = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut query = Vec::new();
        for parameter in parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
        {
            // The request must not wait for changes.
            if dice.below(4) == 0 && parameter["name"] != "wait" {
                query.push(format!(
                    "{}={}",
                    parameter["name"].as_str().expect("a name"),
                    queried(parameter, &mut dice)
                ));
            }
        }
        let query = if query.is_empty() {
            String::new()
        } else {
            format!("?{}", query.join("&"))
        };
        let mut request = Request::builder()
            .method(method.as_str())
            .uri(format!("{}{query}", uri.join("/")))
            .header("content-type", "application/json");
        if dice.below(50) > 0 {
            request = request.header("authorization", format!("Basic {basic}"));
        }
        request = request.header(
            "x-on-behalf-of",
            *dice.pick(&["lisi", "zhangsan", "admin", "admin", "nobody", "a,b"]),
        );
        if path.starts_with("/v1/uploads") && dice.below(4) > 0 {
            request = request.header("idempotency-key", *dice.pick(&["a", "b", "c"]));
        }
        if dice.below(20) == 0 {
            request = request.header("if-match", *dice.pick(&["1", "\"6\"", "x"]));
        }
        let text = Value::Object(body).to_string();
        let body = if method == "GET" || method == "DELETE" {
            Body::empty()
        } else {
            text.clone().into()
        };
        let (status, answer) = desk.send(request.body(body).expect("a request")).await;
        let named = operation["responses"].get(status.as_str()).is_some();
        assert!(
            named && status.as_u16() < 500,
            "case {case}: {method} {} {text}: {status} {}",
            uri.join("/"),
            String::from_utf8_lossy(&answer)
        );
        if status.as_u16() >= 400 {
            let problem: Value = serde_json::from_slice(&answer).expect("a problem");
            assert!(
                problem["detail"].is_string() && problem["status"] == status.as_u16(),
                "{problem}"
            );
        }
        *statuses.entry(status.as_u16()).or_default() += 1;
    }
    println!("{CASES} requests: answers by status {statuses:?}");
    assert!(
        statuses.len() > 6 && statuses[&200] > CASES / 20,
        "{statuses:?}"
    );
}
