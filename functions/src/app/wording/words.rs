//! Defines the words that each language provides for the details of an event in the ticket timeline.

use events::TransitionId;
use events::workflow::{Holds, Operator};

/// The words of one language for the details of an event in the ticket timeline.
pub(super) struct Words {
    /// The separator between two names or two values, such as a comma.
    pub(super) separator: &'static str,
    /// The separator between two rows of a table, such as a semicolon.
    pub(super) row_separator: &'static str,
    /// The text between a label and its value, such as a colon.
    pub(super) colon: &'static str,
    /// The text that is shown instead of an empty value, such as `(empty)`.
    pub(super) empty: &'static str,
    /// The text that is shown instead of a personal value that was erased.
    pub(super) erased: &'static str,
    /// The text that is shown instead of a personal value that the reader may not see.
    pub(super) personal: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
    /// The label for the reason that a person gives for a vote.
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
    /// The label for the host name of the receiver of callbacks.
    pub(super) callback: &'static str,
    pub(super) mentions: &'static str,
    /// The sentence about new followers of a ticket who may read the whole ticket.
    pub(super) invited: &'static str,
    /// The text that is shown for an approval with the result `true`.
    pub(super) approved: &'static str,
    /// The text that is shown for an approval with the result `false`.
    pub(super) rejected: &'static str,
    /// Returns the display name of an output variable of a node.
    pub(super) output: fn(Holds) -> &'static str,
    /// Returns the display name of a level, such as `high` for the key 3. Impact, urgency and priority have
    /// the same levels.
    pub(super) level: fn(&str) -> &str,
    /// Returns the given value in quotation marks.
    pub(super) quoted: fn(&str) -> String,
    /// Returns the text for a comparison, such as `DAYS is greater than "3"`. The expected value is already
    /// in quotation marks.
    pub(super) clause: fn(key: &str, operator: Operator, expected: &str) -> String,
    /// Returns the text for a comparison that the desk tested, with the actual value and the result. The
    /// actual value is already in quotation marks.
    pub(super) tested:
        fn(transition: TransitionId, clause: &str, actual: &str, holds: bool) -> String,
}
