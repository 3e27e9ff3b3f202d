//! Manages client apps. A client app is a program that calls the APIs. Its app code is its id, and
//! its event stream has the name `app-<app code>`. The key store contains a hash of each app
//! secret.

use domain::config;
use domain::views::Card as _;
use events::Meta;
use events::app::Registered;
use infra::ledger::NoContext;
use infra::views::Range;
use infra::{CommandEnvelope, Error, ExecuteError, Ledger};
use serde_json::{Value, json};

use crate::App;

/// Maximum number of client apps that one read of the database returns. A desk usually has fewer
/// than 100 client apps.
const LIST_MAX: usize = 1000;
/// A text that is greater than every app code (the id of a client app) in the sort order of the
/// database.
const LAST: &str = "\u{10ffff}";
/// Number of random bytes in the secret that the desk generates for a client app.
const SECRET_BYTES: usize = 24;

/// Returns the client app with the given app code (the id of the app). Disabled apps are returned
/// too.
pub async fn app(ledger: &Ledger, code: &str) -> Result<Option<Registered>, Error> {
    Ok(ledger
        .load::<config::App>(&stream(code))
        .await?
        .aggregate
        .0
        .0)
}

/// Returns all client apps, sorted by app code (the id of an app). The app codes come from a view
/// (a stored index), which the desk updates after each commit.
pub async fn all(app: &App) -> Result<Vec<Registered>, Error> {
    let (mut apps, view) = (Vec::new(), config::App::VIEW);
    loop {
        let range = Range {
            view,
            index: "id",
            from: "",
            to: LAST,
            descending: false,
            skip: apps.len(),
            limit: LIST_MAX,
        };
        let page = app.views.range(range).await?;
        let is_last = page.len() < LIST_MAX;
        for entry in page {
            // The view (a stored index) contains the ids of the client apps, but may be outdated.
            // The definition of each app is therefore read from its event stream.
            apps.extend(self::app(&app.ledger, &entry.value).await?);
        }
        if is_last {
            return Ok(apps);
        }
    }
}

/// Stores the definition of a client app. If the same definition is already stored, adds no event.
pub async fn define(ledger: &Ledger, registered: &Registered, meta: Meta) -> Result<(), Error> {
    let command_envelope = CommandEnvelope {
        stream: stream(registered.code.as_str()),
        command_id: ledger.fresh_id(),
        meta,
    };
    ledger
        .execute::<config::App>(&command_envelope, registered, &NoContext)
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

/// Disables or enables a client app. Returns false if the app does not exist.
///
/// The change takes effect immediately in this process, and within seconds in other processes of
/// the desk.
pub async fn set_disabled(
    ledger: &Ledger,
    code: &str,
    is_disabled: bool,
    meta: Meta,
) -> Result<bool, Error> {
    let Some(registered) = app(ledger, code).await? else {
        return Ok(false);
    };
    define(
        ledger,
        &Registered {
            is_disabled,
            ..registered
        },
        meta,
    )
    .await?;
    Ok(true)
}

/// Disables the demo app if the app still has the published demo secret, because any person could
/// use this secret. Returns true if this call disabled the app.
pub async fn close_demo(app: &App, (code, secret): (&str, &str)) -> Result<bool, Error> {
    match app.credentials.check(code, secret).await? {
        Some(registered) if !registered.is_disabled => {
            set_disabled(&app.ledger, code, true, Meta::system("setup", "setup")).await
        }
        _ => Ok(false),
    }
}

/// Returns the definition of a client app as JSON for the API, without the secret.
pub fn shown(app: &Registered) -> Value {
    json!({
        "code": app.code, "name": app.name, "may_impersonate": app.may_impersonate, "status_callbacks": app.status_callbacks, "is_disabled": app.is_disabled, "scopes": app.scopes,
    })
}

/// Returns a new random secret for a client app, written in hexadecimal digits.
pub fn fresh_secret(ledger: &Ledger) -> String {
    let mut bytes = [0; SECRET_BYTES];
    ledger.rng.fill(&mut bytes);
    infra::commit::hex(&bytes)
}

fn stream(code: &str) -> String {
    format!("app-{code}")
}
