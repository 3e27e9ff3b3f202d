//! Decides which HTTP request an application sends to the external ITSM, and how the application continues after
//! each response.

use std::collections::BTreeMap;

use events::TransitionId;
use events::workflow::Condition;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Application, GRANTED, GROUPED_POLLS_MIN, NOT_AWAITED, POSTPONED, PROBLEM, SERVICE};
use crate::attempt::Verdict;
use crate::condition::{self, Found};
use crate::workflow::{external_key, result_key};

/// Minimum pause between two reads of the external ticket, in milliseconds. The constant `POLL_MS_MAX` is the
/// maximum pause. The desk repeats the read until the external ITSM has decided.
pub(super) const POLL_MS: i64 = 60_000;
const POLL_MS_MAX: i64 = 300_000;
/// Pause in milliseconds after the external ITSM did not respond to the request that creates a ticket. During
/// this pause, the external ITSM may still create the ticket. After the pause, the desk searches for this
/// ticket in the external ITSM.
pub(super) const SEARCH_AFTER_MS: i64 = 30_000;

/// Number of creation requests that the external ITSM may answer with an error. After each of them, the desk searches for
/// the ticket, and creates it again only if the search finds none. After this number, the application fails.
pub(super) const FAILED_CREATIONS_MAX: u32 = 3;
/// Number of failed requests about several tickets in succession after which the desk reads each ticket by itself.
const FAILED_GROUPS_MAX: u32 = 2;
/// The beginning of the problem of an application if the request about several tickets failed.
const GROUP_FAILED: &str = "the request about the results of several tickets failed";
/// The key of the result of an approval, which the external ITSM computes for a whole ticket. It is no field of the ticket.
pub const APPROVE_RESULT: &str = "approve_result";
/// The key of the status of the external ticket in a condition.
const CURRENT_STATUS: &str = "current_status";
/// The error name of the log platform for an invalid token, with its spelling (requirements/external-itsm.md, error
/// handling).
pub const TOKEN_ILLEGAL_NAME: &str = "CollectItsmTokenIllega";
/// The reason if the token of a callback is invalid. It begins with [`TOKEN_ILLEGAL_NAME`].
pub(super) const TOKEN_ILLEGAL: &str =
    "CollectItsmTokenIllega: the external ITSM did not issue the token of the callback";
