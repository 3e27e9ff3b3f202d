//! These tests check that a sent message is updated in place when the work to which it refers progresses.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::notification::action::Action;
use events::person::Language;
use functions::cli::demo::fakes::slack::Slack;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use tests::incident;

use super::Channels;

const ACCOUNT: &str = r#"
    [[account]]
    name = "chat"
    channel = "slack"
    url = "http://slack.example/api"

    [policy]
    accounts = ["chat"]
"#;
const TOKEN: &str = "xoxb-test";

/// An HTTP client that passes each request to an imitated Slack workspace in the same process.
pub(super) struct ToSlack {
    pub(super) slack: Slack,
    /// The bodies of all requests that update a message.
    updates: Mutex<Vec<Value>>,
    /// The number of the next requests that get no response of Slack.
    outages: Mutex<u32>,
}

#[async_trait]
impl HttpClient for ToSlack {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = request.url.rsplit('/').next().unwrap_or_default();
        if method == "chat.update" {
            let body = serde_json::from_slice(&request.body).expect("JSON");
            self.updates.lock().expect("no holder panics").push(body);
            let mut outages = self.outages.lock().expect("no holder panics");
            if *outages > 0 {
                *outages -= 1;
                return Err(HttpError::NotSent("the connection was refused".into()));
            }
        }
        let header = |name: &str| {
            let mut headers = request.headers.iter();
            let found = headers.find(|(key, _)| key == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let (token, kind) = (header("authorization"), header("content-type"));
        let reply = self.slack.call(method, token, kind, &request.body);
        Ok(HttpResponse::of(reply.status, reply.body.as_bytes()))
    }
}

/// A desk with a Slack account that reaches zhangsan and wangwu.
pub(super) struct Chat {
    pub(super) channels: Channels,
    pub(super) workspace: Arc<ToSlack>,
}

impl Chat {
    async fn open() -> Self {
        Self::open_with(ACCOUNT).await
    }

    /// Opens a desk with the account `chat`, which the text `accounts` defines.
    pub(super) async fn open_with(accounts: &str) -> Self {
        let mut channels = Channels::open_with(accounts).await;
        let workspace = Arc::new(ToSlack {
            slack: Slack::new(TOKEN, "/hook", channels.desk.clock.clone()),
            updates: Mutex::default(),
            outages: Mutex::default(),
        });
        channels.desk.app.http = workspace.clone();
        let keys = &channels.desk.app.ledger.keys;
        keys.keep_secret("channel/chat", TOKEN.as_bytes())
            .await
            .expect("stored");
        let chat = Self {
            channels,
            workspace,
        };
        chat.reach("zhangsan", "W0ZHANGSAN", "en").await;
        chat.reach("wangwu", "U000WANGWU", "zh-CN").await;
        chat
    }

