//! Reads reports about mails that the desk sent: delivery status notifications (RFC 3464).

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use serde::{Deserialize, Serialize};

use super::parse::one_line;

/// The header of the desk with the mark of a mail.
pub(in crate::inbound) const HEADER: &str = "X-Ledgerdesk-Delivery";
/// Maximum number of recipients in one report.
const RECIPIENTS_MAX: usize = 20;
/// Maximum length of a reason, in characters.
const REASON_MAX: usize = 300;
/// Number of hexadecimal digits in the id of a delivery.
const ID_DIGITS: usize = 32;
/// Number of hexadecimal digits in the keyed tag of a delivery (80 bits).
pub const TAG_DIGITS: usize = 20;

/// What happened to a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// A mail server could not deliver the mail, and does not try again.
    Failed,
    /// The recipient marked the mail as unwanted.
    Complaint,
    /// The mail is late, was delivered, or was given to another server.
    Other,
}

/// A report about one recipient of a mail that the desk sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The id of the delivery, from the mark of the mail.
    pub delivery: String,
    /// The keyed tag of the delivery, which only the desk can compute. The text is empty if the report contains no tag.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// The address to which the mail could not be delivered. The text is empty if the report names no address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recipient: String,
    pub kind: ReportKind,
    /// The status code (RFC 3463), such as `5.1.1`. The text is empty if the report has no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The mark with which the desk recognizes reports about its mails. It is in the message id before `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The id of the delivery: 32 hexadecimal digits in lower case.
    pub delivery: String,
    /// The keyed tag of the delivery: 20 hexadecimal digits in lower case. The text is empty if the mark has no tag.
    pub tag: String,
}

/// Returns the mark in a message id of the desk. The tag is not checked, so this proves nothing. Returns `None` for the
/// message id of any other mail.
pub fn mark_of(message_id: &str) -> Option<Mark> {
    let id = message_id.trim().trim_matches(['<', '>']);
    let (local, _) = id.split_once('@')?;
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let (delivery, tag) = local.split_once('.').unwrap_or((local, ""));
    let is_tag = is_hex(tag, TAG_DIGITS) || !local.contains('.');
    (is_hex(delivery, ID_DIGITS) && is_tag).then(|| Mark {
        delivery: delivery.to_ascii_lowercase(),
        tag: tag.to_ascii_lowercase(),
    })
}

/// Returns the reports in a mail. The list is empty if the mail is not a delivery status notification, or if it is
/// not about a mail of the desk.
pub(super) fn read(message: &Message<'_>) -> Vec<Report> {
    let (mut mark, mut status) = (None, None);
    for part in &message.parts {
        if part.is_content_type("message", "delivery-status")
            || part.is_content_type("message", "global-delivery-status")
        {
            status = status.or_else(|| part.text_contents());
        }
        match &part.body {
            PartType::Message(original) => {
                mark = mark.or_else(|| marked(original));
            }
            PartType::Text(headers) if part.is_content_type("text", "rfc822-headers") => {
                let original = MessageParser::default().parse_headers(headers.as_bytes());
                mark = mark.or_else(|| original.as_ref().and_then(marked));
            }
            _ => {}
        }
    }
    match (mark, status) {
        (Some(mark), Some(status)) => recipients(&mark, status),
        _ => Vec::new(),
    }
}

/// Returns the mark of the original mail: in the header of the desk, or in the message id. A relay can replace the
/// message id.
fn marked(original: &Message<'_>) -> Option<Mark> {
    let mut headers = original.headers_raw();
    let own = headers.find(|(name, _)| name.eq_ignore_ascii_case(HEADER));
    let own = own.and_then(|(_, value)| mark_of(&format!("{}@", one_line(value))));
    own.or_else(|| original.message_id().and_then(mark_of))
}

/// Reads the groups of fields about the recipients. The first group is about the message, and an empty line ends a
/// group.
fn recipients(mark: &Mark, status: &str) -> Vec<Report> {
    let unfolded = status.replace("\r\n", "\n");
    let unfolded = unfolded.replace("\n ", " ").replace("\n\t", " ");
    let groups = unfolded.split("\n\n");
    let reports = groups.filter_map(|group| {
        let field = |name: &str| {
            let mut fields = group.lines().filter_map(|line| line.split_once(':'));
            let found = fields.find(|(given, _)| given.trim().eq_ignore_ascii_case(name));
            found.map(|(_, value)| one_line(value))
        };
        let action = field("Action")?.to_ascii_lowercase();
        // The original recipient is the address that the desk used.
        let recipient = field("Original-Recipient").or_else(|| field("Final-Recipient"));
        let reason = field("Diagnostic-Code").map(|value| after_type(&value).to_owned());
        let status = field("Status").unwrap_or_default();
        Some(Report {
            delivery: mark.delivery.clone(),
            tag: mark.tag.clone(),
            recipient: recipient.map(|one| address(&one)).unwrap_or_default(),
            kind: if action == "failed" {
                ReportKind::Failed
            } else {
                ReportKind::Other
            },
            status: code(&status),
            reason: cut(&reason.unwrap_or_default()),
        })
    });
    reports.take(RECIPIENTS_MAX).collect()
}

/// Returns the value after its type, such as the address in `rfc822; lisi@example.com`.
fn after_type(value: &str) -> &str {
    value.split_once(';').map_or(value, |(_, rest)| rest).trim()
}

fn address(value: &str) -> String {
    let plain = after_type(value).trim_matches(['<', '>']);
    plain.chars().take(254).collect()
}

pub(in crate::inbound) fn cut(reason: &str) -> String {
    one_line(reason).chars().take(REASON_MAX).collect()
}

/// Returns the status code at the beginning of a text. Returns an empty text if there is no code.
pub(in crate::inbound) fn code(status: &str) -> String {
    let first = status.split_whitespace().next().unwrap_or_default();
    let numbers: Vec<&str> = first.split('.').collect();
    let is_number = |digits: &&str| {
        (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let is_code = numbers.len() == 3 && numbers.iter().all(is_number);
    if is_code {
        first.to_owned()
    } else {
        String::new()
    }
}
