//! The events of a ticket, in the stream `ticket-<sn>`. One commit contains all events that follow
//! from one command.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::personal::of_entries;
use crate::workflow::service_task::Executor;
use crate::{
    CategoryId, Entry, Moment, NodeId, PersonId, Personal, Remark, ServiceId, TicketSn,
    TransitionId, WorkflowId,
};

/// The deadline id of the automatic rating. The desk rates an ended ticket at this deadline.
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
    /// Returns true if the event is work on the ticket. Remarks, followers, ratings, reminders and
    /// links are not work.
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
    /// Returns the person who acted at a node with this event. Returns `None` for all other events.
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
    /// Returns true if the event ends the ticket.
    pub fn ends(&self) -> bool {
        matches!(
            self,
            Self::Finished(_) | Self::Terminated(_) | Self::Withdrawn(_) | Self::Closed(_)
        )
    }
}

/// The four built-in service types. The type determines the prefix of the ticket number, and the
/// first digit of the integer id.
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
    /// Returns the prefix of the ticket numbers of this type.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Request => "REQ",
            Self::Change => "CRQ",
            Self::Event => "INC",
            Self::Question => "PBI",
        }
    }
    /// Returns the first digit of the integer ids of this type, for BlueKing clients.
    pub fn digit(self) -> i64 {
        match self {
            Self::Request => 1,
            Self::Change => 2,
            Self::Event => 3,
            Self::Question => 4,
        }
    }
    /// Returns the wire value of the type.
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
    /// The integer id: the digit of the type, the date and the counter, written as one number. The
    /// id is below 2^53.
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
    /// The id of the ticket's business; -1 if the ticket belongs to no business.
    pub bk_biz_id: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackTarget>,
    /// True if all free text of the ticket is sealed under the creator's key. Later changes of the
    /// service do not change this value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seals_text: bool,
    /// The processors whom the client chose for certain nodes (`meta.state_processors`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chosen_processors: BTreeMap<NodeId, Vec<PersonId>>,
    /// The person who submitted the ticket for the creator; absent if the creator submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<PersonId>,
    /// Additional read-only fields that the client supplied for display.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dynamic_fields: Vec<DynamicField>,
    /// The names of fields in other languages. The outer key is the field key, the inner key the
    /// language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of the secret that contains the variables for automatic nodes (`meta.envs`). The
    /// key store contains the values, because a value may be confidential.
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

/// The receiver of callbacks about the ticket. The URL and the headers may contain secrets. The key
/// store therefore contains the URL and the headers, and the event only the name of the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackTarget {
    /// The host of the URL, so that people can recognize the receiver.
    pub host: String,
    /// The name of the secret that contains the URL and the headers. Equal contents get the same
    /// name.
    pub secret: String,
    /// True if the receiver also gets the changes of status before the ticket ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_status: bool,
}

/// A priority, and the impact and urgency from which the priority follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    pub key: String,
    pub impact: String,
    pub urgency: String,
}

/// One row of a foreign log was imported without changes. `occurred_at` is the time in the row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowImported {
    /// The time in the row. The time is stored as `occurred_at` of the event, outside the data.
    #[serde(skip)]
    pub occurred_at: Moment,
    pub source: String,
    pub case: String,
    /// The fingerprint of the file's content. `line` is the line number of the row in this file.
    pub file: String,
    pub line: u64,
    /// The fingerprint of the row's text, keyed with a key of the desk. The fingerprint identifies
    /// an equal row in another file. Names cannot be guessed from the fingerprint.
    pub row: String,
    /// The number of rows with the same text in this case, from the start of the file up to and
    /// including this row.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub nth: u32,
    /// The name of the state in the foreign system.
    pub state: String,
    /// The phase that the mapping of the import assigns to the state.
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
    /// The time zone of the times in the foreign log; empty for UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// The times of the row under names such as `opened`, `resolved` and `closed`. Unknown times
    /// are absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, Moment>,
    /// The numbers of the row under the names of the mapping. Unknown numbers are absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, i64>,
    /// The other columns that the mapping selects, by column name.
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

