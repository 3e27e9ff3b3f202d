//! Defines the events of one application. The events are stored in the stream `application-<id>`. An
//! application is a request for approval in an external ITSM (requirements/external-itsm.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::api_call::AttemptFailed;
use crate::api_call::Exchange;
use crate::event::{DeadlineChange, Personals, event_enum};
pub use crate::integration::Target;
use crate::{AppCode, Moment, NodeId, PersonId, Personal, TicketSn};

/// The id of the deadline at which the desk sends the next request of the application to the external ITSM.
pub const ATTEMPT: &str = "attempt";
/// The id of the deadline of an application that only waits for the decision. At this deadline, the desk asks for the
/// statuses of all due applications of the same kind. An open application has this deadline or [`ATTEMPT`].
pub const POLL: &str = "poll";
/// The id of the deadline at which the application (the request for approval) expires if the external ITSM
/// has not decided.
pub const EXPIRE: &str = "expire";

event_enum! {
    /// The events of one application (a request for approval in an external ITSM).
    ApplicationEvent of "application" {
        Requested "application.requested" 1,
        Applied "application.applied" 1,
        AttemptStarted "application.attempt_started" 1,
        AttemptFailed "application.attempt_failed" 1,
        PollScheduled "application.poll_scheduled" 1,
        Hinted "application.hinted" 1,
        WithdrawalRequested "application.withdrawal_requested" 1,
        Completed "application.completed" 1,
        Expired "application.expired" 1,
        Closed "application.closed" 1,
    }
    deadlines |event: &ApplicationEvent| match event {
        ApplicationEvent::Requested(requested) => vec![
            DeadlineChange::set(ATTEMPT, requested.due),
            DeadlineChange::set(EXPIRE, requested.expires),
        ],
        ApplicationEvent::Applied(applied) => vec![
            DeadlineChange::set(ATTEMPT, applied.due),
            DeadlineChange::set(EXPIRE, applied.expires),
        ],
        ApplicationEvent::AttemptStarted(started) => alone(started.due),
        ApplicationEvent::AttemptFailed(failed) => alone(failed.due),
        ApplicationEvent::PollScheduled(scheduled) if scheduled.is_grouped => vec![
            DeadlineChange::set(POLL, scheduled.due),
            DeadlineChange::clear(ATTEMPT),
        ],
        ApplicationEvent::PollScheduled(scheduled) => alone(scheduled.due),
        ApplicationEvent::Hinted(hinted) => alone(hinted.due),
        ApplicationEvent::WithdrawalRequested(requested) => alone(requested.due),
        ApplicationEvent::Completed(completed) => ended(completed.due),
        ApplicationEvent::Expired(expired) => ended(expired.due),
        ApplicationEvent::Closed(_) => {
            vec![DeadlineChange::clear(ATTEMPT), DeadlineChange::clear(POLL)]
        }
    };
}

/// Returns the changes of deadlines if the next request concerns this application alone.
fn alone(due: Moment) -> Vec<DeadlineChange> {
    vec![
        DeadlineChange::set(ATTEMPT, due),
        DeadlineChange::clear(POLL),
    ]
}

/// Returns the changes of deadlines after the application has ended. At the time `due`, its result is sent again.
fn ended(due: Moment) -> Vec<DeadlineChange> {
    let mut changes = alone(due);
    changes.push(DeadlineChange::clear(EXPIRE));
    changes
}

/// An automatic node of a ticket requested an application (a request for approval in an external ITSM).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the application (request for approval) within the current execution of the node. The
    /// first application has number 1. Each time a person repeats the request, the number increases by 1.
    pub attempt: u32,
    /// The id of the event that caused this request for approval. In this event, the ticket entered the node
    /// or a person repeated the request.
    pub cause: String,
    /// The name of an application kind. An application kind contains the settings for one kind of request for
    /// approval in an external ITSM.
    pub kind: String,
    /// The values that a person entered for this request for approval. Each key of the map is the key of a
    /// field or variable. This request uses the entered value instead of the value in the ticket. The ticket
    /// itself does not change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    pub due: Moment,
    /// The time at which the request for approval expires if the external ITSM has not decided.
    pub expires: Moment,
}
impl Personals for Requested {}

