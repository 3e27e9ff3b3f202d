//! Measures the entries of inboxes, the memory of held notifications, and the trial of a changed policy.

use std::process::Output;
use tokio::time::Instant;

use serde_json::{Value, json};
use tests::process::{printed, run};

use super::desk::{CLIENTS, Desk, INBOX_ONLY, PEOPLE, at_once, relay};
use super::peers::{Celery, Memory};
use super::sinks::Mails;
use super::{Rate, Table, counted, now_ms, write};

/// Number of entries of inboxes, and number of entries before the measurement.
const ENTRIES: usize = 10_000;
const WARM_UP: usize = 500;
/// Number of notifications, and of tasks of Celery, that wait until the next day.
const HELD: usize = 100_000;
/// The time until the held tasks of Celery are due, in hours. The quiet hours of the people are as long.
const HELD_HOURS: i64 = 11;
/// Number of events over which a policy is tried, and the number of tickets with which the test counts the events of
/// one ticket.
const EVENTS: usize = 100_000;
const SAMPLE: usize = 200;
const HOUR_MS: i64 = 3_600_000;
/// The aims: the number of entries per second; the growth of the process in bytes, also as a share of the growth of
/// Celery; and the time for the trial of a policy.
const ENTRIES_MIN: f64 = 2_000.0;
const GROWTH_MAX: i64 = 32_000_000;
const GROWTH_SHARE_MAX: f64 = 0.25;
const TRIAL_S_MAX: f64 = 5.0;

/// Measures how fast events become entries of inboxes. No message is sent.
pub(super) async fn inbox(table: &mut Table) {
    let folder = tempfile::tempdir().expect("a directory");
    let desk = Desk::start(folder.path(), Some(INBOX_ONLY));
    desk.prepare(at_once).await;
    let mut total = counted(WARM_UP).next_multiple_of(PEOPLE);
    desk.open(total / PEOPLE, PEOPLE).await;
    desk.wait("inbox_only", total).await;
    let entries = counted(ENTRIES).next_multiple_of(PEOPLE);
    for (what, people) in [("50 people", PEOPLE), ("one person", 1)] {
        let begin = Instant::now();
        desk.open(entries / people, people).await;
        total += entries;
        desk.wait("inbox_only", total).await;
        let mut rate = Rate::default();
        rate.add(entries, begin.elapsed().as_secs_f64());
        table.judge(
            &format!("{entries} entries of inboxes, {CLIENTS} clients, each event concerns {what}"),
            format!("{:.0}/s", rate.per_second()),
            &format!("at least {ENTRIES_MIN:.0}/s"),
            rate.per_second() >= ENTRIES_MIN,
        );
    }
}

/// Returns the preferences of a person whose quiet hours began one hour ago.
fn quiet(number: usize) -> Value {
    let mut preferences = at_once(number);
    let time = |ms: i64| {
        let minutes = ms.div_euclid(60_000).rem_euclid(24 * 60);
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let now = now_ms();
    preferences["zone"] = "UTC".into();
    preferences["quiet"] =
        json!({ "from": time(now - HOUR_MS), "to": time(now + HELD_HOURS * HOUR_MS) });
    preferences
}

/// Measures the growth of the process while notifications wait until the next day.
pub(super) async fn held(table: &mut Table) {
    let folder = tempfile::tempdir().expect("a directory");
    let sink = Mails::start().await;
    let desk = Desk::start(&folder.path().join("desk"), Some(&relay(sink.port)));
    desk.prepare(quiet).await;
    // The first notifications fill the caches, which have a maximum size.
    let mut total = counted(WARM_UP).next_multiple_of(PEOPLE);
    desk.open(total / PEOPLE, PEOPLE).await;
    desk.wait("open", total).await;
    let before = Memory::of(desk.served.id());
    let held = counted(HELD).next_multiple_of(PEOPLE);
    let begin = Instant::now();
    desk.open(held / PEOPLE, PEOPLE).await;
    total += held;
    desk.wait("open", total).await;
    let seconds = begin.elapsed().as_secs_f64();
    let growth = Memory::of(desk.served.id()).since(before);
    assert_eq!(sink.count(), 0, "all mails are held");
    drop(desk);

    let celery = Celery::start(&folder.path().join("celery"), 0, 0).await;
    let (before, broker_before) = (celery.memory(), celery.broker_memory());
    let count = held.to_string();
    let hours = HELD_HOURS.to_string();
    celery.produce(&["later", &count, &hours]).await;
    let (of_celery, of_broker) = (
        celery.memory().since(before),
        celery.broker_memory().since(broker_before),
    );
    table.judge(
        &format!("{held} notifications held until the next day: growth of the desk"),
        growth.shown(),
        &format!("at most {} MB", GROWTH_MAX / 1_000_000),
        growth.proportional <= GROWTH_MAX,
    );
    table.note("time to hold them", format!("{seconds:.1} s"));
    table.note(
        &format!("{held} `eta` tasks of Celery: growth of the worker"),
        of_celery.shown(),
    );
    table.note("the same: growth of Redis", of_broker.shown());
    let share = growth.proportional as f64 / of_celery.proportional as f64;
    table.judge(
        "growth of the desk beside the worker of Celery alone, proportional",
        format!("{share:.2} times"),
        &format!("at most {GROWTH_SHARE_MAX} times"),
        share <= GROWTH_SHARE_MAX,
    );
}

/// Returns the number of events in the ledger of a data directory.
fn events(data: &str) -> usize {
    let shown = printed(&["audit", "verify", "--data", data]);
    let mut words = shown.split_whitespace();
    // The output contains, for example, `42 commits, 99 events, 7 streams`.
    let mut last = "";
    let count = words.find_map(|word| {
        let found = (word == "events,").then_some(last);
        last = word;
        found
    });
    let count = count.and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("a number of events: {shown}"))
}

/// Measures how long the program needs to try a policy on the events of the last 30 days.
pub(super) async fn policy_try(table: &mut Table) {
    let help: Output = run(&["policy", "try", "--help"]);
    if !help.status.success() {
        println!("policy_try: skipped: no such command");
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    let desk = Desk::start(folder.path(), None);
    let data = folder.path().join("data");
    let data = data.to_str().expect("a path");
    let none = events(data);
    desk.open(SAMPLE, 2).await;
    let of_each = (events(data) - none) / SAMPLE;
    let wanted = counted(EVENTS);
    desk.open(wanted.div_ceil(of_each.max(1)), 2).await;
    drop(desk);
    let count = events(data);
    let policy = write(folder.path(), "policy.toml", INBOX_ONLY);
    let begin = Instant::now();
    let output = run(&["policy", "try", &policy, "--days", "30", "--data", data]);
    let seconds = begin.elapsed().as_secs_f64();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "policy try: {errors}");
    table.judge(
        &format!("`policy try` over {count} events"),
        format!("{seconds:.1} s"),
        &format!("at most {TRIAL_S_MAX} s"),
        seconds <= TRIAL_S_MAX,
    );
}
