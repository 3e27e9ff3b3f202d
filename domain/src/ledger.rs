//! Implements the aggregate with which an operator accepts the loss of commits (groups of events that are
//! stored together). The hashes of these commits were published, but the ledger does not contain the
//! commits any more.

use events::ledger::{Continued, LedgerEvent};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The name of the stream that stores which losses of commits an operator has accepted.
pub const STREAM: &str = "ledger-continued";

/// Accepts the loss of the given commits (groups of events that are stored together). The desk can then
/// start without these commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Continued);

/// The reasons why the acceptance of a loss is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("no commit is missing")]
    NothingMissing,
}

/// All losses of commits (groups of events that are stored together) that an operator has accepted, from
/// the oldest to the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuations {
    pub accepted: Vec<Continued>,
}

impl Decider for Continuations {
    type Command = Command;
    type Event = LedgerEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Configuration;

    fn decide(
        &self,
        Command(continued): &Command,
        (): &(),
    ) -> Result<Vec<LedgerEvent>, DecideError<Self>> {
        if continued.missing < 1 {
            return Err(DecideError::Rejected(Rejection::NothingMissing));
        }
        Ok(vec![continued.clone().into()])
    }

    fn evolve(&mut self, event: &LedgerEvent) {
        let LedgerEvent::Continued(continued) = event;
        self.accepted.push(continued.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_of_no_commit_is_rejected() {
        let continued = |missing| Continued {
            published_position: 84,
            position: 84 - missing,
            missing,
        };
        assert_eq!(
            Continuations::default().decide(&Command(continued(0)), &()),
            Err(DecideError::Rejected(Rejection::NothingMissing))
        );
        assert_eq!(
            Continuations::default().decide(&Command(continued(28)), &()),
            Ok(vec![continued(28).into()])
        );
    }
}
