//! Implements the aggregate of one delivery. A delivery sends one message to one person through one channel
//! account (a configured sender, such as a mail relay). If an attempt fails for a temporary reason, the desk
//! makes another attempt.

use events::delivery::{
    AttemptFailed, AttemptStarted, Bounced, Buzzed, DeliveryEvent, Failed, FailureClass, Postponed,
    Requested, Succeeded,
};
use events::task_type::Repetition;
use events::{Moment, Personal};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempts, Policy, Report, Verdict, jitter};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::notification::message_update::{RequestUpdate, Update, UpdateReport};
use crate::notification::receipt::{self, ReceiptReport, ReceiptState};
use crate::views::Card;

/// The retry policy of urgent deliveries, and of deliveries whose message another account can send instead. The desk makes
/// up to 12 attempts in at most 29 minutes, and in about 15 minutes on average. Each pause is at least 2 seconds and at most
/// 5 minutes. A hash chooses it in a range that doubles after each attempt, so that the messages of a provider that comes
/// back do not all arrive at once.
pub const POLICY: Policy = Policy {
    attempts_max: 12,
    first_ms: 2000,
    longest_ms: 300_000,
};

/// The retry policy of all other deliveries after the attempts of [`POLICY`]. Each pause is between 1 and 5 minutes. The
/// desk makes further attempts until the delivery expires: even with the shortest pauses, this is earlier than the last
/// attempt of the policy.
pub const PATIENT: Policy = Policy {
    attempts_max: 2_000,
    first_ms: 60_000,
    ..POLICY
};

/// The maximum number of attempts with an unknown result. The provider may have accepted the message at each of them, so
/// this limits the number of duplicate messages.
const UNKNOWN_MAX: u32 = 3;

/// The output of a successful attempt that contains the code in the response of the provider.
pub const CODE: &str = "code";
/// The output of a successful attempt that contains the id of the message at the provider.
pub const MESSAGE: &str = "message";
/// The output of a successful attempt that contains the id of the first message of the thread, if this message does not
/// exist any more and the provider therefore sent the message outside of the thread.
pub const LOST_ROOT: &str = "lost_root";

/// The commands that change one delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Box<Requested>),
    /// Stores that an attempt starts. The desk uses this command only if the message must not be sent twice.
    /// If no outcome is stored before the time `until`, the attempt counts as interrupted.
    Begin {
        attempt: u32,
        until: Moment,
    },
    /// Stores the outcome of the current attempt to send the message.
    Record(Report),
    /// Requests an update of the sent message. If the message cannot be updated, or shows this state or a later one,
    /// the command does nothing.
    RequestUpdate(RequestUpdate),
    /// Stores the response to a request for the receipt of the sent message. If the request is not the current one, the
    /// command does nothing.
    RecordReceipt(ReceiptReport),
    /// Stores the outcome of an attempt to update the sent message. If the attempt is not the current one, the
    /// command does nothing.
    RecordUpdate(UpdateReport),
    /// Stores a report that the recipient did not get the message. Only the first report is stored.
    Bounce(Bounced),
    /// Stores the result of the request that makes the sent message urgent. Only the first result is stored.
    Buzz(Buzzed),
}

/// The reasons why the desk rejects a command for a delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the delivery is already requested")]
    AlreadyRequested,
    #[error("the delivery is not requested")]
    NotRequested,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
}

/// The final result of a delivery: success or failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Succeeded(Succeeded),
    Failed(Failed),
}

/// The reason why the newest attempt of a delivery sent no message: a failure or a rate limit. Further attempts
/// can follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    pub class: FailureClass,
    pub code: String,
    pub reason: String,
}

/// The state of one delivery (one message to one person), computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub requested: Option<Requested>,
    pub attempts: Attempts,
    /// The number of failed attempts whose result is unknown.
    #[serde(default)]
    pub unknowns: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// True if the provider refused the complete message because of its size. The next attempt sends a short message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_short: bool,
    /// The receipt of the sent message. The value is absent if the provider reports no receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptState>,
    /// The newest update of the sent message. The value is absent if no update was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
    /// The number of updates that the provider has accepted.
    #[serde(default)]
    pub updates: u32,
    /// The report that the recipient did not get the message, or does not want it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounced: Option<Bounced>,
    /// True if the desk asked the provider to make the sent message urgent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_buzzed: bool,
}

