//! Gets the certificates with which providers sign their messages, and confirms the subscriptions of providers. The
//! codec of the platform has already checked that the addresses belong to the platform.

use std::time::Duration;

use events::Moment;
use infra::cache::{Bounds, Cache};
use infra::http::{HttpRequest, origin};
use infra::{Error, Kind};

use crate::App;

/// Maximum number of certificates in memory. A provider replaces its certificate about once a year.
const ENTRIES_MAX: usize = 32;
/// Time for which a certificate stays in memory, in milliseconds (one day).
const VALID_MS: i64 = 24 * 3_600_000;
/// Maximum time to get a certificate or to confirm a subscription. The provider waits 15 seconds for the response of
/// the desk.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Maximum size of a certificate or of the response to a confirmation, in bytes.
const BYTES_MAX: usize = 16 << 10;

/// The certificates of providers by their addresses.
pub struct Certificates(Cache<String, String>);

impl Default for Certificates {
    fn default() -> Self {
        Self(Cache::new(Bounds::entries(ENTRIES_MAX)))
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

/// Returns the certificate (PEM) at an address.
pub async fn certificate(app: &App, url: &str) -> Result<String, Error> {
    let now = app.ledger.clock.now();
    if let Some(known) = app.certificates.0.get(url, now) {
        return Ok(known);
    }
    // The signature of the request is not checked yet, so everybody can name an address here.
    app.limits.may_be_stranger(now)?;
    let text = get(app, url).await?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(unavailable("the response is not a certificate"));
    }
    let until = Moment(now.0.saturating_add(VALID_MS));
    let cache = &app.certificates.0;
    cache.put(url.to_owned(), text.clone(), 0, until);
    Ok(text)
}

/// Confirms a subscription. After that, the provider sends its messages to the desk.
pub async fn confirm(app: &App, url: &str) -> Result<(), Error> {
    get(app, url).await?;
    tracing::info!("the subscription of a provider is confirmed");
    Ok(())
}

async fn get(app: &App, url: &str) -> Result<String, Error> {
    let target = origin(url);
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(unavailable("too many requests are open"));
    };
    let request = HttpRequest::get(url, TIMEOUT, BYTES_MAX);
    let response = app.http.send(&request).await;
    let response = response.map_err(|error| unavailable(&error.to_string()))?;
    if !response.is_success() || response.is_cut {
        return Err(unavailable(&format!(
            "{target} answered with status {}",
            response.status
        )));
    }
    String::from_utf8(response.body).map_err(|_| unavailable("the response is not UTF-8"))
}

fn unavailable(reason: &str) -> Error {
    Error::new(
        Kind::Unavailable,
        format!("cannot check the signature of a provider: {reason}"),
    )
}
