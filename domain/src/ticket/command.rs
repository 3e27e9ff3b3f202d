//! What can be asked of a ticket.

use std::collections::BTreeMap;

use events::ticket::{Callback, Observed};
use events::workflow::Processors;
use events::{Entry, NodeId, Pid, ServiceId, TicketSn};

/// What can be asked of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Open(Box<Open>),
    /// TRANSITION: a form is submitted, or a vote cast.
    Submit {
        node: NodeId,
        by: Pid,
        form: Vec<Entry>,
    },
    Claim {
        node: NodeId,
        by: Pid,
    },
    Distribute {
        node: NodeId,
        by: Pid,
        to: Processors,
        message: String,
    },
    Deliver {
        node: NodeId,
        by: Pid,
        to: Processors,
        message: String,
    },
    TerminateAt {
        node: NodeId,
        by: Pid,
        reason: String,
    },
    Suspend {
        by: Pid,
        reason: String,
    },
    Resume {
        by: Pid,
    },
    Withdraw {
        by: Pid,
    },
    Terminate {
        by: Pid,
        reason: String,
    },
    /// Takes over rows of a foreign log, in file order; those it has already are left out.
    Observe(Vec<Observed>),
}

impl Command {
    /// Who wants it, where a person does.
    pub(super) fn by(&self) -> Option<&Pid> {
        match self {
            // Who opens is registered by the door, after it has asked whether the ticket would be accepted.
            Self::Open(_) | Self::Observe(_) => None,
            Self::Submit { by, .. }
            | Self::Claim { by, .. }
            | Self::Distribute { by, .. }
            | Self::Deliver { by, .. }
            | Self::TerminateAt { by, .. }
            | Self::Suspend { by, .. }
            | Self::Resume { by }
            | Self::Withdraw { by }
            | Self::Terminate { by, .. } => Some(by),
        }
    }
}

/// A new ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    pub sn: TicketSn,
    pub id: i64,
    pub service: ServiceId,
    pub creator: Pid,
    pub form: Vec<Entry>,
    pub tag: String,
    pub callback: Option<Callback>,
    pub chosen_processors: BTreeMap<NodeId, Vec<Pid>>,
}
