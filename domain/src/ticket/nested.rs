//! Random workflows, nested as they may be, and random people on them: no run hangs, no branch ever holds two tokens, every history folds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use events::outside::{Outside, Request};
use events::ticket::{NodeStatus, ServiceKind, TicketEvent};
use events::workflow::{Condition, Definition, Deployed, Field, Handling, Holds, Line, Node, NodeKind, Output, Processors};
use events::{CatalogId, Entry, LineId, Moment, NodeId, Pid, ServiceId, WorkflowId, service};
use serde_json::json;

use super::{Answer, Command, Facts, Now, Open, Rejection, Ticket};
use crate::decider::{Decider, Refusal, fold};
use crate::workflow::areas::{Areas, areas};
use crate::workflow::check::problems;
use crate::workflow::import::equals;

const PEOPLE: [&str; 5] = ["p-a", "p-b", "p-c", "p-d", "p-e"];
const BOSS: &str = "p-boss";
/// Workflows that are tried.
const RUNS: u64 = 10_000;

/// Chance from a seed (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap_or_default()
    }
    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A way out of a block that leads nowhere yet.
type Exit = (NodeId, Option<Condition>);

struct Builder {
    dice: Dice,
    definition: Definition,
}

impl Builder {
    fn node(&mut self, kind: NodeKind) -> NodeId {
        let id = NodeId(i64::try_from(self.definition.nodes.len()).unwrap_or_default() + 1);
        let handlings = [Handling::Process, Handling::ClaimThenProcess, Handling::DistributeThenProcess, Handling::DistributeThenClaim];
        let some = |dice: &mut Dice| {
            let count = 1 + dice.below(3);
            Processors::Person((0..count).map(|_| PEOPLE[dice.below(PEOPLE.len())].into()).collect())
        };
        let dice = &mut self.dice;
        let mut node: Node = serde_json::from_value(json!({ "id": id, "name": format!("n{id}"), "kind": kind })).expect("a node");
        if kind.is_for_people() {
            node.processors = if dice.percent(8) { Processors::Empty } else { some(dice) };
            node.is_allow_skip = node.processors == Processors::Empty || dice.percent(10);
            node.assignors = some(dice);
            node.handling = handlings[dice.below(4)];
            if node.processors == Processors::Empty {
                node.handling = Handling::Process;
            }
            node.can_deliver = true;
            node.is_terminable = true;
            node.is_multi = dice.percent(50);
            node.is_sequential = dice.percent(30);
        }
        if kind.is_automatic() {
            node.processors = Processors::Person(vec![BOSS.into()]);
            node.outside = Some(Box::new(Outside::Request(Request {
                method: "POST".into(),
                url: "https://x.example.com/".into(),
                timeout_ms: 1000,
                attempts_max: 1,
                ..Request::default()
            })));
        }
        if kind.is_vote() {
            let key = format!("d{id}");
            self.field(json!({ "key": key, "type": "RADIO", "is_required": true, "is_approve_result": true,
                "choice": [{ "key": "true", "name": "y" }, { "key": "false", "name": "n" }] }));
            node.fields = vec![key];
            if kind == NodeKind::Approval {
                node.outputs = vec![Output { key: format!("r{id}"), holds: Holds::ApproveResult }];
                if node.is_multi && self.dice.percent(40) {
                    node.finish_condition = Some(equals("REJECT_COUNT", "1"));
                }
            }
        }
        self.definition.nodes.push(node);
        id
    }

    fn field(&mut self, mut field: serde_json::Value) {
        field["id"] = (self.definition.fields.len() + 1).into();
        field["name"] = field["key"].clone();
        self.definition.fields.push(serde_json::from_value::<Field>(field).expect("a field"));
    }

    fn line(&mut self, from: NodeId, to: NodeId, condition: Option<Condition>) {
        let id = LineId(i64::try_from(self.definition.lines.len()).unwrap_or_default() + 1);
        self.definition.lines.push(Line { id, from, to, name: String::new(), condition });
    }

    fn connect(&mut self, exits: Vec<Exit>, to: NodeId) {
        for (from, condition) in exits {
            self.line(from, to, condition);
        }
    }

