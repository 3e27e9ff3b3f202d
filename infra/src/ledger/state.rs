//! The state of a stream, and a command on it, with hidden Rust types. The code that reads streams, tries commands and
//! stores commits therefore exists once in the program, and not once for each aggregate type. Without this, it was a sixth
//! of the largest crate. Only the short functions of [`State`] and [`Decision`] exist for each aggregate type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock};

use domain::{DecideError, Decider, StreamRole};
use events::{Event as _, Meta, Moment, Personal};
use serde::{Deserialize, Serialize};

use super::ContextLoader;
use super::repository::decode;
use crate::Error;
use crate::store::Commit;

/// The state of a stream of one aggregate type, and the events with which the ledger works at the moment.
/// [`TypedState`] is the only implementation.
pub(super) trait State: Any + Send + Sync {
    fn role(&self) -> StreamRole;
    /// Returns the fingerprint of the code that applies events, see [`fingerprint`].
    fn fingerprint(&self) -> [u8; 16];
    /// Returns the state of a stream without events.
    fn fresh(&self) -> Box<dyn State>;
    /// Returns a copy of the state, without any events.
    fn copy(&self) -> Box<dyn State>;
    /// Returns whether `other` is an equal state of the same aggregate type.
    fn equals(&self, other: &dyn State) -> bool;
    /// Replaces the state by that of a snapshot. The personal values stay encrypted. Returns the most recent command ids in
    /// the snapshot, as hexadecimal text. Returns `None`, and changes nothing, if the snapshot is unreadable.
    fn read_snapshot(&mut self, bytes: &[u8]) -> Option<String>;
    /// Writes a snapshot with the given command ids. The personal values must be encrypted already.
    fn write_snapshot(&self, recent: String) -> Result<Vec<u8>, serde_json::Error>;
    /// Returns all personal values of the state.
    fn personals(&mut self) -> Vec<&mut Personal>;
    /// Decodes the events of a commit as the pending events. Returns the metadata of the commit.
    fn decode(&mut self, commit: &Commit) -> Result<Meta, Error>;
    /// Copies the decided events to the pending events.
    fn copy_decided(&mut self);
    /// Returns all personal values of the pending events.
    fn personals_of_pending(&mut self) -> Vec<&mut Personal>;
    /// Applies the pending events to the state, and removes them.
    fn apply_pending(&mut self);
    /// Writes the body of a commit with the pending events, and removes them. The personal values must be encrypted
    /// already.
    fn write_pending(&mut self, meta: &Meta) -> Result<Vec<u8>, serde_json::Error>;
    /// Returns the number of decided events.
    fn decided(&self) -> usize;
    /// Removes and returns the decided events, as a `Vec` of the events of the aggregate type.
    fn take_decided(&mut self) -> Box<dyn Any + Send>;
}

/// The implementation of [`State`] for the aggregate type `D`.
pub(super) struct TypedState<D: Decider> {
    pub(super) state: D,
    /// Events that are read from a commit or written to a commit, each with the time at which it happened, if this is not
    /// the time of the commit.
    pending: Vec<(D::Event, Option<Moment>)>,
    /// The events of the last decision. They are already applied to the state.
    pub(super) decided: Vec<D::Event>,
}

impl<D: Decider> TypedState<D> {
    pub(super) fn new(state: D) -> Self {
        Self {
            state,
            pending: Vec::new(),
            decided: Vec::new(),
        }
    }

    /// Returns a state without events, with hidden Rust types.
    pub(super) fn empty() -> Box<dyn State> {
        Box::new(Self::new(D::default()))
    }
}

/// Returns the state of the aggregate type `D` in `state`.
pub(super) fn typed<D: Decider>(state: Box<dyn State>) -> D {
    let state: Box<dyn Any> = state;
    let typed = state.downcast::<TypedState<D>>();
    typed.expect("each stream has one aggregate type").state
}

/// The JSON content of a snapshot (the serialized state of a stream).
#[derive(Deserialize)]
#[serde(bound = "")]
struct StoredSnapshot<D: Decider> {
    state: D,
    recent: String,
}

/// The same content as [`StoredSnapshot`], to be written.
#[derive(Serialize)]
#[serde(bound = "")]
struct SnapshotToStore<'a, D: Decider> {
    state: &'a D,
    recent: String,
}

impl<D: Decider> State for TypedState<D> {
    fn role(&self) -> StreamRole {
        D::ROLE
    }

    fn fingerprint(&self) -> [u8; 16] {
        fingerprint::<D>()
    }

    fn fresh(&self) -> Box<dyn State> {
        Self::empty()
    }

    fn copy(&self) -> Box<dyn State> {
        Box::new(Self::new(self.state.clone()))
    }

    fn equals(&self, other: &dyn State) -> bool {
        let other: &dyn Any = other;
        let other = other.downcast_ref::<Self>();
        other.is_some_and(|other| other.state == self.state)
    }

    fn read_snapshot(&mut self, bytes: &[u8]) -> Option<String> {
        let read: StoredSnapshot<D> = serde_json::from_slice(bytes).ok()?;
        self.state = read.state;
        Some(read.recent)
    }

