//! Implements the trait `EventStore` of the crate cqrs-es. The implementation works with every
//! adapter of [`Store`](crate::store::Store). Such an adapter stores only bytes.
//!
//! The repository decodes commits, decrypts sealed values and applies the events to the aggregate.
//! It also adds snapshots (serialized states) to commits. Tests use the repository through
//! `CqrsFramework`. Production code uses [`Ledger::execute`](crate::Ledger::execute), which adds
//! command ids and retries.

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::ops::Deref;

use cqrs_es::{AggregateContext, AggregateError, EventEnvelope, EventStore};
use domain::{DecideError, Decider, Envelope, EsAggregate};
use events::{Body, Event, Meta, Moment, Raw, Unreadable};

pub use super::state::fingerprint;
use super::state::{State, TypedState, typed};
use crate::store::{Appended, COMMIT_BYTES_MAX, Commit, Hash, SNAPSHOT_BYTES_MAX, Snapshot};
use crate::{Error, Kind, Ledger};

/// Maximum number of commits that one read of a stream returns.
const PAGE: usize = 12;
/// After this number of decoded commits, the async task lets other tasks run.
const COMMITS_AT_ONCE: usize = 16;
/// Maximum number of command ids that the state of a stream contains. These are the ids of the most
/// recent commands. The ledger uses them to recognize a repeated command.
pub const REMEMBERED: usize = 64;

/// The data of a loaded stream apart from its state. The next commit of the stream needs this data.
#[derive(Clone, Debug)]
pub struct StreamHead {
    pub stream: String,
    /// Sequence number of the next event.
    pub next: i64,
    pub tail: Hash,
    /// The most recent command ids, oldest first. Only the first 8 bytes of each id are stored. The
    /// list contains at most [`REMEMBERED`] ids.
    recent: VecDeque<[u8; 8]>,
    since_snapshot: usize,
    /// Size in bytes of the snapshot and the commits from which the state was built. The cache uses
    /// this size as an estimate of the memory that the state needs.
    pub(super) bytes: usize,
    /// False if the state contains a value about an erased person. The commit with this value does not contain it, so
    /// the state must not be cached.
    pub(super) is_complete: bool,
    /// The commits that were read when the stream was loaded, newest first. `Ledger::execute`
    /// searches this list for commits that it sent, but for which no response arrived.
    pub read: Vec<Commit>,
}

impl StreamHead {
    pub(super) fn empty(stream: &str) -> Self {
        Self {
            stream: stream.into(),
            next: 1,
            tail: [0; 32],
            recent: VecDeque::new(),
            since_snapshot: 0,
            bytes: 0,
            is_complete: true,
            read: Vec::new(),
        }
    }

    /// Returns whether a command id is one of the last [`REMEMBERED`] command ids of the stream.
    pub fn knows(&self, command_id: &[u8; 16]) -> bool {
        self.recent.iter().any(|known| *known == command_id[..8])
    }

    fn remember(&mut self, command_id: &[u8; 16]) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&command_id[..8]);
        self.recent.push_back(prefix);
    }
}

/// A loaded stream: its aggregate state, and the data that the next commit of the stream needs.
#[derive(Clone, Debug)]
pub struct LoadedStream<D: Decider> {
    pub aggregate: EsAggregate<D>,
    pub head: StreamHead,
}

impl<D: Decider> Deref for LoadedStream<D> {
    type Target = StreamHead;
    fn deref(&self) -> &StreamHead {
        &self.head
    }
}

impl<D: Decider> AggregateContext<EsAggregate<D>> for LoadedStream<D> {
    fn aggregate(&mut self) -> &mut EsAggregate<D> {
        &mut self.aggregate
    }
}

/// A loaded stream with hidden Rust types.
pub(super) struct Loaded {
    pub(super) state: Box<dyn State>,
    pub(super) head: StreamHead,
}

impl Loaded {
    /// Returns the stream `stream` without events. `fresh` is a state of its aggregate type.
    pub(super) fn empty(stream: &str, fresh: Box<dyn State>) -> Self {
        Self {
            state: fresh,
            head: StreamHead::empty(stream),
        }
    }

    /// Returns a copy without events.
    pub(super) fn copy(&self) -> Self {
        Self {
            state: self.state.copy(),
            head: self.head.clone(),
        }
    }

