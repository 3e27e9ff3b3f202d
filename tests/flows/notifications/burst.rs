//! These tests open many alerts within one minute, which all go to one robot. The robot accepts 20 messages in any minute.
//! All messages must arrive within this limit, in order, and the messages about critical tickets first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::notification::Notification;
use domain::notification::delivery::{Delivery, End};
use functions::cli::demo::fakes::dingtalk::Robot;
use infra::clock::{Clock as _, ManualClock};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use infra::store::Placed;
use serde_json::json;

use super::{Channels, ROBOT, ToRobot};

const POLICY: &str = "[policy]\naccounts = [\"ops_robot\"]\nbands = { \"3\" = \"critical\" }\n";
const MINUTE_MS: i64 = 60_000;
const PER_MINUTE: usize = 20;
/// The time by which the test advances the clock while messages wait, in milliseconds.
const STEP_MS: i64 = 10_000;
/// Number of tickets to which the alerts belong. One of six tickets is critical.
const TICKETS: usize = 12;
const CRITICAL_OF: usize = 6;

/// Returns the number of alerts: 120, or the value of the environment variable `LEDGERDESK_ALERTS`. Long runs use 1,000.
#[expect(
    clippy::disallowed_methods,
    reason = "a variable selects the long form"
)]
fn alerts() -> usize {
    let text = std::env::var("LEDGERDESK_ALERTS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(120)
}

/// Passes each request to the robot, and stores its time.
struct Timed {
    robot: Arc<Robot>,
    clock: Arc<ManualClock>,
    times: Mutex<Vec<i64>>,
}

#[async_trait]
impl HttpClient for Timed {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let now = self.clock.now().0;
        self.times.lock().expect("no holder panics").push(now);
        ToRobot(self.robot.clone()).send(request).await
    }
}

/// One message that the robot accepted.
struct Sent {
    ticket: String,
    /// The position of the commit that requested the notification.
    requested: i64,
    is_critical: bool,
}

/// Opens the tickets, and waits until the messages about their approval are sent.
async fn open() -> (Channels, Arc<Timed>, Vec<String>) {
    let mut channels = Channels::open_with(&[ROBOT, POLICY].concat()).await;
    let timed = Arc::new(Timed {
        robot: channels.robot.clone(),
        clock: channels.desk.clock.clone(),
        times: Mutex::default(),
    });
    channels.desk.app.http = timed.clone();
    channels.reachable(None).await;
    let mut tickets = Vec::new();
    for number in 0..TICKETS {
        let level = if number % CRITICAL_OF == 0 { "3" } else { "1" };
        tickets.push(channels.submit_with(level).await);
    }
    drain(&channels).await;
    channels.desk.clock.advance(MINUTE_MS);
    (channels, timed, tickets)
}

/// Adds alerts to the tickets in turn, as remarks of the user lisi. The alerts are evenly distributed over `ms` milliseconds.
async fn raise(channels: &Channels, tickets: &[String], alerts: usize, ms: i64) {
    let pause = ms / i64::try_from(alerts).expect("a small number");
    for number in 0..alerts {
        channels.desk.clock.advance(pause);
        let sn = json!(tickets[number % tickets.len()]);
        let body = json!({ "text": format!("alert {number}") });
        channels.desk.operate(&sn, "remark", "lisi", body).await;
        if number % 10 == 9 {
            channels.desk.settle().await;
        }
    }
    channels.desk.settle().await;
}

/// Advances the clock until no message waits.
async fn drain(channels: &Channels) {
    for _ in 0..2_000 {
        let open = channels.get("deliveries?state=open", "admin").await;
        if open["count"] == 0 {
            return;
        }
        channels.desk.clock.advance(STEP_MS);
        channels.desk.settle().await;
    }
    panic!("messages wait for hours");
}

