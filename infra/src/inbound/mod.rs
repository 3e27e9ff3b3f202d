//! Verifies messages that people send from chats and by mail (reference/notifications.md 2 and 3). Each platform has
//! one file with a codec without side effects. A codec checks the signature over the unchanged bytes first, and reads
//! the content after that. The caller stores each message under its id, so that a repeated message acts once.
//!
//! **How to add a platform**: Add one file with an implementation of [`Inbound`], its `mod` line and its entry in
//! [`ALL`]. Add its negative cases to the table in `tests.rs`.

mod cipher;
pub mod dingtalk;
pub mod feishu;
pub mod mail;
pub mod ses;
pub mod slack;
pub mod sns;
pub mod teams;
pub mod teams_bot;
#[cfg(test)]
mod tests;
pub mod twilio;
pub mod wecom;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::Moment;
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Maximum difference between the signed time of a message and the clock of the desk for platforms that define no limit,
/// in milliseconds (one hour).
const WINDOW_MS: i64 = 3_600_000;
/// Maximum length of an id or of a value of a button, in bytes.
const ID_BYTES_MAX: usize = 512;
/// Maximum size of the body of a request of a chat platform, in bytes.
const BODY_BYTES_MAX: usize = 128 << 10;
/// Maximum number of nested levels of a JSON body.
const DEPTH_MAX: usize = 64;

/// A request of a platform, as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// True for the method GET. A platform uses this method only to test the address.
    pub is_get: bool,
    /// The complete public address of the request, with its query.
    pub url: &'a str,
    pub headers: &'a [(String, String)],
    /// The decoded parameters of the query. The character `+` is not a space.
    pub query: &'a [(String, String)],
    /// The bytes of the body, as they arrived. Signatures are computed over these bytes.
    pub body: &'a [u8],
    /// The certificate (PEM) with the key of the signature, for a platform that signs with such a key. The caller
    /// gets it from the address of [`Inbound::certificate_url`].
    pub certificate: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Returns a header. `name` has lower-case letters.
    fn header(&self, name: &'static str) -> Result<&'a str, Refusal> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(given, _)| given.eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| value.as_str())
            .ok_or(Refusal::Missing(name))
    }

    fn parameter(&self, name: &'static str) -> Result<&'a str, Refusal> {
        let found = self.query.iter().find(|(given, _)| given == name);
        found
            .map(|(_, value)| value.as_str())
            .ok_or(Refusal::Missing(name))
    }

    /// Returns the body as a JSON object.
    fn json(&self) -> Result<Map<String, Value>, Refusal> {
        object(self.body)
    }
}

/// The place to which the answer to a message is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    pub url: String,
    /// The time after which the platform accepts no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// The place of a message at its platform. The channel account needs it to answer through the interface of the platform,
/// see [`crate::channel::Channel::answer`]. A member is empty if the platform does not need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The base address of the interface that the platform names in the message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// The id of the conversation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub chat: String,
    /// The id of the message of the person, or of the message with the pressed button. WeCom and DingTalk have a code for a
    /// card instead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A message of a person, in the form that is common to all platforms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The id of the message. A repetition of the message has the same id.
    pub id: String,
    /// The id of the sender on the platform.
    pub user: String,
    /// Further ids of the same sender. A chat account can be linked with each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The id of the group in which the person wrote the message. The text is empty for a message to the account alone,
    /// and for the press of a button.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The value of the button that the person pressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplyTo>,
    /// The place at which the channel account answers. `None` if `reply` names an address, or if no answer is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Message {
    /// Returns all ids of the sender.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        let others = self.others.iter().map(String::as_str);
        std::iter::once(self.user.as_str()).chain(others)
    }
}

/// Returns true if a chat account of this kind of address can be linked with a person.
pub fn is_linkable(kind: &str) -> bool {
    ALL.iter().any(|platform| platform.address_kind() == kind)
}

/// A response that the desk sends at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub content_type: &'static str,
    pub body: String,
}

impl Answer {
    fn text(body: impl Into<String>) -> Self {
        Self {
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }

    fn json(body: &Value) -> Self {
        Self {
            content_type: "application/json",
            body: body.to_string(),
        }
    }
}

/// The content of a verified request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The platform tests the address and expects this answer.
    Challenge(Answer),
    /// The platform waits for a request to this address before it sends messages. The address belongs to the platform.
    Confirmation(String),
    /// The platform will send no more messages.
    Ended,
    Message(Box<Message>),
    Mail(Box<mail::Mail>),
    /// A provider reports that a person did not get a message of the desk. A repetition of the report has the same id.
    Report {
        id: String,
        report: Box<mail::Report>,
    },
    /// The request is valid, but no person wrote or pressed anything.
    Nothing,
}

