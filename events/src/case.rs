//! Defines the events of one case. The events are stored in the stream `case-<hash of source and record>`. A
//! case is a record of an external system (the source) for which the desk opens a ticket (plans/external.md,
//! "Cases in").

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::integration::Target;
use crate::{AppCode, Moment, PersonId, TicketSn};

/// The id of the deadline at which the desk processes the received content of a record, if this content is
/// not processed yet.
pub const PROCESS: &str = "process";
/// The id of the deadline at which the desk compares a case with its record again, because they differed. The id for a
/// further record has a slash and the name of the integration at its end, and the id for another value than the status
/// also has a slash and the name of the value.
pub const COMPARE: &str = "compare";
/// The names of the values that the desk compares.
pub const COMPARED: [&str; 4] = ["status", "assignee", "content", "remark"];

/// Returns the id of the deadline at which the desk compares a value of a case with the record in the integration again.
/// The name of the integration is empty for the record of the source.
pub fn comparison(integration: &str, field: &str) -> Cow<'static, str> {
    match (integration, is_status_field(field)) {
        ("", true) => COMPARE.into(),
        (integration, true) => format!("{COMPARE}/{integration}").into(),
        (integration, false) => format!("{COMPARE}/{integration}/{field}").into(),
    }
}

/// Ends the deadlines of all values of the record in the integration.
fn not_compared(integration: &str) -> Vec<DeadlineChange> {
    COMPARED
        .iter()
        .map(|field| DeadlineChange::clear(comparison(integration, field)))
        .collect()
}

/// Returns the names of the integration and of the value in the id of a deadline from [`comparison`]. Returns `None` for
/// the id of another deadline.
pub fn compared_at(deadline: &str) -> Option<(&str, &str)> {
    let rest = deadline.strip_prefix(COMPARE)?;
    if rest.is_empty() {
        return Some(("", COMPARED[0]));
    }
    let names = rest.strip_prefix('/')?;
    Some(names.split_once('/').unwrap_or((names, COMPARED[0])))
}

event_enum! {
    /// The events of one case (a record of an external system).
    CaseEvent of "case" {
        Received "case.received" 1,
        ProcessRequested "case.process_requested" 1,
        Bound "case.bound" 1,
        Skipped "case.skipped" 1,
        Updated "case.updated" 1,
        Refused "case.refused" 1,
        Identified "case.identified" 1,
        Conflicted "case.conflicted" 1,
        ConflictResolved "case.conflict_resolved" 1,
        Compared "case.compared" 1,
        Repaired "case.repaired" 1,
        BindingSet "case.binding_set" 1,
        BindingRemoved "case.binding_removed" 1,
    }
    deadlines |event: &CaseEvent| match event {
        CaseEvent::Received(received) => vec![DeadlineChange::set(PROCESS, received.due)],
        CaseEvent::ProcessRequested(requested) => vec![DeadlineChange::set(PROCESS, requested.due)],
        CaseEvent::Bound(_)
        | CaseEvent::Skipped(_)
        | CaseEvent::Updated(_)
        | CaseEvent::Refused(_)
        | CaseEvent::Identified(_) => vec![DeadlineChange::clear(PROCESS)],
        CaseEvent::Conflicted(_) | CaseEvent::ConflictResolved(_) | CaseEvent::Repaired(_) => {
            Vec::new()
        }
        CaseEvent::Compared(compared) => vec![match compared.due {
            Some(due) => {
                DeadlineChange::set(comparison(&compared.integration, &compared.field), due)
            }
            None => DeadlineChange::clear(comparison(&compared.integration, &compared.field)),
        }],
        // The values of the former record are not compared any more.
        CaseEvent::BindingSet(set) => not_compared(&set.binding.integration),
        CaseEvent::BindingRemoved(removed) => not_compared(&removed.integration),
    };
}

/// The version of a record in the external system. The desk never replaces newer content of the record with
/// older content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateMark {
    /// The version is a counter. The external system increases the counter with each change of the record.
    Counter(i64),
    /// The version is the time of the last change, by the clock of the external system.
    Time(Moment),
}

