//! Defines the events of one source of cases from which the desk reads changed records. The events are stored in the
//! stream `case_source-<name of the integration>`.

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::api_call::Exchange;
use crate::event::{DeadlineChange, Personals, event_enum};

/// The id of the deadline at which the desk reads the changed records of the source.
pub const PULL: &str = "pull";

event_enum! {
    /// The events of one source of cases.
    CaseSourceEvent of "case_source" {
        Started "case_source.started" 1,
        Hinted "case_source.hinted" 1,
        PageRead "case_source.page_read" 1,
        PullFailed "case_source.pull_failed" 1,
        Stopped "case_source.stopped" 1,
    }
    deadlines |event: &CaseSourceEvent| match event {
        CaseSourceEvent::Started(started) => vec![DeadlineChange::set(PULL, started.due)],
        CaseSourceEvent::Hinted(hinted) => vec![DeadlineChange::set(PULL, hinted.due)],
        CaseSourceEvent::PageRead(page) => vec![DeadlineChange::set(PULL, page.due)],
        CaseSourceEvent::PullFailed(failed) => vec![DeadlineChange::set(PULL, failed.due)],
        CaseSourceEvent::Stopped(_) => vec![DeadlineChange::clear(PULL)],
    };
}

/// The desk begins to read the changed records of the source regularly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The name of the integration.
    pub source: String,
    /// The records that the desk reads, in the query language of the source, and the form of their list. The text is empty for
    /// all records of a fixed list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// True if the desk read the source before and continues at the same place, with another pause between two reads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
    /// The pause between two reads in milliseconds. Absent in an event from before this member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<i64>,
    pub due: Moment,
}
impl Personals for Started {}

/// A message of the source showed that records have changed. The desk reads them at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hinted {
    /// The name of the stream with the message.
    pub inbound: String,
    pub due: Moment,
}
impl Personals for Hinted {}

/// The desk read one page of changed records, and received each record as a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRead {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// Number of records on the page.
    pub records: u32,
    /// Number of records with content that the desk did not have.
    pub changed: u32,
    /// Number of messages that had arrived when the first page was read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hints: u32,
    /// Where the next read begins. The text has a meaning only for the kind of source.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cursor: String,
    /// True if further pages follow. The next page is then due at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_more: bool,
    pub due: Moment,
}
impl Personals for PageRead {}

// The parameter is a reference, because the library serde calls this function with a reference to the number.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde needs"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The source could not be read. The desk reads it again at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullFailed {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
    /// True if the limit of the desk did not allow the request. Nothing was sent, and the attempt does not count as failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_throttled: bool,
    /// The number of records on the next pages, if the response was too long. The desk reads the page again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    pub due: Moment,
}
impl Personals for PullFailed {}

/// The desk no longer reads the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {}
impl Personals for Stopped {}
