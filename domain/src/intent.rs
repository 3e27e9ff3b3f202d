//! What a reaction wants done: carried out after its event is stored, under an id that makes doing it twice harmless.

use events::{AppCode, TicketSn, ticket::Callback};
use serde::{Deserialize, Serialize};

/// Something to be done in the world because of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    /// Tell a receiver that a ticket ended.
    Deliver { ticket: TicketSn, cause: String, app: Option<AppCode>, callback: Callback, correlation: String },
}

impl Intent {
    /// The queue that carries it out.
    pub fn queue(&self) -> &'static str {
        match self {
            Self::Deliver { .. } => "deliver",
        }
    }
    /// Whom or what it is for: the part of the effect id that tells one intent of an event from another.
    pub fn target(&self) -> &str {
        match self {
            Self::Deliver { callback, .. } => &callback.secret,
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
