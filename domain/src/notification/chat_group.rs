//! Implements the aggregate of the chat group of one ticket. The state compares what the ticket needs (people, name,
//! messages, end) with what the platform has. From the difference follows the next step: one request to the platform. A
//! step is repeated after a temporary failure, so a group that was created although the response was lost is found again.

pub mod card;
mod command;
pub mod of_ticket;
mod record;
mod requests;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use events::chat_group::{
    AttemptStarted, ChatGroupEvent, CloseReason, CloseRequested, Failed, LeftOut, LeftOutReason,
    Requested,
};
use events::delivery::FailureClass;
use events::notification::Fact;
use events::{Moment, PersonId, Personal, TicketSn};
use serde::{Deserialize, Serialize};

use crate::attempt::Attempts;
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::notification::delivery::LastFailure;
pub use command::{Command, Rejection, Wanted};
pub use record::{Outcome, StepReport};
use requests::position;

/// Maximum number of members of a group. The events must stay small, and more people cannot discuss one ticket.
pub const MEMBERS_MAX: usize = 200;
/// Number of events of the ticket that the state keeps to recognize a repeated event.
const ANNOUNCED_MAX: usize = 300;
/// Time in milliseconds after which a step is not tried again: one day. A rate limit postpones a step only within this time.
const PATIENCE_MS: i64 = 24 * 3_600_000;
/// Time in milliseconds before the end of the time within which a platform recognizes a repetition. Within this margin, no
/// attempt starts, because a request and the clock of the platform can be late.
const RECOGNITION_MARGIN_MS: i64 = 5 * 60_000;
/// Time in milliseconds after which the desk destroys the address of an erased person, also if the platform has not removed
/// the person: two days. The creation of the group and the removal have one day each.
pub const ERASED_MS: i64 = 2 * PATIENCE_MS;

/// A person whose erasure began while the group existed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// The name of the secret in the key store with the address of the person.
    pub secret: String,
    /// The time at which the desk destroys the address, also if the platform has not removed the person.
    pub until: Moment,
    /// The number of the group that contains the person, see [`ChatGroup::generation`].
    pub generation: u32,
}

/// A message that waits to be sent to the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub number: u32,
    /// The fact about which the message informs. The value is absent for the first message of a group, which introduces
    /// the ticket. WeCom shows a new group only after its first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Fact>,
}

/// One step that brings the group nearer to what the ticket needs. Each step is one request to the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    /// Looks for the group of an earlier attempt in a list of the platform. The text identifies the page of the list.
    Find(String),
    Remove(Vec<PersonId>),
    /// Removes an erased person. This step comes before all others of an existing group, also before its end.
    RemoveErased(PersonId),
    Add(Vec<PersonId>),
    Rename(String),
    Send(Pending),
    Close,
}

/// The end of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Closed(CloseReason),
    Failed(Failed),
}

/// The chat group of one ticket, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatGroup {
    pub requested: Option<Requested>,
    /// How often a group was requested. Each group has other ids on the platform.
    pub generation: u32,
    /// The id of the group on the platform. The text is empty until the group exists.
    pub chat: String,
    /// The name that the group shall have.
    pub name: String,
    /// The name that the platform shows.
    pub shown_name: String,
    pub wanted: BTreeSet<PersonId>,
    pub not_permitted: BTreeSet<PersonId>,
    pub omitted: u32,
    /// The members, with the addresses under which the platform knows them.
    pub members: BTreeMap<PersonId, Personal>,
    /// The wanted people who are no members.
    pub left_out: BTreeMap<PersonId, LeftOutReason>,
    /// The messages that wait, the oldest first. There is at most one for each fact.
    pub messages: Vec<Pending>,
    pub last_message: u32,
    /// The positions of the newest events of the ticket about which the group got a message. After a loss of the views, the
    /// desk reads all events again.
    pub announced: BTreeSet<i64>,
    pub closing: Option<CloseRequested>,
    pub end: Option<End>,
    pub attempts: Attempts,
    /// The time at which the current step became possible: the end of the step before it, or the time of new work for a group
    /// that had none.
    pub since: Moment,
    /// True after the last attempt to change the people or the name, or to close the group. This change then waits for the
    /// next change of the ticket. Messages are still sent.
    pub is_stalled: bool,
    /// True if the platform possibly has a request that creates the group.
    pub is_sent: bool,
    /// True if the platform refused several people together. They are then added and removed one by one.
    pub is_single: bool,
    /// The page of the list in which the desk looks for the group. `None` if it does not look for it.
    pub cursor: Option<String>,
    /// Number of pages that the desk has read.
    pub pages: u32,
    /// The number of the message of the newest attempt whose start is stored.
    pub started_message: Option<u32>,
    pub last_failure: Option<LastFailure>,
    /// The end of the time within which the platform recognizes the newest request that creates the group. `None` if this
    /// time has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recognized_until: Option<Moment>,
    /// True if an attempt to create the group had an unknown result, so the platform possibly has the group.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_uncertain: bool,
    /// The end of the time within which the platform recognizes the first request with an unknown result. A later request
    /// could create a second group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain_until: Option<Moment>,
    /// The erased people whose addresses are still in the key store.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub erased: BTreeMap<PersonId, Erased>,
    /// All people whose erasure was requested. They are never added again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gone: BTreeSet<PersonId>,
    /// The erased people whom the platform did not remove from this group.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_removed: BTreeSet<PersonId>,
}

