//! The trait of all aggregates: a state, decisions on commands, and the change of the state by
//! events.

use events::{Event, Personal};
use serde::{Serialize, de::DeserializeOwned};

/// A pure aggregate. `decide` judges and cannot change the state; `evolve` changes the state and
/// does not judge.
pub trait Decider:
    Default + Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    type Command: Clone + Send + Sync + 'static;
    type Event: Event;
    type Rejection: std::error::Error + Clone + PartialEq + Send + Sync + 'static;
    /// Inputs of a decision from outside the stream.
    type Context: Default + Send + Sync + 'static;
    /// One missing input that the decision requests.
    type Lookup: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static;
    /// Whether the streams of the aggregate are work or configuration.
    const ROLE: StreamRole;

    fn decide(
        &self,
        command: &Self::Command,
        context: &Self::Context,
    ) -> Result<Vec<Self::Event>, DecideError<Self>>;
    fn evolve(&mut self, event: &Self::Event);
    /// Returns whether the command is the first of its stream, so that the stream need not be read
    /// before the decision.
    fn opens(_command: &Self::Command) -> bool {
        false
    }
    /// Returns every personal value of the state, so that snapshots can be sealed like events.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}

/// The kind of the streams of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// The number of streams grows with the work of the desk.
    Work,
    /// Operators change the streams rarely, and functions cache their states.
    Configuration,
}

/// The reason why a command produced no events.
#[derive(Debug, Clone, PartialEq)]
pub enum DecideError<D: Decider> {
    /// The caller must load these inputs and decide again.
    Needs(Vec<D::Lookup>),
    /// A rule forbids the command in this state.
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

/// The lookup type of deciders without context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nothing {}
