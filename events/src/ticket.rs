//! The events of a ticket, in the stream `ticket-<sn>`. The events of a commit state everything
//! that followed from the command.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::personal::of_entries;
use crate::{
    CategoryId, Entry, Moment, NodeId, PersonId, Personal, Remark, ServiceId, TicketSn,
    TransitionId, WorkflowId,
};

/// The id of the deadline at which an ended ticket is rated automatically.
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
    /// Returns whether the event is work on the ticket, in contrast to collaboration such as
    /// remarks, following or rating.
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
    /// Returns the person who acted at a node with this event.
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
    /// Returns whether the event ends the ticket.
    pub fn ends(&self) -> bool {
        matches!(
            self,
            Self::Finished(_) | Self::Terminated(_) | Self::Withdrawn(_) | Self::Closed(_)
        )
    }
}

/// The four built-in service types. The type determines the prefix of the ticket number and the
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
    /// Returns the prefix of ticket numbers.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Request => "REQ",
            Self::Change => "CRQ",
            Self::Event => "INC",
            Self::Question => "PBI",
        }
    }
    /// Returns the first digit of the integer id for BlueKing clients.
    pub fn digit(self) -> i64 {
        match self {
            Self::Request => 1,
            Self::Change => 2,
            Self::Event => 3,
            Self::Question => 4,
        }
    }
    /// Returns the wire value.
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
    /// Type digit, date and counter as one number below 2^53.
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
    /// The business of the ticket; -1 for none.
    pub bk_biz_id: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackTarget>,
    /// Whether all free text of the ticket is sealed under the creator's key. Later changes of the
    /// service have no effect on the ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seals_text: bool,
    /// Processors that the client chose for nodes (`meta.state_processors`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chosen_processors: BTreeMap<NodeId, Vec<PersonId>>,
    /// The person who submitted the ticket for the creator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<PersonId>,
    /// Further read-only fields that the client displays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dynamic_fields: Vec<DynamicField>,
    /// Names of fields in other languages: field key, language, name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of the secret with the variables for automatic nodes (`meta.envs`). The key store
    /// has the values, because they may be secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<String>,
    /// The client's notification settings (`meta.notify_config`).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub notify_config: serde_json::Value,
}
impl Personals for Opened {}

/// A display-only field (`dynamic_fields`, reference/bk-itsm.md 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DynamicField {
    pub key: String,
    pub name: String,
    /// `STRING`, `INT` or `LINK`.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub meta: serde_json::Value,
}

/// The receiver of callbacks about the ticket. URL and headers may contain secrets, so the key
/// store has both and the event only their name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackTarget {
    /// The host of the URL, for people.
    pub host: String,
    /// The name of the secret with URL and headers; equal URL and headers have an equal name.
    pub secret: String,
    /// Whether the receiver also gets changes of status before the end of the ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_status: bool,
}

/// The priority with the impact and urgency that it follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    pub key: String,
    pub impact: String,
    pub urgency: String,
}

/// One unmodified row of a foreign log was imported; `occurred_at` is the time of the row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowImported {
    /// The time of the row. It is stored as the `occurred_at` of the event, outside its data.
    #[serde(skip)]
    pub occurred_at: Moment,
    pub source: String,
    pub case: String,
    /// The fingerprint of the file's content; `line` is the line of the row in this file.
    pub file: String,
    pub line: u64,
    /// A fingerprint of the row's text, keyed with a key of the desk. It identifies the same row in
    /// another file, and names cannot be guessed from it.
    pub row: String,
    /// The number of rows with this text in this case of the file so far, including this row.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub nth: u32,
    /// The state, as the source names it.
    pub state: String,
    /// The phase that the mapping assigns to the state.
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
    /// The time zone of the times in the source; empty for UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// The named times of the row (opened, resolved, closed, ...), if known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, Moment>,
    /// The named counters of the row, if known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, i64>,
    /// The other columns that the mapping selects, by their own names.
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

/// The meaning of a foreign state for the desk.
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
    /// Returns whether the work is done: resolved by the processors or closed by the requester.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Resolved | Self::Closed)
    }
}

/// The status of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NodeStatus {
    Distributing,
    Receiving,
    Running,
    Finished,
    Terminated,
    /// No transition matches, or an automatic node failed; a person must act.
    Failed,
}

/// The workflow run reached a node. The processors are resolved at this time and stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEntered {
    pub node: NodeId,
    pub name: String,
    /// 1 for the first run of the node; each return to the node starts the next round.
    pub round: u32,
    pub status: NodeStatus,
    pub processors_type: String,
    /// Empty with `OPEN`, where every person may act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<PersonId>,
    /// Whether the desk executes the node; people act only after a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// Whether each processor casts a vote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
}
impl Personals for NodeEntered {}

/// One of the possible processors claimed the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeClaimed {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    /// Whether the desk claimed the node for the only possible processor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The reason that the person gave.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeClaimed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The assignor named the processors of the node.
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
    /// In a countersign: the processor whose vote the new people take over, while the other
    /// processors remain. Absent if the whole node is transferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<PersonId>,
    pub message: Remark,
}
impl Personals for NodeTransferred {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// One approver cast a vote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoteCast {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub pass: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Entry>,
    /// Whether the desk cast the vote for the creator, who is one of the approvers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The approver's reason, also if the form has a field with the same text.
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

/// A node was completed; conditions of transitions read its form and outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeCompleted {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub by: PersonId,
    /// The result of an approval node; absent for other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Entry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The reason that the person gave.
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
    /// Every evaluated clause with its result; empty if no condition was evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<Tested>,
    /// The manager who chose the transition; absent if its condition matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// The manager's reason.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for TransitionTaken {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// No transition from the node matches; the node has the status `FAILED` until a person acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransitionMissing {
    pub node: NodeId,
    pub name: String,
    pub tested: Vec<Tested>,
}
impl Personals for TransitionMissing {}

