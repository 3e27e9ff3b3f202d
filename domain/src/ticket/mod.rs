//! Implements the ticket aggregate. The function `decide` checks commands and returns events, and `evolve`
//! applies events to the state of a ticket.
//!
//! The types are in the modules [`command`], [`rejection`], [`state`] and [`context`]. [`node_actions`]
//! contains the actions of people at a node, and [`lifecycle`] contains the operations on a whole ticket.
//! [`collaboration`] contains remarks, followers, ratings and links. [`automatic`] stores the results of API
//! calls. [`form`] checks forms, and [`engine`] moves a ticket through its workflow. [`import_row`] imports
//! rows from the log of another system.

mod automatic;
mod collaboration;
mod command;
mod context;
mod engine;
pub mod form;
mod import_row;
mod lifecycle;
mod node_actions;
mod rejection;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use events::ticket::{NodeStatus, Opened, Priority, TicketEvent};
use events::workflow::{Definition, Deployed, Node, NodeKind, Revoke};
use events::{Entry, NodeId, PersonId, Personal, Remark};

use crate::decider::{Decider, StreamRole};
use crate::permission::{AccessRequest, Operation, Relation, Relations};
use crate::user_name::is_blank;
use crate::value::{people, plain};
pub use automatic::INPUT_MAX;
pub use command::{Command, NodeResult, Open};
pub use context::{Context, Lookup, Now, Permissions};
pub(crate) use context::{Decision, reject};
pub use engine::{AUTO_PASS, SKIPPED_WITHOUT_PROCESSORS};
pub use import_row::Observation;
pub use rejection::{FieldAt, Invalid, Rejection};
pub use state::{Action, Link, NodeRun, PendingResult, Status, Ticket, Vote};

/// Maximum length of a title, in characters. BlueKing ITSM rejects longer titles too
/// (reference/bk-itsm.md 3.1).
pub const TITLE_MAX: usize = 128;
/// Maximum length of the message or reason of an operation, in characters (reference/bk-itsm.md
/// 3.9).
pub const MESSAGE_MAX: usize = 255;
/// Maximum length of a remark, in characters. The same limit applies to the reason of a vote.
pub const REMARK_MAX: usize = 5000;
/// Maximum number of followers of one ticket.
pub const FOLLOWERS_MAX: usize = 1000;
/// Maximum number of links from one ticket to other tickets.
pub const LINKS_MAX: usize = 200;
/// Maximum number of times that one ticket may execute the same node. A command that would exceed this limit
/// is rejected.
pub const ROUNDS_MAX: u32 = 1_000;

