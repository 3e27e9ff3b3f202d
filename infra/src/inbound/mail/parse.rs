//! Reads the parts of a mail that the desk needs. The sizes of all parts are limited.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{
    Address, Encoding, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders as _, PartType,
};

use super::results::results;
use super::{Mail, MailFile, replay, report};
use crate::mail::INSTANCE;

/// Maximum size of the stored text of a mail, in bytes. A longer text is cut.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Maximum length of a subject, of the name of an attachment and of an id, in characters.
const SHORT_MAX: usize = 300;
/// Maximum length of an address (RFC 5321, section 4.5.3.1.3, without `<` and `>`), in bytes.
const ADDRESS_BYTES_MAX: usize = 254;
/// Maximum number of addresses, of references, and of attachments.
const LIST_MAX: usize = 50;
/// The beginnings of quoted mails in HTML: of most mail programs, of Gmail, of two versions of Outlook, and of QQ.
const QUOTES: [&str; 5] = [
    "<blockquote",
    "<div class=\"gmail_quote",
    "<div id=\"divrplyfwdmsg",
    "<div id=\"appendonsend",
    "<includetail",
];
/// The headers with which mail servers store the address of the receiver. The header `To` of a mail to a group or of
/// a blind copy does not contain this address.
const RECEIVERS: [&str; 3] = ["Delivered-To", "X-Original-To", "Envelope-To"];

/// Reads a mail. Returns an English text if the bytes are not a mail.
pub fn parse(bytes: &[u8]) -> Result<Mail, String> {
    let message = MessageParser::default()
        .parse(bytes)
        .ok_or("it is not a mail")?;
    let from = sender(&message);
    if from.is_empty() && message.to().is_none() && message.message_id().is_none() {
        return Err("the mail has no `From`, `To` and `Message-ID`".to_owned());
    }
    let reports = report::read(&message);
    let automatic = automatic(&message);
    Ok(Mail {
        id: id(&message, &from, bytes),
        to: unique(message.all_to().flat_map(addresses)),
        cc: unique(message.all_cc().flat_map(addresses)),
        received: receivers(&message),
        date: replay::date(&message),
        subject: short(message.subject().unwrap_or_default()),
        references: references(&message),
        text: text(&message),
        attachments: if reports.is_empty() {
            attachments(&message)
        } else {
            Vec::new()
        },
        files: if reports.is_empty() && automatic.is_none() {
            files(&message, bytes)
        } else {
            Vec::new()
        },
        automatic,
        checked: results(message.headers_raw()),
        signatures: replay::signatures(&message, &from),
        reports,
        from,
    })
}

/// Returns the values of a header, from the first to the last, each as one line.
pub(super) fn header(message: &Message<'_>, name: &str) -> Vec<String> {
    let headers = message.headers_raw();
    let found = headers.filter(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| one_line(value)).collect()
}

