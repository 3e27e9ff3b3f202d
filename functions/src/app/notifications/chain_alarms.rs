//! Makes the standing check of each escalation chain regularly and before each shift, and stores its result. If the check
//! finds a problem that the operators do not know yet, they are notified. An alarm therefore comes before the shift and
//! not after.

use std::collections::{BTreeMap, BTreeSet};

use domain::intent::Due;
use domain::notification::chain::EscalationChain;
use domain::notification::chain_check::next_check;
use domain::notification::standing_check::{Command, Rejection, StandingCheck, stream};
use events::escalation_chain::Defined;
use events::standing_check::CHECK;
use events::{Meta, PersonId};
use infra::commit::hex;
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};

use super::standing_check::{Around, Needed, gaps, needed, teams_of};
use crate::App;

/// Makes a check due now for each escalation chain whose definitions were changed since the last call: the chain itself,
/// its rotas and accounts, and the notification policy. `new` contains the names of chains that were defined now, because
/// the list of all chains is filled later.
pub async fn schedule(app: &App, new: &[String]) -> Result<(), Error> {
    let mut names: BTreeSet<String> = new.iter().cloned().collect();
    names.extend(app.configuration.escalation_chain_names().await?);
    for name in names {
        let Some(chain) = defined(app, &name).await? else {
            continue;
        };
        let needed = needed(&app.ledger, &chain, BTreeMap::new()).await?;
        let command = Command::Schedule {
            fingerprint: fingerprint(&chain, &needed),
            chain: name.clone(),
            at: app.ledger.clock.now(),
        };
        let stream = stream(&name);
        let envelope = CommandEnvelope {
            meta: Meta::system(stream.clone(), stream.clone()),
            stream,
            command_id: app.ledger.fresh_id(),
        };
        app.ledger
            .execute::<StandingCheck>(&envelope, &command, &NoContext)
            .await
            .map_err(ExecuteError::unexpected)?;
    }
    Ok(())
}

/// Makes the check of a chain that is due. Does nothing before its time.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    if due.deadline != CHECK {
        return Ok(());
    }
    let state = app.ledger.load::<StandingCheck>(&due.stream).await?;
    let state = state.aggregate.0;
    let (Some(name), at) = (&state.chain, app.ledger.clock.now()) else {
        return Ok(());
    };
    let chain = defined(app, name).await?;
    let (Some(chain), true) = (chain, state.due <= at) else {
        return Ok(());
    };
    let teams = teams(app, &chain).await?;
    let needed = needed(&app.ledger, &chain, teams).await?;
    let around = Around {
        app: Some(app),
        reads_secrets: true,
    };
    // No ticket uses a chain that the policy does not name.
    let mut chains = needed
        .policy
        .iter()
        .flat_map(|policy| policy.chains.values());
    let gaps = if chains.any(|chain| chain == name) {
        gaps(&app.ledger, around, &chain, &needed, at).await?.0
    } else {
        Vec::new()
    };
    if !gaps.is_empty() {
        tracing::warn!(
            chain = name.as_str(),
            gaps = gaps.len(),
            "an escalation chain does not reach a person"
        );
    }
    let command = Command::Record {
        at,
        gaps,
        due: next_check(&needed.known, at),
    };
    let envelope = CommandEnvelope {
        stream: due.stream.clone(),
        // A repetition is harmless, because the result of a check moves the time of the next one. A changed definition can
        // make another check due at the same time, so the time does not identify a check.
        command_id: app.ledger.fresh_id(),
        meta: Meta::system(due.stream.clone(), due.stream.clone()),
    };
    match app
        .ledger
        .execute::<StandingCheck>(&envelope, &command, &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::NotScheduled)) => Ok(()),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Returns the current definition of a chain. The caches of the process can be older.
async fn defined(app: &App, name: &str) -> Result<Option<Defined>, Error> {
    let stream = format!("escalation_chain-{name}");
    let chain = app.ledger.load::<EscalationChain>(&stream).await?;
    Ok(chain.aggregate.0.defined)
}

/// Returns the known people of the departments in a chain. A person whom the desk does not know has no address, and no
/// event may contain the temporary id of this person. If a department cannot be read, its steps are not checked.
async fn teams(app: &App, chain: &Defined) -> Result<BTreeMap<String, Vec<PersonId>>, Error> {
    let mut teams = BTreeMap::new();
    for team in teams_of(chain) {
        let names = match app.configuration.department(&team).await {
            Ok(names) => names,
            Err(error) => {
                tracing::warn!(%error, team, "cannot read the people of a step");
                continue;
            }
        };
        let names: Vec<String> = names.iter().cloned().collect();
        let mut people = app.people.find_all(&names).await?;
        people.retain(|person| !person.is_unknown());
        teams.insert(team, people);
    }
    Ok(teams)
}

/// Returns the hash of all definitions that a chain needs. The health of accounts is no definition.
fn fingerprint(chain: &Defined, needed: &Needed) -> String {
    let accounts: Vec<_> = needed.accounts.values().map(|account| &account.0).collect();
    let known = &needed.known;
    let all = (chain, &needed.policy, &known.rotas, accounts);
    let text = serde_json::to_vec(&all).unwrap_or_default();
    hex(&blake3::hash(&text).as_bytes()[..16])
}
