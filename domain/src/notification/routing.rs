//! Decides how a notification reaches a person: at once through messages, when the person is available again, or
//! only in the inbox.

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::calendar;
use events::channel_account;
use events::notification::{
    Clause, Computed, Fact, Held, HeldReason, Mode, Requested, Route, Routed, SkipReason, Skipped,
    Strategy,
};
use events::notification_policy::{self, Rule};
use events::person::{AddressSuppressed, PreferencesChanged};
use events::preference::{Band, Category, ChannelPreference, Frequency};
use jiff::tz::TimeZone;

use super::availability::{Availability, Busy, Circumstances, availability};
use super::batch::next_batch;
use super::digest::{Key, RECENT_MAX, WINDOW_MS, stream};
use super::suppression::is_suppressed;

/// Maximum time in milliseconds that the desk waits for the end of all deliveries (messages) of a
/// notification: one day.
pub const EXPIRES_MS: i64 = 24 * 3_600_000;

/// Time in milliseconds by which the desk waits longer for each account of the fallback list: 4 hours. A message of the list
/// can therefore also be sent if the first account failed only at the end of the day.
pub const FALLBACK_EXPIRES_MS: i64 = 4 * 3_600_000;

/// Time in milliseconds after which an urgent notification falls back to the next channel account (a configured sender), if
/// no account has accepted its message.
pub const FALLBACK_MS: i64 = 2 * 60_000;

/// The data from which the desk decides how a notification reaches a person.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub requested: &'a Requested,
    pub computed: Computed,
    /// The number of notifications of the recipient in the last 10 minutes. It includes this notification.
    pub recent: usize,
    /// True if the notification ignores quiet hours and the working calendar.
    pub is_urgent: bool,
    /// True if the notification is never held.
    pub is_critical: bool,
    pub preferences: &'a PreferencesChanged,
    /// The kinds of addresses whose preference is the default of a team, such as `email`.
    pub of_team: &'a BTreeSet<String>,
    /// The time zone for the quiet hours and the working hours of the recipient.
    pub zone: &'a TimeZone,
    /// The working calendar of the recipient. If the value is `None`, all hours are working hours.
    pub calendar: Option<&'a calendar::Defined>,
    /// The known appointments of the recipient.
    pub appointments: &'a [Busy],
    /// The time after which appointments of the recipient no longer hold this notification. The value is `None` if no
    /// appointment has held the notification.
    pub presence_limit: Option<Moment>,
    /// The notification policy, which names the channel accounts (configured senders of messages). The value
    /// is `None` if no policy is defined. The desk then sends no messages.
    pub policy: Option<&'a notification_policy::Defined>,
    /// The channel accounts (configured senders of messages) that the notification policy names. Each key of
    /// the map is the name of an account. If an account has no entry, this account is not defined.
    pub accounts: &'a BTreeMap<String, channel_account::Defined>,
    /// Returns the kind of address that a channel needs. For example, the channel `dingtalk_robot` needs an
    /// address of the kind `dingtalk`. Returns `None` if the channel is unknown.
    pub address_kind: fn(&str) -> Option<&'static str>,
    /// The addresses of the person that providers reported as wrong. The key is the kind of the address.
    pub suppressed: &'a BTreeMap<String, AddressSuppressed>,
    pub now: Moment,
}

/// The decision about one notification: hold the notification, or send messages now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The desk sends no message before the recipient is available again.
    Hold(Held),
    /// The desk sends one message through each channel account (a configured sender, such as a mail relay) in
    /// `routes`. If `routes` is empty, only the inbox shows the notification.
    Send(Routed),
}

/// Decides whether a notification is sent now, or is held until the recipient is available again. A notification is
/// never held if it is critical, or if no channel account (a configured sender of messages) sends a message soon. A
/// digest checks the availability of the recipient when it is sent.
pub fn decide(situation: &Situation<'_>) -> Decision {
    match consider(situation) {
        (_, Some(held)) => Decision::Hold(held),
        (routed, None) => Decision::Send(routed),
    }
}

