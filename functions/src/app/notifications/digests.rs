//! Adds notifications to digests, and sends a digest at its time. A digest is one message to a person about several
//! notifications.

use std::collections::{BTreeMap, BTreeSet};

use domain::intent::{AddToDigest, Due};
use domain::notification::availability::Availability;
use domain::notification::digest::{Add, Command, Digest};
use domain::notification::routing::refusal;
use domain::notification::{Notification, Phase};
use domain::ticket::Ticket;
use events::digest::FLUSH;
use events::notification::{Category, SkipReason};
use events::{Meta, TicketSn};
use infra::Error;
use infra::ledger::command_id;

use super::definitions::DEFAULT_POLICY;
use super::notify::{self, NOT_READABLE, Reach, policy_of};
use crate::App;

/// Time in milliseconds before the end of its notifications at which a digest is sent at the latest: one hour.
const LAST_MS: i64 = 3_600_000;

/// Adds a notification to a digest. `id` identifies this call: a second call with the same `id` does nothing.
pub async fn add(app: &App, id: &str, request: AddToDigest) -> Result<(), Error> {
    let notification = &request.item.notification;
    let loaded = app
        .ledger
        .load::<Notification>(notification)
        .await?
        .aggregate
        .0;
    let has_ended = loaded
        .ended
        .iter()
        .any(|ended| ended.account == request.account);
    // After the views were deleted, the same request comes again. A digest remembers only its last commands, so a
    // notification that was sent long ago must not be added again.
    if loaded.phase != Phase::Sending || has_ended {
        return Ok(());
    }
    let meta = Meta::system(request.correlation, request.cause);
    let add = Add {
        person: request.person,
        account: request.account,
        item: request.item,
        due: request.due,
        waits: request.waits,
        is_critical: request.is_critical,
        at: app.ledger.clock.now(),
    };
    let command = Command::Add(Box::new(add));
    app.must_execute::<Digest>(&request.digest, command_id(&["digest", id]), meta, &command)
        .await
        .map(drop)
}

/// Sends a digest at its deadline `FLUSH`. The decision uses the current preferences, policy and tickets: a changed
/// preference therefore changes also the notifications that a digest has collected.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    let state = app.ledger.load::<Digest>(&due.stream).await?.aggregate.0;
    let at = app.ledger.clock.now();
    let Some(person) = state
        .person
        .as_ref()
        .filter(|_| due.deadline == FLUSH && state.is_due(at))
    else {
        return Ok(());
    };
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    let reach = Reach::load(app, person, policy.0.clone()).await?;
    let mut tickets: BTreeMap<TicketSn, Ticket> = BTreeMap::new();
    let (mut over, mut dropped) = (BTreeSet::new(), BTreeMap::new());
    let (mut is_urgent, mut is_critical) = (false, false);
    for item in &state.items {
        let stream = item.notification.clone();
        let loaded = app.ledger.load::<Notification>(&stream).await?.aggregate.0;
        let Some(requested) = &loaded.requested else {
            dropped.insert(stream, "the notification does not exist".to_owned());
            continue;
        };
        if loaded.phase != Phase::Sending {
            dropped.insert(stream, "the notification has ended".to_owned());
            continue;
        }
        // A step of an escalation chain can name its own accounts.
        let own;
        let of_item = if requested.accounts.is_empty() {
            &reach
        } else {
            own = Reach::load(app, person, policy_of(requested, policy.0.as_ref())).await?;
            &own
        };
        let situation = of_item.situation(requested, None, 0, at);
        if let Some(reason) = refusal(&situation, &state.account) {
            dropped.insert(stream, words(reason).to_owned());
            continue;
        }
        let ticket = match tickets.remove(&item.ticket) {
            Some(ticket) => ticket,
            None => notify::ticket(app, &item.ticket).await?,
        };
        // The digest can have waited for hours. The ticket can be confidential since then.
        if notify::is_hidden(app, requested, &ticket).await? {
            dropped.insert(stream, NOT_READABLE.to_owned());
            tickets.insert(item.ticket.clone(), ticket);
            continue;
        }
        let has_ended = ticket.status.is_over() && item.fact.category() != Category::Resolved;
        if has_ended || notify::not_needed(requested, &ticket).is_some() {
            over.insert(stream);
        }
        tickets.insert(item.ticket.clone(), ticket);
        is_urgent |= requested.is_urgent;
        is_critical |= requested.is_critical;
    }
    let until = match reach.availability(is_urgent, is_critical, at) {
        Availability::Held { until, .. } if dropped.len() < state.items.len() => Some(until),
        Availability::Held { .. } | Availability::Free => None,
    };
    // A digest is not postponed beyond the time until which its notifications wait. If the person is not available until
    // then, the digest is sent shortly before.
    let expires = state.items.iter().map(|item| item.expires).min();
    let last = expires.map(|expires| expires.plus_ms(-LAST_MS));
    let until = match (until, expires, last) {
        (Some(until), Some(expires), _) if until < expires => Some(until),
        (Some(_), _, Some(last)) if at < last => Some(last),
        _ => None,
    };
    let command = match until {
        Some(until) => Command::Postpone { until, at },
        None => Command::Flush { over, dropped, at },
    };
    let meta = Meta::system(due.stream.clone(), due.stream.clone());
    let id = command_id(&["fire", &due.id()]);
    app.must_execute::<Digest>(&due.stream, id, meta, &command)
        .await
        .map(drop)
}

/// Returns the reason why an account sends no message, as an English text.
fn words(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NoAddress => "the person has no address for this channel any more",
        SkipReason::Disabled => "the account is switched off",
        SkipReason::NotDefined => "the policy does not name the account any more",
        SkipReason::ChannelOff => "the person switched the channel off",
        SkipReason::CategoryOff => "the person switched the category off",
        SkipReason::Suppressed => "a provider reported that the address is wrong",
        SkipReason::Capped => "the policy allows no message any more",
        SkipReason::Degraded => "the message reports that this account fails",
        SkipReason::Perished => "the policy holds no message of this kind",
    }
}
