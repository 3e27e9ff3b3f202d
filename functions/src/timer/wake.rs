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

/// Fires what is due within `ahead_ms`; says how many there were. A deadline that stays due is the same message under the same id, so sweeping
/// twice does no harm.
pub async fn wake(app: &App, ahead_ms: i64) -> Result<usize, Error> {
    let now = app.ledger.clock.now();
    let to = format!("{:016}", now.0 + ahead_ms + 1);
    let (mut fired, mut skip) = (0, 0);
    // Page by page, so that deadlines whose messages are parked do not stand in the way of the rest.
    loop {
        let due = app.views.range(Range { view: DUE, index: "due", from: "", to: &to, descending: false, skip, limit: PAGE }).await?;
        for entry in &due {
            let due = entry.value.parse().map_or(now, Moment);
            fire(&*app.queue, &entry.key, due.max(now)).await?;
        }
        fired += due.len();
        skip += due.len();
        if due.len() < PAGE || fired >= SWEEP_MAX {
            return Ok(fired);
        }
    }
}

/// Puts the message of a deadline: its id is made from stream and deadline.
pub async fn fire(queue: &dyn Queue, stream: &str, due: Moment) -> Result<(), Error> {
    queue.put("attempt", &format!("{stream}|{:016}", due.0), stream.as_bytes(), due).await
}
