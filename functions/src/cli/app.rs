//! `ledgerdesk app`: lists, adds, disables and enables apps. With `--url` a running desk does it over `/v1`; otherwise the directory is written, and the desk
//! must be stopped.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use domain::config;
use events::Meta;
use events::app::Registered;
use infra::Ledger;
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::place::Place;
use super::setup::read_apps;
use super::{Change, CommandError};
use crate::{apps, company};

/// Commits read at once.
const PAGE: usize = 1000;
/// How long a desk may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct App {
    #[command(flatten)]
    pub place: Place,
    /// A running desk that does it, such as https://desk.example.com.
    #[arg(long, global = true, value_name = "URL", conflicts_with_all = ["data", "cloud"])]
    pub url: Option<String>,
    /// With --url: a file with the CODE:SECRET of an app that may act for the user; `-` is standard input.
    #[arg(long, global = true, value_name = "FILE")]
    pub app_file: Option<PathBuf>,
    /// With --url: the superuser who acts.
    #[arg(long, global = true, value_name = "NAME", default_value = company::ADMIN)]
    pub user: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List every app.
    List,
    /// Add an app; its secret is made by the desk and printed once.
    Add {
        /// The code of the app.
        code: String,
        /// Only users with a login token act through it, instead of any user that it names.
        #[arg(long)]
        plain: bool,
        #[command(flatten)]
        change: Change,
    },
    /// Disable an app: its requests are refused from then on.
    Disable {
        /// The code of the app.
        code: String,
        #[command(flatten)]
        change: Change,
    },
    /// Enable an app again.
    Enable {
        /// The code of the app.
        code: String,
        #[command(flatten)]
        change: Change,
    },
}

impl App {
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        match &self.command {
            Command::List => self.list(json).await,
            Command::Add { code, plain, change } => {
                if change.dry_run {
                    report(json, code, "would be added");
                    return Ok(());
                }
                change.confirm(&format!("add app {code}"))?;
                let secret = self.add(code, *plain).await?;
                super::print(json, &json!({ "code": code, "secret": secret }), || {
                    println!("app {code} is added; its secret, which is shown once: {secret}");
                });
                Ok(())
            }
            Command::Disable { code, change } => self.set_disabled(code, true, *change, json).await,
            Command::Enable { code, change } => self.set_disabled(code, false, *change, json).await,
        }
    }

    async fn list(&self, json: bool) -> Result<(), CommandError> {
        let apps = match &self.url {
            Some(url) => self.ask(url, Method::GET, &[], Value::Null).await?["apps"].as_array().cloned().unwrap_or_default(),
            None => every(&self.place.read().await?).await?.iter().map(apps::shown).collect(),
        };
        super::print(json, &json!({ "apps": apps }), || {
            for app in &apps {
                let kind = if app["speaks_for_users"] == true { "acts for any user" } else { "acts for users with a login token" };
                let state = if app["is_disabled"] == true { "disabled" } else { "enabled" };
                println!("{state:<8}  {}  {kind}", app["code"].as_str().unwrap_or_default());
            }
            println!("{} apps", apps.len());
        });
        Ok(())
    }

    async fn add(&self, code: &str, is_plain: bool) -> Result<String, CommandError> {
        if let Some(url) = &self.url {
            let answer = self.ask(url, Method::PUT, &[code], json!({ "speaks_for_users": !is_plain })).await?;
            return answer["secret"].as_str().map(str::to_owned).ok_or_else(|| format!("app {code} exists already and keeps its secret").into());
        }
        let desk = self.place.write().await.map_err(with_hint)?.app()?;
        if apps::app(&desk.ledger, code).await?.is_some() {
            return Err(format!("app {code} exists already").into());
        }
        let registered = Registered { code: code.into(), name: code.into(), speaks_for_users: !is_plain, hears_status: false, is_disabled: false };
        let secret = apps::fresh_secret(&desk.ledger);
        desk.credentials.register(&registered, &secret).await?;
        Ok(secret)
    }

    async fn set_disabled(&self, code: &str, is_disabled: bool, change: Change, json: bool) -> Result<(), CommandError> {
        let (verb, done) = if is_disabled { ("disable", "disabled") } else { ("enable", "enabled") };
        if change.dry_run {
            report(json, code, &format!("would be {done}"));
            return Ok(());
        }
        change.confirm(&format!("{verb} app {code}"))?;
        if let Some(url) = &self.url {
            drop(self.ask(url, Method::POST, &[code, verb], json!({})).await?);
        } else {
            let desk = self.place.write().await.map_err(with_hint)?;
            if !apps::set_disabled(&desk.ledger, code, is_disabled, Meta::system("app", verb)).await? {
                return Err(format!("there is no app {code}").into());
            }
        }
        report(json, code, &format!("is {done}"));
        Ok(())
    }

    /// Sends a request to `/v1/apps` of a running desk.
    async fn ask(&self, base: &str, method: Method, path: &[&str], body: Value) -> Result<Value, CommandError> {
        let file = self.app_file.as_deref().ok_or_else(|| CommandError::Usage("--url needs --app-file".into()))?;
        let app = read_apps(file, true)?.swap_remove(0);
        let wrong = || CommandError::Usage(format!("--url {base}: write an address that begins with http:// or https://"));
        let mut url: Url = base.parse().map_err(|_| wrong())?;
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(["v1", "apps"]).extend(path);
        let client = infra::tls::client().timeout(PATIENCE).build().map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        let user =
            HeaderValue::from_bytes(self.user.as_bytes()).map_err(|_| CommandError::Usage(format!("--user {}: this cannot be a user name", self.user)))?;
        let mut request = client.request(method, url).basic_auth(&app.code, Some(&app.secret)).header("x-on-behalf-of", user);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| format!("the desk at {base} does not answer: {error}"))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| format!("the answer of the desk at {base} broke off: {error}"))?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        Err(format!("the desk at {base} answered {status}: {}", answer["detail"].as_str().unwrap_or_default()).into())
    }
}

/// Says how a running desk takes the change.
fn with_hint(error: String) -> CommandError {
    match CommandError::from(error) {
        CommandError::Busy(text) => CommandError::Busy(format!("{text}; a running desk takes the change with --url and --app-file")),
        other => other,
    }
}

fn report(json: bool, code: &str, what: &str) {
    super::print(json, &json!({ "code": code, "result": what }), || println!("app {code} {what}"));
}

/// Every app of a ledger, by code; the whole feed is read, so that none is missing where no desk runs.
async fn every(ledger: &Ledger) -> Result<Vec<Registered>, CommandError> {
    let (mut codes, mut position) = (std::collections::BTreeSet::new(), 0);
    loop {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else { break };
        position = last.position;
        codes.extend(page.iter().filter_map(|placed| placed.commit.stream.strip_prefix("app-")).map(str::to_owned));
    }
    let mut apps = Vec::new();
    for code in codes {
        apps.extend(ledger.load::<config::App>(&format!("app-{code}")).await?.aggregate.0.0);
    }
    Ok(apps)
}
