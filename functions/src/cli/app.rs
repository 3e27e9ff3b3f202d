//! Implements `ledgerdesk app`, which lists, adds, disables and enables apps (programs that call
//! the API).
//!
//! With the option `--url`, the command sends requests to `/v1` of a running service desk. Without
//! this option, the command reads and writes the directory of a stopped service desk.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use domain::config;
use events::Meta;
use events::app::{Registered, Scope};
use infra::Ledger;
use infra::http::client::Client;
use infra::http::{HttpClient as _, HttpRequest, Url};
use serde_json::{Value, json};

use super::setup::{Named, read_apps};
use super::target::{self, Target};
use super::{Change, CommandError};
use crate::app::{client_apps, seed};

/// The largest number of commits that one read of the ledger returns.
const PAGE: usize = 1000;
/// The longest time that the command waits for a response of the service desk.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest size of a response that the command accepts, in bytes.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// The largest number of characters in an app code. The operations of `/v1/apps` have the same
/// limit.
const CODE_MAX: usize = 128;

#[derive(Debug, Args)]
pub struct App {
    #[command(flatten)]
    pub target: Target,
    /// The URL of the running service desk, such as https://desk.example.com.
    #[arg(long, global = true, value_name = "URL", conflicts_with_all = ["data", "cloud"])]
    pub url: Option<String>,
    /// With --url: a file with CODE:SECRET of the app that sends the requests as --user. `-` reads
    /// standard input.
    #[arg(long, global = true, value_name = "FILE")]
    pub app_file: Option<PathBuf>,
    /// With --url: the user name of the superuser for whom the app sends the requests.
    #[arg(long, global = true, value_name = "NAME", default_value = seed::ADMIN)]
    pub user: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List every app.
    List,
    /// Add an app. The desk creates the secret of the app and prints the secret only once.
    Add {
        /// The app code (the unique id of the app).
        code: String,
        /// This app may act only for users with a login token. Without this option, it may act for
        /// every user.
        #[arg(long)]
        plain: bool,
        /// The app may use only this part of the APIs: tickets, cases, fleet, admin or metrics.
        ///
        /// Repeat the option for several parts.
        #[arg(long = "scope", value_name = "PART", value_parser = scope)]
        scopes: Vec<Scope>,
        #[command(flatten)]
        change: Change,
    },
    /// Disable an app. The service desk rejects all later requests of the app.
    Disable {
        /// The app code (the unique id of the app).
        code: String,
        #[command(flatten)]
        change: Change,
    },
    /// Enable a disabled app.
    Enable {
        /// The app code (the unique id of the app).
        code: String,
        #[command(flatten)]
        change: Change,
    },
}

fn scope(name: &str) -> Result<Scope, String> {
    Scope::named(name)
        .ok_or_else(|| format!("the scope must be one of {}", Scope::NAMES.join(", ")))
}

