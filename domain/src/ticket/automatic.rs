//! Implements the commands for automatic nodes (reference/bk-itsm.md 8). The commands store the results of
//! API calls. After a failed API call, people can repeat or skip the node, or choose a transition.

use std::collections::BTreeMap;

use events::ticket::{NodeResultReceived, NodeRetried, NodeStatus, TicketEvent, TransitionTaken};
use events::workflow::{Definition, Node};
use events::{Entry, NodeId, PersonId, TransitionId};

use super::command::NodeResult;
use super::engine::{Run, Step};
use super::{
    Context, Decision, FieldAt, Invalid, NodeRun, Rejection, Status, Ticket, check_message, form,
    reject,
};
use crate::api_call::plan;
use crate::workflow::{is_of_the_ticket, output_keys};

/// Maximum length of one value that a person enters for a repeated API call, in characters.
pub const INPUT_MAX: usize = 10_000;

impl Ticket {
    /// Stores and applies the result of an API call, if the node waits for this result. If the ticket is
    /// suspended or is a child ticket, the result is only stored, and the desk applies the result later.
    pub(super) fn record_result(
        &self,
        result: &NodeResult,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let definition = &workflow.definition;
        let node_run = self.nodes.get(&result.node).filter(|node_run| {
            node_run.automatic
                && node_run.status == NodeStatus::Running
                && node_run.pending_result.is_none()
        });
        let is_expected = node_run.is_some_and(|node_run| {
            node_run.round == result.round && node_run.attempt == result.attempt
        });
        let Some(node) = definition
            .node(result.node)
            .filter(|_| is_expected && !self.status.is_over())
        else {
            return reject(Rejection::ResultNotExpected);
        };
        let mut run = Run::new(self, definition, context);
        let NodeResult {
            round,
            attempt,
            succeeded,
            outputs,
            task,
            reason,
            ..
        } = result.clone();
        run.emit(NodeResultReceived {
            node: node.id,
            name: node.name.clone(),
            round,
            attempt,
            succeeded,
            outputs: outputs.clone(),
            task,
            reason: reason.clone(),
        });
        // A suspended ticket or a child ticket does not move through its workflow, so the result of the API
        // call is only stored. The desk applies the stored result when the ticket is resumed or is no child
        // any more.
        if self.status != Status::Suspended && self.parent().is_none() {
            run.apply_result(node, succeeded, outputs, &reason)?;
        }
        run.done()
    }

    /// Returns true if a node waits for people in the given execution (`round`) of the node. Returns false if
    /// the people have completed their work and only a transition is missing. Also returns false if the ticket
    /// is a child ticket, because a child ticket does not move through its workflow.
    pub fn waits_for_people(&self, id: NodeId, round: u32) -> bool {
        let waits = |node_run: &NodeRun| {
            matches!(
                node_run.status,
                NodeStatus::Distributing | NodeStatus::Receiving | NodeStatus::Running
            ) && node_run.round == round
                && !node_run.automatic
        };
        !self.status.is_over() && self.parent().is_none() && self.nodes.get(&id).is_some_and(waits)
    }

    /// Completes a node at which people act, because the desk has done the work of the node. A node at which
    /// people vote is never completed by the desk.
    pub(super) fn fulfill(
        &self,
        id: NodeId,
        round: u32,
        given: &[Entry],
        remark: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let definition = &workflow.definition;
        let node = definition.node(id).filter(|node| {
            self.waits_for_people(id, round) && node.kind.is_for_people() && !node.kind.is_vote()
        });
        let Some(node) = node else {
            return reject(Rejection::ResultNotExpected);
        };
        self.check_node(id)?;
        self.check_not_suspended()?;
        let opened = self.opened()?;
        let mut form = given.to_vec();
        form::with_defaults(definition, node, &mut form, self);
        let input = form::FormInput {
            ticket: &opened.sn,
            definition,
            node,
            current: self,
            by: &[],
        };
        let form = form::check(&input, &form, context)?;
        let form = form::set_owner(definition, form, &opened.creator, opened.seals_text);
        let mut run = Run::new(self, definition, context);
        let next = run.complete(node, &PersonId::system(), None, form, self.remark(remark)?);
        run.advance(next)?;
        run.done()
    }

