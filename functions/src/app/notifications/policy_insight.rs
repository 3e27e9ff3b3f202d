//! Reads the table `[policy.insight]` of the notification policy: questions for feedback, experiments, learned times and
//! learned channels.

use serde::Deserialize;

/// The largest value of `feedback_one_in`.
const ONE_IN_MAX: u32 = 100_000;

/// The table `[policy.insight]` in the TOML file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InsightEntry {
    /// On average, one of this number of notifications contains questions for feedback. 0 switches the questions off.
    #[serde(default)]
    pub(super) feedback_one_in: u32,
    /// Whether the winner of an experiment is applied without a person.
    #[serde(default)]
    pub(super) apply_winner: bool,
    /// Whether updates are sent at the hours at which each person answers.
    #[serde(default)]
    pub(super) learn_times: bool,
    /// Whether the channel account through which a person answers is used before the others.
    #[serde(default)]
    pub(super) learn_channels: bool,
}

/// Checks the table. If a member is wrong, returns an English text that names it.
pub(super) fn check(entry: InsightEntry) -> Result<(), String> {
    if entry.feedback_one_in > ONE_IN_MAX {
        return Err(format!(
            "policy: `insight.feedback_one_in` must be a number from 0 to {ONE_IN_MAX}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_member_is_named() {
        let read = |text: &str| toml::from_str::<InsightEntry>(text);
        let entry = read("feedback_one_in = 20\nlearn_times = true").unwrap();
        assert_eq!((entry.feedback_one_in, entry.apply_winner), (20, false));
        assert!(entry.learn_times && !entry.learn_channels);
        assert_eq!(check(entry), Ok(()));
        let reason = check(read("feedback_one_in = 100001").unwrap()).unwrap_err();
        assert!(reason.contains("`insight.feedback_one_in`"), "{reason}");
        let reason = read("feedback = 20").unwrap_err().to_string();
        assert!(reason.contains("unknown field `feedback`"), "{reason}");
    }
}