/// A person applied for an approval over the API. There is no ticket in this desk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The name of an application kind.
    pub kind: String,
    pub applicant: PersonId,
    /// The client app over which the person applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppCode>,
    /// The id of the object for which the approval is needed, such as a collector of logs. An object has at most
    /// one open or granted application of a kind.
    pub subject: String,
    /// The number of the application among all applications of this kind for the subject. The first one has number
    /// 1.
    pub round: u32,
    /// The keyed hash of the idempotency key in the request. The text is empty if the request had no key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The keyed hash of the values in the request. A request with the same key must have the same values.
    pub content: String,
    /// The values that the person gave for the fields of the external ticket: a JSON object.
    pub fields: Personal,
    /// The id of the request that opened the application.
    pub cause: String,
    pub due: Moment,
    /// The time at which the application expires if the external ITSM has not decided.
    pub expires: Moment,
}
impl Personals for Applied {
    fn personals(&mut self) -> Vec<&mut Personal> {
        vec![&mut self.fields]
    }
}

/// An attempt starts. The desk stores this event before it sends the request that creates a ticket in the
/// external ITSM. If no result is stored before the time `due`, the desk does not know whether this ticket
/// exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    pub due: Moment,
    /// The receiver of the request. Earlier versions of the program did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}
impl Personals for AttemptStarted {}

/// The external ITSM has not decided on the request for approval. The desk sends the next HTTP request to the
/// external ITSM at the time `due`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The kind of the next request to the external ITSM: `discover`, `create`, `probe`, `find`, `verify`,
    /// `confirm`, `poll`, `fetch`, `reconcile`, `missed` or `withdraw`.
    pub step: String,
    /// The ticket number in the external ITSM. The text of this member is empty until the desk knows the
    /// number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external: String,
    /// The number of a ticket that is possibly the own ticket. The next request checks this. The text is empty if
    /// there is no such ticket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub candidate: String,
    /// The id of the service in the external ITSM, which the desk found by a search for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<i64>,
    /// The URLs of the external ticket, if they are new. The keys are `ticket_url` and `iframe_ticket_url`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// What was wrong with the response or with a callback. The text is empty if nothing was wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// True if no request was sent, because of the rate limit or of a pause after failures. The step does not change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_postponed: bool,
    /// True if the desk then asks for this application together with others of its kind. The time `due` is then that of
    /// the deadline [`POLL`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_grouped: bool,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// A callback about the request for approval arrived. The content of the callback can be wrong, so the desk
/// does not use this content. Instead, the desk lets the external ITSM check the token of the callback. If
/// the token is valid, the desk reads the ticket in the external ITSM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hinted {
    /// The name of the stream that contains the callback.
    pub inbound: String,
    pub due: Moment,
}
impl Personals for Hinted {}

/// The approval is no longer needed. The desk withdraws the ticket in the external ITSM, if it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawalRequested {
    /// The reason. The external ITSM gets it as the message of the withdrawal.
    pub reason: String,
    /// The time of the next request to the external ITSM.
    pub due: Moment,
}
impl Personals for WithdrawalRequested {}

/// The reason why the application (request for approval) ended: a callback arrived or failed, the time of the next poll
/// was reached, a comparison found the end, or the approval was no longer needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A callback with a valid token arrived.
    Callback,
    /// The time of the next read was reached.
    Poll,
    /// The external ITSM reported that its callback failed.
    CallbackFailedTicket,
    /// The regular comparison of all open applications with the external ITSM found that the external ticket has ended, or
    /// that the external ITSM does not list it. Earlier versions stored `poll` for this.
    Reconcile,
    /// The approval was no longer needed.
    Withdrawal,
}

/// The application (request for approval) ended: the external ITSM decided, rejected the request of the desk, or
/// the application was withdrawn. If the ticket of the desk does not store the result before the
/// time `due`, the desk sends the result again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    pub attempt: u32,
    pub cause: Cause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// True if the external ITSM granted or refused the approval. False if there is no decision: the request was
    /// rejected, or the application was withdrawn.
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The URLs of the external ticket, if they are new.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Completed {}

/// The application (request for approval) expired, because the external ITSM did not decide in time. A person
/// must act at the node of the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub reason: String,
    pub due: Moment,
}
impl Personals for Expired {}

/// The application (request for approval) was closed: the desk has no more work for this application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// True if the ticket stored the result, or if the consequence of an application without a ticket was done. False
    /// if the ticket did not wait for the result any more, or if the consequence failed.
    pub recorded: bool,
    /// The ticket that the desk opened as the consequence of a granted application without a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<TicketSn>,
    /// The reason why the desk could not do the consequence. The text is empty if nothing failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}
impl Personals for Closed {}
