//! What a ticket remembers.

use std::collections::BTreeMap;

use events::ticket::{NodeStatus, Opened};
use events::{Entry, NodeId, Pid};
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
    /// Output variables of completed nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, Visit>,
    /// Who decided at the last approval node, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_approvers: Vec<Pid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_result: Option<bool>,
    /// Only for tickets taken over from a foreign log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<Observation>,
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
}

/// One decision of one approver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    pub by: Pid,
    pub pass: bool,
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
}
