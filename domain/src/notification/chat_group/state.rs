//! Changes the state of a chat group after an event, and finds the next step in the state.

use events::chat_group::{ErasedMemberEnded, LeftOut, Member, MemberErased, Requested};
use events::delivery::FailureClass;
use events::{Moment, PersonId};

use super::{ChatGroup, Erased, MEMBERS_MAX, Pending, Step};
use crate::notification::delivery::LastFailure;

impl ChatGroup {
    pub(super) fn start(&mut self, requested: &Requested) {
        let number = self.last_message + 1;
        *self = Self {
            generation: self.generation + 1,
            last_message: number,
            messages: vec![Pending { number, fact: None }],
            announced: std::mem::take(&mut self.announced),
            erased: std::mem::take(&mut self.erased),
            gone: std::mem::take(&mut self.gone),
            attempts: self.attempts,
            name: requested.name.clone(),
            requested: Some(requested.clone()),
            ..Self::default()
        };
        self.want(
            &requested.members,
            &requested.not_permitted,
            requested.omitted,
        );
        self.begin(true, requested.due);
    }

    pub(super) fn want(&mut self, members: &[PersonId], not_permitted: &[PersonId], omitted: u32) {
        self.wanted = members.iter().cloned().collect();
        self.not_permitted = not_permitted.iter().cloned().collect();
        self.omitted = omitted;
        self.left_out.clear();
        self.is_single = false;
    }

    pub(super) fn begin(&mut self, was_idle: bool, due: Moment) {
        self.is_stalled = false;
        if was_idle {
            self.attempts.begin_again(due);
            self.since = due;
        } else {
            self.attempts.due = due;
        }
    }

    /// Stores that a step has ended. The next step has all of its time.
    pub(super) fn settle(&mut self, attempt: u32, due: Option<Moment>) {
        if let Some(due) = due {
            self.since = due;
        }
        let due = due.unwrap_or(self.attempts.due);
        self.attempts.poll(attempt, due);
        self.last_failure = None;
    }

    pub(super) fn note(&mut self, class: FailureClass, code: &str, reason: &str) {
        self.last_failure = Some(LastFailure {
            class,
            code: code.to_owned(),
            reason: reason.to_owned(),
        });
    }

    pub(super) fn join(&mut self, members: &[Member]) {
        for member in members {
            self.left_out.remove(&member.person);
            self.members
                .insert(member.person.clone(), member.address.clone());
        }
    }

    pub(super) fn leave_out(&mut self, people: &[LeftOut]) {
        for one in people {
            self.left_out.insert(one.person.clone(), one.reason);
        }
    }

    /// Stores that the erasure of a person began. The removal has all of its attempts.
    pub(super) fn expel(&mut self, erased: &MemberErased) {
        self.gone.insert(erased.person.clone());
        self.erased.insert(
            erased.person.clone(),
            Erased {
                secret: erased.secret.clone(),
                until: erased.until,
                generation: self.generation,
            },
        );
        if self.chat.is_empty() {
            self.attempts.due = erased.due;
        } else {
            self.attempts.begin_again(erased.due);
            self.since = erased.due;
        }
    }

    /// Stores that the desk has no address of an erased person any more.
    pub(super) fn end_erasure(&mut self, ended: &ErasedMemberEnded) {
        let erased = self.erased.remove(&ended.person);
        if ended.attempt > 0 {
            self.settle(ended.attempt, ended.due);
        } else if let Some(due) = ended.due {
            self.attempts.begin_again(due);
            self.since = due;
        }
        // The removal from an earlier group does not concern this one.
        if erased.is_some_and(|erased| erased.generation != self.generation) {
            return;
        }
        self.members.remove(&ended.person);
        match &ended.failure {
            None => {
                self.not_removed.remove(&ended.person);
            }
            Some(failure) => {
                self.not_removed.insert(ended.person.clone());
                self.note(failure.class, &failure.code, &failure.reason);
            }
        }
    }

    /// Returns the next erased person whom the platform must remove from this group.
    fn expelled(&self) -> Option<&PersonId> {
        let mut erased = self.erased.iter();
        let found = erased.find(|(_, one)| one.generation == self.generation);
        found.map(|(person, _)| person)
    }

    /// Returns the next step. Returns `None` if the group is as the ticket needs it, has ended or waits after a failure.
    pub fn step(&self) -> Option<Step> {
        if self.requested.is_none() || self.end.is_some() {
            return None;
        }
        if self.chat.is_empty() {
            return Some(match &self.cursor {
                Some(cursor) => Step::Find(cursor.clone()),
                None => Step::Create,
            });
        }
        if let Some(person) = self.expelled() {
            return Some(Step::RemoveErased(person.clone()));
        }
        let is_closing = self.closing.is_some();
        // A message of a group that is closed goes before the end, so only the end can wait there.
        if is_closing && self.is_stalled {
            return None;
        }
        let mut messages = self.messages.iter();
        // A group that is closed soon needs no introduction.
        let message = messages.find(|one| one.fact.is_some() || !is_closing);
        let message = message.cloned().map(Step::Send);
        if is_closing {
            return Some(message.unwrap_or(Step::Close));
        }
        // A change that the platform refuses does not hold back the messages.
        if self.is_stalled {
            return message;
        }
        let gone = self.members.keys();
        let gone = gone.filter(|person| !self.wanted.contains(*person));
        let missing = self.wanted.iter().filter(|person| {
            let is_known = self.members.contains_key(*person) || self.gone.contains(*person);
            !is_known && !self.left_out.contains_key(*person)
        });
        let most = if self.is_single { 1 } else { MEMBERS_MAX };
        let gone: Vec<PersonId> = gone.take(most).cloned().collect();
        let missing: Vec<PersonId> = missing.take(most).cloned().collect();
        if !gone.is_empty() {
            Some(Step::Remove(gone))
        } else if !missing.is_empty() {
            Some(Step::Add(missing))
        } else if self.shown_name != self.name {
            Some(Step::Rename(self.name.clone()))
        } else {
            message
        }
    }
}
