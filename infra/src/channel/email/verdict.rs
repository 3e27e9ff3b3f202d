//! Converts the reply of a mail relay to a verdict (the result of an attempt). A reply has a code (RFC 5321, section
//! 4.2) and can also have an enhanced code (RFC 3463 and the IANA registry of enhanced codes).

use domain::attempt::Verdict;
use domain::notification::content::one_line;
use events::delivery::FailureClass;

use super::super::{MailReply, accepted};

/// Pause before the next attempt, in milliseconds: 5 minutes. Some mail relays refuse the first
/// message of an unknown sender for a short time (greylisting). The desk then uses this pause.
const GREYLIST_MS: i64 = 300_000;
/// Pause before the next attempt to reach a mailbox that is full, in milliseconds: 1 hour. The person must first delete
/// mails.
const FULL_MS: i64 = 3_600_000;

/// Returns the verdict for a reply. For permanent failures, the enhanced code has priority, because it is more exact.
pub(super) fn judge(reply: &MailReply) -> Verdict {
    let code = reply.code;
    let reason = format!("{code} {}", one_line(&reply.text));
    let enhanced = enhanced(&reply.text);
    match (code, enhanced) {
        (200..=299, _) => accepted(code.to_string(), ""),
        // The account cannot log in now, or the relay must first convert the password (RFC 4954, section 6).
        (432 | 454, _) => Verdict::retry(reason),
        (400..=499, Some((4, 2, 2))) => later(reason, FULL_MS),
        // Many mail relays refuse the first message of an unknown sender with these codes (greylisting), or limit the
        // rate of mails with them. A later attempt succeeds.
        (450 | 451, _) | (400..=499, Some((4, 7, _))) => later(reason, GREYLIST_MS),
        (400..=499, _) => Verdict::retry(reason),
        _ => {
            let (class, shown) = match enhanced {
                Some((5, subject, detail)) => (
                    of_enhanced(code, subject, detail),
                    format!("5.{subject}.{detail}"),
                ),
                _ => (of_code(code), code.to_string()),
            };
            Verdict::refused(class, shown, reason)
        }
    }
}

/// Returns the class of the failure in a report that arrived after a relay had accepted the mail. `status` is a code
/// of RFC 3463, such as `5.1.1`. A code that is not permanent means that the mail servers tried for a long time.
pub(super) fn of_report(status: &str) -> FailureClass {
    match enhanced(status) {
        Some((5, subject, detail)) => match of_enhanced(0, subject, detail) {
            // The login of the desk has worked, so a report is never about the credentials of the account.
            FailureClass::Credential => FailureClass::Permanent,
            class => class,
        },
        Some(_) => FailureClass::Transient,
        None => FailureClass::Permanent,
    }
}

fn later(reason: String, after_ms: i64) -> Verdict {
    Verdict::Retry {
        reason: reason.into(),
        after_ms: Some(after_ms),
    }
}

/// Returns the class of a permanent failure with the enhanced code `5.<subject>.<detail>`.
fn of_enhanced(code: u16, subject: u16, detail: u16) -> FailureClass {
    match (subject, detail) {
        // The address does not exist, has moved, or its mailbox is switched off. 5.1.7 and 5.1.8 are about the address
        // of the sender. In 5.7.17 and 5.7.18, the mailbox or the domain has a new owner (RFC 7293).
        (1, 1 | 2 | 3 | 4 | 6 | 10) | (2, 1) | (7, 17 | 18) => FailureClass::RecipientInvalid,
        (2, 3) | (3, 4) => FailureClass::TooLarge,
        // The login failed, whatever the enhanced code is (RFC 4954, section 6).
        (7, _) if is_login(code) => FailureClass::Credential,
        // The relay refuses this message or this recipient: by a rule (5.7.1, 5.7.2), because the content cannot be
        // converted or checked (5.7.3 to 5.7.7), because of its priority (5.7.15, 5.7.16), or because its recipient is
        // protected (5.7.19). Other messages of the
        // account can succeed.
        (7, 1..=7 | 15 | 16 | 19) => FailureClass::Permanent,
        // The relay does not accept this sender: its login, its encryption, its domain, its signatures or its address
        // on the network. All messages of the account have this problem.
        (7, _) => FailureClass::Credential,
        _ => FailureClass::Permanent,
    }
}

/// Returns the class of a permanent failure without an enhanced code.
fn of_code(code: u16) -> FailureClass {
    match code {
        550 | 551 | 553 | 556 => FailureClass::RecipientInvalid,
        552 => FailureClass::TooLarge,
        code if is_login(code) => FailureClass::Credential,
        _ => FailureClass::Permanent,
    }
}

