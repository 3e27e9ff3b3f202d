//! Runs random commands in random workflows with nested branches. The test checks three rules. A ticket never
//! waits forever. Each branch has only one current node (a node that is not finished). The events of each
//! ticket are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use events::ticket::{NodeStatus, ServiceKind, TicketEvent};
use events::workflow::service_task::{Request, ServiceTask};
use events::workflow::{
    Condition, Definition, Deployed, Field, Handling, Holds, Node, NodeKind, Output, Processors,
    Transition,
};
use events::{
    CategoryId, Entry, Moment, NodeId, PersonId, ServiceId, TransitionId, WorkflowId, service,
};
use serde_json::json;

use super::{Command, Context, NodeResult, Now, Open, Rejection, Ticket};
use crate::decider::{DecideError, Decider, fold};
use crate::workflow::check::problems;
use crate::workflow::import::equals;
use crate::workflow::parallel_regions::{Areas, parallel_regions};

const PEOPLE: [&str; 5] = ["p-a", "p-b", "p-c", "p-d", "p-e"];
const BOSS: &str = "p-boss";
/// The number of workflows that the test generates.
const RUNS: u64 = 10_000;

/// A generator of random numbers with the algorithm SplitMix64. The same start value (seed) always gives the
/// same numbers.
pub(super) struct Rng(u64);

