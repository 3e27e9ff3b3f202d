//! Receives the messages that people send from chats and by mail, and executes their commands. A message is first
//! verified and stored. The queue `notify` executes its command later, as the person to whom the chat account is
//! linked. The module [`mails`](super::mails) processes mails.

use domain::notification::Notification;
use domain::notification::action::Action;
use domain::notification::content::Content;
use domain::notification::grammar::{self, Said, Verb};
use domain::permission::Operation;
use domain::ticket::{Command, Ticket};
use domain::views::ticket_card::TicketCard;
use events::channel_account::Defined;
use events::inbound::InboundEvent;
use events::person::Language;
use events::ticket::NodeStatus;
use events::{AttachmentId, Meta, Moment, NodeId, Origin, PersonId, TicketSn};
use infra::inbound::mail::{self, Mail, Report};
use infra::inbound::{
    self, Answer as Response, Inbound, Message, Refusal, Verified, dingtalk, teams_bot,
};
use infra::ledger::command_id;
use infra::{Error, ExecuteError};
use serde::{Deserialize, Serialize};

use super::actions::{self, NotActed, Pending, Sent};
use super::answers::Answer;
use super::chat_groups::{self, NotGrouped};
use super::group_messages::{self, Meaning};
use super::mails::files::{self, Fate};
use super::replies::{self, Reply};
use super::{bot_keys, bounces, certificates, feedback, identities, mails, message, notify};
use super::{preferences, templates, unanswered};
use crate::App;
use crate::app::history::history_from;
use crate::app::itsm::callbacks;
use crate::app::limits::Of;
use crate::app::{tickets, wording};

/// The names of the secrets with which platforms sign their messages begin with this text.
pub const SECRET: &str = "inbound/";
/// The end of the name of the second live secret during a replacement.
const NEXT: &str = ".next";
/// The name under which the messages of an account are counted for the rate limit.
const LIMITED_AS: &str = "channel messages";
/// The beginning of the names of the streams of channel accounts.
const SUBJECT: &str = "channel_account-";
/// Maximum length of the name of an account in an address, in bytes.
const ACCOUNT_BYTES_MAX: usize = 64;
/// Maximum number of bytes of an unreadable message that the desk stores. A larger message does not fit into one event.
const UNREADABLE_BYTES_MAX: usize = 128 << 10;
/// Maximum size of the stored form of a message, in bytes. The desk stores only the beginning of a larger message, as
/// of an unreadable one. A larger message could be too large for one event. A mailbox with such a mail would stop.
const STORED_BYTES_MAX: usize = 150 << 10;

/// The reason why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// There is no such platform or account, or the account has no secret for messages.
    #[error("the address of the message is wrong")]
    Unknown,
    #[error("{0}")]
    Refused(Refusal),
    #[error(transparent)]
    Technical(#[from] Error),
}

/// The stored form of a message.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) platform: String,
    #[serde(default)]
    pub(super) message: Message,
    /// The mail, if the message is a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mail: Option<Box<Mail>>,
    /// What happens to the attachments of the mail, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<Fate>,
    /// The report about a message of the desk, if a provider of short messages sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<Box<Report>>,
}

impl Stored {
    /// Returns the form that is stored, as bytes.
    fn bytes(platform: &dyn Inbound, message: Message) -> Vec<u8> {
        Self::bytes_of(platform, message, None, Vec::new(), None)
    }

    /// Returns the stored form of a report about a message of the desk.
    fn bytes_of_report(platform: &dyn Inbound, report: Box<Report>) -> Vec<u8> {
        Self::bytes_of(platform, Message::default(), None, Vec::new(), Some(report))
    }

    /// Returns the stored form of a mail. `files` describes what happens to its attachments.
    fn bytes_of_mail(platform: &dyn Inbound, mail: Box<Mail>, files: Vec<Fate>) -> Vec<u8> {
        Self::bytes_of(platform, Message::default(), Some(mail), files, None)
    }

