//! Implements `ledgerdesk import-oncall`, which maps an export of Grafana OnCall or Opsgenie to escalation chains,
//! rotas and addresses of people. The command prints the parts that it maps and the parts that it leaves out. It stores
//! the result only with `--yes`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::CommandError;
use super::target::{Target, app};
use crate::app::notifications::on_call::import::{self, Import};

/// Maximum size of an export, in bytes. An organization with thousands of users has a few megabytes.
const SIZE_MAX: u64 = 32 * 1024 * 1024;
/// The byte order mark. Some editors write this character at the start of a file.
const BOM: &str = "\u{feff}";
/// The folder that the backup program of Opsgenie creates.
const BACKUP: &str = "OpsGenieBackups";
/// The folders of an Opsgenie backup that the command reads. Each file of a folder contains one object.
const FOLDERS: [&str; 4] = ["users", "teams", "schedules", "escalations"];

#[derive(Debug, Args)]
pub struct ImportOnCall {
    /// The export: one JSON object with the list responses of the API, or the folder of an Opsgenie backup.
    pub file: PathBuf,
    /// A channel account that sends the messages of all steps [default: the accounts of the policy].
    #[arg(long = "account", value_name = "NAME")]
    pub accounts: Vec<String>,
    /// Store the chains, the rotas and the addresses. Without this option, the command only prints the report.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub target: Target,
}

impl ImportOnCall {
    /// Prints the report, and stores the chains, the rotas and the addresses with `--yes`.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let export = export(&self.file)?;
        let mut import = import::map(&export, &self.accounts)
            .map_err(|reason| format!("{}: {reason}", self.file.display()))?;
        if self.yes {
            self.target.exists()?;
            let app = app(self.target.write().await?)?;
            let checked = import.on_call.check(&app, &[]).await;
            checked.map_err(infra::Error::from)?;
            import.store(&app).await?;
        }
        print(json, &import, self.yes);
        Ok(())
    }
}

/// Reads an export. `path` is a file, or the folder of an Opsgenie backup.
fn export(path: &Path) -> Result<Value, String> {
    let mut left = SIZE_MAX;
    if !path.is_dir() {
        return read(path, &mut left);
    }
    let inside = path.join(BACKUP);
    let folder = if inside.is_dir() {
        inside.as_path()
    } else {
        path
    };
    let mut export = serde_json::Map::new();
    for name in FOLDERS {
        let mut entries = Vec::new();
        for file in files(&folder.join(name))? {
            entries.push(read(&file, &mut left)?);
        }
        if !entries.is_empty() {
            export.insert(name.to_owned(), entries.into());
        }
    }
    Ok(export.into())
}

/// Returns the JSON files of a folder, sorted by name. A missing folder has no files.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a JSON file. `left` is the number of bytes that the command still reads.
fn read(path: &Path, left: &mut u64) -> Result<Value, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let size = std::fs::metadata(path).map_err(failed)?.len();
    *left = left
        .checked_sub(size)
        .ok_or_else(|| format!("{shown}: the export is larger than {SIZE_MAX} bytes"))?;
    let text = std::fs::read_to_string(path).map_err(failed)?;
    serde_json::from_str(text.trim_start_matches(BOM))
        .map_err(|error| format!("{shown}: the file is not JSON: {error}"))
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
    let people = import.contacts.len();
    let value = json!({
        "report": lines,
        "definitions": plan,
        "people_with_addresses": people,
        "is_stored": is_stored,
    });
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
        println!(
            "{} definitions; people with addresses: {people}; {state}",
            plan.len()
        );
        for one in &plan {
            println!("  {one}");
        }
    });
}
