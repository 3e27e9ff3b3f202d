//! Contains helper functions for the tests of the workflow engine. The functions build workflows, commands
//! and events. The last part of the file tests how a ticket is opened.

use events::ticket::{Closed, NodeSkipped, ProcessorsMissing, TransitionMissing, VoteCast};
use events::workflow::service_task::Executor;

use super::*;

/// The keys of the fields in the form of the submit node (the node at which tickets are opened).
const SUBMITTED: [&str; 10] = [
    "title",
    "amount",
    "impact",
    "urgency",
    "priority",
    "current_status",
    "bk_biz_id",
    "word",
    "members",
    "others",
];
/// The time that these tests use as the current time.
const NOW: Moment = Moment(1_000);
/// The time three days after [`NOW`].
pub(super) const IN_THREE_DAYS: Moment = Moment(259_201_000);

pub(super) fn pids(people: &[&str]) -> Vec<PersonId> {
    people.iter().map(|pid| PersonId::from(*pid)).collect()
}

fn all_fields() -> Vec<Field> {
    let mut fields = definition().fields;
    for key in [
        "impact",
        "urgency",
        "priority",
        "current_status",
        "bk_biz_id",
        "word",
    ] {
        fields.push(field(key, FieldKind::String, false));
    }
    for key in ["members", "others"] {
        fields.push(field(key, FieldKind::Members, false));
    }
    fields.push(field("need", FieldKind::Text, true));
    fields.push(field("note", FieldKind::Text, false));
    fields.push(Field {
        is_personal: true,
        ..field("secret", FieldKind::Text, false)
    });
    fields
}

/// Returns a workflow with the given nodes and transitions. The function adds the nodes START (id 1), the
/// submit node (id 2, the node that opens a ticket) and END (id 9). It also adds transition 1 from START to
/// the submit node.
pub(super) fn graph(nodes: Vec<Node>, transitions: Vec<Transition>) -> Definition {
    let mut submit = node(2, NodeKind::Manual, &SUBMITTED);
    submit.processors = Processors::Open;
    let mut all_nodes = vec![node(1, NodeKind::Start, &[]), submit];
    all_nodes.extend(nodes);
    all_nodes.push(node(9, NodeKind::End, &[]));
    let mut all_transitions = vec![transition(1, 1, 2, None)];
    all_transitions.extend(transitions);
    Definition {
        name: "w".into(),
        nodes: all_nodes,
        transitions: all_transitions,
        fields: all_fields(),
        ..Definition::default()
    }
}

/// Returns a workflow in which the given nodes follow each other between the submit node (id 2, the node that
/// opens a ticket) and END (id 9). Each transition has the id of the node at which the transition starts.
pub(super) fn straight(nodes: Vec<Node>) -> Definition {
    let mut path = vec![2];
    path.extend(nodes.iter().map(|node| node.id.0));
    path.push(9);
    let transitions = path
        .windows(2)
        .map(|pair| transition(pair[0], pair[0], pair[1], None))
        .collect();
    graph(nodes, transitions)
}

pub(super) fn manual(id: i64, people: &[&str]) -> Node {
    Node {
        processors: Processors::Person(pids(people)),
        ..node(id, NodeKind::Manual, &[])
    }
}

pub(super) fn approval(id: i64, people: &[&str]) -> Node {
    Node {
        processors: Processors::Person(pids(people)),
        ..node(id, NodeKind::Approval, &["DECISION"])
    }
}

pub(super) fn entries(form: &[(&str, &str)]) -> Vec<Entry> {
    form.iter()
        .map(|(key, value)| Entry::new(*key, *value))
        .collect()
}

/// Returns the content of a new ticket with the title `t`. The parameter `form` contains further values for
/// the form of the ticket.
pub(super) fn opening(form: &[(&str, &str)]) -> Open {
    let mut all = entries(&[("title", "t")]);
    all.extend(entries(form));
    Open {
        sn: "REQ1".into(),
        id: 1,
        service: ServiceId(7),
        creator: LISI.into(),
        form: all,
        ..Open::default()
    }
}

pub(super) fn submit(id: i64, by: &str, form: &[(&str, &str)], reason: &str) -> Command {
    Command::Submit {
        node: NodeId(id),
        by: by.into(),
        form: entries(form),
        reason: reason.into(),
    }
}

pub(super) fn decision(pass: bool) -> &'static str {
    if pass { "true" } else { "false" }
}

pub(super) fn cast(id: i64, by: &str, pass: bool) -> Command {
    submit(id, by, &[("DECISION", decision(pass))], "")
}

/// A test environment that contains one ticket and the context (the data from other streams) for its
/// decisions.
pub(super) struct Desk {
    pub(super) context: Context,
    pub(super) ticket: Ticket,
}

impl Desk {
    pub(super) fn new(definition: Definition) -> Self {
        Self {
            context: context_of(definition),
            ticket: Ticket::default(),
        }
    }

    /// Returns a test environment in which the ticket is already open.
    pub(super) fn opened(definition: Definition, form: &[(&str, &str)]) -> Self {
        let mut desk = Self::new(definition);
        desk.open(opening(form));
        desk
    }

    /// Opens the ticket and returns the new events. The function omits the first three events: the ticket is
    /// opened, enters the submit node (the node with the first form) and completes this node.
    pub(super) fn open(&mut self, open: Open) -> Vec<TicketEvent> {
        self.act(&Command::Open(Box::new(open))).split_off(3)
    }

