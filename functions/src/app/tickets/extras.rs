//! Checks and stores the parts of a new ticket that are not normal form fields. These parts are the
//! display-only fields, the callback receiver and the variables. All HTTP APIs for new tickets use
//! this module.

use std::collections::BTreeMap;

use axum::http::{HeaderName, HeaderValue};
use domain::ticket::INPUT_MAX;
use domain::ticket::form::is_link;
use domain::value::plain;
use events::PersonId;
use events::ticket::{CallbackTarget, DynamicField};
use infra::http::is_of_connection;
use infra::store::COMMIT_BYTES_MAX;
use infra::{Error, Kind};
use serde_json::Value;

use crate::App;
use crate::app::outbound::Receiver;
use crate::app::outbound::VARIABLES;

/// Maximum number of display-only fields in one ticket. A display-only field is shown but cannot be
/// edited.
const DYNAMIC_FIELDS_MAX: usize = 100;
/// Maximum length of the name of a display-only field, in characters (reference/bk-itsm.md 3.1).
/// `VALUE_MAX` is the maximum length of the value of such a field.
const NAME_MAX: usize = 32;
const VALUE_MAX: usize = 255;
/// Maximum length of a callback URL, in bytes.
const URL_MAX: usize = 2048;
/// Maximum number of headers that a client can define for its callbacks. HTTP servers usually
/// accept about 100 headers in one request.
const HEADERS_MAX: usize = 32;
/// Maximum length of the name of a callback header, in bytes. `HEADER_VALUE_MAX` is the maximum
/// length of the value of such a header. HTTP servers usually accept at least 8 KiB for all headers
/// of a request.
const HEADER_NAME_MAX: usize = 128;
const HEADER_VALUE_MAX: usize = 4096;
/// Maximum size of all headers that a client can define for its callbacks, in bytes.
const HEADERS_BYTES_MAX: usize = 8192;

/// The reason why the display-only fields of a new ticket are rejected. `TooMany` contains the
/// maximum number of fields. All other variants contain the index of the rejected field in the
/// request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    TooMany(usize),
    Name(usize),
    Kind(usize, String),
    Value(usize),
    /// The value of a link field is not a valid web URL.
    Link(usize),
}

/// Converts the display-only fields in a request to the display-only fields of the new ticket.
/// `items` contains the fields from the request. The desk generates a key for each field
/// (reference/bk-itsm.md 3.1).
pub(crate) fn dynamic_fields(items: &[Value]) -> Result<Vec<DynamicField>, Unfit> {
    if items.len() > DYNAMIC_FIELDS_MAX {
        return Err(Unfit::TooMany(DYNAMIC_FIELDS_MAX));
    }
    let read = |(at, item): (usize, &Value)| {
        let (name, kind, value) = (
            plain(&item["name"]),
            plain(&item["type"]),
            plain(&item["value"]),
        );
        if name.is_empty() || name.chars().count() > NAME_MAX {
            return Err(Unfit::Name(at));
        }
        if !matches!(kind.as_str(), "STRING" | "INT" | "LINK") {
            return Err(Unfit::Kind(at, kind));
        }
        if value.chars().count() > VALUE_MAX {
            return Err(Unfit::Value(at));
        }
        if kind == "LINK" && !is_link(&value) {
            return Err(Unfit::Link(at));
        }
        Ok(DynamicField {
            key: format!("dynamic_{}", at + 1),
            name,
            kind,
            value,
            meta: item.get("meta").cloned().unwrap_or_default(),
        })
    };
    items.iter().enumerate().map(read).collect()
}

/// The reason why the receiver of callbacks is rejected. If a variant contains a text, this text is
/// the rejected host name or the name of the rejected header. A number is the limit that was
/// exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnfitReceiver {
    /// The URL of the receiver is not a valid http(s) URL.
    Address,
    /// The rules of the desk for outgoing requests do not allow requests to this host.
    Closed(String),
    TooManyHeaders(usize),
    HeadersTooLong(usize),
    HeaderName(String),
    /// A client cannot define this header, because the desk or the HTTP connection sets its value.
    HeaderReserved(String),
    HeaderValue(String),
}

/// Checks the URL and the headers of the receiver of callbacks. Returns the host name in the URL.
pub(crate) fn callback_host(
    app: &App,
    Receiver { url, headers }: &Receiver,
) -> Result<String, UnfitReceiver> {
    let parsed: infra::http::Url = url.parse().map_err(|_| UnfitReceiver::Address)?;
    // A URL with control characters is rejected. The URL parser would remove line breaks without an
    // error, and the desk would call another URL than the client sent.
    if url.len() > URL_MAX
        || url.chars().any(char::is_control)
        || !matches!(parsed.scheme(), "http" | "https")
    {
        return Err(UnfitReceiver::Address);
    }
    let host = parsed.host_str().ok_or(UnfitReceiver::Address)?;
    if app.http.refuses(url).is_some() {
        return Err(UnfitReceiver::Closed(host.to_owned()));
    }
    check_headers(headers)?;
    Ok(host.to_owned())
}

