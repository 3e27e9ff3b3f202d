//! Opens a new ticket for a request of any API.
//!
//! Each API converts its request to a [`Submission`], and converts the result to its response. For
//! a request with an idempotency key, the API first calls [`super::idempotency::opened_before`]. If
//! the request is a repetition, that function returns the ticket of the earlier request. A repeated
//! request must not be checked again. The service may have changed since the first request, and the
//! check could then reject the repetition.

use std::collections::BTreeMap;

use domain::number_sequence;
use domain::permission::Operation;
use domain::ticket::{Command, Open, Rejection, Ticket};
use events::draft::FormRef;
use events::ticket::Opened;
use events::{Meta, PersonId, TicketSn};
use infra::ledger::command_id;
use infra::{CommandEnvelope, Error, ExecuteError, Kind, Ledger, Outcome};
use jiff::Timestamp;

use super::act::await_card;
use super::extras;
use super::idempotency::{Key, NotOpened, reserve, reserved};
use super::read::{card, may};
use crate::App;
use crate::app::numbers::date_number;
use crate::app::outbound::Receiver;
use crate::app::people::people_in;
use crate::app::{attachments, drafts};

/// Maximum number of attempts to find an unused ticket number.
const COLLISIONS_MAX: u32 = 5;
/// Maximum length of a tag, in characters (reference/bk-itsm.md 3.1).
pub const TAG_MAX: usize = 32;

/// The input of [`submit`]: the command that opens the ticket, the variables, the callback
/// receiver, and the idempotency key of the request. The variables and the callback receiver can
/// contain secrets.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The command that opens the ticket. Possibly some people in the command are not registered yet.
    /// The function [`submit`] registers these people, and writes their person ids and the ticket
    /// number into the command.
    pub open: Open,
    /// The variables for automatic workflow nodes, by variable name. The values may be secrets. The
    /// variables are therefore stored in the key store and not in the ledger.
    pub variables: BTreeMap<String, String>,
    /// The URL and the headers for callbacks about the ticket. This value is set if `open.callback`
    /// is set. The URL and the headers may be secrets, so they are stored in the key store.
    pub receiver: Option<Receiver>,
    /// The idempotency key of the request. The value is `None` if the request has no key.
    pub key: Option<Key>,
}

/// The reason why a request did not open a ticket.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    #[error(transparent)]
    NotRaised(#[from] NotRaised),
}

impl From<Error> for SubmitError {
    fn from(error: Error) -> Self {
        Self::NotOpened(error.into())
    }
}

/// Opens a new ticket in these steps:
///
/// - Check the request. If the new ticket is created from an existing ticket, also check the existing
///   ticket.
/// - Register people without a person id. Store the variables and the callback receiver in the key
///   store, because these values can be secrets.
/// - Open the ticket, and delete the draft of this ticket.
/// - Wait until the card (the stored summary of the ticket) is stored, because ticket lists are read
///   from the cards.
///
/// If a check fails, no data is stored and no person is registered. Otherwise, the function returns
/// the event that opened the ticket.
///
/// The parameter `meta` is a function that returns the metadata of the commit. Its argument is the
/// person id of the creator.
pub async fn submit(
    app: &App,
    submission: Submission,
    meta: impl FnOnce(&PersonId) -> Meta,
) -> Result<Opened, SubmitError> {
    let (opened, position) = submit_without_wait(app, submission, meta).await?;
    await_card(app, position).await;
    Ok(opened)
}

/// Does the same as [`submit`], but does not wait until the card of the ticket is stored. Also returns the position of
/// the commit in the feed, with which the caller can wait later. The position is `None` if this call opened no ticket.
pub async fn submit_without_wait(
    app: &App,
    submission: Submission,
    meta: impl FnOnce(&PersonId) -> Meta,
) -> Result<(Opened, Option<i64>), SubmitError> {
    let Submission {
        open: requested,
        variables,
        receiver,
        key,
    } = submission;
    consider(app, &requested).await.map_err(NotOpened::from)?;
    if let Some(from) = &requested.from {
        may_raise(app, from, submitter(&requested)).await?;
    }
    let mut requested = with_people(app, requested).await.map_err(NotOpened::from)?;
    requested.variables = extras::keep_variables(app, &requested.creator, &variables).await?;
    if let (Some(callback), Some(receiver)) = (&mut requested.callback, &receiver) {
        extras::keep_receiver(app, callback, receiver).await?;
    }
    let meta = meta(&requested.creator);
    let (submitter, form) = (
        submitter(&requested).clone(),
        FormRef::Service(requested.service),
    );
    let outcome = open(app, requested, &meta, key).await?;
    let by_submitter = Meta {
        actor: submitter.clone(),
        ..meta
    };
    drafts::sent(app, &submitter, &form, &by_submitter).await;
    let not_opened = || Error::new(Kind::Corrupt, "an accepted ticket was not opened");
    let opened = outcome.state.opened.ok_or_else(not_opened)?;
    Ok((opened, outcome.position))
}

/// Returns the person who submits the ticket. If an agent acts for the creator, this person is the
/// agent. Otherwise, this person is the creator.
fn submitter(open: &Open) -> &PersonId {
    open.agent.as_ref().unwrap_or(&open.creator)
}

/// Checks whether the ledger would accept the command that opens a ticket. Returns an error if the
/// ledger would reject the command. This function stores no data.
pub async fn consider(app: &App, open: &Open) -> Result<(), ExecuteError<Ticket>> {
    app.ledger
        .consider(&Command::Open(Box::new(open.clone())), &*app.configuration)
        .await
        .map(drop)
}

/// Registers all people in the command who have no person id yet. Returns the command with the new
/// person ids. The caller must check the command first, because people in a rejected command must
/// not be registered.
///
/// If the directory lists people and one of the people is not in it, the command is rejected.
pub async fn with_people(app: &App, mut open: Open) -> Result<Open, ExecuteError<Ticket>> {
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
    if let Some(absent) = app.people.first_absent(&people).await? {
        return Err(ExecuteError::Rejected(Rejection::UnknownPerson(absent)));
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

/// Opens a ticket with a new ticket number, and returns the result of the command. If an earlier
/// request with the same idempotency key has reserved a number, this function uses the reserved
/// number. The number is written into `open.sn` and `open.id`.
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
            // An earlier request already opened a ticket with this number. Its command has the same
            // command id as the new command. The ledger therefore returned the result of the
            // earlier command. The loop tries the next number.
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

/// The reason why a ticket cannot be created from another ticket.
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

/// Checks whether the person `by` may create a new ticket from the existing ticket `from`. A
/// request contains the number of the existing ticket in the field `from_ticket_id`
/// (reference/bk-itsm.md 3.1).
///
/// Returns an error if the existing ticket is ended or the person has no permission to see this
/// ticket.
pub async fn may_raise(app: &App, from: &TicketSn, by: &PersonId) -> Result<(), NotRaised> {
    let card = card(app, from).await?.ok_or(NotRaised::Unknown)?;
    if card.ticket.status.is_over() {
        return Err(NotRaised::Ended);
    }
    if may(app, Operation::TakePart, &card.ticket, by).await? {
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
    let counter = app.numbers.next(kind.prefix(), day, meta).await;
    let counter = counter.map_err(|failure| match failure {
        ExecuteError::Technical(error) => error,
        ExecuteError::Rejected(rejection) => Error::new(Kind::Unavailable, rejection.to_string()),
    })?;
    Ok(number_sequence::number(kind, date_number(day), counter))
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
