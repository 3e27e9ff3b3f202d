//! Executes commands. The ledger loads the stream of a command, computes new events from the
//! command, and stores the events as one commit. If another writer changes the stream in the
//! meantime, the ledger repeats these steps. Only this module writes commits.

pub mod repository;
mod state;

use std::any::{Any, TypeId};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use domain::decider::Nothing;
use domain::{DecideError, Decider, StreamRole};
use events::{Meta, Moment, PersonId, Personal};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::cache::{Bounds, Cache, NEVER};
use crate::clock::{Clock, Rng};
use crate::keys::{Keys, seal};
use crate::store::{Appended, Commit, Hash, Store};
use crate::{Error, Kind};
use repository::{Loaded, LoadedStream, Repository, StreamHead};
use state::{Decision, State, Step, TypedDecision, TypedState, typed};

/// Maximum number of attempts to execute one command. An attempt is repeated if another writer has
/// changed the stream.
const CONFLICTS_MAX: u32 = 5;
/// Maximum number of decisions in one attempt to execute a command. (A decision computes new events
/// from the command.) A decision can request data from outside the stream of the command. The
/// ledger then loads this data and decides again.
const LOOKUPS_MAX: u32 = 8;
/// Number of locks. Each stream uses one of these locks, selected by the hash of the stream name.
/// Commands on two streams with the same lock run one after the other. Of 64 streams, about four share
/// their lock with another stream.
const LOCKS: usize = 1024;
/// Size limits of the cache of stream states. The weight of a state is the size in bytes of the
/// snapshot and the commits from which the state was loaded. A state with large forms needs more
/// memory, so its weight is larger.
const CACHE: Bounds = Bounds {
    entries: 1024,
    weight: 16 << 20,
};
/// Time in milliseconds for which a stream state stays in the cache. This limit applies only if
/// other processes also write to the store.
const CACHED_MS: i64 = 60_000;
/// Default number of commits between two snapshots (serialized states) of a stream.
pub const SNAPSHOT_EVERY: usize = 12;

/// Executes commands on event streams, with a store, a key store, a clock and a random source.
#[derive(Clone)]
pub struct Ledger {
    pub store: Arc<dyn Store>,
    pub keys: Arc<dyn Keys>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// Number of commits between two snapshots (serialized states) of a stream.
    pub(crate) snapshot_every: usize,
    locks: Arc<Vec<Arc<Mutex<()>>>>,
    cache: Arc<StateCache>,
    /// Number of commits to configuration streams (for example, streams of services and workflows)
    /// that this process has written.
    configured: Arc<AtomicU64>,
    /// Milliseconds after which cached configuration (for example, services and workflows) expires,
    /// because other processes can change the configuration. `None` if this process is the only
    /// writer.
    other_writers_ttl_ms: Option<i64>,
    /// True if no other process and no other value of this type writes to the store. A cached state of a
    /// stream is then always the current state.
    is_only_writer: bool,
    /// Number of people whom this ledger has erased. See [`CachedState::erasures`].
    erasures: Arc<AtomicU64>,
}

/// A cache with the states of recently written streams, by stream name. If the cache contains the
/// state of a stream, the next command on the stream does not load the stream.
///
/// A cached state can be out of date, but it cannot cause a wrong write. Each new commit contains
/// the sequence number of its first event. The store rejects the commit if the stream already
/// contains a commit with this number. If a command fails on a cached state, the ledger loads the
/// stream and tries the command again.
type StateCache = Cache<String, CachedState>;

/// A cached state of a stream.
struct CachedState {
    /// The number of erased people at the time at which the state was read. The state is valid only while this number
    /// stays the same, because the state can contain decrypted values of a person who was erased later.
    erasures: u64,
    loaded: Loaded,
}

/// A commit that was sent to the store. The store sent no response, so it is not known whether the
/// store contains the commit.
struct InFlight {
    first: i64,
    /// The sequence number of its last event.
    last: i64,
    hash: Hash,
    events: Events,
    at: Moment,
}

/// The events of a command, as a `Vec` of the events of the aggregate type. `None` if there are no events.
type Events = Option<Box<dyn Any + Send>>;

/// The [`Outcome`] of a command, with hidden Rust types.
struct Executed {
    state: Box<dyn State>,
    events: Events,
    last: i64,
    at: Moment,
    position: Option<i64>,
    repeated: bool,
}

