//! Defines the channels: the ways in which the desk sends messages to people. Each channel has one file with
//! a codec. A codec has no side effects. It converts a message to a request, and the response to a verdict
//! (the result of an attempt). In addition, the port `Mailer` sends e-mails, because SMTP is not HTTP.
//!
//! **How to add a channel**: Add one file with an implementation of [`Channel`], its `mod` line and its entry
//! in [`ALL`]. A new channel needs no code for attempts, rate limits, leases (exclusive rights to make an
//! attempt) and deadlines, because the queue worker already contains this code.

#[cfg(test)]
mod answers;
pub mod apns;
pub mod cmsi;
#[cfg(test)]
mod codes;
pub mod contract;
mod dingtalk;
pub mod dingtalk_app;
pub mod dingtalk_card;
pub mod dingtalk_notice;
pub mod dingtalk_robot;
pub mod dingtalk_stream;
pub mod email;
pub mod fcm;
pub mod feishu;
pub mod feishu_robot;
pub mod group;
#[cfg(test)]
mod hostile;
pub mod memory;
pub mod public_account;
pub mod push;
#[cfg(test)]
mod shared;
pub mod slack;
pub mod slack_webhook;
pub mod sms;
pub mod smtp;
mod teams;
pub mod teams_bot;
pub mod teams_workflow;
mod wechat;
pub mod wecom_app;
pub mod wecom_robot;

use std::time::Duration;

use async_trait::async_trait;
use domain::attempt::Verdict;
use domain::notification::content::Content;
use domain::notification::delivery::{CODE, MESSAGE};
use domain::notification::receipt::Reported;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;

use crate::http::{HttpError, HttpRequest, HttpResponse, Url};
use crate::inbound::Place;
pub use crate::mail::MailTls;
pub use crate::text::cut;

/// The setting that switches off threads.
const THREADS: &str = "threads";
/// The setting that tells whether other people can read the messages of an account. Only channels whose conversations can be
/// of both kinds have it.
const SHARED: &str = "shared";
/// The setting that adds a token to the links to tickets, so that a visit of the recipient counts as read. All channels have it.
const COUNT_VISITS: &str = "count_visits";
/// Maximum duration of one attempt to send a message.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// One message to one person, with all data that a channel needs to send the message.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub account: &'a Defined,
    /// The secret of the channel account (the settings with which the messages are sent), such as a password. The text
    /// is empty if the account has no secret.
    pub secret: &'a str,
    /// The address of the person who gets the message.
    pub to: &'a str,
    pub content: &'a Content,
    /// The id of the delivery (the sending of one message to one person): 32 hexadecimal digits. All attempts to send
    /// the message use the same id.
    pub id: &'a str,
    /// The keyed tag of `id`: hexadecimal digits. Only the desk can compute it, so a report that contains it is about a
    /// message of the desk. The text is empty if the delivery is older than the tags.
    pub tag: &'a str,
    /// The access token of the account, see [`Channel::access`]. The text is empty if the channel needs no token.
    pub token: &'a str,
    /// The address for replies to this message, see the setting `reply_to` of an account. `None` if replies go to the
    /// sender.
    pub reply_to: Option<&'a str>,
    /// An HTTPS address of the desk with which the person switches off this kind of message (RFC 8058). `None` if the
    /// desk has no such page.
    pub unsubscribe: Option<&'a str>,
    /// An id of this desk. With this id, the desk recognizes its own messages if they come back. The text is empty if the
    /// message needs no such mark.
    pub instance: &'a str,
    /// The time at which the delivery of the message was requested.
    pub requested: Moment,
    pub now: Moment,
    /// The thread to which the message belongs. `None` if the message starts a thread, or belongs to none.
    pub thread: Option<Thread<'a>>,
}

/// The thread that a message answers, see [`Channel::conversation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread<'a> {
    /// The id of the first message of the thread, from [`accepted`].
    pub root: &'a str,
    /// True if the message also appears in the conversation, and not only in the thread.
    pub is_broadcast: bool,
}

