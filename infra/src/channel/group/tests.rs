//! Tests for the codecs of chat groups: the requests for each change, and the documented responses of each platform.

use serde_json::{Value, json};

use super::super::contract::{account, content, shown};
use super::super::find;
use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef";
const HOSTILE: &str = "<!channel> @all\n<at user_id=\"all\"> [x](http://evil.example) \"}],\"";

/// Returns an account with which the channel can own groups, the secret of the account, and the id of a group.
fn owner(channel: &str) -> (Defined, &'static str, &'static str) {
    let mut account = account(channel);
    let (settings, secret, chat) = match channel {
        "wecom_app" => (json!({ "agentid": 7 }), "", ID),
        "dingtalk_app" => (
            json!({ "robot_code": "r", "group_template_id": "t", "group_owner": "boss" }),
            "",
            "cid1==",
        ),
        "slack" => (json!({}), "xoxb-1-secret", "G012AB3CD"),
        _ => (json!({}), "", "oc_1"),
    };
    let settings = settings.as_object().cloned().unwrap_or_default();
    account.settings.extend(settings);
    (account, secret, chat)
}

fn codec(channel: &str) -> &'static dyn Groups {
    let channel = find(channel).expect("the channel");
    channel.groups().expect("groups")
}

/// Returns the method, the part of the URL after the host, and the body of the request for a change.
fn sent(channel: &str, change: Change<'_>) -> (String, String, Value) {
    let (account, secret, chat) = owner(channel);
    let is_new = matches!(change, Change::Create { .. } | Change::Find { .. });
    let call = Call {
        account: &account,
        secret,
        token: "t0",
        id: ID,
        ticket: "INC20261122000017",
        chat: if is_new { "" } else { chat },
        change,
    };
    assert_eq!(codec(channel).check(&account), Ok(()));
    let request = codec(channel).request(&call).expect("a request");
    let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
    let body = serde_json::from_slice(&request.body).unwrap_or_default();
    (request.method, path.to_owned(), body)
}

/// Returns an outcome as a short text.
fn text_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Created { chat, .. } => format!("created {chat}"),
        Outcome::Elsewhere { cursor } => format!("elsewhere {cursor}"),
        Outcome::Done { refused, .. } if refused.is_empty() => "done".into(),
        Outcome::Done { refused, .. } => format!("done without {}", refused.join(" ")),
        Outcome::Failed(verdict) => shown(verdict),
    }
}

/// Returns the outcome of a change after a response, as a short text.
fn judged(channel: &str, change: Change<'_>, status: u16, body: &str) -> String {
    let (account, secret, chat) = owner(channel);
    let call = Call {
        account: &account,
        secret,
        token: "t0",
        id: ID,
        ticket: "INC20261122000017",
        chat,
        change,
    };
    let response = Ok(HttpResponse::of(status, body.as_bytes()));
    text_of(&outcome(codec(channel), &call, &response))
}

#[test]
fn only_four_channels_have_groups() {
    assert_eq!(channels(), ["wecom_app", "dingtalk_app", "slack", "feishu"]);
}

#[test]
fn a_platform_names_the_setting_that_a_group_needs() {
    let mut feishu = account("feishu");
    feishu
        .settings
        .insert("receive_id_type".into(), "email".into());
    let reason = codec("feishu").check(&feishu).unwrap_err();
    assert!(reason.starts_with("`receive_id_type` must"), "{reason}");
    let mut dingtalk = account("dingtalk_app");
    for setting in ["group_template_id", "group_owner"] {
        let reason = codec("dingtalk_app").check(&dingtalk).unwrap_err();
        assert_eq!(reason, format!("`{setting}` is required for chat groups"));
        dingtalk.settings.insert(setting.into(), "x".into());
    }
    assert_eq!(codec("dingtalk_app").check(&dingtalk), Ok(()));
}

