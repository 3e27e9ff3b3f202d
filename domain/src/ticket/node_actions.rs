//! Implements the actions of people at one node: submit a form, vote, claim, assign, transfer, acknowledge,
//! resolve and escalate. Also implements the opening of a ticket, which is the first submission of a form.

use events::ticket::{
    Acknowledged, Escalated, FollowersChanged, Linked, NodeAssigned, NodeClaimed, NodeReassigned,
    NodeStatus, NodeTransferred, Opened, Relation, Terminated, TicketEvent,
};
use events::workflow::{Definition, Handling, Node, Processors};
use events::{Entry, NodeId, PersonId};

use super::engine::{Run, is_multi};
use super::form::FormInput;
use super::{
    Action, Context, Decision, NodeRun, Open, Rejection, Status, Ticket, check_message,
    check_range, check_reason, form, priority, reject,
};
use crate::user_name::is_blank;
use crate::value::plain;

impl Ticket {
    pub(super) fn open(&self, open: &Open, context: &Context) -> Decision<Vec<TicketEvent>> {
        if self.status != Status::None {
            return reject(Rejection::Exists);
        }
        let (service, catalog) = context.service(open.service)?;
        let workflow = context.workflow(service.workflow, service.workflow_version)?;
        let definition = &workflow.definition;
        for (node, people) in &open.chosen_processors {
            if definition.node(*node).is_none() {
                return reject(Rejection::ChosenNodeUnknown {
                    service: service.name.clone(),
                    node: *node,
                });
            }
            if people.is_empty() {
                return reject(Rejection::ChosenProcessorsEmpty {
                    service: service.name.clone(),
                    node: *node,
                });
            }
        }
        let submit = definition
            .submit_node()
            .expect("a deployed workflow has a submit node");
        if open
            .agent
            .as_ref()
            .is_some_and(|agent| *agent != open.creator)
            && !service.can_ticket_agency
        {
            return reject(Rejection::NoAgency);
        }
        let by: Vec<&PersonId> = std::iter::once(&open.creator).chain(&open.agent).collect();
        let form = form::check(
            &FormInput {
                ticket: &open.sn,
                definition,
                node: submit,
                current: self,
                by: &by,
            },
            &open.form,
            context,
        )?;
        may_submit(definition, submit, open, &form, context)?;
        let form = form::set_owner(definition, form, &open.creator, service.seals_text);
        let value = |key: &str| {
            form.iter()
                .find(|entry| entry.key == key)
                .map(|entry| plain(entry.read()))
                .filter(|text| !text.is_empty())
        };
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
            priority: priority(
                service.priorities.as_ref(),
                value("impact"),
                value("urgency"),
            ),
            bk_biz_id: value("bk_biz_id")
                .and_then(|text| text.parse().ok())
                .unwrap_or(-1),
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
        let mut run = Run::new(self, definition, context);
        run.emit(opened);
        if let Some(other) = &open.from {
            run.emit(Linked {
                by: open.creator.clone(),
                other: other.clone(),
                relation: Relation::RaisedFrom,
            });
        }
        if open.attention {
            run.emit(FollowersChanged {
                by: open.creator.clone(),
                people: vec![open.creator.clone()],
                follows: true,
                invited: true,
            });
        }
        run.start(submit, form)?;
        run.done()
    }

    pub(super) fn submit(
        &self,
        id: NodeId,
        by: &PersonId,
        given: &[Entry],
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        self.fill_in(
            id,
            by,
            given,
            Some(reason).filter(|reason| !is_blank(reason)),
            context,
        )
    }

    /// Checks the submitted form and completes the action at the node. At a node with votes, the action is a
    /// vote. If the parameter `reason` is `None`, the form contains the reason of the vote.
    fn fill_in(
        &self,
        id: NodeId,
        by: &PersonId,
        given: &[Entry],
        reason: Option<&str>,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let definition = &workflow.definition;
        let (node, node_run) = self.check_action(definition, id, by, Action::Submit)?;
        if !Action::Submit.fits(node_run.status) {
            return reject(Rejection::NotAllowed {
                by: by.clone(),
                node: id,
            });
        }
        check_reason(reason.unwrap_or_default())?;
        let opened = self.opened()?;
        let form = form::check(
            &FormInput {
                ticket: &opened.sn,
                definition,
                node,
                current: self,
                by: &[by],
            },
            given,
            context,
        )?;
        let form = form::set_owner(definition, form, &opened.creator, opened.seals_text);
        let mut run = Run::new(self, definition, context);
        if node.kind.is_vote() {
            run.vote(node, by, form, reason)?;
        } else {
            let next = run.complete(
                node,
                by,
                None,
                form,
                self.remark(reason.unwrap_or_default())?,
            );
            run.advance(next)?;
        }
        run.done()
    }

