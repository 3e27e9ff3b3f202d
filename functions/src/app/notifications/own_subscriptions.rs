//! Manages the subscriptions that people make themselves, and notifies these people of tickets that meet a condition. Only
//! tickets that the person may read count.

use std::collections::BTreeSet;

use domain::intent::{About, Notify, effect_id};
use domain::notification::own_subscription::{
    Command, OwnSubscription, OwnSubscriptions, Rejection, SUBSCRIPTIONS_MAX, Subscriber, stream,
};
use domain::permission::Operation;
use domain::views::Card as _;
use domain::views::ticket_card::TicketCard;
use events::notification::Role;
use events::notification_policy::Occasion;
use events::{Meta, PersonId};
use infra::ledger::NoContext;
use infra::views::Range;
use infra::{CommandEnvelope, Error, ExecuteError};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::notify;
use super::subscribers::{ClauseEntry, group, holds};
use crate::App;
use crate::app::automation::evaluate_rules::variables;
use crate::app::cards::{documents_of, stored_card};
use crate::app::tickets;

/// Maximum number of subscriptions of one person.
pub const MOST: usize = SUBSCRIPTIONS_MAX;
/// Maximum number of entries in the condition of one subscription.
const ENTRIES_MAX: usize = 20;
/// Maximum length of a key in a condition, in bytes.
const KEY_BYTES_MAX: usize = 100;
/// Maximum size of a value in a condition as JSON, in bytes.
const VALUE_BYTES_MAX: usize = 1_000;
/// Maximum number of people whose subscriptions the desk evaluates for one event. If more people have a subscription for
/// the same occasion, the others get no notification, and the log has an error.
pub const PEOPLE_MAX: usize = 1_000;

/// A subscription in the body of a request.
#[derive(Debug, Deserialize)]
struct Entry {
    on: Vec<Occasion>,
    #[serde(default)]
    when: Vec<ClauseEntry>,
    #[serde(default)]
    paused: bool,
}

/// The reason why a subscription in a request is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The JSON pointer of the wrong member, such as `/when/0/key`.
    pub field: String,
    pub reason: String,
}

/// The reason why the subscriptions of a person are not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    #[error(transparent)]
    Rejected(Rejection),
    #[error(transparent)]
    Technical(#[from] Error),
}

impl From<ExecuteError<OwnSubscriptions>> for NotChanged {
    fn from(failure: ExecuteError<OwnSubscriptions>) -> Self {
        match failure {
            ExecuteError::Rejected(rejection) => Self::Rejected(rejection),
            ExecuteError::Technical(error) => Self::Technical(error),
        }
    }
}

/// Reads the subscription `name` from the body of a request.
pub fn read(name: &str, body: &Map<String, Value>) -> Result<OwnSubscription, Wrong> {
    let wrong = |field: &str, reason: String| Wrong {
        field: field.to_owned(),
        reason,
    };
    let entry: Entry = serde_json::from_value(Value::Object(body.clone()))
        .map_err(|error| wrong("/on", error.to_string()))?;
    if entry.on.is_empty() {
        let reason = "must contain at least one occasion".to_owned();
        return Err(wrong("/on", reason));
    }
    if entry.when.len() > ENTRIES_MAX {
        let reason = format!("must have at most {ENTRIES_MAX} entries");
        return Err(wrong("/when", reason));
    }
    let when = group(entry.when);
    for (at, clause) in when.expressions.iter().enumerate() {
        if clause.key.trim().is_empty() || clause.key.len() > KEY_BYTES_MAX {
            let reason = format!("must have 1 to {KEY_BYTES_MAX} bytes");
            return Err(wrong(&format!("/when/{at}/key"), reason));
        }
        if clause.value.to_string().len() > VALUE_BYTES_MAX {
            let reason = format!("must have at most {VALUE_BYTES_MAX} bytes as JSON");
            return Err(wrong(&format!("/when/{at}/value"), reason));
        }
    }
    let on: BTreeSet<Occasion> = entry.on.into_iter().collect();
    Ok(OwnSubscription {
        name: name.to_owned(),
        on: on.into_iter().collect(),
        when,
        is_paused: entry.paused,
    })
}

/// Returns the subscriptions of a person, sorted by their names.
pub async fn list(app: &App, person: &PersonId) -> Result<Vec<OwnSubscription>, Error> {
    let loaded = app.ledger.load::<OwnSubscriptions>(&stream(person)).await?;
    Ok(loaded.aggregate.0.list())
}

