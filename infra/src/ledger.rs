//! Executes commands: load, decide, commit; on conflict again. This is the only way into the ledger.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use cqrs_es::Aggregate as _;
use cqrs_es::event_sink::EventSink;
use domain::decider::Nothing;
use domain::{Decider, Refusal, Sourced};
use events::{Meta, Moment, Personal, Pid};
use tokio::sync::Mutex;

use crate::clock::{Chance, Clock};
use crate::keys::{Keys, seal};
use crate::store::repository::{Context, Repository};
use crate::store::{Appended, Hash, Store};
use crate::{Error, Kind};

/// Times a command is decided again after somebody else wrote first.
const CONFLICTS_MAX: u32 = 5;
/// Times a decision may ask for more facts.
const LOOKUPS_MAX: u32 = 8;
/// Locks that streams share; two streams on one lock only wait for each other.
const LOCKS: usize = 256;
/// States kept warm.
const WARM_MAX: usize = 8192;
/// Bytes of the commits that the states kept warm were made of: forms may be large, and memory must not grow with them.
const WARM_BYTES_MAX: usize = 64 << 20;
/// How long a state is kept warm where others write too.
const WARM_MS: i64 = 60_000;
/// How far apart snapshots are unless a ledger says otherwise.
pub const SNAPSHOT_EVERY: usize = 12;

/// The ledger with everything a command needs: where commits go, keys, time and chance.
#[derive(Clone)]
pub struct Ledger {
    pub store: Arc<dyn Store>,
    pub keys: Arc<dyn Keys>,
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    /// Commits between two snapshots of a stream.
    pub(crate) snapshot_every: usize,
    locks: Arc<Vec<Mutex<()>>>,
    warm: Arc<Warm>,
    /// Counts the commits to configuration that went through this ledger.
    configured: Arc<AtomicU64>,
    /// Absent where this process is the only writer; else how long what it has read of others may be held for true.
    others_every_ms: Option<i64>,
}

/// When a state was kept, its bytes, and the state.
type Kept = (Moment, usize, Box<dyn Any + Send>);

/// The states that were written last, so that the next command on a stream need not load it. A stale one can waste a decision, never write
/// wrong: its place in the stream is taken. What it would refuse is judged again after a load.
#[derive(Default)]
struct Warm {
    states: std::sync::Mutex<Generations>,
}

/// States by stream, in two generations: when the younger is full it becomes the older, and what nobody asked for since is dropped.
#[derive(Default)]
struct Generations {
    young: HashMap<String, Kept>,
    old: HashMap<String, Kept>,
    /// Bytes of the younger ones.
    young_bytes: usize,
}

impl Warm {
    fn forget_all(&self) {
        *self.states.lock().expect("no holder panics") = Generations::default();
    }

    /// The state of a stream that was kept after `since`.
    fn take<D: Decider>(&self, stream: &str, since: Moment) -> Option<Context<D>> {
        let mut states = self.states.lock().expect("no holder panics");
        let found = states.young.remove(stream);
        states.young_bytes -= found.as_ref().map_or(0, |(_, bytes, _)| *bytes);
        let (kept, _, state) = found.or_else(|| states.old.remove(stream))?;
        state.downcast::<Context<D>>().ok().filter(|_| kept >= since).map(|context| *context)
    }

    fn keep<D: Decider>(&self, now: Moment, mut context: Context<D>) {
        context.read = Vec::new();
        let mut states = self.states.lock().expect("no holder panics");
        let bytes = context.bytes;
        if bytes > WARM_BYTES_MAX / 2 {
            return;
        }
        if states.young.len() >= WARM_MAX / 2 || states.young_bytes + bytes > WARM_BYTES_MAX / 2 {
            states.old = std::mem::take(&mut states.young);
            states.young_bytes = 0;
        }
        states.young_bytes += bytes;
        let replaced = states.young.insert(context.stream.clone(), (now, bytes, Box::new(context)));
        states.young_bytes -= replaced.map_or(0, |(_, bytes, _)| bytes);
    }
}

