//! Sends work notices: messages of a DingTalk app in the conversation for work notices of one person
//! (reference/notifications.md, section 1.2). Even if DingTalk refuses a notice, the HTTP status is 200.
//!
//! DingTalk drops a notice with the same content as an earlier notice to the same person on the same day, and reports success.
//! Therefore, the last line of each notice contains the time of its request and the beginning of its id. This line is equal in
//! all attempts to send the notice, so a repeated attempt does not reach the person twice.

use domain::attempt::Verdict;
use domain::notification::content::{Action, Content};
use domain::notification::receipt::Reported;
use events::Moment;
use events::channel_account::Defined;
use serde_json::{Value, json};

use super::dingtalk::{self, BUTTONS_MAX};
use super::{
    Access, Channel, Outgoing, Request, Response, TargetLimit, Token, accepted, check_url, of_http,
    only,
};
use crate::http::{HttpError, HttpRequest, HttpResponse, Url};

/// The default base URL. The channel account (the settings with which messages are sent) can contain another URL.
const URL: &str = "https://oapi.dingtalk.com";
/// The path of the interface that sends notices.
const PATH: &str = "/topapi/message/corpconversation/asyncsend_v2";
/// The path of the interface that reports the result of a notice.
const RESULT_PATH: &str = "/topapi/message/corpconversation/getsendresult";
/// The lists of people in the result of a notice who do not get the notice.
const UNDELIVERED: [&str; 3] = [
    "invalid_user_id_list",
    "forbidden_user_id_list",
    "failed_user_id_list",
];
/// Maximum number of notices in one minute. DingTalk refuses further requests of the app with the code 90006.
const PER_MINUTE: u32 = 1_500;
/// DingTalk accepts 500 notices of an app to one person on one day.
const TARGET_LIMITS: &[TargetLimit] = &[TargetLimit {
    most: 500,
    period_ms: 24 * 3_600_000,
}];
/// Maximum size of the member `msg`, in bytes.
const MESSAGE_MAX: usize = 2_048;
/// Number of characters of the id that a notice shows.
const ID_SHOWN: usize = 8;

/// The channel that sends work notices of DingTalk apps.
#[derive(Clone, Copy, Debug)]
pub struct DingtalkNotice;

impl Channel for DingtalkNotice {
    fn name(&self) -> &'static str {
        "dingtalk_notice"
    }

    fn address_kind(&self) -> &'static str {
        "dingtalk"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    fn target_limits(&self) -> &'static [TargetLimit] {
        TARGET_LIMITS
    }

    /// Returns true. All attempts to send a notice have the same content, so DingTalk drops the second notice.
    fn may_repeat(&self) -> bool {
        true
    }

    /// Returns false. A notice goes to one person.
    fn is_shared(&self, _account: &Defined, _to: &str) -> bool {
        false
    }

    fn calls_per_month(&self, account: &Defined) -> Option<u32> {
        dingtalk::calls_per_month(account)
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        dingtalk::check_address(address)
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "agent_id", dingtalk::CALLS])?;
        check_url(account, "url")?;
        dingtalk::check_calls(account)?;
        match agent(account) {
            0 => Err("`agent_id` must be the number of the app, from 1".into()),
            _ => Ok(()),
        }
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        dingtalk::check_app(secret)
    }

    fn access(&self, account: &Defined, secret: &str, _now: Moment) -> Result<Access, String> {
        dingtalk::old_access(dingtalk::base(account, URL), secret)
    }

    fn token(&self, response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
        dingtalk::old_token(response)
    }

    fn refuses_token(&self, response: &Response) -> bool {
        matches!(response, Response::Http(Ok(response)) if dingtalk::old_refuses_token(response))
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let url = format!("{}{PATH}", dingtalk::base(outgoing.account, URL));
        let mut url: Url = url.parse().map_err(|_| "`url` is not a URL".to_owned())?;
        url.query_pairs_mut()
            .append_pair("access_token", outgoing.token);
        let last = last_line(outgoing);
        let make = |content: &Content, is_cut: bool| message(content, &last, is_cut).to_string();
        let message = dingtalk::fitted(outgoing.content, MESSAGE_MAX, make);
        // The message is inserted as it is, because its size was measured.
        let body = format!(
            r#"{{"agent_id":{},"msg":{message},"userid_list":{}}}"#,
            agent(outgoing.account),
            json!(outgoing.to)
        );
        Ok(Request::Http(dingtalk::post(url.into(), None, body)))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }

    fn receipt_request(
        &self,
        account: &Defined,
        token: &str,
        message: &str,
    ) -> Option<Result<HttpRequest, String>> {
        Some(receipt_request(account, token, message))
    }

    fn receipt(&self, to: &str, response: &HttpResponse) -> Result<Reported, String> {
        let answer = dingtalk::old_answer(response)
            .map_err(|_| "the response of DingTalk is not readable".to_owned())?;
        if answer.code != 0 {
            return Err(format!("DingTalk answered with the code {}", answer.code));
        }
        let is_in = |list: &str| {
            let members = answer.body["send_result"][list].as_array();
            members.is_some_and(|members| members.iter().any(|member| member == to))
        };
        if is_in("read_user_id_list") {
            return Ok(Reported::Read);
        }
        let undelivered = UNDELIVERED.iter().find(|list| is_in(list));
        Ok(undelivered.map_or(Reported::NotYet, |list| {
            Reported::Undelivered((*list).to_owned())
        }))
    }
}

