//! Finds the steps of an escalation chain that reach no person, now and in the coming shifts. A step reaches a person if a
//! message of this step would have at least one channel account that works and that may send to the person. The decision
//! is the one of real messages, see [`routing`](super::routing).

use std::collections::{BTreeMap, BTreeSet};

use events::escalation::Unnotified;
use events::escalation_chain::{Defined, Step, Target};
use events::notification::{Fact, Requested, Role, SkipReason};
use events::person::{AddressSuppressed, PreferencesChanged};
use events::standing_check::{BrokenAccount, Gap, Problem, Trouble, Unreachable};
use events::{Moment, PersonId, channel_account, notification_policy, rota};
use jiff::tz::TimeZone;

use super::chain::{Known, people, words as reason_words};
use super::priority;
use super::rota::next_shift;
use super::routing::{Situation, consider};

/// The time in milliseconds before a shift from which the desk watches it: 24 hours. In this time, an operator can repair
/// the chain.
pub const LEAD_MS: i64 = 24 * 3_600_000;
/// The time in milliseconds before a shift at which the desk checks the chain for the last time: one hour.
const LAST_MS: i64 = 3_600_000;
/// The longest time in milliseconds between two checks: 24 hours. People and accounts change without a new shift.
const PAUSE_MS: i64 = 24 * 3_600_000;
/// Maximum number of coming shifts that one check reads. The shortest shift has one hour.
const SHIFTS_MAX: usize = 60;

/// The preferences and the addresses of one person, with the defaults of the teams of the person.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    pub preferences: PreferencesChanged,
    /// The kinds of addresses whose preference is the default of a team.
    pub of_team: BTreeSet<String>,
    /// The addresses that providers reported as wrong, by their kind.
    pub suppressed: BTreeMap<String, AddressSuppressed>,
}

/// A channel account, with the reason why it sends no messages now.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownAccount {
    pub defined: channel_account::Defined,
    pub trouble: Option<Trouble>,
}

/// The data from which the standing check finds the problems of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Inventory<'a> {
    /// The rotas, roles and departments of the chain. A step with a department that has no entry is not checked.
    pub known: &'a Known,
    /// The channel accounts by name. An account that is not defined has no entry.
    pub accounts: &'a BTreeMap<String, KnownAccount>,
    /// The notification policy. Without a policy, the desk sends no messages.
    pub policy: Option<&'a notification_policy::Defined>,
    pub people: &'a BTreeMap<PersonId, Reachable>,
    /// Returns the kind of address that a channel needs. Returns `None` if the channel is unknown.
    pub address_kind: fn(&str) -> Option<&'static str>,
}

/// The result of the standing check of one chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub gaps: Vec<Gap>,
    /// The numbers of the steps whose people are known only for a ticket, or only in the directory.
    pub unchecked: Vec<u32>,
}

/// Finds the problems of a chain at the time `at` and in the coming shifts. A problem that several shifts have is reported
/// once, for the first of them.
pub fn check(chain: &Defined, inventory: &Inventory<'_>, at: Moment) -> Checked {
    let mut checked = Checked::default();
    for (number, step) in (1..).zip(&chain.steps) {
        let is_unknown = match &step.notify {
            Target::Leader => true,
            Target::Team(team) => !inventory.known.teams.contains_key(team),
            _ => false,
        };
        if is_unknown {
            checked.unchecked.push(number);
        }
        let mut seen: Vec<Problem> = Vec::new();
        let now = std::iter::once((at, None));
        let coming = shifts(step, inventory.known, at).into_iter();
        for (time, shift) in now.chain(coming.map(|begin| (begin, Some(begin)))) {
            for problem in problems(chain, step, inventory, time, is_unknown) {
                if !seen.contains(&problem) {
                    seen.push(problem.clone());
                    checked.gaps.push(Gap {
                        step: number,
                        at: shift,
                        problem,
                    });
                }
            }
        }
    }
    checked
}

