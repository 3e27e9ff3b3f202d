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
    /// The people who approve an execution of the script. If the value is absent, an execution needs no
    /// approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Maximum duration of one execution, in seconds. The waiting time for an approval does not count.
    pub timeout_s: u32,
}
impl Personals for Defined {}

/// One parameter of a script. Its value is a text.
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

/// The work of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum Body {
    /// A built-in action on a platform. The action runs in steps, and the desk stores each step.
    Steps {
        action: Action,
        /// The name of the platform on which the action runs.
        platform: String,
    },
    /// A shell script that runs in a sandbox on the machine of the desk.
    Shell {
        content: String,
        /// The weakest sandbox level that is allowed. If the machine cannot reach this level, the script is
        /// not started.
        level: Level,
        limits: Limits,
    },
}

/// A built-in action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Removes the lock of an account in a directory. The action has the parameter `account`.
    UnlockAccount,
}

/// The level of a sandbox: the set of restrictions for a shell script. Each level has all restrictions of the
/// lower levels. The order is from the weakest level to the strongest level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// No restrictions.
    #[default]
    None,
    /// The processor time, the memory, the size of files and the number of processes are limited.
    Limits,
    /// The script sees only the programs of the machine and its own temporary files.
    Files,
    /// The script cannot reach the network, other processes, or sockets and queues of other processes.
    Network,
}

impl Level {
    /// Returns the name of the level in events and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Limits => "limits",
            Self::Files => "files",
            Self::Network => "network",
        }
    }
}

/// The limits of a shell script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Maximum memory of one process of the script, in MiB.
    pub memory_mib: u32,
    /// Maximum number of processes and threads.
    pub processes: u32,
    /// Maximum size of the stored output in bytes. From a longer output, the desk keeps the beginning and the
    /// end.
    pub output_bytes: u32,
}

/// The people who may approve an execution. One of them must approve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonId>,
    /// The role whose members may approve, in addition to `people`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleId>,
    /// The time in minutes after which a request for approval expires.
    pub expires_after_min: u32,
}
