//! Runs the real desk on storage in memory, for simulations in which the desk crashes.
//!
//! The desk consists of the follower (the task that updates stored summaries and fills queues), the search for reached
//! deadlines, and the workers of all queues. Each task can crash at each call of a storage or of an imitated system. The desk
//! then starts again with the stored data. The same seed always leads to the same run.

pub(crate) mod crashing;
pub(crate) mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ticket::Open;
use events::{Entry, Meta, Moment, PersonId, ServiceId, TicketSn};
use functions::App;
use functions::app::numbers::Numbers;
use functions::app::outbound::Targets;
use functions::app::tickets::submit::{Submission, submit};
use functions::app::tickets::{Key, opened_before};
use functions::catalog::queues;
use functions::host::local::{follow_page, work};
use functions::registry::REGISTRY;
use functions::stream::follow::births::Births;
use functions::stream::follow::due;
use functions::stream::parked;
use functions::timer::wake::wake;
use infra::clock::{Clock as _, ManualClock, SeededRng};
use infra::queue::{Message, Queue};
use infra::store::Store;
use infra::views::{InSteps, Views};
use infra::{Ledger, queue, store, views};
use tests::{MORNING, TestDesk};

use self::crashing::{CrashPoint, Crashing};
use crate::scheduler::Dice;

/// Maximum number of times that all queues are read before the clock advances.
const PASSES_MAX: usize = 100;
/// Pause in milliseconds until the same overdue work is done again, if it had no effect. For example, a crashed worker still
/// has the exclusive right to make an attempt.
const AGAIN_MS: i64 = 10_000;
/// Time in milliseconds for which a message is hidden after a worker has taken it, as on the local host.
const LEASE_MS: i64 = 60_000;
/// A time that is later than all deadlines.
const LATEST: Moment = Moment(9_999_999_999_998);
/// A position that is later than all commits. The use cases then do not wait for the follower.
const FOLLOWED: i64 = i64::MAX - 1;

/// The desk without the work of a run: the configuration and the keys. All runs of a test share them.
pub(crate) struct Base {
    app: App,
    /// The clock of the configuration and of all runs. Each run sets it back to the same time.
    clock: Arc<ManualClock>,
    births: Births,
}

impl Base {
    /// Takes the shared parts from a desk whose configuration is complete.
    pub(crate) async fn of(desk: &TestDesk) -> Self {
        let app = desk.app.clone();
        // The keys of the desk are read once, so that all runs use the same keys.
        app.keys().await.expect("keys");
        app.token_keys().await.expect("keys");
        let births = Births::load(&app.ledger, REGISTRY).await;
        Self {
            clock: desk.clock.clone(),
            births: births.expect("active reactions"),
            app,
        }
    }

    pub(crate) async fn person(&self, name: &str) -> PersonId {
        self.app.people.pid(name).await.expect("a person")
    }

    /// Sets the clock to the time at which each run begins, and returns it.
    pub(crate) fn morning(&self) -> Arc<ManualClock> {
        self.clock.advance(MORNING.0 - self.clock.now().0);
        self.clock.clone()
    }
}

/// Connects the external systems of a simulation to a desk, whose calls then end at a crash.
pub(crate) type Connect = Box<dyn Fn(&mut App, &Arc<CrashPoint>)>;

/// The parts of a desk that differ between simulations.
pub(crate) struct Setup {
    /// Number of commits between two snapshots of a stream.
    pub(crate) snapshot_every: usize,
    /// True if the messages about due attempts are lost. With it, a test checks that the simulation finds the fault.
    pub(crate) loses_attempts: bool,
    /// Connects a new process of the desk with the imitated systems, at which it can crash too.
    pub(crate) connect: Connect,
}

/// What a person or an imitated system does in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action<W> {
    pub(crate) at: Moment,
    /// The number of the person, ticket or other subject.
    pub(crate) number: usize,
    pub(crate) what: W,
}

