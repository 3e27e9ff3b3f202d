//! Implements `ledgerdesk completions`, which prints a completion script for a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::aot::{Shell, generate};
use serde_json::json;

use super::{Cli, CommandError};

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell for which the completion script is printed.
    pub shell: Shell,
}

impl Completions {
    /// Prints the completion script for the shell.
    pub fn run(self, json: bool) -> Result<(), CommandError> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "ledgerdesk", &mut script);
        let script = String::from_utf8(script)
            .map_err(|error| format!("the script is not UTF-8: {error}"))?;
        super::print(
            json,
            &json!({ "shell": self.shell.to_string(), "script": script }),
            || print!("{script}"),
        );
        Ok(())
    }
}