/// Returns a request for the result of a notice.
fn receipt_request(account: &Defined, token: &str, message: &str) -> Result<HttpRequest, String> {
    let task: u64 = message
        .parse()
        .map_err(|_| "the id of the message is not the number of a task".to_owned())?;
    let url = format!("{}{RESULT_PATH}", dingtalk::base(account, URL));
    let mut url: Url = url.parse().map_err(|_| "`url` is not a URL".to_owned())?;
    url.query_pairs_mut().append_pair("access_token", token);
    let body = json!({ "agent_id": agent(account), "task_id": task });
    Ok(dingtalk::post(url.into(), None, body.to_string()))
}

/// Returns the number of the app of an account, or zero if the setting is invalid.
fn agent(account: &Defined) -> u64 {
    let agent = account.settings.get("agent_id");
    agent.and_then(Value::as_u64).unwrap_or_default()
}

/// Returns the time of the request of a notice in seconds, and the beginning of its id.
fn last_line(outgoing: &Outgoing<'_>) -> String {
    let at = jiff::Timestamp::from_millisecond(outgoing.requested.0).unwrap_or_default();
    let id: String = outgoing.id.chars().take(ID_SHOWN).collect();
    format!("{}, {id}", at.strftime("%Y-%m-%d %H:%M:%S UTC"))
}

/// Returns the member `msg` of a notice. Each button opens a page of the desk.
fn message(content: &Content, last: &str, is_cut: bool) -> Value {
    let title = dingtalk::plain(&content.subject);
    let text = dingtalk::markdown(content, "", last, is_cut);
    let mut card = json!({ "title": title, "markdown": text });
    match content.actions.as_slice() {
        [] => {
            return json!({ "msgtype": "markdown", "markdown": { "title": title, "text": text } });
        }
        [action] => {
            card["single_title"] = dingtalk::plain(&action.label).into();
            card["single_url"] = action.url.as_str().into();
        }
        actions => {
            let button = |action: &Action| {
                let title = dingtalk::plain(&action.label);
                json!({ "title": title, "action_url": action.url })
            };
            card["btn_orientation"] = "0".into();
            card["btn_json_list"] = actions.iter().take(BUTTONS_MAX).map(button).collect();
        }
    }
    json!({ "msgtype": "action_card", "action_card": card })
}

