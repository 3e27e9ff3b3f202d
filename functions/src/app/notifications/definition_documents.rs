//! Returns stored definitions for notifications as JSON objects. An object has the members that a change of the
//! definition takes, see [`Definitions::of_members`](super::definitions::Definitions::of_members). Sending it back
//! unchanged therefore changes nothing.

use std::collections::BTreeMap;

use events::escalation_chain::{OnlyIf, Step, Target};
use events::notification_policy::{ChatGroups, Rule, Subscription, Team};
use events::preference::ChannelPreference;
use events::rota::{Layer, Override, Window};
use events::{channel_account, escalation_chain, notification_policy, rota};
use infra::Error;
use serde::Serialize;
use serde_json::{Value, json};

use crate::App;
use crate::app::times;

/// Returns the members of a channel account (a configured sender of messages). The secret of the account is no member.
pub fn account(defined: &channel_account::Defined) -> Value {
    let channel_account::Defined {
        name: _,
        channel,
        is_enabled,
        per_minute,
        repetition,
        settings,
    } = defined;
    let mut members = json!({
        "channel": channel,
        "is_enabled": is_enabled,
        "repetition": repetition,
        "settings": settings,
    });
    add(&mut members, "per_minute", per_minute.as_ref());
    members
}

/// Returns the members of a notification policy.
pub fn policy(defined: &notification_policy::Defined) -> Value {
    let notification_policy::Defined {
        name: _,
        accounts,
        fallback,
        urgent,
        critical,
        operators,
        bands,
        rules,
        teams,
        subscriptions,
        chains,
        single_publisher,
        system_name,
        support_email,
        feedback_one_in,
        applies_winner,
        learns_times,
        learns_channels,
        perishable,
        chat_groups,
    } = defined;
    let rules: Vec<Value> = rules.iter().map(rule).collect();
    let teams: Vec<Value> = teams.iter().map(team).collect();
    let subscriptions: Vec<Value> = subscriptions.iter().map(subscription).collect();
    let mut members = json!({
        "accounts": accounts,
        "fallback": fallback,
        "urgent": urgent,
        "critical": critical,
        "operators": operators,
        "bands": bands,
        "rules": rules,
        "team": teams,
        "subscription": subscriptions,
        "escalation": { "chains": chains },
        "insight": {
            "feedback_one_in": feedback_one_in,
            "apply_winner": applies_winner,
            "learn_times": learns_times,
            "learn_channels": learns_channels,
        },
        "perishable": perishable,
        "single_publisher": single_publisher,
        "system_name": system_name,
        "support_email": support_email,
    });
    let groups = chat_groups.as_ref().map(chat_group_rules);
    add(&mut members, "chat_groups", groups.as_ref());
    members
}

fn rule(rule: &Rule) -> Value {
    let Rule {
        categories,
        bands,
        channels,
        floor,
        cap,
    } = rule;
    let mut members = json!({ "categories": categories, "bands": bands, "channels": channels });
    add(&mut members, "floor", floor.as_ref());
    add(&mut members, "cap", cap.as_ref());
    members
}

fn team(team: &Team) -> Value {
    let Team {
        department,
        quiet,
        calendar,
        channels,
        is_aggregated,
    } = team;
    let channels = channels.iter().map(|(kind, choice)| {
        let ChannelPreference {
            frequency,
            batch_times,
            categories,
        } = choice;
        let mut members = json!({ "frequency": frequency, "batch_times": batch_times });
        add(&mut members, "categories", categories.as_ref());
        (kind, members)
    });
    let channels: BTreeMap<&String, Value> = channels.collect();
    let mut members = json!({ "department": department, "channels": channels });
    let quiet = quiet.as_ref();
    let quiet = quiet.map(|quiet| json!({ "from": quiet.from, "to": quiet.to }));
    add(&mut members, "quiet", quiet.as_ref());
    add(&mut members, "calendar", calendar.as_ref());
    add(&mut members, "aggregation", is_aggregated.as_ref());
    members
}

fn subscription(subscription: &Subscription) -> Value {
    let Subscription {
        name,
        people,
        role,
        on,
        when,
        load_above,
    } = subscription;
    // All clauses must be true: a definition has no other form.
    let clauses = when.expressions.iter().map(|clause| {
        json!({
            "key": clause.key,
            "operator": clause.condition,
            "value": clause.value,
            "type": clause.kind,
        })
    });
    let clauses: Vec<Value> = clauses.collect();
    let mut members = json!({ "name": name, "people": people, "when": clauses });
    add(&mut members, "role", role.map(|role| role.0).as_ref());
    // A definition with a limit of the load has no occasions.
    let on = Some(on).filter(|_| load_above.is_none());
    add(&mut members, "on", on);
    add(&mut members, "load_above", load_above.as_ref());
    members
}

fn chat_group_rules(rules: &ChatGroups) -> Value {
    let ChatGroups {
        account,
        priorities,
        categories,
        messages,
        language,
        keeps,
        remarks,
    } = rules;
    let categories: Vec<i64> = categories.iter().map(|id| id.0).collect();
    json!({
        "account": account,
        "priorities": priorities,
        "categories": categories,
        "messages": messages,
        "language": language,
        "keep": keeps,
        "remarks": remarks,
    })
}

/// Returns the members of an escalation chain. The people have their user names.
pub async fn chain(app: &App, defined: &escalation_chain::Defined) -> Result<Value, Error> {
    let escalation_chain::Defined {
        name: _,
        steps,
        repeat,
    } = defined;
    let mut all = Vec::new();
    for one in steps {
        all.push(step(app, one).await?);
    }
    Ok(json!({ "repeat": repeat, "step": all }))
}

