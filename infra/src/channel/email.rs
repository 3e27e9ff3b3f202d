//! Sends messages by e-mail (reference/notifications.md, section 1.6). Each mail has a text part and an HTML
//! part. All mails about one ticket refer to the same message id, so mail programs show these mails together.

use std::time::{Duration, UNIX_EPOCH};

use domain::attempt::Verdict;
use domain::notification::content::{Content, one_line};
use events::channel_account::Defined;
use events::delivery::FailureClass;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use serde_json::Value;

use super::{
    Channel, Mail, MailError, MailReply, MailTls, Outgoing, Request, Response, TIMEOUT, only, text,
};

/// Pause before the next attempt, in milliseconds: 5 minutes. Some mail relays refuse the first
/// message of an unknown sender for a short time (greylisting). The desk then uses this pause.
const GREYLIST_MS: i64 = 300_000;
/// Maximum length of the subject of a mail, in characters.
const SUBJECT_MAX: usize = 150;

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

    fn check_address(&self, address: &str) -> Result<(), String> {
        match address.parse::<Address>() {
            Ok(_) if address.is_ascii() && address.len() <= 254 => Ok(()),
            _ => Err("be an e-mail address such as lisi@example.com".into()),
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["host", "port", "tls", "from", "user"])?;
        let host = text(account, "host");
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        if host.is_empty() || !host.chars().all(is_host) {
            return Err("`host` must be the name or the address of a mail relay".into());
        }
        port(account)?;
        tls(account)?;
        from(account)?;
        for key in ["host", "tls", "from", "user"] {
            if account
                .settings
                .get(key)
                .is_some_and(|value| !value.is_string())
            {
                return Err(format!("`{key}` must be a text"));
            }
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
            Response::Mail(Ok(reply)) => judge(reply),
            Response::Mail(Err(MailError::NotSent(reason))) => Verdict::retry(reason),
            Response::Mail(Err(MailError::Unknown(reason))) => Verdict::Unknown {
                reason: reason.clone().into(),
            },
            Response::Http(_) => Verdict::retry("a mail is not sent by HTTP"),
        }
    }
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
        .message_id(Some(format!("<{}@{domain}>", outgoing.id)))
        .references(root.clone())
        .in_reply_to(root);
    for (name, value) in [
        // The first three headers prevent automatic replies from other programs (RFC 3834). The last header contains
        // the id of the delivery (the sending of one message to one person).
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("Precedence", "bulk"),
        ("X-Ledgerdesk-Delivery", outgoing.id),
    ] {
        let name = HeaderName::new_from_ascii(name.into()).map_err(|error| error.to_string())?;
        builder = builder.raw_header(HeaderValue::new(name, value.into()));
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

fn plain(content: &Content) -> String {
    let mut lines = vec![content.intro.clone(), String::new()];
    let values = content.values.iter();
    lines.extend(values.map(|(label, value)| format!("{label}: {value}")));
    lines.push(String::new());
    lines.push(format!("{}: {}", content.link.text, content.link.url));
    lines.push(String::new());
    lines.push(content.closing.clone());
    lines.join("\r\n")
}

fn html(content: &Content) -> String {
    let values = content.values.iter().map(|(label, value)| {
        let (label, value) = (escaped(label), escaped(value));
        format!("<tr><td style=\"padding-right:1em\">{label}</td><td>{value}</td></tr>")
    });
    format!(
        "<html><body><p>{}</p><table>{}</table><p><a href=\"{}\">{}</a></p><p style=\"color:#666\">{}</p></body></html>",
        escaped(&content.intro),
        values.collect::<String>(),
        escaped(&content.link.url),
        escaped(&content.link.text),
        escaped(&content.closing),
    )
}

/// Returns a text in which the special characters of HTML are escaped.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// Converts the reply of a mail relay to a verdict (the result of an attempt). A reply has a code and can
/// also have an enhanced code (RFC 3463). The enhanced code is more exact, so it has priority for permanent
/// failures.
fn judge(reply: &MailReply) -> Verdict {
    let code = reply.code;
    let reason = format!("{code} {}", one_line(&reply.text));
    let enhanced = enhanced(&reply.text);
    let refused = |class| {
        let shown = enhanced.map_or_else(|| code.to_string(), |(a, b, c)| format!("{a}.{b}.{c}"));
        Verdict::refused(class, shown, reason.as_str())
    };
    match (code, enhanced) {
        (200..=299, _) => Verdict::Succeeded {
            outputs: std::collections::BTreeMap::from([("code".to_owned(), code.to_string())]),
            observed: None,
        },
        // Many mail relays refuse the first message of an unknown sender with these codes (greylisting). A
        // later attempt succeeds.
        (450 | 451, _) => Verdict::Retry {
            reason: reason.into(),
            after_ms: Some(GREYLIST_MS),
        },
        (400..=499, _) => Verdict::retry(reason),
        (_, Some((5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1))) => {
            refused(FailureClass::RecipientInvalid)
        }
        (_, Some((5, 2, 3) | (5, 3, 4))) => refused(FailureClass::TooLarge),
        (_, Some((5, 7, _))) => refused(FailureClass::Credential),
        (_, Some(_)) => refused(FailureClass::Permanent),
        (550 | 551 | 553, None) => refused(FailureClass::RecipientInvalid),
        (552, None) => refused(FailureClass::TooLarge),
        (530 | 534 | 535 | 538, None) => refused(FailureClass::Credential),
        _ => refused(FailureClass::Permanent),
    }
}

/// Returns the enhanced status code (RFC 3463) at the beginning of a reply text, such as 5.1.1. Returns
/// `None` if the text does not begin with such a code.
fn enhanced(text: &str) -> Option<(u16, u16, u16)> {
    let mut numbers = text.split_whitespace().next()?.splitn(3, '.');
    let mut next = || -> Option<u16> {
        let digits = numbers.next()?;
        let is_number =
            (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let code = (next()?, next()?, next()?);
    matches!(code.0, 2 | 4 | 5).then_some(code)
}

#[cfg(test)]
mod tests {
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
    fn replies_have_the_verdict_of_their_enhanced_code() {
        use FailureClass::{Credential, Permanent, RecipientInvalid, TooLarge};
        let judged = |code, text: &str| {
            Email.verdict(&Response::Mail(Ok(MailReply {
                code,
                text: text.into(),
            })))
        };
        assert!(matches!(
            judged(250, "2.0.0 queued"),
            Verdict::Succeeded { .. }
        ));
        for (code, text, after_ms) in [
            (450, "4.7.1 greylisted", Some(300_000)),
            (451, "try later", Some(300_000)),
            (421, "4.3.2 closing", None),
            (452, "4.2.2 mailbox full", None),
            (454, "4.7.0 temporary authentication failure", None),
        ] {
            let reason = format!("{code} {text}");
            assert_eq!(
                judged(code, text),
                Verdict::Retry {
                    reason: reason.into(),
                    after_ms
                }
            );
        }
        for (code, text, class, shown) in [
            (550, "5.1.1 no such user", RecipientInvalid, "5.1.1"),
            (550, "no such user", RecipientInvalid, "550"),
            (550, "5.2.1 disabled", RecipientInvalid, "5.2.1"),
            (552, "5.2.2 mailbox full", Permanent, "5.2.2"),
            (552, "too large", TooLarge, "552"),
            (552, "5.3.4 too large", TooLarge, "5.3.4"),
            (550, "5.7.1 not allowed", Credential, "5.7.1"),
            (535, "bad password", Credential, "535"),
            (554, "no", Permanent, "554"),
            (554, "5.6.0 bad content", Permanent, "5.6.0"),
        ] {
            let expected = Verdict::Refused {
                class,
                code: shown.into(),
                reason: format!("{code} {text}").into(),
            };
            assert_eq!(judged(code, text), expected);
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