impl App {
    /// Runs the subcommand on a running service desk (with `--url`) or on a stopped service desk.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let running = self.running()?;
        let running = running.as_ref();
        match &self.command {
            Command::List => self.list(running, json).await,
            Command::Add {
                code,
                plain,
                scopes,
                change,
            } => {
                check_code(code)?;
                if self.is_known(running, code).await? {
                    return Err(format!("app {code} exists already").into());
                }
                if change.dry_run {
                    report(json, code, "would be added");
                    return Ok(());
                }
                change.confirm(&format!("add app {code}"))?;
                let secret = self.add(running, code, *plain, scopes).await?;
                super::print(json, &json!({ "code": code, "secret": secret }), || {
                    println!("app {code} is added; its secret, which is shown only once: {secret}");
                });
                Ok(())
            }
            Command::Disable { code, change } => {
                self.set_disabled(running, code, true, *change, json).await
            }
            Command::Enable { code, change } => {
                self.set_disabled(running, code, false, *change, json).await
            }
        }
    }

    async fn list(&self, running: Option<&Running>, json: bool) -> Result<(), CommandError> {
        let apps = match running {
            Some(running) => running.request("GET", &[], Value::Null).await?["apps"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
            None => all_apps(&self.target.read().await?)
                .await?
                .iter()
                .map(client_apps::shown)
                .collect(),
        };
        super::print(json, &json!({ "apps": apps }), || {
            for app in &apps {
                let kind = if app["may_impersonate"] == true {
                    "acts for any user"
                } else {
                    "acts for users with a login token"
                };
                let state = if app["is_disabled"] == true {
                    "disabled"
                } else {
                    "enabled"
                };
                let scopes: Vec<&str> = app["scopes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let scopes = if scopes.is_empty() {
                    String::new()
                } else {
                    format!(", only {}", scopes.join(", "))
                };
                println!(
                    "{state:<8}  {}  {kind}{scopes}",
                    app["code"].as_str().unwrap_or_default()
                );
            }
            println!("{} apps", apps.len());
        });
        Ok(())
    }

    async fn add(
        &self,
        running: Option<&Running>,
        code: &str,
        is_plain: bool,
        scopes: &[Scope],
    ) -> Result<String, CommandError> {
        if let Some(running) = running {
            let mut body = json!({ "may_impersonate": !is_plain });
            if !scopes.is_empty() {
                body["scopes"] = scopes.iter().map(|scope| scope.key()).collect();
            }
            let response = running.request("PUT", &[code], body).await?;
            return response["secret"]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("app {code} exists already and keeps its secret").into());
        }
        let desk = target::app(self.target.write().await.map_err(with_hint)?)?;
        if client_apps::app(&desk.ledger, code).await?.is_some() {
            return Err(format!("app {code} exists already").into());
        }
        let registered = Registered {
            code: code.into(),
            name: code.into(),
            may_impersonate: !is_plain,
            status_callbacks: false,
            is_disabled: false,
            scopes: (!scopes.is_empty()).then(|| scopes.iter().copied().collect()),
        };
        let secret = client_apps::fresh_secret(&desk.ledger);
        desk.credentials.register(&registered, &secret).await?;
        Ok(secret)
    }

    async fn set_disabled(
        &self,
        running: Option<&Running>,
        code: &str,
        is_disabled: bool,
        change: Change,
        json: bool,
    ) -> Result<(), CommandError> {
        let (verb, done) = if is_disabled {
            ("disable", "disabled")
        } else {
            ("enable", "enabled")
        };
        if !self.is_known(running, code).await? {
            return Err(format!("there is no app {code}; `ledgerdesk app list` prints all").into());
        }
        if change.dry_run {
            report(json, code, &format!("would be {done}"));
            return Ok(());
        }
        change.confirm(&format!("{verb} app {code}"))?;
        if let Some(running) = running {
            drop(running.request("POST", &[code, verb], json!({})).await?);
        } else {
            let desk = self.target.write().await.map_err(with_hint)?;
            if !client_apps::set_disabled(
                &desk.ledger,
                code,
                is_disabled,
                Meta::system("app", verb),
            )
            .await?
            {
                return Err(format!("there is no app {code}").into());
            }
        }
        report(json, code, &format!("is {done}"));
        Ok(())
    }

    /// Returns the connection to the running service desk at `--url`. Returns `None` if the option
    /// `--url` is absent.
    ///
    /// The function can read the app secret from standard input. Standard input can be read only
    /// once, so the command must call this function only once.
    fn running(&self) -> Result<Option<Running>, CommandError> {
        let Some(base) = &self.url else {
            return match &self.app_file {
                Some(_) => Err(CommandError::Usage(
                    "--app-file needs --url with the address of a running desk".into(),
                )),
                None => Ok(None),
            };
        };
        let file = self
            .app_file
            .as_deref()
            .ok_or_else(|| CommandError::Usage("--url needs --app-file".into()))?;
        let wrong = || {
            CommandError::Usage(format!(
                "--url {base}: write an address that begins with http:// or https://"
            ))
        };
        let url: Url = base.parse().map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        if HeaderValue::from_bytes(self.user.as_bytes()).is_err() {
            let what = format!("--user {}: not a valid user name", self.user);
            return Err(CommandError::Usage(what));
        }
        let app = read_apps(file, true)?.swap_remove(0);
        let client = Client::trusted()?;
        Ok(Some(Running {
            url,
            client,
            app,
            user: self.user.clone(),
        }))
    }

    /// Returns whether the service desk has an app with this code. `running` is the connection to a
    /// running service desk. If `running` is `None`, the function reads the directory of a stopped
    /// service desk. The function only reads data.
    async fn is_known(&self, running: Option<&Running>, code: &str) -> Result<bool, CommandError> {
        let Some(running) = running else {
            self.target.exists()?;
            return Ok(client_apps::app(&self.target.read().await?, code)
                .await?
                .is_some());
        };
        let (status, response) = running.send("GET", &[code], Value::Null).await?;
        if status == StatusCode::NOT_FOUND && response["status"] == 404 {
            return Ok(false);
        }
        running.accepted(status, response).map(|_| true)
    }
}

