//! These tests check that people use the desk over the stream mode of DingTalk. The connection is a pair of channels in the
//! same process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::notification::action::Action;
use functions::app::notifications::actions::{self, Claim, VALID_MS};
use functions::host::dingtalk_stream;
use infra::clock::Clock as _;
use infra::http::socket::{Part, Socket};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use infra::inbound::dingtalk::{CARD_TOPIC, ROBOT_TOPIC};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Channels;

const CARDS: &str = r#"
    [[account]]
    name = "cards"
    channel = "dingtalk_card"
    robot_code = "dingrobot"
    card_template_id = "template.schema"
    stream = true

    [policy]
    accounts = []
"#;

/// The side of the desk of a connection.
struct Connection {
    incoming: UnboundedReceiver<Part>,
    outgoing: UnboundedSender<String>,
}

#[async_trait]
impl Socket for Connection {
    async fn next(&mut self) -> Result<Part, String> {
        Ok(self.incoming.recv().await.unwrap_or(Part::Closed))
    }

    async fn send(&mut self, text: String) -> Result<(), String> {
        self.outgoing.send(text).map_err(|error| error.to_string())
    }

    async fn ping(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// The side of DingTalk of a connection.
struct Side {
    to_desk: UnboundedSender<Part>,
    from_desk: UnboundedReceiver<String>,
}

impl Side {
    /// Sends a frame and returns the answer of the desk.
    async fn answer(&mut self, kind: &str, topic: &str, id: &str, data: &Value) -> Value {
        self.send(kind, topic, id, data);
        let answer = self.from_desk.recv().await.expect("an answer");
        serde_json::from_str(&answer).expect("JSON")
    }

    fn send(&self, kind: &str, topic: &str, id: &str, data: &Value) {
        let headers = json!({ "topic": topic, "messageId": id, "contentType": "application/json" });
        let frame = json!({
            "specVersion": "1.0", "type": kind, "headers": headers, "data": data.to_string(),
        });
        let sent = self.to_desk.send(Part::Text(frame.to_string()));
        sent.expect("the desk reads");
    }
}

/// An imitation of DingTalk that opens connections.
#[derive(Default)]
struct Gateway {
    prepared: Mutex<VecDeque<Connection>>,
    /// The addresses with which connections were opened.
    opened: Mutex<Vec<String>>,
}

impl Gateway {
    fn prepare(&self) -> Side {
        let (to_desk, incoming) = unbounded_channel();
        let (outgoing, from_desk) = unbounded_channel();
        let connection = Connection { incoming, outgoing };
        self.prepared.lock().unwrap().push_back(connection);
        Side { to_desk, from_desk }
    }
}

#[async_trait]
impl HttpClient for Gateway {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let body = if request.url.ends_with("/v1.0/gateway/connections/open") {
            json!({ "endpoint": "wss://gateway.example/connect", "ticket": "t1" })
        } else {
            json!({ "accessToken": "t", "expireIn": 7200, "success": true })
        };
        Ok(HttpResponse::of(200, body.to_string().as_bytes()))
    }

    async fn connect(&self, url: &str) -> Result<Box<dyn Socket>, String> {
        let next = self.prepared.lock().unwrap().pop_front();
        let next = next.ok_or_else(|| "no connection is prepared".to_owned())?;
        self.opened.lock().unwrap().push(url.to_owned());
        Ok(Box::new(next))
    }
}

#[tokio::test]
async fn a_person_writes_and_presses_a_button_over_a_connection() {
    let mut channels = Channels::open_with(CARDS).await;
    let gateway = Arc::new(Gateway::default());
    channels.desk.app.http = gateway.clone();
    let secret = br#"{"app_key":"dingkey","app_secret":"app-secret"}"#;
    let keys = &channels.desk.app.ledger.keys;
    keys.keep_secret("channel/cards", secret).await.unwrap();
    channels.reachable(None).await;
    let (mut first, mut second) = (gateway.prepare(), gateway.prepare());
    let task = tokio::spawn(dingtalk_stream::run(channels.desk.app.clone()));

    let opaque = json!({ "opaque": "x" });
    let answer = first.answer("SYSTEM", "ping", "p1", &opaque).await;
    assert_eq!(
        (&answer["code"], &answer["headers"]["messageId"]),
        (&json!(200), &json!("p1"))
    );
    assert_eq!(answer["data"], opaque.to_string());

    let path = "people/zhangsan/addresses/dingtalk/verify";
    let (_, code) = channels.desk.v1("POST", path, "zhangsan", json!({})).await;
    let code = code["code"].as_str().expect("a code");
    let said = |id: &str, text: &str| {
        json!({
            "msgtype": "text", "msgId": id, "senderStaffId": "dt-zhangsan", "text": { "content": text },
        })
    };
    let link = said("m1", &format!("绑定 {code}"));
    let answer = first.answer("CALLBACK", ROBOT_TOPIC, "f1", &link).await;
    assert_eq!(answer["code"], 200, "{answer}");
    channels.desk.settle().await;

    let sn = channels.submit().await;
    let notification = channels.newest("zhangsan").await;
    let app = &channels.desk.app;
    let claim = Claim {
        action: Action::Approve,
        notification: format!(
            "notification-{}",
            notification["id"].as_str().expect("an id")
        ),
        person: app.people.find("zhangsan").await.unwrap(),
        account: String::new(),
        is_personal: true,
        until: channels.desk.clock.now().plus_ms(VALID_MS),
    };
    let value = actions::sign(&app.token_keys().await.unwrap().newest, &claim);
    let content =
        json!({ "cardPrivateData": { "actionIds": ["1"], "params": { "value": value } } });
    let press = json!({
        "type": "actionCallback", "outTrackId": "d1", "corpId": "ding1", "userId": "dt-zhangsan",
        "content": content.to_string(),
    });
    let answer = first.answer("CALLBACK", CARD_TOPIC, "f2", &press).await;
    assert_eq!(answer["code"], 200, "{answer}");
    let data: Value = serde_json::from_str(answer["data"].as_str().expect("a text")).expect("JSON");
    let shown = &data["response"]["userPrivateData"]["cardParamMap"]["answer"];
    assert!(
        shown.as_str().is_some_and(|text| text.contains("已收到")),
        "{data}"
    );
    channels.desk.settle().await;
    let votes = async || {
        let story = channels.desk.story(&sn).await;
        story
            .iter()
            .filter(|kind| kind.ends_with("vote_cast"))
            .count()
    };
    assert_eq!(votes().await, 1);

    // DingTalk asks for another connection, and repeats the frame over it.
    first.send("SYSTEM", "disconnect", "p2", &json!({}));
    let head = channels.desk.head().await;
    let answer = second.answer("CALLBACK", CARD_TOPIC, "f2", &press).await;
    assert_eq!(answer["code"], 200, "{answer}");
    channels.desk.settle().await;
    assert_eq!(
        channels.desk.head().await,
        head,
        "a repeated frame acts once"
    );
    let unreadable = json!({ "msgtype": "text", "senderStaffId": "dt-zhangsan" });
    let answer = second
        .answer("CALLBACK", ROBOT_TOPIC, "f3", &unreadable)
        .await;
    assert_eq!(
        answer["code"], 200,
        "a message that is stored is not repeated: {answer}"
    );
    assert_eq!(votes().await, 1);
    let opened = gateway.opened.lock().unwrap().clone();
    assert_eq!(opened, ["wss://gateway.example/connect?ticket=t1"; 2]);
    task.abort();
}
