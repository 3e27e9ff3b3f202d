//! One idempotency key. The key is permanently connected with one ticket number.

use events::idempotency_key::{IdempotencyKeyEvent, Reserved};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Connects the key with a ticket number. If the key is already connected with a ticket number, the
/// command is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Reserved);

/// The reasons why the key cannot be connected with the ticket number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the idempotency key is already reserved for {}", .0.sn)]
    AlreadyReserved(Reserved),
}

/// The state of one key. `reserved` is `None` until the key is connected with a ticket number.
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
