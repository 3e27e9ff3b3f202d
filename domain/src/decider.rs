//! The trait of all aggregates. An aggregate consists of a state, decisions on commands, and state
//! changes by events.

use events::{Event, Personal};
use serde::{Serialize, de::DeserializeOwned};

/// A pure aggregate. `decide` checks a command and cannot change the state. `evolve` changes the
/// state and checks nothing.
pub trait Decider:
    Default + Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    type Command: Clone + Send + Sync + 'static;
    type Event: Event;
    type Rejection: std::error::Error + Clone + PartialEq + Send + Sync + 'static;
    /// Inputs of a decision that are not in the stream.
    type Context: Default + Send + Sync + 'static;
    /// One input that is missing in the context. The decision requests the input from the caller.
    type Lookup: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static;
    /// The kind of the aggregate's streams.
    const ROLE: StreamRole;

    fn decide(
        &self,
        command: &Self::Command,
        context: &Self::Context,
    ) -> Result<Vec<Self::Event>, DecideError<Self>>;
    fn evolve(&mut self, event: &Self::Event);
    /// Returns true if the command always starts a new stream. The caller then does not load the
    /// stream before the decision.
    fn opens(_command: &Self::Command) -> bool {
        false
    }
    /// Returns every personal value of the state. The caller seals these values in snapshots, as in
    /// events.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}

/// The kind of the streams of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// The number of streams grows with the number of tickets, files and requests.
    Work,
    /// Operators change these streams rarely, so functions cache the states.
    Configuration,
}

/// The reason why a decision returned no events.
#[derive(Debug, Clone, PartialEq)]
pub enum DecideError<D: Decider> {
    /// The decision needs these inputs. The caller loads the inputs and repeats the decision.
    Needs(Vec<D::Lookup>),
    /// A rule forbids the command in the current state.
    Rejected(D::Rejection),
}

impl<D: Decider> std::fmt::Display for DecideError<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Needs(lookups) => write!(f, "needs {lookups:?}"),
            Self::Rejected(rejection) => rejection.fmt(f),
        }
    }
}
impl<D: Decider> std::error::Error for DecideError<D> {}

/// Folds a history into a state, for tests and audits.
pub fn fold<'a, D: Decider>(history: impl IntoIterator<Item = &'a D::Event>) -> D {
    let mut state = D::default();
    for event in history {
        state.evolve(event);
    }
    state
}

/// The lookup type of deciders that need no context. The enum has no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nothing {}