    pub(super) fn decide(&self, command: &Command) -> Decision<Vec<TicketEvent>> {
        self.ticket.decide(command, &self.context)
    }

    /// Executes a command and returns its events. If the ticket rejects the command, the test fails.
    pub(super) fn act(&mut self, command: &Command) -> Vec<TicketEvent> {
        let events = self.decide(command).expect("the command is accepted");
        events.iter().for_each(|event| self.ticket.evolve(event));
        events
    }

    pub(super) fn service(&mut self) -> &mut service::Defined {
        self.context
            .services
            .get_mut(&ServiceId(7))
            .and_then(Option::as_mut)
            .expect("the service")
    }

    pub(super) fn run(&mut self, id: i64) -> &mut NodeRun {
        self.ticket
            .nodes
            .get_mut(&NodeId(id))
            .expect("a run of the node")
    }

    /// Sets the current time. Also changes the service so that the desk rates a ticket automatically three
    /// days after the end of the ticket.
    pub(super) fn rates_after_three_days(&mut self) {
        self.service().rate_after_days = Some(3);
        self.context.now = Some(Now {
            at: NOW,
            local: jiff::civil::datetime(2026, 11, 25, 10, 0, 0, 0),
        });
    }
}

#[track_caller]
pub(super) fn assert_events(events: &[TicketEvent], expected: &[TicketEvent]) {
    assert_eq!(events, expected);
}

pub(super) fn needs(lookups: &[Lookup]) -> Decision<Vec<TicketEvent>> {
    Err(DecideError::Needs(lookups.to_vec()))
}

pub(super) fn rejected(rejection: Rejection) -> Decision<Vec<TicketEvent>> {
    Err(DecideError::Rejected(rejection))
}

/// Returns the event that stores that a ticket enters a manual node (a node at which people fill in a form)
/// for the first time. The given people may act immediately.
pub(super) fn entered(id: i64, people: &[&str]) -> NodeEntered {
    NodeEntered {
        node: NodeId(id),
        name: format!("n{id}"),
        round: 1,
        status: NodeStatus::Running,
        processors_type: "PERSON".into(),
        processors: pids(people),
        automatic: false,
        executor: Executor::ApiCall,
        is_vote: false,
        is_sequential: false,
    }
}

/// Returns the event that stores that a ticket enters a node with votes for the first time.
pub(super) fn vote_entered(id: i64, people: &[&str]) -> NodeEntered {
    NodeEntered {
        is_vote: true,
        ..entered(id, people)
    }
}

pub(super) fn completed(id: i64, by: &str) -> NodeCompleted {
    NodeCompleted {
        node: NodeId(id),
        name: format!("n{id}"),
        round: 1,
        by: by.into(),
        pass: None,
        form: Vec::new(),
        outputs: BTreeMap::new(),
        reason: Remark::default(),
    }
}

pub(super) fn vote_cast(id: i64, by: &str, pass: bool) -> VoteCast {
    VoteCast {
        node: NodeId(id),
        name: format!("n{id}"),
        by: by.into(),
        pass,
        form: entries(&[("DECISION", decision(pass))]),
        automatic: false,
        reason: Remark::default(),
    }
}

pub(super) fn taken(id: i64, from: i64, to: i64) -> TransitionTaken {
    TransitionTaken {
        transition: TransitionId(id),
        name: String::new(),
        from: NodeId(from),
        to: NodeId(to),
        tested: Vec::new(),
        by: None,
        reason: Remark::default(),
    }
}

pub(super) fn missing_transition(id: i64, tested: Vec<Tested>) -> TransitionMissing {
    TransitionMissing {
        node: NodeId(id),
        name: format!("n{id}"),
        tested,
    }
}

pub(super) fn finished(approve_result: bool) -> Finished {
    Finished {
        approve_result,
        rate_by: None,
    }
}

/// Returns the event that stores that the desk ends a ticket with the given final status.
pub(super) fn closed(status: &str, approve_result: bool) -> Closed {
    Closed {
        by: PersonId::system(),
        status: status.into(),
        reason: Remark::default(),
        approve_result,
        rate_by: None,
    }
}

/// Returns the event that the desk adds when it skips a node without processors (people who may act at the
/// node).
pub(super) fn skipped(id: i64) -> NodeSkipped {
    NodeSkipped {
        node: NodeId(id),
        name: format!("n{id}"),
        round: 1,
        by: PersonId::system(),
        reason: Remark::new(SKIPPED_WITHOUT_PROCESSORS),
        pass: None,
        outputs: BTreeMap::new(),
    }
}

pub(super) fn processors_missing(id: i64) -> ProcessorsMissing {
    ProcessorsMissing {
        node: NodeId(id),
        name: format!("n{id}"),
    }
}

#[test]
fn opening_completes_the_submit_node_for_the_creator() {
    let mut desk = Desk::new(straight(vec![manual(3, &[BOSS])]));
    let events = desk.act(&Command::Open(Box::new(opening(&[("amount", "5")]))));
    assert_events(
        &events[1..],
        &[
            entered(2, &[LISI]).into(),
            NodeCompleted {
                form: entries(&[("title", "t"), ("amount", "5")]),
                ..completed(2, LISI)
            }
            .into(),
            taken(2, 2, 3).into(),
            entered(3, &[BOSS]).into(),
        ],
    );
}