/// The reason if the external ITSM has no suitable service (requirements/external-itsm.md, error handling).
pub const NOT_EXISTS: &str = "CollectItsmNotExists";

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
    /// Reads the external ticket by itself, because a request about several tickets failed or lacks a value.
    Fetch,
    /// Reads the external ticket because the comparison of all open applications with the external ITSM, which is a request
    /// about several tickets, showed that it has ended.
    Reconcile,
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
            Self::Reconcile => "reconcile",
            Self::Missed => "missed",
            Self::Withdraw => "withdraw",
        }
    }

    /// Returns the kind of request with the given name. A newer version of the desk can have stored an unknown
    /// name. The result is then a request that only reads: a search if the number of the external ticket is
    /// unknown, and a read of the ticket otherwise.
    pub(super) fn named(name: &str, has_number: bool) -> Self {
        match name {
            "discover" => Self::Discover,
            "create" => Self::Create,
            "find" => Self::Find,
            "verify" => Self::Verify,
            "confirm" => Self::Confirm,
            "poll" => Self::Poll,
            "fetch" => Self::Fetch,
            "reconcile" => Self::Reconcile,
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
    /// The external ITSM, or a gateway before it, answered the creation request with an error that does not show whether
    /// the ticket was created. The text is the error.
    Failed(String),
    /// The HTTP request had no effect, so the desk can safely send the request again. The text is the reason.
    NotSent(String),
    /// The response to the HTTP request is missing or unreadable, so the desk does not know whether the
    /// request had an effect. The text is the reason.
    Unclear(String),
}

impl Application {
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
            (
                Step::Verify,
                Answer::NotSent(reason) | Answer::Unclear(reason) | Answer::Rejected(reason),
            ) => {
                let poll = next(Step::Poll, self.external.clone(), self.pause_ms());
                let problem = format!("the token of a callback was not checked: {reason}");
                with_output(poll, PROBLEM, &problem)
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
            // The ticket possibly exists, as after a missing response.
            (Step::Create, Answer::Failed(error)) => {
                let find = next(Step::Find, String::new(), SEARCH_AFTER_MS);
                with_output(find, PROBLEM, &error)
            }
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
            (Step::Find, Answer::Found(None)) if self.failed_creations >= FAILED_CREATIONS_MAX => {
                Verdict::failed(format!(
                    "{}; the external ITSM answered {} creation requests with an error, and has no ticket of this application",
                    self.creation_error, self.failed_creations
                ))
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
            (Step::Verify, Answer::Verified(false)) => {
                let poll = next(Step::Poll, self.external.clone(), self.pause_ms());
                with_output(poll, PROBLEM, TOKEN_ILLEGAL)
            }
            (
                Step::Confirm | Step::Poll | Step::Fetch | Step::Reconcile | Step::Missed,
                Answer::Ticket(ticket),
            ) => self.read(&ticket, granted),
            (_, Answer::Unclear(reason) | Answer::Rejected(reason) | Answer::Failed(reason)) => {
                Verdict::retry(reason)
            }
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
            ) if !task.is_empty()
                && step != Step::Probe.name()
                && !is_alone(&step)
                && self.step != Step::Withdraw =>
            {
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
        is_waiting && self.step == Step::Poll && self.polls >= GROUPED_POLLS_MIN
    }

    /// Returns how the desk continues after a request about the statuses of several tickets. The decision is in the fields
    /// of the ticket, so the desk reads a ticket that has ended. The desk also reads a ticket that the response lacks.
    ///
    /// If the external ITSM rejects the request, or does not answer it repeatedly, the desk reads each ticket by itself. The
    /// account of the desk possibly has no right for this request, so a repetition would not help.
    pub fn polled(&self, answer: &Answer) -> Verdict {
        match answer {
            Answer::Statuses(statuses) => match statuses.get(&self.external) {
                Some(status) if !is_end(status) => {
                    next(Step::Poll, self.external.clone(), self.pause_ms())
                }
                _ => next(Step::Reconcile, self.external.clone(), 0),
            },
            Answer::Rejected(reason) => self.alone(reason),
            Answer::Unclear(reason) if self.attempts.failures >= FAILED_GROUPS_MAX => {
                self.alone(reason)
            }
            Answer::NotSent(reason) | Answer::Unclear(reason) => Verdict::retry(reason.clone()),
            other => Verdict::retry(format!("the response does not fit the request: {other:?}")),
        }
    }

    /// Returns that the desk reads the ticket by itself, because a request about several tickets failed.
    fn alone(&self, reason: &str) -> Verdict {
        let problem = format!("{GROUP_FAILED}: {reason}");
        let fetch = next(Step::Fetch, self.external.clone(), 0);
        with_output(fetch, PROBLEM, &problem)
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
            let mut poll = next(Step::Poll, self.external.clone(), self.pause_ms());
            // A person sees this until the request about several tickets works again.
            if self.step == Step::Fetch && self.problem.starts_with(GROUP_FAILED) {
                poll = with_output(poll, PROBLEM, &self.problem);
            }
            return with_links(poll, ticket);
        }
        // The desk has withdrawn the ticket, but did not receive the response.
        if let (Some(reason), "REVOKED") = (&self.withdrawal, ticket.status.as_str()) {
            return Verdict::failed(reason.clone());
        }
        let find = |key: &str| match key {
            CURRENT_STATUS => Found::Value(ticket.status.clone().into()),
            key => ticket
                .fields
                .get(key)
                .map_or(Found::Absent, |value| Found::Value(value.clone())),
        };
        let is_granted = ticket.status == "FINISHED"
            && condition::holds(granted, TransitionId(0), &find, &mut Vec::new());
        // A refusal needs the value that the condition names. A wrong name in the condition is no refusal.
        let absent = absent_key(granted, ticket).filter(|_| !is_granted);
        if let ("FINISHED", Some(key)) = (ticket.status.as_str(), absent) {
            if key == APPROVE_RESULT && self.step == Step::Poll {
                return with_links(next(Step::Fetch, self.external.clone(), 0), ticket);
            }
            return Verdict::retry(format!(
                "the external ticket is finished, but it has no field {key:?}; correct `granted` of the application kind"
            ));
        }
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

    /// Returns the pause before the next read of the external ticket, in milliseconds. The first pause is one
    /// minute. Each further pause is twice as long, up to five minutes.
    fn pause_ms(&self) -> i64 {
        let doublings = self.polls.saturating_sub(1).min(8);
        (POLL_MS << doublings).min(POLL_MS_MAX)
    }
}

/// Returns true if the condition of an application kind uses the result of the approval ([`APPROVE_RESULT`]), and not the
/// fields of the external ticket.
pub fn is_by_approve_result(granted: &Condition) -> bool {
    keys(granted).any(|key| key == APPROVE_RESULT)
}

/// Returns the keys that a condition names.
fn keys(condition: &Condition) -> impl Iterator<Item = &str> {
    let groups = condition.expressions.iter();
    groups
        .flat_map(|group| &group.expressions)
        .map(|clause| clause.key.as_str())
}

/// Returns the first key of a condition that the external ticket does not have.
fn absent_key<'a>(granted: &'a Condition, ticket: &ExternalTicket) -> Option<&'a str> {
    keys(granted).find(|key| *key != CURRENT_STATUS && !ticket.fields.contains_key(*key))
}

/// Adds the URLs of the external ticket to a verdict after which another request follows.
fn with_links(verdict: Verdict, ticket: &ExternalTicket) -> Verdict {
    let links = ticket.links.iter();
    links.fold(verdict, |verdict, (name, url)| {
        with_output(verdict, name, url)
    })
}

/// Returns true if the request with this name reads a ticket that has possibly ended, so that it is not withdrawn before.
pub(super) fn is_alone(step: &str) -> bool {
    step == Step::Fetch.name() || step == Step::Reconcile.name()
}

/// Returns true if an external ticket with this status has ended.
fn is_end(status: &str) -> bool {
    matches!(status, "FINISHED" | "TERMINATED" | "REVOKED")
}

/// Adds an output to a verdict after which another request follows.
pub(super) fn with_output(mut verdict: Verdict, name: &str, value: &str) -> Verdict {
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
