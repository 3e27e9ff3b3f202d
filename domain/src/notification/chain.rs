//! Implements escalation chains: the aggregate with the definition, and the pure functions that find the people of a step
//! and the problems of a chain.

use std::collections::{BTreeMap, BTreeSet};

use events::escalation::Unnotified;
use events::escalation_chain::{Defined, EscalationChainEvent, Hours, OnlyIf, Step, Target};
use events::person::{PreferencesChanged, QuietHours};
use events::{Moment, PersonId, RoleId, channel_account, rota};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::quiet::quiet_until;
use super::rota::{next_shift, on_call};
use crate::config::Rejection;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// The current definition of one escalation chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationChain {
    pub defined: Option<Defined>,
    /// The number of the current definition. The first definition has number 1.
    pub version: u32,
}

impl Decider for EscalationChain {
    type Command = Defined;
    type Event = EscalationChainEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        definition: &Defined,
        (): &(),
    ) -> Result<Vec<EscalationChainEvent>, DecideError<Self>> {
        Ok(if self.defined.as_ref() == Some(definition) {
            Vec::new()
        } else {
            vec![definition.clone().into()]
        })
    }

    fn evolve(&mut self, EscalationChainEvent::Defined(defined): &EscalationChainEvent) {
        self.version = self.version.saturating_add(1);
        self.defined = Some(defined.clone());
    }
}

impl Card for EscalationChain {
    type Event = EscalationChainEvent;
    const VIEW: &'static str = "escalation_chain";

    fn fold(&mut self, envelope: &Envelope<EscalationChainEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let defined = self.defined.iter();
        defined.map(|chain| ("id", chain.name.clone())).collect()
    }
}

/// The data from other streams and from the directory that the steps of a chain need.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The rotas by name. A rota that is not defined has no entry.
    pub rotas: BTreeMap<String, rota::Defined>,
    pub roles: BTreeMap<RoleId, Vec<PersonId>>,
    /// The people of departments by the id of the department.
    pub teams: BTreeMap<String, Vec<PersonId>>,
    /// The leaders of the people for whom the node waits.
    pub leaders: Vec<PersonId>,
}

/// Returns the people whom a step notifies at the time `at`, or the reason why the step notifies nobody. `turn` selects
/// the person of a round robin.
pub fn people(
    target: &Target,
    known: &Known,
    at: Moment,
    turn: u64,
) -> Result<Vec<PersonId>, Unnotified> {
    let or = |people: Option<&Vec<PersonId>>, reason| {
        let people = people.filter(|people| !people.is_empty());
        people.cloned().ok_or(reason)
    };
    match target {
        Target::Person(person) => Ok(vec![person.clone()]),
        Target::Leader => or(Some(&known.leaders), Unnotified::NoLeader),
        Target::Role(role) => or(known.roles.get(role), Unnotified::RoleEmpty),
        Target::Team(team) => or(known.teams.get(team), Unnotified::TeamEmpty),
        Target::Rota(name) => {
            let rota = known.rotas.get(name).ok_or(Unnotified::RotaNotDefined)?;
            or(Some(&on_call(rota, at)), Unnotified::NobodyOnCall)
        }
        Target::RoundRobin(people) => {
            let length = u64::try_from(people.len()).unwrap_or(u64::MAX);
            let position = turn.checked_rem(length).unwrap_or_default();
            let position = usize::try_from(position).unwrap_or_default();
            Ok(people.get(position).cloned().into_iter().collect())
        }
    }
}

/// Returns the reason why the condition of a step is false at the time `at`. Returns `None` if the step has no condition,
/// or if the condition is true. `priority` is the key of the ticket priority.
pub fn prevented(only_if: Option<&OnlyIf>, at: Moment, priority: &str) -> Option<Unnotified> {
    match only_if? {
        OnlyIf::Hours(hours) if !is_within(hours, at) => Some(Unnotified::OutsideHours),
        OnlyIf::Band(keys) if keys.iter().all(|key| key != priority) => {
            Some(Unnotified::OtherPriority)
        }
        OnlyIf::Hours(_) | OnlyIf::Band(_) => None,
    }
}

