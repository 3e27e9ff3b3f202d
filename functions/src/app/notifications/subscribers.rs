//! Notifies managers of tickets that meet the condition of a subscription. The notification policy contains the
//! subscriptions.

use std::collections::BTreeSet;

use domain::condition::{CLAUSES_MAX, Found, group_holds};
use domain::intent::{About, Notify, NotifySubscribers, effect_id};
use domain::placeholder::Variables;
use domain::ticket::NodeRun;
use domain::views::Card as _;
use domain::views::ticket_card::TicketCard;
use events::notification::{Fact, Role};
use events::notification_policy::{self, Occasion, Subscription};
use events::workflow::{Clause, Group, Join, Operator};
use events::{Moment, PersonId, RoleId, TransitionId};
use infra::Error;
use serde::Deserialize;
use serde_json::Value;

use super::definitions::DEFAULT_POLICY;
use super::{notify, own_subscriptions};
use crate::App;
use crate::app::automation::evaluate_rules::variables;
use crate::app::definition_files::check_name;
use crate::app::{tickets, times};

/// Maximum number of subscriptions in a policy. The desk checks each of them for each event of a ticket.
const SUBSCRIPTIONS_MAX: usize = 50;
/// Maximum number of people whom one subscription names.
const PEOPLE_MAX: usize = 50;

/// One subscription in the TOML file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionEntry {
    name: String,
    #[serde(default)]
    people: Vec<String>,
    role: Option<i64>,
    #[serde(default)]
    on: Vec<Occasion>,
    #[serde(default)]
    when: Vec<ClauseEntry>,
    load_above: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClauseEntry {
    key: String,
    #[serde(default = "equal")]
    operator: Operator,
    value: Value,
    #[serde(default = "string", rename = "type")]
    kind: String,
}

fn equal() -> Operator {
    Operator::Equal
}

fn string() -> String {
    "STRING".into()
}

/// Checks the subscriptions. Returns an English text that names the first wrong subscription, and its member.
pub(super) fn subscriptions(entries: Vec<SubscriptionEntry>) -> Result<Vec<Subscription>, String> {
    if entries.len() > SUBSCRIPTIONS_MAX {
        return Err(format!(
            "policy: `subscription` must have at most {SUBSCRIPTIONS_MAX} entries"
        ));
    }
    let all: Vec<Subscription> = entries
        .into_iter()
        .map(|entry| {
            let name = entry.name.clone();
            subscription(entry).map_err(|reason| format!("policy: subscription {name}: {reason}"))
        })
        .collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    match all.iter().find(|one| !seen.insert(&one.name)) {
        Some(one) => Err(format!(
            "policy: `subscription`: {} is defined twice",
            one.name
        )),
        None => Ok(all),
    }
}

fn subscription(entry: SubscriptionEntry) -> Result<Subscription, String> {
    check_name("subscription", &entry.name)?;
    if entry.people.is_empty() && entry.role.is_none() {
        return Err("`people` or `role` is required".into());
    }
    if entry.people.len() > PEOPLE_MAX || entry.people.iter().any(|name| name.trim().is_empty()) {
        return Err(format!(
            "`people` must contain at most {PEOPLE_MAX} user names"
        ));
    }
    // The load of a person grows when a ticket starts to wait for this person.
    let on = match (entry.load_above, entry.on.is_empty()) {
        (Some(_), true) => vec![Occasion::Waiting],
        (Some(_), false) => {
            return Err("`on` must be absent if `load_above` is given".into());
        }
        (None, true) => return Err("`on` is required, unless `load_above` is given".into()),
        (None, false) => entry.on,
    };
    if entry.when.len() > CLAUSES_MAX {
        return Err(format!("`when` must have at most {CLAUSES_MAX} entries"));
    }
    if let Some(at) = entry.when.iter().position(|one| one.key.trim().is_empty()) {
        return Err(format!("entry {} of `when` has an empty `key`", at + 1));
    }
    Ok(Subscription {
        name: entry.name,
        people: entry.people,
        role: entry.role.map(RoleId),
        on,
        when: group(entry.when),
        load_above: entry.load_above,
    })
}

