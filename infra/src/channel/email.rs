//! Sends messages by e-mail (reference/notifications.md, section 1.6). Each mail has a text part and an HTML
//! part. All mails about one ticket refer to the same message id, so mail programs show these mails together.

mod verdict;

#[cfg(test)]
pub(super) use verdict::tests::reply_codes;

use std::time::{Duration, UNIX_EPOCH};

use domain::attempt::Verdict;
use domain::notification::content::{Content, Line, labelled, one_line};
use events::channel_account::Defined;
use events::delivery::FailureClass;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use serde_json::Value;

use super::{Channel, Mail, MailError, MailTls, Outgoing, Request, Response, TIMEOUT, only, text};
use crate::mail::INSTANCE;
use crate::mailbox;

/// Maximum length of the subject of a mail, in characters.
const SUBJECT_MAX: usize = 150;
/// Maximum length of the part before `@` of the setting `reply_to`, in characters. The address for replies to one message
/// adds a plus sign, the number of the ticket and a signature, and this part of an address has at most 64 characters
/// (RFC 5321, section 4.5.3.1.1).
const REPLY_LOCAL_MAX: usize = 16;

/// The setting with further addresses to which people send mails for the desk.
const ALSO_FOR: &str = "also_for";
/// Maximum number of addresses in the setting `also_for`.
const ALSO_FOR_MAX: usize = 20;

/// The checks of the sender of a mail that an account can require. The first one is the default.
const SENDER_CHECKS: [&str; 3] = ["dmarc", "dkim", "spf"];

/// The channel that sends messages by e-mail.
#[derive(Clone, Copy, Debug)]
pub struct Email;

impl Channel for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn address_kind(&self) -> &'static str {
        "email"
    }

    /// Returns true. A mail that is sent twice has the same `Message-ID` both times, so most mail programs
    /// show only one mail.
    fn may_repeat(&self) -> bool {
        true
    }

    /// A relay that needs no login needs no secret.
    fn needs_secret(&self, account: &Defined) -> bool {
        !text(account, "user").is_empty()
    }

    /// Returns false. A mail goes to the address of one person.
    fn is_shared(&self, _account: &Defined, _to: &str) -> bool {
        false
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        match address.parse::<Address>() {
            Ok(_) if address.is_ascii() && address.len() <= 254 => Ok(()),
            _ => Err("be an e-mail address such as lisi@example.com".into()),
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(
            account,
            &[
                "host",
                "port",
                "tls",
                "from",
                "user",
                "reply_to",
                "authserv_id",
                "sender_check",
                ALSO_FOR,
                mailbox::KEY,
            ],
        )?;
        mailbox::settings(account)?;
        let host = text(account, "host");
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        if host.is_empty() || !host.chars().all(is_host) {
            return Err("`host` must be the name or the address of a mail relay".into());
        }
        port(account)?;
        tls(account)?;
        from(account)?;
        for key in [
            "host",
            "tls",
            "from",
            "user",
            "reply_to",
            "authserv_id",
            "sender_check",
        ] {
            if account
                .settings
                .get(key)
                .is_some_and(|value| !value.is_string())
            {
                return Err(format!("`{key}` must be a text"));
            }
        }
        check_reply_to(text(account, "reply_to"))?;
        also_for(account)?;
        let method = text(account, "sender_check");
        if !method.is_empty() && !SENDER_CHECKS.contains(&method) {
            return Err("`sender_check` must be dmarc, dkim or spf".into());
        }
        if !method.is_empty() && text(account, "authserv_id").is_empty() {
            return Err(
                "`sender_check` needs `authserv_id`, the name of the relay in the results".into(),
            );
        }
        if tls(account)? == MailTls::None && !text(account, "user").is_empty() {
            return Err("`user` needs `tls`, because the password must be encrypted".into());
        }
        Ok(())
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if secret.is_empty() {
            Err("the password must not be empty".into())
        } else {
            Ok(())
        }
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let account = outgoing.account;
        let from = from(account)?;
        let user = text(account, "user");
        if !user.is_empty() && outgoing.secret.is_empty() {
            return Err(format!("the secret channel/{} is missing", account.name));
        }
        let bytes = message(outgoing, &from)?;
        Ok(Request::Mail(Mail {
            host: text(account, "host").to_owned(),
            port: port(account)?,
            tls: tls(account)?,
            login: (!user.is_empty()).then(|| (user.to_owned(), outgoing.secret.to_owned())),
            hello: from.email.domain().to_owned(),
            from: from.email.to_string(),
            to: outgoing.to.to_owned(),
            bytes,
            timeout: TIMEOUT,
        }))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        match response {
            Response::Mail(Ok(reply)) => verdict::judge(reply),
            Response::Mail(Err(MailError::NotSent(reason))) => Verdict::retry(reason),
            Response::Mail(Err(MailError::Unknown(reason))) => Verdict::Unknown {
                reason: reason.clone().into(),
            },
            Response::Http(_) => Verdict::retry("a mail is not sent by HTTP"),
        }
    }
}

