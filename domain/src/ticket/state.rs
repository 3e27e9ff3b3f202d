//! What a ticket remembers.

use std::collections::{BTreeMap, BTreeSet};

use events::ticket::{NodeStatus, Opened, Priority, Relation};
use events::{AttachmentId, Entry, LineId, NodeId, Pid, Remark, TicketSn};
use serde::{Deserialize, Serialize};

use super::observe::Observation;

/// Where a ticket stands; the words of the wire.
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
    /// A case of a foreign log; its own state stands in [`Observation`].
    Observed,
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
            Self::Observed => "OBSERVED",
        }
    }
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Terminated | Self::Revoked)
    }
    /// The status a word of the wire ends tickets with.
    pub fn ending(key: &str) -> Option<Self> {
        [Self::Finished, Self::Terminated, Self::Revoked].into_iter().find(|status| status.key() == key)
    }
}

/// One ticket as its history left it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
    /// Every field filled so far, by key; a later round overwrites.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub form: BTreeMap<String, Entry>,
    /// Every uploaded file that a form of it ever held.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attachments: BTreeSet<AttachmentId>,
    /// Output variables of completed nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, Visit>,
    /// Gateways that were passed; nobody visits them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed: BTreeSet<NodeId>,
    /// Whoever has acted at a node, in whichever round.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub handled: BTreeSet<Pid>,
    /// Of every parallel gateway that is under way: the branches that have not reached its join.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forks: BTreeMap<NodeId, Vec<LineId>>,
    /// What it shows instead of RUNNING, where a node says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The priority of now, where it is not the one it was opened with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// How many remarks there are; their texts stand in the history.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remarks: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<Pid>,
    /// Followers who may see all of it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub invited: BTreeSet<Pid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stars: Option<u8>,
    /// Who decided at the last approval node, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_approvers: Vec<Pid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_result: Option<bool>,
    /// Only for tickets taken over from a foreign log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<Observation>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Another ticket that this one belongs together with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub other: TicketSn,
    pub relation: Relation,
}

/// The latest visit of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    pub name: String,
    pub round: u32,
    pub status: NodeStatus,
    pub processors_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<Pid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// Of an approval node that is done: passed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<bool>,
    /// Who completed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Pid>,
    /// The desk acts here, and people only where it fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// Everybody who acts here casts a vote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_vote: bool,
    /// Which call of the round is under way: 1 at first, one more with each retry of a person.
    #[serde(default, skip_serializing_if = "no_attempt")]
    pub attempt: u32,
    /// What the other side calls the task of the last call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// An answer that came while the ticket stood still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The words beside its completion, or beside passing over it.
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub message: Remark,
    /// How often it was escalated.
    #[serde(default, skip_serializing_if = "no_attempt")]
    pub level: u32,
    /// Who was the first to say that it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Pid>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn no_attempt(attempt: &u32) -> bool {
    *attempt == 0
}

/// An answer of which nothing has followed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One decision of one approver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    pub by: Pid,
    pub pass: bool,
    #[serde(default, skip_serializing_if = "Remark::is_empty")]
    pub reason: Remark,
}

/// What somebody wants to do at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Submit,
    Claim,
    Distribute,
    Deliver,
    Terminate,
}

impl Action {
    /// The actions each status allows (reference/bk-itsm.md 3.9). A node whose lines lead nowhere is mended by submitting it again.
    pub fn fits(self, status: NodeStatus) -> bool {
        match self {
            Self::Submit => matches!(status, NodeStatus::Running | NodeStatus::Failed),
            Self::Claim => status == NodeStatus::Receiving,
            Self::Distribute => status == NodeStatus::Distributing,
            Self::Deliver | Self::Terminate => status == NodeStatus::Running,
        }
    }
}

impl Visit {
    /// Says whether somebody still has to act here.
    pub fn is_current(&self) -> bool {
        !matches!(self.status, NodeStatus::Finished | NodeStatus::Terminated)
    }
    /// The visit of a node at its beginning.
    pub(super) fn begun(name: &str, round: u32, status: NodeStatus, processors_type: &str, processors: &[Pid]) -> Self {
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
            kept: None,
            reason: String::new(),
            message: Remark::default(),
            level: 0,
            acknowledged: None,
        }
    }
    /// An automatic node whose call went wrong; a person must act.
    pub fn is_failed_call(&self) -> bool {
        self.automatic && self.status == NodeStatus::Failed
    }
    /// Anybody may act.
    pub fn is_open_to_all(&self) -> bool {
        self.processors_type == "OPEN"
    }
    /// The people who have not decided yet.
    pub fn waiting_for(&self) -> Vec<Pid> {
        self.processors.iter().filter(|pid| !self.has_voted(pid)).cloned().collect()
    }
    pub fn has_voted(&self, pid: &Pid) -> bool {
        self.votes.iter().any(|vote| vote.by == *pid)
    }
    /// The reason of its status: of its failure, else of the last vote that has one, else the words beside its completion.
    pub fn why(&self) -> &str {
        let of_votes = self.votes.iter().rev().map(|vote| vote.reason.read());
        let mut all = std::iter::once(self.reason.as_str()).chain(of_votes).chain([self.message.read()]);
        all.find(|reason| !reason.is_empty()).unwrap_or_default()
    }
}
