//! Sends interactive cards of DingTalk to one person (reference/notifications.md, section 1.2). An operator designs the template
//! of the card at DingTalk. The desk sends the values of its variables. DingTalk reports the press of a button to the registered
//! URL of the setting `callback_route_key`.

use domain::attempt::Verdict;
use domain::notification::content::Content;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::{Map, Value, json};

use super::dingtalk::{self, BUTTONS_MAX};
use super::dingtalk_stream;
use super::{
    Access, Answering, Channel, Outgoing, Request, Response, Token, Updates, accepted, check_url,
    cut, flag, of_http, only, text,
};
use crate::http::{HttpError, HttpRequest, HttpResponse};

/// The path of the interface that creates and delivers cards.
const PATH: &str = "/v1.0/card/instances/createAndDeliver";
/// The path of the interface that changes the values of cards.
const UPDATE_PATH: &str = "/v1.0/card/instances";
/// Maximum size of the answer in a card, in bytes.
const ANSWER_BYTES_MAX: usize = 1_000;
/// Maximum number of cards in one minute. DingTalk allows 20 requests per second to an organization without a paid plan.
const PER_MINUTE: u32 = 1_200;
/// Maximum size of the values of a card, in bytes. The vendor names no limit, so the limit of other messages applies.
const VALUES_MAX: usize = 15_000;

/// The channel that sends interactive cards of DingTalk.
#[derive(Clone, Copy, Debug)]
pub struct DingtalkCard;

impl Channel for DingtalkCard {
    fn name(&self) -> &'static str {
        "dingtalk_card"
    }

    fn address_kind(&self) -> &'static str {
        "dingtalk"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    /// Returns false. A card goes to the chat of one person with the robot.
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
            "card_template_id",
            "callback_route_key",
            "stream",
            dingtalk::CALLS,
        ];
        only(account, &known)?;
        check_url(account, "url")?;
        dingtalk::check_calls(account)?;
        flag(account, "stream")?;
        dingtalk::check_name(account, "robot_code")?;
        dingtalk::check_name(account, "card_template_id")?;
        if account.settings.contains_key("callback_route_key") {
            dingtalk::check_name(account, "callback_route_key")?;
        }
        Ok(())
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
        let account = outgoing.account;
        let mut body = json!({
            "cardTemplateId": text(account, "card_template_id"),
            "outTrackId": outgoing.id,
            "cardData": { "cardParamMap": fitted(outgoing.content) },
            // The address is the id of a user in the organization. This is type 1.
            "userIdType": 1,
            "openSpaceId": format!("dtv1.card//IM_ROBOT.{}", outgoing.to),
            // A forwarded card would show its buttons to other people.
            "imRobotOpenSpaceModel": { "supportForward": false },
            "imRobotOpenDeliverModel": {
                "spaceType": "IM_ROBOT",
                "robotCode": text(account, "robot_code"),
            },
        });
        let key = text(account, "callback_route_key");
        if dingtalk_stream::is_streamed(account) {
            body["callbackType"] = "STREAM".into();
        } else if !key.is_empty() {
            body["callbackType"] = "HTTP".into();
            body["callbackRouteKey"] = key.into();
        }
        Ok(Request::Http(dingtalk::new_post(
            account,
            PATH,
            outgoing.token,
            body.to_string(),
        )))
    }

    /// Shows the answer in the variable `answer` of the card. If the action is done, the other variables change too.
    fn answer(&self, answering: &Answering<'_>) -> Result<Option<HttpRequest>, String> {
        let card = answering.place.message.as_str();
        if card.is_empty() {
            return Ok(None);
        }
        let mut new = answering.content.map(fitted).unwrap_or_default();
        let answer = cut(&dingtalk::plain(answering.text), ANSWER_BYTES_MAX);
        new.insert("answer".into(), answer.into());
        let (account, token) = (answering.account, answering.token);
        Ok(Some(replaced(account, token, card, &new)))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }

    fn updates(&self, _account: &Defined) -> Updates {
        Updates::Always
    }

    fn update(
        &self,
        outgoing: &Outgoing<'_>,
        message: &str,
        _state: &str,
    ) -> Result<HttpRequest, String> {
        let new = fitted(outgoing.content);
        Ok(replaced(outgoing.account, outgoing.token, message, &new))
    }

    fn update_verdict(&self, response: &Response) -> Verdict {
        of_http(response, |response| match dingtalk::new_body(response) {
            Err(verdict) => verdict,
            Ok(body) if body.get("success").and_then(Value::as_bool) == Some(false) => {
                let reason = "DingTalk reports no success and no code";
                Verdict::refused(FailureClass::Permanent, "success", reason)
            }
            Ok(_) => accepted("", ""),
        })
    }
}

