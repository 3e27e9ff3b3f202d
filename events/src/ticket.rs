//! The events of a ticket, in the stream `ticket-<sn>` (`sn` is the ticket number). All events that
//! follow from one command are stored in one commit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::personal::of_entries;
use crate::workflow::service_task::Executor;
use crate::{
    CategoryId, Entry, Moment, NodeId, PersonId, Personal, Remark, ServiceId, TicketSn,
    TransitionId, WorkflowId,
};

/// The id of the deadline at which the desk rates an ended ticket automatically.
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
    /// Returns true if the event counts as work on the ticket. Remarks, changes of followers,
    /// ratings, reminders and links do not count as work.
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
    /// Returns the person who acted at a node with this event. Returns `None` if the event is not
    /// an action of a person at a node.
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
    /// Returns true if the ticket ends with this event.
    pub fn ends(&self) -> bool {
        matches!(
            self,
            Self::Finished(_) | Self::Terminated(_) | Self::Withdrawn(_) | Self::Closed(_)
        )
    }
}

/// The four service types. The service type of a ticket determines the first letters of the ticket
/// number and the first digit of the integer id.
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
    /// Returns the first letters of the ticket numbers of this service type.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Request => "REQ",
            Self::Change => "CRQ",
            Self::Event => "INC",
            Self::Question => "PBI",
        }
    }
    /// Returns the first digit of the integer ids of this service type. Only BlueKing clients use
    /// integer ids.
    pub fn digit(self) -> i64 {
        match self {
            Self::Request => 1,
            Self::Change => 2,
            Self::Event => 3,
            Self::Question => 4,
        }
    }
    /// Returns the text of the service type in events and in the APIs.
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
    /// The integer id of the ticket for BlueKing clients. The digits are: one digit for the service
    /// type, the date, and the daily counter. The id is always below 2^53.
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
    /// True if all free text of the ticket is encrypted under the creator's key. The value is
    /// copied from the service when the ticket opens, and later changes of the service have no
    /// effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seals_text: bool,
    /// For certain nodes, the processors whom the client chose in the request
    /// (`meta.state_processors`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chosen_processors: BTreeMap<NodeId, Vec<PersonId>>,
    /// The person who submitted the ticket for the creator. Absent if the creator submitted the
    /// ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<PersonId>,
    /// Additional read-only fields that the client supplied for display.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dynamic_fields: Vec<DynamicField>,
    /// The translated names of the fields. The outer key is the field key, and the inner key is the
    /// language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of the secret that contains the variables for automatic nodes (`meta.envs`). A
    /// variable may be confidential, so the values are in the key store and not in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<String>,
    /// The notification settings that the client sent (`meta.notify_config`).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub notify_config: serde_json::Value,
}
impl Personals for Opened {}

/// A field that is only displayed (`dynamic_fields`, reference/bk-itsm.md 3.1).
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

/// The receiver of the callbacks for this ticket. The URL and the headers may contain confidential
/// values, so they are in the key store. The event contains only the name of this secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackTarget {
    /// The host name of the receiver, so that people can identify the receiver.
    pub host: String,
    /// The name of the secret that contains the URL and the headers. Two secrets with equal
    /// contents have the same name.
    pub secret: String,
    /// True if callbacks also report changes of the status before the ticket ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_status: bool,
}

/// A priority, with the impact and the urgency that determine it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    pub key: String,
    pub impact: String,
    pub urgency: String,
}

/// One row of the log of another system was imported without changes. `occurred_at` is the time in
/// this row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowImported {
    /// The time in the imported row. It is stored as `occurred_at` of the event, outside of the
    /// event data.
    #[serde(skip)]
    pub occurred_at: Moment,
    pub source: String,
    pub case: String,
    /// The hash of the content of the imported file. `line` is the number of the line in this file.
    pub file: String,
    pub line: u64,
    /// The hash of the text of the row, computed with a secret key of the desk. Equal rows have the
    /// same hash, even in different files. The secret key prevents others from guessing names with
    /// this hash.
    pub row: String,
    /// The position of this row among all rows of the case with the same text. The first such row
    /// in the file has the number 1.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub nth: u32,
    /// The name of the state in the other system.
    pub state: String,
    /// The phase of the state. The mapping file of the import assigns a phase to each state.
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
    /// The time zone of the times in the imported log. The text is empty for UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// The times of the row by name, such as `opened`, `resolved` and `closed`. A time that is
    /// unknown is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, Moment>,
    /// The numeric values of the row, by the names in the mapping file. A number that is unknown is
    /// absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, i64>,
    /// Further columns of the row that the mapping file selects, by the name of the column.
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

