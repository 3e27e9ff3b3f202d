//! Computes the priority of a notification from its fact, the band of the ticket priority, the time and the role of the
//! recipient (requirements/notifications.md, PriorityNotificationManager). The table is in docs/notifications.md.

use events::Moment;
use events::notification::{Computed, Fact, Requested, Role, Strategy};
use events::notification_policy;
use events::preference::Band;

/// Lowest score of the strategy `escalation`.
pub const ESCALATION_MIN: u32 = 170;
/// Lowest score of the strategy `immediate`.
pub const IMMEDIATE_MIN: u32 = 110;
/// Lowest score of the strategy `standard`. A lower score has the strategy `batch`.
pub const STANDARD_MIN: u32 = 15;
/// Age of an event in milliseconds after which information about it is less useful: one hour.
const FRESH_MS: i64 = 3_600_000;

/// Returns the band of a ticket priority. `key` is the key of the priority, or an empty text.
pub fn band(policy: Option<&notification_policy::Defined>, key: &str) -> Band {
    let Some(policy) = policy else {
        return Band::default();
    };
    let has = |keys: &[String]| keys.iter().any(|one| one == key);
    let default = if has(&policy.critical) {
        Band::Critical
    } else if has(&policy.urgent) {
        Band::High
    } else {
        Band::Medium
    };
    policy.bands.get(key).copied().unwrap_or(default)
}

/// Returns true if messages about tickets with the priority `key` are urgent: the list `urgent` of the policy contains it,
/// or its band is `critical` or `high`.
pub fn is_urgent(policy: &notification_policy::Defined, key: &str) -> bool {
    policy.urgent.iter().any(|one| one == key)
        || matches!(band(Some(policy), key), Band::Critical | Band::High)
}

/// Returns true if messages about tickets with the priority `key` are critical: the list `critical` of the policy contains
/// it, or its band is `critical`.
pub fn is_critical(policy: &notification_policy::Defined, key: &str) -> bool {
    policy.critical.iter().any(|one| one == key) || band(Some(policy), key) == Band::Critical
}

/// Returns the computed priority of a notification at the time `now`.
pub fn compute(requested: &Requested, band: Band, now: Moment) -> Computed {
    let (base, impact) = (base(requested.fact), impact(band));
    let (time, role) = (
        time(requested.fact, requested.at, now),
        role(requested.role),
    );
    let score = base * impact * time * role / 1_000_000;
    Computed {
        band,
        base,
        impact,
        time,
        role,
        score,
        strategy: strategy(requested.fact, score),
    }
}

/// Returns the strategy. A step of an escalation chain never waits for a batch, because the next step follows soon. The
/// message that all steps of an escalation are over does not wait either.
fn strategy(fact: Fact, score: u32) -> Strategy {
    match score {
        _ if matches!(fact, Fact::EscalationStep | Fact::EscalationExhausted) => {
            Strategy::Escalation
        }
        ESCALATION_MIN.. => Strategy::Escalation,
        IMMEDIATE_MIN.. => Strategy::Immediate,
        STANDARD_MIN.. => Strategy::Standard,
        _ => Strategy::Batch,
    }
}

/// Returns the base value of a fact. People must act because of the facts with high values.
fn base(fact: Fact) -> u32 {
    match fact {
        Fact::Reminded
        | Fact::Escalated
        | Fact::EscalationStep
        | Fact::EscalationExhausted
        | Fact::ChainGap => 80,
        Fact::NodeFailed
        | Fact::ProcessorsMissing
        | Fact::CallbackFailed
        | Fact::Unreached
        | Fact::AddressMissing
        | Fact::AccountDegraded => 70,
        Fact::ApprovalNeeded
        | Fact::WorkAssigned
        | Fact::StillWaiting
        | Fact::ExecutionApproval => 60,
        Fact::Mentioned | Fact::LoadHigh => 50,
        Fact::Finished | Fact::Terminated | Fact::Subscribed => 40,
        Fact::Suspended | Fact::Resumed | Fact::Changed => 30,
        Fact::Progressed => 25,
        Fact::Followed | Fact::Commented | Fact::RatingInvited => 20,
    }
}

