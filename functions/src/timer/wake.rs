//! Finds reached deadlines. For each reached deadline, this module puts a message into a queue.
//! Each aggregate type (kind of object with its own event stream) has one queue for its deadlines.

use std::collections::BTreeMap;

use events::Moment;
use infra::Error;
use infra::queue::NewMessage;

use crate::App;
use crate::stream::follow::aggregate::{Registry, find};
use crate::stream::follow::due;

/// The number of messages after which one call stops. The call first completes its current page of
/// deadlines. The next call handles the remaining deadlines.
const SWEEP_MAX: usize = 100_000;
/// Grouped deadlines that are reached within this time of each other have one message, in milliseconds.
const GROUP_MS: i64 = 30_000;

/// Puts a message into a queue for every reached deadline. Each aggregate type (kind of object) has
/// a queue for its deadlines. Returns how many messages were put into queues.
///
/// Some deadlines are grouped, see [`crate::stream::follow::aggregate::Row::grouped`]. All grouped
/// deadlines with the same id have one message, which names the latest of them. A stream whose
/// message is parked therefore does not prevent the work of the others.
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
    let mut groups = Groups::default();
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
            let Some((aggregate, deadlines)) =
                aggregate.and_then(|aggregate| Some((aggregate, aggregate.deadlines()?)))
            else {
                tracing::error!(
                    stream,
                    deadline,
                    "deadline of an aggregate without deadlines"
                );
                continue;
            };
            let message = due::message(&stream, &deadline, at, deadlines.queue);
            let message = if aggregate.grouped().contains(&deadline.as_str()) {
                groups.replace(aggregate.name(), &deadline, at.max(now), message)
            } else {
                Some(message)
            };
            if let Some(message) = message {
                put(app, &message).await?;
                fired += 1;
            }
        }
    }
    for (_, message) in groups.0.into_values() {
        put(app, &message).await?;
        fired += 1;
    }
    Ok(fired)
}

async fn put(app: &App, message: &NewMessage) -> Result<(), Error> {
    app.queue
        .put(message.queue, &message.id, &message.body, message.due)
        .await
}

/// The last message for each group of deadlines, by the aggregate type and the id of the deadline, with the time at which
/// the group began.
#[derive(Default)]
struct Groups(BTreeMap<(&'static str, String), (Moment, NewMessage)>);

impl Groups {
    /// Replaces the message of the group of a deadline with a message about a later deadline. `at` is the time of the
    /// deadline, or the current time for a reached deadline. If the group began more than [`GROUP_MS`] earlier, the
    /// deadline begins a new group, and the message of the earlier group is returned.
    fn replace(
        &mut self,
        aggregate: &'static str,
        deadline: &str,
        at: Moment,
        message: NewMessage,
    ) -> Option<NewMessage> {
        let key = (aggregate, deadline.to_owned());
        let Some((began, last)) = self.0.get_mut(&key) else {
            self.0.insert(key, (at, message));
            return None;
        };
        let last = std::mem::replace(last, message);
        if at <= began.plus_ms(GROUP_MS) {
            return None;
        }
        *began = at;
        Some(last)
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
    fn grouped_deadlines_have_one_message_which_names_the_latest() {
        let mut groups = Groups::default();
        let mut returned = Vec::new();
        for (stream, deadline, at) in [
            ("application-1", "poll", 0),
            ("application-2", "poll", 20_000),
            ("application-3", "other", 20_000),
            ("application-4", "poll", GROUP_MS),
            ("application-5", "poll", GROUP_MS + 1),
            ("application-6", "poll", GROUP_MS + 2),
        ] {
            let message = due::message(stream, deadline, Moment(at), "sync");
            let before = groups.replace("application", deadline, Moment(at), message);
            returned.extend(before.map(|message| message.id));
        }
        returned.extend(groups.0.into_values().map(|(_, message)| message.id));
        assert_eq!(
            returned,
            [
                "application-4|poll|0000000000030000",
                "application-3|other|0000000000020000",
                "application-6|poll|0000000000030002",
            ]
        );
    }

    #[test]
    fn overdue_deadlines_are_queued_at_doubling_intervals() {
        let repeated: Vec<i64> = (-1..=40)
            .filter(|minutes| is_repeated(minutes * 60_000 + 5_000, 60_000))
            .collect();
        assert_eq!(repeated, [-1, 0, 1, 2, 4, 8, 16, 32]);
    }
}
