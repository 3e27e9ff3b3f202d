//! Implements the aggregate of one application. An application is a request for approval in an external ITSM.
//! The desk first creates a ticket in the external ITSM. The desk then reads this ticket until the external
//! ITSM has decided. Finally the ticket of this desk stores the decision. If a person applied over the API, there is
//! no ticket of this desk; a granted application can then open one.
//!
//! Each state except the last has a deadline, so the desk continues even if no callback arrives. A callback
//! has only one effect: the desk reads the external ticket earlier. The desk never takes the decision from a
//! callback.

use std::collections::BTreeMap;

use events::application::{
    ApplicationEvent, Applied, AttemptFailed, AttemptStarted, Cause, Closed, Completed, Expired,
    Hinted, PollScheduled, Requested, WithdrawalRequested,
};
use events::workflow::Condition;
use events::{Moment, Personal, Personals, TicketSn, TransitionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attempt::{Attempts, Consequence, Policy, Report, Verdict};
use crate::condition::{self, Found};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;
use crate::workflow::{external_key, result_key};

/// Time limit in milliseconds until the ticket of this desk must have stored the result. After this time, the
/// desk sends the result to this ticket again.
const RESULT_DUE_MS: i64 = 30_000;
/// Minimum pause between two reads of the external ticket, in milliseconds. The constant `POLL_MS_MAX` is the
/// maximum pause. The desk repeats the read until the external ITSM has decided.
const POLL_MS: i64 = 60_000;
const POLL_MS_MAX: i64 = 300_000;
/// Pause in milliseconds after the external ITSM did not respond to the request that creates a ticket. During
/// this pause, the external ITSM may still create the ticket. After the pause, the desk searches for this
/// ticket in the external ITSM.
const SEARCH_AFTER_MS: i64 = 30_000;

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
/// The reason if the token of a callback is invalid. It begins with the error name of the log platform, with its
/// spelling (requirements/external-itsm.md, error handling).
const TOKEN_ILLEGAL: &str =
    "CollectItsmTokenIllega: the external ITSM did not issue the token of the callback";
/// The reason if the external ITSM has no suitable service (requirements/external-itsm.md, error handling).
pub const NOT_EXISTS: &str = "CollectItsmNotExists";

/// The retry policy of all HTTP requests to the external ITSM. The number of attempts is not limited, because
/// each application (request for approval) ends at its expiry time.
pub const POLICY: Policy = Policy {
    attempts_max: u32::MAX,
    first_ms: 3_000,
    longest_ms: 300_000,
};

/// The kind of HTTP request that the desk sends next to the external ITSM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Searches for the service in which the ticket is created, if its id is not configured.
    Discover,
    /// Creates a ticket in the external ITSM.
    #[default]
    Create,
    /// Searches for the ticket after the external ITSM did not respond to the creation request. The creation
    /// request contained a tag, and the search uses this tag.
    Find,
    /// Searches for a tag that no ticket has, after the search for the own tag found a ticket without a tag. If the
    /// external ITSM ignores the tag of a search, this search returns the same ticket.
    Probe,
    /// Requests that the external ITSM checks the token of a callback. Only this ITSM can check whether the
    /// token is valid.
    Verify,
    /// Reads the external ticket because a callback with a valid token arrived.
    Confirm,
    /// Reads the external ticket because the pause since the last read has passed.
    Poll,
    /// Reads the external ticket because a request about several tickets showed that it has ended.
    Fetch,
    /// Reads the external ticket because the external ITSM reports that its callback about this ticket failed.
    Missed,
    /// Withdraws the external ticket, because the approval is no longer needed.
    Withdraw,
}

impl Step {
    /// Returns the text that represents this kind of request in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Create => "create",
            Self::Probe => "probe",
            Self::Find => "find",
            Self::Verify => "verify",
            Self::Confirm => "confirm",
            Self::Poll => "poll",
            Self::Fetch => "fetch",
            Self::Missed => "missed",
            Self::Withdraw => "withdraw",
        }
    }

    /// Returns the kind of request with the given name. A newer version of the desk can have stored an unknown
    /// name. The result is then a request that only reads: a search if the number of the external ticket is
    /// unknown, and a read of the ticket otherwise.
    fn named(name: &str, has_number: bool) -> Self {
        match name {
            "discover" => Self::Discover,
            "create" => Self::Create,
            "find" => Self::Find,
            "verify" => Self::Verify,
            "confirm" => Self::Confirm,
            "poll" => Self::Poll,
            "fetch" => Self::Fetch,
            "missed" => Self::Missed,
            "withdraw" => Self::Withdraw,
            "probe" => Self::Probe,
            _ if has_number => Self::Poll,
            _ => Self::Find,
        }
    }
}

/// The state of a ticket in the external ITSM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExternalTicket {
    pub status: String,
    /// The values of all form fields in the external ticket. Each key of the map is the key of a form field.
    pub fields: BTreeMap<String, Value>,
    /// The URLs of the ticket: `ticket_url` and `iframe_ticket_url`.
    pub links: BTreeMap<String, String>,
}

