//! Decides who gets a notification about an event of a ticket, and of which fact. The decision is a pure function of the
//! event and of the ticket after the event. The reactions request a notification for each recipient, and the explanation
//! why a person got no notification uses the same function.

use events::notification::{Fact, Role};
use events::ticket::TicketEvent;
use events::{NodeId, PersonId};

use crate::ticket::{NodeRun, Ticket};

/// A person who gets a notification, with the fact and the reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient {
    pub person: PersonId,
    pub fact: Fact,
    pub role: Role,
}

/// The people who get a notification about one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// The workflow node to which the fact belongs. `None` if the event concerns the whole ticket.
    pub node: Option<NodeId>,
    /// The recipients. Each person is in the list only once, with the most important fact.
    pub people: Vec<Recipient>,
    /// The fact about which the operators of the desk get a notification. `None` if the event concerns no operator.
    pub operators: Option<Fact>,
}

/// Returns the people who must act at a node because of this event. The reaction `notify_assignee` informs them. If the
/// processors of the node vote one after another, each vote informs the next person.
pub fn processors(event: &TicketEvent, ticket: &Ticket) -> Audience {
    let node = match event {
        TicketEvent::NodeEntered(entered) if !entered.automatic => entered.node,
        TicketEvent::NodeAssigned(assigned) => assigned.node,
        TicketEvent::NodeTransferred(transferred) => transferred.node,
        TicketEvent::NodeReassigned(reassigned) => reassigned.node,
        TicketEvent::VoteCast(vote) if is_sequential(ticket, vote.node) => vote.node,
        _ => return Audience::default(),
    };
    let Some(node_run) = ticket.nodes.get(&node) else {
        return Audience::default();
    };
    let fact = if node_run.is_vote {
        Fact::ApprovalNeeded
    } else {
        Fact::WorkAssigned
    };
    // If every person may process the node, `whose_turn` returns no people, and no person gets a notification.
    let mut audience = Audience::at(node);
    audience.add(node_run.whose_turn(), fact, Role::Processor);
    audience
}

/// Returns the other people whom an event concerns: the requester, followers, mentioned people and operators. The reaction
/// `notify_interested` informs them.
pub fn interested(event: &TicketEvent, ticket: &Ticket) -> Audience {
    let mut audience = Audience::default();
    match event {
        TicketEvent::NodeEntered(entered) if !entered.automatic => {
            audience = Audience::at(entered.node);
            audience.add(requesters(ticket), Fact::Progressed, Role::Requester);
            audience.follow(ticket, Fact::Progressed);
            // The people at the node get a notification about their own work.
            let node_run = ticket.nodes.get(&entered.node);
            let waiting = node_run.map(NodeRun::waiting_for).unwrap_or_default();
            audience.people.retain(|one| !waiting.contains(&one.person));
        }
        TicketEvent::Escalated(escalated) => {
            audience = Audience::at(escalated.node);
            let added = escalated.processors.clone();
            audience.add(added, Fact::Escalated, Role::Processor);
        }
        TicketEvent::Reminded(reminded) => {
            audience.add(reminded.people.clone(), Fact::Reminded, Role::Processor);
        }
        TicketEvent::FollowersChanged(changed) if changed.follows => {
            audience.add(changed.people.clone(), Fact::Followed, Role::Follower);
        }
        TicketEvent::Suspended(_) => audience.involve(ticket, Fact::Suspended),
        TicketEvent::Resumed(_) => audience.involve(ticket, Fact::Resumed),
        TicketEvent::FieldsChanged(_) | TicketEvent::PriorityChanged(_) => {
            audience.add(waiting(ticket), Fact::Changed, Role::Processor);
        }
        TicketEvent::RemarkAdded(remark) => {
            let mentioned = remark.mentions.clone();
            audience.add(mentioned, Fact::Mentioned, Role::Mentioned);
            audience.add(waiting(ticket), Fact::Commented, Role::Processor);
            if !remark.internal {
                audience.add(requesters(ticket), Fact::Commented, Role::Requester);
                audience.follow(ticket, Fact::Commented);
            }
        }
        TicketEvent::Finished(finished) => audience.end(ticket, finished.rate_by.is_some()),
        TicketEvent::Closed(closed) => audience.end(ticket, closed.rate_by.is_some()),
        TicketEvent::Terminated(_) => {
            audience.add(requesters(ticket), Fact::Terminated, Role::Requester);
            audience.follow(ticket, Fact::Terminated);
        }
        TicketEvent::NodeFailed(failed) => {
            audience = Audience::at(failed.node);
            audience.operators = Some(Fact::NodeFailed);
        }
        TicketEvent::ProcessorsMissing(missing) => {
            audience = Audience::at(missing.node);
            audience.operators = Some(Fact::ProcessorsMissing);
        }
        _ => {}
    }
    audience
}