/// Returns the value of a header that is folded into several lines as one line.
pub(super) fn one_line(value: &str) -> String {
    let mut line = String::new();
    for word in value.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

fn short(text: &str) -> String {
    let plain = one_line(text);
    let visible = plain.chars().filter(|c| !c.is_control());
    visible.take(SHORT_MAX).collect()
}

/// Returns the only address in `From`. A mail with several senders proves the identity of no person. An address that
/// the desk cannot use counts, too, because the relay may have checked the domain of this address.
fn sender(message: &Message<'_>) -> String {
    let count = header(message, "From").len();
    let all = message.from().into_iter().flat_map(|list| list.iter());
    let with_domain = all.filter_map(|one| one.address());
    let mut addresses: Vec<&str> = with_domain.filter(|one| one.contains('@')).collect();
    match addresses.pop() {
        Some(address) if addresses.is_empty() && count == 1 && is_address(address) => {
            address.to_owned()
        }
        _ => String::new(),
    }
}

fn addresses(list: &Address<'_>) -> Vec<String> {
    let plain = list.iter().filter_map(|one| one.address());
    plain
        .filter(|one| is_address(one))
        .map(str::to_owned)
        .collect()
}

fn is_address(text: &str) -> bool {
    text.len() <= ADDRESS_BYTES_MAX
        && text.contains('@')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the addresses that mail servers wrote into the mail.
fn receivers(message: &Message<'_>) -> Vec<String> {
    let values = RECEIVERS.into_iter().flat_map(|name| header(message, name));
    let plain = values.map(|value| value.trim_matches(['<', '>', ' ']).to_owned());
    unique(plain.filter(|one| is_address(one)))
}

fn unique(addresses: impl Iterator<Item = String>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::new();
    for one in addresses {
        if unique.len() < LIST_MAX && !unique.contains(&one) {
            unique.push(one);
        }
    }
    unique
}

/// Returns the ids of the mails to which this mail replies. The last ones are the nearest, so these are kept.
fn references(message: &Message<'_>) -> Vec<String> {
    let mut ids = ids(message.references());
    ids.extend(self::ids(message.in_reply_to()));
    let first = ids.len().saturating_sub(LIST_MAX);
    ids.split_off(first)
}

fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    let plain = |id: &str| short(id.trim_matches(['<', '>', ' ']));
    match value {
        HeaderValue::Text(id) => vec![plain(id)],
        HeaderValue::TextList(ids) => ids.iter().map(|id| plain(id)).collect(),
        _ => Vec::new(),
    }
}

/// Returns the text of the mail. If the mail has only HTML, the text is made from it.
fn text(message: &Message<'_>) -> String {
    let mut text = String::new();
    for part in message.text_bodies() {
        let plain = match &part.body {
            PartType::Html(html) => html_to_text(without_quote(html)),
            _ => part.text_contents().unwrap_or_default().to_owned(),
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&plain);
        if text.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    // No person writes control characters. Not all databases can store a zero byte, and JSON needs six bytes for each
    // control character.
    text.retain(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    crate::text::cut(&text, TEXT_BYTES_MAX)
}

/// Returns the part of an HTML text before the quoted mail. The text that is made from HTML does not show what is
/// quoted.
fn without_quote(html: &str) -> &str {
    let lower = html.to_ascii_lowercase();
    let ends = QUOTES.iter().filter_map(|mark| lower.find(mark));
    &html[..ends.min().unwrap_or(html.len())]
}

fn attachments(message: &Message<'_>) -> Vec<(String, usize)> {
    let named = |part: &MessagePart<'_>| {
        let kind = part.content_type().map(|kind| {
            let subtype = kind.subtype().unwrap_or("*");
            format!("{}/{subtype}", kind.ctype())
        });
        let name = part.attachment_name().map(short);
        let name = name.filter(|name| !name.is_empty());
        (name.or(kind).unwrap_or_default(), part.len())
    };
    message.attachments().take(LIST_MAX).map(named).collect()
}

/// Returns the attachments with their contents, in the order of [`attachments`].
fn files(message: &Message<'_>, mail: &[u8]) -> Vec<MailFile> {
    let file = |part: &MessagePart<'_>| {
        let kind = part.content_type().map(|kind| {
            let subtype = kind.subtype().unwrap_or_default();
            format!("{}/{subtype}", kind.ctype()).to_ascii_lowercase()
        });
        let disposition = part.content_disposition();
        let is_inline = disposition.is_some_and(mail_parser::ContentType::is_inline)
            || matches!(part.body, PartType::InlineBinary(_));
        MailFile {
            media_type: short(&kind.unwrap_or_default()),
            is_inline,
            bytes: content(part, mail),
        }
    };
    message.attachments().take(LIST_MAX).map(file).collect()
}

/// Returns the bytes of an attachment. The parser converts texts to UTF-8, and an attachment must stay as it is, so the
/// bytes of a text are read from the mail.
fn content(part: &MessagePart<'_>, mail: &[u8]) -> Vec<u8> {
    let range = part.raw_body_offset() as usize..part.raw_end_offset() as usize;
    let is_usable = part.is_text() && !part.is_encoding_problem;
    let raw = mail.get(range).filter(|_| is_usable);
    let decoded = raw.and_then(|raw| match part.encoding {
        Encoding::Base64 => base64_decode(raw),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
        Encoding::None => Some(raw.to_vec()),
    });
    decoded.unwrap_or_else(|| part.contents().to_vec())
}

/// Returns the header that shows that a program sent the mail (RFC 3834, section 5). Returns `None` for a mail of a
/// person.
fn automatic(message: &Message<'_>) -> Option<String> {
    let first = |name: &str| header(message, name).into_iter().next();
    let lower = |name: &str| first(name).map(|value| value.to_ascii_lowercase());
    let shown = |name: &str, value: String| Some(short(&format!("{name}: {value}")));
    if let Some(value) = lower("Auto-Submitted").filter(|value| !value.starts_with("no")) {
        return shown("Auto-Submitted", value);
    }
    let precedence = ["bulk", "list", "junk", "auto_reply"];
    if let Some(value) = lower("Precedence").filter(|value| precedence.contains(&value.as_str())) {
        return shown("Precedence", value);
    }
    // Outlook writes `OOF` and other words into mails of people to prevent some answers. Only `All` and `AutoReply`
    // mark a mail of a program.
    if let Some(value) = lower("X-Auto-Response-Suppress").filter(|value| {
        value
            .split(',')
            .any(|one| matches!(one.trim(), "all" | "autoreply"))
    }) {
        return shown("X-Auto-Response-Suppress", value);
    }
    for name in [
        INSTANCE,
        "X-Autoreply",
        "X-Autorespond",
        "X-Loop",
        "List-Id",
    ] {
        if let Some(value) = first(name) {
            return shown(name, value);
        }
    }
    if first("Return-Path").is_some_and(|value| value == "<>") {
        return shown("Return-Path", "<>".to_owned());
    }
    let is_report = message.is_content_type("multipart", "report");
    is_report.then(|| "Content-Type: multipart/report".to_owned())
}

/// Returns the id of the mail in the desk. The id contains the sender, so another sender cannot use the message id of
/// a mail to suppress it. A mail without a message id gets its id from its bytes.
fn id(message: &Message<'_>, from: &str, bytes: &[u8]) -> String {
    let hash = match message.message_id().filter(|id| !id.trim().is_empty()) {
        Some(id) => blake3::hash(format!("{}|{}", from.to_ascii_lowercase(), id.trim()).as_bytes()),
        None => blake3::hash(bytes),
    };
    hash.to_hex().to_string()
}
