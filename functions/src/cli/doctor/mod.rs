//! `ledgerdesk doctor`: looks at a desk, in a directory or in the cloud, and says in words what is wrong and what to do.

mod cloud;
mod cost;
mod directory;

use clap::Args;

use serde_json::{Value, json};

use super::CommandError;
use super::place::Place;

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub place: Place,
    /// Print the cost of a desk in the cloud over the last hours, from the logs of its functions.
    #[arg(long)]
    pub cost: bool,
    /// How many hours --cost looks back.
    #[arg(long, default_value_t = 24, requires = "cost")]
    pub hours: i64,
}

/// One thing that was looked at.
struct Finding {
    what: String,
    found: String,
    /// What to do, where something is wrong.
    advice: Option<String>,
}

fn fine(what: impl Into<String>, found: impl Into<String>) -> Finding {
    Finding { what: what.into(), found: found.into(), advice: None }
}

fn wrong(what: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { what: what.into(), found: found.into(), advice: Some(advice.into()) }
}

impl Doctor {
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        if self.cost {
            if !self.place.is_cloud() {
                return Err(CommandError::Usage(
                    "--cost is for a desk in the cloud (--cloud --prefix --bucket); a desk in a directory costs nothing by request".into(),
                ));
            }
            return cost::print(&self.place.connect().await?, self.hours, json).await;
        }
        let findings = match self.place.directory() {
            Some(directory) => directory::look(directory).await,
            None => cloud::look(&self.place.connect().await?).await,
        };
        let shown: Vec<Value> =
            findings.iter().map(|Finding { what, found, advice }| json!({ "what": what, "ok": advice.is_none(), "found": found, "advice": advice })).collect();
        super::print(json, &json!({ "findings": shown }), || {
            for Finding { what, found, advice } in &findings {
                match advice {
                    None => println!("ok     {what}: {found}"),
                    Some(advice) => println!("WRONG  {what}: {found}\n       {advice}"),
                }
            }
        });
        match findings.iter().filter(|finding| finding.advice.is_some()).count() {
            0 => Ok(()),
            1 => Err(CommandError::Found("one thing is wrong".into())),
            count => Err(CommandError::Found(format!("{count} things are wrong"))),
        }
    }
}
