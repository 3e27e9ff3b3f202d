//! Defines the trait that all aggregates implement. An aggregate has a state. The aggregate checks commands
//! and returns events, and it applies the events to the state.

use events::{Event, Personal};
use serde::{Serialize, de::DeserializeOwned};

/// An aggregate. Its functions are pure: they read no files and send no requests. The function `decide`
/// checks a command and does not change the state. The function `evolve` changes the state and checks
/// nothing.
pub trait Decider:
    Default + Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    type Command: Clone + Send + Sync + 'static;
    type Event: Event;
    type Rejection: std::error::Error + Clone + PartialEq + Send + Sync + 'static;
    /// Additional data that the function `decide` needs. This data is not in the stream of the aggregate.
    type Context: Default + Send + Sync + 'static;
    /// The name of one input that `decide` needs but that the caller did not provide. The function `decide`
    /// returns this name. The caller then loads the input and calls `decide` again.
    type Lookup: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static;
    /// Defines whether the streams of this aggregate belong to the daily work or to the configuration.
    const ROLE: StreamRole;

    fn decide(
        &self,
        command: &Self::Command,
        context: &Self::Context,
    ) -> Result<Vec<Self::Event>, DecideError<Self>>;
    fn evolve(&mut self, event: &Self::Event);
    /// Returns true if the command always starts a new stream. The caller then does not read an existing
    /// stream.
    fn opens(_command: &Self::Command) -> bool {
        false
    }
    /// Returns all personal values in the state. Personal values are encrypted in the ledger (the store of all
    /// events). Before the caller stores a snapshot of the state, the caller encrypts these values too.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}

/// The two kinds of streams: streams for the daily work and streams for the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRole {
    /// Streams for the daily work. The number of these streams increases with the number of tickets, files
    /// and requests.
    Work,
    /// Streams for the configuration. These streams rarely change, so the desk keeps their states in a cache.
    Configuration,
}

/// The reason why `decide` returns no events.
#[derive(Debug, Clone, PartialEq)]
pub enum DecideError<D: Decider> {
    /// The caller did not provide the inputs with the listed names. The caller must load these inputs and call
    /// `decide` again.
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

/// Computes the state of an aggregate from all its events. Tests and audits use this function.
pub fn fold<'a, D: Decider>(history: impl IntoIterator<Item = &'a D::Event>) -> D {
    let mut state = D::default();
    for event in history {
        state.evolve(event);
    }
    state
}

/// The type `Lookup` (names of missing inputs) for aggregates whose decisions need no further inputs. The
/// enum has no variants, so no value of this type exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nothing {}
