//! Verifies messages of DingTalk robots and pressed buttons of interactive cards. The secret of messages is the secret of
//! the app. The secret of buttons is the `apiSecret` with which the address for callbacks of cards was registered. Both
//! signatures cover only the time and not the body, so the stored id of each message and TLS protect against repetitions.

use events::Moment;
use ring::hmac::HMAC_SHA256;
use serde_json::{Value, json};

use super::{
    Answer, Inbound, Message, Place, Refusal, ReplyTo, Request, Verified, WINDOW_MS, check_hmac,
    check_time, from_base64, object, required, text,
};

/// The headers with which DingTalk signs the press of a button (open.dingtalk.com, callbacks of interactive cards).
const CARD_TIME: &str = "x-ddpaas-signature-timestamp";
const CARD_SIGNATURE: &str = "x-ddpaas-signature";
/// The names of messages and of pressed buttons in the stream mode (PyPI package dingtalk-stream 0.24.3).
pub const ROBOT_TOPIC: &str = "/v1.0/im/bot/messages/get";
pub const CARD_TOPIC: &str = "/v1.0/card/instances/callback";

/// The value of `conversationType` for a group.
const GROUP: &str = "2";

/// Reads a message or the press of a button that arrived over the connection of the stream mode. The desk opened this
/// connection with the secret of the app, so nothing is signed. `id` is the id of the frame.
pub fn streamed(topic: &str, id: &str, data: &[u8]) -> Result<Verified, Refusal> {
    let body = Value::Object(object(data)?);
    match topic {
        ROBOT_TOPIC => robot(&body),
        CARD_TOPIC => card(&body, id),
        _ => Ok(Verified::Nothing),
    }
}

/// The codec for DingTalk.
pub struct Dingtalk;

impl Inbound for Dingtalk {
    fn name(&self) -> &'static str {
        "dingtalk"
    }

    fn address_kind(&self) -> &'static str {
        "dingtalk"
    }

    fn reply_host(&self) -> Option<&'static str> {
        Some("oapi.dingtalk.com")
    }

    fn reply(&self, text: &str) -> Value {
        json!({ "msgtype": "text", "text": { "content": text } })
    }

    /// Returns the new value of the variable `answer` of a card. DingTalk must get this response within 2 seconds, and it
    /// accepts no other change of the card before. The desk therefore changes the card later.
    fn stored(&self, message: Option<&Message>) -> Answer {
        if message.is_none_or(|message| message.value.is_none()) {
            return Answer::text("");
        }
        let answer = "已收到，正在处理。Received.";
        Answer::json(&json!({
            "cardUpdateOptions": { "updateCardDataByKey": true, "updatePrivateDataByKey": true },
            "userPrivateData": { "cardParamMap": { "answer": answer } },
        }))
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        if request.header(CARD_SIGNATURE).is_ok() {
            return pressed(request, secret, now);
        }
        let (at, sign) = (request.header("timestamp")?, request.header("sign")?);
        let signed = format!("{at}\n{secret}");
        let key = secret.as_bytes();
        check_hmac(HMAC_SHA256, key, signed.as_bytes(), from_base64(sign))?;
        check_time(at, 1, WINDOW_MS, now)?;
        robot(&Value::Object(request.json()?))
    }
}

/// Reads a message of a person to the robot. In a group, DingTalk reports only messages that mention the robot, and the text
/// does not contain this mention.
fn robot(body: &Value) -> Result<Verified, Refusal> {
    // The member is absent for people outside of the company. Their messages cause nothing.
    let user = text(body, "/senderStaffId");
    if user.is_empty() || text(body, "/msgtype") != "text" {
        return Ok(Verified::Nothing);
    }
    let is_group = text(body, "/conversationType") == GROUP;
    if is_group && body.pointer("/isInAtList") == Some(&Value::Bool(false)) {
        return Ok(Verified::Nothing);
    }
    let group = match text(body, "/conversationId") {
        chat if is_group && chat.len() <= super::ID_BYTES_MAX => chat,
        _ => "",
    };
    let url = text(body, "/sessionWebhook");
    let until = body.pointer("/sessionWebhookExpiredTime");
    Ok(Verified::message(Message {
        others: Vec::new(),
        id: required(text(body, "/msgId"), "msgId")?,
        user: required(user, "senderStaffId")?,
        group: group.to_owned(),
        text: text(body, "/text/content").to_owned(),
        value: None,
        reply: (!url.is_empty()).then(|| ReplyTo {
            url: url.to_owned(),
            until: until.and_then(Value::as_i64).map(Moment),
        }),
        place: None,
    }))
}

/// Checks the press of a button of a card, and reads its value. DingTalk gives no id to a press. A repeated request has the
/// same signed time, so this time is a part of the id.
fn pressed(request: &Request<'_>, secret: &str, now: Moment) -> Result<Verified, Refusal> {
    let (at, sign) = (request.header(CARD_TIME)?, request.header(CARD_SIGNATURE)?);
    let key = secret.as_bytes();
    check_hmac(HMAC_SHA256, key, at.as_bytes(), from_base64(sign))?;
    check_time(at, 1, WINDOW_MS, now)?;
    card(&Value::Object(request.json()?), at)
}

/// Reads the press of a button. `at` is the part of its id that DingTalk gives to the request.
fn card(body: &Value, at: &str) -> Result<Verified, Refusal> {
    if text(body, "/type") != "actionCallback" {
        return Ok(Verified::Nothing);
    }
    // The content is JSON in a text. The template of the card gives the value of the action to the button.
    let content = Value::Object(object(text(body, "/content").as_bytes())?);
    let value = text(&content, "/cardPrivateData/params/value");
    if value.is_empty() {
        return Ok(Verified::Nothing);
    }
    let card = required(text(body, "/outTrackId"), "outTrackId")?;
    let user = required(text(body, "/userId"), "userId")?;
    let value = required(value, "cardPrivateData/params/value")?;
    let identity = json!([at, card, user, value]).to_string();
    Ok(Verified::message(Message {
        others: Vec::new(),
        id: format!("card {}", blake3::hash(identity.as_bytes()).to_hex()),
        user,
        group: String::new(),
        text: String::new(),
        value: Some(value),
        reply: None,
        place: Some(Place {
            message: card,
            ..Place::default()
        }),
    }))
}
