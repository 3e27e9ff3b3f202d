//! Sends messages through an application of WeCom (reference/notifications.md, section 1.3). An application needs an access
//! token. A message is a card with one link, or a card with buttons that WeCom reports to the desk. WeCom answers with the
//! code 0 even if the only recipient is invalid, so the lists of invalid recipients decide.

use domain::attempt::Verdict;
use domain::notification::content::Content;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Value, json};

use super::group::{self, Groups};
use super::wechat::{self, Answer, ELLIPSIS, MINUTE_MS, Parts, narrow, plain};
use super::{
    Access, Answering, Channel, Outgoing, Request, Response, TIMEOUT, TargetLimit, Token, Updates,
    accepted, check_url, cut, flag, of_http, only, text,
};
use crate::http::{HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};

/// The default base address of WeCom.
const URL: &str = "https://qyapi.weixin.qq.com";
/// The time in which WeCom sends equal messages only once, in seconds. All attempts after an unknown result are within this
/// time.
const DUPLICATE_S: u32 = 1_800;
/// Maximum size of the title of a card with a link, in bytes.
const TITLE_BYTES_MAX: usize = 128;
/// Maximum size of the description of a card with a link, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 512;
/// Maximum length of the text of the link of a card, in characters.
const LINK_MAX: usize = 4;
/// Maximum number of values in a card with buttons.
const VALUES_MAX: usize = 6;
/// Maximum number of buttons in a card.
const BUTTONS_MAX: usize = 6;
/// The lengths that WeCom recommends for the texts of a card with buttons, in columns. A Chinese character has two columns.
const TITLE_COLUMNS: usize = 52;
const INTRO_COLUMNS: usize = 60;
const REPLACED_COLUMNS: usize = 40;
const CLOSING_COLUMNS: usize = 224;
const LABEL_COLUMNS: usize = 10;
const VALUE_COLUMNS: usize = 52;
const BUTTON_COLUMNS: usize = 20;
/// Maximum size of the text of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 2_000;
/// The styles of a highlighted button and of any other button.
const PRIMARY: u8 = 1;
const SECONDARY: u8 = 2;
/// Time for which WeCom accepts the code for an update, in milliseconds (72 hours).
const UPDATE_AGE_MAX_MS: i64 = 72 * 3_600_000;
/// WeCom silently drops further messages of an application to one member.
const TARGET_LIMITS: &[TargetLimit] = &[
    TargetLimit {
        most: 30,
        period_ms: MINUTE_MS,
    },
    TargetLimit {
        most: 1_000,
        period_ms: 60 * MINUTE_MS,
    },
];
/// The members of a response with the ids of recipients that get nothing.
const INVALID: [&str; 2] = ["invaliduser", "unlicenseduser"];

/// The channel that sends messages through applications of WeCom.
#[derive(Clone, Copy, Debug)]
pub struct WecomApp;

/// The secret data of one application. `corpid` is the id of the company.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    corpid: String,
    corpsecret: String,
}

