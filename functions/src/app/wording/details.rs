//! Writes the details of an event for the ticket timeline: the reason, the form values and the tested
//! conditions. The order of the details is the same in all languages. [`Words`] contains the words of one
//! language.

use std::collections::BTreeMap;

use domain::ticket::AUTO_PASS;
use domain::value::plain;
use events::ticket::{Opened, Priority, RowImported, Tested, TicketEvent, VoteCast};
use events::workflow::Operator;
use events::{Entry, Personal, Remark};
use serde_json::Value;

use super::people::ids_in;
use super::words::Words;
use super::{Names, ended_parent};

/// Maximum length of a form value in the ticket timeline, in characters. Longer values are cut off. Other
/// pages show the whole value.
const VALUE_MAX: usize = 1_000;

/// All operators that can occur in a tested condition of a workflow transition.
const OPERATORS: [Operator; 10] = [
    Operator::Equal,
    Operator::NotEqual,
    Operator::Greater,
    Operator::Less,
    Operator::AtLeast,
    Operator::AtMost,
    Operator::Superset,
    Operator::NotSuperset,
    Operator::In,
    Operator::NotIn,
];

/// Returns the details of an event for the ticket timeline. Each text in the result is one line.
pub(super) fn of(event: &TicketEvent, words: &Words, names: &Names<'_>) -> Vec<String> {
    let mut details = Details {
        words,
        names,
        lines: Vec::new(),
    };
    details.add_event(event);
    details.lines
}

struct Details<'a> {
    words: &'a Words,
    names: &'a Names<'a>,
    lines: Vec<String>,
}

