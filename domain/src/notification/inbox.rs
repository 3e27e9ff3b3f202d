//! Decides about the state of a notification in the inbox of its recipient. A notification is unseen, seen, read,
//! archived or snoozed. The lists of the inbox follow from this state.

use events::notification::{InboxChanged, InboxState, NotificationEvent, Read};
use events::{Moment, PersonId};

use super::{Notification, Rejection};
use crate::decider::DecideError;

/// Maximum time from the start to the end of a snooze, in days: one year.
pub const SNOOZE_DAYS_MAX: i64 = 366;
const DAY_MS: i64 = 24 * 3_600_000;

/// The names of the lists of one person. `inbox` contains all notifications that are neither archived nor snoozed, and
/// `unread` those of them that the person has not read.
pub const LISTS: &[&str] = &["inbox", "unread", "unseen", "archived", "snoozed"];

/// What a person does with a notification in the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Marks an unseen notification as seen.
    See,
    Read,
    /// Marks a read notification as unread. It is then seen.
    Unread,
    Archive,
    /// Hides the notification until the given time. It is then unseen.
    Snooze {
        until: Moment,
    },
    /// Moves an archived or snoozed notification back into the inbox.
    Restore,
}

/// An action of a person on a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub action: Action,
    pub by: PersonId,
    pub at: Moment,
}

impl Notification {
    /// Returns the event that stores the change. Returns no event if the notification already has the wanted state,
    /// or if the action does not apply to its state.
    pub(super) fn change_inbox(
        &self,
        change: &Change,
    ) -> Result<Vec<NotificationEvent>, DecideError<Self>> {
        if let Action::Snooze { until } = change.action {
            let longest = change.at.plus_ms(SNOOZE_DAYS_MAX * DAY_MS);
            if until <= change.at || until > longest {
                return Err(DecideError::Rejected(Rejection::SnoozeOutOfRange));
            }
        }
        let by = || Some(change.by.clone());
        let entered = |to| {
            let (until, by) = (None, by());
            vec![InboxChanged { to, until, by }.into()]
        };
        Ok(match (change.action, self.inbox) {
            (Action::See, InboxState::Unseen) => entered(InboxState::Seen),
            (Action::Read, InboxState::Unseen | InboxState::Seen | InboxState::Snoozed) => {
                let (by, account) = (change.by.clone(), String::new());
                vec![Read { by, account }.into()]
            }
            (Action::Unread, InboxState::Read) => entered(InboxState::Seen),
            (Action::Archive, state) if state != InboxState::Archived => {
                entered(InboxState::Archived)
            }
            (Action::Snooze { until }, _) if self.snoozed_until != Some(until) => {
                let changed = InboxChanged {
                    to: InboxState::Snoozed,
                    until: Some(until),
                    by: by(),
                };
                vec![changed.into()]
            }
            (Action::Restore, InboxState::Archived) => entered(InboxState::Read),
            (Action::Restore, InboxState::Snoozed) => entered(InboxState::Unseen),
            _ => Vec::new(),
        })
    }

    /// Returns true if the person is the recipient and has not read the notification yet.
    pub(super) fn is_unread_by(&self, person: &PersonId) -> bool {
        let requested = self.requested.as_ref();
        requested.is_some_and(|requested| requested.person == *person) && !self.is_read()
    }

    /// Returns the event that ends a snooze. Returns no event before the end that the person chose.
    pub(super) fn end_snooze(&self, at: Moment) -> Vec<NotificationEvent> {
        if self.snoozed_until.is_none_or(|until| until > at) {
            return Vec::new();
        }
        let changed = InboxChanged {
            to: InboxState::Unseen,
            until: None,
            by: None,
        };
        vec![changed.into()]
    }

    pub(super) fn enter_inbox_state(&mut self, state: InboxState, until: Option<Moment>) {
        self.inbox = state;
        self.snoozed_until = until;
    }

    /// Returns true if the person has read the notification, or has archived it.
    pub fn is_read(&self) -> bool {
        matches!(self.inbox, InboxState::Read | InboxState::Archived)
    }

