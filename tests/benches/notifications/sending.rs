//! Measures how many messages a desk sends in one second.
//!
//! Mails: a ticket is an event for its approvers, and each approver gets a mail. For comparison, Celery sends mails
//! with the Python module `smtplib`, once with a connection for each mail and once with kept connections, and Apprise
//! sends mails one after another. The desk stores each step of each mail before the next one.
//!
//! Sends: the same tickets cause short messages by HTTP, once with one request for each message, and once with requests
//! that each cause a message to 50 people.

use tokio::time::Instant;

use super::desk::{CLIENTS, Desk, PEOPLE, at_once, gateway, relay};
use super::peers::{self, Celery};
use super::sinks::{Gateway, Mails};
use super::{Rate, Table, counted, now_ms};

/// Number of rounds in which the sides take turns, and number of mails of a side in one round.
const ROUNDS: usize = 2;
const MAILS: usize = 5_000;
/// Number of mails of Apprise in one round. Apprise is too slow for more.
const APPRISE_MAILS: usize = 250;
/// Number of short messages.
const SENDS: usize = 10_000;
/// Number of messages before the measurement, which fill the caches of the desk.
const WARM_UP: usize = 500;
/// The aims: the rate as a multiple of the rates of Celery and of Apprise, the numbers of messages per second with one
/// request for each message and with batches, and the number of accepted requests per second.
const CELERY_TIMES_MIN: f64 = 4.0;
const APPRISE_TIMES_MIN: f64 = 10.0;
const SINGLE_MIN: f64 = 1_900.0;
const BATCHED_MIN: f64 = 5_300.0;
const ACCEPTED_MIN: f64 = 3_700.0;

/// Returns the number of mails or messages of one side. It is a multiple of the number of people.
fn whole(full: usize) -> usize {
    counted(full).next_multiple_of(PEOPLE)
}

/// Opens tickets and waits for one mail to each approver. Returns the time in seconds.
async fn of_desk(desk: &std::sync::Arc<Desk>, sink: &Mails, mails: usize, people: usize) -> f64 {
    let (before, begin) = (sink.count(), Instant::now());
    desk.open(mails / people, people).await;
    sink.wait(before + mails).await;
    begin.elapsed().as_secs_f64()
}

/// Gives tasks to Celery and waits for their mails. Returns the time in seconds, from the first task to the last mail.
async fn of_celery(celery: &Celery, sink: &Mails, task: &str, mails: usize) -> f64 {
    let before = sink.count();
    let count = mails.to_string();
    let arguments = [task, count.as_str()];
    let (shown, end_ms) = tokio::join!(celery.produce(&arguments), async {
        sink.wait(before + mails).await;
        now_ms()
    });
    let begin_ms = shown.first().and_then(|line| line["begin_ms"].as_i64());
    (end_ms - begin_ms.expect("a time")) as f64 / 1_000.0
}

pub(super) async fn mails(table: &mut Table) {
    let folder = tempfile::tempdir().expect("a directory");
    // Each side has a relay of its own, so that a late mail of one side cannot count for another.
    let (of_ours, of_theirs, of_apprise) = (
        Mails::start().await,
        Mails::start().await,
        Mails::start().await,
    );
    let desk = Desk::start(&folder.path().join("desk"), Some(&relay(of_ours.port)));
    desk.prepare(at_once).await;
    let celery = Celery::start(&folder.path().join("celery"), of_theirs.port, 0).await;
    of_desk(&desk, &of_ours, whole(WARM_UP), PEOPLE).await;
    of_celery(&celery, &of_theirs, "mail_kept", whole(WARM_UP)).await;

    let (count, apprise_count) = (whole(MAILS), counted(APPRISE_MAILS));
    let [
        mut batched,
        mut single,
        mut celery_new,
        mut celery_kept,
        mut apprise,
    ] = [Rate::default(); 5];
    for _ in 0..ROUNDS {
        batched.add(count, of_desk(&desk, &of_ours, count, PEOPLE).await);
        celery_kept.add(
            count,
            of_celery(&celery, &of_theirs, "mail_kept", count).await,
        );
        single.add(count, of_desk(&desk, &of_ours, count, 1).await);
        celery_new.add(count, of_celery(&celery, &of_theirs, "mail", count).await);
        apprise.add(
            apprise_count,
            peers::apprise(of_apprise.port, apprise_count).await,
        );
    }
    let total = whole(WARM_UP) + 2 * ROUNDS * count;
    assert_eq!(of_ours.count(), total, "each mail arrives once");
    let shown = |rate: Rate| format!("{:.0} mails/s", rate.per_second());
    table.note(
        "mails of the desk, each event concerns 50 people",
        shown(batched),
    );
    table.note(
        "mails of the desk, each event concerns one person",
        shown(single),
    );
    table.note("mails of Celery, kept connections", shown(celery_kept));
    table.note(
        "mails of Celery, one connection for each mail",
        shown(celery_new),
    );
    table.note("mails of Apprise", shown(apprise));
    let best = celery_kept.per_second().max(celery_new.per_second());
    for (events, rate) in [("50 people", batched), ("one person", single)] {
        let times = rate.per_second() / best;
        table.judge(
            &format!("mails of the desk (events for {events}) beside the faster Celery"),
            format!("{times:.1} times"),
            &format!("at least {CELERY_TIMES_MIN} times"),
            times >= CELERY_TIMES_MIN,
        );
        let times = rate.per_second() / apprise.per_second();
        table.judge(
            &format!("mails of the desk (events for {events}) beside Apprise"),
            format!("{times:.1} times"),
            &format!("at least {APPRISE_TIMES_MIN} times"),
            times >= APPRISE_TIMES_MIN,
        );
    }
}

pub(super) async fn sends(table: &mut Table) {
    let folder = tempfile::tempdir().expect("a directory");
    let sink = Gateway::start().await;
    let desk = Desk::start(&folder.path().join("desk"), Some(&gateway(sink.port)));
    desk.prepare(at_once).await;
    desk.open(whole(WARM_UP) / PEOPLE, PEOPLE).await;
    sink.wait(whole(WARM_UP)).await;
    let count = whole(SENDS);
    let (mut single, mut accepted, mut batched) =
        (Rate::default(), Rate::default(), Rate::default());

    let (before, begin) = (sink.count(), Instant::now());
    desk.open(count, 1).await;
    accepted.add(count, begin.elapsed().as_secs_f64());
    sink.wait(before + count).await;
    single.add(count, begin.elapsed().as_secs_f64());

    let (before, begin) = (sink.count(), Instant::now());
    desk.open(count / PEOPLE, PEOPLE).await;
    sink.wait(before + count).await;
    batched.add(count, begin.elapsed().as_secs_f64());

    for (what, unit, rate, least) in [
        ("one request for each message", "sends", single, SINGLE_MIN),
        (
            "each request concerns 50 people",
            "sends",
            batched,
            BATCHED_MIN,
        ),
        (
            "accepted requests, while the desk sends",
            "requests",
            accepted,
            ACCEPTED_MIN,
        ),
    ] {
        table.judge(
            &format!("{count} sends by HTTP, {CLIENTS} clients, {what}"),
            format!("{:.0} {unit}/s", rate.per_second()),
            &format!("at least {least:.0}/s"),
            rate.per_second() >= least,
        );
    }
    table.note(
        "quoted, not run: notifyd, a Rust server on PostgreSQL, 8 processors, its own figures",
        "640 sends/s, 3,537 sends/s in batches, 1,867 accepted requests/s".to_owned(),
    );
}