/// The meaning of a response from the external ITSM (IT service management system).
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The search for a service ended. Each entry is the id and the name of a service.
    Services(Vec<(i64, String)>),
    /// The external ITSM created the ticket. The text is the ticket number.
    Created(String),
    /// The search for a ticket ended. The search uses a tag (a text that the creation request contained).
    /// The value is the ticket number, or `None` if no ticket has this tag.
    Found(Option<String>),
    /// The search for a ticket returned tickets without their tags. The texts are the ticket numbers.
    Untagged(Vec<String>),
    /// The external ITSM checked the token of a callback. The value is true if the token is valid.
    Verified(bool),
    Ticket(ExternalTicket),
    /// The statuses of several tickets, by their numbers. A ticket that the external ITSM does not know is missing.
    Statuses(BTreeMap<String, String>),
    /// The numbers of the tickets about which a callback of the external ITSM failed.
    FailedCallbacks(Vec<String>),
    /// The external ITSM withdrew the ticket.
    Withdrawn,
    /// The external ITSM rejected the HTTP request and changed nothing. The text is the reason.
    Rejected(String),
    /// The HTTP request had no effect, so the desk can safely send the request again. The text is the reason.
    NotSent(String),
    /// The response to the HTTP request is missing or unreadable, so the desk does not know whether the
    /// request had an effect. The text is the reason.
    Unclear(String),
}

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
    /// The name of the stream that contains the last callback. The desk checks the token of this callback.
    pub hint: Option<String>,
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
            Command::Begin { attempt, .. } | Command::Record(Report { attempt, .. })
                if *attempt != self.attempts.next() || !self.is_open() =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, .. } if *attempt == self.attempts.started => {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, until } => Ok(vec![
                AttemptStarted {
                    attempt: *attempt,
                    due: *until,
                }
                .into(),
            ]),
            Command::Record(report) => Ok(vec![self.record(report)]),
            Command::Hint { .. } if !self.is_open() => Ok(Vec::new()),
            Command::Hint { inbound, at } => Ok(vec![
                Hinted {
                    inbound: inbound.clone(),
                    due: self.hurried(*at),
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
            }
            ApplicationEvent::AttemptFailed(failed) => {
                self.attempts.fail(failed.attempt, failed.due);
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
                self.step = Step::named(&scheduled.step, !scheduled.external.is_empty());
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
/// time of the next request. The list `external` contains the open applications by the number of the external ticket.
impl Card for Application {
    type Event = ApplicationEvent;
    const VIEW: &'static str = "application";
    const COUNTED: &'static [&'static str] = &["application", "open"];
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

    /// Returns true if the desk has not yet sent the request that creates the external ticket.
    pub fn is_early(&self) -> bool {
        matches!(self.step, Step::Discover | Step::Create)
    }

    /// Returns how the desk continues if the service of the external ITSM is not known. The desk searches for it.
    pub fn undiscovered(&self) -> Verdict {
        next(Step::Discover, String::new(), 0)
    }

    /// Returns how the desk continues after an interrupted creation request. The external ticket possibly
    /// already exists, so the desk searches for the ticket in the external ITSM. Returns `None` if no creation
    /// request was interrupted.
    pub fn interrupted(&self) -> Option<Verdict> {
        self.attempts
            .is_interrupted()
            .then(|| next(Step::Find, String::new(), 0))
    }

    /// Returns how the desk continues if its ticket no longer waits for the approval. The external ticket possibly
    /// exists, so the desk withdraws it.
    pub fn abandoned(&self) -> Verdict {
        next(Step::Withdraw, self.external.clone(), 0)
    }

    /// Returns how the desk continues after the given response from the external ITSM. The condition `granted`
    /// is true if the external ITSM has granted the approval.
    pub fn verdict(&self, answer: Answer, granted: &Condition) -> Verdict {
        let withdrawn = |reason: &str| Verdict::failed(reason.to_owned());
        let verdict = match (self.step, answer) {
            // Only the external ITSM knows whether the token of a callback is valid. If it does not say so, the
            // callback has no effect, and the regular reads continue.
            (Step::Verify, Answer::NotSent(_) | Answer::Unclear(_)) => {
                next(Step::Poll, self.external.clone(), self.pause_ms())
            }
            (_, Answer::NotSent(reason)) => Verdict::retry(reason),
            (Step::Discover, Answer::Services(services)) => match &services[..] {
                [(id, _)] => with_output(
                    next(Step::Create, String::new(), 0),
                    SERVICE,
                    &id.to_string(),
                ),
                [] => Verdict::failed(format!(
                    "{NOT_EXISTS}: no service of the external ITSM matches `discovery`; set `service` of the application kind"
                )),
                many => {
                    let names: Vec<&str> = many.iter().map(|(_, name)| name.as_str()).collect();
                    Verdict::failed(format!(
                        "{NOT_EXISTS}: {} services of the external ITSM match `discovery`: {}; set `service` of the application kind",
                        many.len(),
                        names.join(", ")
                    ))
                }
            },
            (Step::Create, Answer::Unclear(_)) => next(Step::Find, String::new(), SEARCH_AFTER_MS),
            (Step::Create | Step::Discover, Answer::Rejected(reason)) => Verdict::failed(reason),
            (Step::Create, Answer::Created(external))
            | (Step::Find, Answer::Found(Some(external))) => self.known(external),
            (Step::Find, Answer::Untagged(numbers)) => match &numbers[..] {
                [one] => next(Step::Probe, one.clone(), 0),
                _ => Verdict::retry(format!(
                    "the search for the tag of this application found {} tickets without tags",
                    numbers.len()
                )),
            },
            // The external ITSM ignores tags, so another person or system possibly created the ticket. The desk does
            // not use the ticket, and does not create a second ticket. The desk searches again until the application
            // expires.
            (Step::Probe, Answer::Untagged(numbers)) if numbers.contains(&self.candidate) => {
                let problem = "the external ITSM ignores the tag of a search, so the desk cannot find its own ticket";
                with_output(next(Step::Find, String::new(), POLL_MS), PROBLEM, problem)
            }
            (Step::Probe, Answer::Found(_) | Answer::Untagged(_)) => {
                self.known(self.candidate.clone())
            }
            (Step::Find, Answer::Found(None)) => next(Step::Create, String::new(), 0),
            (Step::Withdraw, Answer::Withdrawn) => {
                withdrawn(self.withdrawal.as_deref().unwrap_or(NOT_AWAITED))
            }
            // The external ticket has possibly ended, or the credentials are no longer valid. A read of the ticket
            // shows which of them is true.
            (Step::Withdraw, Answer::Rejected(_)) => next(Step::Poll, self.external.clone(), 0),
            (Step::Verify, Answer::Verified(true)) => next(Step::Confirm, self.external.clone(), 0),
            // The token of the callback is invalid, so the callback is ignored. The desk continues with the
            // regular reads of the external ticket.
            (Step::Verify, Answer::Verified(false) | Answer::Rejected(_)) => {
                let poll = next(Step::Poll, self.external.clone(), self.pause_ms());
                with_output(poll, PROBLEM, TOKEN_ILLEGAL)
            }
            (Step::Confirm | Step::Poll | Step::Fetch | Step::Missed, Answer::Ticket(ticket)) => {
                self.read(&ticket, granted)
            }
            (_, Answer::Unclear(reason) | Answer::Rejected(reason)) => Verdict::retry(reason),
            (_, answer) => {
                Verdict::retry(format!("the response does not fit the request: {answer:?}"))
            }
        };
        match (&self.withdrawal, verdict) {
            // The approval is no longer needed. An external ticket that is now known is withdrawn, and a ticket that
            // does not exist is not created.
            (
                Some(_),
                Verdict::Poll {
                    step,
                    task,
                    after_ms,
                    ..
                },
            ) if !task.is_empty() && step != Step::Probe.name() && self.step != Step::Withdraw => {
                // After a rejected withdrawal, the ticket was read and has not ended. The next withdrawal waits.
                let pause = if self.step == Step::Poll { after_ms } else { 0 };
                next(Step::Withdraw, task, pause)
            }
            (Some(reason), Verdict::Poll { step, .. }) if step == Step::Create.name() => {
                withdrawn(reason)
            }
            (Some(reason), Verdict::Retry { .. })
                if matches!(self.step, Step::Create | Step::Discover) =>
            {
                withdrawn(reason)
            }
            (_, verdict) => verdict,
        }
    }

    /// Returns true if the desk only waits for the decision. The desk can then ask for the status of this ticket in the
    /// same request as for other tickets. Before this, the desk reads the whole ticket once, because only this read
    /// returns the URLs of the ticket.
    pub fn is_polled(&self) -> bool {
        let is_waiting = self.is_open() && self.withdrawal.is_none();
        is_waiting && self.step == Step::Poll && self.polls > 1
    }

    /// Returns how the desk continues after a request about the statuses of several tickets. The decision is in the fields
    /// of the ticket, so the desk reads a ticket that has ended. The desk also reads a ticket that the response lacks.
    pub fn polled(&self, answer: &Answer) -> Verdict {
        match answer {
            Answer::Statuses(statuses) => match statuses.get(&self.external) {
                Some(status) if !is_end(status) => {
                    next(Step::Poll, self.external.clone(), self.pause_ms())
                }
                _ => next(Step::Fetch, self.external.clone(), 0),
            },
            Answer::NotSent(reason) | Answer::Unclear(reason) | Answer::Rejected(reason) => {
                Verdict::retry(reason.clone())
            }
            other => Verdict::retry(format!("the response does not fit the request: {other:?}")),
        }
    }

    /// Returns how the desk continues after the external ITSM has reported that its callback about this ticket failed.
    pub fn missed(&self) -> Verdict {
        next(Step::Missed, self.external.clone(), 0)
    }

    /// Returns how the desk continues if it must not send a request for `after_ms` milliseconds.
    pub fn postponed(&self, after_ms: i64) -> Verdict {
        let number = if self.candidate.is_empty() {
            &self.external
        } else {
            &self.candidate
        };
        let wait = next(self.step, number.clone(), after_ms);
        with_output(wait, POSTPONED, "")
    }

    /// Returns how the desk continues after it has learned the number of the external ticket.
    fn known(&self, external: String) -> Verdict {
        if self.hint.is_some() {
            next(Step::Verify, external, 0)
        } else {
            next(Step::Poll, external, POLL_MS)
        }
    }

    /// Returns how the desk continues after a read of the external ticket. If the external ticket has a final
    /// status, the returned verdict (result of the read) contains the decision. Otherwise, the desk reads the
    /// ticket again later. The condition `granted` is true if the external ITSM has granted the approval.
    fn read(&self, ticket: &ExternalTicket, granted: &Condition) -> Verdict {
        if !is_end(&ticket.status) {
            let poll = next(Step::Poll, self.external.clone(), self.pause_ms());
            let links = ticket.links.iter();
            return links.fold(poll, |poll, (name, url)| with_output(poll, name, url));
        }
        // The desk has withdrawn the ticket, but did not receive the response.
        if let (Some(reason), "REVOKED") = (&self.withdrawal, ticket.status.as_str()) {
            return Verdict::failed(reason.clone());
        }
        let find = |key: &str| match key {
            "current_status" => Found::Value(ticket.status.clone().into()),
            key => ticket
                .fields
                .get(key)
                .map_or(Found::Absent, |value| Found::Value(value.clone())),
        };
        let is_granted = ticket.status == "FINISHED"
            && condition::holds(granted, TransitionId(0), &find, &mut Vec::new());
        let result = if is_granted { GRANTED } else { "refused" };
        let node = self.requested.as_ref().map(|one| one.node);
        let mut outputs = ticket.links.clone();
        outputs.insert(
            node.map_or_else(|| "result".into(), result_key),
            result.into(),
        );
        outputs.insert(
            node.map_or_else(|| "external".into(), external_key),
            self.external.clone(),
        );
        Verdict::succeeded(outputs)
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

    /// Returns the pause before the next read of the external ticket, in milliseconds. The first pause is one
    /// minute. Each further pause is twice as long, up to five minutes.
    fn pause_ms(&self) -> i64 {
        let doublings = self.polls.saturating_sub(1).min(8);
        (POLL_MS << doublings).min(POLL_MS_MAX)
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
            Consequence::Repeat { reason, due } => AttemptFailed {
                attempt,
                exchange,
                status: report.status,
                reason: reason.to_owned(),
                due,
            }
            .into(),
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
                // The approval became unnecessary while the request was under way.
                let is_withdrawn = self.withdrawal.is_some()
                    && !is_postponed
                    && is_found
                    && step != Step::Withdraw.name()
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
                    due,
                }
                .into()
            }
        }
    }
}