impl Decider for Delivery {
    type Command = Command;
    type Event = DeliveryEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Request(_))
    }

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<DeliveryEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match (command, &self.requested) {
            (Command::Request(_), Some(_)) => reject(Rejection::AlreadyRequested),
            (Command::Request(requested), None) => Ok(vec![(**requested).clone().into()]),
            (_, None) => reject(Rejection::NotRequested),
            (Command::Bounce(_), _) if self.bounced.is_some() => Ok(Vec::new()),
            (Command::Bounce(bounced), _) => Ok(vec![bounced.clone().into()]),
            (Command::Buzz(_), _) if self.is_buzzed => Ok(Vec::new()),
            (Command::Buzz(buzzed), _) => Ok(vec![buzzed.clone().into()]),
            (Command::Begin { attempt, .. } | Command::Record(Report { attempt, .. }), _)
                if *attempt != self.attempts.next() || !self.is_open() =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            (Command::Begin { attempt, .. }, _) if self.attempts.is_interrupted() => {
                reject(Rejection::NotDue(*attempt))
            }
            (Command::Begin { attempt, until }, _) => Ok(vec![
                AttemptStarted {
                    attempt: *attempt,
                    due: *until,
                }
                .into(),
            ]),
            (Command::Record(report), Some(requested)) => {
                let mut events = vec![self.record(requested, report)];
                events.extend(receipt::first(report));
                Ok(events)
            }
            (Command::RecordReceipt(report), Some(_)) => Ok(self.record_receipt(report)),
            (Command::RequestUpdate(request), Some(_)) => Ok(self.request_update(request)),
            (Command::RecordUpdate(report), Some(requested)) => {
                Ok(self.record_update(requested, report))
            }
        }
    }

    fn evolve(&mut self, event: &DeliveryEvent) {
        match event {
            DeliveryEvent::Requested(requested) => {
                self.attempts = Attempts::due_at(requested.due);
                self.requested = Some(requested.clone());
            }
            DeliveryEvent::AttemptStarted(started) => {
                self.attempts.start(started.attempt, started.due);
            }
            DeliveryEvent::AttemptFailed(failed) => {
                self.attempts.fail(failed.attempt, failed.due);
                self.unknowns += u32::from(failed.class == FailureClass::Unknown);
                self.is_short |= failed.class == FailureClass::TooLarge;
                self.last_failure = Some(LastFailure {
                    class: failed.class,
                    code: failed.code.clone(),
                    reason: failed.reason.clone(),
                });
            }
            DeliveryEvent::Postponed(postponed) => {
                self.attempts.postpone(postponed.attempt, postponed.due);
                self.last_failure = Some(LastFailure {
                    class: FailureClass::Throttled,
                    code: String::new(),
                    reason: postponed.reason.clone(),
                });
            }
            DeliveryEvent::Succeeded(succeeded) => {
                self.attempts.end(succeeded.attempt);
                self.end = Some(End::Succeeded(succeeded.clone()));
            }
            DeliveryEvent::Failed(failed) => {
                self.attempts.end(failed.attempt);
                self.end = Some(End::Failed(failed.clone()));
            }
            DeliveryEvent::ReceiptScheduled(scheduled) => {
                self.receipt = Some(ReceiptState::Scheduled {
                    poll: scheduled.poll,
                    due: scheduled.due,
                });
            }
            DeliveryEvent::ReceiptEnded(ended) => {
                self.receipt = Some(ReceiptState::Ended(ended.receipt));
            }
            DeliveryEvent::Buzzed(_) => self.is_buzzed = true,
            DeliveryEvent::UpdateRequested(requested) => self.update = Some(requested.into()),
            DeliveryEvent::UpdateFailed(failed) => {
                if let Some(update) = &mut self.update {
                    update.fail(failed);
                }
            }
            DeliveryEvent::Updated(_) => {
                self.updates += 1;
                if let Some(update) = &mut self.update {
                    update.due = None;
                }
            }
            DeliveryEvent::Bounced(bounced) => self.bounced = Some(bounced.clone()),
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let requested = self.requested.iter_mut();
        requested.flat_map(events::Personals::personals).collect()
    }
}

