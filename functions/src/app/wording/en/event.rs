//! Contains the English sentences that describe the events of a ticket in its timeline. The page shows the
//! name of the acting person before each sentence.

use events::ticket::{
    BranchJoined, Closed, FollowersChanged, NodeAssigned, NodeEntered, NodeSkipped, NodeStatus,
    Opened, Phase, Relation, RemarkAdded, RowImported, ServiceKind, TicketEvent, TransitionTaken,
    VoteCast,
};
use events::workflow::service_task::Executor;

use super::{level, ticket_status};
use crate::app::wording::{Names, ended_parent, has_tested_condition, is_own_change};

/// Returns the sentence that describes an event in the ticket timeline. Returns `None` for an event that the
/// timeline does not show.
pub(in crate::app::wording) fn text(event: &TicketEvent, names: &Names<'_>) -> Option<String> {
    Some(match event {
        TicketEvent::Opened(opened) => self::opened(opened, names),
        TicketEvent::RowImported(row) => imported(row),
        TicketEvent::NodeEntered(entered) => self::entered(entered, names),
        TicketEvent::NodeClaimed(claimed) => {
            let node = node(&claimed.name);
            if claimed.automatic {
                let by = names.one(&claimed.by);
                format!("Only {by} can claim {node}, so the desk claimed the node")
            } else {
                format!("Claimed {node}")
            }
        }
        TicketEvent::NodeAssigned(assigned) => self::assigned(assigned, names),
        TicketEvent::NodeTransferred(transferred) => {
            let node = node(&transferred.name);
            let to = names.all(&transferred.processors);
            match &transferred.replaces {
                Some(from) => {
                    let from = names.one(from);
                    format!("Transferred the vote of {from} at {node} to {to}")
                }
                None => format!("Transferred {node} to {to}"),
            }
        }
        TicketEvent::VoteCast(vote) => voted(vote, names),
        TicketEvent::NodeCompleted(completed) => {
            let node = node(&completed.name);
            match completed.pass {
                Some(true) => format!("The result of {node} is an approval"),
                Some(false) => format!("The result of {node} is a rejection"),
                None if completed.by.is_system() => format!("The desk completed {node}"),
                None => format!("Completed {node}"),
            }
        }
        TicketEvent::TransitionTaken(taken) => return self::taken(taken),
        TicketEvent::TransitionMissing(missing) => format!(
            "No transition after {} has a true condition, so a service owner must choose a transition",
            node(&missing.name)
        ),
        TicketEvent::Suspended(_) => "Suspended the ticket".into(),
        TicketEvent::Resumed(_) => "Resumed the ticket".into(),
        TicketEvent::Withdrawn(_) => "Withdrew the ticket".into(),
        TicketEvent::Terminated(terminated) if terminated.node.is_some() => {
            format!("Terminated the ticket at {}", node(&terminated.node_name))
        }
        TicketEvent::Terminated(_) => "Terminated the ticket".into(),
        TicketEvent::Finished(_) => "The workflow ended and the ticket is finished".into(),
        TicketEvent::BranchesStarted(started) => format!(
            "Started {} at {}",
            counted(
                started.branches.len(),
                "parallel branch",
                "parallel branches"
            ),
            node(&started.name)
        ),
        TicketEvent::BranchJoined(joined) => self::joined(joined),
        TicketEvent::NodeResultReceived(received) => {
            let node = node(&received.name);
            let result = if received.succeeded {
                "succeeded"
            } else {
                "failed"
            };
            match received.attempt {
                0 | 1 => format!("The work of {node} {result}"),
                attempt => format!("Attempt {attempt} of the work of {node} {result}"),
            }
        }
        TicketEvent::NodeFailed(failed) => format!(
            "The work of {} failed, so a person must repeat or ignore the work",
            node(&failed.name)
        ),
        TicketEvent::NodeRetried(retried) => {
            let (node, attempt) = (node(&retried.name), retried.attempt);
            format!("Repeated the work of {node} (attempt {attempt})")
        }
        TicketEvent::NodeSkipped(skipped) => self::skipped(skipped),
        TicketEvent::NodeReassigned(reassigned) => {
            let to = names.all(&reassigned.processors);
            format!("Reassigned {} to {to}", node(&reassigned.name))
        }
        TicketEvent::ProcessorsMissing(missing) => format!(
            "Found no processors for {}, so a service owner must assign people",
            node(&missing.name)
        ),
        TicketEvent::StatusSet(set) => {
            format!(
                "The status of the ticket is now \"{}\"",
                status(&set.status)
            )
        }
        TicketEvent::Closed(closed) => self::closed(closed),
        TicketEvent::FieldsChanged(changed) => {
            let fields: Vec<String> = changed
                .names
                .iter()
                .map(|field| format!("\"{field}\""))
                .collect();
            format!("Changed fields: {}", fields.join(", "))
        }
        TicketEvent::PriorityChanged(changed) => {
            format!("The priority is now {}", level(&changed.priority.key))
        }
        TicketEvent::RemarkAdded(added) => remarked(added),
        TicketEvent::FollowersChanged(changed) => followed(changed, names),
        TicketEvent::Rated(rated) if rated.by.is_system() => format!(
            "The creator did not rate the ticket in time, so the desk gave {}",
            counted(rated.stars.into(), "star", "stars")
        ),
        TicketEvent::Rated(rated) => {
            let stars = counted(rated.stars.into(), "star", "stars");
            format!("Rated the ticket with {stars}")
        }
        TicketEvent::Reminded(reminded) if reminded.people.is_empty() => "Sent a reminder".into(),
        TicketEvent::Reminded(reminded) => {
            format!("Sent a reminder to {}", names.all(&reminded.people))
        }
        TicketEvent::Linked(linked) => {
            format!("Linked the {} {}", other(linked.relation), linked.other)
        }
        TicketEvent::Unlinked(unlinked) => format!(
            "Removed the link to the {} {}",
            other(unlinked.relation),
            unlinked.other
        ),
        TicketEvent::Acknowledged(acknowledged) => {
            format!("Acknowledged {}", node(&acknowledged.name))
        }
        TicketEvent::Escalated(escalated) => {
            let (node, level) = (node(&escalated.name), escalated.level);
            let to = names.all(&escalated.processors);
            format!("Escalated {node} to level {level}, additional processors: {to}")
        }
    })
}

