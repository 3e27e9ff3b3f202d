//! Checks the other systems with which a service desk works: external ITSMs, senders of cases, channel accounts
//! and automation platforms. The checks send requests that change nothing. A system that does not respond is
//! only a warning: the desk works, and repeats its requests.

use std::sync::Arc;
use std::time::Duration;

use domain::api_call::plan::PlannedRequest;
use domain::config::{App, ChannelAccount, Integration, Platform};
use domain::itsm::application::Answer;
use events::integration::Webhook;
use events::{integration, platform};
use infra::channel::{self, email};
use infra::fleet::mqtt::Address;
use infra::http::client::Client;
use infra::http::egress::Egress;
use infra::http::{HttpClient, HttpError, HttpResponse, Url};
use infra::itsm::{self, Connection, Request};
use infra::local::Configured;
use infra::source;
use infra::{Error, Ledger};
use jiff::fmt::rfc2822;
use serde_json::Value;

use super::{Finding, fine, warning, wrong};
use crate::app::itsm::{integrations, sources};
use crate::app::outbound::{self, Described};

/// Maximum time of a connection or a request. A person waits for the command, and the systems are checked one after
/// another.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest accepted difference between the clock of this machine and the clock of another system, in
/// milliseconds. Signed requests and tokens with an expiry time fail above such a difference.
const CLOCK_MAX_MS: i64 = 5 * 60_000;

/// The other systems of a service desk.
pub(super) struct Systems<'a> {
    ledger: &'a Ledger,
    client: Result<Arc<dyn HttpClient>, Error>,
    /// The public base URL of this desk, without a slash at the end. Other systems send callbacks to it.
    site: Option<&'a str>,
    /// The address of the broker of the robots.
    broker: Option<&'a str>,
}

/// A system that `doctor` checks, with the texts for its problems.
struct Checked {
    what: String,
    url: String,
    /// The name of the secret in the key store.
    secret: String,
    /// The members that name the account.
    account: &'static str,
    /// The members that determine the address.
    address: &'static str,
}

impl Checked {
    fn of(defined: &integration::Defined, account: &'static str, address: &'static str) -> Self {
        Self {
            what: format!("integration {}", defined.name),
            url: defined.url.clone(),
            secret: format!("integration/{}", defined.name),
            account,
            address,
        }
    }
}

/// What a response of a system shows.
enum Reply {
    /// The system accepts the credentials.
    Fine,
    NotSent(String),
    Unclear(String),
    Rejected(String),
}

impl<'a> Systems<'a> {
    pub(super) fn new(ledger: &'a Ledger, site: Option<&'a str>, broker: Option<&'a str>) -> Self {
        // The operator has configured the addresses, and runs this command. Private addresses are therefore allowed.
        let client = Client::new(Egress::everywhere());
        Self {
            ledger,
            client: client.map(|client| Arc::new(client) as Arc<dyn HttpClient>),
            site: site.map(|site| site.trim_end_matches('/')),
            broker,
        }
    }

    /// Checks all configured systems.
    pub(super) async fn look(&self, configured: &Configured) -> Vec<Finding> {
        let mut findings = Vec::new();
        for stream in &configured.integrations {
            findings.push(self.integration(stream).await.unwrap_or_else(unread));
        }
        for stream in &configured.channel_accounts {
            findings.push(self.channel_account(stream).await.unwrap_or_else(unread));
        }
        for stream in &configured.platforms {
            findings.push(self.platform(stream).await.unwrap_or_else(unread));
        }
        if let Some(broker) = self.broker {
            const WHAT: &str = "broker of the robots";
            findings.push(match Address::read(broker) {
                Ok(address) => self.of_server(WHAT, &address.host, address.port).await,
                Err(reason) => wrong(WHAT, reason, "correct --mqtt-broker, as for `serve`"),
            });
        }
        if let Some(site) = self.site {
            findings.push(self.own_address(site).await);
        }
        findings
    }

    async fn integration(&self, stream: &str) -> Result<Finding, Error> {
        let state = self.ledger.load::<Integration>(stream).await?;
        let Some(defined) = state.aggregate.0.defined else {
            return Ok(fine(stream, "not defined"));
        };
        match (itsm::find(&defined.kind), source::find(&defined.kind)) {
            (Some(codec), _) => self.external_itsm(codec, defined).await,
            (None, Some(codec)) => self.source(codec, defined).await,
            (None, None) => {
                let reason = format!("this program has no kind {}", defined.kind);
                Ok(wrong(
                    format!("integration {}", defined.name),
                    reason,
                    SETUP,
                ))
            }
        }
    }

