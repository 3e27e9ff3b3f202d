//! Implements the aggregate of one application. An application is a request for approval in an external ITSM.
//! The desk first creates a ticket in the external ITSM. The desk then reads this ticket until the external
//! ITSM has decided. Finally the ticket of this desk stores the decision. If a person applied over the API, there is
//! no ticket of this desk; a granted application can then open one.
//!
//! Each state except the last has a deadline, so the desk continues even if no callback arrives. A callback
//! has only one effect: the desk reads the external ticket earlier. The desk never takes the decision from a
//! callback.

mod external;

use std::collections::BTreeMap;

use events::application::{
    ApplicationEvent, Applied, AttemptStarted, Cause, Closed, Completed, Expired, Hinted,
    PollScheduled, Requested, Target, WithdrawalRequested,
};
use events::integration::Defined;
use events::{Moment, Personal, Personals, TicketSn};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempts, Consequence, Policy, Report};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::itsm::pinned::moved;
use crate::views::Card;
pub use external::{
    APPROVE_RESULT, Answer, ExternalTicket, NOT_EXISTS, Step, TOKEN_ILLEGAL_NAME,
    is_by_approve_result,
};

/// Time limit in milliseconds until the ticket of this desk must have stored the result. After this time, the
/// desk sends the result to this ticket again.
const RESULT_DUE_MS: i64 = 30_000;

/// The number of scheduled reads from which the desk asks for several applications in one request. Before this, the desk
/// reads the whole ticket once, because only this read returns the URLs of the ticket.
const GROUPED_POLLS_MIN: u32 = 2;

/// The largest number of callbacks that wait while the desk checks the token of another one. Further callbacks have no
/// effect; the regular reads find the decision.
const HINTS_MAX: usize = 3;

/// The reason of an application (request for approval) that ended because its ticket no longer waits for it.
pub const NOT_AWAITED: &str = "the ticket no longer waits for this application";

/// The value of the result if the external ITSM granted the approval.
const GRANTED: &str = "granted";
/// The names of the URLs of an external ticket.
pub const LINKS: [&str; 2] = ["ticket_url", "iframe_ticket_url"];
/// The name under which a verdict contains the id of a found service.
const SERVICE: &str = "service";
/// The name under which a verdict contains that no request was sent.
const POSTPONED: &str = "postponed";
/// The name under which a verdict contains what was wrong with a response or with a callback.
const PROBLEM: &str = "problem";

/// The retry policy of all HTTP requests to the external ITSM. The number of attempts is not limited, because
/// each application (request for approval) ends at its expiry time.
pub const POLICY: Policy = Policy {
    attempts_max: u32::MAX,
    first_ms: 3_000,
    longest_ms: 300_000,
};

/// The commands that change one application (a request for approval in an external ITSM).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Requested),
    /// Opens an application without a ticket of this desk.
    Apply(Box<Applied>),
    /// Stores that the desk will next send the request that creates the external ticket. If the desk stores no
    /// result before the time `until`, it is unknown whether the external ticket exists.
    Begin {
        attempt: u32,
        until: Moment,
        /// The receiver of the request.
        target: Target,
    },
    /// Stores the outcome of the current HTTP request to the external ITSM.
    Record(Report),
    /// Stores that a callback arrived. The member `inbound` is the name of the stream that contains the
    /// callback.
    Hint {
        inbound: String,
        at: Moment,
    },
    /// Stores that the approval is no longer needed, for example because the ticket of this desk has ended. The
    /// desk withdraws the external ticket as soon as it knows the number of this ticket.
    Withdraw {
        reason: String,
        at: Moment,
    },
    /// Ends the application (request for approval) at its expiry time, if the external ITSM has not decided.
    Expire {
        at: Moment,
    },
    /// Closes the application (request for approval) after its result was sent to the ticket, or after its consequence
    /// was done.
    Close(Closed),
}

