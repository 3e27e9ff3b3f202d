//! Runs shell scripts in a sandbox on the machine of the desk (reference/automation.md, section 5).
//!
//! A script runs in a separate process, which continues if the desk stops. Each run (execution of a script) has an id.
//! After a restart, the desk reads the state of the run with this id, and starts no second run.
//!
//! **How to add an adapter**: Create one file in this directory that implements [`Sandbox`]. Add one test that runs the
//! contract test in `contract.rs` on the adapter.

#[cfg(feature = "local")]
pub mod bubblewrap;
pub mod contract;
pub mod memory;
#[cfg(feature = "local")]
pub mod supervisor;

use std::collections::BTreeMap;

use async_trait::async_trait;
use events::script::{Level, Limits};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A request to run a shell script in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The id of the run (execution of the script). The id consists of lower-case letters, digits and hyphens.
    pub id: String,
    /// The text of the shell script.
    pub content: String,
    /// The parameters of the script. The script reads them as a JSON object from a file. The environment variable
    /// `PARAMETERS` contains the name of this file. Parameters are never inserted into the text of the script.
    pub parameters: BTreeMap<String, String>,
    pub limits: Limits,
    /// Maximum duration of the script in milliseconds.
    pub timeout_ms: u64,
}

/// The state of a run (execution of a script).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// The sandbox has no run with this id.
    Missing,
    Running,
    /// The supervisor (the process that watches the script) ended without a result. It is not known how much of its
    /// work the script has done.
    Lost,
    Ended(Ended),
}

/// The result of a run (execution of a script) that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The sandbox level (the set of restrictions) with which the script ran.
    pub level: Level,
    /// The exit code of the script. `None` if the script did not start, or if the sandbox was killed.
    pub exit_code: Option<i32>,
    /// Whether the script was stopped because it exceeded its maximum duration.
    pub is_timed_out: bool,
    /// Whether the script exceeded a limit, such as the maximum size of a file.
    pub is_exceeded: bool,
    /// The output of the script. If the output is too long, its middle is missing.
    pub output: String,
    /// Whether the sandbox was killed before the script ended. It is then not known how much of its work the script has
    /// done.
    #[serde(default)]
    pub is_lost: bool,
    /// The reason why the script did not start. The text is empty if the script started.
    pub problem: String,
}

/// Runs shell scripts in a sandbox.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Returns the strongest sandbox level (set of restrictions for scripts) that this machine supports.
    async fn level(&self) -> Level;
    /// Starts the script of a job. If a run with the same id exists, the function does nothing.
    async fn start(&self, job: &Job) -> Result<(), Error>;
    /// Returns the state of the run (execution of a script) with the given id.
    async fn read(&self, id: &str) -> Result<Run, Error>;
    /// Stops a run (execution of a script) that has not ended, and deletes the files of the run.
    async fn remove(&self, id: &str) -> Result<(), Error>;
}

/// The adapter for a desk that runs no scripts, such as a desk in the cloud. The start of a script returns an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSandbox;

#[async_trait]
impl Sandbox for NoSandbox {
    async fn level(&self) -> Level {
        Level::None
    }
    async fn start(&self, _: &Job) -> Result<(), Error> {
        Err(Error::new(
            crate::Kind::Misconfigured,
            "this desk runs no scripts",
        ))
    }
    async fn read(&self, _: &str) -> Result<Run, Error> {
        Ok(Run::Missing)
    }
    async fn remove(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }
}
