//! These tests check the reports about notifications: deliveries, answers, and the comparison of two periods.

use infra::channel::MailReply;
use serde_json::{Value, json};

use super::{Channels, MAIL};

const ONLY_MAIL: &str = "
    [policy]
    accounts = [\"mail\"]
";

const HOUR_MS: i64 = 3_600_000;

async fn report(channels: &Channels, query: &str) -> Value {
    let path = format!("reports/notifications?language=en&{query}");
    channels.get(&path, "admin").await
}

#[tokio::test]
async fn people_who_never_answer_are_counted() {
    let channels = Channels::open_with(&[MAIL, ONLY_MAIL].concat()).await;
    channels.reachable(None).await;
    let sn = channels.submit().await;
    channels.desk.clock.advance(HOUR_MS);
    let remark = json!({ "text": "I read the list" });
    let desk = &channels.desk;
    desk.operate(&json!(sn), "remark", "zhangsan", remark).await;
    desk.settle().await;
    desk.clock.advance(HOUR_MS);

    let found = report(&channels, "days=1").await;

    // Of the two approvers, zhangsan got a mail and answered after one hour, and wangwu did nothing.
    let response = &found["response"];
    assert_eq!(
        (
            &response["asked"],
            &response["answered"],
            &response["unanswered"]
        ),
        (&json!(2), &json!({ "desk": 1 }), &json!(1)),
        "{found}"
    );
    assert_eq!(response["median_seconds"], 3600.0, "{found}");
    assert_eq!(response["p90_seconds"], Value::Null, "{found}");
    assert_eq!(found["notifications"]["people_without_answer"], 1);
    let by_channel = &found["response_by_channel"];
    assert_eq!(by_channel["email"]["unanswered"], 0, "{found}");
    assert_eq!(by_channel["inbox"]["unanswered"], 1, "{found}");
    let mail = &found["accounts"]["mail"];
    assert_eq!(mail["accepted"], mail["requested"], "{found}");
    assert_eq!(mail["accepted_percent"], 100.0);
    let rate = &found["open_rate"];
    let limit = |name: &str| rate[name].as_f64().expect("a number");
    assert!(limit("at_least_percent") <= limit("at_most_percent"));
    let text = rate["text"].as_str().expect("a text");
    assert!(text.contains("between two limits"), "{text}");
}

#[tokio::test]
async fn failures_are_counted_by_class_and_reading_counts_as_opened() {
    let channels = Channels::open_with(&[MAIL, ONLY_MAIL].concat()).await;
    channels.reachable(None).await;
    channels.desk.mailer.plan(Ok(MailReply {
        code: 550,
        text: "5.7.1 not allowed".into(),
    }));
    channels.submit().await;
    channels.desk.settle().await;
    let before = report(&channels, "days=1").await;
    let mail = &before["accounts"]["mail"];
    assert_eq!(mail["failed"], json!({ "permanent": 1 }), "{before}");
    assert_eq!(mail["accepted_percent"], 0.0);
    assert_eq!(before["response"]["opened"], 0);
    channels.read_newest("zhangsan").await;
    let after = report(&channels, "days=1").await;
    assert_eq!(after["response"]["opened"], 1);
    let path = "reports/notifications";
    let (status, _) = channels.desk.v1("GET", path, "zhangsan", Value::Null).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn two_periods_with_few_notifications_are_not_compared() {
    let channels = Channels::open_with(&[MAIL, ONLY_MAIL].concat()).await;
    channels.reachable(None).await;
    channels.submit().await;
    let found = channels
        .get("reports/outcomes?days=1&language=en", "admin")
        .await;
    let names: Vec<&String> = found["measures"]
        .as_object()
        .expect("measures")
        .keys()
        .collect();
    assert_eq!(
        names,
        [
            "open_rate",
            "response_time",
            "satisfaction",
            "tickets_per_processor"
        ]
    );
    let measure = &found["measures"]["open_rate"];
    assert_eq!(
        (&measure["verdict"], &measure["target"], &measure["change"]),
        (&json!("not_enough_data"), &json!(45.0), &Value::Null),
        "{found}"
    );
    let text = measure["text"].as_str().expect("a text");
    assert!(text.contains("at least 30 observations"), "{text}");
}
