//! Who belongs to a role, in the stream `role-<id>`.

use serde::{Deserialize, Serialize};

use crate::fact::{Personals, facts};
use crate::{Pid, RoleId};

facts! {
    /// The life of one role.
    RoleEvent of "role" {
        Defined "role.defined" 1,
    }
}

/// What a role is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RoleKind {
    /// Own roles of the desk.
    General,
    /// Built-in administrators, such as `SUPERUSER`.
    Admin,
}

/// The role is as this says from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub role: RoleId,
    pub kind: RoleKind,
    pub key: String,
    pub name: String,
    pub members: Vec<Pid>,
    /// It is there to be used; what uses it already goes on.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