impl Details<'_> {
    fn add_event(&mut self, event: &TicketEvent) {
        let words = self.words;
        match event {
            TicketEvent::Opened(opened) => self.opened(opened),
            TicketEvent::RowImported(row) => self.row(row),
            TicketEvent::NodeClaimed(claimed) => self.remark(words.reason, &claimed.reason),
            TicketEvent::NodeAssigned(assigned) => self.remark(words.message, &assigned.message),
            TicketEvent::NodeTransferred(transferred) => {
                self.remark(words.message, &transferred.message);
            }
            TicketEvent::VoteCast(vote) => self.vote(vote),
            TicketEvent::NodeCompleted(completed) => {
                self.remark(words.reason, &completed.reason);
                self.form(&completed.form);
                self.values(&completed.outputs);
            }
            TicketEvent::TransitionTaken(taken) => {
                self.remark(words.reason, &taken.reason);
                self.trace(&taken.tested);
            }
            TicketEvent::TransitionMissing(missing) => self.trace(&missing.tested),
            TicketEvent::Suspended(suspended) => self.remark(words.reason, &suspended.reason),
            TicketEvent::Resumed(resumed) => self.remark(words.reason, &resumed.reason),
            TicketEvent::Withdrawn(withdrawn) => self.remark(words.reason, &withdrawn.reason),
            TicketEvent::Terminated(terminated) => self.remark(words.reason, &terminated.reason),
            TicketEvent::NodeResultReceived(received) => {
                self.label(words.reason, &received.reason);
                self.label(words.task, &received.task);
                self.values(&received.outputs);
            }
            TicketEvent::NodeFailed(failed) => self.label(words.reason, &failed.reason),
            TicketEvent::NodeRetried(retried) => {
                self.remark(words.reason, &retried.reason);
                self.values(&retried.inputs);
            }
            TicketEvent::NodeSkipped(skipped) => {
                // If the desk itself skipped the node, the sentence about this event in the timeline already contains
                // the reason.
                if !skipped.by.is_system() {
                    self.remark(words.reason, &skipped.reason);
                }
                self.values(&skipped.outputs);
            }
            TicketEvent::NodeReassigned(reassigned) => {
                self.remark(words.message, &reassigned.message);
            }
            TicketEvent::Closed(closed) => {
                // If the ticket ended because its parent ticket ended, the sentence about this event in the timeline
                // already contains the reason.
                if ended_parent(closed).is_none() {
                    self.remark(words.reason, &closed.reason);
                }
            }
            TicketEvent::FieldsChanged(changed) => {
                let has_names = changed.names.len() == changed.form.len();
                for (at, entry) in changed.form.iter().enumerate() {
                    let name = changed.names.get(at).filter(|_| has_names);
                    self.entry(name.unwrap_or(&entry.key), entry);
                }
            }
            TicketEvent::PriorityChanged(changed) => self.levels(&changed.priority),
            TicketEvent::RemarkAdded(added) => {
                if !added.text.is_empty() {
                    self.lines.push(self.readable(&added.text).to_owned());
                }
                self.label(words.mentions, &self.names.all(&added.mentions));
            }
            TicketEvent::FollowersChanged(changed) => {
                if changed.follows && changed.invited {
                    self.lines.push(words.invited.to_owned());
                }
            }
            TicketEvent::Rated(rated) => {
                // If the desk itself rated the ticket, the comment is always the same text. Such a comment is not
                // shown.
                if !rated.by.is_system() {
                    self.remark(words.comment, &rated.comment);
                }
            }
            TicketEvent::Reminded(reminded) => self.remark(words.message, &reminded.message),
            TicketEvent::Acknowledged(acknowledged) => {
                self.remark(words.reason, &acknowledged.reason);
            }
            TicketEvent::Escalated(escalated) => self.remark(words.reason, &escalated.reason),
            TicketEvent::NodeEntered(_)
            | TicketEvent::Finished(_)
            | TicketEvent::BranchesStarted(_)
            | TicketEvent::BranchJoined(_)
            | TicketEvent::ProcessorsMissing(_)
            | TicketEvent::StatusSet(_)
            | TicketEvent::Linked(_)
            | TicketEvent::Unlinked(_) => {}
        }
    }

    fn opened(&mut self, opened: &Opened) {
        if let Some(priority) = &opened.priority {
            let level = (self.words.level)(&priority.key);
            self.label(self.words.priority, level);
            self.levels(priority);
        }
        for field in &opened.dynamic_fields {
            let name = if field.name.is_empty() {
                &field.key
            } else {
                &field.name
            };
            self.label(name, &field.value);
        }
        if let Some(callback) = &opened.callback {
            self.label(self.words.callback, &callback.host);
        }
    }

    fn row(&mut self, row: &RowImported) {
        let words = self.words;
        for (label, text) in [
            (words.title, &row.title),
            (words.group, &row.group),
            (words.actor, &row.actor),
            (words.priority, &row.priority),
            (words.impact, &row.impact),
            (words.urgency, &row.urgency),
        ] {
            self.label(label, text);
        }
        for (name, number) in &row.numbers {
            self.label(name, &number.to_string());
        }
        for (name, text) in &row.columns {
            self.label(name, text);
        }
    }

    fn vote(&mut self, vote: &VoteCast) {
        let reason = vote.reason.read();
        // The reason of a vote is not added in two cases. First, the sentence about an automatic vote already contains
        // the reason. Second, one of the form values of the vote can be the same text as the reason.
        let is_automatic = vote.automatic && reason == AUTO_PASS;
        let is_in_form =
            !reason.is_empty() && vote.form.iter().any(|entry| plain(entry.read()) == reason);
        if !is_automatic && !is_in_form {
            self.remark(self.words.opinion, &vote.reason);
        }
        self.form(&vote.form);
    }

    fn levels(&mut self, priority: &Priority) {
        let words = self.words;
        self.label(words.impact, (words.level)(&priority.impact));
        self.label(words.urgency, (words.level)(&priority.urgency));
    }

    /// Adds a line with a label and a text to the details of the event. If the text is empty, no line is added.
    fn label(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            self.lines
                .push(format!("{label}{}{text}", self.words.colon));
        }
    }

    fn remark(&mut self, label: &str, remark: &Remark) {
        if !remark.is_empty() {
            self.lines.push(format!(
                "{label}{}{}",
                self.words.colon,
                self.readable(remark)
            ));
        }
    }

    /// Returns the text of a remark. If the reader cannot see the text, returns a replacement such as
    /// `[erased]`.
    fn readable<'r>(&self, remark: &'r Remark) -> &'r str {
        remark
            .personal
            .as_ref()
            .and_then(|personal| hidden(personal, self.words))
            .unwrap_or_else(|| remark.read())
    }

    fn form(&mut self, form: &[Entry]) {
        for entry in form {
            let label = self.names.field(&entry.key);
            self.entry(&label, entry);
        }
    }

    fn entry(&mut self, label: &str, entry: &Entry) {
        let hidden = entry
            .personal
            .as_ref()
            .and_then(|personal| hidden(personal, self.words));
        let text = match hidden {
            Some(hidden) => hidden.to_owned(),
            None if entry.shown.is_empty() => {
                let value = entry.read();
                let is_plain = !value.is_array() && !value.is_object();
                let option = is_plain.then(|| self.names.option(&entry.key, &plain(value)));
                option.flatten().unwrap_or_else(|| self.value(value))
            }
            None => entry.shown.clone(),
        };
        self.filled(label, text);
    }

    fn values(&mut self, values: &BTreeMap<String, String>) {
        for (key, text) in values {
            let text = self.option(key, text);
            self.filled(&self.names.field(key), text);
        }
    }

    /// Adds a line with a label and a value to the details of the event. If the value is empty, the line contains a
    /// text such as `(empty)`.
    fn filled(&mut self, label: &str, value: String) {
        let value = if value.is_empty() {
            self.words.empty.to_owned()
        } else {
            cut(value)
        };
        self.label(label, &value);
    }

    /// Returns a form value as text. The rows of a table are separated by semicolons.
    fn value(&self, value: &Value) -> String {
        let words = self.words;
        match value {
            Value::Null => String::new(),
            Value::String(text) => self.text(text),
            Value::Bool(_) | Value::Number(_) => plain(value),
            Value::Array(items) => {
                let is_table = items.iter().any(Value::is_object);
                let texts: Vec<String> = items.iter().map(|item| self.value(item)).collect();
                texts.join(if is_table {
                    words.row_separator
                } else {
                    words.separator
                })
            }
            Value::Object(members) => {
                let texts: Vec<String> = members
                    .iter()
                    .map(|(key, member)| format!("{key}{}{}", words.colon, self.value(member)))
                    .collect();
                texts.join(words.separator)
            }
        }
    }

    /// If the text is a list of person ids, returns the user names of these people. Otherwise, returns the
    /// text without change.
    fn text(&self, text: &str) -> String {
        let people = ids_in(text);
        if people.is_empty() {
            text.to_owned()
        } else {
            self.names.all(&people)
        }
    }

    /// Returns the text that people read for the value of a form field or of an output variable.
    fn option(&self, key: &str, text: &str) -> String {
        let option = self.names.option(key, text);
        option.unwrap_or_else(|| self.text(text))
    }

    fn trace(&mut self, trace: &[Tested]) {
        for tested in trace {
            let line = self.tested(tested);
            self.lines.push(line);
        }
    }

    fn tested(&self, tested: &Tested) -> String {
        let words = self.words;
        let parts = clause_parts(&tested.clause);
        let key = parts.map_or("", |(key, ..)| key);
        let clause = match parts {
            Some((key, operator, expected)) => (words.clause)(
                &self.names.field(key),
                operator,
                &self.compared(key, expected),
            ),
            None => tested.clause.clone(),
        };
        let actual = match tested.found.as_str() {
            "<personal>" => words.personal.to_owned(),
            "<erased>" => words.erased.to_owned(),
            found => self.compared(key, found),
        };
        (words.tested)(tested.transition, &clause, &actual, tested.holds)
    }

    /// Returns the expected value or the actual value of a comparison, in quotation marks. For an empty
    /// value, returns a text such as `(empty)`.
    fn compared(&self, key: &str, value: &str) -> String {
        if value.is_empty() {
            self.words.empty.to_owned()
        } else {
            (self.words.quoted)(&self.option(key, value))
        }
    }
}

/// Returns a replacement such as `[erased]` for a personal value that the reader cannot see. Returns `None`
/// if the reader can see the value.
fn hidden(personal: &Personal, words: &Words) -> Option<&'static str> {
    if personal.is_erased() {
        Some(words.erased)
    } else if personal.value.is_null() {
        Some(words.personal)
    } else {
        None
    }
}

/// Splits a tested comparison such as `DAYS > 3` into its key, its operator and its expected value. Returns
/// `None` if the text was cut before the operator.
pub(super) fn clause_parts(clause: &str) -> Option<(&str, Operator, &str)> {
    let (key, rest) = clause.split_once(' ')?;
    let (sign, expected) = rest.split_once(' ').unwrap_or((rest, ""));
    let operator = OPERATORS
        .into_iter()
        .find(|operator| operator.sign() == sign)?;
    Some((key, operator, expected))
}

fn cut(text: String) -> String {
    match text.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
