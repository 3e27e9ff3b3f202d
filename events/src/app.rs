//! Defines the events of one client app that may call the APIs. The events are stored in the stream
//! `app-<code>`. The key store contains a hash of the app's secret. Events never contain a secret.

use serde::{Deserialize, Serialize};

use crate::AppCode;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one client app.
    AppEvent of "app" {
        Registered "app.registered" 1,
    }
}

/// The client app (a program of another system) was registered. This registration replaces an earlier
/// registration of the same app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    pub code: AppCode,
    pub name: String,
    /// True if the app may act for any user without the login token of that user. The app may then also send
    /// requests that name no user.
    pub may_impersonate: bool,
    /// True if the desk sends a callback (an HTTP request with the ticket status) to the app for each change
    /// of a ticket status. If the value is false, the desk sends a callback only when a ticket ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub status_callbacks: bool,
    /// True if the app is disabled. A disabled app may not call the APIs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
}
impl Personals for Registered {}