/// The phase of the work on a case. Each state of another system belongs to one phase.
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
    /// Returns true if the work is done. Either the case is resolved, or the requester has closed
    /// the case.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Resolved | Self::Closed)
    }
}

/// The status of a run of a node. A node can run several times in one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NodeStatus {
    Distributing,
    Receiving,
    Running,
    Finished,
    Terminated,
    /// A person must act, because no transition matches or because an automatic node failed.
    Failed,
}

/// The ticket entered a node. The people who may process the node are selected at this time and
/// stored in the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEntered {
    pub node: NodeId,
    pub name: String,
    /// The number of this run of the node. The first run has number 1, and each further run adds 1.
    pub round: u32,
    pub status: NodeStatus,
    pub processors_type: String,
    /// The people who may process the node. The list is empty if `processors_type` is `OPEN`,
    /// because every person may act in this case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<PersonId>,
    /// True if the desk itself executes the node. People act at such a node only after a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The aggregate that executes the work of an automatic node, for example an API call.
    #[serde(default, skip_serializing_if = "Executor::is_api_call")]
    pub executor: Executor,
    /// True if the processors of the node vote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
}
impl Personals for NodeEntered {}

/// A person claimed the node and is now its only processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeClaimed {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    /// True if the desk claimed the node for the only person who could claim the node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The reason that the person entered. The text is empty if the person entered no reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeClaimed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// An assignor chose the processors of the node.
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

/// A processor transferred the node to other people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeTransferred {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub processors_type: String,
    pub processors: Vec<PersonId>,
    /// In a countersign (a vote of all processors), the processor whose vote passes to the new
    /// processors. All other processors remain. Absent if the whole node was transferred.
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
    /// True if the desk cast the vote for the creator. This is possible if the workflow counts the
    /// submission as an approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The reason of the vote. It is stored here even if a field of the form contains the same
    /// text.
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

/// A node was completed. The values of its form and its outputs can be used in the conditions of
/// later transitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeCompleted {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub by: PersonId,
    /// The result of an approval node: true for an approval, false for a rejection. Absent for
    /// other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Entry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The reason that the person entered. The text is empty if the person entered no reason.
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

/// The ticket left a node along a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionTaken {
    pub transition: TransitionId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub from: NodeId,
    pub to: NodeId,
    /// The evaluated clauses of the conditions, with their results. The list is empty if no
    /// condition was evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<Tested>,
    /// The manager who chose the transition. Absent if the transition was taken automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// The reason that the manager entered. The text is empty if no manager chose the transition.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for TransitionTaken {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// No transition of the node matches. The node has the status `FAILED` until a person acts.
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
    /// The clause as text in the form `key operator expected`. A longer text is cut at 256 bytes.
    pub clause: String,
    /// The value of the key at the evaluation. A longer text is cut at 256 bytes. For a personal
    /// value, the text is `<personal>`.
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

/// The ticket was resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    pub by: PersonId,
    /// The reason that the person entered. The text is empty if the person entered no reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Resumed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The ticket was withdrawn, by the creator or by a superuser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub by: PersonId,
    pub approve_result: bool,
    /// The reason that the person entered. The text is empty if the person entered no reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Withdrawn {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The ticket ended early. The cause is a person or a rejection at an approval node. `node` is
/// absent if the ticket was ended as a whole.
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
    /// The instant at which the desk rates the ticket automatically if the creator does not rate
    /// the ticket before. Absent if the service defines no number of days for this rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Finished {}

/// The ticket reached a parallel gateway and took each transition whose condition is true. Several
/// branches are active at the same time now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchesStarted {
    pub node: NodeId,
    pub name: String,
    pub branches: Vec<TransitionId>,
}
impl Personals for BranchesStarted {}

/// A branch reached the join of its parallel gateway. After the last branch, the ticket continues
/// after the join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchJoined {
    pub node: NodeId,
    pub name: String,
    /// The parallel gateway at which the branch started. `branch` is the id of the first transition
    /// of the branch.
    pub fork: NodeId,
    pub branch: TransitionId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<TransitionId>,
}
impl Personals for BranchJoined {}

