//! Use cases of tickets: open a ticket, act on it, read it.

pub mod display;
pub mod extras;
pub mod list;
pub mod submit;

use std::time::Duration;

use domain::idempotency_key::{self, IdempotencyKey};
use domain::ticket::{Command, Open, Rejection, Ticket};
use domain::views::ticket_card::TicketCard;
use events::idempotency_key::Reserved;
use events::ticket::Opened;
use events::{Meta, PersonId, TicketSn};
use infra::ledger::{NoContext, command_id};
use infra::store::commit::hex;
use infra::{CommandEnvelope, Error, ExecuteError, Kind, Ledger, Outcome};
use jiff::Timestamp;

use crate::App;
use crate::app::attachments;
use crate::app::cards::read_card;
use crate::app::people::people_in;

/// Maximum number of ticket numbers that are tried if earlier ones are taken.
const COLLISIONS_MAX: u32 = 5;
/// Maximum time that an API waits for the card of the ticket it changed (design 3).
const CARD_WAIT: Duration = Duration::from_secs(1);
/// Longest tag, in characters (reference/bk-itsm.md 3.1).
pub const TAG_MAX: usize = 32;
/// Longest ticket number that is looked up, in bytes; numbers of the desk have 17.
pub const SN_BYTES_MAX: usize = 64;
/// Commits read at once when a ticket's history is folded.
const PAGE: usize = 100;
/// Commits decoded between two yields to other requests.
const COMMITS_AT_ONCE: usize = 16;

/// An idempotency key and the fingerprint of its request.
#[derive(Clone, Debug)]
pub struct Key {
    pub app: String,
    pub key: String,
    /// BLAKE3 of the request, hex. The same key with another request is rejected.
    pub request: String,
}

/// The reason why a ticket was not opened.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    #[error(transparent)]
    Refused(#[from] ExecuteError<Ticket>),
    #[error("the idempotency key was used for another request")]
    KeyReused,
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        Self::Refused(ExecuteError::Technical(error))
    }
}

/// Returns the ticket of an idempotency key, if it is open. Fails if the key belongs to another
/// request.
pub async fn opened_before(app: &App, key: &Key) -> Result<Option<Opened>, NotOpened> {
    let Some((sn, _)) = reserved(app, key).await? else {
        return Ok(None);
    };
    Ok(app
        .ledger
        .load::<Ticket>(&sn.stream())
        .await?
        .aggregate
        .0
        .opened)
}

/// Decides on a request without storing anything.
pub async fn consider(app: &App, open: &Open) -> Result<(), ExecuteError<Ticket>> {
    app.ledger
        .consider(&Command::Open(Box::new(open.clone())), &*app.configuration)
        .await
        .map(drop)
}

/// Registers the unknown people of an accepted request in one call and sets their ids.
pub async fn with_people(app: &App, mut open: Open) -> Result<Open, Error> {
    let workflow = match app.configuration.service(open.service).await?.0.as_ref() {
        Some(service) => {
            app.configuration
                .workflow(service.workflow, service.workflow_version)
                .await?
        }
        None => None,
    };
    let mut people: Vec<PersonId> = open
        .people_mut()
        .into_iter()
        .map(|pid| pid.clone())
        .collect();
    if let Some(workflow) = &workflow {
        people.extend(people_in(&workflow.definition, &open.form));
    }
    let registered = app.people.register(people).await?;
    open.people_mut()
        .into_iter()
        .for_each(|pid| registered.put(pid));
    if let Some(workflow) = &workflow {
        registered.put_in(&workflow.definition, &mut open.form);
    }
    Ok(open)
}

/// Opens a ticket under a new number, or under the number that its key has. Sets `open.sn` and
/// `open.id`.
pub async fn open(
    app: &App,
    mut open: Open,
    meta: &Meta,
    key: Option<Key>,
) -> Result<Outcome<Ticket>, NotOpened> {
    let kind = app
        .configuration
        .service(open.service)
        .await?
        .0
        .as_ref()
        .map(|service| service.kind);
    let Some(kind) = kind else {
        return Err(ExecuteError::Rejected(Rejection::ServiceUnknown(open.service)).into());
    };
    let day = Timestamp::from_millisecond(app.ledger.clock.now().0)
        .unwrap_or_default()
        .to_zoned_datetime(app.settings.zone.clone())
        .date();
    for _ in 0..COLLISIONS_MAX {
        let (sn, id) = match &key {
            None => next_number(app, kind, day, meta).await?,
            Some(key) => match reserved(app, key).await? {
                Some(reserved) => reserved,
                None => reserve(app, key, next_number(app, kind, day, meta).await?, meta).await?,
            },
        };
        (open.sn, open.id) = (sn.clone(), id);
        let command = Command::Open(Box::new(open.clone()));
        let foreseen = attachments::attach_for(app, &sn, &command, meta).await?;
        let command_envelope = CommandEnvelope {
            stream: sn.stream(),
            command_id: command_id(&["open", sn.as_str()]),
            meta: meta.clone(),
        };
        match app
            .ledger
            .execute(&command_envelope, &command, &*app.configuration)
            .await
        {
            Err(ExecuteError::Rejected(Rejection::Exists)) if key.is_some() => {
                return existing(&app.ledger, &command_envelope.stream)
                    .await
                    .map_err(NotOpened::from);
            }
            Err(ExecuteError::Rejected(Rejection::Exists)) => {}
            // The number was somebody else's ticket under the same derived id: never take it for ours.
            Ok(outcome) if outcome.repeated && key.is_none() => {}
            other => {
                let outcome = other?;
                if !foreseen {
                    attachments::attach_after(app, &sn, &command, &outcome.state, meta).await?;
                }
                return Ok(outcome);
            }
        }
    }
    Err(Error::new(Kind::Conflict, "every number that was tried is taken").into())
}

