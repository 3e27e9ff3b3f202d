//! One ticket: what is asked ([`command`]), why it may be refused ([`rejection`]), what it remembers ([`state`]), what it must look up
//! ([`facts`]); here `decide`, `evolve` and the operations. How a form is checked stands in [`form`], how a run moves along its workflow
//! in [`run`], how rows of a foreign log are taken over in [`observe`].

mod command;
mod facts;
mod form;
mod observe;
mod rejection;
mod run;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use events::ticket::{NodeClaimed, NodeDelivered, NodeDistributed, NodeStatus, Opened, Priority, Resumed, Suspended, Terminated, TicketEvent, Withdrawn};
use events::workflow::{Definition, Deployed, Handling, Node, NodeKind, Processors, Revoke};
use events::{Entry, NodeId, Personal, Pid, Remark};

use crate::decider::Decider;
pub use command::{Command, Open};
use facts::needs;
pub(crate) use facts::{Decision, reject};
pub use facts::{Facts, Lookup};
pub use observe::Observation;
pub use rejection::Rejection;
use run::Run;
pub use state::{Action, Status, Ticket, Visit, Vote};

/// Longest title, in characters (reference/bk-itsm.md 3.1: the check fires above 128).
pub const TITLE_MAX: usize = 128;
/// Longest message, remark target list or reason, in characters (3.9).
pub const MESSAGE_MAX: usize = 255;
/// Visits of one node; a run that goes round more often is refused another send-back.
pub const ROUNDS_MAX: u32 = 10_000;

impl Decider for Ticket {
    type Command = Command;
    type Event = TicketEvent;
    type Rejection = Rejection;
    type Facts = Facts;
    type Lookup = Lookup;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Open(_))
    }

    fn decide(&self, command: &Command, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let events = match command {
            Command::Open(open) => self.open(open, facts),
            Command::Observe(rows) => self.observe(rows),
            Command::Submit { node, by, form } => self.submit(*node, by, form, facts),
            Command::Claim { node, by } => self.claim(*node, by, facts),
            Command::Distribute { node, by, to, message } => self.distribute(*node, by, to, message, facts),
            Command::Deliver { node, by, to, message } => self.deliver(*node, by, to, message, facts),
            Command::TerminateAt { node, by, reason } => self.terminate_at(*node, by, reason, facts),
            Command::Suspend { by, reason } => self.suspend(by, reason, facts),
            Command::Resume { by } => self.resume(by, facts),
            Command::Withdraw { by } => self.withdraw(by, facts),
            Command::Terminate { by, reason } => self.terminate(by, reason, facts),
        }?;
        // Somebody who may act but is not registered must be, before a name could get into an event.
        match command.by() {
            Some(by) if by.is_unknown() => reject(Rejection::Stranger(by.clone())),
            _ => Ok(events),
        }
    }

    fn evolve(&mut self, event: &TicketEvent) {
        match event {
            TicketEvent::Opened(opened) => {
                self.status = Status::Running;
                self.opened = Some(opened.clone());
            }
            TicketEvent::Observed(observed) => {
                self.status = Status::Observed;
                self.observation.get_or_insert_default().take(observed);
            }
            TicketEvent::NodeEntered(entered) => {
                let visit = Visit {
                    name: entered.name.clone(),
                    round: entered.round,
                    status: entered.status,
                    processors_type: entered.processors_type.clone(),
                    processors: entered.processors.clone(),
                    votes: Vec::new(),
                    pass: None,
                };
                self.nodes.insert(entered.node, visit);
            }
            TicketEvent::NodeClaimed(claimed) => self.visit(claimed.node, |visit| {
                visit.status = NodeStatus::Running;
                visit.processors_type = "PERSON".into();
                visit.processors = vec![claimed.by.clone()];
            }),
            TicketEvent::NodeDistributed(distributed) => self.visit(distributed.node, |visit| {
                visit.status = distributed.status;
                visit.processors_type.clone_from(&distributed.processors_type);
                visit.processors.clone_from(&distributed.processors);
            }),
            TicketEvent::NodeDelivered(delivered) => self.visit(delivered.node, |visit| {
                visit.processors = match &delivered.replaces {
                    None => delivered.processors.clone(),
                    Some(replaced) => seated(&visit.processors, replaced, &delivered.processors),
                };
                visit.processors_type.clone_from(&delivered.processors_type);
            }),
            TicketEvent::VoteCast(vote) => {
                self.fill(&vote.form);
                self.visit(vote.node, |visit| visit.votes.push(Vote { by: vote.by.clone(), pass: vote.pass }));
            }
            TicketEvent::NodeCompleted(completed) => {
                self.fill(&completed.form);
                self.outputs.extend(completed.outputs.clone());
                self.visit(completed.node, |visit| {
                    visit.status = NodeStatus::Finished;
                    visit.pass = completed.pass;
                });
                if completed.pass.is_some()
                    && let Some(visit) = self.nodes.get(&completed.node)
                {
                    self.last_approvers = visit.votes.iter().map(|vote| vote.by.clone()).collect();
                }
            }
            TicketEvent::LineTaken(_) => {}
            // Whoever decides or fills in here again starts afresh; the votes stand in the history.
            TicketEvent::LineMissing(missing) => self.visit(missing.node, |visit| {
                visit.status = NodeStatus::Failed;
                visit.votes.clear();
                visit.pass = None;
            }),
            TicketEvent::Suspended(_) => self.status = Status::Suspended,
            TicketEvent::Resumed(_) => self.status = Status::Running,
            TicketEvent::Withdrawn(withdrawn) => self.end(Status::Revoked, withdrawn.approve_result),
            TicketEvent::Terminated(terminated) => self.end(Status::Terminated, terminated.approve_result),
            TicketEvent::Finished(finished) => self.end(Status::Finished, finished.approve_result),
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        self.form.values_mut().filter_map(|entry| entry.personal.as_mut()).collect()
    }
}

