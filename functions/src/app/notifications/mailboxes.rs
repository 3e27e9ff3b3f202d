//! Reads the mailboxes of the desk. Each mail is stored once, as a mail that a relay sends. The place of the last
//! mail is in a view (a stored table). If the views were deleted, all mails since the start are read again, and a stored
//! mail changes nothing.
//!
//! The start is the time at which the mailbox was defined. This time is in the ledger, so it stays the same after a loss of
//! the views, and after the mail server gave new numbers to its mails. Mails that were in the mailbox before stay unread,
//! unless the account says `read_existing = true`.

use events::Moment;
use events::channel_account::{ChannelAccountEvent, Defined};
use infra::Error;
use infra::commit::hex;
use infra::ledger::command_id;
use infra::mailbox::{self, Cursor, SECRET, Settings};
use infra::views::Document;
use serde::{Deserialize, Serialize};

use super::inbound;
use crate::App;
use crate::app::history::history_from;

/// The name of the view with one document for each mailbox.
const MAILBOX: &str = "mailbox";
/// Time until the next attempt after a failure, in milliseconds (5 minutes).
const FAILED_MS: i64 = 300_000;
/// Time for which one worker reads a mailbox, in milliseconds. It is longer than the time limit of one page.
const LEASE_MS: i64 = 120_000;
/// Maximum number of pages that one check reads. The next check reads the rest.
const PAGES_MAX: usize = 10;

/// The document of one mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The time of the next check.
    due: Moment,
    /// The last mail that was stored.
    cursor: Option<Cursor>,
    /// The start. The value is absent before the first check by a version that knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
}

/// Since when the desk reads a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    /// A hash of the settings that select the mailbox and its mails.
    mailbox: String,
    /// The time at which these settings were defined.
    at: Moment,
}

/// Returns a hash of the settings that select a mailbox and its mails. Other settings, such as the port, do not change
/// the place of the last mail.
fn selected(settings: &Settings) -> String {
    let existing = settings.read_existing.to_string();
    let parts = [&settings.host, &settings.user, &settings.folder, &existing];
    hex(&command_id(&parts.map(String::as_str)))
}

/// Returns since when the settings of an account select the same mailbox, from the ledger. Returns `None` if the account
/// has no mailbox.
async fn start_of(app: &App, name: &str) -> Result<Option<Start>, Error> {
    let stream = format!("channel_account-{name}");
    let history = history_from::<ChannelAccountEvent>(&app.ledger, &stream, 1).await?;
    let mut start: Option<Start> = None;
    for envelope in history {
        let ChannelAccountEvent::Defined(defined) = &envelope.event else {
            continue;
        };
        let settings = mailbox::settings(defined).ok().flatten();
        let mailbox = settings.map(|settings| selected(&settings));
        let is_same = start.as_ref().map(|start| &start.mailbox) == mailbox.as_ref();
        if !is_same {
            let at = envelope.happened_at();
            start = mailbox.map(|mailbox| Start { mailbox, at });
        }
    }
    Ok(start)
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
    let wanted = settings.as_ref().map(selected);
    let known = state.start.as_ref().map(|start| &start.mailbox);
    if known != wanted.as_ref() {
        // The place of the last mail belongs to the mailbox that was read before. A version without a start has read the
        // same mailbox.
        state.cursor = state.cursor.filter(|_| known.is_none());
        state.start = start_of(app, name).await?;
    }
    let since = settings.as_ref().filter(|one| !one.read_existing);
    let since = since.and(state.start.as_ref()).map(|start| start.at);
    let mut pause_ms = settings.map_or(FAILED_MS, |one| i64::from(one.every_seconds) * 1_000);
    for _ in 0..PAGES_MAX {
        match page(app, account, state.cursor, since).await? {
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
    since: Option<Moment>,
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
    let page = match app.mailboxes.read(&settings, &password, after, since).await {
        Ok(page) => page,
        Err(reason) => return Ok(Err(reason)),
    };
    if page.older > 0 {
        let older = page.older;
        tracing::info!(
            account = name,
            older,
            "mails from before the definition of the mailbox stay unread"
        );
    }
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
