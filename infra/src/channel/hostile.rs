//! Checks with generated texts that no text of a ticket becomes control syntax of a channel: a mention of everybody, a link, a
//! header, or another member of a request. Each request is parsed as its provider does, and compared with the request of a
//! harmless message.

mod templates;

use std::collections::BTreeMap;

use domain::notification::content::Content;
use serde_json::{Value, json};

use super::contract::{HOSTILE_PARTS, account, content, outgoing, text_of};
use super::push::test_rsa_key;
use super::{ALL, Channel, Mail, Outgoing, Request, email};
use crate::http::{HttpRequest, Url};

/// Number of parts in one text. The messages are then shorter than the limit of most channels, so their parts can be compared.
const PARTS_OF_TEXT: usize = 4;

/// The members of requests that no text of a ticket may change.
const FIXED: [&str; 19] = [
    "type",
    "tag",
    "msgtype",
    "msg_type",
    "msgKey",
    "url",
    "touser",
    "userIds",
    "userid_list",
    "token",
    "action_id",
    "style",
    "isAtAll",
    "atUserIds",
    "mentioned_list",
    "receive_id",
    "To",
    "From",
    "receiver__username",
];

/// A channel with the settings and the secret of its test account. `active` returns the control syntax that a text can
/// contain at a place in the request: in the member with the given name, in an object of the given type.
struct Tested {
    channel: &'static dyn Channel,
    settings: Value,
    secret: String,
    to: &'static str,
    active: Active,
}

type Active = fn(&str, &str) -> &'static [&'static str];

const MARKDOWN: &[&str] = &["[", "](", "@", "<", ">", "*", "`", "#", "&", "\\"];
const BRACKETS: &[&str] = &["<"];

fn nothing(_key: &str, _kind: &str) -> &'static [&'static str] {
    &[]
}

fn of_dingtalk(key: &str, _kind: &str) -> &'static [&'static str] {
    if matches!(key, "text" | "markdown") {
        MARKDOWN
    } else {
        &[]
    }
}

fn of_slack(key: &str, kind: &str) -> &'static [&'static str] {
    match (key, kind) {
        ("text", "mrkdwn") => BRACKETS,
        ("text", "") => &["<", ">", "*", "`"],
        _ => &[],
    }
}

fn of_teams(_key: &str, _kind: &str) -> &'static [&'static str] {
    &["<", "{{", "${", "@{"]
}

fn of_feishu(_key: &str, _kind: &str) -> &'static [&'static str] {
    BRACKETS
}

/// Returns the account of a channel for these tests. A new channel needs an entry here.
fn tested(channel: &'static dyn Channel) -> Tested {
    let app = r#"{"app_key": "dingkey", "app_secret": "hidden"}"#;
    let make = |settings: Value, secret: &str, to: &'static str, active: Active| Tested {
        channel,
        settings,
        secret: secret.to_owned(),
        to,
        active,
    };
    match channel.name() {
        "email" => {
            let settings = json!({ "host": "relay.example", "from": "desk@example.com" });
            make(settings, "", "lisi@example.com", nothing)
        }
        "dingtalk_robot" => {
            let secret = r#"{"access_token": "t", "secret": "SECx"}"#;
            make(json!({}), secret, "dt-1", of_dingtalk)
        }
        "dingtalk_app" => make(json!({ "robot_code": "r" }), app, "dt-1", of_dingtalk),
        "dingtalk_notice" => make(json!({ "agent_id": 4_220 }), app, "dt-1", of_dingtalk),
        "dingtalk_card" => {
            let settings = json!({ "robot_code": "r", "card_template_id": "c.schema" });
            make(settings, app, "dt-1", of_dingtalk)
        }
        "wecom_robot" => make(
            json!({}),
            "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa",
            "lisi",
            |key, _| match key {
                "content" => &["@", "<", ">", "[", "`", "*"],
                _ => &[],
            },
        ),
        "wecom_app" => make(
            json!({ "agentid": 1 }),
            r#"{"corpid": "ww1", "corpsecret": "s"}"#,
            "lisi",
            |key, _| match key {
                "title" | "description" => &["<", ">", "&", "@", "$"],
                _ => &[],
            },
        ),
        "public_account" => make(
            json!({ "template_id": "tpl_1" }),
            r#"{"appid": "wx1", "secret": "s"}"#,
            "oABC-1",
            |key, _| match key {
                "value" => &["{", "}", "\n"],
                _ => &[],
            },
        ),
        "slack" => make(json!({}), "xoxb-1-secret", "U0000LISI", of_slack),
        "slack_webhook" => {
            let secret = "https://hooks.slack.com/services/T012/B012/SECx";
            make(json!({}), secret, "U0000LISI", of_slack)
        }
        "teams_workflow" => {
            let secret = "https://prod-05.westeurope.logic.azure.com:443/workflows/a1/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=s-1_2";
            make(json!({}), secret, "lisi@example.com", of_teams)
        }
        "teams_bot" => {
            let settings = json!({ "app_id": "0a1b2c3d-0000-4000-8000-000000000001" });
            make(settings, "s", "a:1pL6i0oY3C_x-2", of_teams)
        }
        "feishu" => {
            let secret = r#"{"app_id": "cli_a", "app_secret": "hidden"}"#;
            make(json!({}), secret, "ou_1", of_feishu)
        }
        "feishu_robot" => {
            let secret = r#"{"token": "t-1", "secret": "demo"}"#;
            make(json!({}), secret, "ou_1", of_feishu)
        }
        "fcm" => {
            let secret = json!({
                "type": "service_account", "project_id": "demo", "private_key_id": "key-1", "client_id": "1",
                "private_key": test_rsa_key(), "client_email": "desk@demo.iam.gserviceaccount.com",
            });
            let to = "cXf5v0aB:APA91bH_kq-0123456789";
            make(json!({}), &secret.to_string(), to, nothing)
        }
        "apns" => {
            let to = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
            make(json!({ "topic": "com.example.desk" }), "", to, nothing)
        }
        "sms" => {
            let settings = json!({ "shape": "twilio", "from": "+15005550006" });
            let sid = "0".repeat(32);
            let secret = format!(r#"{{"account_sid": "AC{sid}", "auth_token": "t"}}"#);
            make(settings, &secret, "+8613800000000", |key, _| match key {
                "Body" => &["://", "\n"],
                _ => &[],
            })
        }
        "cmsi" => {
            let settings = json!({ "url": "http://bus.example", "app": "bk", "msg_type": "mail" });
            make(settings, "s", "lisi", |key, _| match key {
                "title" | "content" => &["<", ">", "\r", "\n"],
                _ => &[],
            })
        }
        other => panic!("{other} has no account in this test"),
    }
}

