//! Defines the events of one ticket. The events are stored in the stream `ticket-<sn>`, where `sn` is the
//! ticket number. If one command creates several events, one commit contains all these events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::personal::of_entries;
use crate::workflow::service_task::Executor;
use crate::{
    AttachmentId, CategoryId, Entry, Moment, NodeId, PersonId, Personal, Remark, ServiceId,
    TicketSn, TransitionId, WorkflowId,
};

/// The id of the deadline for an automatic rating. The desk rates an ended ticket at this deadline if the
/// creator has not rated the ticket before.
pub const RATE: &str = "rate";

event_enum! {
    /// The events of one ticket.
    TicketEvent of "ticket" {
        Opened "ticket.opened" 1,
        RowImported "ticket.row_imported" 1,
        NodeEntered "ticket.node_entered" 1,
        NodeClaimed "ticket.node_claimed" 1,
        NodeAssigned "ticket.node_assigned" 1,
        NodeTransferred "ticket.node_transferred" 1,
        VoteCast "ticket.vote_cast" 1,
        NodeCompleted "ticket.node_completed" 1,
        TransitionTaken "ticket.transition_taken" 1,
        TransitionMissing "ticket.transition_missing" 1,
        Suspended "ticket.suspended" 1,
        Resumed "ticket.resumed" 1,
        Withdrawn "ticket.withdrawn" 1,
        Terminated "ticket.terminated" 1,
        Finished "ticket.finished" 1,
        BranchesStarted "ticket.branches_started" 1,
        BranchJoined "ticket.branch_joined" 1,
        NodeResultReceived "ticket.node_result_received" 1,
        NodeFailed "ticket.node_failed" 1,
        NodeRetried "ticket.node_retried" 1,
        NodeSkipped "ticket.node_skipped" 1,
        NodeReassigned "ticket.node_reassigned" 1,
        ProcessorsMissing "ticket.processors_missing" 1,
        StatusSet "ticket.status_set" 1,
        Closed "ticket.closed" 1,
        FieldsChanged "ticket.fields_changed" 1,
        PriorityChanged "ticket.priority_changed" 1,
        RemarkAdded "ticket.remark_added" 1,
        FollowersChanged "ticket.followers_changed" 1,
        Rated "ticket.rated" 1,
        Reminded "ticket.reminded" 1,
        Linked "ticket.linked" 1,
        Unlinked "ticket.unlinked" 1,
        Acknowledged "ticket.acknowledged" 1,
        Escalated "ticket.escalated" 1,
    }
    occurred |event: &TicketEvent| match event {
        TicketEvent::RowImported(row) => Some(row.occurred_at),
        _ => None,
    };
    deadlines |event: &TicketEvent| match event {
        TicketEvent::Finished(Finished { rate_by: Some(rate_by), .. }) | TicketEvent::Closed(Closed { rate_by: Some(rate_by), .. }) => vec![DeadlineChange::set(RATE, *rate_by)],
        TicketEvent::Rated(_) => vec![DeadlineChange::clear(RATE)],
        _ => Vec::new(),
    };
}