    /// Sends an invalid token to the external ITSM. An ITSM that accepts the credentials responds that the
    /// token is invalid.
    async fn external_itsm(
        &self,
        codec: &'static dyn itsm::Itsm,
        defined: integration::Defined,
    ) -> Result<Finding, Error> {
        let checked = Checked::of(
            &defined,
            "`app` and `user`",
            "`url` and `form` (esb or apigw)",
        );
        let secret = match integrations::secret_of(&*self.ledger.keys, &defined.name).await? {
            Ok(secret) => secret,
            Err(name) => return Ok(no_secret(checked.what, &name)),
        };
        let connection = Connection {
            integration: defined,
            secret,
        };
        let request = Request::Verify {
            token: "an-invalid-token".into(),
        };
        let planned = match codec.request(&connection, &request) {
            Ok(planned) => planned,
            Err(reason) => return Ok(wrong(checked.what, reason, SETUP)),
        };
        self.check(checked, planned, |response| {
            match codec.answer(&request, response) {
                Answer::Verified(_) => Reply::Fine,
                Answer::NotSent(reason) => Reply::NotSent(reason),
                Answer::Unclear(reason) => Reply::Unclear(reason),
                Answer::Rejected(reason) => Reply::Rejected(reason),
                _ => Reply::Unclear("it does not fit the request".into()),
            }
        })
        .await
    }

    /// Checks a source of cases: the apps that send cases, the secrets, and the account with which the desk reads the
    /// records regularly.
    async fn source(
        &self,
        codec: &'static dyn source::Source,
        defined: integration::Defined,
    ) -> Result<Finding, Error> {
        let checked = Checked::of(&defined, "`user`", "`url`");
        if defined.webhook == Some(Webhook::Signed) {
            let name = sources::secret_name(&defined.name);
            if self.ledger.keys.secret(&name).await?.is_none() {
                return Ok(no_secret(checked.what, &name));
            }
        }
        let senders = self.senders(&defined).await?;
        if senders.advice.is_some() || defined.url.is_empty() {
            return Ok(senders);
        }
        let account = match integrations::secret_of(&*self.ledger.keys, &defined.name).await? {
            Ok(secret) => source::Account {
                integration: defined,
                secret,
            },
            Err(name) => return Ok(no_secret(checked.what, &name)),
        };
        let Some(changes) = codec.changes() else {
            return Ok(senders);
        };
        let (what, name) = (checked.what.clone(), account.integration.name.clone());
        let finding = self
            .check(
                checked,
                changes.changed(&account, ""),
                |response| match changes.page("", response) {
                    source::Answer::Done(_) => Reply::Fine,
                    source::Answer::NotSent(reason) => Reply::NotSent(reason),
                    source::Answer::Unclear(reason) => Reply::Unclear(reason),
                    source::Answer::Rejected(reason) => Reply::Rejected(reason),
                },
            )
            .await?;
        let api = codec.api();
        let rights = api.and_then(|api| Some((api, api.rights(&account)?)));
        match rights {
            Some((api, planned)) if finding.advice.is_none() => {
                let unneeded = self.rights(&what, &name, api, planned).await?;
                Ok(unneeded.unwrap_or(finding))
            }
            _ => Ok(finding),
        }
    }

    /// Returns a finding if the account has rights that the desk does not need, or lacks rights that it needs.
    async fn rights(
        &self,
        what: &str,
        name: &str,
        api: &'static dyn source::Api,
        planned: PlannedRequest,
    ) -> Result<Option<Finding>, Error> {
        let described = Described::of(planned, sources::RESPONSE_BYTES_MAX);
        let built = outbound::request(&*self.ledger.keys, described).await?;
        let (Ok(built), Ok(client)) = (built, &self.client) else {
            return Ok(None);
        };
        let response = client.send(&built).await;
        // If the account may not read its rights, this is no fault.
        let source::Answer::Done(rights) = api.read_rights(&response) else {
            return Ok(None);
        };
        Ok(match (&rights.missing[..], &rights.excess[..]) {
            ([], []) => None,
            ([], excess) => Some(warning(
                what,
                format!(
                    "its account has rights that the desk does not need: {}",
                    excess.join(", ")
                ),
                "remove these rights from the account; docs/cases.md names the least rights",
            )),
            (missing, _) => Some(wrong(
                what,
                format!("its account lacks rights: {}", missing.join(", ")),
                format!(
                    "give the account of the integration {name} these rights; docs/cases.md names the least rights"
                ),
            )),
        })
    }