    /// Returns the entries of the notification in the lists of its recipient. The entries are sorted by the time of the
    /// fact. After a snooze, the end of the snooze counts, so that the notification is at the top of the inbox again.
    pub(super) fn inbox_rows(&self) -> Vec<(&'static str, String)> {
        let Some(requested) = self.requested.as_ref().filter(|_| self.is_in_inbox()) else {
            return Vec::new();
        };
        let lists: &[&'static str] = match self.inbox {
            InboxState::Unseen => &["inbox", "unread", "unseen"],
            InboxState::Seen => &["inbox", "unread"],
            InboxState::Read => &["inbox"],
            InboxState::Archived => &["archived"],
            InboxState::Snoozed => &["snoozed"],
        };
        let at = self.returned.unwrap_or(requested.at);
        let lists = lists.iter();
        lists
            .map(|list| (*list, format!("{}|{:016}", requested.person, at.0)))
            .collect()
    }

    /// Returns the facets of the notification: its category, `urgent` or `normal`, and the number of the ticket.
    pub(super) fn inbox_facets(&self) -> String {
        let Some(requested) = &self.requested else {
            return String::new();
        };
        let urgency = if requested.is_urgent {
            "urgent"
        } else {
            "normal"
        };
        let category = requested.fact.category().name();
        format!("{category} {urgency}\t{}", requested.ticket)
    }
}

/// The filter for a list of the inbox. A member without a value filters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The names of the categories, such as `approval`.
    pub categories: Vec<String>,
    pub is_urgent: Option<bool>,
    pub ticket: Option<String>,
}

impl Filter {
    /// Returns true if the filter accepts every notification.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if the shared facets of a notification (its category and its urgency) fit.
    pub fn fits_shared(&self, facets: &str) -> bool {
        let (category, urgency) = facets.split_once(' ').unwrap_or((facets, ""));
        (self.categories.is_empty() || self.categories.iter().any(|one| one == category))
            && self
                .is_urgent
                .is_none_or(|urgent| urgent == (urgency == "urgent"))
    }

    /// Returns true if the own facet of a notification (the number of its ticket) fits.
    pub fn fits_own(&self, facet: &str) -> bool {
        self.ticket.as_ref().is_none_or(|ticket| ticket == facet)
    }
}

#[cfg(test)]
mod tests {
    use events::notification::{Completed, Fact, Outcome, Requested};

    use super::*;
    use crate::decider::{Decider as _, fold};
    use crate::notification::Command;
    use crate::views::Card as _;

    fn requested() -> Requested {
        Requested {
            person: "p-1".into(),
            fact: Fact::ApprovalNeeded,
            role: events::notification::Role::Processor,
            ticket: "REQ1".into(),
            node: None,
            name: String::new(),
            round: 0,
            cause: "ticket-REQ1:5".into(),
            at: Moment(5),
            priority: String::new(),
            is_urgent: false,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        }
    }

    fn entered(to: InboxState, until: Option<Moment>) -> NotificationEvent {
        let by = Some("p-1".into());
        InboxChanged { to, until, by }.into()
    }

    /// Returns a notification in the inbox, in the given state.
    fn in_state(state: InboxState) -> Notification {
        let completed = Completed {
            outcome: Outcome::InboxOnly,
            reason: String::new(),
        };
        let until = (state == InboxState::Snoozed).then_some(Moment(900));
        let history: [NotificationEvent; 3] =
            [requested().into(), completed.into(), entered(state, until)];
        fold(&history)
    }

    fn after(state: InboxState, action: Action) -> InboxState {
        let mut notification = in_state(state);
        let change = Change {
            action,
            by: "p-1".into(),
            at: Moment(100),
        };
        let command = Command::ChangeInbox(change);
        let events = notification.decide(&command, &()).expect("allowed");
        for event in &events {
            notification.evolve(event);
        }
        assert_eq!(notification.decide(&command, &()), Ok(Vec::new()));
        notification.inbox
    }