/// The phase of the work that a foreign state represents.
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
    /// Returns true if the work is done: the processors resolved the case, or the requester closed
    /// the case.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Resolved | Self::Closed)
    }
}

/// The status of a node run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NodeStatus {
    Distributing,
    Receiving,
    Running,
    Finished,
    Terminated,
    /// A person must act, because no transition matches or an automatic node failed.
    Failed,
}

/// The workflow run entered a node. The processors are resolved at this time and stored in the
/// event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEntered {
    pub node: NodeId,
    pub name: String,
    /// The number of the round: 1 for the first run of the node, one more for each later run.
    pub round: u32,
    pub status: NodeStatus,
    pub processors_type: String,
    /// The people who may process the node. Empty if `processors_type` is `OPEN`, because every
    /// person may act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<PersonId>,
    /// True if the desk executes the node. People act at such a node only after a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The aggregate that executes the service task of an automatic node.
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
    /// True if the desk claimed the node, because only one person could claim the node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The reason that the person gave; empty if no reason was given.
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
    /// The processor whose vote the new processors take over in a countersign; the other processors
    /// remain. Absent if the whole node is transferred.
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
    /// True if the desk cast the vote for the creator, because the submission counts as approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The reason of the approver. The reason is stored here even if a field of the form contains
    /// the same text.
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

/// A node was completed. Conditions of later transitions can read the form and the outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeCompleted {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub by: PersonId,
    /// The result of an approval node: true if the approval was passed. Absent for other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Entry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The reason that the person gave; empty if no reason was given.
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

/// The workflow run took a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionTaken {
    pub transition: TransitionId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub from: NodeId,
    pub to: NodeId,
    /// Every evaluated clause and its result. Empty if no condition was evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<Tested>,
    /// The manager who chose the transition. Absent if the condition of the transition matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// The reason that the manager gave; empty if no manager chose the transition.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for TransitionTaken {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// No transition from the node matches. The status of the node is `FAILED` until a person acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionMissing {
    pub node: NodeId,
    pub name: String,
    pub tested: Vec<Tested>,
}
impl Personals for TransitionMissing {}

/// One evaluated clause of a condition, and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    pub transition: TransitionId,
    /// The clause as text, `key operator expected`, cut at 256 bytes.
    pub clause: String,
    /// The value of the key, cut at 256 bytes. A personal value is replaced by `<personal>`.
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
    /// The reason that the person gave; empty if no reason was given.
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
    /// The reason that the person gave; empty if no reason was given.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Withdrawn {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A person or a rejected approval ended the ticket early, either at one node (`node`) or as a
/// whole.
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

/// The workflow run reached the END node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub approve_result: bool,
    /// The instant at which the desk rates the ticket if the creator has not rated the ticket.
    /// Absent if the service sets no number of days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Finished {}

/// The workflow run took every matching transition of a parallel gateway. The branches now run in
/// parallel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchesStarted {
    pub node: NodeId,
    pub name: String,
    pub branches: Vec<TransitionId>,
}
impl Personals for BranchesStarted {}

/// A branch reached the join of its parallel gateway. The run leaves the join after the last branch
/// has arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchJoined {
    pub node: NodeId,
    pub name: String,
    /// The parallel gateway at which the branch started. `branch` is the first transition of the
    /// branch.
    pub fork: NodeId,
    pub branch: TransitionId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<TransitionId>,
}
impl Personals for BranchJoined {}

/// The API call of an automatic node returned a result. The result is applied in the same commit.
/// If the ticket is suspended or a child, a later commit applies the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeResultReceived {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the API call within the round: 1 for the first call, one more for each retry
    /// by a person.
    pub attempt: u32,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The id of the task in the external system. A retry can continue this task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// The reason of a failure as text; empty if the API call succeeded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for NodeResultReceived {}