impl Ticket {
    fn open(&self, open: &Open, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        if self.status != Status::None {
            return reject(Rejection::Exists);
        }
        let (service, catalog) = facts.service(open.service)?;
        let workflow = facts.workflow(service.workflow, service.workflow_version)?;
        let definition = &workflow.definition;
        for (node, people) in &open.chosen_processors {
            if definition.node(*node).is_none() {
                return reject(Rejection::ChosenNodeUnknown { service: service.name.clone(), node: *node });
            }
            if people.is_empty() {
                return reject(Rejection::ChosenProcessorsEmpty { service: service.name.clone(), node: *node });
            }
        }
        let submit = definition.submit_node().expect("a deployed workflow has a submit node");
        let form = form::check(definition, submit, &open.form, &self.form)?;
        let form = form::own(definition, form, &open.creator, service.seals_text);
        let value = |key: &str| form.iter().find(|entry| entry.key == key).map(|entry| form::text(entry.read())).filter(|text| !text.is_empty());
        let opened = Opened {
            sn: open.sn.clone(),
            id: open.id,
            kind: service.kind,
            service: open.service,
            service_name: service.name.clone(),
            workflow: workflow.workflow,
            workflow_version: workflow.version,
            catalog,
            creator: open.creator.clone(),
            priority: priority(service.priorities.as_ref(), value("impact"), value("urgency")),
            bk_biz_id: value("bk_biz_id").and_then(|text| text.parse().ok()).unwrap_or(-1),
            tag: open.tag.clone(),
            callback: open.callback.clone(),
            seals_text: service.seals_text,
            chosen_processors: open.chosen_processors.clone(),
        };
        let mut run = Run::new(self, definition, facts);
        run.emit(opened);
        run.start(submit, form)?;
        Ok(run.events)
    }

