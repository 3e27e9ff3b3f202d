//! Watches the results of the messages of each channel account. If most messages of an account fail, the account is
//! degraded, and the operators are notified. The same applies at once if its provider refuses its credentials, and after
//! some failures in succession: the deliveries of such an account wait, so they have no results.

use domain::config::{ChannelAccount, ChannelAccountCommand};
use domain::notification::Notification;
use domain::notification::health::{Change, Window};
use events::channel_account::{Degraded, Recovered};
use events::delivery::FailureClass;
use events::notification::DeliveryEnded;
use events::{Meta, delivery};
use infra::Error;
use infra::commit::hex;
use infra::ledger::command_id;
use infra::views::Document;

use super::accounts;
use crate::App;

/// The name of the view (a stored table) with the newest results of each account.
const HEALTH: &str = "health";
/// Maximum number of attempts to store a result. An attempt fails if another worker stores one at the same time. A missing
/// result does no harm.
const ATTEMPTS_MAX: usize = 5;
/// Number of failed attempts in succession after which an account is degraded. With the pauses between them, these are
/// about 5 minutes.
const FAILURES_MAX: u32 = 10;

/// Counts a failed attempt to send the message of the delivery `requested`, after it was noted in the account. If all newest
/// attempts of the account failed, the account is degraded.
pub async fn count_failure(app: &App, requested: &delivery::Requested) -> Result<(), Error> {
    let account = &requested.account;
    let failed = accounts::failures(app, account).await?;
    if failed < FAILURES_MAX || requested.ticket.0.is_empty() {
        return Ok(());
    }
    let state = app.configuration.channel_account_health(account).await?;
    if state.is_some() {
        return Ok(());
    }
    tracing::warn!(
        account = account.as_str(),
        failed,
        "all newest attempts of a channel account fail"
    );
    let command = ChannelAccountCommand::Degrade(Degraded {
        accepted: 0,
        failed,
        ticket: requested.ticket.clone(),
    });
    let stream = format!("channel_account-{account}");
    let meta = Meta::system(&*requested.notification, &*requested.notification);
    app.must_execute::<ChannelAccount>(&stream, app.ledger.fresh_id(), meta, &command)
        .await
        .map(drop)
}

/// Counts the end of a delivery. `notification` is the name of the stream of its notification.
///
/// A wrong address and a message that is too large are no failures of the account. The same applies to a notification
/// that a digest did not send, for example because the person switched the channel off: it has no class. A delivery that
/// did not wait for a stopped account says nothing about the account.
pub(super) async fn count(
    app: &App,
    notification: &str,
    ended: &DeliveryEnded,
) -> Result<(), Error> {
    let is_of_message = matches!(
        ended.class,
        Some(FailureClass::RecipientInvalid | FailureClass::TooLarge)
    );
    let is_unsent = !ended.is_accepted && ended.class.is_none();
    let is_of_stop = !ended.is_accepted && ended.reason == accounts::STOPPED;
    if is_of_message || is_unsent || is_of_stop {
        return Ok(());
    }
    let account = &ended.account;
    let state = app.configuration.channel_account_health(account).await?;
    let (is_degraded, now) = (state.is_some(), app.ledger.clock.now());
    let _turn = app.recalled.turn(account).await;
    for _ in 0..ATTEMPTS_MAX {
        let stored = app.recall(HEALTH, account).await?;
        let expected = stored.as_ref().map_or(0, |document| document.sequence);
        let window: Option<Window> =
            stored.and_then(|document| serde_json::from_slice(&document.body).ok());
        let mut window = window.unwrap_or_default();
        if !window.add(&ended.delivery, ended.is_accepted, is_degraded, now) {
            return Ok(());
        }
        window.writer = hex(&app.ledger.fresh_id());
        let document = Document {
            sequence: expected + 1,
            body: serde_json::to_vec(&window).unwrap_or_default(),
        };
        let put = app.put_recalled(HEALTH, account, document, expected);
        if put.await? {
            // After a crash at this point, the next result finds the same change.
            let is_refused = ended.class == Some(FailureClass::Credential) && !is_degraded;
            let change = window.change(is_degraded);
            return match change.or_else(|| is_refused.then(|| window.degraded())) {
                Some(change) => store(app, notification, ended, change).await,
                None => Ok(()),
            };
        }
    }
    Ok(())
}

/// Stores a change of the state of an account. Does nothing if the account already has this state.
async fn store(
    app: &App,
    notification: &str,
    ended: &DeliveryEnded,
    change: Change,
) -> Result<(), Error> {
    let command = match change {
        Change::Recovered => ChannelAccountCommand::Recover(Recovered {}),
        Change::Degraded { accepted, failed } => {
            let state = app.ledger.load::<Notification>(notification).await?;
            let Some(requested) = state.aggregate.0.requested else {
                return Ok(());
            };
            tracing::warn!(
                account = ended.account.as_str(),
                accepted,
                failed,
                "most messages of a channel account fail"
            );
            ChannelAccountCommand::Degrade(Degraded {
                accepted,
                failed,
                ticket: requested.ticket,
            })
        }
    };
    let stream = format!("channel_account-{}", ended.account);
    let id = command_id(&["health", &ended.delivery]);
    let meta = Meta::system(ended.delivery.clone(), ended.delivery.clone());
    app.must_execute::<ChannelAccount>(&stream, id, meta, &command)
        .await
        .map(drop)
}
