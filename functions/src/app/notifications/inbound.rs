//! Receives the messages that people send from chats, and executes their commands. A message is first verified and stored.
//! The queue `notify` executes its command later, as the person to whom the chat account is linked.

use std::time::Duration;

use domain::notification::action::Action;
use domain::notification::grammar::{self, Said, Verb};
use domain::permission::Operation;
use domain::ticket::{Command, Ticket};
use domain::views::ticket_card::TicketCard;
use events::channel_account::Defined;
use events::person::Language;
use events::ticket::NodeStatus;
use events::{Meta, NodeId, Origin, PersonId, TicketSn};
use infra::http::{HttpRequest, Url, origin};
use infra::inbound::{self, Answer as Response, Inbound, Message, Refusal, ReplyTo, Verified};
use infra::ledger::command_id;
use infra::{Error, ExecuteError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::actions::{self, NotActed};
use super::answers::Answer;
use super::{identities, preferences, unanswered};
use crate::App;
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
/// Maximum time to send an answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of the response to an answer, in bytes.
const RESPONSE_BYTES_MAX: usize = 4_096;

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
struct Stored {
    platform: String,
    message: Message,
}

/// Verifies a request of a platform, and stores its message. Returns the response to the platform. A repeated message is
/// stored once.
pub async fn receive(
    app: &App,
    platform: &str,
    account: &str,
    request: &inbound::Request<'_>,
) -> Result<Response, NotReceived> {
    let platform = inbound::find(platform).ok_or(NotReceived::Unknown)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if account.len() > ACCOUNT_BYTES_MAX || !account.bytes().all(is_name) {
        return Err(NotReceived::Unknown);
    }
    let now = app.ledger.clock.now();
    app.limits.asked(Of::new(LIMITED_AS, Some(account)), now)?;
    let secrets = secrets(app, account).await?;
    if secrets.is_empty() {
        return Err(NotReceived::Unknown);
    }
    let defined = app.configuration.channel_account(account).await?;
    if defined.is_none_or(|defined| !defined.is_enabled) {
        return Err(NotReceived::Unknown);
    }
    let (body, id, problem) = match inbound::verify(platform, request, &secrets, now) {
        Ok(Verified::Challenge(answer)) => return Ok(answer),
        Ok(Verified::Nothing) => return Ok(platform.stored()),
        Ok(Verified::Message(message)) => {
            let id = message.id.clone();
            let stored = Stored {
                platform: platform.name().to_owned(),
                message,
            };
            let body = serde_json::to_vec(&stored).unwrap_or_default();
            (body, Some(id), None)
        }
        Err(Refusal::Unreadable(reason)) => (request.body.to_vec(), None, Some(reason)),
        Err(refusal) => return Err(NotReceived::Refused(refusal)),
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
        None => Ok(platform.stored()),
        Some(reason) => Err(NotReceived::Refused(Refusal::Unreadable(reason))),
    }
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
    let body = callbacks::body_of(app, inbound).await?.unwrap_or_default();
    let stored = serde_json::from_slice::<Stored>(&body);
    let stored = stored.map_err(|error| Error::corrupt(format!("{inbound}: {error}")))?;
    let Some(platform) = inbound::find(&stored.platform) else {
        return Ok(());
    };
    let (answer, language) = match answer(app, platform, &stored.message, inbound, cause).await {
        Ok(answered) => answered,
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => {
            tracing::error!(%error, inbound, "cannot execute the command of a chat message");
            (Answer::Error, Language::default())
        }
    };
    tracing::info!(inbound, answer = answer.kind(), "chat message processed");
    if let Some(to) = &stored.message.reply {
        let defined = app.configuration.channel_account(account).await?;
        send(app, platform, defined.as_ref(), to, &answer.text(language)).await;
    }
    Ok(())
}

/// Executes the command of a message as the person to whom the chat account is linked.
async fn answer(
    app: &App,
    platform: &dyn Inbound,
    message: &Message,
    inbound: &str,
    cause: &str,
) -> Result<(Answer, Language), Error> {
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
            Some(person) => (Answer::Linked, language_of(app, &person).await?),
            None => (Answer::CodeWrong, Language::default()),
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
        return Ok((Answer::NotLinked, Language::default()));
    };
    let language = language_of(app, &person).await?;
    let answer = match &message.value {
        Some(value) => press(app, value, &person, language, inbound).await?,
        None => execute(app, &said, &person, language, inbound, cause).await?,
    };
    Ok((answer, language))
}

async fn language_of(app: &App, person: &PersonId) -> Result<Language, Error> {
    Ok(preferences::read(app, person).await?.language)
}

