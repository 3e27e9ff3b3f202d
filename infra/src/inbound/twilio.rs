//! Verifies short messages that Twilio forwards. The secret is the auth token of the Twilio account. The signature covers
//! the public address of the desk, so the setting of this address must be right.

use events::Moment;
use ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;

use super::{
    Answer, Inbound, Message, Refusal, Request, Verified, check_hmac, field, form, from_base64,
    required,
};

/// The codec for Twilio.
pub struct Twilio;

impl Inbound for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn address_kind(&self) -> &'static str {
        "phone"
    }

    fn stored(&self, _message: Option<&Message>) -> Answer {
        Answer {
            content_type: "text/xml",
            body: "<Response/>".into(),
        }
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        _now: Moment,
    ) -> Result<Verified, Refusal> {
        let signature = request.header("x-twilio-signature")?;
        let form = form(request.body).map_err(Refusal::before_check)?;
        let mut fields: Vec<_> = form.iter().collect();
        fields.sort();
        let mut signed = request.url.to_owned();
        for (name, value) in fields {
            signed.push_str(name);
            signed.push_str(value);
        }
        let (key, signature) = (secret.as_bytes(), from_base64(signature));
        let algorithm = HMAC_SHA1_FOR_LEGACY_USE_ONLY;
        check_hmac(algorithm, key, signed.as_bytes(), signature)?;
        // A request with a status reports on a message of the desk.
        if !field(&form, "MessageStatus").is_empty() {
            return Ok(Verified::Nothing);
        }
        Ok(Verified::message(Message {
            others: Vec::new(),
            group: String::new(),
            id: required(field(&form, "MessageSid"), "MessageSid")?,
            user: required(field(&form, "From"), "From")?,
            text: field(&form, "Body").to_owned(),
            value: None,
            reply: None,
            place: None,
        }))
    }
}