impl TicketEvent {
    /// Returns true if the event counts as work on the ticket. Remarks, reminders, ratings, links between
    /// tickets and changes of the followers (people who watch the ticket) do not count as work.
    pub fn is_work(&self) -> bool {
        !matches!(
            self,
            Self::FollowersChanged(_)
                | Self::RemarkAdded(_)
                | Self::Rated(_)
                | Self::Reminded(_)
                | Self::Linked(_)
                | Self::Unlinked(_)
        )
    }
    /// Returns the person who acted at a node, if this event records an action at a node. Returns `None` for
    /// all other events.
    pub fn handled_by(&self) -> Option<&PersonId> {
        match self {
            Self::NodeClaimed(claimed) => Some(&claimed.by),
            Self::NodeAssigned(assigned) => Some(&assigned.by),
            Self::NodeTransferred(transferred) => Some(&transferred.by),
            Self::VoteCast(vote) => Some(&vote.by),
            Self::NodeCompleted(completed) => Some(&completed.by),
            Self::NodeSkipped(skipped) => Some(&skipped.by),
            Self::NodeRetried(retried) => Some(&retried.by),
            Self::NodeReassigned(reassigned) => Some(&reassigned.by),
            _ => None,
        }
    }
    /// Returns the person who acted on the ticket as a whole, if this event records such an action. Returns `None`
    /// for actions at a node and for all other events.
    pub fn acted_by(&self) -> Option<&PersonId> {
        match self {
            Self::Suspended(suspended) => Some(&suspended.by),
            Self::Resumed(resumed) => Some(&resumed.by),
            Self::Withdrawn(withdrawn) => Some(&withdrawn.by),
            Self::Terminated(terminated) => Some(&terminated.by),
            Self::Closed(closed) => Some(&closed.by),
            Self::FieldsChanged(changed) => Some(&changed.by),
            Self::Acknowledged(acknowledged) => Some(&acknowledged.by),
            Self::Escalated(escalated) => Some(&escalated.by),
            Self::TransitionTaken(taken) => taken.by.as_ref(),
            _ => None,
        }
    }
    /// Returns true if the ticket ends with this event.
    pub fn ends(&self) -> bool {
        matches!(
            self,
            Self::Finished(_) | Self::Terminated(_) | Self::Withdrawn(_) | Self::Closed(_)
        )
    }
}

/// The four service types. Each ticket has the service type of its service. The service type determines the
/// first letters of the ticket number and the first digit of the integer id of the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    Request,
    Change,
    Event,
    Question,
}

impl ServiceKind {
    pub const ALL: [Self; 4] = [Self::Request, Self::Change, Self::Event, Self::Question];
    /// Returns the first letters of the ticket number for tickets of this service type.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Request => "REQ",
            Self::Change => "CRQ",
            Self::Event => "INC",
            Self::Question => "PBI",
        }
    }
    /// Returns the first digit of the integer ticket id for tickets of this service type. Only BlueKing
    /// clients use integer ids.
    pub fn digit(self) -> i64 {
        match self {
            Self::Request => 1,
            Self::Change => 2,
            Self::Event => 3,
            Self::Question => 4,
        }
    }
    /// Returns the text that represents the service type in events and in the APIs.
    pub fn key(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Change => "change",
            Self::Event => "event",
            Self::Question => "question",
        }
    }
}

/// The ticket was submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub sn: TicketSn,
    /// The integer id of the ticket. Only BlueKing clients use this id. The id consists of one digit for the
    /// service type, the date, and a counter that starts again each day. The id is always below 2^53.
    pub id: i64,
    pub kind: ServiceKind,
    pub service: ServiceId,
    pub service_name: String,
    pub workflow: WorkflowId,
    pub workflow_version: i64,
    pub catalog: CategoryId,
    pub creator: PersonId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The id of the business to which the ticket belongs. The id is -1 if the ticket belongs to no
    /// business.
    pub bk_biz_id: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackTarget>,
    /// True if all free text of the ticket is encrypted with the creator's key. The value is copied from the
    /// service when the ticket opens. If the service changes later, this value does not change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seals_text: bool,
    /// The processors (people who may process a node) that the API client chose for each node. The client
    /// sent the processors in `meta.state_processors` when it opened the ticket. The map contains only the
    /// nodes for which the client chose processors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chosen_processors: BTreeMap<NodeId, Vec<PersonId>>,
    /// The person who submitted the ticket on behalf of the creator. The value is absent if the creator
    /// submitted the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<PersonId>,
    /// Additional fields that the API client sent when it opened the ticket. People can read the additional
    /// fields but cannot change the fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dynamic_fields: Vec<DynamicField>,
    /// The names of form fields in several languages. The outer key is the key of a field, and the inner key
    /// is the language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of a secret in the key store. The secret contains variables for automatic nodes. The API
    /// client sent these variables in `meta.envs` when it opened the ticket. The event does not contain the
    /// values of the variables, because these values can be confidential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<String>,
    /// The notification settings that the API client sent in `meta.notify_config` when it opened the ticket.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub notify_config: serde_json::Value,
}
impl Personals for Opened {}

