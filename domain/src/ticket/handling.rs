//! What people do at a node: they submit, decide, claim, hand over, say that they have seen it, or call for somebody above.

use events::ticket::{
    Acknowledged, Escalated, Followed, Linked, NodeClaimed, NodeDelivered, NodeDistributed, NodeReassigned, NodeStatus, Opened, Relation, Terminated,
    TicketEvent,
};
use events::workflow::{Definition, Handling, Node, Processors};
use events::{Entry, NodeId, Pid};

use super::form::Sheet;
use super::run::{Run, is_multi};
use super::{Action, Decision, Facts, Open, Rejection, Status, Ticket, Visit, form, priority, reject, within, within_message, within_reason};
use crate::user_name::is_blank;

impl Ticket {
    pub(super) fn open(&self, open: &Open, facts: &Facts) -> Decision<Vec<TicketEvent>> {
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
        if open.agent.as_ref().is_some_and(|agent| *agent != open.creator) && !service.can_ticket_agency {
            return reject(Rejection::NoAgency);
        }
        let by: Vec<&Pid> = std::iter::once(&open.creator).chain(&open.agent).collect();
        let form = form::check(&Sheet { ticket: &open.sn, definition, node: submit, held: self, by: &by }, &open.form, facts)?;
        may_submit(definition, submit, open, &form, facts)?;
        let form = form::own(definition, form, &open.creator, service.seals_text);
        let value = |key: &str| form.iter().find(|entry| entry.key == key).map(|entry| form::plain(entry.read())).filter(|text| !text.is_empty());
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
            agent: open.agent.clone().filter(|agent| *agent != open.creator),
            dynamic_fields: open.dynamic_fields.clone(),
            names: open.names.clone(),
            variables: open.variables.clone(),
            notify_config: open.notify_config.clone(),
        };
        let mut run = Run::new(self, definition, facts);
        run.emit(opened);
        if let Some(other) = &open.from {
            run.emit(Linked { by: open.creator.clone(), other: other.clone(), relation: Relation::RaisedFrom });
        }
        if open.attention {
            run.emit(Followed { by: open.creator.clone(), people: vec![open.creator.clone()], follows: true, invited: true });
        }
        run.start(submit, form)?;
        run.done()
    }

    pub(super) fn submit(&self, id: NodeId, by: &Pid, given: &[Entry], reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        self.fill_in(id, by, given, Some(reason).filter(|reason| !is_blank(reason)), facts)
    }

    /// Takes the form of a node. Without a reason beside it, a vote's reason is what its form says.
    fn fill_in(&self, id: NodeId, by: &Pid, given: &[Entry], reason: Option<&str>, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let definition = &workflow.definition;
        let (node, visit) = self.acting(definition, id, by, Action::Submit)?;
        if !Action::Submit.fits(visit.status) {
            return reject(Rejection::NotAllowed { by: by.clone(), node: id });
        }
        within_reason(reason.unwrap_or_default())?;
        let opened = self.opened()?;
        let form = form::check(&Sheet { ticket: &opened.sn, definition, node, held: self, by: &[by] }, given, facts)?;
        let form = form::own(definition, form, &opened.creator, opened.seals_text);
        let mut run = Run::new(self, definition, facts);
        if node.kind.is_vote() {
            run.vote(node, by, form, reason)?;
        } else {
            let next = run.complete(node, by, None, form, self.remark(reason.unwrap_or_default())?);
            run.go(next)?;
        }
        run.done()
    }

    /// A vote that comes without a form, from a message or another system: the result is filled in, and the remark where it fits. The remark is the vote's
    /// reason in any case.
    pub(super) fn decide_at(&self, id: NodeId, by: &Pid, pass: bool, remark: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        self.check_node(id)?;
        match workflow.definition.node(id) {
            Some(node) if node.kind.is_vote() && self.nodes.get(&id).is_some_and(|visit| visit.status == NodeStatus::Running) => {
                let reason = if is_blank(remark) { "" } else { remark };
                let form = form::decided(&workflow.definition, node, pass, reason);
                self.fill_in(id, by, &form, Some(reason), facts)
            }
            _ => reject(Rejection::NotAnApproval(id)),
        }
    }

    pub(super) fn claim(&self, id: NodeId, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, visit) = self.acting(&workflow.definition, id, by, Action::Claim)?;
        if visit.status != NodeStatus::Receiving {
            return reject(Rejection::NotClaimable(id));
        }
        within_message(reason)?;
        Ok(vec![NodeClaimed { node: id, name: node.name.clone(), by: by.clone(), automatic: false, reason: self.remark(reason)? }.into()])
    }

    pub(super) fn distribute(&self, id: NodeId, by: &Pid, to: &Processors, message: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
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
            configured => Some(run.resolve(configured)),
        };
        run.known()?;
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

    pub(super) fn deliver(&self, id: NodeId, by: &Pid, to: &Processors, message: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, visit) = self.acting(&workflow.definition, id, by, Action::Deliver)?;
        if !node.can_deliver {
            return reject(Rejection::DeliverNotAllowed(node.name.clone()));
        }
        if visit.status != NodeStatus::Running {
            return reject(Rejection::NotDeliverable);
        }
        if is_blank(message) {
            return reject(Rejection::DeliverMessageMissing);
        }
        within_message(message)?;
        let run = Run::new(self, &workflow.definition, facts);
        let people = run.named(to)?;
        let allowed = match &node.delivers {
            Processors::Open | Processors::Empty => None,
            configured => Some(run.resolve(configured)),
        };
        run.known()?;
        within(&people, allowed.as_deref())?;
        undecided(visit, &people)?;
        Ok(vec![
            NodeDelivered {
                node: id,
                name: node.name.clone(),
                by: by.clone(),
                processors_type: to.kind().into(),
                processors: people,
                replaces: is_multi(node).then(|| by.clone()),
                message: self.remark(message)?,
            }
            .into(),
        ])
    }

    /// Exception distribute: a manager gives a node to anybody, whatever its range.
    pub(super) fn reassign(&self, id: NodeId, by: &Pid, to: &Processors, message: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        self.check_node(id)?;
        if !self.manages(by, facts)? {
            return reject(Rejection::NotAllowedOnTicket(by.clone()));
        }
        self.standing()?;
        within_message(message)?;
        let people = Run::new(self, &workflow.definition, facts).named(to)?;
        let visit = &self.nodes[&id];
        undecided(visit, &people)?;
        let (name, message) = (visit.name.clone(), self.remark(message)?);
        Ok(vec![NodeReassigned { node: id, name, by: by.clone(), processors_type: to.kind().into(), processors: people, message }.into()])
    }

    pub(super) fn terminate_at(&self, id: NodeId, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, visit) = self.acting(&workflow.definition, id, by, Action::Terminate)?;
        if !node.is_terminable || visit.status != NodeStatus::Running {
            return reject(Rejection::TerminateNotAllowed(node.name.clone()));
        }
        if is_blank(reason) {
            return reject(Rejection::TerminateReasonMissing);
        }
        within_message(reason)?;
        let approve_result = false;
        Ok(vec![Terminated { by: by.clone(), node: Some(id), node_name: node.name.clone(), reason: self.remark(reason)?, approve_result }.into()])
    }

    /// The response: claims where a claim is due, else says that it was seen. Saying so again changes nothing.
    pub(super) fn acknowledge(&self, node: Option<NodeId>, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let id = self.where_to_act(node, by, |visit| matches!(visit.status, NodeStatus::Receiving | NodeStatus::Running) && visit.acknowledged.is_none())?;
        let visit = &self.nodes[&id];
        if visit.status == NodeStatus::Receiving {
            return self.claim(id, by, reason, facts);
        }
        self.standing()?;
        if visit.acknowledged.is_some() {
            return Ok(Vec::new());
        }
        within_message(reason)?;
        Ok(vec![Acknowledged { by: by.clone(), node: id, name: visit.name.clone(), reason: self.remark(reason)? }.into()])
    }

    /// Completes the node at which this person has to act: an approval is passed, a form filled in with what was given.
    pub(super) fn resolve(&self, by: &Pid, given: &[Entry], remark: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let id = self.where_to_resolve(by)?;
        let workflow = self.workflow(facts)?;
        match workflow.definition.node(id) {
            Some(node) if node.kind.is_vote() && given.is_empty() => self.decide_at(id, by, true, remark, facts),
            Some(node) => {
                let mut form = given.to_vec();
                form::with_defaults(&workflow.definition, node, &mut form, self);
                self.submit(id, by, &form, remark, facts)
            }
            None => reject(Rejection::NodeUnknown(id)),
        }
    }

    /// To the next level: the leaders of those who have it may act as well; where there are none, the owners of its service.
    pub(super) fn escalate(&self, node: Option<NodeId>, by: &Pid, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let id = match node {
            Some(id) => id,
            None => self.current().map(|(id, _)| id).next().map_or_else(|| reject(Rejection::Over), Ok)?,
        };
        self.check_node(id)?;
        if !self.may_see(by, facts)? {
            return reject(Rejection::NotAllowed { by: by.clone(), node: id });
        }
        self.standing()?;
        within_message(reason)?;
        let visit = &self.nodes[&id];
        // Nobody stands above everybody, and a countersign is for those it names, one vote each.
        if visit.is_open_to_all() || workflow.definition.node(id).is_some_and(|node| node.kind.is_vote() && is_multi(node)) {
            return reject(Rejection::NotEscalatable(visit.name.clone()));
        }
        let run = Run::new(self, &workflow.definition, facts);
        let above = run.leaders(&visit.processors);
        run.known()?;
        let owners = facts.known_service(self.opened()?.service)?.map(|service| service.owners.clone()).unwrap_or_default();
        let new: Vec<Pid> = [above, owners]
            .into_iter()
            .map(|people| people.into_iter().filter(|pid| !visit.processors.contains(pid)).collect::<Vec<_>>())
            .find(|people| !people.is_empty())
            .unwrap_or_default();
        if new.is_empty() {
            return reject(Rejection::NobodyAbove);
        }
        let (name, level, reason) = (visit.name.clone(), visit.level + 1, self.remark(reason)?);
        Ok(vec![Escalated { by: by.clone(), node: id, name, level, processors: new, reason }.into()])
    }

    /// The node that somebody may complete now: that of several which is being handled, before one that only waits for it.
    pub fn where_to_resolve(&self, by: &Pid) -> Decision<NodeId> {
        self.where_to_act(None, by, |visit| Action::Submit.fits(visit.status))
    }

    /// The node that is meant, or one at which this person may act: rather one that fits what is wanted, and one where people act.
    fn where_to_act(&self, node: Option<NodeId>, by: &Pid, fits: impl Fn(&Visit) -> bool) -> Decision<NodeId> {
        self.opened()?;
        if self.status.is_over() {
            return reject(Rejection::Over);
        }
        let id = match node {
            Some(id) => id,
            None => match self.current().filter(|(_, visit)| self.may_act(visit, by)).min_by_key(|(id, visit)| (visit.automatic, !fits(visit), *id)) {
                Some((id, _)) => id,
                None => return reject(Rejection::NotAllowedOnTicket(by.clone())),
            },
        };
        self.check_node(id)?;
        if self.nodes.get(&id).is_some_and(|visit| self.may_act(visit, by)) { Ok(id) } else { reject(Rejection::NotAllowed { by: by.clone(), node: id }) }
    }
}