impl UpdateMark {
    /// Returns true if this version is older than the other version. A change counter and a time cannot be
    /// compared. If one version is a counter and the other version is a time, the function returns false.
    pub fn is_before(self, other: Self) -> bool {
        match (self, other) {
            (Self::Counter(own), Self::Counter(other)) => own < other,
            (Self::Time(own), Self::Time(other)) => own < other,
            _ => false,
        }
    }
}

/// New content of a record arrived from an external system. If the content is not processed before the time
/// `due`, a message in the queue `sync` starts the processing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The name of the integration (the connection to an external system) that sent the record.
    pub source: String,
    /// The id of the record in the external system. The id is empty if the desk cannot read the id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub record: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<UpdateMark>,
    /// The time at which the external system created the record, by the clock of that system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
    /// The time at which the desk received this content of the record.
    pub received: Moment,
    /// The status of the record in the external system. The text is empty if the mapping does not name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// A keyed hash of the received content, in hexadecimal digits. The desk compares this hash with the hash
    /// of newer content. If the hashes are equal, the desk adds no event. The event does not contain the
    /// content itself. The key store contains the content until the desk has processed the content.
    pub digest: String,
    /// The client app that sent the content.
    pub app: AppCode,
    pub due: Moment,
}
impl Personals for Received {}

/// The desk refused the received content of a record earlier. A person now requested that the desk processes
/// this content again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRequested {
    pub by: PersonId,
    pub due: Moment,
}
impl Personals for ProcessRequested {}

/// A record of another integration to which the case is also bound, or the reason why it is not bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherBinding {
    /// The name of the other integration.
    pub integration: String,
    /// The id of the record in the other integration. The text is empty if the case is not bound.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub record: String,
    /// The version of the mapping of the other integration. Zero if the case is not bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mapping: u32,
    /// The external system that gave the id of the record. Absent if the case is not bound, and if an earlier version of the
    /// program bound it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The reason why the case is not bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The name of the value that conflicts and comparisons had before there were others.
fn status_field() -> String {
    "status".into()
}

fn is_status_field(field: &str) -> bool {
    field == "status"
}

/// The desk opened a ticket for the case (a record of an external system). Newer content of the case changes
/// this ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub ticket: TicketSn,
    /// The version of the mapping (the rules that convert a record to a ticket). The desk reads all content of
    /// this case with the same version.
    pub mapping: u32,
    /// The external system that gave the id of the record. Absent if the desk sends no requests to the source, and if an
    /// earlier version of the program bound the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The status of the record in the external system. The text is empty if the mapping does not name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The assignee of the record: the id of a person, or a digest of the account. The text is empty if the record has no
    /// assignee, or if the mapping does not name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub assignee: String,
    /// The records of other integrations to which the case is also bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<FurtherBinding>,
    /// A short digest (hash) of each value that the record sets in the ticket. Each key of the map is the key
    /// of a form field. The desk compares the digests of newer content with these digests to find the values
    /// that have changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}
impl Personals for Bound {}

/// The record has ended, and the desk has no ticket for it. The desk therefore opened no ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {}
impl Personals for Skipped {}

/// Newer content of the record was processed. The member `has_changed` is false if the ticket did not change.
/// In that case, either the external system changed no value that the ticket uses, or the ticket already had
/// the new values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    pub has_changed: bool,
    /// The records of other integrations to which the case is also bound since this content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<FurtherBinding>,
    /// A short digest (hash) of each value that the record sets in the ticket. Each key of the map is the key
    /// of a form field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}
impl Personals for Updated {}

/// The desk refused the received content of a record. The desk therefore opened no ticket and changed no
/// ticket. If the case already has a ticket, the case keeps this ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The part of the record that caused the refusal. The text is the JSON pointer of a member (RFC 6901) or
    /// the key of a form field. The text is empty if no single part caused the refusal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    pub reason: String,
}
impl Personals for Refused {}

