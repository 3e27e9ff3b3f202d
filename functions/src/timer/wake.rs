//! One sweep over the due rows: each deadline becomes a message whose id contains the stream and
//! the deadline.

use events::Moment;
use infra::Error;
use infra::queue::Queue;
use infra::views::Range;

use crate::App;
use crate::stream::follow::DUE;

/// Due rows per read.
const PAGE: usize = 1000;
/// Deadlines queued per sweep; the others wait for the next sweep.
const SWEEP_MAX: usize = 100_000;

/// Queues a message for every deadline that is due; returns their number.
///
/// `every_ms` is `None` for a queue that recognizes its message ids. A deadline that stays due has
/// the same id, so no second message is added. For any other queue, `every_ms` is the time between
/// two sweeps. Such a sweep includes the deadlines up to the next sweep. It repeats a deadline that
/// stays due after 1, 2, 4, 8 sweeps and so on, so that failing work does not fill its queue.
pub async fn wake(app: &App, every_ms: Option<i64>) -> Result<usize, Error> {
    let now = app.ledger.clock.now();
    let to = format!("{:016}", now.0 + every_ms.unwrap_or_default() + 1);
    let (mut fired, mut from, mut skip) = (0, String::new(), 0);
    // All pages are read, because deadlines of parked messages stay at the start of the index.
    loop {
        let due = app
            .views
            .range(Range {
                view: DUE,
                index: "due",
                from: &from,
                to: &to,
                descending: false,
                skip,
                limit: PAGE,
            })
            .await?;
        for entry in &due {
            let at = entry.value.parse().map_or(now, Moment);
            if every_ms.is_none_or(|every| is_repeated(now.0 - at.0, every)) {
                schedule(&*app.queue, &entry.key, at, now).await?;
                fired += 1;
            }
        }
        let Some(last) = due
            .last()
            .filter(|_| due.len() == PAGE && fired < SWEEP_MAX)
        else {
            return Ok(fired);
        };
        // The next page starts at the same instant and skips its entries that were read.
        let seen = due
            .iter()
            .rev()
            .take_while(|entry| entry.value == last.value)
            .count();
        skip = if last.value == from {
            skip + seen
        } else {
            seen
        };
        from.clone_from(&last.value);
    }
}

/// Returns whether a sweep queues a deadline again: at the first sweep, then at doubling intervals.
fn is_repeated(overdue_ms: i64, every_ms: i64) -> bool {
    let sweeps = overdue_ms.div_euclid(every_ms.max(1));
    sweeps < 1 || sweeps.count_ones() == 1
}

/// Queues the message of a deadline for its due time; its id contains the stream and the deadline.
pub async fn schedule(
    queue: &dyn Queue,
    stream: &str,
    due: Moment,
    now: Moment,
) -> Result<(), Error> {
    queue
        .put(
            "attempt",
            &format!("{stream}|{:016}", due.0),
            stream.as_bytes(),
            due.max(now),
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overdue_deadlines_are_queued_at_doubling_intervals() {
        let repeated: Vec<i64> = (-1..=40)
            .filter(|minutes| is_repeated(minutes * 60_000 + 5_000, 60_000))
            .collect();
        assert_eq!(repeated, [-1, 0, 1, 2, 4, 8, 16, 32]);
    }
}
