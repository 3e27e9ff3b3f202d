//! These tests check quiet hours (a daily period without messages). The desk holds messages during this
//! period, and sends each message once at the end of the period.

use serde_json::{Value, json};

use super::{Channels, MAIL};

/// Returns quiet hours that contain the time at which the test clock starts (10:00 in Shanghai).
fn morning() -> Value {
    json!({ "from": "09:00", "to": "12:00" })
}

const TWO_HOURS_MS: i64 = 2 * 3_600_000;

#[tokio::test]
async fn a_held_message_is_sent_once_after_a_restart() {
    let channels = Channels::open().await;
    channels.reachable(Some(morning())).await;
    channels.submit().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(shown["state"], "held");
    assert_eq!(shown["held_until"], "2026-11-22T12:00:00.000+08:00");
    let channels = channels.restart_without_views().await;
    channels.desk.clock.advance(TWO_HOURS_MS - 1);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    let channels = channels.restart_without_views().await;
    channels.desk.clock.advance(1);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
    // After the restart, the desk has no record of its last messages to the robot. To respect the rate limit,
    // the desk sends the next message to the robot one minute later.
    channels.desk.clock.advance(60_000);
    channels.desk.settle().await;
    assert_eq!(channels.robot.accepted().len(), 1);
    let channels = channels.restart_without_views().await;
    channels.desk.clock.advance(TWO_HOURS_MS);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    assert_eq!(channels.robot.accepted().len(), 1);
    let steps = channels.why().await;
    let events: Vec<&str> = steps.iter().map(|(event, ..)| event.as_str()).collect();
    let expected = [
        "notification.requested",
        "notification.held",
        "notification.routed",
    ];
    assert_eq!(events[..3], expected);
    let held =
        "Quiet hours 09:00–12:00 (Asia/Shanghai) hold the message until 2026-11-22 12:00:00.";
    assert_eq!(steps[1].2, held);
}

#[tokio::test]
async fn a_held_message_is_not_sent_if_the_ticket_no_longer_waits() {
    let channels = Channels::open().await;
    channels.reachable(Some(morning())).await;
    let sn = channels.submit().await;
    let vote = json!({ "node": 3, "pass": true });
    let (status, answer) = channels
        .desk
        .v1("POST", &format!("tickets/{sn}/decide"), "zhangsan", vote)
        .await;
    assert_eq!(status, 200, "{answer}");
    channels.desk.clock.advance(TWO_HOURS_MS);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    let all = channels
        .get(&format!("notifications?ticket={sn}"), "admin")
        .await;
    let outcomes: Vec<&Value> = all["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["outcome"])
        .collect();
    assert!(outcomes.contains(&&json!("not_needed")), "{outcomes:?}");
    assert_eq!(channels.get("inbox/zhangsan", "zhangsan").await["count"], 0);
}

#[tokio::test]
async fn an_urgent_ticket_ignores_quiet_hours() {
    let channels = Channels::open().await;
    channels.reachable(Some(morning())).await;
    channels.submit_with("3").await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["is_urgent"], &shown["state"]),
        (&json!(true), &json!("completed"))
    );
    assert_eq!(channels.desk.mailer.take().len(), 1);
}

#[tokio::test]
async fn longer_quiet_hours_hold_a_message_again() {
    let channels = Channels::open().await;
    channels.reachable(Some(morning())).await;
    channels.submit().await;
    channels
        .reachable(Some(json!({ "from": "09:00", "to": "13:00" })))
        .await;
    channels.desk.clock.advance(TWO_HOURS_MS);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 0);
    assert_eq!(
        channels.newest("zhangsan").await["held_until"],
        "2026-11-22T13:00:00.000+08:00"
    );
    channels.desk.clock.advance(3_600_000);
    channels.desk.settle().await;
    assert_eq!(channels.desk.mailer.take().len(), 1);
}

#[tokio::test]
async fn a_perishable_message_is_dropped_and_the_drop_is_recorded() {
    let policy = "[policy]\naccounts = [\"mail\"]\nperishable = [\"suspended\"]\n";
    let channels = Channels::open_with(&[MAIL, policy].concat()).await;
    channels.reachable(Some(morning())).await;
    let sn = json!(channels.submit().await);
    let reason = json!({ "message": "audit" });
    channels.desk.clock.advance(1_000);
    channels
        .desk
        .operate(&sn, "suspend", "admin", reason.clone())
        .await;
    channels.desk.settle().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["fact"], &shown["state"], &shown["outcome"]),
        (
            &json!("suspended"),
            &json!("completed"),
            &json!("inbox_only")
        )
    );
    let skipped = json!([{ "account": "mail", "reason": "perished" }]);
    assert_eq!(shown["skipped"], skipped);
    let steps = channels.why().await;
    let is_explained = |(_, _, text): &(String, String, String)| text.contains("would be held");
    assert!(steps.iter().any(is_explained), "{steps:?}");
    // The message about the approval is held as before, and it is sent at the end of the quiet hours.
    channels.desk.operate(&sn, "resume", "admin", reason).await;
    channels.desk.clock.advance(TWO_HOURS_MS);
    channels.desk.settle().await;
    let count = channels.desk.mailer.take().len();
    assert_eq!(count, 2, "the approval and the end of the suspension");
}
