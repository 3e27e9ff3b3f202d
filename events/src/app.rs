//! Client apps that may call the APIs, in the stream `app-<code>`. The key store contains the
//! hashes of the app secrets. Events never contain secrets.

use serde::{Deserialize, Serialize};

use crate::AppCode;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one client app.
    AppEvent of "app" {
        Registered "app.registered" 1,
    }
}

/// The client app was registered, or its registration was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    pub code: AppCode,
    pub name: String,
    /// True if the app may act as any user without that user's login token, or without any user.
    pub may_impersonate: bool,
    /// True if callbacks of the app also report changes of status before the ticket ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub status_callbacks: bool,
    /// True if the app may not call the APIs until the app is enabled again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
}
impl Personals for Registered {}
