//! Defines the steps of scripts. The verdict (result) of each step determines the next step or ends the script.

use std::collections::BTreeMap;

use crate::attempt::Verdict;
use crate::automation::execution::{OUTCOME, name};
use events::execution::Outcome;
use events::finding::{Finding, Reason};
use events::script::Body;

/// The name of the first step of an unlock of an account. In this step, the desk reads whether the account is
/// locked.
pub const READ: &str = "read";
/// The name of the second step of an unlock of an account. In this step, the desk removes the lock.
pub const UNLOCK: &str = "unlock";
/// The name of the last step of an unlock of an account. In this step, the desk checks that the account is no
/// longer locked.
pub const CHECK: &str = "check";
/// The name of the first step of a shell script. In this step, the desk starts the script in a sandbox. The
/// step must not be done twice.
pub const START: &str = "start";
/// The name of the second step of a shell script. In this step, the desk reads whether the script has ended.
pub const RUN: &str = "run";
/// Pause in milliseconds before the desk checks again whether an account is unlocked. If the directory has
/// several servers, some time passes until all servers have the change.
const CHECK_AGAIN_MS: i64 = 2_000;

/// Returns the name of the first step of a script.
pub fn first(body: &Body) -> &'static str {
    match body {
        Body::Steps { .. } => READ,
        Body::Shell { .. } => START,
    }
}

/// The state of a user account in a directory, such as an LDAP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// The directory contains no account with this name.
    Missing,
    /// The directory contains several entries with the name of the account.
    Ambiguous,
    /// The directory locked the account after too many wrong passwords. The text is the time of the lock in the
    /// time format of the directory.
    Locked(String),
    /// An administrator locked the account. Only a person may decide to remove this lock.
    LockedByAdministrator,
    NotLocked,
}

/// Returns the verdict of a step that reads an account: how the script continues. The parameter `step` is
/// [`READ`] or [`CHECK`], and `state` is the state of the account in this step.
pub fn after_reading(step: &str, state: &AccountState) -> Verdict {
    match (step, state) {
        (_, AccountState::Missing) => failed(Finding::AccountMissing),
        (_, AccountState::Ambiguous) => failed(Finding::AccountAmbiguous),
        (_, AccountState::LockedByAdministrator) => failed(Finding::AccountLockedByAdministrator),
        (CHECK, AccountState::NotLocked) => ended(Outcome::Succeeded, Finding::AccountNotLocked),
        (_, AccountState::NotLocked) => ended(Outcome::NoChange, Finding::AccountNotLocked),
        (CHECK, AccountState::Locked(since)) => {
            let since = since.clone();
            poll(CHECK, CHECK_AGAIN_MS, Finding::AccountStillLocked { since })
        }
        (_, AccountState::Locked(since)) => {
            let since = since.clone();
            poll(UNLOCK, 0, Finding::AccountLocked { since })
        }
    }
}

/// Returns the verdict (result of a step) of the step [`UNLOCK`] after the directory has removed the lock. The
/// step [`CHECK`] follows.
pub fn after_unlocking() -> Verdict {
    poll(CHECK, 0, Finding::LockRemoved)
}

/// Returns the verdict (result of a step) for a failure after which the step is not repeated.
pub fn failed(reason: impl Into<Reason>) -> Verdict {
    Verdict::Failed {
        reason: reason.into(),
        outputs: BTreeMap::new(),
    }
}

fn ended(outcome: Outcome, observed: Finding) -> Verdict {
    Verdict::Succeeded {
        outputs: [(OUTCOME.to_owned(), name(outcome).to_owned())].into(),
        observed: Some(Box::new(observed)),
    }
}

fn poll(step: &str, after_ms: i64, observed: Finding) -> Verdict {
    Verdict::observing(step, after_ms, observed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Poll { step, after_ms, .. } => format!("{step} after {after_ms}"),
            Verdict::Succeeded { outputs, .. } => outputs[OUTCOME].clone(),
            Verdict::Failed { reason, .. } => reason.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_account_is_read_unlocked_and_checked() {
        let locked = || AccountState::Locked("20261128000000Z".into());
        for (step, state, expected) in [
            (READ, locked(), "unlock after 0"),
            (READ, AccountState::NotLocked, "no_change"),
            (CHECK, AccountState::NotLocked, "succeeded"),
            (CHECK, locked(), "check after 2000"),
            (
                READ,
                AccountState::LockedByAdministrator,
                "an administrator locked the account; a person must decide whether it is unlocked",
            ),
            (
                READ,
                AccountState::Missing,
                "the directory has no such account",
            ),
            (
                CHECK,
                AccountState::Missing,
                "the directory has no such account",
            ),
            (
                READ,
                AccountState::Ambiguous,
                "the directory has several entries for the name of the account",
            ),
        ] {
            assert_eq!(
                shown(&after_reading(step, &state)),
                expected,
                "{step} {state:?}"
            );
        }
        assert_eq!(shown(&after_unlocking()), "check after 0");
    }
}
