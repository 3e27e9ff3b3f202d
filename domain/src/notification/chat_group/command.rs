//! The commands that change one chat group, and the reasons why the desk rejects them.

use events::chat_group::{CloseReason, Requested};
use events::notification::Fact;
use events::{Moment, PersonId};

use super::StepReport;

/// The people and the name that the group of a ticket shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub members: Vec<PersonId>,
    /// The people of the ticket who may not read it.
    pub not_permitted: Vec<PersonId>,
    /// Number of further people, see [`MEMBERS_MAX`](super::MEMBERS_MAX).
    pub omitted: u32,
    pub at: Moment,
}

/// The commands that change one chat group.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Requests the group. If the group exists, the command updates it. The desk itself never requests a closed group
    /// again, and a failed one only if its people changed.
    Request(Box<Requested>),
    /// Changes the people or the name. If both are the same, the command does nothing.
    Update(Wanted),
    /// Requests a message to the group. If a message about the same fact waits, the command does nothing: the waiting
    /// message will show the newest state of the ticket. The number of waiting messages is therefore bounded. The command
    /// also does nothing if the same event was announced before.
    Announce {
        fact: Fact,
        cause: String,
        at: Moment,
    },
    /// Closes the group. A group whose creation has not started needs no request.
    Close {
        reason: CloseReason,
        by: Option<PersonId>,
        name: String,
        at: Moment,
    },
    /// Stores that an attempt to create the group, or to send the message with this number, starts.
    Begin {
        attempt: u32,
        message: Option<u32>,
        /// The end of the time within which the platform recognizes a repetition of this creation.
        recognized_until: Option<Moment>,
        until: Moment,
    },
    /// Stores the outcome of the current attempt.
    Record(Box<StepReport>),
    /// Requests the removal of a person whose erasure begins. The key store contains the address as the secret `secret`
    /// until the time `until`. Does nothing if the group cannot contain the person, see
    /// [`ChatGroup::may_contain`](super::ChatGroup::may_contain).
    Erase {
        person: PersonId,
        secret: String,
        until: Moment,
        at: Moment,
    },
    /// Ends the removal of an erased person whose time has ended. The address was destroyed before.
    GiveUp { person: PersonId, at: Moment },
}

/// The reasons why the desk rejects a command for a chat group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the chat group is not requested")]
    NotRequested,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
}
