//! Decides whether the desk may send a request to an integration now. Two rules apply to each integration: the limit
//! `per_minute`, and a pause after failures. The pause protects an external system that does not answer, or that has
//! rejected requests because of its own rate limit.
//!
//! The state of the pause is in a view (a stored table), so it is the same for all workers and outlives a restart. If the
//! views are deleted, the pause ends.

use events::Moment;
use events::integration::Defined;
use infra::Error;
use infra::commit::hex;
use infra::http::{HttpError, HttpResponse};
use infra::views::Document;
use serde::{Deserialize, Serialize};

use crate::App;
use crate::app::rate::{self, LIMIT};

/// Number of failures in succession after which the desk pauses.
const FAILURES_MAX: u32 = 5;
/// The first pause, in milliseconds. Each further failure doubles the pause.
const PAUSE_MS: i64 = 10_000;
const PAUSE_MS_MAX: i64 = 300_000;
/// The longest pause that the header `Retry-After` can set, in milliseconds.
const RETRY_AFTER_MAX_MS: i64 = 3_600_000;
/// After a pause, one worker sends a request. The other workers wait for its result for this time, in milliseconds.
const PROBE_MS: i64 = 15_000;
/// Maximum number of attempts to store the state. An attempt fails if another worker stores it at the same time. The
/// state is then a little less exact, which does no harm.
const ATTEMPTS_MAX: usize = 5;

/// The reason why no request may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The time after which the caller can ask again, in milliseconds.
    pub after_ms: i64,
    pub reason: String,
}

/// The failures of the last requests to one integration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Failures {
    /// Number of failures since the last success.
    count: u32,
    /// The end of the pause. Zero if there is no pause.
    until: Moment,
    /// A random id of the write that stored this state.
    writer: String,
}

/// Returns the name under which the requests to an integration are counted for its limit.
pub fn budget_of(integration: &str) -> String {
    format!("source/{integration}")
}

fn failures_of(integration: &str) -> String {
    format!("failures/{integration}")
}

/// Requests permission to send one request to an integration now. Returns `None` if the request may be sent.
pub async fn admit(app: &App, integration: &Defined) -> Result<Option<Wait>, Error> {
    let name = failures_of(&integration.name);
    let (sequence, failures) = stored(app, &name).await?;
    let now = app.ledger.clock.now();
    let waits = |until: Moment| {
        Some(Wait {
            after_ms: (until.0 - now.0).max(1),
            reason: format!(
                "the desk sends no requests to {} for some time, because the last ones failed",
                integration.name
            ),
        })
    };
    if failures.until > now {
        return Ok(waits(failures.until));
    }
    if failures.until > Moment(0) {
        let probe = Failures {
            until: now.plus_ms(PROBE_MS),
            ..failures
        };
        // Only one worker can store the probe. The others wait.
        if !write(app, &name, probe.clone(), sequence).await? {
            return Ok(waits(probe.until));
        }
    }
    let Some(per_minute) = integration.per_minute else {
        return Ok(None);
    };
    let wait = rate::take(app, &budget_of(&integration.name), per_minute).await?;
    Ok(wait.map(|after_ms| Wait {
        after_ms,
        reason: format!("the limit `per_minute` of {per_minute} requests in one minute is reached"),
    }))
}

/// Notes the result of a request to an integration. An error, a status from 500 and the status 429 are failures.
pub async fn note(
    app: &App,
    integration: &Defined,
    response: &Result<HttpResponse, HttpError>,
) -> Result<(), Error> {
    let now = app.ledger.clock.now();
    let (is_failure, retry_after) = match response {
        Ok(response) if response.status == 429 || response.status == 503 => {
            (true, response.retry_after_ms(now.0))
        }
        Ok(response) => (response.status >= 500, None),
        Err(_) => (true, None),
    };
    let name = failures_of(&integration.name);
    for _ in 0..ATTEMPTS_MAX {
        let (sequence, failures) = stored(app, &name).await?;
        if !is_failure && failures.count == 0 && failures.until == Moment(0) {
            return Ok(());
        }
        if write(
            app,
            &name,
            failures.after(is_failure, retry_after, now),
            sequence,
        )
        .await?
        {
            return Ok(());
        }
    }
    Ok(())
}

impl Failures {
    /// Returns the state after one more result. `retry_after` is the pause that the external system requests, in
    /// milliseconds.
    fn after(&self, is_failure: bool, retry_after: Option<i64>, now: Moment) -> Self {
        if !is_failure {
            return Self::default();
        }
        let count = self.count.saturating_add(1);
        let doublings = count.saturating_sub(FAILURES_MAX);
        let own = match retry_after {
            Some(ms) => Some(ms.clamp(0, RETRY_AFTER_MAX_MS)),
            None if count >= FAILURES_MAX => Some((PAUSE_MS << doublings.min(8)).min(PAUSE_MS_MAX)),
            None => None,
        };
        Self {
            count,
            until: own.map_or(Moment(0), |pause| now.plus_ms(pause)),
            writer: String::new(),
        }
    }
}

async fn stored(app: &App, name: &str) -> Result<(i64, Failures), Error> {
    let stored = app.views.get(LIMIT, name).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    let failures = stored.and_then(|document| serde_json::from_slice(&document.body).ok());
    Ok((sequence, failures.unwrap_or_default()))
}

async fn write(app: &App, name: &str, failures: Failures, expected: i64) -> Result<bool, Error> {
    let failures = Failures {
        writer: hex(&app.ledger.fresh_id()),
        ..failures
    };
    let document = Document {
        sequence: expected + 1,
        body: serde_json::to_vec(&failures).unwrap_or_default(),
    };
    app.views.put(LIMIT, name, &document, &[], expected).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000_000);

    #[test]
    fn a_pause_begins_after_five_failures_and_doubles() {
        let mut failures = Failures::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            failures = failures.after(true, None, NOW);
            pauses.push((failures.until.0 - NOW.0).max(0) / 1000);
        }
        assert_eq!(pauses, [0, 0, 0, 0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(failures.after(false, None, NOW), Failures::default());
    }

    #[test]
    fn the_external_system_can_set_the_pause() {
        let failures = Failures::default().after(true, Some(2_000), NOW);
        assert_eq!((failures.count, failures.until), (1, Moment(1_002_000)));
        let long = Failures::default().after(true, Some(i64::MAX), NOW);
        assert_eq!(long.until, NOW.plus_ms(RETRY_AFTER_MAX_MS));
    }
}