impl Delivery {
    /// Returns true if the delivery was requested and has not ended. The desk must then make another attempt
    /// to send the message.
    pub fn is_open(&self) -> bool {
        self.requested.is_some() && self.end.is_none()
    }

    /// Returns true if the start of the current attempt is stored, but no outcome of this attempt is stored.
    /// The program probably stopped during the attempt. The desk stores the start only if the message must
    /// not be sent twice.
    pub fn is_interrupted(&self) -> bool {
        self.is_open() && self.attempts.is_interrupted()
    }

    /// Returns the policy for the attempts after an attempt with an unknown result. Attempts that failed for other reasons
    /// do not count.
    pub fn after_unknown(&self) -> Policy {
        let left = UNKNOWN_MAX.saturating_sub(self.unknowns);
        Policy {
            attempts_max: self.attempts.failures.saturating_add(left),
            ..POLICY
        }
    }

    /// Returns the event that stores the outcome of one attempt. The outcome is in `report`. If the attempt
    /// failed, the event also decides whether another attempt follows.
    fn record(&self, requested: &Requested, report: &Report) -> DeliveryEvent {
        let attempt = report.attempt;
        let (class, code, reason, after_ms) = match &report.verdict {
            Verdict::Succeeded { outputs, .. } => {
                let output = |key| outputs.get(key).cloned().unwrap_or_default();
                let (code, message) = (output(CODE), output(MESSAGE));
                return Succeeded {
                    attempt,
                    code,
                    message,
                    lost_root: output(LOST_ROOT),
                }
                .into();
            }
            Verdict::Throttled { reason, after_ms } => {
                let due = report.at.plus_ms((*after_ms).max(1));
                if due <= requested.expires {
                    let reason = reason.to_string();
                    return Postponed {
                        attempt,
                        reason,
                        due,
                    }
                    .into();
                }
                let class = FailureClass::Throttled;
                return failed(attempt, class, "", reason);
            }
            // A message that is too large is sent once more as a short message.
            Verdict::Refused {
                class: class @ FailureClass::TooLarge,
                code,
                reason,
            } if !self.is_short => (*class, code.as_str(), &**reason, None),
            Verdict::Refused {
                class,
                code,
                reason,
            } => return failed(attempt, *class, code, reason),
            Verdict::Failed { reason, .. } => {
                return failed(attempt, FailureClass::Permanent, "", reason);
            }
            Verdict::Unknown { reason } if requested.repetition == Repetition::AtMostOnce => {
                return failed(attempt, FailureClass::Unknown, "", reason);
            }
            Verdict::Unknown { reason } => (FailureClass::Unknown, "", &**reason, None),
            Verdict::Retry { reason, after_ms } => {
                (FailureClass::Transient, "", &**reason, *after_ms)
            }
            Verdict::Poll { .. } => (FailureClass::Transient, "", "no result yet", None),
        };
        let jitter = jitter(&jitter_name(requested), attempt);
        let next = self
            .attempts
            .retry_with_jitter(report.policy, after_ms, jitter, report.at);
        match next.filter(|due| *due <= requested.expires) {
            Some(due) => AttemptFailed {
                attempt,
                class,
                code: code.to_owned(),
                reason: reason.to_owned(),
                due,
            }
            .into(),
            None => failed(attempt, class, code, reason),
        }
    }
}

/// Returns the text that identifies a delivery: its notification and its channel account (the configured sender).
fn jitter_name(requested: &Requested) -> String {
    format!("{}/{}", requested.notification, requested.account)
}

