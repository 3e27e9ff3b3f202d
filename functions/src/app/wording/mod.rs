//! Contains the texts that the web console shows to people, in Chinese and in English. The texts describe
//! statuses and states, the events of a ticket, and the reasons why a ticket rejects a command.
//!
//! Each language has one folder with the same files. All texts are in `match` expressions without a default
//! arm. A new event or a new rejection therefore needs a text in both languages.

mod details;
mod en;
mod people;
#[cfg(test)]
mod tests;
mod words;
mod zh_cn;

use std::collections::BTreeMap;

use domain::ticket::{FieldAt, Rejection};
use events::PersonId;
use events::execution::Completed;
use events::finding::Finding;
use events::person::Language;
use events::script::Level;
use events::ticket::{Closed, FollowersChanged, NodeStatus, TicketEvent, TransitionTaken};
use events::workflow::{Definition, Holds};
use infra::Error;

use crate::App;
use crate::app::itsm::applications::{self, NotApplied};
use crate::app::tickets::display::display;

#[cfg(test)]
pub(crate) use tests::every_rejection;
use words::Words;

pub use people::{people, people_in_values, rejection_people};

/// One line in the timeline of a ticket. The line describes one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// A sentence that describes the event. The sentence does not contain the acting person, because the page
    /// shows the person and the time before the sentence.
    pub text: String,
    /// The reason, the form values and the tested conditions of the event, one text for each line.
    pub detail: Vec<String>,
    /// The kind of the line, which selects the icon and the color: `open`, `work`, `vote`, `flow`, `problem`,
    /// `talk` or `end`.
    pub kind: &'static str,
}

/// Returns the display name of a ticket status. A workflow can define additional statuses. Such a status is
/// returned without change.
pub fn ticket_status(language: Language, key: &str) -> String {
    let known = match language {
        Language::Chinese => zh_cn::ticket_status(key),
        Language::English => en::ticket_status(key),
    };
    known.unwrap_or(key).to_owned()
}

/// Returns the display name of the status of a node.
pub fn node_status(language: Language, status: NodeStatus) -> &'static str {
    match language {
        Language::Chinese => zh_cn::node_status(status),
        Language::English => en::node_status(status),
    }
}

/// Returns the display name of a state of a mission (the work of a robot). Returns an unknown state without
/// change. The known states are the phases of a mission, and the outcomes `succeeded` and `failed`.
pub fn mission(language: Language, key: &str) -> &str {
    let known = match language {
        Language::Chinese => zh_cn::mission(key),
        Language::English => en::mission(key),
    };
    known.unwrap_or(key)
}

/// Returns the display name of a state of a delivery (the sending of one notification message). Returns an
/// unknown state without change. The known states are `open`, `accepted` and `failed`.
pub fn delivery(language: Language, key: &str) -> &str {
    let known = match language {
        Language::Chinese => zh_cn::delivery(key),
        Language::English => en::delivery(key),
    };
    known.unwrap_or(key)
}

/// Returns the display name of a state of a script execution. Returns an unknown state without change.
/// [`domain::automation::execution::Execution::state`] defines the known states.
pub fn execution(language: Language, key: &str) -> &str {
    let known = match language {
        Language::Chinese => zh_cn::execution(key),
        Language::English => en::execution(key),
    };
    known.unwrap_or(key)
}

/// Returns the display name of a state of an application (a request for approval in an external ITSM).
/// Returns an unknown state without change. The known states are the steps of an application, and the
/// outcomes `granted`, `refused` and `failed`.
pub fn application(language: Language, key: &str) -> &str {
    let known = match language {
        Language::Chinese => zh_cn::application(key),
        Language::English => en::application(key),
    };
    known.unwrap_or(key)
}