impl Decider for Ticket {
    type Command = Command;
    type Event = TicketEvent;
    type Rejection = Rejection;
    type Context = Context;
    type Lookup = Lookup;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Open(_))
    }

    fn decide(&self, command: &Command, context: &Context) -> Decision<Vec<TicketEvent>> {
        let events = match command {
            Command::Open(open) => self.open(open, context),
            Command::ImportRow(rows) => self.import_rows(rows),
            Command::Submit {
                node,
                by,
                form,
                reason,
            } => self.submit(*node, by, form, reason, context),
            Command::Decide {
                node,
                by,
                pass,
                remark,
            } => self.decide_at(*node, by, *pass, remark, context),
            Command::Claim { node, by, reason } => self.claim(*node, by, reason, context),
            Command::Assign {
                node,
                by,
                to,
                message,
            } => self.assign(*node, by, to, message, context),
            Command::Transfer {
                node,
                by,
                to,
                message,
            } => self.transfer(*node, by, to, message, context),
            Command::Reassign {
                node,
                by,
                to,
                message,
            } => self.reassign(*node, by, to, message, context),
            Command::TerminateAt { node, by, reason } => {
                self.terminate_at(*node, by, reason, context)
            }
            Command::Acknowledge { node, by, reason } => {
                self.acknowledge(*node, by, reason, context)
            }
            Command::Resolve { by, form, remark } => self.resolve(by, form, remark, context),
            Command::Escalate { node, by, reason } => self.escalate(*node, by, reason, context),
            Command::Suspend { by, reason } => self.suspend(by, reason, context),
            Command::Resume { by, reason } => self.resume(by, reason, context),
            Command::Withdraw { by, reason } => self.withdraw(by, reason, context),
            Command::Terminate { by, reason } => self.terminate(by, reason, context),
            Command::Close { by, status, reason } => self.close(by, status, reason, context),
            Command::EditField { by, form } => self.edit_field(by, form, context),
            Command::EndWithParent {
                parent,
                status,
                approve_result,
            } => self.end_with_parent(parent, status, *approve_result, context),
            Command::RecordResult(result) => self.record_result(result, context),
            Command::Fulfill {
                node,
                round,
                form,
                remark,
            } => self.fulfill(*node, *round, form, remark, context),
            Command::Retry {
                node,
                by,
                inputs,
                reason,
            } => self.retry(*node, by, inputs, reason, context),
            Command::Ignore {
                node,
                by,
                outputs,
                reason,
            } => self.ignore(*node, by, outputs, reason, context),
            Command::Route {
                node,
                by,
                transition,
                reason,
            } => self.route(*node, by, *transition, reason, context),
            Command::Remark {
                by,
                text,
                parent,
                mentions,
                internal,
                files,
            } => self.remark_on(by, text, *parent, (mentions, files), *internal, context),
            Command::Follow {
                by,
                people,
                follows,
                app_may_read,
            } => self.follow(by, people, *follows, *app_may_read, context),
            Command::Rate { by, stars, comment } => self.rate(by, *stars, comment),
            Command::Remind { by, message } => self.remind(by, message, context),
            Command::Link {
                by,
                other,
                relation,
                mirror,
            } => self.link(by, other, *relation, *mirror, context),
            Command::Unlink { by, other, mirror } => self.unlink(by, other, *mirror, context),
        }?;
        // The ledger (the store of all events) contains ids of people instead of names. A person without an id
        // cannot be stored, so the command is rejected. This check is last, because all other rejections have
        // priority.
        match self.unregistered_person(command, context) {
            Some(person) => reject(Rejection::UnknownPerson(person)),
            None => Ok(events),
        }
    }

    fn evolve(&mut self, event: &TicketEvent) {
        if let Some(by) = event.handled_by().filter(|by| !by.is_system()) {
            self.handled.insert(by.clone());
        }
        if let Some(by) = event.acted_by().filter(|by| !by.is_system()) {
            self.acted.insert(by.clone());
        }
        match event {
            TicketEvent::Opened(opened) => {
                self.status = Status::Running;
                self.opened = Some(opened.clone());
            }
            TicketEvent::RowImported(row) => {
                self.status = Status::RowImported;
                self.observation.get_or_insert_default().apply(row);
            }
            TicketEvent::NodeEntered(entered) => {
                let mut node_run = NodeRun::new(
                    &entered.name,
                    entered.round,
                    entered.status,
                    &entered.processors_type,
                    &entered.processors,
                );
                node_run.automatic = entered.automatic;
                node_run.executor = entered.executor;
                node_run.is_vote = entered.is_vote;
                node_run.is_sequential = entered.is_sequential;
                node_run.attempt = u32::from(entered.automatic);
                self.nodes.insert(entered.node, node_run);
            }
            TicketEvent::NodeClaimed(claimed) => self.node_run(claimed.node, |node_run| {
                node_run.status = NodeStatus::Running;
                node_run.processors_type = "PERSON".into();
                node_run.processors = vec![claimed.by.clone()];
            }),
            TicketEvent::NodeAssigned(assigned) => self.node_run(assigned.node, |node_run| {
                node_run.status = assigned.status;
                node_run
                    .processors_type
                    .clone_from(&assigned.processors_type);
                node_run.processors.clone_from(&assigned.processors);
            }),
            TicketEvent::NodeTransferred(transferred) => {
                self.node_run(transferred.node, |node_run| {
                    node_run.processors = match &transferred.replaces {
                        None => transferred.processors.clone(),
                        Some(replaced) => replace_processor(
                            &node_run.processors,
                            replaced,
                            &transferred.processors,
                        ),
                    };
                    node_run
                        .processors_type
                        .clone_from(&transferred.processors_type);
                });
            }
            TicketEvent::VoteCast(vote) => {
                self.fill(&vote.form);
                self.node_run(vote.node, |node_run| {
                    node_run.votes.push(Vote {
                        by: vote.by.clone(),
                        pass: vote.pass,
                        reason: vote.reason.clone(),
                    });
                });
            }
            TicketEvent::NodeCompleted(completed) => {
                self.fill(&completed.form);
                self.outputs.extend(completed.outputs.clone());
                self.node_run(completed.node, |node_run| {
                    node_run.status = NodeStatus::Finished;
                    node_run.pass = completed.pass;
                    node_run.by = Some(completed.by.clone());
                    node_run.message.clone_from(&completed.reason);
                    node_run.pending_result = None;
                });
                if let Some(node_run) = self
                    .nodes
                    .get(&completed.node)
                    .filter(|node_run| node_run.is_vote)
                {
                    self.last_approvers =
                        node_run.votes.iter().map(|vote| vote.by.clone()).collect();
                }
            }
            // If the member `by` is set, no transition had a true condition, and the manager `by` chose the
            // transition. The work at the node that the ticket leaves is then complete.
            TicketEvent::TransitionTaken(taken) => match self.nodes.get_mut(&taken.from) {
                Some(node_run) if taken.by.is_some() => node_run.status = NodeStatus::Finished,
                Some(_) => {}
                None => drop(self.passed.insert(taken.from)),
            },
            // No transition had a true condition, so people must vote or submit a form again. The old votes
            // are removed from the state and must not count again. The events still contain the old votes.
            TicketEvent::TransitionMissing(missing) => {
                let node_run = self
                    .nodes
                    .entry(missing.node)
                    .or_insert_with(|| NodeRun::new(&missing.name, 1, NodeStatus::Failed, "", &[]));
                node_run.status = NodeStatus::Failed;
                node_run.votes.clear();
            }
            TicketEvent::BranchesStarted(started) => {
                drop(self.forks.insert(started.node, started.branches.clone()));
            }
            TicketEvent::BranchJoined(joined) => {
                self.passed.insert(joined.node);
                if joined.waiting_for.is_empty() {
                    self.forks.remove(&joined.fork);
                } else {
                    self.forks.insert(joined.fork, joined.waiting_for.clone());
                }
            }
            TicketEvent::NodeResultReceived(received) => self.node_run(received.node, |node_run| {
                node_run.task.clone_from(&received.task);
                node_run.pending_result = Some(PendingResult {
                    succeeded: received.succeeded,
                    outputs: received.outputs.clone(),
                    reason: received.reason.clone(),
                });
            }),
            TicketEvent::NodeFailed(failed) => self.node_run(failed.node, |node_run| {
                node_run.status = NodeStatus::Failed;
                node_run.reason.clone_from(&failed.reason);
                node_run.pending_result = None;
            }),
            TicketEvent::NodeRetried(retried) => self.node_run(retried.node, |node_run| {
                node_run.status = NodeStatus::Running;
                node_run.attempt = retried.attempt;
                node_run.reason = String::new();
            }),
            TicketEvent::NodeSkipped(skipped) => {
                self.outputs.extend(skipped.outputs.clone());
                self.node_run(skipped.node, |node_run| {
                    node_run.status = NodeStatus::Finished;
                    node_run.pass = skipped.pass;
                    node_run.by = Some(skipped.by.clone());
                    node_run.message.clone_from(&skipped.reason);
                });
            }
            TicketEvent::NodeReassigned(reassigned) => self.node_run(reassigned.node, |node_run| {
                if !node_run.automatic && node_run.status != NodeStatus::Failed {
                    node_run.status = NodeStatus::Running;
                }
                node_run
                    .processors_type
                    .clone_from(&reassigned.processors_type);
                // People who have already voted remain processors of the node (people who may act at the
                // node). Vote rates are percentages of all processors, so these people must be counted.
                node_run
                    .processors
                    .retain(|pid| node_run.votes.iter().any(|vote| vote.by == *pid));
                node_run
                    .processors
                    .extend(reassigned.processors.iter().cloned());
            }),
            TicketEvent::ProcessorsMissing(_) | TicketEvent::Reminded(_) => {}
            TicketEvent::StatusSet(set) => self.shown.clone_from(&set.status),
            TicketEvent::Closed(closed) => self.end(
                Status::ending(&closed.status).unwrap_or(Status::Terminated),
                closed.approve_result,
            ),
            TicketEvent::FieldsChanged(changed) => self.fill(&changed.form),
            TicketEvent::PriorityChanged(changed) => self.priority = Some(changed.priority.clone()),
            TicketEvent::RemarkAdded(added) => {
                self.remarks = self.remarks.max(added.id);
                self.attachments.extend(added.files.iter().cloned());
            }
            TicketEvent::FollowersChanged(changed) => {
                self.followers.retain(|pid| !changed.people.contains(pid));
                self.invited.retain(|pid| !changed.people.contains(pid));
                if changed.follows {
                    self.followers.extend(changed.people.iter().cloned());
                }
                if changed.invited {
                    self.invited.extend(changed.people.iter().cloned());
                }
            }
            TicketEvent::Rated(rated) => self.stars = Some(rated.stars),
            TicketEvent::Linked(linked) => self.links.push(Link {
                other: linked.other.clone(),
                relation: linked.relation,
            }),
            TicketEvent::Unlinked(unlinked) => {
                self.links.retain(|link| link.other != unlinked.other);
            }
            TicketEvent::Acknowledged(acknowledged) => {
                self.node_run(acknowledged.node, |node_run| {
                    node_run
                        .acknowledged
                        .get_or_insert_with(|| acknowledged.by.clone());
                });
            }
            TicketEvent::Escalated(escalated) => self.node_run(escalated.node, |node_run| {
                node_run.level = escalated.level;
                node_run.processors_type = "PERSON".into();
                let new = escalated
                    .processors
                    .iter()
                    .filter(|pid| !node_run.processors.contains(pid))
                    .cloned()
                    .collect::<Vec<_>>();
                node_run.processors.extend(new);
            }),
            TicketEvent::Suspended(_) => self.status = Status::Suspended,
            TicketEvent::Resumed(_) => self.status = Status::Running,
            TicketEvent::Withdrawn(withdrawn) => {
                self.end(Status::Revoked, withdrawn.approve_result);
            }
            TicketEvent::Terminated(terminated) => {
                self.end(Status::Terminated, terminated.approve_result);
            }
            TicketEvent::Finished(finished) => self.end(Status::Finished, finished.approve_result),
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let of_nodes = self.nodes.values_mut().flat_map(|node_run| {
            let of_votes = node_run
                .votes
                .iter_mut()
                .filter_map(|vote| vote.reason.personal.as_mut());
            of_votes.chain(&mut node_run.message.personal)
        });
        self.form
            .values_mut()
            .filter_map(|entry| entry.personal.as_mut())
            .chain(of_nodes)
            .collect()
    }
}

