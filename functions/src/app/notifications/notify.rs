//! Notifies people. Decides when a person gets messages, and which channel accounts (configured senders)
//! send the messages. Also stores the end of each notification.

use std::collections::BTreeMap;

use domain::intent::{About, Due, Notify, effect_id};
use domain::notification::routing::{Situation, decide};
use domain::notification::{Command, Next, Notification, Phase, Rejection};
use domain::ticket::{Status, Ticket};
use events::notification::{DeliveryEnded, EXPIRE, Fact, Held, RELEASE, Read, Requested, Role};
use events::{Meta, NodeId, PersonId, TicketSn, channel_account, notification_policy};
use infra::channel::{self, Channel};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};
use jiff::tz::TimeZone;

use super::definitions::DEFAULT_POLICY;
use super::{calendars, preferences, presence};
use crate::App;
use crate::app::times;

/// Creates a notification for a person, because a ticket waits for this person. `id` is the id of the notification. If
/// the notification already exists, does nothing. If the desk has no notification policy, creates no notification.
pub async fn request(app: &App, id: &str, notify: Notify) -> Result<(), Error> {
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let Some(policy) = &policy.0 else {
        return Ok(());
    };
    let Notify {
        person,
        role,
        about,
    } = notify;
    let ticket = ticket(app, &about.ticket).await?;
    let priority = ticket.priority().map(|priority| priority.key.clone());
    let priority = priority.unwrap_or_default();
    let is_urgent = policy.urgent.contains(&priority);
    let is_critical = policy.critical.contains(&priority);
    let requested = Requested {
        person,
        fact: about.fact,
        role,
        ticket: about.ticket,
        node: about.node,
        name: about.name,
        round: about.round,
        cause: about.cause.clone(),
        at: about.at,
        priority,
        is_urgent,
        is_critical,
    };
    let next = next(app, &requested, &ticket, Some(policy), None).await?;
    let command_envelope = CommandEnvelope {
        stream: format!("notification-{id}"),
        command_id: command_id(&["notify", id]),
        meta: Meta::system(about.correlation, about.cause),
    };
    let command = Command::Request(Box::new(requested), next);
    match app
        .ledger
        .execute::<Notification>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyRequested)) => Ok(()),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Creates a notification for each operator that the notification policy names. `id` identifies this call.
pub async fn request_for_operators(app: &App, id: &str, about: About) -> Result<(), Error> {
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    for name in policy.await?.0.iter().flat_map(|policy| &policy.operators) {
        let person = app.people.find(name).await?;
        if person.is_unknown() {
            tracing::warn!(name, "the notification policy names an unknown operator");
            continue;
        }
        let notify = Notify {
            role: Role::Operator,
            about: about.clone(),
            person,
        };
        let own_id = effect_id("notify_operators", id, &notify.person.0);
        request(app, &own_id, notify).await?;
    }
    Ok(())
}

/// Continues a notification at one of its deadlines. At the deadline `RELEASE`, the reason of the hold ends, such as
/// the quiet hours of the person, and the message can be sent. At the deadline `EXPIRE`, the desk no longer waits for
/// the results of the deliveries.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    let state = app
        .ledger
        .load::<Notification>(&due.stream)
        .await?
        .aggregate
        .0;
    let Some(requested) = &state.requested else {
        return Ok(());
    };
    let at = app.ledger.clock.now();
    let command = match due.deadline.as_str() {
        RELEASE => {
            let ticket = ticket(app, &requested.ticket).await?;
            let policy = app
                .configuration
                .notification_policy(DEFAULT_POLICY)
                .await?;
            let held = match &state.phase {
                Phase::Held(held) => Some(held),
                _ => None,
            };
            let next = next(app, requested, &ticket, policy.0.as_ref(), held).await?;
            Command::Release { next, at }
        }
        EXPIRE => Command::Expire { at },
        _ => return Ok(()),
    };
    let meta = Meta::system(requested.cause.clone(), requested.cause.clone());
    execute(
        app,
        &due.stream,
        command_id(&["fire", &due.id()]),
        meta,
        &command,
    )
    .await
}

/// Stores the end of a delivery (the sending of one message) in its notification. `notification` is the name
/// of the event stream of the notification. `id` identifies this call: a second call with the same `id` does
/// nothing.
pub async fn end_delivery(
    app: &App,
    id: &str,
    notification: &str,
    ended: DeliveryEnded,
    meta: Meta,
) -> Result<(), Error> {
    let command = Command::EndDelivery(ended);
    execute(app, notification, command_id(&["end", id]), meta, &command).await
}

/// Marks the notification in the given stream as read and returns its new state. Returns `None` if the
/// notification does not exist.
pub async fn mark_read(app: &App, stream: &str, meta: Meta) -> Result<Option<Notification>, Error> {
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    let command = Command::MarkRead(Read { by: meta.actor });
    match app
        .ledger
        .execute::<Notification>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(outcome) => Ok(Some(outcome.state)),
        Err(ExecuteError::Rejected(Rejection::NotRequested)) => Ok(None),
        Err(failure) => Err(failure.unexpected()),
    }
}

