//! The trait of all aggregates. An aggregate has a state. It checks commands and returns events,
//! and it applies these events to its state.

use events::{Event, Personal};
use serde::{Serialize, de::DeserializeOwned};

/// An aggregate without input and output. `decide` checks a command and does not change the state.
/// `evolve` changes the state and checks nothing.
pub trait Decider:
    Default + Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    type Command: Clone + Send + Sync + 'static;
    type Event: Event;
    type Rejection: std::error::Error + Clone + PartialEq + Send + Sync + 'static;
    /// Data that a decision needs but the stream does not contain.
    type Context: Default + Send + Sync + 'static;
    /// The name of one input that is missing in the context. The decision returns this value, and
    /// the caller loads the input.
    type Lookup: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static;
    /// The kind of the streams of this aggregate.
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
    /// Returns all personal values of the state. In a snapshot, the caller stores these values
    /// sealed (encrypted), as in events.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}

/// The kind of the streams of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// Streams of the daily work. Their number grows with the number of tickets, files and
    /// requests.
    Work,
    /// Streams of the configuration. Operators rarely change them, so their states are cached.
    Configuration,
}

/// The reason why a decision returns no events.
#[derive(Debug, Clone, PartialEq)]
pub enum DecideError<D: Decider> {
    /// The decision needs these inputs. The caller loads them and repeats the decision.
    Needs(Vec<D::Lookup>),
    /// A rule does not allow the command in the current state.
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

/// Computes the state from all events of a history. The function is intended for tests and audits.
pub fn fold<'a, D: Decider>(history: impl IntoIterator<Item = &'a D::Event>) -> D {
    let mut state = D::default();
    for event in history {
        state.evolve(event);
    }
    state
}

/// The lookup type of aggregates that need no context. This enum has no variants, so no value of
/// the type exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nothing {}
