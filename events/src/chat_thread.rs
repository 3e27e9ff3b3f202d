//! Defines the events about the thread of one ticket in one conversation of a chat. The events are stored in the stream
//! `chat_thread-<hash>`. The hash is made from the channel account, the ticket and the conversation, so all messages
//! about the ticket in this conversation have the same stream (plans/notifications.md, part 5).

use serde::{Deserialize, Serialize};

use crate::TicketSn;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events about the thread of one ticket in one conversation.
    ChatThreadEvent of "chat_thread" {
        Rooted "chat_thread.rooted" 1,
    }
}

/// The reason why a delivery sends the first message of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootReason {
    /// The conversation had no message about the ticket.
    First,
    /// The first message was not sent, or the provider returned no id of it.
    Failed,
    /// The first message does not exist any more at the provider.
    Lost,
    /// The first message was sent to another address of the person.
    Moved,
}

/// A delivery sends the first message of the thread. Later messages about the ticket in this conversation answer this
/// message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rooted {
    pub account: String,
    pub ticket: TicketSn,
    /// The name of the stream of the delivery. It contains the id of the message at the provider.
    pub delivery: String,
    pub because: RootReason,
}
impl Personals for Rooted {}
