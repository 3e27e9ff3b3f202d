//! What a reaction wants done: carried out after its event is stored, under an id that makes doing it twice harmless.

use std::collections::BTreeMap;

use events::ticket::{Callback, Relation};
use events::{AppCode, NodeId, Pid, TicketSn};
use serde::{Deserialize, Serialize};

/// Something to be done because of an event: outside, or on another stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    /// Tell a receiver that a ticket ended, or changed its status.
    Deliver { ticket: TicketSn, cause: String, app: Option<AppCode>, callback: Callback, correlation: String },
    /// Do what an automatic node says.
    Call(Box<Call>),
    /// Tell a ticket that another one belongs together with it, or no longer does.
    Relate { ticket: TicketSn, with: TicketSn, relation: Relation, linked: bool, by: Pid, cause: String, correlation: String },
    /// End a child as its parent ended.
    EndChild { ticket: TicketSn, parent: TicketSn, status: String, approve_result: bool, cause: String, correlation: String },
}

/// The call of an automatic node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub attempt: u32,
    pub cause: String,
    /// What goes along as `Idempotency-Key`.
    pub key: String,
    pub inputs: BTreeMap<String, String>,
    pub task: String,
    pub correlation: String,
}

impl Intent {
    /// The queue that carries it out.
    pub fn queue(&self) -> &'static str {
        match self {
            Self::Deliver { .. } => "deliver",
            Self::Call(_) | Self::Relate { .. } | Self::EndChild { .. } => "automate",
        }
    }
    /// Whom or what it is for: the part of the effect id that tells one intent of an event from another.
    pub fn target(&self) -> String {
        match self {
            Self::Deliver { callback, .. } => callback.secret.clone(),
            Self::Call(call) => call.node.to_string(),
            Self::Relate { ticket, .. } | Self::EndChild { ticket, .. } => ticket.0.clone(),
        }
    }
}

/// The id of a thing caused by an event: BLAKE3 of consumer, event id and target, 16 bytes as hex. Never an ordinal.
pub fn effect_id(consumer: &str, event_id: &str, target: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in ["ledgerdesk.effect.v1", consumer, event_id, target] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
