//! Changes the state of a chat group after an event, and finds the next step in the state.

use events::chat_group::{LeftOut, Member, Requested};
use events::delivery::FailureClass;
use events::{Moment, PersonId};

use super::{ChatGroup, MEMBERS_MAX, Pending, Step};
use crate::notification::delivery::LastFailure;

impl ChatGroup {
    pub(super) fn start(&mut self, requested: &Requested) {
        let number = self.last_message + 1;
        *self = Self {
            generation: self.generation + 1,
            last_message: number,
            messages: vec![Pending { number, fact: None }],
            announced: std::mem::take(&mut self.announced),
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
            !self.members.contains_key(*person) && !self.left_out.contains_key(*person)
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
