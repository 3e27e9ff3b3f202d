//! These tests send the same acknowledgement through every way that people can use, and compare the events of the tickets
//! (plans/notifications.md, must show 4 and 9).

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use domain::notification::action::Action;
use functions::app::notifications::actions::{self, Claim, VALID_MS};
use functions::cli::demo::fakes::teams::Teams;
use infra::clock::Clock as _;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use super::Channels;
use super::chats::{ACCOUNTS, LANES, Lane, Said};
use super::teams_bot::ToTeams;
use crate::console::{hidden, logged_in};

const DAY_MS: i64 = 86_400_000;
const NO_MESSAGES: &str = "\n    [policy]\n    accounts = []\n";
/// The platforms whose signatures cover no time. The stored id of a message is the only protection against its repetition.
const SIGNS_NO_TIME: &[&str] = &["twilio"];

/// An HTTP client for all platforms. Teams is an imitation, and the other platforms accept every request.
struct Platforms(ToTeams);

#[async_trait]
impl HttpClient for Platforms {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.url.starts_with("http://127.0.0.1:1/") {
            return self.0.send(request).await;
        }
        Ok(HttpResponse::of(
            200,
            br#"{"ok":true,"code":0,"errcode":0}"#,
        ))
    }
}

/// A desk with an account for each platform, and a person who is linked on each platform.
struct Everywhere {
    channels: Channels,
    teams: Arc<Teams>,
}

impl Everywhere {
    async fn open() -> Self {
        let mut channels = Channels::open_with(&[ACCOUNTS, NO_MESSAGES].concat()).await;
        let app = ("0a1b2c3d-0000-4000-8000-000000000001", "client-secret");
        let teams = Teams::new(app, ("w1", "s1"), channels.desk.clock.clone());
        let teams = Arc::new(teams);
        channels.desk.app.http = Arc::new(Platforms(ToTeams(teams.clone())));
        let keys = &channels.desk.app.ledger.keys;
        for lane in LANES.iter().filter(|lane| !lane.secret.is_empty()) {
            let name = format!("inbound/{}", lane.account);
            keys.keep_secret(&name, lane.secret.as_bytes())
                .await
                .unwrap();
        }
        let everywhere = Self { channels, teams };
        let known = LANES.iter().map(|lane| lane.address);
        // A person cannot know the id of the chat with the bot of Teams. The link stores it.
        let known = known.filter(|(kind, _)| *kind != "teams");
        let addresses: Map<String, Value> = known
            .map(|(kind, address)| (kind.to_owned(), address.into()))
            .collect();
        let preferences = json!({ "addresses": addresses });
        let (status, answer) = everywhere.channels.prefer("zhangsan", preferences).await;
        assert_eq!(status, 200, "{answer}");
        for lane in LANES.iter().filter(|lane| !lane.is_press) {
            everywhere.link(lane).await;
        }
        everywhere
    }

    /// Sends a message. Returns the status of the response.
    async fn send(&self, lane: &Lane, id: &str, text: &str) -> u16 {
        let at = self.channels.desk.clock.now();
        let said = Said { at, id, text };
        let request = lane.request(self.teams.framework(), &said);
        let (status, _) = self.channels.desk.send(request).await;
        self.channels.desk.settle().await;
        status.as_u16()
    }

    async fn link(&self, lane: &Lane) {
        let path = format!("people/zhangsan/addresses/{}/verify", lane.address.0);
        let desk = &self.channels.desk;
        let (status, answer) = desk.v1("POST", &path, "zhangsan", json!({})).await;
        assert_eq!(status, 200, "{}: {answer}", lane.name);
        let code = answer["code"].as_str().expect("a code");
        let id = format!("link-{}", lane.name.replace(' ', "-"));
        let status = self.send(lane, &id, &format!("link {code}")).await;
        assert_eq!(status, 200, "{}", lane.name);
    }

    /// Opens a ticket. Returns its number, and a token with which zhangsan acknowledges it. `is_personal` is true for the
    /// token of a message that no other person can read.
    async fn ticket(&self, is_personal: bool) -> (String, String) {
        // Notifications of the same time have no order.
        self.channels.desk.clock.advance(1_000);
        let sn = self.channels.submit().await;
        let notification = self.channels.newest("zhangsan").await;
        assert_eq!(notification["ticket"], sn.as_str());
        let app = &self.channels.desk.app;
        let claim = Claim {
            action: Action::Acknowledge,
            notification: format!(
                "notification-{}",
                notification["id"].as_str().expect("an id")
            ),
            person: app.people.find("zhangsan").await.unwrap(),
            account: String::new(),
            is_personal,
            until: self.channels.desk.clock.now().plus_ms(VALID_MS),
        };
        let key = app.token_keys().await.unwrap().newest;
        (sn, actions::sign(&key, &claim))
    }

    /// Returns the events after the first `skipped` events of a ticket, without their metadata. The second value is the
    /// origin of the last event. The last value shows whether zhangsan caused all of these events.
    async fn events(&self, sn: &str, skipped: usize) -> (Vec<String>, String, bool) {
        let app = &self.channels.desk.app;
        let person = app.people.find("zhangsan").await.unwrap();
        let stream = format!("ticket-{sn}");
        let history = functions::app::tickets::history(&app.ledger, &stream).await;
        let history = history.expect("a history");
        let new = &history[skipped..];
        let events = new.iter().map(|one| format!("{:?}", one.event)).collect();
        let origin = new.last().map(|one| format!("{:?}", one.meta.origin));
        let is_own = new.iter().all(|one| one.meta.actor == person);
        (events, origin.unwrap_or_default(), is_own)
    }

