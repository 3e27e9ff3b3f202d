//! Defines which words a language provides for the details of a line in the timeline.

use events::TransitionId;
use events::workflow::Operator;

/// The words of one language that the details contain.
pub(super) struct Words {
    /// The text between two people or two values.
    pub(super) separator: &'static str,
    /// The text between two rows of a table.
    pub(super) row_separator: &'static str,
    /// The text between a label and its value.
    pub(super) colon: &'static str,
    /// The text for a missing value.
    pub(super) empty: &'static str,
    /// The text for a personal value that was erased.
    pub(super) erased: &'static str,
    /// The text for a personal value that the reader does not see.
    pub(super) personal: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
    /// The label for the reason of a vote.
    pub(super) opinion: &'static str,
    pub(super) comment: &'static str,
    /// The label for the id of a task in an external system.
    pub(super) task: &'static str,
    pub(super) title: &'static str,
    pub(super) group: &'static str,
    pub(super) actor: &'static str,
    pub(super) priority: &'static str,
    pub(super) impact: &'static str,
    pub(super) urgency: &'static str,
    /// The label for the host name of the callback receiver.
    pub(super) callback: &'static str,
    pub(super) mentions: &'static str,
    /// The sentence for followers who may read the whole ticket.
    pub(super) invited: &'static str,
    /// Returns the name of a level of the impact, the urgency or the priority.
    pub(super) level: fn(&str) -> &str,
    /// Writes a value in quotation marks.
    pub(super) quoted: fn(&str) -> String,
    /// Writes a comparison of a key with an expected value. The expected value is already in quotation marks.
    pub(super) clause: fn(key: &str, operator: Operator, expected: &str) -> String,
    /// Writes a tested comparison with the actual value and the result. The actual value is already in
    /// quotation marks.
    pub(super) tested:
        fn(transition: TransitionId, clause: &str, actual: &str, holds: bool) -> String,
}
