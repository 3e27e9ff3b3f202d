//! Implements the command `ledgerdesk setup`. The command writes base data, the demo company, apps and other
//! configuration into a desk. A second run with the same options changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use axum::http::{HeaderName, HeaderValue};
use clap::Args;
use domain::account::INVITATION_MS;
use events::Meta;
use events::app::Registered;
use infra::http::is_of_connection;
use infra::{Error, Kind};
use serde_json::json;

use super::serve::DEMO_APP;
use super::target::{Target, app};
use super::{Change, CommandError};
use crate::App;
use crate::app::automation::definitions::Definitions as Automation;
use crate::app::automation::executions::PLATFORM;
use crate::app::fleet::definitions::Definitions as FleetDefinitions;
use crate::app::itsm::integrations::Definitions;
use crate::app::itsm::{mapping_check, sources};
use crate::app::notifications::accounts;
use crate::app::notifications::calendars::Definitions as Calendars;
use crate::app::notifications::definitions::{Definitions as Channels, check_secret};
use crate::app::{client_apps, logins, people, seed};

/// A file name with a special meaning: the program reads standard input instead of a file.
const STDIN: &str = "-";
/// The byte order mark. Some editors write this character at the start of a file. The program ignores
/// this character.
const BOM: &str = "\u{feff}";
/// The names of the secrets of integrations (connected systems) begin with this text.
const INTEGRATION: &str = "integration/";
/// The names of the secrets with which sources of cases sign their messages begin with this text.
const WEBHOOK: &str = "webhook/";
/// The names of the secrets of channel accounts (configured senders of messages) begin with this text.
const CHANNEL: &str = crate::queue::send::CHANNEL;
/// The names of the secrets with which chat platforms sign their messages begin with this text.
const INBOUND: &str = crate::app::notifications::inbound::SECRET;
/// The names of the passwords of mailboxes begin with this text.
const MAILBOX: &str = infra::mailbox::SECRET;
/// The mode bits of a file that allow its group and all other users to read the file.
const OTHERS_READ: u32 = 0o044;

/// Checks an HTTP header for the API calls of workflows. Returns the reason why the header is invalid, or
/// `None` if the header is valid.
fn header_problem(header: &str, value: &str) -> Option<&'static str> {
    if header.parse::<HeaderName>().is_err() {
        return Some("is not a valid header name");
    }
    if is_of_connection(header) {
        return Some("is set by the desk and must not be given");
    }
    value
        .parse::<HeaderValue>()
        .is_err()
        .then_some("has a value with a line break or control character")
}

#[derive(Debug, Args)]
pub struct Setup {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub wanted: Wanted,
    /// Replace a secret key of the desk, and print the new addresses of all sources.
    ///
    /// Callback tokens and addresses that were made with the replaced key are valid until the next rotation.
    #[arg(long = "rotate", value_name = "KEY")]
    pub rotate: Option<Rotated>,
    #[command(flatten)]
    pub change: Change,
}

/// The command-line options that select the data that the program writes into a desk: base data, the demo
/// company, apps, secrets and other configuration.
#[derive(Clone, Debug, Default, Args)]
pub struct Wanted {
    /// Load the demo company once and enable its app. The secret of this app is published.
    #[arg(long)]
    pub demo: bool,
    /// Register an app that may act for any user. Only for trials: other users of this machine can see the arguments.
    #[arg(long = "app", value_name = "CODE:SECRET")]
    pub apps: Vec<String>,
    /// Register apps from a file, one CODE:SECRET per line. They may act for any user. `-` reads
    /// standard input.
    #[arg(long = "app-file", value_name = "FILE")]
    pub app_files: Vec<PathBuf>,
    /// Register an app that may act only for users with a login token.
    #[arg(long = "plain-app", value_name = "CODE:SECRET")]
    pub plain_apps: Vec<String>,
    /// Register apps from a file, as with --plain-app. One CODE:SECRET per line. `-` reads standard
    /// input.
    #[arg(long = "plain-app-file", value_name = "FILE")]
    pub plain_app_files: Vec<PathBuf>,
    /// Send every status change of a ticket to this app, not only the end of the ticket. Register this app too.
    #[arg(long = "status-callbacks", value_name = "CODE")]
    pub status_callbacks: Vec<String>,
    /// Store secret request headers for API calls of workflows. FILE contains a JSON object of names and values.
    #[arg(long = "api-secret", value_name = "NAME=FILE")]
    pub api_secrets: Vec<String>,
    /// Store the secret of an integration, a webhook, a channel account or a platform.
    ///
    /// KIND is `integration`, `webhook`, `channel`, `inbound`, `mailbox` or `platform`.
    #[arg(long = "secret", value_name = "KIND/NAME=FILE")]
    pub secrets: Vec<String>,
    /// Define integrations (connected systems) and application kinds from a TOML file (docs/integrations.md).
    #[arg(long = "integrations", value_name = "FILE")]
    pub integrations: Vec<PathBuf>,
    /// Define sites, task types and robots from a TOML file (docs/fleet.md).
    #[arg(long = "fleet", value_name = "FILE")]
    pub fleet: Vec<PathBuf>,
    /// Define channel accounts, the notification policy, escalation chains and rotas from a TOML file
    /// (docs/notifications.md).
    #[arg(long = "accounts", value_name = "FILE")]
    pub accounts: Vec<PathBuf>,
    /// Define working calendars with holidays from a TOML file (docs/notifications.md).
    #[arg(long = "calendars", value_name = "FILE")]
    pub calendars: Vec<PathBuf>,
    /// Define platforms, scripts and rules from a TOML file (docs/automation.md).
    #[arg(long = "automation", value_name = "FILE")]
    pub automation: Vec<PathBuf>,
    /// Invite a person to use the console, and print the link on which this person sets a password.
    #[arg(long = "invite", value_name = "USER")]
    pub invite: Vec<String>,
}

