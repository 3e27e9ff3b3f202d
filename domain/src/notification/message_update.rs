//! Decides about updates of a sent message: when the work to which the message refers progresses, the message shows
//! who acted, and no outdated buttons. An update changes the message in place, and never sends a new one. If it fails
//! for the last time, the person sees the old message, and an outdated button is answered with an explanation.

use events::delivery::{
    DeliveryEvent, FailureClass, Requested, UpdateFailed, UpdateRequested, Updated,
};
use events::notification::Progress;
use events::{Moment, PersonId};
use serde::{Deserialize, Serialize};

use super::delivery::{Delivery, End};
use crate::attempt::{Policy, Verdict, jitter};

/// The retry policy of updates. An update is less important than a message, so it has fewer attempts.
pub const POLICY: Policy = Policy {
    attempts_max: 5,
    first_ms: 2_000,
    longest_ms: 300_000,
};
/// Time in milliseconds after which no further attempt follows: 6 hours. Rate limits can delay an update until then.
pub const EXPIRES_MS: i64 = 6 * 3_600_000;

/// The reason why a message is not updated.
const TOO_OLD: &str = "the message is too old: its provider accepts no update any more";

/// The request for an update of the sent message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUpdate {
    pub to: Progress,
    pub by: Option<PersonId>,
    /// The time of the event that the update shows. The update expires [`EXPIRES_MS`] after this time.
    pub at: Moment,
    pub now: Moment,
    /// The time in milliseconds for which the provider accepts updates of a message. `None` if it is not limited.
    pub age_max_ms: Option<i64>,
}

/// The outcome of one attempt to update the sent message.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateReport {
    pub to: Progress,
    pub attempt: u32,
    pub verdict: Verdict,
    pub at: Moment,
}

/// The newest update of a sent message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    pub to: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// The number of attempts, also of those that were postponed.
    #[serde(default)]
    pub attempts: u32,
    /// The number of attempts that failed. A postponed attempt has not failed.
    #[serde(default)]
    pub failures: u32,
    /// The time of the next attempt. `None` if the update has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
    pub expires: Moment,
}

impl From<&UpdateRequested> for Update {
    fn from(requested: &UpdateRequested) -> Self {
        Self {
            to: requested.to,
            by: requested.by.clone(),
            attempts: 0,
            failures: 0,
            due: Some(requested.due),
            expires: requested.expires,
        }
    }
}

impl Update {
    pub(super) fn fail(&mut self, failed: &UpdateFailed) {
        self.attempts = failed.attempt;
        // A rate limit of the provider or of the account is no failure.
        if failed.class != FailureClass::Throttled {
            self.failures += 1;
        }
        self.due = failed.due;
    }
}

impl Delivery {
    /// Returns the id of the sent message at its provider. Returns `None` if the message was not sent, or if the
    /// provider returned no id. The message of a digest is never updated.
    pub fn sent_message(&self) -> Option<&str> {
        let is_digest = self.requested.as_ref()?.digest.is_some();
        match &self.end {
            Some(End::Succeeded(sent)) if !is_digest && !sent.message.is_empty() => {
                Some(&sent.message)
            }
            _ => None,
        }
    }

    /// Returns the update that needs another attempt, with the time of this attempt.
    pub fn open_update(&self) -> Option<(&Update, Moment)> {
        let update = self.update.as_ref()?;
        Some((update, update.due?))
    }

    pub(super) fn request_update(&self, request: &RequestUpdate) -> Vec<DeliveryEvent> {
        let known = self.update.as_ref().map(|update| update.to);
        if self.sent_message().is_none() || known >= Some(request.to) {
            return Vec::new();
        }
        let requested = UpdateRequested {
            to: request.to,
            by: request.by.clone(),
            due: request.now,
            expires: request.at.plus_ms(EXPIRES_MS),
        };
        let mut events: Vec<DeliveryEvent> = vec![requested.into()];
        let sent = self.requested.as_ref().map(|requested| requested.due);
        let last = sent.zip(request.age_max_ms);
        let last = last.map(|(sent, age_max_ms)| sent.plus_ms(age_max_ms));
        if last.is_some_and(|last| last < request.now) {
            // The provider would refuse each attempt.
            let skipped = UpdateFailed {
                attempt: 1,
                class: FailureClass::Permanent,
                code: String::new(),
                reason: TOO_OLD.to_owned(),
                due: None,
            };
            events.push(skipped.into());
        }
        events
    }

