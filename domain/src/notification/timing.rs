//! Moves messages that can wait to a later time, because of an experiment or of the learned hours of a person. Urgent
//! messages, messages that a rule of the policy demands, and messages to operators are never moved.

use events::Moment;
use events::experiment::{Assignment, Variant};
use events::notification::{
    Clause, Computed, Fact, Held, HeldReason, Mode, Requested, Role, Route, Routed, Strategy,
};
use events::preference::{Band, Category};
use jiff::tz::TimeZone;

use super::routing::Decision;

/// The delay of the variant `delayed`, in milliseconds: 15 minutes (requirements/notifications.md,
/// NotificationOptimizer).
pub const DELAY_MS: i64 = 15 * 60_000;

/// The data from which the desk decides whether a message is moved.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    pub requested: &'a Requested,
    pub computed: Computed,
    /// The variant that decides. `None` if the person takes part in no experiment and no hours are learned.
    pub assignment: Option<Assignment>,
    /// The learned time for the message. `None` if the desk has learned no better time.
    pub learned: Option<Moment>,
    pub zone: &'a TimeZone,
    /// The time after which appointments of the recipient no longer hold this notification.
    pub presence_limit: Option<Moment>,
    pub now: Moment,
}

/// Returns true if the people who get notifications about this fact in this role can take part in experiments.
/// Operators and people on call do not take part.
pub fn is_measurable(fact: Fact, role: Role) -> bool {
    fact != Fact::EscalationStep && !matches!(role, Role::Operator | Role::OnCall)
}

/// Returns true if the desk may send messages about this category at learned hours without an experiment. Messages
/// about work that waits for the person are never moved then.
pub fn is_learnable(category: Category) -> bool {
    matches!(
        category,
        Category::Updated | Category::Commented | Category::Resolved
    )
}

/// Moves a decision to a later time if the variant demands it. The variant is also stored in a decision that is not
/// moved, so that the notification can be measured. A notification that only the inbox shows is not measured.
///
/// The time depends only on the time of the event. The decision at this time therefore does not move the message again.
pub fn moved(decision: Decision, plan: &Plan<'_>) -> Decision {
    let Some(assignment) = &plan.assignment else {
        return decision;
    };
    let experiment = Some(assignment.clone());
    match decision {
        Decision::Hold(held) => Decision::Hold(Held { experiment, ..held }),
        Decision::Send(routed) if routed.routes.is_empty() => Decision::Send(routed),
        Decision::Send(routed) => match due(&routed, plan, assignment) {
            Some((until, because)) => Decision::Hold(Held {
                until,
                because: Some(because),
                quiet: None,
                zone: plan.zone.iana_name().unwrap_or("UTC").to_owned(),
                presence_limit: plan.presence_limit,
                experiment,
            }),
            None => Decision::Send(Routed {
                experiment,
                ..routed
            }),
        },
    }
}

/// Returns the later time of a message with its reason. Returns `None` if the message is sent now.
fn due(routed: &Routed, plan: &Plan<'_>, assignment: &Assignment) -> Option<(Moment, HeldReason)> {
    let sends = |route: &Route| !matches!(route.mode, Mode::Digest { waits: true, .. });
    if !may_wait(routed, plan) || !routed.routes.iter().any(sends) {
        return None;
    }
    let (due, because) = match assignment.variant {
        Variant::Immediate => return None,
        Variant::Delayed => (plan.requested.at.plus_ms(DELAY_MS), HeldReason::Experiment),
        Variant::Smart => (plan.learned?, HeldReason::LearnedTime),
    };
    (due > plan.now).then_some((due, because))
}