/// Returns the accounts that would send the notification now, and the hold if the desk must wait for the recipient.
pub fn consider(situation: &Situation<'_>) -> (Routed, Option<Held>) {
    let routed = routes(situation);
    let sends = |route: &Route| !matches!(route.mode, Mode::Digest { waits: true, .. });
    if !routed.routes.iter().any(sends) {
        return (routed, None);
    }
    let preferences = situation.preferences;
    let available = availability(&Circumstances {
        is_urgent: situation.is_urgent,
        is_critical: situation.is_critical,
        quiet: preferences.quiet.as_ref(),
        do_not_disturb_until: preferences.do_not_disturb_until,
        calendar: situation.calendar,
        zone: situation.zone,
        appointments: situation.appointments,
        presence_limit: situation.presence_limit,
        now: situation.now,
    });
    let held = match available {
        Availability::Free => None,
        Availability::Held {
            until,
            because,
            presence_limit,
        } => Some(Held {
            until,
            because: Some(because),
            quiet: preferences
                .quiet
                .clone()
                .filter(|_| because == HeldReason::QuietHours),
            zone: situation.zone.iana_name().unwrap_or("UTC").to_owned(),
            presence_limit,
            experiment: None,
        }),
    };
    if held.is_some() && is_perishable(situation) {
        return (perished(routed), None);
    }
    (routed, held)
}

/// Returns true if the notification policy names the fact as perishable. Its message is dropped instead of held.
pub fn is_perishable(situation: &Situation<'_>) -> bool {
    let policy = situation.policy;
    policy.is_some_and(|policy| policy.perishable.contains(&situation.requested.fact))
}

/// Returns the decision without the messages that would be sent now. A message in a batch stays, because it waits for a
/// time that the person chose.
fn perished(mut routed: Routed) -> Routed {
    let all = std::mem::take(&mut routed.routes);
    let waits = |route: &Route| matches!(route.mode, Mode::Digest { waits: true, .. });
    let (kept, dropped): (Vec<Route>, Vec<Route>) = all.into_iter().partition(waits);
    routed.routes = kept;
    routed
        .skipped
        .extend(dropped.into_iter().map(|route| Skipped {
            account: route.account,
            reason: SkipReason::Perished,
            clause: None,
        }));
    routed.fallback.clear();
    routed.fallback_due = None;
    routed
}

/// Returns the channel accounts (configured senders of messages) that send the notification. Also returns the other
/// accounts of the notification policy, each with the reason why this account sends no message.
fn routes(situation: &Situation<'_>) -> Routed {
    let (mut routes, mut skipped) = (Vec::new(), Vec::new());
    // The times of the first and of the last message.
    let (mut earliest, mut latest) = (None, situation.now);
    for name in situation.policy.iter().flat_map(|policy| &policy.accounts) {
        match route(situation, name) {
            Ok(route) => {
                let due = match route.mode {
                    Mode::Immediate => situation.now,
                    Mode::Digest { due, .. } => due,
                };
                earliest = Some(earliest.map_or(due, |earliest: Moment| earliest.min(due)));
                latest = latest.max(due);
                routes.push(route);
            }
            Err(skip) => skipped.push(skip),
        }
    }
    let mut fallback = fallback(situation, &routes);
    // A fallback does not replace a message that the person or the policy switched off, unless the message is urgent.
    let is_off = |skip: &Skipped| is_choice(skip.reason);
    let is_wanted = situation.is_urgent || !skipped.iter().any(is_off);
    if routes.is_empty() && !is_wanted {
        fallback.clear();
    }
    if routes.is_empty() && !fallback.is_empty() {
        routes.push(fallback.remove(0));
    }
    let is_timed = situation.is_urgent && !fallback.is_empty();
    // A digest sends its message later. Before this time, its account cannot accept it.
    let earliest = earliest.unwrap_or(situation.now);
    Routed {
        routes,
        skipped,
        fallback,
        fallback_due: is_timed.then(|| earliest.plus_ms(FALLBACK_MS)),
        expires: latest.plus_ms(EXPIRES_MS),
        priority: Some(situation.computed),
        experiment: None,
    }
}

/// Returns true if the person or the policy chose that an account sends no message. Otherwise, the account cannot send
/// it.
pub fn is_choice(reason: SkipReason) -> bool {
    matches!(
        reason,
        SkipReason::ChannelOff | SkipReason::CategoryOff | SkipReason::Capped
    )
}

/// Returns the reason why the channel account `name` sends no message about the notification. Returns `None` if the
/// account can send a message. The desk checks this again before it sends a digest.
pub fn refusal(situation: &Situation<'_>, name: &str) -> Option<SkipReason> {
    let mut accounts = situation.policy.iter().flat_map(|policy| &policy.accounts);
    if !accounts.any(|account| account == name) {
        return Some(SkipReason::NotDefined);
    }
    route(situation, name).err().map(|skipped| skipped.reason)
}