/// The reasons why the desk rejects a command for an application (a request for approval in an external ITSM).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the application is already requested")]
    AlreadyRequested,
    #[error("the application is not requested")]
    NotRequested,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
    #[error("the application expires at {0} ms, which is later")]
    NotExpired(Moment),
    #[error("the application has no result yet")]
    NoResult,
}

/// The result of an application (a request for approval in an external ITSM).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub succeeded: bool,
    pub outputs: BTreeMap<String, String>,
    pub reason: String,
}

/// The state of one application (a request for approval in an external ITSM), computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Present if a node of a ticket requested the application.
    pub requested: Option<Requested>,
    /// Present if a person applied over the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    pub attempts: Attempts,
    pub step: Step,
    /// The number of regular reads of the external ticket that the desk has scheduled. The pause between two
    /// reads depends on this number.
    pub polls: u32,
    /// The time of the next regular read of the external ticket. A callback does not change this time.
    #[serde(default)]
    pub poll_due: Moment,
    /// The reason why the approval is no longer needed, or `None` if it is still needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<String>,
    /// The ticket number in the external ITSM. The text is empty until the desk knows the number.
    pub external: String,
    /// The number of a ticket without a tag, which the search for the own tag found. Before the desk uses this ticket,
    /// a second search must show that the external ITSM compares tags.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub candidate: String,
    /// The external ITSM that received the creation request. Absent before this request, and if an earlier version of
    /// the program sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The number of creation requests that the external ITSM answered with an error after which it is unknown whether
    /// the ticket exists, and the last of these errors.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_creations: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub creation_error: String,
    /// The name of the stream that contains the callback whose token the desk checks.
    pub hint: Option<String>,
    /// The names of the streams of further callbacks, in the order of their arrival. The desk checks their tokens after
    /// that of `hint`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The number of callbacks whose token the external ITSM did not check, because the request failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unchecked: u32,
    /// The id of the service in the external ITSM, if the desk searched for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<i64>,
    /// The URLs of the external ticket: `ticket_url` and `iframe_ticket_url`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// What was wrong with the last response or callback. The text is empty if nothing was wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    pub outcome: Option<Outcome>,
    #[serde(default)]
    pub is_expired: bool,
    pub is_closed: bool,
    /// The ticket of this desk that a granted application without a ticket opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<TicketSn>,
}

/// The state of an application for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// The external ITSM has not decided.
    Applying,
    Granted,
    Refused,
    /// The external ITSM rejected the request of the desk.
    Failed,
    Withdrawn,
    /// The external ITSM did not decide in time.
    Expired,
}