/// An additional field that people can read but not change. The API client that opens a ticket sends the
/// additional fields in the member `dynamic_fields` (reference/bk-itsm.md 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DynamicField {
    pub key: String,
    pub name: String,
    /// The type of the field: `STRING`, `INT` or `LINK`.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub meta: serde_json::Value,
}

/// The receiver of the callbacks for a ticket. A callback is an HTTP request that reports a change of the
/// ticket. The URL and the headers of the receiver can be confidential. The desk therefore stores the URL and
/// the headers as a secret in the key store. The event contains only the name of this secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackTarget {
    /// The host name of the receiver. People see this name and can recognize the receiver.
    pub host: String,
    /// The name of a secret in the key store. The secret contains the URL and the headers for the callbacks.
    /// If two tickets have the same URL and headers, both use the same secret.
    pub secret: String,
    /// True if the desk sends a callback for each change of the ticket status. If the value is false, the
    /// desk sends a callback only when the ticket ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_status: bool,
}

/// The priority of a ticket. The members `impact` and `urgency` contain the impact and the urgency of the
/// ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    pub key: String,
    pub impact: String,
    pub urgency: String,
}

/// A row from the log of another system was imported without changes. The time in the row is stored as
/// `occurred_at`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowImported {
    /// The time in the imported row. The ledger stores this time as `occurred_at` of the event, outside of
    /// the event data.
    #[serde(skip)]
    pub occurred_at: Moment,
    pub source: String,
    pub case: String,
    /// The hash of the imported file's content. The member `line` is the number of the row's line in this
    /// file.
    pub file: String,
    pub line: u64,
    /// The keyed hash of the row's text. Only the desk has the key. Other people therefore cannot find the
    /// text by computing the hashes of guessed texts. Equal rows have the same hash, even in different files.
    pub row: String,
    /// The position of this row among all rows of its ticket that have the same text. The first of these rows
    /// in the file has the position 1. The position distinguishes rows with equal texts.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub nth: u32,
    /// The name of the ticket's state in the other system.
    pub state: String,
    /// The phase of the work to which the member `state` belongs. The mapping file of the import assigns a
    /// phase to each state.
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actor: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub impact: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub urgency: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub priority: String,
    /// The name of the time zone for the times in the imported log. The name is empty if the times are in
    /// UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// The times in the row, such as `opened`, `resolved` and `closed`. Each key of the map is the name of a
    /// time. If a time is unknown, the map does not contain this time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, Moment>,
    /// The numeric values in the row. Each key of the map is a name that the mapping file of the import
    /// defines for a value. If a number is unknown, the map does not contain this number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, i64>,
    /// The other columns of the row that the mapping file of the import selects. Each key of the map is the
    /// name of a column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
}
impl Personals for RowImported {}

fn first() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_first(nth: &u32) -> bool {
    *nth == 1
}

/// The phase of the work on a ticket that was imported from the log of another system. The mapping file of
/// the import assigns each state of the other system to one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Open,
    Waiting,
    Resolved,
    Closed,
}

impl Phase {
    /// Returns true if the work on the imported ticket is done: the ticket is resolved, or the requester has
    /// closed the ticket.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Resolved | Self::Closed)
    }
}

/// The status of one execution of a node. A ticket can execute the same node several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NodeStatus {
    Distributing,
    Receiving,
    Running,
    Finished,
    Terminated,
    /// A person must act at the node. Either no transition has a true condition, or an automatic node failed.
    Failed,
}