    pub(super) fn typed<D: Decider>(self) -> LoadedStream<D> {
        LoadedStream {
            aggregate: EsAggregate(typed(self.state)),
            head: self.head,
        }
    }
}

/// An event store for aggregates of the type `D`. It implements the trait `EventStore` of the crate
/// cqrs-es.
#[derive(Clone)]
pub struct Repository<D> {
    ledger: Ledger,
    kind: PhantomData<fn() -> D>,
}

impl<D: Decider> Repository<D> {
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            kind: PhantomData,
        }
    }

    /// Loads the state of a stream. The function reads the commits backwards until it finds a
    /// usable snapshot. Then it applies the events of all commits after this snapshot, in order. A
    /// snapshot is usable if its fingerprint matches the current code.
    pub async fn load(&self, stream: &str) -> Result<LoadedStream<D>, Error> {
        let fresh = TypedState::<D>::empty();
        Ok(self.ledger.load_stream(stream, fresh).await?.typed())
    }

    /// Appends events to the stream in `loaded`. The caller has already applied the events to the
    /// aggregate in `loaded`. If the append succeeds, the function updates the other fields of
    /// `loaded`, such as the next sequence number.
    pub async fn append(
        &self,
        loaded: &mut LoadedStream<D>,
        command_id: [u8; 16],
        at: Moment,
        meta: Meta,
        events: &[D::Event],
    ) -> Result<Appended, Error> {
        let mut state = TypedState::new(loaded.aggregate.0.clone());
        state.decided = events.to_vec();
        let head = &mut loaded.head;
        let prepared = self.ledger.prepare(head, &mut state, command_id, at, meta);
        let commit = prepared.await?;
        self.ledger.put_commit(head, commit).await
    }

    /// Builds the state of a stream from all its events, and compares this state with the snapshots
    /// (serialized states) of the stream. Snapshots of other program versions (with another
    /// fingerprint) are ignored. For each commit with a wrong snapshot, returns the sequence number
    /// of the first event of the commit. The command `audit verify` calls this function.
    pub async fn check_snapshots(&self, stream: &str) -> Result<Vec<i64>, Error> {
        let fresh = TypedState::<D>::empty();
        self.ledger.check_snapshots(stream, fresh).await
    }
}