impl Verified {
    pub(crate) fn message(message: Message) -> Self {
        Self::Message(Box::new(message))
    }
}

/// The reason why a request was refused. The texts never contain a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("`{0}` is required")]
    Missing(&'static str),
    #[error("the signature is wrong")]
    Signature,
    /// The signature is right, but the encrypted content was made for another receiver or is damaged.
    #[error("the encrypted content is wrong: {0}")]
    Sealed(&'static str),
    #[error("the verification token is wrong")]
    Token,
    /// The signature of a token is right, but the token was made for another receiver or another request.
    #[error("the token is wrong: {0}")]
    Claim(&'static str),
    /// The certificate or its address does not belong to the platform, or the certificate is not valid now.
    #[error("the certificate is wrong: {0}")]
    Certificate(&'static str),
    #[error("the signed time is too far from the time of the desk; the limit is {0} seconds")]
    Stale(i64),
    /// The request is not readable, so its sender is not verified.
    #[error("the request is not readable: {0}")]
    Malformed(String),
    /// The sender is verified, but the content is not readable.
    #[error("the content is not readable: {0}")]
    Unreadable(String),
    /// The secret in the key store has a wrong form.
    #[error("the stored secret must be {0}")]
    Secret(&'static str),
}

impl Refusal {
    /// Marks an error that was found before the check of the signature.
    fn before_check(self) -> Self {
        match self {
            Self::Unreadable(reason) => Self::Malformed(reason),
            other => other,
        }
    }

    /// Returns true if nothing proves that the request comes from the platform. The result is false if the signature is
    /// right, or if it was not checked because the stored secret is wrong.
    pub fn is_of_stranger(&self) -> bool {
        !matches!(self, Self::Unreadable(_) | Self::Secret(_))
    }

    /// Returns true if the request can still be valid with another secret.
    fn may_have_other_secret(&self) -> bool {
        matches!(
            self,
            Self::Signature | Self::Sealed(_) | Self::Token | Self::Secret(_)
        )
    }
}

/// A platform from which people send messages.
pub trait Inbound: Send + Sync {
    /// Returns the name of the platform, such as `slack`. The name is a part of the public address.
    fn name(&self) -> &'static str;
    /// Returns the kind of address of the senders, as in the preferences of people.
    fn address_kind(&self) -> &'static str;
    /// Returns the host to which answers may be sent. Returns `None` if the platform accepts no answer later.
    fn reply_host(&self) -> Option<&'static str> {
        None
    }
    /// Returns the body of a request that sends `text` as the answer to a message.
    fn reply(&self, text: &str) -> Value {
        serde_json::json!({ "text": text })
    }
    /// Returns the response to a message that was stored. `message` is `None` if the request contained no message.
    fn stored(&self, _message: Option<&Message>) -> Answer {
        Answer::text("")
    }
    /// Returns true if the platform signs with keys that it publishes. The text that `verify` gets as its secret is then a
    /// [`teams_bot::Trusted`] in JSON, and the desk stores no secret for the account.
    fn has_published_keys(&self) -> bool {
        false
    }
    /// Returns true if a person cannot know the address of the own chat account. The link of the account then stores the
    /// address in the preferences of the person.
    fn learns_address(&self) -> bool {
        false
    }
    /// Returns true if a stored secret is meant for this platform. The ARN of a topic of Amazon is not secret, so it
    /// must never be the key of a signature.
    fn accepts_secret(&self, secret: &str) -> bool {
        !is_arn(secret)
    }
    /// Returns the maximum size of the body of a request, in bytes.
    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX
    }
    /// Returns the address of the certificate with the key of the signature. The address belongs to the platform, and
    /// the request belongs to one of the secrets. Returns `None` if the platform signs with a shared secret.
    fn certificate_url(
        &self,
        _request: &Request<'_>,
        _secrets: &[String],
    ) -> Result<Option<String>, Refusal> {
        Ok(None)
    }
    /// Checks a request with one secret, and reads its content.
    fn verify(&self, request: &Request<'_>, secret: &str, now: Moment)
    -> Result<Verified, Refusal>;
}

/// All platforms.
pub const ALL: &[&dyn Inbound] = &[
    &slack::Slack,
    &dingtalk::Dingtalk,
    &wecom::Wecom,
    &teams::Teams,
    &teams_bot::TeamsBot,
    &feishu::Feishu,
    &twilio::Twilio,
    &mail::Relay,
    &ses::Ses,
];

/// Returns true if a platform learns addresses of this kind, see [`Inbound::learns_address`].
#[must_use]
pub fn is_learned(address_kind: &str) -> bool {
    ALL.iter()
        .any(|one| one.learns_address() && one.address_kind() == address_kind)
}

/// Returns the platform with the given name, or `None` if no platform has this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Inbound> {
    ALL.iter().find(|one| one.name() == name).copied()
}

/// Checks a request with each live secret. During the replacement of a secret, two secrets are live.
pub fn verify(
    platform: &dyn Inbound,
    request: &Request<'_>,
    secrets: &[String],
    now: Moment,
) -> Result<Verified, Refusal> {
    let mut refusal = Refusal::Signature;
    for secret in secrets {
        match platform.verify(request, secret, now) {
            Err(reason) if reason.may_have_other_secret() => refusal = reason,
            other => return other,
        }
    }
    Err(refusal)
}

/// Returns true if a stored secret is the ARN (the name) of an object of Amazon.
fn is_arn(secret: &str) -> bool {
    secret.trim_start().to_ascii_lowercase().starts_with("arn:")
}

/// Returns the decoded parameters of a query. The character `+` stays a plus sign, because values in Base64 contain it.
#[must_use]
pub fn decoded(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name), percent_decoded(value))
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3);
        let byte = digits
            .filter(|_| bytes[at] == b'%')
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Checks a time in the form of RFC 3339.
fn check_timestamp(text: &str, now: Moment) -> Result<(), Refusal> {
    let at = text.parse::<jiff::Timestamp>().ok();
    let difference = at.map(|at| at.as_millisecond().saturating_sub(now.0).saturating_abs());
    match difference {
        Some(difference) if difference <= WINDOW_MS => Ok(()),
        _ => Err(Refusal::Stale(WINDOW_MS / 1_000)),
    }
}