/// The storage and the running process of the desk in one run.
pub(crate) struct Desk<'a, W> {
    base: &'a Base,
    setup: Setup,
    pub(crate) dice: Dice,
    pub(crate) clock: Arc<ManualClock>,
    rng: Arc<SeededRng>,
    point: Arc<CrashPoint>,
    pub(crate) store: Arc<dyn Store>,
    views: Arc<dyn Views>,
    queue: Arc<dyn Queue>,
    /// The running process of the desk. After a crash, a new process continues with the same storage.
    pub(crate) app: App,
    /// The position of the last commit that the follower has processed.
    followed: i64,
    /// The actions that are not done yet.
    pub(crate) actions: Vec<Action<W>>,
    /// Probability of a crash in one task, in percent.
    crash_rate: usize,
    crashes_left: usize,
    crashes: u64,
}

impl<'a, W> Desk<'a, W> {
    /// Starts a desk without commits. The dice determine how often the desk crashes.
    pub(crate) fn new(base: &'a Base, seed: u64, mut dice: Dice, setup: Setup) -> Self {
        let point = Arc::new(CrashPoint::default());
        let mut desk = Self {
            base,
            setup,
            crash_rate: [0, 5, 15, 30][dice.below(4)],
            crashes_left: dice.below(7),
            dice,
            clock: base.clock.clone(),
            rng: Arc::new(SeededRng::new(seed)),
            store: Arc::new(Crashing {
                inner: store::memory::Memory::default(),
                gate: point.clone(),
            }),
            views: Arc::new(Crashing {
                inner: views::memory::Memory::default(),
                gate: point.clone(),
            }),
            queue: Arc::new(Crashing {
                inner: queue::memory::Memory::default(),
                gate: point.clone(),
            }),
            point,
            app: base.app.clone(),
            followed: 0,
            actions: Vec::new(),
            crashes: 0,
        };
        desk.start_process();
        desk
    }

    /// Starts a process of the desk with the storage of this run. The process shares only the configuration with the
    /// processes of other runs.
    fn start_process(&mut self) {
        let ledger = Ledger::new(
            self.store.clone(),
            self.base.app.ledger.keys.clone(),
            self.clock.clone(),
            self.rng.clone(),
        )
        .with_snapshot_every(self.setup.snapshot_every);
        let mut app = self.base.app.clone();
        app.views = self.views.clone();
        app.queue = self.queue.clone();
        app.page_writer = Arc::new(InSteps {
            views: self.views.clone(),
            queue: self.queue.clone(),
        });
        (self.setup.connect)(&mut app, &self.point);
        app.numbers = Arc::new(Numbers::new(ledger.clone()));
        app.targets = Targets::default();
        app.followed = Arc::default();
        app.followed.reached(FOLLOWED);
        app.ledger = ledger;
        self.app = app;
    }

    /// Runs a task of the desk. The task crashes at a random call of a storage or of an imitated system, or not at all.
    /// Returns `None` after a crash.
    pub(crate) async fn run<T>(
        &mut self,
        calls: usize,
        task: impl Future<Output = T>,
    ) -> Option<T> {
        let is_planned = self.crashes_left > 0 && self.dice.below(100) < self.crash_rate;
        // Each call of a storage has two places for a crash.
        let place = if is_planned {
            1 + self.dice.below(2 * calls)
        } else {
            0
        };
        self.point.plan(place);
        let done = self.point.run(task).await;
        self.point.plan(0);
        if done.is_none() {
            self.crashes += 1;
            self.crashes_left -= 1;
            self.start_process();
            let checkpoint = self.views.get("checkpoint", "follow").await;
            let checkpoint = checkpoint.expect("the memory is readable");
            self.followed = checkpoint.map_or(0, |checkpoint| checkpoint.sequence);
        }
        done
    }

    /// Processes all new commits.
    async fn follow(&mut self) -> Result<(), String> {
        let base = self.base;
        for _ in 0..PASSES_MAX {
            let (app, after) = (self.app.clone(), self.followed);
            let followed = Box::pin(follow_page(&app, &base.births, after));
            match self.run(12, followed).await {
                Some(Ok(reached)) if reached == after => return Ok(()),
                Some(Ok(reached)) => self.followed = reached,
                Some(Err(error)) => return Err(format!("the follower fails: {error}")),
                None => {}
            }
            self.app.followed.reached(FOLLOWED);
        }
        Err("the follower does not end".into())
    }