/// An automatic node failed. The node waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFailed {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub reason: String,
}
impl Personals for NodeFailed {}

/// A person retried a failed automatic node, possibly with other inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRetried {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub attempt: u32,
    /// Values that replace fields and variables with the same key, in this API call only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The reason that the person gave; empty if no reason was given.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeRetried {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A node was skipped, because the node has no processors or because a person ignored its failure.
/// A person who ignores a failure may supply the outputs of the node.
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

/// A manager reassigned a node to other people (BlueKing: exception distribution). The configured
/// range of processors does not apply.
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

/// The workflow run entered a node without processors. An owner of the service must reassign the
/// node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessorsMissing {
    pub node: NodeId,
    pub name: String,
}
impl Personals for ProcessorsMissing {}

/// A node set the status that the running ticket displays from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusSet {
    pub status: String,
    /// The node that set the status.
    pub node: NodeId,
}
impl Personals for StatusSet {}

/// The ticket was ended with an explicit final status, by a manager or by a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub by: PersonId,
    pub status: String,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
    pub approve_result: bool,
    /// The instant at which the desk rates the ticket. Absent if the final status is not finished,
    /// or if the service sets no number of days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Closed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// Values of fields were changed after the form was submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldsChanged {
    pub by: PersonId,
    /// The names of the changed fields at the time of the change, for display.
    pub names: Vec<String>,
    pub form: Vec<Entry>,
}
impl Personals for FieldsChanged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form)
    }
}

/// The priority of the ticket was changed, because a person chose a priority or changed impact or
/// urgency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriorityChanged {
    pub priority: Priority,
}
impl Personals for PriorityChanged {}

/// A person added a remark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemarkAdded {
    /// The number of the remark within the ticket: 1, 2, 3 and so on.
    pub id: u64,
    pub by: PersonId,
    /// The id of the remark to which this remark replies; absent if the remark is not a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    pub text: Remark,
    /// The people whom the remark mentions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<PersonId>,
    /// True if only the people who work on the ticket may read the remark. The creator may not read
    /// such a remark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
}
impl Personals for RemarkAdded {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.text.personal.iter_mut().collect()
    }
}

/// People were added to the followers (`follows` is true) or removed from the followers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowersChanged {
    pub by: PersonId,
    pub people: Vec<PersonId>,
    pub follows: bool,
    /// True if the new followers may see the whole ticket, because the person who added the
    /// followers may see the ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invited: bool,
}
impl Personals for FollowersChanged {}

/// The ticket was rated by its creator or agent, or by the desk after the deadline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    pub by: PersonId,
    /// The rating, from 1 to 5 stars.
    pub stars: u8,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub comment: Remark,
}
impl Personals for Rated {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.comment.personal.iter_mut().collect()
    }
}

/// A person reminded the current processors.
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

/// The relation between this ticket and another ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// This ticket was raised from the other ticket.
    RaisedFrom,
    /// The other ticket was raised from this ticket.
    Raised,
    /// The tickets are related, and neither ticket depends on the other.
    Related,
    /// This ticket is a child of the other ticket. A child ends with its parent, and people cannot
    /// process a child.
    ChildOf,
    /// The other ticket is a child of this ticket.
    ParentOf,
}

impl Relation {
    /// Returns the relation that the other ticket records.
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

/// A relation to another ticket was added. The other ticket records the inverse relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linked {
    pub by: PersonId,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Linked {}

/// A relation to another ticket was removed. The history still contains the former relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unlinked {
    pub by: PersonId,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Unlinked {}

/// A processor acknowledged the node: the processor responded, but has not completed the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: PersonId,
    pub node: NodeId,
    pub name: String,
    /// The reason that the person gave; empty if no reason was given.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Acknowledged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The node was escalated to the next level. The leaders of the processors, or the owners of the
/// service, become processors too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalated {
    pub by: PersonId,
    pub node: NodeId,
    pub name: String,
    /// The number of the escalation: 1 for the first escalation of the node.
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