    /// Sends a request that changes nothing, and returns what the response shows.
    async fn check(
        &self,
        checked: Checked,
        planned: PlannedRequest,
        read: impl FnOnce(&Result<HttpResponse, HttpError>) -> Reply,
    ) -> Result<Finding, Error> {
        let Checked {
            what,
            url,
            secret,
            account,
            address,
        } = checked;
        let described = Described::of(planned, sources::RESPONSE_BYTES_MAX);
        let built = outbound::request(&*self.ledger.keys, described).await?;
        let (built, client) = match (built, &self.client) {
            (Ok(built), Ok(client)) => (built, client),
            (Err(reason), _) => return Ok(wrong(what, reason, SETUP)),
            (_, Err(error)) => return Ok(wrong(what, error.to_string(), SETUP)),
        };
        let response = client.send(&built).await;
        if let Some(finding) = self.clock(&what, &response) {
            return Ok(finding);
        }
        let status = response.as_ref().map(|response| response.status);
        Ok(match (read(&response), status) {
            (Reply::Fine, _) => fine(what, format!("{url} accepts the credentials")),
            (_, Ok(429)) => warning(
                what,
                format!("{url} limits the rate of requests (HTTP 429)"),
                "run the command again later",
            ),
            (Reply::NotSent(reason), _) => warning(
                what,
                format!("no connection to {url}: {reason}"),
                "check `url`, the network and TLS; a private address must also be in `serve --egress`",
            ),
            (Reply::Unclear(reason), Err(_) | Ok(500..)) => warning(
                what,
                format!("{url} did not answer the request: {reason}"),
                NETWORK,
            ),
            (_, Ok(401 | 403)) => wrong(
                what,
                format!("{url} rejects the account or the secret"),
                format!(
                    "correct {account}, and store the secret with `ledgerdesk setup --secret {secret}=FILE`"
                ),
            ),
            (_, Ok(404 | 405)) => wrong(
                what,
                format!("{url} has no such path"),
                format!("correct {address}"),
            ),
            (Reply::Rejected(reason), _) => wrong(
                what,
                format!("{url} rejects the request: {reason}"),
                format!("check the rights of the account; the secret is {secret}"),
            ),
            (Reply::Unclear(reason), _) => wrong(
                what,
                format!("the response of {url} is unreadable: {reason}"),
                format!(
                    "correct {address}: the address possibly belongs to a login page or a proxy"
                ),
            ),
        })
    }

    /// Returns a finding if the clock of this machine and the clock of the other system differ.
    fn clock(&self, what: &str, response: &Result<HttpResponse, HttpError>) -> Option<Finding> {
        let date = response.as_ref().ok()?.header("date")?;
        let theirs = rfc2822::parse(date).ok()?.timestamp().as_millisecond();
        let difference_ms = theirs - self.ledger.clock.now().0;
        (difference_ms.abs() > CLOCK_MAX_MS).then(|| {
            wrong(
                what,
                format!(
                    "its clock is {} minutes {} the clock of this machine",
                    difference_ms.abs() / 60_000,
                    if difference_ms > 0 {
                        "ahead of"
                    } else {
                        "behind"
                    }
                ),
                "synchronize both clocks (NTP); tokens and signatures depend on the time",
            )
        })
    }

    /// Checks whether the apps that send cases are registered.
    async fn senders(&self, defined: &integration::Defined) -> Result<Finding, Error> {
        let what = format!("integration {}", defined.name);
        for sender in &defined.senders {
            let app = self.ledger.load::<App>(&format!("app-{sender}")).await?;
            let reason = match app.aggregate.0.0 {
                None => "is not registered",
                Some(app) if app.is_disabled => "is disabled",
                Some(_) => continue,
            };
            return Ok(wrong(
                what,
                format!("its sender {sender} {reason}"),
                "register or enable the app, or correct `senders`",
            ));
        }
        Ok(fine(what, "all senders are registered"))
    }

    async fn channel_account(&self, stream: &str) -> Result<Finding, Error> {
        let state = self.ledger.load::<ChannelAccount>(stream).await?;
        let Some(defined) = state.aggregate.0.0 else {
            return Ok(fine(stream, "not defined"));
        };
        let what = format!("channel account {}", defined.name);
        if !defined.is_enabled {
            return Ok(warning(what, "switched off", "set `is_enabled` to use it"));
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

    /// Sends a callback with a wrong secret to the public address of this desk. A desk rejects it with status 403.
    async fn own_address(&self, site: &str) -> Finding {
        const WHAT: &str = "callback address";
        let url = format!("{site}/callbacks/bk-itsm/doctor");
        let advice = "`serve --site` must be an address at which other systems reach this desk; check the reverse proxy";
        let (Ok(parsed), Ok(client)) = (Url::parse(&url), &self.client) else {
            return wrong(WHAT, format!("{site} is not a URL"), advice);
        };
        let mut request =
            infra::http::HttpRequest::get(parsed, TIMEOUT, sources::RESPONSE_BYTES_MAX);
        "POST".clone_into(&mut request.method);
        match client.send(&request).await {
            Ok(response) if is_rejection_of_a_desk(&response) => {
                fine(WHAT, format!("a desk answers at {site}"))
            }
            Ok(response) => wrong(
                WHAT,
                format!(
                    "{site} responds with status {}, but a desk responds with status 403",
                    response.status
                ),
                advice,
            ),
            Err(HttpError::NotSent(reason) | HttpError::Unknown(reason)) => {
                wrong(WHAT, format!("{site}: {reason}"), advice)
            }
        }
    }
}

const SETUP: &str = "correct the definition, and store it with `ledgerdesk setup`";
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

/// Returns whether a response is the one that a desk sends to a callback with a wrong secret.
fn is_rejection_of_a_desk(response: &HttpResponse) -> bool {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    response.status == 403 && body["result"] == false && body["code"] == 403
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
