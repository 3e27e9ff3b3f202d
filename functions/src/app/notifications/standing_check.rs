//! Checks whether each step of an escalation chain reaches a person, now and in the coming shifts. An operator can then
//! repair a chain before a ticket needs it. The module [`chain_alarms`](super::chain_alarms) makes this check regularly.

use std::collections::{BTreeMap, BTreeSet};

use domain::Decider;
use domain::config::{ChannelAccount, NotificationPolicy, Role};
use domain::notification::chain::Known;
use domain::notification::chain_check::{
    Inventory, KnownAccount, Reachable, check, possible_people, shifts, words,
};
use domain::notification::person::{Person, stream};
use domain::notification::rota::Rota;
use domain::notification::team::WithDefaults;
use events::escalation_chain::{Defined, Target};
use events::standing_check::{Gap, Problem, Trouble, Unreachable};
use events::{Moment, PersonId, notification_policy};
use infra::channel::{self, Channel};
use infra::{Error, Ledger};

use super::accounts;
use super::definitions::DEFAULT_POLICY;
use super::teams;
use crate::App;

/// What the check reads besides the definitions in the ledger.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The desk that runs. With it, the check knows the defaults of teams and the pauses of channel accounts.
    pub app: Option<&'a App>,
    /// True if the process may read the secrets of channel accounts, so that the check finds missing ones.
    pub reads_secrets: bool,
}

/// One problem of a chain, with the advice for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The number of the step. The first step has number 1.
    pub step: u32,
    /// The begin of the shift with the problem.
    pub at: Moment,
    pub is_next_shift: bool,
    /// The user name of the person whom the step does not reach.
    pub person: Option<String>,
    pub text: String,
    pub advice: &'static str,
}

/// The result of the check of one chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub found: Vec<Found>,
    /// The numbers of the steps whose people are known only for a ticket, or only in the directory.
    pub unchecked: Vec<u32>,
}

/// The definitions that a chain needs.
pub(super) struct Needed {
    pub(super) known: Known,
    pub(super) policy: Option<notification_policy::Defined>,
    /// The channel accounts by name, with their emergency stops and their health.
    pub(super) accounts: BTreeMap<String, ChannelAccount>,
}

/// Checks a chain at the time `at` and in the coming shifts. `teams` contains the people of the departments in the chain.
/// A step with another department is not checked.
pub async fn look(
    ledger: &Ledger,
    around: Around<'_>,
    chain: &Defined,
    teams: BTreeMap<String, Vec<PersonId>>,
    at: Moment,
) -> Result<Report, Error> {
    let needed = needed(ledger, chain, teams).await?;
    let (gaps, unchecked) = gaps(ledger, around, chain, &needed, at).await?;
    let mut found = Vec::new();
    for gap in gaps {
        let person = match &gap.problem {
            Problem::Unreachable(Unreachable { person, .. }) => {
                let name = ledger.keys.name(person).await?;
                Some(name.unwrap_or_else(|| person.0.clone()))
            }
            _ => None,
        };
        let (text, advice) = words(&gap.problem, person.as_deref().unwrap_or_default());
        found.push(Found {
            step: gap.step,
            at: gap.at.unwrap_or(at),
            is_next_shift: gap.at.is_some(),
            person,
            text,
            advice,
        });
    }
    Ok(Report { found, unchecked })
}

/// Returns the problems of a chain, and the numbers of the steps that are not checked.
pub(super) async fn gaps(
    ledger: &Ledger,
    around: Around<'_>,
    chain: &Defined,
    needed: &Needed,
    at: Moment,
) -> Result<(Vec<Gap>, Vec<u32>), Error> {
    let mut accounts = BTreeMap::new();
    for (name, account) in &needed.accounts {
        if let Some(defined) = &account.0 {
            let known = KnownAccount {
                defined: defined.clone(),
                trouble: trouble(ledger, around, name, account).await?,
            };
            accounts.insert(name.clone(), known);
        }
    }
    let mut people = BTreeMap::new();
    for person in all_people(chain, &needed.known, at) {
        let Person(preferences, suppressed) = state::<Person>(ledger, &stream(&person)).await?;
        let preferences = preferences.unwrap_or_default();
        let WithDefaults {
            preferences,
            of_team,
        } = match around.app {
            Some(app) => {
                teams::preferences_of(app, &person, preferences, needed.policy.as_ref()).await?
            }
            None => WithDefaults {
                preferences,
                of_team: BTreeSet::new(),
            },
        };
        let reachable = Reachable {
            preferences,
            of_team,
            suppressed,
        };
        people.insert(person, reachable);
    }
    let inventory = Inventory {
        known: &needed.known,
        accounts: &accounts,
        policy: needed.policy.as_ref(),
        people: &people,
        address_kind: |channel| channel::find(channel).map(Channel::address_kind),
    };
    let checked = check(chain, &inventory, at);
    Ok((checked.gaps, checked.unchecked))
}

