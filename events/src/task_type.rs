//! Types of tasks that robots can do, in the stream `task_type-<name>`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one task type.
    TaskTypeEvent of "task_type" {
        Defined "task_type.defined" 1,
    }
}

/// The rule for a task whose robot lost contact (reference/fleet.md, section 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repetition {
    /// The work must not begin twice. The robot drives to the station and waits there until the
    /// desk releases the work.
    #[default]
    AtMostOnce,
    /// The work may be repeated by another robot, for example an inspection.
    AtLeastOnce,
}

/// The task type was created or replaced by this definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The action of the robot, such as `pick` (VDA 5050, `actionType`).
    pub action: String,
    #[serde(default)]
    pub repetition: Repetition,
    /// Maximum duration of the work after its release, in milliseconds. After this time the desk
    /// cancels the order.
    pub work_ms: i64,
}
impl Personals for Defined {}
