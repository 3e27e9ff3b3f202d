//! These tests check how clients wait for changes of an inbox: server-sent events with a resumption, and long polls.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use base64::Engine as _;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tests::TRUSTED;

use super::Channels;
use crate::attachments::request_of;

/// The longest time for which a test waits for an event. An event normally needs a few milliseconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// A client that reads server-sent events.
struct Client {
    body: BodyDataStream,
    unread: String,
}

/// One server-sent event.
#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: i64,
    data: Value,
}

impl Client {
    async fn connect(channels: &Channels, last: Option<i64>) -> Self {
        let credentials = base64::engine::general_purpose::STANDARD
            .encode(format!("{}:{}", TRUSTED.0, TRUSTED.1));
        let mut request = Request::builder()
            .uri("/v1/inbox/zhangsan/events")
            .header("authorization", format!("Basic {credentials}"))
            .header("x-on-behalf-of", "zhangsan");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = channels.desk.answer(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            unread: String::new(),
        }
    }

    /// Returns the next event that is not a heartbeat. Returns `None` if the response ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let member = |name: &str| {
                    let mut lines = block.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                };
                let event = Event {
                    name: member("event: ").to_owned(),
                    id: member("id: ").parse().expect("an id"),
                    data: serde_json::from_str(member("data: ")).expect("JSON"),
                };
                self.unread = rest.into();
                if event.name != "position" {
                    return Some(event);
                }
            }
            let part = tokio::time::timeout(PATIENCE, self.body.next()).await;
            let part = part.expect("an event in time")?.expect("a part");
            self.unread
                .push_str(std::str::from_utf8(&part).expect("text"));
        }
    }

    async fn change(&mut self) -> Event {
        let event = self.next().await.expect("an event");
        assert_eq!(event.name, "notification", "{event:?}");
        event
    }
}

#[tokio::test]
async fn a_client_gets_each_change_and_resumes_exactly_after_the_last_one() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    let mut client = Client::connect(&channels, None).await;
    let connected = client.next().await.expect("an event");
    assert_eq!(connected.name, "connected");
    assert_eq!(connected.data, json!({ "position": connected.id }));
    let first = channels.submit().await;
    let opened = client.change().await;
    assert!(opened.id > connected.id);
    assert_eq!(opened.data["notification"]["ticket"], first);
    assert_eq!(opened.data["notification"]["inbox"], "unseen");
    assert_eq!(opened.data["is_removed"], false);
    drop(client);
    // The next two changes happen while the client is not connected.
    let id = opened.data["notification"]["id"].as_str().expect("an id");
    let path = format!("notifications/{id}/read");
    channels
        .desk
        .v1("POST", &path, "zhangsan", Value::Null)
        .await;
    let second = channels.submit().await;
    let mut client = Client::connect(&channels, Some(opened.id)).await;
    assert_eq!(client.next().await.expect("an event").id, opened.id);
    let read = client.change().await;
    assert_eq!(read.data["notification"]["inbox"], "read");
    let later = client.change().await;
    assert_eq!(later.data["notification"]["ticket"], second);
    assert!(opened.id < read.id && read.id < later.id);
    // A client that was interrupted between these two events gets only the second one again.
    let mut again = Client::connect(&channels, Some(read.id)).await;
    again.next().await;
    assert_eq!(again.change().await, later);
    channels.desk.app.stopping.send_replace(true);
    assert_eq!((client.next().await, again.next().await), (None, None));
}

#[tokio::test]
async fn a_client_resumes_after_a_restart_that_lost_the_views() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    channels.submit().await;
    let page = channels.get("inbox/zhangsan", "zhangsan").await;
    let position = page["position"].as_i64().expect("a position");
    let channels = channels.restart_without_views().await;
    let ticket = channels.submit().await;
    let mut client = Client::connect(&channels, Some(position)).await;
    client.next().await;
    assert_eq!(client.change().await.data["notification"]["ticket"], ticket);
}

#[tokio::test]
async fn a_client_with_a_position_of_another_ledger_loads_the_inbox_again() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    channels.desk.settle().await;
    let head = channels.desk.head().await;
    let mut client = Client::connect(&channels, Some(head + 1_000)).await;
    client.next().await;
    let reset = client.next().await.expect("an event");
    assert_eq!((reset.name.as_str(), reset.id), ("reset", head));
}

#[tokio::test]
async fn a_long_poll_returns_the_changes_after_a_position() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    let page = channels.get("inbox/zhangsan", "zhangsan").await;
    let path = |position: &Value, wait: u32| {
        format!("inbox/zhangsan/changes?after={position}&wait={wait}")
    };
    let none = channels.get(&path(&page["position"], 0), "zhangsan").await;
    assert_eq!(none["changes"], json!([]), "{none}");
    let wait = path(&none["position"], 20);
    let waiting = channels.get(&wait, "zhangsan");
    let (found, ticket) = tokio::join!(waiting, channels.submit());
    assert_eq!(
        found["changes"][0]["notification"]["ticket"], ticket,
        "{found}"
    );
    assert_eq!(found["is_reset"], false);
    let rest = channels.get(&path(&found["position"], 0), "zhangsan").await;
    assert_eq!(rest["changes"], json!([]), "{rest}");
    for wrong in ["after=-1", "after=x", "wait=21", "after=1&after=2"] {
        let path = format!("inbox/zhangsan/changes?{wrong}");
        let (status, problem) = channels
            .desk
            .v1("GET", &path, "zhangsan", Value::Null)
            .await;
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
}

#[tokio::test]
async fn a_response_on_a_platform_without_streaming_ends_after_the_changes() {
    let mut channels = Channels::open_with("[policy]\naccounts = []").await;
    let mut settings = (*channels.desk.app.settings).clone();
    settings.is_streaming = false;
    channels.desk.app.settings = Arc::new(settings);
    let before = channels.desk.head().await;
    let ticket = channels.submit().await;
    let mut client = Client::connect(&channels, Some(before)).await;
    assert_eq!(client.next().await.expect("an event").name, "connected");
    assert_eq!(client.change().await.data["notification"]["ticket"], ticket);
    assert_eq!(client.next().await, None);
    let path = format!("inbox/zhangsan/events?after={before}");
    let request = request_of("GET", &path, "zhangsan", &[], Body::empty());
    assert_eq!(channels.desk.send(request).await.0, 200);
}

#[tokio::test]
async fn only_the_person_and_superusers_wait_for_changes_of_an_inbox() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    for path in ["events", "changes", "counts"] {
        let path = format!("inbox/zhangsan/{path}");
        let (status, _) = channels.desk.v1("GET", &path, "lisi", Value::Null).await;
        assert_eq!(status, 403, "{path}");
    }
    channels.get("inbox/zhangsan/changes", "admin").await;
    let headers = [("last-event-id", "seven")];
    let path = "inbox/zhangsan/events";
    let (status, problem) = channels
        .desk
        .v1_with("GET", path, "zhangsan", Value::Null, &headers)
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("Last-Event-ID"))
    );
}

#[tokio::test]
async fn the_number_of_waiting_clients_of_a_person_is_bounded() {
    let channels = Channels::open_with("[policy]\naccounts = []").await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::connect(&channels, None).await);
    }
    let path = "inbox/zhangsan/changes";
    let (status, problem) = channels.desk.v1("GET", path, "zhangsan", Value::Null).await;
    assert_eq!(status, 503, "{problem}");
    clients.pop();
    channels.get(path, "zhangsan").await;
}
