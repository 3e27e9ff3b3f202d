//! Computes recommendations for the notification settings of a person and for the notification policy, and applies a
//! recommendation that a person accepts.

use domain::notification::Notification;
use domain::notification::person::{Command, Person, stream};
use domain::notification::recommend::{
    Advice, Recommendation, RuleAdvice, Usages, for_person, for_policy,
};
use events::person::PreferencesChanged;
use events::{Meta, Moment, PersonId};
use infra::channel;
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};

use super::definitions::DEFAULT_POLICY;
use super::{history, preferences};
use crate::App;

/// Maximum number of notifications of the whole desk that one computation reads: the newest ones.
pub const DESK_LAST_MAX: usize = 2_000;
/// Time in which a person can still answer, in milliseconds (one day). Newer notifications do not count.
const ANSWER_MS: i64 = 24 * 3_600_000;

/// The recommendations to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForPerson {
    pub recommendations: Vec<Recommendation>,
    /// The number of notifications from which they were computed.
    pub notifications: usize,
}

/// The recommendations to operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForPolicy {
    pub rules: Vec<RuleAdvice>,
    /// The number of notifications from which they were computed.
    pub notifications: usize,
}

/// Returns the recommendations to a person, from the newest 200 notifications.
pub async fn of_person(app: &App, person: &PersonId) -> Result<ForPerson, Error> {
    let preferences = preferences::read(app, person).await?;
    found(app, person, &preferences).await
}

async fn found(
    app: &App,
    person: &PersonId,
    preferences: &PreferencesChanged,
) -> Result<ForPerson, Error> {
    let last = history::of_person(app, person).await?;
    let now = app.ledger.clock.now();
    let kind = |name: &str| channel::find(name).map(|one| one.address_kind().to_owned());
    let (usages, notifications) = usages(&last, now, kind);
    Ok(ForPerson {
        recommendations: for_person(&usages, preferences),
        notifications,
    })
}

/// Returns the rules that the policy should get, from the newest 2,000 notifications of the desk.
pub async fn of_policy(app: &App) -> Result<ForPolicy, Error> {
    let last = history::newest(app, "notification", "", "~", DESK_LAST_MAX).await?;
    let now = app.ledger.clock.now();
    let (usages, notifications) = usages(&last, now, |channel| Some(channel.to_owned()));
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    let policy = policy.await?;
    let rules = policy
        .0
        .as_ref()
        .map_or(&[][..], |policy| policy.rules.as_slice());
    Ok(ForPolicy {
        rules: for_policy(&usages, rules),
        notifications,
    })
}

/// Counts the accepted messages of notifications. `key` returns the name under which a channel is counted. Also
/// returns the number of notifications that count.
fn usages(
    last: &[Notification],
    now: Moment,
    key: impl Fn(&str) -> Option<String>,
) -> (Usages, usize) {
    let (mut usages, mut count) = (Usages::new(), 0);
    for notification in last {
        let Some(requested) = &notification.requested else {
            continue;
        };
        if requested.at.plus_ms(ANSWER_MS) > now {
            continue;
        }
        count += 1;
        for channel in accepted(notification) {
            if let Some(key) = key(channel) {
                let is_answered = notification.answered_at.is_some();
                let category = requested.fact.category();
                let usage = usages.entry((key, category)).or_default();
                usage.add(&requested.person, is_answered);
            }
        }
    }
    (usages, count)
}

/// Returns the channels whose providers accepted a message of the notification.
fn accepted(notification: &Notification) -> Vec<&str> {
    let routes = notification.routed.iter().flat_map(|one| &one.routes);
    let is_accepted = |account: &String| {
        let mut ended = notification.ended.iter();
        ended.any(|end| end.is_accepted && end.account == *account)
    };
    let accepted = routes.filter(|route| is_accepted(&route.account));
    accepted.map(|route| route.channel.as_str()).collect()
}

/// Applies the recommendation with the given id to the preferences of a person. Returns the new preferences. Returns
/// `None` if the desk does not recommend it at the moment.
pub async fn apply(
    app: &App,
    person: &PersonId,
    id: &str,
    meta: Meta,
) -> Result<Option<PreferencesChanged>, Error> {
    let current = preferences::read(app, person).await?;
    let recommended = found(app, person, &current).await?.recommendations;
    let Some(one) = recommended.into_iter().find(|one| one.advice.id() == id) else {
        return Ok(None);
    };
    store(app, person, &current, &one.advice, meta).await
}

/// Stores the preferences `current` of a person with an applied recommendation, and returns the new preferences.
pub(super) async fn store(
    app: &App,
    person: &PersonId,
    current: &PreferencesChanged,
    advice: &Advice,
    meta: Meta,
) -> Result<Option<PreferencesChanged>, Error> {
    let changed = with(current, advice, &meta.actor);
    let command_envelope = CommandEnvelope {
        stream: stream(person),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let command = Command::Change(Box::new(changed));
    let outcome = app
        .ledger
        .execute::<Person>(&command_envelope, &command, &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(outcome.state.0)
}

/// Returns the preferences with an applied recommendation. The document of an earlier request is removed, because it
/// does not fit any more.
fn with(current: &PreferencesChanged, advice: &Advice, by: &PersonId) -> PreferencesChanged {
    let mut changed = current.clone();
    let choice = advice.applied(current.channels.get(advice.kind()));
    changed.channels.insert(advice.kind().to_owned(), choice);
    changed.document = None;
    changed.by = by.clone();
    changed
}

/// Returns the rule of a recommendation as a part of the TOML file of `--accounts`.
pub fn toml_of(rule: &RuleAdvice) -> String {
    let (category, channel) = (rule.category.name(), &rule.channel);
    format!(
        "[[policy.rules]]\ncategories = [\"{category}\"]\nchannels = [\"{channel}\"]\ncap = \"batch\"\n"
    )
}