/// Executes a command, and returns all subscriptions of the person.
pub async fn change(
    app: &App,
    person: &PersonId,
    command: &Command,
    meta: Meta,
) -> Result<Vec<OwnSubscription>, NotChanged> {
    let command_envelope = CommandEnvelope {
        stream: stream(person),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let outcome = app
        .ledger
        .execute::<OwnSubscriptions>(&command_envelope, command, &NoContext)
        .await?;
    Ok(outcome.state.list())
}

/// Removes all subscriptions of a person who is erased. A second call does nothing.
pub(crate) async fn clear(app: &App, person: &PersonId) -> Result<(), Error> {
    let stream = stream(person);
    if app
        .ledger
        .load::<OwnSubscriptions>(&stream)
        .await?
        .aggregate
        .0
        .0
        .is_none()
    {
        return Ok(());
    }
    let command = Command::Clear {
        by: PersonId::system(),
    };
    let (id, meta) = (app.ledger.fresh_id(), Meta::system("erasure", "erasure"));
    app.must_execute::<OwnSubscriptions>(&stream, id, meta, &command)
        .await
        .map(drop)
}

/// Creates a notification for each person with an own subscription whose condition the ticket meets. A person in
/// `notified` gets none, and a person gets at most one for one event. `id` identifies this call.
pub(super) async fn notify(
    app: &App,
    id: &str,
    occasion: Occasion,
    about: &About,
    card: &TicketCard,
    notified: &[PersonId],
) -> Result<(), Error> {
    let mut people = people(app, occasion).await?;
    people.retain(|person| !notified.contains(person));
    if people.is_empty() {
        return Ok(());
    }
    let variables = variables(app, card).await?;
    for person in people {
        let own = list(app, &person).await?;
        let mut active = own.iter().filter(|one| !one.is_paused);
        let matching =
            active.find(|one| one.on.contains(&occasion) && holds(&one.when, &variables));
        let Some(subscription) = matching else {
            continue;
        };
        // A notification about a ticket that the person may not read would show that the ticket exists.
        if !tickets::may(app, Operation::ReadTicket, &card.ticket, &person).await? {
            continue;
        }
        let own_id = effect_id("notify_own_subscribers", id, &person.0);
        let request = Notify {
            role: Role::OwnSubscriber,
            accounts: Vec::new(),
            about: About {
                node: None,
                name: subscription.name.clone(),
                ..about.clone()
            },
            person,
        };
        notify::request(app, &own_id, request).await?;
    }
    Ok(())
}

/// Returns the people who have a subscription for an occasion. The list comes from a view (a table that is updated after
/// each commit).
async fn people(app: &App, occasion: Occasion) -> Result<Vec<PersonId>, Error> {
    let name = occasion.name();
    let (from, to) = (format!("{name}|"), format!("{name}|~"));
    let range = Range {
        view: Subscriber::VIEW,
        index: "occasion",
        from: &from,
        to: &to,
        descending: false,
        skip: 0,
        limit: PEOPLE_MAX + 1,
    };
    let mut keys = app.views.range(range).await?;
    if keys.len() > PEOPLE_MAX {
        tracing::error!(
            occasion = name,
            most = PEOPLE_MAX,
            "too many people have a subscription for the same occasion; some get no notification"
        );
        keys.truncate(PEOPLE_MAX);
    }
    let keys = keys.into_iter().map(|entry| entry.key);
    let mut people = Vec::new();
    for (key, document) in documents_of(app, Subscriber::VIEW, keys).await? {
        if let Some(document) = document {
            let card: Subscriber = stored_card(&key, &document)?;
            people.extend(card.person);
        }
    }
    Ok(people)
}

/// Returns the occasions of which the own subscriptions of a person notify this person about a ticket.
pub(super) async fn occasions_of(
    app: &App,
    card: &TicketCard,
    person: &PersonId,
) -> Result<BTreeSet<Occasion>, Error> {
    let mut own = list(app, person).await?;
    own.retain(|one| !one.is_paused);
    if own.is_empty() || !tickets::may(app, Operation::ReadTicket, &card.ticket, person).await? {
        return Ok(BTreeSet::new());
    }
    let variables = variables(app, card).await?;
    let matching = own.iter().filter(|one| holds(&one.when, &variables));
    Ok(matching.flat_map(|one| one.on.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_body(body: Value) -> Result<OwnSubscription, String> {
        let Value::Object(body) = body else {
            panic!("an object")
        };
        read("mine", &body).map_err(|wrong| format!("{}: {}", wrong.field, wrong.reason))
    }

    #[test]
    fn a_body_becomes_a_subscription() {
        let body = json!({
            "on": ["ended", "waiting", "ended"],
            "when": [{ "key": "ticket_priority", "operator": ">=", "value": "3", "type": "INT" }],
        });
        let read = read_body(body).expect("valid");
        assert_eq!(read.on, [Occasion::Waiting, Occasion::Ended]);
        assert_eq!((read.when.expressions.len(), read.is_paused), (1, false));
        let paused = read_body(json!({ "on": ["failed"], "paused": true })).expect("valid");
        assert!(paused.is_paused && paused.when.expressions.is_empty());
    }

    #[test]
    fn every_wrong_member_is_named() {
        let clause = json!({ "key": "x", "value": 1 });
        for (body, expected) in [
            (json!({ "on": [] }), "/on: must contain"),
            (json!({ "on": ["begun"] }), "/on: unknown variant"),
            (
                json!({ "on": ["ended"], "when": vec![clause.clone(); 21] }),
                "/when: must have at most 20",
            ),
            (
                json!({ "on": ["ended"], "when": [clause.clone(), { "key": " ", "value": 1 }] }),
                "/when/1/key: must have",
            ),
            (
                json!({ "on": ["ended"], "when": [{ "key": "x", "value": "y".repeat(1_000) }] }),
                "/when/0/value: must have at most",
            ),
        ] {
            let reason = read_body(body).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
