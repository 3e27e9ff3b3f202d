//! The command line: one file per subcommand.

pub mod serve;

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
}

impl Cli {
    /// Runs the command; the text of an error is for people.
    pub async fn run(self) -> Result<(), String> {
        match self.command {
            Command::Serve(serve) => serve.run().await,
        }
    }
}
