//! Checks and stores escalation chains and rotas. They come from a TOML file of an operator, or from an export of another
//! product.

mod chains;
pub mod import;
mod rotas;

use std::collections::{BTreeMap, BTreeSet};

use domain::notification::chain::EscalationChain;
use domain::notification::rota::Rota;
use events::escalation_chain::Target;
use events::{Meta, PersonId, channel_account, escalation_chain, rota};
use infra::{Error, channel};

pub(super) use chains::ChainEntry;
pub(super) use rotas::RotaEntry;

use super::definitions::NotAccepted;
use crate::App;
use crate::app::definition_files::{define_by, unique};
use crate::app::people::one_name;

/// Checked escalation chains and rotas. The people have temporary ids that contain their user names, until
/// [`OnCall::store`] registers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnCall {
    pub chains: Vec<escalation_chain::Defined>,
    pub rotas: Vec<rota::Defined>,
}

impl OnCall {
    /// Checks the entries of a TOML file. If an entry is invalid, returns an English text that names the entry and the
    /// wrong member.
    pub(super) fn read(chains: Vec<ChainEntry>, rotas: Vec<RotaEntry>) -> Result<Self, String> {
        let chains = chains.into_iter().map(ChainEntry::check);
        let chains: Vec<_> = chains.collect::<Result<_, _>>()?;
        let rotas = rotas.into_iter().map(RotaEntry::check);
        let rotas: Vec<_> = rotas.collect::<Result<_, _>>()?;
        unique("chain", chains.iter().map(|one| &one.name))?;
        unique("rota", rotas.iter().map(|one| &one.name))?;
        Ok(Self { chains, rotas })
    }

    /// Returns an error if a chain names a rota, a role or a channel account that does not exist, or if the directory
    /// does not know a person. `accounts` are the accounts of the same file.
    pub async fn check(
        &self,
        app: &App,
        accounts: &[channel_account::Defined],
    ) -> Result<(), NotAccepted> {
        for chain in &self.chains {
            for (number, step) in (1..).zip(&chain.steps) {
                let place = format!("chain {}, step {number}", chain.name);
                for name in &step.accounts {
                    let is_in_file = accounts.iter().any(|account| account.name == *name);
                    let is_known =
                        is_in_file || app.configuration.channel_account(name).await?.is_some();
                    refuse_unless(is_known, || {
                        format!(
                            "{place}: `accounts` names the account {name}, which is not defined"
                        )
                    })?;
                }
                if step.buzz {
                    let mut buzzes = false;
                    for name in &step.accounts {
                        let in_file = accounts.iter().find(|account| account.name == *name);
                        let account = match in_file {
                            Some(account) => Some(account.clone()),
                            None => app.configuration.channel_account(name).await?,
                        };
                        buzzes |= account.is_some_and(|account| {
                            channel::find(&account.channel)
                                .is_some_and(|codec| codec.buzzes(&account))
                        });
                    }
                    refuse_unless(buzzes, || {
                        format!(
                            "{place}: `buzz` needs an account of the channel feishu in `accounts` that sends to people"
                        )
                    })?;
                }
                match &step.notify {
                    Target::Rota(name) => {
                        let is_in_file = self.rotas.iter().any(|rota| rota.name == *name);
                        let rota = app.configuration.rota(name).await?;
                        refuse_unless(is_in_file || rota.defined.is_some(), || {
                            format!("{place}: `notify` names the rota {name}, which is not defined")
                        })?;
                    }
                    Target::Role(role) => {
                        let known = app.configuration.role(*role).await?;
                        refuse_unless(known.0.is_some(), || {
                            format!("{place}: `notify` names the role {role}, which does not exist")
                        })?;
                    }
                    Target::Person(_)
                    | Target::Leader
                    | Target::Team(_)
                    | Target::RoundRobin(_) => {}
                }
            }
        }
        let names = self.names();
        if let Some(id) = names.iter().find(|name| PersonId::is_id(name)) {
            let place = self.place_of(&PersonId::unknown(id));
            return Err(NotAccepted::Refused(format!(
                "{place}: {id:?} is not a user name"
            )));
        }
        let found = app.people.find_all(&names).await?;
        match app.people.first_absent(&found).await? {
            None => Ok(()),
            Some(absent) => {
                let name = absent.unregistered_name().unwrap_or_default();
                let place = self.place_of(&absent);
                Err(NotAccepted::Refused(format!(
                    "{place}: {name} is not in the directory of the organization; check the spelling"
                )))
            }
        }
    }

    /// Prepares definitions that were read from a response of the desk. Such a response names an erased person by the id.
    /// If the id is the one of an erased person in `stored`, the person stays as stored. `stored` contains the people of the
    /// stored definition. Returns an error for any other id, because an erased person gets no work. Call this function
    /// before [`OnCall::check`].
    pub(super) async fn keep_erased(
        &mut self,
        app: &App,
        stored: &[PersonId],
    ) -> Result<(), NotAccepted> {
        for name in self.names() {
            if !PersonId::is_id(&name) || !app.people.find(&name).await?.is_unknown() {
                continue;
            }
            let temporary = PersonId::unknown(&name);
            let known = stored.iter().find(|one| one.as_str() == name);
            let mut erased = None;
            if let Some(known) = known
                && app.people.name(known).await? == name
            {
                erased = Some(known);
            }
            let Some(erased) = erased else {
                let place = self.place_of(&temporary);
                return Err(NotAccepted::Refused(format!(
                    "{place}: {name} is the id of a person and no user name; an erased person can only stay in a definition"
                )));
            };
            for person in self.people() {
                if *person == temporary {
                    person.clone_from(erased);
                }
            }
        }
        Ok(())
    }

