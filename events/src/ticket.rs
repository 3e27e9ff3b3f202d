//! One ticket, in the stream `ticket-<sn>`. A commit's events together say everything that followed from the command.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fact::{Deadline, Personals, facts};
use crate::personal::of_entries;
use crate::{CatalogId, Entry, LineId, Moment, NodeId, Personal, Pid, Remark, ServiceId, TicketSn, WorkflowId};

facts! {
    /// The life of one ticket.
    TicketEvent of "ticket" {
        Opened "ticket.opened" 1,
        Observed "ticket.observed" 1,
        NodeEntered "ticket.node_entered" 1,
        NodeClaimed "ticket.node_claimed" 1,
        NodeDistributed "ticket.node_distributed" 1,
        NodeDelivered "ticket.node_delivered" 1,
        VoteCast "ticket.vote_cast" 1,
        NodeCompleted "ticket.node_completed" 1,
        LineTaken "ticket.line_taken" 1,
        LineMissing "ticket.line_missing" 1,
        Suspended "ticket.suspended" 1,
        Resumed "ticket.resumed" 1,
        Withdrawn "ticket.withdrawn" 1,
        Terminated "ticket.terminated" 1,
        Finished "ticket.finished" 1,
        Forked "ticket.forked" 1,
        BranchJoined "ticket.branch_joined" 1,
        CallAnswered "ticket.call_answered" 1,
        NodeFailed "ticket.node_failed" 1,
        NodeRetried "ticket.node_retried" 1,
        NodeSkipped "ticket.node_skipped" 1,
        NodeReassigned "ticket.node_reassigned" 1,
        NodeUnattended "ticket.node_unattended" 1,
        StatusSet "ticket.status_set" 1,
        Closed "ticket.closed" 1,
        FieldChanged "ticket.field_changed" 1,
        Prioritised "ticket.prioritised" 1,
        Remarked "ticket.remarked" 1,
        Followed "ticket.followed" 1,
        Rated "ticket.rated" 1,
        Reminded "ticket.reminded" 1,
        Linked "ticket.linked" 1,
        Unlinked "ticket.unlinked" 1,
        Acknowledged "ticket.acknowledged" 1,
        Escalated "ticket.escalated" 1,
    }
    occurred |event: &TicketEvent| match event {
        TicketEvent::Observed(observed) => Some(observed.occurred_at),
        _ => None,
    };
    deadline |event: &TicketEvent| match event {
        TicketEvent::Finished(Finished { rate_by: Some(rate_by), .. }) | TicketEvent::Closed(Closed { rate_by: Some(rate_by), .. }) => Deadline::At(*rate_by),
        TicketEvent::Rated(_) => Deadline::Cleared,
        _ => Deadline::Unchanged,
    };
}

impl TicketEvent {
    /// Says whether whoever did this has worked on the ticket, rather than looked at it from beside.
    pub fn is_work(&self) -> bool {
        !matches!(self, Self::Followed(_) | Self::Remarked(_) | Self::Rated(_) | Self::Reminded(_) | Self::Linked(_) | Self::Unlinked(_))
    }
    /// Who acted at a node with this.
    pub fn handled_by(&self) -> Option<&Pid> {
        match self {
            Self::NodeClaimed(claimed) => Some(&claimed.by),
            Self::NodeDistributed(distributed) => Some(&distributed.by),
            Self::NodeDelivered(delivered) => Some(&delivered.by),
            Self::VoteCast(vote) => Some(&vote.by),
            Self::NodeCompleted(completed) => Some(&completed.by),
            Self::NodeSkipped(skipped) => Some(&skipped.by),
            Self::NodeRetried(retried) => Some(&retried.by),
            Self::NodeReassigned(given) => Some(&given.by),
            _ => None,
        }
    }
    /// Says whether the ticket is over with this.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Terminated(_) | Self::Withdrawn(_) | Self::Closed(_))
    }
}

/// The four built-in service types; each gives its tickets a prefix and a digit.
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
    /// The start of a ticket number.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Request => "REQ",
            Self::Change => "CRQ",
            Self::Event => "INC",
            Self::Question => "PBI",
        }
    }
    /// The first digit of the integer id that BlueKing clients see.
    pub fn digit(self) -> i64 {
        match self {
            Self::Request => 1,
            Self::Change => 2,
            Self::Event => 3,
            Self::Question => 4,
        }
    }
    /// The word of the wire.
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
    pub catalog: CatalogId,
    pub creator: Pid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The business it belongs to; -1 for none.
    pub bk_biz_id: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// All free text of the ticket is sealed under the creator's key, whatever becomes of the service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seals_text: bool,
    /// Processors the caller chose for nodes (`meta.state_processors`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chosen_processors: BTreeMap<NodeId, Vec<Pid>>,
    /// Who submitted it for the creator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Pid>,
    /// Further fields the caller shows, which nobody fills in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dynamic_fields: Vec<DynamicField>,
    /// Names of fields in other languages: field key, language, name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of the secret that holds the variables for automatic nodes (`meta.envs`): their values may be secrets, so the key store keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<String>,
    /// What its caller wants people to be told of (`meta.notify_config`).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub notify_config: serde_json::Value,
}
impl Personals for Opened {}