/// A secret key that can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rotated {
    /// The key for callback tokens, and for the addresses of callbacks and messages.
    TokenKey,
}

/// An app (a client program) from a command-line option or from a file.
pub(super) struct Named {
    pub(super) code: String,
    pub(super) secret: String,
    may_impersonate: bool,
}

/// The checked values of all options, with the content of all files that the options name. Each file is read
/// only once, because a file can be standard input, which cannot be read twice.
pub(super) struct Resolved {
    named: Vec<Named>,
    headers: Vec<(String, Vec<u8>)>,
    /// The name and the value of each secret. The name begins with its kind, for example
    /// `integration/company_itsm`.
    secrets: Vec<(String, Vec<u8>)>,
    definitions: Vec<Definitions>,
    fleet: Vec<FleetDefinitions>,
    channels: Vec<Channels>,
    calendars: Vec<Calendars>,
    automation: Vec<Automation>,
}

/// The password and the invitation links with which people can log in to the console.
#[derive(Debug, Default)]
pub struct Access {
    /// The password of all people of the demo company.
    pub demo_password: Option<String>,
    /// The user name of each invited person, and the URL path of the page on which this person sets a password.
    pub invitations: Vec<(String, String)>,
    /// The name of each defined source of cases that sends messages, and the URL path for its messages. The path contains
    /// a secret.
    pub sources: Vec<(String, String)>,
    /// The number of the new key for callback tokens and addresses, if the key was replaced.
    pub token_key: Option<u32>,
    /// The names of the channel accounts that need a secret that the key store does not have.
    pub accounts_without_secret: BTreeSet<String>,
}

impl Access {
    /// Returns one line for each way to log in, and for each address that another system needs. `site` is the address of the desk.
    pub(super) fn lines(&self, site: &str) -> Vec<String> {
        let demo = self.demo_password.iter().map(|password| {
            format!("log in: {site}/ as admin, lisi, zhangsan or another person of the demo company, password {password}")
        });
        let invitations = self.invitations.iter().map(|(user, path)| {
            format!(
                "invitation of {user}: {site}{path} (valid once, for {} hours)",
                INVITATION_MS / 3_600_000
            )
        });
        let sources = self.sources.iter().map(|(source, path)| {
            format!("address for messages of the source {source} (keep it secret): {site}{path}")
        });
        let token_key = self.token_key.iter().map(|generation| {
            format!(
                "token key {generation} is now the newest; tokens and addresses of key {} stay valid until the next rotation",
                generation - 1
            )
        });
        let without_secret = self.accounts_without_secret.iter().map(|account| {
            format!(
                "the channel account {account} cannot send: the secret {CHANNEL}{account} is not in the key store; run `ledgerdesk setup --secret {CHANNEL}{account}=FILE`"
            )
        });
        let has_paths = self.demo_password.is_some()
            || !self.invitations.is_empty()
            || !self.sources.is_empty();
        let hint = (site.is_empty() && has_paths).then(|| {
            "write the address of the desk, as in `serve --site`, before each path: https://desk.example.com/..."
                .to_owned()
        });
        demo.chain(invitations)
            .chain(token_key)
            .chain(sources)
            .chain(hint)
            .chain(without_secret)
            .collect()
    }
}

