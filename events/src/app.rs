//! Applications that may call, in the stream `app-<code>`. Their secrets are hashed in the key store, never here.

use serde::{Deserialize, Serialize};

use crate::AppCode;
use crate::fact::{Personals, facts};

facts! {
    /// The life of one calling application.
    AppEvent of "app" {
        Registered "app.registered" 1,
    }
}

/// The application may call from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    pub code: AppCode,
    pub name: String,
    /// May name the calling user (or nobody) without that user's login token.
    pub speaks_for_users: bool,
    /// Its callbacks also tell of changes of status before a ticket's end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hears_status: bool,
    /// The app may not call until it is enabled again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
}
impl Personals for Registered {}
