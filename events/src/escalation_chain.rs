//! Defines the events of one escalation chain. The events are stored in the stream `escalation_chain-<name>`. An
//! escalation chain is a list of steps. Each step notifies people about a ticket that nobody has acknowledged.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::{PersonId, RoleId};

event_enum! {
    /// The events of one escalation chain.
    EscalationChainEvent of "escalation_chain" {
        Defined "escalation_chain.defined" 1,
    }
}

/// An escalation chain was defined. This definition replaces an earlier definition of the same chain. An escalation that
/// already runs keeps the steps with which it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    pub steps: Vec<Step>,
    /// Number of times that the steps are repeated after the last step.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeat: u32,
}
impl Personals for Defined {}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One step of an escalation chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The time in minutes from the step before (or from the start of the escalation) to this step.
    pub wait_minutes: u32,
    pub notify: Target,
    /// The names of the channel accounts (configured senders) that send the messages of this step. If the list is empty,
    /// the accounts of the notification policy send the messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// The condition of the step. If the condition is false, the step notifies nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<OnlyIf>,
    /// True if the message also makes a sound on the device of the person (a *buzz*), on a channel that has this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub buzz: bool,
}

/// The people whom a step notifies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Person(PersonId),
    /// The leaders of the people for whom the node of the ticket waits.
    Leader,
    /// All members of a role.
    Role(RoleId),
    /// The people who are on call in the rota with this name.
    Rota(String),
    /// All people of a department and of its subdepartments. The text is the id of the department in the directory.
    Team(String),
    /// One person of the list. Each escalation and each repetition starts at another position of the list.
    RoundRobin(Vec<PersonId>),
}

/// The condition of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnlyIf {
    /// The step is due in a daily period.
    Hours(Hours),
    /// The priority of the ticket has one of these keys.
    Band(Vec<String>),
}

/// A daily period in a time zone. The times have the form `HH:MM`. If `to` is not later than `from`, the period ends on
/// the next day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    pub from: String,
    pub to: String,
    pub zone: String,
}