    /// Returns the people of the stored definitions with the same names. A name without a stored definition has no people.
    pub(super) async fn stored_people(&self, app: &App) -> Result<Vec<PersonId>, Error> {
        let mut stored = Self::default();
        for chain in &self.chains {
            let stream = format!("escalation_chain-{}", chain.name);
            let loaded = app.ledger.load::<EscalationChain>(&stream).await?;
            stored.chains.extend(loaded.aggregate.0.defined);
        }
        for rota in &self.rotas {
            let stream = format!("rota-{}", rota.name);
            let loaded = app.ledger.load::<Rota>(&stream).await?;
            stored.rotas.extend(loaded.aggregate.0.defined);
        }
        Ok(stored.people().into_iter().map(|one| one.clone()).collect())
    }

    /// Returns the first place that names a person, with the member between backticks.
    fn place_of(&self, person: &PersonId) -> String {
        for chain in &self.chains {
            for (number, step) in (1..).zip(&chain.steps) {
                let is_named = match &step.notify {
                    Target::Person(one) => one == person,
                    Target::RoundRobin(people) => people.contains(person),
                    Target::Leader | Target::Role(_) | Target::Rota(_) | Target::Team(_) => false,
                };
                if is_named {
                    return format!("chain {}, step {number}, `notify`", chain.name);
                }
            }
        }
        for rota in &self.rotas {
            for (number, layer) in (1..).zip(&rota.layers) {
                if layer.people.contains(person) {
                    return format!("rota {}, layer {number}, `people`", rota.name);
                }
            }
            for (number, one) in (1..).zip(&rota.overrides) {
                if one.person == *person {
                    return format!("rota {}, override {number}, `person`", rota.name);
                }
            }
        }
        "chains and rotas".to_owned()
    }

    /// Registers the people, and stores all rotas and chains. If a definition is equal to the stored definition, no event
    /// is added.
    pub async fn store(&self, app: &App) -> Result<(), Error> {
        let by = Meta::system("setup", "setup");
        self.store_by(app, &by).await.map(drop)
    }

    /// Stores all rotas and chains as [`OnCall::store`]. `by` is the metadata of the commits. Returns the position of the
    /// last commit in the feed, or `None` if all definitions are equal to the stored ones.
    pub(super) async fn store_by(&self, app: &App, by: &Meta) -> Result<Option<i64>, Error> {
        let names = self.names();
        let pids = app.people.pids(&names).await?;
        let registered: BTreeMap<String, PersonId> = names.into_iter().zip(pids).collect();
        let mut known = self.clone();
        for person in known.people() {
            if let Some(pid) = person
                .unregistered_name()
                .and_then(|name| registered.get(name))
            {
                person.clone_from(pid);
            }
        }
        let mut position: Option<i64> = None;
        for rota in &known.rotas {
            position = position.max(define_by::<Rota>(app, by, &rota.name, rota).await?);
        }
        for chain in &known.chains {
            let stored = define_by::<EscalationChain>(app, by, &chain.name, chain).await?;
            position = position.max(stored);
        }
        Ok(position)
    }

    /// Returns the names of the chains.
    pub fn chain_names(&self) -> Vec<String> {
        self.chains.iter().map(|chain| chain.name.clone()).collect()
    }

    /// Returns one text for each definition, for the plan of `ledgerdesk setup --dry-run`.
    pub fn plan(&self) -> Vec<String> {
        let chains = self.chains.iter();
        let chains = chains.map(|one| format!("escalation chain {}", one.name));
        let rotas = self.rotas.iter().map(|one| format!("rota {}", one.name));
        chains.chain(rotas).collect()
    }

    /// Returns the user names of all people, each name once.
    fn names(&self) -> Vec<String> {
        let mut known = self.clone();
        let names: BTreeSet<String> = known
            .people()
            .into_iter()
            .filter_map(|person| person.unregistered_name().map(str::to_owned))
            .collect();
        names.into_iter().collect()
    }

    fn people(&mut self) -> Vec<&mut PersonId> {
        let mut people: Vec<&mut PersonId> = Vec::new();
        for step in self.chains.iter_mut().flat_map(|chain| &mut chain.steps) {
            match &mut step.notify {
                Target::Person(person) => people.push(person),
                Target::RoundRobin(list) => people.extend(list),
                Target::Leader | Target::Role(_) | Target::Rota(_) | Target::Team(_) => {}
            }
        }
        for rota in &mut self.rotas {
            people.extend(rota.layers.iter_mut().flat_map(|layer| &mut layer.people));
            people.extend(rota.overrides.iter_mut().map(|one| &mut one.person));
        }
        people
    }
}

fn refuse_unless(is_known: bool, reason: impl FnOnce() -> String) -> Result<(), NotAccepted> {
    if is_known {
        Ok(())
    } else {
        Err(NotAccepted::Refused(reason()))
    }
}

/// Returns the temporary id of a person. If the text is not a user name, returns an error text that begins with `place`.
fn person(place: &str, name: &str) -> Result<PersonId, String> {
    match one_name(name) {
        Some(name) => Ok(PersonId::unknown(name)),
        // A response of the desk names an erased person by the id, see `keep_erased`. All other ids are refused later.
        None if PersonId::is_id(name) => Ok(PersonId::unknown(name)),
        None => Err(format!("{place}: {name:?} is not a user name")),
    }
}

fn all_people(place: &str, names: &[String]) -> Result<Vec<PersonId>, String> {
    names.iter().map(|name| person(place, name)).collect()
}
