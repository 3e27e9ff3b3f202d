//! Checks the other systems with which a service desk in a directory works: channel accounts, automation platforms and
//! the broker of the robots. The checks send requests that change nothing. A system that does not respond is
//! only a warning: the desk works, and repeats its requests.

use std::sync::Arc;
use std::time::Duration;

use domain::config::{ChannelAccount, Platform};
use events::platform;
use infra::channel::{self, email};
use infra::directory::Directory;
use infra::fleet::mqtt::Address;
use infra::http::Url;
use infra::local::Streams;
use infra::mailbox;
use infra::{Error, Ledger};
use serde_json::Value;

use super::{Finding, chains, fine, warning, wrong};
use crate::app::notifications::definitions::policy_names;
use crate::cli::serve::open_directory;

/// Maximum time of a connection. A person waits for the command, and these systems are checked one after another.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The other systems of a service desk, without its integrations.
pub(super) struct Systems<'a> {
    ledger: &'a Ledger,
    /// The address of the broker of the robots.
    broker: Option<&'a str>,
    /// The source of departments, as for `serve`.
    directory: Option<&'a str>,
}

impl<'a> Systems<'a> {
    pub(super) fn new(
        ledger: &'a Ledger,
        broker: Option<&'a str>,
        directory: Option<&'a str>,
    ) -> Self {
        Self {
            ledger,
            broker,
            directory,
        }
    }

    /// Checks all configured channel accounts and platforms, and the broker.
    pub(super) async fn look(&self, accounts: &[String], streams: &Streams) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut listed = |aggregate: &str| {
            streams.of(aggregate).unwrap_or_else(|error| {
                findings.push(unread(error));
                Vec::new()
            })
        };
        let (all_chains, platforms) = (listed("escalation_chain"), listed("platform"));
        for stream in accounts {
            findings.push(self.channel_account(stream).await.unwrap_or_else(unread));
            let of_mailbox = self.mailbox(stream).await;
            findings.extend(of_mailbox.unwrap_or_else(|error| Some(unread(error))));
        }
        let directory = directory(self.directory, self.ledger, &mut findings);
        for stream in &all_chains {
            match chains::check(self.ledger, directory.as_deref(), stream, true).await {
                Ok(found) => findings.extend(found),
                Err(error) => findings.push(unread(error)),
            }
        }
        for stream in &platforms {
            findings.push(self.platform(stream).await.unwrap_or_else(unread));
        }
        if let Some(broker) = self.broker {
            const WHAT: &str = "broker of the robots";
            let mut finding = match Address::read(broker) {
                Ok(address) => self.of_server(WHAT, &address.host, address.port).await,
                Err(reason) => wrong(WHAT, reason, "correct --mqtt-broker, as for `serve`"),
            };
            if finding.advice.is_none() {
                finding.found.push_str(SUBSCRIPTIONS_UNCHECKED);
            }
            findings.push(finding);
        }
        findings
    }

    async fn channel_account(&self, stream: &str) -> Result<Finding, Error> {
        let state = self.ledger.load::<ChannelAccount>(stream).await?;
        let Some(defined) = state.aggregate.0.0 else {
            return Ok(fine(stream, "not defined"));
        };
        let what = super::accounts::what(&defined.name);
        if !defined.is_enabled {
            return Ok(if policy_names(self.ledger, &defined.name).await? {
                warning(
                    what,
                    "switched off, but the notification policy names it",
                    "set `is_enabled = true` to use it, or remove it from the policy",
                )
            } else {
                fine(
                    what,
                    "switched off, and the notification policy does not name it",
                )
            });
        }
        let Some(found) = channel::find(&defined.channel) else {
            let reason = format!("this program has no channel {}", defined.channel);
            return Ok(wrong(what, reason, SETUP));
        };
        let name = format!("channel/{}", defined.name);
        let secret = self.ledger.keys.secret(&name).await?;
        let secret = secret.and_then(|bytes| String::from_utf8(bytes).ok());
        let is_needed = found.needs_secret(&defined) || secret.is_some();
        if let (true, Err(reason)) = (
            is_needed,
            found.check_secret(secret.as_deref().unwrap_or_default()),
        ) {
            return Ok(match secret {
                None => no_secret(what, &name),
                Some(_) => wrong(
                    what,
                    reason,
                    format!("store the secret again with `ledgerdesk setup --secret {name}=FILE`"),
                ),
            });
        }
        let text = |key: &str| defined.settings.get(key).and_then(Value::as_str);
        Ok(match (text("url"), text("host")) {
            (Some(url), _) => self.of_address(&what, url).await,
            (None, Some(host)) => match email::port(&defined) {
                Ok(port) => self.of_server(&what, host, port).await,
                Err(reason) => wrong(what, reason, SETUP),
            },
            (None, None) => fine(what, "its address is not checked"),
        })
    }

    /// Checks the mailbox of a channel account. Returns `None` if the account has no mailbox or is switched off.
    async fn mailbox(&self, stream: &str) -> Result<Option<Finding>, Error> {
        let state = self.ledger.load::<ChannelAccount>(stream).await?;
        let Some(defined) = state.aggregate.0.0.filter(|defined| defined.is_enabled) else {
            return Ok(None);
        };
        let what = format!("mailbox {}", defined.name);
        let settings = match mailbox::settings(&defined) {
            Ok(Some(settings)) => settings,
            Ok(None) => return Ok(None),
            Err(reason) => return Ok(Some(wrong(what, reason, SETUP))),
        };
        let name = format!("{}{}", mailbox::SECRET, defined.name);
        if self.ledger.keys.secret(&name).await?.is_none() {
            return Ok(Some(no_secret(what, &name)));
        }
        let host = settings.host.trim_matches(['[', ']']);
        Ok(Some(self.of_server(&what, host, settings.port).await))
    }

    async fn platform(&self, stream: &str) -> Result<Finding, Error> {
        let state = self.ledger.load::<Platform>(stream).await?;
        let Some(defined) = state.aggregate.0.0 else {
            return Ok(fine(stream, "not defined"));
        };
        let what = format!("platform {}", defined.name);
        let name = format!("platform/{}", defined.name);
        if self.ledger.keys.secret(&name).await?.is_none() {
            return Ok(no_secret(what, &name));
        }
        Ok(match url_of(&defined) {
            Some(url) => self.of_address(&what, &url).await,
            None => fine(what, "its address is not checked"),
        })
    }

    /// Checks whether a server accepts connections at a URL with host and port.
    async fn of_address(&self, what: &str, url: &str) -> Finding {
        let parsed = Url::parse(url).ok();
        let host = parsed.as_ref().and_then(Url::host_str);
        let port = parsed.as_ref().and_then(port_of);
        let (Some(host), Some(port)) = (host, port) else {
            return wrong(what, format!("{url} has no host or port"), SETUP);
        };
        self.of_server(what, host.trim_matches(['[', ']']), port)
            .await
    }

    /// Checks whether a server accepts connections.
    async fn of_server(&self, what: &str, host: &str, port: u16) -> Finding {
        let connection = tokio::net::TcpStream::connect((host, port));
        match tokio::time::timeout(TIMEOUT, connection).await {
            Ok(Ok(_)) => fine(what, format!("{host}:{port} accepts connections")),
            Ok(Err(error)) => warning(what, format!("{host}:{port}: {error}"), NETWORK),
            Err(_) => warning(
                what,
                format!("{host}:{port} did not respond within {TIMEOUT:?}"),
                NETWORK,
            ),
        }
    }
}

