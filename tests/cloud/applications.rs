//! This test checks an application (a request for approval) that a desk in the cloud sends to an external
//! ITSM. The cloud function `sync` sends the requests to this ITSM. The cloud function `inbound` receives
//! the callback of this ITSM over HTTP.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::routing::any;
use axum::{Json, Router};
use functions::app::itsm::integrations::Definitions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::TestDesk;
use crate::desk::{send, until};

/// State of the simulated external ITSM: the bodies of all `create_ticket` requests, and a flag that is
/// true if the ticket is decided.
type External = Arc<Mutex<(Vec<Value>, bool)>>;

/// Returns the response of a simulated external ITSM to one request. This ITSM contains only one ticket.
async fn answer(
    State(external): State<External>,
    Path(operation): Path<String>,
    body: axum::body::Bytes,
) -> Json<Value> {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut external = external.lock().expect("no holder panics");
    let data = match operation.trim_end_matches('/') {
        "create_ticket" => {
            external.0.push(body);
            json!({ "sn": "REQ1", "id": 1 })
        }
        "operate_ticket" => {
            external.0.push(body);
            json!([])
        }
        "token/verify" => json!({ "is_passed": body["token"] == "issued" }),
        "get_ticket_info" => json!({
            "sn": "REQ1", "current_status": if external.1 { "FINISHED" } else { "RUNNING" },
            "fields": [{ "key": "approval_result", "value": "true" }],
        }),
        _ => json!({ "items": [] }),
    };
    Json(json!({ "result": true, "code": 0, "message": "success", "data": data }))
}

#[tokio::test]
async fn an_application_is_decided_through_deployed_functions() {
    let desk = TestDesk::open().await;
    let external = External::default();
    let router = Router::new()
        .route("/v2/itsm/{*operation}", any(answer))
        .with_state(external.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    // The desk in the cloud keeps the data of earlier test runs. Each run therefore adds a different number
    // to the names of the items that it creates.
    let run = address.port();
    let definitions = format!(
        r#"
        [[integration]]
        name = "fake_{run}"
        kind = "bk_itsm"
        form = "apigw"
        url = "http://{address}"
        app = "bk_log"
        user = "admin"

        [[application_kind]]
        name = "kind_{run}"
        integration = "fake_{run}"
        service = 18
        fields = {{ title = "${{ticket_title}}" }}
        granted = {{ approval_result = "true" }}
        days = 14
        "#
    );
    let definitions =
        Definitions::read(&definitions, &|_| Err("no mapping".into())).expect("valid");
    definitions.store(&desk.app).await.expect("stored");
    let keys = &desk.app.ledger.keys;
    let name = format!("integration/fake_{run}");
    keys.keep_secret(&name, b"s3cret").await.expect("stored");
    let definition = json!({
        "name": format!("Application {run}"),
        "nodes": [
            { "id": 1, "name": "Start", "kind": "START" },
            { "id": 2, "name": "Request", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title"] },
            { "id": 3, "name": "Apply", "kind": "TASK", "processors": { "type": "PERSON", "who": ["admin"] },
              "service_task": { "does": "application", "kind": format!("kind_{run}") } },
            { "id": 9, "name": "End", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "Title", "is_required": true }],
    });
    let post = |path: &str, body: &Value| desk.v1(Method::POST, path, "admin").json(body);
    let drawn = send(post("workflows", &json!({ "definition": definition }))).await;
    send(post(
        &format!("workflows/{}/deploy", drawn["workflow"]),
        &json!({}),
    ))
    .await;
    let service = json!({ "kind": "request", "name": format!("Apply {run}"), "workflow": drawn["workflow"], "version": 1, "catalog": 4 });
    let service = send(post("services", &service)).await;
    let ticket = json!({ "service_id": service["service"], "fields": { "title": "logs" } });
    let opened = desk.submit(&ticket).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    let created = until("the creation at the external ITSM", async || {
        external
            .lock()
            .expect("no holder panics")
            .0
            .first()
            .cloned()
    })
    .await;
    assert_eq!(
        (&created["service_id"], &created["creator"]),
        (&json!(18), &json!("lisi"))
    );
    external.lock().expect("no holder panics").1 = true;
    let url = created["meta"]["callback_url"].as_str().expect("a URL");
    let path = &url[url.find("/callbacks/").expect("a path")..];
    let callback = json!({ "sn": "REQ1", "title": "logs", "current_status": "FINISHED", "token": "issued", "approve_result": true });
    let client = tests::process::client();
    let forged = format!("{}{}", desk.base(), &path[..path.len() - 4]);
    let status = client
        .post(forged)
        .json(&callback)
        .send()
        .await
        .expect("an answer")
        .status();
    assert_eq!(status.as_u16(), 403);
    // A callback can arrive before the desk has stored the response to its `create_ticket` request. The desk
    // must also accept the callback in this case.
    let answered = send(
        client
            .post(format!("{}{path}", desk.base()))
            .json(&callback),
    )
    .await;
    assert_eq!(
        answered,
        json!({ "result": true, "data": null, "code": 0, "message": "" })
    );
    let ended = until("the end of the ticket", async || {
        let shown = send(desk.v1(Method::GET, &format!("tickets/{sn}"), "admin")).await;
        (shown["current_status"] == "FINISHED").then_some(shown)
    })
    .await;
    let node = ended["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .find(|node| node["node"] == 3);
    assert_eq!(node.expect("the node")["status"], "FINISHED");
    assert_eq!(
        external.lock().expect("no holder panics").0.len(),
        1,
        "one creation"
    );
    // A superuser withdraws the application of a second ticket. The function `command` stores this, and the function
    // `sync` sends the withdrawal.
    let opened = desk.submit(&ticket).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    let id = until("the second application", async || {
        let listed = send(desk.v1(Method::GET, "applications?state=open", "admin")).await;
        let all = listed["applications"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let own = all
            .iter()
            .find(|one| one["ticket"] == sn.as_str() && one["external"] == "REQ1");
        own.and_then(|one| one["id"].as_str().map(str::to_owned))
    })
    .await;
    let reason = json!({ "reason": "no longer needed" });
    send(post(&format!("applications/{id}/withdraw"), &reason)).await;
    until("the withdrawal at the external ITSM", async || {
        let last = external.lock().expect("no holder panics").0.last().cloned();
        last.filter(|body| body["action_type"] == "WITHDRAW")
    })
    .await;
    // A person applies without a ticket.
    let applied = json!({ "kind": format!("kind_{run}"), "subject": format!("collector-{run}"), "fields": { "ticket_title": "logs" } });
    let applied = send(post("applications", &applied)).await;
    let id = applied["id"].as_str().expect("an id").to_owned();
    let url = until("the creation for the person", async || {
        let last = external.lock().expect("no holder panics").0.last().cloned();
        let url = last.and_then(|body| body["meta"]["callback_url"].as_str().map(str::to_owned));
        url.filter(|url| url.contains(&id))
    })
    .await;
    let path = &url[url.find("/callbacks/").expect("a path")..];
    send(
        client
            .post(format!("{}{path}", desk.base()))
            .json(&callback),
    )
    .await;
    until("the decision for the person", async || {
        let shown = send(desk.v1(Method::GET, &format!("applications/{id}"), "admin")).await;
        (shown["status"] == "granted" && shown["is_closed"] == true).then_some(())
    })
    .await;
}