/// The content belongs to the stream in the member `case`. The id or the version of the record was unreadable when the
/// record arrived, and either the desk found it later with a corrected mapping (the rules that convert a record to a ticket),
/// or the record has accepted later content in the meantime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The name of the stream to which the content of the record belongs.
    pub case: String,
}
impl Personals for Identified {}

/// A person bound the case to a record of another integration. An earlier binding to a record of the same integration ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingSet {
    pub by: PersonId,
    pub binding: FurtherBinding,
}
impl Personals for BindingSet {}

/// A person removed the binding to a record of another integration that a person had set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRemoved {
    pub by: PersonId,
    /// The name of the integration.
    pub integration: String,
    /// The id of the record, which stays as it is.
    pub record: String,
}
impl Personals for BindingRemoved {}

/// The source has changed a value of the record that the desk wanted to write. The desk did not overwrite it. A person
/// decides which value is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflicted {
    /// The name of the integration with the record. The text is empty for the source of the case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub integration: String,
    /// The value, such as `status`.
    pub field: String,
    /// The value in the external system. An assignee is the id of a person, or a digest of the account.
    pub found: String,
    /// The value that the desk wanted to write.
    pub wanted: String,
}
impl Personals for Conflicted {}

/// A later value was written to the record, so the values of the source and of the desk agree again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictResolved {
    /// The name of the integration with the record. The text is empty for the source of the case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub integration: String,
    /// The value, such as `status`.
    #[serde(default = "status_field", skip_serializing_if = "is_status_field")]
    pub field: String,
}
impl Personals for ConflictResolved {}

/// Whether a value of a ticket and of its record agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// They differ. The desk compares them again after the permitted time.
    Differs,
    /// They differ for longer than the permitted time: a synchronization error.
    Error,
    /// They agree again.
    Agrees,
    /// All values agree, and the ticket has ended. The case is not compared any more.
    Settled,
}

/// The desk compared a value of the case with its record, and the result is another one than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The name of the integration with the record. The text is empty for the source of the case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub integration: String,
    pub agreement: Agreement,
    /// The compared value: one of [`COMPARED`].
    #[serde(default = "status_field", skip_serializing_if = "is_status_field")]
    pub field: String,
    /// The value in the record. The text is empty if the record does not exist, or if the record has no assignee. An
    /// assignee is the id of a person, or a digest of the account. The content is the keys of the form fields that differ,
    /// with digests of their values. The text is empty for remarks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// The values that agree with the ticket, as a text for people. An assignee is the id of a person. Remarks are the marks
    /// of the first missing notes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// The name of the value if it could not be compared, such as `assignee` if the mapping does not name the account of
    /// the processor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Why the record could not be read, although the source answers about other records. The text is empty if it was read,
    /// or if the value could not be compared for another reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The time of the next comparison, if it is earlier than that of the other cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
    /// The end of the shift, if the comparison at this end found the difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_end: Option<Moment>,
}
impl Personals for Compared {}

/// How the desk repairs a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// The desk writes its value to the record.
    Write,
    /// The desk takes over the value of the record.
    Read,
}

/// The desk began to repair a difference. The members `found` and `wanted` are the values before and after the repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// The name of the integration with the record. The text is empty for the source of the case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub integration: String,
    /// The value that differs, such as `status`.
    pub field: String,
    pub found: String,
    pub wanted: String,
    /// The numbers of the remarks that the desk writes again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<u64>,
    pub repair: Repair,
    pub at: Moment,
}
impl Personals for Repaired {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_of_a_comparison_names_its_record_and_its_value() {
        for (integration, field, id) in [
            ("", "status", "compare"),
            ("erp", "status", "compare/erp"),
            ("", "assignee", "compare//assignee"),
            ("erp", "remark", "compare/erp/remark"),
        ] {
            assert_eq!(comparison(integration, field), id);
            assert_eq!(compared_at(id), Some((integration, field)));
        }
        assert_eq!(compared_at(PROCESS), None);
        assert_eq!(compared_at("compared"), None);
    }
}
