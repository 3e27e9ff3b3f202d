//! Reads the events of one stream, and decrypts the personal values in these events.

use domain::Envelope;
use events::Event;
use infra::{Error, Ledger};

/// Maximum number of commits that one read of a stream returns.
const PAGE: usize = 100;
/// Number of commits that a task decodes before the task lets other tasks run.
const COMMITS_AT_ONCE: usize = 16;

/// Returns the events of a stream, from the oldest to the newest. The parameter `from` is the sequence number of the
/// first commit that is read.
pub async fn history_from<E: Event>(
    ledger: &Ledger,
    stream: &str,
    mut from: i64,
) -> Result<Vec<Envelope<E>>, Error> {
    let mut history = Vec::new();
    loop {
        let page = ledger.store.forward(stream, from, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(history);
        };
        from = last.next();
        for (at, commit) in page.iter().enumerate() {
            // A read of the key store may complete without waiting. A long history would then block other tasks, so
            // this task yields from time to time.
            if at % COMMITS_AT_ONCE == COMMITS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            history.extend(ledger.envelopes(commit).await?);
        }
    }
}
