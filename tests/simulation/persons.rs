//! This test simulates people who get mails about tickets. While messages are on their way, people change and link their
//! addresses, mails come back, addresses are released, and people are erased.
//!
//! The test runs the real desk on storage in memory, as the simulation of external systems does. Only the mail relay is
//! imitated. Each task of the desk can crash at each call of a storage or of the relay. The same seed always leads to the
//! same run.
//!
//! A run ends when no work is left. Then each notification and each delivery has ended, no deadline is left, and each
//! approver has one notification about each ticket. An erased person got no mail after the erasure, and a suppressed address
//! got no new message. The test prints the kinds of streams that the runs contain.

mod checking;
mod relay;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ticket::Open;
use events::{Entry, Meta, Moment, PersonId, ServiceId, TicketSn};
use functions::App;
use functions::app::notifications::definitions::Definitions;
use functions::app::tickets::submit::{Submission, submit};
use functions::app::tickets::{Key, opened_before};
use functions::registry::REGISTRY;
use functions::stream::follow::births::Births;
use infra::clock::{Clock as _, ManualClock};
use tests::{MORNING, TestDesk};

use self::world::World;
use crate::scheduler::Dice;

/// Number of seeds, if the variable [`VARIABLE`] does not name another one.
const SEEDS: u64 = 300;
/// The environment variable with the number of seeds of a long run.
const VARIABLE: &str = "LEDGERDESK_PERSON_SEEDS";
const PEOPLE: usize = 3;
const TICKETS: usize = 4;
/// The service of the demo company whose approvers are in a field.
const SERVICE: ServiceId = ServiceId(22);
/// Maximum number of steps of one run.
const STEPS_MAX: usize = 1_500;
const KIND: &str = "email";

const DEFINITIONS: &str = r#"
    [[account]]
    name = "mail"
    channel = "email"
    host = "relay.example"
    from = "Desk <desk@example.com>"
    reply_to = "itsm@example.com"
    authserv_id = "relay.example"

    [policy]
    accounts = ["mail"]
"#;

/// A part of the desk that does not work. With it, a test checks that the simulation finds the fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    None,
    /// An erasure is recorded, but nothing is erased.
    KeptPeople,
    /// The messages about due attempts are lost.
    LostAttempts,
}

/// The desk without the work of a run. All runs share its configuration and its keys.
struct Base {
    app: App,
    clock: Arc<ManualClock>,
    births: Births,
    lisi: PersonId,
}

impl Base {
    async fn build() -> Self {
        let desk = TestDesk::open().await;
        let definitions = Definitions::read(DEFINITIONS).expect("valid definitions");
        definitions.store(&desk.app).await.expect("stored");
        desk.followed().await;
        let app = desk.app.clone();
        app.keys().await.expect("keys");
        app.token_keys().await.expect("keys");
        let births = Births::load(&app.ledger, REGISTRY).await;
        let lisi = app.people.pid("lisi").await.expect("a person");
        desk.stop_following();
        Self {
            clock: desk.clock.clone(),
            births: births.expect("active reactions"),
            lisi,
            app,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Open,
    Move,
    Link,
    Bounce,
    Release,
    Erase,
}

#[derive(Clone, Copy, Debug)]
struct Action {
    at: Moment,
    number: usize,
    what: What,
}

/// A person of a run.
struct Someone {
    id: PersonId,
    /// All addresses of the person, the newest at the end.
    addresses: Vec<String>,
    erased: Option<Moment>,
}

#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    crashes: u64,
    mails: usize,
    erased: usize,
    skipped: usize,
    /// The number of commits by the kind of their streams.
    streams: BTreeMap<String, u64>,
}

/// Returns the actions of a run: the first addresses, the tickets, and what happens to the people.
fn plan(dice: &mut Dice) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut add = |seconds: usize, number, what| {
        let ms = 1_000 * i64::try_from(seconds).expect("a small number");
        let at = MORNING.plus_ms(ms);
        actions.push(Action { at, number, what });
    };
    for number in 0..PEOPLE {
        add(0, number, What::Move);
        for what in [What::Move, What::Link, What::Bounce, What::Release] {
            for _ in 0..dice.below(3) {
                add(1 + dice.below(3_600), number, what);
            }
        }
        // The first person stays, so each ticket has an approver.
        if number > 0 && dice.below(2) == 0 {
            add(1 + dice.below(3_600), number, What::Erase);
        }
    }
    for number in 0..TICKETS {
        add(1 + dice.below(3_600), number, What::Open);
    }
    actions
}

