//! This module contains a scheduler for simulations. At every await, the scheduler selects the next task at
//! random and sometimes kills a task. The same seed always leads to the same choices.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use events::Moment;
use infra::Error;
use infra::queue::{Message, Parked, Queue};
use infra::store::{Appended, Commit, Cursor, Head, Journal, Placed, Store, Walked};
use infra::views::{Document, Entry, Index, Range, Views};

/// Number of times that the scheduler polls a task in one run. The run ends after this number of polls.
const POLLS: usize = 400;
/// Average number of polls between two kills. At a kill, the scheduler ends a task and starts the task again.
const KILL_INTERVAL: usize = 25;

/// A random number generator (SplitMix64) that returns the same numbers for the same seed. The generator
/// must be fast, because each step of a run needs a random number.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("below a usize")
    }
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The tasks of one run. Each task has a factory, which is a function that creates the task. After a kill,
/// the factory creates the task again.
pub(crate) struct Scheduler<'a> {
    dice: Dice,
    factories: Vec<Box<dyn Fn() -> Task<'a> + 'a>>,
    tasks: Vec<Task<'a>>,
}

impl<'a> Scheduler<'a> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed ^ 0xabcd),
            factories: Vec::new(),
            tasks: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, factory: impl Fn() -> Task<'a> + 'a) {
        self.tasks.push(factory());
        self.factories.push(Box::new(factory));
    }

    /// Polls the tasks in random order until the run ends. If a task ends or is killed, the scheduler starts
    /// the task again from its beginning. Returns the number of kills.
    pub(crate) fn run(mut self) -> u64 {
        let mut context = Context::from_waker(Waker::noop());
        let mut kills = 0;
        for _ in 0..POLLS {
            let chosen = self.dice.below(self.tasks.len());
            let is_killed = self.dice.below(KILL_INTERVAL) == 0;
            kills += u64::from(is_killed);
            if is_killed || self.tasks[chosen].as_mut().poll(&mut context).is_ready() {
                self.tasks[chosen] = (self.factories[chosen])();
            }
        }
        kills
    }
}

/// Polls a future until it is ready and returns the result of the future.
pub(crate) fn run_to_end<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

/// A wrapper around storage or another service. Each call has an await before and after the call. At each
/// await, the scheduler can run another task or kill the current task.
pub(crate) struct Paused<T>(pub(crate) T);

async fn pause() {
    let mut paused = false;
    std::future::poll_fn(move |_| {
        if std::mem::replace(&mut paused, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

macro_rules! with_pauses {
    ($call:expr) => {{
        pause().await;
        let answer = $call.await;
        pause().await;
        answer
    }};
}

#[async_trait]
impl<T: Journal> Journal for Paused<T> {
    async fn append(&self, commit: Commit) -> Result<Appended, Error> {
        with_pauses!(self.0.append(commit))
    }
    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        with_pauses!(self.0.back(stream, before, limit))
    }
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error> {
        with_pauses!(self.0.forward(stream, from, limit))
    }
    async fn next(&self, stream: &str) -> Result<i64, Error> {
        with_pauses!(self.0.next(stream))
    }
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
        with_pauses!(self.0.walk(from, limit))
    }
}

#[async_trait]
impl<T: Store> Store for Paused<T> {
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error> {
        with_pauses!(self.0.feed(after, limit))
    }
    async fn head(&self) -> Result<Head, Error> {
        with_pauses!(self.0.head())
    }
    async fn past(&self, position: i64) {
        with_pauses!(self.0.past(position));
    }
}

#[async_trait]
impl<T: Views> Views for Paused<T> {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        with_pauses!(self.0.get(view, key))
    }
    async fn put_with(
        &self,
        view: &str,
        key: &str,
        document: &Document,
        index: &Index,
        facets: &str,
        expected: i64,
    ) -> Result<bool, Error> {
        with_pauses!(
            self.0
                .put_with(view, key, document, index, facets, expected)
        )
    }
    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error> {
        with_pauses!(self.0.range_after(range, after))
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        with_pauses!(self.0.count(view, index, from, to))
    }
    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error> {
        with_pauses!(self.0.scan(view, after, limit))
    }
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        with_pauses!(self.0.remove(view, key))
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        with_pauses!(self.0.clear(view))
    }
}

#[async_trait]
impl<T: Queue> Queue for Paused<T> {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        with_pauses!(self.0.put(queue, id, body, due))
    }
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        with_pauses!(self.0.take(queue, now, until, limit))
    }
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        with_pauses!(self.0.done(queue, message))
    }
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        with_pauses!(self.0.defer(queue, message, due))
    }
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        with_pauses!(self.0.park(queue, message, reason))
    }
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        with_pauses!(self.0.parked(limit))
    }
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        with_pauses!(self.0.redrive(queue, id, due))
    }
    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        with_pauses!(self.0.waiting(queue))
    }
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error> {
        with_pauses!(self.0.next_due(queue))
    }
    async fn arrival(&self, queue: &str) {
        with_pauses!(self.0.arrival(queue));
    }
}
