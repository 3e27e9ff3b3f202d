//! Decides which events a request for a chat group, for its change, for a message or for its end adds.

use std::collections::BTreeSet;

use events::chat_group::{
    ChatGroupEvent, CloseReason, CloseRequested, Closed, ErasedMemberEnded, MemberErased,
    MessageRequested, NotRemoved, Requested, UpdateRequested,
};
use events::delivery::FailureClass;
use events::notification::Fact;
use events::{Moment, PersonId};

use super::{ANNOUNCED_MAX, ChatGroup, End, Step, Wanted};
use crate::decider::Decider as _;

impl ChatGroup {
    pub(super) fn request(&self, request: &Requested) -> Vec<ChatGroupEvent> {
        let is_by_person = request.by.is_some();
        match (&self.requested, &self.end) {
            (None, _) => vec![request.clone().into()],
            (Some(_), None) => {
                let wanted = Wanted {
                    name: request.name.clone(),
                    members: request.members.clone(),
                    not_permitted: request.not_permitted.clone(),
                    omitted: request.omitted,
                    at: request.due,
                };
                self.update(&wanted, is_by_person)
            }
            (Some(_), Some(End::Closed(_))) if !is_by_person => Vec::new(),
            // The platform possibly has the group of a creation with an unknown result. Only a person decides about another.
            (Some(_), Some(End::Failed(_)))
                if !is_by_person && (self.is_uncertain || self.wants(&request.members)) =>
            {
                Vec::new()
            }
            (Some(_), Some(_)) => vec![request.clone().into()],
        }
    }

    /// Returns the event of an update. If `is_again` is true, people who were left out are tried again.
    pub(super) fn update(&self, wanted: &Wanted, is_again: bool) -> Vec<ChatGroupEvent> {
        if self.end.is_some() || self.closing.is_some() {
            return Vec::new();
        }
        let is_same = self.name == wanted.name
            && self.wants(&wanted.members)
            && self.not_permitted.iter().eq(sorted(&wanted.not_permitted))
            && self.omitted == wanted.omitted;
        let has_gaps = self.is_stalled || !self.left_out.is_empty();
        if is_same && !(is_again && has_gaps) {
            return Vec::new();
        }
        let mut update = UpdateRequested {
            name: wanted.name.clone(),
            members: wanted.members.clone(),
            not_permitted: wanted.not_permitted.clone(),
            omitted: wanted.omitted,
            due: None,
        };
        let mut next = self.clone();
        next.evolve(&update.clone().into());
        // A person who is left out from the start causes no step, so the group needs no deadline.
        update.due = next.step().map(|_| self.due_from(wanted.at));
        vec![update.into()]
    }

    pub(super) fn announce(&self, fact: Fact, cause: &str, at: Moment) -> Vec<ChatGroupEvent> {
        let waits = self.messages.iter().any(|one| one.fact == Some(fact));
        let position = position(cause);
        let is_full = self.announced.len() >= ANNOUNCED_MAX;
        let is_old = is_full && self.announced.first().is_some_and(|one| position < *one);
        let is_repeated = is_old || self.announced.contains(&position);
        if self.end.is_some() || self.closing.is_some() || waits || is_repeated {
            return Vec::new();
        }
        vec![
            MessageRequested {
                number: self.last_message + 1,
                fact,
                cause: cause.to_owned(),
                due: self.due_from(at),
            }
            .into(),
        ]
    }

    pub(super) fn close(
        &self,
        reason: CloseReason,
        by: Option<&PersonId>,
        name: &str,
        at: Moment,
    ) -> Vec<ChatGroupEvent> {
        let is_closing = self.closing.is_some() && !self.is_stalled;
        if self.end.is_some() || is_closing {
            return Vec::new();
        }
        let close = CloseRequested {
            reason,
            by: by.cloned(),
            name: name.to_owned(),
            due: self.due_from(at),
        };
        let mut events: Vec<ChatGroupEvent> = vec![close.into()];
        if self.chat.is_empty() && !self.is_sent {
            events.push(Closed { attempt: 0 }.into());
        }
        events
    }

    pub(super) fn erase(
        &self,
        person: &PersonId,
        secret: &str,
        until: Moment,
        at: Moment,
    ) -> Vec<ChatGroupEvent> {
        if !self.may_contain(person) {
            return Vec::new();
        }
        vec![
            MemberErased {
                person: person.clone(),
                secret: secret.to_owned(),
                until,
                due: self.due_from(at),
            }
            .into(),
        ]
    }

    pub(super) fn give_up(&self, person: &PersonId, at: Moment) -> Vec<ChatGroupEvent> {
        let erased = self.erased.get(person);
        if erased.is_none_or(|erased| erased.until > at) {
            return Vec::new();
        }
        let mut ended = ErasedMemberEnded {
            attempt: 0,
            person: person.clone(),
            failure: Some(NotRemoved {
                class: FailureClass::Permanent,
                code: String::new(),
                reason: "the time for the removal ended".to_owned(),
            }),
            due: None,
        };
        let mut next = self.clone();
        next.evolve(&ended.clone().into());
        ended.due = next.step().map(|_| self.due_from(at));
        vec![ended.into()]
    }

    pub(super) fn may_begin(&self, attempt: u32, message: Option<u32>) -> bool {
        let fits = match (self.step(), message) {
            (Some(Step::Create), None) => true,
            (Some(Step::Send(pending)), Some(number)) => pending.number == number,
            _ => false,
        };
        fits && attempt == self.attempts.next() && !self.attempts.is_interrupted()
    }

    /// Returns the time of the next attempt after new work arrived at the time `at`. New work does not shorten the pause
    /// after a failure, and does not disturb an attempt that runs.
    fn due_from(&self, at: Moment) -> Moment {
        match self.step() {
            Some(_) => self.attempts.due.max(at),
            None => at,
        }
    }

    fn wants(&self, members: &[PersonId]) -> bool {
        self.wanted.iter().eq(sorted(members))
    }
}

fn sorted(people: &[PersonId]) -> BTreeSet<&PersonId> {
    people.iter().collect()
}

/// Returns the position of an event in the stream of the ticket. `cause` is the id of the event, such as `ticket-REQ1:7`.
pub(super) fn position(cause: &str) -> i64 {
    let position = cause.rsplit_once(':').map(|(_, position)| position);
    position
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
