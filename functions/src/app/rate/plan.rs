//! Counts the calls that a channel account makes in one month. The plan of an organization at DingTalk allows only a number of
//! calls in a month.

use events::Moment;
use infra::commit::hex;
use infra::views::Document;
use infra::{Error, Kind};
use jiff::Timestamp;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::{ATTEMPTS_MAX, LIMIT};
use crate::App;

/// Months begin at midnight in China, because DingTalk counts there.
const CHINA: Offset = Offset::constant(8);
/// The pause until the next attempt if the date is not known, in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

/// The document of one account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Plan {
    /// The first day of the month in which the calls were made, such as `2026-12-01`.
    month: String,
    calls: u32,
    /// A random id of the write that stored this document.
    writer: String,
}

/// Counts one call of the account. If the account has already made `most` calls in this month, counts nothing and returns the
/// time in milliseconds until the next month. After a loss of the views, the count begins at zero.
pub async fn take_call(app: &App, account: &str, most: u32) -> Result<Option<i64>, Error> {
    let key = format!("plan/{account}");
    let _turn = app.recalled.turn(&key).await;
    for _ in 0..ATTEMPTS_MAX {
        let now = app.ledger.clock.now();
        let (month, next) = month(now);
        let stored = app.recall(LIMIT, &key).await?;
        let expected = stored.as_ref().map_or(0, |document| document.sequence);
        let known: Option<Plan> =
            stored.and_then(|document| serde_json::from_slice(&document.body).ok());
        let calls = known
            .filter(|plan| plan.month == month)
            .map_or(0, |plan| plan.calls);
        if calls >= most {
            return Ok(Some((next.0 - now.0).max(1)));
        }
        let plan = Plan {
            month,
            calls: calls + 1,
            writer: hex(&app.ledger.fresh_id()),
        };
        let document = Document {
            sequence: expected + 1,
            body: serde_json::to_vec(&plan).unwrap_or_default(),
        };
        if app.put_recalled(LIMIT, &key, document, expected).await? {
            return Ok(None);
        }
    }
    Err(Error::new(
        Kind::Conflict,
        format!("many workers count the calls of {account} at the same time"),
    ))
}

/// Returns the first day of the month of a time, and the beginning of the next month.
fn month(now: Moment) -> (String, Moment) {
    let at = Timestamp::from_millisecond(now.0).unwrap_or_default();
    let today = CHINA.to_datetime(at).date();
    let next = today.last_of_month().tomorrow().ok();
    let next = next.and_then(|day| CHINA.to_timestamp(day.at(0, 0, 0, 0)).ok());
    let next = next.map_or(now.plus_ms(DAY_MS), |at| Moment(at.as_millisecond()));
    (today.first_of_month().to_string(), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_in_china() {
        let at = |text: &str| {
            let at: Timestamp = text.parse().expect("a time");
            Moment(at.as_millisecond())
        };
        for (now, first, next) in [
            (
                "2026-11-30T15:59:59.999Z",
                "2026-11-01",
                "2026-11-30T16:00:00Z",
            ),
            ("2026-11-30T16:00:00Z", "2026-12-01", "2026-12-31T16:00:00Z"),
            ("2026-12-31T16:00:00Z", "2027-01-01", "2027-01-31T16:00:00Z"),
        ] {
            assert_eq!(month(at(now)), (first.to_owned(), at(next)), "{now}");
        }
    }
}
