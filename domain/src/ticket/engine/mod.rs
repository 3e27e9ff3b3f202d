//! Implements the workflow engine, which moves a ticket from node to node. For each command, the engine
//! enters, completes and leaves nodes. The engine stops when a person or an API call must act.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use events::ticket::{
    BranchJoined, BranchesStarted, Closed, Finished, NodeClaimed, NodeCompleted, NodeEntered,
    NodeFailed, NodeSkipped, NodeStatus, Priority, PriorityChanged, ProcessorsMissing, StatusSet,
    Terminated, TicketEvent, TransitionMissing, TransitionTaken, VoteCast,
};
use events::workflow::service_task::{Executor, ServiceTask};
use events::workflow::{
    Definition, FieldKind, Handling, Holds, Node, NodeKind, Processors, Transition,
};
use events::{Entry, NodeId, PersonId, Remark, TransitionId};

use super::{
    Context, Decision, Lookup, REMARK_MAX, ROUNDS_MAX, Rejection, Status, Ticket, form, priority,
    reject,
};
use crate::condition::{self, Found};
use crate::decider::{DecideError, Decider};
use crate::user_name::is_blank;
use crate::value::{people, plain};
use crate::workflow::parallel_regions::{Areas, parallel_regions};

/// The reason text of an automatic approval. If a workflow has the setting for automatic approvals, the desk
/// approves on behalf of a creator who is an approver (reference/bk-itsm.md 5.5).
pub const AUTO_PASS: &str = "检测到当前处理人包含提单人，系统自动过单";
/// The reason text that the desk stores when it skips a node without processors (people who may act at the
/// node).
pub const SKIPPED_WITHOUT_PROCESSORS: &str = "当前节点处理人为空，系统自动跳过";
/// Number of milliseconds in one day.
const DAY_MS: i64 = 86_400_000;

/// One execution of the workflow engine for one command. The engine applies each new event to the member
/// `ticket` immediately, because the next step needs the new state of the ticket.
pub(super) struct Run<'a> {
    ticket: Ticket,
    definition: &'a Definition,
    context: &'a Context,
    events: Vec<TicketEvent>,
    /// Inputs from other streams that the engine needs but that the member `context` does not contain. The
    /// engine collects all missing inputs in one execution and then discards the new events. The caller loads
    /// the missing inputs and repeats the command.
    missing: RefCell<BTreeSet<Lookup>>,
    /// The number of times that this command has entered each node. The desk automatically skips or approves
    /// a node only if the command enters the node for the first time. This rule prevents endless loops.
    entered: BTreeMap<NodeId, u32>,
    parallel_regions: Option<Areas>,
}

/// One step of the engine: the ticket leaves a node, or follows a transition to the next node.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    Leave(&'a Node),
    Follow(&'a Transition),
}

/// The keys of form fields that change attributes of the ticket, such as its title. The text of such a field
/// is never used as the reason of a vote.
const IS_NO_REASON: [&str; 5] = ["title", "current_status", "impact", "urgency", "priority"];

/// The changes of the ticket's status and priority that follow from the values in a form.
pub(super) struct Effect {
    status: String,
    changes_priority: bool,
    /// The key of the priority that a person chose in the form. `None` if the person chose no priority.
    priority: Option<String>,
}

impl Effect {
    pub(super) fn of(form: &[Entry]) -> Self {
        let value = |key: &str| {
            form.iter()
                .find(|entry| entry.key == key)
                .map(|entry| plain(entry.read()))
        };
        Self {
            status: value("current_status").unwrap_or_default(),
            changes_priority: form
                .iter()
                .any(|entry| matches!(entry.key.as_str(), "impact" | "urgency" | "priority")),
            priority: value("priority").filter(|key| !key.is_empty()),
        }
    }
}

type Steps<'a> = Decision<Vec<Step<'a>>>;

impl<'a> Run<'a> {
    pub(super) fn new(ticket: &Ticket, definition: &'a Definition, context: &'a Context) -> Self {
        Self {
            ticket: ticket.clone(),
            definition,
            context,
            events: Vec::new(),
            missing: RefCell::default(),
            entered: BTreeMap::new(),
            parallel_regions: None,
        }
    }

    pub(super) fn emit(&mut self, event: impl Into<TicketEvent>) {
        let event = event.into();
        self.ticket.evolve(&event);
        self.events.push(event);
    }

    /// Returns all new events of this execution of the engine. Returns an error if the engine needed inputs
    /// from other streams that the caller did not give. The error lists all missing inputs.
    pub(super) fn done(self) -> Decision<Vec<TicketEvent>> {
        let missing = self.missing.into_inner();
        if missing.is_empty() {
            Ok(self.events)
        } else {
            Err(DecideError::Needs(missing.into_iter().collect()))
        }
    }

