//! Sends messages to one person through the robot of a DingTalk app (reference/notifications.md, section 1.2). DingTalk refuses
//! a request with HTTP status 4xx and a text as code. If DingTalk does not accept the person, the HTTP status is 200, and the
//! person is in a list of the response.

use domain::attempt::Verdict;
use domain::notification::content::Content;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::{Value, json};

use super::dingtalk::{self, BUTTONS_MAX, PAUSE_MS};
use super::group::{self, Groups};
use super::{
    Access, Channel, Outgoing, Request, Response, Token, accepted, check_url, flag, of_http, only,
    text,
};
use crate::http::{HttpError, HttpResponse};

/// The path of the interface that sends messages.
const PATH: &str = "/v1.0/robot/oToMessages/batchSend";
/// Maximum number of messages in one minute. DingTalk allows 20 requests per second to an organization without a paid plan.
const PER_MINUTE: u32 = 1_200;
/// Maximum size of the member `msgParam`, in bytes.
pub(super) const PARAMETERS_MAX: usize = 15_000;

/// The channel that sends messages through the robots of DingTalk apps.
#[derive(Clone, Copy, Debug)]
pub struct DingtalkApp;

impl Channel for DingtalkApp {
    fn name(&self) -> &'static str {
        "dingtalk_app"
    }

    fn address_kind(&self) -> &'static str {
        "dingtalk"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    /// Returns false. A message goes to the chat of one person with the robot.
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
        let known = [
            "url",
            "robot_code",
            "stream",
            "group_template_id",
            "group_owner",
            dingtalk::CALLS,
        ];
        only(account, &known)?;
        check_url(account, "url")?;
        dingtalk::check_calls(account)?;
        flag(account, "stream")?;
        if account.settings.contains_key("group_template_id") {
            dingtalk::check_name(account, "group_template_id")?;
        }
        if account.settings.contains_key("group_owner") {
            dingtalk::check_address(text(account, "group_owner"))
                .map_err(|reason| format!("`group_owner` must {reason}"))?;
        }
        dingtalk::check_name(account, "robot_code")
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        dingtalk::check_app(secret)
    }

    fn access(&self, account: &Defined, secret: &str, _now: Moment) -> Result<Access, String> {
        dingtalk::new_access(account, secret)
    }

    fn token(&self, response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
        dingtalk::new_token(response)
    }

    fn refuses_token(&self, response: &Response) -> bool {
        matches!(response, Response::Http(Ok(response)) if dingtalk::new_refuses_token(response))
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let content = outgoing.content;
        let make = |content: &Content, is_cut: bool| parameters(content, is_cut).to_string();
        let body = json!({
            "robotCode": text(outgoing.account, "robot_code"),
            "userIds": [outgoing.to],
            "msgKey": key(content),
            // This member is a text that contains JSON.
            "msgParam": dingtalk::fitted(content, PARAMETERS_MAX, make),
        });
        Ok(Request::Http(dingtalk::new_post(
            outgoing.account,
            PATH,
            outgoing.token,
            body.to_string(),
        )))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }

    fn groups(&self) -> Option<&'static dyn Groups> {
        Some(&group::dingtalk::Dingtalk)
    }
}

/// Returns the key of the template of a message. The templates for several buttons end with the number of buttons.
pub(super) fn key(content: &Content) -> String {
    match content.actions.len() {
        0 => "sampleMarkdown".into(),
        1 => "sampleActionCard".into(),
        count => format!("sampleActionCard{}", count.min(BUTTONS_MAX)),
    }
}

/// Returns the parameters of the template of a message. Each button opens a page of the desk.
pub(super) fn parameters(content: &Content, is_cut: bool) -> Value {
    let mut parameters = json!({
        "title": dingtalk::plain(&content.subject),
        "text": dingtalk::markdown(content, "", "", is_cut),
    });
    if let [action] = content.actions.as_slice() {
        parameters["singleTitle"] = dingtalk::plain(&action.label).into();
        parameters["singleURL"] = action.url.as_str().into();
        return parameters;
    }
    for (number, action) in (1..=BUTTONS_MAX).zip(&content.actions) {
        parameters[format!("actionTitle{number}")] = dingtalk::plain(&action.label).into();
        parameters[format!("actionURL{number}")] = action.url.as_str().into();
    }
    parameters
}

