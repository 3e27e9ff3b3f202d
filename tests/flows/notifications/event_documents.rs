//! These tests check a notification as the event document of the requirements, with the status of each channel.

use domain::number_sequence::{COUNTER_MAX, Command, NumberSequence};
use events::{Meta, Moment};
use infra::CommandEnvelope;
use infra::channel::MailReply;
use infra::ledger::NoContext;
use serde_json::{Value, json};

use super::Channels;

impl Channels {
    /// Returns the event document of the newest notification of zhangsan, as `user` sees it.
    async fn event(&self, user: &str) -> (u16, Value) {
        let id = self.newest("zhangsan").await["id"].clone();
        let path = format!("notifications/{}/event", id.as_str().expect("an id"));
        self.desk.v1("GET", &path, user, Value::Null).await
    }

    /// Returns the running numbers of all notifications of zhangsan, newest first.
    async fn event_numbers(&self) -> Vec<u64> {
        let inbox = self.get("inbox/zhangsan", "zhangsan").await;
        let mut numbers = Vec::new();
        for shown in inbox["notifications"].as_array().expect("a list") {
            let id = shown["id"].as_str().expect("an id");
            let path = format!("notifications/{id}/event");
            let event = self.get(&path, "zhangsan").await;
            let id = event["event_id"].as_str().expect("an id");
            let number = id.strip_prefix("notif-20261122-").expect("the day");
            assert!(number.len() >= 3, "{id}");
            numbers.push(number.parse().expect("a number"));
        }
        numbers
    }
}

#[tokio::test]
async fn an_event_keeps_its_running_number_of_the_day() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.submit().await;
    channels.desk.clock.advance(1_000);
    channels.submit().await;
    let numbers = channels.event_numbers().await;
    let [newer, older] = numbers[..] else {
        panic!("{numbers:?}")
    };
    // The notifications of the other approver have numbers too.
    assert!(0 < older && older < newer && newer <= 20, "{older} {newer}");
    // The desk processes all events again.
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    assert_eq!(channels.event_numbers().await, numbers);
    channels.desk.clock.advance(1_000);
    channels.submit().await;
    let numbers = channels.event_numbers().await;
    assert_eq!((numbers.len(), &numbers[1..]), (3, &[newer, older][..]));
    assert!(numbers[0] > newer, "{numbers:?}");
}

/// Old and new events can come in turn, also at the end of a month.
#[tokio::test]
async fn numbers_of_two_days_alternate_without_gaps() {
    let channels = Channels::open().await;
    let app = &channels.desk.app;
    let zone = &app.settings.zone;
    let meta = Meta::system("t", "t");
    let noon = |month: i8, day: i8| {
        let local = jiff::civil::date(2026, month, day).at(12, 0, 0, 0);
        let zoned = local.to_zoned_datetime(zone.clone()).expect("a local time");
        Moment(zoned.timestamp().as_millisecond())
    };
    let (mut of_november, mut of_december) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for (at, numbers) in [
            (noon(11, 30), &mut of_november),
            (noon(12, 1), &mut of_december),
        ] {
            let number = app.numbers.of_notification(at, zone, &meta).await.unwrap();
            numbers.push(number.expect("a number"));
        }
    }
    assert_eq!((of_november, of_december), (vec![1, 2, 3], vec![1, 2, 3]));
}

#[tokio::test]
async fn a_notification_needs_no_number() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let ledger = &channels.desk.app.ledger;
    let envelope = CommandEnvelope {
        stream: "number_sequence-notif20261122".into(),
        command_id: ledger.fresh_id(),
        meta: Meta::system("t", "t"),
    };
    let all = Command::Issue { size: COUNTER_MAX };
    let issued = ledger.execute::<NumberSequence>(&envelope, &all, &NoContext);
    issued.await.expect("all numbers of the day");
    channels.submit().await;
    let numbers = channels.event_numbers().await;
    let [number] = numbers[..] else {
        panic!("{numbers:?}")
    };
    assert!(number > 999_999, "computed from the id: {number}");
}

#[tokio::test]
async fn an_event_has_the_members_of_the_requirements() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    let (status, event) = channels.event("zhangsan").await;
    assert_eq!(status, 200, "{event}");
    let id = event["event_id"].as_str().expect("an id");
    assert!(id.starts_with("notif-20261122-"), "{id}");
    for member in [
        "event_id",
        "event_type",
        "timestamp",
        "source",
        "target_users",
        "content",
        "context",
        "delivery_status",
    ] {
        assert!(event.get(member).is_some(), "{member}: {event}");
    }
    assert_eq!(event["target_users"], json!(["zhangsan"]));
    assert_eq!(event["content"]["ticket_id"], json!(sn));
    assert!(
        event["context"]["impacted_services"][0].is_string(),
        "{event}"
    );
    let delivery = &event["delivery_status"];
    assert_eq!(delivery["email"]["status"], "sent");
    assert!(delivery["email"]["timestamp"].is_string(), "{delivery}");
    assert_eq!(delivery["dingtalk"]["status"], "sent");
    let (_, again) = channels.event("admin").await;
    assert_eq!(again["event_id"], event["event_id"]);
}

#[tokio::test]
async fn a_refused_message_and_a_held_message_have_their_reason() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    channels.desk.mailer.plan(Ok(MailReply {
        code: 550,
        text: "5.7.1 refused".into(),
    }));
    channels.submit().await;
    let (_, event) = channels.event("zhangsan").await;
    assert_eq!(event["delivery_status"]["email"]["status"], "failed");
    let quiet = json!({ "from": "00:00", "to": "23:30" });
    channels.reachable(Some(quiet)).await;
    channels.desk.clock.advance(1_000);
    channels.submit().await;
    let (_, event) = channels.event("zhangsan").await;
    let in_app = json!({
        "status": "sent", "timestamp": event["timestamp"], "reason": "quiet_hours",
    });
    assert_eq!(event["delivery_status"], json!({ "in_app": in_app }));
}

#[tokio::test]
async fn the_inbox_has_the_entry_before_the_channels_end() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    let preferences = json!({
        "addresses": { "email": "zhangsan@example.com", "dingtalk": "dt-zhangsan" },
        "channels": { "dingtalk": { "frequency": "batch", "batch_times": ["14:00"] } },
    });
    assert_eq!(channels.prefer("zhangsan", preferences).await.0, 200);
    channels.submit().await;
    let (_, event) = channels.event("zhangsan").await;
    let delivery = &event["delivery_status"];
    assert_eq!(delivery["dingtalk"]["status"], "pending", "{delivery}");
    assert_eq!(delivery["email"]["status"], "sent", "{delivery}");
    let in_app = json!({ "status": "sent", "timestamp": event["timestamp"] });
    assert_eq!(delivery["in_app"], in_app);

    channels.desk.clock.advance(4 * 3_600_000 + 120_000);
    channels.desk.settle().await;
    assert_eq!(channels.newest("zhangsan").await["outcome"], "accepted");
    let (_, event) = channels.event("zhangsan").await;
    let delivery = &event["delivery_status"];
    assert_eq!(delivery["dingtalk"]["status"], "sent", "{delivery}");
    assert_eq!(
        delivery["in_app"], in_app,
        "not the time of the last channel"
    );
}

#[tokio::test]
async fn only_the_person_and_superusers_see_the_event() {
    let channels = Channels::open().await;
    channels.submit().await;
    let (status, problem) = channels.event("wangwu").await;
    assert_eq!(status, 404, "{problem}");
}
