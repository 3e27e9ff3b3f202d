//! Defines the events of one automation platform. The events are stored in the stream `platform-<name>`. A
//! platform is one installation of a system on which scripts act, such as an LDAP server. The secret of the
//! platform, such as a password, is stored separately in the key store, under the name `platform/<name>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one automation platform.
    PlatformEvent of "platform" {
        Defined "platform.defined" 1,
    }
}

/// A platform was defined. This definition replaces an earlier definition of the same platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The kind of the platform, such as `ldap`.
    pub kind: String,
    /// The settings that this kind of platform needs, such as the URL of an LDAP server. The settings contain
    /// no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Value>,
}
impl Personals for Defined {}
