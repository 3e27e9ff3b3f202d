//! Submits a ticket, in one sequence of steps for all APIs.
//!
//! An API translates its request into a [`Submission`] and the outcome into its response. A
//! repeated idempotency key is answered before that by
//! [`super::idempotency::opened_before`], because its
//! service may have changed since.

use std::collections::BTreeMap;

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
use super::read::{card, may_see};
use crate::App;
use crate::app::outbound::Receiver;
use crate::app::people::people_in;
use crate::app::{attachments, drafts};

/// Maximum number of ticket numbers that are tried if earlier ones are taken.
const COLLISIONS_MAX: u32 = 5;
/// Longest tag, in characters (reference/bk-itsm.md 3.1).
pub const TAG_MAX: usize = 32;

/// A request for a ticket.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The command; people may still be unknown, the number is set by [`submit`].
    pub open: Open,
    /// Variables for automatic nodes by name. The key store keeps them, because they may be
    /// secrets.
    pub variables: BTreeMap<String, String>,
    /// The receiver of callbacks, if `open.callback` is set. The key store keeps it.
    pub receiver: Option<Receiver>,
    /// The idempotency key of the request.
    pub key: Option<Key>,
}

/// The reason why a ticket was not submitted.
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

/// Submits a ticket: dry run, relation, registration of people, secrets, opening, removal of the
/// draft, waiting for the card.
///
/// `meta` makes the metadata of the commit from the id of the creator. Nothing is stored and no
/// person is registered if the dry run or the relation is rejected.
pub async fn submit(
    app: &App,
    submission: Submission,
    meta: impl FnOnce(&PersonId) -> Meta,
) -> Result<Opened, SubmitError> {
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
    let mut requested = with_people(app, requested).await?;
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
    await_card(app, outcome.position).await;
    let not_opened = || Error::new(Kind::Corrupt, "an accepted ticket was not opened");
    outcome.state.opened.ok_or_else(|| not_opened().into())
}

/// Returns the person who submits: the agent, or the creator if there is none.
fn submitter(open: &Open) -> &PersonId {
    open.agent.as_ref().unwrap_or(&open.creator)
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
            // Another request opened a ticket under this number and therefore under the same command id.
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
