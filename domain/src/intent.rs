//! What queues carry: intents of reactions, and due work.
//!
//! An intent is work to do after an event is stored, under an effect id that makes repetition
//! harmless. Due work is a deadline of a stream that passed.

use std::collections::BTreeMap;

use events::ticket::{CallbackTarget, Relation};
use events::{AppCode, Moment, NodeId, PersonId, TicketSn};
use serde::{Deserialize, Serialize};

/// Work that follows from an event: a service task, a callback, or a command on another stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    /// Send a callback about the end or the status of a ticket.
    SendCallback {
        ticket: TicketSn,
        cause: String,
        app: Option<AppCode>,
        callback: CallbackTarget,
        correlation: String,
    },
    /// Start the API call of an automatic node.
    StartApiCall(Box<StartApiCall>),
    /// Record in a ticket that a relation to another ticket was added (`linked`) or removed.
    RelateTicket {
        ticket: TicketSn,
        with: TicketSn,
        relation: Relation,
        linked: bool,
        by: PersonId,
        cause: String,
        correlation: String,
    },
    /// End a child ticket like its parent.
    EndChildTicket {
        ticket: TicketSn,
        parent: TicketSn,
        status: String,
        approve_result: bool,
        cause: String,
        correlation: String,
    },
}

/// The inputs of an API call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartApiCall {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub attempt: u32,
    pub cause: String,
    /// The value of the header `Idempotency-Key`.
    pub key: String,
    pub inputs: BTreeMap<String, String>,
    pub task: String,
    pub correlation: String,
}

impl Intent {
    /// Returns the queue that executes the intent.
    pub fn queue(&self) -> &'static str {
        match self {
            Self::SendCallback { .. } => "callback",
            Self::StartApiCall(_) => "automate",
            Self::RelateTicket { .. } | Self::EndChildTicket { .. } => "ticket",
        }
    }
    /// Returns the target of the intent. It is the part of the effect id that differs between the
    /// intents of one event.
    pub fn target(&self) -> String {
        match self {
            Self::SendCallback { callback, .. } => callback.secret.clone(),
            Self::StartApiCall(call) => call.node.to_string(),
            Self::RelateTicket { ticket, .. } | Self::EndChildTicket { ticket, .. } => {
                ticket.0.clone()
            }
        }
    }
}

/// A deadline of a stream that is due, or that will be due soon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub stream: String,
    /// The deadline id, such as `attempt`.
    pub deadline: String,
    pub at: Moment,
}

impl Due {
    /// Returns the identity of this deadline at this instant: the id of its queue message, and the
    /// input of the id of its command.
    pub fn id(&self) -> String {
        format!("{}|{}|{:016}", self.stream, self.deadline, self.at.0)
    }
}

/// The body of a queue message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    Intent(Intent),
    Due(Due),
}

/// Returns the id of an effect of an event: BLAKE3 of consumer, event id and target, 16 bytes as
/// hex. It never contains an ordinal.
pub fn effect_id(consumer: &str, event_id: &str, target: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in ["ledgerdesk.effect.v1", consumer, event_id, target] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
