//! Pauses the requests to one receiver after failures (circuit breaker). After a pause, one worker sends a request, and all
//! other workers wait for its result.
//!
//! The state of a breaker is in a view (a stored table), so it is the same for all workers and outlives a restart. If the
//! views are deleted, the pause ends.

use events::Moment;
use infra::Error;
use infra::commit::hex;
use infra::views::{Document, Views};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::app::rate::LIMIT;

/// Number of failures in succession after which the desk pauses.
const FAILURES_MAX: u32 = 5;
/// The first pause, in milliseconds. Each further failure doubles the pause.
const PAUSE_MS: i64 = 10_000;
const PAUSE_MS_MAX: i64 = 300_000;
/// The longest pause that the result of a request can set, in milliseconds.
const SET_PAUSE_MS_MAX: i64 = 3_600_000;
/// After a pause, one worker sends a request. The other workers wait for its result for this time, in milliseconds.
const PROBE_MS: i64 = 15_000;
/// The time of the last success is stored again after this time, in milliseconds. A write for each success would slow the
/// workers down.
const SUCCESS_MS: i64 = 60_000;
/// Maximum number of attempts to store the state. An attempt fails if another worker stores it at the same time. The
/// state is then a little less exact, which does no harm.
const ATTEMPTS_MAX: usize = 5;

/// The state of one breaker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// Number of failures since the last success.
    pub count: u32,
    /// The end of the pause. Zero if there is no pause.
    pub until: Moment,
    /// True if the last result set the pause, and not the number of failures.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_set: bool,
    /// The reason of the last failure. The text is empty if there is none.
    #[serde(default)]
    pub reason: String,
    /// The time of a success, at most one minute before the last one. `None` if it is unknown.
    #[serde(default)]
    pub succeeded: Option<Moment>,
    /// A random id of the write that stored this state.
    writer: String,
}

/// The result of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted<'a> {
    /// The receiver answered, but did not do the work. The pause ends.
    Answered,
    /// The receiver did the work. The pause ends, and the time is stored.
    Succeeded,
    Failed {
        /// The pause that follows at once, in milliseconds. `None` if the number of failures determines the pause.
        pause_ms: Option<i64>,
        reason: &'a str,
    },
}

/// Requests permission to send one request now. Returns `None` if the request may be sent. Otherwise, returns the time at
/// which the caller can ask again.
pub async fn admit(app: &App, name: &str) -> Result<Option<Moment>, Error> {
    let (sequence, state) = stored(app, name).await?;
    let now = app.ledger.clock.now();
    if state.until > now {
        return Ok(Some(state.until));
    }
    if state.until > Moment(0) {
        let until = now.plus_ms(PROBE_MS);
        // Only one worker can store the probe. The others wait.
        if !write(app, name, Breaker { until, ..state }, sequence).await? {
            return Ok(Some(until));
        }
    }
    Ok(None)
}