    fn submit(&self, id: NodeId, by: &Pid, given: &[Entry], facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let definition = &workflow.definition;
        let (node, visit) = self.acting(definition, id, by, Action::Submit)?;
        if !Action::Submit.fits(visit.status) {
            return reject(Rejection::NotAllowed { by: by.clone(), node: id });
        }
        let form = form::check(definition, node, given, &self.form)?;
        let opened = self.opened()?;
        let form = form::own(definition, form, &opened.creator, opened.seals_text);
        let mut run = Run::new(self, definition, facts);
        if node.kind == NodeKind::Approval {
            run.vote(node, by, form)?;
        } else {
            run.complete(node, by, None, form)?;
        }
        Ok(run.events)
    }

    fn claim(&self, id: NodeId, by: &Pid, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, visit) = self.acting(&workflow.definition, id, by, Action::Claim)?;
        if visit.status != NodeStatus::Receiving {
            return reject(Rejection::NotClaimable(id));
        }
        Ok(vec![NodeClaimed { node: id, name: node.name.clone(), by: by.clone(), automatic: false }.into()])
    }

    fn distribute(&self, id: NodeId, by: &Pid, to: &Processors, message: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, visit) = self.acting(&workflow.definition, id, by, Action::Distribute)?;
        if visit.status != NodeStatus::Distributing {
            return reject(Rejection::NotDistributable(id));
        }
        within_message(message)?;
        let run = Run::new(self, &workflow.definition, facts);
        let people = run.named(to)?;
        let allowed = match &node.processors {
            Processors::ByAssignor | Processors::Open | Processors::Empty => None,
            configured => Some(run.resolve(configured)?),
        };
        within(&people, allowed.as_deref())?;
        let status = match node.handling {
            Handling::DistributeThenClaim if people.len() > 1 => NodeStatus::Receiving,
            _ => NodeStatus::Running,
        };
        Ok(vec![
            NodeDistributed {
                node: id,
                name: node.name.clone(),
                by: by.clone(),
                status,
                processors_type: to.kind().into(),
                processors: people,
                message: self.remark(message)?,
            }
            .into(),
        ])
    }

    fn deliver(&self, id: NodeId, by: &Pid, to: &Processors, message: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, visit) = self.acting(&workflow.definition, id, by, Action::Deliver)?;
        if !node.can_deliver {
            return reject(Rejection::DeliverNotAllowed(node.name.clone()));
        }
        if visit.status != NodeStatus::Running {
            return reject(Rejection::NotDeliverable);
        }
        if message.trim().is_empty() {
            return reject(Rejection::DeliverMessageMissing);
        }
        within_message(message)?;
        let run = Run::new(self, &workflow.definition, facts);
        let people = run.named(to)?;
        let allowed = match &node.delivers {
            Processors::Open | Processors::Empty => None,
            configured => Some(run.resolve(configured)?),
        };
        within(&people, allowed.as_deref())?;
        let decided: Vec<Pid> = people.iter().filter(|pid| visit.has_voted(pid)).cloned().collect();
        if !decided.is_empty() {
            return reject(Rejection::AlreadyDecided(decided));
        }
        Ok(vec![
            NodeDelivered {
                node: id,
                name: node.name.clone(),
                by: by.clone(),
                processors_type: to.kind().into(),
                processors: people,
                replaces: node.is_multi.then(|| by.clone()),
                message: self.remark(message)?,
            }
            .into(),
        ])
    }

    fn terminate_at(&self, id: NodeId, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, visit) = self.acting(&workflow.definition, id, by, Action::Terminate)?;
        if !node.is_terminable || visit.status != NodeStatus::Running {
            return reject(Rejection::TerminateNotAllowed(node.name.clone()));
        }
        if reason.trim().is_empty() {
            return reject(Rejection::TerminateReasonMissing);
        }
        within_message(reason)?;
        let approve_result = false;
        Ok(vec![Terminated { by: by.clone(), node: Some(id), node_name: node.name.clone(), reason: self.remark(reason)?, approve_result }.into()])
    }

    fn suspend(&self, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.may_manage(by, facts)?;
        if self.status != Status::Running {
            return reject(Rejection::NotInProcess);
        }
        within_message(reason)?;
        Ok(vec![Suspended { by: by.clone(), reason: self.remark(reason)? }.into()])
    }

    fn resume(&self, by: &Pid, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.may_manage(by, facts)?;
        if self.status != Status::Suspended {
            return reject(Rejection::NotSuspended);
        }
        Ok(vec![Resumed { by: by.clone() }.into()])
    }

    fn withdraw(&self, by: &Pid, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let opened = self.opened()?;
        if opened.creator != *by {
            return reject(Rejection::NotTheCreator);
        }
        let workflow = self.workflow(facts)?;
        if workflow.definition.revoke == Revoke::Never {
            return reject(Rejection::NotRevocable);
        }
        if self.status.is_over() {
            return reject(Rejection::OverAlready);
        }
        if !self.is_withdrawable(&workflow.definition) {
            return reject(Rejection::HandledAlready);
        }
        Ok(vec![Withdrawn { by: by.clone(), approve_result: false }.into()])
    }

    fn terminate(&self, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.may_manage(by, facts)?;
        if self.status.is_over() {
            return reject(Rejection::NotInProcess);
        }
        if reason.trim().is_empty() {
            return reject(Rejection::TerminateReasonMissing);
        }
        within_message(reason)?;
        Ok(vec![Terminated { by: by.clone(), node: None, node_name: String::new(), reason: self.remark(reason)?, approve_result: false }.into()])
    }

    /// The nodes where somebody has to act now.
    pub fn current(&self) -> impl Iterator<Item = (NodeId, &Visit)> {
        let over = self.status.is_over();
        self.nodes.iter().filter(move |(_, visit)| !over && visit.is_current()).map(|(id, visit)| (*id, visit))
    }

    /// Says whether the withdraw rule of the workflow holds (reference/bk-itsm.md 5.5), whoever asks.
    pub fn is_withdrawable(&self, definition: &Definition) -> bool {
        let submit = definition.submit_node().map(|node| node.id);
        let start = definition.nodes.iter().find(|node| node.kind == NodeKind::Start).map(|node| node.id);
        !self.status.is_over()
            && match definition.revoke {
                Revoke::Never => false,
                Revoke::Always => true,
                Revoke::BeforeNode(node) => !self.nodes.contains_key(&node),
                Revoke::BeforeHandled => {
                    let back_at_submit = self.current().any(|(id, _)| Some(id) == submit);
                    let untouched = self.nodes.iter().all(|(id, visit)| Some(*id) == submit || Some(*id) == start || visit.is_current());
                    back_at_submit || untouched
                }
            }
    }

    /// Says whether this person may act at a node now, by its status and processors.
    pub fn may_act(&self, visit: &Visit, by: &Pid) -> bool {
        visit.is_open_to_all() || (visit.processors.contains(by) && !visit.has_voted(by))
    }

    pub fn title(&self) -> String {
        self.form.get("title").map(|entry| form::text(entry.read())).unwrap_or_default()
    }

    /// The workflow version this ticket runs on.
    pub fn workflow(&self, facts: &Facts) -> Decision<Arc<Deployed>> {
        let opened = self.opened()?;
        facts.workflow(opened.workflow, opened.workflow_version)
    }

    /// What is checked of a node before anybody looks at who wants what: the ticket goes on, the node is there and not done.
    pub fn check_node(&self, id: NodeId) -> Decision<()> {
        self.opened()?;
        if self.status.is_over() {
            return reject(Rejection::Over);
        }
        match self.nodes.get(&id) {
            None => reject(Rejection::NodeUnknown(id)),
            Some(visit) if !visit.is_current() => reject(Rejection::NodeFinished(id)),
            Some(_) => Ok(()),
        }
    }

    /// Finds the node somebody wants to act on, and says whether they may, in the order of checks of reference/bk-itsm.md 3.9.
    fn acting<'a>(&'a self, definition: &'a Definition, id: NodeId, by: &Pid, action: Action) -> Decision<(&'a Node, &'a Visit)> {
        self.check_node(id)?;
        let (Some(visit), Some(node)) = (self.nodes.get(&id), definition.node(id)) else {
            return reject(Rejection::NodeUnknown(id));
        };
        let is_next = !(node.is_multi && node.is_sequential) || visit.waiting_for().first() == Some(by);
        let action_fits = match node.kind {
            // Of an approval only the person is looked at here, not the action.
            NodeKind::Approval => is_next,
            _ => visit.is_open_to_all() || action.fits(visit.status),
        };
        if !self.may_act(visit, by) || !action_fits {
            return reject(Rejection::NotAllowed { by: by.clone(), node: id });
        }
        if self.status == Status::Suspended {
            return reject(Rejection::Standing);
        }
        Ok((node, visit))
    }

    /// A current processor or a superuser may suspend, resume and terminate (3.10).
    fn may_manage(&self, by: &Pid, facts: &Facts) -> Decision<()> {
        self.opened()?;
        let processes = self.current().any(|(_, visit)| visit.processors.contains(by));
        if processes || facts.is_superuser(by)? { Ok(()) } else { reject(Rejection::NotAllowedOnTicket(by.clone())) }
    }

    /// A message as this ticket keeps it.
    fn remark(&self, text: &str) -> Decision<Remark> {
        let opened = self.opened()?;
        let remark = Remark::new(text);
        Ok(if opened.seals_text && !text.is_empty() { remark.owned_by(opened.creator.clone()) } else { remark })
    }

    fn opened(&self) -> Decision<&Opened> {
        self.opened.as_ref().map_or_else(|| reject(Rejection::Unknown), Ok)
    }

    fn visit(&mut self, id: NodeId, change: impl FnOnce(&mut Visit)) {
        if let Some(visit) = self.nodes.get_mut(&id) {
            change(visit);
        }
    }

    fn fill(&mut self, form: &[Entry]) {
        self.form.extend(form.iter().map(|entry| (entry.key.clone(), entry.clone())));
    }

    fn end(&mut self, status: Status, approve_result: bool) {
        self.status = status;
        self.approve_result = Some(approve_result);
        if status != Status::Finished {
            self.nodes.values_mut().filter(|visit| visit.is_current()).for_each(|visit| visit.status = NodeStatus::Terminated);
        }
    }
}

