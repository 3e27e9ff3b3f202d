//! Implements `ledgerdesk import`, which imports the incident log of another system. Each row of
//! the log becomes an event.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use infra::local;
use infra::{Error, Ledger};
use serde_json::json;

use super::target::Target;
use crate::app::FINGERPRINT_KEY;
use crate::app::importing::mapping::Mapping;
use crate::app::importing::rejected::Rejected;
use crate::app::importing::{self, Log, Progress, Totals};
use crate::host::local::publish;

/// The largest number of rejected rows in the text output. The output of `--json` and the file of
/// `--rejected` contain more rows.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub struct Import {
    /// A CSV file with a header line. The file may be compressed with gzip.
    pub file: PathBuf,
    /// A TOML file that assigns the columns of the CSV file to event fields (docs/importing.md).
    #[arg(long)]
    pub mapping: PathBuf,
    /// Read and check the file, but write nothing to the service desk.
    #[arg(long)]
    pub dry_run: bool,
    /// Return an error if a row is rejected. All valid rows are still imported.
    #[arg(long)]
    pub strict: bool,
    /// Write the rejected rows to this CSV file, with line number and reason.
    #[arg(long, value_name = "FILE")]
    pub rejected: Option<PathBuf>,
    #[command(flatten)]
    pub target: Target,
}

fn words(error: Error) -> String {
    error.to_string()
}

impl Import {
    /// Imports or checks the incident log. Returns an error if all rows are rejected. With the
    /// option `--strict`, one rejected row is already an error.
    pub async fn run(self, json: bool) -> Result<(), String> {
        let text = std::fs::read_to_string(&self.mapping)
            .map_err(|error| format!("cannot read {}: {error}", self.mapping.display()))?;
        let mapping = Mapping::parse(&text)
            .map_err(|error| format!("{}: {error}", self.mapping.display()))?;
        let size = std::fs::metadata(&self.file)
            .map_err(|error| format!("cannot read {}: {error}", self.file.display()))?
            .len();
        let progress = Arc::new(Progress::default());
        // Before the service desk is opened, this call compares the header line of the file with
        // the mapping (the TOML file that describes the columns). If the mapping is wrong, the
        // command stops and creates no directory.
        let log = Log::open(&self.file, Arc::new(mapping), progress.clone()).map_err(words)?;
        let context = json!({ "file": self.file.display().to_string(), "encoding": log.encoding.name(), "delimiter": char::from(log.delimiter).to_string() });
        let rejected = self
            .rejected
            .as_deref()
            .map(|path| Rejected::create(path, &log, &self.mapping))
            .transpose()
            .map_err(words)?;
        let bar = bar(size);
        let shown = tokio::spawn(show(bar.clone(), progress));
        let imported = if self.dry_run {
            self.check(log, rejected).await
        } else {
            self.import(log, rejected).await
        };
        shown.abort();
        bar.finish_and_clear();
        let (totals, duration) = imported?;
        if json {
            self.print_json(context, &totals, duration);
        } else {
            self.print(&totals, duration);
        }
        if totals.rejected > 0 && totals.imported + totals.duplicate == 0 {
            return Err(format!(
                "no row could be imported: {} of {} rows are rejected",
                totals.rejected, totals.rows
            ));
        }
        if self.strict && totals.rejected > 0 {
            return Err(format!(
                "--strict: {} of {} rows are rejected",
                totals.rejected, totals.rows
            ));
        }
        Ok(())
    }

    /// Imports the incident log (the CSV file). Returns the totals (the numbers of imported,
    /// rejected and other rows) and the duration of the import.
    async fn import(
        &self,
        log: Log,
        rejected: Option<Rejected>,
    ) -> Result<(Totals, Option<Duration>), String> {
        let opened = self.target.write().await?;
        let clock = opened.ledger.clock.clone();
        let started_at = clock.now();
        let key = opened
            .secrets
            .secret(FINGERPRINT_KEY)
            .await
            .map_err(words)?;
        let totals = importing::import(&opened.ledger, key, log, rejected)
            .await
            .map_err(words)?;
        if let Some(directory) = self.target.directory() {
            let head = opened.ledger.store.head().await.map_err(words)?;
            publish(directory, head, clock.now().0)
                .map_err(|error| format!("cannot publish the head: {error}"))?;
        }
        Ok((
            totals,
            Some(Duration::from_millis(
                (clock.now().0 - started_at.0).max(1).unsigned_abs(),
            )),
        ))
    }

