//! The stream mode of DingTalk: the unchanged library of the vendor and the real program get the same frames from an imitated
//! gateway over WebSocket, and both answer them.

use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use infra::inbound::dingtalk::{CARD_TOPIC, ROBOT_TOPIC};
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::{Served, root, until};
use tokio::net::TcpListener;

const KEY: &str = "dingkey";
const SECRET: &str = "app-secret";

/// An imitation of the gateway. It sends the same frames over each connection.
#[derive(Default)]
struct Gateway {
    base: OnceLock<String>,
    /// The answers to the frames of the first connection.
    answers: Mutex<Vec<Value>>,
    /// The number of opened connections.
    opened: Mutex<usize>,
}

impl Gateway {
    async fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let gateway = Arc::new(Self::default());
        gateway
            .base
            .set(format!("ws://{address}"))
            .expect("set once");
        let router = Router::new()
            .route("/v1.0/gateway/connections/open", post(open))
            .route("/connect", get(connect))
            .with_state(gateway.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (gateway, format!("http://{address}"))
    }

    fn opened(&self) -> usize {
        *self.opened.lock().expect("no holder panics")
    }

    /// Waits until a client has answered all frames and opened a second connection. Returns its answers.
    async fn answers(&self) -> Vec<Value> {
        until("a second connection is open", async || {
            match self.opened() {
                0 | 1 => Err(json!(self.opened())),
                _ => Ok(()),
            }
        })
        .await;
        self.answers.lock().expect("no holder panics").clone()
    }
}

/// Opens a connection for the app with the right credentials and subscriptions.
async fn open(State(gateway): State<Arc<Gateway>>, Json(body): Json<Value>) -> Response {
    if body["clientId"] != KEY || body["clientSecret"] != SECRET {
        let refused = json!({ "code": "authFailed", "message": "the credentials are wrong" });
        return (StatusCode::UNAUTHORIZED, Json(refused)).into_response();
    }
    let topics = body["subscriptions"].as_array().into_iter().flatten();
    let topics: Vec<&str> = topics.filter_map(|one| one["topic"].as_str()).collect();
    if !topics.contains(&ROBOT_TOPIC) || !topics.contains(&CARD_TOPIC) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    *gateway.opened.lock().expect("no holder panics") += 1;
    let base = gateway.base.get().expect("set at the start");
    Json(json!({ "endpoint": format!("{base}/connect"), "ticket": "t+1/=" })).into_response()
}

async fn connect(
    State(gateway): State<Arc<Gateway>>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    if query.as_deref() != Some("ticket=t%2B1%2F%3D") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    upgrade.on_upgrade(move |socket| async move {
        // A connection that the client ends early shows in the number of answers.
        let _ = talk(&gateway, socket).await;
    })
}

fn frame(kind: &str, topic: &str, id: &str, data: &Value) -> Message {
    let headers = json!({
        "topic": topic, "messageId": id, "contentType": "application/json", "time": "1700000000000",
    });
    let frame =
        json!({ "specVersion": "1.0", "type": kind, "headers": headers, "data": data.to_string() });
    Message::Text(frame.to_string().into())
}

/// Sends one frame of each kind, and stores the answers. Returns `None` if the client closes the connection.
async fn talk(gateway: &Gateway, mut socket: WebSocket) -> Option<()> {
    let content = json!({ "cardPrivateData": { "actionIds": ["1"], "params": { "value": "v" } } });
    let frames = [
        frame("SYSTEM", "ping", "f1", &json!({ "opaque": "x" })),
        frame(
            "CALLBACK",
            ROBOT_TOPIC,
            "f2",
            &json!({
                "msgtype": "text", "msgId": "m1", "senderStaffId": "dt-lisi", "text": { "content": "ack" },
            }),
        ),
        frame(
            "CALLBACK",
            CARD_TOPIC,
            "f3",
            &json!({
                "type": "actionCallback", "outTrackId": "d1", "corpId": "ding1", "userId": "dt-lisi",
                "content": content.to_string(),
            }),
        ),
    ];
    for frame in frames {
        socket.send(frame).await.ok()?;
        let answer = loop {
            match socket.recv().await?.ok()? {
                Message::Text(text) => break text,
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) => {}
            }
        };
        let answer = serde_json::from_str(answer.as_str()).expect("an answer in JSON");
        gateway
            .answers
            .lock()
            .expect("no holder panics")
            .push(answer);
    }
    let end = frame(
        "SYSTEM",
        "disconnect",
        "f4",
        &json!({ "reason": "restart" }),
    );
    socket.send(end).await.ok()?;
    while socket.recv().await?.is_ok() {}
    Some(())
}

