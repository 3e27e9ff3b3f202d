//! Defines the events of one escalation. The events are stored in the stream `escalation-<id>`. An escalation notifies
//! people step by step until a person acknowledges the ticket (plans/notifications.md, part 4).

use serde::{Deserialize, Serialize};

use crate::escalation_chain::Step;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, NodeId, PersonId, TicketSn};

/// The name of the deadline at which the next step is due.
pub const STEP_DUE: &str = "step_due";

event_enum! {
    /// The events of one escalation.
    EscalationEvent of "escalation" {
        Started "escalation.started" 1,
        StepNotified "escalation.step_notified" 1,
        Acknowledged "escalation.acknowledged" 1,
        Stopped "escalation.stopped" 1,
        Exhausted "escalation.exhausted" 1,
    }
    deadlines |event: &EscalationEvent| match event {
        EscalationEvent::Started(started) => vec![DeadlineChange::set(STEP_DUE, started.due)],
        EscalationEvent::StepNotified(step) => vec![match step.due {
            Some(due) => DeadlineChange::set(STEP_DUE, due),
            None => DeadlineChange::clear(STEP_DUE),
        }],
        EscalationEvent::Acknowledged(_) | EscalationEvent::Stopped(_) | EscalationEvent::Exhausted(_) => {
            vec![DeadlineChange::clear(STEP_DUE)]
        }
    };
}

/// The escalation of a node started. The steps are a copy of the chain, so a later change of the chain does not change
/// this escalation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The name of the escalation chain.
    pub chain: String,
    /// The number of the definition of the chain. The first definition has number 1.
    pub version: u32,
    pub steps: Vec<Step>,
    #[serde(default)]
    pub repeat: u32,
    pub ticket: TicketSn,
    pub node: NodeId,
    /// The name that the node had when the escalation started.
    pub name: String,
    pub round: u32,
    /// The id of the event that caused the escalation.
    pub cause: String,
    /// The time of the event that caused the escalation.
    pub at: Moment,
    /// The key of the ticket priority when the escalation started.
    pub priority: String,
    /// The time at which the first step is due.
    pub due: Moment,
}
impl Personals for Started {}

/// The reason why a step notifies nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unnotified {
    /// The step was due outside of the hours of its condition.
    OutsideHours,
    /// The priority of the ticket does not meet the condition of the step.
    OtherPriority,
    /// The rota has no person on call at this time.
    NobodyOnCall,
    /// The rota of the step is not defined.
    RotaNotDefined,
    /// The role has no members or does not exist.
    RoleEmpty,
    /// The department has no people or does not exist.
    TeamEmpty,
    /// The people for whom the node waits have no leader.
    NoLeader,
}

/// A step was due. The desk notifies the people in `people`, or nobody for the reason in `reason`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepNotified {
    /// The number of the pass through the steps. The first pass has number 1.
    pub pass: u32,
    /// The number of the step. The first step has number 1.
    pub step: u32,
    pub at: Moment,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonId>,
    /// Number of further people whom the step does not notify, because a step notifies a limited number of people.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Unnotified>,
    /// The time at which the next step is due. The value is absent after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for StepNotified {}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A person acknowledged the node of the ticket, so no further step follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: PersonId,
}
impl Personals for Acknowledged {}

/// The reason why an escalation stopped without an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The work at the node is done, or the ticket has left the node.
    NodeLeft,
    /// The ticket has ended.
    TicketEnded,
    /// The ticket was suspended. After the ticket is resumed, another escalation starts.
    TicketSuspended,
    /// The ticket has another priority, and the policy names another chain or no chain for it.
    PriorityChanged,
}

/// The escalation stopped, because the ticket does not need it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub reason: StopReason,
}
impl Personals for Stopped {}

/// All steps and repetitions of the escalation are over, and no person acknowledged the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhausted {}
impl Personals for Exhausted {}
