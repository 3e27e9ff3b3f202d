//! Decides what follows if a message comes back after its account had accepted it, or if its recipient does not want it.
//! The next account of the fallback list then sends the message once, as after a failure before the acceptance. If
//! its message comes back too, the notification stays in the inbox, and the operators are informed.

use events::Moment;
use events::delivery::{BounceKind, FailureClass};
use events::notification::{
    Bounced, Completed, DeliveryEnded, NextMessage, NotRepeated, NotificationEvent, Outcome,
    Requested,
};
use events::preference::Category;

use super::routing::EXPIRES_MS;
use super::{Notification, Phase};

/// Age in milliseconds from which information is not sent again: one day. Messages because of which the recipient must
/// act have no such limit.
const PERISHABLE_MS: i64 = 24 * 3_600_000;

/// The reason of the failure of a delivery whose message came back.
const CAME_BACK: &str = "the accepted message came back";
const NOT_NEEDED: &str = "the accepted message came back, and is not needed any more";
const TOO_OLD: &str = "the accepted message came back, and its information is too old";
const NO_ACCOUNT: &str = "the accepted message came back, and no other account is left";
const REPEATED: &str = "the messages of two accounts came back";

/// A report about an accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub account: String,
    /// The name of the stream of the delivery.
    pub delivery: String,
    pub kind: BounceKind,
    pub class: FailureClass,
    pub code: String,
    /// The reason why the message is not sent again, if the state of the ticket or the age of the fact gives one.
    pub obstacle: Option<NotRepeated>,
    /// The earliest time at which the recipient may be disturbed.
    pub due: Moment,
}

/// Returns true if a fact is too old to be sent again. Only information becomes too old: comments and updates.
pub fn is_too_old(requested: &Requested, now: Moment) -> bool {
    let is_perishable = matches!(
        requested.fact.category(),
        Category::Commented | Category::Updated
    );
    is_perishable && requested.at.plus_ms(PERISHABLE_MS) <= now
}

/// Returns true if the reason of a completed notification states that the person does not need the message any more.
pub(super) fn is_settled(reason: &str) -> bool {
    reason == NOT_NEEDED || reason == TOO_OLD
}

/// Returns true if the reason of a completed notification states that the messages of two accounts came back.
pub(super) fn is_repeated(reason: &str) -> bool {
    reason == REPEATED
}

/// Returns the event that completes a notification whose message came back and is not sent again.
pub(super) fn completed(not_repeated: NotRepeated) -> Completed {
    let reason = match not_repeated {
        NotRepeated::NotNeeded => NOT_NEEDED,
        NotRepeated::TooOld => TOO_OLD,
        NotRepeated::Repeated => REPEATED,
        NotRepeated::NoAccount | NotRepeated::OtherAccepted | NotRepeated::OtherOpen => NO_ACCOUNT,
    };
    Completed {
        outcome: Outcome::InboxOnly,
        reason: reason.to_owned(),
    }
}

impl Notification {
    /// Returns true if a message of the notification came back.
    pub fn is_after_bounce(&self) -> bool {
        !self.bounced.is_empty()
    }

    /// Returns the events after a report about an accepted message. Returns no events if the notification has no such
    /// message, if the message was not accepted, or if an earlier report about it is stored.
    pub(super) fn bounce(&self, report: &Report) -> Vec<NotificationEvent> {
        let mut routes = self.routed.iter().flat_map(|routed| &routed.routes);
        let known = self.ended.iter().find(|one| one.account == report.account);
        // The end of the delivery may arrive after the report.
        let is_accepted =
            known.is_none_or(|one| one.is_accepted && one.delivery == report.delivery);
        let is_expected = routes.any(|route| route.account == report.account);
        if !is_expected || !is_accepted || self.bounced.contains(&report.delivery) {
            return Vec::new();
        }
        let not_repeated = self.not_repeated(report);
        let next = not_repeated.is_none().then(|| NextMessage {
            due: report.due,
            expires: report.due.plus_ms(EXPIRES_MS),
        });
        let bounced = Bounced {
            account: report.account.clone(),
            delivery: report.delivery.clone(),
            kind: report.kind,
            class: report.class,
            code: report.code.clone(),
            next,
            not_repeated,
        };
        let mut events = vec![bounced.into()];
        match not_repeated {
            None | Some(NotRepeated::OtherAccepted | NotRepeated::OtherOpen) => {}
            Some(reason) => events.push(completed(reason).into()),
        }
        events
    }

