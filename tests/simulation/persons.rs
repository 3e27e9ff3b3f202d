//! This test simulates people who get mails about tickets. While messages are on their way, people change and link their
//! addresses, mails come back, addresses are released, and people are erased.
//!
//! The test runs the real desk on storage in memory, see [`crate::harness`]. Only the mail relay is imitated. The same seed
//! always leads to the same run.
//!
//! A run ends when no work is left. Then each notification and each delivery has ended, no deadline is left, and each
//! approver has one notification about each ticket. An erased person got no mail after the erasure, and a suppressed address
//! got no new message. The test prints the kinds of streams that the runs contain.

mod checking;
mod relay;
mod world;

use std::collections::BTreeMap;

use events::{Moment, PersonId, ServiceId};
use functions::app::notifications::definitions::Definitions;
use tests::{MORNING, TestDesk};

use self::world::World;
use crate::harness::runs::{self, Counts, Totals, add_counts, assert_found};
use crate::harness::{self, Action};
use crate::scheduler::Dice;

/// Number of seeds, if the variable [`VARIABLE`] does not name another one.
const SEEDS: u64 = 300;
/// The environment variable with the number of seeds of a long run.
const VARIABLE: &str = "LEDGERDESK_PERSON_SEEDS";
const PEOPLE: usize = 3;
const TICKETS: usize = 4;
/// The service of the demo company whose approvers are in a field.
const SERVICE: ServiceId = ServiceId(22);
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
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sabotage {
    #[default]
    None,
    /// An erasure is recorded, but nothing is erased.
    KeptPeople,
    /// The messages about due attempts are lost.
    LostAttempts,
}

/// The desk without the work of a run. All runs share its configuration and its keys.
struct Base {
    desk: harness::Base,
    lisi: PersonId,
}

impl Base {
    async fn build() -> Self {
        let desk = TestDesk::open().await;
        let definitions = Definitions::read(DEFINITIONS).expect("valid definitions");
        definitions.store(&desk.app).await.expect("stored");
        desk.followed().await;
        let shared = harness::Base::of(&desk).await;
        let lisi = shared.person("lisi").await;
        desk.stop_following();
        Self { desk: shared, lisi }
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

/// A person of a run.
struct Someone {
    id: PersonId,
    /// All addresses of the person, the newest at the end.
    addresses: Vec<String>,
    erased: Option<Moment>,
}

#[derive(Debug, Default)]
struct Tally {
    mails: usize,
    erased: usize,
    skipped: usize,
    /// The number of commits by the kind of their streams.
    streams: BTreeMap<String, u64>,
}

impl Counts for Tally {
    fn add(&mut self, of_run: Self) {
        self.mails += of_run.mails;
        self.erased += of_run.erased;
        self.skipped += of_run.skipped;
        add_counts(&mut self.streams, of_run.streams);
    }
}

/// Returns the actions of a run: the first addresses, the tickets, and what happens to the people.
fn plan(dice: &mut Dice) -> Vec<Action<What>> {
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
    let totals = runs::run_all::<World<'_>>(&base, 0..seeds()).await;
    let Totals {
        runs,
        crashes,
        counts,
    } = totals;
    println!("people and their addresses: {runs} runs, {crashes} crashes, {counts:?}");
    for kind in [
        "person",
        "notification",
        "delivery",
        "inbound",
        "chat_identity",
    ] {
        assert!(counts.streams.contains_key(kind), "no stream {kind}");
    }
    assert!(
        crashes > runs / 2 && counts.erased > 0 && counts.mails > 0,
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
        assert_found::<World<'_>>(&base, first..first + 40, sabotage, expected).await;
    }
}