/// The connection to a running service desk: the URL of the service desk, and the app and the user
/// name that are used in each request.
struct Running {
    url: Url,
    client: Client,
    app: Named,
    user: String,
}

impl Running {
    /// Sends a request to `/v1/apps` of the service desk, and returns the JSON body of the
    /// response. `path` contains the path segments after `/v1/apps`. Returns an error if the
    /// service desk rejects the request.
    async fn request(
        &self,
        method: &str,
        path: &[&str],
        body: Value,
    ) -> Result<Value, CommandError> {
        let (status, response) = self.send(method, path, body).await?;
        self.accepted(status, response)
    }

    async fn send(
        &self,
        method: &str,
        path: &[&str],
        body: Value,
    ) -> Result<(StatusCode, Value), CommandError> {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["v1", "apps"]).extend(path);
        }
        let credentials = format!("{}:{}", self.app.code, self.app.secret);
        let request = HttpRequest {
            method: method.into(),
            url: url.into(),
            headers: vec![
                (
                    "authorization".into(),
                    format!("Basic {}", STANDARD.encode(credentials)),
                ),
                ("x-on-behalf-of".into(), self.user.clone()),
            ],
            body: if body.is_null() {
                Vec::new()
            } else {
                body.to_string().into_bytes()
            },
            timeout: RESPONSE_TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        };
        let response = self
            .client
            .send(&request)
            .await
            .map_err(|error| format!("the desk at {} does not respond: {error}", self.url))?;
        let status = StatusCode::from_u16(response.status).unwrap_or_default();
        let bytes = response.body;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Checks the status of a response. If the status means success, returns `response` (the JSON
    /// body). Otherwise returns an error that contains the reason from the response.
    fn accepted(&self, status: StatusCode, response: Value) -> Result<Value, CommandError> {
        if status == StatusCode::NO_CONTENT || (status.is_success() && response.is_object()) {
            return Ok(response);
        }
        let text = match response["detail"].as_str() {
            Some(detail) => format!(
                "the desk at {} rejected the request with {status}: {detail}",
                self.url
            ),
            None => format!(
                "the response of {} with {status} is not from a desk; --url must be the address of the desk without an API path",
                self.url
            ),
        };
        Err(text.into())
    }
}

/// Returns an error if `code` is not a valid app code (the unique id of a new app).
fn check_code(code: &str) -> Result<(), CommandError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=CODE_MAX).contains(&code.len()) && code.chars().all(is_plain) {
        return Ok(());
    }
    Err(CommandError::Usage(format!(
        "a code must have 1 to {CODE_MAX} characters: letters, digits, -, _ and ."
    )))
}

/// Converts an error text to the error of the command. If the text means that another process uses
/// the directory of the service desk, the function adds a hint: with the options `--url` and
/// `--app-file`, the command can change a running service desk.
fn with_hint(error: String) -> CommandError {
    match CommandError::from(error) {
        CommandError::Busy(text) => CommandError::Busy(format!(
            "{text}; use --url and --app-file to change a running desk"
        )),
        other => other,
    }
}

fn report(json: bool, code: &str, result: &str) {
    super::print(json, &json!({ "code": code, "result": result }), || {
        println!("app {code} {result}");
    });
}

/// Returns all apps of a ledger, ordered by app code (the unique id of an app).
///
/// The function reads all commits of the ledger and not the views (stored tables), because the
/// views of a stopped service desk can be outdated.
async fn all_apps(ledger: &Ledger) -> Result<Vec<Registered>, CommandError> {
    let (mut codes, mut position) = (std::collections::BTreeSet::new(), 0);
    loop {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else { break };
        position = last.position;
        codes.extend(
            page.iter()
                .filter_map(|placed| placed.commit.stream.strip_prefix("app-"))
                .map(str::to_owned),
        );
    }
    let mut apps = Vec::new();
    for code in codes {
        apps.extend(
            ledger
                .load::<config::App>(&format!("app-{code}"))
                .await?
                .aggregate
                .0
                .0,
        );
    }
    Ok(apps)
}