    pub(super) async fn reach(&self, person: &str, address: &str, language: &str) {
        let preferences = json!({
            "language": language, "addresses": { "slack": address }, "aggregation": false,
        });
        let (status, answer) = self.channels.prefer(person, preferences).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn vote(&self, sn: &str) {
        let body = json!({ "node": 3, "pass": true });
        let desk = &self.channels.desk;
        desk.operate(&json!(sn), "decide", "zhangsan", body).await;
        desk.settle().await;
    }

    /// Returns the message of a person, which must be the only one.
    fn message(&self, conversation: &str) -> Value {
        let messages = self.workspace.slack.messages().into_iter();
        let own: Vec<Value> = messages
            .filter(|message| message["channel"] == conversation)
            .collect();
        let [message] = own.try_into().expect("one message");
        message
    }

    /// Returns the bodies of the requests that update the message in a conversation.
    fn updates(&self, conversation: &str) -> Vec<Value> {
        let updates = self.workspace.updates.lock().expect("no holder panics");
        let own = updates
            .iter()
            .filter(|body| body["channel"] == conversation);
        own.cloned().collect()
    }
}

/// Returns the names of the buttons in a message.
fn buttons(message: &Value) -> Vec<String> {
    let blocks = message["blocks"].as_array().expect("blocks").iter();
    let elements = blocks
        .filter(|block| block["type"] == "actions")
        .flat_map(|block| block["elements"].as_array().expect("elements"));
    let buttons = elements.filter(|element| element["value"].is_string());
    buttons
        .map(|button| button["text"]["text"].as_str().expect("a text").to_owned())
        .collect()
}

#[tokio::test]
async fn a_vote_removes_the_buttons_from_the_messages_of_all_approvers() {
    let chat = Chat::open().await;
    let sn = chat.channels.submit().await;
    for conversation in ["D0ZHANGSAN", "D000WANGWU"] {
        let message = chat.message(conversation);
        assert!(message["edited"].is_null(), "{message}");
        assert!(!buttons(&message).is_empty(), "{message}");
    }
    chat.vote(&sn).await;
    for (conversation, state) in [
        ("D0ZHANGSAN", ["Done by zhangsan", "The ticket has ended"]),
        ("D000WANGWU", ["已由zhangsan处理", "工单已结束"]),
    ] {
        let message = chat.message(conversation);
        assert_eq!(message["edited"], true, "{message}");
        assert_eq!(buttons(&message), [""; 0], "{message}");
        // The vote can also end the ticket. If this is known before the first update, the message shows it at once.
        let first = chat.updates(conversation).remove(0).to_string();
        assert!(state.iter().any(|text| first.contains(text)), "{first}");
    }
    let events = chat.channels.events_of("chat").await;
    let updates = events.iter().filter(|event| event.contains("update"));
    let updates: Vec<&str> = updates.map(String::as_str).collect();
    assert_eq!(
        updates[..2],
        ["delivery.update_requested", "delivery.updated"],
        "{events:?}"
    );
    let count = chat
        .workspace
        .updates
        .lock()
        .expect("no holder panics")
        .len();
    chat.channels.desk.settle().await;
    let after = chat
        .workspace
        .updates
        .lock()
        .expect("no holder panics")
        .len();
    assert_eq!(count, after, "each state is shown once");
}

#[tokio::test]
async fn an_acknowledged_message_keeps_the_buttons_that_still_fit() {
    let chat = Chat::open().await;
    chat.reach("sunba", "U0000LISI", "en").await;
    let desk = &chat.channels.desk;
    let opened = desk.must("create_ticket", incident()).await;
    desk.settle().await;
    let before = buttons(&chat.message("D0000LISI"));
    desk.operate(&opened["sn"], "acknowledge", "sunba", json!({}))
        .await;
    desk.settle().await;
    let message = chat.message("D0000LISI");
    assert!(
        message.to_string().contains("Acknowledged by sunba"),
        "{message}"
    );
    let after = buttons(&message);
    let acknowledge = Action::Acknowledge.label(Language::English).to_owned();
    assert!(before.contains(&acknowledge), "{before:?}");
    assert!(
        !after.is_empty() && !after.contains(&acknowledge),
        "{after:?}"
    );
}

#[tokio::test]
async fn an_update_is_repeated_after_an_outage_and_sends_no_new_message() {
    let chat = Chat::open().await;
    let sn = chat.channels.submit().await;
    *chat.workspace.outages.lock().expect("no holder panics") = 2;
    chat.vote(&sn).await;
    for _ in 0..5 {
        chat.channels.desk.clock.advance(301_000);
        chat.channels.desk.settle().await;
    }
    for conversation in ["D0ZHANGSAN", "D000WANGWU"] {
        assert_eq!(chat.message(conversation)["edited"], true);
    }
    let events = chat.channels.events_of("chat").await;
    assert!(
        events.contains(&"delivery.updated".to_owned()),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_refused_update_changes_nothing_else() {
    let chat = Chat::open().await;
    let sn = chat.channels.submit().await;
    chat.workspace.slack.revoke();
    chat.vote(&sn).await;
    for _ in 0..5 {
        chat.channels.desk.clock.advance(301_000);
        chat.channels.desk.settle().await;
    }
    assert!(chat.message("D0ZHANGSAN")["edited"].is_null());
    let events = chat.channels.events_of("chat").await;
    assert!(
        events.contains(&"delivery.update_failed".to_owned()),
        "{events:?}"
    );
    assert!(
        !events.contains(&"delivery.updated".to_owned()),
        "{events:?}"
    );
    let shown = chat.channels.get("inbox/wangwu", "wangwu").await;
    let approval = shown["notifications"].as_array().expect("a list").iter();
    let mut approval = approval.filter(|one| one["fact"] == "approval_needed");
    let approval = approval.next().expect("an approval");
    assert_eq!(approval["outcome"], "accepted", "{approval}");
    assert_ne!(approval["progress"], Value::Null, "{approval}");
}

/// The queue of a desk waits for some hours, for example because the desk was stopped.
#[tokio::test]
async fn an_event_from_more_than_six_hours_ago_updates_no_message() {
    for (hours, is_updated) in [(5, true), (7, false)] {
        let chat = Chat::open().await;
        let sn = chat.channels.submit().await;
        let desk = &chat.channels.desk;
        let body = json!({ "node": 3, "pass": true });
        desk.operate(&json!(sn), "decide", "zhangsan", body).await;
        desk.followed().await;
        desk.clock.advance(hours * 3_600_000);
        desk.settle().await;
        let message = chat.message("D000WANGWU");
        assert_eq!(message["edited"] == true, is_updated, "{hours}: {message}");
        let shown = chat.channels.get("inbox/wangwu", "wangwu").await;
        let mut all = shown["notifications"].as_array().expect("a list").iter();
        let approval = all.find(|one| one["fact"] == "approval_needed");
        let progress = &approval.expect("an approval")["progress"];
        assert_ne!(*progress, Value::Null, "the inbox shows the progress");
    }
}
