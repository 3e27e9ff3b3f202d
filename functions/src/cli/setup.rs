//! `ledgerdesk setup`: base data, the demo company and apps, written into an existing desk; doing it again changes nothing.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use events::app::Registered;
use infra::caller::is_of_connection;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

use super::place::Place;
use super::serve::DEMO_APP;
use super::{Change, CommandError};
use crate::{App, apps, company};

/// The name of standard input in place of a file.
const STDIN: &str = "-";
/// What some editors put before the text of a file.
const BOM: &str = "\u{feff}";
/// The permissions that let others than the owner read a file.
const OTHERS_READ: u32 = 0o044;

/// Why a header cannot go along with an API call, or nothing.
fn unfit(header: &str, value: &str) -> Option<&'static str> {
    if header.parse::<HeaderName>().is_err() {
        return Some("is not the name of a header");
    }
    if is_of_connection(header) {
        return Some("is set by the desk and must not be given");
    }
    value.parse::<HeaderValue>().is_err().then_some("has a value with a line break or control character")
}

#[derive(Debug, Args)]
pub struct Setup {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub wanted: Wanted,
    #[command(flatten)]
    pub change: Change,
}

/// What a desk begins with.
#[derive(Clone, Debug, Default, Args)]
pub struct Wanted {
    /// Load the demo company once and enable its app, whose secret is published.
    #[arg(long)]
    pub demo: bool,
    /// Register an app that may act for any user; for trials, because arguments are visible to other users.
    #[arg(long = "app", value_name = "CODE:SECRET")]
    pub apps: Vec<String>,
    /// Register the apps of a file, one CODE:SECRET per line; `-` is standard input.
    #[arg(long = "app-file", value_name = "FILE")]
    pub app_files: Vec<PathBuf>,
    /// Register an app for which only users with a login token act.
    #[arg(long = "plain-app", value_name = "CODE:SECRET")]
    pub plain_apps: Vec<String>,
    /// The same from a file, one CODE:SECRET per line; `-` is standard input.
    #[arg(long = "plain-app-file", value_name = "FILE")]
    pub plain_app_files: Vec<PathBuf>,
    /// Send changes of status, and not only the end of a ticket, to an app registered here.
    #[arg(long = "hears-status", value_name = "CODE")]
    pub hear_status: Vec<String>,
    /// Store request headers for API calls of workflows: a file with a JSON object of texts.
    #[arg(long = "api-secret", value_name = "NAME=FILE")]
    pub api_secrets: Vec<String>,
}

/// An app that options or files name.
pub(super) struct Named {
    pub(super) code: String,
    pub(super) secret: String,
    speaks_for_users: bool,
}

/// What options and files hold; standard input can be read only once.
pub(super) struct Resolved {
    named: Vec<Named>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Wanted {
    /// Reads and checks all options and files, before anything is opened.
    pub(super) fn resolve(&self) -> Result<Resolved, CommandError> {
        Ok(Resolved { named: self.named()?, headers: self.headers()? })
    }

    /// Writes all of it into a desk.
    pub(super) async fn store(&self, app: &App, resolved: &Resolved) -> Result<(), CommandError> {
        company::found(app).await?;
        if self.demo {
            company::demo(app).await?;
            let registered = Registered { code: DEMO_APP.0.into(), name: DEMO_APP.0.into(), speaks_for_users: true, hears_status: false, is_disabled: false };
            app.credentials.register(&registered, DEMO_APP.1).await?;
        }
        for Named { code, secret, speaks_for_users } in &resolved.named {
            let hears_status = self.hear_status.iter().any(|other| other == code);
            let is_disabled = apps::app(&app.ledger, code).await?.is_some_and(|known| known.is_disabled);
            if is_disabled {
                tracing::warn!(app = code.as_str(), "the app stays disabled; `ledgerdesk app enable` enables it");
            }
            let registered = Registered { code: code.as_str().into(), name: code.clone(), speaks_for_users: *speaks_for_users, hears_status, is_disabled };
            app.credentials.register(&registered, secret).await?;
        }
        for (name, text) in &resolved.headers {
            app.ledger.keys.keep_secret(&format!("api/{name}"), text).await?;
        }
        Ok(())
    }

    /// The apps of all options and files, checked.
    fn named(&self) -> Result<Vec<Named>, CommandError> {
        let mut named = Vec::new();
        for (option, pairs, speaks_for_users) in [("--app", &self.apps, true), ("--plain-app", &self.plain_apps, false)] {
            for pair in pairs {
                let code = pair.split(':').next().unwrap_or_default();
                named.push(pair_of(pair, speaks_for_users).ok_or_else(|| CommandError::Usage(format!("{option} {code}: write CODE:SECRET")))?);
            }
        }
        for (files, speaks_for_users) in [(&self.app_files, true), (&self.plain_app_files, false)] {
            for file in files {
                named.extend(read_apps(file, speaks_for_users)?);
            }
        }
        if let Some(app) = named.iter().find(|app| app.secret == DEMO_APP.1 && !self.demo) {
            return Err(CommandError::Usage(format!("app {}: this secret is published with the demo; choose another one", app.code)));
        }
        each_once(&named)?;
        if let Some(code) = self.hear_status.iter().find(|code| named.iter().all(|app| app.code != **code)) {
            return Err(CommandError::Usage(format!("--hears-status {code}: no option or file registers this app")));
        }
        Ok(named)
    }

    /// The headers of all `--api-secret`, checked.
    fn headers(&self) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
        let mut all = Vec::new();
        for pair in &self.api_secrets {
            let (name, file) = pair
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| CommandError::Usage(format!("--api-secret {pair}: write NAME=FILE")))?;
            let text = std::fs::read(file).map_err(|error| format!("cannot read {file}: {error}"))?;
            let text = text.strip_prefix(BOM.as_bytes()).unwrap_or(&text);
            let headers: BTreeMap<String, String> = serde_json::from_slice(text).map_err(|error| format!("{file} is not a JSON object of texts: {error}"))?;
            if let Some((header, why)) = headers.iter().find_map(|(header, value)| Some((header, unfit(header, value)?))) {
                return Err(format!("{file}: the header {header:?} {why}").into());
            }
            all.push((name.to_owned(), text.to_vec()));
        }
        Ok(all)
    }

    /// What would be written, in words.
    fn plan(&self, resolved: &Resolved) -> Vec<String> {
        let mut plan = vec!["the base data of a desk, where it is missing".to_owned()];
        if self.demo {
            plan.push(format!("the demo company and its app {}", DEMO_APP.0));
        }
        let kind = |app: &Named| if app.speaks_for_users { "app" } else { "plain app" };
        plan.extend(resolved.named.iter().map(|app| format!("{} {}", kind(app), app.code)));
        plan.extend(resolved.headers.iter().map(|(name, _)| format!("secret api/{name}")));
        plan
    }
}