/// Returns the class of the failure in a report that arrived after a relay had accepted a mail. `status` is a code of
/// RFC 3463, such as `5.1.1`.
pub fn class_of_report(status: &str) -> FailureClass {
    verdict::of_report(status)
}

/// Returns the check that proves the sender of a mail, as set by the account: the name of the relay that made the
/// check, and the method (`dmarc`, `dkim` or `spf`). Returns `None` if the account trusts no relay.
pub fn trusted_check(account: &Defined) -> Option<(&str, &str)> {
    let server = text(account, "authserv_id");
    let method = match text(account, "sender_check") {
        "" => SENDER_CHECKS[0],
        method => method,
    };
    (!server.is_empty()).then_some((server, method))
}

/// Returns the addresses to which people send mails for the desk: `reply_to`, `from`, the user of the mailbox, and the
/// addresses of the setting `also_for`. The first one is the usual address.
pub fn own_addresses(account: &Defined) -> Vec<String> {
    let mut addresses = vec![text(account, "reply_to").to_owned()];
    addresses.extend(from(account).ok().map(|from| from.email.to_string()));
    let mailbox = mailbox::settings(account).ok().flatten();
    addresses.extend(mailbox.map(|mailbox| mailbox.user));
    addresses.extend(also_for(account).unwrap_or_default());
    addresses.retain(|address| address.contains('@'));
    addresses
}

/// Returns the addresses in the setting `also_for`, such as those of groups. If the setting is invalid, returns the reason
/// as an English text.
fn also_for(account: &Defined) -> Result<Vec<String>, String> {
    let Some(value) = account.settings.get(ALSO_FOR) else {
        return Ok(Vec::new());
    };
    let wrong = || {
        format!(
            "`{ALSO_FOR}` must be a list of at most {ALSO_FOR_MAX} addresses such as helpdesk@example.com"
        )
    };
    let list = value.as_array().filter(|list| list.len() <= ALSO_FOR_MAX);
    let addresses = list.ok_or_else(wrong)?.iter();
    let addresses = addresses.map(|one| -> Result<String, String> {
        let address = one.as_str().unwrap_or_default();
        Email.check_address(address).map_err(|_| wrong())?;
        Ok(address.to_owned())
    });
    addresses.collect()
}

