//! This test checks that an old report about an address does not suppress the address again.

use infra::channel::MailReply;
use serde_json::json;

use super::{Channels, MAIL};

const MAIL_ONLY: &str = "[policy]\naccounts = [\"mail\"]\n";
/// More changes than the number of commands that a stream remembers.
const CHANGES: u32 = 70;

/// The desk reads all events again after a loss of its views, and with them the report of the provider.
#[tokio::test]
async fn an_old_report_does_not_suppress_a_released_address_again() {
    let channels = Channels::open_with(&[MAIL, MAIL_ONLY].concat()).await;
    channels.reachable(None).await;
    channels.desk.mailer.plan(Ok(MailReply {
        code: 550,
        text: "5.1.1 no such user".into(),
    }));
    channels.submit().await;
    let is_suppressed = async |channels: &Channels| {
        let shown = channels.get("people/zhangsan/addresses", "zhangsan").await;
        let mut all = shown["addresses"].as_array().expect("a list").iter();
        let email = all.find(|one| one["kind"] == "email").expect("an address");
        email["is_suppressed"] == true
    };
    assert!(is_suppressed(&channels).await);
    channels.desk.clock.advance(1_000);
    let path = "people/zhangsan/addresses/email/release";
    let (status, answer) = channels.desk.v1("POST", path, "zhangsan", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    for number in 0..CHANGES {
        let language = if number % 2 == 0 { "en" } else { "zh-CN" };
        let preferences = json!({
            "language": language,
            "addresses": { "email": "zhangsan@example.com" },
            "aggregation": false,
        });
        let (status, answer) = channels.prefer("zhangsan", preferences).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert!(!is_suppressed(&channels).await);
    let head = channels.desk.head().await;
    let channels = channels.restart_without_views().await;
    channels.desk.settle().await;
    assert!(!is_suppressed(&channels).await);
    assert_eq!(channels.desk.head().await, head, "nothing was added");
}