fn node(name: &str) -> String {
    format!("node \"{name}\"")
}

fn status(key: &str) -> &str {
    ticket_status(key).unwrap_or(key)
}

fn counted(count: usize, one: &str, several: &str) -> String {
    let noun = if count == 1 { one } else { several };
    format!("{count} {noun}")
}

fn opened(opened: &Opened, names: &Names<'_>) -> String {
    let kind = match opened.kind {
        ServiceKind::Request => "service request",
        ServiceKind::Change => "change",
        ServiceKind::Event => "incident",
        ServiceKind::Question => "problem",
    };
    let creator = if opened.agent.is_some() {
        format!(" on behalf of {}", names.one(&opened.creator))
    } else {
        String::new()
    };
    let (sn, service) = (&opened.sn, &opened.service_name);
    format!("Submitted the {kind} {sn}{creator} (service \"{service}\")")
}

fn imported(row: &RowImported) -> String {
    let phase = match row.phase {
        Phase::Open => "open",
        Phase::Waiting => "waiting",
        Phase::Resolved => "resolved",
        Phase::Closed => "closed",
    };
    let (source, case, state) = (&row.source, &row.case, &row.state);
    format!("Imported the record {case} from {source}: {phase} (original state \"{state}\")")
}

fn entered(entered: &NodeEntered, names: &Names<'_>) -> String {
    let node = node(&entered.name);
    let start = match entered.round {
        0 | 1 => format!("Entered {node}"),
        round => format!("Entered {node} (round {round})"),
    };
    match next_step(entered, names) {
        Some(next) => format!("{start}: {next}"),
        None => start,
    }
}

