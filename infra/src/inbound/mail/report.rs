//! Reads reports about mails that the desk sent: delivery status notifications (RFC 3464).

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use serde::{Deserialize, Serialize};

use super::parse::one_line;

/// Maximum number of recipients in one report.
const RECIPIENTS_MAX: usize = 20;
/// Maximum length of a reason, in characters.
const REASON_MAX: usize = 300;
/// Number of hexadecimal digits in the id of a delivery.
const ID_DIGITS: usize = 32;

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
    /// The id of the delivery: the part of the message id before `@`.
    pub delivery: String,
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

/// Returns the id of the delivery in a message id of the desk. Returns `None` for the message id of any other mail.
pub fn delivery_of(message_id: &str) -> Option<String> {
    let id = message_id.trim().trim_matches(['<', '>']);
    let (local, _) = id.split_once('@')?;
    let is_id = local.len() == ID_DIGITS && local.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| local.to_ascii_lowercase())
}

/// Returns the reports in a mail. The list is empty if the mail is not a delivery status notification, or if it is
/// not about a mail of the desk.
pub(super) fn read(message: &Message<'_>) -> Vec<Report> {
    let (mut delivery, mut status) = (None, None);
    for part in &message.parts {
        if part.is_content_type("message", "delivery-status")
            || part.is_content_type("message", "global-delivery-status")
        {
            status = status.or_else(|| part.text_contents());
        }
        match &part.body {
            PartType::Message(original) => {
                delivery = delivery.or_else(|| original.message_id().and_then(delivery_of));
            }
            PartType::Text(headers) if part.is_content_type("text", "rfc822-headers") => {
                let original = MessageParser::default().parse_headers(headers.as_bytes());
                let id = original.as_ref().and_then(|original| original.message_id());
                delivery = delivery.or_else(|| id.and_then(delivery_of));
            }
            _ => {}
        }
    }
    match (delivery, status) {
        (Some(delivery), Some(status)) => recipients(&delivery, status),
        _ => Vec::new(),
    }
}

/// Reads the groups of fields about the recipients. The first group is about the message, and an empty line ends a
/// group.
fn recipients(delivery: &str, status: &str) -> Vec<Report> {
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
            delivery: delivery.to_owned(),
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
