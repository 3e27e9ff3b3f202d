//! Counts how often the external system refused a remark, so that the desk does not write it again without end.

use serde::{Deserialize, Serialize};

use super::{DENIED_POLICY, POLICY, Step, Writeback};

/// Maximum number of refusals of a remark with the same reason. After this number, the desk repairs the remark no more. The
/// repairs of a remark are at least one hour apart.
const REFUSALS_MAX: u32 = 5;

/// The refusals of a remark since its last other refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedNote {
    /// The reason of all these refusals.
    pub reason: String,
    pub count: u32,
}

impl Writeback {
    /// Returns whether the remark was refused so often with the same reason that only a person requests it again.
    pub fn is_given_up(&self, remark: u64) -> bool {
        let refused = self.refused_notes.get(&remark);
        refused.is_some_and(|refused| refused.count >= REFUSALS_MAX)
    }

    /// Returns the reason why a remark was not written that no later write contains.
    pub fn refusal(&self) -> Option<&str> {
        let mut unwritten = self.unwritten_notes.iter();
        let refused = unwritten.find_map(|remark| self.refused_notes.get(remark));
        refused.map(|refused| refused.reason.as_str())
    }

    /// Counts a refusal of the remarks that the failed request was about.
    pub(super) fn refuse_notes(&mut self, reason: &str) {
        // After the last attempt, the write fails without a refusal. The system can accept a later one.
        let is_last = self.attempts.failures + 1 >= POLICY.attempts_max
            || self.denials + 1 >= DENIED_POLICY.attempts_max;
        if is_last {
            return;
        }
        let refused = if self.step == Step::Write {
            self.next_notes()
        } else {
            self.notes.clone()
        };
        for remark in refused {
            let known = self.refused_notes.get(&remark);
            let known = known.filter(|known| known.reason == reason);
            let refused = RefusedNote {
                reason: reason.to_owned(),
                count: known.map_or(0, |known| known.count).saturating_add(1),
            };
            self.refused_notes.insert(remark, refused);
        }
    }

    /// Forgets the refusals of remarks that the record contains.
    pub(super) fn accept_notes(&mut self, remarks: &[u64]) {
        self.refused_notes
            .retain(|remark, _| !remarks.contains(remark));
    }
}