fn failed(attempt: u32, class: FailureClass, code: &str, reason: &str) -> DeliveryEvent {
    Failed {
        attempt,
        class,
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
    .into()
}

/// Defines in which lists of the view `delivery` a delivery appears. There is a list of all deliveries, a
/// list of the open deliveries and a list of the failed deliveries. In addition, each notification has a list
/// of its deliveries.
impl Card for Delivery {
    type Event = DeliveryEvent;
    const VIEW: &'static str = "delivery";
    const READS_PERSONALS: bool = false;

    fn fold(&mut self, envelope: &Envelope<DeliveryEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(requested) = &self.requested else {
            return Vec::new();
        };
        // Lists are sorted by the time of expiry. This time never changes, so the position of a delivery in a
        // list never changes.
        let age = format!("{:016}", requested.expires.0);
        let mut rows = vec![("delivery", age.clone())];
        let notifications = requested.notifications();
        rows.extend(notifications.map(|one| ("notification", format!("{one}|{age}"))));
        match &self.end {
            None => rows.push(("open", age)),
            Some(End::Failed(_)) => rows.push(("failed", age)),
            Some(End::Succeeded(_)) if self.bounced.is_some() => rows.push(("failed", age)),
            Some(End::Succeeded(_)) => {}
        }
        rows
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        Decider::personals(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decider::fold;

    const EXPIRES: Moment = Moment(1_000_000);

    fn requested(repetition: Repetition) -> Requested {
        Requested {
            notification: "notification-1".into(),
            digest: None,
            ticket: "REQ1".into(),
            person: "p-1".into(),
            account: "mail".into(),
            channel: "email".into(),
            to: Personal::new("p-1".into(), "a@b.example".into()),
            content: Personal::new("p-1".into(), "text".into()),
            repetition,
            due: Moment(5),
            expires: EXPIRES,
            is_tagged: true,
            thread: None,
        }
    }

    fn report(attempt: u32, verdict: Verdict, at: i64) -> Command {
        Command::Record(Report {
            attempt,
            exchange: None,
            status: None,
            verdict,
            policy: POLICY,
            at: Moment(at),
        })
    }

    fn retry(after_ms: Option<i64>) -> Verdict {
        Verdict::Retry {
            reason: "busy".into(),
            after_ms,
        }
    }

    fn unknown() -> Verdict {
        Verdict::Unknown {
            reason: "no response".into(),
        }
    }

    fn given(repetition: Repetition) -> Vec<DeliveryEvent> {
        vec![requested(repetition).into()]
    }

    /// Returns the pause after the first failed attempt with the given number.
    fn first_pause(attempt: u32) -> i64 {
        let name = jitter_name(&requested(Repetition::AtMostOnce));
        POLICY.jittered_ms(1, jitter(&name, attempt))
    }

    fn attempt_failed(attempt: u32, class: FailureClass, reason: &str, due: i64) -> DeliveryEvent {
        AttemptFailed {
            attempt,
            class,
            code: String::new(),
            reason: reason.into(),
            due: Moment(due),
        }
        .into()
    }

    #[test]
    fn a_message_that_is_too_large_is_sent_once_more_as_a_short_message() {
        let large = |attempt| {
            report(
                attempt,
                Verdict::refused(FailureClass::TooLarge, "413", "too large"),
                10,
            )
        };
        let mut events = given(Repetition::AtMostOnce);
        let delivery = fold::<Delivery>(&events);
        let first = delivery.decide(&large(1), &()).unwrap();
        assert!(
            matches!(
                first[..],
                [DeliveryEvent::AttemptFailed(AttemptFailed {
                    class: FailureClass::TooLarge,
                    ..
                })]
            ),
            "{first:?}"
        );
        events.extend(first);
        let delivery = fold::<Delivery>(&events);
        assert!(delivery.is_short && delivery.is_open());
        let second = delivery.decide(&large(2), &()).unwrap();
        assert!(
            matches!(
                second[..],
                [DeliveryEvent::Failed(Failed {
                    class: FailureClass::TooLarge,
                    ..
                })]
            ),
            "{second:?}"
        );
    }

    #[test]
    fn the_first_report_after_the_acceptance_is_stored() {
        let bounced = |code: &str| Bounced {
            kind: events::delivery::BounceKind::Bounce,
            class: FailureClass::RecipientInvalid,
            code: code.into(),
            reason: "unknown user".into(),
            report: "inbound-1".into(),
        };
        let bounce = |code| Command::Bounce(bounced(code));
        let not_requested = Delivery::default().decide(&bounce("5.1.1"), &());
        assert_eq!(
            not_requested,
            Err(DecideError::Rejected(Rejection::NotRequested))
        );
        let mut events = given(Repetition::AtLeastOnce);
        let verdict = Verdict::succeeded(BTreeMap::new());
        let accepted = fold::<Delivery>(&events).decide(&report(1, verdict, 10), &());
        events.extend(accepted.unwrap());
        let first = fold::<Delivery>(&events).decide(&bounce("5.1.1"), &());
        assert_eq!(first, Ok(vec![bounced("5.1.1").into()]));
        events.extend(first.unwrap());
        let delivery = fold::<Delivery>(&events);
        assert!(!delivery.is_open());
        assert!(delivery.index().iter().any(|(name, _)| *name == "failed"));
        assert_eq!(delivery.decide(&bounce("5.2.1"), &()), Ok(Vec::new()));
    }

    #[test]
    fn each_verdict_leads_to_its_event() {
        use FailureClass::{Credential, Permanent, Throttled, Transient, Unknown};
        let (twice, once) = (Repetition::AtLeastOnce, Repetition::AtMostOnce);
        let outputs = BTreeMap::from([("code".to_owned(), "250".to_owned())]);
        let refused = Verdict::Refused {
            class: Credential,
            code: "310000".into(),
            reason: "sign".into(),
        };
        let throttled = |after_ms| Verdict::Throttled {
            reason: "limit".into(),
            after_ms,
        };
        let permanent = Verdict::Failed {
            reason: "off".into(),
            outputs: BTreeMap::new(),
        };
        let postponed = Postponed {
            attempt: 1,
            reason: "limit".into(),
            due: Moment(60_100),
        };
        let code = "250".to_owned();
        for (repetition, verdict, expected) in [
            (
                once,
                Verdict::succeeded(outputs),
                Succeeded {
                    attempt: 1,
                    code,
                    message: String::new(),
                    lost_root: String::new(),
                }
                .into(),
            ),
            (
                once,
                retry(None),
                attempt_failed(1, Transient, "busy", 100 + first_pause(1)),
            ),
            (
                once,
                retry(Some(300_000)),
                attempt_failed(1, Transient, "busy", 300_100),
            ),
            (once, refused, failed(1, Credential, "310000", "sign")),
            (once, permanent, failed(1, Permanent, "", "off")),
            (once, throttled(60_000), postponed.into()),
            (
                once,
                throttled(1_000_000),
                failed(1, Throttled, "", "limit"),
            ),
            (once, unknown(), failed(1, Unknown, "", "no response")),
            (
                twice,
                unknown(),
                attempt_failed(1, Unknown, "no response", 100 + first_pause(1)),
            ),
            (
                once,
                retry(Some(1_000_000)),
                failed(1, Transient, "", "busy"),
            ),
        ] {
            assert_eq!(
                fold::<Delivery>(&given(repetition)).decide(&report(1, verdict, 100), &()),
                Ok(vec![expected])
            );
        }
    }

    #[test]
    fn a_rate_limit_costs_no_attempt() {
        let mut delivery = fold::<Delivery>(&given(Repetition::AtMostOnce));
        let throttled = || Verdict::Throttled {
            reason: "limit".into(),
            after_ms: 1000,
        };
        for attempt in 1..=50 {
            let events = delivery
                .decide(&report(attempt, throttled(), 10), &())
                .unwrap();
            events.iter().for_each(|event| delivery.evolve(event));
        }
        assert_eq!(
            (delivery.attempts.failures, delivery.attempts.next()),
            (0, 51)
        );
        let events = delivery.decide(&report(51, retry(None), 10), &()).unwrap();
        assert_eq!(
            events,
            [attempt_failed(
                51,
                FailureClass::Transient,
                "busy",
                10 + first_pause(51)
            )]
        );
    }

    #[test]
    fn a_delivery_fails_after_its_last_attempt() {
        let mut delivery = fold::<Delivery>(&given(Repetition::AtMostOnce));
        for attempt in 1..=POLICY.attempts_max {
            assert!(delivery.is_open());
            let events = delivery
                .decide(&report(attempt, retry(None), 10), &())
                .unwrap();
            events.iter().for_each(|event| delivery.evolve(event));
        }
        let Some(End::Failed(end)) = &delivery.end else {
            panic!("{delivery:?}");
        };
        assert_eq!((end.attempt, end.class), (12, FailureClass::Transient));
        let longest = |failures| POLICY.jittered_ms(failures, u32::MAX);
        let pauses = (1..POLICY.attempts_max).map(longest);
        assert_eq!(pauses.sum::<i64>(), 1_708_000, "28 minutes and 28 seconds");
        assert!(!delivery.is_open());
    }

    #[test]
    fn a_patient_delivery_is_repeated_until_it_expires() {
        let mut delivery = fold::<Delivery>(&given(Repetition::AtMostOnce));
        let mut last = 0;
        for attempt in 1.. {
            let mut command = report(attempt, retry(None), delivery.attempts.due.0);
            if let Command::Record(report) = &mut command {
                report.policy = PATIENT;
            }
            let events = delivery.decide(&command, &()).unwrap();
            events.iter().for_each(|event| delivery.evolve(event));
            if !delivery.is_open() {
                break;
            }
            let pause = delivery.attempts.due.0 - last;
            assert!(attempt == 1 || (60_000..=300_000).contains(&pause));
            last = delivery.attempts.due.0;
        }
        assert!(last <= EXPIRES.0 && last + 300_000 > EXPIRES.0, "{last}");
        let day = 24 * 3_600_000;
        assert!(i64::from(PATIENT.attempts_max) * PATIENT.first_ms > day + day / 3);
    }

    #[test]
    fn only_attempts_with_an_unknown_result_count_as_unknown() {
        let mut delivery = fold::<Delivery>(&given(Repetition::AtLeastOnce));
        let mut attempt = 0;
        let mut record = |delivery: &mut Delivery, verdict: Verdict, policy: Policy| {
            attempt += 1;
            let mut command = report(attempt, verdict, 10);
            if let Command::Record(report) = &mut command {
                report.policy = policy;
            }
            let events = delivery.decide(&command, &()).unwrap();
            events.iter().for_each(|event| delivery.evolve(event));
        };
        for _ in 0..20 {
            record(&mut delivery, retry(None), PATIENT);
        }
        for _ in 0..2 {
            let policy = delivery.after_unknown();
            record(&mut delivery, unknown(), policy);
            record(&mut delivery, retry(None), PATIENT);
            assert!(delivery.is_open());
        }
        let policy = delivery.after_unknown();
        record(&mut delivery, unknown(), policy);
        let Some(End::Failed(end)) = &delivery.end else {
            panic!("{delivery:?}");
        };
        assert_eq!((end.attempt, end.class), (25, FailureClass::Unknown));
    }

    #[test]
    fn an_attempt_starts_once_and_is_recorded_once() {
        let begin = Command::Begin {
            attempt: 1,
            until: Moment(40),
        };
        let started = AttemptStarted {
            attempt: 1,
            due: Moment(40),
        };
        assert_eq!(
            fold::<Delivery>(&given(Repetition::AtMostOnce)).decide(&begin.clone(), &()),
            Ok(vec![started.clone().into()])
        );
        let mut history = given(Repetition::AtMostOnce);
        history.push(started.into());
        assert_eq!(
            fold::<Delivery>(&history.clone()).decide(&begin, &()),
            Err(DecideError::Rejected(Rejection::NotDue(1)))
        );
        assert!(fold::<Delivery>(&history).is_interrupted());
        history.push(failed(1, FailureClass::Unknown, "", "x"));
        assert_eq!(
            fold::<Delivery>(&history).decide(&report(1, retry(None), 10), &()),
            Err(DecideError::Rejected(Rejection::NotDue(1)))
        );
    }

    #[test]
    fn a_delivery_is_requested_once() {
        let request = || Command::Request(Box::new(requested(Repetition::AtMostOnce)));
        assert_eq!(
            Delivery::default().decide(&request(), &()),
            Ok(given(Repetition::AtMostOnce))
        );
        assert_eq!(
            fold::<Delivery>(&given(Repetition::AtMostOnce)).decide(&request(), &()),
            Err(DecideError::Rejected(Rejection::AlreadyRequested))
        );
        assert_eq!(
            Delivery::default().decide(&report(1, retry(None), 10), &()),
            Err(DecideError::Rejected(Rejection::NotRequested))
        );
    }

    #[test]
    fn lists_show_open_and_failed_deliveries() {
        let names = |delivery: &Delivery| -> Vec<&str> {
            delivery.index().iter().map(|(name, _)| *name).collect()
        };
        let mut delivery = fold::<Delivery>(&given(Repetition::AtMostOnce));
        assert_eq!(names(&delivery), ["delivery", "notification", "open"]);
        delivery.evolve(&failed(1, FailureClass::Permanent, "", "x"));
        assert_eq!(names(&delivery), ["delivery", "notification", "failed"]);
        assert_eq!(names(&Delivery::default()), [""; 0]);
    }
}
