//! Checks whether each step of an escalation chain reaches a person, now and in the next shift. An operator can then repair
//! a chain before a ticket needs it.

use std::collections::{BTreeMap, BTreeSet};

use domain::Decider;
use domain::config::{ChannelAccount, NotificationPolicy, Role};
use domain::notification::chain::{Inventory, Known, check, possible_people};
use domain::notification::person::{Person, stream};
use domain::notification::rota::{Rota, next_shift};
use events::escalation_chain::{Defined, Target};
use events::{Moment, PersonId};
use infra::channel::{self, Channel};
use infra::{Error, Ledger};

use super::definitions::DEFAULT_POLICY;

/// One problem of a chain, with the advice for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The number of the step. The first step has number 1.
    pub step: u32,
    /// The begin of the shift with the problem.
    pub at: Moment,
    pub is_next_shift: bool,
    /// The user name of the person without an address.
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

/// Checks a chain for the shift at the time `at` and for the next shift. `teams` contains the people of the departments in
/// the chain. If `teams` is `None`, the steps with departments are not checked.
pub async fn look(
    ledger: &Ledger,
    chain: &Defined,
    teams: Option<BTreeMap<String, Vec<PersonId>>>,
    at: Moment,
) -> Result<Report, Error> {
    let has_teams = teams.is_some();
    let known = known(ledger, chain, teams.unwrap_or_default()).await?;
    let policy = format!("notification_policy-{DEFAULT_POLICY}");
    let policy = state::<NotificationPolicy>(ledger, &policy).await?.0;
    let policy_accounts = policy.map(|policy| policy.accounts).unwrap_or_default();
    let mut accounts = BTreeMap::new();
    let named = chain.steps.iter().flat_map(|step| &step.accounts);
    for name in named.chain(&policy_accounts) {
        let stream = format!("channel_account-{name}");
        if let Some(account) = state::<ChannelAccount>(ledger, &stream).await?.0 {
            accounts.insert(name.clone(), account);
        }
    }
    let mut preferences = BTreeMap::new();
    for person in all_people(chain, &known, at) {
        let stored = state::<Person>(ledger, &stream(&person)).await?.0;
        preferences.insert(person, stored.unwrap_or_default());
    }
    let inventory = Inventory {
        known: &known,
        has_teams,
        accounts: &accounts,
        policy_accounts: &policy_accounts,
        preferences: &preferences,
        address_kind: |channel| channel::find(channel).map(Channel::address_kind),
    };
    let checked = check(chain, &inventory, at);
    let mut found = Vec::new();
    for gap in checked.gaps {
        let person = match gap.problem.person() {
            Some(person) => {
                let name = ledger.keys.name(person).await?;
                Some(name.unwrap_or_else(|| person.0.clone()))
            }
            None => None,
        };
        let (text, advice) = gap.problem.words(person.as_deref().unwrap_or_default());
        found.push(Found {
            step: gap.step,
            at: gap.at,
            is_next_shift: gap.is_next_shift,
            person,
            text,
            advice,
        });
    }
    Ok(Report {
        found,
        unchecked: checked.unchecked,
    })
}

/// Returns the ids of all departments in a chain.
pub fn teams_of(chain: &Defined) -> Vec<String> {
    let teams = chain.steps.iter().filter_map(|step| match &step.notify {
        Target::Team(team) => Some(team.clone()),
        _ => None,
    });
    teams.collect()
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

/// Returns all people whom the chain can notify in the shift at the time `at` and in the next shift.
fn all_people(chain: &Defined, known: &Known, at: Moment) -> BTreeSet<PersonId> {
    let mut people = BTreeSet::new();
    for step in &chain.steps {
        let mut times = vec![at];
        if let Target::Rota(name) = &step.notify {
            let rota = known.rotas.get(name);
            times.extend(rota.and_then(|rota| next_shift(rota, at)));
        }
        for at in times {
            people.extend(possible_people(step, known, at).unwrap_or_default());
        }
    }
    people
}

async fn state<D: Decider>(ledger: &Ledger, stream: &str) -> Result<D, Error> {
    Ok(ledger.load::<D>(stream).await?.aggregate.0)
}
