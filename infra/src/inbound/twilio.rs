//! Verifies short messages that Twilio forwards, and its reports about messages of the desk. The secret is the auth token of the Twilio account. The signature covers
//! the public address of the desk, so the setting of this address must be right.

use events::Moment;
use ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;

use super::mail::{Report, ReportKind};
use super::{
    Answer, Inbound, Message, Refusal, Request, Verified, check_hmac, field, form, from_base64,
    required,
};

/// Number of hexadecimal digits in the id of a delivery.
const ID_DIGITS: usize = 32;
/// Maximum length of a code, in characters. The codes of Twilio have five digits.
const CODE_MAX: usize = 20;
/// The statuses of a message that Twilio accepted and then did not deliver.
const FAILED: [&str; 3] = ["undelivered", "failed", "canceled"];

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
        let status = field(&form, "MessageStatus");
        if !status.is_empty() {
            return report(request, &form, status);
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

/// Reads a report about a message of the desk. The query of the address contains the id of the delivery with its keyed tag,
/// see the setting `status_callback` of an account. The signature covers the query. Only a report that the person did not
/// get the message has a content.
fn report(
    request: &Request<'_>,
    form: &[(String, String)],
    status: &str,
) -> Result<Verified, Refusal> {
    let delivery = field(request.query, "delivery");
    let is_id = delivery.len() == ID_DIGITS && delivery.bytes().all(is_digit);
    if !FAILED.contains(&status) || !is_id {
        return Ok(Verified::Nothing);
    }
    let message = required(field(form, "MessageSid"), "MessageSid")?;
    let code = match field(form, "ErrorCode") {
        "" | "0" => status,
        code => code,
    };
    let report = Report {
        delivery: delivery.to_owned(),
        tag: field(request.query, "tag").to_owned(),
        recipient: field(form, "To").to_owned(),
        kind: ReportKind::Failed,
        status: code.chars().take(CODE_MAX).collect(),
        reason: format!("the gateway reports the status {status}"),
    };
    Ok(Verified::Report {
        id: format!("{message}/{status}/{}", report.tag),
        report: Box::new(report),
    })
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
