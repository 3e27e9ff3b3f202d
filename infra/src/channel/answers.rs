//! Tests for the answers to messages of people and to pressed buttons.

use serde_json::{Value, json};

use super::contract::{account, content};
use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef";
const TEXT: &str = "已完成“确认接收”，单号 REQ1。<at user_id=\"all\">";

/// Returns an account of a channel with the given settings.
fn of(channel: &str, settings: &Value) -> Defined {
    let mut account = account(channel);
    let settings = settings.as_object().expect("an object");
    for (key, value) in settings {
        account.settings.insert(key.clone(), value.clone());
    }
    account
}

fn answer(
    account: &Defined,
    secret: &str,
    place: &Place,
    content: Option<&Content>,
) -> Result<Option<HttpRequest>, String> {
    find(&account.channel)
        .expect("a channel")
        .answer(&Answering {
            account,
            secret,
            token: "t0",
            user: "lisi",
            place,
            text: TEXT,
            content,
            id: ID,
        })
}

fn at(message: &str) -> Place {
    Place {
        message: message.into(),
        ..Place::default()
    }
}

/// Returns the method, the URL and the body of an answer.
fn sent(answer: Result<Option<HttpRequest>, String>) -> (String, String, Value) {
    let request = answer.expect("an answer").expect("a request");
    let body = serde_json::from_slice(&request.body).expect("JSON");
    (request.method, request.url, body)
}

#[test]
fn wecom_changes_a_card_once_and_otherwise_sends_a_text() {
    let account = of("wecom_app", &json!({ "agentid": 7, "buttons": true }));
    let content = content();
    let (_, url, body) = sent(answer(&account, "", &at("code-1"), Some(&content)));
    assert!(
        url.ends_with("/cgi-bin/message/update_template_card?access_token=t0"),
        "{url}"
    );
    assert_eq!(body["response_code"], "code-1");
    assert_eq!(body["userids"], json!(["lisi"]));
    let name = body["button"]["replace_name"].as_str().expect("a name");
    assert!(name.starts_with("已完成"), "{name}");
    // The code of the card stays usable if the action was refused.
    let (_, url, body) = sent(answer(&account, "", &at("code-1"), None));
    assert!(
        url.ends_with("/cgi-bin/message/send?access_token=t0"),
        "{url}"
    );
    let text = body["text"]["content"].as_str().expect("a text");
    assert!(text.contains("REQ1") && !text.contains('<'), "{text}");
}

#[test]
fn feishu_answers_below_the_message() {
    let account = of("feishu", &json!({}));
    let (method, url, body) = sent(answer(&account, "", &at("om_1"), None));
    assert_eq!(method, "POST");
    assert_eq!(
        url,
        "https://open.feishu.cn/open-apis/im/v1/messages/om_1/reply"
    );
    let text = body["content"].as_str().expect("a text");
    assert!(text.contains("REQ1") && !text.contains("<at"), "{text}");
    assert_eq!(body["uuid"], ID);
    assert!(answer(&account, "", &at("../x"), None).is_err());
    assert_eq!(answer(&account, "", &at(""), None), Ok(None));
}

#[test]
fn dingtalk_changes_the_variables_of_a_card() {
    let account = of(
        "dingtalk_card",
        &json!({ "robot_code": "r", "card_template_id": "c" }),
    );
    let content = content();
    let (method, url, body) = sent(answer(&account, "", &at("d1"), Some(&content)));
    assert_eq!(method, "PUT");
    assert_eq!(url, "https://api.dingtalk.com/v1.0/card/instances");
    assert_eq!(body["outTrackId"], "d1");
    let values = &body["cardData"]["cardParamMap"];
    assert!(
        values["answer"]
            .as_str()
            .is_some_and(|text| text.contains("REQ1"))
    );
    assert_eq!(
        values["action_1_label"], "",
        "the buttons of the card are gone"
    );
    let (_, _, body) = sent(answer(&account, "", &at("d1"), None));
    let values = body["cardData"]["cardParamMap"].as_object();
    assert_eq!(
        values.map(serde_json::Map::len),
        Some(1),
        "only the answer changes"
    );
    assert_eq!(body["cardUpdateOptions"]["updateCardDataByKey"], true);
}

#[test]
fn slack_answers_in_the_conversation() {
    let account = of("slack", &json!({}));
    let place = Place {
        chat: "C012AB3CD".into(),
        message: "1700000000.000100".into(),
        ..Place::default()
    };
    let (_, url, body) = sent(answer(&account, "xoxb-1-secret", &place, None));
    assert_eq!(url, "https://slack.com/api/chat.postMessage");
    assert_eq!(body["thread_ts"], "1700000000.000100");
    let text = body["text"].as_str().expect("a text");
    assert!(text.contains("&lt;at"), "{text}");
    assert_eq!(answer(&account, "xoxb-1-secret", &at(""), None), Ok(None));
}

#[test]
fn the_token_of_a_bot_is_sent_to_the_bot_framework_only() {
    let app = "0a1b2c3d-0000-4000-8000-000000000001";
    let account = of("teams_bot", &json!({ "app_id": app, "buttons": true }));
    let place = |service: &str, chat: &str| Place {
        service: service.into(),
        chat: chat.into(),
        message: "1:2AbC".into(),
    };
    let here = "https://smba.trafficmanager.net/emea/";
    let content = content();
    let (method, url, body) = sent(answer(&account, "", &place(here, "a:1"), Some(&content)));
    let base = "https://smba.trafficmanager.net/emea/v3/conversations/a:1/activities";
    assert_eq!((method.as_str(), url), ("PUT", format!("{base}/1:2AbC")));
    assert!(body["attachments"].is_array());
    let (method, url, body) = sent(answer(&account, "", &place(here, "a:1"), None));
    assert_eq!((method.as_str(), url.as_str()), ("POST", base));
    assert_eq!(
        (&body["textFormat"], &body["text"]),
        (&json!("plain"), &json!(TEXT))
    );
    for (service, chat) in [
        ("https://evil.example/", "a:1"),
        ("http://smba.trafficmanager.net/", "a:1"),
        ("https://smba.trafficmanager.net.evil.example/", "a:1"),
        ("", "a:1"),
        (here, "../x"),
    ] {
        let refused = answer(&account, "", &place(service, chat), None);
        assert!(refused.is_err(), "{service} {chat}: {refused:?}");
    }
}

#[test]
fn only_known_hosts_publish_keys_for_a_bot() {
    let app = "0a1b2c3d-0000-4000-8000-000000000001";
    let account = |url: &str| of("teams_bot", &json!({ "app_id": app, "metadata_url": url }));
    let default = of("teams_bot", &json!({ "app_id": app }));
    let url = teams_bot::metadata_url(&default).expect("a URL");
    assert_eq!(url.host_str(), Some("login.botframework.com"));
    assert_eq!(
        teams_bot::issuer(&url),
        Some("https://api.botframework.com")
    );
    let government = "https://login.botframework.azure.us/v1/.well-known/openidconfiguration";
    let url = teams_bot::metadata_url(&account(government)).expect("a URL");
    assert_eq!(teams_bot::issuer(&url), Some("https://api.botframework.us"));
    for wrong in [
        "https://evil.example/v1/.well-known/openidconfiguration",
        "http://login.botframework.com/v1/.well-known/openidconfiguration",
        "https://login.botframework.com.evil.example/",
    ] {
        assert!(teams_bot::metadata_url(&account(wrong)).is_err(), "{wrong}");
    }
}
