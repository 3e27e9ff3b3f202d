//! Defines the command line of Ledgerdesk. Each subcommand has its own file.

pub mod app;
pub mod audit;
pub mod backup;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod forget;
pub mod import;
pub mod import_oncall;
pub mod log;
#[cfg(not(feature = "aws"))]
mod no_cloud;
pub mod policy;
pub mod report;
pub mod restore;
pub mod sandbox;
pub mod serve;
pub mod setup;
pub mod target;
mod uploads;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use infra::Error;
use serde_json::Value;

/// An IT service desk that stores all its data as events in an append-only ledger.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a check found a problem, 4 another process uses
/// the service desk.
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
    /// Run a service desk.
    Serve(serve::Serve),
    /// Write base data, the demo company and apps into an existing service desk.
    Setup(setup::Setup),
    /// Start a service desk with a demo company and simulate a working day.
    Demo(demo::Demo),
    /// Import an incident log of another system. Each row becomes an event.
    Import(import::Import),
    /// Import escalation chains, rotas and addresses from an export of Grafana OnCall or Opsgenie.
    #[command(name = "import-oncall")]
    ImportOnCall(import_oncall::ImportOnCall),
    /// Try a new notification policy on past events.
    Policy(policy::Policy),
    /// Print a report.
    Report(report::Report),
    /// Read, replay, verify and export the ledger.
    Audit(audit::Audit),
    /// List, add, disable and enable apps (programs that call the APIs).
    App(app::App),
    /// Erase a person: the user name, the encryption key, and all data encrypted with this key.
    Forget(forget::Forget),
    /// Copy a service desk, which may be running. The names and keys of people get their own folder.
    Backup(backup::Backup),
    /// Create the directory of a service desk from a backup.
    Restore(restore::Restore),
    /// Check a service desk. For each problem, print what the operator should do.
    Doctor(doctor::Doctor),
    /// Run one shell script for a desk. The desk starts this command itself.
    #[command(hide = true)]
    Sandbox(sandbox::Sandbox),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
}

/// The reason why a command failed. Each reason has its own exit code (docs/operating.md).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("{0}")]
    Failed(String),
    /// Options contradict each other, or an option has an invalid value.
    #[error("{0}")]
    Usage(String),
    /// A verification failed, or a check found a problem.
    #[error("{0}")]
    Found(String),
    /// Another process uses the service desk.
    #[error("{0}")]
    Busy(String),
}

/// If another process uses the directory of the service desk, the error message of the ledger
/// contains this text.
const IN_USE: &str = "another process is writing";

/// Runs the program: parses the command line, executes the command, and returns the exit code of the process.
///
/// This code is in the library and not in the file of the binary. A binary would otherwise contain a second copy
/// of the generated code of all commands, which takes long to compile.
pub fn main() -> ExitCode {
    exit_on_failed_print();
    let cli = Cli::parse();
    let is_access_logged = matches!(&cli.command, Command::Serve(serve) if serve.access_log);
    let directives: &[&str] = if is_access_logged {
        &["access=debug"]
    } else {
        &[]
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match cli
        .log
        .start(directives)
        .and_then(|()| runtime.block_on(cli.run()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints an error message to standard error. The function ignores an error of this write, because
/// the program has no other way to report errors.
fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "ledgerdesk: {text}");
}

/// Installs a panic hook that ends `ledgerdesk` if a write to standard output fails.
///
/// Another program can read the output and end early, for example `| head`. In this case,
/// `ledgerdesk` ends successfully without a message. For any other write error, such as a full
/// disk, `ledgerdesk` ends with a failure.
fn exit_on_failed_print() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic
            .payload()
            .downcast_ref::<String>()
            .map_or("", String::as_str);
        match text.strip_prefix("failed printing to stdout: ") {
            Some(reason) if reason.contains("Broken pipe") => std::process::exit(0),
            Some(reason) => {
                print_error(&format!("cannot write to standard output: {reason}"));
                std::process::exit(1);
            }
            None => default_hook(panic),
        }
    }));
}

impl CommandError {
    /// Returns the exit code of the process for this error.
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
        if text.contains(IN_USE) {
            Self::Busy(text)
        } else {
            Self::Failed(text)
        }
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

/// The common options of all commands that change a service desk.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Change {
    /// Print the changes, but do not execute them.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation. Without a terminal, the command never asks.
    #[arg(long)]
    pub yes: bool,
}