    /// Does all work that is due at the current time.
    async fn settle(&mut self) -> Result<(), String> {
        for _ in 0..PASSES_MAX {
            self.follow().await?;
            let app = self.app.clone();
            if let Some(Err(error)) = self.run(4, Box::pin(wake(&app, REGISTRY, None))).await {
                return Err(format!("the search for deadlines fails: {error}"));
            }
            let before = self.head().await;
            let mut taken = 0;
            for name in queues() {
                let now = self.clock.now();
                let messages = self.queue.take(name, now, now.plus_ms(LEASE_MS), 100).await;
                for message in messages.map_err(|error| error.to_string())? {
                    taken += 1;
                    self.process(name, message).await?;
                }
            }
            if taken == 0 || self.head().await == before {
                return Ok(());
            }
        }
        Err("the work at one time does not end".into())
    }

    async fn process(&mut self, name: &'static str, message: Message) -> Result<(), String> {
        if self.setup.loses_attempts && message.id.contains("|attempt|") {
            let done = self.queue.done(name, &message).await;
            return done.map_err(|error| error.to_string());
        }
        let (app, id) = (self.app.clone(), message.id.clone());
        match self.run(40, Box::pin(work(&app, name, message))).await {
            Some(Err(error)) => Err(format!("message {id} of queue {name}: {error}")),
            Some(Ok(())) | None => Ok(()),
        }
    }

    async fn head(&self) -> i64 {
        let head = self.store.head().await;
        head.expect("the memory is readable").position
    }

    /// Returns the time of the next action, message or given deadline. Returns `None` if nothing is left to do.
    pub(crate) async fn next(&self, deadlines: &[Deadline]) -> Option<Moment> {
        let now = self.clock.now();
        let mut times: Vec<Moment> = self.actions.iter().map(|action| action.at).collect();
        for name in queues() {
            let due = self.queue.next_due(name).await;
            times.extend(due.expect("the memory is readable"));
        }
        times.extend(deadlines.iter().map(|(_, _, at)| *at));
        let next = times.into_iter().min()?;
        Some(next.max(now.plus_ms(if next > now { 0 } else { AGAIN_MS })))
    }

    /// Returns all stored deadlines.
    pub(crate) async fn deadlines(&self) -> Vec<Deadline> {
        let mut rows = due::Rows::until(&*self.views, LATEST);
        let mut deadlines = Vec::new();
        loop {
            let page = rows.next().await.expect("the memory is readable");
            if page.is_empty() {
                return deadlines;
            }
            deadlines.extend(page);
        }
    }

    /// Checks that the desk gave up no message and no stream.
    pub(crate) async fn check_parked(&self) -> Result<(), String> {
        let parked = self.queue.parked(10).await.expect("readable");
        let streams = parked::list(&*self.views, 10).await.expect("readable");
        if parked.is_empty() && streams.is_empty() {
            Ok(())
        } else {
            Err(format!("parked: {parked:?}, {streams:?}"))
        }
    }
}

/// A stored deadline: its stream, its name and its time.
pub(crate) type Deadline = (String, String, Moment);

/// Opens a ticket, or returns the ticket that an earlier request with the same title opened.
pub(crate) async fn open_ticket(
    app: &App,
    service: ServiceId,
    creator: PersonId,
    title: String,
    form: Vec<Entry>,
) -> Result<TicketSn, String> {
    let key = Key {
        app: "simulation".into(),
        key: title.clone(),
        request: title,
    };
    let before = opened_before(app, &key).await;
    if let Some(opened) = before.map_err(|error| error.to_string())? {
        return Ok(opened.sn);
    }
    let submission = Submission {
        open: Open {
            service,
            creator,
            form,
            ..Open::default()
        },
        variables: BTreeMap::new(),
        receiver: None,
        key: Some(key),
    };
    // The future is large, so it is boxed to keep the stack small.
    let opened = Box::pin(submit(app, submission, by)).await;
    opened
        .map(|opened| opened.sn)
        .map_err(|error| error.to_string())
}

pub(crate) fn by(person: &PersonId) -> Meta {
    Meta {
        actor: person.clone(),
        ..Meta::system("simulation", "simulation")
    }
}