impl Decider for Application {
    type Command = Command;
    type Event = ApplicationEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Request(_) | Command::Apply(_))
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let applied = self.applied.iter_mut();
        applied.flat_map(Personals::personals).collect()
    }

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<ApplicationEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        let Some(expires) = self.expires() else {
            return match command {
                Command::Request(requested) => Ok(vec![requested.clone().into()]),
                Command::Apply(applied) => Ok(vec![(**applied).clone().into()]),
                _ => reject(Rejection::NotRequested),
            };
        };
        match command {
            Command::Request(_) | Command::Apply(_) => reject(Rejection::AlreadyRequested),
            Command::Begin { attempt, .. }
                if !self.is_open() || !self.attempts.may_start(*attempt) =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Record(Report { attempt, .. })
                if !self.is_open() || !self.attempts.accepts(*attempt) =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin {
                attempt,
                until,
                target,
            } => Ok(vec![
                AttemptStarted {
                    attempt: *attempt,
                    due: *until,
                    target: Some(target.clone()),
                }
                .into(),
            ]),
            Command::Record(report) => Ok(vec![self.record(report)]),
            Command::Hint { .. } if !self.is_open() || !self.accepts_hints() => Ok(Vec::new()),
            Command::Hint { inbound, at } => Ok(vec![
                Hinted {
                    inbound: inbound.clone(),
                    due: if self.is_checking() {
                        self.attempts.due
                    } else {
                        self.hurried(*at)
                    },
                }
                .into(),
            ]),
            Command::Withdraw { .. } if !self.is_open() || self.withdrawal.is_some() => {
                Ok(Vec::new())
            }
            Command::Withdraw { reason, at } => Ok(vec![
                WithdrawalRequested {
                    reason: reason.clone(),
                    due: self.hurried(*at),
                }
                .into(),
            ]),
            Command::Expire { .. } if !self.is_open() => Ok(Vec::new()),
            Command::Expire { at } if *at < expires => reject(Rejection::NotExpired(expires)),
            Command::Expire { at } => Ok(vec![
                Expired {
                    reason: "no decision became known before the application expired".into(),
                    due: *at,
                }
                .into(),
            ]),
            Command::Close(_) if self.outcome.is_none() => reject(Rejection::NoResult),
            Command::Close(_) if self.is_closed => Ok(Vec::new()),
            Command::Close(closed) => Ok(vec![closed.clone().into()]),
        }
    }

    fn evolve(&mut self, event: &ApplicationEvent) {
        match event {
            ApplicationEvent::Requested(requested) => {
                self.attempts = Attempts::due_at(requested.due);
                self.requested = Some(requested.clone());
            }
            ApplicationEvent::Applied(applied) => {
                self.attempts = Attempts::due_at(applied.due);
                self.applied = Some(applied.clone());
            }
            ApplicationEvent::AttemptStarted(started) => {
                self.attempts.start(started.attempt, started.due);
                if started.target.is_some() {
                    self.target.clone_from(&started.target);
                }
            }
            ApplicationEvent::AttemptFailed(failed) => {
                self.attempts.fail(failed.attempt, failed.due);
                self.problem.clone_from(&failed.reason);
            }
            ApplicationEvent::PollScheduled(scheduled) if scheduled.is_postponed => {
                self.attempts.postpone(scheduled.attempt, scheduled.due);
                if self.step == Step::Poll {
                    self.poll_due = scheduled.due;
                }
            }
            ApplicationEvent::PollScheduled(scheduled) => {
                self.attempts.poll(scheduled.attempt, scheduled.due);
                let was_verifying = self.step == Step::Verify;
                let was_creating = self.step == Step::Create;
                self.step = Step::named(&scheduled.step, !scheduled.external.is_empty());
                if was_verifying {
                    self.checked(scheduled);
                }
                if was_creating && self.step == Step::Find && !scheduled.problem.is_empty() {
                    self.failed_creations += 1;
                    self.creation_error.clone_from(&scheduled.problem);
                }
                if self.step == Step::Poll {
                    // After an invalid callback, the time of the next read is the same as before.
                    self.polls += u32::from(!was_verifying);
                    self.poll_due = scheduled.due;
                }
                self.external.clone_from(&scheduled.external);
                self.candidate.clone_from(&scheduled.candidate);
                self.service = scheduled.service.or(self.service);
                self.links.extend(scheduled.links.clone());
                self.problem.clone_from(&scheduled.problem);
                if self.step == Step::Withdraw && self.withdrawal.is_none() {
                    self.withdrawal = Some(NOT_AWAITED.to_owned());
                }
            }
            // A callback never replaces another one whose token is not checked yet, because one of them can be forged.
            ApplicationEvent::Hinted(hinted) if self.is_checking() => {
                if self.hints.len() < HINTS_MAX {
                    self.hints.push(hinted.inbound.clone());
                }
            }
            ApplicationEvent::Hinted(hinted) => {
                self.hint = Some(hinted.inbound.clone());
                if !self.external.is_empty() && self.withdrawal.is_none() {
                    // An earlier read of the external ticket can still be running when the callback arrives.
                    // The outcome of this earlier read is ignored.
                    self.attempts.poll(self.attempts.next(), hinted.due);
                    self.step = Step::Verify;
                }
            }
            ApplicationEvent::WithdrawalRequested(requested) => {
                self.withdrawal = Some(requested.reason.clone());
                if !self.external.is_empty() {
                    // The outcome of an earlier request that still runs is ignored.
                    self.attempts.poll(self.attempts.next(), requested.due);
                    self.step = Step::Withdraw;
                }
            }
            ApplicationEvent::Completed(completed) => {
                self.attempts.end(completed.attempt);
                self.links.extend(completed.links.clone());
                self.outcome = Some(Outcome {
                    succeeded: completed.succeeded,
                    outputs: completed.outputs.clone(),
                    reason: completed.reason.clone(),
                });
            }
            ApplicationEvent::Expired(expired) => {
                self.is_expired = true;
                self.outcome = Some(Outcome {
                    succeeded: false,
                    outputs: BTreeMap::new(),
                    reason: expired.reason.clone(),
                });
            }
            ApplicationEvent::Closed(closed) => {
                self.is_closed = true;
                self.opened.clone_from(&closed.opened);
                self.problem.clone_from(&closed.problem);
            }
        }
    }
}