impl Ledger {
    /// Loads a stream, see [`Repository::load`]. `fresh` is a state without events of its aggregate type.
    pub(super) async fn load_stream(
        &self,
        stream: &str,
        fresh: Box<dyn State>,
    ) -> Result<Loaded, Error> {
        let mut loaded = Loaded::empty(stream, fresh);
        let Loaded { state, head } = &mut loaded;
        let mut before = None;
        'pages: loop {
            let page = self.store.back(stream, before, PAGE).await?;
            let Some(oldest) = page.last() else { break };
            before = Some(oldest.first);
            for commit in page {
                let contiguous = head
                    .read
                    .last()
                    .is_none_or(|later: &Commit| later.first == commit.next());
                if !contiguous {
                    return Err(Error::corrupt(format!(
                        "{stream} has a gap after commit {}:{}",
                        commit.stream, commit.first
                    )));
                }
                let usable = commit
                    .snapshot
                    .as_ref()
                    .filter(|snapshot| snapshot.fingerprint == state.fingerprint());
                let recent = match usable {
                    Some(snapshot) => self.open_snapshot(state, &snapshot.state).await?,
                    None => None,
                };
                let snapshot_bytes = commit
                    .snapshot
                    .as_ref()
                    .map_or(0, |snapshot| snapshot.state.len());
                let reached_start = commit.first == 1;
                let next = commit.next();
                let tail = commit.hash;
                head.read.push(commit);
                if let Some(recent) = recent {
                    head.bytes = snapshot_bytes;
                    head.recent = recent;
                    head.next = next;
                    head.tail = tail;
                    break 'pages;
                }
                if reached_start {
                    break 'pages;
                }
            }
        }
        let newer: Vec<Commit> = head
            .read
            .iter()
            .filter(|commit| commit.first >= head.next)
            .rev()
            .cloned()
            .collect();
        for (at, commit) in newer.into_iter().enumerate() {
            // If all keys are in the cache, the decoding never waits for I/O. The loop therefore
            // lets other tasks run after every few commits. Otherwise, a long stream would block
            // the other tasks of this thread.
            if at % COMMITS_AT_ONCE == COMMITS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            if commit.first != head.next {
                return Err(Error::corrupt(format!(
                    "{stream} does not start at 1, its oldest commit starts at {}",
                    commit.first
                )));
            }
            self.apply(state.as_mut(), &commit).await?;
            head.remember(&commit.command_id);
            head.next = commit.next();
            head.tail = commit.hash;
            head.bytes += commit.body.len();
            head.since_snapshot += 1;
        }
        Ok(loaded)
    }

    /// Applies the events of a stored commit to the state of its stream.
    async fn apply(&self, state: &mut dyn State, commit: &Commit) -> Result<(), Error> {
        let mut meta = state.decode(commit)?;
        let personals = state.personals_of_pending().into_iter();
        self.open(personals.chain(meta.personals())).await?;
        state.apply_pending();
        Ok(())
    }

    /// Builds and returns the next commit of a stream, but does not store it. The commit contains
    /// the decided events in `state`, which are already applied. In the commit, values that describe people are encrypted.
    pub(super) async fn prepare(
        &self,
        head: &mut StreamHead,
        state: &mut dyn State,
        command_id: [u8; 16],
        at: Moment,
        mut meta: Meta,
    ) -> Result<Commit, Error> {
        let n = i64::try_from(state.decided()).unwrap_or(i64::MAX);
        state.copy_decided();
        let personals = state.personals_of_pending().into_iter();
        head.is_complete &= self.seal(personals.chain(meta.personals())).await?;
        let body = state.write_pending(&meta).map_err(|error| {
            Error::because(
                Kind::Corrupt,
                format!("cannot write a commit of {}", head.stream),
                error,
            )
        })?;
        let mut commit = Commit {
            stream: head.stream.clone(),
            first: head.next,
            n,
            at,
            command_id,
            prev_hash: head.tail,
            hash: [0; 32],
            body,
            snapshot: None,
        };
        commit.hash = commit.expected_hash();
        if head.since_snapshot + 1 >= self.snapshot_every {
            commit.snapshot = self.snapshot(head, state, &command_id).await?;
        }
        if commit.size() > COMMIT_BYTES_MAX {
            commit.snapshot = None;
        }
        Ok(commit)
    }

    /// Appends the next commit of a stream. An earlier attempt can have stored this commit although
    /// the response to the attempt was lost. In this case, the append also succeeds.
    pub(super) async fn put_commit(
        &self,
        head: &mut StreamHead,
        commit: Commit,
    ) -> Result<Appended, Error> {
        let snapshot_bytes = commit
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.state.len());
        let body_bytes = commit.body.len();
        let (next, hash, command_id) = (commit.next(), commit.hash, commit.command_id);
        let appended = match self.store.append(commit).await? {
            Appended::Taken(taken) if taken.hash == hash => Appended::Stored { position: None },
            appended => appended,
        };
        if matches!(appended, Appended::Stored { .. }) {
            head.remember(&command_id);
            head.next = next;
            head.tail = hash;
            head.since_snapshot = if snapshot_bytes.is_some() {
                0
            } else {
                head.since_snapshot + 1
            };
            head.bytes = snapshot_bytes.unwrap_or(head.bytes + body_bytes);
        }
        Ok(appended)
    }

    /// Returns a snapshot of `state`. This state already includes the new commit. The
    /// snapshot also contains the most recent command ids, with `command_id` as the last id.
    /// Returns `None` if the snapshot is larger than [`SNAPSHOT_BYTES_MAX`].
    async fn snapshot(
        &self,
        head: &StreamHead,
        state: &dyn State,
        command_id: &[u8; 16],
    ) -> Result<Option<Snapshot>, Error> {
        let mut sealed = state.copy();
        self.seal(sealed.personals().into_iter()).await?;
        let older = head.recent.len().saturating_sub(REMEMBERED - 1);
        let recent = head
            .recent
            .iter()
            .skip(older)
            .map(<[u8; 8]>::as_slice)
            .chain([&command_id[..8]])
            .map(crate::commit::hex)
            .collect();
        let bytes = sealed.write_snapshot(recent).map_err(|error| {
            Error::because(
                Kind::Corrupt,
                format!("cannot write a snapshot of {}", head.stream),
                error,
            )
        })?;
        Ok((bytes.len() <= SNAPSHOT_BYTES_MAX).then(|| Snapshot {
            fingerprint: state.fingerprint(),
            state: bytes,
        }))
    }

    /// Replaces `state` by that of a snapshot, and decrypts its values. Returns the most recent command ids.
    /// Returns `None`, and leaves the state without events, if the snapshot is unreadable. The caller then builds the state
    /// from the events.
    async fn open_snapshot(
        &self,
        state: &mut Box<dyn State>,
        bytes: &[u8],
    ) -> Result<Option<VecDeque<[u8; 8]>>, Error> {
        let Some(recent) = state.read_snapshot(bytes) else {
            return Ok(None);
        };
        let prefix = |text: &[u8]| {
            u64::from_str_radix(std::str::from_utf8(text).ok()?, 16)
                .ok()
                .map(u64::to_be_bytes)
        };
        let recent: Option<VecDeque<[u8; 8]>> = recent.as_bytes().chunks(16).map(prefix).collect();
        if recent.is_some() {
            self.open(state.personals().into_iter()).await?;
        } else {
            *state = state.fresh();
        }
        Ok(recent)
    }

    /// Compares the snapshots of a stream, see [`Repository::check_snapshots`].
    async fn check_snapshots(
        &self,
        stream: &str,
        mut state: Box<dyn State>,
    ) -> Result<Vec<i64>, Error> {
        let mut wrong = Vec::new();
        let mut from = 1;
        loop {
            let page = self.store.forward(stream, from, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(wrong);
            };
            from = last.next();
            for commit in &page {
                self.apply(state.as_mut(), commit).await?;
                let usable = commit
                    .snapshot
                    .as_ref()
                    .filter(|snapshot| snapshot.fingerprint == state.fingerprint());
                let Some(snapshot) = usable else { continue };
                let mut stored = state.fresh();
                let opened = self.open_snapshot(&mut stored, &snapshot.state).await?;
                if opened.is_none() || !stored.equals(state.as_ref()) {
                    wrong.push(commit.first);
                }
            }
        }
    }
}

