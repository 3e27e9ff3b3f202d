//! Finds mails that were not sent to the desk. A signature of DKIM (RFC 6376) stays valid if another person sends the
//! signed mail again. Such a mail has a proven sender, although its sender sent it to another address.

use events::Moment;
use mail_parser::{HeaderName, HeaderValue, Message};
use serde::{Deserialize, Serialize};

use super::Mail;
use super::parse::{header, one_line};
use super::results::{Checked, is_same};

const HEADER: &str = "DKIM-Signature";
/// Maximum number of signatures of one mail that are kept.
const SIGNATURES_MAX: usize = 10;
/// Maximum number of characters of one signature that are read. A usual signature has less than 2,000.
const HEADER_MAX: usize = 8_000;
/// Maximum length of a domain, in characters.
const DOMAIN_MAX: usize = 254;
/// The headers that a signature must contain. Without one of them, another person can change the recipient of the mail,
/// its time, or the id with which the desk recognizes a repeated mail.
const REQUIRED: [&str; 3] = ["to", "date", "message-id"];
const CC: &str = "cc";
/// Maximum age of the time in the header `Date`, in milliseconds (7 days). Mail servers try for 4 to 5 days to deliver a
/// mail (RFC 5321, section 4.5.4.1).
pub const AGE_MAX_MS: i64 = 7 * 24 * 3_600_000;

/// A signature of DKIM in a mail. The desk does not check it, because the mail relay does that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The domain that signed the mail, in lower case.
    pub domain: String,
    /// Those of the names `to`, `cc`, `date` and `message-id` of which the mail contains a header that the signature does not
    /// cover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<String>,
}

/// The reason why a mail of a proven sender is not for the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForDesk {
    /// The mail was sent to other addresses.
    OtherAddress,
    /// The signature does not cover the headers that show to whom and when the mail was sent.
    NotCovered,
    /// The mail is older than [`AGE_MAX_MS`].
    TooOld,
}

impl NotForDesk {
    /// Returns a short name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtherAddress => "other_address",
            Self::NotCovered => "not_covered",
            Self::TooOld => "too_old",
        }
    }
}

/// Reads the signatures of the domain of `from`. If the mail has too many of them, the ones that do not cover all headers
/// are kept, so that added signatures hide none.
pub(super) fn signatures(message: &Message<'_>, from: &str) -> Vec<Signature> {
    let names = REQUIRED.into_iter().chain([CC]);
    let present: Vec<(&str, usize)> = names
        .map(|name| (name, header(message, name).len()))
        .collect();
    let domain = domain_of(from);
    let all = header(message, HEADER).into_iter();
    let all = all.map(|value| signature(&value, &present));
    let mut aligned: Vec<Signature> = all.filter(|one| is_aligned(&one.domain, &domain)).collect();
    aligned.sort_by_key(|one| one.uncovered.is_empty());
    aligned.truncate(SIGNATURES_MAX);
    aligned
}

/// Reads one signature. `present` contains how often the mail has each header.
fn signature(value: &str, present: &[(&str, usize)]) -> Signature {
    let value: String = value.chars().take(HEADER_MAX).collect();
    let tag = |name: &str| {
        let mut tags = value.split(';').filter_map(|tag| tag.split_once('='));
        let found = tags.find(|(given, _)| given.trim() == name);
        let text = found.map(|(_, value)| one_line(value)).unwrap_or_default();
        text.to_ascii_lowercase()
    };
    let signed = tag("h");
    let is_uncovered = |(name, count): &&(&str, usize)| {
        let of_name = signed.split(':').filter(|one| one.trim() == *name);
        // A signature with a name once covers only the lowest header with this name (RFC 6376, section 5.4.2).
        of_name.count() < *count
    };
    let uncovered = present.iter().filter(is_uncovered);
    Signature {
        domain: tag("d").chars().take(DOMAIN_MAX).collect(),
        uncovered: uncovered.map(|(name, _)| (*name).to_owned()).collect(),
    }
}

/// Returns the domain of an address in lower case. The text is empty if the address has none.
fn domain_of(address: &str) -> String {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    domain.to_ascii_lowercase()
}