impl Executed {
    /// The outcome of a command that stored nothing.
    fn without_events(loaded: Loaded, at: Moment, repeated: bool) -> Self {
        Self {
            last: loaded.head.next - 1,
            state: loaded.state,
            events: None,
            at,
            position: None,
            repeated,
        }
    }

    fn typed<D: Decider>(self) -> Outcome<D> {
        let events = match self.events {
            Some(events) => *events
                .downcast::<Vec<D::Event>>()
                .expect("each stream has one aggregate type"),
            None => Vec::new(),
        };
        Outcome {
            state: typed(self.state),
            events,
            last: self.last,
            at: self.at,
            position: self.position,
            repeated: self.repeated,
        }
    }
}

/// The reason why a command failed, see [`ExecuteError`]. The [`Decision`] keeps the reason of a rejection.
enum Failed {
    Rejected,
    Technical(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Technical(error)
    }
}

impl Failed {
    fn typed<D: Decider>(self, decision: TypedDecision<'_, D>) -> ExecuteError<D> {
        match self {
            Self::Rejected => ExecuteError::Rejected(decision.rejection()),
            Self::Technical(error) => ExecuteError::Technical(error),
        }
    }
}

/// The data that accompanies a command: the name of its stream, its unique id, and its metadata.
#[derive(Clone, Debug)]
pub struct CommandEnvelope {
    pub stream: String,
    pub command_id: [u8; 16],
    pub meta: Meta,
}

