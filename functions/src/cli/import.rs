//! `ledgerdesk import`: an incident log from another system, as events.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::place::Place;
use crate::app::FINGERPRINT_KEY;
use crate::host::local::publish;
use crate::importing::mapping::Mapping;
use crate::importing::{self, Progress};

/// Refused rows that are printed.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub struct Import {
    /// A CSV file, gzip-compressed or not, with a header line.
    pub file: PathBuf,
    /// How its columns are meant.
    #[arg(long)]
    pub mapping: PathBuf,
    #[command(flatten)]
    pub place: Place,
}

impl Import {
    pub async fn run(self) -> Result<(), String> {
        let text = std::fs::read_to_string(&self.mapping).map_err(|error| format!("cannot read {}: {error}", self.mapping.display()))?;
        let mapping = Arc::new(Mapping::parse(&text).map_err(|error| error.to_string())?);
        let size = std::fs::metadata(&self.file).map_err(|error| format!("cannot read {}: {error}", self.file.display()))?.len();
        let opened = self.place.write().await?;
        let clock = opened.ledger.clock.clone();
        let began = clock.now();
        let progress = Arc::new(Progress::default());
        let bar = bar(size);
        let shown = tokio::spawn(show(bar.clone(), progress.clone()));
        let key = opened.secrets.secret(FINGERPRINT_KEY).await.map_err(|error| error.to_string())?;
        let imported = importing::import(&opened.ledger, key, &self.file, mapping, progress).await;
        shown.abort();
        bar.finish_and_clear();
        let totals = imported.map_err(|error| error.to_string())?;
        if let Some(directory) = self.place.directory() {
            let head = opened.ledger.store.head().await.map_err(|error| error.to_string())?;
            publish(directory, head, clock.now().0).map_err(|error| format!("cannot publish the head: {error}"))?;
        }
        let seconds = Duration::from_millis((clock.now().0 - began.0).max(1).unsigned_abs()).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = totals.rows as f64 / seconds;
        for (line, reason) in totals.refusals.iter().take(SHOWN) {
            println!("line {line} refused: {reason}");
        }
        if totals.refusals.len() > SHOWN {
            println!("... and {} more", totals.refused - SHOWN as u64);
        }
        println!(
            "{} rows of {} cases in {seconds:.1} s ({rate:.0} rows/s): {} imported, {} known already, {} refused",
            totals.rows, totals.cases, totals.imported, totals.known, totals.refused
        );
        Ok(())
    }
}

fn bar(size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}  {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(size).with_style(style)
}

async fn show(bar: ProgressBar, progress: Arc<Progress>) {
    loop {
        bar.set_position(progress.bytes.load(Ordering::Relaxed));
        bar.set_message(format!("{} rows", progress.rows.load(Ordering::Relaxed)));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