/// Converts a response of DingTalk to a verdict (the result of an attempt). Each request has one person, so a list with a
/// person shows that the message is not sent.
fn judge(response: &HttpResponse) -> Verdict {
    let body = match dingtalk::new_body(response) {
        Ok(body) => body,
        Err(verdict) => return verdict,
    };
    let has_person = |list: &str| {
        let people = body.get(list).and_then(Value::as_array);
        people.is_some_and(|people| !people.is_empty())
    };
    for list in ["invalidStaffIdList", "filteredStaffIdList"] {
        if has_person(list) {
            let reason = format!("DingTalk does not send to this person ({list})");
            return Verdict::refused(FailureClass::RecipientInvalid, list, reason);
        }
    }
    if has_person("flowControlledStaffIdList") {
        return Verdict::Throttled {
            reason: "this person got too many messages (flowControlledStaffIdList)".into(),
            after_ms: PAUSE_MS,
        };
    }
    match body.get("processQueryKey").and_then(Value::as_str) {
        Some(key) if !key.is_empty() => accepted("", key),
        _ => Verdict::Unknown {
            reason: "the response has no `processQueryKey`".into(),
        },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::contract::{account, content, outgoing, shown};
    use super::super::dingtalk::testing;
    use super::*;

    const SECRET: &str = r#"{"app_key": "dingkey", "app_secret": "hidden"}"#;

    fn app() -> Defined {
        let mut account = account("dingtalk_app");
        account
            .settings
            .insert("robot_code".into(), "dingrobot".into());
        account
    }

    /// Returns the body of the request for a message, and its parameters.
    fn sent(content: &Content) -> (Value, Value) {
        let app = app();
        let outgoing = Outgoing {
            token: "the-token",
            ..outgoing(&app, SECRET, "dt-1", content)
        };
        let Ok(Request::Http(request)) = DingtalkApp.request(&outgoing) else {
            panic!("a request")
        };
        assert_eq!(request.url, format!("https://api.dingtalk.com{PATH}"));
        let header = (
            "x-acs-dingtalk-access-token".to_owned(),
            "the-token".to_owned(),
        );
        assert!(request.headers.contains(&header));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let parameters = body["msgParam"].as_str().unwrap();
        assert!(parameters.len() <= PARAMETERS_MAX, "{}", parameters.len());
        let parameters = serde_json::from_str(parameters).unwrap();
        (body, parameters)
    }

    #[test]
    fn parameters_are_json_in_a_text() {
        let (body, parameters) = sent(&content());
        assert_eq!(body["robotCode"], "dingrobot");
        assert_eq!(body["userIds"], json!(["dt-1"]));
        assert_eq!(body["msgKey"], "sampleMarkdown");
        assert_eq!(parameters["title"], "请审批: 申请权限");
        let text = parameters["text"].as_str().unwrap();
        assert!(
            text.contains("[打开工单](https://desk.example/tickets/REQ1)"),
            "{text}"
        );
    }

    #[test]
    fn the_template_depends_on_the_number_of_buttons() {
        let (body, parameters) = sent(&testing::with_actions(1));
        assert_eq!(body["msgKey"], "sampleActionCard");
        assert_eq!(parameters["singleTitle"], "操作1");
        assert_eq!(
            parameters["singleURL"],
            "https://desk.example/actions/1?token=t"
        );
        for (count, shown) in [(2, 2), (5, 5), (8, 5)] {
            let (body, parameters) = sent(&testing::with_actions(count));
            assert_eq!(body["msgKey"], format!("sampleActionCard{shown}"));
            assert_eq!(parameters["actionTitle2"], "操作2");
            assert_eq!(
                parameters["actionURL2"],
                "https://desk.example/actions/2?token=t"
            );
            // The members are the title, the text, and two for each button.
            assert_eq!(
                parameters.as_object().map(serde_json::Map::len),
                Some(2 + 2 * shown)
            );
        }
    }

    #[test]
    fn no_text_of_a_ticket_adds_control_characters() {
        let nasty = testing::NASTY.iter().map(|text| (*text).to_owned());
        for text in nasty.chain(testing::random_texts(300)) {
            let (body, parameters) = sent(&testing::with_text(&text));
            testing::check_markdown(parameters["text"].as_str().unwrap(), 0);
            assert_eq!(body["userIds"], json!(["dt-1"]));
        }
    }

    #[test]
    fn a_large_message_is_cut_to_the_size_limit() {
        let (_, parameters) = sent(&testing::large());
        let text = parameters["text"].as_str().unwrap();
        assert!(text.contains("\n\n…\n\n["), "{text}");
        assert_eq!(parameters["actionTitle2"], "操作2");
    }

    /// The codes of reference/notifications.md, section 1.2, with the expected verdicts.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"processQueryKey":"k","invalidStaffIdList":[],"flowControlledStaffIdList":[]}"#,
            "accepted k",
        ),
        (200, r#"{"processQueryKey":"k"}"#, "accepted k"),
        (
            200,
            r#"{"processQueryKey":"k","invalidStaffIdList":["dt-1"]}"#,
            "recipient_invalid invalidStaffIdList",
        ),
        (
            200,
            r#"{"processQueryKey":"k","filteredStaffIdList":["dt-1"]}"#,
            "recipient_invalid filteredStaffIdList",
        ),
        (
            200,
            r#"{"processQueryKey":"k","flowControlledStaffIdList":["dt-1"]}"#,
            "throttled 60000",
        ),
        (200, "{}", "unknown"),
        (200, "<html>", "unknown"),
        (
            200,
            r#"{"status":1111,"wait":5,"punish":"deny"}"#,
            "throttled 300000",
        ),
        (
            400,
            r#"{"code":"InvalidAuthentication","message":"m"}"#,
            "credential InvalidAuthentication",
        ),
        (
            400,
            r#"{"code":"accesstoken.expired","message":"m"}"#,
            "credential accesstoken.expired",
        ),
        (
            400,
            r#"{"code":"AuthenticationFailed.MissingParameter","message":"m"}"#,
            "credential AuthenticationFailed.MissingParameter",
        ),
        (
            400,
            r#"{"code":"apiPermissionDenied","message":"m"}"#,
            "credential apiPermissionDenied",
        ),
        (
            401,
            r#"{"code":"unauthorized.client","message":"m"}"#,
            "credential unauthorized.client",
        ),
        (
            403,
            r#"{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"m"}"#,
            "credential Forbidden.AccessDenied.AccessTokenPermissionDenied",
        ),
        (
            403,
            r#"{"code":"Forbidden.AccessDenied.IpNotInWhiteList","message":"m"}"#,
            "credential Forbidden.AccessDenied.IpNotInWhiteList",
        ),
        (
            403,
            r#"{"code":"Forbidden.AccessDenied.QpsLimitForApi","message":"m"}"#,
            "throttled 60000",
        ),
        (
            403,
            r#"{"code":"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi","message":"m"}"#,
            "throttled 60000",
        ),
        (
            403,
            r#"{"code":"Forbidden.AccessDenied.QpmLimitForAppkeyAndApi","message":"m"}"#,
            "throttled 60000",
        ),
        (
            400,
            r#"{"code":"qps.exceed.limit","message":"m"}"#,
            "throttled 60000",
        ),
        (
            400,
            r#"{"code":"request.overlimit","message":"m"}"#,
            "throttled 60000",
        ),
        (
            400,
            r#"{"code":"invalidParameter.robotCode.auth","message":"m"}"#,
            "credential invalidParameter.robotCode.auth",
        ),
        (
            404,
            r#"{"code":"resource.not.found","message":"m"}"#,
            "credential resource.not.found",
        ),
        (
            400,
            r#"{"code":"bot.stopped","message":"m"}"#,
            "credential bot.stopped",
        ),
        (
            400,
            r#"{"code":"staffId.notExisted","message":"m"}"#,
            "recipient_invalid staffId.notExisted",
        ),
        (
            400,
            r#"{"code":"invalidParameter.userIds.empty","message":"m"}"#,
            "recipient_invalid invalidParameter.userIds.empty",
        ),
        (
            400,
            r#"{"code":"invalidParameter.msgParam.invalid","message":"m"}"#,
            "permanent invalidParameter.msgParam.invalid",
        ),
        (
            400,
            r#"{"code":"invalidParameter.msgKey.invalid","message":"m"}"#,
            "permanent invalidParameter.msgKey.invalid",
        ),
        (
            400,
            r#"{"code":"sizeTooLarge","message":"m"}"#,
            "too_large sizeTooLarge",
        ),
        (
            400,
            r#"{"code":"another","message":"m"}"#,
            "permanent another",
        ),
        (400, "{}", "permanent 400"),
        (404, "no", "permanent 404"),
        (429, "", "throttled 60000"),
        (
            500,
            r#"{"code":"InternalFailure","message":"m"}"#,
            "unknown",
        ),
        (502, "<html>", "unknown"),
        (
            503,
            r#"{"code":"ServiceUnavailable","message":"m"}"#,
            "retry",
        ),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let response = Response::Http(Ok(HttpResponse::of(*status, body.as_bytes())));
            let verdict = DingtalkApp.verdict(&response);
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
            let is_old = body.contains("InvalidAuthentication") || body.contains(".expired");
            assert_eq!(DingtalkApp.refuses_token(&response), is_old, "{body}");
        }
        let waits = HttpResponse {
            headers: vec![("retry-after".into(), "7".into())],
            ..HttpResponse::of(429, b"")
        };
        let verdict = DingtalkApp.verdict(&Response::Http(Ok(waits)));
        assert_eq!(shown(&verdict), "throttled 7000");
    }

    #[test]
    fn a_token_is_requested_with_the_credentials_of_the_app() {
        let mut account = app();
        account
            .settings
            .insert("url".into(), "http://127.0.0.1:9/".into());
        let access = DingtalkApp.access(&account, SECRET, Moment(0));
        let Ok(Access::Asked(request)) = access else {
            panic!("a request")
        };
        assert_eq!(request.url, "http://127.0.0.1:9/v1.0/oauth2/accessToken");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, json!({ "appKey": "dingkey", "appSecret": "hidden" }));
        let read = |status, body: &str| {
            let token = DingtalkApp.token(&Ok(HttpResponse::of(status, body.as_bytes())));
            token.map_err(|verdict| shown(&verdict))
        };
        let token = Token {
            value: "t".into(),
            lifetime_ms: 7_200_000,
        };
        assert_eq!(
            read(200, r#"{"accessToken":"t","expireIn":7200}"#),
            Ok(token.clone())
        );
        assert_eq!(read(200, r#"{"accessToken":"t"}"#), Ok(token));
        for (status, body, expected) in [
            (
                400,
                r#"{"code":"invalidClientIdOrSecret","message":"m"}"#,
                "credential invalidClientIdOrSecret",
            ),
            (200, r#"{"accessToken":""}"#, "retry"),
            (200, "<html>", "retry"),
            (500, "", "retry"),
            (429, "", "throttled 60000"),
        ] {
            assert_eq!(read(status, body), Err(expected.to_owned()), "{body}");
        }
        let lost = DingtalkApp.token(&Err(HttpError::Unknown("timeout".into())));
        assert_eq!(lost.map_err(|verdict| shown(&verdict)), Err("retry".into()));
        let reason = DingtalkApp.access(&account, "hidden", Moment(0));
        assert!(!reason.unwrap_err().contains("hidden"));
    }

    #[test]
    fn wrong_settings_are_named() {
        assert_eq!(DingtalkApp.check(&app()), Ok(()));
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("robot_code", json!(""), "`robot_code` must"),
            ("robot_code", json!(1), "`robot_code` must"),
            ("robot_code", json!("a b"), "`robot_code` must"),
            ("agent_id", json!(1), "`agent_id` is not a setting"),
        ] {
            let mut account = app();
            account.settings.insert(key.into(), value);
            let reason = DingtalkApp.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
