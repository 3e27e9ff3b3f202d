//! Client apps that may call the APIs, in the stream `app-<code>`. The key store contains a hash of
//! the secret of each app. Events never contain a secret.

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
    /// True if the app may act for each user without a login token of this user. Such an app may
    /// also act without a user.
    pub may_impersonate: bool,
    /// True if the callbacks of the app also report changes of the status before the ticket ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub status_callbacks: bool,
    /// True if the app is disabled. A disabled app may not call the APIs until it is enabled again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
}
impl Personals for Registered {}