impl Status {
    pub const ALL: [Self; 6] = [
        Self::Applying,
        Self::Granted,
        Self::Refused,
        Self::Failed,
        Self::Withdrawn,
        Self::Expired,
    ];
}

/// Adds each application (request for approval) to the list of all applications. An application without a
/// result is also in the list `open`. Both lists are sorted by the time at which the applications expire. The
/// list `ticket` contains the open applications by ticket. The list `applicant` contains the applications of a person:
/// all, the open ones, and those for each subject. The list `subject` contains the applications for a subject
/// ([`subject_key`]). The list `polled` contains the applications that only wait for the decision, by their kind and the
/// time of the next request. The list `problem` contains the open applications whose last request or callback had a problem.
/// The list `external` contains the open applications by the number of the external ticket.
impl Card for Application {
    type Event = ApplicationEvent;
    const VIEW: &'static str = "application";
    const COUNTED: &'static [&'static str] = &["application", "open", "problem"];
    fn fold(&mut self, envelope: &Envelope<Self::Event>) {
        self.evolve(&envelope.event);
    }
    fn personals(&mut self) -> Vec<&mut Personal> {
        Decider::personals(self)
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(expires) = self.expires() else {
            return Vec::new();
        };
        let age = format!("{:016}", expires.0);
        let mut rows = vec![("application", age.clone())];
        if let Some(applied) = &self.applied {
            let (applicant, subject) = (
                &applied.applicant,
                subject_key(&applied.kind, &applied.subject),
            );
            rows.push(("applicant", format!("{applicant}|all|{age}")));
            rows.push(("applicant", format!("{applicant}|{subject}|{age}")));
            if self.is_open() {
                rows.push(("applicant", format!("{applicant}|open|{age}")));
            }
            rows.push(("subject", format!("{subject}|{age}")));
        }
        if self.is_polled() {
            let due = self.attempts.due.0;
            rows.push(("polled", format!("{}|{due:016}", self.kind())));
        }
        if self.is_open() && !self.external.is_empty() {
            rows.push(("external", format!("{}|{}", self.kind(), self.external)));
        }
        if self.is_open() && !self.problem.is_empty() {
            rows.push(("problem", age.clone()));
        }
        if self.is_open() {
            rows.push(("open", age));
            rows.extend(
                self.requested
                    .as_ref()
                    .map(|requested| ("ticket", requested.ticket.0.clone())),
            );
        }
        rows
    }
}

/// Returns the value of the list `subject` for the applications of a kind for one subject.
pub fn subject_key(kind: &str, subject: &str) -> String {
    let hash = blake3::Hasher::new()
        .update(kind.as_bytes())
        .update(b"\0")
        .update(subject.as_bytes())
        .finalize();
    hash.to_hex()[..32].to_owned()
}

