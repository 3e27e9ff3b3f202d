//! Finds reached deadlines. For each reached deadline, this module puts a message into a queue.
//! Each aggregate type (kind of object with its own event stream) has one queue for its deadlines.

use events::Moment;
use infra::Error;
use infra::queue::NewMessage;

use crate::App;
use crate::app::itsm::rounds;
use crate::stream::follow::aggregate::{Registry, find};
use crate::stream::follow::due;

/// The number of messages after which one call stops. The call first completes its current page of
/// deadlines. The next call handles the remaining deadlines.
const SWEEP_MAX: usize = 100_000;
/// A time before all deadlines.
const BEFORE_ALL: Moment = Moment(-1);
/// The second part of the name of a stream that does not exist. A message about a whole group of deadlines names it.
const ALL: &str = "all";

/// Puts a message into a queue for every reached deadline. Each aggregate type (kind of object) has
/// a queue for its deadlines. Returns how many messages were put into queues.
///
/// Some deadlines are grouped, see [`crate::stream::follow::aggregate::Row::grouped`]. All grouped
/// deadlines with the same id have one message. If there are new deadlines since the last message, the message names the
/// latest of them. A stream whose message is parked therefore does not prevent the work of the others. If there are none,
/// the handler has set the time of the message, see [`rounds::Round`].
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
            break;
        }
        for (stream, deadline, at) in page {
            if every_ms.is_some_and(|every| !is_repeated(now.0 - at.0, every)) {
                continue;
            }
            let aggregate = find(registry, &stream);
            let Some(deadlines) = aggregate.and_then(|aggregate| aggregate.deadlines()) else {
                tracing::error!(
                    stream,
                    deadline,
                    "deadline of an aggregate without deadlines"
                );
                continue;
            };
            let message = due::message(&stream, &deadline, at, deadlines.queue);
            put(app, &message).await?;
            fired += 1;
        }
    }
    for aggregate in registry {
        let Some(deadlines) = aggregate.deadlines() else {
            continue;
        };
        for deadline in aggregate.grouped() {
            let group = (aggregate.name(), *deadline);
            if let Some(message) = of_group(app, group, deadlines.queue, until).await? {
                put(app, &message).await?;
                fired += 1;
            }
        }
    }
    Ok(fired)
}

/// Returns the message for a group of deadlines, if there is work until the time `until`. The group consists of the
/// aggregate type and the id of the deadlines.
async fn of_group(
    app: &App,
    (aggregate, deadline): (&str, &str),
    queue: &'static str,
    until: Moment,
) -> Result<Option<NewMessage>, Error> {
    let group = due::group(aggregate, deadline);
    let round = rounds::round(&*app.views, &group).await?;
    // The clock can have been set back since the last search.
    let since = round.until.min(until);
    let new = due::of_group(&*app.views, &group, since, until, 1).await?;
    if let Some((stream, at)) = new.first() {
        return Ok(Some(due::message(stream, deadline, *at, queue)));
    }
    if !round.is_due(until) {
        return Ok(None);
    }
    let earlier = due::of_group(&*app.views, &group, BEFORE_ALL, until, 1).await?;
    let is_empty = earlier.is_empty();
    // No stream has this name, so the state of no stream can prevent the work.
    let all = format!("{aggregate}-{ALL}");
    Ok((!is_empty).then(|| due::message(&all, deadline, round.next.min(until), queue)))
}

async fn put(app: &App, message: &NewMessage) -> Result<(), Error> {
    app.queue
        .put(message.queue, &message.id, &message.body, message.due)
        .await
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
