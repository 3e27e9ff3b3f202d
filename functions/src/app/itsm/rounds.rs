//! Stores when the desk asks for the statuses of resting applications (tickets in external ITSMs) again.
//!
//! A resting application only waits for the decision, and its last request had no problem. Its stored deadline is the time
//! of its first request together with other applications. If the external ticket does not change, the desk stores no event
//! for it. The times of the further requests follow from one document for each kind ([`Rest`]): the new applications of a
//! kind are asked for at their deadlines, young ones every two minutes, and all of them every five minutes.
//!
//! The documents are in a view. If they are lost, the desk asks for all resting applications at once, which does no harm.
//! Independently of them, each application has the deadline at which it expires.

use domain::itsm::application::Application;
use events::Moment;
use events::application::POLL;
use infra::Error;
use infra::views::{Document, Views};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::App;
use crate::app::rate::LIMIT;

/// An application is young until this time after its deadline, in milliseconds.
pub const YOUNG_MS: i64 = 360_000;
/// The time between two requests about the young applications of a kind, in milliseconds.
const YOUNG_EVERY_MS: i64 = 120_000;
/// The time between two requests about all applications of a kind, in milliseconds.
pub const ALL_EVERY_MS: i64 = 300_000;
/// Maximum number of attempts to store a document. An attempt fails if another worker stores it at the same time.
const ATTEMPTS_MAX: usize = 5;

/// The last search for work of a group of deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The time of the search. Later deadlines of the group are new.
    pub until: Moment,
    /// The time of the next search, if there is no new deadline before.
    pub next: Moment,
}

/// The last requests about the resting applications of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The applications with a later deadline are new.
    pub until: Moment,
    /// The time of the next request about the young applications.
    pub young: Moment,
    /// The time of the next request about all applications.
    pub all: Moment,
    /// No request may be sent before this time. Zero if the last requests are complete.
    #[serde(default)]
    pub wait: Moment,
    /// Where the requests continue, if they are incomplete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// The last application of an incomplete list of requests: its index value and its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub value: String,
    pub stream: String,
    /// True if the requests are about all applications, and not only about new or young ones.
    pub is_all: bool,
}

impl Round {
    /// Returns true if a search is due at the time `now`. A time that is too far in the future is wrong, for example after
    /// a correction of the clock.
    pub fn is_due(&self, now: Moment) -> bool {
        is_reached(self.next, now, ALL_EVERY_MS)
    }
}

impl Rest {
    /// Returns true if the next requests are about all applications.
    pub fn is_all(&self, now: Moment) -> bool {
        is_reached(self.all, now, ALL_EVERY_MS)
    }

    fn is_young(&self, now: Moment) -> bool {
        is_reached(self.young, now, YOUNG_EVERY_MS)
    }

    /// Returns true if the desk must not ask for the applications yet, because the last requests were interrupted.
    pub fn waits(&self, now: Moment) -> bool {
        !is_reached(self.wait, now, WAIT_MAX_MS)
    }

    /// Returns the smallest deadline of the applications that are asked for at the time `now`.
    pub fn earliest(&self, now: Moment) -> Moment {
        let first_new = self.first_new(now);
        if self.is_all(now) {
            Moment(0)
        } else if self.is_young(now) {
            first_new.min(now.plus_ms(-YOUNG_MS))
        } else {
            first_new
        }
    }

    /// Returns the smallest deadline of the new applications.
    pub fn first_new(&self, now: Moment) -> Moment {
        self.until.min(now.plus_ms(YOUNG_EVERY_MS)).plus_ms(1)
    }

    /// Returns the value after all applications with deadlines up to `until` were asked for at the time `now`.
    #[must_use]
    pub fn complete(&self, now: Moment, until: Moment) -> Self {
        let is_all = self.is_all(now);
        let is_young = is_all || self.is_young(now);
        Self {
            until,
            young: if is_young {
                now.plus_ms(YOUNG_EVERY_MS)
            } else {
                self.young
            },
            all: if is_all {
                now.plus_ms(ALL_EVERY_MS)
            } else {
                self.all
            },
            wait: Moment(0),
            asked: None,
        }
    }
}

/// The longest pause before interrupted requests continue, in milliseconds. It is the longest pause that a response can
/// set for an integration.
const WAIT_MAX_MS: i64 = 3_600_000;

fn is_reached(at: Moment, now: Moment, longest_ms: i64) -> bool {
    at <= now || at > now.plus_ms(longest_ms)
}