/// Returns true if an external ticket with this status has ended.
fn is_end(status: &str) -> bool {
    matches!(status, "FINISHED" | "TERMINATED" | "REVOKED")
}

/// Adds an output to a verdict after which another request follows.
fn with_output(mut verdict: Verdict, name: &str, value: &str) -> Verdict {
    if let Verdict::Poll { outputs, .. } = &mut verdict {
        outputs.insert(name.to_owned(), value.to_owned());
    }
    verdict
}

/// Returns a verdict (result of an attempt) after which the desk sends the request `step`, with a pause of
/// `after_ms` milliseconds. The parameter `external` is the ticket number in the external ITSM.
fn next(step: Step, external: String, after_ms: i64) -> Verdict {
    Verdict::poll(step.name(), external, after_ms)
}

#[cfg(test)]
mod tests {
    use events::NodeId;

    use super::*;
    use crate::decider::fold;
    use crate::workflow::import::equals;

    const NOW: Moment = Moment(1_795_312_800_000);
    const EXPIRES: Moment = Moment(1_796_522_400_000);

    fn requested() -> ApplicationEvent {
        Requested {
            ticket: "REQ1".into(),
            node: NodeId(5),
            name: "apply".into(),
            round: 1,
            attempt: 1,
            cause: "ticket-REQ1:9".into(),
            kind: "log_collection".into(),
            inputs: BTreeMap::new(),
            due: NOW,
            expires: EXPIRES,
        }
        .into()
    }

