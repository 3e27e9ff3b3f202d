//! Defines the state of a ticket, which is computed from the events of the ticket.

use std::collections::{BTreeMap, BTreeSet};

use events::ticket::{NodeStatus, Opened, Priority, Relation};
use events::workflow::service_task::Executor;
use events::{AttachmentId, Entry, NodeId, PersonId, Remark, TicketSn, TransitionId};
use serde::{Deserialize, Serialize};

use super::import_row::Observation;

/// The status of a ticket. [`Status::key`] returns the status as the text that the APIs use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// The ticket does not exist yet.
    #[default]
    None,
    Running,
    Suspended,
    Finished,
    Terminated,
    Revoked,
    /// The ticket was imported from the log of another system. [`Observation`] contains the status of the
    /// ticket in the other system.
    RowImported,
}

impl Status {
    pub fn key(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Running => "RUNNING",
            Self::Suspended => "SUSPENDED",
            Self::Finished => "FINISHED",
            Self::Terminated => "TERMINATED",
            Self::Revoked => "REVOKED",
            Self::RowImported => "OBSERVED",
        }
    }
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Terminated | Self::Revoked)
    }
    /// Returns the final status for a status text of the APIs. Returns `None` if the text is not the text of
    /// a final status.
    pub fn ending(key: &str) -> Option<Self> {
        [Self::Finished, Self::Terminated, Self::Revoked]
            .into_iter()
            .find(|status| status.key() == key)
    }
}

/// The state of one ticket, computed from all events of its stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
    /// The values of all form fields. Each key of the map is the key of a field. If a node is executed again,
    /// the new value replaces the old value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub form: BTreeMap<String, Entry>,
    /// The ids of all uploaded files that a form of the ticket contains or contained earlier.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attachments: BTreeSet<AttachmentId>,
    /// The output variables (values that conditions can use) that completed and skipped nodes have set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, NodeRun>,
    /// The nodes that the ticket has passed and that need no person and no API call. Examples are START and
    /// gateways (nodes at which branches begin or end).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed: BTreeSet<NodeId>,
    /// The people who have acted at a node of the ticket. Earlier executions of a node are included.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub handled: BTreeSet<PersonId>,
    /// The people who have acted on the ticket as a whole, for example the person who suspended the ticket.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub acted: BTreeSet<PersonId>,
    /// The open branches of each parallel gateway (the node at which the branches begin). A branch is open
    /// until it reaches the join node (the node at which the branches end). Each branch is identified by the
    /// id of its first transition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forks: BTreeMap<NodeId, Vec<TransitionId>>,
    /// A status text that a node has set. The ticket displays this text instead of the status RUNNING. The
    /// text is empty if no node has set a status text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The current priority of the ticket. `None` if the priority has not changed since the ticket was
    /// opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The number of remarks on the ticket. Only the events contain the texts of the remarks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remarks: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<PersonId>,
    /// The followers (people who watch the ticket) who may read the whole ticket. Each of these followers was
    /// added by a person who also had this permission.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub invited: BTreeSet<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stars: Option<u8>,
    /// The people who voted at the last completed node with votes, in the order of their votes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_approvers: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_result: Option<bool>,
    /// The status of the ticket in another system. The value is present only if the ticket was imported from
    /// the log of that system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<Observation>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A link from this ticket to another ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub other: TicketSn,
    pub relation: Relation,
}

/// The state of the last execution of one node. A node is executed again if the ticket returns to the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRun {
    pub name: String,
    pub round: u32,
    pub status: NodeStatus,
    pub processors_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// The result of an approval node: true for an approval, false for a rejection. `None` before the node is
    /// completed, and for other kinds of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    /// The person who completed or skipped the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// True if the desk executes the work of the node. People act at such a node only after a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The kind of aggregate that executes the work of an automatic node, for example an API call.
    #[serde(default, skip_serializing_if = "Executor::is_api_call")]
    pub executor: Executor,
    /// True if the processors (the people who may act) vote at the node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
    /// True if the processors vote one after another, in the order of the list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_sequential: bool,
    /// The number of the API call in the current execution of the node. The first call has number 1. Each
    /// repetition by a person increases the number by 1. The number is 0 if the node is not automatic.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub attempt: u32,
    /// The id of the task that the last API call created in an external system, for example in BlueKing SOPS.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// A result of an API call that is stored but not applied yet. The result arrived while the ticket was
    /// suspended or was a child of another ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_result: Option<PendingResult>,
    /// The reason of the last failure of the node. The text is empty if the node has not failed, or after a
    /// person repeated the work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The reason that a person entered when the person completed or skipped the node.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
    /// Number of times that the node was escalated (that additional processors were added).
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub level: u32,
    /// The first person who confirmed that the person has seen the work at the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<PersonId>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero_u32(count: &u32) -> bool {
    *count == 0
}

