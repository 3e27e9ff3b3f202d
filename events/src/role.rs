//! Defines the events of one role and its members. The events are stored in the stream `role-<id>`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::{PersonId, RoleId};

event_enum! {
    /// The events of one role.
    RoleEvent of "role" {
        Defined "role.defined" 1,
    }
}

/// The kind of a role: a role that people define, or a built-in administrator role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RoleKind {
    /// A normal role that people define in this desk.
    General,
    /// A built-in administrator role, such as `SUPERUSER`.
    Admin,
}

/// The role was defined. This definition replaces an earlier definition of the same role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub role: RoleId,
    pub kind: RoleKind,
    pub key: String,
    pub name: String,
    pub members: Vec<PersonId>,
    /// True if the role is in the list of roles and can be selected, and false after its removal from the
    /// list. Workflows that use a removed role stay valid.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