/// Returns true if the message is not urgent and no rule of the policy demands it.
fn may_wait(routed: &Routed, plan: &Plan<'_>) -> bool {
    let requested = plan.requested;
    let is_demanded = |route: &Route| matches!(route.clause, Some(Clause::Floor { .. }));
    !requested.is_urgent
        && !requested.is_critical
        && is_measurable(requested.fact, requested.role)
        && matches!(plan.computed.band, Band::Medium | Band::Low)
        && matches!(plan.computed.strategy, Strategy::Standard | Strategy::Batch)
        && !routed.routes.iter().any(is_demanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::priority;

    const AT: Moment = Moment(1_763_773_200_000);

    fn requested() -> Requested {
        Requested {
            person: "p-1".into(),
            fact: Fact::ApprovalNeeded,
            role: Role::Processor,
            ticket: "REQ1".into(),
            node: None,
            name: String::new(),
            round: 0,
            cause: "ticket-REQ1:5".into(),
            at: AT,
            priority: String::new(),
            is_urgent: false,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        }
    }

    fn routed(clause: Option<Clause>, mode: Mode) -> Routed {
        Routed {
            routes: vec![Route {
                account: "mail".into(),
                channel: "email".into(),
                mode,
                clause,
            }],
            skipped: Vec::new(),
            fallback: Vec::new(),
            fallback_due: None,
            expires: AT.plus_ms(1_000_000_000),
            priority: None,
            experiment: None,
        }
    }

    /// Returns the time and the reason of the hold, or `None` if the message is sent now.
    fn hold(
        requested: &Requested,
        band: Band,
        routed: Routed,
        variant: Variant,
        now: Moment,
    ) -> Option<(Moment, HeldReason)> {
        let assignment = Assignment {
            experiment: "experiment-1".into(),
            variant,
            is_applied: false,
        };
        let plan = Plan {
            requested,
            computed: priority::compute(requested, band, now),
            assignment: Some(assignment.clone()),
            learned: Some(AT.plus_ms(3_600_000)),
            zone: &TimeZone::UTC,
            presence_limit: None,
            now,
        };
        match moved(Decision::Send(routed), &plan) {
            Decision::Hold(held) => {
                assert_eq!(held.experiment, Some(assignment));
                Some((held.until, held.reason()))
            }
            Decision::Send(routed) => {
                assert_eq!(routed.experiment, Some(assignment));
                None
            }
        }
    }

    #[test]
    fn each_variant_has_its_time() {
        let of = |variant, now| {
            let routed = routed(None, Mode::Immediate);
            hold(&requested(), Band::Medium, routed, variant, now)
        };
        assert_eq!(of(Variant::Immediate, AT), None);
        let later = AT.plus_ms(DELAY_MS);
        let delayed = Some((later, HeldReason::Experiment));
        assert_eq!(of(Variant::Delayed, AT), delayed);
        assert_eq!(of(Variant::Delayed, later), None, "the message moves once");
        let smart = Some((AT.plus_ms(3_600_000), HeldReason::LearnedTime));
        assert_eq!(of(Variant::Smart, AT), smart);
    }

    #[test]
    fn urgent_demanded_and_collected_messages_do_not_move() {
        let usual = || routed(None, Mode::Immediate);
        let delayed = |requested: &Requested, band, routed| {
            hold(requested, band, routed, Variant::Delayed, AT).is_some()
        };
        assert!(delayed(&requested(), Band::Medium, usual()));
        assert!(!delayed(&requested(), Band::High, usual()));
        let urgent = Requested {
            is_urgent: true,
            ..requested()
        };
        assert!(!delayed(&urgent, Band::Medium, usual()));
        for (fact, role) in [
            (Fact::EscalationStep, Role::OnCall),
            (Fact::NodeFailed, Role::Operator),
            (Fact::Reminded, Role::Processor),
        ] {
            let other = Requested {
                fact,
                role,
                ..requested()
            };
            assert!(!delayed(&other, Band::Medium, usual()), "{fact:?}");
        }
        let floor = routed(Some(Clause::Floor { rule: 1 }), Mode::Immediate);
        assert!(!delayed(&requested(), Band::Medium, floor));
        let collected = Mode::Digest {
            digest: "digest-1".into(),
            due: AT.plus_ms(600_000),
            waits: true,
        };
        assert!(!delayed(
            &requested(),
            Band::Medium,
            routed(None, collected)
        ));
    }
}