impl<D: Decider> EventStore<EsAggregate<D>> for Repository<D> {
    type AC = LoadedStream<D>;

    async fn load_events(
        &self,
        id: &str,
    ) -> Result<Vec<EventEnvelope<EsAggregate<D>>>, AggregateError<DecideError<D>>> {
        let mut envelopes = Vec::new();
        let mut from = 1;
        loop {
            let page = self
                .ledger
                .store
                .forward(id, from, PAGE)
                .await
                .map_err(technical)?;
            let Some(last) = page.last() else {
                return Ok(envelopes);
            };
            from = last.next();
            for commit in &page {
                envelopes.extend(
                    self.ledger
                        .envelopes::<D::Event>(commit)
                        .await
                        .map_err(technical)?
                        .into_iter()
                        .map(framework_envelope),
                );
            }
        }
    }

    async fn load_aggregate(
        &self,
        id: &str,
    ) -> Result<LoadedStream<D>, AggregateError<DecideError<D>>> {
        self.load(id).await.map_err(technical)
    }

    async fn commit(
        &self,
        events: Vec<D::Event>,
        mut loaded: LoadedStream<D>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<EsAggregate<D>>>, AggregateError<DecideError<D>>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let text = |key: &str| metadata.get(key).cloned().unwrap_or_default();
        let mut meta = Meta::system(text("correlation"), text("causation"));
        if let Some(actor) = metadata.get("actor") {
            meta.actor = actor.as_str().into();
        }
        let (first, stream, at) = (loaded.next, loaded.stream.clone(), self.ledger.clock.now());
        let command_id = metadata.get("command_id").map_or_else(
            || self.ledger.fresh_id(),
            |id| super::command_id(&["framework", id]),
        );
        match self
            .append(&mut loaded, command_id, at, meta.clone(), &events)
            .await
            .map_err(technical)?
        {
            Appended::Taken(_) => Err(AggregateError::AggregateConflict),
            Appended::Stored { .. } => Ok(events
                .into_iter()
                .zip(first..)
                .map(|(event, sequence)| {
                    let occurred_at = event.occurred_at();
                    framework_envelope(Envelope {
                        stream: stream.clone(),
                        sequence,
                        at,
                        occurred_at,
                        meta: meta.clone(),
                        event,
                    })
                })
                .collect()),
        }
    }
}

