//! How a run moves along its workflow: nodes are entered, completed and left by lines until somebody has to act.

use std::collections::BTreeMap;

use events::ticket::{Finished, LineMissing, LineTaken, NodeClaimed, NodeCompleted, NodeEntered, NodeStatus, Terminated, TicketEvent, VoteCast};
use events::workflow::{Definition, Handling, Holds, Line, Node, NodeKind, Processors};
use events::{Entry, LineId, NodeId, Pid, Remark};

use super::{Decision, Facts, Lookup, ROUNDS_MAX, Rejection, Ticket, form, needs, reject};
use crate::condition::{self, Found};
use crate::decider::Decider;

/// A ticket on its way: every event is applied as it is decided, so that the next step sees it.
pub(super) struct Run<'a> {
    ticket: Ticket,
    definition: &'a Definition,
    facts: &'a Facts,
    pub(super) events: Vec<TicketEvent>,
}

impl<'a> Run<'a> {
    pub(super) fn new(ticket: &Ticket, definition: &'a Definition, facts: &'a Facts) -> Self {
        Self { ticket: ticket.clone(), definition, facts, events: Vec::new() }
    }

    pub(super) fn emit(&mut self, event: impl Into<TicketEvent>) {
        let event = event.into();
        self.ticket.evolve(&event);
        self.events.push(event);
    }

    /// Passes the submit node with the form the ticket came with.
    pub(super) fn start(&mut self, submit: &'a Node, form: Vec<Entry>) -> Decision<()> {
        let creator = self.creator();
        self.emit(NodeEntered {
            node: submit.id,
            name: submit.name.clone(),
            round: 1,
            status: NodeStatus::Running,
            processors_type: "PERSON".into(),
            processors: vec![creator.clone()],
        });
        self.complete(submit, &creator, None, form)
    }

    /// Takes one vote, and completes the node when it settles the matter (reference/bk-itsm.md 6).
    pub(super) fn vote(&mut self, node: &'a Node, by: &Pid, form: Vec<Entry>) -> Decision<()> {
        let result = self.definition.fields_of(node).find(|field| field.is_approve_result);
        let pass = result.and_then(|field| form.iter().find(|entry| entry.key == field.key)).is_some_and(|entry| form::text(entry.read()) == "true");
        self.emit(VoteCast { node: node.id, name: node.name.clone(), by: by.clone(), pass, form });
        let counters = self.counters(node.id);
        let settled = if node.is_multi {
            let early = node.finish_condition.as_ref().is_some_and(|condition| {
                let find = |key: &str| counters.get(key).map_or(Found::Absent, |text| Found::Value(text.clone().into()));
                condition::holds(condition, LineId(0), &find, &mut Vec::new())
            });
            early || self.ticket.nodes[&node.id].waiting_for().is_empty()
        } else {
            true
        };
        if !settled {
            return Ok(());
        }
        let pass = self.ticket.nodes[&node.id].votes.iter().all(|vote| vote.pass);
        if !pass && node.terminate_when_rejected {
            self.complete_only(node, by, Some(pass), Vec::new());
            self.emit(Terminated { by: by.clone(), node: Some(node.id), node_name: node.name.clone(), reason: Remark::new("rejected"), approve_result: false });
            return Ok(());
        }
        self.complete(node, by, Some(pass), Vec::new())
    }

    /// Completes a node and goes on from it.
    pub(super) fn complete(&mut self, node: &'a Node, by: &Pid, pass: Option<bool>, form: Vec<Entry>) -> Decision<()> {
        self.complete_only(node, by, pass, form);
        self.leave(node)
    }

    fn complete_only(&mut self, node: &Node, by: &Pid, pass: Option<bool>, form: Vec<Entry>) {
        let outputs = self.outputs(node, pass);
        let round = self.ticket.nodes.get(&node.id).map_or(1, |visit| visit.round);
        self.emit(NodeCompleted { node: node.id, name: node.name.clone(), round, by: by.clone(), pass, form, outputs });
    }

