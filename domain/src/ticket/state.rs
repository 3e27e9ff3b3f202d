//! The state of a ticket.

use std::collections::{BTreeMap, BTreeSet};

use events::ticket::{NodeStatus, Opened, Priority, Relation};
use events::workflow::service_task::Executor;
use events::{AttachmentId, Entry, NodeId, PersonId, Remark, TicketSn, TransitionId};
use serde::{Deserialize, Serialize};

use super::import_row::Observation;

/// The status of a ticket. [`Status::key`] returns the text of the status in the APIs.
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
    /// The ticket was imported from the log of another system. [`Observation`] contains its status
    /// in that system.
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
    /// Returns the final status for the given wire value (the text in the APIs). Returns `None` if
    /// the text is not a final status.
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
    /// The values of all fields by key. If a node runs again, the new value replaces the old value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub form: BTreeMap<String, Entry>,
    /// All uploaded files that any form of the ticket has ever contained.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attachments: BTreeSet<AttachmentId>,
    /// The output variables of completed and skipped nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, NodeRun>,
    /// The nodes that the ticket has passed without work by a person or by the desk, such as START
    /// and gateways.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed: BTreeSet<NodeId>,
    /// The people who have acted at a node of the ticket, including earlier runs of the node.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub handled: BTreeSet<PersonId>,
    /// For each open parallel gateway, the branches that have not reached the join yet. A branch is
    /// identified by its first transition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forks: BTreeMap<NodeId, Vec<TransitionId>>,
    /// A status that a node set for display in place of RUNNING. The text is empty if no node set a
    /// status.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The current priority. `None` if the priority has not changed since the ticket was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The number of remarks. The text of a remark is only in the events.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remarks: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<PersonId>,
    /// The followers whose invitation allows them to see the whole ticket.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub invited: BTreeSet<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stars: Option<u8>,
    /// The approvers at the last completed vote node, in the order of their votes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_approvers: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_result: Option<bool>,
    /// The status in the other system. Present only if the ticket was imported from the log of that
    /// system.
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

/// The latest run of one node. A node can run several times if the ticket returns to the node.
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
    /// The result of a completed approval node: true for an approval. `None` for other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    /// The person who completed or skipped the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// True if the desk executes the work of the node. People act at such a node only after a
    /// failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The aggregate that executes the work of an automatic node, for example an API call.
    #[serde(default, skip_serializing_if = "Executor::is_api_call")]
    pub executor: Executor,
    /// True if the processors of the node vote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
    /// The number of the API call within the current run of the node. The first call has number 1,
    /// and each retry by a person adds 1. The number is 0 for a node that is not automatic.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub attempt: u32,
    /// The id of the task that the last API call created in the external system, for example in
    /// BlueKing SOPS.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// The result of an API call that has not been applied yet. The ticket was suspended, or was a
    /// child ticket, when the result arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_result: Option<PendingResult>,
    /// The reason of the last failure. The text is empty if the node has not failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The reason that a person entered when this person completed or skipped the node.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
    /// The number of times that the node was escalated.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub level: u32,
    /// The first person who acknowledged the work at the node.
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

/// A result of an API call that is stored but not applied yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingResult {
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One vote of one approver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    pub by: PersonId,
    pub pass: bool,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}

/// An action of a person at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Submit,
    Claim,
    Distribute,
    Deliver,
    Terminate,
}

impl Action {
    /// Returns true if the status of a node allows this action (reference/bk-itsm.md 3.9). If a
    /// node failed because no transition matched, a person may submit its form again.
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
    /// Returns true if this run of the node is neither finished nor terminated.
    pub fn is_current(&self) -> bool {
        !matches!(self.status, NodeStatus::Finished | NodeStatus::Terminated)
    }
    /// Returns the state at the start of a run of the node: no votes and no result.
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
            attempt: 0,
            task: String::new(),
            pending_result: None,
            reason: String::new(),
            message: Remark::default(),
            level: 0,
            acknowledged: None,
        }
    }
    /// Returns true if an automatic node has failed. In this case, a person must act.
    pub fn is_failed_call(&self) -> bool {
        self.automatic && self.status == NodeStatus::Failed
    }
    /// Returns true if every person may act at the node.
    pub fn is_open_to_all(&self) -> bool {
        self.processors_type == "OPEN"
    }
    /// Returns the processors who have not voted yet.
    pub fn waiting_for(&self) -> Vec<PersonId> {
        self.processors
            .iter()
            .filter(|pid| !self.has_voted(pid))
            .cloned()
            .collect()
    }
    pub fn has_voted(&self, pid: &PersonId) -> bool {
        self.votes.iter().any(|vote| vote.by == *pid)
    }
    /// Returns the reason of the current status. This is the reason of a failure, the last reason
    /// of a vote, or the reason of the completion. If several reasons exist, the order in this list
    /// applies.
    pub fn why(&self) -> &str {
        let of_votes = self.votes.iter().rev().map(|vote| vote.reason.read());
        let mut all = std::iter::once(self.reason.as_str())
            .chain(of_votes)
            .chain([self.message.read()]);
        all.find(|reason| !reason.is_empty()).unwrap_or_default()
    }
}
