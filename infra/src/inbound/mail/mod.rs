//! Receives mails (reference/notifications.md 2). A mail relay or a script sends each mail unchanged, with a
//! signature over the time and the mail. The secret is the key of the signature.

mod parse;
pub(super) mod report;
mod results;
#[cfg(test)]
mod tests;

use events::Moment;
use ring::hmac::{self, HMAC_SHA256};
use serde::{Deserialize, Serialize};

pub use parse::parse;
pub use report::{Report, ReportKind, delivery_of};
pub use results::{Checked, is_proven};

use super::{Inbound, Refusal, Request, Verified, check_hmac, check_time, from_hex};

/// Maximum size of a mail, in bytes. The desk stores the text of a mail, and only the names of its attachments.
pub const MAIL_BYTES_MAX: usize = 10 << 20;
/// Maximum difference between the signed time and the clock of the desk, in milliseconds (5 minutes).
const WINDOW_MS: i64 = 300_000;

/// A mail that arrived at the desk, without its attachments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// A hash of the message id and the sender. A repetition of the mail has the same id.
    pub id: String,
    /// The address of the sender (`From`). The text is empty if the mail has no or several senders.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The addresses to which the mail was sent, from all headers that contain such addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The ids of the mails to which this mail replies, without `<` and `>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// The text of the mail with its quoted text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The names and the sizes (in bytes) of the attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<(String, usize)>,
    /// The header that shows that a program and no person sent the mail. The desk never answers such a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<String>,
    /// The results of the checks of the sender that mail relays wrote into the mail (RFC 8601).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checked: Vec<Checked>,
    /// The reports about mails that the desk sent, if this mail is a delivery status notification (RFC 3464).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<Report>,
}

/// Returns the signature of a mail at a time, for tests and for programs that forward mails. `at` is the Unix time in
/// seconds.
pub fn signature(secret: &str, at: i64, mail: &[u8]) -> String {
    let signed = [at.to_string().as_bytes(), b".", mail].concat();
    let key = hmac::Key::new(HMAC_SHA256, secret.as_bytes());
    let mac = hmac::sign(&key, &signed);
    format!("v1={}", crate::commit::hex(mac.as_ref()))
}

/// The codec for mails that a mail relay or a script forwards.
pub struct Relay;

impl Inbound for Relay {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn address_kind(&self) -> &'static str {
        "email"
    }

    fn body_bytes_max(&self) -> usize {
        MAIL_BYTES_MAX
    }

    fn verify(
        &self,
        request: &Request<'_>,
        secret: &str,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let signature = request.header("x-ledgerdesk-signature")?;
        let at = request.header("x-ledgerdesk-timestamp")?;
        let signed = [at.as_bytes(), b".", request.body].concat();
        let digits = signature.strip_prefix("v1=").and_then(from_hex);
        check_hmac(HMAC_SHA256, secret.as_bytes(), &signed, digits)?;
        check_time(at, 1_000, WINDOW_MS, now)?;
        let mail = parse(request.body).map_err(Refusal::Unreadable)?;
        Ok(Verified::Mail(Box::new(mail)))
    }
}
