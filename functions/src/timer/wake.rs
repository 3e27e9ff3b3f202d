//! Checks the stored deadlines. Each due deadline becomes a message in the queue of its aggregate.

use infra::Error;

use crate::App;
use crate::stream::follow::aggregate::{Registry, find};
use crate::stream::follow::due;

/// Maximum number of deadlines that one check puts into the queues. The next check processes the
/// remaining deadlines.
const SWEEP_MAX: usize = 100_000;

/// Puts a message for every due deadline into the queue of its aggregate. Returns the number of
/// messages.
///
/// The message for a deadline always has the same id. Some queues detect repeated message ids and
/// store no second message. For such a queue, `every_ms` is `None`.
///
/// For other queues, `every_ms` is the time between two calls of this function. A call then
/// includes all deadlines until the next call. If a deadline remains due, it is queued again only
/// after 1, 2, 4, 8 calls and so on. Work that always fails therefore cannot fill its queue.
pub async fn wake(app: &App, registry: Registry, every_ms: Option<i64>) -> Result<usize, Error> {
    let now = app.ledger.clock.now();
    let until = now.plus_ms(every_ms.unwrap_or_default());
    let mut rows = due::Rows::until(&*app.views, until);
    let mut fired = 0;
    // Deadlines of parked messages (messages set aside after an error) remain at the start of the
    // index. The loop reads all pages, because later pages contain other deadlines.
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

/// Returns true if an overdue deadline must be queued in this call. The interval between two such
/// calls doubles each time.
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
