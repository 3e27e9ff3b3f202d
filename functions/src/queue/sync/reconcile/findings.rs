//! Compares the values of a record, and the notes in it, with those that the ticket expects.

use domain::itsm::mapping;
use domain::itsm::reconciliation::{ComparedValue, Expected, ExpectedAssignee, Finding};
use domain::itsm::writeback::{Writeback, marked};
use domain::reactions::write_back;
use domain::ticket::Ticket;
use infra::Error;
use infra::source::Answer;

use super::compare::Comparison;
use super::reading::Read;
use crate::app::itsm::{cases, sources};
use crate::app::tickets;

/// Maximum number of characters of a status that are compared and stored. A status is a short word or number.
const STATUS_CHARS_MAX: usize = 256;

/// What a ticket expects in one of its records.
pub(super) struct Expectation {
    pub(super) status: Option<Expected>,
    pub(super) assignee: ExpectedAssignee,
    pub(super) is_over: bool,
}

/// The remarks of the desk in a record.
pub(super) enum Remarks {
    /// The desk wrote no remarks, or remarks are not compared.
    None,
    /// Remarks wait, so not all are in the record yet.
    Waiting,
    /// The record must have notes with the marks of the remarks of these writes.
    Written(Box<Writeback>),
}

/// The results of the comparison of all values.
pub(super) struct Findings {
    /// A value that cannot be compared now is not in the list.
    pub(super) values: Vec<(ComparedValue, Finding)>,
    /// The numbers of the remarks whose notes are not in the record.
    pub(super) missing: Vec<u64>,
    /// Whether all values could be compared.
    pub(super) are_complete: bool,
}

impl Comparison<'_> {
    /// Returns what the ticket expects now.
    pub(super) async fn expectation(&self) -> Result<Expectation, Error> {
        let stream = self.ticket.stream();
        let ticket = self.app.ledger.load::<Ticket>(&stream).await?.aggregate.0;
        let is_over = ticket.status.is_over();
        let has_assignee = self.mapping.assignee.is_some() && self.api.writes_assignee();
        Ok(Expectation {
            status: Expected::of(self.mapping, ticket.status_key(), is_over),
            assignee: if has_assignee {
                self.accounts.expected(&ticket)
            } else {
                ExpectedAssignee::Any
            },
            is_over,
        })
    }

    /// Returns whether the content of the record is compared. An ended ticket does not take over content any more, and
    /// content that waits is not in the ticket yet.
    pub(super) fn compares_content(&self, is_over: bool) -> bool {
        self.mapping.last_fact
            && self.place.integration.is_empty()
            && mapping::opens_tickets(self.mapping)
            && !self.case.is_pending
            && !is_over
    }

    /// Returns the remarks that the desk wrote to the record, if they are compared.
    pub(super) async fn remarks(&self) -> Result<Remarks, Error> {
        if !self.mapping.last_fact || !self.mapping.notes {
            return Ok(Remarks::None);
        }
        let writes = self.writes().await?;
        Ok(if !writes.notes.is_empty() {
            Remarks::Waiting
        } else if writes.known_notes.is_empty() {
            Remarks::None
        } else {
            Remarks::Written(Box::new(writes))
        })
    }

    /// Returns the numbers of the remarks whose marks are not in the notes. A remark whose text was erased cannot be written
    /// again, so it is not missing.
    async fn missing(
        &self,
        writes: &Writeback,
        text: &str,
        are_all: bool,
    ) -> Result<Vec<u64>, Error> {
        let found = marked(self.ticket, text);
        let mut missing = writes.missing_remarks(&found, are_all);
        if !missing.is_empty() {
            let history = tickets::history(&self.app.ledger, &self.ticket.stream()).await?;
            let readable = write_back::written_remarks(&history);
            missing.retain(|remark| readable.contains(remark));
        }
        Ok(missing)
    }

    /// Returns the state of the writes to the record. What the desk wrote to a former record does not count.
    pub(super) async fn writes(&self) -> Result<Writeback, Error> {
        let stream =
            sources::stream_of_writes(self.place.stream, &self.case.source, &self.defined.name);
        let loaded = self.app.ledger.load::<Writeback>(&stream).await?;
        let writes = loaded.aggregate.0;
        let target = writes.target.as_ref();
        if target.is_some_and(|target| target.record != self.place.record) {
            return Ok(Writeback::default());
        }
        Ok(writes)
    }

    /// Compares the values of the record with those that the ticket expects.
    pub(super) async fn findings(
        &self,
        expected: &Expectation,
        remarks: &Remarks,
        read: &Read,
    ) -> Result<Findings, Error> {
        let record = &read.record;
        let status: String = mapping::status(self.mapping, record)
            .chars()
            .take(STATUS_CHARS_MAX)
            .collect();
        let assignee = mapping::assignee(self.mapping, record);
        let assignee = self.accounts.form_of(&assignee);
        let mut values = vec![
            (
                ComparedValue::Status,
                Finding::of_status(expected.status.as_ref(), &status),
            ),
            (
                ComparedValue::Assignee,
                Finding::of_assignee(&expected.assignee, &assignee),
            ),
        ];
        if self.compares_content(expected.is_over) && !record.is_null() {
            let finding = match mapping::content(self.mapping, record) {
                Ok(content) => {
                    let found = cases::field_digests(self.app, &content).await?;
                    Finding::of_content(&self.case.fields, &found)
                }
                Err(_) => Finding::Unknown,
            };
            values.push((ComparedValue::Content, finding));
        }
        let mut missing = Vec::new();
        let are_complete = match (remarks, &read.notes) {
            (Remarks::None, _) => true,
            (Remarks::Written(writes), Some(notes)) => {
                let finding = match &notes.text {
                    Answer::Done(text) => {
                        missing = self.missing(writes, text, notes.are_all).await?;
                        Finding::of_remarks(self.ticket, &missing)
                    }
                    Answer::Rejected(_) | Answer::NotSent(_) | Answer::Unclear(_) => {
                        Finding::Unknown
                    }
                };
                values.push((ComparedValue::Remark, finding));
                // A system that rejects the request also rejects it later.
                matches!(notes.text, Answer::Done(_) | Answer::Rejected(_))
            }
            (Remarks::Waiting, _) => false,
            // Of a record that does not exist, there are no notes.
            (Remarks::Written(_), None) => record.is_null(),
        };
        Ok(Findings {
            values,
            missing,
            are_complete,
        })
    }
}
