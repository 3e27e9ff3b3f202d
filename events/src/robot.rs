//! Defines the events of one robot. The events are stored in the stream `robot-<name>`. The events store the
//! definition of the robot and each reservation of the robot (reference/fleet.md, section 2.1). A robot is
//! reserved for only one mission (the work of a robot for a ticket) at a time.

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{DeadlineChange, Personals, event_enum};

/// The id of the deadline at which the desk checks the reservation of the robot.
pub const CHECK: &str = "check";

event_enum! {
    /// The events of one robot.
    RobotEvent of "robot" {
        Defined "robot.defined" 1,
        Reserved "robot.reserved" 1,
        ReservationKept "robot.reservation_kept" 1,
        ReleaseStarted "robot.release_started" 1,
        Freed "robot.freed" 1,
        Quarantined "robot.quarantined" 1,
    }
    deadlines |event: &RobotEvent| match event {
        RobotEvent::Defined(_) => Vec::new(),
        RobotEvent::Reserved(reserved) => vec![DeadlineChange::set(CHECK, reserved.due)],
        RobotEvent::ReservationKept(kept) => vec![DeadlineChange::set(CHECK, kept.due)],
        RobotEvent::ReleaseStarted(started) => vec![DeadlineChange::set(CHECK, started.due)],
        RobotEvent::Freed(_) | RobotEvent::Quarantined(_) => vec![DeadlineChange::clear(CHECK)],
    };
}

/// The robot was registered. This definition replaces an earlier definition of the same robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    pub site: String,
    /// The task types (kinds of work) that the robot can do.
    pub skills: Vec<String>,
    /// The first level of the robot's MQTT topics (VDA 5050, `interfaceName`).
    pub interface: String,
    pub manufacturer: String,
    pub serial: String,
    /// The version of VDA 5050 that the robot uses, such as `2.0.0`.
    pub version: String,
    /// The name of the array of actions in a message with instant actions (actions that the robot executes
    /// immediately). In the standard VDA 5050, this array has the name `actions`. Some robots expect the name
    /// `instantActions`.
    #[serde(default = "actions", skip_serializing_if = "is_actions")]
    pub instant_actions: String,
}
impl Personals for Defined {}

fn actions() -> String {
    "actions".into()
}

fn is_actions(name: &String) -> bool {
    name == "actions"
}

/// The robot was reserved for one attempt of a mission (the work of a robot). At the time `due`, the desk
/// checks whether the mission still needs the robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The name of the stream that contains the mission (the work of a robot).
    pub dispatch: String,
    /// The attempt of the mission for which the robot was reserved. The value is the number (epoch) of this
    /// attempt.
    pub epoch: u32,
    pub due: Moment,
}
impl Personals for Reserved {}

/// The mission (the work of a robot) still needs the robot, so the reservation continues. The next check is
/// at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationKept {
    pub due: Moment,
}
impl Personals for ReservationKept {}

/// The mission (the work of a robot) does not need the robot any more. The robot is free when the robot
/// reports a state without an order. If no state without an order arrives before the time `due`, the desk
/// quarantines the robot (gives no mission to the robot).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStarted {
    pub reason: String,
    pub due: Moment,
}
impl Personals for ReleaseStarted {}

/// The robot has no order and can get another mission (the work of a robot for a ticket).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    pub reason: String,
}
impl Personals for Freed {}

/// The robot was quarantined. The robot gets no mission (work for a ticket) until the robot reports a state
/// without an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub reason: String,
}
impl Personals for Quarantined {}
