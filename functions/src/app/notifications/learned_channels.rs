//! Chooses the order of the channel accounts of a notification from the past answers of its recipient, if the policy
//! allows it.

use domain::notification::Notification;
use domain::notification::learned_channel::{Usages, best, first};
use domain::notification::routing::{Decision, Situation, free};
use domain::notification::timing::is_measurable;
use events::Moment;
use infra::Error;

use super::history;
use crate::App;

/// Time in which a person can still answer, in milliseconds (one day). Newer notifications do not count.
const ANSWER_MS: i64 = 24 * 3_600_000;

/// Returns the decision with the learned order of the accounts. The decision does not change if the policy or the person
/// does not want it, if the notification is urgent or names its own accounts, and if too little is known.
pub(super) async fn ordered(
    app: &App,
    situation: &Situation<'_>,
    decision: Decision,
) -> Result<Decision, Error> {
    let Decision::Send(routed) = decision else {
        return Ok(decision);
    };
    let requested = situation.requested;
    let is_wanted = situation
        .policy
        .is_some_and(|policy| policy.learns_channels)
        && situation.preferences.is_learned();
    let is_possible = !situation.is_urgent
        && !situation.is_critical
        && requested.accounts.is_empty()
        && is_measurable(requested.fact, requested.role);
    let candidates = free(situation, &routed);
    if !is_wanted || !is_possible || candidates.len() < 2 {
        return Ok(Decision::Send(routed));
    }
    let last = history::of_person(app, &requested.person).await?;
    let found = best(&usages(&last, situation.now), &candidates);
    let Some((account, usage)) = found else {
        return Ok(Decision::Send(routed));
    };
    let names: Vec<String> = candidates.iter().map(|name| (*name).to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let account = account.to_owned();
    Ok(Decision::Send(first(
        routed,
        &names,
        (account.as_str(), usage),
    )))
}

/// Counts the accepted messages of each account, and those whose buttons or links the person used. Messages of digests
/// have no buttons, so they do not count.
fn usages(last: &[Notification], now: Moment) -> Usages {
    let mut usages = Usages::new();
    for notification in last {
        let (Some(requested), Some(routed)) = (&notification.requested, &notification.routed)
        else {
            continue;
        };
        if requested.at.plus_ms(ANSWER_MS) > now {
            continue;
        }
        for route in &routed.routes {
            let mut ended = notification.ended.iter();
            let is_accepted = ended.any(|end| end.is_accepted && end.account == route.account);
            if is_accepted && route.mode.is_immediate() {
                let usage = usages.entry(route.account.clone()).or_default();
                usage.sent += 1;
                let is_answered = notification.answered_through.contains(&route.account);
                usage.answered += u32::from(is_answered);
            }
        }
    }
    usages
}