    /// Casts a vote without a form. Such a vote can come from a message or from an external system. The desk
    /// writes the decision to the form field for the result of the vote. If the form has a text field, the
    /// desk writes the remark to this text field. The remark is always stored as the reason of the vote.
    pub(super) fn decide_at(
        &self,
        id: NodeId,
        by: &PersonId,
        pass: bool,
        remark: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        self.check_node(id)?;
        match workflow.definition.node(id) {
            Some(node)
                if node.kind.is_vote()
                    && self
                        .nodes
                        .get(&id)
                        .is_some_and(|node_run| node_run.status == NodeStatus::Running) =>
            {
                let reason = if is_blank(remark) { "" } else { remark };
                let form = form::decided(&workflow.definition, node, pass, reason);
                self.fill_in(id, by, &form, Some(reason), context)
            }
            _ => reject(Rejection::NotAnApproval(id)),
        }
    }

    pub(super) fn claim(
        &self,
        id: NodeId,
        by: &PersonId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let (node, node_run) = self.check_action(&workflow.definition, id, by, Action::Claim)?;
        if node_run.status != NodeStatus::Receiving {
            return reject(Rejection::NotClaimable(id));
        }
        check_message(reason)?;
        Ok(vec![
            NodeClaimed {
                node: id,
                name: node.name.clone(),
                by: by.clone(),
                automatic: false,
                reason: self.remark(reason)?,
            }
            .into(),
        ])
    }

