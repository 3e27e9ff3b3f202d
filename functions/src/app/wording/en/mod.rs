//! Contains the English texts of the web console: the names of statuses and states, and the words for the
//! details of events.

pub(super) mod event;
pub(super) mod rejection;

use events::TransitionId;
use events::ticket::NodeStatus;
use events::workflow::{Holds, Operator};

use super::words::Words;

pub(super) static WORDS: Words = Words {
    separator: ", ",
    row_separator: "; ",
    colon: ": ",
    empty: "(empty)",
    erased: "[erased]",
    personal: "(personal value)",
    reason: "Reason",
    message: "Message",
    opinion: "Reason",
    comment: "Comment",
    task: "External task",
    title: "Title",
    group: "Group",
    actor: "Actor",
    priority: "Priority",
    impact: "Impact",
    urgency: "Urgency",
    callback: "Callback receiver",
    mentions: "Mentions",
    invited: "The new followers may read the whole ticket",
    approved: "approved",
    rejected: "rejected",
    output,
    level,
    quoted,
    clause,
    tested,
};

fn output(holds: Holds) -> &'static str {
    match holds {
        Holds::ApproveResult => "Result of the approval",
        Holds::Approver => "Approvers",
        Holds::ProcessCount => "Number of votes",
        Holds::PassCount => "Number of approvals",
        Holds::RejectCount => "Number of rejections",
        Holds::PassRate => "Approvals in percent",
        Holds::RejectRate => "Rejections in percent",
    }
}

/// Returns the English name of a ticket status. Returns `None` for an unknown status.
pub(super) fn ticket_status(key: &str) -> Option<&'static str> {
    Some(match key {
        "RUNNING" => "In progress",
        "RESOLVED" => "Resolved",
        "CONFIRMED" => "Waiting for confirmation",
        "SUSPENDED" => "Suspended",
        "FINISHED" => "Finished",
        "TERMINATED" => "Terminated",
        "REVOKED" => "Withdrawn",
        "OBSERVED" => "Imported",
        _ => return None,
    })
}

pub(super) fn node_status(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Distributing => "Waiting for assignment",
        NodeStatus::Receiving => "Waiting for a claim",
        NodeStatus::Running => "In progress",
        NodeStatus::Finished => "Finished",
        NodeStatus::Terminated => "Terminated",
        NodeStatus::Failed => "Failed, needs a person",
    }
}

pub(super) fn mission(key: &str) -> Option<&'static str> {
    Some(match key {
        "open" => "Open",
        "queued" => "Waiting for a robot",
        "offered" => "Offered to a robot",
        "accepted" => "Accepted by the robot",
        "working" => "Working",
        "suspect" => "No contact to the robot",
        "canceling" => "Canceling",
        "done" => "Done",
        "succeeded" => "Succeeded",
        "failed" => "Failed",
        _ => return None,
    })
}

pub(super) fn delivery(key: &str) -> Option<&'static str> {
    Some(match key {
        "open" => "Sending",
        "accepted" => "Accepted by the channel",
        "failed" => "Not sent",
        _ => return None,
    })
}

pub(super) fn execution(key: &str) -> Option<&'static str> {
    Some(match key {
        "open" => "Open",
        "queued" => "Queued",
        "awaiting_approval" => "Waiting for approval",
        "running" => "Running",
        "succeeded" => "Succeeded",
        "no_change" => "No change needed",
        "failed" => "Failed",
        "timed_out" => "Timed out",
        "resource_exceeded" => "Resource limit exceeded",
        "canceled" => "Canceled",
        "unknown" => "Result unknown",
        "rejected" => "Not approved",
        "expired" => "Approval expired",
        _ => return None,
    })
}

pub(super) fn application(key: &str) -> Option<&'static str> {
    Some(match key {
        "open" => "Open",
        "applying" => "Waiting for approval",
        "discover" => "Searching for the external service",
        "create" => "Creating the external ticket",
        "find" => "Searching for the external ticket",
        "probe" => "Checking the external search",
        "verify" => "Checking a callback",
        "confirm" => "Reading the decision",
        "poll" => "Waiting for the decision",
        "withdraw" => "Withdrawing the external ticket",
        "withdrawn" => "Withdrawn",
        "expired" => "Expired without a decision",
        "succeeded" => "Decided",
        "granted" => "Granted",
        "refused" => "Refused",
        "failed" => "No decision",
        _ => return None,
    })
}

fn level(key: &str) -> &str {
    match key {
        "1" => "low",
        "2" => "medium",
        "3" => "high",
        other => other,
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn clause(key: &str, operator: Operator, expected: &str) -> String {
    let operator = match operator {
        Operator::Equal => "equals",
        Operator::NotEqual => "does not equal",
        Operator::Greater => "is greater than",
        Operator::Less => "is less than",
        Operator::AtLeast => "is at least",
        Operator::AtMost => "is at most",
        Operator::Superset => "contains",
        Operator::NotSuperset => "does not contain",
        Operator::In => "is one of",
        Operator::NotIn => "is not one of",
    };
    format!("{key} {operator} {expected}")
}

fn tested(transition: TransitionId, clause: &str, actual: &str, holds: bool) -> String {
    let (mark, result) = if holds {
        ("✓", "true")
    } else {
        ("✗", "false")
    };
    format!("{mark} Transition {transition}: {clause}, actual value {actual}, result {result}")
}
