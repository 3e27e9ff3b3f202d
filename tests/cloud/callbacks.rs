//! These tests check callbacks. When a ticket ends, the desk sends a request to the receiver of the app
//! (the client program that created the ticket). If the receiver accepts the request, the desk sends no
//! second request. If the request fails, the desk sends the request again.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tests::process::root;

use crate::TestDesk;
use crate::desk::until;

/// A test server that receives callbacks and stores the id and the body of each request.
#[derive(Clone, Default)]
struct Receiver {
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    /// Number of future requests that the receiver will reject. After these requests, the receiver accepts
    /// every request.
    rejections_left: Arc<Mutex<u32>>,
}

impl Receiver {
    async fn listen(rejections_left: u32) -> (Self, String) {
        let receiver = Self {
            rejections_left: Arc::new(Mutex::new(rejections_left)),
            ..Self::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let router = Router::new()
            .route("/callback", post(take))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, format!("http://{address}/callback"))
    }

    fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().expect("no holder panics").clone()
    }
}

async fn take(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: axum::Json<Value>,
) -> (StatusCode, axum::Json<Value>) {
    let id = headers["idempotency-key"]
        .to_str()
        .expect("text")
        .to_owned();
    receiver
        .calls
        .lock()
        .expect("no holder panics")
        .push((id, body.0));
    let mut rejections_left = receiver.rejections_left.lock().expect("no holder panics");
    if *rejections_left > 0 {
        *rejections_left -= 1;
        return (StatusCode::BAD_GATEWAY, axum::Json(Value::Null));
    }
    (
        StatusCode::OK,
        axum::Json(json!({ "result": true, "code": 0 })),
    )
}

async fn withdrawn_ticket(desk: &TestDesk, url: &str) -> Value {
    let mut body = tests::approval_request();
    body["meta"] = json!({ "callback_url": url });
    let sn = desk.must("create_ticket", body).await["sn"].clone();
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
    )
    .await;
    sn
}

#[tokio::test]
async fn a_failing_receiver_gets_the_result_with_the_same_id() {
    let desk = TestDesk::open().await;
    let (receiver, url) = Receiver::listen(2).await;
    let sn = withdrawn_ticket(&desk, &url).await;
    until("the third call", async || {
        (receiver.calls().len() == 3).then_some(())
    })
    .await;
    let calls = receiver.calls();
    assert!(
        calls
            .iter()
            .all(|(id, body)| *id == calls[0].0 && body["sn"] == sn),
        "{calls:?}"
    );
    let token = calls[2].1["token"].clone();
    assert_eq!(
        desk.must("token/verify", json!({ "token": token })).await["is_passed"],
        true
    );
    until("the end of the callback", async || {
        (desk
            .must("callback_failed_ticket", json!({}))
            .await
            .as_array()?
            .iter()
            .all(|failed| *failed != sn))
        .then_some(())
    })
    .await;
    let stream = format!("callback-{}", calls[0].0);
    let callback = until("the recorded success", async || {
        desk.app
            .ledger
            .load::<domain::callback::Callback>(&stream)
            .await
            .ok()
            .filter(|context| !context.aggregate.0.is_open())
    })
    .await;
    assert_eq!(callback.aggregate.0.attempts.made, 3);
}

/// The test uses the unchanged official SDKs to create and end tickets. The desk sends one callback for
/// each ended ticket.
#[tokio::test]
async fn tickets_of_the_official_sdks_send_one_callback_each() {
    let desk = TestDesk::open().await;
    let (receiver, url) = Receiver::listen(0).await;
    let python = root().join("target/python/bin/python");
    let (base, caller) = (desk.base().to_owned(), desk.caller.clone());
    let callback_url = url.clone();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(root().join("tests/sdk.py"))
            .args([&base, &caller.0, &caller.1, &callback_url])
            .output()
            .expect("the script runs")
    });
    let output = ran.await.expect("ran");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let ended: usize = printed
        .lines()
        .find_map(|line| line.strip_prefix("ended: ")?.parse().ok())
        .expect("the script prints the number of ended tickets");
    assert!(ended >= 8, "{printed}");
    until("every callback", async || {
        (receiver.calls().len() >= ended).then_some(())
    })
    .await;
    // The test waits until the desk has updated the cards (stored summaries) of the tickets. A wrong second
    // callback would have arrived by this time.
    desk.followed().await;
    let mut ids: Vec<String> = receiver.calls().into_iter().map(|(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(
        (ids.len(), receiver.calls().len()),
        (ended, ended),
        "one callback for each ended ticket"
    );
    println!("{printed}{ended} callbacks");
}