/// Where a workflow says who may submit, whoever submits is one of them.
fn may_submit(definition: &Definition, submit: &Node, open: &Open, form: &[Entry], facts: &Facts) -> Decision<()> {
    // Other kinds say who processes a ticket that is there: by its creator or its form.
    let says_who = matches!(&submit.processors, Processors::Person(_) | Processors::General(_) | Processors::Organization(_) | Processors::Business(_));
    if !says_who || submit.processors.is_unconfigured() {
        return Ok(());
    }
    let mut ticket = Ticket::default();
    ticket.fill(form);
    let run = Run::new(&ticket, definition, facts);
    let people = run.resolve(&submit.processors);
    run.known()?;
    let by = open.agent.as_ref().unwrap_or(&open.creator);
    if people.contains(by) { Ok(()) } else { reject(Rejection::MayNotSubmit { by: by.clone(), node: submit.name.clone() }) }
}

/// Nobody is given work who has decided on it: then there would be nobody left who can.
fn undecided(visit: &Visit, people: &[Pid]) -> Decision<()> {
    let decided: Vec<Pid> = people.iter().filter(|pid| visit.has_voted(pid)).cloned().collect();
    if decided.is_empty() { Ok(()) } else { reject(Rejection::AlreadyDecided(decided)) }
}