    /// Applies the stored results of API calls. The results arrived while the ticket was suspended or was a
    /// child ticket.
    pub(super) fn apply_pending_results<'a>(
        &self,
        run: &mut Run<'a>,
        definition: &'a Definition,
    ) -> Decision<()> {
        for (id, node_run) in &self.nodes {
            if let (Some(pending), Some(node)) = (&node_run.pending_result, definition.node(*id)) {
                run.apply_result(
                    node,
                    pending.succeeded,
                    pending.outputs.clone(),
                    &pending.reason,
                )?;
            }
        }
        Ok(())
    }

    pub(super) fn retry(
        &self,
        id: NodeId,
        by: &PersonId,
        inputs: &BTreeMap<String, String>,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let (node, node_run) = self.failed_node(&workflow.definition, id, by, context)?;
        self.check_inputs(&workflow.definition, node, inputs)?;
        check_message(reason)?;
        let (node, name, by, attempt, inputs) = (
            id,
            node.name.clone(),
            by.clone(),
            node_run.attempt + 1,
            inputs.clone(),
        );
        Ok(vec![
            NodeRetried {
                node,
                name,
                by,
                attempt,
                inputs,
                reason: self.remark(reason)?,
            }
            .into(),
        ])
    }

    /// Checks the values that a person enters for a repeated API call. A value may replace only a placeholder
    /// of the service task (the work of the automatic node). The ledger (the store of all events) contains
    /// these values as plain text, so values for ticket attributes, people and personal fields are rejected.
    fn check_inputs(
        &self,
        definition: &Definition,
        node: &Node,
        inputs: &BTreeMap<String, String>,
    ) -> Decision<()> {
        let allowed = node
            .service_task
            .as_deref()
            .map(plan::asks_for)
            .unwrap_or_default();
        let seals_text = self.opened.as_ref().is_some_and(|opened| opened.seals_text);
        for (key, value) in inputs {
            let field = definition.field(key.strip_suffix("__display").unwrap_or(key));
            if !allowed.contains(key) || is_of_the_ticket(key) {
                return reject(Rejection::FieldUnknown(key.clone()));
            }
            // The ledger (the store of all events) contains the values for a repeated API call as plain text.
            // Names of people and personal values must never be in the ledger as plain text, so such values
            // are rejected here.
            let names_people = field.is_some_and(|field| field.kind.names_people())
                || definition.approver_keys().any(|known| known == key);
            if names_people || field.is_some_and(|field| form::is_creator_owned(field, seals_text))
            {
                return reject(Rejection::NotEditable(key.clone()));
            }
            if value.chars().count() > INPUT_MAX {
                let at = FieldAt {
                    key: key.clone(),
                    name: field.map_or_else(|| key.clone(), |field| field.name.clone()),
                };
                return reject(Rejection::FieldInvalid {
                    at,
                    reason: Invalid::TooLong(INPUT_MAX),
                });
            }
        }
        Ok(())
    }

    pub(super) fn ignore(
        &self,
        id: NodeId,
        by: &PersonId,
        outputs: &BTreeMap<String, String>,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let (node, _) = self.failed_node(&workflow.definition, id, by, context)?;
        check_message(reason)?;
        let known = output_keys(node);
        if let Some(key) = outputs.keys().find(|key| !known.contains(key)) {
            return reject(Rejection::FieldUnknown(key.clone()));
        }
        let mut run = Run::new(self, &workflow.definition, context);
        let next = run.skip(node, by, self.remark(reason)?, None, outputs.clone());
        run.advance(next)?;
        run.done()
    }

    /// Moves the ticket along a transition that a manager (a superuser or a service owner) chose. A manager
    /// may choose a transition only if all conditions were false and the ticket waits at the node.
    pub(super) fn route(
        &self,
        id: NodeId,
        by: &PersonId,
        transition: TransitionId,
        reason: &str,
        context: &Context,
    ) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(context)?;
        let definition = &workflow.definition;
        self.check_node(id)?;
        self.check_not_suspended()?;
        if !self.manages(by, context)? {
            return reject(Rejection::NotAllowedOnTicket(by.clone()));
        }
        let Some(node_run) = self
            .nodes
            .get(&id)
            .filter(|node_run| node_run.status == NodeStatus::Failed)
        else {
            return reject(Rejection::NotFailed(crate::workflow::named(definition, id)));
        };
        let Some(transition) = definition
            .transitions
            .iter()
            .find(|other| other.id == transition && other.from == id)
        else {
            return reject(Rejection::TransitionUnknown {
                transition,
                node: id,
            });
        };
        check_message(reason)?;
        let reason = self.remark(reason)?;
        let mut run = Run::new(self, definition, context);
        if definition
            .node(id)
            .is_some_and(|node| node.kind == events::workflow::NodeKind::Parallel)
        {
            run.emit(events::ticket::BranchesStarted {
                node: id,
                name: node_run.name.clone(),
                branches: vec![transition.id],
            });
        }
        run.emit(TransitionTaken {
            transition: transition.id,
            name: transition.name.clone(),
            from: transition.from,
            to: transition.to,
            tested: Vec::new(),
            by: Some(by.clone()),
            reason,
        });
        run.advance(vec![Step::Follow(transition)])?;
        run.done()
    }

    /// Returns the automatic node with the given id. Rejects the command if this node has not failed or if the
    /// ticket is suspended. Only processors of the node (people who may act), superusers and service owners
    /// may send the command.
    fn failed_node<'a>(
        &'a self,
        definition: &'a Definition,
        id: NodeId,
        by: &PersonId,
        context: &Context,
    ) -> Decision<(&'a Node, &'a NodeRun)> {
        self.check_node(id)?;
        let (Some(node_run), Some(node)) = (self.nodes.get(&id), definition.node(id)) else {
            return reject(Rejection::NodeUnknown(id));
        };
        if !node_run.is_failed_call() {
            return reject(Rejection::NotFailed(node_run.name.clone()));
        }
        if !node_run.processors.contains(by) && !self.manages(by, context)? {
            return reject(Rejection::NotAllowed {
                by: by.clone(),
                node: id,
            });
        }
        self.check_not_suspended()?;
        Ok((node, node_run))
    }
}
