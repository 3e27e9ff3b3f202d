//! Submits a ticket, in one sequence of steps for all APIs.
//!
//! An API translates its request into a [`Submission`] and the outcome into its response. A
//! repeated idempotency key is answered before that by [`super::opened_before`], because its
//! service may have changed since.

use std::collections::BTreeMap;

use domain::ticket::Open;
use events::draft::FormRef;
use events::ticket::Opened;
use events::{Meta, PersonId};
use infra::{Error, Kind};

use super::{
    Key, NotOpened, NotRaised, await_card, consider, extras, may_raise, open, with_people,
};
use crate::App;
use crate::app::drafts;
use crate::app::outbound::Receiver;

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
