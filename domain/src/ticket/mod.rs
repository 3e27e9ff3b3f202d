//! One ticket: what is asked ([`command`]), why it may be refused ([`rejection`]), what it remembers ([`state`]), what it must look up
//! ([`facts`]); here `decide` and `evolve`. What people do at a node stands in [`handling`], with the ticket as a whole in [`whole`], beside the
//! work in [`beside`]; what the desk does outside in [`automatic`]. How a form is checked stands in [`form`], how a run moves along its
//! workflow in [`run`], how rows of a foreign log are taken over in [`observe`].

mod automatic;
mod beside;
mod command;
mod facts;
pub mod form;
mod handling;
#[cfg(test)]
mod nested;
mod observe;
mod rejection;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod whole;

use std::sync::Arc;

use events::ticket::{NodeStatus, Opened, Priority, TicketEvent};
use events::workflow::{Definition, Deployed, Node, NodeKind, Revoke};
use events::{Entry, NodeId, Personal, Pid, Remark};

use crate::decider::Decider;
use crate::user_name::is_blank;
pub use automatic::INPUT_MAX;
pub use command::{Answer, Command, Open};
pub(crate) use facts::{Decision, reject};
pub use facts::{Facts, Lookup, Now};
pub use observe::Observation;
pub use rejection::{FieldAt, Rejection};
pub use run::{AUTO_PASS, NOBODY, output_keys};
pub use state::{Action, Kept, Link, Status, Ticket, Visit, Vote};

