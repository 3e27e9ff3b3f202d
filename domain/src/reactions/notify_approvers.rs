//! Requests a notification for each person who may approve the execution of a script.

use events::execution::ExecutionEvent;
use events::notification::{Fact, Role};

use crate::automation::execution::Execution;
use crate::envelope::Envelope;
use crate::intent::{About, Intent, Notify};
use crate::notification::recipients::is_own_action;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "notify_approvers";

/// Returns one intent (a request for work) for each approver when an execution starts to wait for an approval, and
/// again after its parameters changed. The requester and the people who changed the parameters may not approve, so they
/// get no notification.
pub fn react(envelope: &Envelope<ExecutionEvent>, card: &Execution) -> Vec<Intent> {
    let is_request = matches!(
        envelope.event,
        ExecutionEvent::Requested(_) | ExecutionEvent::ParametersChanged(_)
    );
    let Some(requested) = &card.requested else {
        return Vec::new();
    };
    if !is_request || card.expires.is_none() {
        return Vec::new();
    }
    let may_approve = |person: &&events::PersonId| {
        **person != requested.requester
            && !card.editors.contains(*person)
            && !is_own_action(person, &envelope.meta.actor)
    };
    let approvers = requested.approvers.iter().filter(may_approve);
    approvers
        .map(|person| {
            Intent::Notify(Box::new(Notify {
                person: person.clone(),
                role: Role::Approver,
                accounts: Vec::new(),
                about: About {
                    fact: Fact::ExecutionApproval,
                    ticket: requested.ticket.clone(),
                    node: Some(requested.node),
                    name: requested.name.clone(),
                    round: requested.round,
                    at: envelope.happened_at(),
                    cause: envelope.id(),
                    correlation: envelope.meta.correlation.clone(),
                },
            }))
        })
        .collect()
}