/// Returns the begins of the coming shifts of a step that a check reads: the next one, and the others that begin within
/// [`LEAD_MS`]. The list is empty if the step has no rota.
pub fn shifts(step: &Step, known: &Known, at: Moment) -> Vec<Moment> {
    match &step.notify {
        Target::Rota(name) => match known.rotas.get(name) {
            Some(rota) => begins(rota, at, at.plus_ms(LEAD_MS)),
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Returns the begins of the shifts with other people after the time `at`: the next one, and all until `until`.
fn begins(rota: &rota::Defined, at: Moment, until: Moment) -> Vec<Moment> {
    let mut begins: Vec<Moment> = Vec::new();
    let mut from = at;
    while begins.len() < SHIFTS_MAX {
        match next_shift(rota, from) {
            Some(begin) if begins.is_empty() || begin <= until => {
                begins.push(begin);
                from = begin;
            }
            _ => break,
        }
    }
    begins
}

/// Returns the time of the check after the one at the time `at`: 24 hours or one hour before a shift, and at the latest
/// after 24 hours.
pub fn next_check(known: &Known, at: Moment) -> Moment {
    let latest = at.plus_ms(PAUSE_MS);
    let rotas = known.rotas.values();
    let coming = rotas.flat_map(|rota| begins(rota, at, latest.plus_ms(LEAD_MS)));
    let times = coming.flat_map(|begin| [LEAD_MS, LAST_MS].map(|before| begin.plus_ms(-before)));
    let first = times.filter(|time| *time > at).min();
    first.map_or(latest, |first| first.min(latest))
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

fn problems(
    chain: &Defined,
    step: &Step,
    inventory: &Inventory<'_>,
    at: Moment,
    is_unknown: bool,
) -> Vec<Problem> {
    let of_policy = inventory
        .policy
        .map_or(&[][..], |policy| policy.accounts.as_slice());
    let names: &[String] = if step.accounts.is_empty() {
        of_policy
    } else {
        &step.accounts
    };
    let fallback = inventory
        .policy
        .map_or(&[][..], |policy| policy.fallback.as_slice());
    let mut problems = Vec::new();
    let mut usable = BTreeMap::new();
    for name in names {
        let trouble = match inventory.accounts.get(name) {
            None => Some(Trouble::NotDefined),
            Some(account) if !account.defined.is_enabled => Some(Trouble::Disabled),
            Some(account) => account.trouble,
        };
        if let Some(trouble) = trouble {
            problems.push(Problem::Account(BrokenAccount {
                account: name.clone(),
                trouble,
            }));
        }
    }
    for name in names.iter().chain(fallback) {
        let account = inventory.accounts.get(name);
        if let Some(account) = account.filter(|one| one.defined.is_enabled && one.trouble.is_none())
        {
            usable.insert(name.clone(), account.defined.clone());
        }
    }
    if names.is_empty() {
        problems.push(Problem::NoAccount);
    }
    if is_unknown {
        return problems;
    }
    let people = match possible_people(step, inventory.known, at) {
        Ok(people) => people,
        Err(reason) => {
            problems.push(Problem::NoPerson(reason));
            return problems;
        }
    };
    // Without a working account, the problem of the account is enough.
    let (Some(policy), false) = (inventory.policy, usable.is_empty()) else {
        return problems;
    };
    let policy = notification_policy::Defined {
        accounts: names.to_vec(),
        ..policy.clone()
    };
    for person in people {
        let refusal = refusal(chain, step, inventory, (&policy, &usable), &person, at);
        problems.extend(refusal.map(|reason| Problem::Unreachable(Unreachable { person, reason })));
    }
    problems
}

/// Returns the reason why no message of a step reaches a person. Returns `None` if a message reaches the person with each
/// priority that uses the chain. `policy` names the accounts of the step, and `usable` contains those that work.
fn refusal(
    chain: &Defined,
    step: &Step,
    inventory: &Inventory<'_>,
    (policy, usable): (
        &notification_policy::Defined,
        &BTreeMap<String, channel_account::Defined>,
    ),
    person: &PersonId,
    at: Moment,
) -> Option<SkipReason> {
    let unknown = Reachable::default();
    let reachable = inventory.people.get(person).unwrap_or(&unknown);
    let uses_chain = policy
        .chains
        .iter()
        .filter(|(_, name)| **name == chain.name);
    let mut priorities: Vec<&str> = uses_chain.map(|(key, _)| key.as_str()).collect();
    if priorities.is_empty() {
        priorities.push("");
    }
    priorities.into_iter().find_map(|priority| {
        let requested = Requested {
            person: person.clone(),
            fact: Fact::EscalationStep,
            role: Role::OnCall,
            ticket: "".into(),
            node: None,
            name: String::new(),
            round: 0,
            cause: String::new(),
            at,
            priority: priority.to_owned(),
            is_urgent: true,
            is_critical: false,
            accounts: step.accounts.clone(),
            subscription: None,
            number: None,
        };
        let band = priority::band(Some(policy), priority);
        let (routed, _) = consider(&Situation {
            requested: &requested,
            computed: priority::compute(&requested, band, at),
            recent: 0,
            is_urgent: true,
            is_critical: false,
            preferences: &reachable.preferences,
            of_team: &reachable.of_team,
            zone: &TimeZone::UTC,
            calendar: None,
            appointments: &[],
            presence_limit: None,
            policy: Some(policy),
            accounts: usable,
            address_kind: inventory.address_kind,
            suppressed: &reachable.suppressed,
            now: at,
        });
        if !routed.routes.is_empty() {
            return None;
        }
        let reasons = routed.skipped.iter().map(|skipped| skipped.reason);
        // An account that does not work is a problem of its own.
        let mut reasons = reasons.filter(|reason| *reason != SkipReason::NotDefined);
        let specific = reasons.find(|reason| *reason != SkipReason::NoAddress);
        Some(specific.unwrap_or(SkipReason::NoAddress))
    })
}

/// Returns a problem and the next step for the operator as English texts. `name` is the user name of the person in the
/// problem.
pub fn words(problem: &Problem, name: &str) -> (String, &'static str) {
    match problem {
        Problem::NoPerson(reason) => (
            format!("the step reaches no person: {}", reason_words(*reason)),
            "change the rota, the role or the step, and store it with `ledgerdesk setup --accounts FILE`",
        ),
        Problem::Unreachable(one) => unreachable_words(one.reason, name),
        Problem::Account(one) => {
            let (text, advice) = trouble_words(one.trouble);
            (
                format!("the channel account {} {text}", one.account),
                advice,
            )
        }
        Problem::NoAccount => (
            "neither the step nor the notification policy names a channel account".to_owned(),
            "name channel accounts in the step or in the policy",
        ),
    }
}

fn unreachable_words(reason: SkipReason, name: &str) -> (String, &'static str) {
    const PREFERENCES: &str =
        "the person changes the choice with PUT /v1/people/{person}/preferences";
    match reason {
        // The last two reasons belong to other facts than an escalation.
        SkipReason::NoAddress
        | SkipReason::NotDefined
        | SkipReason::Disabled
        | SkipReason::Degraded
        | SkipReason::Perished => (
            format!("{name} has no address for any account of the step"),
            "the person adds an address with PUT /v1/people/{person}/preferences",
        ),
        SkipReason::ChannelOff => (
            format!("{name} switched off the channels of the step"),
            PREFERENCES,
        ),
        SkipReason::CategoryOff => (
            format!("{name} switched off messages about escalations on the channels of the step"),
            PREFERENCES,
        ),
        SkipReason::Capped => (
            format!("a rule of the notification policy allows no message of the step to {name}"),
            "change the cap in the rules of the policy, or add a floor for escalations",
        ),
        SkipReason::Suppressed => (
            format!("a provider reported the address of {name} as wrong"),
            "the person corrects the address with PUT /v1/people/{person}/preferences",
        ),
    }
}

fn trouble_words(trouble: Trouble) -> (&'static str, &'static str) {
    match trouble {
        Trouble::NotDefined => (
            "is not defined",
            "define the account with `ledgerdesk setup --accounts FILE`",
        ),
        Trouble::Disabled => (
            "is switched off",
            "set `is_enabled` of the account, or name another account in the step",
        ),
        Trouble::Stopped => (
            "is stopped",
            "start the account with POST /v1/channel-accounts/{name}/start, or name another account in the step",
        ),
        Trouble::Paused => (
            "is paused, because its last messages failed",
            "read the reason with GET /v1/channel-accounts/{name}, and correct the account",
        ),
        Trouble::Degraded => (
            "is degraded: most of its messages fail",
            "read the reason with GET /v1/channel-accounts/{name}, and correct the account",
        ),
        Trouble::SecretMissing => (
            "has no secret in the key store",
            "store the secret with `ledgerdesk setup --secret channel/NAME=FILE`",
        ),
    }
}

#[cfg(test)]
mod tests;