    fn scheduled(attempt: u32, step: Step, external: &str) -> ApplicationEvent {
        PollScheduled {
            attempt,
            step: step.name().into(),
            external: external.into(),
            due: NOW,
            ..PollScheduled::default()
        }
        .into()
    }

    fn hinted() -> ApplicationEvent {
        Hinted {
            inbound: "inbound-1".into(),
            due: NOW,
        }
        .into()
    }

    fn state(events: &[ApplicationEvent]) -> Application {
        let mut all = vec![requested()];
        all.extend_from_slice(events);
        fold(&all)
    }

    fn granted() -> Condition {
        equals("approval_result", "true")
    }

    fn ticket(status: &str, result: &str) -> Answer {
        Answer::Ticket(ExternalTicket {
            status: status.into(),
            fields: BTreeMap::from([("approval_result".to_owned(), result.into())]),
            links: BTreeMap::new(),
        })
    }

    fn verdict(events: &[ApplicationEvent], answer: Answer) -> Verdict {
        state(events).verdict(answer, &granted())
    }

    fn then(step: Step, external: &str, after_ms: i64) -> Verdict {
        Verdict::poll(step.name(), external, after_ms)
    }

    fn report(attempt: u32, verdict: Verdict) -> Command {
        Command::Record(Report {
            attempt,
            exchange: None,
            status: Some(200),
            verdict,
            policy: POLICY,
            at: NOW,
        })
    }

