//! These tests check that a person gets recommendations with evidence, and applies one of them with one request.

use serde_json::{Value, json};

use super::Channels;

const DAY_MS: i64 = 86_400_000;
const PATH: &str = "people/zhangsan/notification-recommendations";

#[tokio::test]
async fn ignored_messages_lead_to_a_recommendation_that_one_request_applies() {
    let channels = Channels::open().await;
    channels.reachable(None).await;
    for _ in 0..20 {
        channels.submit().await;
        channels.desk.clock.advance(61_000);
        channels.desk.settle().await;
    }
    let early = channels.get(PATH, "zhangsan").await;
    assert_eq!(
        early["recommendations"],
        json!([]),
        "people still have time to answer"
    );
    channels.desk.clock.advance(DAY_MS);
    channels.desk.settle().await;
    let shown = channels.get(PATH, "zhangsan").await;
    let all = shown["recommendations"]
        .as_array()
        .expect("recommendations");
    let collect = all.iter().find(|one| one["id"] == "collect.email");
    let collect = collect.unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(
        (&collect["sent"], &collect["answered"]),
        (&json!(20), &json!(0))
    );
    assert!(
        collect["text"]
            .as_str()
            .expect("a text")
            .contains("邮件发送了 20 条通知"),
        "{collect}"
    );
    let apply = collect["apply"]
        .as_str()
        .expect("a path")
        .trim_start_matches("/v1/")
        .to_owned();
    let (status, _) = channels.desk.v1("POST", &apply, "lisi", json!({})).await;
    assert_eq!(status, 403);
    let (status, answer) = channels
        .desk
        .v1("POST", &apply, "zhangsan", json!({}))
        .await;
    assert_eq!(status, 200, "{answer}");
    let preferences = channels
        .get("people/zhangsan/preferences", "zhangsan")
        .await;
    assert_eq!(preferences["channels"]["email"]["frequency"], "batch");
    assert_eq!(
        preferences["addresses"]["email"], "zhangsan@example.com",
        "{preferences}"
    );
    let (status, _) = channels
        .desk
        .v1("POST", &apply, "zhangsan", json!({}))
        .await;
    assert_eq!(status, 404, "it is not recommended any more");
}

#[tokio::test]
async fn operators_read_recommended_rules() {
    let channels = Channels::open().await;
    let path = "reports/notification-recommendations";
    let shown = channels.get(path, "admin").await;
    assert_eq!(
        (&shown["notifications"], &shown["rules"]),
        (&json!(0), &json!([]))
    );
    let (status, _) = channels.desk.v1("GET", path, "zhangsan", Value::Null).await;
    assert_eq!(status, 403);
}
