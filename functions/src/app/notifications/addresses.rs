//! Suppresses addresses that a provider reported as wrong, and releases them again.

use domain::notification::delivery::Delivery;
use domain::notification::person::{Command, Person, stream};
use domain::notification::suppression::{self, Known, is_settled};
use events::person::{AddressReleased, PersonEvent};
use events::{Meta, Moment, PersonId};
use infra::channel::{self, Channel};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;
use crate::app::history::history_from;

/// One address of a person, without the address itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub kind: String,
    /// True if the desk sends nothing to this address.
    pub is_suppressed: bool,
    /// The code with which the provider reported the address as wrong. The text is empty if there is none.
    pub code: String,
}

/// Returns the preferences and the suppressed addresses of a person.
pub async fn person(app: &App, person: &PersonId) -> Result<Person, Error> {
    Ok(app
        .ledger
        .load::<Person>(&stream(person))
        .await?
        .aggregate
        .0)
}

/// Returns the state of each address of a person, sorted by kind.
pub async fn states(app: &App, id: &PersonId) -> Result<Vec<State>, Error> {
    Ok(states_of(&person(app, id).await?))
}

fn states_of(person: &Person) -> Vec<State> {
    let addresses = person
        .0
        .iter()
        .flat_map(|preferences| &preferences.addresses);
    let state = |(kind, address): (&String, _)| {
        let is_suppressed = suppression::is_suppressed(&person.1, address, Some(kind.as_str()));
        let code = person.1.get(kind).filter(|_| is_suppressed);
        State {
            kind: kind.clone(),
            is_suppressed,
            code: code.map(|one| one.code.clone()).unwrap_or_default(),
        }
    };
    addresses.map(state).collect()
}

/// Suppresses the address of a failed delivery. `delivery` is the name of its event stream, `code` the code of the
/// provider, and `at` the time of its report. `id` identifies this call.
///
/// The desk reads all events again after a loss of the views, so the same report can come again after a long time, when the
/// address was already released. A report that the history of the person contains changes nothing, see [`is_settled`].
pub async fn suppress(
    app: &App,
    id: &str,
    delivery: &str,
    code: &str,
    at: Option<Moment>,
    meta: Meta,
) -> Result<(), Error> {
    let state = app.ledger.load::<Delivery>(delivery).await?.aggregate.0;
    let Some(requested) = &state.requested else {
        return Ok(());
    };
    let kind = channel::find(&requested.channel).map(Channel::address_kind);
    let (Some(kind), false) = (kind, requested.to.is_erased()) else {
        return Ok(());
    };
    let suppressed = suppression::suppressed(kind, &requested.to, code);
    let stream = stream(&requested.person);
    let history = history_from::<PersonEvent>(&app.ledger, &stream, 1).await?;
    let known = history.iter().map(|envelope| Known {
        event: &envelope.event,
        cause: &envelope.meta.causation,
        at: envelope.at,
    });
    if is_settled(known, &suppressed, &meta.causation, at) {
        return Ok(());
    }
    let command = Command::Suppress(suppressed);
    let command_envelope = CommandEnvelope {
        stream,
        command_id: command_id(&["suppress", id]),
        meta,
    };
    app.ledger
        .execute::<Person>(&command_envelope, &command, &NoContext)
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

/// Releases the address of the kind `kind`, and returns the states of all addresses of the person.
pub async fn release(
    app: &App,
    person: &PersonId,
    kind: &str,
    meta: Meta,
) -> Result<Vec<State>, Error> {
    let command = Command::Release(AddressReleased {
        kind: kind.to_owned(),
        by: meta.actor.clone(),
    });
    let command_envelope = CommandEnvelope {
        stream: stream(person),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let outcome = app
        .ledger
        .execute::<Person>(&command_envelope, &command, &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(states_of(&outcome.state))
}
