//! `ledgerdesk setup`: what every desk begins with, written into a desk that is there already; doing it again changes nothing.

use clap::Args;

use super::place::Place;
use super::serve::DEMO_APP;
use crate::{App, company};

#[derive(Debug, Args)]
pub struct Setup {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub wanted: Wanted,
}

/// What a desk is to begin with.
#[derive(Clone, Debug, Default, Args)]
pub struct Wanted {
    /// Load the demo company once and register its application.
    #[arg(long)]
    pub demo: bool,
    /// Register an application that may speak for its users; for trials and tests.
    #[arg(long = "app", value_name = "CODE:SECRET")]
    pub apps: Vec<String>,
    /// Keep headers for the calls of workflows that name NAME: a file with a JSON object of texts.
    #[arg(long = "api-secret", value_name = "NAME=FILE")]
    pub api_secrets: Vec<String>,
}

impl Wanted {
    /// Writes it.
    pub async fn write(&self, app: &App) -> Result<(), String> {
        let words = |error: infra::Error| error.to_string();
        company::found(app).await.map_err(words)?;
        if self.demo {
            company::demo(app).await.map_err(words)?;
            app.credentials.register(DEMO_APP.0, DEMO_APP.1, "demo", true).await.map_err(words)?;
        }
        for pair in &self.apps {
            let (code, secret) = pair.split_once(':').ok_or_else(|| format!("--app {pair} is not CODE:SECRET"))?;
            app.credentials.register(code, secret, code, true).await.map_err(words)?;
        }
        for pair in &self.api_secrets {
            let (name, file) = pair.split_once('=').ok_or_else(|| format!("--api-secret {pair} is not NAME=FILE"))?;
            let text = std::fs::read(file).map_err(|error| format!("cannot read {file}: {error}"))?;
            let headers: Result<std::collections::BTreeMap<String, String>, _> = serde_json::from_slice(&text);
            headers.map_err(|error| format!("{file} is not a JSON object of texts: {error}"))?;
            app.ledger.keys.keep_secret(&format!("api/{name}"), &text).await.map_err(words)?;
        }
        Ok(())
    }
}

impl Setup {
    pub async fn run(self) -> Result<(), String> {
        let app = self.place.write().await?.app()?;
        self.wanted.write(&app).await?;
        println!("{} is set up", self.place);
        Ok(())
    }
}