fn is_within(hours: &Hours, at: Moment) -> bool {
    let Ok(zone) = TimeZone::get(&hours.zone) else {
        return false;
    };
    let period = QuietHours {
        from: hours.from.clone(),
        to: hours.to.clone(),
    };
    quiet_until(&period, &zone, at).is_some()
}

/// The data from which the standing check finds the problems of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Inventory<'a> {
    pub known: &'a Known,
    /// True if `known` contains the people of the departments. Otherwise, steps with a department are not checked.
    pub has_teams: bool,
    /// The channel accounts by name. An account that is not defined has no entry.
    pub accounts: &'a BTreeMap<String, channel_account::Defined>,
    /// The accounts of the notification policy. A step without accounts uses them.
    pub policy_accounts: &'a [String],
    pub preferences: &'a BTreeMap<PersonId, PreferencesChanged>,
    /// Returns the kind of address that a channel needs. Returns `None` if the channel is unknown.
    pub address_kind: fn(&str) -> Option<&'static str>,
}

/// A problem of one step of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The step reaches no person.
    NoPerson(String),
    /// The person has no address for any of the accounts of the step.
    NoAddress(PersonId),
    /// An operator has disabled the channel account.
    AccountDisabled(String),
    /// The channel account is not defined.
    AccountNotDefined(String),
    /// Neither the step nor the notification policy names a channel account.
    NoAccount,
}

/// A problem of a chain: the number of the step, the shift and the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The number of the step. The first step has number 1.
    pub step: u32,
    /// The begin of the shift with the problem: the time of the check, or the begin of the next shift.
    pub at: Moment,
    pub is_next_shift: bool,
    pub problem: Problem,
}

/// The result of the standing check of one chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub gaps: Vec<Gap>,
    /// The numbers of the steps whose people are known only for a ticket, or only in the directory.
    pub unchecked: Vec<u32>,
}

/// Finds the problems of a chain for the shift at the time `at` and for the next shift. A problem that both shifts have is
/// reported once, for the current shift.
pub fn check(chain: &Defined, inventory: &Inventory<'_>, at: Moment) -> Checked {
    let mut checked = Checked::default();
    for (number, step) in (1..).zip(&chain.steps) {
        let is_unknown = match &step.notify {
            Target::Leader => true,
            Target::Team(_) => !inventory.has_teams,
            _ => false,
        };
        if is_unknown {
            checked.unchecked.push(number);
        }
        let mut shifts = vec![(at, false)];
        if let Target::Rota(name) = &step.notify {
            let rota = inventory.known.rotas.get(name);
            let next = rota.and_then(|rota| next_shift(rota, at));
            shifts.extend(next.map(|next| (next, true)));
        }
        let mut seen = BTreeSet::new();
        for (at, is_next_shift) in shifts {
            for problem in problems(step, inventory, at, is_unknown) {
                if seen.insert(problem.clone()) {
                    checked.gaps.push(Gap {
                        step: number,
                        at,
                        is_next_shift,
                        problem,
                    });
                }
            }
        }
    }
    checked
}

/// Returns all people whom a step can notify at the time `at`.
pub fn possible_people(
    step: &Step,
    known: &Known,
    at: Moment,
) -> Result<Vec<PersonId>, Unnotified> {
    match &step.notify {
        Target::RoundRobin(people) => Ok(people.clone()),
        target => people(target, known, at, 0),
    }
}

