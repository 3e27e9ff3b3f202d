//! How a run moves along its workflow: nodes are entered, completed and left by lines until somebody has to act, or the desk outside.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use events::outside::Outside;
use events::ticket::{
    BranchJoined, Closed, Finished, Forked, LineMissing, LineTaken, NodeClaimed, NodeCompleted, NodeEntered, NodeFailed, NodeSkipped, NodeStatus,
    NodeUnattended, Prioritised, Priority, StatusSet, Terminated, TicketEvent, VoteCast,
};
use events::workflow::{Definition, FieldKind, Handling, Holds, Line, Node, NodeKind, Processors};
use events::{Entry, LineId, NodeId, Pid, Remark};

use super::{Decision, Facts, Lookup, REMARK_MAX, ROUNDS_MAX, Rejection, Status, Ticket, form, priority, reject};
use crate::call::judge::task_result;
use crate::condition::{self, Found};
use crate::decider::{Decider, Refusal};
use crate::user_name::is_blank;
use crate::workflow::areas::{Areas, areas};

/// What the desk writes beside a vote it casts for the creator (reference/bk-itsm.md 5.5).
pub const AUTO_PASS: &str = "检测到当前处理人包含提单人，系统自动过单";
/// What it writes where it passes over a node for which nobody can be found.
pub const NOBODY: &str = "当前节点处理人为空，系统自动跳过";
/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// A ticket on its way: every event is applied as it is decided, so that the next step sees it.
pub(super) struct Run<'a> {
    ticket: Ticket,
    definition: &'a Definition,
    facts: &'a Facts,
    events: Vec<TicketEvent>,
    /// What the way so far would have had to know. It goes on without, so that everything is asked for at once; nothing of it is stored then.
    missing: RefCell<BTreeSet<Lookup>>,
    /// Nodes entered by this command: the desk passes each of them by itself once at most, so that no run goes round for ever.
    entered: BTreeMap<NodeId, u32>,
    areas: Option<Areas>,
}

/// What is to be done next.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    Leave(&'a Node),
    Follow(&'a Line),
}

/// What the fields of a form do to the ticket itself.
pub(super) struct Effect {
    status: String,
    weighs: bool,
    /// A priority that somebody chose.
    priority: Option<String>,
}

impl Effect {
    pub(super) fn of(form: &[Entry]) -> Self {
        let value = |key: &str| form.iter().find(|entry| entry.key == key).map(|entry| form::plain(entry.read()));
        Self {
            status: value("current_status").unwrap_or_default(),
            weighs: form.iter().any(|entry| matches!(entry.key.as_str(), "impact" | "urgency" | "priority")),
            priority: value("priority").filter(|key| !key.is_empty()),
        }
    }
}

type Steps<'a> = Decision<Vec<Step<'a>>>;

impl<'a> Run<'a> {
    pub(super) fn new(ticket: &Ticket, definition: &'a Definition, facts: &'a Facts) -> Self {
        Self { ticket: ticket.clone(), definition, facts, events: Vec::new(), missing: RefCell::default(), entered: BTreeMap::new(), areas: None }
    }

    pub(super) fn emit(&mut self, event: impl Into<TicketEvent>) {
        let event = event.into();
        self.ticket.evolve(&event);
        self.events.push(event);
    }

    /// Everything that was decided, or what would have to be known for it.
    pub(super) fn done(self) -> Decision<Vec<TicketEvent>> {
        let missing = self.missing.into_inner();
        if missing.is_empty() { Ok(self.events) } else { Err(Refusal::Needs(missing.into_iter().collect())) }
    }

