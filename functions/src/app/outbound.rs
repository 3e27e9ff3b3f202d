//! Makes the calls that workflows describe. Headers that are secrets stand in the key store under `api/<name>` and never in a definition.

use std::collections::BTreeMap;
use std::time::Duration;

use infra::http::{HttpClient, HttpRequest, HttpResponse};
use infra::keys::Keys;
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

/// Prefix of the names of secrets that hold variables for automatic nodes, or values for one repeated call.
pub const VARIABLES: &str = "variables/";

/// What the key store holds of a callback: both parts may be secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receiver {
    pub url: String,
    pub headers: Vec<(String, String)>,
}

/// One call as a workflow describes it, its placeholders filled.
#[derive(Clone, Debug)]
pub struct Described<'a> {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// JSON; nothing is sent where it is empty.
    pub body: String,
    /// The name of a secret that holds further headers; empty for none.
    pub secret: &'a str,
    pub timeout_ms: i64,
    pub response_bytes_max: usize,
}

/// Calls; an inner `Err` says in words why nobody answered.
pub async fn call(
    caller: &dyn HttpClient,
    keys: &dyn Keys,
    described: Described<'_>,
) -> Result<Result<HttpResponse, String>, Error> {
    let Described {
        method,
        url,
        mut headers,
        body,
        secret,
        timeout_ms,
        response_bytes_max,
    } = described;
    match secret_headers(keys, secret).await? {
        Some(secrets) => headers.extend(secrets),
        None => return Ok(Err(format!("the secret {secret} is not in the key store"))),
    }
    let timeout = Duration::from_millis(timeout_ms.unsigned_abs());
    Ok(caller
        .call(&HttpRequest {
            method,
            url,
            headers,
            body: body.into_bytes(),
            timeout,
            response_bytes_max,
        })
        .await)
}

/// The headers a secret holds: a JSON object of texts. `None` where there is no such secret.
async fn secret_headers(
    keys: &dyn Keys,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, Error> {
    if name.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let Some(kept) = keys.secret(&format!("api/{name}")).await? else {
        return Ok(None);
    };
    let headers = serde_json::from_slice(&kept);
    headers.map(Some).map_err(|error| {
        Error::because(
            Kind::Misconfigured,
            format!("secret api/{name} is not an object of texts"),
            error,
        )
    })
}