/// Returns whether a person may see a ticket ([`Ticket::may_see`]).
pub async fn may_see(app: &App, ticket: &Ticket, by: &PersonId) -> Result<bool, Error> {
    allowed(
        app.ledger
            .ask(&*app.configuration, |context| ticket.may_see(by, context))
            .await,
    )
}

/// Returns whether a person works on a ticket ([`Ticket::works_on`]).
pub async fn works_on(app: &App, ticket: &Ticket, by: &PersonId) -> Result<bool, Error> {
    allowed(
        app.ledger
            .ask(&*app.configuration, |context| ticket.works_on(by, context))
            .await,
    )
}

/// Access to a ticket that does not exist is denied.
fn allowed(answer: Result<bool, ExecuteError<Ticket>>) -> Result<bool, Error> {
    match answer {
        Ok(may) => Ok(may),
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// The reason why a ticket cannot be raised from another one.
#[derive(Debug, thiserror::Error)]
pub enum NotRaised {
    #[error("the ticket it is raised from does not exist")]
    Unknown,
    #[error("the ticket it is raised from is over")]
    Ended,
    #[error("this user has nothing to do with the ticket it is raised from")]
    UnknownPerson,
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Checks that a ticket may be raised from another one: that one has not ended, and the person may
/// see it (reference/bk-itsm.md 3.1, `from_ticket_id`).
pub async fn may_raise(app: &App, from: &TicketSn, by: &PersonId) -> Result<(), NotRaised> {
    let card = card(app, from).await?.ok_or(NotRaised::Unknown)?;
    if card.ticket.status.is_over() {
        return Err(NotRaised::Ended);
    }
    if may_see(app, &card.ticket, by).await? {
        Ok(())
    } else {
        Err(NotRaised::UnknownPerson)
    }
}

async fn next_number(
    app: &App,
    kind: events::ticket::ServiceKind,
    day: jiff::civil::Date,
    meta: &Meta,
) -> Result<(TicketSn, i64), Error> {
    app.numbers
        .next(kind, day, meta)
        .await
        .map_err(|failure| match failure {
            ExecuteError::Technical(error) => error,
            ExecuteError::Rejected(rejection) => {
                Error::new(Kind::Unavailable, rejection.to_string())
            }
        })
}

async fn existing(ledger: &Ledger, stream: &str) -> Result<Outcome<Ticket>, Error> {
    let context = ledger.load::<Ticket>(stream).await?;
    let at = ledger.clock.now();
    Ok(Outcome {
        last: context.next - 1,
        state: context.aggregate.0,
        events: Vec::new(),
        at,
        position: None,
        repeated: true,
    })
}

fn key_stream(key: &Key) -> String {
    format!(
        "idempotency_key-{}",
        hex(&command_id(&["idempotency_key", &key.app, &key.key]))
    )
}

async fn reserved(app: &App, key: &Key) -> Result<Option<(TicketSn, i64)>, NotOpened> {
    let bound = app
        .ledger
        .load::<IdempotencyKey>(&key_stream(key))
        .await?
        .aggregate
        .0;
    match bound.reserved {
        Some(reserved) if reserved.request != key.request => Err(NotOpened::KeyReused),
        reserved => Ok(reserved.map(|reserved| (reserved.sn, reserved.id))),
    }
}

async fn reserve(
    app: &App,
    key: &Key,
    (sn, id): (TicketSn, i64),
    meta: &Meta,
) -> Result<(TicketSn, i64), NotOpened> {
    let wanted = Reserved {
        sn,
        id,
        request: key.request.clone(),
    };
    let command_envelope = CommandEnvelope {
        stream: key_stream(key),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    match app
        .ledger
        .execute::<IdempotencyKey>(
            &command_envelope,
            &idempotency_key::Command(wanted.clone()),
            &NoContext,
        )
        .await
    {
        Ok(_) => Ok((wanted.sn, wanted.id)),
        Err(ExecuteError::Rejected(idempotency_key::Rejection::AlreadyReserved(first))) => {
            Ok((first.sn, first.id))
        }
        Err(ExecuteError::Rejected(idempotency_key::Rejection::KeyReused)) => {
            Err(NotOpened::KeyReused)
        }
        Err(ExecuteError::Technical(error)) => Err(error.into()),
    }
}

/// Executes a command on a ticket.
pub async fn act(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    meta: &Meta,
    command_id: [u8; 16],
) -> Result<Outcome<Ticket>, ExecuteError<Ticket>> {
    act_at(app, sn, command, meta, command_id, None).await
}

/// Executes a command if the ticket is at the version that the caller has read, if one is given
/// ([`Ledger::execute_at`]). Unknown people of an accepted command are registered in one call.
pub async fn act_at(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    meta: &Meta,
    command_id: [u8; 16],
    version: Option<i64>,
) -> Result<Outcome<Ticket>, ExecuteError<Ticket>> {
    if sn.as_str().len() > SN_BYTES_MAX {
        return Err(ExecuteError::Rejected(Rejection::Unknown));
    }
    match act_as_known(app, sn, command, meta, command_id, version).await {
        Err(ExecuteError::Rejected(Rejection::UnknownPerson(_))) => {
            let (mut command, mut meta) = (command.clone(), meta.clone());
            let ticket = app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0;
            let workflow = match &ticket.opened {
                Some(opened) => {
                    app.configuration
                        .workflow(opened.workflow, opened.workflow_version)
                        .await?
                }
                None => None,
            };
            let mut people: Vec<PersonId> = command
                .people_mut()
                .into_iter()
                .map(|pid| pid.clone())
                .collect();
            people.push(meta.actor.clone());
            if let Some(workflow) = &workflow {
                people.extend(people_in(&workflow.definition, command.form()));
            }
            let registered = app.people.register(people).await?;
            command
                .people_mut()
                .into_iter()
                .chain([&mut meta.actor])
                .for_each(|pid| registered.put(pid));
            if let Some(workflow) = &workflow {
                registered.put_in(&workflow.definition, command.form_mut());
            }
            act_as_known(app, sn, &command, &meta, command_id, version).await
        }
        done => done,
    }
}

/// Returns whether a command id was already executed on a ticket. A repeated request is answered
/// before any other check.
pub async fn is_done(app: &App, sn: &TicketSn, command_id: &[u8; 16]) -> Result<bool, Error> {
    Ok(sn.as_str().len() <= SN_BYTES_MAX
        && app
            .ledger
            .load::<Ticket>(&sn.stream())
            .await?
            .knows(command_id))
}

/// Executes a command after its files are attached to the ticket, so that no file of a ticket is
/// removed.
async fn act_as_known(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    meta: &Meta,
    command_id: [u8; 16],
    version: Option<i64>,
) -> Result<Outcome<Ticket>, ExecuteError<Ticket>> {
    let foreseen = attachments::attach_for(app, sn, command, meta).await?;
    let command_envelope = CommandEnvelope {
        stream: sn.stream(),
        command_id,
        meta: meta.clone(),
    };
    let outcome = app
        .ledger
        .execute_at(&command_envelope, version, command, &*app.configuration)
        .await?;
    if !foreseen {
        attachments::attach_after(app, sn, command, &outcome.state, meta).await?;
    }
    Ok(outcome)
}

/// Waits a bounded time until lists show the commit. A late follower does not fail the command.
pub async fn await_card(app: &App, position: Option<i64>) {
    let Some(position) = position else { return };
    let mut followed = app.followed.subscribe();
    let _ = tokio::time::timeout(
        CARD_WAIT,
        followed.wait_for(|followed| *followed >= position),
    )
    .await;
}

/// Reads one ticket from its stream; `None` if it does not exist. The state comes from the last
/// snapshot, times and people from the card and the commits after it, so the length of the history
/// does not matter.
pub async fn card(app: &App, sn: &TicketSn) -> Result<Option<TicketCard>, Error> {
    // No number is this long, and no store takes keys of any length.
    if sn.as_str().len() > SN_BYTES_MAX {
        return Ok(None);
    }
    let stream = sn.stream();
    let stored = app.views.get("ticket", &stream).await?;
    let from = stored.as_ref().map_or(0, |document| document.sequence) + 1;
    let mut card: TicketCard = match &stored {
        Some(document) => read_card(&app.ledger, &stream, document).await?,
        None => TicketCard::default(),
    };
    for envelope in history_from(&app.ledger, &stream, from).await? {
        card.fold(&envelope);
    }
    // The stream is newer than the view, where they differ.
    card.ticket = app.ledger.load::<Ticket>(&stream).await?.aggregate.0;
    Ok(card.ticket.opened.is_some().then_some(card))
}

/// Returns every event of a ticket, oldest first.
pub async fn history(
    ledger: &Ledger,
    stream: &str,
) -> Result<Vec<domain::Envelope<events::ticket::TicketEvent>>, Error> {
    history_from(ledger, stream, 1).await
}

/// Returns the events of a ticket from a sequence on.
async fn history_from(
    ledger: &Ledger,
    stream: &str,
    mut from: i64,
) -> Result<Vec<domain::Envelope<events::ticket::TicketEvent>>, Error> {
    let mut history = Vec::new();
    loop {
        let page = ledger.store.forward(stream, from, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(history);
        };
        from = last.next();
        for (at, commit) in page.iter().enumerate() {
            // Keys come from memory, without waiting: a long history lets other requests go on in between.
            if at % COMMITS_AT_ONCE == COMMITS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            history.extend(ledger.envelopes(commit).await?);
        }
    }
}