impl Ticket {
    /// Returns a person in the command who has no person id. Returns `None` if all people have ids. The
    /// function ignores the people of a new ticket, because these people get ids only after the desk has
    /// tested whether the ticket is accepted.
    fn unregistered_person(&self, command: &Command, context: &Context) -> Option<PersonId> {
        let workflow = self.workflow(context).ok();
        let of_people = |entry: &&Entry| {
            let field = workflow
                .as_ref()
                .and_then(|workflow| workflow.definition.field(&entry.key));
            !matches!(command, Command::Open(_))
                && field.is_some_and(|field| field.kind.names_people())
        };
        let in_form = command
            .form()
            .iter()
            .filter(of_people)
            .flat_map(|entry| people(&entry.value));
        command
            .people()
            .cloned()
            .chain(in_form)
            .find(PersonId::is_unknown)
    }

    /// Returns the nodes that are not finished, with the state of each node. Returns no nodes after the
    /// ticket has ended.
    pub fn current(&self) -> impl Iterator<Item = (NodeId, &NodeRun)> {
        let is_over = self.status.is_over();
        self.nodes
            .iter()
            .filter(move |(_, node_run)| !is_over && node_run.is_current())
            .map(|(id, node_run)| (*id, node_run))
    }

    /// Returns true if the workflow still allows the withdrawal of the ticket (reference/bk-itsm.md 5.5).
    /// Another function checks whether the person may withdraw the ticket.
    pub fn is_withdrawable(&self, definition: &Definition) -> bool {
        let submit = definition.submit_node().map(|node| node.id);
        let start = definition
            .nodes
            .iter()
            .find(|node| node.kind == NodeKind::Start)
            .map(|node| node.id);
        !self.status.is_over()
            && match definition.revoke {
                Revoke::Never => false,
                Revoke::Always => true,
                Revoke::BeforeNode(node) => {
                    !self.nodes.contains_key(&node) && !self.passed.contains(&node)
                }
                Revoke::BeforeHandled => {
                    let is_at_submit = self.current().any(|(id, _)| Some(id) == submit);
                    // A node counts as handled after a vote, after a submitted form or after a failure. An
                    // automatic node always counts as handled. A claim or a transfer does not count.
                    let is_unhandled = |node_run: &NodeRun| {
                        node_run.is_current()
                            && node_run.votes.is_empty()
                            && node_run.status != NodeStatus::Failed
                            && !node_run.automatic
                    };
                    let is_start = |id: &NodeId| Some(*id) == submit || Some(*id) == start;
                    is_at_submit
                        || self
                            .nodes
                            .iter()
                            .all(|(id, node_run)| is_start(id) || is_unhandled(node_run))
                }
            }
    }