/// A field that is only shown (`dynamic_fields`, reference/bk-itsm.md 3.1).
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

/// Where to call when the ticket ends. URL and headers may hold secrets, so the key store keeps both and only their name stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The host of the URL, for people.
    pub host: String,
    /// The name of the secret that holds URL and headers; the same for the same two.
    pub secret: String,
    /// The application also wants to hear of changes of status before the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_status: bool,
}

/// Priority and what it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    pub key: String,
    pub impact: String,
    pub urgency: String,
}

/// One row of a foreign log, taken over as it stood; `occurred_at` is the row's own time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The row's own time; it stands beside the data, as the event's `occurred_at`.
    #[serde(skip)]
    pub occurred_at: Moment,
    pub source: String,
    pub case: String,
    /// Which file (a fingerprint of its content) and which line of it.
    pub file: String,
    pub line: u64,
    /// A fingerprint of the row's text under a key of the desk, so that the same row in another file is known and nobody can guess names from it.
    pub row: String,
    /// How many rows of this text the file has had so far in this case, this one included.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub nth: u32,
    /// The state as the source names it.
    pub state: String,
    /// What the mapping says that state means.
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
    /// The zone in which the source writes its wall clock; absent for UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// The named times of the row (opened, resolved, closed, ...), where known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, Moment>,
    /// The named counters of the row, where known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, i64>,
    /// The other columns the mapping keeps, by their own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
}
impl Personals for Observed {}

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn is_first(nth: &u32) -> bool {
    *nth == 1
}

/// What a foreign state means for the desk.
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
    /// Work is done, by our word or the requester's.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Resolved | Self::Closed)
    }
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NodeStatus {
    Distributing,
    Receiving,
    Running,
    Finished,
    Terminated,
    /// No line leads on, or an automatic node failed: a person must act.
    Failed,
}

/// The run reached a node; who may act is decided now and stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEntered {
    pub node: NodeId,
    pub name: String,
    /// 1 on the first visit; sending back opens the next.
    pub round: u32,
    pub status: NodeStatus,
    pub processors_type: String,
    /// Empty with `OPEN`, where anybody may act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<Pid>,
    /// The desk acts, and people only where it fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// Everybody who acts here casts a vote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
}
impl Personals for NodeEntered {}

/// One of the possible processors took the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeClaimed {
    pub node: NodeId,
    pub name: String,
    pub by: Pid,
    /// There was only one who could.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The words of the person beside it.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeClaimed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The assignor named who handles the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeDistributed {
    pub node: NodeId,
    pub name: String,
    pub by: Pid,
    pub status: NodeStatus,
    pub processors_type: String,
    pub processors: Vec<Pid>,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
}
impl Personals for NodeDistributed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// A processor handed the node to others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeDelivered {
    pub node: NodeId,
    pub name: String,
    pub by: Pid,
    pub processors_type: String,
    pub processors: Vec<Pid>,
    /// In a countersign: whose seat they take, while the others keep theirs; absent where they take the whole node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Pid>,
    pub message: Remark,
}
impl Personals for NodeDelivered {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// One approver decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoteCast {
    pub node: NodeId,
    pub name: String,
    pub by: Pid,
    pub pass: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Entry>,
    /// Cast by the desk for the creator, who is among the approvers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// Why, in the approver's words, also if the form has a field that holds them.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for VoteCast {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form).into_iter().chain(&mut self.reason.personal).collect()
    }
}

/// A node is done; its form and outputs are what lines test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeCompleted {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub by: Pid,
    /// Of an approval node: whether it was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Entry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The words of the person beside it.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeCompleted {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form).into_iter().chain(&mut self.reason.personal).collect()
    }
}

/// The run took a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineTaken {
    pub line: LineId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub from: NodeId,
    pub to: NodeId,
    /// Every clause that was looked at and how it came out; absent where nothing was tested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<Tested>,
    /// Who chose it, where no line held and a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Pid>,
    /// Why that person chose it.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for LineTaken {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// No line leads on: the node waits for a person, visibly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineMissing {
    pub node: NodeId,
    pub name: String,
    pub tested: Vec<Tested>,
}
impl Personals for LineMissing {}

/// One clause as it was evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    pub line: LineId,
    /// `key operator expected`, cut at 256 bytes.
    pub clause: String,
    /// What the key held, cut at 256 bytes; `<personal>` where it was somebody's.
    pub found: String,
    pub holds: bool,
}

