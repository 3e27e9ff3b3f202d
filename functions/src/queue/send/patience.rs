//! Decides how long a delivery waits for its channel account (the configured sender). A delivery without an alternative waits
//! and is repeated until it expires. If another account of the fallback list can send the message, the delivery fails
//! earlier, and the other account sends the message.

use domain::attempt::{Policy, Verdict};
use domain::notification::Notification;
use domain::notification::delivery::{Delivery, PATIENT};
use events::delivery::Requested;
use infra::Error;

use super::{EMAIL, URGENT_MS};
use crate::App;
use crate::app::notifications::accounts;

/// Time in milliseconds for which a delivery waits for an account that can recover by itself, if another account can send
/// the message: 15 minutes.
const WAIT_MS: i64 = 15 * 60_000;
/// Maximum number of notifications of a digest that are read to find an account of the fallback list. Almost always, all
/// notifications of a digest have the same list.
const NOTIFICATIONS_MAX: usize = 20;

/// Returns the verdict (the result of an attempt) for a delivery whose account sends nothing now. `verdict` postpones the
/// attempt. If another account of the fallback list can send the message, the delivery does not wait for an account that a
/// person must start or correct, and waits at most 15 minutes for any other one: the returned verdict then ends the
/// delivery.
pub(super) async fn ended(
    app: &App,
    delivery: &Delivery,
    verdict: Verdict,
) -> Result<Verdict, Error> {
    let (Some(requested), Verdict::Throttled { .. }) = (&delivery.requested, &verdict) else {
        return Ok(verdict);
    };
    let Some(trouble) = accounts::trouble(app, &requested.account).await? else {
        return Ok(verdict);
    };
    let is_too_long = requested.due.plus_ms(WAIT_MS) <= app.ledger.clock.now();
    if (trouble.is_lasting || is_too_long) && can_fall_back(app, requested).await? {
        return Ok(Verdict::refused(trouble.class, "", trouble.reason));
    }
    Ok(verdict)
}

/// Returns the policy for further attempts after a verdict. A delivery that is not urgent is repeated until it expires, unless
/// another account of the fallback list can send the message.
pub(super) async fn policy(
    app: &App,
    delivery: &Delivery,
    verdict: &Verdict,
    policy: Policy,
) -> Result<Policy, Error> {
    let Some(requested) = &delivery.requested else {
        return Ok(policy);
    };
    if let Verdict::Unknown { .. } = verdict {
        return Ok(delivery.after_unknown());
    }
    // The platforms recognize a repeated message only for some time. All attempts of a mail have the same `Message-ID`.
    let is_perhaps_sent = delivery.unknowns > 0 && requested.channel != EMAIL;
    let is_last = delivery.attempts.failures + 1 >= policy.attempts_max;
    let is_urgent = requested.expires <= requested.due.plus_ms(URGENT_MS);
    if !matches!(verdict, Verdict::Retry { .. }) || !is_last || is_urgent || is_perhaps_sent {
        return Ok(policy);
    }
    Ok(if can_fall_back(app, requested).await? {
        policy
    } else {
        PATIENT
    })
}

/// Returns true if another account of the fallback list sends a message after the failure of a delivery.
async fn can_fall_back(app: &App, requested: &Requested) -> Result<bool, Error> {
    for notification in requested.notifications().take(NOTIFICATIONS_MAX) {
        let loaded = app.ledger.load::<Notification>(notification).await?;
        if loaded.aggregate.0.can_fall_back() {
            return Ok(true);
        }
    }
    Ok(false)
}