fn framework_envelope<D: Decider>(envelope: Envelope<D::Event>) -> EventEnvelope<EsAggregate<D>> {
    let meta = envelope.meta;
    EventEnvelope {
        aggregate_id: envelope.stream,
        sequence: usize::try_from(envelope.sequence).unwrap_or_default(),
        payload: envelope.event,
        metadata: HashMap::from([
            ("actor".into(), meta.actor.0),
            ("correlation".into(), meta.correlation),
            ("causation".into(), meta.causation),
        ]),
    }
}

fn technical<D: Decider>(error: Error) -> AggregateError<DecideError<D>> {
    match error.kind {
        Kind::Conflict => AggregateError::AggregateConflict,
        Kind::Corrupt => AggregateError::DeserializationError(error.into()),
        _ => AggregateError::UnexpectedError(error.into()),
    }
}

impl Ledger {
    /// Decodes a commit and decrypts the values in it that describe people. Returns the metadata
    /// and the events of the commit.
    pub async fn read<F: Event>(&self, commit: &Commit) -> Result<Decoded<F>, Error> {
        let mut decoded = decode::<F>(commit)?;
        self.open_decoded(&mut decoded).await?;
        Ok(decoded)
    }

    /// Decodes a commit, decrypts the values in it that describe people, and returns one envelope
    /// (the event with its metadata) for each event.
    pub async fn envelopes<F: Event>(&self, commit: &Commit) -> Result<Vec<Envelope<F>>, Error> {
        self.envelopes_of(commit, decode::<F>(commit)?).await
    }

    async fn open_decoded<F: Event>(&self, (meta, decoded): &mut Decoded<F>) -> Result<(), Error> {
        self.open(
            decoded
                .iter_mut()
                .flat_map(|(event, _)| event.personals())
                .chain(meta.personals()),
        )
        .await
    }

    /// Decrypts the values that describe people in a decoded commit, and returns one envelope (the
    /// event with its metadata) for each event.
    pub async fn envelopes_of<F: Event>(
        &self,
        commit: &Commit,
        mut decoded: Decoded<F>,
    ) -> Result<Vec<Envelope<F>>, Error> {
        self.open_decoded(&mut decoded).await?;
        Ok(envelopes(commit, decoded))
    }
}

/// The metadata of a commit, and a list of its events. Each event is in a pair with the time at
/// which the event happened. The time is `None` if the event happened at the time of the commit.
pub type Decoded<F> = (Meta, Vec<(F, Option<Moment>)>);

/// Returns one envelope (the event with its metadata) for each event of a decoded commit.
pub fn envelopes<F: Event>(commit: &Commit, (meta, decoded): Decoded<F>) -> Vec<Envelope<F>> {
    let envelope = |((event, occurred_at), sequence)| Envelope {
        stream: commit.stream.clone(),
        sequence,
        at: commit.at,
        occurred_at,
        meta: meta.clone(),
        event,
    };
    let events = decoded.into_iter().zip(commit.first..);
    events.map(envelope).collect()
}

/// Decodes the metadata and the events of a commit. Values that describe people stay encrypted.
pub fn decode<F: Event>(commit: &Commit) -> Result<Decoded<F>, Error> {
    decode_by(commit, F::read)
}

/// Decodes a commit. The type of the events is not known at compile time, so the parameter `read`
/// is a function that decodes one event.
pub fn decode_by<F>(
    commit: &Commit,
    read: impl Fn(&Raw<'_>) -> Result<F, Unreadable>,
) -> Result<Decoded<F>, Error> {
    let unreadable = |reason: String| {
        Error::corrupt(format!(
            "cannot read commit {}:{}: {reason}",
            commit.stream, commit.first
        ))
    };
    let body = Body::read(&commit.body).map_err(|error| unreadable(error.to_string()))?;
    let mut decoded = Vec::with_capacity(body.events.len());
    for raw in &body.events {
        decoded.push((
            read(raw).map_err(|error| unreadable(error.to_string()))?,
            raw.occurred_at,
        ));
    }
    Ok((body.meta, decoded))
}