/// Returns the accounts that send a message of their own, and whose frequency the person, a team and the policy did not
/// choose. The desk may use one of them before the others.
pub fn free<'a>(situation: &Situation<'_>, routed: &'a Routed) -> Vec<&'a str> {
    let category = situation.requested.fact.category();
    let has_floor = |channel: &str| {
        let mut rules = situation.policy.iter().flat_map(|policy| &policy.rules);
        rules.any(|rule| {
            let is_floor = rule.floor.is_some_and(|floor| floor > Frequency::Off);
            is_floor && applies(rule, category, situation.computed.band, channel)
        })
    };
    let routes = routed.routes.iter();
    routes
        .filter(|route| route.mode.is_immediate() && route.clause.is_none())
        .filter(|route| !has_floor(&route.channel))
        .map(|route| route.account.as_str())
        .collect()
}

/// Decides whether and how the channel account `name` sends a message.
fn route(situation: &Situation<'_>, name: &str) -> Result<Route, Skipped> {
    let skip = |reason, clause| Skipped {
        account: name.to_owned(),
        reason,
        clause,
    };
    let channel = channel_to_person(situation, name).map_err(|reason| skip(reason, None))?;
    let kind = (situation.address_kind)(&channel).unwrap_or_default();
    let choice = situation.preferences.channels.get(kind);
    let (frequency, clause) = effective(situation, choice, &channel);
    let requested = situation.requested;
    let (mode, clause) = match frequency {
        Frequency::Off => {
            let reason = match clause {
                Some(Clause::Cap { .. }) => SkipReason::Capped,
                Some(Clause::Categories) => SkipReason::CategoryOff,
                _ => SkipReason::ChannelOff,
            };
            return Err(skip(reason, of_team(situation, kind, clause)));
        }
        Frequency::Batch => {
            let times = choice.map_or(&[] as &[String], |choice| choice.batch_times.as_slice());
            let (zone, person) = (situation.zone, &requested.person);
            let mode = Mode::Digest {
                digest: stream(person, name, Key::Batch),
                due: next_batch(times, zone, person, situation.now),
                waits: true,
            };
            (mode, clause)
        }
        Frequency::Immediate => collected(situation, name, clause),
    };
    let clause = of_team(situation, kind, clause);
    Ok(Route {
        account: name.to_owned(),
        channel,
        mode,
        clause,
    })
}

/// Returns the clause with the team instead of the person, if the preference for the kind of address is the default of
/// a team.
fn of_team(situation: &Situation<'_>, kind: &str, clause: Option<Clause>) -> Option<Clause> {
    match clause {
        Some(Clause::Frequency | Clause::Categories) if situation.of_team.contains(kind) => {
            Some(Clause::Team)
        }
        clause => clause,
    }
}

/// Returns how often a channel sends messages like this notification, and what decided it.
///
/// The preference of the person counts first. The caps of the policy then limit it, the strategy of the computed
/// priority can change it, and the floors of the policy raise it. A floor therefore has precedence over every cap.
fn effective(
    situation: &Situation<'_>,
    choice: Option<&ChannelPreference>,
    channel: &str,
) -> (Frequency, Option<Clause>) {
    let category = situation.requested.fact.category();
    let (mut frequency, mut clause) = match choice {
        None => (Frequency::Immediate, None),
        Some(ChannelPreference {
            categories: Some(wanted),
            ..
        }) if !wanted.contains(&category) => (Frequency::Off, Some(Clause::Categories)),
        Some(choice) => (choice.frequency, Some(Clause::Frequency)),
    };
    let rules = situation.policy.iter().flat_map(|policy| &policy.rules);
    let rules: Vec<(u32, &Rule)> = (1..)
        .zip(rules)
        .filter(|(_, rule)| applies(rule, category, situation.computed.band, channel))
        .collect();
    for (number, rule) in &rules {
        if let Some(cap) = rule.cap.filter(|cap| *cap < frequency) {
            (frequency, clause) = (cap, Some(Clause::Cap { rule: *number }));
        }
    }
    match (situation.computed.strategy, frequency) {
        // The line of a digest would not name the channel account or the chain.
        (_, Frequency::Batch) if !situation.requested.fact.concerns_ticket() => {
            (frequency, clause) = (Frequency::Immediate, Some(Clause::Strategy));
        }
        (Strategy::Escalation, Frequency::Batch) => {
            (frequency, clause) = (Frequency::Immediate, Some(Clause::Strategy));
        }
        (Strategy::Batch, Frequency::Immediate)
            if choice.is_none()
                && situation.preferences.is_aggregated()
                && situation.requested.fact.concerns_ticket() =>
        {
            (frequency, clause) = (Frequency::Batch, Some(Clause::Strategy));
        }
        _ => {}
    }
    for (number, rule) in &rules {
        if let Some(floor) = rule.floor.filter(|floor| *floor > frequency) {
            (frequency, clause) = (floor, Some(Clause::Floor { rule: *number }));
        }
    }
    (frequency, clause)
}