async fn step(app: &App, step: &Step) -> Result<Value, Error> {
    let Step {
        wait_minutes,
        notify,
        accounts,
        only_if,
        buzz,
    } = step;
    let mut target = match notify {
        Target::Person(person) => {
            let name = app.people.name(person).await?;
            json!({ "person": name })
        }
        Target::Leader => json!({ "leader": true }),
        Target::Role(role) => json!({ "role": role.0 }),
        Target::Rota(name) => json!({ "rota": name }),
        Target::Team(id) => json!({ "team": id }),
        Target::RoundRobin(people) => {
            let names = app.people.all_names(people).await?;
            json!({ "round_robin": names })
        }
    };
    target["buzz"] = json!(buzz);
    let mut members = json!({
        "wait_minutes": wait_minutes,
        "notify": target,
        "accounts": accounts,
    });
    let condition = only_if.as_ref().map(|condition| match condition {
        OnlyIf::Hours(hours) => {
            json!({ "from": hours.from, "to": hours.to, "zone": hours.zone })
        }
        OnlyIf::Band(band) => json!({ "band": band }),
    });
    add(&mut members, "only_if", condition.as_ref());
    Ok(members)
}

/// Returns the members of a rota. The people have their user names.
pub async fn rota(app: &App, defined: &rota::Defined) -> Result<Value, Error> {
    let rota::Defined {
        name: _,
        layers,
        overrides,
    } = defined;
    let mut all = Vec::new();
    for one in layers {
        all.push(layer(app, one).await?);
    }
    let mut others = Vec::new();
    for Override { person, from, to } in overrides {
        let name = app.people.name(person).await?;
        let zone = &app.settings.zone;
        others.push(json!({
            "person": name,
            "from": times::in_zone(*from, zone),
            "to": times::in_zone(*to, zone),
        }));
    }
    Ok(json!({ "layer": all, "override": others }))
}

async fn layer(app: &App, layer: &Layer) -> Result<Value, Error> {
    let Layer {
        people,
        start,
        until,
        shift,
        zone,
        window,
        level,
    } = layer;
    let names = app.people.all_names(people).await?;
    let mut members = json!({
        "people": names,
        "start": start,
        "shift": shift,
        "zone": zone,
        "level": level,
    });
    add(&mut members, "until", until.as_ref());
    let window = window.as_ref().map(|window| {
        let Window { from, to, days } = window;
        json!({ "from": from, "to": to, "days": days })
    });
    add(&mut members, "window", window.as_ref());
    Ok(members)
}

/// Adds a member to a JSON object. Does nothing without a value, because no member of a definition is null.
fn add<T: Serialize>(members: &mut Value, name: &str, value: Option<&T>) {
    if let Some(value) = value {
        members[name] = json!(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::notifications::definitions::{DefinitionKind, Definitions};

    const FILE: &str = r#"
        [[account]]
        name = "mail"
        channel = "email"
        is_enabled = false
        per_minute = 60
        repetition = "at_most_once"
        host = "relay.example"
        port = 587
        from = "Desk <desk@example.com>"

        [policy]
        accounts = ["mail"]
        fallback = ["sms"]
        urgent = ["3"]
        critical = ["4"]
        operators = ["admin"]
        bands = { "1" = "low", "4" = "critical" }
        perishable = ["commented"]
        single_publisher = true
        system_name = "Service desk"
        support_email = "desk@example.com"

        [[policy.rules]]
        categories = ["commented"]
        bands = ["low"]
        channels = ["email"]
        cap = "off"
        [[policy.rules]]
        floor = "immediate"

        [[policy.team]]
        department = "12"
        calendar = "china"
        quiet = { from = "22:00", to = "07:00" }
        aggregation = false
        [policy.team.channels.email]
        frequency = "batch"
        batch_times = ["09:00"]
        categories = ["approval"]

        [[policy.subscription]]
        name = "key_tickets"
        people = ["lisi"]
        role = 2
        on = ["waiting", "ended"]
        [[policy.subscription.when]]
        key = "priority"
        operator = ">="
        value = 3
        type = "INT"
        [[policy.subscription]]
        name = "load"
        role = 2
        load_above = 20

        [policy.escalation]
        chains = { "3" = "default" }

        [policy.insight]
        feedback_one_in = 20
        apply_winner = true
        learn_times = true
        learn_channels = true

        [policy.chat_groups]
        account = "chats"
        priorities = ["4"]
        categories = [3]
        messages = ["escalated"]
        language = "en"
        keep = true
        remarks = "addressed"
    "#;

    fn read_again(kind: DefinitionKind, name: &str, members: &Value) -> Definitions {
        let members = members.as_object().expect("an object");
        Definitions::of_members(kind, name, members).expect("valid members")
    }

    #[test]
    fn a_document_of_an_account_defines_the_same_account() {
        let accounts = Definitions::read(FILE).unwrap().accounts;
        let members = account(&accounts[0]);
        assert_eq!(members["settings"]["port"], 587);
        let again = read_again(DefinitionKind::Account, "mail", &members);
        assert_eq!(again.accounts, accounts);
    }

    #[test]
    fn a_document_of_a_policy_defines_the_same_policy() {
        for text in [FILE, "[policy]\naccounts = []\n"] {
            let defined = Definitions::read(text).unwrap().policy.unwrap();
            let members = policy(&defined);
            let again = read_again(DefinitionKind::Policy, "default", &members);
            assert_eq!(again.policy, Some(defined));
        }
    }
}
