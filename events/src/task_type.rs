//! Defines the events of one task type. The events are stored in the stream `task_type-<name>`. A task type
//! is a kind of work that robots can do.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one task type.
    TaskTypeEvent of "task_type" {
        Defined "task_type.defined" 1,
    }
}

/// The rule for the repetition of work. If a robot loses the contact to the desk, this rule decides whether
/// another robot may repeat the work (reference/fleet.md, section 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repetition {
    /// The work must not begin twice. The robot drives to the station and waits until the desk releases the
    /// work (allows the robot to begin).
    #[default]
    AtMostOnce,
    /// Another robot may repeat the work. An example of repeatable work is an inspection.
    AtLeastOnce,
}

/// The task type was defined. This definition replaces an earlier definition of the same task type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The action that the robot executes, such as `pick` (VDA 5050, `actionType`).
    pub action: String,
    #[serde(default)]
    pub repetition: Repetition,
    /// Maximum duration of the work in milliseconds. If the work takes longer, the desk cancels the order.
    pub work_ms: i64,
}
impl Personals for Defined {}
