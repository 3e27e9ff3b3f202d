//! Defines the events of one mission. The events are stored in the stream `dispatch-<id>`. A mission is the
//! work of a robot for a ticket (reference/fleet.md, section 2.1). Each attempt with one robot has a
//! number, which is called the epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::site::Position;
use crate::task_type::Repetition;
use crate::{Moment, NodeId, TicketSn};

/// The id of the deadline at which the desk executes the next step of the mission (the work of a robot).
pub const STEP: &str = "step";
/// The id of the deadline of a mission (the work of a robot). If no robot has begun the work at this
/// deadline, a person gets the work.
pub const EXPIRE: &str = "expire";

event_enum! {
    /// The events of one mission (the work of a robot).
    DispatchEvent of "dispatch" {
        Requested "dispatch.requested" 1,
        PollScheduled "dispatch.poll_scheduled" 1,
        Offered "dispatch.offered" 1,
        OfferRepeated "dispatch.offer_repeated" 1,
        Accepted "dispatch.accepted" 1,
        LeaseRenewed "dispatch.lease_renewed" 1,
        WorkReleased "dispatch.work_released" 1,
        Suspected "dispatch.suspected" 1,
        CancelRequested "dispatch.cancel_requested" 1,
        AttemptFailed "dispatch.attempt_failed" 1,
        OutdatedResultReceived "dispatch.outdated_result_received" 1,
        Completed "dispatch.completed" 1,
        Expired "dispatch.expired" 1,
        Closed "dispatch.closed" 1,
    }
    deadlines |event: &DispatchEvent| match event {
        DispatchEvent::Requested(requested) => vec![
            DeadlineChange::set(STEP, requested.due),
            DeadlineChange::set(EXPIRE, requested.expires),
        ],
        DispatchEvent::PollScheduled(scheduled) => vec![DeadlineChange::set(STEP, scheduled.due)],
        DispatchEvent::Offered(offered) => vec![DeadlineChange::set(STEP, offered.due)],
        DispatchEvent::OfferRepeated(repeated) => vec![DeadlineChange::set(STEP, repeated.due)],
        DispatchEvent::Accepted(accepted) => {
            let mut changes = vec![DeadlineChange::set(STEP, accepted.due)];
            if accepted.work_due.is_some() {
                changes.push(DeadlineChange::clear(EXPIRE));
            }
            changes
        }
        DispatchEvent::LeaseRenewed(renewed) => vec![DeadlineChange::set(STEP, renewed.due)],
        DispatchEvent::WorkReleased(released) => vec![
            DeadlineChange::set(STEP, released.due),
            DeadlineChange::clear(EXPIRE),
        ],
        DispatchEvent::Suspected(suspected) => vec![DeadlineChange::set(STEP, suspected.due)],
        DispatchEvent::CancelRequested(requested) => vec![DeadlineChange::set(STEP, requested.due)],
        DispatchEvent::AttemptFailed(failed) => vec![
            DeadlineChange::set(STEP, failed.due),
            DeadlineChange::set(EXPIRE, failed.expires),
        ],
        DispatchEvent::OutdatedResultReceived(_) => Vec::new(),
        DispatchEvent::Completed(completed) => vec![
            DeadlineChange::set(STEP, completed.due),
            DeadlineChange::clear(EXPIRE),
        ],
        DispatchEvent::Expired(expired) => vec![
            DeadlineChange::set(STEP, expired.due),
            DeadlineChange::clear(EXPIRE),
        ],
        DispatchEvent::Closed(_) => vec![DeadlineChange::clear(STEP)],
    };
}

/// An automatic node of a ticket requested the work of a robot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the mission (the work of a robot) within the current execution of the node. The first
    /// mission has number 1. Each time a person repeats the work, the number increases by 1.
    pub attempt: u32,
    /// The id of the event that caused this mission. In this event, the ticket entered the node or a person
    /// repeated the work.
    pub cause: String,
    pub task_type: String,
    /// The action that the robot executes (VDA 5050, `actionType`).
    pub action: String,
    pub parameters: BTreeMap<String, String>,
    pub repetition: Repetition,
    /// Maximum duration of the robot's work, in milliseconds.
    pub work_ms: i64,
    pub site: String,
    pub map: String,
    pub station: String,
    pub position: Position,
    /// The reason why the mission (the work of a robot) cannot be done, such as an unknown station. The
    /// reason is empty if the mission can be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    pub due: Moment,
    /// The deadline of the mission (the work of a robot). If no robot has begun the work at this time, a
    /// person gets the work.
    pub expires: Moment,
}
impl Personals for Requested {}

