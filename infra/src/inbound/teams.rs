//! Verifies messages of Microsoft Teams outgoing webhooks. The secret is the security token of the webhook in Base64.

use events::Moment;
use ring::hmac::HMAC_SHA256;
use serde_json::{Value, json};

use super::{
    Answer, Inbound, Message, Refusal, Request, Verified, check_hmac, check_timestamp, from_base64,
    required, text,
};

/// The codec for Microsoft Teams.
pub struct Teams;

impl Inbound for Teams {
    fn name(&self) -> &'static str {
        "teams"
    }

    /// Returns the kind of the channel `teams_workflow`. The address `teams` is the id of a chat with a bot and not of a
    /// person.
    fn address_kind(&self) -> &'static str {
        "teams_user"
    }

    /// An outgoing webhook accepts only the response to its own request, and the desk processes the message later.
    fn stored(&self, _message: Option<&Message>) -> Answer {
        let text = "已收到，正在处理。Received. The ticket shows the result.";
        Answer::json(&json!({ "type": "message", "text": text }))
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        check_signature(request, secret)?;
        let body = Value::Object(request.json()?);
        // An absent time is not checked. The signature covers the time, because it is a part of the body.
        let at = text(&body, "/timestamp");
        if !at.is_empty() {
            check_timestamp(at, now)?;
        }
        if text(&body, "/type") != "message" {
            return Ok(Verified::Nothing);
        }
        let id = required(text(&body, "/id"), "id")?;
        // The object id in Microsoft Entra is the address of the person. The member is absent for people outside of the
        // company. Their messages cause nothing.
        let user = text(&body, "/from/aadObjectId");
        if user.is_empty() {
            return Ok(Verified::Nothing);
        }
        Ok(Verified::message(Message {
            others: Vec::new(),
            group: String::new(),
            id,
            user: required(user, "from/aadObjectId")?,
            text: text(&body, "/text").replace("&nbsp;", " "),
            value: None,
            reply: None,
            place: None,
        }))
    }
}

pub(super) fn check_signature(request: &Request<'_>, secret: &str) -> Result<(), Refusal> {
    let key = from_base64(secret.trim()).ok_or(Refusal::Secret("the token in Base64"))?;
    let signature = request.header("authorization")?.strip_prefix("HMAC ");
    let signature = signature.and_then(from_base64);
    check_hmac(HMAC_SHA256, &key, request.body, signature)
}
