//! Robots, in the stream `robot-<name>`: the definition of a robot, and the reservation of the robot
//! for one mission at a time (reference/fleet.md, section 2.1).

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{DeadlineChange, Personals, event_enum};

/// The deadline id of the check of a reservation.
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

/// The robot was registered or replaced by this definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    pub site: String,
    /// The task types that the robot can do.
    pub skills: Vec<String>,
    /// The first level of the topics of the robot (VDA 5050, `interfaceName`).
    pub interface: String,
    pub manufacturer: String,
    pub serial: String,
    /// The version of VDA 5050 that the robot uses, such as `2.0.0`.
    pub version: String,
    /// The name of the array in messages with instant actions. The standard has the name `actions`.
    /// Some robots expect `instantActions`.
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

/// The robot was reserved for one attempt of a mission. If no event follows by `due`, the desk checks
/// whether the mission still needs the robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The stream of the mission.
    pub dispatch: String,
    /// The number of the attempt of the mission.
    pub epoch: u32,
    pub due: Moment,
}
impl Personals for Reserved {}

/// The mission still needs the robot. The next check is at `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationKept {
    pub due: Moment,
}
impl Personals for ReservationKept {}

/// The mission no longer needs the robot. The robot is free when its state shows no order. If this
/// does not happen by `due`, the robot is quarantined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStarted {
    pub reason: String,
    pub due: Moment,
}
impl Personals for ReleaseStarted {}

/// The robot has no order and can get another mission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    pub reason: String,
}
impl Personals for Freed {}

/// The robot gets no mission until its state shows no order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub reason: String,
}
impl Personals for Quarantined {}
