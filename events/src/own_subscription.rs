//! Defines the events about the subscriptions that one person made. The events are stored in the stream
//! `own_subscription-<pid>`. The notification policy contains the subscriptions that operators made for other people.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::notification_policy::Occasion;
use crate::{PersonId, Personal};

event_enum! {
    /// The events about the subscriptions of one person.
    OwnSubscriptionEvent of "own_subscription" {
        Changed "own_subscription.changed" 1,
    }
}

/// The subscriptions of the person were changed. The event contains all of them and replaces all earlier ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    pub person: PersonId,
    /// The occasions of all subscriptions that are not paused, without repetitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub occasions: Vec<Occasion>,
    /// The subscriptions with their names and conditions, as a JSON array. The person wrote them, so they are encrypted
    /// with the key of the person. Only the name of a subscription also appears in plain text, in its notifications.
    pub subscriptions: Personal,
    pub by: PersonId,
}
impl Personals for Changed {
    fn personals(&mut self) -> Vec<&mut Personal> {
        vec![&mut self.subscriptions]
    }
}