/// Converts a response of DingTalk to a verdict (the result of an attempt).
fn judge(response: &HttpResponse) -> Verdict {
    let answer = match dingtalk::old_answer(response) {
        Ok(answer) => answer,
        Err(verdict) => return verdict,
    };
    if answer.code != 0 {
        return dingtalk::old_refusal(&answer);
    }
    let task = match answer.body.get("task_id") {
        Some(Value::String(task)) => task.clone(),
        Some(Value::Number(task)) => task.to_string(),
        _ => String::new(),
    };
    accepted("0", task)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::contract::{account, content, outgoing, shown};
    use super::super::dingtalk::testing;
    use super::*;

    const SECRET: &str = r#"{"app_key": "dingkey", "app_secret": "hidden+&"}"#;

    fn app() -> Defined {
        let mut account = account("dingtalk_notice");
        account.settings.insert("agent_id".into(), 4_220.into());
        account
    }

    /// Returns the body of the request that sends a message with the given id at the given time.
    fn sent(content: &Content, id: &str, requested: i64) -> Value {
        let app = app();
        let outgoing = Outgoing {
            token: "a+b",
            id,
            requested: Moment(requested),
            ..outgoing(&app, SECRET, "dt-1", content)
        };
        let Ok(Request::Http(request)) = DingtalkNotice.request(&outgoing) else {
            panic!("a request")
        };
        assert_eq!(request.url, format!("{URL}{PATH}?access_token=a%2Bb"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let size = body["msg"].to_string().len();
        assert!(size <= MESSAGE_MAX, "{size}");
        body
    }

    #[test]
    fn a_receipt_is_read_from_the_lists_of_the_result() {
        let account = app();
        let request = DingtalkNotice.receipt_request(&account, "t", "77");
        let request = request.expect("receipts").expect("a request");
        let expected = format!("{URL}{RESULT_PATH}?access_token=t");
        assert_eq!((request.method.as_str(), request.url), ("POST", expected));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, json!({ "agent_id": 4_220, "task_id": 77 }));
        let wrong = DingtalkNotice.receipt_request(&account, "t", "x");
        assert!(wrong.expect("receipts").is_err());
        for (list, expected) in [
            ("read_user_id_list", Reported::Read),
            ("unread_user_id_list", Reported::NotYet),
            (
                "failed_user_id_list",
                Reported::Undelivered("failed_user_id_list".into()),
            ),
        ] {
            let mut body = json!({ "errcode": 0, "send_result": {} });
            body["send_result"][list] = json!(["dt-1"]);
            let response = HttpResponse::of(200, body.to_string().as_bytes());
            assert_eq!(DingtalkNotice.receipt("dt-1", &response), Ok(expected));
            let other = DingtalkNotice.receipt("dt-2", &response);
            assert_eq!(other, Ok(Reported::NotYet));
        }
        for body in [r#"{"errcode":88,"errmsg":"x"}"#, "<html>"] {
            let response = HttpResponse::of(200, body.as_bytes());
            assert!(DingtalkNotice.receipt("dt-1", &response).is_err(), "{body}");
        }
    }

    #[test]
    fn the_last_line_differs_between_deliveries_only() {
        let text = |id: &str, requested| {
            let body = sent(&content(), id, requested);
            assert_eq!(body["agent_id"], 4_220);
            assert_eq!(body["userid_list"], "dt-1");
            assert_eq!(body["msg"]["msgtype"], "markdown");
            body["msg"]["markdown"]["text"].as_str().unwrap().to_owned()
        };
        let first = text("0123456789abcdef", 1_577_262_236_757);
        assert!(
            first.ends_with("\n\n2019-12-25 08:23:56 UTC, 01234567"),
            "{first}"
        );
        assert_eq!(first, text("0123456789abcdef", 1_577_262_236_757));
        assert_ne!(first, text("0223456789abcdef", 1_577_262_236_757));
        assert_ne!(first, text("0123456789abcdef", 1_577_262_237_757));
    }

    #[test]
    fn buttons_open_pages_of_the_desk() {
        let card = |count| {
            let body = sent(&testing::with_actions(count), "0", 0);
            assert_eq!(body["msg"]["msgtype"], "action_card");
            body["msg"]["action_card"].clone()
        };
        let one = card(1);
        assert_eq!(one["single_title"], "操作1");
        assert_eq!(one["single_url"], "https://desk.example/actions/1?token=t");
        assert_eq!(
            card(2)["btn_json_list"][1],
            json!({ "title": "操作2", "action_url": "https://desk.example/actions/2?token=t" })
        );
    }

    #[test]
    fn no_text_of_a_ticket_adds_control_characters() {
        let nasty = testing::NASTY.iter().map(|text| (*text).to_owned());
        for text in nasty.chain(testing::random_texts(300)) {
            let body = sent(&testing::with_text(&text), "0", 0);
            let text = body["msg"]["markdown"]["text"].as_str().unwrap();
            testing::check_markdown(text, 0);
            assert_eq!(body.as_object().map(serde_json::Map::len), Some(3));
        }
    }

    #[test]
    fn a_large_message_is_cut_to_the_size_limit() {
        let body = sent(&testing::large(), "0", 0);
        let card = &body["msg"]["action_card"];
        let text = card["markdown"].as_str().unwrap();
        assert!(text.contains("\n\n…\n\n["), "{text}");
        assert!(text.ends_with("UTC, 0"), "{text}");
        assert_eq!(card["btn_json_list"].as_array().map(Vec::len), Some(2));
    }

    /// The codes of reference/notifications.md, section 1.2, with the expected verdicts.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"errcode":0,"errmsg":"ok","task_id":256271667526,"request_id":"r"}"#,
            "accepted 256271667526",
        ),
        (
            200,
            r#"{"errcode":0,"errmsg":"ok","task_id":"7"}"#,
            "accepted 7",
        ),
        (200, r#"{"errcode":0,"errmsg":"ok"}"#, "accepted"),
        (200, r#"{"errcode":-1,"errmsg":"m"}"#, "retry"),
        (
            200,
            r#"{"errcode":88,"sub_code":"40014","sub_msg":"m"}"#,
            "credential 40014",
        ),
        (
            200,
            r#"{"errcode":88,"sub_code":42001,"sub_msg":"m"}"#,
            "credential 42001",
        ),
        (200, r#"{"errcode":40014,"errmsg":"m"}"#, "credential 40014"),
        (200, r#"{"errcode":40001,"errmsg":"m"}"#, "credential 40001"),
        (
            200,
            r#"{"errcode":88,"sub_code":"60011","sub_msg":"m"}"#,
            "credential 60011",
        ),
        (
            200,
            r#"{"errcode":88,"sub_code":"60020","sub_msg":"m"}"#,
            "credential 60020",
        ),
        (
            200,
            r#"{"errcode":88,"sub_code":"90018","sub_msg":"m"}"#,
            "throttled 60000",
        ),
        (
            200,
            r#"{"errcode":88,"sub_code":"143106","sub_msg":"m"}"#,
            "permanent 143106",
        ),
        (
            200,
            r#"{"errcode":88,"sub_code":"isv.unknown","sub_msg":"m"}"#,
            "credential 88",
        ),
        (200, r#"{"errcode":88,"errmsg":"m"}"#, "credential 88"),
        (
            200,
            r#"{"errcode":88,"sub_code":"0","errmsg":"m"}"#,
            "credential 88",
        ),
        (200, r#"{"errcode":41001,"errmsg":"m"}"#, "credential 41001"),
        (200, r#"{"errcode":40089,"errmsg":"m"}"#, "credential 40089"),
        (200, r#"{"errcode":90002,"errmsg":"m"}"#, "throttled 60000"),
        (200, r#"{"errcode":90006,"errmsg":"m"}"#, "throttled 60000"),
        (200, r#"{"errcode":143103,"errmsg":"m"}"#, "throttled 60000"),
        (200, r#"{"errcode":143104,"errmsg":"m"}"#, "throttled 60000"),
        (
            200,
            r#"{"errcode":143105,"errmsg":"m"}"#,
            "permanent 143105",
        ),
        (
            200,
            r#"{"errcode":143106,"errmsg":"m"}"#,
            "permanent 143106",
        ),
        (
            200,
            r#"{"errcode":33012,"errmsg":"m"}"#,
            "recipient_invalid 33012",
        ),
        (
            200,
            r#"{"errcode":40003,"errmsg":"m"}"#,
            "recipient_invalid 40003",
        ),
        (
            200,
            r#"{"errcode":50002,"errmsg":"m"}"#,
            "recipient_invalid 50002",
        ),
        (
            200,
            r#"{"errcode":60121,"errmsg":"m"}"#,
            "recipient_invalid 60121",
        ),
        (
            200,
            r#"{"errcode":400002,"errmsg":"m"}"#,
            "permanent 400002",
        ),
        (
            200,
            r#"{"errcode":999999,"errmsg":"m"}"#,
            "permanent 999999",
        ),
        (
            200,
            r#"{"status":1111,"wait":5,"punish":"deny"}"#,
            "throttled 300000",
        ),
        (200, r#"{"errmsg":"ok"}"#, "unknown"),
        (200, "<html>", "unknown"),
        (404, "no", "permanent 404"),
        (429, "", "throttled 60000"),
        (502, "<html>", "unknown"),
        (503, "", "retry"),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let response = Response::Http(Ok(HttpResponse::of(*status, body.as_bytes())));
            let verdict = DingtalkNotice.verdict(&response);
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
            let is_old = ["40014", "42001", "40001"]
                .iter()
                .any(|code| expected.ends_with(code));
            assert_eq!(DingtalkNotice.refuses_token(&response), is_old, "{body}");
        }
    }

    #[test]
    fn a_token_is_requested_with_the_credentials_of_the_app() {
        let access = DingtalkNotice.access(&app(), SECRET, Moment(0));
        let Ok(Access::Asked(request)) = access else {
            panic!("a request")
        };
        assert_eq!(request.method, "GET");
        let expected = format!("{URL}/gettoken?appkey=dingkey&appsecret=hidden%2B%26");
        assert_eq!(request.url, expected);
        let read = |status, body: &str| {
            let token = DingtalkNotice.token(&Ok(HttpResponse::of(status, body.as_bytes())));
            token.map_err(|verdict| shown(&verdict))
        };
        let token = Token {
            value: "t".into(),
            lifetime_ms: 7_200_000,
        };
        let granted = r#"{"errcode":0,"access_token":"t","errmsg":"ok","expires_in":7200}"#;
        assert_eq!(read(200, granted), Ok(token));
        for (status, body, expected) in [
            (200, r#"{"errcode":40089,"errmsg":"m"}"#, "credential 40089"),
            (200, r#"{"errcode":40096,"errmsg":"m"}"#, "credential 40096"),
            (200, r#"{"errcode":90002,"errmsg":"m"}"#, "throttled 60000"),
            (200, r#"{"errcode":0,"errmsg":"ok"}"#, "retry"),
            (200, "<html>", "retry"),
        ] {
            assert_eq!(read(status, body), Err(expected.to_owned()), "{body}");
        }
        let reason = DingtalkNotice.access(&app(), "hidden", Moment(0));
        assert!(!reason.unwrap_err().contains("hidden"));
    }

    #[test]
    fn the_plan_of_the_organization_is_a_setting() {
        let mut account = app();
        assert_eq!(DingtalkNotice.calls_per_month(&account), None);
        let calls = ("calls_per_month".to_owned(), json!(10_000));
        account.settings.extend([calls]);
        assert_eq!(DingtalkNotice.check(&account), Ok(()));
        assert_eq!(DingtalkNotice.calls_per_month(&account), Some(10_000));
    }

    #[test]
    fn wrong_settings_are_named() {
        assert_eq!(DingtalkNotice.check(&app()), Ok(()));
        for (key, value, expected) in [
            ("url", json!("https://x/#a"), "`url` must"),
            ("agent_id", json!(0), "`agent_id` must"),
            ("agent_id", json!("4220"), "`agent_id` must"),
            ("calls_per_month", json!(0), "`calls_per_month` must"),
            ("calls_per_month", json!("10000"), "`calls_per_month` must"),
            ("robot_code", json!("x"), "`robot_code` is not a setting"),
        ] {
            let mut account = app();
            account.settings.insert(key.into(), value);
            let reason = DingtalkNotice.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