fn impact(band: Band) -> u32 {
    match band {
        Band::Critical => 200,
        Band::High => 150,
        Band::Medium => 100,
        Band::Low => 70,
    }
}

/// Returns the time factor. A fact for which a ticket waits stays important. Other information loses importance after
/// one hour.
fn time(fact: Fact, at: Moment, now: Moment) -> u32 {
    let waits = matches!(
        fact,
        Fact::ApprovalNeeded
            | Fact::WorkAssigned
            | Fact::Reminded
            | Fact::Escalated
            | Fact::EscalationStep
            | Fact::StillWaiting
            | Fact::ExecutionApproval
            | Fact::NodeFailed
            | Fact::ProcessorsMissing
    );
    if waits {
        120
    } else if now.0 - at.0 > FRESH_MS {
        80
    } else {
        100
    }
}

fn role(role: Role) -> u32 {
    match role {
        Role::Processor | Role::Operator | Role::OnCall | Role::Approver => 120,
        Role::Mentioned => 110,
        Role::Requester | Role::Subscriber | Role::OwnSubscriber => 100,
        Role::Follower => 80,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn requested(fact: Fact, role: Role) -> Requested {
        Requested {
            person: "p-1".into(),
            fact,
            role,
            ticket: "REQ1".into(),
            node: None,
            name: String::new(),
            round: 0,
            cause: "ticket-REQ1:5".into(),
            at: Moment(0),
            priority: String::new(),
            is_urgent: false,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        }
    }

    #[test]
    fn the_factors_choose_the_strategy() {
        use Band::{Critical, High, Low, Medium};
        for (fact, band, role, after, score, strategy) in [
            (
                Fact::ApprovalNeeded,
                Critical,
                Role::Processor,
                0,
                172,
                Strategy::Escalation,
            ),
            (
                Fact::ApprovalNeeded,
                High,
                Role::Processor,
                0,
                129,
                Strategy::Immediate,
            ),
            (
                Fact::ApprovalNeeded,
                Medium,
                Role::Processor,
                0,
                86,
                Strategy::Standard,
            ),
            (
                Fact::Reminded,
                Medium,
                Role::Processor,
                0,
                115,
                Strategy::Immediate,
            ),
            (
                Fact::Commented,
                Medium,
                Role::Follower,
                0,
                16,
                Strategy::Standard,
            ),
            (
                Fact::Commented,
                Medium,
                Role::Follower,
                FRESH_MS + 1,
                12,
                Strategy::Batch,
            ),
            (Fact::Commented, Low, Role::Follower, 0, 11, Strategy::Batch),
            (
                Fact::EscalationStep,
                Low,
                Role::OnCall,
                0,
                80,
                Strategy::Escalation,
            ),
        ] {
            let computed = compute(&requested(fact, role), band, Moment(after));
            assert_eq!(
                (computed.score, computed.strategy),
                (score, strategy),
                "{fact:?} {band:?}"
            );
        }
    }

    #[test]
    fn every_score_has_no_overflow() {
        for fact in Fact::ALL {
            let computed = compute(&requested(fact, Role::Processor), Band::Critical, Moment(0));
            assert!((1..=300).contains(&computed.score), "{computed:?}");
        }
    }

    #[test]
    fn an_urgent_key_is_high_unless_the_policy_names_its_band() {
        let policy = notification_policy::Defined {
            name: "default".into(),
            accounts: Vec::new(),
            urgent: vec!["3".into()],
            fallback: Vec::new(),
            critical: Vec::new(),
            operators: Vec::new(),
            bands: BTreeMap::from([("1".to_owned(), Band::Low)]),
            rules: Vec::new(),
            teams: Vec::new(),
            subscriptions: Vec::new(),
            chains: BTreeMap::new(),
            single_publisher: false,
            system_name: String::new(),
            support_email: String::new(),
            feedback_one_in: 0,
            applies_winner: false,
            learns_times: false,
            learns_channels: false,
            perishable: Vec::new(),
            chat_groups: None,
        };
        let bands = ["3", "2", "1", ""].map(|key| band(Some(&policy), key));
        assert_eq!(bands, [Band::High, Band::Medium, Band::Low, Band::Medium]);
        assert_eq!(band(None, "3"), Band::Medium);
    }
}