    fn block(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        match if depth == 0 { self.dice.below(4) } else { self.dice.below(9) } {
            0 => self.single(NodeKind::Approval),
            1 => self.single(NodeKind::Sign),
            2 => self.single(NodeKind::Task),
            3 => self.single(NodeKind::Manual),
            4 | 5 => self.parallel(depth),
            6 => self.choice(depth),
            7 => self.round(depth),
            _ => self.sequence(depth),
        }
    }

    fn single(&mut self, kind: NodeKind) -> (NodeId, Vec<Exit>) {
        let node = self.node(kind);
        (node, vec![(node, None)])
    }

    fn sequence(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        let (first, mut exits) = self.block(depth - 1);
        for _ in 0..self.dice.below(3) {
            let (next, out) = self.block(depth - 1);
            self.connect(exits, next);
            exits = out;
        }
        (first, exits)
    }

    fn parallel(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        let fork = self.node(NodeKind::Parallel);
        let mut ends = Vec::new();
        let branches = 2 + self.dice.below(2);
        for branch in 0..branches {
            let (begin, exits) = self.block(depth - 1);
            // One branch is always taken, the others by what the creator said.
            let condition = (branch > 0 && self.dice.percent(30)).then(|| equals("amount", "7"));
            self.line(fork, begin, condition);
            ends.push(exits);
        }
        let join = self.node(NodeKind::Coverage);
        ends.into_iter().for_each(|exits| self.connect(exits, join));
        (fork, vec![(join, None)])
    }

    fn choice(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        let node = self.node(NodeKind::Manual);
        let key = format!("c{node}");
        self.field(json!({ "key": key, "type": "RADIO", "is_required": true, "choice": [{ "key": "0", "name": "0" }, { "key": "1", "name": "1" }] }));
        self.definition.nodes.iter_mut().filter(|other| other.id == node).for_each(|node| {
            node.fields.push(key.clone());
            // A form that decides the way cannot be passed over.
            node.is_allow_skip = false;
            if node.processors == Processors::Empty {
                node.processors = Processors::Person(vec!["p-a".into()]);
            }
        });
        let mut exits = Vec::new();
        for option in ["0", "1"] {
            let (begin, out) = self.block(depth - 1);
            self.line(node, begin, Some(equals(&key, option)));
            exits.extend(out);
        }
        (node, exits)
    }

    /// Goes round until an approver says yes.
    fn round(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        let (first, exits) = self.block(depth - 1);
        let judge = self.node(NodeKind::Approval);
        self.connect(exits, judge);
        let key = format!("r{judge}");
        self.line(judge, first, Some(equals(&key, "false")));
        (first, vec![(judge, Some(equals(&key, "true")))])
    }
}

/// A workflow from a seed.
fn workflow(seed: u64) -> Definition {
    let mut builder = Builder { dice: Dice::new(seed), definition: Definition { name: "random".into(), ..Definition::default() } };
    builder.field(json!({ "key": "title", "type": "STRING", "is_required": true }));
    builder.field(json!({ "key": "amount", "type": "INT" }));
    builder.definition.is_auto_approve = builder.dice.percent(30);
    let start = builder.node(NodeKind::Start);
    let submit = builder.node(NodeKind::Manual);
    builder.definition.nodes[1].fields = vec!["title".into(), "amount".into()];
    builder.definition.nodes[1].processors = Processors::Open;
    builder.line(start, submit, None);
    let depth = 2 + builder.dice.below(3);
    let (first, exits) = builder.block(depth);
    builder.line(submit, first, None);
    let end = builder.node(NodeKind::End);
    builder.connect(exits, end);
    builder.definition
}

fn facts(definition: &Definition) -> Facts {
    let service: service::Defined = serde_json::from_value(json!({
        "service": 7, "name": "s", "kind": ServiceKind::Request, "workflow": 1, "workflow_version": 1, "is_enabled": true, "display_type": "OPEN" }))
    .expect("a service");
    Facts {
        services: [(ServiceId(7), Some(service))].into(),
        shelves: [(ServiceId(7), Some(CatalogId(1)))].into(),
        workflows: [((WorkflowId(1), 1), Some(Arc::new(Deployed { workflow: WorkflowId(1), version: 1, definition: definition.clone() })))].into(),
        superusers: Some(vec![BOSS.into()]),
        now: Some(Now { at: Moment(0), local: jiff::civil::datetime(2026, 11, 25, 10, 0, 0, 0) }),
        ..Facts::default()
    }
}

struct Desk {
    definition: Definition,
    areas: Areas,
    facts: Facts,
    ticket: Ticket,
    history: Vec<TicketEvent>,
    dice: Dice,
}