/// Returns the line for an event in the ticket timeline. Returns `None` for an automatic transition without a
/// tested condition, because such an event does not help the reader.
///
/// The function `name` returns the user name of a person. This function is called only with the people that
/// [`people()`] and [`people_in_values`] return. For an unknown person, the function must return another
/// text, such as the id. The workflow `definition` contains the names of the form fields and of their options, and the
/// output variables of the nodes.
pub fn line(
    language: Language,
    event: &TicketEvent,
    name: &dyn Fn(&PersonId) -> String,
    definition: &Definition,
) -> Option<Line> {
    let words = words(language);
    let names = Names {
        definition: Some(definition),
        ..Names::new(name, words)
    };
    let text = match language {
        Language::Chinese => zh_cn::event::text(event, &names),
        Language::English => en::event::text(event, &names),
    };
    Some(Line {
        text: text?,
        detail: details::of(event, words, &names),
        kind: kind(event),
    })
}

/// Returns the text that explains a rejection to the acting person. The function `name` returns the user name
/// of a person. This function is called only with the people that [`rejection_people`] returns.
pub fn rejection(
    language: Language,
    rejection: &Rejection,
    name: &dyn Fn(&PersonId) -> String,
) -> String {
    let names = Names::new(name, words(language));
    match language {
        Language::Chinese => zh_cn::rejection::text(rejection, &names),
        Language::English => en::rejection::text(rejection, &names),
    }
}

/// Returns the note that the desk writes to the record of another system, when the status of the ticket changed. `status` is
/// the status of the ticket, such as `FINISHED`.
pub fn write_back_note(language: Language, ticket: &events::TicketSn, status: &str) -> String {
    let status = ticket_status(language, status);
    match language {
        Language::Chinese => format!("工单 {ticket} 的状态已变更为“{status}”"),
        Language::English => format!("Ticket {ticket} is now: {status}"),
    }
}

/// Returns the note that the desk writes to the record of another system for a remark. The note does not name the person. By
/// the mark, the desk finds the note in the record.
pub fn remark_note(
    language: Language,
    ticket: &events::TicketSn,
    text: &str,
    mark: &str,
) -> String {
    match language {
        Language::Chinese => format!("工单 {ticket} 的备注：{text}\n{mark}"),
        Language::English => format!("Remark on ticket {ticket}: {text}\n{mark}"),
    }
}

/// Returns the note that the desk writes to the record of another system for a status, with the reason that a person gave
/// for the status. The reason is not added if it is empty.
pub fn note_with_reason(language: Language, note: &str, reason: &str) -> String {
    match language {
        _ if reason.is_empty() => note.to_owned(),
        Language::Chinese => format!("{note}\n原因：{reason}"),
        Language::English => format!("{note}\nReason: {reason}"),
    }
}

/// Returns the note that the desk writes to the record of another system for the reason of a hand-over. Returns `None` if the
/// reason is empty.
pub fn hand_over_note(
    language: Language,
    ticket: &events::TicketSn,
    reason: &str,
) -> Option<String> {
    let note = match language {
        Language::Chinese => format!("工单 {ticket} 的处理人已变更"),
        Language::English => format!("The processor of ticket {ticket} was changed"),
    };
    (!reason.is_empty()).then(|| note_with_reason(language, &note, reason))
}

/// Returns the reason with which a ticket gets the status or the assignee of the record of its case.
pub fn record_changed(language: Language, source: &str, record: &str) -> String {
    match language {
        Language::Chinese => format!("来源系统 {source} 的记录 {record} 已变更"),
        Language::English => format!("Record {record} of {source} was changed"),
    }
}

/// Returns the reason with which a ticket ends because the record of its case has ended.
pub fn record_ended(language: Language, source: &str, record: &str) -> String {
    match language {
        Language::Chinese => format!("来源系统 {source} 的记录 {record} 已结束"),
        Language::English => format!("Record {record} of {source} has ended"),
    }
}

/// Returns the reason why a person could not apply for an approval.
pub fn not_applied(language: Language, reason: &NotApplied) -> String {
    match language {
        Language::Chinese => zh_cn::not_applied(reason),
        Language::English => reason.to_string(),
    }
}

/// Returns the text of the problem of an application. Most problems are responses of the external ITSM, which are not
/// translated.
pub fn application_problem(language: Language, problem: &str) -> String {
    match (language, applications::problem_code(problem)) {
        (Language::Chinese, Some(_)) => zh_cn::TOKEN_ILLEGAL.to_owned(),
        _ => problem.to_owned(),
    }
}