/// Returns a request that changes values of the variables of a card.
fn replaced(account: &Defined, token: &str, card: &str, new: &Map<String, Value>) -> HttpRequest {
    let body = json!({
        "outTrackId": card,
        "cardData": { "cardParamMap": new },
        "cardUpdateOptions": { "updateCardDataByKey": true },
    });
    HttpRequest {
        method: "PUT".into(),
        ..dingtalk::new_post(account, UPDATE_PATH, token, body.to_string())
    }
}

/// Returns the values of the variables of a card within the size limit.
fn fitted(content: &Content) -> Map<String, Value> {
    let make = |content: &Content, is_cut: bool| {
        let values = values(content, is_cut);
        serde_json::to_string(&values).unwrap_or_default()
    };
    let values = dingtalk::fitted(content, VALUES_MAX, make);
    serde_json::from_str(&values).unwrap_or_default()
}

/// Returns the values of the variables of a card. Each value is a text. The variables of buttons that the message does not have
/// are empty, so a template can hide these buttons.
fn values(content: &Content, is_cut: bool) -> Map<String, Value> {
    let mut values = Map::new();
    for (name, value) in [
        ("title", dingtalk::plain(&content.subject)),
        ("markdown", dingtalk::markdown(content, "", "", is_cut)),
        ("link_text", dingtalk::plain(&content.link.text)),
        ("link_url", content.link.url.clone()),
        ("ticket", dingtalk::plain(&content.thread)),
    ] {
        values.insert(name.into(), value.into());
    }
    for number in 1..=BUTTONS_MAX {
        let action = content.actions.get(number - 1);
        let (label, url, value, is_primary) = action.map_or(("", "", "", false), |action| {
            let (label, url) = (action.label.as_str(), action.url.as_str());
            (label, url, action.value.as_str(), action.is_primary)
        });
        for (name, value) in [
            ("label", dingtalk::plain(label)),
            ("url", url.to_owned()),
            ("value", value.to_owned()),
            ("is_primary", is_primary.to_string()),
        ] {
            values.insert(format!("action_{number}_{name}"), value.into());
        }
    }
    values
}