    /// Takes the first line that holds, conditional ones first and the default last; where none does, the node waits for a person.
    fn leave(&mut self, node: &'a Node) -> Decision<()> {
        let mut lines: Vec<&Line> = self.definition.lines.iter().filter(|line| line.from == node.id).collect();
        lines.sort_by_key(|line| (line.condition.is_none(), line.id));
        let mut tested = Vec::new();
        let ticket = &self.ticket;
        let taken = lines.into_iter().find(|line| match &line.condition {
            None => true,
            Some(condition) => condition::holds(condition, line.id, &|key| find(ticket, key), &mut tested),
        });
        let Some(line) = taken else {
            self.emit(LineMissing { node: node.id, name: node.name.clone(), tested });
            return Ok(());
        };
        self.emit(LineTaken { line: line.id, name: line.name.clone(), from: line.from, to: line.to, tested });
        let next = self.definition.node(line.to).expect("a deployed line leads to a node");
        self.enter(next)
    }

    fn enter(&mut self, node: &'a Node) -> Decision<()> {
        let round = self.ticket.nodes.get(&node.id).map_or(0, |visit| visit.round) + 1;
        if round > ROUNDS_MAX {
            return reject(Rejection::TooManyRounds(node.id));
        }
        match node.kind {
            NodeKind::Start => self.leave(node),
            NodeKind::End => {
                let approve_result = self.ticket.nodes.values().all(|visit| visit.pass != Some(false));
                self.emit(Finished { approve_result });
                Ok(())
            }
            NodeKind::Manual | NodeKind::Approval => self.wait_at(node, round),
        }
    }

    /// Enters a node where people act: who may is decided now and stored.
    fn wait_at(&mut self, node: &Node, round: u32) -> Decision<()> {
        let submit = self.definition.submit_node().map(|submit| submit.id);
        let chosen = self.ticket.opened.as_ref().and_then(|opened| opened.chosen_processors.get(&node.id)).cloned();
        let handling = if node.kind == NodeKind::Approval { Handling::Process } else { node.handling };
        let (status, processors_type, processors) = match (chosen, handling) {
            // Sent back to the submit node: the creator fills it again.
            _ if Some(node.id) == submit => (NodeStatus::Running, "PERSON", vec![self.creator()]),
            (Some(people), Handling::Process) => (NodeStatus::Running, "PERSON", people),
            (_, Handling::Process) => (NodeStatus::Running, frozen(&node.processors), self.resolve(&node.processors)?),
            (_, Handling::ClaimThenProcess) => (NodeStatus::Receiving, frozen(&node.processors), self.resolve(&node.processors)?),
            (_, Handling::DistributeThenProcess | Handling::DistributeThenClaim) => {
                (NodeStatus::Distributing, frozen(&node.assignors), self.resolve(&node.assignors)?)
            }
        };
        let only = (status == NodeStatus::Receiving && processors.len() == 1).then(|| processors[0].clone());
        self.emit(NodeEntered { node: node.id, name: node.name.clone(), round, status, processors_type: processors_type.into(), processors });
        if let Some(by) = only {
            self.emit(NodeClaimed { node: node.id, name: node.name.clone(), by, automatic: true });
        }
        Ok(())
    }

    /// The people a configuration means right now, once each, in order.
    pub(super) fn resolve(&self, processors: &Processors) -> Decision<Vec<Pid>> {
        let mut people = match processors {
            Processors::Person(people) => people.clone(),
            Processors::Starter => vec![self.creator()],
            Processors::General(roles) if roles.is_empty() => match &self.facts.general_roles {
                Some(roles) => self.members(roles)?,
                None => return needs(Lookup::GeneralRoles),
            },
            Processors::General(roles) => self.members(roles)?,
            Processors::Variable(keys) => keys
                .iter()
                .filter_map(|key| self.ticket.form.get(key))
                .map(|entry| form::people(entry.read()))
                .find(|people| !people.is_empty())
                .unwrap_or_default(),
            Processors::Open | Processors::ByAssignor | Processors::Empty => Vec::new(),
        };
        let mut seen = std::collections::BTreeSet::new();
        people.retain(|pid| seen.insert(pid.clone()));
        Ok(people)
    }