/// The conversation to which an account sends its messages, as far as it concerns threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversation<'a> {
    /// The channel has no threads, or the account does not use them.
    WithoutThreads,
    /// The messages to one person.
    OfPerson,
    /// The messages to several people, with the id of the conversation.
    Shared(&'a str),
}

/// The answer to a message that a person sent to a channel account, or to the press of a button.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    pub account: &'a Defined,
    /// The secret of the channel account.
    pub secret: &'a str,
    /// The access token of the account, see [`Channel::access`]. The text is empty if the channel needs no token.
    pub token: &'a str,
    /// The id of the person on the platform.
    pub user: &'a str,
    pub place: &'a Place,
    pub text: &'a str,
    /// The new content of the message with the pressed button. `None` if the message must not change.
    pub content: Option<&'a Content>,
    /// An id of the answer: 32 hexadecimal digits. A repeated answer has the same id.
    pub id: &'a str,
}

/// A request that sends one message, by HTTP or by e-mail.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Http(HttpRequest),
    Mail(Mail),
}

/// The response to a request, or the error if no response arrived. The response to an HTTP request is `Http`,
/// and the response to a mail is `Mail`.
#[derive(Clone, Debug)]
pub enum Response {
    Http(Result<HttpResponse, HttpError>),
    Mail(Result<MailReply, MailError>),
}

/// A text with which an account proves its identity to its provider for some time.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub value: String,
    /// The time for which the provider accepts the token, in milliseconds.
    pub lifetime_ms: i64,
}

impl std::fmt::Debug for Token {
    /// Writes only the lifetime. The token itself is secret and must not appear in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token {{ {} ms, .. }}", self.lifetime_ms)
    }
}

/// The way in which an account gets its access token.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// The channel needs no access token.
    Free,
    /// The channel made the token itself, for example by a signature.
    Made(Token),
    /// The provider returns the token in the response to this request. [`Channel::token`] reads the response.
    Asked(HttpRequest),
}

/// How often a sent message can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updates {
    Never,
    /// The provider accepts one replacement.
    Once,
    Always,
}

/// A limit of the messages that an account sends to one receiver, such as a person or a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetLimit {
    /// Maximum number of messages in any period.
    pub most: u32,
    /// The length of the period, in milliseconds.
    pub period_ms: i64,
}

