//! Our own `EventStore` for cqrs-es: a generic shell over the byte-level [`Store`], the same for every adapter.
//!
//! It decodes, opens what is sealed, folds, and lets a snapshot ride in a commit. `CqrsFramework` works on it; the doors go through
//! [`Ledger::execute`](crate::Ledger::execute), which knows command ids and retries.

use std::any::TypeId;
use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::{Mutex, OnceLock};

use cqrs_es::{AggregateContext, AggregateError, EventEnvelope, EventStore};
use domain::{Decider, Envelope, Refusal, Sourced};
use events::{Body, Fact, Meta, Moment};
use serde::{Deserialize, Serialize};

use super::{Appended, Commit, Hash, SNAPSHOT_BYTES_MAX, Snapshot};
use crate::{Error, Kind, Ledger};

/// Commits read at once when loading backwards.
const PAGE: usize = 12;
/// Commits that are decoded before other requests go on.
const COMMITS_AT_ONCE: usize = 16;
/// Command ids a stream remembers (design 7.1).
pub const REMEMBERED: usize = 64;

/// An aggregate as its stream left it, and the place where the next commit goes.
#[derive(Clone, Debug)]
pub struct Context<D: Decider> {
    pub aggregate: Sourced<D>,
    pub stream: String,
    /// The sequence of the next event.
    pub next: i64,
    pub tail: Hash,
    /// The first 8 bytes of the last command ids, oldest first.
    recent: VecDeque<[u8; 8]>,
    since_snapshot: usize,
    /// Bytes of the snapshot and the commits that the state was made of: about what it takes in memory.
    pub(crate) bytes: usize,
    /// The commits that were read, newest first: what a repeated command is answered from.
    pub read: Vec<Commit>,
}

impl<D: Decider> Context<D> {
    pub(crate) fn empty(stream: &str) -> Self {
        Self {
            aggregate: Sourced::default(),
            stream: stream.into(),
            next: 1,
            tail: [0; 32],
            recent: VecDeque::new(),
            since_snapshot: 0,
            bytes: 0,
            read: Vec::new(),
        }
    }

    /// Says whether a command with this id was stored, within the last [`REMEMBERED`].
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

impl<D: Decider> AggregateContext<Sourced<D>> for Context<D> {
    fn aggregate(&mut self) -> &mut Sourced<D> {
        &mut self.aggregate
    }
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Kept<D: Decider> {
    state: D,
    recent: String,
}

/// The event store of one kind of aggregate.
#[derive(Clone)]
pub struct Repository<D> {
    ledger: Ledger,
    kind: PhantomData<fn() -> D>,
}

impl<D: Decider> Repository<D> {
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, kind: PhantomData }
    }