/// Reads all deliveries in the ledger. Returns their messages in the order in which the robot accepted them.
async fn sent(channels: &Channels) -> Vec<Sent> {
    let ledger = &channels.desk.app.ledger;
    let mut feed = Vec::new();
    loop {
        let after = feed.last().map_or(0, |placed: &Placed| placed.position);
        let page = ledger.store.feed(after, 1_000).await.expect("a feed");
        if page.is_empty() {
            break;
        }
        feed.extend(page);
    }
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    for placed in &feed {
        let stream = placed.commit.stream.clone();
        first.entry(stream.clone()).or_insert(placed.position);
        last.insert(stream, placed.position);
    }
    let mut all = Vec::new();
    for (stream, position) in &last {
        if !stream.starts_with("delivery-") {
            continue;
        }
        let delivery = ledger.load::<Delivery>(stream).await.expect("a delivery");
        let delivery = delivery.aggregate.0;
        assert!(
            matches!(delivery.end, Some(End::Succeeded(_))),
            "{stream}: {:?}",
            delivery.end
        );
        let requested = delivery.requested.expect("a request");
        let notification = ledger.load::<Notification>(&requested.notification).await;
        let fact = notification.expect("a notification").aggregate.0.requested;
        let message = Sent {
            ticket: requested.ticket.to_string(),
            requested: first[&requested.notification],
            is_critical: fact.expect("a fact").is_critical,
        };
        all.push((*position, message));
    }
    all.sort_by_key(|(position, _)| *position);
    all.into_iter().map(|(_, message)| message).collect()
}

/// Checks all messages. Of the messages that were sent after the number `before`, at most `others_max` messages that are not
/// critical may be sent before the last critical one.
async fn check(channels: &Channels, timed: &Timed, before: usize, others_max: usize) {
    let alerts = alerts();
    let times = timed.times.lock().expect("no holder panics").clone();
    assert_eq!(
        times.len(),
        TICKETS + alerts,
        "one request for each message"
    );
    assert!(channels.robot.refused().is_empty());
    assert_eq!(channels.robot.accepted().len(), TICKETS + alerts);
    for window in times.windows(PER_MINUTE + 1) {
        assert!(
            window[0] + MINUTE_MS <= window[PER_MINUTE],
            "more than {PER_MINUTE} messages in one minute: {window:?}"
        );
    }
    let sent = sent(channels).await;
    assert_eq!(sent.len(), TICKETS + alerts, "no message is lost");
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for message in &sent {
        let before = newest.insert(&message.ticket, message.requested);
        assert!(
            before.is_none_or(|before| before < message.requested),
            "{} is out of order",
            message.ticket
        );
    }
    assert_eq!(newest.len(), TICKETS);
    let later = &sent[before..];
    let critical = later.iter().filter(|message| message.is_critical).count();
    let last = later.iter().rposition(|message| message.is_critical);
    let others = last.expect("a critical message") + 1 - critical;
    println!(
        "{alerts} alerts, {} minutes, {others} other messages before the last of {critical} critical ones",
        (times[times.len() - 1] - times[TICKETS]) / MINUTE_MS
    );
    assert!(
        others <= others_max,
        "{others} messages were sent before the last of {critical} critical messages"
    );
}

#[tokio::test]
async fn many_alerts_arrive_within_the_limit_in_order_and_critical_ones_first() {
    let (channels, timed, tickets) = open().await;
    raise(&channels, &tickets, alerts(), MINUTE_MS).await;
    let before = channels.robot.accepted().len();
    assert!(before <= TICKETS + PER_MINUTE);
    drain(&channels).await;
    check(&channels, &timed, before, 2 * PER_MINUTE).await;
}

#[tokio::test]
async fn a_restart_between_alerts_changes_neither_limit_nor_order() {
    let (channels, timed, tickets) = open().await;
    let half = alerts() / 2;
    raise(&channels, &tickets, half, MINUTE_MS / 2).await;
    let channels = channels.restart().await;
    raise(&channels, &tickets, alerts() - half, MINUTE_MS / 2).await;
    let before = channels.robot.accepted().len();
    drain(&channels).await;
    check(&channels, &timed, before, 2 * PER_MINUTE).await;
}

/// Without the views, the desk does not know its last messages. It sends nothing for one minute, and a critical message goes
/// first from its own time on.
#[tokio::test]
async fn deleted_views_between_alerts_lose_no_message_and_keep_the_order() {
    let (channels, timed, tickets) = open().await;
    raise(&channels, &tickets, alerts(), MINUTE_MS).await;
    let before = channels.robot.accepted().len();
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    assert_eq!(channels.robot.accepted().len(), before);
    drain(&channels).await;
    let critical = alerts() / CRITICAL_OF + 1;
    check(&channels, &timed, before, critical + 2 * PER_MINUTE).await;
}