#[test]
fn each_platform_has_its_request_for_each_change() {
    let content = content();
    let people = ["U01", "U02"];
    let create = Change::Create {
        name: "INC1 登录页异常",
        people: &people,
    };
    for (channel, change, method, path, member, value) in [
        (
            "wecom_app",
            create,
            "POST",
            "cgi-bin/appchat/create?access_token=t0",
            "/userlist",
            json!(people),
        ),
        (
            "wecom_app",
            Change::Add(&people),
            "POST",
            "cgi-bin/appchat/update?access_token=t0",
            "/add_user_list",
            json!(people),
        ),
        (
            "wecom_app",
            Change::Send(&content),
            "POST",
            "cgi-bin/appchat/send?access_token=t0",
            "/chatid",
            json!(ID),
        ),
        (
            "feishu",
            create,
            "POST",
            "open-apis/im/v1/chats?user_id_type=open_id&uuid=0123456789abcdef0123456789abcdef",
            "/name",
            json!("INC1 登录页异常"),
        ),
        (
            "feishu",
            Change::Add(&people),
            "POST",
            "open-apis/im/v1/chats/oc_1/members?member_id_type=open_id&succeed_type=1",
            "/id_list",
            json!(people),
        ),
        (
            "feishu",
            Change::Remove(&people),
            "DELETE",
            "open-apis/im/v1/chats/oc_1/members?member_id_type=open_id",
            "/id_list",
            json!(people),
        ),
        (
            "feishu",
            Change::Rename("new"),
            "PUT",
            "open-apis/im/v1/chats/oc_1",
            "/name",
            json!("new"),
        ),
        (
            "dingtalk_app",
            create,
            "POST",
            "v1.0/im/sceneGroup/create",
            "/owner_user_id",
            json!("boss"),
        ),
        (
            "dingtalk_app",
            Change::Remove(&people),
            "POST",
            "v1.0/im/sceneGroup/member/delete",
            "/user_ids",
            json!(people),
        ),
        (
            "dingtalk_app",
            Change::Send(&content),
            "POST",
            "v1.0/robot/groupMessages/send",
            "/openConversationId",
            json!("cid1=="),
        ),
        (
            "slack",
            create,
            "POST",
            "api/conversations.create",
            "/name",
            json!("inc20261122000017-01234567"),
        ),
        (
            "slack",
            Change::Add(&people),
            "POST",
            "api/conversations.invite",
            "/users",
            json!("U01,U02"),
        ),
        (
            "slack",
            Change::Remove(&people[..1]),
            "POST",
            "api/conversations.kick",
            "/user",
            json!("U01"),
        ),
        (
            "slack",
            Change::Rename("new"),
            "POST",
            "api/conversations.setTopic",
            "/topic",
            json!("new"),
        ),
    ] {
        let (found_method, found_path, body) = sent(channel, change);
        assert_eq!(
            (found_method.as_str(), found_path.as_str()),
            (method, path),
            "{channel} {change:?}"
        );
        assert_eq!(body.pointer(member), Some(&value), "{channel} {body}");
    }
    let (method, path, _) = sent("slack", Change::Find { cursor: "c=" });
    assert_eq!(method, "GET");
    assert_eq!(
        path,
        "api/users.conversations?types=private_channel&exclude_archived=true&limit=200&cursor=c%3D"
    );
}

#[test]
fn a_group_is_deleted_only_if_the_platform_can_and_the_policy_allows_it() {
    let close = |keeps| Change::Close {
        name: "【已结束】INC1",
        keeps,
    };
    for (channel, deleted, kept) in [
        (
            "wecom_app",
            "cgi-bin/appchat/update?access_token=t0",
            "cgi-bin/appchat/update?access_token=t0",
        ),
        (
            "feishu",
            "open-apis/im/v1/chats/oc_1",
            "open-apis/im/v1/chats/oc_1",
        ),
        (
            "dingtalk_app",
            "v1.0/im/chat/scenegroup/disband",
            "v1.0/im/sceneGroup/update",
        ),
        (
            "slack",
            "api/conversations.archive",
            "api/conversations.setTopic",
        ),
    ] {
        assert_eq!(sent(channel, close(false)).1, deleted, "{channel}");
        assert_eq!(sent(channel, close(true)).1, kept, "{channel}");
    }
    let (method, _, body) = sent("feishu", close(false));
    assert_eq!((method.as_str(), body), ("DELETE", Value::Null));
    assert_eq!(sent("feishu", close(true)).0, "PUT");
}

#[test]
fn each_response_has_its_outcome() {
    /// The HTTP status of a response, its body, and the outcome.
    type Case = (u16, &'static str, &'static str);

    let people = ["U01"];
    let tables: [(&str, &[Case]); 4] = [
        ("wecom_app", wecom::CODES),
        ("feishu", feishu::CODES),
        ("dingtalk_app", dingtalk::CODES),
        ("slack", slack::CODES),
    ];
    for (channel, codes) in tables {
        for (status, body, expected) in codes {
            let found = judged(channel, Change::Add(&people), *status, body);
            assert_eq!(found, *expected, "{channel} {status} {body}");
        }
    }
    let lost: Result<HttpResponse, _> = Err(HttpError::Unknown("lost".into()));
    let (account, secret, chat) = owner("slack");
    let call = Call {
        account: &account,
        secret,
        token: "",
        id: ID,
        ticket: "INC1",
        chat,
        change: Change::Add(&people),
    };
    assert_eq!(text_of(&outcome(codec("slack"), &call, &lost)), "unknown");
}