/// A commit that was sent without an answer: where, and what it held.
struct Sent<D: Decider> {
    first: i64,
    hash: Hash,
    events: Vec<D::Event>,
    at: Moment,
}

/// One command on its way: which stream, under which id, by whom.
#[derive(Clone, Debug)]
pub struct Wish {
    pub stream: String,
    pub command_id: [u8; 16],
    pub meta: Meta,
}

/// What a command led to.
#[derive(Clone, Debug)]
pub struct Outcome<D: Decider> {
    pub state: D,
    /// What was stored now; empty where nothing changed or the command was known.
    pub events: Vec<D::Event>,
    /// The sequence of the stream's last event.
    pub last: i64,
    pub at: Moment,
    /// Where the commit stands in the feed; absent where nothing was stored now.
    pub position: Option<i64>,
    /// The same command was carried out before.
    pub repeated: bool,
}

/// Why a command changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure<D: Decider> {
    #[error(transparent)]
    Rejected(D::Rejection),
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Loads what decisions ask for.
#[async_trait]
pub trait Lookups<D: Decider>: Send + Sync {
    async fn load(&self, wanted: &[D::Lookup], facts: &mut D::Facts) -> Result<(), Error>;
}

/// For deciders that need nothing from outside.
#[derive(Clone, Copy, Debug)]
pub struct NoLookups;

#[async_trait]
impl<D: Decider<Lookup = Nothing>> Lookups<D> for NoLookups {
    async fn load(&self, wanted: &[Nothing], _facts: &mut D::Facts) -> Result<(), Error> {
        match wanted.first() {
            None => Ok(()),
            Some(nothing) => match *nothing {},
        }
    }
}

