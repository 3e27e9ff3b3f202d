//! What every aggregate is: a state, a decision over it, and how events change it.

use events::{Fact, Personal};
use serde::{Serialize, de::DeserializeOwned};

/// A pure aggregate. `decide` judges and cannot change anything; `evolve` changes and does not judge.
pub trait Decider: Default + Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    type Command: Clone + Send + Sync + 'static;
    type Event: Fact;
    type Rejection: std::error::Error + Clone + PartialEq + Send + Sync + 'static;
    /// What the decision may need from outside its stream.
    type Facts: Default + Send + Sync + 'static;
    /// What it asks for when the facts at hand don't suffice.
    type Lookup: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static;

    fn decide(&self, command: &Self::Command, facts: &Self::Facts) -> Result<Vec<Self::Event>, Refusal<Self>>;
    fn evolve(&mut self, event: &Self::Event);
    /// Says whether a command is the first of its stream, so that nothing need be read before it is decided.
    fn opens(_command: &Self::Command) -> bool {
        false
    }
    /// Every personal value the state holds, so that snapshots are sealed like events.
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}

/// Why a command gave no events.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal<D: Decider> {
    /// Load these and ask again.
    Needs(Vec<D::Lookup>),
    /// The rule says no.
    Rejected(D::Rejection),
}

impl<D: Decider> std::fmt::Display for Refusal<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Needs(lookups) => write!(f, "needs {lookups:?}"),
            Self::Rejected(rejection) => rejection.fmt(f),
        }
    }
}
impl<D: Decider> std::error::Error for Refusal<D> {}

/// Folds a history; what tests and audits use.
pub fn fold<'a, D: Decider>(history: impl IntoIterator<Item = &'a D::Event>) -> D {
    let mut state = D::default();
    for event in history {
        state.evolve(event);
    }
    state
}

/// For deciders that need nothing from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nothing {}