/// Returns the port of the mail relay of an account. If the account defines no port, the type of the encryption
/// determines the port. If the definition is invalid, returns the reason as an English text.
pub fn port(account: &Defined) -> Result<u16, String> {
    let port = match account.settings.get("port") {
        None if tls(account)? == MailTls::Implicit => Some(465),
        None => Some(587),
        Some(value) => value.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    port.filter(|port| *port > 0)
        .ok_or_else(|| "`port` must be a number from 1 to 65535".into())
}

fn tls(account: &Defined) -> Result<MailTls, String> {
    match account.settings.get("tls").map(Value::as_str) {
        None | Some(Some("starttls")) => Ok(MailTls::Starttls),
        Some(Some("implicit")) => Ok(MailTls::Implicit),
        Some(Some("none")) => Ok(MailTls::None),
        Some(_) => Err("`tls` must be starttls, implicit or none".into()),
    }
}

fn from(account: &Defined) -> Result<Mailbox, String> {
    let parsed = text(account, "from").parse::<Mailbox>().ok();
    parsed
        .filter(|from| from.email.to_string().is_ascii())
        .ok_or_else(|| "`from` must be an address such as Desk <desk@example.com>".into())
}

/// Checks the setting `reply_to`: the address of a mailbox of the desk. An empty text is valid.
fn check_reply_to(address: &str) -> Result<(), String> {
    let is_mailbox = |address: &Address| {
        let local = address.user();
        local.len() <= REPLY_LOCAL_MAX && !local.contains(['+', '"'])
    };
    let parsed = address.parse::<Address>();
    if address.is_empty() || address.is_ascii() && parsed.as_ref().is_ok_and(is_mailbox) {
        Ok(())
    } else {
        Err(format!(
            "`reply_to` must be an address such as itsm@example.com, with at most {REPLY_LOCAL_MAX} characters and no + before the @"
        ))
    }
}

/// Returns a complete mail with its headers, as bytes. The same arguments always give the same bytes. Returns
/// an error text if the mail cannot be created, for example because the address is invalid.
fn message(outgoing: &Outgoing<'_>, from: &Mailbox) -> Result<Vec<u8>, String> {
    let content = outgoing.content;
    let domain = from.email.domain();
    let to: Address = outgoing
        .to
        .parse()
        .map_err(|_| "the address is not valid".to_owned())?;
    let root = format!("<ticket.{}@{domain}>", content.thread);
    let subject = format!("[{}] {}", content.thread, one_line(&content.subject));
    let subject: String = subject.chars().take(SUBJECT_MAX).collect();
    let millis = u64::try_from(outgoing.requested.0).unwrap_or_default();
    let mut builder = Message::builder()
        .date(UNIX_EPOCH + Duration::from_millis(millis))
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(subject)
        // The mail library does not add the brackets `<` and `>` around a message id.
        .message_id(Some(format!("<{}@{domain}>", mark(outgoing))))
        .references(root.clone())
        .in_reply_to(root);
    if let Some(reply_to) = outgoing.reply_to {
        let reply_to = reply_to.parse::<Address>();
        let reply_to = reply_to.map_err(|_| "the address for replies is not valid".to_owned())?;
        builder = builder.reply_to(Mailbox::new(None, reply_to));
    }
    for (name, value) in marks(outgoing)? {
        let name = HeaderName::new_from_ascii(name.into()).map_err(|error| error.to_string())?;
        // The values are ASCII texts without line breaks. The library must not encode or fold them, because other
        // programs compare them.
        let header = HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value);
        builder = builder.raw_header(header);
    }
    let part = |kind: ContentType, body: String| SinglePart::builder().header(kind).body(body);
    let parts = MultiPart::alternative()
        .boundary(format!("part-{}", outgoing.id))
        .singlepart(part(ContentType::TEXT_PLAIN, plain(content)))
        .singlepart(part(ContentType::TEXT_HTML, html(content)));
    let message = builder
        .multipart(parts)
        .map_err(|error| error.to_string())?;
    Ok(message.formatted())
}

/// Returns the id of the delivery with its keyed tag. A report about the mail contains this text, see
/// [`mark_of`](crate::inbound::mail::mark_of).
fn mark(outgoing: &Outgoing<'_>) -> String {
    match outgoing.tag {
        "" => outgoing.id.to_owned(),
        tag => format!("{}.{tag}", outgoing.id),
    }
}

/// Returns the headers that mark a mail for other programs. Returns an error text if a value has other
/// characters than visible ASCII characters.
fn marks(outgoing: &Outgoing<'_>) -> Result<Vec<(&'static str, String)>, String> {
    let mut marks = vec![
        // The first three headers prevent automatic replies from other programs (RFC 3834). The last header contains
        // the id of the delivery (the sending of one message to one person) with its keyed tag.
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "All".to_owned()),
        ("Precedence", "bulk".to_owned()),
        ("X-Ledgerdesk-Delivery", mark(outgoing)),
    ];
    if !outgoing.instance.is_empty() {
        // A mail with this header that arrives at the desk has come back, for example from a forwarding rule.
        marks.push((INSTANCE, outgoing.instance.to_owned()));
    }
    if let Some(url) = outgoing
        .unsubscribe
        .filter(|url| url.starts_with("https://"))
    {
        marks.push(("List-Unsubscribe", format!("<{url}>")));
        marks.push((
            "List-Unsubscribe-Post",
            "List-Unsubscribe=One-Click".to_owned(),
        ));
    }
    let is_plain = |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic());
    for (name, value) in &marks {
        if !is_plain(value) {
            return Err(format!(
                "the header {name} must have visible ASCII characters only"
            ));
        }
    }
    Ok(marks)
}