/// Returns the parts of the first three answers on which DingTalk acts.
fn compared(answers: &[Value]) -> Vec<Value> {
    let first = answers.iter().take(3);
    first
        .map(|answer| {
            let data = answer["data"].as_str().unwrap_or_default();
            let data: Value = serde_json::from_str(data).unwrap_or_default();
            let members: Vec<&String> = data
                .as_object()
                .into_iter()
                .flat_map(|one| one.keys())
                .collect();
            json!([
                answer["code"],
                answer["headers"]["messageId"],
                answer["headers"]["contentType"],
                members,
            ])
        })
        .collect()
}

#[tokio::test]
async fn the_library_of_the_vendor_and_the_desk_answer_the_same_frames() {
    let (gateway, url) = Gateway::start().await;
    let mut command = Command::new(installed().join("dingtalk/bin/python"));
    command
        .arg(root().join("tests/foreign/dingtalk_stream_client.py"))
        .args([url.as_str(), KEY, SECRET]);
    let read = super::teams::printed(command).await;
    assert_eq!(read["messages"], json!([["m1", "dt-lisi", "ack"]]));
    assert_eq!(read["buttons"], json!([["d1", "dt-lisi", "v"]]));
    let of_library = compared(&gateway.answers.lock().expect("no holder panics"));
    assert_eq!(of_library.len(), 3);

    let (gateway, url) = Gateway::start().await;
    let folder = tempfile::tempdir().expect("a directory");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let account = |name: &str| {
        format!(
            "[[account]]\nname = \"{name}\"\nchannel = \"dingtalk_card\"\nurl = \"{url}\"\nrobot_code = \"r\"\ncard_template_id = \"c\"\nstream = true\n"
        )
    };
    let policy = "[policy]\naccounts = []\n";
    // The second account has wrong credentials. It must not disturb the first one.
    let accounts = [account("cards"), account("wrong"), policy.to_owned()].concat();
    std::fs::write(path("accounts.toml"), accounts).expect("written");
    let secret = |key: &str| json!({ "app_key": key, "app_secret": SECRET }).to_string();
    std::fs::write(path("cards.json"), secret(KEY)).expect("written");
    std::fs::write(path("wrong.json"), secret("other")).expect("written");
    let data = folder.path().join("desk");
    let _desk = Served::start(
        &data,
        &[
            "--accounts",
            &path("accounts.toml"),
            "--secret",
            &format!("channel/cards={}", path("cards.json")),
            "--secret",
            &format!("channel/wrong={}", path("wrong.json")),
        ],
    );
    let of_desk = gateway.answers().await;
    assert_eq!(compared(&of_desk), of_library);
    println!(
        "vendor DingTalk, stream mode: foreign client {} answers, desk {} answers, differences 0",
        of_library.len(),
        of_desk.len()
    );
    let press: Value =
        serde_json::from_str(of_desk[2]["data"].as_str().expect("a text")).expect("JSON");
    let shown = &press["response"]["userPrivateData"]["cardParamMap"]["answer"];
    assert!(
        shown.as_str().is_some_and(|text| text.contains("Received")),
        "{press}"
    );
}