/// Returns the fields of a form. Here the character `+` is a space.
fn form(body: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| unreadable("the body is not UTF-8"))?;
    Ok(decoded(&text.replace('+', "%20")))
}

/// Returns the value of a field of a form, or the text of an XML element. The result is empty if it is absent.
fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(given, _)| given == name);
    found.map_or("", |(_, value)| value.as_str())
}

/// Parses a JSON object with a limited depth.
fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable("the body is not UTF-8"))?;
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(unreadable("the body is nested too deep"));
        }
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(unreadable("the body is not a JSON object")),
    }
}

fn unreadable(reason: impl Into<String>) -> Refusal {
    Refusal::Unreadable(reason.into())
}

/// Returns a required text of a message that identifies something, such as the id of the sender.
fn required(value: &str, name: &str) -> Result<String, Refusal> {
    if value.is_empty() {
        return Err(unreadable(format!("`{name}` is required")));
    }
    if value.len() > ID_BYTES_MAX {
        return Err(unreadable(format!(
            "`{name}` must have at most {ID_BYTES_MAX} bytes"
        )));
    }
    Ok(value.to_owned())
}

/// Checks a signed time. `unit_ms` is the unit of the number in `text`, in milliseconds.
fn check_time(text: &str, unit_ms: i64, window_ms: i64, now: Moment) -> Result<(), Refusal> {
    let stale = Refusal::Stale(window_ms / 1_000);
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let at = text.parse::<i64>().ok().filter(|_| is_plain);
    let at = at.and_then(|at| at.checked_mul(unit_ms));
    match at.and_then(|at| at.checked_sub(now.0)) {
        Some(difference) if difference.saturating_abs() <= window_ms => Ok(()),
        _ => Err(stale),
    }
}

/// Checks an HMAC. The time of the check does not depend on the content of the signature.
fn check_hmac(
    algorithm: hmac::Algorithm,
    key: &[u8],
    signed: &[u8],
    signature: Option<Vec<u8>>,
) -> Result<(), Refusal> {
    let signature = signature.ok_or(Refusal::Signature)?;
    let key = hmac::Key::new(algorithm, key);
    hmac::verify(&key, signed, &signature).map_err(|_| Refusal::Signature)
}

/// Checks a hash over the parts of a request. `given` has lower-case hexadecimal digits.
fn check_digest(
    algorithm: &'static digest::Algorithm,
    parts: &[&[u8]],
    given: &str,
) -> Result<(), Refusal> {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let expected = crate::commit::hex(context.finish().as_ref());
    if is_equal(expected.as_bytes(), given.as_bytes()) {
        Ok(())
    } else {
        Err(Refusal::Signature)
    }
}

/// Compares two texts. The time depends on the lengths only.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    // The comparison of two BLAKE3 hashes takes constant time.
    blake3::hash(a) == blake3::hash(b)
}

/// Decodes lower-case hexadecimal digits. Any other text gives `None`.
fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !digits.len().is_multiple_of(2) || digits.len() > 128 || !digits.bytes().all(is_lower) {
        return None;
    }
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Returns the member at a JSON pointer as text. An absent member is an empty text.
fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
