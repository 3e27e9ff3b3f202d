//! The command line: one file per subcommand.

pub mod audit;
pub mod backup;
pub mod demo;
pub mod doctor;
pub mod import;
pub mod place;
pub mod report;
pub mod restore;
pub mod serve;
pub mod setup;
mod uploads;

use clap::{Parser, Subcommand};

/// An IT service desk whose only truth is an append-only ledger of events.
#[derive(Debug, Parser)]
#[command(name = "ledgerdesk", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a desk.
    Serve(serve::Serve),
    /// Write what every desk begins with into a desk that is there, such as one in the cloud.
    Setup(setup::Setup),
    /// Try a desk: a company, a working day, a summary.
    Demo(demo::Demo),
    /// Take over an incident log from another system.
    Import(import::Import),
    /// Print a report.
    Report(report::Report),
    /// Read, replay, prove and export the ledger.
    Audit(audit::Audit),
    /// Copy a desk, also one that is running; people and keys go apart.
    Backup(backup::Backup),
    /// Make a directory for a desk from a backup.
    Restore(restore::Restore),
    /// Say what is wrong with a desk, and what to do.
    Doctor(doctor::Doctor),
}

impl Cli {
    /// Runs the command; the text of an error is for people.
    pub async fn run(self) -> Result<(), String> {
        match self.command {
            Command::Serve(serve) => serve.run().await,
            Command::Setup(setup) => setup.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Import(import) => import.run().await,
            Command::Report(report) => report.run().await,
            Command::Audit(audit) => audit.run().await,
            Command::Backup(backup) => backup.run().await,
            Command::Restore(restore) => restore.run().await,
            Command::Doctor(doctor) => doctor.run().await,
        }
    }
}