impl Application {
    /// Returns true if the application (request for approval) was opened and has no result yet.
    pub fn is_open(&self) -> bool {
        self.expires().is_some() && self.outcome.is_none()
    }

    /// Returns the time at which the application expires, or `None` if it is not opened.
    pub fn expires(&self) -> Option<Moment> {
        let requested = self.requested.as_ref().map(|one| one.expires);
        requested.or_else(|| self.applied.as_ref().map(|one| one.expires))
    }

    /// Returns the time at which the application was opened.
    pub fn since(&self) -> Moment {
        let requested = self.requested.as_ref().map(|one| one.due);
        let applied = self.applied.as_ref().map(|one| one.due);
        requested.or(applied).unwrap_or_default()
    }

    /// Returns the name of the application kind. The text is empty if the application is not opened.
    pub fn kind(&self) -> &str {
        let requested = self.requested.as_ref().map(|one| one.kind.as_str());
        let applied = self.applied.as_ref().map(|one| one.kind.as_str());
        requested.or(applied).unwrap_or_default()
    }

    /// Returns the id of the event or request that opened the application.
    pub fn cause(&self) -> &str {
        let requested = self.requested.as_ref().map(|one| one.cause.as_str());
        let applied = self.applied.as_ref().map(|one| one.cause.as_str());
        requested.or(applied).unwrap_or_default()
    }

    /// Returns the state of the application for people.
    pub fn status(&self) -> Status {
        match &self.outcome {
            None => Status::Applying,
            Some(outcome) if outcome.succeeded => {
                let is_granted = outcome.outputs.values().any(|value| value == GRANTED);
                if is_granted {
                    Status::Granted
                } else {
                    Status::Refused
                }
            }
            Some(_) if self.is_expired => Status::Expired,
            Some(outcome) if self.withdrawal.is_some() || outcome.reason == NOT_AWAITED => {
                Status::Withdrawn
            }
            Some(_) => Status::Failed,
        }
    }

    /// Returns the reason why the desk must not send a request about the external ticket to the external ITSM of
    /// `integration`: the ticket is in another external ITSM, where its number was given. Returns `None` if the request may
    /// be sent.
    pub fn moved(&self, integration: &Defined) -> Option<String> {
        let created = self.target.as_ref().filter(|_| !self.is_early())?;
        moved(
            created,
            integration,
            "the ticket of this application was created",
            "applications",
        )
    }

    /// Returns true if the token of a callback is to be checked, at once or as soon as the number of the external ticket is
    /// known.
    fn is_checking(&self) -> bool {
        self.hint.is_some() && (self.step == Step::Verify || self.external.is_empty())
    }

    /// Returns false if so many callbacks wait for the check of their tokens that another one has no effect.
    pub fn accepts_hints(&self) -> bool {
        !self.is_checking() || self.hints.len() < HINTS_MAX
    }

    /// Applies the result of the check of a token. After an invalid callback, the next one that waits is checked. After a
    /// valid one, the desk reads the ticket, so the others need no check.
    fn checked(&mut self, scheduled: &PollScheduled) {
        let is_confirmed = self.step == Step::Confirm;
        if !is_confirmed && !scheduled.problem.starts_with(TOKEN_ILLEGAL_NAME) {
            self.unchecked += 1;
        }
        if self.step == Step::Verify && !self.hints.is_empty() {
            self.hint = Some(self.hints.remove(0));
        } else {
            self.hints.clear();
        }
    }

    /// Returns the time of the next request after a message that asks for a request at the time `at`. If the number
    /// of the external ticket is unknown, the message does not change this time, because only the creation request
    /// or a search can find this number. A withdrawal is not changed either.
    fn hurried(&self, at: Moment) -> Moment {
        if self.external.is_empty() || self.withdrawal.is_some() {
            self.attempts.due
        } else {
            at
        }
    }

