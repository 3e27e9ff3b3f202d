//! One sweep over the due rows: each due deadline becomes a message in the queue of its aggregate.

use infra::Error;

use crate::App;
use crate::stream::follow::aggregate::{Registry, find};
use crate::stream::follow::due;

/// Most deadlines queued per sweep. The other deadlines wait for the next sweep.
const SWEEP_MAX: usize = 100_000;

/// Puts a message for every due deadline into the queue of its aggregate. Returns the number of
/// messages.
///
/// `every_ms` is `None` for a queue that recognizes repeated message ids. The message of a deadline
/// always has the same id, so such a queue stores no second message. For any other queue,
/// `every_ms` is the time between two sweeps. Such a sweep includes the deadlines up to the next
/// sweep. A deadline that stays due is queued again only after 1, 2, 4, 8 sweeps and so on. Work
/// that fails again and again therefore cannot fill its queue.
pub async fn wake(app: &App, registry: Registry, every_ms: Option<i64>) -> Result<usize, Error> {
    let now = app.ledger.clock.now();
    let until = now.plus_ms(every_ms.unwrap_or_default());
    let mut rows = due::Rows::until(&*app.views, until);
    let mut fired = 0;
    // Every page is read, because the deadlines of parked messages stay at the start of the index.
    loop {
        let page = rows.next().await?;
        if page.is_empty() || fired >= SWEEP_MAX {
            return Ok(fired);
        }
        for (stream, deadline, at) in page {
            if every_ms.is_some_and(|every| !is_repeated(now.0 - at.0, every)) {
                continue;
            }
            let Some(deadlines) =
                find(registry, &stream).and_then(|aggregate| aggregate.deadlines())
            else {
                tracing::error!(
                    stream,
                    deadline,
                    "deadline of an aggregate without deadlines"
                );
                continue;
            };
            let message = due::message(&stream, &deadline, at, deadlines.queue, now);
            app.queue
                .put(message.queue, &message.id, &message.body, message.due)
                .await?;
            fired += 1;
        }
    }
}

/// Returns whether a sweep queues a deadline again. The answer is true at the first sweep, and then
/// at doubling intervals.
fn is_repeated(overdue_ms: i64, every_ms: i64) -> bool {
    let sweeps = overdue_ms.div_euclid(every_ms.max(1));
    sweeps < 1 || sweeps.count_ones() == 1
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