    /// Returns an error if the engine needs inputs from other streams that the caller did not give. Without
    /// these inputs, the engine can select too few people for a node. Callers therefore make this check before
    /// they reject a command because of the selected people.
    pub(super) fn check_complete(&self) -> Decision<()> {
        let missing = self.missing.borrow();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(DecideError::Needs(missing.iter().cloned().collect()))
        }
    }

    /// Executes the given steps and all steps that follow from these steps. At parallel branches, the engine
    /// executes all steps of one branch before the first step of the next branch.
    pub(super) fn advance(&mut self, steps: Vec<Step<'a>>) -> Decision<()> {
        let mut open: Vec<Step<'a>> = steps.into_iter().rev().collect();
        while let Some(step) = open.pop() {
            if self.ticket.status.is_over() {
                break;
            }
            let next = match step {
                Step::Leave(node) => self.leave(node),
                Step::Follow(transition) => {
                    let node = self
                        .definition
                        .node(transition.to)
                        .expect("a deployed transition leads to a node");
                    self.enter(node, transition)?
                }
            };
            open.extend(next.into_iter().rev());
        }
        Ok(())
    }

    /// Enters the submit node (the node with the form that opens a ticket), and completes this node with the
    /// form that the creator filled in.
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
            executor: Executor::ApiCall,
            is_vote: false,
            is_sequential: false,
        });
        let next = self.complete(submit, &creator, None, form, Remark::default());
        self.advance(next)
    }

    /// Stores one vote. If the vote decides the result of the node, the engine completes the node and
    /// continues with the next node (reference/bk-itsm.md 6).
    pub(super) fn vote(
        &mut self,
        node: &'a Node,
        by: &PersonId,
        form: Vec<Entry>,
        reason: Option<&str>,
    ) -> Decision<()> {
        let pass = form::decision(self.definition, node, &form).unwrap_or_default();
        let effect = Effect::of(&form);
        let reason = self.reason(node, pass, &form, reason)?;
        self.emit(VoteCast {
            node: node.id,
            name: node.name.clone(),
            by: by.clone(),
            pass,
            form,
            automatic: false,
            reason,
        });
        self.apply_effect(&effect, node.id);
        if self.ticket.status.is_over() {
            return Ok(());
        }
        let next = self.settle(node, by);
        let next = if next.is_empty() {
            self.pass_for_creator(node)
        } else {
            next
        };
        self.advance(next)
    }

    /// Returns the reason of a vote. The parameter `pass` is true for an approval. The parameter `given` is a
    /// reason that is already known, such as the reason in the command. If `given` is `None`, the reason
    /// comes from a text field of the form. If the form contains the reason as a personal (encrypted) value,
    /// the returned reason is also personal.
    fn reason(
        &self,
        node: &Node,
        pass: bool,
        form: &[Entry],
        given: Option<&str>,
    ) -> Decision<Remark> {
        // A form for votes has two text fields (reference/bk-itsm.md 3.11). The required field contains the
        // reason of a rejection, and the optional field contains the remark for an approval. The sort moves
        // the field for this kind of vote to the first position.
        let mut texts: Vec<_> = self
            .definition
            .fields_of(node)
            .filter(|field| field.kind.is_prose() && !IS_NO_REASON.contains(&field.key.as_str()))
            .collect();
        texts.sort_by_key(|field| (field.kind == FieldKind::String, field.is_required == pass));
        let filled = texts
            .iter()
            .filter_map(|field| form.iter().find(|entry| entry.key == field.key));
        let fits = |text: &str| {
            !is_blank(text)
                && given.is_none_or(|given| given == text)
                && text.chars().count() <= REMARK_MAX
        };
        let reason = filled
            .map(|entry| (entry, plain(entry.read())))
            .find(|(_, text)| fits(text));
        match reason {
            Some((entry, text)) => Ok(Remark {
                text: if entry.personal.is_some() {
                    String::new()
                } else {
                    text
                },
                personal: entry.personal.clone(),
            }),
            None => self.ticket.remark(given.unwrap_or_default()),
        }
    }

    /// Completes the node if the votes decide the result of the node. Returns the next steps of the engine.
    /// If further votes are necessary, the node waits, and the function returns an empty list.
    fn settle(&mut self, node: &'a Node, by: &PersonId) -> Vec<Step<'a>> {
        let Some(node_run) = self.ticket.nodes.get(&node.id) else {
            return Vec::new();
        };
        let holds = |counters: &BTreeMap<&str, String>| {
            let find = |key: &str| {
                counters
                    .get(key)
                    .map_or(Found::Absent, |text| Found::Value(text.clone().into()))
            };
            node.finish_condition.as_ref().is_some_and(|condition| {
                condition::holds(condition, TransitionId(0), &find, &mut Vec::new())
            })
        };
        let counters = self.counters(node.id);
        let is_met = is_multi(node) && holds(&counters);
        if is_multi(node) && !node_run.waiting_for().is_empty() && !is_met {
            return Vec::new();
        }
        // Normally, one rejection is enough to reject the whole node. The node is approved despite a rejection
        // if its finish condition (a condition on the vote counts) is true even without the rejections.
        let zero = ["REJECT_COUNT", "REJECT_RATE"].map(|key| (key, "0".to_owned()));
        let counters_of_passes = || {
            counters
                .iter()
                .map(|(key, text)| (*key, text.clone()))
                .chain([("PROCESS_COUNT", counters["PASS_COUNT"].clone())])
                .chain(zero)
                .collect()
        };
        let pass =
            node_run.votes.iter().all(|vote| vote.pass) || (is_met && holds(&counters_of_passes()));
        let result = (node.kind == NodeKind::Approval).then_some(pass);
        let reason = node_run
            .votes
            .last()
            .map(|vote| vote.reason.clone())
            .filter(|reason| !reason.is_empty())
            .unwrap_or_else(|| Remark::new("rejected"));
        let next = self.complete(node, by, result, Vec::new(), Remark::default());
        if !pass && node.terminate_when_rejected {
            self.emit(Terminated {
                by: by.clone(),
                node: Some(node.id),
                node_name: node.name.clone(),
                reason,
                approve_result: false,
            });
            return Vec::new();
        }
        next
    }

    /// Casts an approval vote for the creator of the ticket, and returns the next steps of the engine. The
    /// vote is cast only if two conditions are true: the creator may vote now, and the workflow counts the
    /// submission of a ticket as an approval.
    fn pass_for_creator(&mut self, node: &'a Node) -> Vec<Step<'a>> {
        let creator = self.creator();
        let is_next_voter = |run: &Self| {
            let node_run = run.ticket.nodes.get(&node.id)?;
            let is_next = !node.is_sequential || node_run.waiting_for().first() == Some(&creator);
            Some(
                node_run.status == NodeStatus::Running
                    && node_run.waiting_for().contains(&creator)
                    && is_next,
            )
        };
        // If another person submitted the ticket on behalf of the creator, the submission is not an approval
        // by the creator.
        let is_on_behalf = self
            .ticket
            .opened
            .as_ref()
            .is_some_and(|opened| opened.agent.is_some());
        if is_on_behalf
            || !self.definition.is_auto_approve
            || node.kind != NodeKind::Approval
            || self.entries(node) > 1
            || is_next_voter(self) != Some(true)
        {
            return Vec::new();
        }
        let form = form::decided(self.definition, node, true, AUTO_PASS);
        let form = self.set_owner(form);
        let reason = self
            .reason(node, true, &form, Some(AUTO_PASS))
            .unwrap_or_default();
        self.emit(VoteCast {
            node: node.id,
            name: node.name.clone(),
            by: creator.clone(),
            pass: true,
            form,
            automatic: true,
            reason,
        });
        self.settle(node, &creator)
    }

    fn set_owner(&self, form: Vec<Entry>) -> Vec<Entry> {
        match &self.ticket.opened {
            Some(opened) => {
                form::set_owner(self.definition, form, &opened.creator, opened.seals_text)
            }
            None => form,
        }
    }

    /// Returns the number of times that the current command has entered the node.
    fn entries(&self, node: &Node) -> u32 {
        self.entered.get(&node.id).copied().unwrap_or_default()
    }

    /// Completes a node. Returns the next step of the engine: the ticket leaves this node.
    pub(super) fn complete(
        &mut self,
        node: &'a Node,
        by: &PersonId,
        pass: Option<bool>,
        form: Vec<Entry>,
        reason: Remark,
    ) -> Vec<Step<'a>> {
        let outputs = self.outputs(node, pass);
        let round = self
            .ticket
            .nodes
            .get(&node.id)
            .map_or(1, |node_run| node_run.round);
        let effect = Effect::of(&form);
        self.emit(NodeCompleted {
            node: node.id,
            name: node.name.clone(),
            round,
            by: by.clone(),
            pass,
            form,
            outputs,
            reason,
        });
        self.apply_effect(&effect, node.id);
        vec![Step::Leave(node)]
    }

    /// Changes the status and the priority of the ticket according to a submitted form. A form can contain
    /// fields for these two values at every node (reference/bk-itsm.md 5.1).
    fn apply_effect(&mut self, effect: &Effect, node: NodeId) {
        self.update_priority(effect);
        self.set_status(&effect.status, node);
    }

    /// Updates the priority of the ticket after a form was submitted. If the form contains no priority, the
    /// priority is computed from the impact and the urgency.
    pub(super) fn update_priority(&mut self, effect: &Effect) {
        let Some(opened) = self
            .ticket
            .opened
            .as_ref()
            .filter(|_| effect.changes_priority)
        else {
            return;
        };
        let chosen = effect.priority.clone();
        let Ok(service) = self.context.known_service(opened.service) else {
            self.missing
                .borrow_mut()
                .insert(Lookup::Service(opened.service));
            return;
        };
        let value = |key: &str| {
            self.ticket
                .form
                .get(key)
                .map(|entry| plain(entry.read()))
                .filter(|text| !text.is_empty())
        };
        let (impact, urgency) = (value("impact"), value("urgency"));
        let priority = match chosen {
            Some(key) => Some(Priority {
                key,
                impact: impact.unwrap_or_default(),
                urgency: urgency.unwrap_or_default(),
            }),
            None => priority(
                service.and_then(|service| service.priorities.as_ref()),
                impact,
                urgency,
            ),
        };
        if let Some(priority) = priority.filter(|priority| self.ticket.priority() != Some(priority))
        {
            self.emit(PriorityChanged { priority });
        }
    }

    /// Ends the ticket with a final status. If `approve_result` is `None`, the function computes the result.
    /// In this case, the ticket is approved only if all of these conditions are true:
    ///
    /// - The final status is "finished".
    /// - No completed approval node was rejected.
    /// - The votes at all current nodes are complete and without a rejection.
    pub(super) fn close(
        &mut self,
        by: PersonId,
        status: &str,
        reason: Remark,
        approve_result: Option<bool>,
    ) {
        let finished = status == Status::Finished.key();
        let approve_result = approve_result
            .unwrap_or_else(|| finished && self.approve_result() && self.all_votes_pass());
        let rate_by = match self.rate_by() {
            Ok(rate_by) => rate_by.filter(|_| finished),
            Err(DecideError::Needs(lookups)) => {
                self.missing.borrow_mut().extend(lookups);
                None
            }
            Err(DecideError::Rejected(_)) => None,
        };
        self.emit(Closed {
            by,
            status: status.to_owned(),
            reason,
            approve_result,
            rate_by,
        });
    }

    /// Sets the status that the ticket displays. If this status is a final status, the function ends the
    /// ticket.
    fn set_status(&mut self, status: &str, node: NodeId) {
        if status.is_empty() || self.ticket.status_key() == status {
            return;
        }
        if Status::ending(status).is_some() {
            self.close(PersonId::system(), status, Remark::default(), None);
        } else {
            self.emit(StatusSet {
                status: status.to_owned(),
                node,
            });
        }
    }

    /// Leaves a node along the first transition that has a true condition, and returns the next steps of the
    /// engine. The default transition (the transition without a condition) is tested last. At a parallel
    /// gateway (a node at which branches begin), the ticket follows every transition that has a true
    /// condition. If no transition is possible, the node waits for a person.
    fn leave(&mut self, node: &'a Node) -> Vec<Step<'a>> {
        let mut tested = Vec::new();
        let mut taken: Vec<(&'a Transition, Vec<events::ticket::Tested>)> = Vec::new();
        let definition: &'a Definition = self.definition;
        for transition in definition.transitions_from(node.id) {
            let mut trace = Vec::new();
            let holds = transition.condition.as_ref().is_none_or(|condition| {
                condition::holds(
                    condition,
                    transition.id,
                    &|key| find(&self.ticket, key),
                    &mut trace,
                )
            });
            tested.extend(trace.clone());
            if holds {
                taken.push((transition, trace));
                if node.kind != NodeKind::Parallel {
                    break;
                }
            }
        }
        if taken.is_empty() {
            self.emit(TransitionMissing {
                node: node.id,
                name: node.name.clone(),
                tested,
            });
            return Vec::new();
        }
        if node.kind == NodeKind::Parallel {
            self.emit(BranchesStarted {
                node: node.id,
                name: node.name.clone(),
                branches: taken.iter().map(|(transition, _)| transition.id).collect(),
            });
        } else {
            taken[0].1 = tested;
        }
        for (transition, tested) in &taken {
            self.emit(TransitionTaken {
                transition: transition.id,
                name: transition.name.clone(),
                from: transition.from,
                to: transition.to,
                tested: tested.clone(),
                by: None,
                reason: Remark::default(),
            });
        }
        taken
            .into_iter()
            .map(|(transition, _)| Step::Follow(transition))
            .collect()
    }

    fn enter(&mut self, node: &'a Node, transition: &'a Transition) -> Steps<'a> {
        *self.entered.entry(node.id).or_default() += 1;
        let round = self
            .ticket
            .nodes
            .get(&node.id)
            .map_or(0, |node_run| node_run.round)
            + 1;
        if round > ROUNDS_MAX {
            return reject(Rejection::TooManyRounds(node.id));
        }
        self.set_status(&node.status_on_entry, node.id);
        if self.ticket.status.is_over() {
            return Ok(Vec::new());
        }
        match node.kind {
            NodeKind::Start | NodeKind::Router | NodeKind::Parallel => Ok(vec![Step::Leave(node)]),
            NodeKind::Coverage => Ok(self.join(node, transition)),
            NodeKind::End => {
                let rate_by = self.rate_by()?;
                let approve_result = self.approve_result();
                self.emit(Finished {
                    approve_result,
                    rate_by,
                });
                Ok(Vec::new())
            }
            NodeKind::Task | NodeKind::Sops | NodeKind::Webhook => {
                self.enter_automatic(node, round);
                Ok(Vec::new())
            }
            NodeKind::Manual | NodeKind::Approval | NodeKind::Sign => {
                Ok(self.enter_for_people(node, round))
            }
        }
    }

    /// Stores that a branch has reached its join node (the node at which parallel branches end). If all
    /// branches have arrived, the function returns the next step of the engine: the ticket leaves the join
    /// node. Otherwise the function returns an empty list.
    fn join(&mut self, node: &'a Node, transition: &Transition) -> Vec<Step<'a>> {
        let definition = self.definition;
        let parallel_regions = self
            .parallel_regions
            .get_or_insert_with(|| parallel_regions(definition).unwrap_or_default());
        let Some(fork) = parallel_regions
            .joins
            .iter()
            .find(|(_, join)| **join == node.id)
            .map(|(fork, _)| *fork)
        else {
            return vec![Step::Leave(node)];
        };
        let branch = if transition.from == fork {
            Some(transition.id)
        } else {
            parallel_regions
                .branch_of(transition.from)
                .map(|branch| branch.transition)
        };
        let Some(branch) = branch else {
            return vec![Step::Leave(node)];
        };
        let waiting_for: Vec<TransitionId> = self
            .ticket
            .forks
            .get(&fork)
            .into_iter()
            .flatten()
            .filter(|other| **other != branch)
            .copied()
            .collect();
        let is_last = waiting_for.is_empty();
        self.emit(BranchJoined {
            node: node.id,
            name: node.name.clone(),
            fork,
            branch,
            waiting_for,
        });
        if is_last {
            vec![Step::Leave(node)]
        } else {
            Vec::new()
        }
    }

    /// Returns the approval result of the whole ticket. The result is true if no completed approval node was
    /// rejected (reference/bk-itsm.md 6).
    fn approve_result(&self) -> bool {
        self.ticket
            .nodes
            .values()
            .all(|node_run| node_run.pass != Some(false))
    }

    /// Returns true if the votes at all current nodes (nodes that are not finished) lead to an approval. All
    /// necessary votes must exist, and no vote may be a rejection.
    fn all_votes_pass(&self) -> bool {
        self.ticket
            .current()
            .filter(|(_, node_run)| node_run.is_vote)
            .all(|(id, node_run)| {
                let is_settled = match self.definition.node(id) {
                    Some(node) if is_multi(node) => node_run.waiting_for().is_empty(),
                    _ => !node_run.votes.is_empty(),
                };
                is_settled && node_run.votes.iter().all(|vote| vote.pass)
            })
    }

    /// Returns the time at which the desk will rate the ticket automatically. Returns `None` if the service
    /// has no setting for an automatic rating.
    fn rate_by(&self) -> Decision<Option<events::Moment>> {
        let Some(opened) = &self.ticket.opened else {
            return Ok(None);
        };
        let days = self
            .context
            .known_service(opened.service)?
            .and_then(|service| service.rate_after_days);
        days.map(|days| Ok(self.context.now()?.at.plus_ms(i64::from(days) * DAY_MS)))
            .transpose()
    }

    /// Enters an automatic node (a node at which the desk does the work). The event `NodeEntered` stores the
    /// people who may act if the node fails. The engine selects these people when the ticket enters the node,
    /// not when the node fails.
    fn enter_automatic(&mut self, node: &Node, round: u32) {
        let processors = self.resolve(&node.processors);
        self.emit(NodeEntered {
            node: node.id,
            name: node.name.clone(),
            round,
            status: NodeStatus::Running,
            processors_type: stored_type(&node.processors).into(),
            processors,
            automatic: true,
            executor: node
                .service_task
                .as_deref()
                .map(ServiceTask::executor)
                .unwrap_or_default(),
            is_vote: false,
            is_sequential: false,
        });
        if node.service_task.is_none() {
            self.emit(NodeFailed {
                node: node.id,
                name: node.name.clone(),
                round,
                reason: "the node has no service task".into(),
            });
        }
    }

    fn complete_or_fail(
        &mut self,
        node: &'a Node,
        succeeded: bool,
        outputs: BTreeMap<String, String>,
        reason: &str,
    ) -> Vec<Step<'a>> {
        let round = self
            .ticket
            .nodes
            .get(&node.id)
            .map_or(1, |node_run| node_run.round);
        if !succeeded {
            self.emit(NodeFailed {
                node: node.id,
                name: node.name.clone(),
                round,
                reason: reason.to_owned(),
            });
            return Vec::new();
        }
        let (by, form, reason) = (PersonId::system(), Vec::new(), Remark::default());
        self.emit(NodeCompleted {
            node: node.id,
            name: node.name.clone(),
            round,
            by,
            pass: None,
            form,
            outputs,
            reason,
        });
        vec![Step::Leave(node)]
    }

    /// Applies the result of an API call to the automatic node that made the call. If the next node already
    /// has the maximum number of executions, the ticket cannot enter this next node. The automatic node then
    /// fails and waits for a person. In this case, the engine does not reject the result, because people would
    /// not notice the rejection.
    pub(super) fn apply_result(
        &mut self,
        node: &'a Node,
        succeeded: bool,
        outputs: BTreeMap<String, String>,
        reason: &str,
    ) -> Decision<()> {
        let (ticket, events) = (self.ticket.clone(), self.events.len());
        let next = self.complete_or_fail(node, succeeded, outputs, reason);
        match self.advance(next) {
            Err(DecideError::Rejected(Rejection::TooManyRounds(_))) => {
                self.ticket = ticket;
                self.events.truncate(events);
                drop(self.complete_or_fail(
                    node,
                    false,
                    BTreeMap::new(),
                    &format!("the node has run {ROUNDS_MAX} times"),
                ));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Skips a node. Returns the next step of the engine: the ticket leaves this node.
    pub(super) fn skip(
        &mut self,
        node: &'a Node,
        by: &PersonId,
        reason: Remark,
        pass: Option<bool>,
        outputs: BTreeMap<String, String>,
    ) -> Vec<Step<'a>> {
        let round = self
            .ticket
            .nodes
            .get(&node.id)
            .map_or(1, |node_run| node_run.round);
        self.emit(NodeSkipped {
            node: node.id,
            name: node.name.clone(),
            round,
            by: by.clone(),
            reason,
            pass,
            outputs,
        });
        vec![Step::Leave(node)]
    }

    /// Enters a node at which people act. The engine selects the processors (the people who may act) and
    /// stores them in the event `NodeEntered`. Later changes of the configuration do not change these people.
    fn enter_for_people(&mut self, node: &'a Node, round: u32) -> Vec<Step<'a>> {
        let submit = self.definition.submit_node().map(|submit| submit.id);
        let chosen = self
            .ticket
            .opened
            .as_ref()
            .and_then(|opened| opened.chosen_processors.get(&node.id))
            .cloned();
        let handling = if node.kind.is_vote() {
            Handling::Process
        } else {
            node.handling
        };
        let (status, processors_type, processors) = match (chosen, handling) {
            // The submit node contains the form of the creator. A ticket enters this node again only if the
            // ticket is sent back to the creator. The creator must then submit the form again.
            _ if Some(node.id) == submit => (NodeStatus::Running, "PERSON", vec![self.creator()]),
            (Some(people), Handling::Process) => (NodeStatus::Running, "PERSON", people),
            (_, Handling::Process) => (
                NodeStatus::Running,
                stored_type(&node.processors),
                self.resolve(&node.processors),
            ),
            (_, Handling::ClaimThenProcess) => (
                NodeStatus::Receiving,
                stored_type(&node.processors),
                self.resolve(&node.processors),
            ),
            (_, Handling::DistributeThenProcess | Handling::DistributeThenClaim) => (
                NodeStatus::Distributing,
                stored_type(&node.assignors),
                self.resolve(&node.assignors),
            ),
        };
        let is_unassigned = processors.is_empty() && processors_type != "OPEN";
        let only_processor = (status == NodeStatus::Receiving && processors.len() == 1)
            .then(|| processors[0].clone());
        self.emit(NodeEntered {
            node: node.id,
            name: node.name.clone(),
            round,
            status,
            processors_type: processors_type.into(),
            processors,
            automatic: false,
            executor: Executor::ApiCall,
            is_vote: node.kind.is_vote(),
            is_sequential: is_multi(node) && node.is_sequential,
        });
        if is_unassigned && node.is_allow_skip && self.entries(node) <= 1 {
            let pass = (node.kind == NodeKind::Approval).then_some(true);
            let outputs = self.outputs(node, pass);
            return self.skip(
                node,
                &PersonId::system(),
                Remark::new(SKIPPED_WITHOUT_PROCESSORS),
                pass,
                outputs,
            );
        }
        if is_unassigned {
            self.emit(ProcessorsMissing {
                node: node.id,
                name: node.name.clone(),
            });
        }
        if let Some(by) = only_processor {
            self.emit(NodeClaimed {
                node: node.id,
                name: node.name.clone(),
                by,
                automatic: true,
                reason: Remark::default(),
            });
        }
        self.pass_for_creator(node)
    }

    /// Returns the people that a processor rule (a rule for the people who act at a node) selects, in order
    /// and without duplicates. If the rule needs an input from another stream that the caller did not give,
    /// the function adds this input to `missing`.
    pub(super) fn resolve(&self, processors: &Processors) -> Vec<PersonId> {
        let need = |lookup: Lookup| {
            self.missing.borrow_mut().insert(lookup);
            Vec::new()
        };
        let mut people = match processors {
            Processors::Person(people) => people.clone(),
            Processors::Starter => vec![self.creator()],
            Processors::General(roles) if roles.is_empty() => match &self.context.general_roles {
                Some(roles) => self.members(roles),
                None => need(Lookup::GeneralRoles),
            },
            Processors::General(roles) => self.members(roles),
            Processors::Variable(keys) => self.people_in_fields(keys),
            Processors::StarterLeader => self.leaders(&[self.creator()]),
            Processors::NodeLeader(node) => {
                let last = self.ticket.nodes.get(node).and_then(|node_run| {
                    node_run
                        .votes
                        .last()
                        .map(|vote| vote.by.clone())
                        .or_else(|| node_run.by.clone())
                });
                self.leaders(last.as_slice())
            }
            Processors::VariableLeader(keys) => {
                self.leaders(self.people_in_fields(keys).get(..1).unwrap_or_default())
            }
            Processors::Organization(key) => match self.context.departments.get(key) {
                Some(members) => members.clone(),
                None => need(Lookup::Department(key.clone())),
            },
            Processors::Business(roles) => {
                let business = self.ticket.bk_biz_id();
                let holders = |role: &String| match self
                    .context
                    .business_roles
                    .get(&(business, role.clone()))
                {
                    Some(holders) => holders.clone(),
                    None => need(Lookup::BusinessRole(business, role.clone())),
                };
                if business == -1 {
                    Vec::new()
                } else {
                    roles.iter().flat_map(holders).collect()
                }
            }
            Processors::Open
            | Processors::ByAssignor
            | Processors::Empty
            | Processors::Iam(_)
            | Processors::Api => Vec::new(),
        };
        let mut seen = BTreeSet::new();
        people.retain(|pid| seen.insert(pid.clone()));
        people
    }

    /// Returns the people whom a form field contains. The parameter `keys` lists the possible fields in
    /// order. Only the first field that contains people is used.
    fn people_in_fields(&self, keys: &[String]) -> Vec<PersonId> {
        let filled = keys
            .iter()
            .filter_map(|key| self.ticket.form.get(key))
            .map(|entry| people(entry.read()));
        filled
            .into_iter()
            .find(|people| !people.is_empty())
            .unwrap_or_default()
    }

    /// Returns the leaders of the given people, without duplicates. If the caller did not give the leader of
    /// a person, the function adds the missing input to `missing`.
    pub(super) fn leaders(&self, people: &[PersonId]) -> Vec<PersonId> {
        let mut leaders = Vec::new();
        for pid in people {
            match self.context.leaders.get(pid) {
                Some(Some(leader)) if !leaders.contains(leader) => leaders.push(leader.clone()),
                Some(_) => {}
                None => drop(
                    self.missing
                        .borrow_mut()
                        .insert(Lookup::Leader(pid.clone())),
                ),
            }
        }
        leaders
    }

    /// Returns the people that the rule `to` selects as new processors of a node. Accepts only a list of
    /// people, a list of roles, the creator or a department. Rejects a rule that selects no people.
    pub(super) fn targets(&self, to: &Processors) -> Decision<Vec<PersonId>> {
        if !matches!(
            to,
            Processors::Person(_)
                | Processors::General(_)
                | Processors::Starter
                | Processors::Organization(_)
        ) {
            return reject(Rejection::TargetKindNotAllowed);
        }
        let people = if *to == Processors::General(Vec::new()) {
            Vec::new()
        } else {
            self.resolve(to)
        };
        self.check_complete()?;
        if people.is_empty() {
            reject(Rejection::NoProcessorGiven)
        } else {
            Ok(people)
        }
    }

    fn members(&self, roles: &[events::RoleId]) -> Vec<PersonId> {
        let mut members = Vec::new();
        for role in roles {
            match self.context.roles.get(role) {
                Some(people) => members.extend(people.iter().cloned()),
                None => drop(self.missing.borrow_mut().insert(Lookup::Role(*role))),
            }
        }
        members
    }

    fn creator(&self) -> PersonId {
        self.ticket
            .opened
            .as_ref()
            .map(|opened| opened.creator.clone())
            .unwrap_or_default()
    }

    /// Returns the vote counters of a node. Each key of the map is the code of a counter, such as
    /// `PASS_COUNT`. The counters `PASS_RATE` and `REJECT_RATE` are percentages of all processors (people who
    /// may act) of the node.
    fn counters(&self, id: NodeId) -> BTreeMap<&'static str, String> {
        let Some(node_run) = self.ticket.nodes.get(&id) else {
            return BTreeMap::new();
        };
        let percent = |votes: usize| {
            f64::from(u32::try_from(votes).unwrap_or(u32::MAX)) * 100.0
                / f64::from(u32::try_from(node_run.processors.len().max(1)).unwrap_or(u32::MAX))
        };
        let pass = node_run.votes.iter().filter(|vote| vote.pass).count();
        let reject = node_run.votes.len() - pass;
        BTreeMap::from([
            ("PROCESS_COUNT", node_run.votes.len().to_string()),
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
                let votes = self.ticket.nodes.get(&node.id).map(|node_run| {
                    node_run
                        .votes
                        .iter()
                        .map(|vote| vote.by.0.clone())
                        .collect::<Vec<_>>()
                });
                votes.map(|voters| voters.join(","))
            }
            Holds::ProcessCount => counters.get("PROCESS_COUNT").cloned(),
            Holds::PassCount => counters.get("PASS_COUNT").cloned(),
            Holds::RejectCount => counters.get("REJECT_COUNT").cloned(),
            Holds::PassRate => counters.get("PASS_RATE").cloned(),
            Holds::RejectRate => counters.get("REJECT_RATE").cloned(),
        };
        node.outputs
            .iter()
            .filter_map(|output| Some((output.key.clone(), value(output.holds)?)))
            .collect()
    }
}

/// Returns true if all processors (people who may act) must vote before the result of the node is decided.
/// Returns false if the first vote decides the result.
pub(super) fn is_multi(node: &Node) -> bool {
    node.is_multi || node.kind == NodeKind::Sign
}

/// Returns the value of a key for a condition. The function searches the output variables (values that
/// completed or skipped nodes have set) first, then the form, and then the attributes of the ticket.
pub(super) fn find(ticket: &Ticket, key: &str) -> Found {
    if let Some(text) = ticket.outputs.get(key) {
        return Found::Value(text.clone().into());
    }
    // The key `ticket_title` means the form field `title`. The value of this field can be personal
    // (encrypted).
    let key = if key == "ticket_title" { "title" } else { key };
    match ticket.form.get(key) {
        None => {
            ticket_attribute(ticket, key).map_or(Found::Absent, |text| Found::Value(text.into()))
        }
        Some(entry) if entry.is_erased() => Found::Erased,
        Some(entry) if entry.personal.is_some() => Found::Personal(entry.read().clone()),
        Some(entry) => Found::Value(entry.read().clone()),
    }
}

/// Returns the value of a ticket attribute that is stored in the ticket itself, such as `ticket_sn`. Returns
/// `None` for any other key.
fn ticket_attribute(ticket: &Ticket, key: &str) -> Option<String> {
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

/// Returns the type that events store for a processor rule (a rule for the people who act at a node). If the
/// desk stores the selected people instead of the rule, the type is `PERSON` (reference/bk-itsm.md 9).
fn stored_type(processors: &Processors) -> &'static str {
    match processors {
        Processors::Starter
        | Processors::Variable(_)
        | Processors::StarterLeader
        | Processors::NodeLeader(_)
        | Processors::VariableLeader(_) => "PERSON",
        other => other.kind(),
    }
}