/// Returns the condition with the given entries. All of them must be true.
pub(super) fn group(entries: Vec<ClauseEntry>) -> Group {
    let clause = |one: ClauseEntry| Clause {
        key: one.key,
        kind: one.kind,
        condition: one.operator,
        value: one.value,
    };
    Group {
        join: Join::And,
        expressions: entries.into_iter().map(clause).collect(),
    }
}

/// Creates a notification for each person of each subscription whose condition the ticket meets, also for the
/// subscriptions that people made themselves. A person gets at most one of them for one event. The permission to read
/// the ticket is checked when the notification is decided. An event that is older than one day causes no notification:
/// the subscriptions are probably newer than this event.
pub async fn notify_matching(app: &App, id: &str, request: NotifySubscribers) -> Result<(), Error> {
    if notify::is_too_old(app, request.about.at) {
        return Ok(());
    }
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    let policy = policy.await?;
    let Some(policy) = &policy.0 else {
        return Ok(());
    };
    let Some(card) = tickets::card(app, &request.about.ticket).await? else {
        return Ok(());
    };
    // A ticket passes some nodes at once, for example the node with its form. Such a node does not wait for a person.
    let has_left = |node| {
        let node_run = card.ticket.nodes.get(&node);
        node_run.is_none_or(|run| !run.is_current())
    };
    if request.about.node.is_some_and(has_left) {
        return Ok(());
    }
    let matching = matching(app, policy, &card, request.occasion).await?;
    let mut notified = request.excluded;
    for subscription in matching {
        let (fact, ids) = match subscription.load_above {
            None => (
                Fact::Subscribed,
                vec![format!("{id}|{}", subscription.name)],
            ),
            Some(limit) => {
                let loaded = loaded(app, &card, &request.about, limit).await?;
                let at = request.about.at;
                let id = |person: PersonId| id_of_load(app, subscription, &person, at);
                (Fact::LoadHigh, loaded.into_iter().map(id).collect())
            }
        };
        if ids.is_empty() {
            continue;
        }
        for person in people(app, subscription).await? {
            if notified.contains(&person) {
                continue;
            }
            notified.push(person.clone());
            for id in &ids {
                let own_id = effect_id("notify_subscribers", id, &person.0);
                let about = About {
                    fact,
                    node: None,
                    name: subscription.name.clone(),
                    ..request.about.clone()
                };
                let request = Notify {
                    person: person.clone(),
                    role: Role::Subscriber,
                    accounts: Vec::new(),
                    about,
                };
                notify::request(app, &own_id, request).await?;
            }
        }
    }
    let about = &request.about;
    own_subscriptions::notify(app, id, request.occasion, about, &card, &notified).await
}

/// Returns the subscriptions of the policy for an occasion whose condition the ticket meets now.
async fn matching<'a>(
    app: &App,
    policy: &'a notification_policy::Defined,
    card: &TicketCard,
    occasion: Occasion,
) -> Result<Vec<&'a Subscription>, Error> {
    let all = policy.subscriptions.iter();
    let mut wanted: Vec<&Subscription> = all.filter(|one| one.on.contains(&occasion)).collect();
    if wanted.is_empty() {
        return Ok(wanted);
    }
    let variables = variables(app, card).await?;
    wanted.retain(|one| holds(&one.when, &variables));
    Ok(wanted)
}

/// Returns true if the condition of a subscription is true for the given values of a ticket.
pub(super) fn holds(when: &Group, variables: &Variables) -> bool {
    let find = |key: &str| match variables.get(key) {
        None | Some(Value::Null) => Found::Absent,
        Some(value) => Found::Personal(value.clone()),
    };
    let transition = TransitionId::default();
    group_holds(when, transition, &find, &mut Vec::new())
}

/// Returns the occasions of which the subscriptions of the policy notify a person about a ticket. Subscriptions to the
/// load of people are not included.
pub(super) async fn occasions_of(
    app: &App,
    policy: &notification_policy::Defined,
    card: &TicketCard,
    person: &PersonId,
) -> Result<BTreeSet<Occasion>, Error> {
    let mut found = BTreeSet::new();
    if policy.subscriptions.is_empty() {
        return Ok(found);
    }
    let variables = variables(app, card).await?;
    for subscription in &policy.subscriptions {
        let counts = subscription.load_above.is_none() && holds(&subscription.when, &variables);
        if counts && people(app, subscription).await?.contains(person) {
            found.extend(subscription.on.iter().copied());
        }
    }
    Ok(found)
}

