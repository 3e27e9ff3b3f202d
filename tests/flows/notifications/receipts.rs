//! These tests check that the desk asks DingTalk whether a person has read a work notice.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::Channels;

const ACCOUNT: &str = r#"
    [[account]]
    name = "notice"
    channel = "dingtalk_notice"
    url = "http://dingtalk.example"
    agent_id = 4220

    [policy]
    accounts = ["notice"]
"#;
/// The pauses before the requests for a receipt, in milliseconds.
const PAUSES_MS: [i64; 5] = [300_000, 1_800_000, 7_200_000, 21_600_000, 43_200_000];

/// An HTTP client that answers as DingTalk does. Each request for a result takes the next planned list.
#[derive(Default)]
struct Dingtalk {
    lists: Mutex<Vec<&'static str>>,
    requests: Mutex<Vec<String>>,
}

impl Dingtalk {
    fn polls(&self) -> usize {
        let requests = self.requests.lock().expect("no holder panics");
        let polls = requests.iter().filter(|url| url.contains("getsendresult"));
        polls.count()
    }
}

#[async_trait]
impl HttpClient for Dingtalk {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.url.clone();
        self.requests.lock().expect("no holder panics").push(url);
        let answer = if request.url.contains("gettoken") {
            json!({ "errcode": 0, "access_token": "t", "expires_in": 7200 })
        } else if request.url.contains("getsendresult") {
            let mut lists = self.lists.lock().expect("no holder panics");
            let mut answer = json!({ "errcode": 0, "send_result": {} });
            if let Some(list) = lists.pop() {
                answer["send_result"][list] = json!(["dt-zhangsan"]);
            }
            answer
        } else {
            json!({ "errcode": 0, "task_id": 77 })
        };
        Ok(HttpResponse::of(200, answer.to_string().as_bytes()))
    }
}

/// Opens a ticket whose notice is accepted. `lists` are the lists in which DingTalk names the person, from the last response
/// to the first.
async fn sent(lists: Vec<&'static str>) -> (Channels, Arc<Dingtalk>) {
    let mut channels = Channels::open_with(ACCOUNT).await;
    let dingtalk = Arc::new(Dingtalk {
        lists: Mutex::new(lists),
        ..Dingtalk::default()
    });
    channels.desk.app.http = dingtalk.clone();
    let keys = &channels.desk.app.ledger.keys;
    let secret = br#"{"app_key":"k","app_secret":"s"}"#;
    keys.keep_secret("channel/notice", secret)
        .await
        .expect("stored");
    channels.reachable(None).await;
    channels.submit().await;
    assert_eq!(channels.newest("zhangsan").await["outcome"], "accepted");
    (channels, dingtalk)
}

#[tokio::test]
async fn a_plan_without_further_calls_sends_nothing_and_says_so() {
    let planned = ACCOUNT.replace("agent_id =", "calls_per_month = 1\n    agent_id =");
    let mut channels = Channels::open_with(&planned).await;
    let dingtalk = Arc::new(Dingtalk::default());
    channels.desk.app.http = dingtalk.clone();
    let keys = &channels.desk.app.ledger.keys;
    let secret = br#"{"app_key":"k","app_secret":"s"}"#;
    keys.keep_secret("channel/notice", secret)
        .await
        .expect("stored");
    channels.reachable(None).await;
    channels.submit().await;
    assert_eq!(channels.newest("zhangsan").await["outcome"], "accepted");
    channels.desk.clock.advance(1_000);
    channels.submit().await;
    let newest = channels.newest("zhangsan").await;
    let failed = &newest["deliveries"][0];
    assert_eq!(
        (&newest["outcome"], &failed["class"], &failed["reason"]),
        (
            &json!("inbox_only"),
            &json!("throttled"),
            &json!("the plan of the account allows 1 calls in one month")
        )
    );
    channels.desk.clock.advance(PAUSES_MS[0]);
    channels.desk.settle().await;
    assert_eq!(dingtalk.polls(), 0, "a request for a receipt counts too");
}

#[tokio::test]
async fn calls_count_until_the_end_of_the_month() {
    let channels = Channels::open_with(ACCOUNT).await;
    let take = async |channels: &Channels| {
        let app = &channels.desk.app;
        let wait = functions::app::rate::take_call(app, "notice", 2).await;
        wait.expect("counted")
    };
    assert_eq!(take(&channels).await, None);
    assert_eq!(take(&channels).await, None);
    let wait = take(&channels).await.expect("no further call");
    let channels = channels.restart().await;
    channels.desk.clock.advance(wait - 1);
    assert_eq!(take(&channels).await, Some(1));
    channels.desk.clock.advance(1);
    assert_eq!(take(&channels).await, None, "the next month");
}

async fn receipt(channels: &Channels) -> Value {
    let deliveries = channels.get("deliveries", "admin").await;
    deliveries["deliveries"][0]["receipt"].clone()
}

#[tokio::test]
async fn a_notice_is_read_when_dingtalk_reports_it_after_a_loss_of_the_views() {
    let (channels, dingtalk) = sent(vec!["read_user_id_list", "unread_user_id_list"]).await;
    channels.desk.clock.advance(PAUSES_MS[0] - 1);
    channels.desk.settle().await;
    assert_eq!(dingtalk.polls(), 0);
    channels.desk.clock.advance(1);
    channels.desk.settle().await;
    assert_eq!(
        (dingtalk.polls(), receipt(&channels).await),
        (1, Value::Null)
    );
    let channels = channels.restart_without_views().await;
    // After the loss of the views, the last messages of the account are unknown. The account waits for one minute.
    channels.desk.clock.advance(PAUSES_MS[1]);
    channels.desk.settle().await;
    channels.desk.clock.advance(PAUSES_MS[2]);
    channels.desk.settle().await;
    assert_eq!(receipt(&channels).await, "read");
    let events = channels.events_of("notice").await;
    assert_eq!(
        events.last().map(String::as_str),
        Some("delivery.receipt_ended")
    );
    let polls = dingtalk.polls();
    channels.desk.clock.advance(PAUSES_MS[4]);
    channels.desk.settle().await;
    assert_eq!(dingtalk.polls(), polls, "the receipt ends the requests");
}

#[tokio::test]
async fn an_undelivered_notice_is_reported_and_stays_accepted() {
    let (channels, _) = sent(vec!["failed_user_id_list"]).await;
    channels.desk.clock.advance(PAUSES_MS[0]);
    channels.desk.settle().await;
    assert_eq!(receipt(&channels).await, "undelivered");
    assert_eq!(channels.newest("zhangsan").await["outcome"], "accepted");
}

#[tokio::test]
async fn the_desk_requests_a_receipt_at_most_five_times() {
    let (channels, dingtalk) = sent(Vec::new()).await;
    for pause in PAUSES_MS {
        channels.desk.clock.advance(pause);
        channels.desk.settle().await;
    }
    assert_eq!(dingtalk.polls(), PAUSES_MS.len());
    assert_eq!(receipt(&channels).await, "missing");
    channels.desk.clock.advance(PAUSES_MS[4]);
    channels.desk.settle().await;
    assert_eq!(dingtalk.polls(), PAUSES_MS.len());
}