    /// The people somebody named as targets; there must be at least one.
    pub(super) fn named(&self, to: &Processors) -> Decision<Vec<Pid>> {
        if !matches!(to, Processors::Person(_) | Processors::General(_) | Processors::Starter) {
            return reject(Rejection::TargetKindNotAllowed);
        }
        let people = if *to == Processors::General(Vec::new()) { Vec::new() } else { self.resolve(to)? };
        if people.is_empty() { reject(Rejection::NobodyNamed) } else { Ok(people) }
    }

    fn members(&self, roles: &[events::RoleId]) -> Decision<Vec<Pid>> {
        let missing: Vec<Lookup> = roles.iter().filter(|role| !self.facts.roles.contains_key(role)).map(|role| Lookup::Role(*role)).collect();
        if !missing.is_empty() {
            return Err(crate::Refusal::Needs(missing));
        }
        Ok(roles.iter().flat_map(|role| self.facts.roles[role].clone()).collect())
    }

    fn creator(&self) -> Pid {
        self.ticket.opened.as_ref().map(|opened| opened.creator.clone()).unwrap_or_default()
    }

    /// The counters of a countersign, by code; rates are percent of all processors.
    fn counters(&self, id: NodeId) -> BTreeMap<&'static str, String> {
        let Some(visit) = self.ticket.nodes.get(&id) else { return BTreeMap::new() };
        let all = visit.processors.len().max(1);
        let pass = visit.votes.iter().filter(|vote| vote.pass).count();
        let reject = visit.votes.len() - pass;
        BTreeMap::from([
            ("PROCESS_COUNT", visit.votes.len().to_string()),
            ("PASS_COUNT", pass.to_string()),
            ("REJECT_COUNT", reject.to_string()),
            ("PASS_RATE", (pass * 100 / all).to_string()),
            ("REJECT_RATE", (reject * 100 / all).to_string()),
        ])
    }

    fn outputs(&self, node: &Node, pass: Option<bool>) -> BTreeMap<String, String> {
        let counters = self.counters(node.id);
        let value = |holds| match holds {
            Holds::ApproveResult => pass.map(|pass| pass.to_string()),
            Holds::Approver => {
                let votes = self.ticket.nodes.get(&node.id).map(|visit| visit.votes.iter().map(|vote| vote.by.0.clone()).collect::<Vec<_>>());
                votes.map(|voters| voters.join(","))
            }
            Holds::ProcessCount => counters.get("PROCESS_COUNT").cloned(),
            Holds::PassCount => counters.get("PASS_COUNT").cloned(),
            Holds::RejectCount => counters.get("REJECT_COUNT").cloned(),
            Holds::PassRate => counters.get("PASS_RATE").cloned(),
            Holds::RejectRate => counters.get("REJECT_RATE").cloned(),
        };
        node.outputs.iter().filter_map(|output| Some((output.key.clone(), value(output.holds)?))).collect()
    }
}

/// What a condition finds under a key: an output variable, else a form field.
pub(super) fn find(ticket: &Ticket, key: &str) -> Found {
    if let Some(text) = ticket.outputs.get(key) {
        return Found::Value(text.clone().into());
    }
    match ticket.form.get(key) {
        None => Found::Absent,
        Some(entry) if entry.is_erased() => Found::Erased,
        Some(entry) if entry.personal.is_some() => Found::Personal(entry.read().clone()),
        Some(entry) => Found::Value(entry.read().clone()),
    }
}

/// The kind of processors that is shown: what was looked up from the ticket itself is now simply people.
fn frozen(processors: &Processors) -> &'static str {
    match processors {
        Processors::Starter | Processors::Variable(_) => "PERSON",
        other => other.kind(),
    }
}