    /// Returns true if the given person may act at this node. Either the node is open to every person, or the
    /// person is a processor (a person selected for the node) who has not voted yet.
    pub fn may_act(&self, node_run: &NodeRun, by: &PersonId) -> bool {
        node_run.is_open_to_all() || (node_run.processors.contains(by) && !node_run.has_voted(by))
    }

    /// Returns the status of the ticket as the text that the APIs return. A node can set its own status text
    /// for a running ticket. In this case, the function returns the text of the node.
    pub fn status_key(&self) -> &str {
        if self.status == Status::Running && !self.shown.is_empty() {
            &self.shown
        } else {
            self.status.key()
        }
    }

    /// Returns the current priority of the ticket. Returns `None` if the ticket has no priority.
    pub fn priority(&self) -> Option<&Priority> {
        self.priority
            .as_ref()
            .or_else(|| self.opened.as_ref()?.priority.as_ref())
    }

    /// Returns the value of `bk_biz_id`: the id of the business (an organizational unit in BlueKing) to which
    /// the ticket belongs. Returns -1 if the ticket belongs to no business. If the form and the event `Opened`
    /// both contain an id, the id in the form is used.
    pub fn bk_biz_id(&self) -> i64 {
        let filled = self
            .form
            .get("bk_biz_id")
            .and_then(|entry| plain(entry.read()).parse().ok());
        filled.unwrap_or_else(|| self.opened.as_ref().map_or(-1, |opened| opened.bk_biz_id))
    }