/// The result of an executed command.
#[derive(Clone, Debug)]
pub struct Outcome<D: Decider> {
    pub state: D,
    /// The events that this execution stored. The list is empty if the command changed nothing, or
    /// if an earlier execution already stored its events.
    pub events: Vec<D::Event>,
    /// The sequence number of the last event in the stream.
    pub last: i64,
    pub at: Moment,
    /// The position of the commit in the feed (the list of all commits in order). `None` if this
    /// execution stored nothing, or if the store does not know the position yet.
    pub position: Option<i64>,
    /// Whether a command with the same id was executed before this execution.
    pub repeated: bool,
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<D: Decider> {
    #[error(transparent)]
    Rejected(D::Rejection),
    #[error(transparent)]
    Technical(#[from] Error),
}

impl<D: Decider> ExecuteError<D> {
    /// Converts the reason of a failed command into an `Error`. Callers use this function for a
    /// command that must never be rejected. A rejection becomes an error of the kind
    /// [`Kind::Misconfigured`].
    pub fn unexpected(self) -> Error {
        match self {
            Self::Technical(error) => error,
            Self::Rejected(rejection) => Error::new(Kind::Misconfigured, rejection.to_string()),
        }
    }
}

/// Loads the context of a command. The context is the data outside the stream of the command that
/// the decision on the command needs.
#[async_trait]
pub trait ContextLoader<D: Decider>: Send + Sync {
    /// Loads the data that is listed in `lookups`, and adds this data to `context`.
    async fn load(&self, lookups: &[D::Lookup], context: &mut D::Context) -> Result<(), Error>;
}

/// A context loader that loads no data. It is used for aggregates whose commands need no data from
/// outside their own stream.
#[derive(Clone, Copy, Debug)]
pub struct NoContext;

#[async_trait]
impl<D: Decider<Lookup = Nothing>> ContextLoader<D> for NoContext {
    async fn load(&self, lookups: &[Nothing], _context: &mut D::Context) -> Result<(), Error> {
        match lookups.first() {
            None => Ok(()),
            Some(nothing) => match *nothing {},
        }
    }
}

impl Ledger {
    pub fn new(
        store: Arc<dyn Store>,
        keys: Arc<dyn Keys>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let locks = (0..LOCKS).map(|_| Arc::default()).collect();
        Self {
            store,
            keys,
            clock,
            rng,
            snapshot_every: SNAPSHOT_EVERY,
            locks: Arc::new(locks),
            cache: Arc::new(Cache::new(CACHE)),
            configured: Arc::default(),
            other_writers_ttl_ms: None,
            is_only_writer: false,
            erasures: Arc::default(),
        }
    }

    /// Returns this ledger for a store to which no other ledger writes. The returned ledger loads the
    /// state of a stream from the cache, without a read from the store.
    #[must_use]
    pub fn as_only_writer(self) -> Self {
        Self {
            is_only_writer: true,
            ..self
        }
    }

    /// Returns this ledger with a new value for the number of commits between two snapshots
    /// (serialized states).
    #[must_use]
    pub fn with_snapshot_every(self, commits: usize) -> Self {
        Self {
            snapshot_every: commits,
            ..self
        }
    }

    /// Returns this ledger, prepared for a store to which other processes also write. Cached
    /// configuration of the returned ledger expires after `every_ms` milliseconds.
    #[must_use]
    pub fn with_others(self, every_ms: i64) -> Self {
        Self {
            other_writers_ttl_ms: Some(every_ms),
            ..self
        }
    }

    /// Returns true if no other ledger writes to the store of this ledger.
    pub fn is_only_writer(&self) -> bool {
        self.is_only_writer
    }

    /// Returns an event store for one aggregate type. The returned type implements the trait
    /// `EventStore` of the crate cqrs-es.
    pub fn repository<D: Decider>(&self) -> Repository<D> {
        Repository::new(self.clone())
    }

    /// Loads the state of a stream.
    pub async fn load<D: Decider>(&self, stream: &str) -> Result<LoadedStream<D>, Error> {
        let fresh = TypedState::<D>::empty();
        Ok(self.load_or_cached(stream, fresh).await?.typed())
    }

    /// Loads a stream, see [`Ledger::load`]. `fresh` is a state without events of its aggregate type.
    async fn load_or_cached(&self, stream: &str, fresh: Box<dyn State>) -> Result<Loaded, Error> {
        if !self.is_only_writer {
            return self.load_stream(stream, fresh).await;
        }
        let now = self.clock.now();
        let erasures = self.erasures.load(Ordering::SeqCst);
        let kind = kind_of(fresh.as_ref());
        let copy = |cached: &CachedState| {
            let is_valid = cached.erasures == erasures;
            let is_valid = is_valid && kind_of(cached.loaded.state.as_ref()) == kind;
            is_valid.then(|| cached.loaded.copy())
        };
        if let Some(loaded) = self.cache.read(stream, now, copy).flatten() {
            return Ok(loaded);
        }
        // While a command on the stream runs, the loaded state can become out of date. The state is
        // therefore cached only if no command runs. The function does not wait for the lock, because
        // its caller can be a command that holds the same lock.
        let no_command = self.locks[lock_of(stream)].try_lock();
        let loaded = self.load_stream(stream, fresh).await?;
        if no_command.is_ok() {
            self.cache_state(now, loaded.copy(), erasures);
        }
        Ok(loaded)
    }

    /// Executes a command on its stream. Returns after the events are stored durably.
    pub async fn execute<D: Decider>(
        &self,
        command_envelope: &CommandEnvelope,
        command: &D::Command,
        loader: &dyn ContextLoader<D>,
    ) -> Result<Outcome<D>, ExecuteError<D>> {
        self.execute_at(command_envelope, None, command, loader)
            .await
    }

    /// Executes a command if the last event of the stream has the sequence number `expected`.
    /// Otherwise fails with [`Kind::Stale`].
    ///
    /// Every attempt checks the sequence number of the last event before it decides the command. If
    /// another writer adds a commit after this check, the store rejects the new commit. If an
    /// earlier call already executed the command, the function returns the result of the stored
    /// commit.
    pub async fn execute_at<D: Decider>(
        &self,
        command_envelope: &CommandEnvelope,
        expected: Option<i64>,
        command: &D::Command,
        loader: &dyn ContextLoader<D>,
    ) -> Result<Outcome<D>, ExecuteError<D>> {
        let mut context = D::Context::default();
        let mut decision = TypedDecision::new(command, &mut context, loader);
        let fresh = TypedState::<D>::empty();
        let attempts = self.attempts(command_envelope, expected, fresh.as_ref(), &mut decision);
        match attempts.await {
            Ok(executed) => Ok(executed.typed()),
            Err(failed) => Err(failed.typed(decision)),
        }
    }

    /// Executes a command, see [`Ledger::execute_at`]. `fresh` is a state without events of the aggregate type.
    async fn attempts(
        &self,
        command_envelope: &CommandEnvelope,
        expected: Option<i64>,
        fresh: &dyn State,
        decision: &mut dyn Decision,
    ) -> Result<Executed, Failed> {
        let lock = &self.locks[lock_of(&command_envelope.stream)];
        let mut guard = lock.clone().lock_owned().await;
        let erasures = self.erasures.load(Ordering::SeqCst);
        // A list of commits that were sent to the store, but for which no response arrived. It is
        // not known which of these commits the store contains.
        let mut sent: Vec<InFlight> = Vec::new();
        let mut failure = None;
        for conflict in 0..CONFLICTS_MAX {
            if conflict > 0 {
                self.pause(conflict).await;
            }
            let cache = if conflict == 0 {
                self.cached(&command_envelope.stream, kind_of(fresh))
            } else {
                None
            };
            let mut is_unverified = cache.is_some() && !self.is_only_writer;
            let loaded = match cache {
                Some(loaded) => Ok(loaded),
                // A command that creates a stream is tried on an empty stream, without loading the
                // stream. If the stream exists, the store rejects the commit. If the command fails
                // on the empty stream, the stream is loaded and the command is tried again.
                None if conflict == 0 && decision.opens() => {
                    is_unverified = true;
                    Ok(Loaded::empty(&command_envelope.stream, fresh.fresh()))
                }
                None => {
                    self.load_stream(&command_envelope.stream, fresh.fresh())
                        .await
                }
            };
            let mut loaded = match loaded {
                Ok(loaded) => loaded,
                // The load failed, but an earlier attempt sent a commit. It is possible that the
                // store contains this commit, so the next attempt reads the stream again.
                Err(error) if error.is_transient() && !sent.is_empty() => {
                    failure = Some(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match self.find_stored(&mut sent, &loaded.head).await {
                Ok(None) => {}
                Ok(Some(stored)) => return Ok(self.outcome(stored, loaded)),
                Err(error) if error.is_transient() => {
                    failure = Some(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let at = self.clock.now();
            if loaded.head.knows(&command_envelope.command_id) {
                return Ok(Executed::without_events(loaded, at, true));
            }
            loop {
                let last = loaded.head.next - 1;
                let decided = match expected.filter(|expected| *expected != last) {
                    Some(expected) => Err(stale(&command_envelope.stream, last, expected).into()),
                    None => self.decide(&mut loaded, decision).await,
                };
                match decided {
                    Ok(()) if !(is_unverified && loaded.state.decided() == 0) => break,
                    Err(failure) if !is_unverified => return Err(failure),
                    _ => {
                        loaded = self
                            .load_stream(&command_envelope.stream, fresh.fresh())
                            .await?;
                        is_unverified = false;
                        // The newly loaded stream can show that another process has already
                        // executed the same command.
                        if loaded.head.knows(&command_envelope.command_id) {
                            return Ok(Executed::without_events(loaded, at, true));
                        }
                    }
                }
            }
            if loaded.state.decided() == 0 {
                return Ok(Executed::without_events(loaded, at, false));
            }
            let Loaded { state, head } = &mut loaded;
            let commit = self
                .prepare(
                    head,
                    state.as_mut(),
                    command_envelope.command_id,
                    at,
                    command_envelope.meta.clone(),
                )
                .await?;
            let events = Some(loaded.state.take_decided());
            let (first, hash, last) = (commit.first, commit.hash, commit.next() - 1);
            let putting = self.clone().put(loaded, commit, at, erasures, guard);
            // The caller can stop waiting for this command at any time, for example if a client closes its connection.
            // The store still stores the commit. A separate task therefore holds the lock until the store has answered.
            // Otherwise, a load could cache the state before the commit.
            let (state, appended);
            (state, appended, guard) = if self.is_only_writer {
                let put = tokio::spawn(putting).await;
                put.map_err(|error| {
                    Error::because(Kind::Unavailable, "a commit was interrupted", error)
                })?
            } else {
                putting.await
            };
            match appended {
                Ok(Appended::Stored { position }) => {
                    return Ok(Executed {
                        last,
                        state,
                        events,
                        at,
                        position,
                        repeated: false,
                    });
                }
                Ok(Appended::Taken(commit)) if commit.command_id == command_envelope.command_id => {
                    // The stream already contains a commit of this command. This stored commit is
                    // the outcome, and the events of this attempt are not stored.
                    let loaded = self
                        .load_stream(&command_envelope.stream, fresh.fresh())
                        .await?;
                    return Ok(
                        match sent.into_iter().find(|sent| sent.hash == commit.hash) {
                            Some(stored) => self.outcome(stored, loaded),
                            None => Executed {
                                last: commit.next() - 1,
                                ..Executed::without_events(loaded, at, true)
                            },
                        },
                    );
                }
                Ok(Appended::Taken(_)) => failure = None,
                // It is not known whether the store contains the commit. The next attempt first
                // reads the stream. It sends the commit again only if the stream does not contain
                // this commit.
                Err(error) if error.is_transient() => {
                    sent.push(InFlight {
                        first,
                        last,
                        hash,
                        events,
                        at,
                    });
                    failure = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !sent.is_empty() {
            // All attempts failed, but it is possible that the store contains one of the sent
            // commits. This last check prevents an error for a command that was executed.
            let loaded = self
                .load_stream(&command_envelope.stream, fresh.fresh())
                .await?;
            if let Some(stored) = self.find_stored(&mut sent, &loaded.head).await? {
                return Ok(self.outcome(stored, loaded));
            }
        }
        let conflict = || {
            Error::new(
                Kind::Conflict,
                format!(
                    "other writers changed {} during all {CONFLICTS_MAX} attempts",
                    command_envelope.stream
                ),
            )
        };
        Err(failure.unwrap_or_else(conflict).into())
    }

    /// Appends a commit, and caches the new state of its stream. Returns the state, the answer of the store, and the lock
    /// of the stream.
    async fn put(
        self,
        mut loaded: Loaded,
        commit: Commit,
        at: Moment,
        erasures: u64,
        guard: OwnedMutexGuard<()>,
    ) -> (Box<dyn State>, Result<Appended, Error>, OwnedMutexGuard<()>) {
        let appended = self.put_commit(&mut loaded.head, commit).await;
        if !matches!(appended, Ok(Appended::Stored { .. })) {
            return (loaded.state, appended, guard);
        }
        self.configured(loaded.state.role());
        let state = loaded.state.copy();
        if loaded.head.is_complete {
            self.cache_state(at, loaded, erasures);
        }
        (state, appended, guard)
    }

    /// Checks whether the store contains one of the commits in `sent`. For these commits, the store
    /// sent no response. Returns the first of these commits that the store contains. If the store
    /// contains another commit at the sequence number of a sent commit, the sent commit is removed
    /// from `sent`.
    ///
    /// The result of the check never becomes wrong later, because a stored commit never changes.
    async fn find_stored(
        &self,
        sent: &mut Vec<InFlight>,
        head: &StreamHead,
    ) -> Result<Option<InFlight>, Error> {
        let mut index = 0;
        while index < sent.len() {
            let InFlight { first, hash, .. } = sent[index];
            if first >= head.next {
                index += 1;
                continue;
            }
            let stored_hash = match head.read.iter().find(|commit| commit.first == first) {
                Some(commit) => Some(commit.hash),
                None => self
                    .store
                    .forward(&head.stream, first, 1)
                    .await?
                    .first()
                    .filter(|commit| commit.first == first)
                    .map(|commit| commit.hash),
            };
            let checked = sent.swap_remove(index);
            if stored_hash == Some(hash) {
                return Ok(Some(checked));
            }
        }
        Ok(None)
    }

    /// Returns the outcome of a command whose commit is stored, although the response of the store
    /// was lost.
    fn outcome(&self, stored: InFlight, loaded: Loaded) -> Executed {
        self.configured(loaded.state.role());
        Executed {
            last: stored.last,
            state: loaded.state,
            events: stored.events,
            at: stored.at,
            position: None,
            repeated: false,
        }
    }

    /// After a commit of a configuration aggregate (for example, a service or a workflow), increases the
    /// counter of configuration commits by one. Cached configuration becomes invalid when this
    /// counter changes.
    fn configured(&self, role: StreamRole) {
        if role == StreamRole::Configuration {
            self.configured.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Decides a command on an empty stream. Returns the new events, but does not store them. The
    /// caller uses this check before it assigns a new ticket number, so that a rejected command
    /// uses no number.
    pub async fn consider<D: Decider>(
        &self,
        command: &D::Command,
        loader: &dyn ContextLoader<D>,
    ) -> Result<Vec<D::Event>, ExecuteError<D>> {
        let empty = Loaded::empty("", TypedState::<D>::empty());
        let decided = self.decided(empty, command, loader).await?;
        Ok(decided.1)
    }

    /// Decides a command on a loaded stream. Returns the state after the command and the events.
    async fn decided<D: Decider>(
        &self,
        mut loaded: Loaded,
        command: &D::Command,
        loader: &dyn ContextLoader<D>,
    ) -> Result<(D, Vec<D::Event>), ExecuteError<D>> {
        let mut context = D::Context::default();
        let mut decision = TypedDecision::new(command, &mut context, loader);
        let at = self.clock.now();
        match self.decide(&mut loaded, &mut decision).await {
            Ok(()) => {
                let events = Some(loaded.state.take_decided());
                let executed = Executed::without_events(loaded, at, false);
                let outcome = Executed { events, ..executed }.typed();
                Ok((outcome.state, outcome.events))
            }
            Err(failed) => Err(failed.typed(decision)),
        }
    }

    /// Decides a command on the current state of a stream, but stores no event. Returns two states:
    /// the state before the command and the state after the command.
    pub async fn foresee<D: Decider>(
        &self,
        stream: &str,
        command: &D::Command,
        loader: &dyn ContextLoader<D>,
    ) -> Result<(D, D), ExecuteError<D>> {
        let fresh = TypedState::<D>::empty();
        let loaded = self.load_or_cached(stream, fresh).await?;
        let before = typed(loaded.state.copy());
        let (after, _) = self.decided(loaded, command, loader).await?;
        Ok((before, after))
    }

    /// Runs the query `question` on a context (the data that `loader` has loaded), and returns the
    /// result. If the query requests more data, the function loads this data and runs the query
    /// again. No command is executed.
    pub async fn ask<D: Decider, T>(
        &self,
        loader: &dyn ContextLoader<D>,
        question: impl Fn(&D::Context) -> Result<T, DecideError<D>> + Send + Sync,
    ) -> Result<T, ExecuteError<D>> {
        self.ask_in(&mut D::Context::default(), loader, question)
            .await
    }

    /// Answers a question as [`Ledger::ask`] with a context that several questions share. The data that one question needs
    /// is not loaded again for the next one, so all answers are for the same time.
    pub async fn ask_in<D: Decider, T>(
        &self,
        context: &mut D::Context,
        loader: &dyn ContextLoader<D>,
        question: impl Fn(&D::Context) -> Result<T, DecideError<D>> + Send + Sync,
    ) -> Result<T, ExecuteError<D>> {
        for _ in 0..LOOKUPS_MAX {
            match question(context) {
                Ok(answer) => return Ok(answer),
                Err(DecideError::Rejected(rejection)) => {
                    return Err(ExecuteError::Rejected(rejection));
                }
                Err(DecideError::Needs(needed)) => loader.load(&needed, context).await?,
            }
        }
        Err(Error::new(
            Kind::Misconfigured,
            format!("a query requested context in more than {LOOKUPS_MAX} rounds"),
        )
        .into())
    }

    /// Decides a command on a loaded stream. The state then contains the decided events, and they are applied to it.
    async fn decide(&self, loaded: &mut Loaded, decision: &mut dyn Decision) -> Result<(), Failed> {
        for _ in 0..LOOKUPS_MAX {
            match decision.decide(loaded.state.as_mut()) {
                Step::Decided => return Ok(()),
                Step::Rejected => return Err(Failed::Rejected),
                Step::Needs => decision.load_context().await?,
            }
        }
        Err(Error::new(
            Kind::Misconfigured,
            format!(
                "a decision on {} requested context in more than {LOOKUPS_MAX} rounds",
                loaded.head.stream
            ),
        )
        .into())
    }

    /// Removes the state of a stream from the cache and returns this state. Returns `None` if the
    /// cache does not contain the state.
    fn cached(&self, stream: &str, kind: TypeId) -> Option<Loaded> {
        let cached = self.cache.take(stream, self.clock.now())?;
        let is_valid = cached.erasures == self.erasures.load(Ordering::SeqCst)
            && kind_of(cached.loaded.state.as_ref()) == kind;
        is_valid.then_some(cached.loaded)
    }

    /// Stores the state of a stream in the cache after a commit at the time `at`. The state can
    /// contain decrypted values that describe people. If other processes also write to the store,
    /// the state expires after one minute, because another process can erase the key of a person.
    /// `erasures` is the number of erased people at the time at which the state was read.
    fn cache_state(&self, at: Moment, mut loaded: Loaded, erasures: u64) {
        loaded.head.read = Vec::new();
        let until = self
            .other_writers_ttl_ms
            .map_or(NEVER, |_| at.plus_ms(CACHED_MS));
        let (stream, bytes) = (loaded.head.stream.clone(), loaded.head.bytes);
        let state = CachedState { erasures, loaded };
        self.cache.put(stream, state, bytes, until);
    }

    /// Waits a random time before the next attempt to execute a command. The maximum wait before
    /// the attempts 2, 3, 4 and 5 is 2, 4, 8 and 16 ms.
    async fn pause(&self, conflict: u32) {
        let mut byte = [0];
        self.rng.fill(&mut byte);
        let longest = 1_u64 << conflict;
        tokio::time::sleep(std::time::Duration::from_millis(
            u64::from(byte[0]) * longest / 255,
        ))
        .await;
    }

    /// Returns a version number for cached configuration. Cached configuration is valid while this
    /// number stays the same.
    ///
    /// The number changes with each configuration commit of this ledger. If other processes also
    /// write to the store, their commits do not change the number. In this case, the number also
    /// changes at regular times.
    pub fn configuration(&self) -> u64 {
        let others = self
            .other_writers_ttl_ms
            .map_or(0, |every| self.clock.now().0 / every.max(1));
        self.configured
            .load(Ordering::SeqCst)
            .wrapping_add(others.unsigned_abs() << 20)
    }

    /// Erases the user name and the encryption key of a person in the key store, and clears the
    /// cache of stream states. Returns whether the key store contained the person.
    pub async fn forget(&self, pid: &PersonId) -> Result<bool, Error> {
        let forgotten = self.keys.erase(pid).await;
        // The key can be erased although the key store reports an error.
        self.erasures.fetch_add(1, Ordering::SeqCst);
        self.cache.clear();
        forgotten
    }

    /// Returns a new unpredictable id.
    pub fn fresh_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        self.rng.fill(&mut id);
        id
    }

    /// Seals (encrypts) the values in `personals`. Each value is encrypted with the key of the
    /// person whom the value describes. If this person has no key, the value is removed and cannot
    /// be read again. Returns true if no value was removed.
    pub async fn seal<'a>(
        &self,
        personals: impl Iterator<Item = &'a mut Personal> + Send,
    ) -> Result<bool, Error> {
        let mut is_complete = true;
        for personal in personals {
            if personal.value.is_null() || personal.sealed.is_some() {
                continue;
            }
            if let Some(key) = self.keys.key(&personal.subject).await? {
                let mut nonce = [0; seal::NONCE_BYTES];
                self.rng.fill(&mut nonce);
                personal.sealed = Some(seal::seal(&key, nonce, &personal.subject, &personal.value));
            } else {
                is_complete = false;
            }
            personal.value = serde_json::Value::Null;
        }
        Ok(is_complete)
    }

    /// Opens (decrypts) the sealed values in `personals`. Each value describes a person. If the
    /// encryption key of this person is erased, the value stays empty.
    pub async fn open<'a>(
        &self,
        personals: impl Iterator<Item = &'a mut Personal> + Send,
    ) -> Result<(), Error> {
        for personal in personals {
            if let Some(sealed) = personal.sealed.take()
                && let Some(key) = self.keys.key(&personal.subject).await?
            {
                personal.value = seal::open(&key, &personal.subject, &sealed)?;
            }
        }
        Ok(())
    }
}

/// Returns the Rust type of a state.
fn kind_of(state: &dyn State) -> TypeId {
    let state: &dyn Any = state;
    state.type_id()
}

fn stale(stream: &str, version: i64, expected: i64) -> Error {
    Error::new(
        Kind::Stale,
        format!("{stream} is at version {version}, not {expected}"),
    )
}

fn lock_of(stream: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    stream.hash(&mut hasher);
    usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default()
}

/// Computes a command id from the texts in `parts`, which identify a command. The function hashes
/// the length and the bytes of each text with BLAKE3. The id is the first 16 bytes of the hash.
pub fn command_id(parts: &[&str]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&"ledgerdesk.command.v1").chain(parts) {
        hasher
            .update(&(part.len() as u64).to_be_bytes())
            .update(part.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}
