//! Finds channel accounts whose last message failed. The reason is in the views (stored tables) of the desk, and in the
//! deliveries (messages) that ended without success.

use std::collections::BTreeMap;

use domain::notification::delivery::{Delivery, End};
use events::Moment;
use events::delivery::FailureClass;
use infra::views::{Range, Views};
use infra::{Error, Ledger};

use super::{Finding, warning};
use crate::app::notifications::accounts;

/// Maximum number of failed deliveries that the check reads, from the newest to the oldest.
const DELIVERIES_MAX: usize = 200;

/// Returns one warning for each of the accounts in `streams` whose last message failed.
pub(super) async fn failing(
    views: &dyn Views,
    ledger: &Ledger,
    streams: &[String],
) -> Result<Vec<Finding>, Error> {
    let refused = refused(views, ledger).await?;
    let mut findings = Vec::new();
    for stream in streams {
        let name = stream.trim_start_matches("channel_account-");
        let breaker = accounts::stored_breaker(views, name).await?;
        let last = if breaker.count > 0 {
            Some(breaker.reason)
        } else {
            // A refusal of one message does not pause the account. A later success shows that the account works.
            let refusal = refused.get(name);
            let is_newer = |at: Moment| breaker.succeeded.is_none_or(|success| success < at);
            let newer = refusal.filter(|(at, _)| is_newer(*at));
            newer.map(|(_, reason)| reason.clone())
        };
        if let Some(reason) = last {
            findings.push(warning(
                what(name),
                format!("its last message failed: {reason}"),
                "correct the cause; the page Deliveries of the console shows the messages; the next message that is sent ends this warning",
            ));
        }
    }
    Ok(findings)
}

/// Returns the name with which the results of the checks name an account.
pub(super) fn what(name: &str) -> String {
    format!("channel account {name}")
}

/// Returns the newest refusal of each account: the time at which the message was requested, and the reason. A wrong address
/// concerns only one person, and is no refusal.
async fn refused(
    views: &dyn Views,
    ledger: &Ledger,
) -> Result<BTreeMap<String, (Moment, String)>, Error> {
    let failed = Range {
        view: "delivery",
        index: "failed",
        from: "",
        to: "~",
        descending: true,
        skip: 0,
        limit: DELIVERIES_MAX,
    };
    let mut refused: BTreeMap<String, (Moment, String)> = BTreeMap::new();
    for entry in views.range(failed).await? {
        let delivery = ledger.load::<Delivery>(&entry.key).await?.aggregate.0;
        let (Some(requested), Some(End::Failed(failed))) = (delivery.requested, delivery.end)
        else {
            continue;
        };
        if !matches!(
            failed.class,
            FailureClass::Credential | FailureClass::Permanent
        ) {
            continue;
        }
        let reason = match failed.code.as_str() {
            "" => failed.reason,
            code => format!("{code} {}", failed.reason),
        };
        let newest = refused.entry(requested.account).or_default();
        if newest.0 <= requested.due {
            *newest = (requested.due, reason);
        }
    }
    Ok(refused)
}
