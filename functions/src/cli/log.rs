//! Writes the log of the program. On a terminal, each log line is a text for people. If the output
//! is not a terminal, each log line is a JSON object.

use std::io::{IsTerminal as _, Stderr, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::CommandError;
use crate::app::times::LogTime;

/// The levels that the option `--log-level` accepts for the whole program.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The options of the log.
#[derive(Clone, Debug, Args)]
pub struct Log {
    /// The log level: off, error, warn, info, debug or trace.
    ///
    /// A part of the program (target) can have its own level. Commas separate the levels. For
    /// example, `info,access=debug` logs every request.
    #[arg(
        long,
        global = true,
        env = "LEDGERDESK_LOG",
        default_value = "info",
        value_name = "LEVEL",
        help_heading = "Logging"
    )]
    pub log_level: String,
    /// The log format [default: text on a terminal, otherwise JSON].
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logging")]
    pub log_format: Option<Format>,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Writes log lines to standard error.
///
/// If a write fails, the log line is lost, because a full disk or a closed pipe must not stop the
/// program.
struct Lossy(Stderr);

impl Write for Lossy {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

impl Log {
    /// Starts the log. Other options of the command can require more log levels, for example to log
    /// every request. `directives` contains these additional levels.
    pub fn start(&self, directives: &[&str]) -> Result<(), CommandError> {
        let level = if self.log_level.trim().is_empty() {
            "info"
        } else {
            self.log_level.trim()
        };
        let is_known = |part: &str| {
            part.contains('=') || LEVELS.contains(&part.trim().to_lowercase().as_str())
        };
        let wrong = || {
            CommandError::Usage(format!(
                "--log-level {level}: use one of {}, or TARGET=LEVEL, separated by commas",
                LEVELS.join(", ")
            ))
        };
        if !level.split(',').all(is_known) {
            return Err(wrong());
        }
        let all: Vec<&str> = std::iter::once(level)
            .chain(directives.iter().copied())
            .collect();
        let filter = EnvFilter::try_new(all.join(",")).map_err(|_| wrong())?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_timer(LogTime)
            .with_writer(|| Lossy(std::io::stderr()));
        let is_text = self.log_format.map_or_else(
            || std::io::stderr().is_terminal(),
            |format| format == Format::Text,
        );
        let started = if is_text {
            log.try_init()
        } else {
            log.json().try_init()
        };
        started.map_err(|error| format!("cannot start the log: {error}").into())
    }
}
