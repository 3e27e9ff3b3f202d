//! Defines reactions. A reaction is a pure function. Its inputs are an event and the card (the stored
//! summary) of the stream after this event. The function returns intents, which describe further work that
//! the desk must do.

pub mod check_escalations;
pub mod evaluate_rules;
pub mod handle_inbound;
pub mod mark_outdated;
pub mod notify_approvers;
pub mod notify_assignee;
pub mod notify_interested;
pub mod notify_on_call;
pub mod notify_operators;
pub mod notify_subscribers;
pub mod notify_waiting;
pub mod propagate_ticket_state;
pub mod relate_tickets;
pub mod report_bounce;
pub mod report_degraded;
pub mod report_delivery;
pub mod report_exhausted;
pub mod report_gaps;
pub mod report_no_address;
pub mod report_unreached;
pub mod send_callback;
pub mod start_api_call;
pub mod start_application;
pub mod start_deliveries;
pub mod start_digest_deliveries;
pub mod start_dispatch;
pub mod start_escalation;
pub mod start_reminders;
pub mod submit_application;
pub mod suppress_address;
pub mod sync_chat_group;
pub mod update_messages;
pub mod write_back;
pub mod write_binding;
pub mod write_repair;

use std::collections::BTreeMap;

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use crate::envelope::Envelope;
use crate::intent::{About, Intent, Notify, StartServiceTask};
use crate::notification::recipients::{Audience, interested, is_own_action, processors};
use crate::ticket::Ticket;
use crate::views::ticket_card::TicketCard;

/// Returns the data that the desk needs to start the work of an automatic node. The parameter `executor` is
/// the kind of work that the caller supports, such as an API call. Returns `None` if the node needs another
/// kind of work, or if the event does not start or repeat work.
fn started(
    envelope: &Envelope<TicketEvent>,
    card: &TicketCard,
    executor: Executor,
) -> Option<StartServiceTask> {
    let (node, attempt, inputs) = match &envelope.event {
        TicketEvent::NodeEntered(entered) if entered.automatic => {
            (entered.node, 1, BTreeMap::new())
        }
        TicketEvent::NodeRetried(retried) => {
            (retried.node, retried.attempt, retried.inputs.clone())
        }
        _ => return None,
    };
    let (opened, node_run) = (card.ticket.opened.as_ref()?, card.ticket.nodes.get(&node)?);
    (node_run.executor == executor).then(|| StartServiceTask {
        ticket: opened.sn.clone(),
        node,
        name: node_run.name.clone(),
        round: node_run.round,
        attempt,
        inputs,
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    })
}

/// Returns the intents (requests for work) of all notifications about one event of a ticket. `ticket` is the state of the
/// ticket after the event. The reactions [`notify_assignee`] and [`notify_interested`] return the same intents. A trial of
/// another policy uses this function, so that it cannot differ from the reactions.
pub fn notifications(envelope: &Envelope<TicketEvent>, ticket: &Ticket) -> Vec<Intent> {
    let event = &envelope.event;
    let mut intents = notified(envelope, ticket, processors(event, ticket));
    intents.extend(notified(envelope, ticket, interested(event, ticket)));
    intents
}

/// Returns one intent (a request for work) for each person of the audience who did not cause the event, and one for the
/// operators of the desk.
fn notified(envelope: &Envelope<TicketEvent>, ticket: &Ticket, audience: Audience) -> Vec<Intent> {
    let Some(opened) = &ticket.opened else {
        return Vec::new();
    };
    let node_run = audience.node.and_then(|node| ticket.nodes.get(&node));
    let about = |fact| About {
        fact,
        ticket: opened.sn.clone(),
        node: audience.node,
        name: node_run
            .map(|node_run| node_run.name.clone())
            .unwrap_or_default(),
        round: node_run.map_or(0, |node_run| node_run.round),
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    };
    let people = audience.people.into_iter();
    let people = people.filter(|one| !is_own_action(&one.person, &envelope.meta.actor));
    let people = people.map(|one| {
        Intent::Notify(Box::new(Notify {
            about: about(one.fact),
            person: one.person,
            role: one.role,
            accounts: Vec::new(),
        }))
    });
    let operators = audience.operators.into_iter();
    let operators = operators.map(|fact| Intent::NotifyOperators(Box::new(about(fact))));
    people.chain(operators).collect()
}
