//! One run of the desk: its work, its crashes, and what people do.

use std::collections::BTreeMap;
use std::sync::Arc;

use events::{Moment, TicketSn};
use functions::App;
use functions::app::erasure;
use functions::app::notifications::preferences::{self, Preferences};
use functions::app::notifications::{addresses, identities, inbound};
use functions::app::numbers::Numbers;
use functions::app::outbound::Targets;
use functions::catalog::queues;
use functions::host::local::{follow_page, work};
use functions::registry::{REGISTRY, is_configuration};
use functions::stream::follow::due;
use functions::timer::wake::wake;
use infra::clock::{Clock as _, ManualClock, SeededRng};
use infra::queue::{Message, Queue};
use infra::store::Store;
use infra::views::{InSteps, Views};
use infra::{Ledger, queue, store, views};
use tests::MORNING;

use super::relay::{Relay, mail_with_code, report};
use super::{Action, Base, KIND, PEOPLE, Sabotage, Someone, What, by, open_ticket, plan};
use crate::external::crashing::{CrashPoint, Crashing};
use crate::scheduler::Dice;

/// Maximum number of passes over all queues at one time.
const PASSES_MAX: usize = 100;
/// Pause until the same overdue work is done again, in milliseconds.
const AGAIN_MS: i64 = 10_000;
/// Time for which a message is hidden after a worker has taken it, in milliseconds.
const LEASE_MS: i64 = 60_000;
/// A time that is later than all deadlines.
const LATEST: Moment = Moment(9_999_999_999_998);
/// A position that is later than all commits. The use cases then do not wait for the follower.
const FOLLOWED: i64 = i64::MAX - 1;

/// The storage, the relay, the people and the running process of one run.
pub(super) struct World<'a> {
    pub(super) base: &'a Base,
    pub(super) seed: u64,
    pub(super) dice: Dice,
    pub(super) clock: Arc<ManualClock>,
    pub(super) rng: Arc<SeededRng>,
    pub(super) point: Arc<CrashPoint>,
    pub(super) store: Arc<dyn Store>,
    pub(super) views: Arc<dyn Views>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) relay: Arc<Relay>,
    pub(super) app: App,
    pub(super) followed: i64,
    pub(super) people: Vec<Someone>,
    /// The tickets with the numbers of their approvers.
    pub(super) tickets: BTreeMap<usize, (TicketSn, Vec<usize>)>,
    pub(super) actions: Vec<Action>,
    pub(super) sabotage: Sabotage,
    pub(super) crash_rate: usize,
    pub(super) crashes_left: usize,
    pub(super) crashes: u64,
}