/// Executes the action of a button that the person pressed.
async fn press(
    app: &App,
    value: &str,
    person: &PersonId,
    language: Language,
    inbound: &str,
) -> Result<Answer, Error> {
    let acted = match actions::pending(app, value).await {
        // A button in a group can be pressed by another person.
        Ok(pending) if pending.claim.person != *person => Err(NotActed::Unknown),
        Ok(_) => Box::pin(actions::act(app, value, "", None, Origin::Chat, inbound)).await,
        Err(reason) => Err(reason),
    };
    Ok(match acted {
        Ok(pending) => Answer::Done {
            action: pending.claim.action.label(language),
            sn: pending.requested.ticket.to_string(),
        },
        Err(NotActed::Rejected(rejection)) => {
            Answer::Refused(wording::named_rejection(app, language, &rejection).await?)
        }
        Err(NotActed::Unknown) => Answer::Unknown,
        Err(NotActed::Expired) => Answer::Expired,
        Err(NotActed::Used) => Answer::Used,
        Err(NotActed::Stale | NotActed::Changed) => Answer::Stale,
        Err(NotActed::TextRequired) => Answer::TextMissing,
        Err(NotActed::Technical(error)) => return Err(error),
    })
}

/// Executes a written command.
async fn execute(
    app: &App,
    said: &Said,
    person: &PersonId,
    language: Language,
    inbound: &str,
    cause: &str,
) -> Result<Answer, Error> {
    let action = match said.verb {
        Verb::Acknowledge => Some(Action::Acknowledge),
        Verb::Resolve => Some(Action::Resolve),
        Verb::Comment => Some(Action::Comment),
        Verb::Escalate => Some(Action::Escalate),
        Verb::Approve => Some(Action::Approve),
        Verb::Reject => Some(Action::Reject),
        Verb::Status => None,
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
        return Ok(status(&card, sn, language));
    };
    if action == Action::Comment && said.text.is_empty() {
        return Ok(Answer::TextMissing);
    }
    let node = match action {
        Action::Approve | Action::Reject => single_vote(&card.ticket, person),
        _ => None,
    };
    let Some(command) = action.command(person, node, &said.text) else {
        return Ok(Answer::NoSingleVote);
    };
    match act(app, sn, &command, person, inbound, cause).await {
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
    inbound: &str,
    cause: &str,
) -> Result<(), ExecuteError<Ticket>> {
    let meta = Meta {
        actor: person.clone(),
        origin: Origin::Chat,
        ..Meta::system(inbound, cause)
    };
    let id = command_id(&["chat", inbound]);
    Box::pin(tickets::act(app, sn, command, &meta, id, None))
        .await
        .map(drop)
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

/// Sends an answer to the address in the message. The address must belong to the platform, or to the host of the channel
/// account. A failure is only logged, because the command is already done.
async fn send(
    app: &App,
    platform: &dyn Inbound,
    account: Option<&Defined>,
    to: &ReplyTo,
    text: &str,
) {
    let has_expired = to.until.is_some_and(|until| until < app.ledger.clock.now());
    if has_expired || !may_receive(platform, account, &to.url) {
        tracing::warn!(
            platform = platform.name(),
            has_expired,
            "no answer is sent to a chat message"
        );
        return;
    }
    let request = HttpRequest {
        method: "POST".into(),
        url: to.url.clone(),
        headers: Vec::new(),
        body: platform.reply(text).to_string().into_bytes(),
        timeout: REPLY_TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    };
    let Some(_slot) = app.targets.enter(&origin(&to.url)) else {
        tracing::warn!(
            platform = platform.name(),
            "an answer to a chat message was not sent, because too many requests are open"
        );
        return;
    };
    if app.http.send(&request).await.is_err() {
        tracing::warn!(
            platform = platform.name(),
            "an answer to a chat message was not sent"
        );
    }
}

/// Returns true if answers may be sent to an address.
fn may_receive(platform: &dyn Inbound, account: Option<&Defined>, url: &str) -> bool {
    let Ok(url) = url.parse::<Url>() else {
        return false;
    };
    let is_of_platform = url.scheme() == "https"
        && url.port().is_none()
        && platform.reply_host().is_some()
        && url.host_str() == platform.reply_host();
    let own = account.and_then(|account| account.settings.get("url"));
    let own = own.and_then(Value::as_str).map(str::parse::<Url>);
    let is_own = own.is_some_and(|own| own.is_ok_and(|own| own.origin() == url.origin()));
    is_of_platform || is_own
}