    pub(super) fn record_update(
        &self,
        requested: &Requested,
        report: &UpdateReport,
    ) -> Vec<DeliveryEvent> {
        let Some((update, _)) = self.open_update() else {
            return Vec::new();
        };
        let attempt = update.attempts + 1;
        if update.to != report.to || attempt != report.attempt {
            return Vec::new();
        }
        let (class, code, reason, pause_ms) = match &report.verdict {
            Verdict::Succeeded { .. } => {
                let to = report.to;
                return vec![Updated { attempt, to }.into()];
            }
            Verdict::Throttled { reason, after_ms } => {
                let pause_ms = Some((*after_ms).max(1));
                (FailureClass::Throttled, "", &**reason, pause_ms)
            }
            Verdict::Refused {
                class,
                code,
                reason,
            } => (*class, code.as_str(), &**reason, None),
            Verdict::Failed { reason, .. } => (FailureClass::Permanent, "", &**reason, None),
            // An update can be repeated: the message then shows the same content again.
            Verdict::Unknown { reason } => {
                let pause_ms = pause_ms(requested, update.failures + 1, None);
                (FailureClass::Unknown, "", &**reason, pause_ms)
            }
            Verdict::Retry { reason, after_ms } => {
                let pause_ms = pause_ms(requested, update.failures + 1, *after_ms);
                (FailureClass::Transient, "", &**reason, pause_ms)
            }
            Verdict::Poll { .. } => (FailureClass::Permanent, "", "no result", None),
        };
        let due = pause_ms.map(|pause_ms| report.at.plus_ms(pause_ms));
        let failed = UpdateFailed {
            attempt,
            class,
            code: code.to_owned(),
            reason: reason.to_owned(),
            due: due.filter(|due| *due <= update.expires),
        };
        vec![failed.into()]
    }
}