impl Wanted {
    /// Reads and checks all options and files. The caller opens the desk after this check, so a wrong
    /// option changes no data.
    pub(super) fn resolve(&self) -> Result<Resolved, CommandError> {
        if let Some(user) = self
            .invite
            .iter()
            .find(|user| people::one_name(user).is_none())
        {
            return Err(CommandError::Usage(format!(
                "--invite {user}: this is not a user name"
            )));
        }
        Ok(Resolved {
            named: self.named()?,
            headers: self.headers()?,
            secrets: self.secrets()?,
            definitions: read_all(&self.integrations, |text, folder| {
                let mapping = |path: &Path| {
                    std::fs::read_to_string(folder.join(path))
                        .map(|text| text.trim_start_matches(BOM).to_owned())
                        .map_err(|error| error.to_string())
                };
                Definitions::read(text, &mapping)
            })?,
            fleet: read_all(&self.fleet, |text, _| FleetDefinitions::read(text))?,
            channels: read_all(&self.accounts, |text, _| Channels::read(text))?,
            calendars: read_all(&self.calendars, |text, _| Calendars::read(text))?,
            automation: read_all(&self.automation, |text, _| Automation::read(text))?,
        })
    }

    /// Writes the base data and all data from the command-line options into a desk: apps, secrets, integrations,
    /// robots, channel accounts and automation rules. Returns the password and the invitation links for the console.
    pub(super) async fn store(
        &self,
        app: &App,
        resolved: &Resolved,
    ) -> Result<Access, CommandError> {
        check_integrations(app, resolved).await?;
        seed::found(app).await?;
        if self.demo {
            seed::demo(app).await?;
            let registered = Registered {
                code: DEMO_APP.0.into(),
                name: DEMO_APP.0.into(),
                may_impersonate: true,
                status_callbacks: false,
                is_disabled: false,
                scopes: None,
            };
            app.credentials.register(&registered, DEMO_APP.1).await?;
        }
        for Named {
            code,
            secret,
            may_impersonate,
        } in &resolved.named
        {
            let status_callbacks = self.status_callbacks.iter().any(|other| other == code);
            let known = client_apps::app(&app.ledger, code).await?;
            let is_disabled = known.as_ref().is_some_and(|known| known.is_disabled);
            if is_disabled {
                tracing::warn!(
                    app = code.as_str(),
                    "the app stays disabled; `ledgerdesk app enable` enables it"
                );
            }
            let registered = Registered {
                code: code.as_str().into(),
                name: code.clone(),
                may_impersonate: *may_impersonate,
                status_callbacks,
                is_disabled,
                scopes: known.and_then(|known| known.scopes),
            };
            app.credentials.register(&registered, secret).await?;
        }
        for (name, text) in &resolved.headers {
            app.ledger
                .keys
                .keep_secret(&format!("api/{name}"), text)
                .await?;
        }
        Definitions::store_all(app, &resolved.definitions).await?;
        for fleet in &resolved.fleet {
            fleet.store(app).await?;
        }
        for (file, channels) in self.accounts.iter().zip(&resolved.channels) {
            let stored = channels.store(app).await;
            stored.map_err(|error| in_file(file, error))?;
        }
        for calendars in &resolved.calendars {
            calendars.store(app).await?;
        }
        for automation in &resolved.automation {
            automation.store(app).await?;
        }
        for (name, secret) in &resolved.secrets {
            if let Some(account) = name.strip_prefix(CHANNEL) {
                let text = String::from_utf8_lossy(secret);
                check_secret(app, account, &text)
                    .await?
                    .map_err(CommandError::from)?;
            }
            app.ledger.keys.keep_secret(name, secret).await?;
        }
        warn_of_differences(app, &resolved.definitions).await?;
        let channels = resolved.channels.iter();
        let new: Vec<&str> = channels
            .flat_map(|channels| &channels.accounts)
            .map(|account| account.name.as_str())
            .collect();
        let mut access = Access {
            accounts_without_secret: accounts::without_secret(app, &new).await?,
            ..Access::default()
        };
        let defined = resolved.definitions.iter();
        let defined = defined.flat_map(|definitions| &definitions.integrations);
        let names: BTreeSet<String> = defined.map(|one| one.name.clone()).collect();
        access.sources = addresses(app, names).await?;
        if self.demo {
            access.demo_password = Some(logins::demo_password(app).await?);
        }
        for user in &self.invite {
            let meta = Meta::system("setup", "setup");
            let link = logins::invite(app, user.trim(), meta).await?;
            access.invitations.push((user.trim().to_owned(), link.path));
        }
        Ok(access)
    }