impl Channel for WecomApp {
    fn name(&self) -> &'static str {
        "wecom_app"
    }

    fn address_kind(&self) -> &'static str {
        "wecom"
    }

    fn target_limits(&self) -> &'static [TargetLimit] {
        TARGET_LIMITS
    }

    /// Returns true. WeCom sends equal messages only once, and all attempts of a delivery send the same message.
    fn may_repeat(&self) -> bool {
        true
    }

    /// Returns false. A message goes to one member.
    fn is_shared(&self, _account: &Defined, _to: &str) -> bool {
        false
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        wechat::check_member(address)
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "agentid", "buttons", "group_owner"])?;
        check_url(account, "url")?;
        agent(account)?;
        if account.settings.contains_key("group_owner") {
            wechat::check_member(text(account, "group_owner"))
                .map_err(|reason| format!("`group_owner` must {reason}"))?;
        }
        flag(account, "buttons").map(drop)
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        read(secret).map(drop)
    }

    fn access(&self, account: &Defined, secret: &str, _now: Moment) -> Result<Access, String> {
        let Secret { corpid, corpsecret } = read(secret)?;
        let address = format!("{}/cgi-bin/gettoken", base(account));
        let query = [
            ("corpid", corpid.as_str()),
            ("corpsecret", corpsecret.as_str()),
        ];
        let url = wechat::url(&address, &query)?;
        let request = HttpRequest::get(url, TIMEOUT, RESPONSE_BYTES_MAX);
        Ok(Access::Asked(request))
    }

    fn token(&self, response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
        wechat::token(response, failure)
    }

    fn refuses_token(&self, response: &Response) -> bool {
        matches!(response, Response::Http(Ok(response)) if wechat::refuses_token(response))
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let account = outgoing.account;
        let is_interactive = flag(account, "buttons")? && !outgoing.content.actions.is_empty();
        let (kind, card) = if is_interactive {
            ("template_card", buttons(outgoing.content, outgoing.id))
        } else {
            ("textcard", linked(outgoing.content, outgoing.id))
        };
        let mut body = json!({
            "touser": outgoing.to,
            "agentid": agent(account)?,
            "msgtype": kind,
            "enable_id_trans": 0,
            "enable_duplicate_check": 1,
            "duplicate_check_interval": DUPLICATE_S,
        });
        body[kind] = card;
        call(account, outgoing.token, "send", &body).map(Request::Http)
    }

    /// Replaces the buttons of a card by the result if the action is done, and otherwise sends a text. WeCom accepts the
    /// code of a card once, so a refused action does not use it.
    fn answer(&self, answering: &Answering<'_>) -> Result<Option<HttpRequest>, String> {
        let account = answering.account;
        wechat::check_member(answering.user).map_err(|reason| format!("the user must {reason}"))?;
        let code = answering.place.message.as_str();
        let is_card = answering.content.is_some() && !code.is_empty();
        if is_card {
            let name = narrow(&plain(answering.text), BUTTON_COLUMNS);
            return replaced(account, answering.token, answering.user, code, &name).map(Some);
        }
        let text = cut(&plain(answering.text), ANSWER_BYTES_MAX);
        let body = json!({
            "touser": answering.user,
            "agentid": agent(account)?,
            "msgtype": "text",
            "text": { "content": text },
        });
        call(account, answering.token, "send", &body).map(Some)
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }

    fn groups(&self) -> Option<&'static dyn Groups> {
        Some(&group::wecom::Wecom)
    }

    /// Only cards with buttons have a code for an update, and WeCom accepts this code once within 72 hours.
    fn updates(&self, account: &Defined) -> Updates {
        match flag(account, "buttons") {
            Ok(true) => Updates::Once,
            Ok(false) | Err(_) => Updates::Never,
        }
    }

    fn update_age_max_ms(&self) -> Option<i64> {
        Some(UPDATE_AGE_MAX_MS)
    }

    /// The new card keeps its texts. A gray text that cannot be pressed replaces all buttons.
    fn update(
        &self,
        outgoing: &Outgoing<'_>,
        message: &str,
        state: &str,
    ) -> Result<HttpRequest, String> {
        let name = narrow(&plain(state), REPLACED_COLUMNS);
        replaced(
            outgoing.account,
            outgoing.token,
            outgoing.to,
            message,
            &name,
        )
    }
}

/// Returns a request that replaces the buttons of a card by the text `name`.
fn replaced(
    account: &Defined,
    token: &str,
    user: &str,
    code: &str,
    name: &str,
) -> Result<HttpRequest, String> {
    let body = json!({
        "userids": [user],
        "agentid": agent(account)?,
        "response_code": code,
        "button": { "replace_name": name },
    });
    call(account, token, "update_template_card", &body)
}

/// Returns a request to one of the interfaces for messages.
fn call(account: &Defined, token: &str, path: &str, body: &Value) -> Result<HttpRequest, String> {
    interface(account, token, &format!("message/{path}"), body)
}

/// Returns a request to an interface of the application. `path` is the part of the path after `/cgi-bin/`.
pub(super) fn interface(
    account: &Defined,
    token: &str,
    path: &str,
    body: &Value,
) -> Result<HttpRequest, String> {
    let address = format!("{}/cgi-bin/{path}", base(account));
    let url = wechat::url(&address, &[("access_token", token)])?;
    Ok(wechat::post(url, body))
}

