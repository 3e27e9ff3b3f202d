//! Through the HTTP API, the journal, its stream, the queues and out again: a ticket's end reaches its receiver, once, and again when it was away.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tests::process::root;

use crate::House;
use crate::house::until;

/// What came, with the id each call came under.
#[derive(Clone, Default)]
struct Receiver {
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    /// Calls that are refused before one is taken.
    refuses: Arc<Mutex<u32>>,
}

impl Receiver {
    async fn listen(refuses: u32) -> (Self, String) {
        let receiver = Self { refuses: Arc::new(Mutex::new(refuses)), ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let router = Router::new().route("/callback", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, format!("http://{address}/callback"))
    }

    fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().expect("no holder panics").clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: axum::Json<Value>) -> (StatusCode, axum::Json<Value>) {
    let id = headers["idempotency-key"].to_str().expect("text").to_owned();
    receiver.calls.lock().expect("no holder panics").push((id, body.0));
    let mut refuses = receiver.refuses.lock().expect("no holder panics");
    if *refuses > 0 {
        *refuses -= 1;
        return (StatusCode::BAD_GATEWAY, axum::Json(Value::Null));
    }
    (StatusCode::OK, axum::Json(json!({ "result": true, "code": 0 })))
}

async fn ends(house: &House, url: &str) -> Value {
    let mut body = tests::approval_request();
    body["meta"] = json!({ "callback_url": url });
    let sn = house.must("create_ticket", body).await["sn"].clone();
    house.must("operate_ticket", json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" })).await;
    sn
}

#[tokio::test]
async fn a_receiver_that_was_away_gets_the_result_under_the_same_id() {
    let house = House::open().await;
    let (receiver, url) = Receiver::listen(2).await;
    let sn = ends(&house, &url).await;
    until("the third call", async || (receiver.calls().len() == 3).then_some(())).await;
    let calls = receiver.calls();
    assert!(calls.iter().all(|(id, body)| *id == calls[0].0 && body["sn"] == sn), "{calls:?}");
    let token = calls[2].1["token"].clone();
    assert_eq!(house.must("token/verify", json!({ "token": token })).await["is_passed"], true);
    until("the delivery's end", async || (house.must("callback_failed_ticket", json!({})).await.as_array()?.iter().all(|failed| *failed != sn)).then_some(()))
        .await;
    let stream = format!("delivery-{}", calls[0].0);
    let delivered = until("the record of it", async || {
        house.app.ledger.load::<domain::delivery::Delivery>(&stream).await.ok().filter(|context| !context.aggregate.0.is_open())
    })
    .await;
    assert_eq!(delivered.aggregate.0.attempts, 3);
}

/// The official SDKs, unmodified; their tickets tell a receiver of ours how they ended.
#[tokio::test]
async fn the_official_sdks_drive_the_cloud_and_every_end_is_called_back_once() {
    let house = House::open().await;
    let (receiver, url) = Receiver::listen(0).await;
    let python = root().join("target/python/bin/python");
    let (base, caller) = (house.base().to_owned(), house.caller.clone());
    let told = url.clone();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new(python).arg(root().join("tests/sdk.py")).args([&base, &caller.0, &caller.1, &told]).output().expect("the script runs")
    });
    let output = ran.await.expect("ran");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let ended: usize = printed.lines().find_map(|line| line.strip_prefix("ended: ")?.parse().ok()).expect("the script says how many tickets ended");
    assert!(ended >= 8, "{printed}");
    until("every callback", async || (receiver.calls().len() >= ended).then_some(())).await;
    // Whoever would call twice has had the time to.
    house.followed().await;
    let mut ids: Vec<String> = receiver.calls().into_iter().map(|(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), receiver.calls().len()), (ended, ended), "one call for each end");
    println!("{printed}{ended} callbacks");
}
