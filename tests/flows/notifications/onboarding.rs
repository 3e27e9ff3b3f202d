//! These tests check the onboarding of a person: each step follows from facts, a step can be skipped, and the
//! onboarding continues where the person stopped.

use serde_json::{Value, json};

use super::Channels;

async fn overview(channels: &Channels) -> Value {
    channels.get("people/zhangsan/onboarding", "zhangsan").await
}

fn states(overview: &Value) -> Vec<&str> {
    let steps = overview["steps"].as_array().expect("steps");
    steps
        .iter()
        .map(|step| step["state"].as_str().expect("a state"))
        .collect()
}

#[tokio::test]
async fn the_onboarding_follows_the_facts_and_can_be_continued() {
    let channels = Channels::open().await;
    let shown = overview(&channels).await;
    assert_eq!(states(&shown), ["open"; 4]);
    assert_eq!(shown["next"], "setup_basic_notifications");
    assert_eq!(shown["steps"][0]["title"], "设置基本通知");
    channels.reachable(None).await;
    channels.submit().await;
    let shown = overview(&channels).await;
    assert_eq!(
        states(&shown)[0],
        "open",
        "the message arrived, but nobody answered"
    );
    let facts = &shown["steps"][0]["facts"];
    assert_eq!(
        facts[1],
        json!({ "name": "message_arrived", "is_true": true })
    );
    assert_eq!(
        facts[2],
        json!({ "name": "message_answered", "is_true": false })
    );
    channels.read_newest("zhangsan").await;
    channels.desk.settle().await;
    let shown = overview(&channels).await;
    assert_eq!(states(&shown)[0], "done");
    assert_eq!(shown["onboarding_completed"][0], "step_1");
    assert_eq!(shown["next"], "configure_preferred_channels");
    let skip =
        |step: &str, operation: &str| format!("people/zhangsan/onboarding/{step}/{operation}");
    let path = skip("configure_preferred_channels", "skip");
    let (status, shown) = channels.desk.v1("POST", &path, "zhangsan", json!({})).await;
    assert_eq!(
        (status, &shown["next"]),
        (200, &json!("customize_notification_rules")),
        "{shown}"
    );
    assert_eq!(states(&shown)[1], "skipped");
    let preferences = json!({
        "language": "en",
        "addresses": { "email": "zhangsan@example.com" },
        "channels": { "email": { "frequency": "batch" } },
    });
    assert_eq!(channels.prefer("zhangsan", preferences).await.0, 200);
    let shown = overview(&channels).await;
    assert_eq!(
        states(&shown)[..3],
        ["done", "done", "done"],
        "facts count more than a skip"
    );
    assert_eq!(shown["next"], "enable_advanced_features");
    assert_eq!(shown["steps"][3]["title"], "Enable advanced features");
    let path = skip("enable_advanced_features", "skip");
    let (_, shown) = channels.desk.v1("POST", &path, "zhangsan", json!({})).await;
    assert_eq!(shown["next"], Value::Null, "{shown}");
    let head = channels.desk.head().await;
    channels.desk.v1("POST", &path, "zhangsan", json!({})).await;
    assert_eq!(
        channels.desk.head().await,
        head,
        "a repetition stores nothing"
    );
    let path = skip("enable_advanced_features", "resume");
    let (_, shown) = channels.desk.v1("POST", &path, "zhangsan", json!({})).await;
    assert_eq!(shown["next"], "enable_advanced_features", "{shown}");
}

#[tokio::test]
async fn other_people_and_unknown_steps_are_rejected() {
    let channels = Channels::open().await;
    let path = "people/zhangsan/onboarding";
    let (status, _) = channels.desk.v1("GET", path, "lisi", Value::Null).await;
    assert_eq!(status, 403);
    let skip = format!("{path}/step_9/skip");
    let (status, answer) = channels.desk.v1("POST", &skip, "zhangsan", json!({})).await;
    assert_eq!(status, 404, "{answer}");
}
