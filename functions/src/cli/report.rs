//! Implements `ledgerdesk report`, which computes numbers from events and prints the numbers. The
//! service desk may run at the same time.

use clap::{Args, ValueEnum};
use domain::projections::desk_board::DeskBoard;
use serde_json::{Value, json};

use super::CommandError;
use super::target::Target;
use crate::app::reports;
use crate::stream::project;

#[derive(Debug, Args)]
pub struct Report {
    /// The name of the report.
    pub name: Name,
    #[command(flatten)]
    pub target: Target,
}

/// The reports that the command can print.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Name {
    /// Numbers, transitions and durations of the incidents in imported logs.
    Incidents,
    /// Numbers of the tickets, decisions and callbacks of the service desk.
    Desk,
}

impl Report {
    /// Computes and prints the report.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let ledger = self.target.read().await?;
        let report = match self.name {
            Name::Incidents => reports::incidents(
                &reports::incident_log(&ledger, &mut |_| {})
                    .await
                    .map_err(|error| error.to_string())?,
            ),
            Name::Desk => json!(
                project::replay::<DeskBoard>(&ledger, |_| true, |_| {})
                    .await
                    .map_err(|error| error.to_string())?
                    .document
            ),
        };
        if json {
            println!(
                "{}",
                serde_json::to_string_pretty(&report).unwrap_or_default()
            );
        } else if is_empty(&report) {
            println!("{}", self.name.empty_text(&self.target));
        } else {
            print_lines(&report, 0);
        }
        Ok(())
    }
}

impl Name {
    /// Returns the message that the command prints if the report contains no data.
    fn empty_text(self, target: &Target) -> String {
        match self {
            Self::Incidents => format!(
                "nothing to report: no incident log was imported into {target}; `ledgerdesk import` imports one"
            ),
            Self::Desk => {
                format!("nothing to report: {target} has no tickets and no imported rows")
            }
        }
    }
}

/// Returns whether a report contains no data. In such a report, each number is zero and each list
/// is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.values().all(is_empty),
        Value::Array(rows) => rows.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// Prints a report as indented lines. `depth` is the level of indentation. A list with three values
/// is printed as `from -> to: count`.
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
                    println!(
                        "{indent}  {} -> {}: {}",
                        row[0].as_str().unwrap_or_default(),
                        row[1].as_str().unwrap_or_default(),
                        row[2]
                    );
                }
            }
            other => println!("{indent}{key}: {other}"),
        }
    }
}