impl Ledger {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>, clock: Arc<dyn Clock>, chance: Arc<dyn Chance>) -> Self {
        let locks = (0..LOCKS).map(|_| Mutex::new(())).collect();
        Self {
            store,
            keys,
            clock,
            chance,
            snapshot_every: SNAPSHOT_EVERY,
            locks: Arc::new(locks),
            warm: Arc::default(),
            configured: Arc::default(),
            others_every_ms: None,
        }
    }

    /// The same ledger with another distance between snapshots.
    #[must_use]
    pub fn with_snapshot_every(self, commits: usize) -> Self {
        Self { snapshot_every: commits, ..self }
    }

    /// The same ledger where other processes write too: configuration that was read is read again after that long.
    #[must_use]
    pub fn with_others(self, every_ms: i64) -> Self {
        Self { others_every_ms: Some(every_ms), ..self }
    }

    /// The store of one kind of aggregate, as cqrs-es wants it.
    pub fn repository<D: Decider>(&self) -> Repository<D> {
        Repository::new(self.clone())
    }

    /// Loads the state of a stream.
    pub async fn load<D: Decider>(&self, stream: &str) -> Result<Context<D>, Error> {
        self.repository().load(stream).await
    }

    /// Carries out a command on its stream and answers once it is durable.
    pub async fn execute<D: Decider>(&self, wish: &Wish, command: &D::Command, lookups: &dyn Lookups<D>) -> Result<Outcome<D>, Failure<D>> {
        self.execute_at(wish, None, command, lookups).await
    }

    /// The same if the last event of the stream has the expected sequence, else fails with [`Kind::Stale`]. The sequence is compared at every decision,
    /// and the put requires the place after it, so no other commit comes between. A command that the stream knows is answered from its commit.
    pub async fn execute_at<D: Decider>(
        &self,
        wish: &Wish,
        expected: Option<i64>,
        command: &D::Command,
        lookups: &dyn Lookups<D>,
    ) -> Result<Outcome<D>, Failure<D>> {
        let repository = self.repository::<D>();
        let _turn = self.locks[lock_of(&wish.stream)].lock().await;
        let mut facts = D::Facts::default();
        // What was sent and may have arrived although the answer did not.
        let mut sent: Vec<Sent<D>> = Vec::new();
        let mut failure = None;
        for conflict in 0..CONFLICTS_MAX {
            if conflict > 0 {
                self.pause(conflict).await;
            }
            // Where others write, somebody may have been forgotten meanwhile, whose values a state that is kept for long would still hold open.
            let since = self.others_every_ms.map_or(Moment(i64::MIN), |_| self.clock.now().plus_ms(-WARM_MS));
            let warm = if conflict == 0 { self.warm.take::<D>(&wish.stream, since) } else { None };
            let mut is_warm = warm.is_some();
            let loaded = match warm {
                Some(context) => Ok(context),
                // What opens a stream expects nothing there: if that is wrong, the put is refused, or the refusal is judged again after a load.
                None if conflict == 0 && D::opens(command) => {
                    is_warm = true;
                    Ok(Context::empty(&wish.stream))
                }
                None => repository.load(&wish.stream).await,
            };
            let mut context = match loaded {
                Ok(context) => context,
                // Something was sent whose fate is not known yet: looking is worth another try.
                Err(error) if error.is_passing() && !sent.is_empty() => {
                    failure = Some(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match self.arrived(&mut sent, &context).await {
                Ok(None) => {}
                Ok(Some(arrived)) => return Ok(self.outcome(arrived, context)),
                Err(error) if error.is_passing() => {
                    failure = Some(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let at = self.clock.now();
            if context.knows(&wish.command_id) {
                return Ok(Outcome { last: context.next - 1, state: context.aggregate.0, events: Vec::new(), at, position: None, repeated: true });
            }
            let events = loop {
                let decided = match expected.filter(|expected| *expected != context.next - 1) {
                    Some(expected) => Err(stale(&wish.stream, context.next - 1, expected).into()),
                    None => self.decide(&mut context, command, &mut facts, lookups).await,
                };
                match decided {
                    Ok(events) if !(is_warm && events.is_empty()) => break events,
                    Err(failure) if !is_warm => return Err(failure),
                    _ => {
                        context = repository.load(&wish.stream).await?;
                        is_warm = false;
                        // Another process may have carried out this very command meanwhile.
                        if context.knows(&wish.command_id) {
                            return Ok(Outcome { last: context.next - 1, state: context.aggregate.0, events: Vec::new(), at, position: None, repeated: true });
                        }
                    }
                }
            };
            if events.is_empty() {
                return Ok(Outcome { last: context.next - 1, state: context.aggregate.0, events, at, position: None, repeated: false });
            }
            let commit = repository.prepare(&mut context, wish.command_id, at, wish.meta.clone(), &events).await?;
            let (first, hash, last) = (commit.first, commit.hash, commit.next() - 1);
            match repository.put(&mut context, commit).await {
                Ok(Appended::Stored { position }) => {
                    let state = context.aggregate.0.clone();
                    self.configured(&wish.stream);
                    self.warm.keep(at, context);
                    return Ok(Outcome { last, state, events, at, position, repeated: false });
                }
                Ok(Appended::Taken(commit)) if commit.command_id == wish.command_id => {
                    // What is stored counts, not what was decided here.
                    let context = repository.load(&wish.stream).await?;
                    return Ok(match sent.into_iter().find(|sent| sent.hash == commit.hash) {
                        Some(arrived) => self.outcome(arrived, context),
                        None => Outcome { last: commit.next() - 1, state: context.aggregate.0, events: Vec::new(), at, position: None, repeated: true },
                    });
                }
                Ok(Appended::Taken(_)) => failure = None,
                // Whether it arrived is not known: the next round looks at its place, or sends it again.
                Err(error) if error.is_passing() => {
                    sent.push(Sent { first, hash, events, at });
                    failure = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !sent.is_empty() {
            // A last look, so that what was carried out is not answered as failed.
            let context = repository.load(&wish.stream).await?;
            if let Some(arrived) = self.arrived(&mut sent, &context).await? {
                return Ok(self.outcome(arrived, context));
            }
        }
        let conflict = || Error::new(Kind::Conflict, format!("{} was written by others {CONFLICTS_MAX} times in a row", wish.stream));
        Err(failure.unwrap_or_else(conflict).into())
    }

    /// Looks at the places where commits were sent without an answer: gives back the one that arrived, and forgets those whose places others have.
    /// This needs no window: however much was written since, a place holds what was put there first.
    async fn arrived<D: Decider>(&self, sent: &mut Vec<Sent<D>>, context: &Context<D>) -> Result<Option<Sent<D>>, Error> {
        let mut at = 0;
        while at < sent.len() {
            let Sent { first, hash, .. } = sent[at];
            if first >= context.next {
                at += 1;
                continue;
            }
            let there = match context.read.iter().find(|commit| commit.first == first) {
                Some(commit) => Some(commit.hash),
                None => self.store.forward(&context.stream, first, 1).await?.first().filter(|commit| commit.first == first).map(|commit| commit.hash),
            };
            let looked_at = sent.swap_remove(at);
            if there == Some(hash) {
                return Ok(Some(looked_at));
            }
        }
        Ok(None)
    }

    /// The outcome of a commit that arrived although its answer did not.
    fn outcome<D: Decider>(&self, arrived: Sent<D>, context: Context<D>) -> Outcome<D> {
        self.configured(&context.stream);
        let n = i64::try_from(arrived.events.len()).unwrap_or_default();
        Outcome { last: arrived.first + n - 1, state: context.aggregate.0, events: arrived.events, at: arrived.at, position: None, repeated: false }
    }

    /// Notes that configuration was written.
    fn configured(&self, stream: &str) {
        if !is_work(stream) {
            self.configured.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Decides a command on an empty stream and stores nothing: what doors ask before they give away a number.
    pub async fn consider<D: Decider>(&self, command: &D::Command, lookups: &dyn Lookups<D>) -> Result<Vec<D::Event>, Failure<D>> {
        let mut empty = Context::empty("");
        self.decide(&mut empty, command, &mut D::Facts::default(), lookups).await
    }

    /// Decides a command on a stream as it stands and stores nothing; gives back the state before and after.
    pub async fn foresee<D: Decider>(&self, stream: &str, command: &D::Command, lookups: &dyn Lookups<D>) -> Result<(D, D), Failure<D>> {
        let mut context = self.load::<D>(stream).await?;
        let before = context.aggregate.0.clone();
        // Deciding leaves the aggregate as its events would.
        self.decide(&mut context, command, &mut D::Facts::default(), lookups).await?;
        Ok((before, context.aggregate.0))
    }

    /// Asks something beside a decision, by the same facts.
    pub async fn ask<D: Decider, T>(
        &self,
        lookups: &dyn Lookups<D>,
        question: impl Fn(&D::Facts) -> Result<T, Refusal<D>> + Send + Sync,
    ) -> Result<T, Failure<D>> {
        let mut facts = D::Facts::default();
        for _ in 0..LOOKUPS_MAX {
            match question(&facts) {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Rejected(rejection)) => return Err(Failure::Rejected(rejection)),
                Err(Refusal::Needs(wanted)) => lookups.load(&wanted, &mut facts).await?,
            }
        }
        Err(Error::new(Kind::Misconfigured, format!("a question asked for facts more than {LOOKUPS_MAX} times")).into())
    }

    async fn decide<D: Decider>(
        &self,
        context: &mut Context<D>,
        command: &D::Command,
        facts: &mut D::Facts,
        lookups: &dyn Lookups<D>,
    ) -> Result<Vec<D::Event>, Failure<D>> {
        for _ in 0..LOOKUPS_MAX {
            let sink: EventSink<Sourced<D>> = EventSink::default();
            match context.aggregate.handle(command.clone(), facts, &sink).await {
                Ok(()) => return Ok(sink.collect().await),
                Err(Refusal::Rejected(rejection)) => return Err(Failure::Rejected(rejection)),
                Err(Refusal::Needs(wanted)) => lookups.load(&wanted, facts).await?,
            }
        }
        Err(Error::new(Kind::Misconfigured, format!("a decision on {} asked for facts more than {LOOKUPS_MAX} times", context.stream)).into())
    }

    /// Jitter before a command is decided again: up to 2, 4, 8, 16 ms.
    async fn pause(&self, conflict: u32) {
        let mut byte = [0];
        self.chance.fill(&mut byte);
        let longest = 1_u64 << conflict;
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(byte[0]) * longest / 255)).await;
    }

    /// Changes whenever configuration was written through this ledger, and every so often where others write too. On one machine the lock makes
    /// this process the only writer, so that what was read under one value is still true under it.
    pub fn configuration(&self) -> u64 {
        let others = self.others_every_ms.map_or(0, |every| self.clock.now().0 / every.max(1));
        self.configured.load(Ordering::SeqCst).wrapping_add(others.unsigned_abs() << 20)
    }

    /// Forgets a person: name and key in the key store, and what is warm in memory. Says whether there was something to forget.
    pub async fn forget(&self, pid: &Pid) -> Result<bool, Error> {
        let forgotten = self.keys.erase(pid).await?;
        self.warm.forget_all();
        Ok(forgotten)
    }

    /// A new id that nobody can foresee.
    pub fn fresh_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        self.chance.fill(&mut id);
        id
    }

    /// Seals values under their subjects' keys. A value whose subject has no key any more is dropped: it reads as erased.
    pub async fn seal<'a>(&self, personals: impl Iterator<Item = &'a mut Personal> + Send) -> Result<(), Error> {
        for personal in personals {
            if personal.value.is_null() || personal.sealed.is_some() {
                continue;
            }
            if let Some(key) = self.keys.key(&personal.subject).await? {
                let mut nonce = [0; seal::NONCE_BYTES];
                self.chance.fill(&mut nonce);
                personal.sealed = Some(seal::seal(&key, nonce, &personal.subject, &personal.value));
            }
            personal.value = serde_json::Value::Null;
        }
        Ok(())
    }

    /// Opens what is sealed. Where the key is gone the value reads as erased.
    pub async fn open<'a>(&self, personals: impl Iterator<Item = &'a mut Personal> + Send) -> Result<(), Error> {
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

/// Says whether a stream holds work, of which there is always more, rather than configuration.
fn is_work(stream: &str) -> bool {
    ["ticket-", "delivery-", "call-", "intake-", "numbers-", "attachment-", "draft-"].iter().any(|kind| stream.starts_with(kind))
}

fn stale(stream: &str, version: i64, expected: i64) -> Error {
    Error::new(Kind::Stale, format!("{stream} is at version {version}, not {expected}"))
}

fn lock_of(stream: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    stream.hash(&mut hasher);
    usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default()
}

/// A command id from what makes a command the same: 16 bytes of BLAKE3 over the parts, each after its length.
pub fn command_id(parts: &[&str]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&"ledgerdesk.command.v1").chain(parts) {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

#[cfg(test)]
mod tests {
    use domain::draft::Draft;

    use super::*;

    #[test]
    fn warm_states_are_bounded_by_bytes_and_the_oldest_are_forgotten() {
        let warm = Warm::default();
        let keep = |stream: &str, bytes: usize| {
            let mut context = Context::<Draft>::empty(stream);
            context.bytes = bytes;
            warm.keep(Moment(0), context);
        };
        let take = |stream: &str| warm.take::<Draft>(stream, Moment(i64::MIN)).is_some();
        for number in 0..20 {
            keep(&format!("draft-{number}"), WARM_BYTES_MAX / 8);
        }
        keep("draft-19", WARM_BYTES_MAX / 8);
        let kept: Vec<bool> = (0..20).map(|number| take(&format!("draft-{number}"))).collect();
        assert!(!kept[0] && kept[19] && kept.iter().filter(|kept| **kept).count() <= 8, "{kept:?}");
        assert_eq!(warm.states.lock().unwrap().young_bytes, 0, "all of the younger ones were taken");
        keep("draft-huge", WARM_BYTES_MAX);
        assert!(!take("draft-huge"));
    }
}