    #[test]
    fn a_creation_without_response_is_searched_before_it_is_sent_again() {
        let unclear = || Answer::Unclear("the connection ended".into());
        assert_eq!(
            verdict(&[], unclear()),
            then(Step::Find, "", SEARCH_AFTER_MS)
        );
        let searching = [scheduled(1, Step::Find, "")];
        assert_eq!(
            verdict(&searching, Answer::Found(None)),
            then(Step::Create, "", 0)
        );
        assert_eq!(
            verdict(&searching, Answer::Found(Some("REQ9".into()))),
            then(Step::Poll, "REQ9", POLL_MS)
        );
        let both = Answer::Untagged(vec!["REQ8".into(), "REQ9".into()]);
        assert!(matches!(verdict(&searching, both), Verdict::Retry { .. }));
        assert!(matches!(
            verdict(&searching, unclear()),
            Verdict::Retry { .. }
        ));
        let started = AttemptStarted {
            attempt: 1,
            due: NOW,
        };
        assert_eq!(
            state(&[started.into()]).interrupted(),
            Some(then(Step::Find, "", 0))
        );
        assert_eq!(state(&[]).interrupted(), None);
    }

    #[test]
    fn a_ticket_without_a_tag_is_used_only_if_the_other_side_uses_tags() {
        let one = || Answer::Untagged(vec!["REQ9".into()]);
        let searching = state(&[scheduled(1, Step::Find, "")]);
        let probe = searching.verdict(one(), &granted());
        assert_eq!(probe, then(Step::Probe, "REQ9", 0));
        let events = searching.decide(&report(2, probe), &()).unwrap();
        let mut probing = searching.clone();
        events.iter().for_each(|event| probing.evolve(event));
        assert_eq!(
            (
                probing.step,
                probing.external.as_str(),
                probing.candidate.as_str()
            ),
            (Step::Probe, "", "REQ9")
        );
        let used = then(Step::Poll, "REQ9", POLL_MS);
        for other in [Answer::Found(None), Answer::Untagged(vec!["REQ8".into()])] {
            assert_eq!(probing.verdict(other, &granted()), used);
        }
        let Verdict::Poll { step, outputs, .. } = probing.verdict(one(), &granted()) else {
            panic!("the verdict is not another search");
        };
        assert_eq!(step, "find");
        assert!(outputs[PROBLEM].contains("ignores the tag"), "{outputs:?}");
        assert!(matches!(
            probing.verdict(Answer::Unclear("html".into()), &granted()),
            Verdict::Retry { .. }
        ));
    }

    #[test]
    fn a_rejected_creation_fails_and_an_unsent_one_is_repeated() {
        assert_eq!(
            verdict(&[], Answer::Rejected("3900005: no service".into())),
            Verdict::Failed {
                reason: "3900005: no service".into(),
                outputs: BTreeMap::new()
            }
        );
        assert!(matches!(
            verdict(&[], Answer::NotSent("refused".into())),
            Verdict::Retry { .. }
        ));
    }

    #[test]
    fn only_a_finished_ticket_that_meets_the_condition_is_granted() {
        let polling = [scheduled(1, Step::Poll, "REQ9")];
        let result = |answer| match verdict(&polling, answer) {
            Verdict::Succeeded { outputs, .. } => outputs["application_result_5"].clone(),
            other => format!("{other:?}"),
        };
        assert_eq!(result(ticket("FINISHED", "true")), "granted");
        assert_eq!(result(ticket("FINISHED", "false")), "refused");
        assert_eq!(result(ticket("REVOKED", "true")), "refused");
        assert_eq!(result(ticket("TERMINATED", "true")), "refused");
        for status in ["RUNNING", "SUSPENDED", "SOMETHING", ""] {
            assert_eq!(
                verdict(&polling, ticket(status, "true")),
                then(Step::Poll, "REQ9", POLL_MS),
                "{status}"
            );
        }
    }

