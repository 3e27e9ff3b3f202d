//! These tests check cases (records of an external system) that the deployed functions receive. The
//! function `command` stores a case and opens its ticket. The function `inbound` stores a message with a record, and the
//! function `sync` processes it and writes the end of the ticket back.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::routing::any;
use axum::{Json, Router};
use functions::app::itsm::integrations::Definitions;
use functions::app::itsm::sources;
use infra::source::Signature;
use reqwest::Method;
use serde_json::{Value, json};
use tests::process::free_port;

use crate::TestDesk;
use crate::desk::{send, until};

#[tokio::test]
async fn a_case_opens_one_ticket_through_deployed_functions() {
    let desk = TestDesk::open().await;
    // The desk in the cloud keeps the data of earlier test runs. Each run therefore uses a name of its own.
    let source = format!("crm_{}", free_port());
    let definitions = format!(
        "[[integration]]\nname = \"{source}\"\nkind = \"generic_json\"\nsenders = [\"{}\"]\nmapping = \"crm.toml\"\n",
        desk.caller.0
    );
    let mapping = "record = \"/id\"\nupdate = { counter = \"/version\" }\nservice = { value = 17 }\nrequester = { value = \"lisi\" }\n[fields]\ntitle = \"/title\"\n";
    let read = |_: &std::path::Path| Ok(mapping.to_owned());
    let definitions = Definitions::read(&definitions, &read).expect("valid");
    definitions.store(&desk.app).await.expect("stored");
    let post = async |version: i64, title: &str| {
        let case = json!({ "id": 7, "version": version, "title": title });
        let body = json!({ "source": source, "cases": [case, { "id": 8, "version": 1 }] });
        let answer = send(desk.v1(Method::POST, "cases", "lisi").json(&body)).await;
        let results = answer["results"].as_array().cloned();
        results.expect("results")
    };
    let first = post(1, "printer").await;
    assert_eq!(first[0]["outcome"], "opened", "{first:?}");
    assert_eq!(first[1]["outcome"], "refused", "{first:?}");
    assert_eq!(first[1]["field"], "title");
    let sn = first[0]["ticket"].as_str().expect("a ticket").to_owned();
    let again = post(1, "printer").await;
    assert_eq!(
        (&again[0]["outcome"], &again[0]["ticket"]),
        (&json!("unchanged"), &json!(sn))
    );
    let changed = post(2, "printer on floor 2").await;
    assert_eq!(changed[0]["ticket"], json!(sn), "{changed:?}");
    let shown = send(desk.v1(Method::GET, &format!("tickets/{sn}"), "admin")).await;
    assert_eq!(shown["title"], "printer on floor 2", "{shown}");
}

/// A system with a REST API: all merge patches that arrived, with the paths.
type Patches = Arc<Mutex<Vec<(String, Value)>>>;

/// Returns the response of the simulated system to a read or a change of a record.
async fn record(
    State(patches): State<Patches>,
    method: axum::http::Method,
    Path(id): Path<String>,
    body: axum::body::Bytes,
) -> Json<Value> {
    let mut patches = patches.lock().expect("no holder panics");
    if method == axum::http::Method::PATCH {
        let patch = serde_json::from_slice(&body).unwrap_or_default();
        patches.push((id, patch));
    }
    let status = patches.last().map_or("open", |_| "closed");
    Json(json!({ "status": status }))
}

#[tokio::test]
async fn a_signed_message_becomes_a_ticket_whose_end_is_written_back() {
    let desk = TestDesk::open().await;
    let patches = Patches::default();
    let router = Router::new()
        .route("/records/{id}", any(record))
        .with_state(patches.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let source = format!("alarms_{}", address.port());
    let definition = format!(
        "[[integration]]\nname = \"{source}\"\nkind = \"generic_json\"\nwebhook = \"signed\"\nurl = \"http://{address}/records\"\nmapping = \"m.toml\"\n"
    );
    let mapping = "record = \"/id\"\nupdate = { counter = \"/version\" }\nstatus = \"/status\"\nservice = { value = 17 }\nrequester = { value = \"lisi\" }\n[write_back]\nREVOKED = \"closed\"\n[fields]\ntitle = \"/title\"\n";
    let read = |_: &std::path::Path| Ok(mapping.to_owned());
    let definitions = Definitions::read(&definition, &read).expect("valid");
    definitions.store(&desk.app).await.expect("stored");
    let keys = &desk.app.ledger.keys;
    for (name, secret) in [
        (format!("integration/{source}"), "token"),
        (format!("webhook/{source}"), "signature"),
    ] {
        keys.keep_secret(&name, secret.as_bytes())
            .await
            .expect("kept");
    }
    let path = sources::path_of(&desk.app, &source).await.expect("a path");
    let body = json!({ "id": "A-1", "version": 1, "status": "open", "title": "disk" }).to_string();
    let signed = Signature::sha256("x-signature-256").sign(b"signature", body.as_bytes());
    let client = tests::process::client();
    let post = async |signature: &str| {
        let request = client
            .post(format!("{}{path}", desk.base()))
            .header("x-signature-256", signature)
            .body(body.clone());
        let response = request.send().await.expect("an answer");
        response.status().as_u16()
    };
    assert_eq!(post("sha256=00").await, 403);
    assert_eq!(post(&signed).await, 200);
    let list = format!("cases?source={source}");
    let ticket = until("the message is a ticket", async || {
        let shown = send(desk.v1(Method::GET, &list, "admin")).await;
        shown["cases"][0]["ticket"].as_str().map(str::to_owned)
    })
    .await;
    let withdraw = format!("tickets/{ticket}/withdraw");
    send(
        desk.v1(Method::POST, &withdraw, "lisi")
            .json(&json!({ "message": "solved" })),
    )
    .await;
    until("the end is written back", async || {
        let shown = send(desk.v1(Method::GET, &list, "admin")).await;
        let is_written = shown["cases"][0]["write_back"]["outcome"] == "written";
        is_written.then_some(())
    })
    .await;
    let patches = patches.lock().expect("no holder panics").clone();
    assert_eq!(patches.len(), 1, "{patches:?}");
    assert_eq!(
        (patches[0].0.as_str(), &patches[0].1["status"]),
        ("A-1", &json!("closed"))
    );
}
