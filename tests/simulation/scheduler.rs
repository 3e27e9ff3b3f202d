//! This module contains a scheduler for simulations. At every await, the scheduler selects the next task at
//! random and sometimes kills a task. The same seed always leads to the same choices.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use infra::Error;

use crate::gated::{Gate, Gated};

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

/// A storage with an await before and after each call. At each await, the scheduler can run another task or kill the current
/// task.
pub(crate) type Paused<T> = Gated<T, Pause>;

pub(crate) struct Pause;

impl Gate for Pause {
    async fn pass(&self) -> Result<(), Error> {
        let mut paused = false;
        std::future::poll_fn(move |_| {
            if std::mem::replace(&mut paused, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        Ok(())
    }
}

pub(crate) fn paused<T>(inner: T) -> Paused<T> {
    Gated { inner, gate: Pause }
}
