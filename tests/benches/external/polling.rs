//! Measures how the desk polls many open applications (tickets in an external ITSM). After the first read of each external
//! ticket, one request asks for the statuses of up to 50 tickets.
//!
//! In normal operation, the polls are spread over the time in which the applications were opened. The test therefore stops
//! the desk until all applications are due, and starts it again. The desk then polls all applications at once. This is
//! the first measured round. The second round follows by itself two minutes later.
//!
//! For comparison, a plain client sends the same number of requests of the same size to the same imitated ITSM, one after
//! another. The test also compares the memory of a desk with few open applications and of one with many.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tests::process::{free_port, resident_kib};
use tokio::time::Instant;

use super::itsm::External;
use super::{Desk, ms, now_ms, reached, wait};

/// Numbers of open applications.
const FEW: usize = 1_000;
const MANY: usize = 10_000;
/// A round has ended if the desk has sent no further request for this time.
const QUIET_MS: i64 = 15_000;
/// The longest time until a round has ended, and until the desk has read each ticket once.
const PATIENCE: Duration = Duration::from_mins(10);
/// After the second poll of an application, the desk waits for this time. A poll can be so short before the stop of the
/// desk that the test does not see it.
const PAUSE_MS: i64 = 120_000;
/// The longest accepted wait until all applications are due.
const DUE_MAX_MS: i64 = 330_000;
/// The aims: largest number of requests in a round, of times the bare time, and of times the memory.
const REQUESTS_MAX: usize = 250;
const TIMES_MAX: f64 = 2.0;
const MEMORY_TIMES_MAX: f64 = 1.2;

/// The requests of the desk in one round.
struct Round {
    /// Number of tickets in each request.
    sizes: Vec<usize>,
    /// The time from the first to the last request.
    took: Duration,
}

/// The result of a measurement with a number of open applications.
struct Measured {
    rounds: Vec<Round>,
    /// The time that a plain client needs for the requests of each round.
    bare: Vec<Duration>,
    resident_kib: u64,
}

pub(super) async fn measure() {
    let few = run(FEW, 1).await;
    let many = run(MANY, 2).await;
    for (number, (round, bare)) in many.rounds.iter().zip(&many.bare).enumerate() {
        let requests = round.sizes.len();
        let times = round.took.as_secs_f64() / bare.as_secs_f64();
        println!(
            "{MANY} open applications, round {}: {requests} requests for {} tickets (aim: at most {REQUESTS_MAX}, {}), \
             {:.0} ms from the first to the last request; a plain client needs {:.0} ms: {times:.1} times \
             (aim: at most {TIMES_MAX} times, {})",
            number + 1,
            round.sizes.iter().sum::<usize>(),
            reached(requests <= REQUESTS_MAX),
            ms(round.took),
            ms(*bare),
            reached(times <= TIMES_MAX),
        );
    }
    let times = many.resident_kib as f64 / few.resident_kib as f64;
    println!(
        "resident memory of the desk after a round: {:.1} MB with {FEW} open applications, {:.1} MB with {MANY}: {times:.2} \
         times (aim: at most {MEMORY_TIMES_MAX} times, {})",
        few.resident_kib as f64 / 1_000.0,
        many.resident_kib as f64 / 1_000.0,
        reached(times <= MEMORY_TIMES_MAX),
    );
}

async fn run(count: usize, rounds: usize) -> Measured {
    let folder = tempfile::tempdir().expect("a directory");
    let external = External::start().await;
    let (data, port) = (folder.path().join("data"), free_port());
    let arguments = external.arguments(folder.path());
    let desk = Desk::start(&data, port, &arguments);
    let begin = Instant::now();
    external.apply(&desk, count).await;
    println!(
        "{count} applications opened in {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    wait("each ticket was read once", PATIENCE, async || {
        let tickets = external.itsm.tickets();
        tickets.len() == count && tickets.iter().all(|one| one["reads"] != 0)
    })
    .await;
    let mut due = 0;
    wait("each read is recorded", PATIENCE, async || {
        let open = desk
            .all("applications?state=open", "applications", count)
            .await;
        due = open.iter().map(due_ms).max().unwrap_or_default();
        let read = open.iter().filter(|one| one["ticket_url"].is_string());
        read.count() == count
    })
    .await;
    desk.served.kill();

    let left = due.max(now_ms() + PAUSE_MS) + 1_000 - now_ms();
    let left = u64::try_from(left.clamp(0, DUE_MAX_MS)).unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(left)).await;
    let mut seen = external.itsm.result_requests().len();
    let desk = Desk::start(&data, port, &arguments);
    let mut measured = Measured {
        rounds: Vec::new(),
        bare: Vec::new(),
        resident_kib: 0,
    };
    for number in 0..rounds {
        measured.rounds.push(round(&external, &mut seen).await);
        if number == 0 {
            measured.resident_kib = resident_kib(desk.served.id());
        }
    }
    desk.served.kill();
    for round in &measured.rounds {
        measured.bare.push(bare(&external, &round.sizes).await);
    }
    measured
}

/// Returns the time of the next request of an application in milliseconds since 1970.
fn due_ms(application: &Value) -> i64 {
    let due = application["next_attempt"].as_str();
    let due = due.and_then(|text| text.parse::<Timestamp>().ok());
    due.map_or(0, Timestamp::as_millisecond)
}

/// Waits for the next round. `seen` is the number of requests before the round, and then the number after it.
async fn round(external: &External, seen: &mut usize) -> Round {
    let mut requests = Vec::new();
    wait("the desk has polled", PATIENCE, async || {
        requests = external.itsm.result_requests().split_off(*seen);
        requests
            .last()
            .is_some_and(|(at, _)| now_ms() - at > QUIET_MS)
    })
    .await;
    *seen += requests.len();
    let first = requests.first().map_or(0, |(at, _)| *at);
    let last = requests.last().map_or(0, |(at, _)| *at);
    Round {
        sizes: requests.iter().map(|(_, size)| *size).collect(),
        took: Duration::from_millis(u64::try_from(last - first).unwrap_or_default()),
    }
}

/// Returns the time that a plain client needs for requests with the given numbers of tickets.
async fn bare(external: &External, sizes: &[usize]) -> Duration {
    let tickets = external.itsm.tickets();
    let mut numbers = tickets.iter().map(|ticket| &ticket["sn"]).cycle();
    let begin = Instant::now();
    for size in sizes {
        let asked: Vec<&Value> = numbers.by_ref().take(*size).collect();
        let body = json!({ "sn": asked });
        external.call("ticket_approval_result/", Some(body)).await;
    }
    begin.elapsed()
}