/// The desk found no suitable robot. The desk searches for a robot again at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollScheduled {
    /// For each robot, the reason why the robot is not suitable. Each key of the map is the name of a robot.
    pub reasons: BTreeMap<String, String>,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// The desk chose a robot and offers an order to this robot. If the robot does not accept the order before
/// the time `due`, the desk sends the offer again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offered {
    pub epoch: u32,
    pub robot: String,
    /// The position of the robot at the start of the order.
    pub start: Position,
    /// The name of the node on the map of the site at which the robot starts the order.
    pub start_node: String,
    /// For each robot, the reason why the robot is suitable or not. Each key of the map is the name of a
    /// robot.
    pub reasons: BTreeMap<String, String>,
    pub due: Moment,
}
impl Personals for Offered {}

/// The desk sends the order again, because the robot has not accepted the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferRepeated {
    pub epoch: u32,
    pub due: Moment,
}
impl Personals for OfferRepeated {}

/// The robot accepted the order. The desk knows this from a state message of the robot. The robot now has a
/// lease: the right to keep the mission for a limited time. The time `due` is the end of the lease, or the
/// time limit of the work if this limit is earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub epoch: u32,
    /// The time at which the robot must have completed the work. The value is absent if the robot must first
    /// wait until the desk releases the work (allows the robot to begin).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_due: Option<Moment>,
    pub due: Moment,
}
impl Personals for Accepted {}

/// The robot sent a state message. A new lease therefore begins: the robot may keep the mission for a further
/// limited time. The time `due` is the end of the new lease, or the time limit of the work if this limit is
/// earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRenewed {
    pub epoch: u32,
    pub due: Moment,
}
impl Personals for LeaseRenewed {}

/// The robot waits at the station, and the desk releases the work: the desk allows the robot to begin. After
/// this event, it is possible that the robot has already begun the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkReleased {
    pub epoch: u32,
    /// The time at which the robot must have completed the work.
    pub work_due: Moment,
    pub due: Moment,
}
impl Personals for WorkReleased {}

/// The desk lost the contact to the robot. Either the robot sent no state message for too long, or the
/// connection to the robot was lost. The contact was lost at the time `since`. If no state message arrives
/// before the time `due`, the attempt ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspected {
    pub epoch: u32,
    pub since: Moment,
    pub due: Moment,
}
impl Personals for Suspected {}

/// The desk cancels the order. If the robot does not confirm the cancellation before the time `due`, the
/// attempt ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    pub epoch: u32,
    pub reason: String,
    /// True if the mission ends after the cancellation, because the ticket does not need the result any more.
    /// False if another robot can get the mission after the cancellation.
    #[serde(default)]
    pub is_final: bool,
    pub due: Moment,
}
impl Personals for CancelRequested {}

/// The attempt with one robot failed. The work can be repeated safely, so the desk chooses the next robot
/// at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub epoch: u32,
    pub robot: String,
    pub reason: String,
    pub due: Moment,
    /// The deadline of the mission (the work of a robot). If no robot has begun the work at this time, a
    /// person gets the work. The value does not change during the mission.
    pub expires: Moment,
}
impl Personals for AttemptFailed {}

/// A robot reported that its work is done, but the attempt with this robot had already failed. The late
/// report does not change the mission (the work of a robot). A person must check the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutdatedResultReceived {
    pub epoch: u32,
}
impl Personals for OutdatedResultReceived {}

/// The mission (the work of a robot) has a result. If the ticket has not stored the result before the time
/// `due`, the desk sends the result to the ticket again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// The number of the last attempt with a robot. The number is 0 if no robot was chosen.
    pub epoch: u32,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Completed {}

/// The time limit of the mission (the work of a robot) passed, and no robot had begun the work. A person gets
/// the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub reason: String,
    pub due: Moment,
}
impl Personals for Expired {}

/// The mission (the work of a robot) was closed: the desk has no more work for this mission. The member
/// `recorded` is true if the ticket stored the result. The member is false if the ticket did not wait for the
/// result any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
