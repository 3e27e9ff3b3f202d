//! These tests check digests: messages that list several notifications of one person.

use domain::notification::digest::ITEMS_MAX;
use serde_json::{Value, json};

use super::{Channels, ROBOT};

const POLICY: &str = "[policy]\naccounts = [\"ops_robot\"]\n";
const MINUTE_MS: i64 = 60_000;

/// Opens a desk whose only account is the robot. The person zhangsan has an address for it.
async fn open() -> Channels {
    let channels = Channels::open_with(&[ROBOT, POLICY].concat()).await;
    prefer(&channels, json!({})).await;
    channels
}

/// Stores the preferences of zhangsan for the channel of the robot.
async fn prefer(channels: &Channels, choice: Value) {
    let preferences = json!({
        "addresses": { "dingtalk": "dt-zhangsan" },
        "channels": { "dingtalk": choice },
    });
    let (status, answer) = channels.prefer("zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
}

async fn remark(channels: &Channels, sn: &str) {
    channels.desk.clock.advance(1_000);
    let body = json!({ "text": "see the list" });
    channels
        .desk
        .operate(&json!(sn), "remark", "lisi", body)
        .await;
    channels.desk.settle().await;
}

async fn wait(channels: &Channels, minutes: i64) {
    channels.desk.clock.advance(minutes * MINUTE_MS);
    channels.desk.settle().await;
}

/// Returns the text of the newest message that the robot accepted.
fn last(channels: &Channels) -> String {
    let messages = channels.robot.accepted();
    let text = messages
        .last()
        .map(|message| message["markdown"]["text"].clone());
    text.and_then(|text| text.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[tokio::test]
async fn a_critical_message_does_not_wait_for_a_batch_with_any_band() {
    let policy = [POLICY, "critical = [\"3\"]\nbands = { \"3\" = \"low\" }\n"].concat();
    let channels = Channels::open_with(&[ROBOT, &policy].concat()).await;
    let batch = json!({ "frequency": "batch", "batch_times": ["23:00"] });
    prefer(&channels, batch).await;
    channels.submit_with("1").await;
    assert!(channels.robot.accepted().is_empty());
    channels.submit_with("3").await;
    assert!(!channels.robot.accepted().is_empty());
}

#[tokio::test]
async fn repeated_events_after_a_loss_of_the_views_do_not_collect_new_messages() {
    let channels = open().await;
    for _ in 0..8 {
        channels.submit().await;
        wait(&channels, 11).await;
    }
    assert_eq!(channels.robot.accepted().len(), 8);
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    channels.submit().await;
    // Without its stored times, the account waits for one minute.
    wait(&channels, 2).await;
    assert_eq!(channels.robot.accepted().len(), 9);
}

#[tokio::test]
async fn the_first_comment_is_sent_at_once_and_the_next_ones_together() {
    let channels = open().await;
    let sn = channels.submit().await;
    for _ in 0..3 {
        remark(&channels, &sn).await;
    }
    assert_eq!(
        channels.robot.accepted().len(),
        2,
        "the approval and one comment"
    );
    wait(&channels, 10).await;
    assert_eq!(channels.robot.accepted().len(), 3);
    let text = last(&channels);
    assert!(text.contains("2 条通知") && text.contains(&sn), "{text}");
    assert_eq!(channels.newest("zhangsan").await["outcome"], "accepted");
    let events = channels.events_of("ops_robot").await;
    let expected = ["digest.added", "digest.flushed", "delivery.requested"];
    assert_eq!(events[..3], expected);
    wait(&channels, 30).await;
    assert_eq!(channels.robot.accepted().len(), 3, "nothing is sent twice");
}

#[tokio::test]
async fn the_comments_of_a_ticket_that_has_ended_are_one_line() {
    let channels = open().await;
    let sn = channels.submit().await;
    for _ in 0..3 {
        remark(&channels, &sn).await;
    }
    let body = json!({ "message": "duplicate" });
    channels
        .desk
        .operate(&json!(sn), "terminate", "admin", body)
        .await;
    wait(&channels, 10).await;
    let text = last(&channels);
    assert!(text.contains("共 2 条通知"), "{text}");
}

#[tokio::test]
async fn the_sixth_notification_in_ten_minutes_is_collected() {
    let channels = open().await;
    let mut numbers = Vec::new();
    for _ in 0..8 {
        numbers.push(channels.submit().await);
    }
    assert_eq!(channels.robot.accepted().len(), 5);
    wait(&channels, 11).await;
    assert_eq!(channels.robot.accepted().len(), 6);
    let text = last(&channels);
    for number in &numbers[5..] {
        assert!(text.contains(number.as_str()), "{text}");
    }
    let all = channels.get("notifications?state=open", "admin").await;
    assert_eq!(all["count"], 0, "every notification has ended");
}

#[tokio::test]
async fn a_batch_is_sent_at_its_time_after_a_restart() {
    let channels = open().await;
    let batch = json!({ "frequency": "batch", "batch_times": ["14:00"] });
    prefer(&channels, batch).await;
    channels.submit().await;
    channels.submit().await;
    let shown = channels.newest("zhangsan").await;
    assert_eq!(shown["state"], "sending");
    let due = shown["accounts"][0]["digest_due"]
        .as_str()
        .unwrap_or_default();
    assert!(due.starts_with("2026-11-22T14:01:"), "{due}");
    let channels = channels.restart_without_views().await;
    wait(&channels, 4 * 60).await;
    assert_eq!(channels.robot.accepted().len(), 0);
    wait(&channels, 2).await;
    // After the restart, the rate limit of the robot knows no earlier messages, so the message waits for one minute.
    wait(&channels, 1).await;
    assert_eq!(channels.robot.accepted().len(), 1);
    assert!(last(&channels).contains("2 条通知"));
}

#[tokio::test]
async fn a_changed_preference_applies_to_collected_notifications() {
    let channels = open().await;
    prefer(&channels, json!({ "frequency": "batch" })).await;
    channels.submit().await;
    prefer(&channels, json!({ "frequency": "off" })).await;
    wait(&channels, 4 * 60 + 2).await;
    assert_eq!(channels.robot.accepted().len(), 0);
    let shown = channels.newest("zhangsan").await;
    assert_eq!(shown["outcome"], "inbox_only");
    let steps = channels.why().await;
    let dropped = steps
        .iter()
        .find(|(event, ..)| event == "digest.items_dropped");
    let (_, _, text) = dropped.expect("the digest records the change");
    assert!(
        text.contains("the person switched the channel off"),
        "{text}"
    );
}

#[tokio::test]
async fn a_person_can_switch_digests_off() {
    let channels = open().await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    for _ in 0..3 {
        remark(&channels, &sn).await;
    }
    assert_eq!(channels.robot.accepted().len(), 4);
}

#[tokio::test]
async fn a_full_digest_waits_for_its_time_and_for_the_quiet_hours() {
    let channels = open().await;
    let preferences = json!({
        "addresses": { "dingtalk": "dt-zhangsan" },
        "channels": { "dingtalk": { "frequency": "batch", "batch_times": ["14:00"] } },
        "quiet": { "from": "13:00", "to": "15:00" },
    });
    let (status, answer) = channels.prefer("zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    let sn = channels.submit().await;
    for _ in 0..ITEMS_MAX + 2 {
        remark(&channels, &sn).await;
    }
    assert_eq!(channels.robot.accepted().len(), 0, "the digest is full");
    let newest = channels.newest("zhangsan").await;
    assert_eq!(newest["outcome"], "inbox_only", "{newest}");
    let steps = channels.why().await;
    assert!(
        steps.iter().any(|(event, _, text)| {
            event == "digest.items_dropped" && text.contains("the digest is full")
        }),
        "{steps:?}"
    );
    // 14:04: the batch time is in the quiet hours.
    wait(&channels, 4 * 60).await;
    assert_eq!(channels.robot.accepted().len(), 0, "quiet hours");
    wait(&channels, 62).await;
    assert_eq!(channels.robot.accepted().len(), 1);
    let text = last(&channels);
    let count = ITEMS_MAX + 3;
    assert!(text.contains(&format!("{count} 条通知")), "{text}");
    let all = channels.get("notifications?state=open", "admin").await;
    assert_eq!(all["count"], 0, "every notification has ended");
}

#[tokio::test]
async fn a_critical_message_does_not_send_collected_ones_in_quiet_hours() {
    let policy = [POLICY, "critical = [\"3\"]\nbands = { \"3\" = \"low\" }\n"].concat();
    let channels = Channels::open_with(&[ROBOT, &policy].concat()).await;
    let batch = json!({ "frequency": "batch", "batch_times": ["23:00"] });
    prefer(&channels, batch.clone()).await;
    let collected = channels.submit_with("1").await;
    let preferences = json!({
        "addresses": { "dingtalk": "dt-zhangsan" },
        "channels": { "dingtalk": batch },
        "quiet": { "from": "09:00", "to": "12:00" },
    });
    assert_eq!(channels.prefer("zhangsan", preferences).await.0, 200);
    channels.submit_with("3").await;
    assert_eq!(channels.robot.accepted().len(), 1, "the critical one");
    wait(&channels, 119).await;
    assert_eq!(channels.robot.accepted().len(), 1, "quiet hours");
    wait(&channels, 2).await;
    assert_eq!(channels.robot.accepted().len(), 2, "the collected one");
    assert!(last(&channels).contains(&collected), "{}", last(&channels));
}

#[tokio::test]
async fn a_digest_waits_for_23_hours_if_the_person_is_not_available_for_longer() {
    let channels = open().await;
    let batch = json!({ "frequency": "batch", "batch_times": ["14:00"] });
    prefer(&channels, batch.clone()).await;
    channels.submit().await;
    let preferences = json!({
        "addresses": { "dingtalk": "dt-zhangsan" },
        "channels": { "dingtalk": batch },
        "do_not_disturb_until": "2026-11-26T10:00:00+08:00",
    });
    let (status, answer) = channels.prefer("zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
    // 14:02, and then 13:00 of the next day.
    wait(&channels, 4 * 60 + 2).await;
    assert_eq!(channels.robot.accepted().len(), 0, "do not disturb");
    wait(&channels, 22 * 60 + 58).await;
    assert_eq!(channels.robot.accepted().len(), 0);
    wait(&channels, 3).await;
    assert_eq!(channels.robot.accepted().len(), 1, "at 13:01");
}