/// The ticket entered a node. When the ticket enters the node, the desk selects the people who may process
/// the node. The event stores these people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEntered {
    pub node: NodeId,
    pub name: String,
    /// The number of the current execution of the node. The first execution has number 1, and each repetition
    /// adds 1.
    pub round: u32,
    pub status: NodeStatus,
    pub processors_type: String,
    /// The people who may process the node. If `processors_type` is `OPEN`, every person may process the
    /// node, and the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<PersonId>,
    /// True if the desk itself executes the work of the node. People act at the node only after a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The kind of object that executes the work of an automatic node: an API call, an application (a request
    /// for approval in an external ITSM) or a mission of a robot.
    #[serde(default, skip_serializing_if = "Executor::is_api_call")]
    pub executor: Executor,
    /// True if the processors of the node (the people who may process the node) vote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
    /// True if the processors vote one after another, in the order of the list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_sequential: bool,
}
impl Personals for NodeEntered {}

/// A person claimed the node. After the claim, only this person may process the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeClaimed {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    /// True if the desk claimed the node automatically. The desk claims a node automatically if only one
    /// person can claim the node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The reason that the person entered for the claim. The reason is empty if the person entered no reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeClaimed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A person who assigns work (an assignor) chose the processors of the node (the people who may process the
/// node).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeAssigned {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub status: NodeStatus,
    pub processors_type: String,
    pub processors: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
}
impl Personals for NodeAssigned {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// A processor (a person who may process the node) transferred the node to other people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeTransferred {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub processors_type: String,
    pub processors: Vec<PersonId>,
    /// The person whose vote was transferred to other people. The value is absent if the whole node was
    /// transferred. The value is present only if all processors of the node must vote (countersign) and one
    /// vote was transferred. The other processors (people who process the node) then stay the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<PersonId>,
    pub message: Remark,
}
impl Personals for NodeTransferred {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// An approver cast a vote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoteCast {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub pass: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Entry>,
    /// True if the desk cast the vote automatically for the ticket's creator. The desk casts this vote only
    /// if the workflow counts the submission of a ticket as an approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The reason for the vote. The event stores the reason even if a form field contains the same text.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for VoteCast {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form)
            .into_iter()
            .chain(&mut self.reason.personal)
            .collect()
    }
}

/// A node was completed. The conditions of later transitions can use the values in the node's form and the
/// node's output variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeCompleted {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub by: PersonId,
    /// The result of an approval node. True means an approval, and false means a rejection. The value is
    /// absent for other kinds of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Entry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The reason that the person in `by` entered for the completion of the node. This member is empty if the
    /// person entered no reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeCompleted {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form)
            .into_iter()
            .chain(&mut self.reason.personal)
            .collect()
    }
}

/// The ticket left a node and followed a transition to the next node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionTaken {
    pub transition: TransitionId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub from: NodeId,
    pub to: NodeId,
    /// The comparisons that the desk evaluated in the conditions of transitions, each with its result. The
    /// list is empty if the desk evaluated no condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<Tested>,
    /// The manager who chose the transition. The value is absent if the desk chose the transition
    /// automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// The reason that a manager entered for the choice of the transition. The reason is empty if the desk
    /// chose the transition automatically.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for TransitionTaken {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// No transition of the node has a true condition. The node has the status `FAILED` until a person chooses
/// how the ticket continues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionMissing {
    pub node: NodeId,
    pub name: String,
    pub tested: Vec<Tested>,
}
impl Personals for TransitionMissing {}

/// One evaluated clause (comparison) of a condition, and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    pub transition: TransitionId,
    /// The comparison as text in the form `key operator expected`. A text of more than 256 bytes is cut to
    /// 256 bytes.
    pub clause: String,
    /// The value that the key had when the comparison was evaluated. A text of more than 256 bytes is cut to
    /// 256 bytes. For a personal value, the text is `<personal>`.
    pub found: String,
    pub holds: bool,
}