fn plain(content: &Content) -> String {
    let has_body = !content.body.is_empty();
    let actions = content.actions.iter();
    let actions = actions.map(|action| labelled(&action.label, &action.url));
    let mut actions: Vec<String> = actions.collect();
    let mut lines = Vec::new();
    for line in content.lines() {
        match line {
            Line::Text(text) if has_body => lines.push(text.to_owned()),
            Line::Text(text) => lines.extend([text.to_owned(), String::new()]),
            Line::Value(label, value) => lines.push(labelled(label, value)),
            Line::Link(link) => {
                lines.push(String::new());
                lines.append(&mut actions);
                lines.push(labelled(&link.text, &link.url));
            }
            Line::Closing(text) => lines.extend([String::new(), text.to_owned()]),
        }
    }
    lines.join("\r\n")
}

/// Returns the HTML part. All styles are in the elements, because many mail programs ignore style sheets. The part loads
/// nothing from other servers, so that opening a mail is not reported to anybody.
pub(super) fn html(content: &Content) -> String {
    let values = content.values.iter().map(|(label, value)| {
        let (label, value) = (escaped(label), escaped(value));
        format!(
            "<tr><td style=\"padding:2px 16px 2px 0;color:#666;vertical-align:top\">{label}</td><td style=\"padding:2px 0\">{value}</td></tr>"
        )
    });
    let actions = content.actions.iter().map(|action| {
        let style = if action.is_primary {
            "background:#1a66d6;color:#fff"
        } else {
            "color:#1a66d6"
        };
        format!(
            "<a href=\"{}\" style=\"display:inline-block;padding:6px 14px;margin:0 8px 8px 0;border:1px solid #1a66d6;text-decoration:none;{style}\">{}</a>",
            escaped(&action.url),
            escaped(&action.label)
        )
    });
    let actions: String = actions.collect();
    let actions = if actions.is_empty() {
        actions
    } else {
        format!("<p>{actions}</p>")
    };
    let main = if content.body.is_empty() {
        format!(
            "<p>{}</p><table style=\"border-collapse:collapse\">{}</table>",
            escaped(&content.intro),
            values.collect::<String>()
        )
    } else {
        let lines = content
            .body
            .iter()
            .map(|line| format!("{}<br>", escaped(line)));
        format!("<p>{}</p>", lines.collect::<String>())
    };
    let closing = if content.body.is_empty() {
        escaped(&content.closing)
    } else {
        String::new()
    };
    format!(
        "<!DOCTYPE html><html><body style=\"font-family:sans-serif;font-size:14px;color:#222\">{main}{actions}<p><a href=\"{}\" style=\"color:#1a66d6\">{}</a></p><p style=\"color:#666;font-size:12px\">{}</p></body></html>",
        escaped(&content.link.url),
        escaped(&content.link.text),
        closing,
    )
}

/// Returns a text in which the special characters of HTML are escaped.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    // The special characters have one byte each, and no byte of another character is equal to them.
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\'' => "&#39;",
            _ => continue,
        };
        html.push_str(&text[copied..at]);
        html.push_str(escape);
        copied = at + 1;
    }
    html.push_str(&text[copied..]);
    html
}

#[cfg(test)]
mod tests {
    use domain::notification::content::Action;
    use serde_json::json;

    use super::super::contract::{account, content, outgoing};
    use super::*;

    fn relay() -> Defined {
        let mut account = account("email");
        for (key, value) in [
            ("host", json!("relay.example")),
            ("from", json!("服务台 <desk@example.com>")),
        ] {
            account.settings.insert(key.into(), value);
        }
        account
    }

    fn mail(content: &Content) -> Mail {
        let relay = relay();
        let Ok(Request::Mail(mail)) =
            Email.request(&outgoing(&relay, "", "lisi@example.com", content))
        else {
            panic!("a mail")
        };
        mail
    }

