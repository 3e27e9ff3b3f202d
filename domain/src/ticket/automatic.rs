//! Nodes where the desk acts outside: what their calls came to, and what people do where they fail (reference/bk-itsm.md 8).

use std::collections::BTreeMap;

use events::ticket::{CallAnswered, LineTaken, NodeRetried, NodeStatus, TicketEvent};
use events::workflow::{Definition, Node};
use events::{LineId, NodeId, Pid};

use super::command::Answer;
use super::run::{Run, Step, output_keys};
use super::{Decision, Facts, FieldAt, Rejection, Status, Ticket, Visit, form, reject, within_message};
use crate::call::plan;
use crate::workflow::is_of_the_ticket;

/// Longest value that somebody may give for one call, in characters.
pub const INPUT_MAX: usize = 10_000;

impl Ticket {
    /// Takes the answer of a call that is waited for. While the ticket stands still, the answer is kept and nothing follows from it.
    pub(super) fn answer(&self, answer: &Answer, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let definition = &workflow.definition;
        let visit = self.nodes.get(&answer.node).filter(|visit| visit.automatic && visit.status == NodeStatus::Running && visit.kept.is_none());
        let is_awaited = visit.is_some_and(|visit| visit.round == answer.round && visit.attempt == answer.attempt);
        let Some(node) = definition.node(answer.node).filter(|_| is_awaited && !self.status.is_over()) else { return reject(Rejection::AnswerLate) };
        let mut run = Run::new(self, definition, facts);
        let Answer { round, attempt, succeeded, outputs, task, reason, .. } = answer.clone();
        run.emit(CallAnswered { node: node.id, name: node.name.clone(), round, attempt, succeeded, outputs: outputs.clone(), task, reason: reason.clone() });
        // A child follows its parent, and goes on by itself only when it is one no more.
        if self.status != Status::Suspended && self.parent().is_none() {
            run.follow(node, succeeded, outputs, &reason)?;
        }
        run.done()
    }

    /// Lets everything follow that was kept while the ticket stood still.
    pub(super) fn catch_up<'a>(&self, run: &mut Run<'a>, definition: &'a Definition) -> Decision<()> {
        for (id, visit) in &self.nodes {
            if let (Some(kept), Some(node)) = (&visit.kept, definition.node(*id)) {
                run.follow(node, kept.succeeded, kept.outputs.clone(), &kept.reason)?;
            }
        }
        Ok(())
    }

    pub(super) fn retry(&self, id: NodeId, by: &Pid, inputs: &BTreeMap<String, String>, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, visit) = self.failed(&workflow.definition, id, by, facts)?;
        self.within_the_call(&workflow.definition, node, inputs)?;
        within_message(reason)?;
        let (node, name, by, attempt, inputs) = (id, node.name.clone(), by.clone(), visit.attempt + 1, inputs.clone());
        Ok(vec![NodeRetried { node, name, by, attempt, inputs, reason: self.remark(reason)? }.into()])
    }

    /// What may be given for one call: values its templates ask for, but neither what the ticket itself says nor people nor what is somebody's own, which a call would
    /// keep in the open.
    fn within_the_call(&self, definition: &Definition, node: &Node, inputs: &BTreeMap<String, String>) -> Decision<()> {
        let asked = node.outside.as_deref().map(plan::asks_for).unwrap_or_default();
        let seals_text = self.opened.as_ref().is_some_and(|opened| opened.seals_text);
        for (key, value) in inputs {
            let field = definition.field(key.strip_suffix("__display").unwrap_or(key));
            if !asked.contains(key) || is_of_the_ticket(key) {
                return reject(Rejection::FieldUnknown(key.clone()));
            }
            // A name would stand in the ledger for ever.
            let is_of_people = field.is_some_and(|field| field.kind.names_people()) || definition.approver_keys().any(|known| known == key);
            if is_of_people || field.is_some_and(|field| form::is_own(field, seals_text)) {
                return reject(Rejection::NotEditable(key.clone()));
            }
            if value.chars().count() > INPUT_MAX {
                let at = FieldAt { key: key.clone(), name: field.map_or_else(|| key.clone(), |field| field.name.clone()) };
                return reject(Rejection::FieldInvalid { at, reason: format!("is longer than {INPUT_MAX} characters") });
            }
        }
        Ok(())
    }

    pub(super) fn ignore(&self, id: NodeId, by: &Pid, outputs: &BTreeMap<String, String>, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let (node, _) = self.failed(&workflow.definition, id, by, facts)?;
        within_message(reason)?;
        let known = output_keys(node);
        if let Some(key) = outputs.keys().find(|key| !known.contains(key)) {
            return reject(Rejection::FieldUnknown(key.clone()));
        }
        let mut run = Run::new(self, &workflow.definition, facts);
        let next = run.skip(node, by, self.remark(reason)?, None, outputs.clone());
        run.go(next)?;
        run.done()
    }

    /// Takes the line a manager picks where none held.
    pub(super) fn route(&self, id: NodeId, by: &Pid, line: LineId, reason: &str, facts: &Facts) -> Decision<Vec<TicketEvent>> {
        let workflow = self.workflow(facts)?;
        let definition = &workflow.definition;
        self.check_node(id)?;
        self.standing()?;
        if !self.manages(by, facts)? {
            return reject(Rejection::NotAllowedOnTicket(by.clone()));
        }
        let Some(visit) = self.nodes.get(&id).filter(|visit| visit.status == NodeStatus::Failed) else {
            return reject(Rejection::NotFailed(crate::workflow::named(definition, id)));
        };
        let Some(line) = definition.lines.iter().find(|other| other.id == line && other.from == id) else {
            return reject(Rejection::LineUnknown { line, node: id });
        };
        within_message(reason)?;
        let reason = self.remark(reason)?;
        let mut run = Run::new(self, definition, facts);
        if definition.node(id).is_some_and(|node| node.kind == events::workflow::NodeKind::Parallel) {
            run.emit(events::ticket::Forked { node: id, name: visit.name.clone(), branches: vec![line.id] });
        }
        run.emit(LineTaken { line: line.id, name: line.name.clone(), from: line.from, to: line.to, tested: Vec::new(), by: Some(by.clone()), reason });
        run.go(vec![Step::Follow(line)])?;
        run.done()
    }

    /// The automatic node that failed, for those who may act on it: its processors and managers.
    fn failed<'a>(&'a self, definition: &'a Definition, id: NodeId, by: &Pid, facts: &Facts) -> Decision<(&'a Node, &'a Visit)> {
        self.check_node(id)?;
        let (Some(visit), Some(node)) = (self.nodes.get(&id), definition.node(id)) else { return reject(Rejection::NodeUnknown(id)) };
        if !visit.is_failed_call() {
            return reject(Rejection::NotFailed(visit.name.clone()));
        }
        if !visit.processors.contains(by) && !self.manages(by, facts)? {
            return reject(Rejection::NotAllowed { by: by.clone(), node: id });
        }
        self.standing()?;
        Ok((node, visit))
    }
}