    pub(super) fn assign(
        &self,
        id: NodeId,
        by: &PersonId,
        to: &Processors,
        message: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let (node, node_run) =
            self.check_action(&workflow.definition, id, by, Action::Distribute)?;
        if node_run.status != NodeStatus::Distributing {
            return reject(Rejection::NotDistributable(id));
        }
        check_message(message)?;
        let run = Run::new(self, &workflow.definition, context);
        let people = run.targets(to)?;
        let allowed = match &node.processors {
            Processors::ByAssignor | Processors::Open | Processors::Empty => None,
            configured => Some(run.resolve(configured)),
        };
        run.check_complete()?;
        check_range(&people, allowed.as_deref())?;
        let status = match node.handling {
            Handling::DistributeThenClaim if people.len() > 1 => NodeStatus::Receiving,
            _ => NodeStatus::Running,
        };
        Ok(vec![
            NodeAssigned {
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

    pub(super) fn transfer(
        &self,
        id: NodeId,
        by: &PersonId,
        to: &Processors,
        message: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let (node, node_run) = self.check_action(&workflow.definition, id, by, Action::Deliver)?;
        if !node.can_deliver {
            return reject(Rejection::DeliverNotAllowed(node.name.clone()));
        }
        if node_run.status != NodeStatus::Running {
            return reject(Rejection::NotDeliverable);
        }
        if is_blank(message) {
            return reject(Rejection::DeliverMessageMissing);
        }
        check_message(message)?;
        let run = Run::new(self, &workflow.definition, context);
        let people = run.targets(to)?;
        let allowed = match &node.delivers {
            Processors::Open | Processors::Empty => None,
            configured => Some(run.resolve(configured)),
        };
        run.check_complete()?;
        check_range(&people, allowed.as_deref())?;
        check_not_voted(node_run, &people)?;
        Ok(vec![
            NodeTransferred {
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

    /// Replaces the processors (the people who may act at a node) with any other people, even if the workflow
    /// does not allow these people at the node. Only managers of the ticket (superusers and service owners)
    /// may do this, and the system if the record of another system decides about the assignee. BlueKing calls
    /// this operation "exception distribution".
    pub(super) fn reassign(
        &self,
        id: NodeId,
        by: &PersonId,
        to: &Processors,
        message: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        self.check_node(id)?;
        if !by.is_system() && !self.manages(by, context)? {
            return reject(Rejection::NotAllowedOnTicket(by.clone()));
        }
        self.check_not_suspended()?;
        check_message(message)?;
        let people = Run::new(self, &workflow.definition, context).targets(to)?;
        let node_run = &self.nodes[&id];
        check_not_voted(node_run, &people)?;
        let (name, message) = (node_run.name.clone(), self.remark(message)?);
        Ok(vec![
            NodeReassigned {
                node: id,
                name,
                by: by.clone(),
                processors_type: to.kind().into(),
                processors: people,
                message,
            }
            .into(),
        ])
    }

    pub(super) fn terminate_at(
        &self,
        id: NodeId,
        by: &PersonId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let (node, node_run) =
            self.check_action(&workflow.definition, id, by, Action::Terminate)?;
        if !node.is_terminable || node_run.status != NodeStatus::Running {
            return reject(Rejection::TerminateNotAllowed(node.name.clone()));
        }
        if is_blank(reason) {
            return reject(Rejection::TerminateReasonMissing);
        }
        check_message(reason)?;
        let approve_result = false;
        Ok(vec![
            Terminated {
                by: by.clone(),
                node: Some(id),
                node_name: node.name.clone(),
                reason: self.remark(reason)?,
                approve_result,
            }
            .into(),
        ])
    }

    /// Claims the node (only this person may then act at the node) if the node waits for a claim. Otherwise
    /// the function stores that the person has seen the work at the node. If this is already stored, the
    /// function adds no event.
    pub(super) fn acknowledge(
        &self,
        node: Option<NodeId>,
        by: &PersonId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let id = self.node_to_act(node, by, |node_run| {
            matches!(node_run.status, NodeStatus::Receiving | NodeStatus::Running)
                && node_run.acknowledged.is_none()
        })?;
        let node_run = &self.nodes[&id];
        if node_run.status == NodeStatus::Receiving {
            return self.claim(id, by, reason, context);
        }
        self.check_not_suspended()?;
        if node_run.acknowledged.is_some() {
            return Ok(Vec::new());
        }
        check_message(reason)?;
        Ok(vec![
            Acknowledged {
                by: by.clone(),
                node: id,
                name: node_run.name.clone(),
                reason: self.remark(reason)?,
            }
            .into(),
        ])
    }

    /// Completes a node at which the person may act. If people vote at the node and the command contains no
    /// form values, the person votes for approval. In all other cases, the form values are submitted.
    pub(super) fn resolve(
        &self,
        by: &PersonId,
        given: &[Entry],
        remark: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let id = self.where_to_resolve(by)?;
        let workflow = self.workflow(context)?;
        match workflow.definition.node(id) {
            Some(node) if node.kind.is_vote() && given.is_empty() => {
                self.decide_at(id, by, true, remark, context)
            }
            Some(node) => {
                let mut form = given.to_vec();
                form::with_defaults(&workflow.definition, node, &mut form, self);
                self.submit(id, by, &form, remark, context)
            }
            None => reject(Rejection::NodeUnknown(id)),
        }
    }

    /// Escalates the node: other people get permission to act at the node. These people are the leaders of the
    /// current processors (the people who may act). If there are no leaders, or if all leaders are already
    /// processors, the service owners are added instead.
    pub(super) fn escalate(
        &self,
        node: Option<NodeId>,
        by: &PersonId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let id = match node {
            Some(id) => id,
            None => self
                .current()
                .map(|(id, _)| id)
                .next()
                .map_or_else(|| reject(Rejection::Ended), Ok)?,
        };
        self.check_node(id)?;
        if !self.may_take_part(by, context)? {
            return reject(Rejection::NotAllowed {
                by: by.clone(),
                node: id,
            });
        }
        self.check_not_suspended()?;
        check_message(reason)?;
        let node_run = &self.nodes[&id];
        // An open node, at which every person may act, has no list of processors (people selected for the
        // node). An escalation therefore finds no leaders. A countersign (a vote of all processors) cannot be
        // escalated, because additional processors would change the result.
        if node_run.is_open_to_all()
            || workflow
                .definition
                .node(id)
                .is_some_and(|node| node.kind.is_vote() && is_multi(node))
        {
            return reject(Rejection::NotEscalatable(node_run.name.clone()));
        }
        let run = Run::new(self, &workflow.definition, context);
        let leaders = run.leaders(&node_run.processors);
        run.check_complete()?;
        let owners = context
            .known_service(self.opened()?.service)?
            .map(|service| service.owners.clone())
            .unwrap_or_default();
        let new: Vec<PersonId> = [leaders, owners]
            .into_iter()
            .map(|people| {
                people
                    .into_iter()
                    .filter(|pid| !node_run.processors.contains(pid))
                    .collect::<Vec<_>>()
            })
            .find(|people| !people.is_empty())
            .unwrap_or_default();
        if new.is_empty() {
            return reject(Rejection::NoEscalationTarget);
        }
        let (name, level, reason) = (
            node_run.name.clone(),
            node_run.level + 1,
            self.remark(reason)?,
        );
        Ok(vec![
            Escalated {
                by: by.clone(),
                node: id,
                name,
                level,
                processors: new,
                reason,
            }
            .into(),
        ])
    }

    /// Returns a node that the person `by` can complete. If there are several such nodes, a node at which the
    /// form can be submitted immediately is preferred. Other nodes first need a claim or an assignment.
    pub fn where_to_resolve(&self, by: &PersonId) -> Decision<NodeId> {
        self.node_to_act(None, by, |node_run| Action::Submit.fits(node_run.status))
    }

    /// Returns a node at which the person `by` may act. If the parameter `node` is given, only this node is
    /// possible. Otherwise, the function searches all current nodes. Nodes for people have priority over
    /// automatic nodes. After that, nodes for which `fits` returns true have priority.
    fn node_to_act(
        &self,
        node: Option<NodeId>,
        by: &PersonId,
        fits: impl Fn(&NodeRun) -> bool,
    ) -> Decision<NodeId> {
        self.opened()?;
        if self.status.is_over() {
            return reject(Rejection::Ended);
        }
        let id = match node {
            Some(id) => id,
            None => match self
                .current()
                .filter(|(_, node_run)| self.may_act(node_run, by))
                .min_by_key(|(id, node_run)| (node_run.automatic, !fits(node_run), *id))
            {
                Some((id, _)) => id,
                None => return reject(Rejection::NotAllowedOnTicket(by.clone())),
            },
        };
        self.check_node(id)?;
        if self
            .nodes
            .get(&id)
            .is_some_and(|node_run| self.may_act(node_run, by))
        {
            Ok(id)
        } else {
            reject(Rejection::NotAllowed {
                by: by.clone(),
                node: id,
            })
        }
    }
}

/// Checks that the person may open a new ticket. A workflow can limit the people who may open tickets.
fn may_submit(
    definition: &Definition,
    submit: &Node,
    open: &Open,
    form: &[Entry],
    context: &Context,
) -> Decision<()> {
    // Only these four kinds of rules can limit the people who open tickets. Most other kinds of rules need
    // data of an existing ticket, such as its creator, and a new ticket has no such data.
    let is_restricted = matches!(
        &submit.processors,
        Processors::Person(_)
            | Processors::General(_)
            | Processors::Organization(_)
            | Processors::Business(_)
    );
    if !is_restricted || submit.processors.is_unconfigured() {
        return Ok(());
    }
    let mut ticket = Ticket::default();
    ticket.fill(form);
    let run = Run::new(&ticket, definition, context);
    let people = run.resolve(&submit.processors);
    run.check_complete()?;
    let by = open.agent.as_ref().unwrap_or(&open.creator);
    if people.contains(by) {
        Ok(())
    } else {
        reject(Rejection::MayNotSubmit {
            by: by.clone(),
            node: submit.name.clone(),
        })
    }
}

/// Returns an error if one of the new processors (people who shall act at the node) has already voted at this
/// node. Each person may vote only once.
fn check_not_voted(node_run: &NodeRun, people: &[PersonId]) -> Decision<()> {
    let voted: Vec<PersonId> = people
        .iter()
        .filter(|pid| node_run.has_voted(pid))
        .cloned()
        .collect();
    if voted.is_empty() {
        Ok(())
    } else {
        reject(Rejection::AlreadyDecided(voted))
    }
}