/// Returns the oldest time in the headers `Date` of a mail, in Unix time in milliseconds. A person who sends the mail again
/// can add another header.
pub(super) fn date(message: &Message<'_>) -> Option<Moment> {
    let all = message.header_values(HeaderName::Date);
    let times = all.filter_map(HeaderValue::as_datetime);
    let oldest = times.map(mail_parser::DateTime::to_timestamp).min()?;
    Some(Moment(oldest.saturating_mul(1_000)))
}

/// Returns the reason why a mail is not for the desk. The relay `server` has proven the sender of the mail, and `addresses`
/// are the addresses of the desk. Returns `None` if the mail is for the desk.
///
/// Only `To` and `Cc` count. A relay also writes the address of the desk into the headers of a mail that another person
/// sends again, such as `Delivered-To`.
pub fn not_for_desk(
    mail: &Mail,
    addresses: &[String],
    server: &str,
    now: Moment,
) -> Option<NotForDesk> {
    let is_own = |address: &String| {
        let address = without_tag(address);
        addresses.iter().any(|own| without_tag(own) == address)
    };
    let is_in_to = mail.to.iter().any(is_own);
    if !is_in_to && !mail.cc.iter().any(is_own) {
        return Some(NotForDesk::OtherAddress);
    }
    if mail.date.is_some_and(|date| date.plus_ms(AGE_MAX_MS) < now) {
        return Some(NotForDesk::TooOld);
    }
    // The desk's address can be in both headers, and then `Cc` is not important.
    let is_required = |name: &String| !(is_in_to && name == CC);
    let is_covered = |one: &Signature| !one.uncovered.iter().any(is_required);
    let is_direct = is_direct(&mail.checked, server, &domain_of(&mail.from));
    let is_checked = is_direct || mail.signatures.iter().all(is_covered);
    (!is_checked).then_some(NotForDesk::NotCovered)
}

/// Returns true if the relay got the mail from a server of its sender (SPF). Another person cannot send the mail again from
/// such a server.
fn is_direct(checked: &[Checked], server: &str, domain: &str) -> bool {
    let server = server.to_ascii_lowercase();
    let of_server: Vec<&Checked> = checked.iter().filter(|one| one.server == server).collect();
    let spf = of_server.iter().find(|one| one.method == "spf");
    let (Some(nearest), Some(spf)) = (of_server.first(), spf) else {
        return false;
    };
    spf.is_passed && spf.hops == nearest.hops && is_aligned(&spf.domain, domain)
}

/// Returns true if one of two domains is the other one, or below it (RFC 7489, section 3.1).
fn is_aligned(one: &str, other: &str) -> bool {
    is_same(one, other) || is_same(other, one)
}