fn base(account: &Defined) -> &str {
    wechat::base(text(account, "url"), URL)
}

/// Returns the id of the application.
fn agent(account: &Defined) -> Result<u32, String> {
    let agent = account.settings.get("agentid").and_then(Value::as_u64);
    agent
        .and_then(|agent| u32::try_from(agent).ok())
        .filter(|agent| *agent > 0)
        .ok_or_else(|| "`agentid` must be the number of the application, without quotes".into())
}

fn read(secret: &str) -> Result<Secret, String> {
    serde_json::from_str::<Secret>(secret)
        .ok()
        .filter(|Secret { corpid, corpsecret }| !corpid.is_empty() && !corpsecret.is_empty())
        .ok_or_else(|| {
            r#"the secret must be {"corpid": "ww...", "corpsecret": "..."} on one line"#.to_owned()
        })
}

/// Returns a card with one link.
pub(super) fn linked(content: &Content, id: &str) -> Value {
    let closing = plain(&content.closing);
    let description = Parts {
        intro: plain(&content.intro),
        values: Parts::values(content, ""),
        closing: if closing.is_empty() {
            closing
        } else {
            format!("<div class=\"gray\">{closing}</div>")
        },
        ..Parts::default()
    }
    .fitted("<br>", DESCRIPTION_BYTES_MAX);
    let mut card = json!({
        "title": cut(&plain(&content.subject), TITLE_BYTES_MAX),
        "description": description,
        "url": marked(&content.link.url, id),
    });
    // WeCom cuts a longer text and shows its own Chinese text if there is none.
    let label = plain(&content.link.text);
    let words = label.split(' ').next().unwrap_or_default();
    if (1..=LINK_MAX).contains(&words.chars().count()) {
        card["btntxt"] = words.into();
    }
    card
}

/// Returns a URL with the id of the delivery as its fragment. WeCom recognizes a repeated message by its complete content.
/// Two deliveries with the same text, such as two reminders, must therefore have different URLs.
fn marked(url: &str, id: &str) -> String {
    if url.contains('#') {
        url.to_owned()
    } else {
        format!("{url}#{id}")
    }
}

/// Returns a card with buttons.
fn buttons(content: &Content, id: &str) -> Value {
    // WeCom requires a label for each value, so the lines without a label come before the closing.
    let values = content.values.iter();
    let (labels, texts): (Vec<_>, Vec<_>) = values.partition(|(label, _)| !label.is_empty());
    let mut closing: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    closing.push(&content.closing);
    let closing = plain(closing.join(" ").trim_end());
    let mut values: Vec<Value> = labels
        .iter()
        .map(|(label, value)| pair(&plain(label), &plain(value)))
        .collect();
    if values.len() > VALUES_MAX {
        values.truncate(VALUES_MAX - 1);
        values.push(pair(ELLIPSIS, ELLIPSIS));
    }
    let actions = content.actions.iter().take(BUTTONS_MAX);
    let buttons: Vec<Value> = actions
        .map(|action| {
            json!({
                "text": narrow(&plain(&action.label), BUTTON_COLUMNS),
                "style": if action.is_primary { PRIMARY } else { SECONDARY },
                "key": action.value,
            })
        })
        .collect();
    json!({
        "card_type": "button_interaction",
        "main_title": {
            "title": narrow(&plain(&content.subject), TITLE_COLUMNS),
            "desc": narrow(&plain(&content.intro), INTRO_COLUMNS),
        },
        "sub_title_text": narrow(&closing, CLOSING_COLUMNS),
        "horizontal_content_list": values,
        "card_action": { "type": 1, "url": content.link.url },
        "task_id": id,
        "button_list": buttons,
    })
}

fn pair(label: &str, value: &str) -> Value {
    json!({ "keyname": narrow(label, LABEL_COLUMNS), "value": narrow(value, VALUE_COLUMNS) })
}