/// Checks the headers that a client defined for its callbacks. Returns an error if a header is not
/// allowed or the headers are too long.
fn check_headers(headers: &[(String, String)]) -> Result<(), UnfitReceiver> {
    if headers.len() > HEADERS_MAX {
        return Err(UnfitReceiver::TooManyHeaders(HEADERS_MAX));
    }
    if headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>()
        > HEADERS_BYTES_MAX
    {
        return Err(UnfitReceiver::HeadersTooLong(HEADERS_BYTES_MAX));
    }
    for (name, value) in headers {
        let short: String = name.chars().take(HEADER_NAME_MAX).collect();
        let Ok(valid) = name.parse::<HeaderName>() else {
            return Err(UnfitReceiver::HeaderName(short));
        };
        if name.len() > HEADER_NAME_MAX {
            return Err(UnfitReceiver::HeaderName(short));
        }
        // A callback always has a JSON body. The header `Content-Type` must therefore contain a
        // JSON type.
        let is_of_body = valid == "content-type"
            && !value
                .trim()
                .to_ascii_lowercase()
                .starts_with("application/json");
        if is_of_connection(valid.as_str())
            || valid == "idempotency-key"
            || valid == "accept-encoding"
            || is_of_body
        {
            return Err(UnfitReceiver::HeaderReserved(short));
        }
        if value.len() > HEADER_VALUE_MAX || value.parse::<HeaderValue>().is_err() {
            return Err(UnfitReceiver::HeaderValue(short));
        }
    }
    Ok(())
}

/// Stores variables for automatic workflow nodes in the key store, because the variables may be
/// secrets. Returns the name under which the key store contains these variables. Returns `None` if
/// there are no variables.
///
/// If the same creator sends the same variables again, the key store already contains the
/// variables. In this case, nothing is stored.
pub(crate) async fn keep_variables(
    app: &App,
    creator: &PersonId,
    variables: &BTreeMap<String, String>,
) -> Result<Option<String>, Error> {
    if variables.is_empty() {
        return Ok(None);
    }
    let kept = serde_json::to_vec(variables).unwrap_or_default();
    if kept.len() > COMMIT_BYTES_MAX {
        return Err(Error::new(
            Kind::TooLarge,
            format!(
                "envs: the variables have {} bytes, at most {COMMIT_BYTES_MAX} are kept",
                kept.len()
            ),
        ));
    }
    let of_creator = [creator.as_str().as_bytes(), &[0], &kept].concat();
    let name = format!(
        "{VARIABLES}{}",
        &blake3::keyed_hash(&app.keys().await?.fingerprint, &of_creator).to_hex()[..32]
    );
    if app.ledger.keys.secret(&name).await?.is_none() {
        app.ledger.keys.keep_secret(&name, &kept).await?;
    }
    Ok(Some(name))
}

/// Stores new inputs in the key store, because the inputs may be secrets. A person enters these
/// inputs to repeat an API call.
///
/// In the returned map, the value of each input key is the name under which the key store contains
/// the inputs. If an input is too long, this function stores nothing and returns the inputs without
/// change. The ledger then rejects the command with these inputs.
pub(crate) async fn keep_inputs(
    app: &App,
    by: &PersonId,
    inputs: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Error> {
    if inputs
        .values()
        .any(|value| value.chars().count() > INPUT_MAX)
    {
        return Ok(inputs);
    }
    let Some(name) = keep_variables(app, by, &inputs).await? else {
        return Ok(inputs);
    };
    Ok(inputs.into_keys().map(|key| (key, name.clone())).collect())
}

/// Stores the receiver of callbacks in the key store, because the URL and the headers may be
/// secrets. Writes the name under which the key store contains the receiver into `callback`.
///
/// If the key store already contains the same receiver, nothing is stored.
pub(crate) async fn keep_receiver(
    app: &App,
    callback: &mut CallbackTarget,
    receiver: &Receiver,
) -> Result<(), Error> {
    let kept = serde_json::to_vec(receiver).unwrap_or_default();
    callback.secret = format!(
        "callback/{}",
        &blake3::keyed_hash(&app.keys().await?.fingerprint, &kept).to_hex()[..32]
    );
    if app.ledger.keys.secret(&callback.secret).await?.is_none() {
        app.ledger.keys.keep_secret(&callback.secret, &kept).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), UnfitReceiver> {
        check_headers(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn headers_of_the_connection_and_of_the_desk_are_rejected_by_name() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
            "Proxy-Authorization",
            "proxy-anything",
            "Expect",
            "IDEMPOTENCY-KEY",
            "Content-Encoding",
        ] {
            assert_eq!(
                check(name, "x"),
                Err(UnfitReceiver::HeaderReserved(name.into())),
                "{name}"
            );
        }
        assert_eq!(
            check("Content-Type", "text/plain"),
            Err(UnfitReceiver::HeaderReserved("Content-Type".into()))
        );
        for (name, value) in [
            ("Authorization", "Bearer x"),
            ("X-Token", "口令"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("X-Empty", ""),
        ] {
            assert_eq!(check(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_and_values_that_are_no_header_are_rejected_by_name() {
        for name in ["", "a b", "a:b", "a\r\nb", "名"] {
            assert_eq!(
                check(name, "x"),
                Err(UnfitReceiver::HeaderName(name.into())),
                "{name:?}"
            );
        }
        for value in ["a\r\nX: y", "a\nb", "a\0b"] {
            assert_eq!(
                check("X-A", value),
                Err(UnfitReceiver::HeaderValue("X-A".into())),
                "{value:?}"
            );
        }
        assert_eq!(
            check("X-A", &"x".repeat(HEADER_VALUE_MAX + 1)),
            Err(UnfitReceiver::HeaderValue("X-A".into()))
        );
        let many: Vec<_> = (0..=HEADERS_MAX)
            .map(|at| (format!("x-{at}"), String::new()))
            .collect();
        assert_eq!(
            check_headers(&many),
            Err(UnfitReceiver::TooManyHeaders(HEADERS_MAX))
        );
    }
}