    /// What is missing so far, before anything is judged by it.
    pub(super) fn known(&self) -> Decision<()> {
        let missing = self.missing.borrow();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::Needs(missing.iter().cloned().collect())) }
    }

    /// Goes on, branch by branch, until nothing more follows.
    pub(super) fn go(&mut self, steps: Vec<Step<'a>>) -> Decision<()> {
        let mut open: Vec<Step<'a>> = steps.into_iter().rev().collect();
        while let Some(step) = open.pop() {
            if self.ticket.status.is_over() {
                break;
            }
            let next = match step {
                Step::Leave(node) => self.leave(node),
                Step::Follow(line) => {
                    let node = self.definition.node(line.to).expect("a deployed line leads to a node");
                    self.enter(node, line)?
                }
            };
            open.extend(next.into_iter().rev());
        }
        Ok(())
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
            automatic: false,
            is_vote: false,
        });
        let next = self.complete(submit, &creator, None, form, Remark::default());
        self.go(next)
    }

    /// Takes one vote, and goes on when it settles the matter (reference/bk-itsm.md 6).
    pub(super) fn vote(&mut self, node: &'a Node, by: &Pid, form: Vec<Entry>, reason: Option<&str>) -> Decision<()> {
        let pass = form::decision(self.definition, node, &form).unwrap_or_default();
        let effect = Effect::of(&form);
        let reason = self.reason(node, pass, &form, reason)?;
        self.emit(VoteCast { node: node.id, name: node.name.clone(), by: by.clone(), pass, form, automatic: false, reason });
        self.take_effect(&effect, node.id);
        if self.ticket.status.is_over() {
            return Ok(());
        }
        let next = self.settle(node, by);
        let next = if next.is_empty() { self.pass_for_creator(node) } else { next };
        self.go(next)
    }

    /// The reason of a vote: the given words, else the text that the form has for it. It belongs to a person if that text does.
    fn reason(&self, node: &Node, pass: bool, form: &[Entry], given: Option<&str>) -> Decision<Remark> {
        // The reason of a rejection must be given, a word beside a pass may be (reference/bk-itsm.md 3.11).
        let mut texts: Vec<_> = self.definition.fields_of(node).filter(|field| field.kind.is_prose()).collect();
        texts.sort_by_key(|field| (field.kind == FieldKind::String, field.is_required == pass));
        let filled = texts.iter().filter_map(|field| form.iter().find(|entry| entry.key == field.key));
        let fits = |text: &str| !is_blank(text) && given.is_none_or(|given| given == text) && text.chars().count() <= REMARK_MAX;
        let said = filled.map(|entry| (entry, form::plain(entry.read()))).find(|(_, text)| fits(text));
        match said {
            Some((entry, text)) => Ok(Remark { text: if entry.personal.is_some() { String::new() } else { text }, personal: entry.personal.clone() }),
            None => self.ticket.remark(given.unwrap_or_default()),
        }
    }

    /// Completes a vote that is settled.
    fn settle(&mut self, node: &'a Node, by: &Pid) -> Vec<Step<'a>> {
        let Some(visit) = self.ticket.nodes.get(&node.id) else { return Vec::new() };
        let holds = |counters: &BTreeMap<&str, String>| {
            let find = |key: &str| counters.get(key).map_or(Found::Absent, |text| Found::Value(text.clone().into()));
            node.finish_condition.as_ref().is_some_and(|condition| condition::holds(condition, LineId(0), &find, &mut Vec::new()))
        };
        let counters = self.counters(node.id);
        let by_condition = is_multi(node) && holds(&counters);
        if is_multi(node) && !visit.waiting_for().is_empty() && !by_condition {
            return Vec::new();
        }
        // Where the passes alone are what the condition waits for, it is passed; else whoever rejects rejects for all.
        let zero = ["REJECT_COUNT", "REJECT_RATE"].map(|key| (key, "0".to_owned()));
        let passes_alone =
            || counters.iter().map(|(key, text)| (*key, text.clone())).chain([("PROCESS_COUNT", counters["PASS_COUNT"].clone())]).chain(zero).collect();
        let pass = visit.votes.iter().all(|vote| vote.pass) || (by_condition && holds(&passes_alone()));
        let result = (node.kind == NodeKind::Approval).then_some(pass);
        let reason = visit.votes.last().map(|vote| vote.reason.clone()).filter(|reason| !reason.is_empty()).unwrap_or_else(|| Remark::new("rejected"));
        let next = self.complete(node, by, result, Vec::new(), Remark::default());
        if !pass && node.terminate_when_rejected {
            self.emit(Terminated { by: by.clone(), node: Some(node.id), node_name: node.name.clone(), reason, approve_result: false });
            return Vec::new();
        }
        next
    }

    /// Casts the creator's vote where the creator is the one to vote, and the workflow says that submitting was approving.
    fn pass_for_creator(&mut self, node: &'a Node) -> Vec<Step<'a>> {
        let creator = self.creator();
        let may = |run: &Self| {
            let visit = run.ticket.nodes.get(&node.id)?;
            let is_next = !node.is_sequential || visit.waiting_for().first() == Some(&creator);
            Some(visit.status == NodeStatus::Running && visit.waiting_for().contains(&creator) && is_next)
        };
        // Submitting was approving only where the creator submitted.
        let is_on_behalf = self.ticket.opened.as_ref().is_some_and(|opened| opened.agent.is_some());
        if is_on_behalf || !self.definition.is_auto_approve || node.kind != NodeKind::Approval || self.times(node) > 1 || may(self) != Some(true) {
            return Vec::new();
        }
        let form = form::decided(self.definition, node, true, AUTO_PASS);
        let form = self.own(form);
        let reason = self.reason(node, true, &form, Some(AUTO_PASS)).unwrap_or_default();
        self.emit(VoteCast { node: node.id, name: node.name.clone(), by: creator.clone(), pass: true, form, automatic: true, reason });
        self.settle(node, &creator)
    }

    fn own(&self, form: Vec<Entry>) -> Vec<Entry> {
        match &self.ticket.opened {
            Some(opened) => form::own(self.definition, form, &opened.creator, opened.seals_text),
            None => form,
        }
    }

    /// How often this command entered a node.
    fn times(&self, node: &Node) -> u32 {
        self.entered.get(&node.id).copied().unwrap_or_default()
    }

    /// Completes a node; what follows is to leave it.
    pub(super) fn complete(&mut self, node: &'a Node, by: &Pid, pass: Option<bool>, form: Vec<Entry>, reason: Remark) -> Vec<Step<'a>> {
        let outputs = self.outputs(node, pass);
        let round = self.ticket.nodes.get(&node.id).map_or(1, |visit| visit.round);
        let effect = Effect::of(&form);
        self.emit(NodeCompleted { node: node.id, name: node.name.clone(), round, by: by.clone(), pass, form, outputs, reason });
        self.take_effect(&effect, node.id);
        vec![Step::Leave(node)]
    }

    /// The base model's own fields set priority and status of the ticket, at whichever node they stand (reference/bk-itsm.md 5.1).
    fn take_effect(&mut self, effect: &Effect, node: NodeId) {
        self.weigh(effect);
        self.show(&effect.status, node);
    }

    /// The priority follows from impact and urgency, or is what somebody chose.
    pub(super) fn weigh(&mut self, effect: &Effect) {
        let Some(opened) = self.ticket.opened.as_ref().filter(|_| effect.weighs) else { return };
        let chosen = effect.priority.clone();
        let Ok(service) = self.facts.known_service(opened.service) else {
            self.missing.borrow_mut().insert(Lookup::Service(opened.service));
            return;
        };
        let value = |key: &str| self.ticket.form.get(key).map(|entry| form::plain(entry.read())).filter(|text| !text.is_empty());
        let (impact, urgency) = (value("impact"), value("urgency"));
        let priority = match chosen {
            Some(key) => Some(Priority { key, impact: impact.unwrap_or_default(), urgency: urgency.unwrap_or_default() }),
            None => priority(service.and_then(|service| service.priorities.as_ref()), impact, urgency),
        };
        if let Some(priority) = priority.filter(|priority| self.ticket.priority() != Some(priority)) {
            self.emit(Prioritised { priority });
        }
    }

    /// The ticket ends with a status that ends tickets; one that is finished is passed where no approval was rejected, or left undecided.
    pub(super) fn close(&mut self, by: Pid, status: &str, reason: Remark, approve_result: Option<bool>) {
        let finished = status == Status::Finished.key();
        let approve_result = approve_result.unwrap_or_else(|| finished && self.approve_result() && self.nothing_is_undecided());
        let rate_by = match self.rate_by() {
            Ok(rate_by) => rate_by.filter(|_| finished),
            Err(Refusal::Needs(lookups)) => {
                self.missing.borrow_mut().extend(lookups);
                None
            }
            Err(Refusal::Rejected(_)) => None,
        };
        self.emit(Closed { by, status: status.to_owned(), reason, approve_result, rate_by });
    }

    /// The ticket shows a status from now on; one that ends tickets ends this one.
    fn show(&mut self, status: &str, node: NodeId) {
        if status.is_empty() || self.ticket.status_key() == status {
            return;
        }
        if Status::ending(status).is_some() {
            self.close(Pid::system(), status, Remark::default(), None);
        } else {
            self.emit(StatusSet { status: status.to_owned(), node });
        }
    }

    /// Leaves a node: by the first line that holds, conditional ones first and the default last; by every line that holds at a parallel gateway.
    /// Where none does, it waits for a person.
    fn leave(&mut self, node: &'a Node) -> Vec<Step<'a>> {
        let mut tested = Vec::new();
        let mut taken: Vec<(&'a Line, Vec<events::ticket::Tested>)> = Vec::new();
        let definition: &'a Definition = self.definition;
        for line in definition.lines_from(node.id) {
            let mut trace = Vec::new();
            let holds = line.condition.as_ref().is_none_or(|condition| condition::holds(condition, line.id, &|key| find(&self.ticket, key), &mut trace));
            tested.extend(trace.clone());
            if holds {
                taken.push((line, trace));
                if node.kind != NodeKind::Parallel {
                    break;
                }
            }
        }
        if taken.is_empty() {
            self.emit(LineMissing { node: node.id, name: node.name.clone(), tested });
            return Vec::new();
        }
        if node.kind == NodeKind::Parallel {
            self.emit(Forked { node: node.id, name: node.name.clone(), branches: taken.iter().map(|(line, _)| line.id).collect() });
        } else {
            taken[0].1 = tested;
        }
        for (line, tested) in &taken {
            self.emit(LineTaken {
                line: line.id,
                name: line.name.clone(),
                from: line.from,
                to: line.to,
                tested: tested.clone(),
                by: None,
                reason: Remark::default(),
            });
        }
        taken.into_iter().map(|(line, _)| Step::Follow(line)).collect()
    }

    fn enter(&mut self, node: &'a Node, line: &'a Line) -> Steps<'a> {
        *self.entered.entry(node.id).or_default() += 1;
        let round = self.ticket.nodes.get(&node.id).map_or(0, |visit| visit.round) + 1;
        if round > ROUNDS_MAX {
            return reject(Rejection::TooManyRounds(node.id));
        }
        self.show(&node.status_on_entry, node.id);
        if self.ticket.status.is_over() {
            return Ok(Vec::new());
        }
        match node.kind {
            NodeKind::Start | NodeKind::Router | NodeKind::Parallel => Ok(vec![Step::Leave(node)]),
            NodeKind::Coverage => Ok(self.join(node, line)),
            NodeKind::End => {
                let rate_by = self.rate_by()?;
                let approve_result = self.approve_result();
                self.emit(Finished { approve_result, rate_by });
                Ok(Vec::new())
            }
            NodeKind::Task | NodeKind::Sops | NodeKind::Webhook => {
                self.act_outside(node, round);
                Ok(Vec::new())
            }
            NodeKind::Manual | NodeKind::Approval | NodeKind::Sign => Ok(self.wait_at(node, round)),
        }
    }

    /// A branch arrives at its join; the run goes on when it is the last one.
    fn join(&mut self, node: &'a Node, line: &Line) -> Vec<Step<'a>> {
        let definition = self.definition;
        let areas = self.areas.get_or_insert_with(|| areas(definition).unwrap_or_default());
        let Some(fork) = areas.joins.iter().find(|(_, join)| **join == node.id).map(|(fork, _)| *fork) else { return vec![Step::Leave(node)] };
        let branch = if line.from == fork { Some(line.id) } else { areas.branch_of(line.from).map(|branch| branch.line) };
        let Some(branch) = branch else { return vec![Step::Leave(node)] };
        let waiting_for: Vec<LineId> = self.ticket.forks.get(&fork).into_iter().flatten().filter(|other| **other != branch).copied().collect();
        let is_last = waiting_for.is_empty();
        self.emit(BranchJoined { node: node.id, name: node.name.clone(), fork, branch, waiting_for });
        if is_last { vec![Step::Leave(node)] } else { Vec::new() }
    }

    /// Passed is a run in which every approval that was decided was passed (reference/bk-itsm.md 6).
    fn approve_result(&self) -> bool {
        self.ticket.nodes.values().all(|visit| visit.pass != Some(false))
    }

    /// What is being voted on is passed as it stands: whoever had to has passed it, and nobody rejected.
    fn nothing_is_undecided(&self) -> bool {
        self.ticket.current().filter(|(_, visit)| visit.is_vote).all(|(id, visit)| {
            let is_settled = match self.definition.node(id) {
                Some(node) if is_multi(node) => visit.waiting_for().is_empty(),
                _ => !visit.votes.is_empty(),
            };
            is_settled && visit.votes.iter().all(|vote| vote.pass)
        })
    }

    /// When the desk rates it by itself, where its service says after how many days.
    fn rate_by(&self) -> Decision<Option<events::Moment>> {
        let Some(opened) = &self.ticket.opened else { return Ok(None) };
        let days = self.facts.known_service(opened.service)?.and_then(|service| service.rate_after_days);
        days.map(|days| Ok(self.facts.now()?.at.plus_ms(i64::from(days) * DAY_MS))).transpose()
    }

    /// The desk acts outside; who may act where it fails is decided now.
    fn act_outside(&mut self, node: &Node, round: u32) {
        let processors = self.resolve(&node.processors);
        self.emit(NodeEntered {
            node: node.id,
            name: node.name.clone(),
            round,
            status: NodeStatus::Running,
            processors_type: frozen(&node.processors).into(),
            processors,
            automatic: true,
            is_vote: false,
        });
        if node.outside.is_none() {
            self.emit(NodeFailed { node: node.id, name: node.name.clone(), round, reason: "the node does not say what to call".into() });
        }
    }

    fn answered(&mut self, node: &'a Node, succeeded: bool, outputs: BTreeMap<String, String>, reason: &str) -> Vec<Step<'a>> {
        let round = self.ticket.nodes.get(&node.id).map_or(1, |visit| visit.round);
        if !succeeded {
            self.emit(NodeFailed { node: node.id, name: node.name.clone(), round, reason: reason.to_owned() });
            return Vec::new();
        }
        let (by, form, reason) = (Pid::system(), Vec::new(), Remark::default());
        self.emit(NodeCompleted { node: node.id, name: node.name.clone(), round, by, pass: None, form, outputs, reason });
        vec![Step::Leave(node)]
    }

    /// Lets everything follow from the answer to a call. What has gone round too often with nobody acting waits for a person, as if the call had failed.
    pub(super) fn follow(&mut self, node: &'a Node, succeeded: bool, outputs: BTreeMap<String, String>, reason: &str) -> Decision<()> {
        let (ticket, events) = (self.ticket.clone(), self.events.len());
        let next = self.answered(node, succeeded, outputs, reason);
        match self.go(next) {
            Err(Refusal::Rejected(Rejection::TooManyRounds(_))) => {
                self.ticket = ticket;
                self.events.truncate(events);
                drop(self.answered(node, false, BTreeMap::new(), &format!("it has gone round {ROUNDS_MAX} times")));
                Ok(())
            }
            went => went,
        }
    }

    /// Passes over a node.
    pub(super) fn skip(&mut self, node: &'a Node, by: &Pid, reason: Remark, pass: Option<bool>, outputs: BTreeMap<String, String>) -> Vec<Step<'a>> {
        let round = self.ticket.nodes.get(&node.id).map_or(1, |visit| visit.round);
        self.emit(NodeSkipped { node: node.id, name: node.name.clone(), round, by: by.clone(), reason, pass, outputs });
        vec![Step::Leave(node)]
    }

    /// Enters a node where people act: who may is decided now and stored.
    fn wait_at(&mut self, node: &'a Node, round: u32) -> Vec<Step<'a>> {
        let submit = self.definition.submit_node().map(|submit| submit.id);
        let chosen = self.ticket.opened.as_ref().and_then(|opened| opened.chosen_processors.get(&node.id)).cloned();
        let handling = if node.kind.is_vote() { Handling::Process } else { node.handling };
        let (status, processors_type, processors) = match (chosen, handling) {
            // Sent back to the submit node: the creator fills it again.
            _ if Some(node.id) == submit => (NodeStatus::Running, "PERSON", vec![self.creator()]),
            (Some(people), Handling::Process) => (NodeStatus::Running, "PERSON", people),
            (_, Handling::Process) => (NodeStatus::Running, frozen(&node.processors), self.resolve(&node.processors)),
            (_, Handling::ClaimThenProcess) => (NodeStatus::Receiving, frozen(&node.processors), self.resolve(&node.processors)),
            (_, Handling::DistributeThenProcess | Handling::DistributeThenClaim) => {
                (NodeStatus::Distributing, frozen(&node.assignors), self.resolve(&node.assignors))
            }
        };
        let nobody = processors.is_empty() && processors_type != "OPEN";
        let only = (status == NodeStatus::Receiving && processors.len() == 1).then(|| processors[0].clone());
        self.emit(NodeEntered {
            node: node.id,
            name: node.name.clone(),
            round,
            status,
            processors_type: processors_type.into(),
            processors,
            automatic: false,
            is_vote: node.kind.is_vote(),
        });
        if nobody && node.is_allow_skip && self.times(node) <= 1 {
            let pass = (node.kind == NodeKind::Approval).then_some(true);
            let outputs = self.outputs(node, pass);
            return self.skip(node, &Pid::system(), Remark::new(NOBODY), pass, outputs);
        }
        if nobody {
            self.emit(NodeUnattended { node: node.id, name: node.name.clone() });
        }
        if let Some(by) = only {
            self.emit(NodeClaimed { node: node.id, name: node.name.clone(), by, automatic: true, reason: Remark::default() });
        }
        self.pass_for_creator(node)
    }

    /// The people a configuration means right now, once each, in order. What would have to be known for it is noted.
    pub(super) fn resolve(&self, processors: &Processors) -> Vec<Pid> {
        let need = |lookup: Lookup| {
            self.missing.borrow_mut().insert(lookup);
            Vec::new()
        };
        let mut people = match processors {
            Processors::Person(people) => people.clone(),
            Processors::Starter => vec![self.creator()],
            Processors::General(roles) if roles.is_empty() => match &self.facts.general_roles {
                Some(roles) => self.members(roles),
                None => need(Lookup::GeneralRoles),
            },
            Processors::General(roles) => self.members(roles),
            Processors::Variable(keys) => self.named_in(keys),
            Processors::StarterLeader => self.leaders(&[self.creator()]),
            Processors::NodeLeader(node) => {
                let last = self.ticket.nodes.get(node).and_then(|visit| visit.votes.last().map(|vote| vote.by.clone()).or_else(|| visit.by.clone()));
                self.leaders(last.as_slice())
            }
            Processors::VariableLeader(keys) => self.leaders(self.named_in(keys).get(..1).unwrap_or_default()),
            Processors::Organization(key) => match self.facts.departments.get(key) {
                Some(members) => members.clone(),
                None => need(Lookup::Department(key.clone())),
            },
            Processors::Business(roles) => {
                let business = self.ticket.bk_biz_id();
                let holders = |role: &String| match self.facts.business_roles.get(&(business, role.clone())) {
                    Some(holders) => holders.clone(),
                    None => need(Lookup::BusinessRole(business, role.clone())),
                };
                if business == -1 { Vec::new() } else { roles.iter().flat_map(holders).collect() }
            }
            Processors::Open | Processors::ByAssignor | Processors::Empty | Processors::Iam(_) | Processors::Api => Vec::new(),
        };
        let mut seen = BTreeSet::new();
        people.retain(|pid| seen.insert(pid.clone()));
        people
    }

    /// The people in the first of these fields that is filled.
    fn named_in(&self, keys: &[String]) -> Vec<Pid> {
        let filled = keys.iter().filter_map(|key| self.ticket.form.get(key)).map(|entry| form::people(entry.read()));
        filled.into_iter().find(|people| !people.is_empty()).unwrap_or_default()
    }

    /// The leaders of some people, once each.
    pub(super) fn leaders(&self, people: &[Pid]) -> Vec<Pid> {
        let mut leaders = Vec::new();
        for pid in people {
            match self.facts.leaders.get(pid) {
                Some(Some(leader)) if !leaders.contains(leader) => leaders.push(leader.clone()),
                Some(_) => {}
                None => drop(self.missing.borrow_mut().insert(Lookup::Leader(pid.clone()))),
            }
        }
        leaders
    }

    /// The people somebody named as targets; there must be at least one.
    pub(super) fn named(&self, to: &Processors) -> Decision<Vec<Pid>> {
        if !matches!(to, Processors::Person(_) | Processors::General(_) | Processors::Starter | Processors::Organization(_)) {
            return reject(Rejection::TargetKindNotAllowed);
        }
        let people = if *to == Processors::General(Vec::new()) { Vec::new() } else { self.resolve(to) };
        self.known()?;
        if people.is_empty() { reject(Rejection::NobodyNamed) } else { Ok(people) }
    }

    fn members(&self, roles: &[events::RoleId]) -> Vec<Pid> {
        let mut members = Vec::new();
        for role in roles {
            match self.facts.roles.get(role) {
                Some(people) => members.extend(people.iter().cloned()),
                None => drop(self.missing.borrow_mut().insert(Lookup::Role(*role))),
            }
        }
        members
    }

    fn creator(&self) -> Pid {
        self.ticket.opened.as_ref().map(|opened| opened.creator.clone()).unwrap_or_default()
    }

    /// The counters of a countersign, by code; rates are percent of all processors.
    fn counters(&self, id: NodeId) -> BTreeMap<&'static str, String> {
        let Some(visit) = self.ticket.nodes.get(&id) else { return BTreeMap::new() };
        let percent = |votes: usize| {
            f64::from(u32::try_from(votes).unwrap_or(u32::MAX)) * 100.0 / f64::from(u32::try_from(visit.processors.len().max(1)).unwrap_or(u32::MAX))
        };
        let pass = visit.votes.iter().filter(|vote| vote.pass).count();
        let reject = visit.votes.len() - pass;
        BTreeMap::from([
            ("PROCESS_COUNT", visit.votes.len().to_string()),
            ("PASS_COUNT", pass.to_string()),
            ("REJECT_COUNT", reject.to_string()),
            ("PASS_RATE", percent(pass).to_string()),
            ("REJECT_RATE", percent(reject).to_string()),
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

/// Everybody votes, instead of the first one for all.
pub(super) fn is_multi(node: &Node) -> bool {
    node.is_multi || node.kind == NodeKind::Sign
}

/// The variables an automatic node leaves behind.
pub fn output_keys(node: &Node) -> Vec<String> {
    match node.outside.as_deref() {
        Some(Outside::Request(request)) => request.outputs.iter().map(|taken| taken.key.clone()).collect(),
        Some(Outside::Task(_)) => vec![task_result(node.id)],
        None => Vec::new(),
    }
}

/// What a condition finds under a key: an output variable, else a form field, else a fact of the ticket.
pub(super) fn find(ticket: &Ticket, key: &str) -> Found {
    if let Some(text) = ticket.outputs.get(key) {
        return Found::Value(text.clone().into());
    }
    // The title may be somebody's own, like every field.
    let key = if key == "ticket_title" { "title" } else { key };
    match ticket.form.get(key) {
        None => of_the_ticket(ticket, key).map_or(Found::Absent, |text| Found::Value(text.into())),
        Some(entry) if entry.is_erased() => Found::Erased,
        Some(entry) if entry.personal.is_some() => Found::Personal(entry.read().clone()),
        Some(entry) => Found::Value(entry.read().clone()),
    }
}

/// What is known of every ticket without looking anything up.
fn of_the_ticket(ticket: &Ticket, key: &str) -> Option<String> {
    let opened = ticket.opened.as_ref()?;
    Some(match key {
        "ticket_sn" => opened.sn.0.clone(),
        "ticket_creator" => opened.creator.0.clone(),
        "ticket_service_type" => opened.kind.key().to_owned(),
        "ticket_current_status" => ticket.status_key().to_owned(),
        "ticket_bk_biz_id" | "bk_biz_id" => ticket.bk_biz_id().to_string(),
        "priority" => ticket.priority()?.key.clone(),
        _ => return None,
    })
}

/// The kind of processors that is shown: what was looked up from the ticket itself is now simply people (reference/bk-itsm.md 9).
fn frozen(processors: &Processors) -> &'static str {
    match processors {
        Processors::Starter | Processors::Variable(_) | Processors::StarterLeader | Processors::NodeLeader(_) | Processors::VariableLeader(_) => "PERSON",
        other => other.kind(),
    }
}
