//! Defines the events of one script. The events are stored in the stream `script-<name>`. A script is work that
//! the desk can do for a ticket without a person, such as the unlock of an account.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::{PersonId, RoleId};

event_enum! {
    /// The events of one script.
    ScriptEvent of "script" {
        Defined "script.defined" 1,
    }
}

/// A script was defined. This definition replaces an earlier definition of the same script. An execution
/// that already exists keeps the definition with which it was requested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The version of the script, such as `1.2.0`. The author of the script chooses this text.
    pub version: String,
    /// A short text that describes the script to people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    pub body: Body,
    /// The people who may approve an execution of the script. If the value is absent, an execution needs no
    /// approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Maximum duration of one execution, in seconds. The waiting time for an approval does not count.
    pub timeout_s: u32,
}
impl Personals for Defined {}

/// One parameter of a script. The value of the parameter is a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    #[serde(default = "yes")]
    pub is_required: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
}

fn yes() -> bool {
    true
}

/// The work that a script does: a built-in action or a shell script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum Body {
    /// A built-in action on a platform (an external system, such as an LDAP server). The action has several
    /// steps, and the desk stores the result of each step.
    Steps {
        action: Action,
        /// The name of the platform on which the action runs.
        platform: String,
    },
    /// A shell script that runs in a sandbox on the machine of the desk.
    Shell {
        content: String,
        /// The weakest sandbox level (set of restrictions) with which the script may run. If the machine of the
        /// desk does not support this level, the desk does not start the script.
        level: Level,
        limits: Limits,
    },
}

/// A built-in action on a platform (an external system, such as an LDAP server). The program of the desk
/// contains the code of this action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Removes the lock of a user account in a directory (such as an LDAP server). The parameter `account`
    /// contains the name of the account.
    UnlockAccount,
}

/// The level of a sandbox: the set of restrictions for a shell script. The levels are ordered from the weakest
/// level to the strongest level. Each level also has all restrictions of the weaker levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The script runs without restrictions.
    #[default]
    None,
    /// The processor time, the memory, the size of files and the number of processes are limited.
    Limits,
    /// The script can use only the programs of the machine and the script's own temporary files.
    Files,
    /// The script cannot connect to the network and cannot communicate with processes outside of the sandbox.
    Network,
}

impl Level {
    /// Returns the text that represents the sandbox level in events and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Limits => "limits",
            Self::Files => "files",
            Self::Network => "network",
        }
    }
}

/// The limits of a shell script for memory, processes and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Maximum memory of one process of the script, in MiB.
    pub memory_mib: u32,
    /// Maximum number of processes and threads of the script.
    pub processes: u32,
    /// Maximum size of the stored output, in bytes. If the output is longer, the desk stores only the beginning
    /// and the end.
    pub output_bytes: u32,
}

/// The people who may approve an execution of a script. One approval is sufficient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonId>,
    /// The role whose members may also approve an execution, in addition to the people in the member `people`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleId>,
    /// Maximum waiting time for an approval, in minutes. After this time, the request for approval expires.
    pub expires_after_min: u32,
}
