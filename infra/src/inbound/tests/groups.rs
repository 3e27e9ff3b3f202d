//! Tests for the messages that people write in groups.

use super::*;

/// Returns the message in a request. Returns `None` if the request contains nothing for the desk.
fn message(result: Result<Verified, Refusal>) -> Option<Message> {
    match result {
        Ok(Verified::Message(message)) => Some(*message),
        Ok(Verified::Nothing) => None,
        other => panic!("{other:?}"),
    }
}

/// Returns the parts of `all` with the changed members.
fn changed(mut all: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().expect("an object") {
        all[name.as_str()] = value.clone();
    }
    all
}

fn in_slack(id: &str, members: &Value) -> Option<Message> {
    let event = json!({
        "type": "app_mention", "user": "U1", "channel": "C1", "channel_type": "group", "ts": "1700000000.000100",
        "text": "<@U0> comment a &lt;b&gt; &amp; c",
    });
    let event = changed(event, members);
    let body = json!({ "type": "event_callback", "event_id": id, "event": event });
    message(slack(&body.to_string()).verify("slack", SLACK, AT))
}

#[test]
fn only_a_mention_or_a_direct_message_of_slack_is_for_the_desk() {
    let mentioned = in_slack("E1", &json!({})).expect("a message");
    assert_eq!(mentioned.group, "C1");
    assert_eq!(mentioned.text, "<@U0> comment a <b> & c");
    assert_eq!(mentioned.place.expect("a place").chat, "C1");
    for members in [
        json!({ "type": "message" }),
        json!({ "type": "message", "channel_type": "channel" }),
        json!({ "type": "message", "channel_type": "mpim" }),
        json!({ "type": "message", "channel_type": null }),
        json!({ "type": "reaction_added" }),
        json!({ "bot_id": "B1" }),
        json!({ "subtype": "message_changed" }),
    ] {
        assert_eq!(in_slack("E1", &members), None, "{members}");
    }
    for members in [
        json!({ "type": "message", "channel": "D1", "channel_type": "im" }),
        json!({ "type": "message", "channel": "D1", "channel_type": null }),
    ] {
        let direct = in_slack("E1", &members).expect("a message");
        assert_eq!(direct.group, "", "{members}");
    }
}

#[test]
fn an_edited_message_of_slack_keeps_its_id() {
    let id = |event: &str, members: Value| in_slack(event, &members).expect("a message").id;
    let first = id("E1", json!({}));
    let edited =
        json!({ "text": "<@U0> resolve", "edited": { "user": "U1", "ts": "1700000009.000000" } });
    assert_eq!(id("E2", edited), first);
    assert_ne!(id("E1", json!({ "ts": "1700000000.000200" })), first);
    assert_ne!(id("E1", json!({ "channel": "C2" })), first);
    assert_eq!(id("E3", json!({ "ts": null })), "E3");
}

#[test]
fn a_slash_command_belongs_to_the_channel_in_which_it_was_written() {
    for (channel, expected) in [
        ("&channel_id=C1", "C1"),
        ("&channel_id=G1", "G1"),
        ("&channel_id=D1", ""),
        ("", ""),
    ] {
        let request = slack(&format!("{SLASH}{channel}"));
        let command = message(request.verify("slack", SLACK, AT)).expect("a command");
        assert_eq!(command.group, expected, "{channel}");
    }
}

#[test]
fn a_message_in_a_group_of_dingtalk_names_its_group() {
    let read = |members: Value| {
        let request = dingtalk(&changed(said(), &members));
        message(request.verify("dingtalk", DINGTALK, AT))
    };
    let in_group =
        json!({ "conversationType": "2", "conversationId": "cid1==", "isInAtList": true });
    assert_eq!(read(in_group.clone()).expect("a message").group, "cid1==");
    let direct = json!({ "conversationType": "1", "conversationId": "cid1==" });
    assert_eq!(read(direct).expect("a message").group, "");
    let unmentioned = changed(in_group, &json!({ "isInAtList": false }));
    assert_eq!(read(unmentioned), None);
}

#[test]
fn a_message_in_a_feishu_group_counts_only_if_it_mentions_the_desk() {
    let read = |members: Value, sender: &str| {
        let mut body = feishu_said("v-token");
        let message_of = body["event"]["message"].take();
        body["event"]["message"] = changed(message_of, &members);
        body["event"]["sender"]["sender_type"] = sender.into();
        message(feishu(&body).verify("feishu", &feishu_secret(), AT))
    };
    let mentions = |kind: &str| {
        let mention = json!({ "key": "@_user_1", "name": "desk", "mentioned_type": kind });
        json!({ "chat_id": "oc_1", "chat_type": "group", "mentions": [mention] })
    };
    let found = read(mentions("bot"), "user").expect("a message");
    assert_eq!(
        (found.group.as_str(), found.text.as_str()),
        ("oc_1", " ack")
    );
    assert_eq!(read(mentions("user"), "user"), None);
    assert_eq!(
        read(mentions("bot"), "app"),
        None,
        "a message of an application"
    );
    let unmentioned = json!({ "chat_id": "oc_1", "chat_type": "group" });
    assert_eq!(read(unmentioned, "user"), None);
    let direct = json!({ "chat_id": "oc_1", "chat_type": "p2p" });
    assert_eq!(read(direct, "user").expect("a message").group, "");
}