/// Returns the pause before the next attempt in milliseconds. Returns `None` if no further attempt follows.
fn pause_ms(requested: &Requested, failures: u32, after_ms: Option<i64>) -> Option<i64> {
    let name = format!("{}/{}/update", requested.notification, requested.account);
    let pause_ms = POLICY.jittered_ms(failures, jitter(&name, failures));
    (failures < POLICY.attempts_max).then(|| after_ms.unwrap_or(pause_ms).max(1))
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use events::delivery::{OfDigest, Succeeded};

    use super::*;
    use crate::decider::{Decider as _, fold};
    use crate::notification::delivery::Command;

    fn requested() -> Requested {
        Requested {
            notification: "notification-1".into(),
            digest: None,
            ticket: "REQ1".into(),
            person: "p-1".into(),
            account: "chat".into(),
            channel: "slack".into(),
            to: Personal::new("p-1".into(), "U1".into()),
            content: Personal::new("p-1".into(), "text".into()),
            repetition: events::task_type::Repetition::AtMostOnce,
            due: Moment(5),
            expires: Moment(1_000),
            is_tagged: true,
            thread: None,
        }
    }

    fn sent(message: &str) -> Vec<DeliveryEvent> {
        let sent = Succeeded {
            attempt: 1,
            code: "ok".into(),
            message: message.into(),
            lost_root: String::new(),
        };
        vec![requested().into(), sent.into()]
    }

    fn update(to: Progress, at: i64) -> Command {
        Command::RequestUpdate(RequestUpdate {
            to,
            by: Some("p-2".into()),
            at: Moment(at),
            now: Moment(at),
            age_max_ms: None,
        })
    }

    fn report(to: Progress, attempt: u32, verdict: Verdict) -> Command {
        Command::RecordUpdate(UpdateReport {
            to,
            attempt,
            verdict,
            at: Moment(10_000),
        })
    }

    /// Executes a command and appends its events to the history. Returns the new events.
    fn execute(history: &mut Vec<DeliveryEvent>, command: &Command) -> Vec<DeliveryEvent> {
        let delivery: Delivery = fold(&*history);
        let events = delivery.decide(command, &()).expect("allowed");
        history.extend(events.clone());
        events
    }

    #[test]
    fn a_message_is_updated_once_for_each_state_in_their_order() {
        let mut history = sent("C1/1.1");
        assert_eq!(
            execute(&mut history, &update(Progress::Acknowledged, 100)).len(),
            1
        );
        let done = Verdict::succeeded(std::collections::BTreeMap::new());
        let first = report(Progress::Acknowledged, 1, done.clone());
        assert_eq!(execute(&mut history, &first).len(), 1);
        assert!(execute(&mut history, &update(Progress::Acknowledged, 101)).is_empty());
        assert_eq!(
            execute(&mut history, &update(Progress::Ended, 102)).len(),
            1
        );
        assert!(execute(&mut history, &update(Progress::Done, 103)).is_empty());
        // The outcome of the earlier update arrives again.
        assert!(execute(&mut history, &first).is_empty());
        assert_eq!(
            execute(&mut history, &report(Progress::Ended, 1, done)).len(),
            1
        );
        let delivery: Delivery = fold(&history);
        assert_eq!((delivery.updates, delivery.open_update()), (2, None));
    }

    #[test]
    fn only_a_sent_message_with_an_id_is_updated() {
        let mut digest = sent("C1/1.1");
        let of_digest = OfDigest {
            digest: "digest-1".into(),
            notifications: vec!["notification-1".into()],
        };
        digest[0] = Requested {
            digest: Some(of_digest),
            ..requested()
        }
        .into();
        for mut history in [vec![requested().into()], sent(""), digest] {
            assert!(execute(&mut history, &update(Progress::Done, 100)).is_empty());
        }
    }

    #[test]
    fn the_attempts_of_an_update_are_bounded_and_a_rate_limit_costs_none() {
        let mut history = sent("C1/1.1");
        execute(&mut history, &update(Progress::Done, 100));
        let limited = || Verdict::Throttled {
            reason: "limit".into(),
            after_ms: 1_000,
        };
        for attempt in 1..=10 {
            execute(&mut history, &report(Progress::Done, attempt, limited()));
        }
        for attempt in 1..=POLICY.attempts_max {
            let failure = report(Progress::Done, 10 + attempt, Verdict::retry("busy"));
            let events = execute(&mut history, &failure);
            let [DeliveryEvent::UpdateFailed(failed)] = events.as_slice() else {
                panic!("{events:?}")
            };
            assert_eq!(failed.due.is_some(), attempt < POLICY.attempts_max);
        }
        let delivery: Delivery = fold(&history);
        assert_eq!(delivery.open_update(), None);
        assert!(matches!(delivery.end, Some(End::Succeeded(_))));
    }

    #[test]
    fn a_message_over_the_age_limit_of_its_provider_is_not_updated() {
        let request = |now| {
            Command::RequestUpdate(RequestUpdate {
                to: Progress::Done,
                by: None,
                at: Moment(100),
                now: Moment(now),
                age_max_ms: Some(1_000),
            })
        };
        // The message was requested at 5.
        let mut history = sent("C1/1.1");
        let requested = execute(&mut history, &request(1_005));
        let [DeliveryEvent::UpdateRequested(requested)] = requested.as_slice() else {
            panic!("{requested:?}")
        };
        assert_eq!(requested.due, Moment(1_005));
        assert_eq!(requested.expires, Moment(100 + EXPIRES_MS));
        let mut history = sent("C1/1.1");
        let skipped = execute(&mut history, &request(1_006));
        let [_, DeliveryEvent::UpdateFailed(failed)] = skipped.as_slice() else {
            panic!("{skipped:?}")
        };
        assert_eq!((failed.reason.as_str(), failed.due), (TOO_OLD, None));
        assert_eq!(fold::<Delivery>(&history).open_update(), None);
        assert!(execute(&mut history, &request(1_007)).is_empty(), "once");
    }

    #[test]
    fn a_refused_update_is_not_repeated() {
        let mut history = sent("C1/1.1");
        execute(&mut history, &update(Progress::Done, 100));
        let refused = Verdict::refused(FailureClass::Permanent, "message_not_found", "gone");
        execute(&mut history, &report(Progress::Done, 1, refused));
        assert_eq!(fold::<Delivery>(&history).open_update(), None);
    }
}
