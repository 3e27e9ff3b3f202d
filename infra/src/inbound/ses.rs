//! Receives mails and reports about mails from Amazon SES, through a topic of Amazon SNS. The secret is the ARN of
//! the topic. SES publishes bounces and complaints, and with a receipt rule also the mails that arrive.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::Moment;
use serde_json::Value;

use super::mail::report::{HEADER, code, cut};
use super::mail::{Checked, Mail, Mark, Report, ReportKind, mark_of, parse};
use super::{Inbound, Refusal, Request, Verified, is_arn, object, sns, text, unreadable};

/// The name of the relay in the results of the checks that SES made.
pub const SERVER: &str = "amazonses.com";
/// Maximum size of a request, in bytes. A message of SNS has at most 256 KiB, and JSON in JSON needs more.
const BODY_BYTES_MAX: usize = 768 << 10;
/// Maximum number of recipients in one report.
const RECIPIENTS_MAX: usize = 20;
/// The status code of a bounce without a code. The address of the recipient does not exist.
const UNKNOWN_ADDRESS: &str = "5.1.1";

/// The codec for Amazon SES.
pub struct Ses;

impl Inbound for Ses {
    fn name(&self) -> &'static str {
        "ses"
    }

    fn address_kind(&self) -> &'static str {
        "email"
    }

    fn accepts_secret(&self, secret: &str) -> bool {
        is_arn(secret)
    }

    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX
    }

    fn certificate_url(
        &self,
        request: &Request<'_>,
        secrets: &[String],
    ) -> Result<Option<String>, Refusal> {
        sns::certificate_url(request, secrets).map(Some)
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let (id, message) = match sns::verify(request, secret, now)? {
            sns::Content::Notification { id, message } => (id, message),
            sns::Content::Confirmation(url) => return Ok(Verified::Confirmation(url)),
            sns::Content::Ended => return Ok(Verified::Ended),
        };
        let message = Value::Object(object(message.as_bytes())?);
        // A configuration set publishes `eventType`, and an identity publishes `notificationType`.
        let kind = match text(&message, "/notificationType") {
            "" => text(&message, "/eventType"),
            kind => kind,
        };
        let reports = match kind {
            "Received" => return Ok(Verified::Mail(Box::new(received(&message)?))),
            "Bounce" => bounces(&message),
            "Complaint" => complaints(&message),
            _ => Vec::new(),
        };
        if reports.is_empty() {
            return Ok(Verified::Nothing);
        }
        Ok(Verified::Mail(Box::new(Mail {
            id: format!("sns {id}"),
            automatic: Some(format!("SES {kind}")),
            reports,
            ..Mail::default()
        })))
    }
}

/// Reads a mail that arrived at SES. SES must publish the whole mail. The results of the checks come from SES and not
/// from the headers of the mail, because the sender can write headers.
fn received(message: &Value) -> Result<Mail, Refusal> {
    let content = text(message, "/content");
    if content.is_empty() {
        return Err(unreadable(
            "`content` is required: the receipt rule must publish the whole mail",
        ));
    }
    let bytes = match text(message, "/receipt/action/encoding") {
        "BASE64" => STANDARD
            .decode(content)
            .map_err(|_| unreadable("`content` is not Base64"))?,
        _ => content.as_bytes().to_vec(),
    };
    let mut mail = parse(&bytes).map_err(unreadable)?;
    let domain = mail.from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let domain = domain.to_ascii_lowercase();
    // Only DMARC compares the domain of the sender. The other results of SES do not name the domain that was checked.
    // The result of SPF is about the domain of the envelope, which is in `source`.
    let source = text(message, "/mail/source");
    let of_envelope = source.rsplit_once('@').map_or("", |(_, domain)| domain);
    let check = |method: &str, domain: String| {
        let verdict = text(message, &format!("/receipt/{method}Verdict/status"));
        Checked {
            server: SERVER.to_owned(),
            hops: 0,
            header: 0,
            method: method.to_owned(),
            is_passed: verdict == "PASS",
            is_failed: verdict == "FAIL",
            domain,
        }
    };
    mail.checked = vec![
        check("dmarc", domain),
        check("spf", of_envelope.to_ascii_lowercase()),
    ];
    let verdicts = [
        "/receipt/spamVerdict/status",
        "/receipt/virusVerdict/status",
    ];
    if let Some(verdict) = verdicts.iter().find(|one| text(message, one) == "FAIL") {
        mail.automatic = Some(format!("SES {verdict}: FAIL"));
    }
    Ok(mail)
}

/// Returns the recipients in the list at a JSON pointer.
fn recipients<'a>(message: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let list = message.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().take(RECIPIENTS_MAX)
}

/// Returns the mark of a mail. SES replaces the header `Message-ID` of a mail, so the mark is in the headers that SES
/// stored, or in the header of the desk.
fn mark(message: &Value) -> Option<Mark> {
    let headers = message.pointer("/mail/headers").and_then(Value::as_array);
    let mut headers = headers.into_iter().flatten();
    let own = headers.find(|header| text(header, "/name").eq_ignore_ascii_case(HEADER));
    let own = own.map(|header| format!("{}@", text(header, "/value")));
    let id = text(message, "/mail/commonHeaders/messageId");
    own.as_deref().and_then(mark_of).or_else(|| mark_of(id))
}

fn bounces(message: &Value) -> Vec<Report> {
    let Some(mark) = mark(message) else {
        return Vec::new();
    };
    let is_permanent = text(message, "/bounce/bounceType") == "Permanent";
    let sub_type = text(message, "/bounce/bounceSubType");
    let report = |recipient: &Value| {
        let given = code(text(recipient, "/status"));
        // SES does not send mails to addresses that bounced before, and to addresses that do not exist.
        let is_unknown = matches!(
            sub_type,
            "General" | "NoEmail" | "Suppressed" | "OnAccountSuppressionList"
        );
        let status = if given.is_empty() && is_permanent && is_unknown {
            UNKNOWN_ADDRESS.to_owned()
        } else {
            given
        };
        let reason = match text(recipient, "/diagnosticCode") {
            "" => format!("SES bounce: {sub_type}"),
            reason => reason.to_owned(),
        };
        Report {
            delivery: mark.delivery.clone(),
            tag: mark.tag.clone(),
            recipient: text(recipient, "/emailAddress").chars().take(254).collect(),
            kind: ReportKind::Failed,
            status,
            reason: cut(&reason),
        }
    };
    recipients(message, "/bounce/bouncedRecipients")
        .map(report)
        .collect()
}

fn complaints(message: &Value) -> Vec<Report> {
    let Some(mark) = mark(message) else {
        return Vec::new();
    };
    let kind = text(message, "/complaint/complaintFeedbackType");
    let report = |recipient: &Value| Report {
        delivery: mark.delivery.clone(),
        tag: mark.tag.clone(),
        recipient: text(recipient, "/emailAddress").chars().take(254).collect(),
        kind: ReportKind::Complaint,
        status: String::new(),
        reason: cut(&format!("SES complaint: {kind}")),
    };
    recipients(message, "/complaint/complainedRecipients")
        .map(report)
        .collect()
}