impl Decider for ChatGroup {
    type Command = Command;
    type Event = ChatGroupEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<ChatGroupEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        if self.requested.is_none() && !matches!(command, Command::Request(_)) {
            return reject(Rejection::NotRequested);
        }
        Ok(match command {
            Command::Request(request) => self.request(request),
            Command::Update(wanted) => self.update(wanted, false),
            Command::Announce { fact, cause, at } => self.announce(*fact, cause, *at),
            Command::Close {
                reason,
                by,
                name,
                at,
            } => self.close(*reason, by.as_ref(), name, *at),
            Command::Begin {
                attempt,
                message,
                recognized_until,
                until,
            } => {
                if !self.may_begin(*attempt, *message) {
                    return reject(Rejection::NotDue(*attempt));
                }
                let (attempt, message, due) = (*attempt, *message, *until);
                vec![
                    AttemptStarted {
                        attempt,
                        message,
                        recognized_until: *recognized_until,
                        due,
                    }
                    .into(),
                ]
            }
            Command::Record(report) => {
                if report.attempt != self.attempts.next() || self.end.is_some() {
                    return reject(Rejection::NotDue(report.attempt));
                }
                vec![self.record(report)]
            }
            Command::Erase {
                person,
                secret,
                until,
                at,
            } => self.erase(person, secret, *until, *at),
            Command::GiveUp { person, at } => self.give_up(person, *at),
        })
    }

    fn evolve(&mut self, event: &ChatGroupEvent) {
        let was_idle = self.step().is_none();
        match event {
            ChatGroupEvent::Requested(requested) => self.start(requested),
            ChatGroupEvent::UpdateRequested(update) => {
                self.name.clone_from(&update.name);
                self.want(&update.members, &update.not_permitted, update.omitted);
                match update.due {
                    Some(due) => self.begin(was_idle, due),
                    None => self.is_stalled = false,
                }
            }
            ChatGroupEvent::MessageRequested(message) => {
                self.last_message = message.number;
                self.announced.insert(position(&message.cause));
                if self.announced.len() > ANNOUNCED_MAX {
                    self.announced.pop_first();
                }
                self.messages.push(Pending {
                    number: message.number,
                    fact: Some(message.fact),
                });
                self.begin(was_idle, message.due);
            }
            ChatGroupEvent::CloseRequested(close) => {
                self.closing = Some(close.clone());
                // The end has all of its attempts, also if other changes have failed before.
                self.begin(true, close.due);
            }
            ChatGroupEvent::AttemptStarted(started) => {
                self.attempts.start(started.attempt, started.due);
                self.started_message = started.message;
                if started.message.is_none() {
                    self.is_sent = true;
                    self.recognized_until = started.recognized_until;
                }
            }
            ChatGroupEvent::AttemptFailed(failed) => {
                self.attempts.fail(failed.attempt, failed.due);
                if self.chat.is_empty() && failed.class == FailureClass::Unknown {
                    self.is_uncertain = true;
                    self.uncertain_until = self.uncertain_until.or(self.recognized_until);
                }
                self.is_single |= failed.class == FailureClass::RecipientInvalid;
                self.note(failed.class, &failed.code, &failed.reason);
            }
            ChatGroupEvent::Postponed(postponed) => {
                self.attempts.postpone(postponed.attempt, postponed.due);
                self.note(FailureClass::Throttled, "", &postponed.reason);
            }
            ChatGroupEvent::PollScheduled(poll) => {
                self.attempts.poll(poll.attempt, poll.due);
                self.cursor = Some(poll.cursor.clone());
                self.pages += 1;
            }
            ChatGroupEvent::Created(created) => {
                self.settle(created.attempt, created.due);
                self.chat.clone_from(&created.chat);
                self.cursor = None;
                if created.is_named {
                    let first = self.requested.as_ref().map(|one| one.name.clone());
                    self.shown_name = first.unwrap_or_default();
                }
                self.join(&created.members);
                self.leave_out(&created.left_out);
            }
            ChatGroupEvent::MembersSynced(synced) => {
                self.settle(synced.attempt, synced.due);
                for person in &synced.removed {
                    self.members.remove(person);
                }
                self.join(&synced.added);
                self.leave_out(&synced.left_out);
            }
            ChatGroupEvent::Renamed(renamed) => {
                self.settle(renamed.attempt, renamed.due);
                self.shown_name.clone_from(&renamed.name);
            }
            ChatGroupEvent::MessageSent(sent) => {
                self.settle(sent.attempt, sent.due);
                self.messages.retain(|one| one.number != sent.number);
            }
            ChatGroupEvent::MessageFailed(failed) => {
                self.settle(failed.attempt, failed.due);
                self.messages.retain(|one| one.number != failed.number);
                self.note(failed.class, &failed.code, &failed.reason);
            }
            ChatGroupEvent::SyncFailed(failed) => {
                self.attempts.end(failed.attempt);
                self.is_stalled = true;
                if let Some(due) = failed.due {
                    self.attempts.begin_again(due);
                    self.since = due;
                }
                self.note(failed.class, &failed.code, &failed.reason);
            }
            ChatGroupEvent::Failed(failed) => {
                self.attempts.end(failed.attempt);
                self.messages.clear();
                self.is_uncertain |= failed.class == FailureClass::Unknown;
                self.note(failed.class, &failed.code, &failed.reason);
                self.end = Some(End::Failed(failed.clone()));
            }
            ChatGroupEvent::MemberErased(erased) => self.expel(erased),
            ChatGroupEvent::ErasedMemberEnded(ended) => self.end_erasure(ended),
            ChatGroupEvent::Closed(closed) => {
                if closed.attempt > 0 {
                    self.attempts.end(closed.attempt);
                }
                self.messages.clear();
                self.last_failure = None;
                let reason = self.closing.as_ref().map(|close| close.reason);
                self.end = Some(End::Closed(reason.unwrap_or(CloseReason::TicketEnded)));
            }
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        self.members.values_mut().collect()
    }
}

