//! Defines the channels: the ways in which the desk sends messages to people. Each channel has one file with a
//! codec. A codec is pure: it converts a message to a request, and the response to a verdict. E-mail also has a
//! port, because SMTP is not HTTP.
//!
//! **How to add a channel**: Add one file with an implementation of [`Channel`], its `mod` line and its entry
//! in [`ALL`]. The queue worker already provides attempts, rate limits, leases and deadlines.

pub mod contract;
pub mod dingtalk_robot;
pub mod email;
pub mod memory;
pub mod smtp;

use std::time::Duration;

use async_trait::async_trait;
use domain::attempt::Verdict;
use domain::notification::content::Content;
use events::Moment;
use events::channel_account::Defined;

use crate::http::{HttpError, HttpRequest, HttpResponse};

/// Maximum duration of one attempt to send a message.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// One message to one person.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub account: &'a Defined,
    /// The secret of the account. The text is empty if the account has no secret.
    pub secret: &'a str,
    /// The address of the person.
    pub to: &'a str,
    pub content: &'a Content,
    /// The id of the delivery, 32 hexadecimal digits. All attempts of a delivery have the same id.
    pub id: &'a str,
    /// The time at which the delivery was requested.
    pub requested: Moment,
    pub now: Moment,
}

/// The request that sends a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Http(HttpRequest),
    Mail(Mail),
}

/// The response to a request. The variant is the variant of the request.
#[derive(Clone, Debug)]
pub enum Response {
    Http(Result<HttpResponse, HttpError>),
    Mail(Result<MailReply, MailError>),
}

/// A channel.
pub trait Channel: Send + Sync {
    /// Returns the permanent name of the channel. Each channel account stores this name.
    fn name(&self) -> &'static str;
    /// Returns the kind of address that a person needs for this channel. Several channels can use the same
    /// kind.
    fn address_kind(&self) -> &'static str;
    /// Returns the limit of messages in one minute for an account that sets no limit. `None` means no limit.
    fn per_minute(&self) -> Option<u32> {
        None
    }
    /// Returns true if a repeated message does little harm. An account without a rule for unknown results then
    /// repeats the message.
    fn may_repeat(&self) -> bool {
        false
    }
    /// Checks an address of a person. The error is an English text that completes "the address must".
    fn check_address(&self, address: &str) -> Result<(), String>;
    /// Checks the settings of an account. The error is an English text that names the setting.
    fn check(&self, account: &Defined) -> Result<(), String>;
    /// Checks the secret of an account. The error is an English text without the secret.
    fn check_secret(&self, secret: &str) -> Result<(), String>;
    /// Converts a message to a request. If this is not possible, returns the reason as an English text.
    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String>;
    /// Converts the response, or the error, to a verdict.
    fn verdict(&self, response: &Response) -> Verdict;
}

/// All channels.
pub const ALL: &[&dyn Channel] = &[&email::Email, &dingtalk_robot::DingtalkRobot];

/// Returns a channel, or `None` if no channel has this name.
pub fn find(name: &str) -> Option<&'static dyn Channel> {
    ALL.iter().find(|channel| channel.name() == name).copied()
}

/// The encryption of the connection to a mail relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// The connection is encrypted from its beginning (usually port 465).
    Implicit,
    /// The connection is encrypted by the command STARTTLS (usually port 587). A relay without this command
    /// gets no message.
    Starttls,
    /// The connection is not encrypted.
    None,
}

/// A mail with the relay that sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    /// The user name and the password for the relay.
    pub login: Option<(String, String)>,
    /// The name with which the desk introduces itself to the relay.
    pub hello: String,
    pub from: String,
    pub to: String,
    /// The whole message with its headers.
    pub bytes: Vec<u8>,
    pub timeout: Duration,
}

impl std::fmt::Debug for Mail {
    /// Writes the relay only, because a mail contains addresses and a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mail {{ {}:{}, .. }}", self.host, self.port)
    }
}

/// The last reply of a mail relay (RFC 5321, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailReply {
    pub code: u16,
    pub text: String,
}

/// The reason why a mail relay sent no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The relay did not get the whole message, so the message can safely be sent again.
    #[error("{0}")]
    NotSent(String),
    /// The relay got the whole message, but no reply arrived.
    #[error("{0}")]
    Unknown(String),
}

/// Sends mails to relays.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends a mail, and returns the last reply of the relay. A reply with a code of 400 or more is not an
    /// error of this function.
    async fn send(&self, mail: &Mail) -> Result<MailReply, MailError>;
}

/// The adapter of a program that sends no mails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMailer;

#[async_trait]
impl Mailer for NoMailer {
    async fn send(&self, _mail: &Mail) -> Result<MailReply, MailError> {
        Err(MailError::NotSent("this program sends no mails".into()))
    }
}

/// Returns a text setting of an account. The text is empty if the setting is absent.
fn text<'a>(account: &'a Defined, key: &str) -> &'a str {
    account
        .settings
        .get(key)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// Rejects settings that the channel does not know. The error names the first unknown setting.
fn only(account: &Defined, known: &[&str]) -> Result<(), String> {
    match account
        .settings
        .keys()
        .find(|key| !known.contains(&key.as_str()))
    {
        Some(key) => Err(format!(
            "`{key}` is not a setting of the channel {}; known are {}",
            account.channel,
            known.join(", ")
        )),
        None => Ok(()),
    }
}
