//! Implements `ledgerdesk forget`, which erases a person and reports which data is not erased.
//!
//! If the data of the service desk is on this machine, the service desk must be stopped first. For
//! a running service desk, use the request `POST /v1/people/{person}/forget` instead.

use std::io::{IsTerminal as _, Write as _};

use clap::Args;
use clap::error::ErrorKind;
use indicatif::ProgressBar;

use super::target::{Target, app};
use crate::App;
use crate::app::erasure::{self, NotErased, Report};
use crate::registry::is_configuration;

#[derive(Debug, Args)]
pub struct Forget {
    /// The user name or the person id. Use the person id to complete an interrupted erasure.
    pub person: String,
    /// Report which data would be erased, but change nothing. The desk may run at the same time.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation.
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// The value of the global option `--json`, which the caller sets.
    #[arg(skip)]
    pub json: bool,
    #[command(flatten)]
    pub target: Target,
}

impl Forget {
    /// Erases the person. With `--dry-run`, the function erases nothing and only reports which data
    /// an erasure would remove.
    pub async fn run(self) -> Result<(), String> {
        let may_ask = std::io::stdin().is_terminal() && !self.json;
        if !self.dry_run && !self.yes && !may_ask {
            let text = "an erasure cannot be undone; confirm it with --yes, or list its effects with --dry-run\n";
            let rejected: clap::Error = clap::Error::raw(ErrorKind::MissingRequiredArgument, text);
            rejected.exit();
        }
        if let Some(directory) = self.target.directory()
            && !directory.join("ledger.db").exists()
        {
            return Err(format!(
                "there is no desk in {}: name its directory with --data",
                directory.display()
            ));
        }
        if self.dry_run {
            let app = app(self.target.read_all().await?)?;
            let head = head(&app).await?;
            return self.end(
                erasure::survey(&app, &self.person, is_configuration, &searching(head)).await,
            );
        }
        let ports = self
            .target
            .write()
            .await
            .map_err(|error| self.in_use(error))?;
        let app = app(ports)?;
        let head = head(&app).await?;
        if !self.yes {
            match erasure::survey(&app, &self.person, is_configuration, &searching(head)).await {
                Ok(report) => print(&report),
                other => return self.end(other),
            }
            if !is_confirmed(&self.person)? {
                return Err("nothing was erased".into());
            }
        }
        self.end(erasure::erase(&app, &self.person, is_configuration, &searching(head)).await)
    }

    /// Adds a hint to an error text, if the error is that another process uses the directory. The
    /// hint contains the API request that erases a person while the service desk is running.
    fn in_use(&self, error: String) -> String {
        match self.target.directory() {
            Some(_) if error.contains("another process") => format!(
                "{error}; while the desk is running, a superuser erases a person by POST /v1/people/{{person}}/forget"
            ),
            _ => error,
        }
    }

    fn end(&self, erased: Result<Report, NotErased>) -> Result<(), String> {
        match erased {
            Ok(report) if self.json => println!(
                "{}",
                serde_json::to_string_pretty(&report).unwrap_or_default()
            ),
            Ok(report) => print(&report),
            // An unknown user name does not count as a failure, because the person may already be
            // erased.
            Err(NotErased::Unknown(person)) if self.json => {
                println!(
                    "{}",
                    serde_json::json!({ "person": null, "erased": false, "detail": NotErased::Unknown(person).to_string() })
                );
            }
            Err(unknown @ NotErased::Unknown(_)) => println!("{unknown}"),
            Err(not_erased) => return Err(not_erased.to_string()),
        }
        Ok(())
    }
}

async fn head(app: &App) -> Result<i64, String> {
    Ok(app
        .ledger
        .store
        .head()
        .await
        .map_err(|error| error.to_string())?
        .position)
}

/// Returns a function that shows the progress of the erasure in a progress bar. The argument of
/// this function is the position of the last commit that the erasure has read. `head` is the last
/// position of the ledger. The bar is visible only on a terminal.
fn searching(head: i64) -> impl Fn(i64) + Send + Sync {
    let bar = ProgressBar::new(head.unsigned_abs());
    move |position: i64| {
        bar.set_position(position.unsigned_abs());
        if position >= head {
            bar.finish_and_clear();
        }
    }
}

fn is_confirmed(person: &str) -> Result<bool, String> {
    print!("Erase {person} for good? Type yes: ");
    std::io::stdout()
        .flush()
        .map_err(|error| error.to_string())?;
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    Ok(line.trim() == "yes")
}

fn print(report: &Report) {
    let is_done = if report.erased {
        "is erased"
    } else {
        "would be erased; nothing was changed"
    };
    println!("{} {is_done}", report.person);
    println!(
        "  {} streams contain values sealed with the person's key",
        report.sealed.len()
    );
    println!("  {} streams contain the person id", report.named.len());
    println!("  {} files lose their content", report.files.len());
    println!(
        "  {} secrets of automatic nodes are removed",
        report.secrets
    );
    println!(
        "  {} view documents are stored without the person's values",
        report.documents
    );
    println!("remaining data:");
    for remaining in &report.remaining {
        match remaining.count {
            Some(count) => println!("  {count} {}", remaining.detail),
            None => println!("  {}", remaining.detail),
        }
    }
}
