//! Runs shell scripts in a sandbox on the machine of the desk (reference/automation.md, section 5).
//!
//! A script runs in a process of its own that continues if the desk stops. Each run has an id. After a restart,
//! the desk reads the state of the run with this id, and starts no second run.
//!
//! **How to add an adapter**: Create one file in this directory that implements [`Sandbox`]. Add one test that
//! runs the contract test in `contract.rs` on the adapter.

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

/// A shell script that is to run in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The id of the run: lower-case letters, digits and hyphens.
    pub id: String,
    /// The text of the shell script.
    pub content: String,
    /// The parameters of the script. The script reads them as a JSON object from the file whose name is in the
    /// environment variable `PARAMETERS`. They are never inserted into the text of the script.
    pub parameters: BTreeMap<String, String>,
    pub limits: Limits,
    /// Maximum duration of the script in milliseconds.
    pub timeout_ms: u64,
}

/// The state of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// The sandbox has no run with this id.
    Missing,
    Running,
    /// The process that watched the script was killed. It is not known what the script has done.
    Lost,
    Ended(Ended),
}

/// The end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The sandbox level at which the script ran.
    pub level: Level,
    /// The exit code of the script. `None` if the script did not start, or if a signal ended it.
    pub exit_code: Option<i32>,
    /// Whether the script was ended because its maximum duration was over.
    pub is_timed_out: bool,
    /// Whether the script exceeded a limit, such as its maximum memory.
    pub is_exceeded: bool,
    /// The output of the script. If the output is too long, its middle is missing.
    pub output: String,
    /// Whether the sandbox was killed, so it is not known what the script has done.
    #[serde(default)]
    pub is_lost: bool,
    /// The reason why the script did not start. The text is empty if it started.
    pub problem: String,
}

/// Runs shell scripts in a sandbox.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Returns the strongest level that this machine reaches.
    async fn level(&self) -> Level;
    /// Starts a script. If a run with the same id exists, starts nothing.
    async fn start(&self, job: &Job) -> Result<(), Error>;
    /// Returns the state of a run.
    async fn read(&self, id: &str) -> Result<Run, Error>;
    /// Ends a run if it has not ended, and deletes its files.
    async fn remove(&self, id: &str) -> Result<(), Error>;
}

/// The adapter for a desk that runs no scripts, such as a desk in the cloud.
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
