//! Implements `ledgerdesk policy try`, which compares a new notification policy with the active one on the events of the
//! last days. The command only reads, so the service desk may run at the same time.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::notification::imported::Columns;
use events::person::Language;
use serde_json::json;

use super::serve::last_zone;
use super::target::{Target, app_in};
use super::{CommandError, print};
use crate::app::notifications::definitions::Definitions;
use crate::app::notifications::policy_try::{
    DAYS_MAX, NOTIFICATIONS_MAX, Options, TryError, lines, report, try_policy,
};
use crate::app::times;

/// Maximum size of the file with the policy, in bytes.
const SIZE_MAX: u64 = 1 << 20;
/// The byte order mark. Some editors write this character at the start of a file.
const BOM: &str = "\u{feff}";

#[derive(Debug, Args)]
pub struct Policy {
    #[command(flatten)]
    pub target: Target,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare a new notification policy with the active one on the events of the last days.
    ///
    /// The command stores nothing and sends nothing.
    Try(Try),
}

#[derive(Debug, Args)]
pub struct Try {
    /// A TOML file with the new policy. The format is the one of `setup --accounts`.
    pub file: PathBuf,
    /// The number of days before the end of the period.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    pub days: u32,
    /// The end of the period [default: the newest commit, or the newest imported row with --imported].
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Count the rows of imported logs as if they had happened in this desk.
    #[arg(long)]
    pub imported: bool,
    /// With --imported: the column with the people who process a case.
    #[arg(long, value_name = "COLUMN", default_value = "assigned_to")]
    pub assignee: String,
    /// With --imported: the column with the people for whom a case was opened.
    #[arg(long, value_name = "COLUMN", default_value = "caller_id")]
    pub requester: String,
    /// Assume that each person has an address for each channel.
    #[arg(long)]
    pub assume_addresses: bool,
}

impl Policy {
    /// Runs the subcommand.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let Command::Try(wanted) = &self.command;
        wanted.run(&self.target, json).await
    }
}

impl Try {
    async fn run(&self, target: &Target, json: bool) -> Result<(), CommandError> {
        let shown = self.file.display();
        let unread = |error: std::io::Error| format!("cannot read {shown}: {error}");
        let size = std::fs::metadata(&self.file).map_err(unread)?.len();
        if size > SIZE_MAX {
            return Err(format!("{shown} is larger than {SIZE_MAX} bytes").into());
        }
        let text = std::fs::read_to_string(&self.file).map_err(unread)?;
        let definitions = Definitions::read(text.trim_start_matches(BOM))
            .map_err(|reason| format!("{shown}: {reason}"))?;
        let to = self.to.as_ref().map(|text| {
            times::read(text).ok_or_else(|| {
                CommandError::Usage(format!(
                    "--to {text}: use a time with its offset, such as 2026-11-30T06:00:00+08:00, or a day"
                ))
            })
        });
        let options = Options {
            days: self.days,
            to: to.transpose()?,
            imported: self.imported.then(|| Columns {
                assignee: self.assignee.clone(),
                requester: self.requester.clone(),
            }),
            assumes_addresses: self.assume_addresses,
            notifications_max: NOTIFICATIONS_MAX,
        };
        target.exists()?;
        let ports = target.read_all().await?;
        let zone = last_zone(&*ports.views).await?;
        let app = app_in(ports, zone)?;
        let tried = try_policy(&app, &definitions, &options, progress).await;
        let tried = tried.map_err(|error| match error {
            TryError::Refused(reason) => format!("{shown}: {reason}"),
            other => other.to_string(),
        })?;
        let report = report(&app, &tried, Language::English).await?;
        print(json, &json!(report), || {
            for line in lines(&report) {
                println!("{line}");
            }
        });
        Ok(())
    }
}

/// Prints the progress on a terminal. Standard output gets only the report.
fn progress(position: i64, head: i64) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let end = if position >= head { "\n" } else { "" };
        let _ = write!(out, "\rread {position} of {head} commits{end}");
    }
}