/// Describes what happens next at a workflow node that the ticket entered. An example is `waiting for Ann to
/// vote`. Returns `None` if the node waits for no action.
fn next_step(entered: &NodeEntered, names: &Names<'_>) -> Option<String> {
    if entered.automatic {
        let work = match entered.executor {
            Executor::ApiCall => "the desk calls the API",
            Executor::Application => "the desk requests approval in the external system",
            Executor::Dispatch => "the desk requests a robot",
        };
        return Some(work.to_owned());
    }
    let action = match entered.status {
        NodeStatus::Distributing => "assign the work",
        NodeStatus::Receiving => "claim the work",
        NodeStatus::Running if entered.is_vote => "vote",
        NodeStatus::Running => "process the work",
        NodeStatus::Finished | NodeStatus::Terminated | NodeStatus::Failed => return None,
    };
    if entered.processors_type == "OPEN" {
        return Some(format!("every person may {action}"));
    }
    if entered.processors.is_empty() {
        return None;
    }
    let people = names.all(&entered.processors);
    Some(format!("waiting for {people} to {action}"))
}

fn assigned(assigned: &NodeAssigned, names: &Names<'_>) -> String {
    let (node, to) = (node(&assigned.name), names.all(&assigned.processors));
    let next = if assigned.status == NodeStatus::Receiving {
        ", and one of these people must claim the work"
    } else {
        ""
    };
    format!("Assigned {node} to {to}{next}")
}

fn voted(vote: &VoteCast, names: &Names<'_>) -> String {
    let node = node(&vote.name);
    if vote.automatic {
        let by = names.one(&vote.by);
        return format!("The approver {by} is the creator, so the desk approved {node}");
    }
    let result = if vote.pass { "Approved" } else { "Rejected" };
    format!("{result} {node}")
}

/// Describes the transition that the ticket followed in the workflow. Returns `None` if no person chose the transition
/// and the desk tested no conditions.
fn taken(taken: &TransitionTaken) -> Option<String> {
    let transition = if taken.name.is_empty() {
        format!("transition {}", taken.transition)
    } else {
        format!("transition \"{}\"", taken.name)
    };
    if taken.by.is_some() {
        Some(format!("Chose {transition}"))
    } else if taken.tested.is_empty() {
        None
    } else if has_tested_condition(taken) {
        Some(format!(
            "Followed {transition}, because its condition is true"
        ))
    } else {
        Some(format!(
            "Followed {transition}, because no other condition is true"
        ))
    }
}

fn joined(joined: &BranchJoined) -> String {
    let node = node(&joined.name);
    match joined.waiting_for.len() {
        0 => format!("All branches have reached {node}"),
        waiting => {
            let others = counted(waiting, "other branch", "other branches");
            format!("A branch has reached {node}, which waits for {others}")
        }
    }
}

fn skipped(skipped: &NodeSkipped) -> String {
    let node = node(&skipped.name);
    if skipped.by.is_system() {
        format!("Skipped {node}, because the node has no processors")
    } else {
        format!("Ignored the failure of {node}, so the ticket continues")
    }
}

fn closed(closed: &Closed) -> String {
    let status = status(&closed.status);
    match ended_parent(closed) {
        Some(parent) => {
            format!("The parent {parent} ended, so this ticket ended with the status \"{status}\"")
        }
        None if closed.by.is_system() => {
            format!("The workflow ended the ticket with the status \"{status}\"")
        }
        None => format!("Closed the ticket with the status \"{status}\""),
    }
}

fn remarked(added: &RemarkAdded) -> String {
    let mark = if added.internal { " (internal)" } else { "" };
    match added.parent {
        Some(parent) => format!("Replied to comment {parent}{mark}"),
        None => format!("Added a comment{mark}"),
    }
}

fn followed(changed: &FollowersChanged, names: &Names<'_>) -> String {
    match (changed.follows, is_own_change(changed)) {
        (true, true) => "Started to follow the ticket".into(),
        (false, true) => "Stopped following the ticket".into(),
        (true, false) => format!("Added followers: {}", names.all(&changed.people)),
        (false, false) => format!("Removed followers: {}", names.all(&changed.people)),
    }
}

/// Returns the words for the other ticket of a link between two tickets. An example is `parent ticket`.
fn other(relation: Relation) -> &'static str {
    match relation {
        Relation::RaisedFrom => "source ticket",
        Relation::Raised => "follow-up ticket",
        Relation::Related => "related ticket",
        Relation::ChildOf => "parent ticket",
        Relation::ParentOf => "child ticket",
    }
}
