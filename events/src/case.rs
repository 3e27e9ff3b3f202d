//! Cases: records of external systems that are bound to tickets, in the stream
//! `case-<hash of source and record>` (plans/external.md, "Cases in").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{AppCode, Moment, PersonId, TicketSn};

/// The deadline id of the processing of received content.
pub const PROCESS: &str = "process";

event_enum! {
    /// The events of one case.
    CaseEvent of "case" {
        Received "case.received" 1,
        ProcessRequested "case.process_requested" 1,
        Bound "case.bound" 1,
        Updated "case.updated" 1,
        Refused "case.refused" 1,
        Identified "case.identified" 1,
    }
    deadlines |event: &CaseEvent| match event {
        CaseEvent::Received(received) => vec![DeadlineChange::set(PROCESS, received.due)],
        CaseEvent::ProcessRequested(requested) => vec![DeadlineChange::set(PROCESS, requested.due)],
        CaseEvent::Bound(_)
        | CaseEvent::Updated(_)
        | CaseEvent::Refused(_)
        | CaseEvent::Identified(_) => vec![DeadlineChange::clear(PROCESS)],
    };
}

/// The version of a record in its source. Older content never replaces newer content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateMark {
    /// The number of changes of the record.
    Counter(i64),
    /// The instant of the last change, by the clock of the source.
    Time(Moment),
}

impl UpdateMark {
    /// Returns whether this mark is older than another mark. Marks of different kinds have no
    /// order.
    pub fn is_before(self, other: Self) -> bool {
        match (self, other) {
            (Self::Counter(own), Self::Counter(other)) => own < other,
            (Self::Time(own), Self::Time(other)) => own < other,
            _ => false,
        }
    }
}

/// New content of a record arrived. If the content is not processed by `due`, the queue `sync`
/// processes the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The name of the integration that sent the record.
    pub source: String,
    /// The id of the record in the source; empty if the id is unreadable.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub record: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<UpdateMark>,
    /// The instant at which the source created the record, by the clock of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
    /// The instant at which the desk received this content.
    pub received: Moment,
    /// A keyed hash of the content, in hexadecimal digits. Equal content adds no event. The key
    /// store contains the content itself until the content is processed.
    pub digest: String,
    /// The app that sent the content.
    pub app: AppCode,
    pub due: Moment,
}
impl Personals for Received {}

/// A person requested that the refused content is processed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRequested {
    pub by: PersonId,
    pub due: Moment,
}
impl Personals for ProcessRequested {}

/// The desk opened a ticket for the case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub ticket: TicketSn,
    /// The version of the mapping with which all content of this case is read.
    pub mapping: u32,
    /// A short digest of each mapped value, by the key of the form field. Only values that the
    /// source changes later are applied to the ticket.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}
impl Personals for Bound {}

/// Newer content was applied to the ticket. `has_changed` is false if the source changed no mapped
/// value, or if the ticket already had the new values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    pub has_changed: bool,
    /// A short digest of each mapped value, by the key of the form field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}
impl Personals for Updated {}

/// The received content could not become a ticket or a change of the ticket. A bound case stays
/// bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The JSON pointer of the member of the record that is the reason (RFC 6901), or the key of
    /// the form field; empty if no single member is the reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    pub reason: String,
}
impl Personals for Refused {}

/// A corrected mapping found the id of a record whose id was unreadable. The content belongs to
/// another stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The stream of the case.
    pub case: String,
}
impl Personals for Identified {}