impl Desk {
    fn open(seed: u64) -> Self {
        let definition = workflow(seed);
        assert_eq!(problems(&definition), Vec::<String>::new(), "seed {seed}");
        let mut dice = Dice::new(seed ^ 0xD1CE);
        let form = vec![Entry::new("title", "t"), Entry::new("amount", if dice.percent(50) { "7" } else { "1" })];
        let creator = PEOPLE[dice.below(PEOPLE.len())].into();
        let open = Open { sn: "REQ1".into(), id: 1, service: ServiceId(7), creator, form, ..Open::default() };
        let areas = areas(&definition).expect("sound");
        let mut desk = Self { facts: facts(&definition), definition, areas, ticket: Ticket::default(), history: Vec::new(), dice };
        desk.act(&Command::Open(Box::new(open))).expect("opens");
        desk
    }

    fn act(&mut self, command: &Command) -> Result<(), Refusal<Ticket>> {
        let events = self.ticket.decide(command, &self.facts)?;
        for event in &events {
            self.ticket.evolve(event);
        }
        self.history.extend(events);
        Ok(())
    }

    /// What must hold after every command.
    fn check(&self, seed: u64) {
        let current: Vec<NodeId> = self.ticket.current().map(|(id, _)| id).collect();
        assert!(self.ticket.status.is_over() || !current.is_empty(), "seed {seed}: nobody can go on");
        if self.ticket.status.is_over() {
            return;
        }
        let path = |id: &NodeId| self.areas.paths.get(id).cloned().unwrap_or_default();
        for (at, one) in current.iter().enumerate() {
            for other in &current[at + 1..] {
                let (one, other) = (path(one), path(other));
                let apart = one.iter().zip(&other).any(|(one, other)| one.fork == other.fork && one.line != other.line);
                assert!(apart, "seed {seed}: two tokens in one branch: {one:?} and {other:?}");
            }
        }
        for (fork, open) in &self.ticket.forks {
            for line in open {
                let inside = current.iter().filter(|id| path(id).iter().any(|branch| branch.fork == *fork && branch.line == *line)).count();
                assert!(inside > 0, "seed {seed}: branch {line} of {fork} is waited for and holds nothing");
            }
        }
        let open_forks: BTreeSet<NodeId> = current.iter().flat_map(path).map(|branch| branch.fork).collect();
        assert_eq!(open_forks, self.ticket.forks.keys().copied().collect(), "seed {seed}: gateways are open where tokens are inside");
    }

    fn form(&mut self, node: &Node, willing: bool) -> Vec<Entry> {
        let mut form = Vec::new();
        for field in self.definition.fields_of(node) {
            let value = match field.key.as_str() {
                "title" => "t".to_owned(),
                "amount" => "1".to_owned(),
                _ if field.is_approve_result => (willing || self.dice.percent(70)).to_string(),
                _ => self.dice.below(2).to_string(),
            };
            form.push(Entry::new(field.key.clone(), value));
        }
        form
    }

    /// Something a person or the outside may do at one of the current nodes now.
    fn step(&mut self, willing: bool) -> Command {
        let current: Vec<NodeId> = self.ticket.current().map(|(id, _)| id).collect();
        let id = current[self.dice.below(current.len())];
        let visit = self.ticket.nodes[&id].clone();
        let waiting = visit.waiting_for();
        let node = self.definition.node(id).expect("a node").clone();
        if visit.automatic {
            let attempt = Answer { node: id, round: visit.round, attempt: visit.attempt, ..Answer::default() };
            return match visit.status {
                NodeStatus::Failed if self.dice.percent(50) => Command::Retry { node: id, by: BOSS.into(), inputs: BTreeMap::new(), reason: String::new() },
                NodeStatus::Failed => Command::Ignore { node: id, by: BOSS.into(), outputs: BTreeMap::new(), reason: String::new() },
                _ => Command::Answer(Answer { succeeded: willing || self.dice.percent(70), reason: "r".into(), ..attempt }),
            };
        }
        let Some(by) = waiting.first().cloned() else {
            return Command::Reassign { node: id, by: BOSS.into(), to: Processors::Person(vec!["p-a".into()]), message: String::new() };
        };
        let by = if node.is_sequential { by } else { waiting[self.dice.below(waiting.len())].clone() };
        match visit.status {
            NodeStatus::Distributing => {
                let to = match &node.processors {
                    Processors::Person(people) => people.clone(),
                    _ => vec!["p-b".into()],
                };
                Command::Distribute { node: id, by, to: Processors::Person(to), message: String::new() }
            }
            NodeStatus::Receiving => Command::Claim { node: id, by, reason: String::new() },
            _ => {
                let form = self.form(&node, willing);
                Command::Submit { node: id, by, form, reason: String::new() }
            }
        }
    }