/// Converts a response of DingTalk to a verdict (the result of an attempt). DingTalk can create a card and then not deliver it.
/// The response then contains a delivery result without success.
fn judge(response: &HttpResponse) -> Verdict {
    let body = match dingtalk::new_body(response) {
        Ok(body) => body,
        Err(verdict) => return verdict,
    };
    let result = body.get("result");
    let results = result
        .and_then(|result| result.get("deliverResults"))
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let is_true = |value: &Value| value.get("success").and_then(Value::as_bool) == Some(true);
    if let Some(failed) = results.iter().find(|result| !is_true(result)) {
        let reason = failed.get("errorMsg").and_then(Value::as_str);
        let reason = domain::notification::content::one_line(reason.unwrap_or_default());
        return Verdict::refused(FailureClass::RecipientInvalid, "deliverResults", reason);
    }
    if body.get("success").and_then(Value::as_bool) == Some(false) {
        let reason = "DingTalk reports no success and no code";
        return Verdict::refused(FailureClass::Permanent, "success", reason);
    }
    let card = result
        .and_then(|result| result.get("outTrackId"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    if is_true(&body) && !results.is_empty() && !card.is_empty() {
        accepted("", card)
    } else {
        Verdict::Unknown {
            reason: "the response has no result of the delivery".into(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::contract::{account, content, outgoing, shown};
    use super::super::dingtalk::testing;
    use super::*;

    const SECRET: &str = r#"{"app_key": "dingkey", "app_secret": "hidden"}"#;

    fn app() -> Defined {
        let mut account = account("dingtalk_card");
        for (key, value) in [
            ("robot_code", "dingrobot"),
            ("card_template_id", "template.schema"),
            ("callback_route_key", "desk"),
        ] {
            account.settings.insert(key.into(), value.into());
        }
        account
    }

    fn sent(account: &Defined, content: &Content) -> Value {
        let outgoing = outgoing(account, SECRET, "dt-1", content);
        let Ok(Request::Http(request)) = DingtalkCard.request(&outgoing) else {
            panic!("a request")
        };
        assert_eq!(request.url, format!("https://api.dingtalk.com{PATH}"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let values = &body["cardData"]["cardParamMap"];
        assert!(values.to_string().len() <= VALUES_MAX, "{values}");
        let values = values.as_object().unwrap();
        assert!(values.values().all(Value::is_string), "{values:?}");
        assert_eq!(values.len(), 5 + 4 * BUTTONS_MAX);
        body
    }

    #[test]
    fn an_update_sends_new_values_and_empty_buttons() {
        let (account, content) = (app(), content());
        let outgoing = outgoing(&account, SECRET, "dt-1", &content);
        let request = DingtalkCard.update(&outgoing, "d1", "done").unwrap();
        assert_eq!(request.method, "PUT");
        assert_eq!(
            request.url,
            format!("https://api.dingtalk.com{UPDATE_PATH}")
        );
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["outTrackId"], "d1");
        assert_eq!(body["cardData"]["cardParamMap"]["action_1_label"], "");
        let verdict = |body: &[u8]| {
            DingtalkCard.update_verdict(&Response::Http(Ok(HttpResponse::of(200, body))))
        };
        let accepted = verdict(br#"{"success":true,"result":true}"#);
        assert!(
            matches!(accepted, Verdict::Succeeded { .. }),
            "{accepted:?}"
        );
        let refused = verdict(br#"{"success":false}"#);
        assert!(matches!(refused, Verdict::Refused { .. }), "{refused:?}");
    }

    #[test]
    fn a_card_has_the_id_of_its_delivery() {
        let body = sent(&app(), &testing::with_actions(2));
        assert_eq!(body["outTrackId"], "0123456789abcdef0123456789abcdef");
        assert_eq!(body["cardTemplateId"], "template.schema");
        assert_eq!(body["callbackType"], "HTTP");
        assert_eq!(body["callbackRouteKey"], "desk");
        assert_eq!(body["openSpaceId"], "dtv1.card//IM_ROBOT.dt-1");
        assert_eq!(body["imRobotOpenDeliverModel"]["robotCode"], "dingrobot");
        let values = &body["cardData"]["cardParamMap"];
        assert_eq!(values["title"], "请审批: 申请权限");
        assert_eq!(values["link_url"], "https://desk.example/tickets/REQ1");
        assert_eq!(values["action_1_label"], "操作1");
        assert_eq!(values["action_1_is_primary"], "true");
        assert_eq!(values["action_2_value"], "signed-2");
        assert_eq!(values["action_2_is_primary"], "false");
        assert_eq!(values["action_3_label"], "");
        let mut account = app();
        account.settings.remove("callback_route_key");
        let body = sent(&account, &content());
        assert!(body.get("callbackType").is_none(), "{body}");
    }

    #[test]
    fn no_text_of_a_ticket_adds_control_characters() {
        let nasty = testing::NASTY.iter().map(|text| (*text).to_owned());
        for text in nasty.chain(testing::random_texts(300)) {
            let body = sent(&app(), &testing::with_text(&text));
            let values = &body["cardData"]["cardParamMap"];
            testing::check_markdown(values["markdown"].as_str().unwrap(), 0);
            let title = values["title"].as_str().unwrap();
            assert!(!title.contains(['[', '<', '@', '\n']), "{title}");
        }
    }

    #[test]
    fn a_large_message_is_cut_to_the_size_limit() {
        let body = sent(&app(), &testing::large());
        let values = &body["cardData"]["cardParamMap"];
        let text = values["markdown"].as_str().unwrap();
        assert!(text.contains("\n\n…\n\n["), "{text}");
        assert_eq!(values["action_2_value"], "signed-2");
    }

    /// The codes of reference/notifications.md, section 1.2, with the expected verdicts. The codes that are the same for all
    /// newer interfaces are in `dingtalk_app.rs`.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"success":true,"result":{"outTrackId":"o","deliverResults":[{"spaceId":"s","success":true}]}}"#,
            "accepted o",
        ),
        (
            200,
            r#"{"success":true,"result":{"outTrackId":"o","deliverResults":[{"success":false,"errorMsg":"spaceId is illegal"}]}}"#,
            "recipient_invalid deliverResults",
        ),
        (
            200,
            r#"{"success":true,"result":{"outTrackId":"o","deliverResults":[{"success":true},{"success":false}]}}"#,
            "recipient_invalid deliverResults",
        ),
        (
            200,
            r#"{"success":true,"result":{"outTrackId":"o","deliverResults":[]}}"#,
            "unknown",
        ),
        (200, r#"{"success":true}"#, "unknown"),
        (200, r#"{"success":false}"#, "permanent success"),
        (200, "<html>", "unknown"),
        (
            400,
            r#"{"code":"InvalidAuthentication","message":"m"}"#,
            "credential InvalidAuthentication",
        ),
        (
            403,
            r#"{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"m"}"#,
            "credential Forbidden.AccessDenied.AccessTokenPermissionDenied",
        ),
        (
            403,
            r#"{"code":"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi","message":"m"}"#,
            "throttled 60000",
        ),
        (
            400,
            r#"{"code":"chatbot.notFound","message":"m"}"#,
            "credential chatbot.notFound",
        ),
        (
            400,
            r#"{"code":"param.userIdNotExist","message":"m"}"#,
            "recipient_invalid param.userIdNotExist",
        ),
        (
            400,
            r#"{"code":"param.openSpaceIdInvalid","message":"m"}"#,
            "recipient_invalid param.openSpaceIdInvalid",
        ),
        (
            400,
            r#"{"code":"param.cardTemplateIdEmpty","message":"m"}"#,
            "permanent param.cardTemplateIdEmpty",
        ),
        (
            400,
            r#"{"code":"param.templateUnpublished","message":"m"}"#,
            "permanent param.templateUnpublished",
        ),
        (
            400,
            r#"{"code":"param.contentUnsafe","message":"m"}"#,
            "permanent param.contentUnsafe",
        ),
        (
            400,
            r#"{"code":"another","message":"m"}"#,
            "permanent another",
        ),
        (429, "", "throttled 60000"),
        (500, r#"{"code":"another","message":"m"}"#, "unknown"),
        (503, "", "retry"),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let response = Response::Http(Ok(HttpResponse::of(*status, body.as_bytes())));
            let verdict = DingtalkCard.verdict(&response);
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
            let is_old = body.contains("InvalidAuthentication");
            assert_eq!(DingtalkCard.refuses_token(&response), is_old, "{body}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        assert_eq!(DingtalkCard.check(&app()), Ok(()));
        for (key, value, expected) in [
            ("url", json!("https://x/?a"), "`url` must"),
            ("robot_code", json!(""), "`robot_code` must"),
            ("card_template_id", json!(1), "`card_template_id` must"),
            ("callback_route_key", json!(""), "`callback_route_key` must"),
            ("keyword", json!("x"), "`keyword` is not a setting"),
        ] {
            let mut account = app();
            account.settings.insert(key.into(), value);
            let reason = DingtalkCard.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        let reason = DingtalkCard.check_secret("hidden").unwrap_err();
        assert!(!reason.contains("hidden"), "{reason}");
    }
}
