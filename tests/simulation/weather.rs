//! A scheduler that is unfair from a seed: at every await it picks who goes on, and now and then somebody dies there.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use events::Moment;
use infra::Error;
use infra::queue::{Message, Parked, Queue};
use infra::store::{Appended, Commit, Cursor, Head, Journal, Placed, Store, Walked};
use infra::views::{Document, Entry, Index, Range, Views};

/// Times somebody is polled before the storm is over.
const POLLS: usize = 400;
/// One poll in so many is a death.
const DEATHS: usize = 25;

/// Rng from a seed (SplitMix64), quick because it is asked at every step.
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

type Life<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Who lives in the storm: each can be started again from its beginning.
pub(crate) struct Weather<'a> {
    dice: Dice,
    births: Vec<Box<dyn Fn() -> Life<'a> + 'a>>,
    lives: Vec<Life<'a>>,
}

impl<'a> Weather<'a> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed ^ 0xabcd),
            births: Vec::new(),
            lives: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, birth: impl Fn() -> Life<'a> + 'a) {
        self.lives.push(birth());
        self.births.push(Box::new(birth));
    }

    /// Lets everybody run, interrupted at awaits; who ends or dies begins anew. Gives back the number of deaths.
    pub(crate) fn blow(mut self) -> u64 {
        let mut context = Context::from_waker(Waker::noop());
        let mut deaths = 0;
        for _ in 0..POLLS {
            let who = self.dice.below(self.lives.len());
            let dies = self.dice.below(DEATHS) == 0;
            deaths += u64::from(dies);
            if dies || self.lives[who].as_mut().poll(&mut context).is_ready() {
                self.lives[who] = (self.births[who])();
            }
        }
        deaths
    }
}

/// Runs a future to its end without interruption.
pub(crate) fn calm<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

/// An adapter with an await before and after every call, so that anything may happen there.
pub(crate) struct Stutter<T>(pub(crate) T);

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

macro_rules! stutter {
    ($call:expr) => {{
        pause().await;
        let answer = $call.await;
        pause().await;
        answer
    }};
}

#[async_trait]
impl<T: Journal> Journal for Stutter<T> {
    async fn append(&self, commit: Commit) -> Result<Appended, Error> {
        stutter!(self.0.append(commit))
    }
    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        stutter!(self.0.back(stream, before, limit))
    }
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error> {
        stutter!(self.0.forward(stream, from, limit))
    }
    async fn next(&self, stream: &str) -> Result<i64, Error> {
        stutter!(self.0.next(stream))
    }
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
        stutter!(self.0.walk(from, limit))
    }
}

#[async_trait]
impl<T: Store> Store for Stutter<T> {
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error> {
        stutter!(self.0.feed(after, limit))
    }
    async fn head(&self) -> Result<Head, Error> {
        stutter!(self.0.head())
    }
    async fn past(&self, position: i64) {
        stutter!(self.0.past(position));
    }
}

#[async_trait]
impl<T: Views> Views for Stutter<T> {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        stutter!(self.0.get(view, key))
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
        stutter!(
            self.0
                .put_with(view, key, document, index, facets, expected)
        )
    }
    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error> {
        stutter!(self.0.range_after(range, after))
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        stutter!(self.0.count(view, index, from, to))
    }
    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error> {
        stutter!(self.0.scan(view, after, limit))
    }
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        stutter!(self.0.remove(view, key))
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        stutter!(self.0.clear(view))
    }
}

#[async_trait]
impl<T: Queue> Queue for Stutter<T> {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        stutter!(self.0.put(queue, id, body, due))
    }
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        stutter!(self.0.take(queue, now, until, limit))
    }
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        stutter!(self.0.done(queue, message))
    }
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        stutter!(self.0.defer(queue, message, due))
    }
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        stutter!(self.0.park(queue, message, reason))
    }
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        stutter!(self.0.parked(limit))
    }
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        stutter!(self.0.redrive(queue, id, due))
    }
    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        stutter!(self.0.waiting(queue))
    }
}