/// Returns a test message in which every text that comes from a ticket is `text`.
fn with_text(text: &str) -> Content {
    Content {
        subject: text.into(),
        intro: text.into(),
        values: vec![("优先级".into(), text.into()), (text.into(), text.into())],
        closing: text.into(),
        ..content()
    }
}

impl Tested {
    fn request(&self, content: &Content) -> Request {
        let mut account = account(self.channel.name());
        let settings = self.settings.as_object().expect("settings").clone();
        account.settings.extend(settings);
        let outgoing = Outgoing {
            token: "granted",
            ..outgoing(&account, &self.secret, self.to, content)
        };
        let request = self.channel.request(&outgoing);
        request.unwrap_or_else(|reason| panic!("{}: {reason}", self.channel.name()))
    }

    /// Compares the request of a hostile message with the one of a harmless message.
    fn check(&self, hostile: &Content, harmless: &Content) -> Result<(), String> {
        match (self.request(hostile), self.request(harmless)) {
            (Request::Http(request), Request::Http(model)) => self.check_http(&request, &model),
            (Request::Mail(mail), Request::Mail(model)) => {
                check_mail(&mail, &model)?;
                let tags = |content: &Content| email::html(content).matches('<').count();
                if tags(hostile) == tags(harmless) {
                    Ok(())
                } else {
                    Err(format!("HTML: {}", email::html(hostile)))
                }
            }
            _ => Err("the kind of the request depends on the text".into()),
        }
    }

    fn check_http(&self, request: &HttpRequest, model: &HttpRequest) -> Result<(), String> {
        let names = |request: &HttpRequest| -> Vec<String> {
            let headers = request.headers.iter();
            headers.map(|(name, _)| name.clone()).collect()
        };
        let is_equal = (&request.method, &request.url) == (&model.method, &model.url);
        if !is_equal || names(request) != names(model) {
            return Err(format!("{} {}", request.method, request.url));
        }
        for (name, value) in &request.headers {
            if value.contains(char::is_control) {
                return Err(format!("header {name}: {value:?}"));
            }
        }
        let (shown, model) = (parsed(&request.body)?, parsed(&model.body)?);
        self.compare(&shown, &model, "", "")
    }

    /// Compares a part of a request with the same part of the harmless one. The part is in the member `key` of an object of
    /// the type `kind`.
    fn compare(&self, shown: &Value, model: &Value, key: &str, kind: &str) -> Result<(), String> {
        match (shown, model) {
            (Value::Object(shown), Value::Object(model)) => {
                if !shown.keys().eq(model.keys()) {
                    return Err(format!("the members of {key} differ: {shown:?}"));
                }
                let kind = ["type", "tag"].iter().find_map(|name| model.get(*name));
                let kind = kind.and_then(Value::as_str).unwrap_or_default();
                for (name, value) in shown {
                    self.compare(value, &model[name], name, kind)?;
                }
                Ok(())
            }
            (Value::Array(shown), Value::Array(model)) if shown.len() == model.len() => {
                let mut pairs = shown.iter().zip(model);
                pairs.try_for_each(|(shown, model)| self.compare(shown, model, key, kind))
            }
            (Value::String(shown), Value::String(model)) => {
                self.compare_text(shown, model, key, kind)
            }
            _ if shown == model => Ok(()),
            _ => Err(format!("{key}: {shown}")),
        }
    }

