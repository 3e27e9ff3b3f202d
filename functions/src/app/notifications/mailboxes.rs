//! Reads the mailboxes of the desk. Each mail is stored once, as a mail that a relay sends. The place of the last
//! mail is in a view (a stored table). If the views were deleted, all mails are read again, and a stored mail changes
//! nothing.

use events::Moment;
use events::channel_account::Defined;
use infra::Error;
use infra::mailbox::{self, Cursor, SECRET};
use infra::views::Document;
use serde::{Deserialize, Serialize};

use super::inbound;
use crate::App;

/// The name of the view with one document for each mailbox.
const MAILBOX: &str = "mailbox";
/// Time until the next attempt after a failure, in milliseconds (5 minutes).
const FAILED_MS: i64 = 300_000;
/// Time for which one worker reads a mailbox, in milliseconds. It is longer than the time limit of one page.
const LEASE_MS: i64 = 120_000;
/// Maximum number of pages that one check reads. The next check reads the rest.
const PAGES_MAX: usize = 10;

/// The document of one mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The time of the next check.
    due: Moment,
    /// The last mail that was stored.
    cursor: Option<Cursor>,
}

/// Reads the new mails of all mailboxes whose time has come. A mailbox that cannot be read does not stop the others.
/// If a mail cannot be stored, the other mailboxes are still read, and the first such error is returned.
pub async fn poll(app: &App) -> Result<(), Error> {
    let mut failed = None;
    for name in app.configuration.channel_account_names().await? {
        let Some(account) = app.configuration.channel_account(&name).await? else {
            continue;
        };
        if !account.is_enabled || !account.settings.contains_key(mailbox::KEY) {
            continue;
        }
        if let Err(error) = one(app, &account).await {
            let account = name.as_str();
            tracing::error!(account, %error, "cannot store the mails of a mailbox");
            failed = failed.or(Some(error));
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Reads the new mails of one mailbox, if its time has come and no other worker reads it.
async fn one(app: &App, account: &Defined) -> Result<(), Error> {
    let name = account.name.as_str();
    let now = app.ledger.clock.now();
    let document = app.views.get(MAILBOX, name).await?;
    let mut sequence = document.as_ref().map_or(0, |document| document.sequence);
    let stored = document.and_then(|document| serde_json::from_slice(&document.body).ok());
    let mut state: State = stored.unwrap_or_default();
    if now < state.due {
        return Ok(());
    }
    state.due = now.plus_ms(LEASE_MS);
    if !put(app, name, &state, &mut sequence).await? {
        return Ok(());
    }
    let settings = mailbox::settings(account).ok().flatten();
    let mut pause_ms = settings.map_or(FAILED_MS, |one| i64::from(one.every_seconds) * 1_000);
    for _ in 0..PAGES_MAX {
        match page(app, account, state.cursor).await? {
            Ok((cursor, has_more)) => {
                state.cursor = Some(cursor);
                state.due = app.ledger.clock.now().plus_ms(LEASE_MS);
                if !put(app, name, &state, &mut sequence).await? {
                    return Ok(());
                }
                if !has_more {
                    break;
                }
            }
            Err(reason) => {
                let reason = reason.as_str();
                tracing::warn!(account = name, reason, "cannot read a mailbox");
                pause_ms = FAILED_MS;
                break;
            }
        }
    }
    state.due = app.ledger.clock.now().plus_ms(pause_ms);
    put(app, name, &state, &mut sequence).await.map(drop)
}

/// Stores the mails of one page. Returns the place after them, and whether the mailbox has further mails. If the
/// mailbox cannot be read, returns the reason as the inner `Err`.
async fn page(
    app: &App,
    account: &Defined,
    after: Option<Cursor>,
) -> Result<Result<(Cursor, bool), String>, Error> {
    let name = account.name.as_str();
    let settings = match mailbox::settings(account) {
        Ok(Some(settings)) => settings,
        Ok(None) => return Ok(Err("the account has no mailbox".to_owned())),
        Err(reason) => return Ok(Err(reason)),
    };
    let secret = format!("{SECRET}{name}");
    let password = app.ledger.keys.secret(&secret).await?;
    let password = password.and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(password) = password else {
        return Ok(Err(format!("the secret {secret} is missing")));
    };
    let page = match app.mailboxes.read(&settings, &password, after).await {
        Ok(page) => page,
        Err(reason) => return Ok(Err(reason)),
    };
    for (uid, bytes) in &page.too_large {
        tracing::error!(
            account = name,
            uid,
            bytes,
            "a mail is too large and stays only in the mailbox"
        );
    }
    for mail in &page.mails {
        if !inbound::store_mail(app, name, mail).await? {
            tracing::warn!(account = name, "an unreadable mail was kept");
        }
    }
    Ok(Ok((page.cursor, page.has_more)))
}

/// Stores the document of a mailbox. Returns false if another worker has changed it.
async fn put(app: &App, name: &str, state: &State, sequence: &mut i64) -> Result<bool, Error> {
    let document = Document {
        sequence: *sequence + 1,
        body: serde_json::to_vec(state).unwrap_or_default(),
    };
    let is_stored = app
        .views
        .put(MAILBOX, name, &document, &[], *sequence)
        .await?;
    *sequence += 1;
    Ok(is_stored)
}
