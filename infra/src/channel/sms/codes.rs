//! Converts the responses of gateways for short messages to verdicts (reference/notifications.md, section 1.8). A table
//! gives the meaning of each code of a provider. An unknown code is a permanent failure.

use domain::attempt::Verdict;
use domain::notification::content::one_line;
use domain::value::plain;
use events::delivery::FailureClass;
use serde_json::Value;

use super::super::accepted;
use crate::http::HttpResponse;

/// Pause in milliseconds after a response that the account sends too fast. A header `Retry-After` replaces this pause.
pub(super) const THROTTLED_MS: i64 = 60_000;
/// Pause in milliseconds after the limit of one hour or one day for a phone number.
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Number of digits from which a word of a response counts as a phone number.
const PHONE_DIGITS_MIN: usize = 7;

/// The meaning of a code of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The provider accepted the message.
    Ok,
    /// A later attempt can succeed.
    Retry,
    Permanent,
    Throttled,
    Credential,
    RecipientInvalid,
    TooLarge,
}

impl Meaning {
    /// The names of the meanings in the setting `codes`.
    pub(super) const NAMES: [(&'static str, Self); 7] = [
        ("ok", Self::Ok),
        ("retry", Self::Retry),
        ("permanent", Self::Permanent),
        ("throttled", Self::Throttled),
        ("credential", Self::Credential),
        ("recipient_invalid", Self::RecipientInvalid),
        ("too_large", Self::TooLarge),
    ];

    pub(super) fn read(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names
            .find(|(known, _)| *known == name)
            .map(|(_, meaning)| *meaning)
    }
}

/// The codes of the API of Twilio. A message that was refused after its acceptance has the status `undelivered` or
/// `failed`, and its code is in the member `error_code`.
const TWILIO: &[(&str, Meaning)] = &[
    ("accepted", Meaning::Ok),
    ("scheduled", Meaning::Ok),
    ("queued", Meaning::Ok),
    ("sending", Meaning::Ok),
    ("sent", Meaning::Ok),
    ("delivered", Meaning::Ok),
    ("read", Meaning::Ok),
    ("undelivered", Meaning::Permanent),
    ("failed", Meaning::Permanent),
    ("canceled", Meaning::Permanent),
    // Wrong credentials, and an account that is not active or has no permission.
    ("20003", Meaning::Credential),
    ("20005", Meaning::Credential),
    ("20403", Meaning::Credential),
    ("30002", Meaning::Credential),
    ("20429", Meaning::Throttled),
    ("30001", Meaning::Throttled),
    ("21611", Meaning::Throttled),
    ("20503", Meaning::Retry),
    // The phone is off or has no signal.
    ("30003", Meaning::Retry),
    // The number does not exist, is not a mobile number, or its owner refused messages.
    ("21211", Meaning::RecipientInvalid),
    ("21217", Meaning::RecipientInvalid),
    ("21610", Meaning::RecipientInvalid),
    ("21614", Meaning::RecipientInvalid),
    ("30004", Meaning::RecipientInvalid),
    ("30005", Meaning::RecipientInvalid),
    ("30006", Meaning::RecipientInvalid),
    ("21617", Meaning::TooLarge),
    // A network operator refused the content.
    ("30007", Meaning::Permanent),
    ("30008", Meaning::Permanent),
];

/// The codes of the API of Alibaba Cloud for short messages.
const TEMPLATE: &[(&str, Meaning)] = &[
    ("OK", Meaning::Ok),
    ("isv.BUSINESS_LIMIT_CONTROL", Meaning::Throttled),
    ("isv.DAY_LIMIT_CONTROL", Meaning::Throttled),
    ("Throttling", Meaning::Throttled),
    ("Throttling.User", Meaning::Throttled),
    ("isp.SYSTEM_ERROR", Meaning::Retry),
    ("isp.UNKNOWN_ERROR", Meaning::Retry),
    ("ServiceUnavailable", Meaning::Retry),
    ("SignatureNonceUsed", Meaning::Retry),
    ("isv.MOBILE_NUMBER_ILLEGAL", Meaning::RecipientInvalid),
    ("isv.SMS_TEMPLATE_ILLEGAL", Meaning::Permanent),
    ("isv.PARAM_LENGTH_LIMIT", Meaning::TooLarge),
    // An operator must pay or correct the account.
    ("isv.OUT_OF_SERVICE", Meaning::Credential),
    ("isv.AMOUNT_NOT_ENOUGH", Meaning::Credential),
    ("isv.MONTH_LIMIT_CONTROL", Meaning::Credential),
    ("isv.ACCOUNT_NOT_EXISTS", Meaning::Credential),
    ("isv.ACCOUNT_ABNORMAL", Meaning::Credential),
    ("isv.PRODUCT_UN_SUBSCRIPT", Meaning::Credential),
    ("isp.RAM_PERMISSION_DENY", Meaning::Credential),
    ("Forbidden.RAM", Meaning::Credential),
    ("SignatureDoesNotMatch", Meaning::Credential),
    ("IncompleteSignature", Meaning::Credential),
    ("InvalidTimeStamp.Expired", Meaning::Credential),
    ("InvalidAccessKeyId.NotFound", Meaning::Credential),
    ("InvalidAccessKeyId.Inactive", Meaning::Credential),
];

/// The places of the values in the responses of a gateway, and the meanings of its codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Codes {
    /// JSON pointers (RFC 6901). The first one that leads to a value gives the code.
    pub(super) code: Vec<String>,
    /// The JSON pointer to the id of the message.
    pub(super) message: Option<String>,
    /// The JSON pointer to the description of a failure.
    pub(super) reason: Option<String>,
    pub(super) table: Vec<(String, Meaning)>,
}