    fn bytes_of(
        platform: &dyn Inbound,
        message: Message,
        mail: Option<Box<Mail>>,
        files: Vec<Fate>,
        report: Option<Box<Report>>,
    ) -> Vec<u8> {
        let stored = Self {
            platform: platform.name().to_owned(),
            message,
            mail,
            files,
            report,
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }
}

/// Returns a stored message. `inbound` is the name of its stream.
pub(super) async fn stored(app: &App, inbound: &str) -> Result<Stored, Error> {
    let body = callbacks::body_of(app, inbound).await?.unwrap_or_default();
    let stored = serde_json::from_slice(&body);
    stored.map_err(|error| Error::corrupt(format!("{inbound}: {error}")))
}

/// Verifies a request of a platform, and stores its message. Returns the response to the platform. A repeated message is
/// stored once.
///
/// The signature is checked before the request is counted, so the requests of strangers use up the rate limit of no
/// account. Requests without a valid signature have limits of their own.
pub async fn receive(
    app: &App,
    platform: &str,
    account: &str,
    request: &inbound::Request<'_>,
) -> Result<Response, NotReceived> {
    let now = app.ledger.clock.now();
    let of = Of::new(LIMITED_AS, Some(account));
    let reason = match checked(app, platform, account, request, now).await {
        Ok((_, Err(refusal))) if refusal.is_of_stranger() => NotReceived::Refused(refusal),
        Ok((platform, verified)) => {
            app.limits.asked(of, now)?;
            return store(app, platform, account, verified, request.body).await;
        }
        Err(reason) => reason,
    };
    match &reason {
        NotReceived::Unknown => app.limits.unsigned(None, now)?,
        NotReceived::Refused(_) => app.limits.unsigned(Some(of), now)?,
        NotReceived::Technical(_) => {}
    }
    Err(reason)
}

/// A platform, and the result of the check of its request.
type Checked = (&'static dyn Inbound, Result<Verified, Refusal>);

/// Checks the signature of a request. Stores nothing.
async fn checked(
    app: &App,
    platform: &str,
    account: &str,
    request: &inbound::Request<'_>,
    now: Moment,
) -> Result<Checked, NotReceived> {
    let platform = inbound::find(platform).ok_or(NotReceived::Unknown)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if account.len() > ACCOUNT_BYTES_MAX || !account.bytes().all(is_name) {
        return Err(NotReceived::Unknown);
    }
    let defined = app.configuration.channel_account(account).await?;
    let defined = defined.filter(|defined| defined.is_enabled);
    let defined = defined.ok_or(NotReceived::Unknown)?;
    let secrets = if platform.has_published_keys() {
        published(app, platform, &defined, request).await?
    } else {
        let mut stored = secrets(app, account).await?;
        stored.retain(|secret| platform.accepts_secret(secret));
        stored
    };
    if secrets.is_empty() {
        return Err(NotReceived::Unknown);
    }
    let certificate = match platform.certificate_url(request, &secrets) {
        Ok(Some(url)) => Some(certificates::certificate(app, &url).await?),
        Ok(None) => None,
        Err(refusal) => return Err(NotReceived::Refused(refusal)),
    };
    let request = &inbound::Request {
        certificate: certificate.as_deref(),
        ..*request
    };
    Ok((platform, inbound::verify(platform, request, &secrets, now)))
}

/// Stores a message that arrived over the connection of an account, see [`infra::channel::dingtalk_stream`]. Returns the
/// response to the platform. `id` is the id of the frame.
pub async fn receive_streamed(
    app: &App,
    account: &str,
    topic: &str,
    id: &str,
    data: &[u8],
) -> Result<Response, NotReceived> {
    let now = app.ledger.clock.now();
    app.limits.asked(Of::new(LIMITED_AS, Some(account)), now)?;
    let verified = dingtalk::streamed(topic, id, data);
    store(app, &dingtalk::Dingtalk, account, verified, data).await
}

/// Stores a mail that the desk itself read from a mailbox. `account` is the name of the channel account of the
/// mailbox. Returns false if the bytes are not a mail; the desk then keeps their beginning. A repeated mail is stored
/// once.
pub async fn store_mail(app: &App, account: &str, bytes: &[u8]) -> Result<bool, Error> {
    let verified = match mail::parse(bytes) {
        Ok(mail) => Ok(Verified::Mail(Box::new(mail))),
        Err(reason) => Err(Refusal::Unreadable(reason)),
    };
    match store(app, &mail::Relay, account, verified, bytes).await {
        Ok(_) => Ok(true),
        Err(NotReceived::Technical(error)) => Err(error),
        Err(NotReceived::Refused(_) | NotReceived::Unknown) => Ok(false),
    }
}

/// Stores the message in a verified request. `raw` is the body of the request. If it is unreadable, its beginning is stored.
async fn store(
    app: &App,
    platform: &dyn Inbound,
    account: &str,
    verified: Result<Verified, Refusal>,
    raw: &[u8],
) -> Result<Response, NotReceived> {
    let (body, id, response, problem) = match verified {
        Ok(Verified::Challenge(answer)) => return Ok(answer),
        Ok(Verified::Confirmation(url)) => {
            certificates::confirm(app, &url).await?;
            return Ok(platform.stored(None));
        }
        Ok(Verified::Ended) => {
            tracing::error!(
                account,
                "the provider sends no more messages; subscribe again"
            );
            return Ok(platform.stored(None));
        }
        Ok(Verified::Nothing) => return Ok(platform.stored(None)),
        Ok(Verified::Message(message)) => {
            let id = message.id.clone();
            let response = platform.stored(Some(&message));
            let body = Stored::bytes(platform, *message);
            (body, Some(id), response, None)
        }
        Ok(Verified::Report { id, report }) => {
            let body = Stored::bytes_of_report(platform, report);
            (body, Some(id), platform.stored(None), None)
        }
        Ok(Verified::Mail(mail)) => {
            let id = mail.id.clone();
            let subject = format!("{SUBJECT}{account}");
            // The attachments of a repeated mail are not kept again, because the mail is not processed again.
            let files = if callbacks::is_stored(app, platform.name(), &subject, &id).await? {
                Vec::new()
            } else {
                let defined = app.configuration.channel_account(account).await?;
                files::keep(app, defined.as_ref(), platform.name(), &mail).await?
            };
            let body = Stored::bytes_of_mail(platform, mail, files);
            (body, Some(id), platform.stored(None), None)
        }
        Err(Refusal::Unreadable(reason)) => {
            let kept = raw.len().min(UNREADABLE_BYTES_MAX);
            let response = platform.stored(None);
            (raw[..kept].to_vec(), None, response, Some(reason))
        }
        Err(refusal) => return Err(NotReceived::Refused(refusal)),
    };
    let (body, id, problem) = if problem.is_none() && body.len() > STORED_BYTES_MAX {
        let kept = raw.len().min(UNREADABLE_BYTES_MAX);
        let reason = format!("the content is too large: more than {STORED_BYTES_MAX} bytes");
        (raw[..kept].to_vec(), None, Some(reason))
    } else {
        (body, id, problem)
    };
    callbacks::store_message(
        app,
        &callbacks::Message {
            source: platform.name(),
            subject: format!("{SUBJECT}{account}"),
            body: &body,
            delivery: id.as_deref(),
            problem: problem.clone(),
        },
    )
    .await?;
    match problem {
        None => Ok(response),
        Some(reason) => Err(NotReceived::Refused(Refusal::Unreadable(reason))),
    }
}

/// Returns the data with which a request is checked if the platform publishes its keys. The account must be an account of the
/// channel with the same name. A request without a token is refused before the keys are read.
async fn published(
    app: &App,
    platform: &dyn Inbound,
    account: &Defined,
    request: &inbound::Request<'_>,
) -> Result<Vec<String>, NotReceived> {
    if account.channel != platform.name() {
        return Err(NotReceived::Unknown);
    }
    let Some(key) = teams_bot::key_id(request) else {
        return Err(NotReceived::Refused(Refusal::Signature));
    };
    let trusted = bot_keys::trusted(app, account, Some(&key)).await?;
    Ok(vec![serde_json::to_string(&trusted).unwrap_or_default()])
}

/// Returns the live secrets of an account, from the key store.
async fn secrets(app: &App, account: &str) -> Result<Vec<String>, Error> {
    let mut live = Vec::new();
    for name in [
        format!("{SECRET}{account}"),
        format!("{SECRET}{account}{NEXT}"),
    ] {
        let secret = app.ledger.keys.secret(&name).await?;
        live.extend(secret.and_then(|secret| String::from_utf8(secret).ok()));
    }
    Ok(live)
}

/// Returns true if the subject of a stored message is a channel account.
pub fn is_subject(subject: &str) -> bool {
    subject.starts_with(SUBJECT)
}

/// Executes the command in a stored message, and sends the answer. `inbound` is the name of the stream of the message, and
/// `subject` the name of the stream of the channel account.
pub async fn handle(app: &App, inbound: &str, subject: &str, cause: &str) -> Result<(), Error> {
    let account = subject.trim_start_matches(SUBJECT);
    let stored = stored(app, inbound).await?;
    let Some(platform) = inbound::find(&stored.platform) else {
        return Ok(());
    };
    if let Some(mail) = &stored.mail {
        let fates = &stored.files;
        let arrived = mails::Arrived { mail, fates };
        return mails::handle(app, inbound, account, platform.name(), arrived, cause).await;
    }
    if let Some(report) = &stored.report {
        return bounces::record_short_message(app, inbound, account, report, cause).await;
    }
    if is_too_old(app, inbound).await? {
        tracing::warn!(
            inbound,
            "a chat message of more than one day ago is not processed"
        );
        return Ok(());
    }
    let of = (platform, account);
    let answered = match answer(app, of, &stored.message, inbound, cause).await {
        Ok(answered) => answered,
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => {
            tracing::error!(%error, inbound, "cannot execute the command of a chat message");
            Answered::of(Answer::Error, Language::default())
        }
    };
    let kind = answered.answer.kind();
    tracing::info!(inbound, answer = kind, "chat message processed");
    let text = answered.answer.text(answered.language);
    let Stored { message, .. } = &stored;
    if let Some(to) = &message.reply {
        let defined = app.configuration.channel_account(account).await?;
        replies::send(app, platform, defined.as_ref(), to, &text).await;
    } else if message.place.is_some() {
        let content = match &answered.acted {
            Some(acted) => after(app, acted, answered.language, &text).await,
            None => Ok(None),
        };
        // The command is already done and must not be repeated, so a failure only makes the answer shorter.
        let content = content.unwrap_or_else(|error| {
            tracing::warn!(%error, inbound, "the new content of a message cannot be made");
            None
        });
        replies::request(app, inbound, account, &Reply { text, content }).await?;
    }
    Ok(())
}

/// Returns true if a message arrived more than one day ago. After a loss of the views, the desk reads all events again. A
/// command without a ticket number could then mean another ticket than at its arrival, and its answer would be sent again.
async fn is_too_old(app: &App, inbound: &str) -> Result<bool, Error> {
    let history = history_from::<InboundEvent>(&app.ledger, inbound, 1).await?;
    let received = history.first();
    Ok(received.is_some_and(|envelope| notify::is_too_old(app, envelope.at)))
}

/// The result of a command.
struct Answered {
    answer: Answer,
    language: Language,
    /// The action of the button that the person pressed, if it is done.
    acted: Option<Box<Pending>>,
}

impl Answered {
    fn of(answer: Answer, language: Language) -> Self {
        Self {
            answer,
            language,
            acted: None,
        }
    }
}

/// Executes the command of a message as the person to whom the chat account is linked. `account` is the name of the channel
/// account for which the message arrived.
async fn answer(
    app: &App,
    (platform, account): (&dyn Inbound, &str),
    message: &Message,
    inbound: &str,
    cause: &str,
) -> Result<Answered, Error> {
    let kind = platform.address_kind();
    let said = grammar::chat(&message.text);
    if message.value.is_none() && said.verb == Verb::Link {
        let id = command_id(&["link", inbound]);
        let mut linked = None;
        for user in message.users() {
            linked = identities::link(app, kind, user, &said.text, id, cause).await?;
            if linked.is_some() {
                break;
            }
        }
        return Ok(match linked {
            Some(person) => Answered::of(Answer::Linked, language_of(app, &person).await?),
            None => Answered::of(Answer::CodeWrong, Language::default()),
        });
    }
    let mut found = None;
    for user in message.users() {
        found = identities::person_of(app, kind, user).await?;
        if found.is_some() {
            break;
        }
    }
    let Some(person) = found else {
        let answer = if platform.learns_address() {
            Answer::CodeNeeded
        } else {
            Answer::NotLinked
        };
        return Ok(Answered::of(answer, Language::default()));
    };
    let language = language_of(app, &person).await?;
    if let Some(value) = &message.value {
        return press(app, value, &person, language, inbound).await;
    }
    let said = match group_messages::read(app, account, message).await? {
        Meaning::Command(said) => said,
        Meaning::Answer(answer) => return Ok(Answered::of(answer, language)),
    };
    let arrived = (Origin::Chat, inbound, cause);
    let answer = execute(app, (&said, &[]), &person, language, arrived).await?;
    Ok(Answered::of(answer, language))
}

pub(super) async fn language_of(app: &App, person: &PersonId) -> Result<Language, Error> {
    Ok(preferences::read(app, person).await?.language)
}

/// Executes the action of a button that the person pressed.
async fn press(
    app: &App,
    value: &str,
    person: &PersonId,
    language: Language,
    inbound: &str,
) -> Result<Answered, Error> {
    if let Some(url) = feedback::page_of_button(app, value, person).await? {
        return Ok(Answered::of(Answer::Questions(url), language));
    }
    let mut ticket = String::new();
    // A button in a group can be pressed by another person.
    let used = (value, Some(person));
    let acted = match actions::pending(app, value, Some(person)).await {
        Ok(pending) => {
            ticket = pending.requested.ticket.to_string();
            Box::pin(actions::act(app, used, "", None, Origin::Chat, inbound)).await
        }
        Err(reason) => Err(reason),
    };
    let answer = match acted {
        Ok(pending) => {
            let answer = Answer::Done {
                action: pending.claim.action.label(language),
                sn: ticket,
            };
            return Ok(Answered {
                acted: Some(Box::new(pending)),
                ..Answered::of(answer, language)
            });
        }
        Err(NotActed::Rejected(rejection)) => {
            Answer::Refused(wording::named_rejection(app, language, &rejection).await?)
        }
        Err(NotActed::Unknown | NotActed::LoginRequired | NotActed::OtherPerson) => Answer::Unknown,
        Err(NotActed::Expired) => Answer::Expired,
        Err(NotActed::Used) => Answer::Used,
        Err(NotActed::Stale | NotActed::Changed) => Answer::Stale,
        Err(NotActed::TextRequired) => Answer::CommentMissing(ticket),
        Err(NotActed::Technical(error)) => return Err(error),
    };
    Ok(Answered::of(answer, language))
}

/// Returns the new content of a message after one of its actions is done. The content shows the answer, and the buttons of the
/// actions that the person can still do.
async fn after(
    app: &App,
    acted: &Pending,
    language: Language,
    answer: &str,
) -> Result<Option<Content>, Error> {
    let (claim, requested) = (&acted.claim, &acted.requested);
    let preferences = preferences::read(app, &claim.person).await?;
    let zone = notify::zone(app, preferences.zone.as_deref());
    let mut card = tickets::card(app, &requested.ticket).await?;
    let card = card.get_or_insert_default();
    let loaded = app
        .ledger
        .load::<Ticket>(&requested.ticket.stream())
        .await?;
    card.ticket = loaded.aggregate.0;
    let content = message::content(app, requested, card, language, &zone).await?;
    let account = app.configuration.channel_account(&claim.account).await?;
    let channel = account.map_or_else(String::new, |account| account.channel);
    let mut content =
        templates::without_masked(app, requested, card, &channel, language, &zone, content).await?;
    answer.clone_into(&mut content.intro);
    let notification = app.ledger.load::<Notification>(&claim.notification).await?;
    let used = notification.aggregate.0.acted;
    let sent = Sent {
        notification: &claim.notification,
        account: &claim.account,
        is_shared: !claim.is_personal,
    };
    content.actions = actions::offered(app, sent, requested, card, language).await?;
    content
        .actions
        .retain(|action| !used.contains(&action.name));
    Ok(Some(content))
}

/// Executes a written command. `files` are the uploaded files of a comment. `origin` is the way on which the command
/// arrived: a chat or a mail.
pub(super) async fn execute(
    app: &App,
    (said, files): (&Said, &[AttachmentId]),
    person: &PersonId,
    language: Language,
    (origin, inbound, cause): (Origin, &str, &str),
) -> Result<Answer, Error> {
    let action = match said.verb {
        Verb::Acknowledge => Some(Action::Acknowledge),
        Verb::Resolve => Some(Action::Resolve),
        Verb::Comment => Some(Action::Comment),
        Verb::Escalate => Some(Action::Escalate),
        Verb::Approve => Some(Action::Approve),
        Verb::Reject => Some(Action::Reject),
        Verb::Status | Verb::Group => None,
        Verb::Help | Verb::Link => return Ok(Answer::Unknown),
    };
    let sn = match &said.ticket {
        Some(sn) => sn.clone(),
        None => match unanswered::tickets(app, person).await?.as_slice() {
            [] => return Ok(Answer::TicketMissing),
            [only] => only.clone(),
            several => return Ok(Answer::TicketAmbiguous(several.to_vec())),
        },
    };
    let sn = &sn;
    let Some(card) = readable(app, sn, person).await? else {
        return Ok(Answer::TicketUnknown(sn.to_string()));
    };
    let Some(action) = action else {
        let arrived = (origin, inbound, cause);
        return match said.verb {
            Verb::Group => create_group(app, sn, person, language, arrived).await,
            _ => Ok(status(&card, sn, language)),
        };
    };
    if action == Action::Comment && said.text.is_empty() {
        return Ok(Answer::TextMissing);
    }
    let node = match action {
        Action::Approve | Action::Reject => single_vote(&card.ticket, person),
        _ => None,
    };
    let Some(mut command) = action.command(person, node, &said.text) else {
        return Ok(Answer::NoSingleVote);
    };
    if let Command::Remark {
        files: of_remark, ..
    } = &mut command
    {
        files.clone_into(of_remark);
    }
    match act(app, sn, &command, person, (origin, inbound, cause)).await {
        Ok(()) => Ok(Answer::Done {
            action: action.label(language),
            sn: sn.to_string(),
        }),
        Err(ExecuteError::Rejected(rejection)) => {
            let text = wording::named_rejection(app, language, &rejection).await?;
            Ok(Answer::Refused(text))
        }
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

async fn act(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    person: &PersonId,
    (origin, inbound, cause): (Origin, &str, &str),
) -> Result<(), ExecuteError<Ticket>> {
    let (id, meta) = identified(person, origin, inbound, cause);
    Box::pin(tickets::act(app, sn, command, &meta, id, None))
        .await
        .map(drop)
}

/// Returns the id and the metadata of the command in a message.
fn identified(person: &PersonId, origin: Origin, inbound: &str, cause: &str) -> ([u8; 16], Meta) {
    let meta = Meta {
        actor: person.clone(),
        origin,
        ..Meta::system(inbound, cause)
    };
    (command_id(&["chat", inbound]), meta)
}

/// Creates the chat group of a ticket for a person.
async fn create_group(
    app: &App,
    sn: &TicketSn,
    person: &PersonId,
    language: Language,
    (origin, inbound, cause): (Origin, &str, &str),
) -> Result<Answer, Error> {
    let (id, meta) = identified(person, origin, inbound, cause);
    match chat_groups::request_by(app, sn, person, id, meta).await {
        Ok(()) => Ok(Answer::Done {
            action: chat_groups::label(language),
            sn: sn.to_string(),
        }),
        Err(NotGrouped::Technical(error)) => Err(error),
        Err(reason) => {
            let text = chat_groups::refusal(app, &reason, language).await?;
            Ok(Answer::Refused(text))
        }
    }
}

/// Returns a ticket that the person may read.
async fn readable(
    app: &App,
    sn: &TicketSn,
    person: &PersonId,
) -> Result<Option<TicketCard>, Error> {
    let Some(card) = tickets::card(app, sn).await? else {
        return Ok(None);
    };
    let may = tickets::may(app, Operation::ReadTicket, &card.ticket, person).await?;
    Ok(may.then_some(card))
}

/// Returns the node that waits for the vote of the person. Returns `None` if no node or more than one node waits.
fn single_vote(ticket: &Ticket, person: &PersonId) -> Option<NodeId> {
    let mut waiting = ticket.current().filter(|(_, run)| {
        run.is_vote && run.status == NodeStatus::Running && ticket.may_act(run, person)
    });
    let (node, _) = waiting.next()?;
    waiting.next().is_none().then_some(node)
}

fn status(card: &TicketCard, sn: &TicketSn, language: Language) -> Answer {
    let current = card.ticket.current();
    let nodes: Vec<&str> = current.map(|(_, run)| run.name.as_str()).collect();
    Answer::Status {
        sn: sn.to_string(),
        status: wording::ticket_status(language, card.ticket.status_key()),
        nodes: nodes.join(", "),
    }
}
