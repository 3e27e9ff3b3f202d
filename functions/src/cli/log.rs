//! The log of the command line: text on a terminal, one JSON object per line elsewhere.

use std::io::{IsTerminal as _, Stderr, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::CommandError;
use crate::times::LogTime;

/// The levels that an option may name alone.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How the log is written.
#[derive(Clone, Debug, Args)]
pub struct Log {
    /// How much is logged: off, error, warn, info, debug or trace.
    ///
    /// Parts of the program take levels of their own, between commas: `info,access=debug` logs every request.
    #[arg(long, global = true, env = "LEDGERDESK_LOG", default_value = "info", value_name = "LEVEL", help_heading = "Logging")]
    pub log_level: String,
    /// The form of the log; text on a terminal and JSON elsewhere if absent.
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logging")]
    pub log_format: Option<Format>,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Standard error for the log. A line that cannot be written is lost: neither a full disk nor a closed pipe stops the desk.
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
    /// Starts the log; `more` are directives that options of a command add.
    pub fn start(&self, more: &[&str]) -> Result<(), CommandError> {
        let level = if self.log_level.trim().is_empty() { "info" } else { self.log_level.trim() };
        let is_known = |part: &str| part.contains('=') || LEVELS.contains(&part.trim().to_lowercase().as_str());
        let wrong = || CommandError::Usage(format!("--log-level {level}: use one of {}, or TARGET=LEVEL between commas", LEVELS.join(", ")));
        if !level.split(',').all(is_known) {
            return Err(wrong());
        }
        let directives: Vec<&str> = std::iter::once(level).chain(more.iter().copied()).collect();
        let filter = EnvFilter::try_new(directives.join(",")).map_err(|_| wrong())?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_timer(LogTime).with_writer(|| Lossy(std::io::stderr()));
        let is_text = self.log_format.map_or_else(|| std::io::stderr().is_terminal(), |format| format == Format::Text);
        let started = if is_text { log.try_init() } else { log.json().try_init() };
        started.map_err(|error| format!("cannot start the log: {error}").into())
    }
}
