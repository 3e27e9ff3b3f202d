//! `ledgerdesk report`: operational data, computed from events; safe beside a running desk.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::CommandError;
use super::place::Place;
use crate::reports;
use crate::stream::project;

#[derive(Debug, Args)]
pub struct Report {
    /// The report.
    pub name: Name,
    #[command(flatten)]
    pub place: Place,
}

/// The reports there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Name {
    /// Volumes, transitions and durations of imported incident logs.
    Incidents,
    /// Numbers of tickets, decisions and callbacks of the desk.
    Desk,
}

impl Report {
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let ledger = self.place.read().await?;
        let report = match self.name {
            Name::Incidents => reports::incidents(&reports::incident_log(&ledger, &mut |_| {}).await.map_err(|error| error.to_string())?),
            Name::Desk => json!(project::replay(&ledger, |_| true, |_| {}).await.map_err(|error| error.to_string())?.board),
        };
        if json {
            println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        } else {
            print_lines(&report, 0);
        }
        Ok(())
    }
}

/// Prints a report as indented lines; lists of a transition read `from -> to: count`.
pub(super) fn print_lines(value: &Value, depth: usize) {
    let Value::Object(object) = value else { return };
    for (key, value) in object {
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(_) => {
                println!("{indent}{key}:");
                print_lines(value, depth + 1);
            }
            Value::Array(rows) => {
                println!("{indent}{key}:");
                for row in rows {
                    println!("{indent}  {} -> {}: {}", row[0].as_str().unwrap_or_default(), row[1].as_str().unwrap_or_default(), row[2]);
                }
            }
            other => println!("{indent}{key}: {other}"),
        }
    }
}
