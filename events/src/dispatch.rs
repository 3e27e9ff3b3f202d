//! Missions: work of robots for tickets, in the stream `dispatch-<id>` (reference/fleet.md, section
//! 2.1). Each attempt with one robot has a number, the epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::site::Position;
use crate::task_type::Repetition;
use crate::{Moment, NodeId, TicketSn};

/// The deadline id of the next step of the state of the mission.
pub const STEP: &str = "step";
/// The deadline id of the hand-over to a person.
pub const EXPIRE: &str = "expire";

event_enum! {
    /// The events of one mission.
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
    /// The number of the mission within the current run of the node. The first mission has number
    /// 1, and each retry by a person adds 1.
    pub attempt: u32,
    /// The id of the event that entered or retried the node.
    pub cause: String,
    pub task_type: String,
    /// The action of the robot (VDA 5050, `actionType`).
    pub action: String,
    pub parameters: BTreeMap<String, String>,
    pub repetition: Repetition,
    /// Maximum duration of the work, in milliseconds.
    pub work_ms: i64,
    pub site: String,
    pub map: String,
    pub station: String,
    pub position: Position,
    /// The reason why the mission cannot be done, such as an unknown station. Empty for a mission
    /// that can be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    pub due: Moment,
    /// The instant at which a person gets the work, if no robot has begun the work.
    pub expires: Moment,
}
impl Personals for Requested {}

/// No robot is available. The next choice is at `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollScheduled {
    /// The reason of each robot, by its name.
    pub reasons: BTreeMap<String, String>,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// A robot was chosen and gets an order. If the robot does not accept the order by `due`, the offer
/// is repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offered {
    pub epoch: u32,
    pub robot: String,
    /// The position of the robot, at which the order begins.
    pub start: Position,
    /// The name of the node at which the robot is.
    pub start_node: String,
    /// The reason of each robot for or against its choice, by its name.
    pub reasons: BTreeMap<String, String>,
    pub due: Moment,
}
impl Personals for Offered {}

/// The order is sent again, because the robot has not accepted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferRepeated {
    pub epoch: u32,
    pub due: Moment,
}
impl Personals for OfferRepeated {}

/// The state of the robot shows the order. The robot has the mission until `due`, the end of the
/// lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub epoch: u32,
    /// The instant at which the work must have ended; absent if the work needs a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_due: Option<Moment>,
    pub due: Moment,
}
impl Personals for Accepted {}

/// The robot sent a state within the lease. The lease now ends at `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRenewed {
    pub epoch: u32,
    pub due: Moment,
}
impl Personals for LeaseRenewed {}

/// The robot waits at the station, and the desk releases the work. From here on, the work may have
/// begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkReleased {
    pub epoch: u32,
    /// The instant at which the work must have ended.
    pub work_due: Moment,
    pub due: Moment,
}
impl Personals for WorkReleased {}

/// The lease ended without a state of the robot, or the connection of the robot is lost. If no state
/// arrives between `since` and `due`, the attempt ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspected {
    pub epoch: u32,
    pub since: Moment,
    pub due: Moment,
}
impl Personals for Suspected {}

/// The desk cancels the order of the robot. If the robot does not confirm by `due`, the attempt ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    pub epoch: u32,
    pub reason: String,
    /// True if the mission ends with this attempt, because the ticket no longer waits for it.
    #[serde(default)]
    pub is_final: bool,
    pub due: Moment,
}
impl Personals for CancelRequested {}

/// The attempt with one robot failed before work that must not be repeated began. The next robot is
/// chosen at `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub epoch: u32,
    pub robot: String,
    pub reason: String,
    pub due: Moment,
    /// The instant at which a person gets the work, as in the request.
    pub expires: Moment,
}
impl Personals for AttemptFailed {}

/// A robot of an earlier attempt reported that it did the work. A person must check the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutdatedResultReceived {
    pub epoch: u32,
}
impl Personals for OutdatedResultReceived {}

/// The mission has a result. If the ticket does not record the result by `due`, the result is sent
/// to the ticket again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// The number of the last attempt; 0 if no robot was chosen.
    pub epoch: u32,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Completed {}

/// No robot began the work in time. A person gets the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub reason: String,
    pub due: Moment,
}
impl Personals for Expired {}

/// The mission was closed. `recorded` is true if the ticket recorded the result, and false if the
/// ticket no longer waits for the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