async fn open_ticket(
    app: &App,
    creator: PersonId,
    number: usize,
    approvers: &str,
) -> Result<TicketSn, String> {
    let title = format!("ticket {number}");
    let key = Key {
        app: "simulation".into(),
        key: title.clone(),
        request: title.clone(),
    };
    let before = opened_before(app, &key).await;
    if let Some(opened) = before.map_err(|error| error.to_string())? {
        return Ok(opened.sn);
    }
    let form = [
        ("title", title.as_str()),
        ("apply_content", "as listed"),
        ("impact", "1"),
        ("urgency", "1"),
        ("ZHIDINGSHENPIREN", approvers),
    ];
    let submission = Submission {
        open: Open {
            service: SERVICE,
            creator,
            form: form
                .into_iter()
                .map(|(key, value)| Entry::new(key, value))
                .collect(),
            ..Open::default()
        },
        variables: BTreeMap::new(),
        receiver: None,
        key: Some(key),
    };
    let opened = Box::pin(submit(app, submission, by)).await;
    opened
        .map(|opened| opened.sn)
        .map_err(|error| error.to_string())
}

fn by(person: &PersonId) -> Meta {
    Meta {
        actor: person.clone(),
        ..Meta::system("simulation", "simulation")
    }
}

/// Runs one seed. An error is the reason why the run did not end, or ended in a wrong state.
async fn run(base: &Base, seed: u64, sabotage: Sabotage) -> Result<Tally, String> {
    let mut world = World::new(base, seed, sabotage).await;
    for _ in 0..STEPS_MAX {
        world.act().await?;
        world.settle().await?;
        let Some(next) = world.next().await else {
            return world.check().await;
        };
        world.clock.advance(next.0 - world.clock.now().0);
    }
    let left = world.deadlines().await;
    Err(format!("a deadline was not answered: {left:?}"))
}

/// Returns the number of seeds.
#[expect(
    clippy::disallowed_methods,
    reason = "a variable selects the long form"
)]
fn seeds() -> u64 {
    let given = std::env::var(VARIABLE).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

#[tokio::test]
async fn no_notification_is_lost_and_no_erased_person_gets_a_mail() {
    let base = Base::build().await;
    tokio::time::pause();
    let mut tally = Tally::default();
    for seed in 0..seeds() {
        match Box::pin(run(&base, seed, Sabotage::None)).await {
            Ok(of_run) => {
                tally.runs += of_run.runs;
                tally.crashes += of_run.crashes;
                tally.mails += of_run.mails;
                tally.erased += of_run.erased;
                tally.skipped += of_run.skipped;
                for (kind, count) in of_run.streams {
                    *tally.streams.entry(kind).or_default() += count;
                }
            }
            Err(reason) => panic!("seed {seed}: {reason}"),
        }
    }
    println!("people and their addresses: {tally:?}");
    for kind in [
        "person",
        "notification",
        "delivery",
        "inbound",
        "chat_identity",
    ] {
        assert!(tally.streams.contains_key(kind), "no stream {kind}");
    }
    assert!(
        tally.crashes > tally.runs / 2 && tally.erased > 0 && tally.mails > 0,
        "too few crashes, erasures or mails"
    );
}

#[tokio::test]
async fn the_check_finds_mails_to_erased_people_and_lost_deadlines() {
    let base = Base::build().await;
    tokio::time::pause();
    // The keys of people are shared, so these runs have seeds of their own.
    for (sabotage, first, expected) in [
        (Sabotage::KeptPeople, 1_000_000, "a mail after the erasure"),
        (
            Sabotage::LostAttempts,
            2_000_000,
            "a deadline was not answered",
        ),
    ] {
        let mut found = 0;
        for seed in first..first + 40 {
            if let Err(reason) = Box::pin(run(&base, seed, sabotage)).await {
                found += u64::from(reason.contains(expected));
            }
        }
        assert!(found > 0, "no run of 40 fails with {expected:?}");
    }
}