    /// Checks all rows of the incident log in the same way as an import, but writes no events.
    /// Returns the totals (the numbers of valid, rejected and other rows). The duration is `None`.
    async fn check(
        &self,
        log: Log,
        rejected: Option<Rejected>,
    ) -> Result<(Totals, Option<Duration>), String> {
        Ok((
            importing::check(self.desk().await?, log, rejected)
                .await
                .map_err(words)?,
            None,
        ))
    }

    /// Opens the service desk without creating a file. Returns the ledger, and the secret key for
    /// the fingerprints (keyed hashes) of the log rows. Returns `None` if the service desk or
    /// this key does not exist.
    async fn desk(&self) -> Result<Option<(Ledger, [u8; 32])>, String> {
        let Some(directory) = self.target.directory() else {
            let cloud = self.target.connect().await?;
            let key = cloud
                .ports
                .secrets
                .secret(FINGERPRINT_KEY)
                .await
                .map_err(words)?;
            return Ok(Some((cloud.ports.ledger, key)));
        };
        if !["ledger.db", "keys.db"]
            .iter()
            .all(|file| directory.join(file).exists())
        {
            return Ok(None);
        }
        let ledger = local::read(directory).map_err(words)?;
        let key = ledger.keys.secret(FINGERPRINT_KEY).await.map_err(words)?;
        Ok(key
            .and_then(|key| <[u8; 32]>::try_from(key).ok())
            .map(|key| (ledger, key)))
    }

    fn print(&self, totals: &Totals, duration: Option<Duration>) {
        for (line, reason) in totals.rejections.iter().take(SHOWN) {
            println!("line {line} rejected: {reason}");
        }
        if totals.rejections.len() > SHOWN {
            println!("... and {} more", totals.rejected - SHOWN as u64);
        }
        if let Some(path) = self.rejected.as_deref().filter(|_| totals.rejected > 0) {
            println!("all rejected rows are in {}", path.display());
        }
        if totals.rows == 0 {
            println!("{} has a header line and no rows", self.file.display());
        }
        let time = duration.map_or_else(String::new, |duration| {
            let seconds = duration.as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = totals.rows as f64 / seconds;
            format!(" in {seconds:.1} s ({rate:.0} rows/s)")
        });
        let dry = if self.dry_run {
            "dry run, nothing is written: "
        } else {
            ""
        };
        let ignored = if totals.ignored > 0 {
            format!(", {} ignored", totals.ignored)
        } else {
            String::new()
        };
        println!(
            "{dry}{} rows of {} cases{time}: {} imported, {} duplicate, {} rejected{ignored}",
            totals.rows, totals.cases, totals.imported, totals.duplicate, totals.rejected
        );
    }

    fn print_json(
        &self,
        mut context: serde_json::Value,
        totals: &Totals,
        duration: Option<Duration>,
    ) {
        let counts = [
            ("rows", totals.rows),
            ("cases", totals.cases),
            ("imported", totals.imported),
            ("duplicate", totals.duplicate),
            ("rejected", totals.rejected),
            ("ignored", totals.ignored),
        ];
        for (name, count) in counts {
            context[name] = count.into();
        }
        context["dry_run"] = self.dry_run.into();
        context["seconds"] = duration.map(|duration| duration.as_secs_f64()).into();
        context["rejections"] = totals
            .rejections
            .iter()
            .map(|(line, reason)| json!({ "line": line, "reason": reason }))
            .collect();
        println!(
            "{}",
            serde_json::to_string_pretty(&context).unwrap_or_default()
        );
    }
}

fn bar(size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(size).with_style(style)
}

async fn show(bar: ProgressBar, progress: Arc<Progress>) {
    loop {
        bar.set_position(progress.bytes.load(Ordering::Relaxed));
        bar.set_message(format!("{} rows", progress.rows.load(Ordering::Relaxed)));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
