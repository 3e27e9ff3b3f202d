//! Implements `ledgerdesk import-oncall`, which maps an export of Grafana OnCall or Opsgenie to escalation chains and rotas.
//! The command prints what it maps and what it leaves out. It stores the result only with `--yes`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::CommandError;
use super::target::{Target, app};
use crate::app::notifications::on_call::import::{self, Import};

/// Maximum size of an export, in bytes. An organization with thousands of users has a few megabytes.
const SIZE_MAX: u64 = 32 * 1024 * 1024;
/// The byte order mark. Some editors write this character at the start of a file.
const BOM: &str = "\u{feff}";

#[derive(Debug, Args)]
pub struct ImportOnCall {
    /// The export: one JSON object with the list responses of the API of the other product.
    pub file: PathBuf,
    /// A channel account that sends the messages of all steps [default: the accounts of the policy].
    #[arg(long = "account", value_name = "NAME")]
    pub accounts: Vec<String>,
    /// Store the chains and the rotas. Without this option, the command only prints the report.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub target: Target,
}

impl ImportOnCall {
    /// Prints the report, and stores the chains and the rotas with `--yes`.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let shown = self.file.display();
        let size = std::fs::metadata(&self.file)
            .map_err(|error| format!("cannot read {shown}: {error}"))?
            .len();
        if size > SIZE_MAX {
            return Err(format!("{shown} is larger than {SIZE_MAX} bytes").into());
        }
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| format!("cannot read {shown}: {error}"))?;
        let import = import::read(text.trim_start_matches(BOM), &self.accounts)
            .map_err(|reason| format!("{shown}: {reason}"))?;
        if self.yes {
            self.target.exists()?;
            let app = app(self.target.write().await?)?;
            import.on_call.check(&app, &[]).await?;
            import.on_call.store(&app).await?;
        }
        print(json, &import, self.yes);
        Ok(())
    }
}

fn print(json: bool, import: &Import, is_stored: bool) {
    let lines: Vec<Value> = import
        .report
        .iter()
        .map(|line| {
            let (outcome, text) = line.outcome.words();
            json!({ "kind": line.kind, "name": line.name, "outcome": outcome, "text": text })
        })
        .collect();
    let plan = import.on_call.plan();
    let value = json!({ "report": lines, "definitions": plan, "is_stored": is_stored });
    super::print(json, &value, || {
        for line in &import.report {
            let (outcome, text) = line.outcome.words();
            let text = if text.is_empty() {
                text
            } else {
                format!(": {text}")
            };
            println!("{outcome:8} {} {}{text}", line.kind, line.name);
        }
        let state = if is_stored {
            "stored"
        } else {
            "not stored; repeat the command with --yes to store"
        };
        println!("{} definitions, {state}", plan.len());
        for one in &plan {
            println!("  {one}");
        }
    });
}