    /// Returns the name and the checked value of each `--secret` option. The name begins with its kind, for
    /// example `integration/company_itsm`.
    fn secrets(&self) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
        let mut all = Vec::new();
        for pair in &self.secrets {
            let (name, file) = pair
                .split_once('=')
                .filter(|(name, _)| {
                    let kinds = [INTEGRATION, WEBHOOK, CHANNEL, INBOUND, MAILBOX, PLATFORM].into_iter();
                    let mut names = kinds.filter_map(|kind| name.strip_prefix(kind));
                    names.any(|name| !name.is_empty())
                })
                .ok_or_else(|| {
                    CommandError::Usage(format!(
                        "--secret {}: write {INTEGRATION}NAME=FILE, {WEBHOOK}NAME=FILE, {CHANNEL}NAME=FILE, {INBOUND}NAME=FILE, {MAILBOX}NAME=FILE or {PLATFORM}NAME=FILE",
                        pair.split('=').next().unwrap_or_default()
                    ))
                })?;
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("cannot read {file}: {error}"))?;
            let secret = text.trim_start_matches(BOM).trim();
            if secret.is_empty() || secret.chars().any(char::is_control) {
                return Err(format!("{file}: the secret must be one line of text").into());
            }
            warn_if_others_read(Path::new(file));
            all.push((name.to_owned(), secret.as_bytes().to_vec()));
        }
        Ok(all)
    }

    /// Returns the checked apps (client programs) from all options and files.
    fn named(&self) -> Result<Vec<Named>, CommandError> {
        let mut named = Vec::new();
        for (option, pairs, may_impersonate) in [
            ("--app", &self.apps, true),
            ("--plain-app", &self.plain_apps, false),
        ] {
            for pair in pairs {
                let code = pair.split(':').next().unwrap_or_default();
                named.push(pair_of(pair, may_impersonate).ok_or_else(|| {
                    CommandError::Usage(format!("{option} {code}: write CODE:SECRET"))
                })?);
            }
        }
        for (files, may_impersonate) in [(&self.app_files, true), (&self.plain_app_files, false)] {
            for file in files {
                named.extend(read_apps(file, may_impersonate)?);
            }
        }
        if let Some(app) = named
            .iter()
            .find(|app| app.secret == DEMO_APP.1 && !self.demo)
        {
            return Err(CommandError::Usage(format!(
                "app {}: this secret is published with the demo; choose another secret",
                app.code
            )));
        }
        reject_duplicates(&named)?;
        if let Some(code) = self
            .status_callbacks
            .iter()
            .find(|code| named.iter().all(|app| app.code != **code))
        {
            return Err(CommandError::Usage(format!(
                "--status-callbacks {code}: no option or file registers this app"
            )));
        }
        Ok(named)
    }

    /// Reads and checks the files of all `--api-secret` options. Each entry of the result contains the name
    /// of a secret and the content of its file.
    fn headers(&self) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
        let mut all = Vec::new();
        for pair in &self.api_secrets {
            let (name, file) = pair
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| {
                    CommandError::Usage(format!("--api-secret {pair}: write NAME=FILE"))
                })?;
            let text =
                std::fs::read(file).map_err(|error| format!("cannot read {file}: {error}"))?;
            let text = text.strip_prefix(BOM.as_bytes()).unwrap_or(&text);
            let headers: BTreeMap<String, String> = serde_json::from_slice(text)
                .map_err(|error| format!("{file} is not a JSON object of strings: {error}"))?;
            if let Some((header, why)) = headers
                .iter()
                .find_map(|(header, value)| Some((header, header_problem(header, value)?)))
            {
                return Err(format!("{file}: the header {header:?} {why}").into());
            }
            all.push((name.to_owned(), text.to_vec()));
        }
        Ok(all)
    }

    /// Returns the lines that `--dry-run` prints. Each line describes one part of the data that the command
    /// writes without `--dry-run`.
    fn plan(&self, resolved: &Resolved) -> Vec<String> {
        let mut plan = vec!["the missing base data".to_owned()];
        if self.demo {
            plan.push(format!("the demo company and its app {}", DEMO_APP.0));
        }
        let kind = |app: &Named| {
            if app.may_impersonate {
                "app"
            } else {
                "plain app"
            }
        };
        plan.extend(
            resolved
                .named
                .iter()
                .map(|app| format!("{} {}", kind(app), app.code)),
        );
        plan.extend(
            resolved
                .headers
                .iter()
                .map(|(name, _)| format!("secret api/{name}")),
        );
        plan.extend(
            resolved
                .secrets
                .iter()
                .map(|(name, _)| format!("secret {name}")),
        );
        for definitions in &resolved.definitions {
            let integrations = definitions.integrations.iter();
            plan.extend(integrations.map(|one| format!("integration {}", one.name)));
            let kinds = definitions.kinds.iter();
            plan.extend(kinds.map(|one| format!("application kind {}", one.name)));
        }
        for fleet in &resolved.fleet {
            plan.extend(fleet.sites.iter().map(|one| format!("site {}", one.name)));
            let task_types = fleet.task_types.iter();
            plan.extend(task_types.map(|one| format!("task type {}", one.name)));
            plan.extend(fleet.robots.iter().map(|one| format!("robot {}", one.name)));
        }
        for channels in &resolved.channels {
            let accounts = channels.accounts.iter();
            plan.extend(accounts.map(|one| format!("channel account {}", one.name)));
            let policy = channels.policy.iter();
            plan.extend(policy.map(|one| format!("notification policy {}", one.name)));
            plan.extend(channels.on_call.plan());
        }
        for calendars in &resolved.calendars {
            let calendars = calendars.calendars.iter();
            plan.extend(calendars.map(|one| format!("calendar {}", one.name)));
        }
        for automation in &resolved.automation {
            plan.extend(automation.named());
        }
        plan.extend(
            self.invite
                .iter()
                .map(|user| format!("an invitation of {user}")),
        );
        plan
    }
}

