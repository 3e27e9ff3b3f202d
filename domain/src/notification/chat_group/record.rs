//! Decides which event the outcome of a step adds, and when the next attempt starts.

use events::chat_group::{
    AttemptFailed, ChatGroupEvent, Closed, Created, ErasedMemberEnded, Failed, LeftOut,
    LeftOutReason, Member, MembersSynced, MessageFailed, MessageSent, NotRemoved, PollScheduled,
    Postponed, Renamed, SyncFailed,
};
use events::delivery::FailureClass;
use events::{Moment, PersonId};

use super::{ChatGroup, PATIENCE_MS, RECOGNITION_MARGIN_MS, Step, stream};
use crate::attempt::{Verdict, jitter};
use crate::notification::delivery::POLICY;

/// Maximum number of pages of a list in which the desk looks for a group.
const PAGES_MAX: u32 = 50;
/// The end of the reason of a failed creation with an unknown result.
const POSSIBLY_CREATED: &str = "the platform possibly created the group, and another attempt could create a second one: look for the group on the platform before you create it again";

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The number of the attempt. A report is accepted only if this number is the number of the current attempt.
    pub attempt: u32,
    /// The step that the attempt made. For [`Step::Add`] and [`Step::Remove`], only the people of this request.
    pub step: Step,
    pub outcome: Outcome,
    /// The time at which the attempt ended.
    pub at: Moment,
}

/// What an attempt changed on the platform.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Created {
        /// The id of the group on the platform.
        chat: String,
        /// True if the group already shows its name.
        is_named: bool,
        members: Vec<Member>,
        left_out: Vec<LeftOut>,
    },
    /// The platform already has a group with the technical name, and the desk must read a page of the list of groups. The
    /// text identifies the page, and is empty for the first one.
    Elsewhere { cursor: String },
    Synced {
        added: Vec<Member>,
        removed: Vec<PersonId>,
        left_out: Vec<LeftOut>,
    },
    /// The platform renamed or closed the group, or accepted a message with this id.
    Done { message: String },
    Failed {
        verdict: Verdict,
        /// False if a message must not be sent again after an unknown result.
        may_repeat: bool,
    },
}

impl ChatGroup {
    /// Returns the event that stores the outcome of an attempt.
    pub(super) fn record(&self, report: &StepReport) -> ChatGroupEvent {
        let (attempt, at) = (report.attempt, report.at);
        match (&report.outcome, &report.step) {
            (
                Outcome::Created {
                    chat,
                    is_named,
                    members,
                    left_out,
                },
                _,
            ) => self.followed(at, |due| {
                Created {
                    attempt,
                    chat: chat.clone(),
                    is_named: *is_named,
                    members: members.clone(),
                    left_out: left_out.clone(),
                    due,
                }
                .into()
            }),
            (Outcome::Elsewhere { .. }, _) if self.pages >= PAGES_MAX => {
                let reason = "the group is not in the first pages of the list of the platform";
                self.ended(report, FailureClass::Permanent, "", reason)
            }
            (Outcome::Elsewhere { cursor }, _) => PollScheduled {
                attempt,
                cursor: cursor.clone(),
                due: at,
            }
            .into(),
            (
                Outcome::Synced {
                    added,
                    removed,
                    left_out,
                },
                _,
            ) => self.followed(at, |due| {
                MembersSynced {
                    attempt,
                    added: added.clone(),
                    removed: removed.clone(),
                    left_out: left_out.clone(),
                    due,
                }
                .into()
            }),
            (Outcome::Done { .. }, Step::Rename(name)) => self.followed(at, |due| {
                Renamed {
                    attempt,
                    name: name.clone(),
                    due,
                }
                .into()
            }),
            (Outcome::Done { message }, Step::Send(pending)) => self.followed(at, |due| {
                MessageSent {
                    attempt,
                    number: pending.number,
                    message: message.clone(),
                    due,
                }
                .into()
            }),
            (Outcome::Done { .. }, Step::Close) => Closed { attempt }.into(),
            (Outcome::Done { .. }, Step::RemoveErased(person)) => {
                self.erasure_ended(report, person, None)
            }
            (Outcome::Done { .. }, _) => {
                let verdict = Verdict::retry("the response does not fit the request");
                self.failed(report, &verdict, true)
            }
            (
                Outcome::Failed {
                    verdict,
                    may_repeat,
                },
                _,
            ) => self.failed(report, verdict, *may_repeat),
        }
    }

    /// Returns the event that `event` makes, with the time of the next attempt if the group needs a further step after it.
    fn followed(
        &self,
        at: Moment,
        event: impl Fn(Option<Moment>) -> ChatGroupEvent,
    ) -> ChatGroupEvent {
        let mut next = self.clone();
        crate::decider::Decider::evolve(&mut next, &event(None));
        event(next.step().map(|_| at))
    }

    /// Returns the name of the secret with the address of an erased person if the report ends the removal of this person. The
    /// secret must be destroyed before the report is stored.
    pub fn destroyed(&self, report: &StepReport) -> Option<&str> {
        let ChatGroupEvent::ErasedMemberEnded(ended) = self.record(report) else {
            return None;
        };
        let erased = self.erased.get(&ended.person);
        erased.map(|erased| erased.secret.as_str())
    }

    /// Returns the event that ends the removal of an erased person.
    fn erasure_ended(
        &self,
        report: &StepReport,
        person: &PersonId,
        failure: Option<NotRemoved>,
    ) -> ChatGroupEvent {
        self.followed(report.at, |due| {
            ErasedMemberEnded {
                attempt: report.attempt,
                person: person.clone(),
                failure: failure.clone(),
                due,
            }
            .into()
        })
    }