/// Returns an address in lower case without the part between a plus sign and `@`.
fn without_tag(address: &str) -> String {
    let address = address.to_ascii_lowercase();
    let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
    let local = local.split_once('+').map_or(local, |(local, _)| local);
    format!("{local}@{domain}")
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const NOW: Moment = Moment(1_796_000_000_000);
    const DESK: &str = "itsm@desk.example";
    const SERVER: &str = "relay.desk.example";

    /// A mail with a signature over the headers `signed`, and with further headers.
    fn mail(signed: &str, more: &str) -> Mail {
        let text = format!(
            "Authentication-Results: {SERVER}; dkim=pass header.d=example.com; dmarc=pass header.from=example.com\r\n\
            {more}DKIM-Signature: v=1; a=rsa-sha256; d=Example.com; s=s1;\r\n h={signed};\r\n bh=AAAA=; b=BBBB=\r\n\
            From: lisi@example.com\r\nSubject: x\r\nMessage-ID: <1@example.com>\r\n\
            Date: Sat, 28 Nov 2026 09:00:00 +0800\r\n\r\nack\r\n"
        );
        parse(text.as_bytes()).expect("a mail")
    }

    fn found(mail: &Mail) -> Option<NotForDesk> {
        not_for_desk(mail, &[DESK.to_owned()], SERVER, NOW)
    }

    #[test]
    fn the_own_address_must_be_in_to_or_cc() {
        let all = "from:to:cc:date:message-id";
        for own in [
            "To: itsm@desk.example\r\n",
            "To: a@b.example, Desk <ITSM+REQ1.abc@Desk.example>\r\n",
            "To: a@b.example\r\nCc: itsm@desk.example\r\n",
        ] {
            assert_eq!(found(&mail(all, own)), None, "{own}");
        }
        for other in [
            "To: a@b.example\r\n",
            "To: itsm@b.example\r\n",
            "To: a@b.example\r\nDelivered-To: itsm@desk.example\r\n",
            "To: a@b.example\r\nX-Original-To: itsm@desk.example\r\n",
            "",
        ] {
            let found = found(&mail(all, other));
            assert_eq!(found, Some(NotForDesk::OtherAddress), "{other}");
        }
    }

    #[test]
    fn the_signature_must_cover_recipient_time_and_id() {
        let own = "To: itsm@desk.example\r\n";
        for signed in ["to:date:message-id", "From : To : Date : Message-ID : Cc"] {
            assert_eq!(found(&mail(signed, own)), None, "{signed}");
        }
        let not_covered = Some(NotForDesk::NotCovered);
        for signed in ["from:date:message-id", "to:message-id", "to:date", ""] {
            assert_eq!(found(&mail(signed, own)), not_covered, "{signed}");
        }
        let to_other = "To: a@b.example\r\nCc: itsm@desk.example\r\n";
        assert_eq!(found(&mail("to:date:message-id", to_other)), not_covered);
        let second = format!("To: a@b.example\r\n{own}");
        assert_eq!(
            found(&mail("to:date:message-id", &second)),
            not_covered,
            "a second header was added"
        );
        let another = format!("DKIM-Signature: v=1; d=example.com; h=from; b=CCCC=\r\n{own}");
        assert_eq!(found(&mail("to:date:message-id", &another)), not_covered);
        let many = "DKIM-Signature: v=1; d=example.com; h=to:date:message-id:cc; b=CCCC=\r\n";
        let hidden = mail("from", &format!("{}{own}", many.repeat(30)));
        assert_eq!(hidden.signatures.len(), SIGNATURES_MAX);
        assert_eq!(found(&hidden), not_covered, "added signatures hide none");
        let unrelated = format!("DKIM-Signature: v=1; d=list.example; h=from; b=CCCC=\r\n{own}");
        assert_eq!(found(&mail("to:date:message-id", &unrelated)), None);
    }

    #[test]
    fn a_mail_from_a_server_of_its_sender_needs_no_signature() {
        let own = "To: itsm@desk.example\r\n";
        let spf = |server: &str, domain: &str| {
            let result = format!(
                "Authentication-Results: {server}; spf=pass smtp.mailfrom=lisi@{domain}\r\n{own}"
            );
            found(&mail("from", &result))
        };
        assert_eq!(spf(SERVER, "example.com"), None);
        assert_eq!(spf(SERVER, "bounces.example.com"), None);
        let not_covered = Some(NotForDesk::NotCovered);
        assert_eq!(spf(SERVER, "evil.example"), not_covered);
        assert_eq!(spf("evil.example", "example.com"), not_covered);
        let behind = format!(
            "Received: from a by b; x\r\nAuthentication-Results: {SERVER}; spf=pass smtp.mailfrom=lisi@example.com\r\n{own}"
        );
        assert_eq!(found(&mail("from", &behind)), not_covered, "another relay");
        let mut unsigned = mail("from", own);
        unsigned.signatures.clear();
        assert_eq!(found(&unsigned), None, "nothing is known about signatures");
    }

    #[test]
    fn an_old_mail_is_not_accepted() {
        let signed = "to:date:message-id";
        let own = "To: itsm@desk.example\r\n";
        let mut mail = mail(signed, own);
        let sent = mail.date.expect("a time");
        let at = |mail: &Mail, now| not_for_desk(mail, &[DESK.to_owned()], SERVER, now);
        let last = sent.plus_ms(AGE_MAX_MS);
        assert_eq!(at(&mail, last), None);
        assert_eq!(at(&mail, last.plus_ms(1)), Some(NotForDesk::TooOld));
        mail.date = None;
        assert_eq!(at(&mail, last.plus_ms(1)), None);
        let later = format!("Date: Sun, 29 Nov 2026 09:00:00 +0800\r\n{own}");
        let two = self::mail("to:date:date:message-id", &later);
        assert_eq!(two.date, Some(sent), "the oldest time counts");
    }
}
