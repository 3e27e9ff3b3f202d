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
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use super::place::Place;
use super::setup::{Named, read_apps};
use super::{Change, CommandError};
use crate::{apps, company};

/// Commits read at once.
const PAGE: usize = 1000;
/// How long a desk may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Characters of a code, as `/v1/apps` has it too.
const CODE_MAX: usize = 128;

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
        let running = self.running()?;
        let running = running.as_ref();
        match &self.command {
            Command::List => self.list(running, json).await,
            Command::Add { code, plain, change } => {
                check_code(code)?;
                if self.is_known(running, code).await? {
                    return Err(format!("app {code} exists already").into());
                }
                if change.dry_run {
                    report(json, code, "would be added");
                    return Ok(());
                }
                change.confirm(&format!("add app {code}"))?;
                let secret = self.add(running, code, *plain).await?;
                super::print(json, &json!({ "code": code, "secret": secret }), || {
                    println!("app {code} is added; its secret, which is shown once: {secret}");
                });
                Ok(())
            }
            Command::Disable { code, change } => self.set_disabled(running, code, true, *change, json).await,
            Command::Enable { code, change } => self.set_disabled(running, code, false, *change, json).await,
        }
    }

    async fn list(&self, running: Option<&Running>, json: bool) -> Result<(), CommandError> {
        let apps = match running {
            Some(running) => running.ask(Method::GET, &[], Value::Null).await?["apps"].as_array().cloned().unwrap_or_default(),
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

    async fn add(&self, running: Option<&Running>, code: &str, is_plain: bool) -> Result<String, CommandError> {
        if let Some(running) = running {
            let answer = running.ask(Method::PUT, &[code], json!({ "speaks_for_users": !is_plain })).await?;
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

    async fn set_disabled(&self, running: Option<&Running>, code: &str, is_disabled: bool, change: Change, json: bool) -> Result<(), CommandError> {
        let (verb, done) = if is_disabled { ("disable", "disabled") } else { ("enable", "enabled") };
        if !self.is_known(running, code).await? {
            return Err(format!("there is no app {code}; `ledgerdesk app list` prints all").into());
        }
        if change.dry_run {
            report(json, code, &format!("would be {done}"));
            return Ok(());
        }
        change.confirm(&format!("{verb} app {code}"))?;
        if let Some(running) = running {
            drop(running.ask(Method::POST, &[code, verb], json!({})).await?);
        } else {
            let desk = self.place.write().await.map_err(with_hint)?;
            if !apps::set_disabled(&desk.ledger, code, is_disabled, Meta::system("app", verb)).await? {
                return Err(format!("there is no app {code}").into());
            }
        }
        report(json, code, &format!("is {done}"));
        Ok(())
    }

    /// The running desk that `--url` names. The secret is read once: standard input has it only once.
    fn running(&self) -> Result<Option<Running>, CommandError> {
        let Some(base) = &self.url else {
            return match &self.app_file {
                Some(_) => Err(CommandError::Usage("--app-file is for a running desk: name it with --url".into())),
                None => Ok(None),
            };
        };
        let file = self.app_file.as_deref().ok_or_else(|| CommandError::Usage("--url needs --app-file".into()))?;
        let wrong = || CommandError::Usage(format!("--url {base}: write an address that begins with http:// or https://"));
        let url: Url = base.parse().map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let user =
            HeaderValue::from_bytes(self.user.as_bytes()).map_err(|_| CommandError::Usage(format!("--user {}: this cannot be a user name", self.user)))?;
        let app = read_apps(file, true)?.swap_remove(0);
        let client = infra::tls::client().timeout(PATIENCE).build().map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        Ok(Some(Running { url, client, app, user }))
    }

    /// Says whether the desk has an app of this code; nothing is written.
    async fn is_known(&self, running: Option<&Running>, code: &str) -> Result<bool, CommandError> {
        let Some(running) = running else {
            self.place.exists()?;
            return Ok(apps::app(&self.place.read().await?, code).await?.is_some());
        };
        let (status, answer) = running.send(Method::GET, &[code], Value::Null).await?;
        if status == StatusCode::NOT_FOUND && answer["status"] == 404 {
            return Ok(false);
        }
        running.accepted(status, answer).map(|_| true)
    }
}

/// A running desk, and the app that calls it.
struct Running {
    url: Url,
    client: reqwest::Client,
    app: Named,
    user: HeaderValue,
}

impl Running {
    /// Sends a request to `/v1/apps` that must be accepted.
    async fn ask(&self, method: Method, path: &[&str], body: Value) -> Result<Value, CommandError> {
        let (status, answer) = self.send(method, path, body).await?;
        self.accepted(status, answer)
    }

    async fn send(&self, method: Method, path: &[&str], body: Value) -> Result<(StatusCode, Value), CommandError> {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["v1", "apps"]).extend(path);
        }
        let request = self.client.request(method, url).basic_auth(&self.app.code, Some(&self.app.secret)).header("x-on-behalf-of", self.user.clone());
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.map_err(|error| format!("the desk at {} does not answer: {}", self.url, with_causes(&error)))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| format!("the answer of the desk at {} broke off: {}", self.url, with_causes(&error)))?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// The answer where the request was accepted, or why it was not.
    fn accepted(&self, status: StatusCode, answer: Value) -> Result<Value, CommandError> {
        if status == StatusCode::NO_CONTENT || (status.is_success() && answer.is_object()) {
            return Ok(answer);
        }
        let text = match answer["detail"].as_str() {
            Some(detail) => format!("the desk at {} answered {status}: {detail}", self.url),
            None => format!("{} answered {status}, but not as a desk does; --url is the address of the desk, without a path of its APIs", self.url),
        };
        Err(text.into())
    }
}

/// An error with its causes: the last one says the most, such as a refused connection.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Checks the code of a new app.
fn check_code(code: &str) -> Result<(), CommandError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=CODE_MAX).contains(&code.len()) && code.chars().all(is_plain) {
        return Ok(());
    }
    Err(CommandError::Usage(format!("a code has 1 to {CODE_MAX} letters, digits, -, _ and .")))
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