/// Returns true if the code is about the login of the desk at the relay (RFC 4954, section 6).
fn is_login(code: u16) -> bool {
    matches!(code, 530 | 534 | 535 | 538)
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
pub(super) mod tests {
    use super::super::super::contract;
    use super::*;
    use FailureClass::{Credential, Permanent, RecipientInvalid, TooLarge};

    #[test]
    fn a_report_has_the_class_of_its_code() {
        for (status, class) in [
            ("5.1.1", RecipientInvalid),
            ("5.2.1", RecipientInvalid),
            ("5.2.2", Permanent),
            ("5.7.26", Permanent),
            ("5.3.4", TooLarge),
            ("4.4.7", FailureClass::Transient),
            ("", Permanent),
            ("unknown", Permanent),
        ] {
            assert_eq!(of_report(status), class, "{status}");
        }
    }

    /// What must follow from a reply.
    #[derive(Clone, Copy, Debug)]
    enum Expected {
        Accepted,
        /// Another attempt follows, after the given pause or after the pause of the retry policy.
        Retry(Option<i64>),
        /// The class and the code of the failure.
        Refused(FailureClass, &'static str),
    }
    use Expected::{Accepted, Refused, Retry};

    /// Every code of the IANA registry of enhanced codes, and every usual code without an enhanced code.
    const TABLE: &[(u16, &str, Expected)] = &[
        (250, "2.0.0 queued", Accepted),
        (250, "2.1.5 destination valid", Accepted),
        (250, "2.6.4 converted with loss", Accepted),
        (250, "ok", Accepted),
        (251, "will forward", Accepted),
        (252, "cannot verify", Accepted),
        (421, "4.3.2 closing", Retry(None)),
        (421, "closing", Retry(None)),
        (421, "4.7.0 too many mails", Retry(Some(GREYLIST_MS))),
        (421, "4.4.2 bad connection", Retry(None)),
        (432, "4.7.12 password transition", Retry(None)),
        (450, "4.1.1 mailbox unavailable", Retry(Some(GREYLIST_MS))),
        (450, "4.2.0 greylisted", Retry(Some(GREYLIST_MS))),
        (450, "4.7.1 greylisted", Retry(Some(GREYLIST_MS))),
        (
            450,
            "4.7.24 SPF cannot be checked",
            Retry(Some(GREYLIST_MS)),
        ),
        (450, "4.7.25 no reverse name", Retry(Some(GREYLIST_MS))),
        (450, "4.2.2 mailbox full", Retry(Some(FULL_MS))),
        (451, "try later", Retry(Some(GREYLIST_MS))),
        (451, "4.3.0 local error", Retry(Some(GREYLIST_MS))),
        (451, "4.4.1 no answer from host", Retry(Some(GREYLIST_MS))),
        (451, "4.4.3 directory failure", Retry(Some(GREYLIST_MS))),
        (451, "4.7.5 cryptographic failure", Retry(Some(GREYLIST_MS))),
        (452, "4.2.2 mailbox full", Retry(Some(FULL_MS))),
        (452, "4.3.1 system storage full", Retry(None)),
        (452, "4.4.5 congestion", Retry(None)),
        (452, "4.5.3 too many recipients", Retry(None)),
        (452, "full", Retry(None)),
        (454, "4.7.0 temporary authentication failure", Retry(None)),
        (455, "parameters", Retry(None)),
        (550, "5.0.0 other", Refused(Permanent, "5.0.0")),
        (
            550,
            "5.1.0 other address status",
            Refused(Permanent, "5.1.0"),
        ),
        (
            550,
            "5.1.1 no such user",
            Refused(RecipientInvalid, "5.1.1"),
        ),
        (
            550,
            "5.1.2 no such domain",
            Refused(RecipientInvalid, "5.1.2"),
        ),
        (553, "5.1.3 syntax", Refused(RecipientInvalid, "5.1.3")),
        (553, "5.1.4 ambiguous", Refused(RecipientInvalid, "5.1.4")),
        (551, "5.1.6 has moved", Refused(RecipientInvalid, "5.1.6")),
        (553, "5.1.7 syntax of sender", Refused(Permanent, "5.1.7")),
        (553, "5.1.8 domain of sender", Refused(Permanent, "5.1.8")),
        (
            550,
            "5.1.9 non-compliant mailer",
            Refused(Permanent, "5.1.9"),
        ),
        (556, "5.1.10 null MX", Refused(RecipientInvalid, "5.1.10")),
        (
            550,
            "5.2.0 other mailbox status",
            Refused(Permanent, "5.2.0"),
        ),
        (550, "5.2.1 disabled", Refused(RecipientInvalid, "5.2.1")),
        (552, "5.2.2 mailbox full", Refused(Permanent, "5.2.2")),
        (552, "5.2.3 too long", Refused(TooLarge, "5.2.3")),
        (550, "5.2.4 list expansion", Refused(Permanent, "5.2.4")),
        (
            550,
            "5.3.0 other system status",
            Refused(Permanent, "5.3.0"),
        ),
        (552, "5.3.1 system full", Refused(Permanent, "5.3.1")),
        (521, "5.3.2 accepts no mail", Refused(Permanent, "5.3.2")),
        (554, "5.3.3 not capable", Refused(Permanent, "5.3.3")),
        (552, "5.3.4 too large", Refused(TooLarge, "5.3.4")),
        (554, "5.3.5 configuration", Refused(Permanent, "5.3.5")),
        (550, "5.3.6 priority changed", Refused(Permanent, "5.3.6")),
        (550, "5.4.0 network", Refused(Permanent, "5.4.0")),
        (550, "5.4.1 no answer", Refused(Permanent, "5.4.1")),
        (550, "5.4.2 bad connection", Refused(Permanent, "5.4.2")),
        (550, "5.4.3 directory", Refused(Permanent, "5.4.3")),
        (550, "5.4.4 cannot route", Refused(Permanent, "5.4.4")),
        (550, "5.4.5 congestion", Refused(Permanent, "5.4.5")),
        (554, "5.4.6 loop", Refused(Permanent, "5.4.6")),
        (550, "5.4.7 expired", Refused(Permanent, "5.4.7")),
        (550, "5.4.8 trace", Refused(Permanent, "5.4.8")),
        (500, "5.5.0 protocol", Refused(Permanent, "5.5.0")),
        (500, "5.5.1 command", Refused(Permanent, "5.5.1")),
        (500, "5.5.2 syntax", Refused(Permanent, "5.5.2")),
        (
            550,
            "5.5.3 too many recipients",
            Refused(Permanent, "5.5.3"),
        ),
        (501, "5.5.4 arguments", Refused(Permanent, "5.5.4")),
        (554, "5.5.5 version", Refused(Permanent, "5.5.5")),
        (500, "5.5.6 exchange line", Refused(Permanent, "5.5.6")),
        (554, "5.6.0 bad content", Refused(Permanent, "5.6.0")),
        (554, "5.6.1 media", Refused(Permanent, "5.6.1")),
        (
            554,
            "5.6.2 conversion prohibited",
            Refused(Permanent, "5.6.2"),
        ),
        (
            554,
            "5.6.3 conversion unsupported",
            Refused(Permanent, "5.6.3"),
        ),
        (554, "5.6.4 loss", Refused(Permanent, "5.6.4")),
        (554, "5.6.5 conversion failed", Refused(Permanent, "5.6.5")),
        (554, "5.6.6 no content", Refused(Permanent, "5.6.6")),
        (553, "5.6.7 address not ASCII", Refused(Permanent, "5.6.7")),
        (553, "5.6.8 reply not ASCII", Refused(Permanent, "5.6.8")),
        (550, "5.6.9 header not ASCII", Refused(Permanent, "5.6.9")),
        (554, "5.6.10 remote UTF-8", Refused(Permanent, "5.6.10")),
        (550, "5.7.0 security", Refused(Credential, "5.7.0")),
        (550, "5.7.1 not allowed", Refused(Permanent, "5.7.1")),
        (550, "5.7.2 list expansion", Refused(Permanent, "5.7.2")),
        (
            554,
            "5.7.3 security conversion",
            Refused(Permanent, "5.7.3"),
        ),
        (504, "5.7.4 features", Refused(Permanent, "5.7.4")),
        (
            554,
            "5.7.5 cryptographic failure",
            Refused(Permanent, "5.7.5"),
        ),
        (554, "5.7.6 algorithm", Refused(Permanent, "5.7.6")),
        (554, "5.7.7 integrity", Refused(Permanent, "5.7.7")),
        (535, "5.7.8 bad password", Refused(Credential, "5.7.8")),
        (534, "5.7.9 mechanism", Refused(Credential, "5.7.9")),
        (
            523,
            "5.7.10 encryption needed",
            Refused(Credential, "5.7.10"),
        ),
        (
            538,
            "5.7.11 encryption required",
            Refused(Credential, "5.7.11"),
        ),
        (
            525,
            "5.7.13 account disabled",
            Refused(Credential, "5.7.13"),
        ),
        (550, "5.7.14 trust required", Refused(Credential, "5.7.14")),
        (550, "5.7.15 priority", Refused(Permanent, "5.7.15")),
        (
            550,
            "5.7.16 too large for priority",
            Refused(Permanent, "5.7.16"),
        ),
        (550, "5.7.17 new owner", Refused(RecipientInvalid, "5.7.17")),
        (
            550,
            "5.7.18 new owner of domain",
            Refused(RecipientInvalid, "5.7.18"),
        ),
        (550, "5.7.19 cannot be tested", Refused(Permanent, "5.7.19")),
        (550, "5.7.20 no passing DKIM", Refused(Credential, "5.7.20")),
        (
            550,
            "5.7.21 no acceptable DKIM",
            Refused(Credential, "5.7.21"),
        ),
        (550, "5.7.22 no valid DKIM", Refused(Credential, "5.7.22")),
        (550, "5.7.23 SPF failed", Refused(Credential, "5.7.23")),
        (550, "5.7.24 SPF error", Refused(Credential, "5.7.24")),
        (550, "5.7.25 no reverse name", Refused(Credential, "5.7.25")),
        (
            550,
            "5.7.26 several checks failed",
            Refused(Credential, "5.7.26"),
        ),
        (
            550,
            "5.7.27 sender has null MX",
            Refused(Credential, "5.7.27"),
        ),
        (550, "5.7.28 mail flood", Refused(Credential, "5.7.28")),
        (550, "5.7.29 ARC failed", Refused(Credential, "5.7.29")),
        (
            550,
            "5.7.30 REQUIRETLS needed",
            Refused(Credential, "5.7.30"),
        ),
        (535, "5.7.1 login refused", Refused(Credential, "5.7.1")),
        (550, "no such user", Refused(RecipientInvalid, "550")),
        (551, "not local", Refused(RecipientInvalid, "551")),
        (553, "name not allowed", Refused(RecipientInvalid, "553")),
        (556, "accepts no mail", Refused(RecipientInvalid, "556")),
        (552, "too large", Refused(TooLarge, "552")),
        (530, "login required", Refused(Credential, "530")),
        (534, "mechanism", Refused(Credential, "534")),
        (535, "bad password", Refused(Credential, "535")),
        (538, "encryption", Refused(Credential, "538")),
        (500, "syntax", Refused(Permanent, "500")),
        (501, "arguments", Refused(Permanent, "501")),
        (502, "command", Refused(Permanent, "502")),
        (503, "sequence", Refused(Permanent, "503")),
        (504, "parameter", Refused(Permanent, "504")),
        (521, "accepts no mail", Refused(Permanent, "521")),
        (554, "no", Refused(Permanent, "554")),
        (555, "parameters", Refused(Permanent, "555")),
        // The code of the reply has priority if the enhanced code contradicts it.
        (550, "4.7.1 contradiction", Refused(RecipientInvalid, "550")),
        (554, "5.1 not an enhanced code", Refused(Permanent, "554")),
        (354, "unexpected", Refused(Permanent, "354")),
    ];

    /// Returns the code, the text and the verdict of every reply in the table. The verdict is in the form of
    /// [`contract::shown`].
    pub(in crate::channel) fn reply_codes() -> Vec<(u16, &'static str, String)> {
        let rows = TABLE.iter().map(|&(code, text, expected)| {
            let verdict = match expected {
                Accepted => "accepted".to_owned(),
                Retry(None) => "retry".to_owned(),
                Retry(Some(after_ms)) => format!("retry {after_ms}"),
                Refused(class, shown) => contract::shown(&Verdict::refused(class, shown, "")),
            };
            (code, text, verdict)
        });
        rows.collect()
    }

    #[test]
    fn every_code_of_a_relay_has_its_verdict() {
        for &(code, text, expected) in TABLE {
            let verdict = judge(&MailReply {
                code,
                text: text.into(),
            });
            let reason = format!("{code} {text}");
            let wanted = match expected {
                Accepted => accepted(code.to_string(), ""),
                Retry(after_ms) => Verdict::Retry {
                    reason: reason.clone().into(),
                    after_ms,
                },
                Refused(class, shown) => Verdict::refused(class, shown, reason.clone()),
            };
            assert_eq!(verdict, wanted, "{reason}");
        }
    }
}
