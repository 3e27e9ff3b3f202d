//! These tests check the explanation why a person got no notification about an event of a ticket.

use functions::app::notifications::definitions::Definitions;
use serde_json::{Value, json};

use super::Channels;
use crate::TestDesk;

const POLICY: &str = "[policy]\naccounts = []\n";

/// Returns the reason and the English text for the newest event of the given type.
async fn why(desk: &TestDesk, sn: &str, person: &str, event: &str) -> (String, String) {
    let path = format!("tickets/{sn}/why/{person}?language=en");
    let (status, shown) = desk.v1("GET", &path, "admin", Value::Null).await;
    assert_eq!(status, 200, "{shown}");
    let mut events = shown["events"].as_array().expect("events").iter();
    let found = events.rfind(|one| one["event"] == event);
    let found = found.unwrap_or_else(|| panic!("{event}: {shown}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("text"))
}

async fn act(desk: &TestDesk, sn: &str, operation: &str, user: &str, body: Value) {
    desk.clock.advance(1_000);
    desk.operate(&json!(sn), operation, user, body).await;
    desk.settle().await;
}

#[tokio::test]
async fn every_event_has_a_reason_for_each_person() {
    let channels = Channels::open_with(POLICY).await;
    let sn = channels.submit().await;
    let desk = &channels.desk;
    act(
        desk,
        &sn,
        "remark",
        "zhangsan",
        json!({ "text": "see the list" }),
    )
    .await;
    let remark = "ticket.remark_added";
    for (person, event, reason, expected) in [
        (
            "wangwu",
            remark,
            "notified",
            "Notified: New comment. The ticket waits for this person.",
        ),
        (
            "zhangsan",
            remark,
            "own_action",
            "Not notified: the person caused the event.",
        ),
        (
            "sunqi",
            remark,
            "no_relation",
            "Not notified: the event concerns other people only.",
        ),
        (
            "wangwu",
            "ticket.opened",
            "silent",
            "Not notified: the next node of the ticket or its end causes the notification.",
        ),
        (
            "wangwu",
            "ticket.node_entered",
            "notified",
            "Notified: Approval needed. The ticket waits for this person.",
        ),
    ] {
        let (found, text) = why(desk, &sn, person, event).await;
        assert_eq!(
            (found.as_str(), text.as_str()),
            (reason, expected),
            "{person} {event}"
        );
    }
}

#[tokio::test]
async fn a_switched_off_notification_and_a_missing_policy_are_named() {
    let desk = TestDesk::open().await;
    let mut request = tests::approval_request();
    request["meta"] = json!({ "notify_config": { "enable_follow_notify": false } });
    let opened = desk.must("create_ticket", request).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    act(&desk, &sn, "follow", "lisi", json!({ "people": ["sunqi"] })).await;
    act(
        &desk,
        &sn,
        "remark",
        "zhangsan",
        json!({ "text": "see the list" }),
    )
    .await;
    let (reason, text) = why(&desk, &sn, "sunqi", "ticket.remark_added").await;
    assert_eq!(reason, "switched_off");
    assert!(
        text.contains("notify_config.enable_follow_notify"),
        "{text}"
    );
    let (reason, _) = why(&desk, &sn, "wangwu", "ticket.remark_added").await;
    assert_eq!(reason, "no_policy");
    desk.clock.advance(60_000);
    let definitions = Definitions::read(POLICY).expect("a valid file");
    definitions.store(&desk.app).await.expect("stored");
    let (reason, text) = why(&desk, &sn, "wangwu", "ticket.remark_added").await;
    assert_eq!(reason, "no_policy", "the policy is newer than the event");
    assert!(
        text.contains("had no notification policy at this time"),
        "{text}"
    );
}

#[tokio::test]
async fn only_the_person_and_superusers_may_ask() {
    let channels = Channels::open_with(POLICY).await;
    let sn = channels.submit().await;
    let path = format!("tickets/{sn}/why/wangwu");
    for (user, expected) in [
        ("wangwu", 200),
        ("admin", 200),
        ("zhangsan", 403),
        ("sunqi", 403),
    ] {
        let (status, answer) = channels.desk.v1("GET", &path, user, Value::Null).await;
        assert_eq!(status, expected, "{user}: {answer}");
    }
}
