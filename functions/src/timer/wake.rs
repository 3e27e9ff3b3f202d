//! Finds reached deadlines. For each reached deadline, this module puts a message into a queue.
//! Each aggregate type (kind of object with its own event stream) has one queue for its deadlines.

use infra::Error;

use crate::App;
use crate::stream::follow::aggregate::{Registry, find};
use crate::stream::follow::due;

/// The number of messages after which one call stops. The call first completes its current page of
/// deadlines. The next call handles the remaining deadlines.
const SWEEP_MAX: usize = 100_000;

/// Puts a message into a queue for every reached deadline. Each aggregate type (kind of object) has
/// a queue for its deadlines. Returns how many messages were put into queues.
///
/// The message for a deadline always has the same id. Some queues ignore a message if they already
/// received a message with the same id. For such queues, `every_ms` is `None`.
///
/// For other queues, `every_ms` is the time between two calls of this function, in milliseconds.
/// Each call then also handles the deadlines that are reached before the next call. If the work for
/// a deadline is not done, the function puts the message into the queue again. The repetitions
/// follow after 1, 2, 4, 8 calls and so on. Because of the growing pauses, failing work does not
/// fill the queue.
pub async fn wake(app: &App, registry: Registry, every_ms: Option<i64>) -> Result<usize, Error> {
    let now = app.ledger.clock.now();
    let until = now.plus_ms(every_ms.unwrap_or_default());
    let mut rows = due::Rows::until(&*app.views, until);
    let mut fired = 0;
    // The work for the oldest deadlines may always fail. The loop therefore also reads newer
    // deadlines, until this call has put `SWEEP_MAX` messages into queues.
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
            let message = due::message(&stream, &deadline, at, deadlines.queue);
            app.queue
                .put(message.queue, &message.id, &message.body, message.due)
                .await?;
            fired += 1;
        }
    }
}

/// Returns true if this call of [`wake`] must put a message for a deadline into the queue, for the
/// first time or again. `overdue_ms` is the time since the deadline, and `every_ms` is the time
/// between two calls of [`wake`], both in milliseconds. The interval between two repetitions
/// doubles each time.
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