    fn compare_text(&self, shown: &str, model: &str, key: &str, kind: &str) -> Result<(), String> {
        let inner = serde_json::from_str::<Value>(model).ok();
        if let Some(model) = inner.filter(|inner| inner.is_object() || inner.is_array()) {
            let shown = serde_json::from_str(shown).map_err(|error| format!("{key}: {error}"))?;
            return self.compare(&shown, &model, key, kind);
        }
        if FIXED.contains(&key) && shown != model {
            return Err(format!("{key}: {shown}"));
        }
        for syntax in (self.active)(key, kind) {
            if shown.matches(syntax).count() > model.matches(syntax).count() {
                return Err(format!("{syntax} is active in {key}: {shown:?}"));
            }
        }
        Ok(())
    }
}

/// Returns the members of a body, which is JSON or an HTML form.
fn parsed(body: &[u8]) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let url = format!("http://form.example/?{text}").parse::<Url>();
    let url = url.map_err(|error| error.to_string())?;
    let mut members = serde_json::Map::new();
    for (name, value) in url.query_pairs() {
        let before = members.insert(name.into_owned(), value.into_owned().into());
        if before.is_some() {
            return Err(format!("a member is there twice: {text}"));
        }
    }
    Ok(Value::Object(members))
}

/// Checks that a mail has the same headers and the same parts as a harmless one.
fn check_mail(mail: &Mail, model: &Mail) -> Result<(), String> {
    let names = |mail: &Mail| -> Vec<String> {
        let text = String::from_utf8_lossy(&mail.bytes).into_owned();
        let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_str(), ""));
        let is_folded = |line: &&str| line.starts_with([' ', '\t']);
        let lines = headers.split("\r\n").filter(|line| !is_folded(line));
        let names = lines.map(|line| line.split(':').next().unwrap_or_default().to_owned());
        let boundaries = body.matches("\r\n--part-").count() + usize::from(body.starts_with("--"));
        names.chain([boundaries.to_string()]).collect()
    };
    let envelope = |mail: &Mail| (mail.from.clone(), mail.to.clone(), mail.host.clone());
    if names(mail) == names(model) && envelope(mail) == envelope(model) {
        Ok(())
    } else {
        Err(format!("{:?}", names(mail)))
    }
}

/// Returns the number of texts for each channel: 300, or the value of the environment variable `LEDGERDESK_CASES`. Long runs
/// use 100,000.
#[expect(
    clippy::disallowed_methods,
    reason = "a variable selects the long form"
)]
fn cases() -> usize {
    let text = std::env::var("LEDGERDESK_CASES").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn no_ticket_text_is_active_in_any_channel() {
    let harmless = with_text("字 word");
    let mut counts = BTreeMap::new();
    for (number, channel) in ALL.iter().enumerate() {
        let tested = tested(*channel);
        let mut state = u64::try_from(number).expect("a small number") + 1;
        for case in 0..cases() {
            // Each text begins with a visible character, so no part of a message is omitted.
            let text = format!("字{}", text_of(HOSTILE_PARTS, PARTS_OF_TEXT, &mut state));
            if let Err(reason) = tested.check(&with_text(&text), &harmless) {
                panic!("{}, case {case}: {reason}\nfrom {text:?}", channel.name());
            }
            *counts.entry(channel.name()).or_insert(0_usize) += 1;
        }
    }
    println!("hostile texts without an effect: {counts:?}");
    assert_eq!(counts.len(), ALL.len());
}

#[test]
fn the_comparison_finds_active_syntax_and_other_members() {
    let slack = tested(super::find("slack").expect("the channel"));
    let model = json!({ "text": "a", "blocks": [{ "type": "mrkdwn", "text": "<@U1> a" }] });
    let compare = |shown: Value| slack.compare(&shown, &model, "", "");
    assert_eq!(compare(model.clone()), Ok(()));
    for wrong in [
        json!({ "text": "a", "blocks": [{ "type": "mrkdwn", "text": "<@U1> <!channel>" }] }),
        json!({ "text": "<!here>", "blocks": [{ "type": "mrkdwn", "text": "<@U1> a" }] }),
        json!({ "text": "a", "blocks": [{ "type": "image", "text": "<@U1> a" }] }),
        json!({ "text": "a", "blocks": [{ "type": "mrkdwn", "text": "a", "x": 1 }] }),
        json!({ "text": "a", "blocks": [] }),
        json!({ "text": "a", "blocks": [{ "type": "mrkdwn", "text": "a" }], "x": 1 }),
    ] {
        assert!(compare(wrong.clone()).is_err(), "{wrong}");
    }
    let mail = |headers: &str| {
        let Request::Mail(mail) = tested(&email::Email).request(&content()) else {
            panic!("a mail")
        };
        let text = String::from_utf8(mail.bytes.clone()).expect("a text");
        Mail {
            bytes: text
                .replacen("Precedence:", &format!("{headers}Precedence:"), 1)
                .into_bytes(),
            ..mail
        }
    };
    assert_eq!(check_mail(&mail(""), &mail("")), Ok(()));
    assert!(check_mail(&mail("Bcc: x@evil.example\r\n"), &mail("")).is_err());
}