    /// Loads a stream: backwards to the first usable snapshot, then forwards over what came after it.
    pub async fn load(&self, stream: &str) -> Result<Context<D>, Error> {
        let mut context = Context::empty(stream);
        let mut before = None;
        'pages: loop {
            let page = self.ledger.store.back(stream, before, PAGE).await?;
            let Some(oldest) = page.last() else { break };
            before = Some(oldest.first);
            for commit in page {
                let contiguous = context.read.last().is_none_or(|later: &Commit| later.first == commit.next());
                if !contiguous {
                    return Err(Error::corrupt(format!("{stream} has a gap after commit {}:{}", commit.stream, commit.first)));
                }
                let usable = commit.snapshot.as_ref().filter(|snapshot| snapshot.fingerprint == fingerprint::<D>());
                let state = match usable {
                    Some(snapshot) => self.open_snapshot(&snapshot.state).await?,
                    None => None,
                };
                let snapshot_bytes = commit.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len());
                let reached_start = commit.first == 1;
                let next = commit.next();
                let tail = commit.hash;
                context.read.push(commit);
                if let Some((state, recent)) = state {
                    context.aggregate = Sourced(state);
                    context.bytes = snapshot_bytes;
                    context.recent = recent;
                    context.next = next;
                    context.tail = tail;
                    break 'pages;
                }
                if reached_start {
                    break 'pages;
                }
            }
        }
        let newer: Vec<Commit> = context.read.iter().filter(|commit| commit.first >= context.next).rev().cloned().collect();
        for (at, commit) in newer.into_iter().enumerate() {
            // Keys come from memory, without waiting: a long stream lets other requests go on in between.
            if at % COMMITS_AT_ONCE == COMMITS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            if commit.first != context.next {
                return Err(Error::corrupt(format!("{stream} does not begin at 1, its oldest commit begins at {}", commit.first)));
            }
            for (event, _) in self.ledger.read::<D::Event>(&commit).await?.1 {
                context.aggregate.0.evolve(&event);
            }
            context.remember(&commit.command_id);
            context.next = commit.next();
            context.tail = commit.hash;
            context.bytes += commit.body.len();
            context.since_snapshot += 1;
        }
        Ok(context)
    }

    /// Appends events to a loaded context, whose aggregate already has them applied. On success the context stands behind them.
    pub async fn append(&self, context: &mut Context<D>, command_id: [u8; 16], at: Moment, meta: Meta, events: &[D::Event]) -> Result<Appended, Error> {
        let commit = self.prepare(context, command_id, at, meta, events).await?;
        self.put(context, commit).await
    }

    /// Seals and writes down what a command led to, as the commit that comes next in a loaded context.
    pub async fn prepare(&self, context: &mut Context<D>, command_id: [u8; 16], at: Moment, mut meta: Meta, events: &[D::Event]) -> Result<Commit, Error> {
        let mut facts: Vec<(D::Event, Option<Moment>)> = events.iter().map(|event| (event.clone(), event.occurred_at())).collect();
        self.ledger.seal(facts.iter_mut().flat_map(|(event, _)| event.personals()).chain(meta.personals())).await?;
        let body =
            events::body::write(&meta, &facts).map_err(|error| Error::because(Kind::Corrupt, format!("cannot write a commit of {}", context.stream), error))?;
        let n = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let mut commit =
            Commit { stream: context.stream.clone(), first: context.next, n, at, command_id, prev_hash: context.tail, hash: [0; 32], body, snapshot: None };
        commit.hash = commit.expected_hash();
        if context.since_snapshot + 1 >= self.ledger.snapshot_every {
            commit.snapshot = self.snapshot(context, &command_id).await?;
        }
        if commit.size() > super::COMMIT_BYTES_MAX {
            commit.snapshot = None;
        }
        Ok(commit)
    }

    /// Puts the commit that comes next. Meeting itself, after an answer was lost on the way, is success too.
    pub async fn put(&self, context: &mut Context<D>, commit: Commit) -> Result<Appended, Error> {
        let snapshot_bytes = commit.snapshot.as_ref().map(|snapshot| snapshot.state.len());
        let body_bytes = commit.body.len();
        let (next, hash, command_id) = (commit.next(), commit.hash, commit.command_id);
        let appended = match self.ledger.store.append(commit).await? {
            Appended::Taken(taken) if taken.hash == hash => Appended::Stored { position: None },
            appended => appended,
        };
        if matches!(appended, Appended::Stored { .. }) {
            context.remember(&command_id);
            context.next = next;
            context.tail = hash;
            context.since_snapshot = if snapshot_bytes.is_some() { 0 } else { context.since_snapshot + 1 };
            context.bytes = snapshot_bytes.unwrap_or(context.bytes + body_bytes);
        }
        Ok(appended)
    }

    /// The state as of the commit that is being written, with the ids of the last commands, this one included.
    async fn snapshot(&self, context: &Context<D>, command_id: &[u8; 16]) -> Result<Option<Snapshot>, Error> {
        let mut state = context.aggregate.0.clone();
        self.ledger.seal(state.personals().into_iter()).await?;
        let older = context.recent.len().saturating_sub(REMEMBERED - 1);
        let recent = context.recent.iter().skip(older).map(<[u8; 8]>::as_slice).chain([&command_id[..8]]).map(super::commit::hex).collect();
        let state = serde_json::to_vec(&Kept { state, recent })
            .map_err(|error| Error::because(Kind::Corrupt, format!("cannot write a snapshot of {}", context.stream), error))?;
        Ok((state.len() <= SNAPSHOT_BYTES_MAX).then(|| Snapshot { fingerprint: fingerprint::<D>(), state }))
    }

    /// Reads a snapshot; one that can't be read is as good as none, since the events are the truth.
    async fn open_snapshot(&self, bytes: &[u8]) -> Result<Option<(D, VecDeque<[u8; 8]>)>, Error> {
        let Ok(Kept { mut state, recent }) = serde_json::from_slice::<Kept<D>>(bytes) else { return Ok(None) };
        self.ledger.open(state.personals().into_iter()).await?;
        let prefix = |text: &[u8]| u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok().map(u64::to_be_bytes);
        let recent: Option<VecDeque<[u8; 8]>> = recent.as_bytes().chunks(16).map(prefix).collect();
        Ok(recent.map(|recent| (state, recent)))
    }

    /// Folds a stream anew from its first event and compares every usable snapshot on the way; what `audit verify` asks for.
    pub async fn check_snapshots(&self, stream: &str) -> Result<Vec<i64>, Error> {
        let mut wrong = Vec::new();
        let mut state = D::default();
        let mut from = 1;
        loop {
            let page = self.ledger.store.forward(stream, from, PAGE).await?;
            let Some(last) = page.last() else { return Ok(wrong) };
            from = last.next();
            for commit in &page {
                for (event, _) in self.ledger.read::<D::Event>(commit).await?.1 {
                    state.evolve(&event);
                }
                let usable = commit.snapshot.as_ref().filter(|snapshot| snapshot.fingerprint == fingerprint::<D>());
                if let Some(snapshot) = usable
                    && self.open_snapshot(&snapshot.state).await?.is_none_or(|(kept, _)| kept != state)
                {
                    wrong.push(commit.first);
                }
            }
        }
    }
}

