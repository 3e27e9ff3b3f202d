//! The state of a ticket.

use std::collections::{BTreeMap, BTreeSet};

use events::ticket::{NodeStatus, Opened, Priority, Relation};
use events::workflow::service_task::Executor;
use events::{AttachmentId, Entry, NodeId, PersonId, Remark, TicketSn, TransitionId};
use serde::{Deserialize, Serialize};

use super::import_row::Observation;

/// The status of a ticket. [`Status::key`] returns the wire value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// The ticket is not opened.
    #[default]
    None,
    Running,
    Suspended,
    Finished,
    Terminated,
    Revoked,
    /// The ticket was imported from a foreign log. [`Observation`] stores the foreign state.
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
    /// Returns the final status with this wire value. Returns `None` for any other value.
    pub fn ending(key: &str) -> Option<Self> {
        [Self::Finished, Self::Terminated, Self::Revoked]
            .into_iter()
            .find(|status| status.key() == key)
    }
}

/// The state of one ticket, folded from the events of its stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
    /// All filled fields by key. A value of a later round replaces the earlier value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub form: BTreeMap<String, Entry>,
    /// Every uploaded file that a form of the ticket ever referenced.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attachments: BTreeSet<AttachmentId>,
    /// The output variables of completed and skipped nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, NodeRun>,
    /// The nodes without a node run, such as gateways, through which the run has passed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed: BTreeSet<NodeId>,
    /// The people who acted at any node in any round.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub handled: BTreeSet<PersonId>,
    /// The branches of each open parallel gateway that have not reached the join.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forks: BTreeMap<NodeId, Vec<TransitionId>>,
    /// The status that a node set for display instead of RUNNING; empty if no node set a status.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The current priority; `None` if the priority was never changed after the opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The number of remarks. The history contains their texts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remarks: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<PersonId>,
    /// The followers who may see the whole ticket.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub invited: BTreeSet<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stars: Option<u8>,
    /// The approvers of the last vote, in the order of their votes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_approvers: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_result: Option<bool>,
    /// The foreign state; present only if the ticket was imported from a foreign log.
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
    /// The result of a completed approval node; `None` for other nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    /// The person who completed or skipped the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// True if the desk executes the node. People act at such a node only after a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The aggregate that executes the service task of an automatic node.
    #[serde(default, skip_serializing_if = "Executor::is_api_call")]
    pub executor: Executor,
    /// True if the processors of the node vote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
    /// The number of the API call within the round: 1 for the first call, one more for each retry
    /// by a person. 0 if the node is not automatic.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub attempt: u32,
    /// The id of the task that the last API call created in the external system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// A result of an API call that is not applied yet, because the ticket was suspended or a
    /// child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_result: Option<PendingResult>,
    /// The reason of the last failure; empty without a failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The reason that a person gave when the person completed or skipped the node.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
    /// The number of escalations of the node.
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

/// A recorded result of an API call that is not applied yet.
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
    /// Returns true if the status of a node allows the action (reference/bk-itsm.md 3.9). A failed
    /// node without a matching transition can be submitted again.
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
    /// Returns true if the node run is neither finished nor terminated.
    pub fn is_current(&self) -> bool {
        !matches!(self.status, NodeStatus::Finished | NodeStatus::Terminated)
    }
    /// Returns a new node run without votes and results.
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
    /// Returns true if the API call of an automatic node failed, so that a person must act.
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
    /// Returns the reason of the current status. The first text that is present is returned: the
    /// reason of a failure, the last reason of a vote, or the reason of the completion.
    pub fn why(&self) -> &str {
        let of_votes = self.votes.iter().rev().map(|vote| vote.reason.read());
        let mut all = std::iter::once(self.reason.as_str())
            .chain(of_votes)
            .chain([self.message.read()]);
        all.find(|reason| !reason.is_empty()).unwrap_or_default()
    }
}
