//! Contains helper functions for the tests of tickets. Some functions return contexts (the workflow and
//! other data that a ticket needs). Other functions return tickets in different states.

use events::ticket::{Linked, Relation, TicketEvent};
use events::workflow::{Node, NodeKind, Processors};
use events::{Entry, PersonId, ServiceId, service};

use super::{BOSS, Command, Context, LISI, Open, ROOT, Ticket};
use super::{context_of, definition, node, transition};
use crate::decider::Decider;

/// The second processor (person who may act) of each node that the helper function `node` builds.
pub(super) const OTHER: &str = "p-other";
/// The owner of the service in the contexts that the function [`with_owner`] returns.
pub(super) const OWNER: &str = "p-owner";
/// A person who has no relation to the tickets in the tests.
pub(super) const GUEST: &str = "p-guest";

pub(super) fn people(ids: &[&str]) -> Vec<PersonId> {
    ids.iter().map(|id| PersonId::from(*id)).collect()
}

pub(super) fn to(ids: &[&str]) -> Processors {
    Processors::Person(people(ids))
}

/// Returns a copy of a context (the data that a ticket decision needs). The function `change` modifies the
/// service in this copy.
pub(super) fn with_service(
    mut context: Context,
    change: impl FnOnce(&mut service::Defined),
) -> Context {
    let service = context
        .services
        .get_mut(&ServiceId(7))
        .and_then(Option::as_mut)
        .expect("the context contains the service");
    change(service);
    context
}

pub(super) fn with_owner(context: Context) -> Context {
    with_service(context, |service| service.owners = vec![OWNER.into()])
}

/// Returns a context (the data that a ticket decision needs) with a workflow. The function `change` modifies
/// the approval node 3 of this workflow.
pub(super) fn with_approval(change: impl FnOnce(&mut Node)) -> Context {
    let mut definition = definition();
    change(&mut definition.nodes[2]);
    context_of(definition)
}

/// Returns a context (the data that a ticket decision needs) with a workflow. If people reject the approval
/// node 3, no transition has a true condition, so the node fails.
pub(super) fn with_dead_end() -> Context {
    let mut definition = definition();
    definition.transitions.remove(2);
    context_of(definition)
}

/// Returns a context (the data that a ticket decision needs) with a workflow of four nodes: START 1, submit
/// node 2 (which opens a ticket), manual node 5 (at which people fill in a form) and END 4. The function
/// `change` modifies the manual node 5.
pub(super) fn with_manual(change: impl FnOnce(&mut Node)) -> Context {
    let mut definition = definition();
    definition.nodes[2] = node(5, NodeKind::Manual, &[]);
    change(&mut definition.nodes[2]);
    definition.transitions = vec![
        transition(1, 1, 2, None),
        transition(2, 2, 5, None),
        transition(3, 5, 4, None),
    ];
    context_of(definition)
}

/// Returns a context (the data that a ticket decision needs) with a workflow that has two parallel branches.
/// The first branch contains node 5, and the second branch contains node 6. At both nodes, people fill in a
/// form. The function `change` modifies both nodes.
pub(super) fn with_branches(change: impl FnOnce(&mut Node, &mut Node)) -> Context {
    let mut definition = definition();
    let mut first = node(5, NodeKind::Manual, &[]);
    let mut second = node(6, NodeKind::Manual, &[]);
    change(&mut first, &mut second);
    definition.nodes[2] = node(7, NodeKind::Parallel, &[]);
    definition
        .nodes
        .extend([first, second, node(8, NodeKind::Coverage, &[])]);
    definition.transitions = vec![
        transition(1, 1, 2, None),
        transition(2, 2, 7, None),
        transition(3, 7, 5, None),
        transition(4, 7, 6, None),
        transition(5, 5, 8, None),
        transition(6, 6, 8, None),
        transition(7, 8, 4, None),
    ];
    context_of(definition)
}

/// Returns a command that opens a ticket. The function `change` modifies the content of the new
/// ticket.
pub(super) fn open_with(change: impl FnOnce(&mut Open)) -> Command {
    let mut content = Open {
        sn: "REQ1".into(),
        id: 1,
        service: ServiceId(7),
        creator: LISI.into(),
        form: vec![Entry::new("title", "t")],
        ..Open::default()
    };
    change(&mut content);
    Command::Open(Box::new(content))
}

/// Returns the state of the ticket after a command. The context contains the data that the ticket needs for
/// its decision. If the ticket rejects the command, the test fails.
pub(super) fn after(ticket: &Ticket, command: &Command, context: &Context) -> Ticket {
    let mut next = ticket.clone();
    ticket
        .decide(command, context)
        .expect("the ticket accepts the command")
        .iter()
        .for_each(|event| next.evolve(event));
    next
}

/// Returns a ticket that was opened in the given context. After the opening, no person has acted on the
/// ticket.
pub(super) fn opened_in(context: &Context) -> Ticket {
    after(&Ticket::default(), &open_with(|_| ()), context)
}

pub(super) fn suspended_in(context: &Context) -> Ticket {
    let suspend = Command::Suspend {
        by: ROOT.into(),
        reason: "r".into(),
    };
    after(&opened_in(context), &suspend, context)
}

pub(super) fn ended_in(context: &Context) -> Ticket {
    let terminate = Command::Terminate {
        by: ROOT.into(),
        reason: "r".into(),
    };
    after(&opened_in(context), &terminate, context)
}

/// Returns a copy of a ticket. The copy is a child of the ticket with the number `parent`.
pub(super) fn child_of(parent: &str, ticket: &Ticket) -> Ticket {
    let mut child = ticket.clone();
    child.evolve(&TicketEvent::from(Linked {
        by: BOSS.into(),
        other: parent.into(),
        relation: Relation::ChildOf,
    }));
    child
}
