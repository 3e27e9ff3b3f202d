//! These tests check that the message of the last step of a chain makes a sound on the device of the person.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use functions::app::notifications::definitions::Definitions;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::Channels;

const CHAIN: &str = r#"
    [[account]]
    name = "feishu"
    channel = "feishu"
    url = "http://feishu.example"

    [policy]
    accounts = ["feishu"]
    [policy.escalation]
    chains = { "3" = "default" }

    [[chain]]
    name = "default"
    [[chain.step]]
    wait_minutes = 5
    notify = { person = "sunqi" }
    accounts = ["feishu"]
    [[chain.step]]
    wait_minutes = 10
    notify = { person = "sunqi", buzz = true }
    accounts = ["feishu"]
"#;

/// An HTTP client that answers as Feishu does. `refuses` is true if the person cannot get urgent messages.
#[derive(Default)]
struct Feishu {
    refuses: bool,
    requests: Mutex<Vec<String>>,
}

impl Feishu {
    /// Returns the number of requests whose URL contains a text.
    fn asked(&self, text: &str) -> usize {
        let requests = self.requests.lock().expect("no holder panics");
        requests.iter().filter(|url| url.contains(text)).count()
    }

    /// Returns the number of messages. The second message about a ticket answers the first one.
    fn sent(&self) -> usize {
        self.asked("receive_id_type") + self.asked("/reply")
    }
}

#[async_trait]
impl HttpClient for Feishu {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.url.clone();
        self.requests.lock().expect("no holder panics").push(url);
        let answer = if request.url.contains("tenant_access_token") {
            json!({ "code": 0, "tenant_access_token": "t", "expire": 7200 })
        } else if request.url.contains("urgent_app") {
            let refused: &[&str] = if self.refuses { &["ou_1"] } else { &[] };
            json!({ "code": 0, "data": { "invalid_user_id_list": refused } })
        } else {
            json!({ "code": 0, "data": { "message_id": "om_1" } })
        };
        Ok(HttpResponse::of(200, answer.to_string().as_bytes()))
    }
}

/// Opens a ticket, and executes the first step of its chain.
async fn started(refuses: bool) -> (Channels, Arc<Feishu>) {
    let mut channels = Channels::open_with(CHAIN).await;
    let feishu = Arc::new(Feishu {
        refuses,
        ..Feishu::default()
    });
    channels.desk.app.http = feishu.clone();
    let keys = &channels.desk.app.ledger.keys;
    keys.keep_secret("channel/feishu", br#"{"app_id":"cli_1","app_secret":"s"}"#)
        .await
        .expect("stored");
    let preferences = json!({ "addresses": { "feishu": "ou_1" }, "aggregation": false });
    let (status, answer) = channels.prefer("sunqi", preferences).await;
    assert_eq!(status, 200, "{answer}");
    channels.submit_with("3").await;
    channels.after_minutes(5).await;
    assert_eq!(feishu.sent(), 1);
    assert_eq!(feishu.asked("urgent_app"), 0, "only the last step");
    (channels, feishu)
}

/// Returns the explanation of the request that makes the newest message of sunqi urgent.
async fn explained(channels: &Channels) -> Value {
    let id = channels.newest("sunqi").await["id"].clone();
    let id = id.as_str().expect("an id").to_owned();
    let path = format!("notifications/{id}/why?language=en");
    let shown = channels.get(&path, "sunqi").await;
    let mut steps = shown["steps"].as_array().expect("steps").iter();
    let step = steps.find(|step| step["event"] == "delivery.buzzed");
    step.map_or(Value::Null, |step| step["text"].clone())
}

#[tokio::test]
async fn the_message_of_the_last_step_is_made_urgent_once() {
    let (channels, feishu) = started(false).await;
    channels.after_minutes(10).await;
    assert_eq!(feishu.sent(), 2);
    assert_eq!(feishu.asked("om_1/urgent_app"), 1);
    let text = explained(&channels).await;
    assert!(
        text.as_str().is_some_and(|text| text.contains("sound")),
        "{text}"
    );
    let channels = channels.restart_without_views().await;
    channels.after_minutes(10).await;
    assert_eq!(feishu.asked("urgent_app"), 1, "a restart repeats nothing");
}

#[tokio::test]
async fn a_person_who_cannot_get_urgent_messages_is_recorded() {
    let (channels, feishu) = started(true).await;
    channels.after_minutes(10).await;
    assert_eq!(feishu.asked("urgent_app"), 1);
    let text = explained(&channels).await;
    let is_named = |text: &str| text.contains("cannot get an urgent message");
    assert!(text.as_str().is_some_and(is_named), "{text}");
    assert_eq!(channels.newest("sunqi").await["outcome"], "accepted");
}

#[tokio::test]
async fn a_buzz_needs_an_account_that_can_make_messages_urgent() {
    let channels = Channels::open_with(CHAIN).await;
    let buzz = "buzz = true }\n    accounts = [\"feishu\"]";
    assert!(CHAIN.contains(buzz));
    for accounts in ["[]", "[\"group\"]"] {
        let group = "
            [[account]]
            name = \"group\"
            channel = \"feishu\"
            url = \"http://feishu.example\"
            receive_id_type = \"chat_id\"
        ";
        let chain = CHAIN.replace(buzz, &format!("buzz = true }}\n    accounts = {accounts}"));
        let read = Definitions::read(&[group, &chain].concat()).expect("a valid form");
        let reason = read.store(&channels.desk.app).await.unwrap_err();
        assert!(
            reason
                .to_string()
                .contains("step 2: `buzz` needs an account"),
            "{reason}"
        );
    }
}
