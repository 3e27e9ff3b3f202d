//! Decides whether most of the messages of a channel account fail. Two different limits prevent frequent changes
//! of the state.

use events::Moment;
use serde::{Deserialize, Serialize};

/// Time in milliseconds for which a result counts: one hour. While the account is degraded, results count without a limit.
pub const WINDOW_MS: i64 = 3_600_000;
/// Maximum number of results in the window. Newer results replace older ones.
pub const RESULTS_MAX: usize = 20;
/// Minimum number of results with which an account can become degraded.
pub const DEGRADED_MIN: usize = 10;
/// Number of successful results in succession after which a degraded account has recovered.
pub const RECOVERED_MIN: usize = 5;

/// The result of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    delivery: String,
    at: Moment,
    is_accepted: bool,
}

/// The newest results of one channel account, from the oldest to the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    results: Vec<Ended>,
    /// True if the account was degraded when the newest result was added. Results before a change of the state do not
    /// count after it, so that the state does not change back at once.
    #[serde(default)]
    is_degraded: bool,
    /// A random id of the write that stored this window, so that two writers never write equal windows.
    #[serde(default)]
    pub writer: String,
}

/// A change of the state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Fewer than half of the results are successful.
    Degraded {
        accepted: u32,
        failed: u32,
    },
    Recovered,
}

impl Window {
    /// Adds the result of a delivery. Returns false if nothing changes: the delivery is known, or a healthy account without
    /// failures has one more success. A window therefore begins with a failure, and successes need no writes.
    pub fn add(
        &mut self,
        delivery: &str,
        is_accepted: bool,
        is_degraded: bool,
        at: Moment,
    ) -> bool {
        if self.results.iter().any(|one| one.delivery == delivery) {
            return false;
        }
        if self.is_degraded != is_degraded {
            self.results.clear();
            self.is_degraded = is_degraded;
        }
        if !is_degraded {
            self.results.retain(|one| one.at.plus_ms(WINDOW_MS) > at);
            if is_accepted && self.results.iter().all(|one| one.is_accepted) {
                return false;
            }
        }
        self.results.push(Ended {
            delivery: delivery.to_owned(),
            at,
            is_accepted,
        });
        let surplus = self.results.len().saturating_sub(RESULTS_MAX);
        self.results.drain(..surplus);
        true
    }

    /// Returns the change of the state of the account that follows from the results.
    pub fn change(&self, is_degraded: bool) -> Option<Change> {
        let all = self.results.len();
        if is_degraded {
            let mut newest = self.results.iter().rev().take(RECOVERED_MIN);
            let is_recovered = all >= RECOVERED_MIN && newest.all(|one| one.is_accepted);
            return is_recovered.then_some(Change::Recovered);
        }
        let is_degraded = all >= DEGRADED_MIN && self.accepted() * 2 < all;
        is_degraded.then(|| self.degraded())
    }

    /// Returns the change of an account that is degraded, with the numbers of its results.
    pub fn degraded(&self) -> Change {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let accepted = self.accepted();
        Change::Degraded {
            accepted: number(accepted),
            failed: number(self.results.len() - accepted),
        }
    }

    fn accepted(&self) -> usize {
        self.results.iter().filter(|one| one.is_accepted).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds results, and returns the changes with the number of the result after which they happen.
    fn changes(results: &[bool]) -> Vec<(usize, bool)> {
        let (mut window, mut is_degraded) = (Window::default(), false);
        let mut found = Vec::new();
        for (number, is_accepted) in results.iter().enumerate() {
            let at = Moment(number.try_into().expect("a small number"));
            window.add(&format!("delivery-{number}"), *is_accepted, is_degraded, at);
            if window.change(is_degraded).is_some() {
                is_degraded = !is_degraded;
                found.push((number + 1, is_degraded));
            }
        }
        found
    }

    #[test]
    fn ten_results_degrade_an_account_and_five_successes_end_this() {
        assert!(changes(&[false; 9]).is_empty());
        assert_eq!(changes(&[false; 30]), [(10, true)]);
        let recovered = [[false; 10], [true; 10]].concat();
        assert_eq!(changes(&recovered), [(10, true), (15, false)]);
        // One success between failures does not change the state back.
        let mixed = [[false, true, false, false, true]; 4].concat();
        assert_eq!(changes(&mixed), [(10, true)]);
    }

    #[test]
    fn an_account_can_be_degraded_before_it_has_ten_results() {
        let mut window = Window::default();
        assert!(window.add("a", false, false, Moment(0)));
        assert!(window.add("b", true, false, Moment(1)));
        assert_eq!(window.change(false), None);
        let expected = Change::Degraded {
            accepted: 1,
            failed: 1,
        };
        assert_eq!(window.degraded(), expected);
    }

    #[test]
    fn an_account_with_few_failures_stays_healthy() {
        let mostly = [[false, true, true, true]; 10].concat();
        assert!(changes(&mostly).is_empty());
    }

    #[test]
    fn a_healthy_account_stores_no_successes_and_old_results_do_not_count() {
        let mut window = Window::default();
        assert!(!window.add("a", true, false, Moment(0)));
        assert!(window.add("b", false, false, Moment(0)));
        assert!(!window.add("b", false, false, Moment(1)), "known");
        assert!(window.add("c", true, false, Moment(2)));
        assert!(!window.add("d", true, false, Moment(WINDOW_MS)));
    }
}