    fn write_snapshot(&self, recent: String) -> Result<Vec<u8>, serde_json::Error> {
        let state = &self.state;
        serde_json::to_vec(&SnapshotToStore { state, recent })
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        self.state.personals()
    }

    fn decode(&mut self, commit: &Commit) -> Result<Meta, Error> {
        let (meta, events) = decode::<D::Event>(commit)?;
        self.pending = events;
        Ok(meta)
    }

    fn copy_decided(&mut self) {
        let decided = self.decided.iter();
        self.pending = decided
            .map(|event| (event.clone(), event.occurred_at()))
            .collect();
    }

    fn personals_of_pending(&mut self) -> Vec<&mut Personal> {
        let mut personals = Vec::new();
        for (event, _) in &mut self.pending {
            personals.extend(event.personals());
        }
        personals
    }

    fn apply_pending(&mut self) {
        for (event, _) in std::mem::take(&mut self.pending) {
            self.state.evolve(&event);
        }
    }

    fn write_pending(&mut self, meta: &Meta) -> Result<Vec<u8>, serde_json::Error> {
        events::body::write(meta, &std::mem::take(&mut self.pending))
    }

    fn decided(&self) -> usize {
        self.decided.len()
    }

    fn take_decided(&mut self) -> Box<dyn Any + Send> {
        Box::new(std::mem::take(&mut self.decided))
    }
}

/// The result of one attempt to decide a command.
pub(super) enum Step {
    /// The state contains the decided events, which are already applied.
    Decided,
    /// The aggregate rejected the command. The [`Decision`] keeps the reason.
    Rejected,
    /// The aggregate needs more data, which [`Decision::load_context`] loads.
    Needs,
}

/// A command on a stream of one aggregate type. [`TypedDecision`] is the only implementation.
pub(super) trait Decision: Send {
    /// Returns true if the command always starts a new stream.
    fn opens(&self) -> bool;
    /// Decides the command on the state, which has the same aggregate type.
    fn decide(&mut self, state: &mut dyn State) -> Step;
    /// Loads the data that the last decision needed.
    fn load_context(&mut self) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>>;
}

/// The implementation of [`Decision`] for the aggregate type `D`.
pub(super) struct TypedDecision<'a, D: Decider> {
    pub(super) command: &'a D::Command,
    pub(super) context: &'a mut D::Context,
    pub(super) loader: &'a dyn ContextLoader<D>,
    needed: Vec<D::Lookup>,
    rejection: Option<D::Rejection>,
}

impl<'a, D: Decider> TypedDecision<'a, D> {
    pub(super) fn new(
        command: &'a D::Command,
        context: &'a mut D::Context,
        loader: &'a dyn ContextLoader<D>,
    ) -> Self {
        Self {
            command,
            context,
            loader,
            needed: Vec::new(),
            rejection: None,
        }
    }

    /// Returns the reason of the last rejection.
    pub(super) fn rejection(self) -> D::Rejection {
        self.rejection.expect("a rejected command has a reason")
    }
}

impl<D: Decider> Decision for TypedDecision<'_, D> {
    fn opens(&self) -> bool {
        D::opens(self.command)
    }

    fn decide(&mut self, state: &mut dyn State) -> Step {
        let state: &mut dyn Any = state;
        let state: &mut TypedState<D> = state
            .downcast_mut()
            .expect("each stream has one aggregate type");
        match state.state.decide(self.command, self.context) {
            Ok(events) => {
                for event in &events {
                    state.state.evolve(event);
                }
                state.decided = events;
                Step::Decided
            }
            Err(DecideError::Rejected(rejection)) => {
                self.rejection = Some(rejection);
                Step::Rejected
            }
            Err(DecideError::Needs(needed)) => {
                self.needed = needed;
                Step::Needs
            }
        }
    }

    fn load_context(&mut self) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>> {
        self.loader.load(&self.needed, self.context)
    }
}

/// Returns a fingerprint of the code that applies events to the aggregate `D`.
///
/// The function applies the sample events in `events::samples` one after the other. The fingerprint
/// is a BLAKE3 hash of the states after these events. If a change of the function `evolve` changes
/// one of the states, the fingerprint also changes. The ledger ignores snapshots with another
/// fingerprint.
pub fn fingerprint<D: Decider>() -> [u8; 16] {
    static CACHE: OnceLock<Mutex<HashMap<TypeId, [u8; 16]>>> = OnceLock::new();
    let cache = CACHE.get_or_init(Mutex::default);
    if let Some(fingerprint) = cache
        .lock()
        .expect("no holder panics")
        .get(&TypeId::of::<D>())
    {
        return *fingerprint;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"ledgerdesk.snapshot.v1");
    let mut state = D::default();
    for event in events::samples::history::<D::Event>() {
        state.evolve(&event);
        hasher.update(&serde_json::to_vec(&state).expect("a state has only text keys"));
    }
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    cache
        .lock()
        .expect("no holder panics")
        .insert(TypeId::of::<D>(), fingerprint);
    fingerprint
}