/// Opens the directory of the organization. Returns `None` without a source, and also if the source cannot be opened. The
/// function then appends this result to `findings`.
pub(super) fn directory(
    source: Option<&str>,
    ledger: &Ledger,
    findings: &mut Vec<Finding>,
) -> Option<Arc<dyn Directory>> {
    match open_directory(Some(source?), ledger) {
        Ok(directory) => Some(directory),
        Err(error) => {
            findings.push(wrong(
                "directory of the organization",
                error.to_string(),
                "correct --directory, as for `serve`",
            ));
            None
        }
    }
}

const SETUP: &str = "correct the definition, and store it with `ledgerdesk setup`";
/// The part of the result that names what the check of the broker does not show.
const SUBSCRIPTIONS_UNCHECKED: &str = "; this check does not subscribe: a running desk reports the subscriptions that the broker refuses";
const NETWORK: &str = "check the address, the network and whether the server runs; a private address must also be in `serve --egress`";

fn no_secret(what: String, name: &str) -> Finding {
    wrong(
        what,
        format!("the secret {name} is not in the key store"),
        format!("run `ledgerdesk setup --secret {name}=FILE`"),
    )
}

fn unread(error: Error) -> Finding {
    wrong(
        "systems",
        error.to_string(),
        "run `ledgerdesk audit verify`",
    )
}

fn url_of(defined: &platform::Defined) -> Option<String> {
    let url = defined.settings.get("url")?.as_str()?;
    Some(url.to_owned())
}

/// Returns the port of a URL. If the URL contains no port, returns the usual port of its scheme.
fn port_of(url: &Url) -> Option<u16> {
    url.port_or_known_default().or(match url.scheme() {
        "ldap" => Some(389),
        "ldaps" => Some(636),
        _ => None,
    })
}