    /// Returns the ticket number of the parent. Returns `None` if the ticket is not a child.
    pub fn parent(&self) -> Option<&events::TicketSn> {
        self.links
            .iter()
            .find(|link| link.relation == events::ticket::Relation::ChildOf)
            .map(|link| &link.other)
    }

    pub fn title(&self) -> String {
        self.form
            .get("title")
            .map(|entry| plain(entry.read()))
            .unwrap_or_default()
    }

    /// Returns the deployed workflow version that this ticket uses.
    pub fn workflow(&self, context: &Context) -> Decision<Arc<Deployed>> {
        let opened = self.opened()?;
        context.workflow(opened.workflow, opened.workflow_version)
    }

    /// Rejects a command for a node if the node does not exist or is finished. Also rejects the command if
    /// the ticket has ended or is a child of another ticket.
    pub fn check_node(&self, id: NodeId) -> Decision<()> {
        self.opened()?;
        if self.status.is_over() {
            return reject(Rejection::Ended);
        }
        self.check_not_child()?;
        match self.nodes.get(&id) {
            None => reject(Rejection::NodeUnknown(id)),
            Some(node_run) if !node_run.is_current() => reject(Rejection::NodeFinished(id)),
            Some(_) => Ok(()),
        }
    }

    /// Checks that the person `by` may execute the action at the node with the given id, and returns this
    /// node. The order of the checks is the order in reference/bk-itsm.md 3.9.
    fn check_action<'a>(
        &'a self,
        definition: &'a Definition,
        id: NodeId,
        by: &PersonId,
        action: Action,
    ) -> Decision<(&'a Node, &'a NodeRun)> {
        self.check_node(id)?;
        let (Some(node_run), Some(node)) = (self.nodes.get(&id), definition.node(id)) else {
            return reject(Rejection::NodeUnknown(id));
        };
        let is_next = !(engine::is_multi(node) && node.is_sequential)
            || node_run.waiting_for().first() == Some(by);
        let action_fits = match node.kind {
            // At a node with votes, only the order of the voters is checked here. The function that casts the
            // vote makes all other checks.
            kind if kind.is_vote() => is_next,
            _ => node_run.is_open_to_all() || action.fits(node_run.status),
        };
        // People cannot submit a form at an automatic node. If an automatic node fails, people use other
        // commands, such as `Retry`.
        if !self.may_act(node_run, by)
            || !action_fits
            || node_run.automatic
            || !node.kind.is_for_people()
        {
            return reject(Rejection::NotAllowed {
                by: by.clone(),
                node: id,
            });
        }
        self.check_not_suspended()?;
        Ok((node, node_run))
    }

    /// Rejects an operation if the ticket is a child of another ticket. A child ticket ends together with its
    /// parent.
    fn check_not_child(&self) -> Decision<()> {
        if self.parent().is_some() {
            reject(Rejection::IsChild)
        } else {
            Ok(())
        }
    }

    /// Rejects an operation while the ticket is suspended.
    fn check_not_suspended(&self) -> Decision<()> {
        if self.status == Status::Suspended {
            reject(Rejection::Suspended)
        } else {
            Ok(())
        }
    }

    /// Checks that the person `by` is a current processor (a person who may act at a node), a service owner or
    /// a superuser. Only these people may suspend, resume or terminate the ticket (reference/bk-itsm.md 3.10).
    fn may_manage(&self, by: &PersonId, context: &Context) -> Decision<()> {
        self.opened()?;
        let is_processor = self
            .current()
            .any(|(_, node_run)| node_run.processors.contains(by));
        if is_processor || self.manages(by, context)? {
            Ok(())
        } else {
            reject(Rejection::NotAllowedOnTicket(by.clone()))
        }
    }

    /// Returns true if the person `by` may act as a manager of the ticket. The permission policies decide this
    /// ([`Operation::ManageTicket`]).
    fn manages(&self, by: &PersonId, context: &Context) -> Decision<bool> {
        self.may(Operation::ManageTicket, by, context)
    }

    /// Returns true if the person `by` may take part in the ticket. The permission policies decide this
    /// ([`Operation::TakePart`]).
    fn may_take_part(&self, by: &PersonId, context: &Context) -> Decision<bool> {
        self.may(Operation::TakePart, by, context)
    }

    /// Returns true if the permission policies permit the operation on this ticket to the person `by`.
    ///
    /// A further relation never removes a permission. The services, roles and superusers are therefore read only
    /// if the relations that the ticket itself contains do not permit the operation.
    pub fn may(&self, operation: Operation, by: &PersonId, context: &Context) -> Decision<bool> {
        let service = self.opened()?.service;
        let permits = |relations| {
            context.permits(AccessRequest {
                operation,
                relations,
            })
        };
        let mut relations = self.relations(by);
        if matches!(
            operation,
            Operation::ReadInternalRemarks | Operation::ReadExecution
        ) {
            relations = relations.with_if(Relation::Worker, self.is_worker(by, context)?);
        }
        if permits(relations)? {
            return Ok(true);
        }
        if let Some(service) = context.known_service(service)? {
            relations = relations
                .with_if(Relation::ServiceOwner, service.owners.contains(by))
                .with_if(
                    Relation::ServiceReader,
                    context.is_member(by, &service.readers)?,
                );
        }
        if permits(relations)? {
            return Ok(true);
        }
        permits(relations.with_if(Relation::Superuser, context.is_superuser(by)?))
    }

    /// Returns the relations between the person `by` and the ticket that the events of the ticket contain.
    pub fn relations(&self, by: &PersonId) -> Relations {
        let is_creator = self
            .opened
            .as_ref()
            .is_some_and(|opened| opened.creator == *by);
        let is_agent = self
            .opened
            .as_ref()
            .is_some_and(|opened| opened.agent.as_ref() == Some(by));
        Relations::NONE
            .with_if(Relation::Creator, is_creator)
            .with_if(Relation::Agent, is_agent)
            .with_if(
                Relation::Processor,
                self.nodes.values().any(|node_run| node_run.is_at(by)),
            )
            .with_if(
                Relation::FormerProcessor,
                self.handled.contains(by) || self.acted.contains(by),
            )
            .with_if(Relation::Follower, self.followers.contains(by))
            .with_if(Relation::Invited, self.invited.contains(by))
    }

    /// Returns the people who take part in the ticket: the people who have a relation in [`Ticket::relations`].
    pub fn people_who_take_part(&self) -> BTreeSet<&PersonId> {
        let opened = self.opened.iter();
        let submitted = opened.flat_map(|opened| [Some(&opened.creator), opened.agent.as_ref()]);
        let at_nodes = self.nodes.values().flat_map(|node_run| {
            let votes = node_run.votes.iter().map(|vote| &vote.by);
            node_run.processors.iter().chain(&node_run.by).chain(votes)
        });
        submitted
            .flatten()
            .chain(at_nodes)
            .chain(&self.handled)
            .chain(&self.acted)
            .chain(&self.followers)
            .chain(&self.invited)
            .collect()
    }

    /// Returns true if the person `by` is or was a processor of a node. The submit node does not count, because
    /// its form opens the ticket.
    fn is_worker(&self, by: &PersonId, context: &Context) -> Decision<bool> {
        let opened = self.opened()?;
        let submit = self
            .workflow(context)?
            .definition
            .submit_node()
            .map(|node| node.id);
        let acts = self
            .nodes
            .iter()
            .any(|(id, node_run)| Some(*id) != submit && node_run.is_at(by));
        // The submission of the ticket does not count as work on the ticket. The creator, and the agent who
        // submitted the ticket for the creator, are therefore excluded here.
        let acted =
            self.handled.contains(by) && opened.creator != *by && opened.agent.as_ref() != Some(by);
        Ok(acts || acted)
    }

    /// Converts a text to a remark (free text from a person). If the service of the ticket encrypts free
    /// text, the remark is encrypted with the creator's key. A blank text becomes an empty remark.
    fn remark(&self, text: &str) -> Decision<Remark> {
        let opened = self.opened()?;
        if is_blank(text) {
            return Ok(Remark::default());
        }
        let remark = Remark::new(text);
        Ok(if opened.seals_text {
            remark.owned_by(opened.creator.clone())
        } else {
            remark
        })
    }

    fn opened(&self) -> Decision<&Opened> {
        self.opened
            .as_ref()
            .map_or_else(|| reject(Rejection::Unknown), Ok)
    }

    fn node_run(&mut self, id: NodeId, change: impl FnOnce(&mut NodeRun)) {
        if let Some(node_run) = self.nodes.get_mut(&id) {
            change(node_run);
        }
    }

    fn fill(&mut self, form: &[Entry]) {
        for entry in form {
            self.attachments.extend(entry.files.iter().cloned());
            self.form.insert(entry.key.clone(), entry.clone());
        }
    }

    fn end(&mut self, status: Status, approve_result: bool) {
        self.status = status;
        self.approve_result = Some(approve_result);
        // An ended ticket has no nodes that wait for work. All current nodes are therefore terminated,
        // independent of the reason for which the ticket ended.
        self.nodes
            .values_mut()
            .filter(|node_run| node_run.is_current())
            .for_each(|node_run| node_run.status = NodeStatus::Terminated);
    }
}

