//! Defines the events of one execution. The events are stored in the stream `execution-<id>`. An execution is one
//! run of a script for a node of a ticket (reference/automation.md, section 2.8).

use serde::{Deserialize, Serialize};

use crate::api_call::Exchange;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::finding::Finding;
use crate::script::{Body, Level, Parameter};
use crate::{Moment, NodeId, PersonId, Personal, Remark, TicketSn};

/// The id of the deadline at which the desk makes the next attempt to run the script. If the execution has
/// already ended, the desk sends the outcome to the ticket again at this deadline.
pub const ATTEMPT: &str = "attempt";
/// The id of the deadline at which the request for the approval of the script expires.
pub const APPROVAL: &str = "approval";

event_enum! {
    /// The events of one execution (one run of a script).
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

/// Returns the changes of the deadlines `approval` and `attempt`. If `expires` is present, the execution waits
/// for an approval until this time. Otherwise, the next attempt starts at the time `due`.
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

/// An automation rule requested the execution of a script for a node of a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The id of the event that caused this execution. In this event, the ticket entered the node.
    pub cause: String,
    /// The name of the automation rule that requested the execution.
    pub rule: String,
    /// The evaluated clauses (comparisons) in the condition of the rule. Each clause contains the value that
    /// the desk found in the ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<Clause>,
    pub script: String,
    pub version: String,
    /// A copy of the work that the script defined at the time of the request. A later change of the script does
    /// not change this copy.
    pub body: Body,
    /// A fingerprint (hash) of the definition of the platform on which the script acts. The desk uses the
    /// fingerprint to detect a changed platform. The text is empty if the script acts on no platform.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The parameters that the script accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<Parameter>,
    /// The creator of the ticket for which the script runs. This person may not approve the execution.
    pub requester: PersonId,
    /// The values of the script's parameters as a JSON object. Each value is a text. The object is encrypted
    /// with the key of the ticket's creator.
    pub parameters: Box<Personal>,
    /// A fingerprint (hash) of the script, its parameters and all other data that a person approves (see
    /// [`Approved::fingerprint`]).
    pub fingerprint: String,
    /// The people who may approve the execution. The list is empty if no approval is necessary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<PersonId>,
    /// The values that the desk enters in the form of the node after the script succeeds. The values are
    /// encrypted with the key of the ticket's creator.
    pub form: Box<Personal>,
    /// Maximum duration of the execution, in milliseconds. The duration starts at the request or, if an
    /// approval is necessary, at the approval.
    pub timeout_ms: i64,
    /// Maximum waiting time for an approval, in milliseconds. After this time, the request for approval
    /// expires.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub approval_ms: i64,
    /// The reason why the script cannot be executed, such as a missing parameter. The text is empty if the
    /// script can be executed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// The same reason without a language. The value is absent if the script can be executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Box<Finding>>,
    pub due: Moment,
    /// The time at which the request for the approval of the script expires. The value is absent if no approval
    /// is necessary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
}
impl Personals for Requested {
    fn personals(&mut self) -> Vec<&mut Personal> {
        vec![&mut self.parameters, &mut self.form]
    }
}

// The parameter is a reference, because the library serde calls this function with a reference to the number.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde needs"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// One evaluated clause (comparison) of an automation rule. The clause contains the value that the desk found
/// in the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    pub clause: String,
    pub found: String,
    pub holds: bool,
}

/// A person changed the parameters of the execution. An earlier approval is no longer valid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParametersChanged {
    pub by: PersonId,
    /// All parameters after the change, as a JSON object. Each value of the object is a text.
    pub parameters: Personal,
    /// The new values for the form of the node. The desk computes these values from the changed parameters.
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

/// A person approved the execution (one run of a script).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    pub by: PersonId,
    /// A fingerprint of the data that the person approved. The fingerprint is a keyed BLAKE3 hash of the
    /// script, the ticket and its node, the parameters, the form values and the expiry time of the request. The
    /// data of the script includes its version, its work and its platform.
    pub fingerprint: String,
    pub due: Moment,
}
impl Personals for Approved {}

/// A person rejected the execution of the script. A person must therefore do the work of the node.
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

/// No person approved the execution of the script in time. A person must therefore do the work of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub due: Moment,
}
impl Personals for Expired {}

/// An attempt to execute the script starts a step that must not be done twice. The desk stores this event before the
/// step. If no result is stored before the time `due`, the desk does not know whether the step was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    pub step: String,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

/// An attempt to do a step of the script failed for a temporary reason. The next attempt starts at the time
/// `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    pub step: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    pub reason: String,
    /// The same statement without a language. The value is absent if the statement is known only as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    pub due: Moment,
}
impl Personals for AttemptFailed {}

/// A step of the execution was done, but the execution is not complete. The next step starts at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    /// The name of the execution step that was done, such as `read`.
    pub step: String,
    /// The name of the next step of the execution.
    pub next: String,
    /// A short text that describes what the desk observed in this step, such as the state of an account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed: String,
    /// The same statement without a language. The value is absent if the statement is known only as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// The outcome of an execution (one run of a script).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The script was executed successfully. For a built-in action, the desk has also checked the effect.
    Succeeded,
    /// No change was necessary, because the required state already existed. For example, the account was not
    /// locked.
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

/// The execution has an outcome: the script ended, or the desk makes no further attempt. If the ticket has not
/// stored the outcome before the time `due`, the desk sends the outcome to the ticket again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    pub attempt: u32,
    /// The name of the last step of the execution.
    pub step: String,
    pub outcome: Outcome,
    /// A short text that describes what the desk observed in the last step, such as the state of an account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The observation or the reason without a language. The value is absent if it is known only as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The sandbox level (the set of restrictions) with which a shell script ran. If the machine did not
    /// support the required level, the value is the strongest level of the machine. The value is absent if the
    /// script is a built-in action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The output of a shell script as a text. The text is encrypted with the key of the ticket's creator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Personal>,
    pub due: Moment,
}
impl Personals for Completed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.output.iter_mut().collect()
    }
}

/// The execution was closed, so the desk has no more work for it. The member `recorded` is true if the ticket
/// stored the outcome. The member is false if the ticket did not need the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