    #[test]
    fn each_action_leads_to_its_state_and_a_repetition_does_nothing() {
        use InboxState::{Archived, Read, Seen, Snoozed, Unseen};
        let until = Moment(1_000);
        for (action, expected) in [
            (Action::See, [Seen, Seen, Read, Archived, Snoozed]),
            (Action::Read, [Read, Read, Read, Archived, Read]),
            (Action::Unread, [Unseen, Seen, Seen, Archived, Snoozed]),
            (Action::Archive, [Archived; 5]),
            (Action::Snooze { until }, [Snoozed; 5]),
            (Action::Restore, [Unseen, Seen, Read, Read, Unseen]),
        ] {
            let reached = InboxState::ALL.map(|state| after(state, action));
            assert_eq!(reached, expected, "{action:?}");
        }
    }

    #[test]
    fn only_the_first_visit_of_the_recipient_reads_the_notification() {
        let visit = |by: &str| {
            Command::Visit(Read {
                by: by.into(),
                account: "mail".into(),
            })
        };
        let expected = [true, true, false, false, true];
        for (state, is_new) in InboxState::ALL.into_iter().zip(expected) {
            let mut notification = in_state(state);
            let other = notification.decide(&visit("p-2"), &());
            assert_eq!(other, Ok(Vec::new()), "{state:?}");
            let events = notification.decide(&visit("p-1"), &()).expect("allowed");
            assert_eq!(!events.is_empty(), is_new, "{state:?}");
            for event in &events {
                notification.evolve(event);
            }
            assert!(notification.is_read(), "{state:?}");
            assert_eq!(notification.decide(&visit("p-1"), &()), Ok(Vec::new()));
        }
    }

    #[test]
    fn a_snooze_ends_at_its_time_and_moves_the_notification_to_the_top() {
        let mut notification = in_state(InboxState::Snoozed);
        let end = |at| Command::EndSnooze { at: Moment(at) };
        assert_eq!(notification.decide(&end(899), &()), Ok(Vec::new()));
        assert_eq!(notification.index().last().unwrap().0, "snoozed");
        for event in notification.decide(&end(900), &()).expect("allowed") {
            notification.evolve(&event);
        }
        assert_eq!(notification.inbox, InboxState::Unseen);
        let expected = ("unseen", "p-1|0000000000000900".to_owned());
        assert_eq!(notification.index().last(), Some(&expected));
        assert_eq!(notification.decide(&end(901), &()), Ok(Vec::new()));
    }

    #[test]
    fn a_snooze_ends_in_the_future_and_within_a_year() {
        let longest = SNOOZE_DAYS_MAX * DAY_MS;
        for (until, is_allowed) in [
            (99, false),
            (100, false),
            (101, true),
            (100 + longest, true),
            (101 + longest, false),
        ] {
            let action = Action::Snooze {
                until: Moment(until),
            };
            let change = Change {
                action,
                by: "p-1".into(),
                at: Moment(100),
            };
            let decided = in_state(InboxState::Read).decide(&Command::ChangeInbox(change), &());
            assert_eq!(decided.is_ok(), is_allowed, "{until}");
        }
    }

    #[test]
    fn a_notification_that_is_not_requested_has_no_inbox_state() {
        let change = Change {
            action: Action::Read,
            by: "p-1".into(),
            at: Moment(1),
        };
        let decided = Notification::default().decide(&Command::ChangeInbox(change), &());
        assert_eq!(decided, Err(DecideError::Rejected(Rejection::NotRequested)));
    }

    #[test]
    fn filters_compare_the_category_the_urgency_and_the_ticket() {
        let facets = in_state(InboxState::Read).facets();
        let (shared, own) = facets.split_once('\t').expect("two parts");
        let fits = |filter: &Filter| filter.fits_shared(shared) && filter.fits_own(own);
        let filter = |categories: &[&str], is_urgent, ticket: Option<&str>| Filter {
            categories: categories.iter().map(|one| (*one).to_owned()).collect(),
            is_urgent,
            ticket: ticket.map(str::to_owned),
        };
        for (filter, expected) in [
            (filter(&[], None, None), true),
            (
                filter(&["approval", "updated"], Some(false), Some("REQ1")),
                true,
            ),
            (filter(&["updated"], None, None), false),
            (filter(&[], Some(true), None), false),
            (filter(&[], None, Some("REQ2")), false),
        ] {
            assert_eq!(fits(&filter), expected, "{filter:?}");
        }
    }
}
