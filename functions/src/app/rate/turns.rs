//! Decides which message of a channel account is sent next, if the account may send no further message at this time.

use events::Moment;
use serde::{Deserialize, Serialize};

use super::Last;

/// Maximum number of messages in the list of waiting messages. The order of further messages is not guaranteed.
const WAITING_MAX: usize = 500;
/// A waiting message that does not come back within this time after its turn is removed from the list, in milliseconds. Its
/// delivery has ended in the meantime, for example because the message is too old.
const ABSENT_MS: i64 = 60_000;

/// The pause of a message whose turn comes after that of an earlier message, in milliseconds.
const ORDER_MS: i64 = 1_000;

/// A request for the permission to send a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// A short text that identifies the message among the messages of its account. All attempts use the same text.
    pub id: String,
    /// True if the message goes before all messages that are not critical.
    pub is_critical: bool,
    /// The time at which the message was requested. Earlier messages are sent first.
    pub since: Moment,
    /// True if this is the first request for the message.
    pub is_new: bool,
}

/// A message that could not be sent at its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    id: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_critical: bool,
    since: Moment,
    /// The time at which the message comes back.
    due: Moment,
}

impl Waiting {
    /// Returns the place of the message in the list: critical messages first, then the oldest ones.
    fn order(&self) -> (bool, Moment) {
        (!self.is_critical, self.since)
    }
}

impl Last {
    /// Decides about one message. If it may be sent now, counts it and returns `None`. Otherwise, returns the time at which
    /// it can be sent. `most` is the number of messages that may be sent in a period of `period_ms` milliseconds. The caller
    /// has removed the messages that were sent before this period.
    pub(super) fn admit(
        &mut self,
        most: usize,
        period_ms: i64,
        now: Moment,
        turn: &Turn,
    ) -> Option<Moment> {
        self.waiting
            .retain(|one| one.due.plus_ms(ABSENT_MS) > now || one.id == turn.id);
        let listed = self.waiting.iter().position(|one| one.id == turn.id);
        let order = (!turn.is_critical, turn.since);
        let ahead =
            listed.unwrap_or_else(|| self.waiting.partition_point(|one| one.order() <= order));
        let free = most.saturating_sub(self.times.len());
        let slot = if turn.is_new && !turn.is_critical {
            self.next_slot(most, period_ms, now)
        } else {
            now
        };
        if slot > now {
            self.promise(most, slot);
            return Some(slot);
        }
        let is_of_rank = |one: &&Waiting| one.is_critical == turn.is_critical;
        let is_first = !self.waiting[..ahead].iter().any(|one| is_of_rank(&one));
        if ahead < free && is_first {
            if let Some(listed) = listed {
                self.waiting.remove(listed);
            }
            self.times.push_back(now);
            if turn.is_new && self.promised.back().is_none_or(|back| *back <= now) {
                self.promise(most, now);
            }
            return None;
        }
        let due = match ahead.checked_sub(free) {
            Some(later) => self.free_at(later, most, period_ms, now),
            None => now.plus_ms(ORDER_MS),
        };
        // The messages of the list come back in their order.
        let earlier = self.waiting[..ahead].iter().filter(is_of_rank);
        let due = earlier.map(|one| one.due.plus_ms(1)).fold(due, Moment::max);
        match listed {
            Some(listed) => self.waiting[listed].due = due,
            None if self.waiting.len() < WAITING_MAX => {
                let waiting = Waiting {
                    id: turn.id.clone(),
                    is_critical: turn.is_critical,
                    since: turn.since,
                    due,
                };
                self.waiting.insert(ahead, waiting);
            }
            None => {}
        }
        Some(due)
    }

    /// Returns true if both documents contain the same messages, sent or waiting. Messages that were sent more than one
    /// minute ago do not count.
    pub(super) fn has_same_messages(&self, other: &Self) -> bool {
        self.promised == other.promised && self.waiting == other.waiting
    }

    /// Returns the time for one more message, after all messages that already have a time.
    fn next_slot(&self, most: usize, period_ms: i64, now: Moment) -> Moment {
        let Some(back) = self.promised.back() else {
            return now;
        };
        let earlier = self.promised.len().checked_sub(most);
        let earliest = earlier.map_or(now, |at| self.promised[at].plus_ms(period_ms));
        if earliest <= now {
            return now;
        }
        // Two messages never get the same time, so their order is certain.
        earliest.max(back.plus_ms(1))
    }

    fn promise(&mut self, most: usize, at: Moment) {
        self.promised.push_back(at);
        while self.promised.len() > most {
            self.promised.pop_front();
        }
    }

