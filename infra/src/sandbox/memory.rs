//! Implements a sandbox in memory, for tests. The sandbox runs no scripts. Instead, a test sets how
//! each script ends.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use events::script::Level;

use super::{Ended, Job, Run, Sandbox};
use crate::Error;

/// A sandbox in memory for tests.
#[derive(Debug)]
pub struct Memory {
    level: Mutex<Level>,
    runs: Mutex<BTreeMap<String, (Job, Run)>>,
    started: Mutex<Vec<Job>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            level: Mutex::new(Level::Network),
            runs: Mutex::default(),
            started: Mutex::default(),
        }
    }
}

impl Memory {
    /// Sets the sandbox level (the set of restrictions for scripts) that [`Sandbox::level`]
    /// returns.
    pub fn set_level(&self, level: Level) {
        *self.level.lock().expect("no holder panics") = level;
    }

    /// Sets the state of all runs (executions of scripts) that have not ended.
    pub fn end_all(&self, run: &Run) {
        let mut runs = self.runs.lock().expect("no holder panics");
        for (_, state) in runs.values_mut() {
            if *state == Run::Running {
                state.clone_from(run);
            }
        }
    }

    /// Removes all runs (executions of scripts). A test uses this function to simulate a desk that
    /// was restored on another machine.
    pub fn forget(&self) {
        self.runs.lock().expect("no holder panics").clear();
    }

    /// Returns all jobs that were started, in the order of their starts.
    pub fn started(&self) -> Vec<Job> {
        self.started.lock().expect("no holder panics").clone()
    }
}

#[async_trait]
impl Sandbox for Memory {
    async fn level(&self) -> Level {
        *self.level.lock().expect("no holder panics")
    }

    async fn start(&self, job: &Job) -> Result<(), Error> {
        let mut runs = self.runs.lock().expect("no holder panics");
        if !runs.contains_key(&job.id) {
            runs.insert(job.id.clone(), (job.clone(), Run::Running));
            let mut started = self.started.lock().expect("no holder panics");
            started.push(job.clone());
        }
        Ok(())
    }

    async fn read(&self, id: &str) -> Result<Run, Error> {
        let runs = self.runs.lock().expect("no holder panics");
        Ok(runs.get(id).map_or(Run::Missing, |(_, run)| run.clone()))
    }

    async fn remove(&self, id: &str) -> Result<(), Error> {
        self.runs.lock().expect("no holder panics").remove(id);
        Ok(())
    }
}

/// Returns the state of a run whose script ended with the given exit code and output.
pub fn ended(exit_code: i32, output: &str) -> Run {
    Run::Ended(Ended {
        level: Level::Network,
        exit_code: Some(exit_code),
        output: output.to_owned(),
        ..Ended::default()
    })
}
