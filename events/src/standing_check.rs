//! Defines the events of the standing check of one escalation chain. The events are stored in the stream
//! `standing_check-<chain>`. The desk checks regularly, and before each shift, whether each step of the chain reaches a
//! person (plans/notifications.md, part 4).

use serde::{Deserialize, Serialize};

use crate::escalation::Unnotified;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::notification::SkipReason;
use crate::{Moment, PersonId};

/// The name of the deadline at which the next check is due.
pub const CHECK: &str = "check";

event_enum! {
    /// The events of the standing check of one escalation chain.
    StandingCheckEvent of "standing_check" {
        Scheduled "standing_check.scheduled" 1,
        Checked "standing_check.checked" 1,
    }
    deadlines |event: &StandingCheckEvent| match event {
        StandingCheckEvent::Scheduled(scheduled) => vec![DeadlineChange::set(CHECK, scheduled.due)],
        StandingCheckEvent::Checked(checked) => vec![DeadlineChange::set(CHECK, checked.due)],
    };
}

/// A check of the chain is due, because the chain, or a definition that it needs, is new or was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// The name of the escalation chain.
    pub chain: String,
    /// The hash of all definitions that the chain needs, as hexadecimal digits.
    pub fingerprint: String,
    pub due: Moment,
}
impl Personals for Scheduled {}

/// The desk checked the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub at: Moment,
    /// The steps that reach no person, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Number of further problems, because the event contains a limited number of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
    /// True if the operators are notified, because they do not know one of the problems yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_reported: bool,
    /// The time of the next check.
    pub due: Moment,
}
impl Personals for Checked {}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A problem of one step of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The number of the step. The first step has number 1.
    pub step: u32,
    /// The begin of the coming shift with the problem. The value is absent if the step has the problem now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    pub problem: Problem,
}

/// The reason why a step does not reach a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The step has no people.
    NoPerson(Unnotified),
    /// No working account of the step sends a message to the person.
    Unreachable(Unreachable),
    /// A channel account (a configured sender) of the step sends no messages.
    Account(BrokenAccount),
    /// Neither the step nor the notification policy names a channel account.
    NoAccount,
}

/// A person whom no working account of the step reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    pub person: PersonId,
    pub reason: SkipReason,
}

/// A channel account that sends no messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenAccount {
    pub account: String,
    pub trouble: Trouble,
}

/// The reason why a channel account sends no messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// No account has this name.
    NotDefined,
    /// An operator has disabled the account.
    Disabled,
    /// A person has stopped the account in an emergency.
    Stopped,
    /// The desk pauses the account, because its last messages failed.
    Paused,
    /// Most of the messages of the account fail.
    Degraded,
    /// The key store has no secret for the account.
    SecretMissing,
}