impl Change {
    /// Asks the user to confirm the change. `action` is the text of the question. Returns an error
    /// if the user does not agree. The function asks no question with `--yes` or `--dry-run`, or if
    /// the standard input is not a terminal.
    pub fn confirm(self, action: &str) -> Result<(), CommandError> {
        let stdin = std::io::stdin();
        if self.yes || self.dry_run || !stdin.is_terminal() {
            return Ok(());
        }
        eprint!("{action}? [y/N] ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        stdin
            .lock()
            .read_line(&mut answer)
            .map_err(|error| format!("cannot read the answer: {error}"))?;
        if answer.trim().eq_ignore_ascii_case("y") {
            Ok(())
        } else {
            Err("nothing was changed".into())
        }
    }
}

/// Prints a line about the running service desk to standard output.
///
/// The function ignores write errors. A closed pipe or a full disk must not stop the service desk.
pub(crate) fn announce(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints the result of a command. If `json` is true, the function prints `value` as JSON.
/// Otherwise, the function calls `lines`, which prints text.
pub(crate) fn print(json: bool, value: &Value, lines: impl FnOnce()) {
    if json {
        println!("{value}");
    } else {
        lines();
    }
}

impl Cli {
    /// Runs the selected subcommand.
    pub async fn run(self) -> Result<(), CommandError> {
        let json = self.json;
        match self.command {
            Command::Serve(serve) => serve.run(json).await,
            Command::Setup(setup) => setup.run(json).await,
            Command::Sandbox(sandbox) => sandbox.run(),
            Command::Demo(demo) => demo.run(json).await,
            Command::Import(import) => Ok(Box::pin(import.run(json)).await?),
            Command::ImportOnCall(import) => import.run(json).await,
            Command::Policy(policy) => Box::pin(policy.run(json)).await,
            Command::Report(report) => Box::pin(report.run(json)).await,
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

    /// The full names of all commands that change a service desk.
    const CHANGING: [&str; 9] = [
        "setup",
        "audit check",
        "audit rebuild",
        "audit follow",
        "audit parked",
        "app add",
        "app disable",
        "app enable",
        "forget",
    ];

    /// The largest number of characters in the short help text of an argument.
    const HELP_MAX: usize = 120;

    /// Collects all commands that have no subcommands. For each such command, the function appends
    /// its full name and the names of its long options to `found`. `path` is the full name of
    /// `command`.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, Vec<String>)>) {
        let mut subcommands = command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
            .peekable();
        if subcommands.peek().is_none() {
            let options = command
                .get_arguments()
                .filter_map(|argument| argument.get_long())
                .map(str::to_owned)
                .collect();
            found.push((path.to_owned(), options));
        }
        for sub in subcommands {
            leaves(sub, format!("{path} {}", sub.get_name()).trim(), found);
        }
    }

    fn every_argument_has_a_short_text(command: &clap::Command, path: &str) {
        for argument in command.get_arguments() {
            let text = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                (1..=HELP_MAX).contains(&text.chars().count()),
                "{path} {}: {text:?}",
                argument.get_id()
            );
        }
        for sub in command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
        {
            every_argument_has_a_short_text(sub, &format!("{path} {}", sub.get_name()));
        }
    }

    #[test]
    fn every_command_has_json_and_every_change_has_a_dry_run() {
        let mut command = Cli::command();
        command.build();
        let mut found = Vec::new();
        leaves(&command, "", &mut found);
        assert!(found.len() >= 20, "{found:?}");
        every_argument_has_a_short_text(&command, "");
        for (path, options) in &found {
            assert!(
                options.iter().any(|option| option == "json"),
                "{path} has no --json"
            );
        }
        for path in CHANGING {
            let (_, options) = found
                .iter()
                .find(|(known, _)| known == path)
                .unwrap_or_else(|| panic!("there is no command {path}"));
            assert!(
                ["dry-run", "yes"]
                    .iter()
                    .all(|name| options.iter().any(|option| option == name)),
                "{path}: {options:?}"
            );
        }
    }

    #[test]
    fn a_directory_in_use_has_its_own_exit_code() {
        assert_eq!(
            CommandError::from("another process is writing to data; stop it first").exit_code(),
            4
        );
        assert_eq!(CommandError::from("cannot read x").exit_code(), 1);
    }
}