/// Longest title, in characters (reference/bk-itsm.md 3.1: the check fires above 128).
pub const TITLE_MAX: usize = 128;
/// Longest message, remark target list or reason, in characters (3.9).
pub const MESSAGE_MAX: usize = 255;
/// Longest remark beside the work and longest reason of a decision, in characters.
pub const REMARK_MAX: usize = 5000;
/// People who may follow one ticket.
pub const FOLLOWERS_MAX: usize = 1000;
/// Tickets one ticket may belong together with.
pub const LINKS_MAX: usize = 200;
/// Visits of one node; a run that goes round more often is refused another send-back.
pub const ROUNDS_MAX: u32 = 1_000;

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
            Command::Submit { node, by, form, reason } => self.submit(*node, by, form, reason, facts),
            Command::Decide { node, by, pass, remark } => self.decide_at(*node, by, *pass, remark, facts),
            Command::Claim { node, by, reason } => self.claim(*node, by, reason, facts),
            Command::Distribute { node, by, to, message } => self.distribute(*node, by, to, message, facts),
            Command::Deliver { node, by, to, message } => self.deliver(*node, by, to, message, facts),
            Command::Reassign { node, by, to, message } => self.reassign(*node, by, to, message, facts),
            Command::TerminateAt { node, by, reason } => self.terminate_at(*node, by, reason, facts),
            Command::Acknowledge { node, by, reason } => self.acknowledge(*node, by, reason, facts),
            Command::Resolve { by, form, remark } => self.resolve(by, form, remark, facts),
            Command::Escalate { node, by, reason } => self.escalate(*node, by, reason, facts),
            Command::Suspend { by, reason } => self.suspend(by, reason, facts),
            Command::Resume { by, reason } => self.resume(by, reason, facts),
            Command::Withdraw { by, reason } => self.withdraw(by, reason, facts),
            Command::Terminate { by, reason } => self.terminate(by, reason, facts),
            Command::Close { by, status, reason } => self.close(by, status, reason, facts),
            Command::EditField { by, form } => self.edit_field(by, form, facts),
            Command::EndWithParent { parent, status, approve_result } => self.end_with_parent(parent, status, *approve_result, facts),
            Command::Answer(answer) => self.answer(answer, facts),
            Command::Retry { node, by, inputs, reason } => self.retry(*node, by, inputs, reason, facts),
            Command::Ignore { node, by, outputs, reason } => self.ignore(*node, by, outputs, reason, facts),
            Command::Route { node, by, line, reason } => self.route(*node, by, *line, reason, facts),
            Command::Remark { by, text, parent, mentions, internal } => self.remark_on(by, text, *parent, mentions, *internal, facts),
            Command::Follow { by, people, follows } => self.follow(by, people, *follows, facts),
            Command::Rate { by, stars, comment } => self.rate(by, *stars, comment),
            Command::Remind { by, message } => self.remind(by, message, facts),
            Command::Link { by, other, relation, mirror } => self.link(by, other, *relation, *mirror, facts),
            Command::Unlink { by, other, mirror } => self.unlink(by, other, *mirror, facts),
        }?;
        // What would be accepted must name nobody who is not registered, before a name could get into an event.
        match self.stranger(command, facts) {
            Some(stranger) => reject(Rejection::Stranger(stranger)),
            None => Ok(events),
        }
    }

    fn evolve(&mut self, event: &TicketEvent) {
        if let Some(by) = event.handled_by().filter(|by| !by.is_system()) {
            self.handled.insert(by.clone());
        }
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
                let mut visit = Visit::begun(&entered.name, entered.round, entered.status, &entered.processors_type, &entered.processors);
                visit.automatic = entered.automatic;
                visit.is_vote = entered.is_vote;
                visit.attempt = u32::from(entered.automatic);
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
                self.visit(vote.node, |visit| visit.votes.push(Vote { by: vote.by.clone(), pass: vote.pass, reason: vote.reason.clone() }));
            }
            TicketEvent::NodeCompleted(completed) => {
                self.fill(&completed.form);
                self.outputs.extend(completed.outputs.clone());
                self.visit(completed.node, |visit| {
                    visit.status = NodeStatus::Finished;
                    visit.pass = completed.pass;
                    visit.by = Some(completed.by.clone());
                    visit.message.clone_from(&completed.reason);
                    visit.kept = None;
                });
                if let Some(visit) = self.nodes.get(&completed.node).filter(|visit| visit.is_vote) {
                    self.last_approvers = visit.votes.iter().map(|vote| vote.by.clone()).collect();
                }
            }
            // A line that somebody picked where none held: the node is left after all.
            TicketEvent::LineTaken(taken) => match self.nodes.get_mut(&taken.from) {
                Some(visit) if taken.by.is_some() => visit.status = NodeStatus::Finished,
                Some(_) => {}
                None => drop(self.passed.insert(taken.from)),
            },
            // Whoever decides or fills in here again starts afresh, and the votes stand in the history; what was decided counts until then.
            TicketEvent::LineMissing(missing) => {
                let visit = self.nodes.entry(missing.node).or_insert_with(|| Visit::begun(&missing.name, 1, NodeStatus::Failed, "", &[]));
                visit.status = NodeStatus::Failed;
                visit.votes.clear();
            }
            TicketEvent::Forked(forked) => drop(self.forks.insert(forked.node, forked.branches.clone())),
            TicketEvent::BranchJoined(joined) => {
                self.passed.insert(joined.node);
                if joined.waiting_for.is_empty() {
                    self.forks.remove(&joined.fork);
                } else {
                    self.forks.insert(joined.fork, joined.waiting_for.clone());
                }
            }
            TicketEvent::CallAnswered(answered) => self.visit(answered.node, |visit| {
                visit.task.clone_from(&answered.task);
                visit.kept = Some(Kept { succeeded: answered.succeeded, outputs: answered.outputs.clone(), reason: answered.reason.clone() });
            }),
            TicketEvent::NodeFailed(failed) => self.visit(failed.node, |visit| {
                visit.status = NodeStatus::Failed;
                visit.reason.clone_from(&failed.reason);
                visit.kept = None;
            }),
            TicketEvent::NodeRetried(retried) => self.visit(retried.node, |visit| {
                visit.status = NodeStatus::Running;
                visit.attempt = retried.attempt;
                visit.reason = String::new();
            }),
            TicketEvent::NodeSkipped(skipped) => {
                self.outputs.extend(skipped.outputs.clone());
                self.visit(skipped.node, |visit| {
                    visit.status = NodeStatus::Finished;
                    visit.pass = skipped.pass;
                    visit.by = Some(skipped.by.clone());
                    visit.message.clone_from(&skipped.reason);
                });
            }
            TicketEvent::NodeReassigned(given) => self.visit(given.node, |visit| {
                if !visit.automatic && visit.status != NodeStatus::Failed {
                    visit.status = NodeStatus::Running;
                }
                visit.processors_type.clone_from(&given.processors_type);
                // Whoever has voted keeps the seat: rates are of everybody who had a vote.
                visit.processors.retain(|pid| visit.votes.iter().any(|vote| vote.by == *pid));
                visit.processors.extend(given.processors.iter().cloned());
            }),
            TicketEvent::NodeUnattended(_) | TicketEvent::Reminded(_) => {}
            TicketEvent::StatusSet(set) => self.shown.clone_from(&set.status),
            TicketEvent::Closed(closed) => self.end(Status::ending(&closed.status).unwrap_or(Status::Terminated), closed.approve_result),
            TicketEvent::FieldChanged(changed) => self.fill(&changed.form),
            TicketEvent::Prioritised(prioritised) => self.priority = Some(prioritised.priority.clone()),
            TicketEvent::Remarked(remarked) => self.remarks = self.remarks.max(remarked.id),
            TicketEvent::Followed(followed) => {
                self.followers.retain(|pid| !followed.people.contains(pid));
                self.invited.retain(|pid| !followed.people.contains(pid));
                if followed.follows {
                    self.followers.extend(followed.people.iter().cloned());
                }
                if followed.invited {
                    self.invited.extend(followed.people.iter().cloned());
                }
            }
            TicketEvent::Rated(rated) => self.stars = Some(rated.stars),
            TicketEvent::Linked(linked) => self.links.push(Link { other: linked.other.clone(), relation: linked.relation }),
            TicketEvent::Unlinked(unlinked) => self.links.retain(|link| link.other != unlinked.other),
            TicketEvent::Acknowledged(acknowledged) => self.visit(acknowledged.node, |visit| {
                visit.acknowledged.get_or_insert_with(|| acknowledged.by.clone());
            }),
            TicketEvent::Escalated(escalated) => self.visit(escalated.node, |visit| {
                visit.level = escalated.level;
                visit.processors_type = "PERSON".into();
                let new = escalated.processors.iter().filter(|pid| !visit.processors.contains(pid)).cloned().collect::<Vec<_>>();
                visit.processors.extend(new);
            }),
            TicketEvent::Suspended(_) => self.status = Status::Suspended,
            TicketEvent::Resumed(_) => self.status = Status::Running,
            TicketEvent::Withdrawn(withdrawn) => self.end(Status::Revoked, withdrawn.approve_result),
            TicketEvent::Terminated(terminated) => self.end(Status::Terminated, terminated.approve_result),
            TicketEvent::Finished(finished) => self.end(Status::Finished, finished.approve_result),
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let of_nodes = self.nodes.values_mut().flat_map(|visit| {
            let of_votes = visit.votes.iter_mut().filter_map(|vote| vote.reason.personal.as_mut());
            of_votes.chain(&mut visit.message.personal)
        });
        self.form.values_mut().filter_map(|entry| entry.personal.as_mut()).chain(of_nodes).collect()
    }
}

