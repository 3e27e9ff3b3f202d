//! Checks the integrations of a service desk (external ITSMs and sources of cases), and the public address of the
//! desk. The same checks run for a desk in a directory and for a desk in the cloud. The requests change nothing: neither
//! the other system nor the desk stores anything.

mod operations;

use std::sync::Arc;
use std::time::Duration;

use domain::api_call::plan::PlannedRequest;
use domain::config::{App, DeskKey, Integration};
use domain::itsm::application::Answer;
use events::Moment;
use events::integration::{Defined, Webhook};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use infra::http::client::Client;
use infra::http::egress::Egress;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse, Url};
use infra::itsm::{self, Connection, Request};
use infra::source;
use infra::{Error, Kind, Ledger};
use jiff::fmt::rfc2822;
use serde_json::Value;

use super::{Finding, fine, warning, wrong};
use crate::app::itsm::{callbacks, integrations, mapping_check, sources};
use crate::app::outbound::{self, Described};
use crate::app::{TOKEN_KEY, token_key_name};

/// Maximum time of a request to the public address of the desk. The requests to integrations have the timeouts of their
/// kinds, which are 10 seconds.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest number of integrations that are checked at the same time.
const CONCURRENT_MAX: usize = 8;
/// The largest accepted difference between the clock of this machine and the clock of another system, in
/// milliseconds. Signed requests and tokens with an expiry time fail above such a difference.
const CLOCK_MAX_MS: i64 = 5 * 60_000;
/// The name of the check of the public address.
const OWN_ADDRESS: &str = "callback address";

/// The stored data that a check reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// A definition in the ledger.
    Definition,
    /// A secret in the key store.
    Secret,
}

/// The means with which the operator changes the desk. The advice names them.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    /// The command that stores definitions and secrets.
    pub(super) setup: &'static str,
    /// The setting that allows requests to private addresses.
    pub(super) egress: &'static str,
    /// The setting with the public base URL.
    pub(super) site: &'static str,
    /// Returns the next step after stored data could not be read.
    pub(super) after_failed_read: &'a dyn Fn(&Error, Stored) -> String,
}

/// The integrations of a service desk.
pub(super) struct Integrations<'a> {
    ledger: &'a Ledger,
    means: Means<'a>,
    client: Result<Arc<dyn HttpClient>, Error>,
}

/// An integration that `doctor` checks, with the texts for its problems.
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
    fn of(defined: &Defined, account: &'static str, address: &'static str) -> Self {
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
    /// The response is longer than the desk reads, although it can contain only one record.
    TooLong,
}

impl Means<'_> {
    fn definition(&self) -> String {
        format!("correct the definition, and store it with `{}`", self.setup)
    }

    fn network(&self) -> String {
        format!(
            "check the address, the network and whether the server runs; a private address must also be in {}",
            self.egress
        )
    }

    fn no_secret(&self, what: &str, name: &str) -> Finding {
        wrong(
            what,
            format!("the secret {name} is not in the key store"),
            format!("run `{} --secret {name}=FILE`", self.setup),
        )
    }

    fn unread_secret(&self, what: &str, name: &str, error: &Error) -> Finding {
        let found = match error.kind {
            Kind::Denied => {
                format!("these credentials may not read the secret {name}: {error}")
            }
            _ => format!("the secret {name} cannot be read: {error}"),
        };
        wrong(what, found, (self.after_failed_read)(error, Stored::Secret))
    }

    /// Returns what a response shows. `status` is the HTTP status, or `None` without a response.
    fn judge(&self, checked: &Checked, reply: Reply, status: Option<u16>) -> Finding {
        let Checked {
            what,
            url,
            secret,
            account,
            address,
        } = checked;
        match (reply, status) {
            (Reply::Fine, _) => fine(what, format!("{url} accepts the credentials")),
            (Reply::TooLong, _) => wrong(
                what,
                format!(
                    "{url} accepts the credentials, but its response for one record has more than {} MiB",
                    sources::RESPONSE_BYTES_MAX >> 20
                ),
                "exclude such records with `filter`, or remove large values from the first record of the list; a `list` of generic_json needs `size`; the source is not read beyond this record",
            ),
            (_, Some(429)) => warning(
                what,
                format!("{url} limits the rate of requests (HTTP 429)"),
                "run the command again later",
            ),
            (Reply::NotSent(reason), _) => warning(
                what,
                format!("no connection to {url}: {reason}"),
                format!(
                    "check `url`, the network and TLS; a private address must also be in {}",
                    self.egress
                ),
            ),
            (Reply::Unclear(reason), None | Some(500..)) => warning(
                what,
                format!("{url} did not answer the request: {reason}"),
                self.network(),
            ),
            (_, Some(401 | 403)) => wrong(
                what,
                format!("{url} rejects the account or the secret"),
                format!(
                    "correct {account}, and store the secret with `{} --secret {secret}=FILE`",
                    self.setup
                ),
            ),
            (_, Some(404 | 405)) => wrong(
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
        }
    }
}