/// Rejects an app that is named again with another secret or kind: only one of them could count.
fn each_once(named: &[Named]) -> Result<(), CommandError> {
    let mut first = BTreeMap::new();
    for Named { code, secret, speaks_for_users } in named {
        if *first.entry(code).or_insert((secret, speaks_for_users)) != (secret, speaks_for_users) {
            return Err(CommandError::Usage(format!("app {code} is named twice, with different secrets or kinds; name each app once")));
        }
    }
    Ok(())
}

fn pair_of(text: &str, speaks_for_users: bool) -> Option<Named> {
    let (code, secret) = text.split_once(':').filter(|(code, secret)| !code.is_empty() && !secret.is_empty())?;
    Some(Named { code: code.to_owned(), secret: secret.to_owned(), speaks_for_users })
}

/// Reads the apps of a file or of standard input; empty lines and lines that begin with `#` are skipped. A message never repeats a line, which holds a secret.
pub(super) fn read_apps(file: &Path, speaks_for_users: bool) -> Result<Vec<Named>, CommandError> {
    let shown = if file == Path::new(STDIN) { "standard input".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    if file == Path::new(STDIN) {
        std::io::stdin().read_to_string(&mut text).map_err(|error| format!("cannot read standard input: {error}"))?;
    } else {
        warn_if_others_read(file);
        text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    }
    let mut apps = Vec::new();
    for (number, line) in text.strip_prefix(BOM).unwrap_or(&text).lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if !line.is_empty() && !line.starts_with('#') {
            apps.push(pair_of(line, speaks_for_users).ok_or_else(|| CommandError::Usage(format!("line {number} of {shown} is not CODE:SECRET")))?);
        }
    }
    if apps.is_empty() { Err(CommandError::Usage(format!("{shown} holds no line CODE:SECRET"))) } else { Ok(apps) }
}

/// A file of secrets is for its owner; container platforms mount it otherwise, so that it is a warning and no error.
fn warn_if_others_read(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::metadata(file).is_ok_and(|facts| facts.permissions().mode() & OTHERS_READ != 0) {
        tracing::warn!(file = %file.display(), "other users of this machine can read the file of secrets; use chmod 600");
    }
}

impl Setup {
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let resolved = self.wanted.resolve()?;
        let plan = self.wanted.plan(&resolved);
        if self.change.dry_run {
            super::print(json, &json!({ "desk": self.place.to_string(), "would_write": plan }), || {
                plan.iter().for_each(|line| println!("would write {line}"));
            });
            return Ok(());
        }
        self.change.confirm(&format!("write {} into {}", plan.join(", "), self.place))?;
        let is_new = self.place.exists().is_err();
        let app = self.place.write().await?.app()?;
        self.wanted.store(&app, &resolved).await?;
        super::print(json, &json!({ "desk": self.place.to_string(), "is_new": is_new, "wrote": plan }), || {
            let new = if is_new { "; there was no desk, so this is a new one" } else { "" };
            println!("{} is set up{new}", self.place);
        });
        Ok(())
    }
}