    /// Takes the URLs of the external ticket out of the values that the desk learned, and returns the new ones.
    fn new_links(&self, learned: &mut BTreeMap<String, String>) -> BTreeMap<String, String> {
        let links = LINKS
            .iter()
            .filter_map(|name| learned.remove_entry(*name))
            .filter(|(name, url)| self.links.get(name) != Some(url));
        links.collect()
    }

    fn record(&self, report: &Report) -> ApplicationEvent {
        let (attempt, exchange) = (report.attempt, report.exchange.clone());
        match self.attempts.consequence(report) {
            Consequence::End {
                succeeded,
                mut outputs,
                reason,
            } => Completed {
                links: self.new_links(&mut outputs),
                attempt,
                cause: match self.step {
                    _ if self.withdrawal.is_some() && !succeeded => Cause::Withdrawal,
                    Step::Confirm => Cause::Callback,
                    Step::Missed => Cause::CallbackFailedTicket,
                    Step::Reconcile => Cause::Reconcile,
                    _ => Cause::Poll,
                },
                exchange,
                status: report.status,
                succeeded,
                outputs,
                reason: reason.to_owned(),
                due: report.at.plus_ms(RESULT_DUE_MS),
            }
            .into(),
            Consequence::Repeat { reason, due } => report.failed(reason, due).into(),
            Consequence::Poll {
                step,
                task,
                after_ms,
                mut outputs,
            } => {
                // A callback arrived before the desk knew the number of the external ticket. The desk now
                // knows the number and checks the token of this callback immediately.
                let is_postponed = outputs.remove(POSTPONED).is_some();
                let is_probe = step == Step::Probe.name();
                let is_found = !task.is_empty() && !is_probe;
                let is_hinted = !is_postponed
                    && self.external.is_empty()
                    && is_found
                    && self.hint.is_some()
                    && step != Step::Withdraw.name();
                let (step, after_ms) = if is_hinted {
                    (Step::Verify.name(), 0)
                } else {
                    (step, after_ms)
                };
                // Another callback arrived while the desk checked the token of this one.
                let is_next = !is_postponed
                    && self.step == Step::Verify
                    && step == Step::Poll.name()
                    && !self.hints.is_empty();
                let (step, after_ms) = if is_next {
                    (Step::Verify.name(), 0)
                } else {
                    (step, after_ms)
                };
                // The approval became unnecessary while the request was under way. A ticket that has ended is not withdrawn.
                let is_withdrawn = self.withdrawal.is_some()
                    && !is_postponed
                    && is_found
                    && step != Step::Withdraw.name()
                    && !external::is_alone(step)
                    && self.step != Step::Withdraw;
                let (step, after_ms) = if is_withdrawn {
                    (Step::Withdraw.name(), 0)
                } else {
                    (step, after_ms)
                };
                // An invalid callback does not change the time of the next regular read. Otherwise, a sender of many
                // invalid callbacks could prevent all reads.
                let due = match self.step {
                    Step::Verify if step == Step::Poll.name() && self.poll_due > Moment(0) => {
                        self.poll_due.max(report.at)
                    }
                    _ => report.at.plus_ms(after_ms),
                };
                // The number of scheduled reads after the new event, see `evolve`.
                let is_counted = !is_postponed && self.step != Step::Verify;
                let polls = self.polls + u32::from(is_counted);
                PollScheduled {
                    attempt,
                    exchange,
                    step: step.to_owned(),
                    external: if is_probe { "" } else { task }.to_owned(),
                    candidate: if is_probe { task } else { "" }.to_owned(),
                    service: outputs.remove(SERVICE).and_then(|id| id.parse().ok()),
                    links: self.new_links(&mut outputs),
                    problem: outputs.remove(PROBLEM).unwrap_or_default(),
                    is_postponed,
                    is_grouped: step == Step::Poll.name()
                        && self.withdrawal.is_none()
                        && polls >= GROUPED_POLLS_MIN,
                    due,
                }
                .into()
            }
        }
    }
}

// The parameter is a reference, because the library serde calls this function with a reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde needs"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