fn problems(step: &Step, inventory: &Inventory<'_>, at: Moment, is_unknown: bool) -> Vec<Problem> {
    let names: &[String] = if step.accounts.is_empty() {
        inventory.policy_accounts
    } else {
        &step.accounts
    };
    let mut problems = Vec::new();
    let mut kinds: Vec<&str> = Vec::new();
    for name in names {
        match inventory.accounts.get(name) {
            None => problems.push(Problem::AccountNotDefined(name.clone())),
            Some(account) if !account.is_enabled => {
                problems.push(Problem::AccountDisabled(name.clone()));
            }
            Some(account) => kinds.extend((inventory.address_kind)(&account.channel)),
        }
    }
    if names.is_empty() {
        problems.push(Problem::NoAccount);
    }
    if is_unknown {
        return problems;
    }
    match possible_people(step, inventory.known, at) {
        Err(reason) => problems.push(Problem::NoPerson(words(reason).to_owned())),
        // Without a working account, the problem of the account is enough.
        Ok(_) if kinds.is_empty() => {}
        Ok(people) => problems.extend(people.into_iter().filter_map(|person| {
            let addresses = inventory.preferences.get(&person).map(|one| &one.addresses);
            let mut kinds = kinds.iter();
            let is_reachable = kinds.any(|kind| {
                let address = addresses.and_then(|addresses| addresses.get(*kind));
                address.is_some_and(|address| !address.is_erased())
            });
            (!is_reachable).then_some(Problem::NoAddress(person))
        })),
    }
    problems
}

/// Returns the English text of a reason.
pub fn words(reason: Unnotified) -> &'static str {
    match reason {
        Unnotified::OutsideHours => "the time is outside of the hours of the step",
        Unnotified::OtherPriority => "the ticket has a priority that the step does not name",
        Unnotified::NobodyOnCall => "the rota has no person on call",
        Unnotified::RotaNotDefined => "the rota is not defined",
        Unnotified::RoleEmpty => "the role has no members",
        Unnotified::TeamEmpty => "the department has no people",
        Unnotified::NoLeader => "the people of the node have no leader",
    }
}

impl Problem {
    /// Returns the problem and the next step for the operator as English texts. `name` is the user name of the person in
    /// the problem.
    pub fn words(&self, name: &str) -> (String, &'static str) {
        match self {
            Self::NoPerson(reason) => (
                format!("the step reaches no person: {reason}"),
                "change the rota, the role or the step, and store it with `ledgerdesk setup --accounts FILE`",
            ),
            Self::NoAddress(_) => (
                format!("{name} has no address for any account of the step"),
                "the person adds an address with PUT /v1/people/{person}/preferences",
            ),
            Self::AccountDisabled(account) => (
                format!("the channel account {account} is switched off"),
                "set `is_enabled` of the account, or name another account in the step",
            ),
            Self::AccountNotDefined(account) => (
                format!("the channel account {account} is not defined"),
                "define the account with `ledgerdesk setup --accounts FILE`",
            ),
            Self::NoAccount => (
                "neither the step nor the notification policy names a channel account".to_owned(),
                "name channel accounts in the step or in the policy",
            ),
        }
    }