/// One clause with its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    pub transition: TransitionId,
    /// `key operator expected`, cut at 256 bytes.
    pub clause: String,
    /// The value of the key, cut at 256 bytes; `<personal>` for a personal value.
    pub found: String,
    pub holds: bool,
}

/// The ticket was suspended; no node can be processed until it is resumed.
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
    /// The reason that the person gave.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Resumed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The creator withdrew the ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub by: PersonId,
    pub approve_result: bool,
    /// The reason that the person gave.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Withdrawn {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The ticket was ended early, at a node or as a whole.
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

/// The workflow run reached END.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub approve_result: bool,
    /// When the desk rates the ticket, if the creator has not rated it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Finished {}

/// The workflow run took every matching transition of a parallel gateway; the branches run in
/// parallel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchesStarted {
    pub node: NodeId,
    pub name: String,
    pub branches: Vec<TransitionId>,
}
impl Personals for BranchesStarted {}

/// A branch reached the join of its gateway; the run leaves the join when no branch is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchJoined {
    pub node: NodeId,
    pub name: String,
    /// The gateway where the branch began; `branch` is its first transition.
    pub fork: NodeId,
    pub branch: TransitionId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<TransitionId>,
}
impl Personals for BranchJoined {}

/// The API call of an automatic node has a result. Its consequences are in the same commit, or in
/// the commit that resumes a suspended ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeResultReceived {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// 1 first, then one more for each retry by a person.
    pub attempt: u32,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The id of the task in the external system, so that a retry can continue the task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// The reason of a failure, as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for NodeResultReceived {}

/// An automatic node failed and waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFailed {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub reason: String,
}
impl Personals for NodeFailed {}

/// A person started a new attempt of a failed node, possibly with other inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRetried {
    pub node: NodeId,
    pub name: String,
    pub by: PersonId,
    pub attempt: u32,
    /// Values that replace fields and variables of the same key, in this API call only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The reason that the person gave.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeRetried {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A node was skipped, because it has no processors or because a person ignored its failure. In the
/// second case the person may supply its outputs.
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

/// A manager reassigned a node (exception distribution); the configured range of processors does
/// not apply.
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

/// The node was entered and has no processors; an owner of the service must reassign it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessorsMissing {
    pub node: NodeId,
    pub name: String,
}
impl Personals for ProcessorsMissing {}

/// A running ticket displays this status from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusSet {
    pub status: String,
    /// The node that set the status.
    pub node: NodeId,
}
impl Personals for StatusSet {}

/// The ticket was ended with an explicit status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub by: PersonId,
    pub status: String,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
    pub approve_result: bool,
    /// When the desk rates the ticket, if it was closed as finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Closed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// Values of fields were changed after their node was completed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldsChanged {
    pub by: PersonId,
    /// The names of the fields at the time of the change, for people.
    pub names: Vec<String>,
    pub form: Vec<Entry>,
}
impl Personals for FieldsChanged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form)
    }
}

/// The priority was recalculated after a change of impact or urgency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriorityChanged {
    pub priority: Priority,
}
impl Personals for PriorityChanged {}

/// A person added a remark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemarkAdded {
    /// 1, 2, 3 and so on within the ticket.
    pub id: u64,
    pub by: PersonId,
    /// The remark that this remark answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    pub text: Remark,
    /// The people to whom the remark is addressed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<PersonId>,
    /// Whether the remark is visible only to people who work on the ticket, not to the creator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
}
impl Personals for RemarkAdded {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.text.personal.iter_mut().collect()
    }
}

/// People were added to the followers (`follows`), or removed from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowersChanged {
    pub by: PersonId,
    pub people: Vec<PersonId>,
    pub follows: bool,
    /// Whether the followers may see the whole ticket, because the person who added them may see
    /// it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invited: bool,
}
impl Personals for FollowersChanged {}

/// The creator rated the ticket, or the desk did so after the deadline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    pub by: PersonId,
    /// 1 to 5.
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

/// The relation of this ticket to another ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// This ticket was raised from the other ticket.
    RaisedFrom,
    /// The other ticket was raised from this ticket.
    Raised,
    /// The tickets are related without direction.
    Related,
    /// This ticket is a child of the other ticket and follows it; people cannot process a child.
    ChildOf,
    /// The other ticket is a child of this ticket.
    ParentOf,
}

impl Relation {
    /// Returns the relation from the other ticket's side.
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

/// A relation to another ticket was added; the other ticket records the inverse relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linked {
    pub by: PersonId,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Linked {}

/// A relation to another ticket was removed; the history keeps the former relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unlinked {
    pub by: PersonId,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Unlinked {}

/// A processor acknowledged the node: the response, before the work is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: PersonId,
    pub node: NodeId,
    pub name: String,
    /// The reason that the person gave.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Acknowledged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The node was escalated to the next level: the leaders of its processors may act too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalated {
    pub by: PersonId,
    pub node: NodeId,
    pub name: String,
    /// 1 for the first escalation.
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