/// A result of an API call that the ticket has stored but not applied yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingResult {
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One vote that an approver cast at a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    pub by: PersonId,
    pub pass: bool,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}

/// An action that a person executes at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Submit,
    Claim,
    Distribute,
    Deliver,
    Terminate,
}

impl Action {
    /// Returns true if a node with this status allows the action (reference/bk-itsm.md 3.9). If no transition
    /// has a true condition, the node gets the status `Failed`. People may then submit the form again, because
    /// a condition can be true for the new values.
    pub fn fits(self, status: NodeStatus) -> bool {
        match self {
            Self::Submit => matches!(status, NodeStatus::Running | NodeStatus::Failed),
            Self::Claim => status == NodeStatus::Receiving,
            Self::Distribute => status == NodeStatus::Distributing,
            Self::Deliver | Self::Terminate => status == NodeStatus::Running,
        }
    }
}

impl NodeRun {
    /// Returns true if this execution of the node is neither finished nor terminated.
    pub fn is_current(&self) -> bool {
        !matches!(self.status, NodeStatus::Finished | NodeStatus::Terminated)
    }
    /// Returns the state of a node at the start of an execution, without votes and without a result.
    pub(super) fn new(
        name: &str,
        round: u32,
        status: NodeStatus,
        processors_type: &str,
        processors: &[PersonId],
    ) -> Self {
        Self {
            name: name.to_owned(),
            round,
            status,
            processors_type: processors_type.to_owned(),
            processors: processors.to_vec(),
            votes: Vec::new(),
            pass: None,
            by: None,
            automatic: false,
            executor: Executor::ApiCall,
            is_vote: false,
            is_sequential: false,
            attempt: 0,
            task: String::new(),
            pending_result: None,
            reason: String::new(),
            message: Remark::default(),
            level: 0,
            acknowledged: None,
        }
    }
    /// Returns true if the node is automatic and has failed. A person must then act.
    pub fn is_failed_call(&self) -> bool {
        self.automatic && self.status == NodeStatus::Failed
    }
    /// Returns true if every person may act at the node.
    pub fn is_open_to_all(&self) -> bool {
        self.processors_type == "OPEN"
    }
    /// Returns the processors of the node (the people who may act) who have not voted yet.
    pub fn waiting_for(&self) -> Vec<PersonId> {
        self.processors
            .iter()
            .filter(|pid| !self.has_voted(pid))
            .cloned()
            .collect()
    }
    /// Returns the processors who can act at this moment. If the processors vote one after another, this is the first
    /// person who has not voted yet. Otherwise, these are all people who have not voted yet.
    pub fn whose_turn(&self) -> Vec<PersonId> {
        let mut waiting = self.waiting_for();
        if self.is_sequential {
            waiting.truncate(1);
        }
        waiting
    }
    /// Returns true if the person is or was a processor of the node, or has acted at the node.
    pub fn is_at(&self, pid: &PersonId) -> bool {
        self.processors.contains(pid) || self.by.as_ref() == Some(pid) || self.has_voted(pid)
    }
    pub fn has_voted(&self, pid: &PersonId) -> bool {
        self.votes.iter().any(|vote| vote.by == *pid)
    }
    /// Returns the reason of the node's current status. The function returns the first text in this order
    /// that is not empty:
    /// - the reason of the last failure
    /// - the reasons of the votes, from the newest to the oldest
    /// - the reason of the completion
    pub fn why(&self) -> &str {
        let of_votes = self.votes.iter().rev().map(|vote| vote.reason.read());
        let mut all = std::iter::once(self.reason.as_str())
            .chain(of_votes)
            .chain([self.message.read()]);
        all.find(|reason| !reason.is_empty()).unwrap_or_default()
    }
}