/// The ticket stands still until it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspended {
    pub by: Pid,
    pub reason: Remark,
}
impl Personals for Suspended {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The ticket goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    pub by: Pid,
    /// The words of the person beside it.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Resumed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// The creator took the ticket back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub by: Pid,
    pub approve_result: bool,
    /// The words of the person beside it.
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
    pub by: Pid,
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

/// The run reached END.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub approve_result: bool,
    /// When the desk rates it, if the creator has not by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Finished {}

/// The run took every line of a parallel gateway that held; they go on side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forked {
    pub node: NodeId,
    pub name: String,
    pub branches: Vec<LineId>,
}
impl Personals for Forked {}

/// A branch reached the join of its gateway; the run goes on when none is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchJoined {
    pub node: NodeId,
    pub name: String,
    /// The gateway where the branch began, and the line it began with.
    pub fork: NodeId,
    pub branch: LineId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<LineId>,
}
impl Personals for BranchJoined {}

/// What an automatic node's call came to; what follows from it follows in the same commit, or when a suspended ticket is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallAnswered {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// 1 at first, one more with each retry of a person.
    pub attempt: u32,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// What the other side calls it, so that a retry can go on with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for CallAnswered {}

/// An automatic node failed and waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFailed {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub reason: String,
}
impl Personals for NodeFailed {}

/// Somebody has a failed node tried again, perhaps with other inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRetried {
    pub node: NodeId,
    pub name: String,
    pub by: Pid,
    pub attempt: u32,
    /// Values that stand for fields and variables of the same key, in this call only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The words of the person beside it.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for NodeRetried {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// A node was passed over: nobody can be found for it, or somebody ignores its failure, perhaps saying what it would have left behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSkipped {
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub by: Pid,
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

/// A manager gave a node to others, whatever its range (exception distribute).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReassigned {
    pub node: NodeId,
    pub name: String,
    pub by: Pid,
    pub processors_type: String,
    pub processors: Vec<Pid>,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
}
impl Personals for NodeReassigned {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// Nobody can act on a node that was entered: its service's owners have to name somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeUnattended {
    pub node: NodeId,
    pub name: String,
}
impl Personals for NodeUnattended {}

/// The ticket shows this status while it is in process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusSet {
    pub status: String,
    /// The node that set it.
    pub node: NodeId,
}
impl Personals for StatusSet {}

/// The ticket was ended with a status of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub by: Pid,
    pub status: String,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
    pub approve_result: bool,
    /// When the desk rates it by itself, where it was closed as finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_by: Option<Moment>,
}
impl Personals for Closed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// Fields that were filled before hold something else now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChanged {
    pub by: Pid,
    /// The names as they were, for people.
    pub names: Vec<String>,
    pub form: Vec<Entry>,
}
impl Personals for FieldChanged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        of_entries(&mut self.form)
    }
}

/// The priority follows from an impact and an urgency that were changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prioritised {
    pub priority: Priority,
}
impl Personals for Prioritised {}

/// Somebody wrote something beside the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remarked {
    /// 1, 2, 3 and so on within the ticket.
    pub id: u64,
    pub by: Pid,
    /// The remark it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    pub text: Remark,
    /// Whom it is addressed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Pid>,
    /// Only for those who work on it, not for the creator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
}
impl Personals for Remarked {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.text.personal.iter_mut().collect()
    }
}

/// People follow the ticket from now on, or no longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Followed {
    pub by: Pid,
    pub people: Vec<Pid>,
    pub follows: bool,
    /// Somebody who may see the ticket lets them see it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invited: bool,
}
impl Personals for Followed {}

/// The creator, or the desk after the time for it, said how good it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    pub by: Pid,
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

/// Somebody reminds those who have to act now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reminded {
    pub by: Pid,
    pub people: Vec<Pid>,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
}
impl Personals for Reminded {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.message.personal.iter_mut().collect()
    }
}

/// How two tickets belong together, seen from the one that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// This one was raised from the other.
    RaisedFrom,
    /// The other was raised from this one.
    Raised,
    /// They only have to do with each other.
    Related,
    /// This one follows the other, and nobody acts on it.
    ChildOf,
    /// The other follows this one.
    ParentOf,
}

impl Relation {
    /// The same, seen from the other ticket.
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

/// The ticket belongs together with another; the other says the same of this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linked {
    pub by: Pid,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Linked {}

/// They no longer belong together; that they did stays in the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unlinked {
    pub by: Pid,
    pub other: TicketSn,
    pub relation: Relation,
}
impl Personals for Unlinked {}

/// Somebody who has to act has seen it: the response, before the work is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: Pid,
    pub node: NodeId,
    pub name: String,
    /// The words of the person beside it.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Acknowledged {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}

/// It goes to the next level: the leaders of those who have it take it over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalated {
    pub by: Pid,
    pub node: NodeId,
    pub name: String,
    /// 1 at first.
    pub level: u32,
    pub processors: Vec<Pid>,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}
impl Personals for Escalated {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.reason.personal.iter_mut().collect()
    }
}