/// Reads files with definitions and checks their content. The function `read` gets the text of a file and the
/// folder of this file. If a file is invalid, the error contains its path and the reason.
fn read_all<T>(
    files: &[PathBuf],
    read: impl Fn(&str, &Path) -> Result<T, String>,
) -> Result<Vec<T>, CommandError> {
    let one = |file: &PathBuf| {
        let shown = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {shown}: {error}"))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        read(text.trim_start_matches(BOM), folder)
            .map_err(|reason| CommandError::from(format!("{shown}: {reason}")))
    };
    files.iter().map(one).collect()
}

/// Adds the path of a file to the reason why its definitions do not fit together or do not fit to the desk.
fn in_file(file: &Path, error: Error) -> Error {
    if error.kind == Kind::Misconfigured {
        Error::new(error.kind, format!("{}: {}", file.display(), error.what))
    } else {
        error
    }
}

/// Returns an error if two entries with the same app code (the id of an app) have different secrets. Also returns an
/// error if only one of these two entries may act for other users.
fn reject_duplicates(named: &[Named]) -> Result<(), CommandError> {
    let mut first = BTreeMap::new();
    for Named {
        code,
        secret,
        may_impersonate,
    } in named
    {
        if *first.entry(code).or_insert((secret, may_impersonate)) != (secret, may_impersonate) {
            return Err(CommandError::Usage(format!(
                "app {code} appears twice with different secrets or kinds; specify each app once"
            )));
        }
    }
    Ok(())
}

fn pair_of(text: &str, may_impersonate: bool) -> Option<Named> {
    let (code, secret) = text
        .split_once(':')
        .filter(|(code, secret)| !code.is_empty() && !secret.is_empty())?;
    Some(Named {
        code: code.to_owned(),
        secret: secret.to_owned(),
        may_impersonate,
    })
}

/// Reads apps (client programs) from a file or from standard input. If `may_impersonate` is true, the apps
/// may act for any user.
///
/// Empty lines and lines that begin with `#` are skipped. Error messages contain the number of a wrong line
/// but not its text, because the text contains a secret.
pub(super) fn read_apps(file: &Path, may_impersonate: bool) -> Result<Vec<Named>, CommandError> {
    let shown = if file == Path::new(STDIN) {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let mut text = String::new();
    if file == Path::new(STDIN) {
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| format!("cannot read standard input: {error}"))?;
    } else {
        warn_if_others_read(file);
        text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {shown}: {error}"))?;
    }
    let mut apps = Vec::new();
    for (number, line) in text
        .strip_prefix(BOM)
        .unwrap_or(&text)
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
    {
        if !line.is_empty() && !line.starts_with('#') {
            apps.push(pair_of(line, may_impersonate).ok_or_else(|| {
                CommandError::Usage(format!("line {number} of {shown} is not CODE:SECRET"))
            })?);
        }
    }
    if apps.is_empty() {
        Err(CommandError::Usage(format!(
            "{shown} contains no line CODE:SECRET"
        )))
    } else {
        Ok(apps)
    }
}