impl Rng {
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

/// A transition for which the test has not chosen the target node yet. The first value is the node at which
/// the transition starts. The second value is the condition of the transition.
type Exit = (NodeId, Option<Condition>);

struct Builder {
    rng: Rng,
    definition: Definition,
}

impl Builder {
    fn node(&mut self, kind: NodeKind) -> NodeId {
        let id = NodeId(i64::try_from(self.definition.nodes.len()).unwrap_or_default() + 1);
        let handlings = [
            Handling::Process,
            Handling::ClaimThenProcess,
            Handling::DistributeThenProcess,
            Handling::DistributeThenClaim,
        ];
        let people = |rng: &mut Rng| {
            let count = 1 + rng.below(3);
            Processors::Person(
                (0..count)
                    .map(|_| PEOPLE[rng.below(PEOPLE.len())].into())
                    .collect(),
            )
        };
        let rng = &mut self.rng;
        let mut node: Node =
            serde_json::from_value(json!({ "id": id, "name": format!("n{id}"), "kind": kind }))
                .expect("a node");
        if kind.is_for_people() {
            node.processors = if rng.percent(8) {
                Processors::Empty
            } else {
                people(rng)
            };
            node.is_allow_skip = node.processors == Processors::Empty || rng.percent(10);
            node.assignors = people(rng);
            node.handling = handlings[rng.below(4)];
            if node.processors == Processors::Empty {
                node.handling = Handling::Process;
            }
            node.can_deliver = true;
            node.is_terminable = true;
            node.is_multi = rng.percent(50);
            node.is_sequential = rng.percent(30);
        }
        if kind.is_automatic() {
            node.processors = Processors::Person(vec![BOSS.into()]);
            node.service_task = Some(Box::new(ServiceTask::Request(Request {
                method: "POST".into(),
                url: "https://x.example.com/".into(),
                timeout_ms: 1000,
                attempts_max: 1,
                ..Request::default()
            })));
        }
        if kind.is_vote() {
            let key = format!("d{id}");
            self.field(
                json!({ "key": key, "type": "RADIO", "is_required": true, "is_approve_result": true,
                "choice": [{ "key": "true", "name": "y" }, { "key": "false", "name": "n" }] }),
            );
            node.fields = vec![key];
            if kind == NodeKind::Approval {
                node.outputs = vec![Output {
                    key: format!("r{id}"),
                    holds: Holds::ApproveResult,
                }];
                if node.is_multi && self.rng.percent(40) {
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
        self.definition
            .fields
            .push(serde_json::from_value::<Field>(field).expect("a field"));
    }

    fn transition(&mut self, from: NodeId, to: NodeId, condition: Option<Condition>) {
        let id =
            TransitionId(i64::try_from(self.definition.transitions.len()).unwrap_or_default() + 1);
        self.definition.transitions.push(Transition {
            id,
            from,
            to,
            name: String::new(),
            condition,
        });
    }

    fn connect(&mut self, exits: Vec<Exit>, to: NodeId) {
        for (from, condition) in exits {
            self.transition(from, to, condition);
        }
    }

    fn block(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        match if depth == 0 {
            self.rng.below(4)
        } else {
            self.rng.below(9)
        } {
            0 => self.single(NodeKind::Approval),
            1 => self.single(NodeKind::Sign),
            2 => self.single(NodeKind::Task),
            3 => self.single(NodeKind::Manual),
            4 | 5 => self.parallel(depth),
            6 => self.choice(depth),
            7 => self.repeat(depth),
            _ => self.sequence(depth),
        }
    }

    fn single(&mut self, kind: NodeKind) -> (NodeId, Vec<Exit>) {
        let node = self.node(kind);
        (node, vec![(node, None)])
    }

    fn sequence(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        let (first, mut exits) = self.block(depth - 1);
        for _ in 0..self.rng.below(3) {
            let (next, out) = self.block(depth - 1);
            self.connect(exits, next);
            exits = out;
        }
        (first, exits)
    }

    fn parallel(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        let fork = self.node(NodeKind::Parallel);
        let mut ends = Vec::new();
        let branches = 2 + self.rng.below(2);
        for branch in 0..branches {
            let (begin, exits) = self.block(depth - 1);
            // The first branch has no condition, so the ticket always follows this branch. Each other branch
            // can have a condition on a value in the form of the creator.
            let condition = (branch > 0 && self.rng.percent(30)).then(|| equals("amount", "7"));
            self.transition(fork, begin, condition);
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
        self.definition
            .nodes
            .iter_mut()
            .filter(|other| other.id == node)
            .for_each(|node| {
                node.fields.push(key.clone());
                // In the form of this node, a person selects the transition that the ticket follows. The
                // setting for automatic skips is therefore disabled for this node.
                node.is_allow_skip = false;
                if node.processors == Processors::Empty {
                    node.processors = Processors::Person(vec!["p-a".into()]);
                }
            });
        let mut exits = Vec::new();
        for option in ["0", "1"] {
            let (begin, out) = self.block(depth - 1);
            self.transition(node, begin, Some(equals(&key, option)));
            exits.extend(out);
        }
        (node, exits)
    }

    /// Builds a loop of nodes that ends with an approval node. A rejection repeats the loop, and an approval
    /// leaves the loop.
    fn repeat(&mut self, depth: usize) -> (NodeId, Vec<Exit>) {
        let (first, exits) = self.block(depth - 1);
        let approval = self.node(NodeKind::Approval);
        self.connect(exits, approval);
        let key = format!("r{approval}");
        self.transition(approval, first, Some(equals(&key, "false")));
        (first, vec![(approval, Some(equals(&key, "true")))])
    }
}

/// Generates a random workflow. The same `seed` always gives the same workflow.
fn workflow(seed: u64) -> Definition {
    let mut builder = Builder {
        rng: Rng::new(seed),
        definition: Definition {
            name: "random".into(),
            ..Definition::default()
        },
    };
    builder.field(json!({ "key": "title", "type": "STRING", "is_required": true }));
    builder.field(json!({ "key": "amount", "type": "INT" }));
    builder.definition.is_auto_approve = builder.rng.percent(30);
    let start = builder.node(NodeKind::Start);
    let submit = builder.node(NodeKind::Manual);
    builder.definition.nodes[1].fields = vec!["title".into(), "amount".into()];
    builder.definition.nodes[1].processors = Processors::Open;
    builder.transition(start, submit, None);
    let depth = 2 + builder.rng.below(3);
    let (first, exits) = builder.block(depth);
    builder.transition(submit, first, None);
    let end = builder.node(NodeKind::End);
    builder.connect(exits, end);
    builder.definition
}

fn context(definition: &Definition) -> Context {
    let service: service::Defined = serde_json::from_value(json!({
        "service": 7, "name": "s", "kind": ServiceKind::Request, "workflow": 1, "workflow_version": 1, "is_enabled": true, "display_type": "OPEN" }))
    .expect("a service");
    Context {
        services: [(ServiceId(7), Some(service))].into(),
        categories: [(ServiceId(7), Some(CategoryId(1)))].into(),
        workflows: [(
            (WorkflowId(1), 1),
            Some(Arc::new(Deployed {
                workflow: WorkflowId(1),
                version: 1,
                definition: definition.clone(),
            })),
        )]
        .into(),
        superusers: Some(vec![BOSS.into()]),
        permissions: Some(super::PERMISSIONS),
        now: Some(Now {
            at: Moment(0),
            local: jiff::civil::datetime(2026, 11, 25, 10, 0, 0, 0),
        }),
        ..Context::default()
    }
}

struct Desk {
    definition: Definition,
    parallel_regions: Areas,
    context: Context,
    ticket: Ticket,
    history: Vec<TicketEvent>,
    rng: Rng,
}

impl Desk {
    fn open(seed: u64) -> Self {
        let definition = workflow(seed);
        assert_eq!(problems(&definition), Vec::<String>::new(), "seed {seed}");
        let mut rng = Rng::new(seed ^ 0xD1CE);
        let form = vec![
            Entry::new("title", "t"),
            Entry::new("amount", if rng.percent(50) { "7" } else { "1" }),
        ];
        let creator = PEOPLE[rng.below(PEOPLE.len())].into();
        let open = Open {
            sn: "REQ1".into(),
            id: 1,
            service: ServiceId(7),
            creator,
            form,
            ..Open::default()
        };
        let parallel_regions = parallel_regions(&definition).expect("valid parallel regions");
        let mut desk = Self {
            context: context(&definition),
            definition,
            parallel_regions,
            ticket: Ticket::default(),
            history: Vec::new(),
            rng,
        };
        desk.act(&Command::Open(Box::new(open))).expect("opens");
        desk
    }

    fn act(&mut self, command: &Command) -> Result<(), DecideError<Ticket>> {
        let events = self.ticket.decide(command, &self.context)?;
        for event in &events {
            self.ticket.evolve(event);
        }
        self.history.extend(events);
        Ok(())
    }

    /// Checks rules that must be true after every command, such as at least one current node in an open
    /// ticket. If a rule fails, the error text contains `seed`, the number from which the random workflow was
    /// generated.
    fn check(&self, seed: u64) {
        let current: Vec<NodeId> = self.ticket.current().map(|(id, _)| id).collect();
        assert!(
            self.ticket.status.is_over() || !current.is_empty(),
            "seed {seed}: the ticket has no current node"
        );
        if self.ticket.status.is_over() {
            return;
        }
        let path = |id: &NodeId| {
            self.parallel_regions
                .paths
                .get(id)
                .cloned()
                .unwrap_or_default()
        };
        for (at, one) in current.iter().enumerate() {
            for other in &current[at + 1..] {
                let (one, other) = (path(one), path(other));
                let apart = one.iter().zip(&other).any(|(one, other)| {
                    one.fork == other.fork && one.transition != other.transition
                });
                assert!(
                    apart,
                    "seed {seed}: two tokens in one branch: {one:?} and {other:?}"
                );
            }
        }
        for (fork, open) in &self.ticket.forks {
            for transition in open {
                let inside = current
                    .iter()
                    .filter(|id| {
                        path(id)
                            .iter()
                            .any(|branch| branch.fork == *fork && branch.transition == *transition)
                    })
                    .count();
                assert!(
                    inside > 0,
                    "seed {seed}: branch {transition} of {fork} is open and has no token"
                );
            }
        }
        let open_forks: BTreeSet<NodeId> = current
            .iter()
            .flat_map(path)
            .map(|branch| branch.fork)
            .collect();
        assert_eq!(
            open_forks,
            self.ticket.forks.keys().copied().collect(),
            "seed {seed}: the open gateways are those with tokens"
        );
    }

    fn form(&mut self, node: &Node, willing: bool) -> Vec<Entry> {
        let mut form = Vec::new();
        for field in self.definition.fields_of(node) {
            let value = match field.key.as_str() {
                "title" => "t".to_owned(),
                "amount" => "1".to_owned(),
                _ if field.is_approve_result => (willing || self.rng.percent(70)).to_string(),
                _ => self.rng.below(2).to_string(),
            };
            form.push(Entry::new(field.key.clone(), value));
        }
        form
    }

    /// Returns a command for one of the current nodes. The ticket must accept this command. A person sends
    /// the command, or the command contains the result of an API call. If `willing` is true, the result is
    /// never a failure.
    fn step(&mut self, willing: bool) -> Command {
        let current: Vec<NodeId> = self.ticket.current().map(|(id, _)| id).collect();
        let id = current[self.rng.below(current.len())];
        let node_run = self.ticket.nodes[&id].clone();
        let waiting = node_run.waiting_for();
        let node = self.definition.node(id).expect("a node").clone();
        if node_run.automatic {
            let attempt = NodeResult {
                node: id,
                round: node_run.round,
                attempt: node_run.attempt,
                ..NodeResult::default()
            };
            return match node_run.status {
                NodeStatus::Failed if self.rng.percent(50) => Command::Retry {
                    node: id,
                    by: BOSS.into(),
                    inputs: BTreeMap::new(),
                    reason: String::new(),
                },
                NodeStatus::Failed => Command::Ignore {
                    node: id,
                    by: BOSS.into(),
                    outputs: BTreeMap::new(),
                    reason: String::new(),
                },
                _ => Command::RecordResult(NodeResult {
                    succeeded: willing || self.rng.percent(70),
                    reason: "r".into(),
                    ..attempt
                }),
            };
        }
        let Some(by) = waiting.first().cloned() else {
            return Command::Reassign {
                node: id,
                by: BOSS.into(),
                to: Processors::Person(vec!["p-a".into()]),
                message: String::new(),
            };
        };
        let by = if node.is_sequential {
            by
        } else {
            waiting[self.rng.below(waiting.len())].clone()
        };
        match node_run.status {
            NodeStatus::Distributing => {
                let to = match &node.processors {
                    Processors::Person(people) => people.clone(),
                    _ => vec!["p-b".into()],
                };
                Command::Assign {
                    node: id,
                    by,
                    to: Processors::Person(to),
                    message: String::new(),
                }
            }
            NodeStatus::Receiving => Command::Claim {
                node: id,
                by,
                reason: String::new(),
            },
            _ => {
                let form = self.form(&node, willing);
                Command::Submit {
                    node: id,
                    by,
                    form,
                    reason: String::new(),
                }
            }
        }
    }

    /// Returns a random command, which the ticket may reject.
    fn arbitrary_command(&mut self) -> Command {
        let node = NodeId(
            1 + i64::try_from(self.rng.below(self.definition.nodes.len())).unwrap_or_default(),
        );
        let by: PersonId = if self.rng.percent(20) {
            BOSS.into()
        } else {
            PEOPLE[self.rng.below(PEOPLE.len())].into()
        };
        let message = "m".to_owned();
        let to = Processors::Person(vec![PEOPLE[self.rng.below(PEOPLE.len())].into()]);
        match self.rng.below(9) {
            0 => Command::Transfer {
                node,
                by,
                to,
                message,
            },
            1 => Command::Claim {
                node,
                by,
                reason: String::new(),
            },
            2 => Command::Suspend {
                by,
                reason: message,
            },
            3 => Command::Resume {
                by,
                reason: String::new(),
            },
            4 => Command::Escalate {
                node: Some(node),
                by,
                reason: message,
            },
            5 => Command::Reassign {
                node,
                by,
                to,
                message,
            },
            6 => Command::Acknowledge {
                node: Some(node),
                by,
                reason: String::new(),
            },
            7 => Command::RecordResult(NodeResult {
                node,
                round: 1,
                attempt: 1,
                succeeded: true,
                ..NodeResult::default()
            }),
            _ => Command::Decide {
                node,
                by,
                pass: self.rng.percent(50),
                remark: message,
            },
        }
    }
}

#[test]
fn nested_workflows_end_and_hold_one_token_per_branch() {
    let (mut nodes, mut commands, mut rejected, mut forks, mut rounds) =
        (0, 0_u64, 0_u64, 0_u64, 0_u64);
    for seed in 0..RUNS {
        let mut desk = Desk::open(seed);
        nodes += desk.definition.nodes.len();
        let mut steps = 0;
        while !desk.ticket.status.is_over() {
            steps += 1;
            assert!(steps < 5_000, "seed {seed}: the run does not end");
            let willing = steps > 60;
            let is_arbitrary = !willing && desk.rng.percent(25);
            if desk.ticket.status == super::Status::Suspended
                && !is_arbitrary
                && desk.rng.percent(60)
            {
                desk.act(&Command::Resume {
                    by: BOSS.into(),
                    reason: String::new(),
                })
                .expect("resumes");
                desk.check(seed);
                continue;
            }
            let command = if is_arbitrary {
                desk.arbitrary_command()
            } else {
                desk.step(willing)
            };
            commands += 1;
            match desk.act(&command) {
                Ok(()) => desk.check(seed),
                Err(DecideError::Rejected(Rejection::Suspended)) => rejected += 1,
                // A suspended ticket stores the result of an API call. If the result of the same call arrives
                // again, the ticket rejects this second result.
                Err(DecideError::Rejected(Rejection::ResultNotExpected))
                    if desk.ticket.status == super::Status::Suspended =>
                {
                    rejected += 1;
                }
                // The method `arbitrary_command` can return a command that the ticket rejects. The method
                // `step` must return only commands that the ticket accepts.
                Err(error) => {
                    assert!(
                        is_arbitrary,
                        "seed {seed}: {command:?} was rejected: {error}"
                    );
                    rejected += 1;
                }
            }
        }
        forks += desk
            .history
            .iter()
            .filter(|event| matches!(event, TicketEvent::BranchesStarted(_)))
            .count() as u64;
        rounds += desk
            .history
            .iter()
            .filter(|event| matches!(event, TicketEvent::NodeEntered(entered) if entered.round > 1))
            .count() as u64;
        assert_eq!(
            fold::<Ticket>(&desk.history),
            desk.ticket,
            "seed {seed}: the history folds to the same state"
        );
        if seed % 10 == 0 {
            let json = serde_json::to_string(&desk.ticket).expect("a snapshot");
            assert_eq!(
                serde_json::from_str::<Ticket>(&json).expect("a state"),
                desk.ticket,
                "seed {seed}"
            );
            for event in &desk.history {
                let text = serde_json::to_string(event).expect("an event");
                assert_eq!(
                    &serde_json::from_str::<TicketEvent>(&text).expect("an event"),
                    event,
                    "seed {seed}"
                );
            }
        }
    }
    // The random workflows must contain many parallel branches, repeated nodes and rejections. Otherwise the
    // test would not check these situations often enough.
    assert!(
        forks > RUNS / 2 && rounds > RUNS / 2 && rejected > RUNS / 10,
        "forks {forks}, rounds {rounds}, rejected {rejected}"
    );
    println!(
        "{RUNS} workflows, {nodes} nodes, {commands} commands, {rejected} rejected, {forks} forks, {rounds} second rounds"
    );
}