    /// Returns the headers of a mail, one text for each header. Headers with several lines are joined to one
    /// line.
    fn headers(mail: &Mail) -> Vec<String> {
        let text = String::from_utf8(mail.bytes.clone()).unwrap();
        let (headers, _) = text.split_once("\r\n\r\n").unwrap();
        let joined = headers.replace("\r\n ", " ").replace("\r\n\t", " ");
        joined.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_mail_has_the_headers_that_the_library_does_not_add_by_itself() {
        // The mail library writes a Message-ID only on request, and adds no brackets to it
        // (reference/surprises.md).
        let headers = headers(&mail(&content()));
        let id = "0123456789abcdef0123456789abcdef";
        for expected in [
            "MIME-Version: 1.0".to_owned(),
            format!("Message-ID: <{id}@example.com>"),
            "References: <ticket.REQ1@example.com>".to_owned(),
            "In-Reply-To: <ticket.REQ1@example.com>".to_owned(),
            "Auto-Submitted: auto-generated".to_owned(),
            "Precedence: bulk".to_owned(),
            "X-Auto-Response-Suppress: All".to_owned(),
            format!("X-Ledgerdesk-Delivery: {id}"),
            "X-Ledgerdesk-Instance: 0123456789abcdef".to_owned(),
            format!("Content-Type: multipart/alternative; boundary=\"part-{id}\""),
            "To: lisi@example.com".to_owned(),
            "Date: Thu, 01 Jan 1970 00:00:01 +0000".to_owned(),
        ] {
            assert!(headers.contains(&expected), "{expected} in {headers:#?}");
        }
        assert_eq!(
            mail(&content()).bytes,
            mail(&content()).bytes,
            "all attempts are equal"
        );
    }

    #[test]
    fn an_address_with_an_apostrophe_arrives_unchanged() {
        let (relay, content, to) = (relay(), content(), "o'brien@example.com");
        assert_eq!(Email.check_address(to), Ok(()));
        let Ok(Request::Mail(mail)) = Email.request(&outgoing(&relay, "", to, &content)) else {
            panic!("a mail")
        };
        assert_eq!(mail.to, to);
        let headers = headers(&mail);
        assert!(headers.contains(&format!("To: {to}")), "{headers:#?}");
    }

    #[test]
    fn an_account_knows_the_addresses_of_the_desk() {
        let mut account = relay();
        assert_eq!(own_addresses(&account), ["desk@example.com"]);
        for (key, value) in [
            ("reply_to", json!("itsm@example.com")),
            ("also_for", json!(["help@example.com"])),
            (
                "mailbox",
                json!({ "host": "imap.example", "user": "box@example.com" }),
            ),
        ] {
            account.settings.insert(key.into(), value);
        }
        assert_eq!(Email.check(&account), Ok(()));
        let expected = [
            "itsm@example.com",
            "desk@example.com",
            "box@example.com",
            "help@example.com",
        ];
        assert_eq!(own_addresses(&account), expected);
        for wrong in [
            json!("help@example.com"),
            json!(["help"]),
            json!([1]),
            json!(vec!["a@b.example"; 21]),
        ] {
            account.settings.insert("also_for".into(), wrong.clone());
            let reason = Email.check(&account).unwrap_err();
            assert!(reason.starts_with("`also_for` must be a list"), "{wrong}");
        }
    }

    #[test]
    fn the_tag_of_the_delivery_is_in_the_message_id_and_in_the_own_header() {
        let (relay, content) = (relay(), content());
        let outgoing = Outgoing {
            tag: "fedcba98765432100123",
            ..outgoing(&relay, "", "lisi@example.com", &content)
        };
        let Ok(Request::Mail(mail)) = Email.request(&outgoing) else {
            panic!("a mail")
        };
        let mark = "0123456789abcdef0123456789abcdef.fedcba98765432100123";
        let headers = headers(&mail);
        for expected in [
            format!("Message-ID: <{mark}@example.com>"),
            format!("X-Ledgerdesk-Delivery: {mark}"),
        ] {
            assert!(headers.contains(&expected), "{expected} in {headers:#?}");
        }
        let found = crate::inbound::mail::mark_of(&format!("<{mark}@example.com>"));
        let found = found.expect("a mark");
        assert_eq!(format!("{}.{}", found.delivery, found.tag), mark);
    }

    #[test]
    fn a_body_of_a_template_is_escaped_in_both_parts() {
        let mut content = content();
        content.body = vec!["您好".into(), String::new(), "<b>标题</b>".into()];
        assert_eq!(
            plain(&content),
            "您好\r\n\r\n<b>标题</b>\r\n\r\n打开工单：https://desk.example/tickets/REQ1"
        );
        let html = html(&content);
        assert!(
            html.contains("您好<br><br>&lt;b&gt;标题&lt;/b&gt;<br>"),
            "{html}"
        );
        assert!(!html.contains("处理人"), "{html}");
    }

    #[test]
    fn ticket_text_adds_no_header_and_no_html() {
        let mut content = content();
        content.subject = "x\r\nBcc: other@example.com".into();
        content.values = vec![("t".into(), "<script>alert(1)</script>".into())];
        let mail = mail(&content);
        let names: Vec<String> = headers(&mail)
            .iter()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect();
        assert!(!names.contains(&"Bcc".to_owned()), "{names:?}");
        assert!(!html(&content).contains("<script>"));
    }

    #[test]
    fn replies_and_unsubscription_have_their_headers_on_request_only() {
        let (relay, content) = (relay(), content());
        let written = |reply_to, unsubscribe| {
            let outgoing = Outgoing {
                reply_to,
                unsubscribe,
                ..outgoing(&relay, "", "lisi@example.com", &content)
            };
            Email.request(&outgoing)
        };
        let names = |request: Result<Request, String>| -> Vec<String> {
            let Ok(Request::Mail(mail)) = request else {
                panic!("a mail")
            };
            headers(&mail)
        };
        let plain = names(written(None, None));
        let is_extra = |line: &String| line.starts_with("Reply-To") || line.starts_with("List-");
        assert!(!plain.iter().any(is_extra), "{plain:#?}");
        let reply_to = "itsm+REQ2026112200001.5133-0123456789abcdef0123@example.com";
        let url = "https://desk.example/unsubscribe/abc";
        let marked = names(written(Some(reply_to), Some(url)));
        for expected in [
            format!("Reply-To: {reply_to}"),
            format!("List-Unsubscribe: <{url}>"),
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click".to_owned(),
        ] {
            assert!(marked.contains(&expected), "{expected} in {marked:#?}");
        }
        // One click must be protected by TLS (RFC 8058, section 3.1).
        let unprotected = names(written(None, Some("http://desk.example/unsubscribe/abc")));
        assert!(!unprotected.join("\n").contains("List-Unsubscribe"));
        assert!(written(None, Some("https://desk.example/\r\nBcc: x@y.example")).is_err());
    }

    #[test]
    fn actions_are_links_in_both_parts() {
        let mut content = content();
        content.actions = vec![Action {
            name: "approve".into(),
            label: "同意<".into(),
            is_primary: true,
            url: "https://desk.example/act/1?a=1&b=2".into(),
            value: String::new(),
        }];
        assert!(plain(&content).contains("同意<: https://desk.example/act/1?a=1&b=2"));
        let html = html(&content);
        assert!(
            html.contains("href=\"https://desk.example/act/1?a=1&amp;b=2\""),
            "{html}"
        );
        assert!(html.contains(">同意&lt;</a>"), "{html}");
        for external in ["<img", "<link", "<style", "<script", "src="] {
            assert!(!html.contains(external), "{external}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        assert_eq!(Email.check(&relay()), Ok(()));
        for (key, value, expected) in [
            ("host", json!(""), "`host` must"),
            ("host", json!("a b"), "`host` must"),
            ("port", json!(0), "`port` must"),
            ("port", json!("25"), "`port` must"),
            ("tls", json!("yes"), "`tls` must"),
            ("from", json!("desk"), "`from` must"),
            ("user", json!(1), "`user` must be a text"),
            ("reply_to", json!("itsm"), "`reply_to` must"),
            ("reply_to", json!("a+b@example.com"), "`reply_to` must"),
            (
                "reply_to",
                json!("a-very-long-mailbox@example.com"),
                "`reply_to` must",
            ),
            ("password", json!("x"), "`password` is not a setting"),
        ] {
            let mut account = relay();
            account.settings.insert(key.into(), value);
            let reason = Email.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        let mut account = relay();
        account.settings.insert("tls".into(), json!("none"));
        account.settings.insert("user".into(), json!("desk"));
        assert!(
            Email
                .check(&account)
                .unwrap_err()
                .contains("must be encrypted")
        );
    }

    #[test]
    fn an_account_with_a_user_needs_its_password() {
        let mut account = relay();
        account.settings.insert("user".into(), json!("desk"));
        let content = content();
        let request =
            |secret| Email.request(&outgoing(&account, secret, "lisi@example.com", &content));
        assert_eq!(
            request(""),
            Err("the secret channel/test is missing".into())
        );
        let Ok(Request::Mail(mail)) = request("password") else {
            panic!("a mail")
        };
        assert_eq!(mail.login, Some(("desk".into(), "password".into())));
        assert!(!format!("{mail:?}").contains("password"));
    }
}