#[test]
fn the_time_within_which_a_creation_is_recognized_is_known() {
    for (channel, hours) in [
        ("wecom_app", None),
        ("feishu", Some(10)),
        ("dingtalk_app", None),
        ("slack", None),
    ] {
        let expected = hours.map(|hours: i64| hours * 3_600_000);
        assert_eq!(codec(channel).recognizes_ms(), expected, "{channel}");
    }
}

#[test]
fn a_group_of_an_earlier_attempt_is_found() {
    let create = Change::Create {
        name: "x",
        people: &[],
    };
    let find = Change::Find { cursor: "" };
    for (channel, change, body, expected) in [
        (
            "wecom_app",
            create,
            r#"{"errcode":86215,"errmsg":"m"}"#,
            "created 0123456789abcdef0123456789abcdef",
        ),
        (
            "slack",
            create,
            r#"{"ok":false,"error":"name_taken"}"#,
            "elsewhere ",
        ),
        (
            "slack",
            find,
            r#"{"ok":true,"channels":[{"id":"G1XX","name":"other"}],"response_metadata":{"next_cursor":"c2"}}"#,
            "elsewhere c2",
        ),
        (
            "slack",
            find,
            r#"{"ok":true,"channels":[{"id":"G2XX","name":"inc20261122000017-01234567"}]}"#,
            "created G2XX",
        ),
        (
            "slack",
            find,
            r#"{"ok":true,"channels":[]}"#,
            "permanent name_taken",
        ),
        (
            "feishu",
            create,
            r#"{"code":0,"data":{"chat_id":"oc_7"}}"#,
            "created oc_7",
        ),
        (
            "dingtalk_app",
            create,
            r#"{"open_conversation_id":"cid7==","chat_id":"chat7"}"#,
            "created cid7==",
        ),
        ("feishu", create, r#"{"code":0}"#, "unknown"),
        ("dingtalk_app", create, "{}", "unknown"),
        ("slack", create, r#"{"ok":true}"#, "unknown"),
    ] {
        assert_eq!(judged(channel, change, 200, body), expected, "{body}");
    }
}

#[test]
fn a_group_that_is_gone_counts_as_closed() {
    let close = Change::Close {
        name: "x",
        keeps: false,
    };
    let gone = r#"{"code":232009,"msg":"m"}"#;
    assert_eq!(judged("feishu", close, 400, gone), "done");
    let gone = r#"{"ok":false,"error":"already_archived"}"#;
    assert_eq!(judged("slack", close, 200, gone), "done");
    let gone = r#"{"ok":false,"error":"not_in_channel"}"#;
    let people = ["U01"];
    assert_eq!(judged("slack", Change::Remove(&people), 200, gone), "done");
}

#[test]
fn no_text_of_a_ticket_becomes_control_syntax_in_a_name() {
    let rename = Change::Rename(HOSTILE);
    let (_, _, body) = sent("slack", rename);
    let topic = body["topic"].as_str().expect("a text");
    assert!(!topic.contains('<') && !topic.contains('>'), "{topic}");
    for channel in ["wecom_app", "dingtalk_app"] {
        let (_, _, body) = sent(channel, rename);
        let name = body.get("name").or_else(|| body.get("title"));
        let name = name.and_then(Value::as_str).expect("a text");
        assert!(!name.contains(['<', '@', '[', '\n']), "{channel}: {name}");
    }
    let long = "工".repeat(400);
    for (channel, member, most) in [
        ("wecom_app", "name", 50),
        ("feishu", "name", 60),
        ("dingtalk_app", "title", 30),
        ("slack", "topic", 250),
    ] {
        let (_, _, body) = sent(channel, Change::Rename(&long));
        let name = body[member].as_str().expect("a text");
        assert_eq!(name.chars().count(), most, "{channel}");
        assert!(name.ends_with('…'), "{channel}");
    }
}

#[test]
fn an_id_of_a_group_never_leaves_its_place_in_a_path() {
    let (account, secret, _) = owner("feishu");
    for (channel, chat) in [("feishu", "../x"), ("feishu", ""), ("slack", "U01")] {
        let call = Call {
            account: &account,
            secret: if channel == "slack" { "xoxb-1" } else { secret },
            token: "t0",
            id: ID,
            ticket: "INC1",
            chat,
            change: Change::Rename("x"),
        };
        assert!(codec(channel).request(&call).is_err(), "{channel} {chat}");
    }
}
