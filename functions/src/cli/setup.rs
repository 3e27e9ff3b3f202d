//! `ledgerdesk setup`: what every desk begins with, written into a desk that is there already; doing it again changes nothing.

use clap::Args;
use events::app::Registered;

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
    /// Register an application for which only users who are logged in act.
    #[arg(long = "plain-app", value_name = "CODE:SECRET")]
    pub plain_apps: Vec<String>,
    /// Of the applications registered here, one whose callbacks also tell of changes of status before a ticket's end.
    #[arg(long = "hears-status", value_name = "CODE")]
    pub hear_status: Vec<String>,
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
            self.register(app, DEMO_APP, true).await?;
        }
        let named = |option: &str, pair: &str| format!("--{option} {pair} is not CODE:SECRET");
        for pair in &self.apps {
            self.register(app, pair.split_once(':').ok_or_else(|| named("app", pair))?, true).await?;
        }
        for pair in &self.plain_apps {
            self.register(app, pair.split_once(':').ok_or_else(|| named("plain-app", pair))?, false).await?;
        }
        let is_registered = |code: &&String| self.apps.iter().chain(&self.plain_apps).any(|pair| pair.split_once(':').is_some_and(|(other, _)| other == *code));
        if let Some(code) = self.hear_status.iter().find(|code| !is_registered(code)) {
            return Err(format!("--hears-status {code}: no --app or --plain-app registers it"));
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

    async fn register(&self, app: &App, (code, secret): (&str, &str), speaks_for_users: bool) -> Result<(), String> {
        let hears_status = self.hear_status.iter().any(|other| other == code);
        let registered = Registered { code: code.into(), name: code.into(), speaks_for_users, hears_status };
        app.credentials.register(&registered, secret).await.map_err(|error| error.to_string())
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