    /// Returns the reason why no further account sends the message. Returns `None` if the next account sends it.
    fn not_repeated(&self, report: &Report) -> Option<NotRepeated> {
        let routed = self.routed.as_ref()?;
        let mut others = self
            .ended
            .iter()
            .filter(|one| one.account != report.account);
        let has_ended = |account: &String| self.ended.iter().any(|one| one.account == *account);
        let is_open = |account: &String| *account != report.account && !has_ended(account);
        if others.any(|one| one.is_accepted) {
            Some(NotRepeated::OtherAccepted)
        } else if self.phase == Phase::Sending
            && routed.routes.iter().any(|route| is_open(&route.account))
        {
            Some(NotRepeated::OtherOpen)
        } else if self.is_resent {
            Some(NotRepeated::Repeated)
        } else if report.obstacle.is_some() {
            report.obstacle
        } else if routed.fallback.is_empty() {
            Some(NotRepeated::NoAccount)
        } else {
            None
        }
    }

    /// Stores that an accepted message came back: its delivery counts as failed. If another account sends the message,
    /// the notification is open again.
    pub(super) fn come_back(&mut self, bounced: &Bounced) {
        let failed = DeliveryEnded {
            account: bounced.account.clone(),
            delivery: bounced.delivery.clone(),
            is_accepted: false,
            class: Some(bounced.class),
            code: bounced.code.clone(),
            reason: CAME_BACK.to_owned(),
            is_dropped: false,
        };
        let mut ended = self.ended.iter_mut();
        match ended.find(|one| one.account == bounced.account) {
            Some(known) => *known = failed,
            None => self.ended.push(failed),
        }
        self.bounced.push(bounced.delivery.clone());
        self.is_resent |= bounced.next.is_some();
        if let (Some(next), Some(routed)) = (bounced.next, &mut self.routed) {
            routed.fallback_due = Some(next.due);
            routed.expires = next.expires;
            self.phase = Phase::Sending;
        }
    }
}

#[cfg(test)]
mod tests {
    use events::notification::{Fact, FallbackStarted, Mode, Role, Route, Routed};

    use super::*;
    use crate::decider::{Decider as _, fold};
    use crate::notification::Command;
    use crate::notification::routing::FALLBACK_EXPIRES_MS;

    const REPORTED: Moment = Moment(50_000);

    fn requested(is_urgent: bool) -> Requested {
        Requested {
            person: "p-1".into(),
            fact: Fact::ApprovalNeeded,
            role: Role::Processor,
            ticket: "REQ1".into(),
            node: Some(events::NodeId(3)),
            name: "审批".into(),
            round: 1,
            cause: "ticket-REQ1:5".into(),
            at: Moment(5),
            priority: String::new(),
            is_urgent,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        }
    }

    fn route(account: &str) -> Route {
        Route {
            account: account.into(),
            channel: "email".into(),
            mode: Mode::Immediate,
            clause: None,
        }
    }

    fn ended(account: &str, is_accepted: bool) -> DeliveryEnded {
        DeliveryEnded {
            account: account.into(),
            delivery: format!("delivery-{account}"),
            is_accepted,
            class: (!is_accepted).then_some(FailureClass::Permanent),
            code: String::new(),
            reason: String::new(),
            is_dropped: false,
        }
    }

    /// Returns a history in which the account `mail` has accepted the message.
    fn accepted(routes: &[&str], fallback: &[&str]) -> Vec<NotificationEvent> {
        let list =
            |names: &[&str]| -> Vec<Route> { names.iter().map(|name| route(name)).collect() };
        let routed = Routed {
            routes: list(routes),
            skipped: Vec::new(),
            fallback: list(fallback),
            fallback_due: None,
            expires: Moment(90_000),
            priority: None,
            experiment: None,
        };
        let mut history = vec![requested(true).into(), routed.into()];
        execute(&mut history, &Command::EndDelivery(ended("mail", true)));
        history
    }

    fn report(account: &str) -> Report {
        Report {
            account: account.into(),
            delivery: format!("delivery-{account}"),
            kind: BounceKind::Bounce,
            class: FailureClass::RecipientInvalid,
            code: "5.1.1".into(),
            obstacle: None,
            due: REPORTED,
        }
    }

