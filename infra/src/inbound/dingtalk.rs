//! Verifies messages of DingTalk robots. The secret is the secret of the app. The signature of DingTalk covers only the
//! time and not the body, so the stored id of each message and TLS protect against repetitions.

use events::Moment;
use ring::hmac::HMAC_SHA256;
use serde_json::{Value, json};

use super::{
    Inbound, Message, Refusal, ReplyTo, Request, Verified, WINDOW_MS, check_hmac, check_time,
    from_base64, required, text,
};

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

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let (at, sign) = (request.header("timestamp")?, request.header("sign")?);
        let signed = format!("{at}\n{secret}");
        let key = secret.as_bytes();
        check_hmac(HMAC_SHA256, key, signed.as_bytes(), from_base64(sign))?;
        check_time(at, 1, WINDOW_MS, now)?;
        let body = Value::Object(request.json()?);
        // The member is absent for people outside of the company. Their messages cause nothing.
        let user = text(&body, "/senderStaffId");
        if user.is_empty() || text(&body, "/msgtype") != "text" {
            return Ok(Verified::Nothing);
        }
        let url = text(&body, "/sessionWebhook");
        let until = body.pointer("/sessionWebhookExpiredTime");
        Ok(Verified::Message(Message {
            others: Vec::new(),
            id: required(text(&body, "/msgId"), "msgId")?,
            user: required(user, "senderStaffId")?,
            text: text(&body, "/text/content").to_owned(),
            value: None,
            reply: (!url.is_empty()).then(|| ReplyTo {
                url: url.to_owned(),
                until: until.and_then(Value::as_i64).map(Moment),
            }),
        }))
    }
}