/// Returns the text that states a finding of an execution: what the desk observed, or why a step failed. `text` is the
/// stored English text, which is used if the finding has no word.
pub fn finding(language: Language, finding: Option<&Finding>, text: &str) -> String {
    match (language, finding) {
        (Language::Chinese, Some(finding)) => zh_cn::finding::text(finding),
        _ => text.to_owned(),
    }
}

/// Returns the reason why an execution failed. Returns `None` if the execution has no such reason.
pub fn failure(language: Language, completed: &Completed) -> Option<String> {
    let reason = Some(&completed.reason).filter(|reason| !reason.is_empty())?;
    Some(finding(language, completed.finding.as_ref(), reason))
}

/// Returns the text that explains a rejection, with the user names of all people in it.
pub async fn named_rejection(
    app: &App,
    language: Language,
    rejected: &Rejection,
) -> Result<String, Error> {
    let mut names = BTreeMap::new();
    for person in rejection_people(rejected) {
        names.insert(person.clone(), app.people.name(person).await?);
    }
    let name = |person: &PersonId| names.get(person).cloned().unwrap_or_default();
    Ok(rejection(language, rejected, &name))
}

/// Returns the display name of a sandbox level (a set of restrictions for scripts).
pub fn sandbox_level(language: Language, level: Level) -> &'static str {
    match language {
        Language::Chinese => zh_cn::finding::level(level),
        Language::English => level.name(),
    }
}

fn words(language: Language) -> &'static Words {
    match language {
        Language::Chinese => &zh_cn::WORDS,
        Language::English => &en::WORDS,
    }
}

/// Returns the kind of the timeline line for an event, such as `vote` ([`Line::kind`]).
fn kind(event: &TicketEvent) -> &'static str {
    match event {
        TicketEvent::Opened(_) => "open",
        TicketEvent::NodeClaimed(_)
        | TicketEvent::NodeAssigned(_)
        | TicketEvent::NodeTransferred(_)
        | TicketEvent::NodeRetried(_)
        | TicketEvent::NodeSkipped(_)
        | TicketEvent::NodeReassigned(_)
        | TicketEvent::FieldsChanged(_)
        | TicketEvent::PriorityChanged(_)
        | TicketEvent::Acknowledged(_) => "work",
        TicketEvent::NodeCompleted(completed) if completed.pass.is_some() => "vote",
        TicketEvent::NodeCompleted(_) => "work",
        TicketEvent::NodeResultReceived(received) if received.succeeded => "work",
        TicketEvent::VoteCast(_) => "vote",
        TicketEvent::NodeEntered(_)
        | TicketEvent::TransitionTaken(_)
        | TicketEvent::BranchesStarted(_)
        | TicketEvent::BranchJoined(_)
        | TicketEvent::StatusSet(_)
        | TicketEvent::Suspended(_)
        | TicketEvent::Resumed(_) => "flow",
        TicketEvent::RowImported(row) if row.phase.is_done() => "end",
        TicketEvent::RowImported(_) => "flow",
        TicketEvent::NodeResultReceived(_)
        | TicketEvent::TransitionMissing(_)
        | TicketEvent::NodeFailed(_)
        | TicketEvent::ProcessorsMissing(_)
        | TicketEvent::Escalated(_) => "problem",
        TicketEvent::RemarkAdded(_)
        | TicketEvent::FollowersChanged(_)
        | TicketEvent::Rated(_)
        | TicketEvent::Reminded(_)
        | TicketEvent::Linked(_)
        | TicketEvent::Unlinked(_) => "talk",
        TicketEvent::Withdrawn(_)
        | TicketEvent::Terminated(_)
        | TicketEvent::Finished(_)
        | TicketEvent::Closed(_) => "end",
    }
}

