//! Runs the seeds of a simulation with crashes, and counts what happened.

use std::collections::BTreeMap;
use std::ops::Range;

use events::Moment;
use infra::clock::Clock as _;

use super::{AGAIN_MS, Action, Desk};

/// Maximum number of steps of one run. After each step, the clock advances to the next deadline, message or action.
const STEPS_MAX: usize = 1_500;

/// One run of a simulation: a desk, and the people and systems that work with it.
pub(crate) trait World<'a>: Sized {
    /// What all runs of a test share.
    type Base;
    /// A part of the desk or of a system that does not work. The default is that all parts work.
    type Sabotage: Copy + Default;
    type What: Copy;
    type Counts: Counts;

    async fn new(base: &'a Self::Base, seed: u64, sabotage: Self::Sabotage) -> Self;
    fn desk(&mut self) -> &mut Desk<'a, Self::What>;
    /// Does one action. Returns false if the action must be repeated.
    async fn perform(&mut self, action: Action<Self::What>) -> Result<bool, String>;
    /// Returns the time at which the next work is due. Returns `None` if nothing is left to do.
    async fn next(&mut self) -> Option<Moment> {
        let deadlines = self.desk().deadlines().await;
        self.desk().next(&deadlines).await
    }
    /// Checks the end of the run, and returns what happened.
    async fn check(&self) -> Result<Self::Counts, String>;
}

/// What happened in some runs of one simulation.
pub(crate) trait Counts: Default {
    fn add(&mut self, of_run: Self);
}

/// Adds the numbers of each key.
pub(crate) fn add_counts<K: Ord>(sums: &mut BTreeMap<K, u64>, of_run: BTreeMap<K, u64>) {
    for (key, count) in of_run {
        *sums.entry(key).or_default() += count;
    }
}

/// The number of runs and of crashes, and what else happened in these runs.
#[derive(Debug, Default)]
pub(crate) struct Totals<C> {
    pub(crate) runs: u64,
    pub(crate) crashes: u64,
    pub(crate) counts: C,
}

/// Shows the seed of a run that panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {} panics", self.0);
        }
    }
}

/// Does all actions whose time has come. An action that a crash interrupted, or that is not possible yet, is repeated.
async fn act<'a, T: World<'a>>(world: &mut T) -> Result<(), String> {
    let desk = world.desk();
    let now = desk.clock.now();
    let (due, later) = std::mem::take(&mut desk.actions)
        .into_iter()
        .partition::<Vec<_>, _>(|action| action.at <= now);
    desk.actions = later;
    for action in due {
        if !Box::pin(world.perform(action)).await? {
            let desk = world.desk();
            let at = desk.clock.now().plus_ms(AGAIN_MS);
            desk.actions.push(Action { at, ..action });
        }
    }
    Ok(())
}

/// Runs one seed. Returns the number of crashes and what happened. An error is the reason why the run did not end, or ended
/// in a wrong state.
async fn run<'a, T: World<'a>>(
    base: &'a T::Base,
    seed: u64,
    sabotage: T::Sabotage,
) -> Result<(u64, T::Counts), String> {
    let _shown = Seed(seed);
    let mut world = T::new(base, seed, sabotage).await;
    for _ in 0..STEPS_MAX {
        act(&mut world).await?;
        world.desk().settle().await?;
        let Some(next) = world.next().await else {
            let counts = world.check().await?;
            return Ok((world.desk().crashes, counts));
        };
        let clock = &world.desk().clock;
        clock.advance(next.0 - clock.now().0);
    }
    let left = world.desk().deadlines().await;
    Err(format!("a deadline was not answered: {left:?}"))
}

/// Runs all seeds without sabotage. Panics with the seed and the reason if a run fails.
pub(crate) async fn run_all<'a, T: World<'a>>(
    base: &'a T::Base,
    seeds: impl Iterator<Item = u64>,
) -> Totals<T::Counts> {
    let mut totals: Totals<T::Counts> = Totals::default();
    for seed in seeds {
        match Box::pin(run::<T>(base, seed, T::Sabotage::default())).await {
            Ok((crashes, counts)) => {
                totals.runs += 1;
                totals.crashes += crashes;
                totals.counts.add(counts);
            }
            Err(reason) => panic!("seed {seed}: {reason}"),
        }
    }
    totals
}

/// Asserts that the sabotage makes at least one of the runs fail for the expected reason.
pub(crate) async fn assert_found<'a, T: World<'a>>(
    base: &'a T::Base,
    seeds: Range<u64>,
    sabotage: T::Sabotage,
    expected: &str,
) {
    let count = seeds.end - seeds.start;
    let mut found = 0;
    for seed in seeds {
        if let Err(reason) = Box::pin(run::<T>(base, seed, sabotage)).await {
            found += u64::from(reason.contains(expected));
        }
    }
    assert!(found > 0, "no run of {count} fails with {expected:?}");
}

/// Runs all seeds of a simulation without a whole desk. Returns the number of crashes, and how often each outcome occurred.
/// Panics with the seed and the reason if a run fails.
pub(crate) fn count_outcomes(
    seeds: u64,
    run: impl Fn(u64) -> Result<(u64, &'static str), String>,
) -> (u64, BTreeMap<&'static str, u64>) {
    let (mut crashes, mut outcomes) = (0, BTreeMap::new());
    for seed in 0..seeds {
        match run(seed) {
            Ok((of_run, outcome)) => {
                crashes += of_run;
                *outcomes.entry(outcome).or_default() += 1;
            }
            Err(reason) => panic!("seed {seed}: {reason}"),
        }
    }
    (crashes, outcomes)
}