impl Codes {
    fn preset(code: &[&str], message: &str, reason: &str, table: &[(&str, Meaning)]) -> Self {
        let code = code.iter().map(|pointer| (*pointer).to_owned());
        let table = table
            .iter()
            .map(|(code, meaning)| ((*code).to_owned(), *meaning));
        Self {
            code: code.collect(),
            message: Some(message.to_owned()),
            reason: Some(reason.to_owned()),
            table: table.collect(),
        }
    }

    /// Returns the codes of Twilio.
    pub(super) fn twilio() -> Self {
        let code = ["/code", "/error_code", "/status"];
        Self::preset(&code, "/sid", "/message", TWILIO)
    }

    /// Returns the codes of Alibaba Cloud.
    pub(super) fn template() -> Self {
        Self::preset(&["/Code"], "/BizId", "/Message", TEMPLATE)
    }

    /// Returns the class of the failure that a code of a later report means. A code that is not in the table is permanent.
    pub(super) fn class_of_report(&self, code: &str) -> FailureClass {
        match self.meaning(code) {
            Some(Meaning::Retry) => FailureClass::Transient,
            Some(Meaning::Throttled) => FailureClass::Throttled,
            Some(Meaning::Credential) => FailureClass::Credential,
            Some(Meaning::RecipientInvalid) => FailureClass::RecipientInvalid,
            Some(Meaning::TooLarge) => FailureClass::TooLarge,
            Some(Meaning::Ok | Meaning::Permanent) | None => FailureClass::Permanent,
        }
    }

    fn meaning(&self, code: &str) -> Option<Meaning> {
        let mut table = self.table.iter();
        table
            .find(|(known, _)| known == code)
            .map(|(_, meaning)| *meaning)
    }

    /// Converts the response of a gateway to a verdict (the result of an attempt). HTTP status 200 is no success without
    /// a code that means success.
    pub(super) fn judge(&self, response: &HttpResponse) -> Verdict {
        let status = response.status;
        let body: Option<Value> = serde_json::from_slice(&response.body).ok();
        let body = body.filter(|_| !response.is_cut).unwrap_or_default();
        let description = at(&body, self.reason.as_deref());
        let reason = without_numbers(&description);
        let mut codes = self
            .code
            .iter()
            .map(|pointer| at(&body, Some(pointer.as_str())));
        let code = codes.find(|code| !code.is_empty());
        if status == 429 {
            return throttled(&format!("HTTP status 429: {reason}"), THROTTLED_MS);
        }
        let Some(code) = code else {
            return without_code(status, response.is_success());
        };
        let refused = |class| Verdict::refused(class, code.as_str(), reason.as_str());
        match self.meaning(&code) {
            Some(Meaning::Ok) if response.is_success() => {
                accepted(code.as_str(), at(&body, self.message.as_deref()))
            }
            Some(Meaning::Ok) => without_code(status, false),
            Some(Meaning::Retry) => {
                Verdict::retry(format!("the gateway answered with {code}: {reason}"))
            }
            Some(Meaning::Throttled) => {
                let after_ms = wait(&code, &description);
                throttled(&format!("{code}: {reason}"), after_ms)
            }
            Some(Meaning::Permanent) => refused(FailureClass::Permanent),
            Some(Meaning::Credential) => refused(FailureClass::Credential),
            Some(Meaning::RecipientInvalid) => refused(FailureClass::RecipientInvalid),
            Some(Meaning::TooLarge) => refused(FailureClass::TooLarge),
            None if matches!(status, 401 | 403) => refused(FailureClass::Credential),
            None if status >= 500 => without_code(status, false),
            None => refused(FailureClass::Permanent),
        }
    }
}

/// Returns the value at a JSON pointer as text. Returns an empty text if there is no such value.
fn at(body: &Value, pointer: Option<&str>) -> String {
    let value = pointer.and_then(|pointer| body.pointer(pointer));
    value.map(plain).unwrap_or_default()
}

/// Returns the verdict for a response without a known code. The response can come from another server than the gateway,
/// such as a proxy. It is possible that this server has forwarded the message.
fn without_code(status: u16, is_success: bool) -> Verdict {
    let reason = format!("the response with HTTP status {status} has no known code");
    match status {
        503 => Verdict::retry(reason),
        401 | 403 => Verdict::refused(FailureClass::Credential, status.to_string(), reason),
        _ if is_success || status == 408 || status >= 500 => Verdict::Unknown {
            reason: reason.into(),
        },
        _ => Verdict::refused(FailureClass::Permanent, status.to_string(), reason),
    }
}

fn throttled(reason: &str, after_ms: i64) -> Verdict {
    Verdict::Throttled {
        reason: format!("the gateway limits the messages: {reason}").into(),
        after_ms,
    }
}

/// Returns the pause before the next message to the same number, in milliseconds. Alibaba Cloud has limits for one minute,
/// one hour and one day, all with the same code. Only the description names the period.
fn wait(code: &str, reason: &str) -> i64 {
    if code == "isv.DAY_LIMIT_CONTROL" || reason.contains("天级") {
        DAY_MS
    } else if reason.contains("小时级") {
        HOUR_MS
    } else {
        THROTTLED_MS
    }
}

/// Returns the description of a failure as one line without phone numbers. Events and logs are not encrypted, so they must
/// not contain addresses. A gateway can write a number in another form than the address of the person.
fn without_numbers(reason: &str) -> String {
    let reason = one_line(reason);
    let words = reason.split(' ').map(|word| {
        if word.chars().filter(char::is_ascii_digit).count() >= PHONE_DIGITS_MIN {
            "<number>"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