/// The result of the API call of an automatic node arrived. Normally the result is applied in the
/// same commit. If the ticket is suspended or is a child ticket, a later commit applies the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeResultReceived {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the API call within the current run of the node. The first call has number 1,
    /// and each retry by a person adds 1.
    pub attempt: u32,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The id of the task in the external system, for example in BlueKing SOPS. A retry can
    /// continue this task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// The reason of a failure. The text is empty if the API call was successful.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for NodeResultReceived {}

/// An automatic node failed. The node now waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFailed {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub reason: String,
}
impl Personals for NodeFailed {}

/// A person repeated a failed automatic node, possibly with changed inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRetried {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub attempt: u32,
    /// Values that a person entered for this API call only. They replace the values of fields and
    /// variables with the same key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The reason that the person entered. The text is empty if the person entered no reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeRetried {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A node was skipped. Either the node has no processors, or a person ignored its failure. In the
/// second case, the person may enter the output variables of the node.
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

/// A manager replaced the processors of a node with other people (BlueKing: exception
/// distribution). The configured limits for processors do not apply.
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

/// The ticket entered a node that has no processors. A service owner must assign other people to
/// the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessorsMissing {
    pub node: NodeId,
    pub name: String,
}
impl Personals for ProcessorsMissing {}

/// A node set the status that a running ticket displays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusSet {
    pub status: String,
    /// The node that set the status.
    pub node: NodeId,
}
impl Personals for StatusSet {}

/// A manager or a node ended the ticket with a final status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub by: PersonId,
    pub status: String,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
    pub approve_result: bool,
    /// The instant at which the desk rates the ticket automatically. Absent if the ticket was not
    /// finished normally, or if the service defines no number of days for this rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Closed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// Values of the form were changed after the form was submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldsChanged {
    pub by: PersonId,
    /// The names of the changed fields for display. The names are those at the time of the change.
    pub names: Vec<String>,
    pub form: Vec<Entry>,
}
impl Personals for FieldsChanged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form)
    }
}

/// The priority of the ticket changed. A person chose another priority, or changed the impact or
/// the urgency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriorityChanged {
    pub priority: Priority,
}
impl Personals for PriorityChanged {}

/// A person added a remark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemarkAdded {
    /// The number of the remark within the ticket. The first remark has number 1.
    pub id: u64,
    pub by: PersonId,
    /// The number of the remark to which this remark is a reply. Absent if the remark is not a
    /// reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    pub text: Remark,
    /// The people who are mentioned in the remark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<PersonId>,
    /// True if only the people who work on the ticket may read the remark. The creator of the
    /// ticket may not read such a remark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
}
impl Personals for RemarkAdded {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.text.personal.iter_mut().collect()
    }
}

/// People became followers of the ticket (`follows` is true), or stopped being followers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowersChanged {
    pub by: PersonId,
    pub people: Vec<PersonId>,
    pub follows: bool,
    /// True if the new followers may see the whole ticket. This is the case if the person who added
    /// them may see the whole ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invited: bool,
}
impl Personals for FollowersChanged {}

/// The ticket was rated. The creator or the agent gave the rating, or the desk gave the rating
/// after the deadline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    pub by: PersonId,
    /// The number of stars of the rating, from 1 to 5.
    pub stars: u8,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub comment: Remark,
}
impl Personals for Rated {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.comment.personal.iter_mut().collect()
    }
}

/// A person reminded the current processors of their work.
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
    /// A person opened this ticket from the other ticket.
    RaisedFrom,
    /// A person opened the other ticket from this ticket.
    Raised,
    /// The tickets belong to the same subject. Neither ticket depends on the other ticket.
    Related,
    /// This ticket is a child of the other ticket. A child ends when its parent ends, and people
    /// cannot process a child.
    ChildOf,
    /// The other ticket is a child of this ticket.
    ParentOf,
}

impl Relation {
    /// Returns the kind of link that the other ticket must record.
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

/// A link to another ticket was added. The other ticket records the opposite kind of link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linked {
    pub by: PersonId,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Linked {}

/// A link to another ticket was removed. The old events of the link remain in the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unlinked {
    pub by: PersonId,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Unlinked {}

/// A processor acknowledged the work at a node. The processor has seen the work but has not
/// completed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: PersonId,
    pub node: NodeId,
    pub name: String,
    /// The reason that the person entered. The text is empty if the person entered no reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Acknowledged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The work at a node was escalated to the next level. Additional people became processors: the
/// leaders of the processors, or the service owners.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalated {
    pub by: PersonId,
    pub node: NodeId,
    pub name: String,
    /// The number of the escalation. The first escalation of the node has number 1.
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