/// The ticket was suspended. No node can be processed until the ticket is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspended {
    pub by: PersonId,
    pub reason: Remark,
}
impl Personals for Suspended {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A suspended ticket was resumed, so people can process its nodes again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    pub by: PersonId,
    /// The reason that a person entered for the resumption. The reason is empty if the person entered no
    /// reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Resumed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The ticket was withdrawn by its creator or by a superuser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub by: PersonId,
    pub approve_result: bool,
    /// The reason that a person entered for the withdrawal. The reason is empty if the person entered no
    /// reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Withdrawn {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The ticket ended early. Either a person ended the ticket, or an approval node rejected the ticket. The
/// member `node` is absent if the ticket was not ended at a single node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terminated {
    pub by: PersonId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    pub reason: Remark,
    pub approve_result: bool,
}
impl Personals for Terminated {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The ticket reached the END node of its workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub approve_result: bool,
    /// The time at which the desk rates the ticket automatically. If the creator has rated the ticket before
    /// this time, the desk does not rate the ticket. The value is absent if the service has no setting for an
    /// automatic rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Finished {}

/// The ticket reached a parallel gateway. The ticket followed each transition whose condition is true, so
/// several branches of the workflow are active at the same time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchesStarted {
    pub node: NodeId,
    pub name: String,
    pub branches: Vec<TransitionId>,
}
impl Personals for BranchesStarted {}

/// A branch of the ticket reached the join node. All branches of a parallel gateway end at the same join
/// node. When the last branch arrives, the ticket continues with the node after the join node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchJoined {
    pub node: NodeId,
    pub name: String,
    /// The parallel gateway at which the arrived branch started. The member `branch` is the id of the first
    /// transition of this branch.
    pub fork: NodeId,
    pub branch: TransitionId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<TransitionId>,
}
impl Personals for BranchJoined {}

/// The ticket received the result of an API call. An automatic node made this call. Normally the commit with
/// this event also completes the node or marks the node as failed. If the ticket is suspended or is a child
/// of another ticket, a later commit completes the node or marks the node as failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeResultReceived {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the API call within the current execution of the node. The first call has number 1. Each
    /// time a person repeats the call, the number increases by 1.
    pub attempt: u32,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The id of the task that the call created in an external system, for example in BlueKing SOPS. If a
    /// person repeats the call, the desk can continue this task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// The reason why the API call failed. The reason is empty if the API call was successful.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for NodeResultReceived {}

/// An automatic node failed. A person must decide how the ticket continues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFailed {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub reason: String,
}
impl Personals for NodeFailed {}

/// A person repeated the work of a failed automatic node. The person may have changed the inputs of the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRetried {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub attempt: u32,
    /// The values that a person entered for the repeated work. Each key of the map is the key of a field or
    /// variable. The repeated work uses the entered value instead of the value in the ticket. The ticket
    /// itself does not change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The reason that a person entered for the repetition. The reason is empty if the person entered no
    /// reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeRetried {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A node was skipped. Either no person may process the node, or a person chose to ignore the failure of the
/// node. If a person ignores the failure, this person may enter values for the node's output variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSkipped {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub by: PersonId,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}
impl Personals for NodeSkipped {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A manager replaced the processors of a node (the people who may process the node) with other people.
/// BlueKing calls this operation "exception distribution". The manager may choose people whom the workflow
/// does not allow at this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReassigned {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub processors_type: String,
    pub processors: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
}
impl Personals for NodeReassigned {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// The ticket entered a node, but no person may process the node. An owner of the service must assign people
/// to the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessorsMissing {
    pub node: NodeId,
    pub name: String,
}
impl Personals for ProcessorsMissing {}

/// A node set a new status text for the ticket. The desk displays this text while the ticket is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusSet {
    pub status: String,
    /// The node that set this status of the ticket.
    pub node: NodeId,
}
impl Personals for StatusSet {}

/// A manager ended the ticket with a final status, or the ticket entered a node that sets a final status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub by: PersonId,
    pub status: String,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
    pub approve_result: bool,
    /// The time at which the desk rates the ticket automatically. The value is absent if the final status is
    /// not "finished", or if the service has no setting for an automatic rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Closed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A person changed values of a form after the form was submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldsChanged {
    pub by: PersonId,
    /// The display names of the changed fields. The event stores the names that the fields had at the time of
    /// the change.
    pub names: Vec<String>,
    pub form: Vec<Entry>,
}
impl Personals for FieldsChanged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form)
    }
}