/// Returns the people whom a subscription names. An unknown person is left out.
async fn people(app: &App, subscription: &Subscription) -> Result<Vec<PersonId>, Error> {
    let mut people = Vec::new();
    for name in &subscription.people {
        let person = app.people.find(name).await?;
        if person.is_unknown() {
            let subscription = &subscription.name;
            tracing::warn!(subscription, "a subscription names an unknown person");
        } else {
            people.push(person);
        }
    }
    if let Some(role) = subscription.role {
        let role = app.configuration.role(role).await?;
        people.extend(role.0.iter().flat_map(|role| role.members.clone()));
    }
    Ok(people)
}

/// Returns the people for whom the node waits and who have more than `limit` open tickets. The number comes from a view
/// (a table that is updated after each commit).
async fn loaded(
    app: &App,
    card: &TicketCard,
    about: &About,
    limit: u32,
) -> Result<Vec<PersonId>, Error> {
    let node_run = about.node.and_then(|node| card.ticket.nodes.get(&node));
    let waiting = node_run.map(NodeRun::whose_turn).unwrap_or_default();
    let mut loaded = Vec::new();
    for person in waiting {
        let (from, to) = (format!("{person}|"), format!("{person}|~"));
        let count = app.views.count(TicketCard::VIEW, "todo", &from, &to);
        if count.await? > u64::from(limit) {
            loaded.push(person);
        }
    }
    Ok(loaded)
}

/// Returns the id of the notifications about the load of a person. `at` is the time of the event. The id is the same
/// for the whole local day, so each subscriber gets one notification about this person in a day. A repeated event has
/// the same id.
fn id_of_load(app: &App, subscription: &Subscription, person: &PersonId, at: Moment) -> String {
    let at = times::in_zone(at, &app.settings.zone);
    let day: String = at.chars().take(10).collect();
    format!("load|{}|{person}|{day}", subscription.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Subscription>, String> {
        #[derive(Deserialize)]
        struct File {
            subscription: Vec<SubscriptionEntry>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        subscriptions(file.subscription)
    }

    const VALID: &str = r#"
        [[subscription]]
        name = "key_tickets"
        people = ["wangwu"]
        on = ["waiting", "ended"]
        when = [{ key = "ticket_priority", operator = ">=", value = "3", type = "INT" }]

        [[subscription]]
        name = "load"
        role = 3
        load_above = 20
    "#;

    #[test]
    fn a_file_defines_subscriptions() {
        let read = read(VALID).unwrap();
        assert_eq!(read[0].on, [Occasion::Waiting, Occasion::Ended]);
        assert_eq!(read[0].when.expressions.len(), 1);
        assert_eq!(
            (read[1].load_above, read[1].role),
            (Some(20), Some(RoleId(3)))
        );
    }

    #[test]
    fn every_wrong_member_of_a_subscription_is_named() {
        for (from, to, expected) in [
            ("\"key_tickets\"", "\"Key\"", "`name` must have"),
            (
                "people = [\"wangwu\"]",
                "people = []",
                "key_tickets: `people` or `role`",
            ),
            ("\"wangwu\"", "\" \"", "key_tickets: `people` must contain"),
            (
                "\"waiting\", \"ended\"",
                "",
                "key_tickets: `on` is required",
            ),
            ("\"waiting\"", "\"begun\"", "unknown variant `begun`"),
            (
                "load_above = 20",
                "load_above = 20\non = [\"ended\"]",
                "load: `on` must be absent",
            ),
            ("\"ticket_priority\"", "\"\"", "entry 1 of `when`"),
            ("\">=\"", "\"~\"", "unknown variant `~`"),
            (
                "\"load\"",
                "\"key_tickets\"",
                "key_tickets is defined twice",
            ),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
    }
}
