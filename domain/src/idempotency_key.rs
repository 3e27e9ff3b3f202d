//! Implements the aggregate of one idempotency key. A client sends such a key so that a repeated request does
//! not open a second ticket. Each key belongs permanently to one ticket number.

use events::idempotency_key::{IdempotencyKeyEvent, Reserved};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Reserves the idempotency key for a ticket number. The command is rejected if the key is already reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Reserved);

/// The reasons why the aggregate cannot reserve the key for a ticket number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the idempotency key is already reserved for {}", .0.sn)]
    AlreadyReserved(Reserved),
}

/// The state of one idempotency key. The member `reserved` is `None` until the key is reserved for a ticket
/// number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    pub reserved: Option<Reserved>,
}

impl Decider for IdempotencyKey {
    type Command = Command;
    type Event = IdempotencyKeyEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        Command(requested): &Command,
        (): &(),
    ) -> Result<Vec<IdempotencyKeyEvent>, DecideError<Self>> {
        match &self.reserved {
            None => Ok(vec![requested.clone().into()]),
            Some(reserved) if reserved.request != requested.request => {
                Err(DecideError::Rejected(Rejection::KeyReused))
            }
            Some(reserved) => Err(DecideError::Rejected(Rejection::AlreadyReserved(
                reserved.clone(),
            ))),
        }
    }

    fn evolve(&mut self, event: &IdempotencyKeyEvent) {
        let IdempotencyKeyEvent::Reserved(reserved) = event;
        self.reserved = Some(reserved.clone());
    }
}
