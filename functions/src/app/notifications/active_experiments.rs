//! Remembers the streams of the active experiments, so that a desk on one machine does not search them for each
//! notification. The states of the experiments are not remembered here.

use std::sync::{Arc, Mutex, MutexGuard};

use events::experiment::ExperimentEvent;
use events::{Event as _, Moment};

/// Time in milliseconds for which the list is used. Another process can build the view with the list again while the desk
/// runs (`ledgerdesk audit rebuild`).
const KNOWN_MS: i64 = 10_000;

/// The remembered list. The desk uses it only if no other process writes events, see [`infra::Ledger::is_only_writer`].
#[derive(Debug, Default)]
pub struct ActiveExperiments(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The time of the read, and the streams. `None` if the list must be read.
    list: Option<(Moment, Arc<Vec<String>>)>,
    /// The number of changes of the list. A task that read the list before a change must not add it after.
    changes: u64,
}

/// Returns true if a commit of the stream can change which experiments are active.
pub fn concerns(stream: &str) -> bool {
    events::aggregate_of(stream) == ExperimentEvent::AGGREGATE
}

impl ActiveExperiments {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("no holder panics")
    }

    /// Returns the list. Returns `None` if the list must be read.
    pub(super) fn list(&self, now: Moment) -> Option<Arc<Vec<String>>> {
        let known = self.known();
        let (read_at, list) = known.list.as_ref()?;
        let is_new = *read_at <= now && now < read_at.plus_ms(KNOWN_MS);
        is_new.then(|| list.clone())
    }

    /// Returns the number of changes until now. A task needs it before it reads the list.
    pub(super) fn changes(&self) -> u64 {
        self.known().changes
    }

    /// Adds a list that was read at the time `read_at`. `changes` is the number of changes before the read.
    pub(super) fn add(&self, list: Arc<Vec<String>>, read_at: Moment, changes: u64) {
        let mut known = self.known();
        if known.changes == changes {
            known.list = Some((read_at, list));
        }
    }

    /// Removes the list from memory. The follower calls this function after it has stored the results of commits of
    /// experiments. The list is one of these results.
    pub fn forget(&self) {
        let mut known = self.known();
        known.list = None;
        known.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(streams: &[&str]) -> Arc<Vec<String>> {
        Arc::new(streams.iter().map(|one| (*one).to_owned()).collect())
    }

    #[test]
    fn the_list_is_used_until_a_change_and_for_a_limited_time() {
        let active = ActiveExperiments::default();
        assert_eq!(active.list(Moment(0)), None);
        active.add(list(&["experiment-1"]), Moment(5), active.changes());
        assert_eq!(active.list(Moment(5)), Some(list(&["experiment-1"])));
        assert_eq!(active.list(Moment(5 + KNOWN_MS)), None, "too old");
        assert_eq!(active.list(Moment(4)), None, "the clock was set back");
        active.forget();
        assert_eq!(active.list(Moment(5)), None);
    }

    #[test]
    fn a_list_that_was_read_before_a_change_is_not_added_after_it() {
        let active = ActiveExperiments::default();
        let changes = active.changes();
        active.forget();
        active.add(list(&[]), Moment(5), changes);
        assert_eq!(active.list(Moment(5)), None);
        active.add(list(&["experiment-2"]), Moment(5), active.changes());
        assert_eq!(active.list(Moment(5)), Some(list(&["experiment-2"])));
    }

    #[test]
    fn only_commits_of_experiments_change_the_list() {
        assert!(concerns("experiment-1"));
        assert!(!concerns("notification-1"));
    }
}