    /// Executes a command and appends its events to the history. Returns the types of the new events.
    fn execute(history: &mut Vec<NotificationEvent>, command: &Command) -> Vec<&'static str> {
        let state: Notification = fold(&*history);
        let events = state.decide(command, &()).expect("allowed");
        history.extend(events.clone());
        events.iter().map(events::Event::kind).collect()
    }

    fn bounce(history: &mut Vec<NotificationEvent>, account: &str) -> Vec<&'static str> {
        execute(history, &Command::Bounce(report(account)))
    }

    fn why_not(history: &[NotificationEvent]) -> Option<NotRepeated> {
        let mut events = history.iter().rev();
        events.find_map(|event| match event {
            NotificationEvent::Bounced(bounced) => Some(bounced.not_repeated),
            _ => None,
        })?
    }

    fn outcome(history: &[NotificationEvent]) -> Option<(Outcome, bool)> {
        let state: Notification = fold(history);
        match &state.phase {
            Phase::Completed(one) => Some((one.outcome, state.is_unreached())),
            _ => None,
        }
    }

    #[test]
    fn the_next_account_sends_a_message_that_came_back_once() {
        let mut history = accepted(&["mail"], &["chat", "sms"]);
        assert_eq!(outcome(&history), Some((Outcome::Accepted, false)));
        assert_eq!(bounce(&mut history, "mail"), ["notification.bounced"]);
        assert_eq!(outcome(&history), None, "the notification is open again");
        assert!(bounce(&mut history, "mail").is_empty());
        let fall_back = |at| Command::FallBack {
            at: Moment(at),
            obstacle: None,
        };
        assert!(execute(&mut history, &fall_back(49_999)).is_empty());
        let started = execute(&mut history, &fall_back(50_000));
        assert_eq!(started, ["notification.fallback_started"]);
        let expected = FallbackStarted {
            account: "chat".into(),
            channel: "email".into(),
            is_after_failure: false,
            is_after_bounce: true,
            due: None,
            expires: Some(REPORTED.plus_ms(EXPIRES_MS + FALLBACK_EXPIRES_MS)),
        };
        assert_eq!(history.last(), Some(&NotificationEvent::from(expected)));
        assert!(execute(&mut history, &fall_back(50_001)).is_empty());
        execute(&mut history, &Command::EndDelivery(ended("chat", true)));
        assert_eq!(outcome(&history), Some((Outcome::Accepted, false)));
        // The second message comes back, too.
        let again = bounce(&mut history, "chat");
        assert_eq!(again, ["notification.bounced", "notification.completed"]);
        assert_eq!(why_not(&history), Some(NotRepeated::Repeated));
        assert_eq!(outcome(&history), Some((Outcome::InboxOnly, true)));
    }

    #[test]
    fn operators_are_informed_if_two_messages_of_any_urgency_come_back() {
        let mut history = accepted(&["mail"], &["chat", "sms"]);
        history[0] = requested(false).into();
        bounce(&mut history, "mail");
        let fall_back = Command::FallBack {
            at: REPORTED,
            obstacle: None,
        };
        execute(&mut history, &fall_back);
        execute(&mut history, &Command::EndDelivery(ended("chat", true)));
        assert_eq!(outcome(&history), Some((Outcome::Accepted, false)));
        bounce(&mut history, "chat");
        assert_eq!(outcome(&history), Some((Outcome::InboxOnly, true)));
        assert!(bounce(&mut history, "chat").is_empty(), "reported once");
        // Without a second message, only an urgent notification is reported.
        let mut single = accepted(&["mail"], &[]);
        single[0] = requested(false).into();
        bounce(&mut single, "mail");
        assert_eq!(outcome(&single), Some((Outcome::InboxOnly, false)));
    }

    #[test]
    fn the_list_is_used_if_the_messages_of_all_first_accounts_come_back() {
        let mut history = accepted(&["mail", "robot"], &["sms"]);
        execute(&mut history, &Command::EndDelivery(ended("robot", true)));
        bounce(&mut history, "mail");
        assert_eq!(why_not(&history), Some(NotRepeated::OtherAccepted));
        assert_eq!(bounce(&mut history, "robot"), ["notification.bounced"]);
        assert_eq!(why_not(&history), None);
        let fall_back = Command::FallBack {
            at: REPORTED,
            obstacle: None,
        };
        let started = execute(&mut history, &fall_back);
        assert_eq!(started, ["notification.fallback_started"]);
    }

    #[test]
    fn a_failure_after_a_bounce_uses_the_rest_of_the_list() {
        let mut history = accepted(&["mail"], &["chat", "sms"]);
        bounce(&mut history, "mail");
        let fall_back = Command::FallBack {
            at: REPORTED,
            obstacle: None,
        };
        execute(&mut history, &fall_back);
        let failed = execute(&mut history, &Command::EndDelivery(ended("chat", false)));
        let expected = [
            "notification.delivery_ended",
            "notification.fallback_started",
        ];
        assert_eq!(failed, expected);
        execute(&mut history, &Command::EndDelivery(ended("sms", false)));
        assert_eq!(outcome(&history), Some((Outcome::InboxOnly, true)));
    }

    #[test]
    fn a_message_that_another_account_accepted_is_not_repeated() {
        let mut history = accepted(&["mail", "robot"], &["sms"]);
        assert_eq!(bounce(&mut history, "mail"), ["notification.bounced"]);
        assert_eq!(why_not(&history), Some(NotRepeated::OtherOpen));
        let mut failed = history.clone();
        let events = execute(&mut failed, &Command::EndDelivery(ended("robot", false)));
        assert_eq!(events[1], "notification.fallback_started");
        execute(&mut history, &Command::EndDelivery(ended("robot", true)));
        assert_eq!(outcome(&history), Some((Outcome::Accepted, false)));
        let mut both = accepted(&["mail", "robot"], &["sms"]);
        execute(&mut both, &Command::EndDelivery(ended("robot", true)));
        bounce(&mut both, "mail");
        assert_eq!(why_not(&both), Some(NotRepeated::OtherAccepted));
        assert_eq!(outcome(&both), Some((Outcome::Accepted, false)));
    }

    #[test]
    fn without_another_account_the_operators_are_notified() {
        let mut history = accepted(&["mail"], &[]);
        bounce(&mut history, "mail");
        assert_eq!(why_not(&history), Some(NotRepeated::NoAccount));
        assert_eq!(outcome(&history), Some((Outcome::InboxOnly, true)));
    }

    #[test]
    fn a_message_that_is_not_needed_is_not_repeated() {
        for obstacle in [NotRepeated::NotNeeded, NotRepeated::TooOld] {
            let mut history = accepted(&["mail"], &["sms"]);
            let report = Report {
                obstacle: Some(obstacle),
                ..report("mail")
            };
            execute(&mut history, &Command::Bounce(report));
            assert_eq!(why_not(&history), Some(obstacle));
            assert_eq!(outcome(&history), Some((Outcome::InboxOnly, false)));
        }
        // The fact can also become untrue while the recipient must not be disturbed.
        let mut history = accepted(&["mail"], &["sms"]);
        bounce(&mut history, "mail");
        let fall_back = Command::FallBack {
            at: REPORTED,
            obstacle: Some(NotRepeated::NotNeeded),
        };
        let events = execute(&mut history, &fall_back);
        assert_eq!(events, ["notification.completed"]);
        assert_eq!(outcome(&history), Some((Outcome::InboxOnly, false)));
    }

    #[test]
    fn a_report_can_arrive_before_the_end_of_its_delivery() {
        let mut history = accepted(&["mail"], &["sms"]);
        history.truncate(2);
        assert_eq!(bounce(&mut history, "mail"), ["notification.bounced"]);
        let end = execute(&mut history, &Command::EndDelivery(ended("mail", true)));
        assert!(end.is_empty(), "the message is known as failed");
        let unknown = bounce(&mut history, "chat");
        assert!(unknown.is_empty());
        let mut refused = accepted(&["robot"], &["sms"]);
        refused.truncate(2);
        execute(&mut refused, &Command::EndDelivery(ended("robot", false)));
        assert!(bounce(&mut refused, "robot").is_empty());
    }

    #[test]
    fn only_information_becomes_too_old() {
        let of = |fact| Requested {
            fact,
            ..requested(false)
        };
        let day = Moment(5).plus_ms(PERISHABLE_MS);
        for (fact, now, expected) in [
            (Fact::Commented, day, true),
            (Fact::Progressed, day, true),
            (Fact::Commented, day.plus_ms(-1), false),
            (Fact::ApprovalNeeded, day, false),
            (Fact::Finished, day, false),
        ] {
            assert_eq!(is_too_old(&of(fact), now), expected, "{fact:?}");
        }
    }
}
