//! Requests a notification for each person whom a step of an escalation notifies.

use events::escalation::EscalationEvent;
use events::notification::{Fact, Role};

use crate::envelope::Envelope;
use crate::intent::{About, Intent, Notify};
use crate::notification::escalation::Escalation;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "notify_on_call";

/// Returns one intent (a request for work) for each person of the step. For any other event, the list is empty.
pub fn react(envelope: &Envelope<EscalationEvent>, card: &Escalation) -> Vec<Intent> {
    let (EscalationEvent::StepNotified(step), Some(started)) = (&envelope.event, &card.started)
    else {
        return Vec::new();
    };
    let number = usize::try_from(step.step).unwrap_or_default();
    let defined = number.checked_sub(1).and_then(|at| started.steps.get(at));
    let accounts = defined.map(|step| step.accounts.clone());
    let accounts = accounts.unwrap_or_default();
    let people = step.people.iter();
    people
        .map(|person| {
            Intent::Notify(Box::new(Notify {
                person: person.clone(),
                role: Role::OnCall,
                accounts: accounts.clone(),
                about: About {
                    fact: Fact::EscalationStep,
                    ticket: started.ticket.clone(),
                    node: Some(started.node),
                    name: started.name.clone(),
                    round: started.round,
                    at: envelope.happened_at(),
                    cause: envelope.id(),
                    correlation: envelope.meta.correlation.clone(),
                },
            }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use events::escalation::{Started, StepNotified};
    use events::escalation_chain::{Step, Target};
    use events::{Meta, Moment, NodeId};

    use super::*;
    use crate::decider::Decider as _;

    #[test]
    fn each_person_of_a_step_gets_a_notification_on_its_accounts() {
        let step = Step {
            wait_minutes: 0,
            notify: Target::Leader,
            accounts: vec!["phone".into()],
            only_if: None,
            buzz: false,
        };
        let started = Started {
            chain: "default".into(),
            version: 1,
            steps: vec![step],
            repeat: 0,
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "审批".into(),
            round: 2,
            cause: "ticket-REQ1:5".into(),
            at: Moment(5),
            priority: "3".into(),
            due: Moment(5),
        };
        let mut card = Escalation::default();
        card.evolve(&started.into());
        let notified = StepNotified {
            pass: 1,
            step: 1,
            at: Moment(7),
            people: vec!["p-1".into(), "p-2".into()],
            omitted: 0,
            reason: None,
            due: None,
        };
        let envelope = Envelope {
            stream: "escalation-1".into(),
            sequence: 2,
            at: Moment(7),
            occurred_at: None,
            meta: Meta::system("c", "ticket-REQ1:5"),
            event: EscalationEvent::from(notified),
        };
        card.evolve(&envelope.event);
        let intents = react(&envelope, &card);
        let [Intent::Notify(first), Intent::Notify(second)] = intents.as_slice() else {
            panic!("{intents:?}")
        };
        assert_eq!(
            (first.person.as_str(), second.person.as_str()),
            ("p-1", "p-2")
        );
        assert_eq!(first.accounts, ["phone"]);
        assert_eq!(first.about.cause, "escalation-1:2");
        assert_eq!((first.about.round, first.role), (2, Role::OnCall));
    }
}