    /// Returns the time at which a message may be sent, if `ahead` messages before it also wait for a later time.
    fn free_at(&self, ahead: usize, most: usize, period_ms: i64, now: Moment) -> Moment {
        let place = ahead % most;
        let sent = self.times.get(place).copied().unwrap_or(now);
        let periods = i64::try_from(ahead / most).unwrap_or(i64::MAX - 1) + 1;
        let order_ms = i64::try_from(place).unwrap_or_default();
        sent.plus_ms(period_ms.saturating_mul(periods).saturating_add(order_ms))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::PERIOD_MS;
    use super::*;

    const MOST: usize = 3;

    fn turn(id: usize, is_critical: bool, is_new: bool) -> Turn {
        Turn {
            id: id.to_string(),
            is_critical,
            since: Moment(i64::try_from(id).expect("a small number")),
            is_new,
        }
    }

    /// Runs all messages until they are sent. `arrivals` contains the time and the kind (critical or not) of each message.
    /// The document is lost at the time `lost`. Returns the numbers and the times of the messages in the order in which
    /// they were sent.
    fn sent(arrivals: &[(i64, bool)], lost: Option<i64>) -> Vec<(usize, i64)> {
        let mut last = Last::default();
        let mut due: Vec<(i64, usize, bool)> = arrivals
            .iter()
            .enumerate()
            .map(|(id, (at, _))| (*at, id, true))
            .collect();
        let (mut sent, mut lost) = (Vec::new(), lost);
        while !due.is_empty() {
            due.sort_unstable();
            let (at, id, is_new) = due.remove(0);
            let now = Moment(at);
            if lost.is_some_and(|lost| lost <= at) {
                lost = None;
                last = Last {
                    times: vec![now; MOST].into(),
                    ..Last::default()
                };
            }
            while last
                .times
                .front()
                .is_some_and(|at| at.plus_ms(PERIOD_MS) <= now)
            {
                last.times.pop_front();
            }
            match last.admit(MOST, PERIOD_MS, now, &turn(id, arrivals[id].1, is_new)) {
                None => sent.push((id, at)),
                Some(later) => {
                    assert!(later > now, "{id} at {at}");
                    due.push((later.0, id, false));
                }
            }
            assert!(last.promised.len() <= MOST && last.times.len() <= MOST);
        }
        assert_eq!(sent.len(), arrivals.len());
        let times: VecDeque<i64> = sent.iter().map(|(_, at)| *at).collect();
        for (number, at) in times.iter().enumerate() {
            if let Some(before) = number.checked_sub(MOST) {
                assert!(times[before] + PERIOD_MS <= *at, "{times:?}");
            }
        }
        sent
    }

    #[test]
    fn messages_above_the_limit_are_sent_in_order_and_wait_once() {
        let sent = sent(&[(0, false); 10], None);
        let ids: Vec<usize> = sent.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, (0..10).collect::<Vec<_>>());
        assert_eq!(sent[9].1, 3 * PERIOD_MS, "the last in the fourth minute");
    }

    #[test]
    fn critical_messages_go_first() {
        let mut arrivals = [(0, false); 12];
        (arrivals[10].1, arrivals[11].1) = (true, true);
        let ids: Vec<usize> = sent(&arrivals, None).iter().map(|(id, _)| *id).collect();
        assert_eq!(ids[..3], [0, 1, 2], "the first ones were sent before");
        // A message of the same minute may be between them, but takes no place from them.
        assert!(
            ids[3..6].contains(&10) && ids[3..6].contains(&11),
            "{ids:?}"
        );
        let others: Vec<usize> = ids.into_iter().filter(|id| *id < 10).collect();
        assert_eq!(others, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_lost_document_keeps_the_order_of_waiting_messages() {
        for lost in [1, 30_000, PERIOD_MS, 70_000, 2 * PERIOD_MS] {
            let ids: Vec<usize> = sent(&[(0, false); 10], Some(lost))
                .iter()
                .map(|(id, _)| *id)
                .collect();
            assert_eq!(ids, (0..10).collect::<Vec<_>>(), "lost at {lost}");
        }
    }

    #[test]
    fn a_message_that_does_not_return_delays_the_others_for_a_short_time() {
        let mut last = Last {
            times: vec![Moment(0); MOST].into(),
            ..Last::default()
        };
        for id in 0..MOST {
            let admitted = last.admit(MOST, PERIOD_MS, Moment(1), &turn(id, true, true));
            assert!(admitted.is_some());
        }
        last.times.clear();
        let later = Moment(PERIOD_MS + ABSENT_MS + 10);
        let admitted = last.admit(MOST, PERIOD_MS, later, &turn(9, false, false));
        assert_eq!(admitted, None);
    }
}
