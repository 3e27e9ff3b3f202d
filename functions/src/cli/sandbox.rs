//! Implements the hidden command `ledgerdesk sandbox`. The desk starts this command to run one shell script. The
//! command continues if the desk stops.

use std::path::PathBuf;

use clap::Args;
use infra::sandbox::supervisor;

use super::CommandError;

#[derive(Debug, Args)]
pub struct Sandbox {
    /// The directory for the files of the script run.
    pub directory: PathBuf,
    /// The path of the program bubblewrap, which isolates the script.
    pub program: PathBuf,
}

impl Sandbox {
    /// Reads a job from standard input and runs the script of the job. The function writes the result of the script
    /// into the directory of the run.
    pub fn run(&self) -> Result<(), CommandError> {
        let job = serde_json::from_reader(std::io::stdin().lock())
            .map_err(|error| format!("standard input does not contain a job: {error}"))?;
        supervisor::run(&self.directory, &self.program, &job)
            .map_err(|error| format!("the script cannot be run: {error}").into())
    }
}
