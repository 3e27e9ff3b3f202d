//! Imitates a sandbox on a machine without bubblewrap. The imitation runs no scripts. Each script ends at once with
//! exit code 0, and its output states that the script did not run.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use events::script::Level;
use infra::Error;
use infra::sandbox::{Ended, Job, Run, Sandbox};

/// The output of each script.
const OUTPUT: &str = "This script did not run, because this machine has no sandbox.\n";

/// An imitation of a sandbox. It runs no scripts.
#[derive(Debug, Default)]
pub struct Idle {
    /// The ids of the script runs that were started and are not removed yet.
    started: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Sandbox for Idle {
    /// Returns the strongest isolation level. The desk refuses to start a script if the level of the sandbox is weaker
    /// than the level of the script.
    async fn level(&self) -> Level {
        Level::Network
    }

    async fn start(&self, job: &Job) -> Result<(), Error> {
        let mut started = self.started.lock().expect("no holder panics");
        started.insert(job.id.clone());
        Ok(())
    }

    async fn read(&self, id: &str) -> Result<Run, Error> {
        let started = self.started.lock().expect("no holder panics");
        if !started.contains(id) {
            return Ok(Run::Missing);
        }
        Ok(Run::Ended(Ended {
            level: Level::None,
            exit_code: Some(0),
            output: OUTPUT.into(),
            ..Ended::default()
        }))
    }

    async fn remove(&self, id: &str) -> Result<(), Error> {
        let mut started = self.started.lock().expect("no holder panics");
        started.remove(id);
        Ok(())
    }
}