/// Returns true if the policy always sends some messages of a category through a channel, because it has a floor for
/// them. A preference of a person cannot switch off these messages.
pub fn requires(policy: &notification_policy::Defined, category: Category, channel: &str) -> bool {
    policy.rules.iter().any(|rule| {
        let is_floor = rule.floor.is_some_and(|floor| floor > Frequency::Off);
        let (categories, channels) = (&rule.categories, &rule.channels);
        is_floor
            && (categories.is_empty() || categories.contains(&category))
            && (channels.is_empty() || channels.iter().any(|one| one == channel))
    })
}

/// Returns true if a rule of the policy applies. An empty list of the rule applies to all values.
fn applies(rule: &Rule, category: Category, band: Band, channel: &str) -> bool {
    let (categories, bands) = (&rule.categories, &rule.bands);
    (categories.is_empty() || categories.contains(&category))
        && (bands.is_empty() || bands.contains(&band))
        && (rule.channels.is_empty() || rule.channels.iter().any(|one| one == channel))
}

/// Decides whether a digest collects a notification that is not in a batch. `clause` is what decided the frequency.
fn collected(
    situation: &Situation<'_>,
    account: &str,
    clause: Option<Clause>,
) -> (Mode, Option<Clause>) {
    let strategy = situation.computed.strategy;
    let is_at_once = matches!(strategy, Strategy::Escalation | Strategy::Immediate)
        || matches!(clause, Some(Clause::Floor { .. } | Clause::Strategy))
        || !situation.requested.fact.concerns_ticket()
        || !situation.preferences.is_aggregated();
    if is_at_once {
        return (Mode::Immediate, clause);
    }
    let (requested, due) = (situation.requested, situation.now.plus_ms(WINDOW_MS));
    let category = requested.fact.category();
    let digest = |key| stream(&requested.person, account, key);
    let is_critical = situation.is_critical || situation.computed.band == Band::Critical;
    if situation.recent > RECENT_MAX && !is_critical {
        let count = u32::try_from(situation.recent).unwrap_or(u32::MAX);
        let mode = Mode::Digest {
            digest: digest(Key::Many),
            due,
            waits: true,
        };
        return (mode, Some(Clause::Many { count }));
    }
    if matches!(category, Category::Commented | Category::Updated) {
        let key = Key::Ticket {
            category: category.name(),
            ticket: requested.ticket.as_str(),
        };
        let mode = Mode::Digest {
            digest: digest(key),
            due,
            waits: false,
        };
        return (mode, Some(Clause::Collected));
    }
    (Mode::Immediate, clause)
}

/// Returns true if the person or the policy switched off messages like this notification on a channel.
fn is_switched_off(situation: &Situation<'_>, channel: &str) -> bool {
    let kind = (situation.address_kind)(channel).unwrap_or_default();
    let choice = situation.preferences.channels.get(kind);
    effective(situation, choice, channel).0 == Frequency::Off
}

/// Returns the accounts of the fallback list that can reach the recipient. An account that is in `routes` or that the
/// list names twice is used only once, so that a fallback always ends. An account that the person or the policy
/// switched off sends only urgent messages.
fn fallback(situation: &Situation<'_>, routes: &[Route]) -> Vec<Route> {
    let mut fallback: Vec<Route> = Vec::new();
    for name in situation.policy.iter().flat_map(|policy| &policy.fallback) {
        let is_used = routes
            .iter()
            .chain(&fallback)
            .any(|one| one.account == *name);
        if let (false, Ok(channel)) = (is_used, channel_to_person(situation, name))
            && (situation.is_urgent || !is_switched_off(situation, &channel))
        {
            fallback.push(Route {
                account: name.clone(),
                channel,
                mode: Mode::Immediate,
                clause: None,
            });
        }
    }
    fallback
}