/// Converts a response of WeCom to a verdict (the result of an attempt).
fn judge(response: &HttpResponse) -> Verdict {
    let answer = match wechat::answer(response, true) {
        Ok(answer) => answer,
        Err(verdict) => return verdict,
    };
    if answer.code != 0 {
        return failure(&answer);
    }
    // A message has one recipient, so an id in one of these lists is this recipient.
    if let Some(member) = INVALID.iter().find(|key| !answer.text(key).is_empty()) {
        let reason = format!("WeCom returned the recipient in the list `{member}`");
        return Verdict::refused(FailureClass::RecipientInvalid, *member, reason);
    }
    let code = answer.text("response_code");
    let message = if code.is_empty() {
        answer.text("msgid")
    } else {
        code
    };
    accepted("0", message)
}

/// Returns the verdict (the result of an attempt) for a code that is not 0. An unknown code means a permanent failure.
pub(super) fn failure(answer: &Answer) -> Verdict {
    match answer.code {
        -1 | 45_033 => answer.busy(),
        45_009 => answer.throttled(MINUTE_MS),
        code if wechat::is_token_code(code) => answer.refused(FailureClass::Credential),
        // The codes 40013 and 40091 mean an unknown company and a wrong secret. 41002 and 41004 mean that they are missing.
        40_013 | 40_091 | 41_002 | 41_004 => answer.refused(FailureClass::Credential),
        40_003 | 60_111 | 81_013 | 82_001 => answer.refused(FailureClass::RecipientInvalid),
        45_002 => answer.refused(FailureClass::TooLarge),
        // The task id of a card exists already. An earlier attempt of the same delivery has probably sent the card.
        42_014 => Verdict::Unknown {
            reason: format!("the card exists already (errcode 42014): {}", answer.reason).into(),
        },
        _ => answer.refused(FailureClass::Permanent),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::notification::content::Action;

    use super::super::contract::{account, content, outgoing, shown};
    use super::super::wechat::tests::{nasty_contents, response};
    use super::*;

    const SECRET: &str = r#"{"corpid": "ww1", "corpsecret": "s"}"#;

    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"errcode":0,"errmsg":"ok","invaliduser":"","msgid":"m1"}"#,
            "accepted m1",
        ),
        (
            200,
            r#"{"errcode":0,"msgid":"m1","response_code":"r1"}"#,
            "accepted r1",
        ),
        (200, r#"{"errcode":0}"#, "accepted"),
        (
            200,
            r#"{"errcode":0,"invaliduser":"lisi","msgid":"m1"}"#,
            "recipient_invalid invaliduser",
        ),
        (
            200,
            r#"{"errcode":0,"unlicenseduser":"lisi","msgid":"m1"}"#,
            "recipient_invalid unlicenseduser",
        ),
        (200, r#"{"errcode":-1}"#, "retry"),
        (200, r#"{"errcode":45033}"#, "retry"),
        (200, r#"{"errcode":45009}"#, "throttled 60000"),
        (200, r#"{"errcode":40014}"#, "credential 40014"),
        (200, r#"{"errcode":42001}"#, "credential 42001"),
        (200, r#"{"errcode":40001}"#, "credential 40001"),
        (200, r#"{"errcode":40013}"#, "credential 40013"),
        (200, r#"{"errcode":40091}"#, "credential 40091"),
        (200, r#"{"errcode":41002}"#, "credential 41002"),
        (200, r#"{"errcode":41004}"#, "credential 41004"),
        (200, r#"{"errcode":40003}"#, "recipient_invalid 40003"),
        (200, r#"{"errcode":60111}"#, "recipient_invalid 60111"),
        (200, r#"{"errcode":81013}"#, "recipient_invalid 81013"),
        (200, r#"{"errcode":82001}"#, "recipient_invalid 82001"),
        (200, r#"{"errcode":45002}"#, "too_large 45002"),
        (200, r#"{"errcode":42014}"#, "unknown"),
        (200, r#"{"errcode":44004}"#, "permanent 44004"),
        (200, r#"{"errcode":40058}"#, "permanent 40058"),
        (200, r#"{"errcode":60020}"#, "permanent 60020"),
        (200, r#"{"errcode":48002}"#, "permanent 48002"),
        (200, r#"{"errcode":301002}"#, "permanent 301002"),
        (200, r#"{"errcode":60011}"#, "permanent 60011"),
        (200, r#"{"errcode":86001}"#, "permanent 86001"),
        (200, r#"{"errcode":86224}"#, "permanent 86224"),
        (200, r#"{"errcode":999999}"#, "permanent 999999"),
        (200, r#"{"errcode":"0"}"#, "unknown"),
        (200, "{}", "unknown"),
        (200, "<html>", "unknown"),
        (302, "", "permanent 302"),
        (403, r#"{"errcode":0}"#, "permanent 403"),
        (429, "", "throttled 60000"),
        (500, r#"{"errcode":0}"#, "retry"),
        (502, "<html>", "retry"),
        (503, "", "retry"),
        (504, "", "retry"),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = WecomApp.verdict(&response(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
    }

    #[test]
    fn three_codes_refuse_the_token() {
        for (status, body, expected) in CODES {
            let is_refused = WecomApp.refuses_token(&response(*status, body));
            let is_token_code = ["credential 40014", "credential 42001", "credential 40001"];
            assert_eq!(is_refused, is_token_code.contains(expected), "{body}");
        }
    }

    fn app(buttons: bool) -> Defined {
        let mut account = account("wecom_app");
        account.settings.insert("agentid".into(), json!(1_000_002));
        account.settings.insert("buttons".into(), json!(buttons));
        account
    }

    fn sent(account: &Defined, content: &Content, id: &str) -> (String, Value) {
        let outgoing = Outgoing {
            token: "t",
            id,
            ..outgoing(account, SECRET, "lisi", content)
        };
        let Ok(Request::Http(request)) = WecomApp.request(&outgoing) else {
            panic!("a request")
        };
        (request.url, serde_json::from_slice(&request.body).unwrap())
    }

    fn action(name: &str, is_primary: bool) -> Action {
        Action {
            name: name.into(),
            label: name.into(),
            is_primary,
            url: format!("https://desk.example/{name}"),
            value: format!("signed-{name}"),
        }
    }

    #[test]
    fn a_token_is_requested_with_the_secret() {
        let access = WecomApp.access(&app(false), SECRET, Moment(0)).unwrap();
        let Access::Asked(request) = access else {
            panic!("a request")
        };
        let expected = format!("{URL}/cgi-bin/gettoken?corpid=ww1&corpsecret=s");
        assert_eq!((request.method.as_str(), request.url), ("GET", expected));
    }

    #[test]
    fn a_card_has_one_link_and_no_button() {
        let mut content = content();
        content.actions = vec![action("approve", true)];
        let (url, body) = sent(&app(false), &content, "d1");
        assert_eq!(url, format!("{URL}/cgi-bin/message/send?access_token=t"));
        let expected = json!({
            "touser": "lisi", "agentid": 1_000_002, "msgtype": "textcard", "enable_id_trans": 0,
            "enable_duplicate_check": 1, "duplicate_check_interval": 1_800,
            "textcard": {
                "title": "请审批: 申请权限",
                "description": "lisi，您好。<br>优先级：高<br><div class=\"gray\">您是节点的处理人。</div>",
                "url": "https://desk.example/tickets/REQ1#d1",
                "btntxt": "打开工单",
            },
        });
        assert_eq!(body, expected);
        content.link.text = "Open the ticket".into();
        let (_, body) = sent(&app(false), &content, "d1");
        assert_eq!(body["textcard"]["btntxt"], "Open");
    }

    #[test]
    fn an_update_replaces_the_buttons_by_the_state() {
        let (account, content) = (app(true), content());
        assert_eq!(WecomApp.updates(&account), Updates::Once);
        assert_eq!(WecomApp.updates(&app(false)), Updates::Never);
        let outgoing = outgoing(&account, SECRET, "lisi", &content);
        let outgoing = Outgoing {
            token: "t",
            ..outgoing
        };
        let request = WecomApp.update(&outgoing, "r1", "已由张三确认").unwrap();
        let address = format!("{URL}/cgi-bin/message/update_template_card?access_token=t");
        assert_eq!((request.method.as_str(), request.url), ("POST", address));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let button = json!({ "replace_name": "已由张三确认" });
        let expected = json!({
            "userids": ["lisi"], "agentid": 1_000_002, "response_code": "r1", "button": button,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn only_attempts_of_one_delivery_are_equal() {
        let mut content = content();
        for actions in [vec![], vec![action("approve", true)]] {
            content.actions = actions;
            let body = |id| sent(&app(true), &content, id).1;
            assert_eq!(body("d1"), body("d1"));
            assert_ne!(body("d1"), body("d2"));
        }
    }

    #[test]
    fn a_card_has_a_button_for_each_action() {
        let mut content = content();
        content.actions = vec![action("approve", true), action("reject", false)];
        content.values = (0..8).map(|n| (format!("k{n}"), "v".into())).collect();
        let (_, body) = sent(&app(true), &content, "d1");
        assert_eq!(body["msgtype"], "template_card");
        let card = &body["template_card"];
        assert_eq!(card["card_type"], "button_interaction");
        assert_eq!(card["task_id"], "d1");
        assert_eq!(
            card["card_action"],
            json!({ "type": 1, "url": "https://desk.example/tickets/REQ1" })
        );
        let expected = json!([
            { "text": "approve", "style": 1, "key": "signed-approve" },
            { "text": "reject", "style": 2, "key": "signed-reject" },
        ]);
        assert_eq!(card["button_list"], expected);
        let values = card["horizontal_content_list"].as_array().unwrap();
        assert_eq!(values.len(), 6);
        assert_eq!(values[5], json!({ "keyname": "…", "value": "…" }));
        // A message without actions has no button, so a card with a link is sent.
        content.actions = Vec::new();
        assert_eq!(sent(&app(true), &content, "d1").1["msgtype"], "textcard");
        content.actions = (0..9).map(|n| action(&format!("a{n}"), false)).collect();
        let (_, body) = sent(&app(true), &content, "d1");
        let buttons = body["template_card"]["button_list"].as_array().unwrap();
        assert_eq!(buttons.len(), BUTTONS_MAX);
    }

    #[test]
    fn ticket_text_contains_no_control_syntax_and_fits() {
        for mut content in nasty_contents() {
            let (_, body) = sent(&app(false), &content, "d1");
            let card = &body["textcard"];
            let (title, description) = (
                card["title"].as_str().unwrap(),
                card["description"].as_str().unwrap(),
            );
            assert!(title.len() <= TITLE_BYTES_MAX, "{title}");
            assert!(description.len() <= DESCRIPTION_BYTES_MAX, "{description}");
            let ours = ["<br>", "<div class=\"gray\">", "</div>"];
            let rest = ours
                .iter()
                .fold(description.to_owned(), |rest, tag| rest.replace(tag, ""));
            assert!(!rest.contains(['<', '>', '&', '@', '$']), "{description}");
            assert!(!title.contains(['<', '>', '&', '@', '$']), "{title}");
            assert_eq!(body["touser"], "lisi");
            content.actions = vec![action("approve", true)];
            let (_, body) = sent(&app(true), &content, "d1");
            let mut card = body["template_card"].clone();
            card["card_action"] = Value::Null;
            let text = card.to_string();
            assert!(!text.contains(['<', '>', '&', '@', '$']), "{text}");
            assert_eq!(card["button_list"][0]["key"], "signed-approve");
        }
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in [
            "",
            "SECx",
            "{}",
            r#"{"corpid":"","corpsecret":"SECx"}"#,
            r#"{"corpid":"a","corpsecret":"SECx","agentid":1}"#,
        ] {
            let reason = WecomApp.check_secret(secret).unwrap_err();
            assert!(reason.contains("corpsecret"), "{reason}");
            assert!(!reason.contains("SECx"), "{reason}");
        }
        assert_eq!(WecomApp.check_secret(SECRET), Ok(()));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("agentid", json!("1"), "`agentid` must"),
            ("agentid", json!(0), "`agentid` must"),
            ("agentid", json!(1.5), "`agentid` must"),
            ("agentid", Value::Null, "`agentid` must"),
            ("buttons", json!("yes"), "`buttons` must"),
            ("corpid", json!("x"), "`corpid` is not a setting"),
        ] {
            let mut account = app(false);
            account.settings.insert(key.into(), value);
            let reason = WecomApp.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        assert_eq!(WecomApp.check(&app(true)), Ok(()));
        assert!(WecomApp.check(&account("wecom_app")).is_err());
    }
}
