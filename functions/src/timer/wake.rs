//! One sweep over the deadlines that are due: each becomes a message whose id is made from stream and deadline.

use events::Moment;
use infra::Error;
use infra::queue::Queue;
use infra::views::Range;

use crate::App;
use crate::stream::follow::DUE;

/// Deadlines read at once.
const PAGE: usize = 1000;
/// Deadlines fired per sweep; the rest waits for the next one.
const SWEEP_MAX: usize = 100_000;

/// Fires what is due; says how many there were. A deadline that stays due is the same message under the same id, so that sweeping twice does no harm
/// where a queue knows its messages.
///
/// Where it does not, sweeps are so many milliseconds apart: they look ahead to the next one, and tell of a deadline that stays due after 1, 2, 4, 8
/// sweeps and so on, so that what cannot be worked on does not fill its queue.
pub async fn wake(app: &App, every_ms: Option<i64>) -> Result<usize, Error> {
    let now = app.ledger.clock.now();
    let to = format!("{:016}", now.0 + every_ms.unwrap_or_default() + 1);
    let (mut fired, mut from, mut skip) = (0, String::new(), 0);
    // Page by page, so that deadlines whose messages are parked do not stand in the way of the rest.
    loop {
        let due = app.views.range(Range { view: DUE, index: "due", from: &from, to: &to, descending: false, skip, limit: PAGE }).await?;
        for entry in &due {
            let at = entry.value.parse().map_or(now, Moment);
            if every_ms.is_none_or(|every| is_told_again(now.0 - at.0, every)) {
                fire(&*app.queue, &entry.key, at, now).await?;
                fired += 1;
            }
        }
        let Some(last) = due.last().filter(|_| due.len() == PAGE && fired < SWEEP_MAX) else { return Ok(fired) };
        // The next page begins with the same instant, after those of it that were seen.
        let seen = due.iter().rev().take_while(|entry| entry.value == last.value).count();
        skip = if last.value == from { skip + seen } else { seen };
        from.clone_from(&last.value);
    }
}

/// Says whether a sweep tells of a deadline that passed so long ago: the first time, then at doubling distances.
fn is_told_again(overdue_ms: i64, every_ms: i64) -> bool {
    let sweeps = overdue_ms.div_euclid(every_ms.max(1));
    sweeps < 1 || sweeps.count_ones() == 1
}

/// Puts the message of a deadline, to come when it is due: its id is made from stream and deadline.
pub async fn fire(queue: &dyn Queue, stream: &str, due: Moment, now: Moment) -> Result<(), Error> {
    queue.put("attempt", &format!("{stream}|{:016}", due.0), stream.as_bytes(), due.max(now)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_due_is_told_at_doubling_distances() {
        let told: Vec<i64> = (-1..=40).filter(|minutes| is_told_again(minutes * 60_000 + 5_000, 60_000)).collect();
        assert_eq!(told, [-1, 0, 1, 2, 4, 8, 16, 32]);
    }
}
