//! The state of a ticket.

use std::collections::{BTreeMap, BTreeSet};

use events::ticket::{NodeStatus, Opened, Priority, Relation};
use events::{AttachmentId, Entry, NodeId, PersonId, Remark, TicketSn, TransitionId};
use serde::{Deserialize, Serialize};

use super::import_row::Observation;

/// The status of a ticket, with its wire values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Not opened yet.
    #[default]
    None,
    Running,
    Suspended,
    Finished,
    Terminated,
    Revoked,
    /// A case of a foreign log; [`Observation`] has its foreign state.
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
    /// Returns the final status with this wire value; `None` for other values.
    pub fn ending(key: &str) -> Option<Self> {
        [Self::Finished, Self::Terminated, Self::Revoked]
            .into_iter()
            .find(|status| status.key() == key)
    }
}

/// The state of one ticket, folded from its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
    /// All filled fields, by key; a later round overwrites.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub form: BTreeMap<String, Entry>,
    /// Every uploaded file that a form of the ticket ever referenced.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attachments: BTreeSet<AttachmentId>,
    /// Output variables of completed nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, NodeRun>,
    /// Gateways that the run passed; they have no node run.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed: BTreeSet<NodeId>,
    /// People who acted at a node, in any round.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub handled: BTreeSet<PersonId>,
    /// For each open parallel gateway: the branches that have not reached its join.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forks: BTreeMap<NodeId, Vec<TransitionId>>,
    /// The status that a node set for display instead of RUNNING.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The current priority, if it differs from the priority at the opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Number of remarks; their texts are in the history.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remarks: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<PersonId>,
    /// Followers who may see the whole ticket.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub invited: BTreeSet<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stars: Option<u8>,
    /// The approvers of the last vote, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_approvers: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_result: Option<bool>,
    /// Only for tickets that were imported from a foreign log.
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

/// Another ticket to which this ticket is linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub other: TicketSn,
    pub relation: Relation,
}

/// The latest run of one node.
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
    /// The result of a completed approval node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    /// The person who completed the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// Whether the desk executes the node; people act only after a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// Whether each processor casts a vote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
    /// The current API call of the round: 1 first, then one more for each retry by a person.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub attempt: u32,
    /// The id of the last API call's task in the external system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// A result that was received while the ticket was suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_result: Option<PendingResult>,
    /// The reason of a failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The reason that the person gave when completing or skipping the node.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
    /// Number of escalations.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub level: u32,
    /// The first person who acknowledged the node.
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

/// A recorded result whose consequences have not followed yet.
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
    /// Returns whether a status allows the action (reference/bk-itsm.md 3.9). A node without a
    /// matching transition can be submitted again.
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
    /// Returns whether the node is not finished.
    pub fn is_current(&self) -> bool {
        !matches!(self.status, NodeStatus::Finished | NodeStatus::Terminated)
    }
    /// Returns a new run of a node.
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
    /// Returns whether the node is automatic and its API call failed, so that a person must act.
    pub fn is_failed_call(&self) -> bool {
        self.automatic && self.status == NodeStatus::Failed
    }
    /// Returns whether every person may act.
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
    /// Returns the reason of the status: of a failure, otherwise of the last vote with a reason,
    /// otherwise of the completion.
    pub fn why(&self) -> &str {
        let of_votes = self.votes.iter().rev().map(|vote| vote.reason.read());
        let mut all = std::iter::once(self.reason.as_str())
            .chain(of_votes)
            .chain([self.message.read()]);
        all.find(|reason| !reason.is_empty()).unwrap_or_default()
    }
}