/// Processors with one seat given to others, once each, in order.
fn seated(processors: &[Pid], replaced: &Pid, by: &[Pid]) -> Vec<Pid> {
    let mut seats: Vec<Pid> = Vec::new();
    let new = processors.iter().flat_map(|pid| if pid == replaced { by.to_vec() } else { vec![pid.clone()] });
    for pid in new {
        if !seats.contains(&pid) {
            seats.push(pid);
        }
    }
    seats
}

fn within_message(message: &str) -> Decision<()> {
    if message.chars().count() > MESSAGE_MAX { reject(Rejection::MessageTooLong) } else { Ok(()) }
}

fn within(people: &[Pid], allowed: Option<&[Pid]>) -> Decision<()> {
    let Some(allowed) = allowed else { return Ok(()) };
    let outside: Vec<Pid> = people.iter().filter(|pid| !allowed.contains(pid)).cloned().collect();
    if outside.is_empty() { Ok(()) } else { reject(Rejection::TargetsOutOfRange(outside)) }
}

/// Priority by urgency (rows) and impact (columns), 1 low to 3 high, where the service has no matrix of its own.
pub const PRIORITIES: [[u8; 3]; 3] = [[1, 1, 2], [1, 2, 3], [2, 3, 3]];

fn priority(matrix: Option<&[[u8; 3]; 3]>, impact: Option<String>, urgency: Option<String>) -> Option<Priority> {
    let (impact, urgency) = (impact?, urgency?);
    let index = |text: &str| text.parse::<usize>().ok().filter(|level| (1..=3).contains(level)).map(|level| level - 1);
    let key = matrix.unwrap_or(&PRIORITIES)[index(&urgency)?][index(&impact)?].to_string();
    Some(Priority { key, impact, urgency })
}
