//! Checks whether each step of an escalation chain reaches a person, in the current and in the next shift. The checks need
//! only the ledger and the key store, so steps with a department or a leader are not checked.

use domain::notification::chain::EscalationChain;
use infra::{Error, Ledger};

use super::{Finding, fine, wrong};
use crate::app::notifications::standing_check::{Found, look};
use crate::app::times;

/// Checks the escalation chain in a stream.
pub(super) async fn check(ledger: &Ledger, stream: &str) -> Result<Vec<Finding>, Error> {
    let state = ledger.load::<EscalationChain>(stream).await?.aggregate.0;
    let Some(defined) = state.defined else {
        return Ok(Vec::new());
    };
    let report = look(ledger, &defined, None, ledger.clock.now()).await?;
    let what = format!("escalation chain {}", defined.name);
    if report.found.is_empty() {
        let checked = defined.steps.len() - report.unchecked.len().min(defined.steps.len());
        return Ok(vec![fine(
            what,
            format!(
                "{checked} of {} steps reach a person in the current and the next shift",
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