/// The priority of the ticket changed. Either a person chose another priority, or a person changed the impact
/// or the urgency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriorityChanged {
    pub priority: Priority,
}
impl Personals for PriorityChanged {}

/// A person added a remark to the ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemarkAdded {
    /// The number of the remark within the ticket. The first remark has number 1.
    pub id: u64,
    pub by: PersonId,
    /// The number of the remark that this remark answers. The value is absent if this remark answers no other
    /// remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    pub text: Remark,
    /// The people who are mentioned in the remark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<PersonId>,
    /// True if only the people who work on the ticket may read the remark. The creator of the ticket may not
    /// read this remark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// The uploaded files that belong to the remark, such as the attachments of a mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<AttachmentId>,
}
impl Personals for RemarkAdded {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.text.personal.iter_mut().collect()
    }
}

/// The followers of the ticket (people who watch the ticket) changed. If the member `follows` is true,
/// people became followers. If the member is false, people were removed from the followers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowersChanged {
    pub by: PersonId,
    pub people: Vec<PersonId>,
    pub follows: bool,
    /// True if the new followers (people who watch the ticket) may read the whole ticket. Followers get this
    /// right only from a person who may read the whole ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invited: bool,
}
impl Personals for FollowersChanged {}

/// The ticket got a rating from its creator, or from the person who submitted the ticket on behalf of the
/// creator. If the ticket has no rating at the deadline, the desk rates the ticket automatically.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    pub by: PersonId,
    /// The rating as a number of stars, from 1 to 5.
    pub stars: u8,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub comment: Remark,
}
impl Personals for Rated {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.comment.personal.iter_mut().collect()
    }
}

/// A person sent a reminder to the current processors (the people who must process the ticket).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reminded {
    pub by: PersonId,
    pub people: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
}
impl Personals for Reminded {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// The kind of link between this ticket and another ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// A person opened this ticket while working on the other ticket.
    RaisedFrom,
    /// A person opened the other ticket while working on this ticket.
    Raised,
    /// This ticket and the other ticket are about the same subject, but do not depend on each other.
    Related,
    /// This ticket is a child of the other ticket. The child ends when its parent ends. People cannot process
    /// the child.
    ChildOf,
    /// The other ticket is a child of this ticket.
    ParentOf,
}

impl Relation {
    /// Returns the kind of the same link in the other ticket. For example, if this ticket is a child of the
    /// other ticket (`ChildOf`), the other ticket has the link kind `ParentOf`.
    #[must_use]
    pub fn inverse(self) -> Self {
        match self {
            Self::RaisedFrom => Self::Raised,
            Self::Raised => Self::RaisedFrom,
            Self::Related => Self::Related,
            Self::ChildOf => Self::ParentOf,
            Self::ParentOf => Self::ChildOf,
        }
    }
}

/// A link from this ticket to another ticket was added. The other ticket stores the opposite kind of link, for
/// example `ParentOf` for `ChildOf`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linked {
    pub by: PersonId,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Linked {}

/// A link from this ticket to another ticket was removed. The event that added the link is still in the
/// ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unlinked {
    pub by: PersonId,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Unlinked {}

/// A processor (a person who must process the node) acknowledged the work at the node. This person has seen
/// the work but has not completed the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: PersonId,
    pub node: NodeId,
    pub name: String,
    /// The reason that the person in `by` entered for the acknowledgement. The reason is empty if the person
    /// entered no reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Acknowledged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The work at a node was escalated to a higher level. Additional people may now process the node: the
/// leaders of the people who must process the node, or the owners of the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalated {
    pub by: PersonId,
    pub node: NodeId,
    pub name: String,
    /// The number of this escalation at the node. The first escalation has number 1.
    pub level: u32,
    pub processors: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Escalated {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}
