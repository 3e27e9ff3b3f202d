//! Computes percentiles of waiting times of which some have not ended yet (the estimator of Kaplan and Meier).
//!
//! A person who has not answered yet is not left out: the time until now is a lower bound of the waiting time. If these
//! people were left out, the times would look too short.

/// One waiting time in milliseconds. `has_ended` is false if it had not ended when it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    pub ms: i64,
    pub has_ended: bool,
}

/// Returns the time within which the given percentage of all waiting times ends, in milliseconds. Returns `None` if so many
/// waiting times have not ended that the percentile is unknown.
pub fn percentile(waits: &[Wait], percent: u32) -> Option<i64> {
    let mut waits = waits.to_vec();
    // At the same time, the waiting times that ended come first.
    waits.sort_by_key(|wait| (wait.ms, !wait.has_ended));
    let target = 1.0 - f64::from(percent) / 100.0;
    let mut remaining = 1.0;
    let mut at_risk = u32::try_from(waits.len()).unwrap_or(u32::MAX);
    for wait in &waits {
        if wait.has_ended {
            remaining *= 1.0 - 1.0 / f64::from(at_risk);
            // Products of fractions are not exact.
            if remaining <= target + 1e-9 {
                return Some(wait.ms);
            }
        }
        at_risk = at_risk.saturating_sub(1).max(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(of: &[(i64, bool)]) -> Vec<Wait> {
        let waits = of.iter();
        waits
            .map(|&(ms, has_ended)| Wait { ms, has_ended })
            .collect()
    }

    #[test]
    fn without_open_waits_the_percentile_is_the_nearest_rank() {
        let all = waits(&[(40, true), (10, true), (30, true), (20, true)]);
        assert_eq!(percentile(&all, 50), Some(20));
        assert_eq!(percentile(&all, 90), Some(40));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn open_waits_are_counted_and_not_left_out() {
        // Of four people, two answered. Without the other two, the median would be 10.
        let half = waits(&[(10, true), (20, true), (100, false), (100, false)]);
        assert_eq!(percentile(&half, 50), Some(20));
        assert_eq!(percentile(&half, 90), None);
        // A wait that was measured after 5 ms contains no information about later times, so it does not delay the median.
        let young = waits(&[(5, false), (10, true), (20, true)]);
        assert_eq!(percentile(&young, 50), Some(10));
    }
}