/// A way to send messages to people, such as e-mail.
pub trait Channel: Send + Sync {
    /// Returns the name of the channel. This name must never change, because the ledger stores the name in each channel
    /// account (the settings with which messages are sent).
    fn name(&self) -> &'static str;
    /// Returns the kind of address that a person needs to get messages through this channel, such as `email`.
    /// Several channels can use the same kind.
    fn address_kind(&self) -> &'static str;
    /// Returns the default limit of messages in one minute for an account of this channel. Returns `None` if
    /// there is no default limit.
    fn per_minute(&self) -> Option<u32> {
        None
    }
    /// Returns the limits of the messages to one receiver, see [`Channel::target`]. A provider drops, refuses or delays
    /// further messages. The list is empty if there is no such limit.
    fn target_limits(&self) -> &'static [TargetLimit] {
        &[]
    }
    /// Returns the receiver of a message to the address `to`, whose messages [`Channel::target_limits`] limits. The text is
    /// empty if all messages of the account have the same receiver.
    fn target<'a>(&self, _account: &'a Defined, to: &'a str) -> &'a str {
        to
    }
    /// Returns the number of calls that the plan of the account allows in one month. Returns `None` if the number is not
    /// limited.
    fn calls_per_month(&self, _account: &Defined) -> Option<u32> {
        None
    }
    /// Returns true if a message that is sent twice does little harm. In this case, the desk by default sends
    /// a message again if the result of an attempt is unknown.
    fn may_repeat(&self) -> bool {
        false
    }
    /// Returns true if an account of this channel cannot send messages without a secret.
    fn needs_secret(&self, _account: &Defined) -> bool {
        true
    }
    /// Checks an address of a person. If the address is invalid, returns an English text that completes the
    /// words "the address must".
    fn check_address(&self, address: &str) -> Result<(), String>;
    /// Checks the settings of a channel account (the settings with which messages are sent). If a setting is invalid,
    /// returns an English text that names this setting.
    fn check(&self, account: &Defined) -> Result<(), String>;
    /// Checks the secret of a channel account, such as a password. If the secret is invalid, returns the reason as an
    /// English text. This text does not contain the secret.
    fn check_secret(&self, secret: &str) -> Result<(), String>;
    /// Returns how the account gets the access token for its requests. The caller stores the token and calls this function
    /// again only when the token has expired or was refused. Returns an English text if the secret is unusable.
    fn access(&self, _account: &Defined, _secret: &str, _now: Moment) -> Result<Access, String> {
        Ok(Access::Free)
    }
    /// Reads the access token in the response to the request of [`Access::Asked`]. Returns a verdict (the result of the
    /// attempt to send the message) if the response contains no token.
    fn token(&self, _response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
        Err(Verdict::refused(
            FailureClass::Permanent,
            "",
            "the channel has no access tokens",
        ))
    }
    /// Returns true if the provider sent nothing because the access token is not valid any more. The caller then gets a
    /// new token and sends the message again.
    fn refuses_token(&self, _response: &Response) -> bool {
        false
    }
    /// Converts a message to a request that sends the message. If the conversion is not possible, returns the reason as
    /// an English text.
    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String>;
    /// Returns the request that answers a person. Returns `None` if the channel cannot answer. If the request cannot be
    /// made, returns the reason as an English text. [`Channel::refuses_token`] reads the response.
    fn answer(&self, _answering: &Answering<'_>) -> Result<Option<HttpRequest>, String> {
        Ok(None)
    }
    /// Converts the response to a verdict (the result of an attempt, such as success or failure). A successful verdict
    /// comes from [`accepted`].
    fn verdict(&self, response: &Response) -> Verdict;
    /// Returns a request for the receipt of a sent message: whether the person has read it. `message` is the id of the
    /// message from [`accepted`]. Returns `None` if the provider reports no receipts.
    fn receipt_request(
        &self,
        _account: &Defined,
        _token: &str,
        _message: &str,
    ) -> Option<Result<HttpRequest, String>> {
        None
    }
    /// Reads the receipt in the response to the request of [`Channel::receipt_request`]. `to` is the address of the person.
    /// Returns an English text if the response contains no receipt.
    fn receipt(&self, _to: &str, _response: &HttpResponse) -> Result<Reported, String> {
        Err("the channel has no receipts".into())
    }
    /// Returns the conversation to which the account sends a message to the address `to`. All messages about a ticket in
    /// one conversation are in one thread.
    fn conversation<'a>(&self, _account: &'a Defined, _to: &'a str) -> Conversation<'a> {
        Conversation::WithoutThreads
    }
    /// Returns true if people other than the recipient can read the messages that the account sends to the address `to`. A
    /// link in such a message does not prove who opens it, so it works only after a login of the recipient. A channel is
    /// shared unless it knows that only the recipient gets its messages.
    fn is_shared(&self, _account: &Defined, _to: &str) -> bool {
        true
    }
    /// Returns true if the provider sent nothing because the first message of the thread does not exist any more.
    fn refuses_thread(&self, _response: &Response) -> bool {
        false
    }
    /// Returns true if the provider accepted an answer to the first message of a thread, but sent it outside of the
    /// thread.
    fn left_thread(&self, _response: &Response) -> bool {
        false
    }
    /// Returns how often a message that an account of this channel has sent can be replaced.
    fn updates(&self, _account: &Defined) -> Updates {
        Updates::Never
    }
    /// Returns the time in milliseconds for which the provider accepts updates of a sent message. Returns `None` if the
    /// provider names no limit.
    fn update_age_max_ms(&self) -> Option<i64> {
        None
    }
    /// Returns a request that replaces a sent message by the content of `outgoing`. `message` is the id of the
    /// message from [`accepted`]. `state` is a short text that shows how far the work is; a channel that cannot
    /// replace the whole message shows it instead of the buttons. Returns an English text if no request is possible.
    fn update(
        &self,
        _outgoing: &Outgoing<'_>,
        _message: &str,
        _state: &str,
    ) -> Result<HttpRequest, String> {
        Err("the channel cannot replace messages".into())
    }
    /// Converts the response to the request of [`Channel::update`] to a verdict.
    fn update_verdict(&self, response: &Response) -> Verdict {
        self.verdict(response)
    }
    /// Returns true if the account can make a sent message urgent, so that it makes a sound on the device of the person.
    fn buzzes(&self, _account: &Defined) -> bool {
        false
    }
    /// Returns a request that makes a sent message urgent (a *buzz*). `message` is the id of the message from [`accepted`].
    /// Returns an English text if no request is possible.
    fn buzz(&self, _outgoing: &Outgoing<'_>, _message: &str) -> Result<HttpRequest, String> {
        Err("the channel cannot make messages urgent".into())
    }
    /// Converts the response to the request of [`Channel::buzz`] to a verdict.
    fn buzz_verdict(&self, response: &Response) -> Verdict {
        self.verdict(response)
    }
    /// Returns the codec for chat groups. Returns `None` if the platform has no interface for groups.
    fn groups(&self) -> Option<&'static dyn group::Groups> {
        None
    }
    /// Converts the response to a verdict as [`Channel::verdict`], with the account and the address of the request. A channel
    /// implements this function if the account defines the meaning of codes, or if a response names addresses.
    fn verdict_for(&self, _account: &Defined, _to: &str, response: &Response) -> Verdict {
        self.verdict(response)
    }
}