impl Ticket {
    /// Somebody whom a command names and nobody has registered yet. Of a new ticket the door takes care, which asks first whether it would be opened.
    fn stranger(&self, command: &Command, facts: &Facts) -> Option<Pid> {
        let workflow = self.workflow(facts).ok();
        let of_people = |entry: &&Entry| {
            let field = workflow.as_ref().and_then(|workflow| workflow.definition.field(&entry.key));
            !matches!(command, Command::Open(_)) && field.is_some_and(|field| field.kind.names_people())
        };
        let in_form = command.form().iter().filter(of_people).flat_map(|entry| form::people(&entry.value));
        command.people().cloned().chain(in_form).find(Pid::is_unknown)
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
                Revoke::BeforeNode(node) => !self.nodes.contains_key(&node) && !self.passed.contains(&node),
                Revoke::BeforeHandled => {
                    let back_at_submit = self.current().any(|(id, _)| Some(id) == submit);
                    // Claiming and handing over come before handling; a vote, a submission or a call that failed is handling.
                    let untouched = |visit: &Visit| visit.is_current() && visit.votes.is_empty() && visit.status != NodeStatus::Failed && !visit.automatic;
                    let is_begin = |id: &NodeId| Some(*id) == submit || Some(*id) == start;
                    back_at_submit || self.nodes.iter().all(|(id, visit)| is_begin(id) || untouched(visit))
                }
            }
    }

    /// Says whether this person may act at a node now, by its status and processors.
    pub fn may_act(&self, visit: &Visit, by: &Pid) -> bool {
        visit.is_open_to_all() || (visit.processors.contains(by) && !visit.has_voted(by))
    }

    /// The status as the wire shows it: a node may have set another word for a ticket that is running.
    pub fn status_key(&self) -> &str {
        if self.status == Status::Running && !self.shown.is_empty() { &self.shown } else { self.status.key() }
    }

    /// The priority of now.
    pub fn priority(&self) -> Option<&Priority> {
        self.priority.as_ref().or_else(|| self.opened.as_ref()?.priority.as_ref())
    }

    /// The business it is about, -1 where it is about none: what its form says now, else what it was opened with.
    pub fn bk_biz_id(&self) -> i64 {
        let filled = self.form.get("bk_biz_id").and_then(|entry| form::plain(entry.read()).parse().ok());
        filled.unwrap_or_else(|| self.opened.as_ref().map_or(-1, |opened| opened.bk_biz_id))
    }

    /// The parent this ticket follows.
    pub fn parent(&self) -> Option<&events::TicketSn> {
        self.links.iter().find(|link| link.relation == events::ticket::Relation::ChildOf).map(|link| &link.other)
    }

    pub fn title(&self) -> String {
        self.form.get("title").map(|entry| form::plain(entry.read())).unwrap_or_default()
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
        self.independent()?;
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
        let is_next = !(run::is_multi(node) && node.is_sequential) || visit.waiting_for().first() == Some(by);
        let action_fits = match node.kind {
            // Of a vote only the person is looked at here, not the action.
            kind if kind.is_vote() => is_next,
            _ => visit.is_open_to_all() || action.fits(visit.status),
        };
        // What the desk does outside nobody submits; where it fails there are other ways.
        if !self.may_act(visit, by) || !action_fits || visit.automatic || !node.kind.is_for_people() {
            return reject(Rejection::NotAllowed { by: by.clone(), node: id });
        }
        self.standing()?;
        Ok((node, visit))
    }

    /// A child follows its parent, and nothing else.
    fn independent(&self) -> Decision<()> {
        if self.parent().is_some() { reject(Rejection::IsChild) } else { Ok(()) }
    }

    /// A suspended ticket takes nothing that would move it.
    fn standing(&self) -> Decision<()> {
        if self.status == Status::Suspended { reject(Rejection::Standing) } else { Ok(()) }
    }

    /// A current processor or a manager may suspend, resume and terminate (3.10).
    fn may_manage(&self, by: &Pid, facts: &Facts) -> Decision<()> {
        self.opened()?;
        let processes = self.current().any(|(_, visit)| visit.processors.contains(by));
        if processes || self.manages(by, facts)? { Ok(()) } else { reject(Rejection::NotAllowedOnTicket(by.clone())) }
    }

    /// Superusers manage every ticket, owners of a service those of their service.
    fn manages(&self, by: &Pid, facts: &Facts) -> Decision<bool> {
        let owns = facts.known_service(self.opened()?.service)?.is_some_and(|service| service.owners.contains(by));
        Ok(owns || facts.is_superuser(by)?)
    }

    /// Those who have to do with it: the creator, whoever acts or acted at a node, those asked to follow, managers.
    pub fn may_see(&self, by: &Pid, facts: &Facts) -> Decision<bool> {
        self.opened()?;
        Ok(self.concerns(by) || self.manages(by, facts)?)
    }

    /// Those who work on it rather than ask for it: whoever acts or acted at a node after the first, and managers.
    pub fn works_on(&self, by: &Pid, facts: &Facts) -> Decision<bool> {
        let opened = self.opened()?;
        let submit = self.workflow(facts)?.definition.submit_node().map(|node| node.id);
        let is_at = |visit: &Visit| visit.processors.contains(by) || visit.by.as_ref() == Some(by) || visit.has_voted(by);
        let acts = self.nodes.iter().any(|(id, visit)| Some(*id) != submit && is_at(visit));
        // Whoever submitted has acted at the first node, which is no work on it.
        let acted = self.handled.contains(by) && opened.creator != *by && opened.agent.as_ref() != Some(by);
        Ok(acts || acted || self.manages(by, facts)?)
    }

    /// The creator, whoever acts or acted at a node, and those whom somebody of these asked to follow.
    pub fn concerns(&self, by: &Pid) -> bool {
        let at_a_node = |visit: &Visit| visit.processors.contains(by) || visit.by.as_ref() == Some(by) || visit.has_voted(by);
        let opened = self.opened.as_ref().is_some_and(|opened| opened.creator == *by || opened.agent.as_ref() == Some(by));
        opened || self.invited.contains(by) || self.handled.contains(by) || self.nodes.values().any(at_a_node)
    }

    /// A message as this ticket keeps it.
    fn remark(&self, text: &str) -> Decision<Remark> {
        let opened = self.opened()?;
        if is_blank(text) {
            return Ok(Remark::default());
        }
        let remark = Remark::new(text);
        Ok(if opened.seals_text { remark.owned_by(opened.creator.clone()) } else { remark })
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
        for entry in form {
            self.attachments.extend(entry.files.iter().cloned());
            self.form.insert(entry.key.clone(), entry.clone());
        }
    }

    fn end(&mut self, status: Status, approve_result: bool) {
        self.status = status;
        self.approve_result = Some(approve_result);
        // A run that came to its end has nothing open; whatever else ended it, nobody acts any more.
        self.nodes.values_mut().filter(|visit| visit.is_current()).for_each(|visit| visit.status = NodeStatus::Terminated);
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

/// The reason of a decision may be as long as a remark.
fn within_reason(reason: &str) -> Decision<()> {
    if reason.chars().count() > REMARK_MAX { reject(Rejection::ReasonTooLong) } else { Ok(()) }
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