/// Returns the reason why an account that is defined sends no messages now. Returns `None` if it works, as far as the
/// process may know.
async fn trouble(
    ledger: &Ledger,
    around: Around<'_>,
    name: &str,
    account: &ChannelAccount,
) -> Result<Option<Trouble>, Error> {
    let ChannelAccount(defined, stopped, degraded) = account;
    if stopped.is_some() {
        return Ok(Some(Trouble::Stopped));
    }
    if let Some(defined) = defined.as_ref().filter(|_| around.reads_secrets) {
        let secret = format!("{}{name}", accounts::SECRET);
        let secret = ledger.keys.secret(&secret).await?.unwrap_or_default();
        let secret = String::from_utf8(secret).unwrap_or_default();
        if accounts::lacks_secret(defined, &secret) {
            return Ok(Some(Trouble::SecretMissing));
        }
    }
    if degraded.is_some() {
        return Ok(Some(Trouble::Degraded));
    }
    let paused = match around.app {
        Some(app) => accounts::waits(app, name).await?.is_some(),
        None => false,
    };
    Ok(paused.then_some(Trouble::Paused))
}

/// Returns the ids of all departments in a chain.
pub fn teams_of(chain: &Defined) -> Vec<String> {
    let teams = chain.steps.iter().filter_map(|step| match &step.notify {
        Target::Team(team) => Some(team.clone()),
        _ => None,
    });
    teams.collect()
}

/// Reads the definitions that a chain needs. `teams` contains the people of its departments.
pub(super) async fn needed(
    ledger: &Ledger,
    chain: &Defined,
    teams: BTreeMap<String, Vec<PersonId>>,
) -> Result<Needed, Error> {
    let known = known(ledger, chain, teams).await?;
    let policy = format!("notification_policy-{DEFAULT_POLICY}");
    let policy = state::<NotificationPolicy>(ledger, &policy).await?.0;
    let mut accounts = BTreeMap::new();
    let of_policy = policy.iter().flat_map(|policy| {
        let accounts = policy.accounts.iter();
        accounts.chain(&policy.fallback)
    });
    let of_steps = chain.steps.iter().flat_map(|step| &step.accounts);
    let names: BTreeSet<&String> = of_steps.chain(of_policy).collect();
    for name in names {
        let stream = format!("channel_account-{name}");
        let account = state::<ChannelAccount>(ledger, &stream).await?;
        accounts.insert(name.clone(), account);
    }
    Ok(Needed {
        known,
        policy,
        accounts,
    })
}

async fn known(
    ledger: &Ledger,
    chain: &Defined,
    teams: BTreeMap<String, Vec<PersonId>>,
) -> Result<Known, Error> {
    let mut known = Known {
        teams,
        ..Known::default()
    };
    for step in &chain.steps {
        match &step.notify {
            Target::Rota(name) => {
                let rota = state::<Rota>(ledger, &format!("rota-{name}")).await?;
                known
                    .rotas
                    .extend(rota.defined.map(|rota| (name.clone(), rota)));
            }
            Target::Role(id) => {
                let role = state::<Role>(ledger, &format!("role-{id}")).await?;
                let members = role.0.map(|role| role.members).unwrap_or_default();
                known.roles.insert(*id, members);
            }
            Target::Person(_) | Target::Leader | Target::Team(_) | Target::RoundRobin(_) => {}
        }
    }
    Ok(known)
}

/// Returns all people whom the chain can notify at the time `at` and in the coming shifts.
fn all_people(chain: &Defined, known: &Known, at: Moment) -> BTreeSet<PersonId> {
    let mut people = BTreeSet::new();
    for step in &chain.steps {
        let mut times = vec![at];
        times.extend(shifts(step, known, at));
        for at in times {
            people.extend(possible_people(step, known, at).unwrap_or_default());
        }
    }
    people
}

async fn state<D: Decider>(ledger: &Ledger, stream: &str) -> Result<D, Error> {
    Ok(ledger.load::<D>(stream).await?.aggregate.0)
}