/// Returns the verdict (the result of an attempt) that the provider accepted a message. `code` is the code in the response,
/// and `message` the id of the message at the provider, or an empty text. The provider does not confirm with this that a
/// person received the message.
pub fn accepted(code: impl Into<String>, message: impl Into<String>) -> Verdict {
    let outputs = [(CODE, code.into()), (MESSAGE, message.into())];
    let outputs = outputs.into_iter().filter(|(_, value)| !value.is_empty());
    Verdict::succeeded(
        outputs
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// Returns the verdict for a request without a response. If the provider cannot have the message, the verdict is a further
/// attempt. Otherwise, the result is unknown.
pub fn unanswered(error: &HttpError) -> Verdict {
    match error {
        HttpError::NotSent(reason) => Verdict::retry(reason),
        HttpError::Unknown(reason) => Verdict::Unknown {
            reason: reason.clone().into(),
        },
    }
}

/// All channels of the desk.
pub const ALL: &[&dyn Channel] = &[
    &email::Email,
    &dingtalk_robot::DingtalkRobot,
    &wecom_robot::WecomRobot,
    &wecom_app::WecomApp,
    &public_account::PublicAccount,
    &dingtalk_app::DingtalkApp,
    &dingtalk_notice::DingtalkNotice,
    &dingtalk_card::DingtalkCard,
    &slack::Slack,
    &slack_webhook::SlackWebhook,
    &teams_workflow::TeamsWorkflow,
    &teams_bot::TeamsBot,
    &feishu::Feishu,
    &feishu_robot::FeishuRobot,
    &fcm::Fcm,
    &apns::Apns,
    &sms::Sms,
    &cmsi::Cmsi,
];

/// Returns the channel with the given name, or `None` if no channel has this name.
pub fn find(name: &str) -> Option<&'static dyn Channel> {
    ALL.iter().find(|channel| channel.name() == name).copied()
}

/// One mail, with the settings of the mail relay that receives the mail from the desk.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    /// The user name and the password for the mail relay. The value is `None` if the relay needs no login.
    pub login: Option<(String, String)>,
    /// The name with which the desk introduces itself to the mail relay in the command EHLO.
    pub hello: String,
    pub from: String,
    pub to: String,
    /// The complete message with its headers.
    pub bytes: Vec<u8>,
    pub timeout: Duration,
}

