//! Defines the events of one chat identity. The events are stored in the stream `chat_identity-<hash>`. A chat identity is
//! the account of a person on a platform such as Slack. The hash is computed with a secret key from the kind and the id of
//! the account, so the ledger contains no id of a chat account.

use serde::{Deserialize, Serialize};

use crate::PersonId;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one chat identity.
    ChatIdentityEvent of "chat_identity" {
        Linked "chat_identity.linked" 1,
    }
}

/// The account belongs to a person. The person proved this with a code of the desk that the person sent from the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    pub person: PersonId,
    /// The kind of the address, such as `slack`.
    pub kind: String,
}
impl Personals for Linked {}
