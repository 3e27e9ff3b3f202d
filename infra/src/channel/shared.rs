//! Tests which messages other people than the recipient can read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::contract::account;
use super::{ALL, find};

/// Returns whether other people can read the messages of an account with the given settings.
fn is_shared(channel: &str, settings: &Value, to: &str) -> bool {
    let mut account = account(channel);
    let settings = settings.as_object().expect("an object").clone();
    account.settings.extend(settings);
    find(channel).expect("a channel").is_shared(&account, to)
}

#[test]
fn a_channel_is_shared_unless_it_reaches_one_person() {
    let none = json!({});
    let shared: BTreeSet<&str> = ALL
        .iter()
        .map(|channel| channel.name())
        .filter(|name| is_shared(name, &none, "a:1"))
        .collect();
    for robot in [
        "dingtalk_robot",
        "wecom_robot",
        "feishu_robot",
        "slack_webhook",
        "teams_workflow",
        "cmsi",
    ] {
        assert!(shared.contains(robot), "{robot}");
    }
    for personal in [
        "email",
        "wecom_app",
        "public_account",
        "dingtalk_app",
        "dingtalk_notice",
        "dingtalk_card",
        "slack",
        "teams_bot",
        "feishu",
        "fcm",
        "apns",
        "sms",
    ] {
        assert!(!shared.contains(personal), "{personal}");
    }
}

#[test]
fn settings_and_addresses_can_lead_to_a_shared_conversation() {
    for (channel, settings, to, expected) in [
        ("slack", json!({ "conversation": "C012AB3CD" }), "U1", true),
        ("slack", json!({ "channel": "C012AB3CD" }), "U1", true),
        ("slack", json!({ "threads": true }), "U1", false),
        (
            "feishu",
            json!({ "receive_id_type": "chat_id" }),
            "oc_1",
            true,
        ),
        (
            "feishu",
            json!({ "receive_id_type": "open_id" }),
            "oc_1",
            true,
        ),
        (
            "feishu",
            json!({ "receive_id_type": "email" }),
            "a@b.example",
            false,
        ),
        ("teams_bot", json!({}), "19:1@thread.v2", true),
        ("teams_bot", json!({}), "", true),
        (
            "teams_workflow",
            json!({ "shared": false }),
            "lisi@b.example",
            false,
        ),
        (
            "teams_workflow",
            json!({ "shared": true }),
            "lisi@b.example",
            true,
        ),
        ("cmsi", json!({ "msg_type": "mail" }), "lisi", false),
        ("cmsi", json!({ "msg_type": "wecom_robot" }), "lisi", true),
        (
            "cmsi",
            json!({ "msg_type": "rtx", "shared": false }),
            "lisi",
            false,
        ),
        (
            "cmsi",
            json!({ "msg_type": "mail", "shared": true }),
            "lisi",
            true,
        ),
        (
            "cmsi",
            json!({ "msg_type": "mail", "shared": "no" }),
            "lisi",
            true,
        ),
        // A robot belongs to a group, so no setting makes its messages personal.
        ("dingtalk_robot", json!({ "shared": false }), "d1", true),
        ("slack_webhook", json!({ "shared": false }), "U1", true),
    ] {
        let found = is_shared(channel, &settings, to);
        assert_eq!(found, expected, "{channel} {settings} {to}");
    }
}

#[test]
fn only_channels_with_both_kinds_of_conversations_have_the_setting() {
    let allowed: Vec<&str> = ALL
        .iter()
        .filter(|channel| {
            let mut account = account(channel.name());
            account.settings.insert("shared".into(), false.into());
            if channel.name() == "sms" {
                account.settings.insert("shape".into(), "twilio".into());
            }
            let refused = channel.check(&account).err().unwrap_or_default();
            !refused.contains("`shared` is not a setting")
        })
        .map(|channel| channel.name())
        .collect();
    assert_eq!(allowed, ["teams_workflow", "cmsi"]);
    for name in allowed {
        let mut account = account(name);
        let settings = json!({
            "url": "http://bus.example", "app": "bk", "msg_type": "mail", "shared": "no",
        });
        let settings = settings.as_object().expect("an object").clone();
        account.settings.extend(settings);
        if name == "teams_workflow" {
            account.settings.retain(|key, _| key == "shared");
        }
        let refused = find(name).expect("a channel").check(&account);
        assert_eq!(refused, Err("`shared` must be true or false".to_owned()));
    }
}
