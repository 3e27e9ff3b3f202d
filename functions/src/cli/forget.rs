//! `ledgerdesk forget`: erases a person and reports what remains. A desk on this machine must be stopped for it; a running desk erases by
//! `POST /v1/people/{person}/forget`.

use std::io::{IsTerminal as _, Write as _};

use clap::Args;
use clap::error::ErrorKind;
use indicatif::ProgressBar;

use super::place::Place;
use crate::App;
use crate::erasure::{self, NotErased, Report};

#[derive(Debug, Args)]
pub struct Forget {
    /// The user name of the person, or the person id. An erasure that was interrupted is completed under the id.
    pub person: String,
    /// Report what would be erased, and change nothing. Safe beside a running desk.
    #[arg(long)]
    pub dry_run: bool,
    /// Erase without asking.
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// The global option `--json`.
    #[arg(skip)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

impl Forget {
    pub async fn run(self) -> Result<(), String> {
        let may_ask = std::io::stdin().is_terminal() && !self.json;
        if !self.dry_run && !self.yes && !may_ask {
            let text = "an erasure cannot be undone: confirm it with --yes, or see what it would erase with --dry-run\n";
            let refused: clap::Error = clap::Error::raw(ErrorKind::MissingRequiredArgument, text);
            refused.exit();
        }
        if let Some(directory) = self.place.directory()
            && !directory.join("ledger.db").exists()
        {
            return Err(format!("there is no desk in {}: name its directory with --data", directory.display()));
        }
        if self.dry_run {
            let app = self.place.read_all().await?.app()?;
            let head = head(&app).await?;
            return self.end(erasure::survey(&app, &self.person, &searching(head)).await);
        }
        let app = self.place.write().await.map_err(|error| self.in_use(error))?.app()?;
        let head = head(&app).await?;
        if !self.yes {
            match erasure::survey(&app, &self.person, &searching(head)).await {
                Ok(report) => print(&report),
                not => return self.end(not),
            }
            if !is_confirmed(&self.person)? {
                return Err("nothing was erased".into());
            }
        }
        self.end(erasure::erase(&app, &self.person, &searching(head)).await)
    }

    /// A directory that is in use is that of a running desk, which erases by itself.
    fn in_use(&self, error: String) -> String {
        match self.place.directory() {
            Some(_) if error.contains("another process") => format!("{error}; while the desk runs, a superuser erases by POST /v1/people/{{person}}/forget"),
            _ => error,
        }
    }

    fn end(&self, erased: Result<Report, NotErased>) -> Result<(), String> {
        match erased {
            Ok(report) if self.json => println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default()),
            Ok(report) => print(&report),
            // An erasure that is asked for again has nothing left to do: no person has the name any more.
            Err(NotErased::Unknown(person)) if self.json => {
                println!("{}", serde_json::json!({ "person": null, "erased": false, "detail": NotErased::Unknown(person).to_string() }));
            }
            Err(unknown @ NotErased::Unknown(_)) => println!("{unknown}"),
            Err(not) => return Err(not.to_string()),
        }
        Ok(())
    }
}

async fn head(app: &App) -> Result<i64, String> {
    Ok(app.ledger.store.head().await.map_err(|error| error.to_string())?.position)
}

/// A progress bar over the feed; it is shown on a terminal only.
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
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| error.to_string())?;
    Ok(line.trim() == "yes")
}

fn print(report: &Report) {
    let is_done = if report.erased { "is erased" } else { "would be erased; nothing was changed" };
    println!("{} {is_done}", report.person);
    println!("  {} streams hold values under the person's key", report.sealed.len());
    println!("  {} streams name the person by id", report.named.len());
    println!("  {} files lose their content", report.files.len());
    println!("  {} secrets of automatic nodes are removed", report.secrets);
    println!("  {} documents of views are stored without the person's values", report.documents);
    println!("what remains:");
    for remaining in &report.remaining {
        match remaining.count {
            Some(count) => println!("  {count} {}", remaining.detail),
            None => println!("  {}", remaining.detail),
        }
    }
}