impl<'a> World<'a> {
    pub(super) async fn new(base: &'a Base, seed: u64, sabotage: Sabotage) -> Self {
        let mut dice = Dice::new(seed);
        let clock = base.clock.clone();
        clock.advance(MORNING.0 - clock.now().0);
        let point = Arc::new(CrashPoint::default());
        let relay = Arc::new(Relay::new(&mut dice, clock.clone()));
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let name = format!("person{seed}x{number}");
            people.push(Someone {
                id: base.app.people.pid(&name).await.expect("a person"),
                addresses: Vec::new(),
                erased: None,
            });
        }
        let mut world = Self {
            base,
            seed,
            crash_rate: [0, 5, 15, 30][dice.below(4)],
            crashes_left: dice.below(7),
            actions: plan(&mut dice),
            dice,
            clock,
            rng: Arc::new(SeededRng::new(seed)),
            store: Arc::new(Crashing {
                inner: store::memory::Memory::default(),
                point: point.clone(),
            }),
            views: Arc::new(Crashing {
                inner: views::memory::Memory::default(),
                point: point.clone(),
            }),
            queue: Arc::new(Crashing {
                inner: queue::memory::Memory::default(),
                point: point.clone(),
            }),
            point,
            relay,
            app: base.app.clone(),
            followed: 0,
            people,
            tickets: BTreeMap::new(),
            sabotage,
            crashes: 0,
        };
        world.start_process();
        world
    }

    /// Starts a process of the desk with the storage of this run.
    fn start_process(&mut self) {
        let ledger = Ledger::new(
            self.store.clone(),
            self.base.app.ledger.keys.clone(),
            self.clock.clone(),
            self.rng.clone(),
        );
        let mut app = self.base.app.clone();
        app.views = self.views.clone();
        app.queue = self.queue.clone();
        app.page_writer = Arc::new(InSteps {
            views: self.views.clone(),
            queue: self.queue.clone(),
        });
        app.mailer = Arc::new(Crashing {
            inner: self.relay.clone(),
            point: self.point.clone(),
        });
        app.numbers = Arc::new(Numbers::new(ledger.clone()));
        app.targets = Targets::default();
        app.followed = Arc::default();
        app.followed.reached(FOLLOWED);
        app.ledger = ledger;
        self.app = app;
    }

    /// Runs a task of the desk, which crashes at a random call or not at all. Returns `None` after a crash.
    async fn run<T>(&mut self, calls: usize, task: impl Future<Output = T>) -> Option<T> {
        let is_planned = self.crashes_left > 0 && self.dice.below(100) < self.crash_rate;
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
    pub(super) async fn settle(&mut self) -> Result<(), String> {
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
        if self.sabotage == Sabotage::LostAttempts && message.id.contains("|attempt|") {
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

    /// Does all actions whose time has come. An action that a crash interrupted is repeated.
    pub(super) async fn act(&mut self) -> Result<(), String> {
        let now = self.clock.now();
        let (due, later) = std::mem::take(&mut self.actions)
            .into_iter()
            .partition::<Vec<_>, _>(|action| action.at <= now);
        self.actions = later;
        for action in due {
            if !Box::pin(self.perform(action)).await? {
                let at = self.clock.now().plus_ms(AGAIN_MS);
                self.actions.push(Action { at, ..action });
            }
        }
        Ok(())
    }

    /// Does one action. Returns false if the action must be repeated.
    async fn perform(&mut self, action: Action) -> Result<bool, String> {
        let Action { number, what, .. } = action;
        if what == What::Open {
            return self.open(number).await;
        }
        let (app, id) = (self.app.clone(), self.people[number].id.clone());
        let address = self.people[number].addresses.last().cloned();
        if self.people[number].erased.is_some() {
            return Ok(true);
        }
        let failed = |error: infra::Error| format!("{what:?} fails: {error}");
        match (what, address) {
            (What::Move, _) => {
                let version = self.people[number].addresses.len();
                let address = format!("p{}x{number}v{version}@example.com", self.seed);
                self.people[number].addresses.push(address.clone());
                let preferences = Preferences {
                    addresses: BTreeMap::from([(KIND.to_owned(), address)]),
                    is_aggregated: (number == 0).then_some(false),
                    ..Preferences::default()
                };
                let written = preferences::write(&app, &id, preferences, by(&id));
                let written = self.run(8, Box::pin(written)).await;
                Ok(written.transpose().map_err(failed)?.is_some())
            }
            (What::Link, Some(address)) => {
                let issued = identities::issue(&app, &id, KIND).await.map_err(failed)?;
                let Some(code) = issued else {
                    return Ok(true);
                };
                let mail = mail_with_code(&address, &code.code);
                let stored = inbound::store_mail(&app, "mail", mail.as_bytes());
                let stored = self.run(8, Box::pin(stored)).await;
                Ok(stored.transpose().map_err(failed)?.is_some())
            }
            (What::Bounce, Some(address)) => {
                let Some(mark) = self.relay.newest_mark(&address) else {
                    return Ok(true);
                };
                let mail = report(&mark, &address);
                let stored = inbound::store_mail(&app, "mail", mail.as_bytes());
                let stored = self.run(8, Box::pin(stored)).await;
                Ok(stored.transpose().map_err(failed)?.is_some())
            }
            (What::Release, Some(_)) => {
                let released = addresses::release(&app, &id, KIND, by(&id));
                let released = self.run(8, Box::pin(released)).await;
                Ok(released.transpose().map_err(failed)?.is_some())
            }
            (What::Erase, Some(_)) => self.erase(number).await,
            (What::Open | What::Link | What::Bounce | What::Release | What::Erase, _) => Ok(true),
        }
    }

    /// Erases a person. After a crash, an operator erases the person again by the id.
    async fn erase(&mut self, number: usize) -> Result<bool, String> {
        let (app, id) = (self.app.clone(), self.people[number].id.clone());
        if self.sabotage != Sabotage::KeptPeople {
            let progress = |_: i64| {};
            let erased = erasure::erase(&app, id.as_str(), is_configuration, &progress);
            match self.run(60, Box::pin(erased)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(format!("the erasure fails: {error}")),
                None => return Ok(false),
            }
        }
        self.people[number].erased = Some(self.clock.now());
        Ok(true)
    }

    /// Opens a ticket whose approvers are the people who are not erased.
    async fn open(&mut self, number: usize) -> Result<bool, String> {
        let approvers: Vec<usize> = (0..PEOPLE)
            .filter(|one| {
                let is_kept = self.sabotage == Sabotage::KeptPeople;
                is_kept || self.people[*one].erased.is_none()
            })
            .collect();
        let ids = approvers.iter().map(|one| self.people[*one].id.as_str());
        let ids = ids.collect::<Vec<_>>().join(",");
        let (app, lisi) = (self.app.clone(), self.base.lisi.clone());
        let opened = Box::pin(open_ticket(&app, lisi, number, &ids));
        match self.run(30, opened).await {
            Some(Ok(sn)) => {
                self.tickets.insert(number, (sn, approvers));
                Ok(true)
            }
            Some(Err(reason)) => Err(format!("the ticket is not opened: {reason}")),
            None => Ok(false),
        }
    }

    /// Returns the time at which the next work is due. Returns `None` if nothing is left to do.
    pub(super) async fn next(&self) -> Option<Moment> {
        let now = self.clock.now();
        let mut times: Vec<Moment> = self.actions.iter().map(|action| action.at).collect();
        for name in queues() {
            let due = self.queue.next_due(name).await;
            times.extend(due.expect("the memory is readable"));
        }
        times.extend(self.deadlines().await.into_iter().map(|(_, _, at)| at));
        let next = times.into_iter().min()?;
        Some(next.max(now.plus_ms(if next > now { 0 } else { AGAIN_MS })))
    }

    pub(super) async fn deadlines(&self) -> Vec<(String, String, Moment)> {
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
}