    /// Something that somebody tries who may not be allowed to.
    fn whim(&mut self) -> Command {
        let node = NodeId(1 + i64::try_from(self.dice.below(self.definition.nodes.len())).unwrap_or_default());
        let by: Pid = if self.dice.percent(20) { BOSS.into() } else { PEOPLE[self.dice.below(PEOPLE.len())].into() };
        let message = "m".to_owned();
        let to = Processors::Person(vec![PEOPLE[self.dice.below(PEOPLE.len())].into()]);
        match self.dice.below(9) {
            0 => Command::Deliver { node, by, to, message },
            1 => Command::Claim { node, by, reason: String::new() },
            2 => Command::Suspend { by, reason: message },
            3 => Command::Resume { by, reason: String::new() },
            4 => Command::Escalate { node: Some(node), by, reason: message },
            5 => Command::Reassign { node, by, to, message },
            6 => Command::Acknowledge { node: Some(node), by, reason: String::new() },
            7 => Command::Answer(Answer { node, round: 1, attempt: 1, succeeded: true, ..Answer::default() }),
            _ => Command::Decide { node, by, pass: self.dice.percent(50), remark: message },
        }
    }
}

#[test]
fn no_nested_workflow_hangs_or_holds_two_tokens_in_one_branch() {
    let (mut nodes, mut commands, mut refused, mut forks, mut rounds) = (0, 0_u64, 0_u64, 0_u64, 0_u64);
    for seed in 0..RUNS {
        let mut desk = Desk::open(seed);
        nodes += desk.definition.nodes.len();
        let mut steps = 0;
        while !desk.ticket.status.is_over() {
            steps += 1;
            assert!(steps < 5_000, "seed {seed}: it does not end");
            let willing = steps > 60;
            let wild = !willing && desk.dice.percent(25);
            if desk.ticket.status == super::Status::Suspended && !wild && desk.dice.percent(60) {
                desk.act(&Command::Resume { by: BOSS.into(), reason: String::new() }).expect("resumes");
                desk.check(seed);
                continue;
            }
            let command = if wild { desk.whim() } else { desk.step(willing) };
            commands += 1;
            match desk.act(&command) {
                Ok(()) => desk.check(seed),
                Err(Refusal::Rejected(Rejection::Standing)) => refused += 1,
                // An answer was kept while the ticket stood still.
                Err(Refusal::Rejected(Rejection::AnswerLate)) if desk.ticket.status == super::Status::Suspended => refused += 1,
                // What somebody who may act does where the ticket stands must not be refused.
                Err(refusal) => {
                    assert!(wild, "seed {seed}: {command:?} was refused: {refusal}");
                    refused += 1;
                }
            }
        }
        forks += desk.history.iter().filter(|event| matches!(event, TicketEvent::Forked(_))).count() as u64;
        rounds += desk.history.iter().filter(|event| matches!(event, TicketEvent::NodeEntered(entered) if entered.round > 1)).count() as u64;
        assert_eq!(fold::<Ticket>(&desk.history), desk.ticket, "seed {seed}: the history folds to the same state");
        if seed % 10 == 0 {
            let kept = serde_json::to_string(&desk.ticket).expect("a snapshot");
            assert_eq!(serde_json::from_str::<Ticket>(&kept).expect("a state"), desk.ticket, "seed {seed}");
            for event in &desk.history {
                let text = serde_json::to_string(event).expect("an event");
                assert_eq!(&serde_json::from_str::<TicketEvent>(&text).expect("an event"), event, "seed {seed}");
            }
        }
    }
    // The runs really were what they are meant to be.
    assert!(forks > RUNS / 2 && rounds > RUNS / 2 && refused > RUNS / 10, "forks {forks}, rounds {rounds}, refused {refused}");
    println!("{RUNS} workflows, {nodes} nodes, {commands} commands, {refused} refused, {forks} forks, {rounds} second rounds");
}