    fn failed(&self, report: &StepReport, verdict: &Verdict, may_repeat: bool) -> ChatGroupEvent {
        let (attempt, at) = (report.attempt, report.at);
        let latest = self.latest(&report.step, verdict);
        let (class, reason, after_ms) = match verdict {
            Verdict::Throttled { reason, after_ms } => {
                let due = at.plus_ms((*after_ms).max(1));
                if due > latest {
                    return self.ended(report, FailureClass::Throttled, "", reason);
                }
                let reason = reason.to_string();
                return Postponed {
                    attempt,
                    reason,
                    due,
                }
                .into();
            }
            Verdict::Refused {
                class: class @ FailureClass::RecipientInvalid,
                code,
                reason,
            } => match &report.step {
                Step::Add(people) | Step::Remove(people) if people.len() > 1 => {
                    // One of them is the reason. The next attempts name the people one by one.
                    return AttemptFailed {
                        attempt,
                        class: *class,
                        code: code.clone(),
                        reason: reason.to_string(),
                        due: at,
                    }
                    .into();
                }
                Step::Add(people) => return self.without(report, people, &[]),
                Step::Remove(people) => return self.without(report, &[], people),
                // The platform does not know the person any more, so the person is not a member.
                Step::RemoveErased(person) => return self.erasure_ended(report, person, None),
                _ => return self.ended(report, *class, code, reason),
            },
            Verdict::Refused {
                class,
                code,
                reason,
            } => return self.ended(report, *class, code, reason),
            Verdict::Failed { reason, .. } => {
                return self.ended(report, FailureClass::Permanent, "", reason);
            }
            Verdict::Unknown { reason } if !may_repeat => {
                return self.ended(report, FailureClass::Unknown, "", reason);
            }
            Verdict::Unknown { reason } => (FailureClass::Unknown, &**reason, None),
            Verdict::Retry { reason, after_ms } => (FailureClass::Transient, &**reason, *after_ms),
            Verdict::Succeeded { .. } | Verdict::Poll { .. } => {
                (FailureClass::Transient, "no result yet", None)
            }
        };
        let ticket = self.requested.as_ref().map(|one| stream(&one.ticket));
        let jitter = jitter(&ticket.unwrap_or_default(), attempt);
        let next = self
            .attempts
            .retry_with_jitter(POLICY, after_ms, jitter, at);
        match next.filter(|due| *due <= latest) {
            Some(due) => AttemptFailed {
                attempt,
                class,
                code: String::new(),
                reason: reason.to_owned(),
                due,
            }
            .into(),
            None => self.ended(report, class, "", reason),
        }
    }

    /// Returns the event for people whom the platform refused: they are left out, or are not members any more.
    fn without(
        &self,
        report: &StepReport,
        refused: &[PersonId],
        removed: &[PersonId],
    ) -> ChatGroupEvent {
        let left_out = |person: &PersonId| LeftOut {
            person: person.clone(),
            reason: LeftOutReason::Refused,
        };
        self.followed(report.at, |due| {
            MembersSynced {
                attempt: report.attempt,
                added: Vec::new(),
                removed: removed.to_vec(),
                left_out: refused.iter().map(left_out).collect(),
                due,
            }
            .into()
        })
    }

    /// Returns the event that ends a step without success.
    fn ended(
        &self,
        report: &StepReport,
        class: FailureClass,
        code: &str,
        reason: &str,
    ) -> ChatGroupEvent {
        let attempt = report.attempt;
        let (code, reason) = (code.to_owned(), reason.to_owned());
        match &report.step {
            Step::Create | Step::Find(_) => {
                let is_uncertain = self.is_uncertain || class == FailureClass::Unknown;
                Failed {
                    attempt,
                    class,
                    code,
                    reason: if is_uncertain {
                        format!("{reason}; {POSSIBLY_CREATED}")
                    } else {
                        reason
                    },
                }
                .into()
            }
            Step::RemoveErased(person) => {
                let failure = NotRemoved {
                    class,
                    code,
                    reason,
                };
                self.erasure_ended(report, person, Some(failure))
            }
            Step::Send(pending) => self.followed(report.at, |due| {
                MessageFailed {
                    attempt,
                    number: pending.number,
                    class,
                    code: code.clone(),
                    reason: reason.clone(),
                    due,
                }
                .into()
            }),
            // The end of the group was requested during the attempt, and the change is not needed any more.
            Step::Remove(_) | Step::Add(_) | Step::Rename(_) if self.closing.is_some() => {
                AttemptFailed {
                    attempt,
                    class,
                    code,
                    reason,
                    due: report.at,
                }
                .into()
            }
            Step::Remove(_) | Step::Add(_) | Step::Rename(_) | Step::Close => {
                self.followed(report.at, |due| {
                    SyncFailed {
                        attempt,
                        class,
                        code: code.clone(),
                        reason: reason.clone(),
                        due,
                    }
                    .into()
                })
            }
        }
    }

    /// Returns the time after which a step is not tried again after an attempt with this verdict. A creation with an unknown
    /// result is repeated only as long as the platform recognizes the repetition.
    fn latest(&self, step: &Step, verdict: &Verdict) -> Moment {
        let patience = self.since.plus_ms(PATIENCE_MS);
        let newest = match (step, verdict) {
            (Step::Create, Verdict::Unknown { .. }) => self.recognized_until,
            _ => None,
        };
        let recognized = match step {
            Step::Create => self.uncertain_until.or(newest),
            _ => None,
        };
        match recognized {
            Some(until) => patience.min(until.plus_ms(-RECOGNITION_MARGIN_MS)),
            None => patience,
        }
    }
}