/// Notes the result of a request.
pub async fn note(app: &App, name: &str, noted: Noted<'_>) -> Result<(), Error> {
    let now = app.ledger.clock.now();
    for _ in 0..ATTEMPTS_MAX {
        let (sequence, state) = stored(app, name).await?;
        if state.is_same_after(noted, now)
            || write(app, name, state.after(noted, now), sequence).await?
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the state of a breaker.
pub async fn state(app: &App, name: &str) -> Result<Breaker, Error> {
    Ok(stored(app, name).await?.1)
}

impl Breaker {
    fn is_same_after(&self, noted: Noted<'_>, now: Moment) -> bool {
        let is_closed = self.count == 0 && self.until == Moment(0);
        let is_recent = self
            .succeeded
            .is_some_and(|at| at.plus_ms(SUCCESS_MS) > now);
        match noted {
            Noted::Answered => is_closed,
            Noted::Succeeded => is_closed && is_recent,
            Noted::Failed { .. } => false,
        }
    }

    /// Returns the state after one more result.
    fn after(&self, noted: Noted<'_>, now: Moment) -> Self {
        let (pause_ms, reason) = match noted {
            Noted::Answered => {
                return Self {
                    succeeded: self.succeeded,
                    ..Self::default()
                };
            }
            Noted::Succeeded => {
                return Self {
                    succeeded: Some(now),
                    ..Self::default()
                };
            }
            Noted::Failed { pause_ms, reason } => (pause_ms, reason),
        };
        let count = self.count.saturating_add(1);
        let doublings = count.saturating_sub(FAILURES_MAX);
        let pause = match pause_ms {
            Some(ms) => Some(ms.clamp(0, SET_PAUSE_MS_MAX)),
            None if count >= FAILURES_MAX => Some((PAUSE_MS << doublings.min(8)).min(PAUSE_MS_MAX)),
            None => None,
        };
        Self {
            count,
            until: pause.map_or(Moment(0), |pause| now.plus_ms(pause)),
            is_set: pause_ms.is_some(),
            reason: reason.to_owned(),
            succeeded: self.succeeded,
            writer: String::new(),
        }
    }
}

/// Returns the state of a breaker in the given views, for a program that only reads the data of a desk.
pub async fn state_in(views: &dyn Views, name: &str) -> Result<Breaker, Error> {
    Ok(read(views.get(LIMIT, name).await?.as_ref()))
}

fn read(document: Option<&Document>) -> Breaker {
    document
        .and_then(|document| serde_json::from_slice(&document.body).ok())
        .unwrap_or_default()
}

async fn stored(app: &App, name: &str) -> Result<(i64, Breaker), Error> {
    let stored = app.recall(LIMIT, name).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    Ok((sequence, read(stored.as_ref())))
}

async fn write(app: &App, name: &str, state: Breaker, expected: i64) -> Result<bool, Error> {
    let state = Breaker {
        writer: hex(&app.ledger.fresh_id()),
        ..state
    };
    let document = Document {
        sequence: expected + 1,
        body: serde_json::to_vec(&state).unwrap_or_default(),
    };
    app.put_recalled(LIMIT, name, document, expected).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000_000);

    fn failed(pause_ms: Option<i64>) -> Noted<'static> {
        Noted::Failed {
            pause_ms,
            reason: "no answer",
        }
    }

    #[test]
    fn a_pause_begins_after_five_failures_and_doubles() {
        let mut state = Breaker::default();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            state = state.after(failed(None), NOW);
            pauses.push((state.until.0 - NOW.0).max(0) / 1000);
        }
        assert_eq!(pauses, [0, 0, 0, 0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(state.reason, "no answer");
        assert_eq!(state.after(Noted::Answered, NOW), Breaker::default());
    }

    #[test]
    fn a_result_can_set_the_pause() {
        let state = Breaker::default().after(failed(Some(2_000)), NOW);
        assert_eq!((state.count, state.until), (1, Moment(1_002_000)));
        assert!(state.is_set);
        let next = state.after(failed(None), NOW);
        assert!(!next.is_set, "the number of failures decides again");
        assert!(!state.after(Noted::Succeeded, NOW).is_set);
        let long = Breaker::default().after(failed(Some(i64::MAX)), NOW);
        assert_eq!(long.until, NOW.plus_ms(SET_PAUSE_MS_MAX));
    }

    #[test]
    fn the_time_of_a_success_is_stored_once_a_minute() {
        let state = Breaker::default();
        assert!(state.is_same_after(Noted::Answered, NOW));
        assert!(!state.is_same_after(Noted::Succeeded, NOW));
        let state = state.after(Noted::Succeeded, NOW);
        assert_eq!(state.succeeded, Some(NOW));
        assert!(state.is_same_after(Noted::Succeeded, NOW.plus_ms(SUCCESS_MS - 1)));
        assert!(!state.is_same_after(Noted::Succeeded, NOW.plus_ms(SUCCESS_MS)));
        let failing = state.after(failed(None), NOW);
        assert_eq!(failing.succeeded, Some(NOW), "a failure keeps the time");
        assert!(!failing.is_same_after(Noted::Succeeded, NOW));
    }
}
