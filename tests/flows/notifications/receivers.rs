//! These tests check the limits of the messages to one receiver. WeCom silently drops more than 30 messages to one person in
//! one minute, so the desk must not send them.

use std::sync::Arc;

use async_trait::async_trait;
use functions::cli::demo::fakes::wecom::{Accounts, Wecom};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::json;

use super::Channels;

const WECOM: &str = r#"
    [[account]]
    name = "work_app"
    channel = "wecom_app"
    url = "http://wecom.example"
    agentid = 7

    [policy]
    accounts = ["work_app"]
"#;
/// Number of messages to one person that WeCom sends in one minute.
const PER_MINUTE: usize = 30;

/// An HTTP client that passes each request to an imitated company in WeCom in the same process.
struct ToWecom(Arc<Wecom>);

#[async_trait]
impl HttpClient for ToWecom {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let (url, query) = request
            .url
            .split_once('?')
            .unwrap_or((request.url.as_str(), ""));
        let path = url.trim_start_matches("http://wecom.example");
        let answer = self.0.respond(path, query, &request.body);
        Ok(HttpResponse::of(200, answer.to_string().as_bytes()))
    }
}

/// Opens a desk whose account sends to the person zhangsan.
async fn open() -> (Channels, Arc<Wecom>) {
    let accounts = Accounts {
        robot: "key".into(),
        corpid: "ww1".into(),
        corpsecret: "s".into(),
        agentid: 7,
        members: vec!["zhangsan".into(), "wangwu".into()],
        unlicensed: Vec::new(),
        appid: "wx1".into(),
        secret: "p".into(),
        template_id: "tpl".into(),
        followers: Vec::new(),
        former: Vec::new(),
        per_day: 1_000,
    };
    let mut channels = Channels::open_with(WECOM).await;
    let wecom = Arc::new(Wecom::new(accounts, channels.desk.clock.clone()));
    channels.desk.app.http = Arc::new(ToWecom(wecom.clone()));
    let keys = &channels.desk.app.ledger.keys;
    keys.keep_secret("channel/work_app", br#"{"corpid":"ww1","corpsecret":"s"}"#)
        .await
        .expect("stored");
    reach(&channels, "zhangsan").await;
    (channels, wecom)
}

async fn reach(channels: &Channels, person: &str) {
    let preferences = json!({ "addresses": { "wecom": person }, "aggregation": false });
    let (status, answer) = channels.prefer(person, preferences).await;
    assert_eq!(status, 200, "{answer}");
}

/// Returns the number of messages that reached a person, and the number of messages that WeCom dropped.
fn counts(wecom: &Wecom, person: &str) -> (usize, usize) {
    let accepted = wecom.accepted();
    let to_person = accepted.app.iter().filter(|one| one["touser"] == person);
    (to_person.count(), accepted.dropped)
}

#[tokio::test]
async fn no_message_is_dropped_by_the_limit_of_a_person() {
    let (channels, wecom) = open().await;
    let mut numbers = Vec::new();
    for _ in 0..PER_MINUTE + 15 {
        numbers.push(channels.submit().await);
    }
    assert_eq!(counts(&wecom, "zhangsan"), (PER_MINUTE, 0));
    // The messages to another person do not wait.
    reach(&channels, "wangwu").await;
    numbers.push(channels.submit().await);
    assert_eq!(counts(&wecom, "zhangsan"), (PER_MINUTE, 0));
    assert_eq!(counts(&wecom, "wangwu"), (1, 0));
    // Each waiting message has its own time, one millisecond after the message before.
    channels.desk.clock.advance(60_020);
    channels.desk.settle().await;
    assert_eq!(counts(&wecom, "zhangsan"), (PER_MINUTE + 16, 0));
    let open = channels.get("deliveries?state=open", "admin").await;
    assert_eq!(open["count"], 0, "no message waits");
    let sent = wecom.accepted().app;
    for number in numbers {
        let to_person = sent.iter().filter(|one| one["touser"] == "zhangsan");
        let of_ticket = to_person.filter(|one| one.to_string().contains(&number));
        assert_eq!(of_ticket.count(), 1, "{number}");
    }
}

#[tokio::test]
async fn a_restart_keeps_the_limit_of_a_person() {
    let (channels, wecom) = open().await;
    for _ in 0..PER_MINUTE {
        channels.submit().await;
    }
    let channels = channels.restart().await;
    channels.submit().await;
    assert_eq!(counts(&wecom, "zhangsan"), (PER_MINUTE, 0));
    channels.desk.clock.advance(60_020);
    channels.desk.settle().await;
    assert_eq!(counts(&wecom, "zhangsan"), (PER_MINUTE + 1, 0));
}

#[tokio::test]
async fn after_a_loss_of_the_views_the_last_messages_to_a_person_are_unknown() {
    let (channels, wecom) = open().await;
    for _ in 0..PER_MINUTE {
        channels.submit().await;
    }
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    channels.submit().await;
    assert_eq!(counts(&wecom, "zhangsan"), (PER_MINUTE, 0));
    channels.desk.clock.advance(60_020);
    channels.desk.settle().await;
    assert_eq!(counts(&wecom, "zhangsan"), (PER_MINUTE + 1, 0));
    // One minute after the loss, a person to whom the account has sent nothing since then does not wait.
    reach(&channels, "wangwu").await;
    channels.submit().await;
    assert_eq!(counts(&wecom, "wangwu"), (1, 0));
}
