//! What comes along with a new ticket besides its form, read alike at every door.

use std::collections::BTreeMap;

use domain::ticket::form::{is_link, plain};
use events::Pid;
use events::ticket::{Callback, DynamicField};
use infra::store::COMMIT_BYTES_MAX;
use infra::{Error, Kind};
use serde_json::Value;

use crate::App;
use crate::queue::attempt::callback::Receiver;

/// Display-only fields of one ticket.
const DYNAMIC_FIELDS_MAX: usize = 100;
/// Longest name and longest value of one, in characters (reference/bk-itsm.md 3.1).
const NAME_MAX: usize = 32;
const VALUE_MAX: usize = 255;
/// What the names of secrets begin with that hold variables for automatic nodes.
const VARIABLES: &str = "variables/";
/// Longest callback URL.
const URL_MAX: usize = 2048;

/// What is wrong with display-only fields; each but the first says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    TooMany(usize),
    Name(usize),
    Kind(usize, String),
    Value(usize),
    /// An address that does something else than open a page.
    Link(usize),
}

/// Display-only fields (reference/bk-itsm.md 3.1); their keys are ours.
pub(super) fn dynamic_fields(items: &[Value]) -> Result<Vec<DynamicField>, Unfit> {
    if items.len() > DYNAMIC_FIELDS_MAX {
        return Err(Unfit::TooMany(DYNAMIC_FIELDS_MAX));
    }
    let read = |(at, item): (usize, &Value)| {
        let (name, kind, value) = (plain(&item["name"]), plain(&item["type"]), plain(&item["value"]));
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
        Ok(DynamicField { key: format!("dynamic_{}", at + 1), name, kind, value, meta: item.get("meta").cloned().unwrap_or_default() })
    };
    items.iter().enumerate().map(read).collect()
}

/// The host a callback goes to; `None` where the text is no http(s) address.
pub(super) fn callback_host(url: &str) -> Option<String> {
    let parsed: reqwest::Url = url.parse().ok().filter(|parsed: &reqwest::Url| url.len() <= URL_MAX && matches!(parsed.scheme(), "http" | "https"))?;
    parsed.host_str().map(str::to_owned)
}

/// Keeps the variables for automatic nodes, whose values may be secrets, in the key store; gives back the name under which they are kept. The same variables
/// of the same creator are kept once.
pub(super) async fn keep_variables(app: &App, creator: &Pid, variables: &BTreeMap<String, String>) -> Result<Option<String>, Error> {
    if variables.is_empty() {
        return Ok(None);
    }
    let kept = serde_json::to_vec(variables).unwrap_or_default();
    if kept.len() > COMMIT_BYTES_MAX {
        return Err(Error::new(Kind::TooLarge, format!("envs: the variables have {} bytes, at most {COMMIT_BYTES_MAX} are kept", kept.len())));
    }
    let of_creator = [creator.as_str().as_bytes(), &[0], &kept].concat();
    let name = format!("{VARIABLES}{}", &blake3::keyed_hash(&app.keys().await?.fingerprint, &of_creator).to_hex()[..32]);
    if app.ledger.keys.secret(&name).await?.is_none() {
        app.ledger.keys.keep_secret(&name, &kept).await?;
    }
    Ok(Some(name))
}

/// Keeps who is called back, which may hold secrets, and puts its name into the callback: the same receiver is kept once, under a name that says nothing.
pub(super) async fn keep_receiver(app: &App, callback: &mut Callback, receiver: &Receiver) -> Result<(), Error> {
    let kept = serde_json::to_vec(receiver).unwrap_or_default();
    callback.secret = format!("callback/{}", &blake3::keyed_hash(&app.keys().await?.fingerprint, &kept).to_hex()[..32]);
    if app.ledger.keys.secret(&callback.secret).await?.is_none() {
        app.ledger.keys.keep_secret(&callback.secret, &kept).await?;
    }
    Ok(())
}