/// Returns true if the person does not need the notification because the person caused the event.
pub fn is_own_action(person: &PersonId, actor: &PersonId) -> bool {
    person == actor || person.is_system()
}

impl Audience {
    fn at(node: NodeId) -> Self {
        Self {
            node: Some(node),
            ..Self::default()
        }
    }

    /// Adds people. A person who is already in the list keeps the first fact.
    fn add(&mut self, people: Vec<PersonId>, fact: Fact, role: Role) {
        for person in people {
            if self.people.iter().all(|one| one.person != person) {
                self.people.push(Recipient { person, fact, role });
            }
        }
    }

    /// Adds the followers, unless the request of the ticket switched their notifications off (reference/bk-itsm.md 3.1,
    /// `notify_config.enable_follow_notify`).
    fn follow(&mut self, ticket: &Ticket, fact: Fact) {
        if is_switched_on(ticket, "enable_follow_notify") {
            self.add(ticket.followers.clone(), fact, Role::Follower);
        }
    }

    /// Adds all people whom a change of the whole ticket concerns.
    fn involve(&mut self, ticket: &Ticket, fact: Fact) {
        self.add(waiting(ticket), fact, Role::Processor);
        self.add(requesters(ticket), fact, Role::Requester);
        self.follow(ticket, fact);
    }

    /// Adds the people whom the end of a ticket concerns. `notify_config.enable_finished_notify` of the ticket's request
    /// switches the notification of the requester off.
    fn end(&mut self, ticket: &Ticket, is_rated: bool) {
        if is_switched_on(ticket, "enable_finished_notify") {
            let fact = if is_rated {
                Fact::RatingInvited
            } else {
                Fact::Finished
            };
            self.add(requesters(ticket), fact, Role::Requester);
        }
        self.follow(ticket, Fact::Finished);
    }
}

/// Returns the person who created the ticket, and the person on whose behalf it was opened.
fn requesters(ticket: &Ticket) -> Vec<PersonId> {
    let opened = ticket.opened.iter();
    opened
        .flat_map(|opened| [Some(opened.creator.clone()), opened.agent.clone()])
        .flatten()
        .collect()
}

/// Returns true if the processors of a node vote one after another.
fn is_sequential(ticket: &Ticket, node: NodeId) -> bool {
    let node_run = ticket.nodes.get(&node);
    node_run.is_some_and(|node_run| node_run.is_sequential)
}

/// Returns the people for whom the current nodes of the ticket wait at this moment.
fn waiting(ticket: &Ticket) -> Vec<PersonId> {
    let current = ticket.current();
    current
        .filter(|(_, node_run)| !node_run.automatic)
        .flat_map(|(_, node_run)| node_run.whose_turn())
        .collect()
}

fn is_switched_on(ticket: &Ticket, member: &str) -> bool {
    let config = ticket.opened.as_ref().map(|opened| &opened.notify_config);
    let value = config.and_then(|config| config.get(member));
    value != Some(&serde_json::Value::Bool(false))
}
