//! Defines the events of one execution. The events are stored in the stream `execution-<id>`. An execution is one
//! run of a script for a node of a ticket (reference/automation.md, section 2.8).

use serde::{Deserialize, Serialize};

use crate::api_call::Exchange;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::script::{Body, Level, Parameter};
use crate::{Moment, NodeId, PersonId, Personal, Remark, TicketSn};

/// The id of the deadline at which the desk makes the next attempt, or sends the outcome to the ticket again.
pub const ATTEMPT: &str = "attempt";
/// The id of the deadline at which the request for approval expires.
pub const APPROVAL: &str = "approval";

event_enum! {
    /// The events of one execution.
    ExecutionEvent of "execution" {
        Requested "execution.requested" 1,
        ParametersChanged "execution.parameters_changed" 1,
        Approved "execution.approved" 1,
        Rejected "execution.rejected" 1,
        Expired "execution.expired" 1,
        AttemptStarted "execution.attempt_started" 1,
        AttemptFailed "execution.attempt_failed" 1,
        PollScheduled "execution.poll_scheduled" 1,
        Completed "execution.completed" 1,
        Closed "execution.closed" 1,
    }
    deadlines |event: &ExecutionEvent| match event {
        ExecutionEvent::Requested(requested) => waits(requested.expires, requested.due),
        ExecutionEvent::ParametersChanged(changed) => waits(Some(changed.expires), changed.due),
        ExecutionEvent::Approved(approved) => waits(None, approved.due),
        ExecutionEvent::Rejected(rejected) => waits(None, rejected.due),
        ExecutionEvent::Expired(expired) => waits(None, expired.due),
        ExecutionEvent::AttemptStarted(started) => vec![DeadlineChange::set(ATTEMPT, started.due)],
        ExecutionEvent::AttemptFailed(failed) => vec![DeadlineChange::set(ATTEMPT, failed.due)],
        ExecutionEvent::PollScheduled(scheduled) => vec![DeadlineChange::set(ATTEMPT, scheduled.due)],
        ExecutionEvent::Completed(completed) => waits(None, completed.due),
        ExecutionEvent::Closed(_) => vec![DeadlineChange::clear(ATTEMPT)],
    };
}

/// Returns the changes of both deadlines. If `expires` is given, the execution waits for an approval until this
/// time. Otherwise, the next attempt takes place at the time `due`.
fn waits(expires: Option<Moment>, due: Moment) -> Vec<DeadlineChange> {
    match expires {
        Some(expires) => vec![
            DeadlineChange::set(APPROVAL, expires),
            DeadlineChange::clear(ATTEMPT),
        ],
        None => vec![
            DeadlineChange::clear(APPROVAL),
            DeadlineChange::set(ATTEMPT, due),
        ],
    }
}

/// A rule requested the execution of a script for a node of a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The id of the event that caused this execution. In this event, the ticket entered the node.
    pub cause: String,
    /// The name of the rule.
    pub rule: String,
    /// The clauses of the rule with the values that the desk found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<Clause>,
    pub script: String,
    pub version: String,
    /// The work of the script, as it was defined at the time of this event.
    pub body: Body,
    /// The fingerprint of the definition of the platform on which the script acts. The text is empty if the
    /// script acts on no platform.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The parameters that the script accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<Parameter>,
    /// The creator of the ticket. This person may not approve the execution.
    pub requester: PersonId,
    /// The values of the parameters as a JSON object of texts. The object is encrypted with the key of the
    /// requester.
    pub parameters: Box<Personal>,
    /// The fingerprint of everything that an approval covers (see [`Approved::fingerprint`]).
    pub fingerprint: String,
    /// The people who may approve the execution. The list is empty if no approval is necessary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<PersonId>,
    /// The values for the form of the node, which the desk submits after a success. The object is encrypted
    /// with the key of the requester.
    pub form: Box<Personal>,
    /// Maximum duration from the first attempt to the last attempt, in milliseconds.
    pub timeout_ms: i64,
    /// The time in milliseconds after which a request for approval expires.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub approval_ms: i64,
    /// The reason why the script cannot be executed, such as a missing parameter. The text is empty if the
    /// script can be executed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    pub due: Moment,
    /// The time at which the request for approval expires. The value is absent if no approval is necessary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
}
impl Personals for Requested {
    fn personals(&mut self) -> Vec<&mut Personal> {
        vec![&mut self.parameters, &mut self.form]
    }
}

// Serde calls this function with a reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde needs"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// One clause of a rule with the value that the desk found in the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    pub clause: String,
    pub found: String,
    pub holds: bool,
}

/// A person changed the parameters of the execution. The change ends an earlier approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParametersChanged {
    pub by: PersonId,
    /// All parameters after the change, as a JSON object of texts.
    pub parameters: Personal,
    /// The values for the form of the node, computed from the changed parameters.
    pub form: Personal,
    pub fingerprint: String,
    pub due: Moment,
    pub expires: Moment,
}
impl Personals for ParametersChanged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        vec![&mut self.parameters, &mut self.form]
    }
}

/// A person approved the execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    pub by: PersonId,
    /// The fingerprint of that which the person approved. It is a keyed BLAKE3 hash over the script, its
    /// version, its body, its platform, the ticket, the parameters, the form values and the time at which the
    /// request expires.
    pub fingerprint: String,
    pub due: Moment,
}
impl Personals for Approved {}

/// A person rejected the execution. A person must do the work of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    pub by: PersonId,
    pub reason: Remark,
    pub due: Moment,
}
impl Personals for Rejected {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// Nobody approved the execution in time. A person must do the work of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub due: Moment,
}
impl Personals for Expired {}

/// The desk will do a step next that must not be done twice. If no result is stored before the time `due`, the
/// desk does not know whether the step was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    pub step: String,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

/// An attempt failed for a temporary reason. The next attempt starts at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    pub step: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    pub reason: String,
    pub due: Moment,
}
impl Personals for AttemptFailed {}

/// A step of the script was done. The next step starts at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    /// The step that was done.
    pub step: String,
    /// The step that follows.
    pub next: String,
    /// The observation in this step, such as `locked` or `not locked`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// The outcome of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The script was executed. For a built-in action, the desk has also checked the effect.
    Succeeded,
    /// The target was already in the wanted state, so the script changed nothing.
    NoChange,
    Failed,
    TimedOut,
    /// The script exceeded a limit, such as its maximum memory.
    ResourceExceeded,
    /// The ticket does not need the execution any more, so the script was not executed.
    Canceled,
    /// The desk does not know whether the script was executed.
    Unknown,
}

/// The script ended, or the desk gave up. If the ticket has not stored the outcome before the time `due`, the
/// desk sends the outcome to the ticket again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    pub attempt: u32,
    /// The last step.
    pub step: String,
    pub outcome: Outcome,
    /// The observation in the last step, such as `not locked`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The sandbox level at which a shell script ran. The value is absent if no shell script ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The output of a shell script as a text. The text is encrypted with the key of the requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Personal>,
    pub due: Moment,
}
impl Personals for Completed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.output.iter_mut().collect()
    }
}

/// The execution was closed. The member `recorded` is true if the ticket stored the outcome. The member is false
/// if the ticket did not need the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
