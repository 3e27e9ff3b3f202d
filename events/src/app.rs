//! Client apps that may call the APIs, in the stream `app-<code>`. The key store has the hashes of
//! their secrets; events never contain secrets.

use serde::{Deserialize, Serialize};

use crate::AppCode;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one client app.
    AppEvent of "app" {
        Registered "app.registered" 1,
    }
}

/// The app was registered or its registration was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    pub code: AppCode,
    pub name: String,
    /// The app may name any user as the caller, or no user, without that user's login token.
    pub may_impersonate: bool,
    /// Callbacks of the app also report changes of status before the end of a ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub status_callbacks: bool,
    /// The app may not call until it is enabled again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
}
impl Personals for Registered {}