/// Returns the user names of people, and the display names of form fields and of their values, for the texts of one
/// language.
struct Names<'a> {
    name: &'a dyn Fn(&PersonId) -> String,
    /// The workflow of the ticket. `None` if the texts contain no form fields.
    definition: Option<&'a Definition>,
    words: &'static Words,
    separator: &'static str,
}

impl<'a> Names<'a> {
    fn new(name: &'a dyn Fn(&PersonId) -> String, words: &'static Words) -> Self {
        Self {
            name,
            definition: None,
            words,
            separator: words.separator,
        }
    }

    /// Returns the display name of a form field or of an output variable. Returns an unknown key without change.
    fn field(&self, key: &str) -> String {
        let field = self.definition.and_then(|one| one.field(key));
        match (field, self.holds(key)) {
            (Some(field), _) => field.name.clone(),
            (None, Some(holds)) => (self.words.output)(holds).to_owned(),
            (None, None) => key.to_owned(),
        }
    }

    /// Returns the kind of value that an output variable contains. Returns `None` if no node has this output variable.
    fn holds(&self, key: &str) -> Option<Holds> {
        let nodes = self.definition.into_iter().flat_map(|one| &one.nodes);
        let mut outputs = nodes.flat_map(|node| &node.outputs);
        let found = outputs.find(|output| output.key == key);
        found.map(|output| output.holds)
    }

    /// Returns the text that people read for the value of a form field with options, or for the result of an approval.
    /// Returns `None` for other values.
    fn option(&self, key: &str, text: &str) -> Option<String> {
        if let Some(field) = self.definition.and_then(|one| one.field(key)) {
            let has_options = !field.choice.is_empty();
            let shown = has_options.then(|| display(field, None, &text.into()));
            return shown.and_then(|shown| shown.as_str().map(str::to_owned));
        }
        match (self.holds(key), text) {
            (Some(Holds::ApproveResult), "true") => Some(self.words.approved.to_owned()),
            (Some(Holds::ApproveResult), "false") => Some(self.words.rejected.to_owned()),
            _ => None,
        }
    }

    fn one(&self, person: &PersonId) -> String {
        (self.name)(person)
    }

    /// Returns the user names of several people as one text, with a separator between the names.
    fn all(&self, people: &[PersonId]) -> String {
        let names: Vec<String> = people.iter().map(|person| self.one(person)).collect();
        names.join(self.separator)
    }
}

/// Returns the number of the parent ticket if this ticket ended because its parent ended. In this case, the
/// reason in the event is a fixed Chinese text that contains the number.
fn ended_parent(closed: &Closed) -> Option<&str> {
    let reason = closed.reason.read();
    let is_of_desk = closed.by.is_system();
    let sn = reason.strip_prefix("母单 ")?.strip_suffix(" 已结束")?;
    is_of_desk.then_some(sn)
}

/// Returns true if the desk tested a condition of the transition that the ticket followed. Otherwise the ticket
/// followed the transition because no other condition was true.
fn has_tested_condition(taken: &TransitionTaken) -> bool {
    taken
        .tested
        .iter()
        .any(|tested| tested.transition == taken.transition)
}

/// Returns true if a person added or removed only themselves as a follower of a ticket.
fn is_own_change(changed: &FollowersChanged) -> bool {
    changed.people.len() == 1 && changed.people.contains(&changed.by)
}

/// Returns the name of a form field, or its key if the field has no name.
fn field_name(at: &FieldAt) -> &str {
    if at.name.is_empty() {
        &at.key
    } else {
        &at.name
    }
}

/// Formats a file size as text. The size is rounded up if `is_rounded_up` is true, and rounded down
/// otherwise. For a rejected file, the caller rounds the file size up and the size limit down. The shown file
/// size is therefore always larger than the shown limit.
fn size(bytes: u64, is_rounded_up: bool) -> String {
    let (unit, name) = if bytes < 1 << 20 {
        (1 << 10, "KB")
    } else {
        (1 << 20, "MB")
    };
    let tenths = bytes.saturating_mul(10);
    let tenths = if is_rounded_up {
        tenths.div_ceil(unit)
    } else {
        tenths / unit
    };
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}