impl std::fmt::Debug for Mail {
    /// Writes only the host and the port of the mail relay. A mail also contains addresses and a password,
    /// which must not appear in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mail {{ {}:{}, .. }}", self.host, self.port)
    }
}

/// The last reply of a mail relay to one mail (RFC 5321, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailReply {
    pub code: u16,
    pub text: String,
}

/// The reason why a mail relay sent no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The relay did not get the complete message. The desk can send the message again without a risk.
    #[error("{0}")]
    NotSent(String),
    /// It is possible that the relay got the complete message, but no reply arrived.
    #[error("{0}")]
    Unknown(String),
}

/// Sends mails to mail relays.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends a mail and returns the last reply of the mail relay, even if this reply refuses the mail.
    /// Returns an error only if no reply arrived.
    async fn send(&self, mail: &Mail) -> Result<MailReply, MailError>;
}

/// A mailer for programs that send no mails. Every call returns an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMailer;

#[async_trait]
impl Mailer for NoMailer {
    async fn send(&self, _mail: &Mail) -> Result<MailReply, MailError> {
        Err(MailError::NotSent("this program sends no mails".into()))
    }
}

/// Returns the verdict (the result of an attempt) of a channel that uses HTTP. `judge` evaluates a response of the provider.
fn of_http(response: &Response, judge: impl FnOnce(&HttpResponse) -> Verdict) -> Verdict {
    match response {
        Response::Http(Ok(response)) => judge(response),
        Response::Http(Err(error)) => unanswered(error),
        Response::Mail(_) => Verdict::retry("the channel sends no mails"),
    }
}

/// Returns the setting `key` of a channel account. An absent setting is false. Returns an error if it is not true or
/// false.
fn flag(account: &Defined, key: &str) -> Result<bool, String> {
    match account.settings.get(key) {
        None => Ok(false),
        Some(serde_json::Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("`{key}` must be true or false")),
    }
}

/// Returns the setting `count_visits` of a channel account: whether the visit of a ticket from the link in a message counts. An
/// absent setting is false.
pub fn counts_visits(account: &Defined) -> bool {
    flag(account, COUNT_VISITS).unwrap_or(false)
}

/// Returns the setting `shared` of a channel account. Returns `default` if the setting is absent. A wrong value, which
/// [`Channel::check`] refuses, is true.
fn is_declared_shared(account: &Defined, default: bool) -> bool {
    if account.settings.contains_key(SHARED) {
        flag(account, SHARED).unwrap_or(true)
    } else {
        default
    }
}

/// Returns the setting `threads` of a channel account: whether all messages about a ticket are in one thread. An absent
/// setting is true. Returns an error if it is not true or false.
fn has_threads(account: &Defined) -> Result<bool, String> {
    if account.settings.contains_key(THREADS) {
        flag(account, THREADS)
    } else {
        Ok(true)
    }
}

/// Returns the setting `key` of a channel account if the setting is a text. Otherwise, returns an empty text.
fn text<'a>(account: &'a Defined, key: &str) -> &'a str {
    account
        .settings
        .get(key)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// Checks the setting `key` of a channel account, if it is given: a URL of HTTP without a query and a fragment.
fn check_url(account: &Defined, key: &str) -> Result<(), String> {
    let Some(value) = account.settings.get(key) else {
        return Ok(());
    };
    let url = value.as_str().unwrap_or_default().parse::<Url>();
    let is_valid = url.is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if is_valid {
        Ok(())
    } else {
        Err(format!("`{key}` must be an HTTP address without ? and #"))
    }
}

/// Returns an error if a channel account contains a setting that is not in the list `known`. The error names the first
/// unknown setting.
fn only(account: &Defined, known: &[&str]) -> Result<(), String> {
    flag(account, COUNT_VISITS)?;
    let mut known = known.to_vec();
    known.push(COUNT_VISITS);
    let mut keys = account.settings.keys();
    match keys.find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!(
            "`{key}` is not a setting of the channel {}; known are {}",
            account.channel,
            known.join(", ")
        )),
        None => Ok(()),
    }
}