/// The fingerprint of the code that folds an aggregate: BLAKE3 of the states after each golden event. A changed `evolve` changes it, and
/// old snapshots are ignored from then on.
pub fn fingerprint<D: Decider>() -> [u8; 16] {
    static KNOWN: OnceLock<Mutex<HashMap<TypeId, [u8; 16]>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    if let Some(fingerprint) = known.lock().expect("no holder panics").get(&TypeId::of::<D>()) {
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
    known.lock().expect("no holder panics").insert(TypeId::of::<D>(), fingerprint);
    fingerprint
}

impl<D: Decider> EventStore<Sourced<D>> for Repository<D> {
    type AC = Context<D>;

    async fn load_events(&self, id: &str) -> Result<Vec<EventEnvelope<Sourced<D>>>, AggregateError<Refusal<D>>> {
        let mut envelopes = Vec::new();
        let mut from = 1;
        loop {
            let page = self.ledger.store.forward(id, from, PAGE).await.map_err(technical)?;
            let Some(last) = page.last() else { return Ok(envelopes) };
            from = last.next();
            for commit in &page {
                envelopes.extend(self.ledger.envelopes::<D::Event>(commit).await.map_err(technical)?.into_iter().map(framework_envelope));
            }
        }
    }

    async fn load_aggregate(&self, id: &str) -> Result<Context<D>, AggregateError<Refusal<D>>> {
        self.load(id).await.map_err(technical)
    }

    async fn commit(
        &self,
        events: Vec<D::Event>,
        mut context: Context<D>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<Sourced<D>>>, AggregateError<Refusal<D>>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let text = |key: &str| metadata.get(key).cloned().unwrap_or_default();
        let mut meta = Meta::system(text("correlation"), text("causation"));
        if let Some(actor) = metadata.get("actor") {
            meta.actor = actor.as_str().into();
        }
        let (first, stream, at) = (context.next, context.stream.clone(), self.ledger.clock.now());
        let command_id = metadata.get("command_id").map_or_else(|| self.ledger.fresh_id(), |id| crate::ledger::command_id(&["framework", id]));
        match self.append(&mut context, command_id, at, meta.clone(), &events).await.map_err(technical)? {
            Appended::Taken(_) => Err(AggregateError::AggregateConflict),
            Appended::Stored { .. } => Ok(events
                .into_iter()
                .zip(first..)
                .map(|(event, sequence)| {
                    let occurred_at = event.occurred_at();
                    framework_envelope(Envelope { stream: stream.clone(), sequence, at, occurred_at, meta: meta.clone(), event })
                })
                .collect()),
        }
    }
}

fn framework_envelope<D: Decider>(envelope: Envelope<D::Event>) -> EventEnvelope<Sourced<D>> {
    let meta = envelope.meta;
    EventEnvelope {
        aggregate_id: envelope.stream,
        sequence: usize::try_from(envelope.sequence).unwrap_or_default(),
        payload: envelope.event,
        metadata: HashMap::from([("actor".into(), meta.actor.0), ("correlation".into(), meta.correlation), ("causation".into(), meta.causation)]),
    }
}

fn technical<D: Decider>(error: Error) -> AggregateError<Refusal<D>> {
    match error.kind {
        Kind::Conflict => AggregateError::AggregateConflict,
        Kind::Corrupt => AggregateError::DeserializationError(error.into()),
        _ => AggregateError::UnexpectedError(error.into()),
    }
}

impl Ledger {
    /// Decodes a commit and opens its personal values.
    pub async fn read<F: Fact>(&self, commit: &Commit) -> Result<(Meta, Vec<(F, Option<Moment>)>), Error> {
        let unreadable = |reason: String| Error::corrupt(format!("cannot read commit {}:{}: {reason}", commit.stream, commit.first));
        let body = Body::read(&commit.body).map_err(|error| unreadable(error.to_string()))?;
        let mut meta = body.meta;
        let mut facts = Vec::with_capacity(body.events.len());
        for raw in &body.events {
            facts.push((F::read(raw).map_err(|error| unreadable(error.to_string()))?, raw.occurred_at));
        }
        self.open(facts.iter_mut().flat_map(|(fact, _)| fact.personals()).chain(meta.personals())).await?;
        Ok((meta, facts))
    }

    /// Decodes a commit into its events with their attributes.
    pub async fn envelopes<F: Fact>(&self, commit: &Commit) -> Result<Vec<Envelope<F>>, Error> {
        let (meta, facts) = self.read::<F>(commit).await?;
        let envelope =
            |((event, occurred_at), sequence)| Envelope { stream: commit.stream.clone(), sequence, at: commit.at, occurred_at, meta: meta.clone(), event };
        Ok(facts.into_iter().zip(commit.first..).map(envelope).collect())
    }
}
