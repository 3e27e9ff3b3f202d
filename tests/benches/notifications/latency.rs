//! Measures the time from an event to the request at the receiver of its message, at 50 events per second. The time of
//! the desk begins before the request with the ticket, so it includes the commit of the ticket. For comparison, Celery
//! gets tasks at the same rate; their time begins before the task is given to the broker.

use super::desk::{Desk, at_once, gateway};
use super::peers::Celery;
use super::sinks::Gateway;
use super::{Table, counted, percentile};

/// Number of rounds in which the sides take turns, and number of events of a side in one round.
const ROUNDS: usize = 2;
const EVENTS: usize = 750;
const PER_SECOND: u32 = 50;
/// Number of events before the measurement, which fill the caches of the desk.
const WARM_UP: usize = 50;
/// The aims for the median and the 99th percentile, in milliseconds.
const P50_MAX: i64 = 60;
const P99_MAX: i64 = 300;

pub(super) async fn measure(table: &mut Table) {
    let folder = tempfile::tempdir().expect("a directory");
    let (of_ours, of_theirs) = (Gateway::start().await, Gateway::start().await);
    let desk = Desk::start(&folder.path().join("desk"), Some(&gateway(of_ours.port)));
    desk.prepare(at_once).await;
    let celery = Celery::start(&folder.path().join("celery"), 0, of_theirs.port).await;
    desk.paced(WARM_UP, PER_SECOND).await;
    of_ours.wait(WARM_UP).await;

    let events = counted(EVENTS);
    let (mut from_request, mut from_response, mut from_task) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = of_ours.count();
        let opened = desk.paced(events, PER_SECOND).await;
        of_ours.wait(before + events).await;
        for ticket in opened {
            let arrived = of_ours.time(&ticket.number).expect("a message");
            from_request.push(arrived - ticket.begin_ms);
            from_response.push(arrived - ticket.answered_ms);
        }
        let (count, rate) = (events.to_string(), PER_SECOND.to_string());
        let before = of_theirs.count();
        let tasks = celery.produce(&["post", &count, &rate]).await;
        // The producer also gives one task that is not measured.
        of_theirs.wait(before + events + 1).await;
        for task in tasks {
            let (key, begin) = (task["key"].as_str(), task["begin_ms"].as_i64());
            let arrived = of_theirs.time(key.expect("a key")).expect("a message");
            from_task.push(arrived - begin.expect("a time"));
        }
    }
    let shown = |times: &[i64]| {
        format!(
            "median {} ms, 99 % {} ms, longest {} ms",
            percentile(times, 50),
            percentile(times, 99),
            percentile(times, 100)
        )
    };
    let is_reached =
        percentile(&from_request, 50) <= P50_MAX && percentile(&from_request, 99) <= P99_MAX;
    table.judge(
        "50 events per second, from the request with the ticket to the message at its receiver",
        shown(&from_request),
        &format!("median {P50_MAX} ms, 99 % {P99_MAX} ms"),
        is_reached,
    );
    table.note(
        "the same from the response to this request (negative: the message arrived earlier)",
        shown(&from_response),
    );
    table.note("the same with Celery, from the task", shown(&from_task));
}