/// Replaces one processor (a person who may act at a node) with other people. Returns the new list of
/// processors, in order and without duplicates.
fn replace_processor(
    processors: &[PersonId],
    replaced: &PersonId,
    by: &[PersonId],
) -> Vec<PersonId> {
    let mut people: Vec<PersonId> = Vec::new();
    let new = processors.iter().flat_map(|pid| {
        if pid == replaced {
            by.to_vec()
        } else {
            vec![pid.clone()]
        }
    });
    for pid in new {
        if !people.contains(&pid) {
            people.push(pid);
        }
    }
    people
}

fn check_message(message: &str) -> Decision<()> {
    if message.chars().count() > MESSAGE_MAX {
        reject(Rejection::MessageTooLong)
    } else {
        Ok(())
    }
}

/// Rejects the reason of a vote if the reason is longer than `REMARK_MAX` characters.
fn check_reason(reason: &str) -> Decision<()> {
    if reason.chars().count() > REMARK_MAX {
        reject(Rejection::ReasonTooLong)
    } else {
        Ok(())
    }
}

fn check_range(people: &[PersonId], allowed: Option<&[PersonId]>) -> Decision<()> {
    let Some(allowed) = allowed else {
        return Ok(());
    };
    let outside: Vec<PersonId> = people
        .iter()
        .filter(|pid| !allowed.contains(pid))
        .cloned()
        .collect();
    if outside.is_empty() {
        Ok(())
    } else {
        reject(Rejection::TargetsOutOfRange(outside))
    }
}

/// The priorities for services that do not define their own priorities. Each row of the table is an urgency
/// (1 to 3), and each column is an impact (1 to 3). A priority is a number from 1 (low) to 3 (high).
pub const PRIORITIES: [[u8; 3]; 3] = [[1, 1, 2], [1, 2, 3], [2, 3, 3]];

fn priority(
    matrix: Option<&[[u8; 3]; 3]>,
    impact: Option<String>,
    urgency: Option<String>,
) -> Option<Priority> {
    let (impact, urgency) = (impact?, urgency?);
    let index = |text: &str| {
        text.parse::<usize>()
            .ok()
            .filter(|level| (1..=3).contains(level))
            .map(|level| level - 1)
    };
    let key = matrix.unwrap_or(&PRIORITIES)[index(&urgency)?][index(&impact)?].to_string();
    Some(Priority {
        key,
        impact,
        urgency,
    })
}
