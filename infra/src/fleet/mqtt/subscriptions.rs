//! Stores which subscriptions the broker of the current connection has accepted or refused. In MQTT 3.1.1, a broker
//! answers each subscription with the packet SUBACK. The return code 128 means that the broker has refused the topic
//! filter, for example because of its access list. The connection stays open, and no message of the filter arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::fleet::{REFUSED_MAX, Refused};

/// Pauses before refused subscriptions are requested again. `PAUSE` is the first pause. Each attempt that leaves a
/// refused subscription doubles the pause up to `PAUSE_MAX`.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
pub(super) const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Maximum time in which the broker answers the subscriptions that were requested together.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The reason if a broker refuses a topic filter.
pub(super) const BY_BROKER: &str = "the broker refuses the subscription (return code 128); its access list must allow this client to read the topics";
/// The reason if a broker does not answer.
pub(super) const NO_ANSWER: &str = "the broker does not answer the subscription";
/// The reason if a topic filter is not valid.
pub(super) const NOT_VALID: &str = "the topic filter is not valid";

/// The subscriptions of the current connection. Both collections are empty while no connection is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscriptions {
    /// The topic filters that the broker has accepted.
    pub(super) accepted: BTreeSet<String>,
    /// The topic filters that do not work, with the reason.
    pub(super) refused: BTreeMap<String, String>,
}

impl Subscriptions {
    /// Returns the filters of `wanted` that the broker has not accepted. Removes refused filters that are not wanted any
    /// more.
    pub(super) fn missing(&mut self, wanted: &BTreeSet<String>) -> Vec<String> {
        self.refused.retain(|filter, _| wanted.contains(filter));
        wanted.difference(&self.accepted).cloned().collect()
    }

    /// Records that the broker has accepted a filter. Returns true if the filter was refused before.
    pub(super) fn accept(&mut self, filter: &str) -> bool {
        self.accepted.insert(filter.to_owned());
        self.refused.remove(filter).is_some()
    }

    /// Records that a filter does not work. Returns true if this reason is new.
    pub(super) fn refuse(&mut self, filter: &str, reason: &str) -> bool {
        let before = self.refused.insert(filter.to_owned(), reason.to_owned());
        before.as_deref() != Some(reason)
    }

    /// Returns at most [`REFUSED_MAX`] filters that do not work, in alphabetical order.
    pub(super) fn shown(&self) -> Vec<Refused> {
        let refused = self.refused.iter().take(REFUSED_MAX);
        let refused = refused.map(|(filter, reason)| Refused {
            filter: filter.clone(),
            reason: reason.clone(),
        });
        refused.collect()
    }
}
