//! Receives mails (reference/notifications.md 2). A mail relay or a script sends each mail unchanged, with a
//! signature over the time and the mail. The secret is the key of the signature.

mod parse;
mod replay;
pub(super) mod report;
mod results;
#[cfg(test)]
mod tests;

use events::Moment;
use ring::hmac::{self, HMAC_SHA256};
use serde::{Deserialize, Serialize};

pub use parse::parse;
pub use replay::{AGE_MAX_MS, NotForDesk, Signature, not_for_desk};
pub use report::{Mark, Report, ReportKind, TAG_DIGITS, mark_of};
pub use results::{Checked, is_proven};

use super::{Inbound, Refusal, Request, Verified, check_hmac, check_time, from_hex};

/// Maximum size of a mail, in bytes. The desk stores the text of a mail with the names of its attachments, and the
/// attachments themselves as files.
pub const MAIL_BYTES_MAX: usize = 10 << 20;
/// Maximum difference between the signed time and the clock of the desk, in milliseconds (5 minutes).
const WINDOW_MS: i64 = 300_000;

/// An attachment of a mail with its content.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MailFile {
    /// The media type that the mail names, such as `image/png`. The text is empty if it names none.
    pub media_type: String,
    /// True if the mail shows the attachment in its text, such as a logo.
    pub is_inline: bool,
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for MailFile {
    /// Writes only the type and the size. The content can be personal and must not appear in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, bytes) = (&self.media_type, self.bytes.len());
        write!(f, "MailFile {{ {kind}, {bytes} bytes }}")
    }
}

/// A mail that arrived at the desk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// A hash of the message id and the sender. A repetition of the mail has the same id.
    pub id: String,
    /// The address of the sender (`From`). The text is empty if the mail has no or several senders.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The addresses in the headers `To`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// The addresses in the headers `Cc`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    /// The addresses to which mail servers delivered the mail, such as in `Delivered-To`. Its sender did not write them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub received: Vec<String>,
    /// The time in the header `Date`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Moment>,
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
    /// The attachments with their contents, in the order of `attachments`. The list is empty in a stored mail, and in a
    /// mail of a program.
    #[serde(skip)]
    pub files: Vec<MailFile>,
    /// The header that shows that a program and no person sent the mail. The desk never answers such a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<String>,
    /// The results of the checks of the sender that mail relays wrote into the mail (RFC 8601).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checked: Vec<Checked>,
    /// The signatures of DKIM of the domain of the sender. The desk does not check them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
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
