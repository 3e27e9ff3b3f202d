//! Implements the trait `EventStore` of the crate cqrs-es. The implementation works with every
//! adapter of [`Store`](crate::store::Store). Such an adapter stores only bytes.
//!
//! The repository decodes commits, decrypts sealed values and applies the events to the aggregate.
//! It also adds snapshots (serialized states) to commits. Tests use the repository through
//! `CqrsFramework`. Production code uses [`Ledger::execute`](crate::Ledger::execute), which adds
//! command ids and retries.

use std::any::TypeId;
use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::{Mutex, OnceLock};

use cqrs_es::{AggregateContext, AggregateError, EventEnvelope, EventStore};
use domain::{DecideError, Decider, Envelope, EsAggregate};
use events::{Body, Event, Meta, Moment, Raw, Unreadable};
use serde::{Deserialize, Serialize};

use crate::store::{Appended, COMMIT_BYTES_MAX, Commit, Hash, SNAPSHOT_BYTES_MAX, Snapshot};
use crate::{Error, Kind, Ledger};

/// Maximum number of commits that one read of a stream returns.
const PAGE: usize = 12;
/// After this number of decoded commits, the async task lets other tasks run.
const COMMITS_AT_ONCE: usize = 16;
/// Maximum number of command ids that the state of a stream contains. These are the ids of the most
/// recent commands. The ledger uses them to recognize a repeated command.
pub const REMEMBERED: usize = 64;

/// A loaded stream: its aggregate state, and the data that the next commit of the stream needs.
#[derive(Clone, Debug)]
pub struct LoadedStream<D: Decider> {
    pub aggregate: EsAggregate<D>,
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
    pub(crate) bytes: usize,
    /// False if the state contains a value about an erased person. The commit with this value does not contain it, so
    /// the state must not be cached.
    pub(crate) is_complete: bool,
    /// The commits that were read when the stream was loaded, newest first. `Ledger::execute`
    /// searches this list for commits that it sent, but for which no response arrived.
    pub read: Vec<Commit>,
}

impl<D: Decider> LoadedStream<D> {
    pub(crate) fn empty(stream: &str) -> Self {
        Self {
            aggregate: EsAggregate::default(),
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

impl<D: Decider> AggregateContext<EsAggregate<D>> for LoadedStream<D> {
    fn aggregate(&mut self) -> &mut EsAggregate<D> {
        &mut self.aggregate
    }
}

/// The JSON content of a snapshot (the serialized state of a stream).
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct StoredSnapshot<D: Decider> {
    state: D,
    recent: String,
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
        let mut loaded = LoadedStream::empty(stream);
        let mut before = None;
        'pages: loop {
            let page = self.ledger.store.back(stream, before, PAGE).await?;
            let Some(oldest) = page.last() else { break };
            before = Some(oldest.first);
            for commit in page {
                let contiguous = loaded
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
                    .filter(|snapshot| snapshot.fingerprint == fingerprint::<D>());
                let state = match usable {
                    Some(snapshot) => self.open_snapshot(&snapshot.state).await?,
                    None => None,
                };
                let snapshot_bytes = commit
                    .snapshot
                    .as_ref()
                    .map_or(0, |snapshot| snapshot.state.len());
                let reached_start = commit.first == 1;
                let next = commit.next();
                let tail = commit.hash;
                loaded.read.push(commit);
                if let Some((state, recent)) = state {
                    loaded.aggregate = EsAggregate(state);
                    loaded.bytes = snapshot_bytes;
                    loaded.recent = recent;
                    loaded.next = next;
                    loaded.tail = tail;
                    break 'pages;
                }
                if reached_start {
                    break 'pages;
                }
            }
        }
        let newer: Vec<Commit> = loaded
            .read
            .iter()
            .filter(|commit| commit.first >= loaded.next)
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
            if commit.first != loaded.next {
                return Err(Error::corrupt(format!(
                    "{stream} does not start at 1, its oldest commit starts at {}",
                    commit.first
                )));
            }
            for (event, _) in self.ledger.read::<D::Event>(&commit).await?.1 {
                loaded.aggregate.0.evolve(&event);
            }
            loaded.remember(&commit.command_id);
            loaded.next = commit.next();
            loaded.tail = commit.hash;
            loaded.bytes += commit.body.len();
            loaded.since_snapshot += 1;
        }
        Ok(loaded)
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
        let commit = self.prepare(loaded, command_id, at, meta, events).await?;
        self.put(loaded, commit).await
    }

