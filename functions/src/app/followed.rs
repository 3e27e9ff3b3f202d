//! Lets requests wait until the follower (the task that processes new commits) has processed their commits.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::{oneshot, watch};

/// Number of positions with waiting requests above which requests that have ended are removed.
const POSITIONS_MAX: usize = 1000;

/// The position in the feed (the sequence of all commits) up to which all cards (stored summaries) are up to date, and the
/// requests that wait for a later position. A new position wakes only the requests that waited for it.
#[derive(Debug)]
pub struct Followed {
    position: watch::Sender<i64>,
    waiting: Mutex<Waiting>,
}

/// The waiting requests by the position for which they wait.
type Waiting = BTreeMap<i64, Vec<oneshot::Sender<()>>>;

impl Default for Followed {
    fn default() -> Self {
        Self {
            position: watch::channel(0).0,
            waiting: Mutex::default(),
        }
    }
}

impl Followed {
    /// Stores a new position and wakes the requests that wait for this position or an earlier one.
    pub fn reached(&self, position: i64) {
        let awake = {
            let mut waiting = self.waiting.lock().expect("no holder panics");
            self.position.send_replace(position);
            let later = waiting.split_off(&(position + 1));
            std::mem::replace(&mut *waiting, later)
        };
        for request in awake.into_values().flatten() {
            // The request can have ended, for example because it waited too long.
            let _ = request.send(());
        }
    }

    /// Returns the position that was reached last.
    pub fn position(&self) -> i64 {
        *self.position.borrow()
    }

    /// Returns a receiver of all new positions. A task that waits for one position calls [`Followed::wait`] instead.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.position.subscribe()
    }

    /// Waits until the position is reached.
    pub async fn wait(&self, position: i64) {
        let woken = {
            let mut waiting = self.waiting.lock().expect("no holder panics");
            if self.position() >= position {
                return;
            }
            // If the follower cannot continue, requests end without being woken. They must not stay in memory.
            if waiting.len() >= POSITIONS_MAX {
                waiting.retain(|_, requests| {
                    requests.retain(|request| !request.is_closed());
                    !requests.is_empty()
                });
            }
            let (wake, woken) = oneshot::channel();
            waiting.entry(position).or_default().push(wake);
            woken
        };
        let _ = woken.await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_position_wakes_its_own_and_earlier_requests() {
        let followed = Followed::default();
        followed.reached(3);
        followed.wait(3).await;
        let mut waits: Vec<_> = [4, 5, 5, 7].map(|at| Box::pin(followed.wait(at))).into();
        assert!(waits.iter_mut().all(|wait| wait.now_or_never().is_none()));
        followed.reached(5);
        let is_woken: Vec<bool> = waits
            .iter_mut()
            .map(|wait| wait.now_or_never().is_some())
            .collect();
        assert_eq!(is_woken, [true, true, true, false]);
    }

    #[tokio::test]
    async fn requests_that_ended_do_not_stay_in_memory() {
        let followed = Followed::default();
        for position in 1..=2 * i64::try_from(POSITIONS_MAX).unwrap() {
            let waited = tokio::time::timeout(Duration::ZERO, followed.wait(position)).await;
            assert!(waited.is_err());
        }
        let left = followed.waiting.lock().unwrap().len();
        assert!(left <= POSITIONS_MAX, "{left}");
    }
}