    /// Returns the person of the problem.
    pub fn person(&self) -> Option<&PersonId> {
        match self {
            Self::NoAddress(person) => Some(person),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use events::rota::{Layer, Shift};
    use events::task_type::Repetition;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn step(notify: Target) -> Step {
        Step {
            wait_minutes: 5,
            notify,
            accounts: Vec::new(),
            only_if: None,
        }
    }

    /// Returns a rota in which `a` and `b` are on call in turn, one hour each. The first shift begins at the time 0.
    fn known() -> Known {
        let layer = Layer {
            people: vec!["a".into(), "b".into()],
            start: "1970-01-01T00:00".into(),
            until: None,
            shift: Shift::Hours(1),
            zone: "UTC".into(),
            window: None,
            level: 0,
        };
        let rota = rota::Defined {
            name: "ops".into(),
            layers: vec![layer],
            overrides: Vec::new(),
        };
        Known {
            rotas: BTreeMap::from([("ops".to_owned(), rota)]),
            roles: BTreeMap::from([(RoleId(1), vec!["a".into()]), (RoleId(2), Vec::new())]),
            ..Known::default()
        }
    }

    fn account(name: &str, is_enabled: bool) -> (String, channel_account::Defined) {
        let defined = channel_account::Defined {
            name: name.into(),
            channel: "email".into(),
            is_enabled,
            per_minute: None,
            repetition: Repetition::AtMostOnce,
            settings: BTreeMap::new(),
        };
        (name.to_owned(), defined)
    }

    #[test]
    fn each_target_gives_people_or_a_reason() {
        let known = known();
        let rota = |name: &str| Target::Rota(name.into());
        let both = || Target::RoundRobin(vec!["a".into(), "b".into()]);
        for (target, at, turn, expected) in [
            (Target::Person("c".into()), 0, 0, Ok("c")),
            (rota("ops"), 0, 0, Ok("a")),
            (rota("ops"), HOUR_MS, 0, Ok("b")),
            (rota("ops"), -1, 0, Err(Unnotified::NobodyOnCall)),
            (rota("none"), 0, 0, Err(Unnotified::RotaNotDefined)),
            (Target::Role(RoleId(1)), 0, 0, Ok("a")),
            (Target::Role(RoleId(2)), 0, 0, Err(Unnotified::RoleEmpty)),
            (Target::Role(RoleId(3)), 0, 0, Err(Unnotified::RoleEmpty)),
            (Target::Team("12".into()), 0, 0, Err(Unnotified::TeamEmpty)),
            (Target::Leader, 0, 0, Err(Unnotified::NoLeader)),
            (both(), 0, 0, Ok("a")),
            (both(), 0, 3, Ok("b")),
        ] {
            let expected = expected.map(|name| vec![PersonId::from(name)]);
            assert_eq!(
                people(&target, &known, Moment(at), turn),
                expected,
                "{target:?}"
            );
        }
    }

    #[test]
    fn a_condition_compares_the_time_and_the_priority() {
        let hours = OnlyIf::Hours(Hours {
            from: "08:00".into(),
            to: "20:00".into(),
            zone: "UTC".into(),
        });
        let band = OnlyIf::Band(vec!["3".into()]);
        let at = |hour: i64| Moment(hour * HOUR_MS);
        assert_eq!(prevented(None, at(0), "1"), None);
        assert_eq!(prevented(Some(&hours), at(9), "1"), None);
        let outside = Some(Unnotified::OutsideHours);
        assert_eq!(prevented(Some(&hours), at(20), "1"), outside);
        assert_eq!(prevented(Some(&band), at(0), "3"), None);
        let other = Some(Unnotified::OtherPriority);
        assert_eq!(prevented(Some(&band), at(0), "2"), other);
    }

    #[test]
    fn the_check_reports_each_problem_once_with_its_shift() {
        let known = known();
        let accounts = BTreeMap::from([account("mail", true), account("old", false)]);
        let reachable = PreferencesChanged {
            addresses: BTreeMap::from([(
                "email".to_owned(),
                Personal::new("a".into(), "a@b.example".into()),
            )]),
            ..PreferencesChanged::default()
        };
        let preferences = BTreeMap::from([(PersonId::from("a"), reachable)]);
        let policy_accounts = ["mail".to_owned()];
        let inventory = Inventory {
            known: &known,
            has_teams: false,
            accounts: &accounts,
            policy_accounts: &policy_accounts,
            preferences: &preferences,
            address_kind: |channel| (channel == "email").then_some("email"),
        };
        let mut with_accounts = step(Target::Person("a".into()));
        with_accounts.accounts = vec!["mail".into(), "old".into(), "gone".into()];
        let chain = Defined {
            name: "default".into(),
            steps: vec![
                step(Target::Rota("ops".into())),
                with_accounts,
                step(Target::Role(RoleId(2))),
                step(Target::Leader),
                step(Target::Team("12".into())),
            ],
            repeat: 0,
        };
        let checked = check(&chain, &inventory, Moment(0));
        let found: Vec<(u32, bool, String)> = checked
            .gaps
            .iter()
            .map(|gap| (gap.step, gap.is_next_shift, gap.problem.words("b").0))
            .collect();
        let text = |text: &str| text.to_owned();
        assert_eq!(
            found,
            [
                (
                    1,
                    true,
                    text("b has no address for any account of the step")
                ),
                (2, false, text("the channel account old is switched off")),
                (2, false, text("the channel account gone is not defined")),
                (
                    3,
                    false,
                    text("the step reaches no person: the role has no members")
                ),
            ]
        );
        assert_eq!(checked.gaps[0].at, Moment(HOUR_MS));
        assert_eq!(checked.unchecked, [4, 5]);
    }
}