impl<'a> Integrations<'a> {
    pub(super) fn new(ledger: &'a Ledger, means: Means<'a>) -> Self {
        // The operator has configured the addresses, and runs this command. Private addresses are therefore allowed.
        let client = Client::new(Egress::everywhere());
        Self {
            ledger,
            means,
            client: client.map(|client| Arc::new(client) as Arc<dyn HttpClient>),
        }
    }

    /// Checks the integrations with the given streams, and returns one result for each stream. A problem with one
    /// integration, such as an unreadable secret, does not stop the other checks. A terminal shows the progress.
    pub(super) async fn check(&self, streams: &[String]) -> Vec<Finding> {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} integrations  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(streams.len() as u64).with_style(style);
        let shown = &bar;
        let checks = stream::iter(streams).map(move |stream| async move {
            let finding = self.check_one(stream).await;
            shown.inc(1);
            finding
        });
        let findings: Vec<Finding> = checks.buffered(CONCURRENT_MAX).collect().await;
        bar.finish_and_clear();
        findings
    }

    /// Compares the mappings of all integrations with the services, forms, people and integrations of the desk.
    pub(super) async fn mappings(&self, streams: &[String]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for stream in streams {
            match self.mapping(stream).await {
                Ok(found) => findings.extend(found),
                Err(error) => {
                    let next_step = (self.means.after_failed_read)(&error, Stored::Definition);
                    findings.push(wrong(stream, error.to_string(), next_step));
                }
            }
        }
        findings
    }

    async fn mapping(&self, stream: &str) -> Result<Vec<Finding>, Error> {
        let state = self.ledger.load::<Integration>(stream).await?;
        let Some(defined) = state.aggregate.0.defined else {
            return Ok(Vec::new());
        };
        let what = format!("mapping of integration {}", defined.name);
        let differences = mapping_check::differences(self.ledger, &defined).await?;
        let found = differences.into_iter().map(|one| {
            let finding = wrong(what.clone(), one.text, one.advice);
            Finding {
                is_warning: one.is_warning,
                ..finding
            }
        });
        Ok(found.collect())
    }

    async fn check_one(&self, stream: &str) -> Finding {
        self.integration(stream).await.unwrap_or_else(|error| {
            let next_step = (self.means.after_failed_read)(&error, Stored::Definition);
            wrong(stream, error.to_string(), next_step)
        })
    }

    async fn integration(&self, stream: &str) -> Result<Finding, Error> {
        let state = self.ledger.load::<Integration>(stream).await?;
        let Some(defined) = state.aggregate.0.defined else {
            return Ok(fine(stream, "not defined"));
        };
        match (itsm::find(&defined.kind), source::find(&defined.kind)) {
            (Some(codec), _) => self.external_itsm(codec, defined).await,
            (None, Some(codec)) => self.source(codec, defined).await,
            (None, None) => Ok(wrong(
                format!("integration {}", defined.name),
                format!("this program has no kind {}", defined.kind),
                self.means.definition(),
            )),
        }
    }

    /// Returns the secret of an integration. An error is the result of the check if the secret is missing or cannot
    /// be read.
    async fn secret(&self, checked: &Checked, integration: &str) -> Result<String, Finding> {
        match integrations::secret_of(&*self.ledger.keys, integration).await {
            Ok(Ok(secret)) => Ok(secret),
            Ok(Err(name)) => Err(self.means.no_secret(&checked.what, &name)),
            Err(error) => Err(self
                .means
                .unread_secret(&checked.what, &checked.secret, &error)),
        }
    }

    /// Sends an invalid token to the external ITSM. An ITSM that accepts the credentials responds that the
    /// token is invalid.
    async fn external_itsm(
        &self,
        codec: &'static dyn itsm::Itsm,
        defined: Defined,
    ) -> Result<Finding, Error> {
        let checked = Checked::of(
            &defined,
            "`app` and `user`",
            "`url` and `form` (esb or apigw)",
        );
        let secret = match self.secret(&checked, &defined.name).await {
            Ok(secret) => secret,
            Err(finding) => return Ok(finding),
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
            Err(reason) => return Ok(wrong(checked.what, reason, self.means.definition())),
        };
        let finding = self
            .ask(&checked, planned, |response| {
                match codec.answer(&request, response) {
                    Answer::Verified(_) => Reply::Fine,
                    Answer::NotSent(reason) => Reply::NotSent(reason),
                    Answer::Unclear(reason) => Reply::Unclear(reason),
                    Answer::Rejected(reason) => Reply::Rejected(reason),
                    _ => Reply::Unclear("it does not fit the request".into()),
                }
            })
            .await?;
        if finding.advice.is_some() {
            return Ok(finding);
        }
        let rejected = self.operations(&checked, codec, &connection).await?;
        Ok(rejected.unwrap_or(finding))
    }

    /// Checks a source of cases: the apps that send cases, the secrets, and the account with which the desk reads the
    /// records regularly.
    async fn source(
        &self,
        codec: &'static dyn source::Source,
        defined: Defined,
    ) -> Result<Finding, Error> {
        let checked = Checked::of(&defined, "`user`", "`url`");
        if defined.webhook == Some(Webhook::Signed) {
            let name = sources::secret_name(&defined.name);
            match self.ledger.keys.secret(&name).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(self.means.no_secret(&checked.what, &name)),
                Err(error) => return Ok(self.means.unread_secret(&checked.what, &name, &error)),
            }
        }
        let senders = self.senders(&defined).await?;
        if senders.advice.is_some() || defined.url.is_empty() {
            return Ok(senders);
        }
        let secret = match self.secret(&checked, &defined.name).await {
            Ok(secret) => secret,
            Err(finding) => return Ok(finding),
        };
        let account = source::Account {
            integration: defined,
            secret,
        };
        let is_read = !codec.has_described_list() || account.integration.pull_minutes.is_some();
        let Some(changes) = codec.changes().filter(|_| is_read) else {
            return match codec.api() {
                Some(api) => self.one_record(&checked, api, &account).await,
                None => Ok(senders),
            };
        };
        let finding = self
            .ask(
                &checked,
                // A page with one record shows the same, and is not too long because of many records.
                changes.changed(&account, "", 1),
                |response| match changes.page(&account, "", 1, response) {
                    source::Answer::Done(_) => Reply::Fine,
                    source::Answer::Unclear(_)
                        if matches!(response, Ok(response) if response.is_success() && response.is_cut) =>
                    {
                        Reply::TooLong
                    }
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
                let name = &account.integration.name;
                let unneeded = self.rights(&checked.what, name, api, planned).await?;
                Ok(unneeded.unwrap_or(finding))
            }
            _ => Ok(finding),
        }
    }

    /// Reads a record that does not exist. A system that does not reject the account answers that it has no such record.
    async fn one_record(
        &self,
        checked: &Checked,
        api: &'static dyn source::Api,
        account: &source::Account,
    ) -> Result<Finding, Error> {
        let planned = api.one(account, sources::ABSENT_RECORD);
        let finding = self
            .ask(checked, planned, |response| {
                let status = response.as_ref().ok().map(|response| response.status);
                match api.record(response) {
                    source::Answer::Done(_) => Reply::Fine,
                    source::Answer::Rejected(_)
                        if matches!(status, Some(400 | 404 | 410 | 422)) =>
                    {
                        Reply::Fine
                    }
                    source::Answer::NotSent(reason) => Reply::NotSent(reason),
                    source::Answer::Unclear(reason) => Reply::Unclear(reason),
                    source::Answer::Rejected(reason) => Reply::Rejected(reason),
                }
            })
            .await?;
        if finding.advice.is_some() {
            return Ok(finding);
        }
        let found = format!("{} answers, and does not reject the account", checked.url);
        Ok(fine(&checked.what, found))
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
    async fn ask(
        &self,
        checked: &Checked,
        planned: PlannedRequest,
        read: impl FnOnce(&Result<HttpResponse, HttpError>) -> Reply,
    ) -> Result<Finding, Error> {
        let what = &checked.what;
        let described = Described::of(planned, sources::RESPONSE_BYTES_MAX);
        let built = outbound::request(&*self.ledger.keys, described).await?;
        let (built, client) = match (built, &self.client) {
            (Ok(built), Ok(client)) => (built, client),
            (Err(reason), _) => return Ok(wrong(what, reason, self.means.definition())),
            (_, Err(error)) => {
                return Ok(wrong(what, error.to_string(), self.means.definition()));
            }
        };
        let response = client.send(&built).await;
        let date = response
            .as_ref()
            .ok()
            .and_then(|response| response.header("date"));
        let now = self.ledger.clock.now();
        if let Some(difference) = date.and_then(|date| clock_difference(date, now)) {
            return Ok(wrong(
                what,
                difference,
                "synchronize both clocks (NTP); tokens and signatures depend on the time",
            ));
        }
        let status = response.as_ref().ok().map(|response| response.status);
        Ok(self.means.judge(checked, read(&response), status))
    }

    /// Checks whether the apps that send cases are registered.
    async fn senders(&self, defined: &Defined) -> Result<Finding, Error> {
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

    /// Returns the finding if the operator did not give the public base URL of the desk.
    pub(super) fn no_own_address(&self) -> Finding {
        warning(
            OWN_ADDRESS,
            "it was not checked, so callbacks and messages of other systems possibly do not arrive",
            format!(
                "run the command again with --site URL; the value is that of {}",
                self.means.site
            ),
        )
    }

    /// Checks whether other systems reach this desk at its public base URL. `key` is the newest key for callback addresses,
    /// or `None` if the key cannot be read.
    pub(super) async fn own_address(&self, site: &str, key: Option<[u8; 32]>) -> Finding {
        match &self.client {
            Ok(client) => probe(&**client, site.trim_end_matches('/'), key, self.means.site).await,
            Err(error) => wrong(OWN_ADDRESS, error.to_string(), self.means.network()),
        }
    }
}

/// Returns the name of the newest secret key for callback addresses.
pub(super) async fn newest_token_key(ledger: &Ledger) -> Result<String, Error> {
    let stream = format!("desk_key-{TOKEN_KEY}");
    let (newest, _) = ledger
        .load::<DeskKey>(&stream)
        .await?
        .aggregate
        .0
        .generations();
    Ok(token_key_name(newest))
}

/// Sends a callback with a wrong secret to the public address of the desk. A desk rejects it with status 403. The second
/// request checks the secret of this desk. A desk stores neither of the two requests.
async fn probe(
    client: &dyn HttpClient,
    site: &str,
    key: Option<[u8; 32]>,
    setting: &str,
) -> Finding {
    let advice = format!(
        "{setting} must be an address at which other systems reach this desk; check the reverse proxy"
    );
    let request = |method: &str, secret: &str| {
        let url = format!("{site}/callbacks/{}/{secret}", callbacks::BK_ITSM);
        HttpRequest {
            method: method.to_owned(),
            ..HttpRequest::get(url, TIMEOUT, sources::RESPONSE_BYTES_MAX)
        }
    };
    if Url::parse(site).is_err() {
        return wrong(OWN_ADDRESS, format!("{site} is not a URL"), advice);
    }
    match client.send(&request("POST", "doctor")).await {
        Ok(response) if status_of_a_desk(&response) == Some(403) => {}
        Ok(response) => {
            let found = format!(
                "{site} responds with status {}, but a desk responds with status 403",
                response.status
            );
            return wrong(OWN_ADDRESS, found, advice);
        }
        Err(HttpError::NotSent(reason) | HttpError::Unknown(reason)) => {
            return wrong(OWN_ADDRESS, format!("{site}: {reason}"), advice);
        }
    }
    let status = match key {
        Some(key) => {
            let secret = callbacks::secret_of(&key, callbacks::PROBE);
            let response = client.send(&request("GET", &secret)).await;
            response.ok().as_ref().and_then(status_of_a_desk)
        }
        None => None,
    };
    match status {
        Some(200) => fine(OWN_ADDRESS, format!("this desk answers at {site}")),
        Some(403) => wrong(
            OWN_ADDRESS,
            format!("a desk answers at {site}, but rejects the secret of this desk"),
            format!("the address belongs to another desk: correct {setting}"),
        ),
        // An earlier version of the desk, or a proxy, does not answer the second request.
        _ => fine(OWN_ADDRESS, format!("a desk answers at {site}")),
    }
}

/// Returns the status of a response that a desk sends at its address for callbacks. Returns `None` if another program sent
/// the response.
fn status_of_a_desk(response: &HttpResponse) -> Option<u16> {
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    let is_accepted = response.status == 200;
    let code = if is_accepted { 0 } else { response.status };
    (body["result"] == is_accepted && body["code"] == code).then_some(response.status)
}

/// Returns a text if the clock of this machine and the clock of another system differ. `date` is the header `Date` of the
/// response.
fn clock_difference(date: &str, now: Moment) -> Option<String> {
    let theirs = rfc2822::parse(date).ok()?.timestamp().as_millisecond();
    let difference_ms = theirs - now.0;
    (difference_ms.abs() > CLOCK_MAX_MS).then(|| {
        format!(
            "its clock is {} minutes {} the clock of this machine",
            difference_ms.abs() / 60_000,
            if difference_ms > 0 {
                "ahead of"
            } else {
                "behind"
            }
        )
    })
}

#[cfg(test)]
mod tests {
    use infra::http::memory::Memory;

    use super::*;

    const SITE: &str = "https://desk.example.com";

    fn next_step(_: &Error, read: Stored) -> String {
        format!("{read:?}")
    }

    fn means() -> Means<'static> {
        Means {
            setup: "ledgerdesk setup --cloud",
            egress: "the parameter `Egress`",
            site: "--site",
            after_failed_read: &next_step,
        }
    }

    fn checked() -> Checked {
        let defined = Defined {
            name: "crm".into(),
            url: "https://crm.example.com".into(),
            ..Defined::default()
        };
        Checked::of(&defined, "`user`", "`url`")
    }

    #[test]
    fn each_response_has_its_own_finding_and_next_step() {
        let reason = || "a reason".to_owned();
        for (reply, status, found, advice) in [
            (
                Reply::Rejected(reason()),
                Some(401),
                "rejects the account or the secret",
                "`ledgerdesk setup --cloud --secret integration/crm=FILE`",
            ),
            (
                Reply::Rejected(reason()),
                Some(404),
                "has no such path",
                "correct `url`",
            ),
            (
                Reply::Rejected(reason()),
                Some(200),
                "rejects the request: a reason",
                "the secret is integration/crm",
            ),
            (
                Reply::Unclear(reason()),
                Some(200),
                "is unreadable: a reason",
                "a login page or a proxy",
            ),
            (
                Reply::Unclear(reason()),
                Some(503),
                "did not answer",
                "the parameter `Egress`",
            ),
            (
                Reply::Unclear(reason()),
                None,
                "did not answer",
                "the parameter `Egress`",
            ),
            (
                Reply::NotSent(reason()),
                None,
                "no connection to https://crm.example.com: a reason",
                "the parameter `Egress`",
            ),
            (
                Reply::TooLong,
                Some(200),
                "its response for one record has more than 4 MiB",
                "exclude such records with `filter`",
            ),
            (
                Reply::NotSent(reason()),
                Some(429),
                "limits the rate",
                "again later",
            ),
        ] {
            let finding = means().judge(&checked(), reply, status);
            assert_eq!(finding.what, "integration crm");
            assert!(
                finding.found.contains(found),
                "{status:?} {}",
                finding.found
            );
            let shown = finding.advice.expect("an advice");
            assert!(shown.contains(advice), "{status:?} {shown}");
        }
        let finding = means().judge(&checked(), Reply::Fine, Some(200));
        assert_eq!(finding.advice, None);
    }

    #[test]
    fn a_forbidden_secret_is_named_with_the_next_step() {
        let finding = |kind| {
            let error = Error::new(kind, "cannot read ledgerdesk-keys");
            means().unread_secret("integration crm", "integration/crm", &error)
        };
        let denied = finding(Kind::Denied);
        assert_eq!(
            denied.found,
            "these credentials may not read the secret integration/crm: cannot read ledgerdesk-keys"
        );
        assert_eq!(denied.advice.as_deref(), Some("Secret"));
        let failed = finding(Kind::Timeout).found;
        assert!(failed.starts_with("the secret integration/crm cannot be read"));
    }

    #[test]
    fn a_clock_may_differ_by_five_minutes() {
        let date = "Sun, 22 Nov 2026 08:00:00 GMT";
        let theirs = rfc2822::parse(date).expect("a date").timestamp();
        let now = |minutes: i64| Moment(theirs.as_millisecond() + minutes * 60_000);
        for minutes in [-5, 0, 5] {
            assert_eq!(clock_difference(date, now(minutes)), None, "{minutes}");
        }
        let difference = |minutes| clock_difference(date, now(minutes)).expect("a difference");
        assert_eq!(
            difference(6),
            "its clock is 6 minutes behind the clock of this machine"
        );
        assert_eq!(
            difference(-60),
            "its clock is 60 minutes ahead of the clock of this machine"
        );
        assert_eq!(clock_difference("yesterday", now(0)), None);
    }

    async fn probed(answers: &[(u16, &str)], key: Option<[u8; 32]>) -> (Finding, Vec<HttpRequest>) {
        let client = Memory::default();
        let prepared = answers
            .iter()
            .map(|(status, body)| Ok(HttpResponse::of(*status, body.as_bytes())));
        client
            .answers
            .lock()
            .expect("no holder panics")
            .extend(prepared);
        let finding = probe(&client, SITE, key, "--site").await;
        let calls = client.calls.lock().expect("no holder panics").clone();
        (finding, calls)
    }

    #[tokio::test]
    async fn the_probe_recognizes_this_desk_by_its_secret() {
        let rejected = (403, r#"{"result":false,"code":403}"#);
        let accepted = (200, r#"{"result":true,"code":0}"#);
        let key = Some([1; 32]);
        let (finding, calls) = probed(&[rejected, accepted], key).await;
        assert_eq!(finding.advice, None);
        assert_eq!(finding.found, format!("this desk answers at {SITE}"));
        assert_eq!((calls[0].method.as_str(), calls.len()), ("POST", 2));
        let secret = callbacks::secret_of(&[1; 32], callbacks::PROBE);
        assert_eq!(calls[1].url, format!("{SITE}/callbacks/bk-itsm/{secret}"));
        assert_eq!(calls[1].method, "GET");

        let (other, _) = probed(&[rejected, rejected], key).await;
        assert!(other.found.contains("rejects the secret of this desk"));
        assert!(other.advice.is_some_and(|advice| advice.contains("--site")));

        // An earlier version of the desk does not accept the method GET.
        let (earlier, _) = probed(&[rejected, (405, "")], key).await;
        let (without_key, calls) = probed(&[rejected], None).await;
        for finding in [earlier, without_key] {
            assert_eq!(finding.advice, None);
            assert_eq!(finding.found, format!("a desk answers at {SITE}"));
        }
        assert_eq!(calls.len(), 1);

        for answer in [(200, "<html>"), (403, "<html>"), (403, "{}")] {
            let (page, calls) = probed(&[answer], key).await;
            assert!(page.found.contains("but a desk responds with status 403"));
            assert!(page.advice.is_some());
            assert_eq!(calls.len(), 1);
        }
    }
}