async fn execute(
    app: &App,
    stream: &str,
    command_id: [u8; 16],
    meta: Meta,
    command: &Command,
) -> Result<(), Error> {
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id,
        meta,
    };
    app.ledger
        .execute::<Notification>(&command_envelope, command, &NoContext)
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

/// Returns the state of a ticket. If the ticket does not exist, returns an empty state.
async fn ticket(app: &App, sn: &TicketSn) -> Result<Ticket, Error> {
    Ok(app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0)
}

/// Decides whether a notification is sent now, delayed until the person is available, or not needed. The decision
/// depends on the ticket, the notification policy, and the preferences, the working calendar and the appointments of
/// the person. `held` contains the data of the last hold.
async fn next(
    app: &App,
    requested: &Requested,
    ticket: &Ticket,
    policy: Option<&notification_policy::Defined>,
    held: Option<&Held>,
) -> Result<Next, Error> {
    if let Some(reason) = not_needed(requested, ticket) {
        return Ok(Next::NotNeeded(reason.to_owned()));
    }
    let mut accounts: BTreeMap<String, channel_account::Defined> = BTreeMap::new();
    for name in policy.iter().flat_map(|policy| &policy.accounts) {
        if let Some(account) = app.configuration.channel_account(name).await? {
            accounts.insert(name.clone(), account);
        }
    }
    let preferences = preferences::read(app, &requested.person).await?;
    let calendar = match &preferences.calendar {
        Some(name) => Some(calendars::find(app, name).await?),
        None => None,
    };
    let calendar = calendar.as_ref().and_then(|calendar| calendar.0.as_ref());
    let zone_name = preferences.zone.as_deref();
    let zone_name = zone_name.or_else(|| calendar.and_then(|calendar| calendar.zone.as_deref()));
    let zone = zone(app, zone_name);
    let appointments = if requested.is_critical {
        Vec::new()
    } else {
        presence::appointments(app, &preferences, &zone).await?
    };
    let situation = Situation {
        is_urgent: requested.is_urgent,
        is_critical: requested.is_critical,
        preferences: &preferences,
        zone: &zone,
        calendar,
        appointments: &appointments,
        presence_limit: held.and_then(|held| held.presence_limit),
        policy,
        accounts: &accounts,
        address_kind: |channel| channel::find(channel).map(Channel::address_kind),
        now: app.ledger.clock.now(),
    };
    Ok(Next::Decided(decide(&situation)))
}

/// Returns the time zone with the given name. If the name is `None` or unknown, returns the time zone of the
/// desk.
pub fn zone(app: &App, name: Option<&str>) -> TimeZone {
    name.and_then(|name| times::zone(name).ok())
        .unwrap_or_else(|| app.settings.zone.clone())
}

/// Returns the reason why the notification is not needed any more. Returns `None` if the fact is still true.
fn not_needed(requested: &Requested, ticket: &Ticket) -> Option<&'static str> {
    if ticket.opened.is_none() {
        return Some("the ticket does not exist");
    }
    match requested.fact {
        Fact::Finished
        | Fact::Terminated
        | Fact::CallbackFailed
        | Fact::Mentioned
        | Fact::Commented
        | Fact::Followed => None,
        Fact::RatingInvited => ticket.stars.map(|_| "the ticket is rated"),
        _ if ticket.status.is_over() => Some("the ticket has ended"),
        Fact::ApprovalNeeded | Fact::WorkAssigned | Fact::Escalated => {
            let waits = requested
                .node
                .is_some_and(|node| waits_for(ticket, node, requested.round, &requested.person));
            (!waits).then_some("the node does not wait for the person any more")
        }
        Fact::Reminded | Fact::Changed => {
            let mut current = ticket.current();
            let waits = current.any(|(_, run)| run.waiting_for().contains(&requested.person));
            (!waits).then_some("the ticket does not wait for the person any more")
        }
        Fact::Suspended => {
            (ticket.status != Status::Suspended).then_some("the ticket is not suspended any more")
        }
        Fact::Resumed => {
            (ticket.status == Status::Suspended).then_some("the ticket is suspended again")
        }
        Fact::Progressed | Fact::NodeFailed | Fact::ProcessorsMissing => {
            let is_current = requested.node.is_some_and(|node| {
                let node_run = ticket.nodes.get(&node);
                node_run.is_some_and(|run| run.is_current() && run.round == requested.round)
            });
            (!is_current).then_some("the ticket has left the node")
        }
    }
}

fn waits_for(ticket: &Ticket, node: NodeId, round: u32, person: &PersonId) -> bool {
    ticket.nodes.get(&node).is_some_and(|node_run| {
        node_run.is_current() && node_run.round == round && node_run.waiting_for().contains(person)
    })
}