/// Returns the last search for work of a group of deadlines.
pub async fn round(views: &dyn Views, group: &str) -> Result<Round, Error> {
    Ok(stored::<Round>(views, &key(group)).await?.1)
}

/// Stores a search for work of a group of deadlines.
pub async fn store_round(views: &dyn Views, group: &str, round: &Round) -> Result<(), Error> {
    store(views, &key(group), round).await
}

/// Returns the last requests about the resting applications of a kind.
pub async fn rest(views: &dyn Views, kind: &str) -> Result<Rest, Error> {
    Ok(stored::<Rest>(views, &key_of_kind(kind)).await?.1)
}

/// Stores the last requests about the resting applications of a kind. Only the worker with the exclusive right for the kind
/// calls this function.
pub async fn store_rest(views: &dyn Views, kind: &str, rest: &Rest) -> Result<(), Error> {
    store(views, &key_of_kind(kind), rest).await
}

/// Returns the time of the next request about an open application.
pub async fn next_request(app: &App, application: &Application) -> Result<Moment, Error> {
    let (now, due) = (app.ledger.clock.now(), application.attempts.due);
    if due > now || !application.is_resting() {
        return Ok(due);
    }
    let rest = rest(&*app.views, application.kind()).await?;
    let next = if due > now.plus_ms(-YOUNG_MS) {
        rest.young.min(rest.all)
    } else {
        rest.all
    };
    Ok(next.max(rest.wait).max(due))
}

fn key(group: &str) -> String {
    format!("round/{group}")
}

fn key_of_kind(kind: &str) -> String {
    format!("{}/{kind}", key(&format!("application/{POLL}")))
}

/// Returns a document with its sequence number. An unreadable document counts as absent.
async fn stored<T: Default + DeserializeOwned>(
    views: &dyn Views,
    key: &str,
) -> Result<(i64, T), Error> {
    let Some(document) = views.get(LIMIT, key).await? else {
        return Ok((0, T::default()));
    };
    let value = serde_json::from_slice(&document.body).unwrap_or_default();
    Ok((document.sequence, value))
}

async fn store<T: Default + DeserializeOwned + PartialEq + Serialize + Send + Sync>(
    views: &dyn Views,
    key: &str,
    value: &T,
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS_MAX {
        let (sequence, before) = stored::<T>(views, key).await?;
        if sequence > 0 && before == *value {
            return Ok(());
        }
        let document = Document {
            sequence: sequence + 1,
            body: serde_json::to_vec(value).unwrap_or_default(),
        };
        if views.put(LIMIT, key, &document, &[], sequence).await? {
            return Ok(());
        }
    }
    // Another worker has stored a newer value.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(10_000_000);

    #[test]
    fn new_young_and_all_applications_have_different_pauses() {
        let first = Rest::default();
        assert_eq!(first.earliest(NOW), Moment(0), "nothing was asked for");
        let until = NOW.plus_ms(30_000);
        let mut rest = first.complete(NOW, until);
        let mut asked = Vec::new();
        for minute in 1..=10 {
            let now = NOW.plus_ms(minute * 60_000);
            let from = rest.earliest(now);
            let who = if from == Moment(0) {
                "all"
            } else if from == rest.first_new(now) {
                "new"
            } else {
                assert_eq!(from, now.plus_ms(-YOUNG_MS));
                "young"
            };
            asked.push(who);
            rest = rest.complete(now, now.plus_ms(30_000));
        }
        let expected = [
            "new", "young", "new", "young", "all", "new", "young", "new", "young", "all",
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_clock_that_was_set_back_stops_no_requests() {
        let rest = Rest::default().complete(NOW, NOW.plus_ms(30_000));
        let before = NOW.plus_ms(-86_400_000);
        assert!(rest.is_all(before));
        assert!(rest.first_new(before) <= before.plus_ms(YOUNG_EVERY_MS + 1));
        let round = Round {
            until: NOW,
            next: NOW.plus_ms(60_000),
        };
        assert!(!round.is_due(NOW));
        assert!(round.is_due(before));
        assert!(round.is_due(NOW.plus_ms(60_000)));
    }

    #[test]
    fn interrupted_requests_wait_for_a_bounded_time() {
        let rest = Rest {
            wait: NOW.plus_ms(5_000),
            ..Rest::default()
        };
        assert!(rest.waits(NOW));
        assert!(!rest.waits(NOW.plus_ms(5_000)));
        assert!(!rest.waits(NOW.plus_ms(-WAIT_MAX_MS)));
    }
}
