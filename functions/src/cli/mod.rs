//! The command line: one file per subcommand.

pub mod app;
pub mod audit;
pub mod backup;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod forget;
pub mod import;
pub mod log;
pub mod place;
pub mod report;
pub mod restore;
pub mod serve;
pub mod setup;
mod uploads;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, Parser, Subcommand};
use infra::Error;
use serde_json::Value;

/// An IT service desk whose source of truth is an append-only ledger of events.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something is wrong with what was examined, 4 another process holds the desk.
#[derive(Debug, Parser)]
#[command(name = "ledgerdesk", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub log: log::Log,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a desk.
    Serve(serve::Serve),
    /// Write base data, the demo company and apps into an existing desk.
    Setup(setup::Setup),
    /// Start a desk with a demo company and a realistic working day.
    Demo(demo::Demo),
    /// Import an incident log of another system as events.
    Import(import::Import),
    /// Print a report.
    Report(report::Report),
    /// Read, replay, verify and export the ledger.
    Audit(audit::Audit),
    /// List, add, disable and enable apps: the programs that call the APIs.
    App(app::App),
    /// Erase a person: user name, key, and everything sealed under the key.
    Forget(forget::Forget),
    /// Copy a desk, also one that is running; people and keys go apart.
    Backup(backup::Backup),
    /// Make a directory for a desk from a backup.
    Restore(restore::Restore),
    /// Check a desk and report each problem with the next step.
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
}

/// Why a command ended without success; each reason has its own exit code, listed in docs/operating.md.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("{0}")]
    Failed(String),
    /// Options contradict each other, or one has a value that it cannot have.
    #[error("{0}")]
    Usage(String),
    /// What was examined is wrong: a verification failed, a check has findings.
    #[error("{0}")]
    Found(String),
    /// Another process holds the desk.
    #[error("{0}")]
    Busy(String),
}

/// The part of the ledger's message by which a directory that another process holds is known.
const HELD: &str = "another process is writing";

impl CommandError {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Found(_) => 3,
            Self::Busy(_) => 4,
        }
    }
}

impl From<String> for CommandError {
    fn from(text: String) -> Self {
        if text.contains(HELD) { Self::Busy(text) } else { Self::Failed(text) }
    }
}

impl From<&str> for CommandError {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        error.to_string().into()
    }
}

impl From<CommandError> for String {
    fn from(error: CommandError) -> Self {
        error.to_string()
    }
}

/// How a command that changes something goes ahead.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Change {
    /// Report what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask. A question comes on a terminal only.
    #[arg(long)]
    pub yes: bool,
}

impl Change {
    /// Asks on a terminal whether to go ahead; elsewhere the command itself is the answer.
    pub fn confirm(self, what: &str) -> Result<(), CommandError> {
        let stdin = std::io::stdin();
        if self.yes || self.dry_run || !stdin.is_terminal() {
            return Ok(());
        }
        eprint!("{what}? [y/N] ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        stdin.lock().read_line(&mut answer).map_err(|error| format!("cannot read the answer: {error}"))?;
        if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { Err("nothing was changed".into()) }
    }
}

/// Prints a line about a desk that is running. The desk continues where the line cannot be written, because its reader is gone or a disk is full.
pub(crate) fn announce(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a result: as JSON, or as the lines that a person reads.
pub(crate) fn print(json: bool, value: &Value, lines: impl FnOnce()) {
    if json {
        println!("{value}");
    } else {
        lines();
    }
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> Result<(), CommandError> {
        let json = self.json;
        match self.command {
            Command::Serve(serve) => serve.run(json).await,
            Command::Setup(setup) => setup.run(json).await,
            Command::Demo(demo) => demo.run(json).await,
            Command::Import(import) => Ok(Box::pin(import.run(json)).await?),
            Command::Report(report) => report.run(json).await,
            Command::Audit(audit) => audit.run(json).await,
            Command::App(app) => app.run(json).await,
            Command::Forget(forget) => Ok(forget::Forget { json, ..forget }.run().await?),
            Command::Backup(backup) => Ok(backup::Backup { json, ..backup }.run().await?),
            Command::Restore(restore) => Ok(restore::Restore { json, ..restore }.run().await?),
            Command::Doctor(doctor) => doctor.run(json).await,
            Command::Completions(completions) => completions.run(json),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Commands that change a desk, by their path.
    const CHANGING: [&str; 9] = ["setup", "audit check", "audit rebuild", "audit follow", "audit parked", "app add", "app disable", "app enable", "forget"];

    /// Characters of a help text in one line.
    const HELP_MAX: usize = 120;

    /// Every command without subcommands, by its path.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, Vec<String>)>) {
        let mut subcommands = command.get_subcommands().filter(|sub| sub.get_name() != "help").peekable();
        if subcommands.peek().is_none() {
            let options = command.get_arguments().filter_map(|argument| argument.get_long()).map(str::to_owned).collect();
            found.push((path.to_owned(), options));
        }
        for sub in subcommands {
            leaves(sub, format!("{path} {}", sub.get_name()).trim(), found);
        }
    }

    fn every_argument_has_a_short_text(command: &clap::Command, path: &str) {
        for argument in command.get_arguments() {
            let text = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!((1..=HELP_MAX).contains(&text.chars().count()), "{path} {}: {text:?}", argument.get_id());
        }
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            every_argument_has_a_short_text(sub, &format!("{path} {}", sub.get_name()));
        }
    }

    #[test]
    fn every_command_prints_json_and_every_change_can_be_tried_first() {
        let mut command = Cli::command();
        command.build();
        let mut found = Vec::new();
        leaves(&command, "", &mut found);
        assert!(found.len() >= 20, "{found:?}");
        every_argument_has_a_short_text(&command, "");
        for (path, options) in &found {
            assert!(options.iter().any(|option| option == "json"), "{path} has no --json");
        }
        for path in CHANGING {
            let (_, options) = found.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("there is no command {path}"));
            assert!(["dry-run", "yes"].iter().all(|wanted| options.iter().any(|option| option == wanted)), "{path}: {options:?}");
        }
    }

    #[test]
    fn a_held_directory_has_its_own_exit_code() {
        assert_eq!(CommandError::from("another process is writing to data; stop it first").exit_code(), 4);
        assert_eq!(CommandError::from("cannot read x").exit_code(), 1);
    }
}
