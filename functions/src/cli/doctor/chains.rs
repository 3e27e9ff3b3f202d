//! Checks whether each step of an escalation chain reaches a person, in the current and in the coming shifts. The leader
//! of a step is known only for a ticket, so steps with a leader are not checked. The defaults of teams and the pauses of
//! channel accounts are known only to a desk that runs.

use std::collections::BTreeMap;

use domain::notification::chain::EscalationChain;
use events::PersonId;
use events::escalation_chain::Defined;
use infra::directory::Directory;
use infra::{Error, Ledger};

use super::{Finding, fine, wrong};
use crate::app::notifications::standing_check::{Around, Found, look, teams_of};
use crate::app::times;

/// Checks the escalation chain in a stream. Without the directory of the organization, steps with a department are not
/// checked. `reads_secrets` is true if this program may read the secrets of channel accounts.
pub(super) async fn check(
    ledger: &Ledger,
    directory: Option<&dyn Directory>,
    stream: &str,
    reads_secrets: bool,
) -> Result<Vec<Finding>, Error> {
    let state = ledger.load::<EscalationChain>(stream).await?.aggregate.0;
    let Some(defined) = state.defined else {
        return Ok(Vec::new());
    };
    let teams = match directory {
        Some(directory) => teams(ledger, directory, &defined).await?,
        None => BTreeMap::new(),
    };
    let around = Around {
        app: None,
        reads_secrets,
    };
    let report = look(ledger, around, &defined, teams, ledger.clock.now()).await?;
    let what = format!("escalation chain {}", defined.name);
    if report.found.is_empty() {
        let checked = defined.steps.len() - report.unchecked.len().min(defined.steps.len());
        let rest = if report.unchecked.is_empty() {
            ""
        } else {
            "; the leader of a ticket is not checked, and a department only with --directory"
        };
        return Ok(vec![fine(
            what,
            format!(
                "{checked} of {} steps reach a person in the current and the coming shifts{rest}",
                defined.steps.len()
            ),
        )]);
    }
    let found = report.found.into_iter().map(|one| {
        let Found {
            step,
            at,
            is_next_shift,
            text,
            advice,
            ..
        } = one;
        let shift = if is_next_shift {
            format!(" (from {})", times::rfc3339(at))
        } else {
            String::new()
        };
        wrong(what.clone(), format!("step {step}{shift}: {text}"), advice)
    });
    Ok(found.collect())
}

/// Returns the people of all departments of a chain. A person whom the desk does not know yet has no address.
async fn teams(
    ledger: &Ledger,
    directory: &dyn Directory,
    chain: &Defined,
) -> Result<BTreeMap<String, Vec<PersonId>>, Error> {
    let mut teams = BTreeMap::new();
    for team in teams_of(chain) {
        let mut people = Vec::new();
        for name in directory.members(&team).await? {
            let known = ledger.keys.find(&name).await?;
            people.push(known.unwrap_or_else(|| PersonId::unknown(&name)));
        }
        teams.insert(team, people);
    }
    Ok(teams)
}
