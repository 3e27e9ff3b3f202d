//! The contents of queue messages: intents of reactions, and due work.
//!
//! An intent is work that the desk executes after an event is stored. The effect id of the intent
//! makes a repeated execution harmless. Due work is a deadline of a stream that has passed.

use std::collections::BTreeMap;

use events::ticket::{CallbackTarget, Relation};
use events::{AppCode, Moment, NodeId, PersonId, TicketSn};
use serde::{Deserialize, Serialize};

/// Work that follows from an event: a service task, a callback, or a command on another stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    /// Requests a callback about the end or the status of a ticket.
    SendCallback {
        ticket: TicketSn,
        cause: String,
        app: Option<AppCode>,
        callback: CallbackTarget,
        correlation: String,
    },
    /// Requests the API call of an automatic node.
    StartApiCall(Box<StartApiCall>),
    /// Requests an approval in an external ITSM for an automatic node.
    SubmitApplication(Box<SubmitApplication>),
    /// Hands the inbound message of the stream `inbound` to the stream that it is about.
    HandleInbound {
        inbound: String,
        subject: String,
        cause: String,
        correlation: String,
    },
    /// Records in `ticket` that a relation to the ticket `with` was added (`linked`) or removed.
    RelateTicket {
        ticket: TicketSn,
        with: TicketSn,
        relation: Relation,
        linked: bool,
        by: PersonId,
        cause: String,
        correlation: String,
    },
    /// Ends the child ticket `ticket` with the final status of its parent.
    EndChildTicket {
        ticket: TicketSn,
        parent: TicketSn,
        status: String,
        approve_result: bool,
        cause: String,
        correlation: String,
    },
}

/// The inputs of one API call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartApiCall {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub attempt: u32,
    pub cause: String,
    /// The value of the HTTP header `Idempotency-Key`.
    pub key: String,
    pub inputs: BTreeMap<String, String>,
    pub task: String,
    pub correlation: String,
}

/// The inputs of one application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubmitApplication {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub attempt: u32,
    pub inputs: BTreeMap<String, String>,
    pub cause: String,
    pub correlation: String,
}

impl Intent {
    /// Returns the name of the queue that executes the intent.
    pub fn queue(&self) -> &'static str {
        match self {
            Self::SendCallback { .. } => "callback",
            Self::StartApiCall(_) => "automate",
            Self::SubmitApplication(_) | Self::HandleInbound { .. } => "sync",
            Self::RelateTicket { .. } | Self::EndChildTicket { .. } => "ticket",
        }
    }
    /// Returns the target of the intent. The effect id contains the target, so that the intents of
    /// one event get different ids.
    pub fn target(&self) -> String {
        match self {
            Self::SendCallback { callback, .. } => callback.secret.clone(),
            Self::StartApiCall(call) => call.node.to_string(),
            Self::SubmitApplication(application) => application.node.to_string(),
            Self::HandleInbound { subject, .. } => subject.clone(),
            Self::RelateTicket { ticket, .. } | Self::EndChildTicket { ticket, .. } => {
                ticket.0.clone()
            }
        }
    }
}

/// A deadline of a stream that has passed or will pass soon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub stream: String,
    /// The deadline id, such as `attempt`.
    pub deadline: String,
    pub at: Moment,
}

impl Due {
    /// Returns the id of this deadline at this instant. The queue message uses the id, and the
    /// command id is derived from the id.
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

/// Returns the id of one effect of an event: the BLAKE3 hash of consumer name, event id and target,
/// as 16 bytes in hex. The id contains no counter, so a repeated reaction computes the same id.
pub fn effect_id(consumer: &str, event_id: &str, target: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in ["ledgerdesk.effect.v1", consumer, event_id, target] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
