//! These tests check the preferences of people for each channel, and the rules of the notification policy.

mod teams;

use serde_json::{Value, json};

use super::{Channels, ROBOT};

const POLICY: &str = "[policy]\naccounts = [\"ops_robot\"]\n";

async fn open(rules: &str) -> Channels {
    Channels::open_with(&[ROBOT, POLICY, rules].concat()).await
}

async fn prefer(channels: &Channels, choice: Value) {
    let preferences = json!({
        "addresses": { "dingtalk": "dt-zhangsan" },
        "channels": { "dingtalk": choice },
    });
    let (status, answer) = channels.prefer("zhangsan", preferences).await;
    assert_eq!(status, 200, "{answer}");
}

/// Returns the reason why the robot sends no message about the newest notification, and the explanation.
async fn skipped(channels: &Channels) -> (Value, String) {
    assert_eq!(channels.robot.accepted().len(), 0);
    let shown = channels.newest("zhangsan").await;
    let steps = channels.why().await;
    let routed = steps
        .iter()
        .find(|(event, ..)| event == "notification.routed");
    let (_, _, text) = routed.expect("a decision");
    (shown["skipped"][0]["reason"].clone(), text.clone())
}

#[tokio::test]
async fn a_person_switches_a_channel_or_a_category_off() {
    for (choice, reason) in [
        (json!({ "frequency": "off" }), "channel_off"),
        (json!({ "categories": ["resolved"] }), "category_off"),
    ] {
        let channels = open("").await;
        prefer(&channels, choice).await;
        channels.submit().await;
        let (shown, text) = skipped(&channels).await;
        assert_eq!(shown, reason);
        assert!(text.contains("The person chose the"), "{text}");
    }
}

#[tokio::test]
async fn a_cap_of_the_policy_stops_messages_and_why_names_its_rule() {
    let rules = "[[policy.rules]]\ncategories = [\"approval\"]\ncap = \"off\"\n";
    let channels = open(rules).await;
    prefer(&channels, json!({})).await;
    channels.submit().await;
    let (shown, text) = skipped(&channels).await;
    assert_eq!(shown, "capped");
    assert!(text.contains("Rule 1 of the policy limits"), "{text}");
}

#[tokio::test]
async fn a_floor_of_the_policy_wins_over_the_person_and_over_a_cap() {
    let rules = "[[policy.rules]]\ncap = \"off\"\n[[policy.rules]]\nbands = [\"high\"]\nfloor = \"immediate\"\n";
    let channels = open(&format!("urgent = [\"3\"]\n{rules}")).await;
    prefer(&channels, json!({ "frequency": "off" })).await;
    channels.submit_with("3").await;
    assert_eq!(channels.robot.accepted().len(), 1);
    let shown = channels.newest("zhangsan").await;
    assert_eq!(
        (&shown["priority"]["band"], &shown["priority"]["strategy"]),
        (&json!("high"), &json!("immediate"))
    );
}

#[tokio::test]
async fn a_wrong_preference_is_named() {
    let channels = open("").await;
    for (choice, field) in [
        (
            json!({ "frequency": "often" }),
            "/channels/dingtalk/frequency",
        ),
        (
            json!({ "categories": ["all"] }),
            "/channels/dingtalk/categories/0",
        ),
        (
            json!({ "batch_times": ["9"] }),
            "/channels/dingtalk/batch_times/0",
        ),
    ] {
        let preferences = json!({ "channels": { "dingtalk": choice } });
        let (status, answer) = channels.prefer("zhangsan", preferences).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!(field))
        );
    }
}

/// Returns the document of the requirements (requirements/notifications.md, 用户偏好配置).
fn document() -> Value {
    json!({
        "user_id": "user-001",
        "username": "john.doe",
        "notification_preferences": {
            "channels": ["email", "wechat"],
            "email": {
                "address": "john.doe@company.com",
                "frequency": "immediate",
                "categories": ["assigned", "updated", "resolved"],
            },
            "wechat": {
                "openid": "wechat-openid-12345",
                "frequency": "immediate",
                "categories": ["assigned", "escalated"],
            },
            "dingtalk": {
                "userid": "dingtalk-user-67890",
                "frequency": "batch",
                "batch_time": "09:00,14:00,17:00",
                "categories": ["all"],
            },
            "slack": {
                "userid": "slack-user-abcde",
                "frequency": "immediate",
                "categories": ["assigned", "escalated", "resolved"],
            },
        },
        "timezone": "Asia/Shanghai",
        "language": "zh-CN",
    })
}

#[tokio::test]
async fn the_document_of_the_requirements_is_returned_unchanged() {
    let channels = open("").await;
    let path = "people/john.doe/notification-preferences";
    let (status, answer) = channels.desk.v1("PUT", path, "admin", document()).await;
    assert_eq!((status, &answer), (200, &document()));
    assert_eq!(channels.get(path, "admin").await, document());
    let stored = channels.get("people/john.doe/preferences", "admin").await;
    assert_eq!(stored["addresses"]["email"], "john.doe@company.com");
    assert_eq!(
        stored["channels"]["email"]["categories"],
        json!(["assigned", "updated", "resolved"])
    );
    assert_eq!(stored["channels"]["dingtalk"]["frequency"], "off");
    assert_eq!(stored["zone"], "Asia/Shanghai");
    // Other preferences replace the document. The desk then writes a new document.
    let preferences = json!({ "addresses": { "email": "john@company.com" } });
    let (status, answer) = channels
        .desk
        .v1("PUT", "people/john.doe/preferences", "admin", preferences)
        .await;
    assert_eq!(status, 200, "{answer}");
    let written = channels.get(path, "admin").await;
    let email = &written["notification_preferences"]["email"];
    assert_eq!(email["address"], "john@company.com");
}

#[tokio::test]
async fn a_wrong_member_of_the_document_is_named() {
    let channels = open("").await;
    let path = "people/john.doe/notification-preferences";
    for (pointer, value) in [
        ("/notification_preferences/dingtalk/batch_time", "25:00"),
        ("/notification_preferences/email/address", "john"),
        ("/timezone", "Mars"),
        ("/username", "jane.doe"),
    ] {
        let mut changed = document();
        *changed.pointer_mut(pointer).unwrap() = json!(value);
        let (status, answer) = channels.desk.v1("PUT", path, "admin", changed).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (400, &json!(pointer))
        );
    }
}