/// Returns the channel (such as e-mail) of the channel account `name`, if this account can send messages to
/// the recipient. Otherwise, returns the reason why the account cannot reach the recipient.
fn channel_to_person(situation: &Situation<'_>, name: &str) -> Result<String, SkipReason> {
    let requested = situation.requested;
    // Most messages of this account fail, so it would probably not send the report about itself.
    if requested.fact == Fact::AccountDegraded && requested.name == name {
        return Err(SkipReason::Degraded);
    }
    let account = situation.accounts.get(name).ok_or(SkipReason::NotDefined)?;
    if !account.is_enabled {
        return Err(SkipReason::Disabled);
    }
    let kind = (situation.address_kind)(&account.channel);
    let address = kind.and_then(|kind| situation.preferences.addresses.get(kind));
    match address {
        Some(address) if is_suppressed(situation.suppressed, address, kind) => {
            Err(SkipReason::Suppressed)
        }
        Some(address) if !address.is_erased() => Ok(account.channel.clone()),
        _ => Err(SkipReason::NoAddress),
    }
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use events::notification::Role;
    use events::person::QuietHours;
    use events::task_type::Repetition;

    use super::*;
    use crate::notification::priority;

    struct Case {
        preferences: PreferencesChanged,
        policy: Option<notification_policy::Defined>,
        accounts: BTreeMap<String, channel_account::Defined>,
        is_urgent: bool,
        fact: Fact,
        recent: usize,
        suppressed: BTreeMap<String, AddressSuppressed>,
    }

    /// Returns a test case with a person and a notification policy. The person has an e-mail address and
    /// quiet hours. The policy names a mail relay and a chat robot.
    fn case() -> Case {
        let account = |name: &str, channel: &str| channel_account::Defined {
            name: name.into(),
            channel: channel.into(),
            is_enabled: true,
            per_minute: None,
            repetition: Repetition::AtMostOnce,
            settings: BTreeMap::new(),
        };
        let address = Personal::new("p-1".into(), "a@b.example".into());
        Case {
            preferences: PreferencesChanged {
                quiet: Some(QuietHours {
                    from: "22:00".into(),
                    to: "07:00".into(),
                }),
                addresses: BTreeMap::from([("email".to_owned(), address)]),
                ..PreferencesChanged::default()
            },
            policy: Some(notification_policy::Defined {
                name: "default".into(),
                accounts: vec!["mail".into(), "robot".into()],
                fallback: Vec::new(),
                urgent: Vec::new(),
                critical: Vec::new(),
                operators: Vec::new(),
                bands: BTreeMap::new(),
                rules: Vec::new(),
                teams: Vec::new(),
                subscriptions: Vec::new(),
                chains: BTreeMap::new(),
                single_publisher: false,
                system_name: String::new(),
                support_email: String::new(),
                feedback_one_in: 0,
                applies_winner: false,
                learns_times: false,
                learns_channels: false,
                perishable: Vec::new(),
                chat_groups: None,
            }),
            accounts: BTreeMap::from([
                ("mail".to_owned(), account("mail", "email")),
                ("robot".to_owned(), account("robot", "dingtalk_robot")),
            ]),
            is_urgent: false,
            fact: Fact::ApprovalNeeded,
            recent: 1,
            suppressed: BTreeMap::new(),
        }
    }

    fn requested(case: &Case, now: Moment) -> Requested {
        Requested {
            person: "p-1".into(),
            fact: case.fact,
            role: Role::Processor,
            ticket: "REQ1".into(),
            node: None,
            name: String::new(),
            round: 0,
            cause: "ticket-REQ1:5".into(),
            at: now,
            priority: String::new(),
            is_urgent: case.is_urgent,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        }
    }

    const DAY: Moment = Moment(1_763_773_200_000); // 2025-11-22T09:00 in Shanghai
    const NIGHT: Moment = Moment(1_763_823_600_000); // 2025-11-22T23:00 in Shanghai

    fn decided(case: &Case, now: Moment) -> Decision {
        decided_about(case, &requested(case, now), now)
    }

    fn decided_about(case: &Case, requested: &Requested, now: Moment) -> Decision {
        let band = priority::band(case.policy.as_ref(), "");
        decide(&Situation {
            requested,
            computed: priority::compute(requested, band, now),
            recent: case.recent,
            is_urgent: case.is_urgent,
            is_critical: false,
            of_team: &BTreeSet::new(),
            preferences: &case.preferences,
            zone: &TimeZone::get("Asia/Shanghai").unwrap(),
            calendar: None,
            appointments: &[],
            presence_limit: None,
            policy: case.policy.as_ref(),
            accounts: &case.accounts,
            address_kind: |channel| match channel {
                "email" => Some("email"),
                "dingtalk_robot" => Some("dingtalk"),
                _ => None,
            },
            suppressed: &case.suppressed,
            now,
        })
    }

    fn sent(case: &Case, now: Moment) -> Routed {
        match decided(case, now) {
            Decision::Send(routed) => routed,
            Decision::Hold(held) => panic!("{held:?}"),
        }
    }

    fn reasons(routed: &Routed) -> Vec<(&str, SkipReason)> {
        let skipped = routed.skipped.iter();
        skipped
            .map(|one| (one.account.as_str(), one.reason))
            .collect()
    }

    #[test]
    fn each_account_of_the_policy_is_a_route_or_is_skipped_with_its_reason() {
        let mut case = case();
        let routed = sent(&case, DAY);
        assert_eq!(routed.routes.len(), 1);
        assert_eq!(routed.routes[0].account, "mail");
        assert_eq!(reasons(&routed), [("robot", SkipReason::NoAddress)]);
        assert_eq!(routed.expires, DAY.plus_ms(EXPIRES_MS));
        case.accounts.remove("robot");
        case.accounts.get_mut("mail").unwrap().is_enabled = false;
        let routed = sent(&case, DAY);
        assert!(routed.routes.is_empty());
        let expected = [
            ("mail", SkipReason::Disabled),
            ("robot", SkipReason::NotDefined),
        ];
        assert_eq!(reasons(&routed), expected);
    }

    #[test]
    fn the_fallback_list_has_each_usable_account_once() {
        let mut case = case();
        let relay = case.accounts["mail"].clone();
        case.accounts.insert("second".into(), relay);
        let policy = case.policy.as_mut().unwrap();
        policy.fallback = ["mail", "second", "robot", "none", "second"]
            .map(String::from)
            .into();
        let accounts = |routes: &[Route]| -> Vec<String> {
            routes.iter().map(|route| route.account.clone()).collect()
        };
        let routed = sent(&case, DAY);
        assert_eq!(accounts(&routed.routes), ["mail"]);
        assert_eq!(accounts(&routed.fallback), ["second"]);
        assert_eq!(
            routed.fallback_due, None,
            "only an urgent message has a time limit"
        );
        case.is_urgent = true;
        assert_eq!(
            sent(&case, DAY).fallback_due,
            Some(DAY.plus_ms(FALLBACK_MS))
        );
        case.accounts.get_mut("mail").unwrap().is_enabled = false;
        let routed = sent(&case, DAY);
        assert_eq!(
            accounts(&routed.routes),
            ["second"],
            "the first fallback is used at once"
        );
        assert_eq!((routed.fallback.len(), routed.fallback_due), (0, None));
    }

    #[test]
    fn a_fallback_does_not_replace_a_message_that_the_person_switched_off() {
        let mut case = case();
        let address = Personal::new("p-1".into(), "dt-1".into());
        case.preferences
            .addresses
            .insert("dingtalk".into(), address);
        let policy = case.policy.as_mut().unwrap();
        (policy.accounts, policy.fallback) = (vec!["mail".into()], vec!["robot".into()]);
        assert_eq!(sent(&case, DAY).fallback.len(), 1);
        prefer(&mut case, Frequency::Off, None);
        let routed = sent(&case, DAY);
        assert_eq!((routed.routes.len(), routed.fallback.len()), (0, 0));
        case.is_urgent = true;
        assert_eq!(sent(&case, DAY).routes[0].account, "robot");
        // The account of the fallback list is switched off itself.
        let off = case.preferences.channels.remove("email").unwrap();
        case.preferences.channels.insert("dingtalk".into(), off);
        assert_eq!(sent(&case, DAY).fallback.len(), 1);
        case.is_urgent = false;
        assert_eq!(sent(&case, DAY).fallback.len(), 0);
    }

    #[test]
    fn an_urgent_message_in_a_batch_falls_back_after_the_batch() {
        let mut case = Case {
            is_urgent: true,
            ..case()
        };
        let address = Personal::new("p-1".into(), "dt-1".into());
        case.preferences
            .addresses
            .insert("dingtalk".into(), address);
        let policy = case.policy.as_mut().unwrap();
        (policy.accounts, policy.fallback) = (vec!["mail".into()], vec!["robot".into()]);
        prefer(&mut case, Frequency::Batch, None);
        let routed = sent(&case, DAY);
        let Mode::Digest { due, .. } = routed.routes[0].mode else {
            panic!("{routed:?}")
        };
        assert_eq!(routed.fallback_due, Some(due.plus_ms(FALLBACK_MS)));
    }

    #[test]
    fn a_suppressed_address_is_not_used_until_it_changes() {
        let mut case = case();
        let address = case.preferences.addresses["email"].clone();
        let suppressed = super::super::suppression::suppressed("email", &address, "5.1.1");
        case.suppressed.insert("email".into(), suppressed);
        assert_eq!(
            reasons(&sent(&case, DAY))[0],
            ("mail", SkipReason::Suppressed)
        );
        let changed = Personal::new("p-1".into(), "new@b.example".into());
        case.preferences.addresses.insert("email".into(), changed);
        assert_eq!(sent(&case, DAY).routes.len(), 1);
    }

    #[test]
    fn an_erased_address_is_not_used() {
        let mut case = case();
        case.preferences.addresses.get_mut("email").unwrap().value = serde_json::Value::Null;
        assert_eq!(
            reasons(&sent(&case, DAY))[0],
            ("mail", SkipReason::NoAddress)
        );
    }

    #[test]
    fn quiet_hours_hold_a_notification_until_their_end() {
        let held = match decided(&case(), NIGHT) {
            Decision::Hold(held) => held,
            Decision::Send(routed) => panic!("{routed:?}"),
        };
        assert_eq!(held.until, NIGHT.plus_ms(8 * 3_600_000));
        assert_eq!(held.zone, "Asia/Shanghai");
        assert_eq!(held.because, Some(HeldReason::QuietHours));
        assert!(held.quiet.is_some());
        assert!(matches!(decided(&case(), DAY), Decision::Send(_)));
        assert!(matches!(decided(&case(), held.until), Decision::Send(_)));
    }

    #[test]
    fn a_perishable_message_is_dropped_instead_of_held() {
        let mut case = Case {
            fact: Fact::Progressed,
            ..case()
        };
        case.preferences.is_aggregated = Some(false);
        let policy = case.policy.as_mut().unwrap();
        policy.accounts = vec!["mail".into()];
        policy.fallback = vec!["robot".into()];
        let address = Personal::new("p-1".into(), "dt-1".into());
        case.preferences
            .addresses
            .insert("dingtalk".into(), address);
        assert!(matches!(decided(&case, NIGHT), Decision::Hold(_)));
        case.policy.as_mut().unwrap().perishable = vec![Fact::Progressed];
        let routed = sent(&case, NIGHT);
        assert_eq!((routed.routes.len(), routed.fallback.len()), (0, 0));
        assert_eq!(reasons(&routed), [("mail", SkipReason::Perished)]);
        // A person who is available gets the message, and other facts are held.
        assert_eq!(sent(&case, DAY).routes.len(), 1);
        case.fact = Fact::ApprovalNeeded;
        assert!(matches!(decided(&case, NIGHT), Decision::Hold(_)));
        // A message in a batch waits for the time of the batch.
        case.fact = Fact::Progressed;
        prefer(&mut case, Frequency::Batch, None);
        assert_eq!(sent(&case, NIGHT).routes.len(), 1);
    }

    #[test]
    fn an_urgent_notification_ignores_quiet_hours() {
        let case = Case {
            is_urgent: true,
            ..case()
        };
        assert_eq!(sent(&case, NIGHT).routes.len(), 1);
    }

    #[test]
    fn a_notification_without_a_route_is_not_held() {
        let without_policy = Case {
            policy: None,
            ..case()
        };
        let routed = sent(&without_policy, NIGHT);
        assert_eq!((routed.routes.len(), routed.skipped.len()), (0, 0));
        let mut without_address = case();
        without_address.preferences.addresses.clear();
        assert_eq!(sent(&without_address, NIGHT).skipped.len(), 2);
    }

    fn prefer(case: &mut Case, frequency: Frequency, categories: Option<Vec<Category>>) {
        let choice = ChannelPreference {
            frequency,
            batch_times: vec!["09:10".into()],
            categories,
        };
        case.preferences.channels.insert("email".into(), choice);
    }

    fn first(case: &Case) -> Result<(Mode, Option<Clause>), (SkipReason, Option<Clause>)> {
        let routed = sent(case, DAY);
        match routed.routes.first() {
            Some(route) => Ok((route.mode.clone(), route.clause)),
            None => Err((routed.skipped[0].reason, routed.skipped[0].clause)),
        }
    }

    fn ruled(case: &mut Case, rules: Vec<Rule>) {
        case.policy.as_mut().unwrap().rules = rules;
    }

    fn cap(cap: Frequency) -> Rule {
        Rule {
            cap: Some(cap),
            ..Rule::default()
        }
    }

    fn floor(floor: Frequency) -> Rule {
        Rule {
            floor: Some(floor),
            channels: vec!["email".into()],
            ..Rule::default()
        }
    }

    #[test]
    fn a_person_switches_channels_and_categories_off() {
        let mut case = case();
        prefer(&mut case, Frequency::Off, None);
        let off = Err((SkipReason::ChannelOff, Some(Clause::Frequency)));
        assert_eq!(first(&case), off);
        prefer(
            &mut case,
            Frequency::Immediate,
            Some(vec![Category::Resolved]),
        );
        let off = Err((SkipReason::CategoryOff, Some(Clause::Categories)));
        assert_eq!(first(&case), off);
        prefer(
            &mut case,
            Frequency::Immediate,
            Some(vec![Category::Approval]),
        );
        assert_eq!(first(&case), Ok((Mode::Immediate, Some(Clause::Frequency))));
    }

    #[test]
    fn a_batch_waits_for_its_time_and_quiet_hours_do_not_hold_it() {
        let mut case = case();
        prefer(&mut case, Frequency::Batch, None);
        let routed = sent(&case, NIGHT);
        let Mode::Digest { due, waits, .. } = routed.routes[0].mode else {
            panic!("{routed:?}")
        };
        assert!(waits && due > NIGHT && due < NIGHT.plus_ms(24 * 3_600_000));
        assert_eq!(routed.expires, due.plus_ms(EXPIRES_MS));
    }

    #[test]
    fn a_step_of_an_escalation_does_not_wait_for_a_batch() {
        let mut case = Case {
            fact: Fact::EscalationStep,
            ..case()
        };
        prefer(&mut case, Frequency::Batch, None);
        assert_eq!(first(&case), Ok((Mode::Immediate, Some(Clause::Strategy))));
    }

    #[test]
    fn an_account_does_not_send_the_report_about_itself() {
        let mut case = Case {
            fact: Fact::AccountDegraded,
            recent: RECENT_MAX + 1,
            ..case()
        };
        let address = Personal::new("p-1".into(), "dt-1".into());
        case.preferences
            .addresses
            .insert("dingtalk".into(), address);
        prefer(&mut case, Frequency::Batch, None);
        let about = |case: &Case, account: &str| {
            let requested = Requested {
                name: account.to_owned(),
                ..requested(case, DAY)
            };
            match decided_about(case, &requested, DAY) {
                Decision::Send(routed) => routed,
                Decision::Hold(held) => panic!("{held:?}"),
            }
        };
        let routed = about(&case, "mail");
        assert_eq!(reasons(&routed), [("mail", SkipReason::Degraded)]);
        assert_eq!(routed.routes.len(), 1);
        assert_eq!(routed.routes[0].account, "robot");
        let routed = about(&case, "robot");
        assert_eq!(reasons(&routed), [("robot", SkipReason::Degraded)]);
        assert_eq!(routed.routes[0].account, "mail");
        assert!(routed.routes[0].mode.is_immediate(), "never in a digest");
        // The fallback list does not use the account either.
        let policy = case.policy.as_mut().unwrap();
        (policy.accounts, policy.fallback) = (vec!["mail".into()], vec!["robot".into()]);
        assert!(about(&case, "robot").fallback.is_empty());
        assert_eq!(about(&case, "mail").routes[0].account, "robot");
    }

    #[test]
    fn caps_limit_floors_raise_and_a_floor_wins() {
        let mut case = case();
        ruled(&mut case, vec![cap(Frequency::Off)]);
        let capped = Err((SkipReason::Capped, Some(Clause::Cap { rule: 1 })));
        assert_eq!(first(&case), capped);
        ruled(
            &mut case,
            vec![floor(Frequency::Immediate), cap(Frequency::Off)],
        );
        let raised = Ok((Mode::Immediate, Some(Clause::Floor { rule: 1 })));
        assert_eq!(first(&case), raised);
        prefer(&mut case, Frequency::Off, None);
        assert_eq!(first(&case), raised);
        let other = Rule {
            bands: vec![Band::Critical],
            ..floor(Frequency::Immediate)
        };
        ruled(&mut case, vec![other]);
        let off = Err((SkipReason::ChannelOff, Some(Clause::Frequency)));
        assert_eq!(first(&case), off, "the rule is for another band");
    }

    #[test]
    fn comments_and_many_notifications_are_collected() {
        let mut case = Case {
            fact: Fact::Commented,
            ..case()
        };
        let Ok((Mode::Digest { waits, .. }, clause)) = first(&case) else {
            panic!("{:?}", first(&case))
        };
        assert_eq!((waits, clause), (false, Some(Clause::Collected)));
        case.fact = Fact::ApprovalNeeded;
        assert_eq!(first(&case), Ok((Mode::Immediate, None)));
        case.recent = RECENT_MAX + 1;
        let Ok((Mode::Digest { waits, .. }, clause)) = first(&case) else {
            panic!("{:?}", first(&case))
        };
        assert_eq!((waits, clause), (true, Some(Clause::Many { count: 6 })));
        case.fact = Fact::Reminded;
        assert_eq!(first(&case), Ok((Mode::Immediate, None)), "a high priority");
        case.fact = Fact::Commented;
        case.preferences.is_aggregated = Some(false);
        assert_eq!(first(&case), Ok((Mode::Immediate, None)));
    }
}