    #[test]
    fn pauses_between_reads_double_up_to_five_minutes() {
        let mut events = Vec::new();
        let mut pauses = Vec::new();
        for attempt in 1..=5 {
            events.push(scheduled(attempt, Step::Poll, "REQ9"));
            match verdict(&events, ticket("RUNNING", "")) {
                Verdict::Poll { after_ms, .. } => pauses.push(after_ms),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pauses, [60_000, 120_000, 240_000, 300_000, 300_000]);
    }

    #[test]
    fn a_callback_is_verified_and_the_ticket_is_read_before_a_decision() {
        let applying = [scheduled(1, Step::Poll, "REQ9")];
        let hint = Command::Hint {
            inbound: "inbound-1".into(),
            at: NOW,
        };
        assert_eq!(state(&applying).decide(&hint, &()).unwrap(), [hinted()]);
        let hinted = state(&[applying[0].clone(), hinted()]);
        assert_eq!((hinted.step, hinted.attempts.next()), (Step::Verify, 3));
        assert_eq!(
            hinted.verdict(Answer::Verified(false), &granted()),
            with_output(then(Step::Poll, "REQ9", POLL_MS), PROBLEM, TOKEN_ILLEGAL),
            "a forged callback changes nothing"
        );
        assert_eq!(
            hinted.verdict(Answer::Verified(true), &granted()),
            then(Step::Confirm, "REQ9", 0)
        );
        assert_eq!(
            hinted.decide(&report(2, then(Step::Poll, "REQ9", 5)), &()),
            Err(DecideError::Rejected(Rejection::NotDue(2))),
            "the read that was sent before the callback is discarded"
        );
    }

    #[test]
    fn an_invalid_callback_postpones_no_read() {
        let mut polling = state(&[]);
        let poll = PollScheduled {
            attempt: 1,
            step: "poll".into(),
            external: "REQ9".into(),
            due: NOW.plus_ms(60_000),
            ..PollScheduled::default()
        };
        polling.evolve(&poll.into());
        let failures = [
            Answer::Verified(false),
            Answer::Unclear("html".into()),
            Answer::NotSent("dns".into()),
        ];
        for answer in failures {
            let mut hinted = polling.clone();
            hinted.evolve(&super::tests::hinted());
            let verdict = hinted.verdict(answer, &granted());
            let attempt = hinted.attempts.next();
            let events = hinted.decide(&report(attempt, verdict), &()).unwrap();
            let [ApplicationEvent::PollScheduled(next)] = &events[..] else {
                panic!("{events:?}");
            };
            assert_eq!(
                (next.step.as_str(), next.due),
                ("poll", NOW.plus_ms(60_000))
            );
            hinted.evolve(&events[0]);
            assert_eq!(hinted.polls, polling.polls);
        }
    }

    #[test]
    fn an_unknown_kind_of_request_creates_no_second_ticket() {
        let unknown = |external: &str| PollScheduled {
            attempt: 1,
            step: "of_a_newer_version".into(),
            external: external.into(),
            due: NOW,
            ..PollScheduled::default()
        };
        assert_eq!(state(&[unknown("").into()]).step, Step::Find);
        assert_eq!(state(&[unknown("REQ9").into()]).step, Step::Poll);
    }

    #[test]
    fn a_withdrawal_reaches_the_external_ticket_or_prevents_it() {
        let withdraw = Command::Withdraw {
            reason: "the ticket was withdrawn".into(),
            at: NOW,
        };
        let requested = |events: &[ApplicationEvent]| {
            let before = state(events);
            let mut after = before.clone();
            for event in before.decide(&withdraw, &()).unwrap() {
                after.evolve(&event);
            }
            assert_eq!(after.decide(&withdraw, &()), Ok(Vec::new()), "only once");
            after
        };
        let ended = |verdict: Verdict| match verdict {
            Verdict::Failed { reason, .. } => reason.text,
            other => panic!("{other:?}"),
        };
        let known = requested(&[scheduled(1, Step::Poll, "REQ9")]);
        assert_eq!((known.step, known.attempts.due), (Step::Withdraw, NOW));
        let reason = ended(known.verdict(Answer::Withdrawn, &granted()));
        assert_eq!(reason, "the ticket was withdrawn");
        let rejected = known.verdict(Answer::Rejected("3900005: over".into()), &granted());
        assert_eq!(rejected, then(Step::Poll, "REQ9", 0));
        let mut reading = known.clone();
        for event in known.decide(&report(3, rejected), &()).unwrap() {
            reading.evolve(&event);
        }
        assert_eq!(reading.step, Step::Poll);
        let decided = reading.verdict(ticket("FINISHED", "true"), &granted());
        assert!(
            matches!(&decided, Verdict::Succeeded { outputs, .. } if outputs["application_result_5"] == "granted"),
            "the other side decided before the withdrawal: {decided:?}"
        );
        let Verdict::Poll { step, after_ms, .. } =
            reading.verdict(ticket("RUNNING", ""), &granted())
        else {
            panic!("the withdrawal is repeated");
        };
        assert!(
            step == "withdraw" && after_ms >= POLL_MS,
            "{step} {after_ms}"
        );
        assert!(matches!(
            known.verdict(Answer::Unclear("timeout".into()), &granted()),
            Verdict::Retry { .. }
        ));
        let mut hinted = known.clone();
        hinted.evolve(&super::tests::hinted());
        assert_eq!(hinted.step, Step::Withdraw, "a callback does not stop it");
        let mut waiting = known.clone();
        let failed = AttemptFailed {
            attempt: 3,
            exchange: None,
            status: None,
            reason: "r".into(),
            due: NOW.plus_ms(90_000),
        };
        waiting.evolve(&failed.into());
        let hint = Command::Hint {
            inbound: "inbound-1".into(),
            at: NOW,
        };
        let events = waiting.decide(&hint, &()).unwrap();
        let [ApplicationEvent::Hinted(hinted)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(hinted.due, waiting.attempts.due, "the deadline stays");
        let mut abandoned = state(&[scheduled(1, Step::Poll, "REQ9")]);
        for event in abandoned
            .decide(&report(2, abandoned.abandoned()), &())
            .unwrap()
        {
            abandoned.evolve(&event);
        }
        assert_eq!(abandoned.withdrawal.as_deref(), Some(NOT_AWAITED));

        let searching = requested(&[scheduled(1, Step::Find, "")]);
        assert_eq!(searching.step, Step::Find);
        let found = Answer::Found(Some("REQ9".into()));
        assert_eq!(
            searching.verdict(found, &granted()),
            then(Step::Withdraw, "REQ9", 0)
        );
        ended(searching.verdict(Answer::Found(None), &granted()));
        let created = requested(&[]).verdict(Answer::Created("REQ9".into()), &granted());
        assert_eq!(created, then(Step::Withdraw, "REQ9", 0));
        ended(requested(&[]).verdict(Answer::NotSent("dns".into()), &granted()));
        let early = requested(&[]).decide(&report(1, then(Step::Poll, "REQ9", 5)), &());
        assert_eq!(early.unwrap(), [scheduled(1, Step::Withdraw, "REQ9")]);

        let events = known.decide(
            &report(3, known.verdict(Answer::Withdrawn, &granted())),
            &(),
        );
        let [ApplicationEvent::Completed(completed)] = &events.unwrap()[..] else {
            panic!("no end");
        };
        assert_eq!(
            (completed.cause, completed.succeeded),
            (Cause::Withdrawal, false)
        );
    }

    #[test]
    fn a_callback_during_the_creation_is_verified_when_the_number_is_known() {
        let early = state(&[hinted()]);
        assert_eq!((early.step, early.attempts.next()), (Step::Create, 1));
        let recorded = early
            .decide(&report(1, then(Step::Poll, "REQ9", POLL_MS)), &())
            .unwrap();
        assert_eq!(recorded, [scheduled(1, Step::Verify, "REQ9")]);
    }

    #[test]
    fn a_decision_names_whether_a_callback_or_a_poll_found_it() {
        for (step, cause) in [(Step::Confirm, Cause::Callback), (Step::Poll, Cause::Poll)] {
            let reading = state(&[scheduled(1, step, "REQ9")]);
            let verdict = reading.verdict(ticket("FINISHED", "true"), &granted());
            let events = reading.decide(&report(2, verdict), &()).unwrap();
            let [ApplicationEvent::Completed(completed)] = &events[..] else {
                panic!("{events:?}");
            };
            assert_eq!((completed.cause, completed.succeeded), (cause, true));
            assert_eq!(completed.outputs["application_sn_5"], "REQ9");
        }
    }

    fn applied() -> Application {
        let applied = Applied {
            kind: "log_collection".into(),
            applicant: "p-1".into(),
            app: None,
            subject: "c-1".into(),
            round: 1,
            key: String::new(),
            content: String::new(),
            fields: Personal::new("p-1".into(), serde_json::json!({})),
            cause: "r-1".into(),
            due: NOW,
            expires: EXPIRES,
        };
        let mut state = Application::default();
        let events = state.decide(&Command::Apply(Box::new(applied.clone())), &());
        for event in events.unwrap() {
            state.evolve(&event);
        }
        assert_eq!(
            state.decide(&Command::Apply(Box::new(applied)), &()),
            Err(DecideError::Rejected(Rejection::AlreadyRequested))
        );
        state
    }

    /// Records the verdict as the next attempt of the application.
    fn recorded(mut state: Application, verdict: Verdict) -> Application {
        let attempt = state.attempts.next();
        for event in state.decide(&report(attempt, verdict), &()).unwrap() {
            state.evolve(&event);
        }
        state
    }

    #[test]
    fn a_service_is_searched_before_the_creation() {
        let applying = applied();
        let searching = recorded(applying.clone(), applying.undiscovered());
        assert_eq!(
            (searching.step, searching.is_early()),
            (Step::Discover, true)
        );
        let one = Answer::Services(vec![(18, "a".into())]);
        let found = recorded(searching.clone(), searching.verdict(one, &granted()));
        assert_eq!((found.step, found.service), (Step::Create, Some(18)));
        assert_eq!(found.external, "");
        let many = Answer::Services(vec![(1, "a".into()), (2, "b".into())]);
        for (answer, status) in [
            (Answer::Services(Vec::new()), Status::Failed),
            (many, Status::Failed),
            (Answer::Rejected("403".into()), Status::Failed),
            (Answer::Unclear("html".into()), Status::Applying),
            (Answer::NotSent("dns".into()), Status::Applying),
        ] {
            let ended = recorded(
                searching.clone(),
                searching.verdict(answer.clone(), &granted()),
            );
            assert_eq!(ended.status(), status, "{answer:?}");
            assert_eq!(ended.service, None);
        }
        let mut withdrawn = searching;
        for event in withdrawn
            .decide(
                &Command::Withdraw {
                    reason: "r".into(),
                    at: NOW,
                },
                &(),
            )
            .unwrap()
        {
            withdrawn.evolve(&event);
        }
        let failed = withdrawn.verdict(Answer::NotSent("dns".into()), &granted());
        assert_eq!(recorded(withdrawn, failed).status(), Status::Withdrawn);
    }

    #[test]
    fn an_application_without_a_ticket_keeps_its_links_and_its_result() {
        let polling = recorded(applied(), then(Step::Poll, "REQ9", POLL_MS));
        let read = |status: &str, url: &str| {
            Answer::Ticket(ExternalTicket {
                status: status.into(),
                fields: BTreeMap::from([("approval_result".to_owned(), "true".into())]),
                links: BTreeMap::from([("ticket_url".into(), url.into())]),
            })
        };
        let verdict = polling.verdict(read("RUNNING", "https://a"), &granted());
        let again = recorded(polling, verdict);
        assert_eq!(again.links["ticket_url"], "https://a");
        let verdict = again.verdict(read("RUNNING", "https://a"), &granted());
        let events = again.decide(&report(again.attempts.next(), verdict), &());
        let [ApplicationEvent::PollScheduled(same)] = &events.unwrap()[..] else {
            panic!("not polled");
        };
        assert!(
            same.links.is_empty(),
            "an unchanged URL is not stored again"
        );
        let verdict = again.verdict(read("FINISHED", "https://b"), &granted());
        let ended = recorded(again, verdict);
        assert_eq!(
            (ended.status(), ended.links["ticket_url"].as_str()),
            (Status::Granted, "https://b")
        );
        let outputs = ended.outcome.unwrap().outputs;
        let expected = [("external", "REQ9"), ("result", "granted")];
        assert_eq!(
            outputs,
            expected
                .map(|(key, value)| (key.into(), value.into()))
                .into()
        );
    }

    #[test]
    fn an_application_expires_once_and_only_after_its_time() {
        let expire = |at| Command::Expire { at };
        let open = state(&[]);
        assert_eq!(
            open.decide(&expire(Moment(EXPIRES.0 - 1)), &()),
            Err(DecideError::Rejected(Rejection::NotExpired(EXPIRES)))
        );
        let expired = open.decide(&expire(EXPIRES), &()).unwrap();
        let ended = state(&expired);
        assert_eq!(ended.decide(&expire(EXPIRES), &()), Ok(Vec::new()));
        assert_eq!(
            ended.decide(
                &Command::Hint {
                    inbound: "i".into(),
                    at: NOW
                },
                &()
            ),
            Ok(Vec::new())
        );
        let closed = Closed {
            recorded: true,
            ..Closed::default()
        };
        let close = Command::Close(closed.clone());
        assert_eq!(
            open.decide(&close, &()),
            Err(DecideError::Rejected(Rejection::NoResult))
        );
        assert_eq!(ended.decide(&close, &()), Ok(vec![closed.into()]));
    }

    #[test]
    fn every_open_state_has_an_attempt_deadline_and_an_expiry() {
        use events::Event;
        let started = AttemptStarted {
            attempt: 1,
            due: NOW,
        };
        let failed = AttemptFailed {
            attempt: 1,
            exchange: None,
            status: None,
            reason: "r".into(),
            due: NOW,
        };
        let histories: [&[ApplicationEvent]; 5] = [
            &[],
            &[started.into()],
            &[failed.into()],
            &[scheduled(1, Step::Poll, "REQ9")],
            &[scheduled(1, Step::Poll, "REQ9"), hinted()],
        ];
        for history in histories {
            let mut deadlines = std::collections::BTreeMap::new();
            for event in std::iter::once(&requested()).chain(history) {
                for change in event.deadlines() {
                    deadlines.insert(change.id.clone(), change.due);
                }
            }
            assert!(
                deadlines.values().filter(|at| at.is_some()).count() == 2,
                "{history:?}: {deadlines:?}"
            );
        }
    }

    #[test]
    fn a_postponed_attempt_keeps_its_step_and_its_pauses() {
        let mut withdrawn = state(&[requested(), scheduled(1, Step::Poll, "REQ9")]);
        withdrawn.evolve(
            &WithdrawalRequested {
                reason: "the ticket has ended".into(),
                due: NOW,
            }
            .into(),
        );
        // After a rejected withdrawal, the desk reads the ticket.
        withdrawn.evolve(&scheduled(3, Step::Poll, "REQ9"));
        let polls = withdrawn.polls;
        let report = Report {
            attempt: 4,
            exchange: None,
            status: None,
            verdict: withdrawn.postponed(7_000),
            policy: POLICY,
            at: NOW,
        };
        let events = withdrawn.decide(&Command::Record(report), &()).unwrap();
        for event in &events {
            withdrawn.evolve(event);
        }
        assert_eq!((withdrawn.step, withdrawn.polls), (Step::Poll, polls));
        assert_eq!(withdrawn.attempts.due, NOW.plus_ms(7_000));
    }
}