impl ChatGroup {
    /// Returns the step of an attempt whose start is stored, but whose outcome is not stored. The program probably stopped
    /// during the attempt. Returns `None` if there is no such attempt.
    pub fn interrupted(&self) -> Option<Step> {
        if self.end.is_some() || !self.attempts.is_interrupted() {
            return None;
        }
        let number = self.started_message;
        let message = self
            .messages
            .iter()
            .find(|one| Some(one.number) == number)
            .cloned();
        Some(message.map_or(Step::Create, Step::Send))
    }

    /// Returns true if the group was requested and has not ended.
    pub fn is_active(&self) -> bool {
        self.requested.is_some() && self.end.is_none()
    }

    /// Returns true if the group is open, and if the platform possibly has the person as a member.
    pub fn may_contain(&self, person: &PersonId) -> bool {
        let is_sent = self.is_sent || !self.chat.is_empty();
        let is_wanted = self.wanted.contains(person) && !self.left_out.contains_key(person);
        let is_possible = self.members.contains_key(person) || (is_wanted && is_sent);
        self.is_active() && is_possible && !self.gone.contains(person)
    }

    /// Returns true if an attempt to create the group cannot create a second one at the time `now`: no attempt had an unknown
    /// result, or the platform still recognizes it.
    pub fn may_create(&self, now: Moment) -> bool {
        let until = self.uncertain_until;
        until.is_none_or(|until| now <= until.plus_ms(-RECOGNITION_MARGIN_MS))
    }

    /// Returns all people of the ticket who are no members, with the reasons.
    pub fn all_left_out(&self) -> Vec<LeftOut> {
        let refused = self.left_out.iter();
        let refused = refused.map(|(person, reason)| (person.clone(), *reason));
        let denied = self.not_permitted.iter();
        let denied = denied.map(|person| (person.clone(), LeftOutReason::NotPermitted));
        let all = refused.chain(denied);
        all.map(|(person, reason)| LeftOut { person, reason })
            .collect()
    }
}

/// Returns the name of the stream with the chat group of a ticket.
pub fn stream(ticket: &TicketSn) -> String {
    format!("chat_group-{ticket}")
}