    async fn page(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "desk");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (status, page) = self.channels.desk.send(request).await;
        assert_eq!(status.as_u16(), 200, "{method} {path}");
        String::from_utf8(page).expect("text")
    }

    /// Opens the page of an action in all ways in which mail gateways and browsers open links. Returns the fingerprint of the
    /// content on the page.
    async fn opened(&self, path: &str) -> String {
        let head = self.channels.desk.head().await;
        let page = self.page("GET", path, &[], "").await;
        self.page("HEAD", path, &[], "").await;
        for header in [
            ("purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
        ] {
            self.page("GET", path, &[header], "").await;
        }
        self.channels.desk.settle().await;
        let now = self.channels.desk.head().await;
        assert_eq!(now, head, "a link that is only opened acts 0 times");
        let seen = page.split("name=\"seen\" value=\"").nth(1);
        let seen = seen.expect("a fingerprint").split('"').next();
        seen.expect("a value").to_owned()
    }
}

#[tokio::test]
async fn an_acknowledgement_causes_the_same_events_on_every_way() {
    let everywhere = Everywhere::open().await;
    let mut found: Vec<(&str, Vec<String>, String)> = Vec::new();
    for (number, lane) in LANES.iter().enumerate() {
        // A chat platform identifies the person, so a button acts also in a conversation of several people.
        let (sn, token) = everywhere.ticket(false).await;
        let before = everywhere.channels.desk.story(&sn).await.len();
        let command = format!("ack {sn}");
        let text = if lane.is_press { &token } else { &command };
        let id = format!("ack-{number}");
        assert_eq!(everywhere.send(lane, &id, text).await, 200, "{}", lane.name);
        let (events, origin, is_own) = everywhere.events(&sn, before).await;
        assert!(is_own, "{}: another person acted", lane.name);
        let head = everywhere.channels.desk.head().await;
        assert_eq!(everywhere.send(lane, &id, text).await, 200, "{}", lane.name);
        let again = everywhere.channels.desk.head().await;
        assert_eq!(again, head, "{}: a repeated message acts once", lane.name);
        found.push((lane.name, events, origin));
    }

    let (sn, _) = everywhere.ticket(true).await;
    let before = everywhere.channels.desk.story(&sn).await.len();
    let desk = &everywhere.channels.desk;
    desk.operate(&json!(sn), "acknowledge", "zhangsan", json!({}))
        .await;
    let (events, origin, is_own) = everywhere.events(&sn, before).await;
    assert!(is_own, "API");
    found.push(("API", events, origin));

    let (sn, token) = everywhere.ticket(true).await;
    let before = everywhere.channels.desk.story(&sn).await.len();
    let path = format!("/act/{token}");
    let seen = everywhere.opened(&path).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    everywhere
        .page("POST", &path, &form, &format!("seen={seen}&text="))
        .await;
    let (events, origin, is_own) = everywhere.events(&sn, before).await;
    assert!(is_own, "link");
    found.push(("link in a message", events, origin));

    println!(
        "{} messages of {} ways were sent twice and acted once",
        LANES.len(),
        found.len()
    );
    println!("{:<24} {:<8} events of the ticket", "way", "origin");
    for (name, events, origin) in &found {
        println!("{name:<24} {origin:<8} {}", events.join(", "));
    }
    let (_, expected, _) = &found[0];
    assert_eq!(expected.len(), 1, "{expected:?}");
    assert!(expected[0].contains("Acknowledged"), "{expected:?}");
    for (name, events, _) in &found {
        assert_eq!(events, expected, "{name}");
    }
}

#[tokio::test]
async fn a_link_that_another_person_opens_acts_0_times() {
    let everywhere = Everywhere::open().await;
    let desk = &everywhere.channels.desk;
    let mut other = logged_in(desk, "wangwu").await;
    let home = other.get("/").await.text;
    let code = hidden(&home, "/logout", "form_code");
    for is_personal in [true, false] {
        let (sn, token) = everywhere.ticket(is_personal).await;
        let before = desk.story(&sn).await.len();
        let path = format!("/act/{token}");
        let head = desk.head().await;
        let page = other.get(&path).await;
        assert_eq!(page.status, 403, "{}", page.text);
        let form = [("form_code", code.as_str()), ("seen", ""), ("text", "")];
        let page = other.post(&path, &form).await;
        assert_eq!(page.status, 403, "{}", page.text);
        desk.settle().await;
        assert_eq!(desk.head().await, head);
        let (events, ..) = everywhere.events(&sn, before).await;
        assert!(events.is_empty(), "{events:?}");
    }
}

#[tokio::test]
async fn a_message_of_400_days_ago_is_refused_by_each_platform_that_signs_time() {
    let everywhere = Everywhere::open().await;
    let (sn, token) = everywhere.ticket(true).await;
    let command = format!("status {sn}");
    for (number, lane) in LANES.iter().enumerate() {
        let text = if lane.is_press { &token } else { &command };
        let id = format!("old-{number}");
        let at = everywhere.channels.desk.clock.now();
        let said = Said { at, id: &id, text };
        let request = lane.request(everywhere.teams.framework(), &said);
        let head = everywhere.channels.desk.head().await;
        everywhere.channels.desk.clock.advance(400 * DAY_MS);
        let (status, _) = everywhere.channels.desk.send(request).await;
        let is_accepted = SIGNS_NO_TIME.contains(&lane.platform);
        let expected = if is_accepted { 200 } else { 403 };
        assert_eq!(status.as_u16(), expected, "{}", lane.name);
        let now = everywhere.channels.desk.head().await;
        assert_eq!(now > head, is_accepted, "{}", lane.name);
        println!("{}: 400 days old: {status}", lane.name);
    }
}