/// Writes a warning if other users of the machine can read a file with secrets.
///
/// A readable file is not an error, because container platforms create files with secrets that other
/// users can read.
fn warn_if_others_read(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.permissions().mode() & OTHERS_READ != 0)
    {
        tracing::warn!(file = %file.display(), "other users of this machine can read the file of secrets; run chmod 600");
    }
}

/// Returns an error if an application kind or a secret belongs to an integration that is neither stored nor in the files.
/// The check comes before the first write, so a wrong name leaves no half of a setup.
async fn check_integrations(app: &App, resolved: &Resolved) -> Result<(), CommandError> {
    let files = &resolved.definitions;
    Definitions::check_all(app, files).await?;
    for (name, _) in &resolved.secrets {
        let integration = name.strip_prefix(INTEGRATION);
        let Some(integration) = integration.or_else(|| name.strip_prefix(WEBHOOK)) else {
            continue;
        };
        if !Definitions::is_defined(app, files, integration).await? {
            return Err(format!(
                "--secret {name}: the integration {integration} is not defined; define it with --integrations"
            )
            .into());
        }
    }
    Ok(())
}

/// Writes a warning for each difference between a mapping and the desk.
async fn warn_of_differences(app: &App, definitions: &[Definitions]) -> Result<(), CommandError> {
    for defined in definitions.iter().flat_map(|one| &one.integrations) {
        let mut found = mapping_check::unknown_senders(&app.ledger, defined).await?;
        found.extend(mapping_check::differences(&app.ledger, defined).await?);
        for difference in found {
            tracing::warn!(
                integration = defined.name.as_str(),
                advice = difference.advice,
                "{}",
                difference.text
            );
        }
    }
    Ok(())
}

/// Returns the names of the given sources that accept messages, with the paths of their addresses.
async fn addresses(
    app: &App,
    names: BTreeSet<String>,
) -> Result<Vec<(String, String)>, CommandError> {
    let mut addresses = Vec::new();
    for name in names {
        let integration = app.configuration.integration(&name).await?;
        let defined = integration.defined.as_ref();
        if defined.is_some_and(|one| one.webhook.is_some()) {
            let path = sources::path_of(app, &name).await?;
            addresses.push((name, path));
        }
    }
    Ok(addresses)
}

impl Setup {
    /// Writes the selected data into the desk. With `--dry-run`, writes no data and only prints the planned
    /// changes.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        let resolved = self.wanted.resolve()?;
        let mut plan = self.wanted.plan(&resolved);
        plan.extend(self.rotate.map(|_| "a new token key".to_owned()));
        if self.change.dry_run {
            super::print(
                json,
                &json!({ "desk": self.target.to_string(), "would_write": plan }),
                || {
                    plan.iter().for_each(|line| println!("would write {line}"));
                },
            );
            return Ok(());
        }
        self.change
            .confirm(&format!("write {} into {}", plan.join(", "), self.target))?;
        let is_new = self.target.exists().is_err();
        let app = app(self.target.write().await?)?;
        let mut access = self.wanted.store(&app, &resolved).await?;
        if let Some(Rotated::TokenKey) = self.rotate {
            let meta = Meta::system("setup", "setup");
            access.token_key = Some(app.rotate_token_key(meta).await?);
            let names = app.configuration.integration_names().await?;
            access.sources = addresses(&app, names.into_iter().collect()).await?;
        }
        super::print(
            json,
            &json!({
                "desk": self.target.to_string(), "is_new": is_new, "wrote": plan,
                "demo_password": access.demo_password, "invitations": access.invitations, "sources": access.sources,
                "token_key": access.token_key, "accounts_without_secret": access.accounts_without_secret,
            }),
            || {
                let new = if is_new { "; the desk is new" } else { "" };
                println!("{} is set up{new}", self.target);
                // The address of the desk is not known here, so a link consists of its path only.
                access.lines("").iter().for_each(|line| println!("{line}"));
            },
        );
        Ok(())
    }
}