    /// Builds and returns the next commit of a stream, but does not store it. The commit contains
    /// the given events. In the commit, values that describe people are encrypted.
    pub async fn prepare(
        &self,
        loaded: &mut LoadedStream<D>,
        command_id: [u8; 16],
        at: Moment,
        mut meta: Meta,
        events: &[D::Event],
    ) -> Result<Commit, Error> {
        let mut unsealed: Vec<(D::Event, Option<Moment>)> = events
            .iter()
            .map(|event| (event.clone(), event.occurred_at()))
            .collect();
        loaded.is_complete &= self
            .ledger
            .seal(
                unsealed
                    .iter_mut()
                    .flat_map(|(event, _)| event.personals())
                    .chain(meta.personals()),
            )
            .await?;
        let body = events::body::write(&meta, &unsealed).map_err(|error| {
            Error::because(
                Kind::Corrupt,
                format!("cannot write a commit of {}", loaded.stream),
                error,
            )
        })?;
        let n = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let mut commit = Commit {
            stream: loaded.stream.clone(),
            first: loaded.next,
            n,
            at,
            command_id,
            prev_hash: loaded.tail,
            hash: [0; 32],
            body,
            snapshot: None,
        };
        commit.hash = commit.expected_hash();
        if loaded.since_snapshot + 1 >= self.ledger.snapshot_every {
            commit.snapshot = self.snapshot(loaded, &command_id).await?;
        }
        if commit.size() > COMMIT_BYTES_MAX {
            commit.snapshot = None;
        }
        Ok(commit)
    }

    /// Appends the next commit of a stream. An earlier attempt can have stored this commit although
    /// the response to the attempt was lost. In this case, the append also succeeds.
    pub async fn put(
        &self,
        loaded: &mut LoadedStream<D>,
        commit: Commit,
    ) -> Result<Appended, Error> {
        let snapshot_bytes = commit
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.state.len());
        let body_bytes = commit.body.len();
        let (next, hash, command_id) = (commit.next(), commit.hash, commit.command_id);
        let appended = match self.ledger.store.append(commit).await? {
            Appended::Taken(taken) if taken.hash == hash => Appended::Stored { position: None },
            appended => appended,
        };
        if matches!(appended, Appended::Stored { .. }) {
            loaded.remember(&command_id);
            loaded.next = next;
            loaded.tail = hash;
            loaded.since_snapshot = if snapshot_bytes.is_some() {
                0
            } else {
                loaded.since_snapshot + 1
            };
            loaded.bytes = snapshot_bytes.unwrap_or(loaded.bytes + body_bytes);
        }
        Ok(appended)
    }

    /// Returns a snapshot of the state in `loaded`. This state already includes the new commit. The
    /// snapshot also contains the most recent command ids, with `command_id` as the last id.
    /// Returns `None` if the snapshot is larger than [`SNAPSHOT_BYTES_MAX`].
    async fn snapshot(
        &self,
        loaded: &LoadedStream<D>,
        command_id: &[u8; 16],
    ) -> Result<Option<Snapshot>, Error> {
        let mut state = loaded.aggregate.0.clone();
        self.ledger.seal(state.personals().into_iter()).await?;
        let older = loaded.recent.len().saturating_sub(REMEMBERED - 1);
        let recent = loaded
            .recent
            .iter()
            .skip(older)
            .map(<[u8; 8]>::as_slice)
            .chain([&command_id[..8]])
            .map(crate::commit::hex)
            .collect();
        let state = serde_json::to_vec(&StoredSnapshot { state, recent }).map_err(|error| {
            Error::because(
                Kind::Corrupt,
                format!("cannot write a snapshot of {}", loaded.stream),
                error,
            )
        })?;
        Ok((state.len() <= SNAPSHOT_BYTES_MAX).then(|| Snapshot {
            fingerprint: fingerprint::<D>(),
            state,
        }))
    }

    /// Parses a snapshot and decrypts its values. Returns the aggregate state and the most recent
    /// command ids. Returns `None` if the snapshot is unreadable. The caller then builds the state
    /// from the events.
    async fn open_snapshot(&self, bytes: &[u8]) -> Result<Option<(D, VecDeque<[u8; 8]>)>, Error> {
        let Ok(StoredSnapshot { mut state, recent }) =
            serde_json::from_slice::<StoredSnapshot<D>>(bytes)
        else {
            return Ok(None);
        };
        self.ledger.open(state.personals().into_iter()).await?;
        let prefix = |text: &[u8]| {
            u64::from_str_radix(std::str::from_utf8(text).ok()?, 16)
                .ok()
                .map(u64::to_be_bytes)
        };
        let recent: Option<VecDeque<[u8; 8]>> = recent.as_bytes().chunks(16).map(prefix).collect();
        Ok(recent.map(|recent| (state, recent)))
    }

    /// Builds the state of a stream from all its events, and compares this state with the snapshots
    /// (serialized states) of the stream. Snapshots of other program versions (with another
    /// fingerprint) are ignored. For each commit with a wrong snapshot, returns the sequence number
    /// of the first event of the commit. The command `audit verify` calls this function.
    pub async fn check_snapshots(&self, stream: &str) -> Result<Vec<i64>, Error> {
        let mut wrong = Vec::new();
        let mut state = D::default();
        let mut from = 1;
        loop {
            let page = self.ledger.store.forward(stream, from, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(wrong);
            };
            from = last.next();
            for commit in &page {
                for (event, _) in self.ledger.read::<D::Event>(commit).await?.1 {
                    state.evolve(&event);
                }
                let usable = commit
                    .snapshot
                    .as_ref()
                    .filter(|snapshot| snapshot.fingerprint == fingerprint::<D>());
                if let Some(snapshot) = usable
                    && self
                        .open_snapshot(&snapshot.state)
                        .await?
                        .is_none_or(|(stored, _)| stored != state)
                {
                    wrong.push(commit.first);
                }
            }
        }
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
