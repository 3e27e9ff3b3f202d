//! Repairs a difference between a ticket and one of its records that has lasted longer than the permitted time. Who decides
//! about the value decides about the repair.

use domain::itsm::case;
use domain::itsm::reconciliation::{ComparedValue, REMARKS_MAX};
use domain::ticket;
use events::case::{Conflicted, Repair, Repaired};
use events::integration::Authority;
use events::writeback::Field;
use infra::Error;
use serde_json::Value;

use super::compare::{Comparison, execute};
use crate::app::itsm::cases;
use crate::app::itsm::takeover::{self, Takeover};

/// A difference that has lasted longer than the permitted time.
pub(super) struct Lasting<'a> {
    pub(super) comparison: &'a Comparison<'a>,
    pub(super) value: ComparedValue,
    /// The value in the record.
    pub(super) found: &'a str,
    /// The value that the ticket expects.
    pub(super) wanted: &'a str,
    /// Null if the record does not exist.
    pub(super) record: &'a Value,
    /// Whether the ticket has ended.
    pub(super) is_over: bool,
    /// The numbers of the remarks whose notes are not in the record, in their order.
    pub(super) missing: &'a [u64],
}

/// What repairs a difference.
enum Step {
    /// The desk processes the record as if the source had sent it.
    Process,
    /// The desk writes its value again.
    Write,
    /// The desk writes the missing remarks again, in their order.
    WriteRemarks(Vec<u64>),
    /// The ticket gets the value of the record.
    TakeOver(Box<ticket::Command>),
    /// The case shows the conflict, and a person decides.
    Conflict,
    /// A write of the value waits already, the record cannot be written, or all missing remarks were written again a short
    /// time before or refused too often.
    Wait,
}

/// Begins to repair a difference, at most once an hour for each value and each remark. A conflict is shown at once. The writes
/// follow from the stored beginning of the repair, so that they are also made if the process ends in between.
pub(super) async fn repair(lasting: &Lasting<'_>) -> Result<(), Error> {
    let Comparison {
        app,
        case,
        ticket,
        meta,
        ..
    } = lasting.comparison;
    match lasting.step().await? {
        Step::Wait => Ok(()),
        Step::Conflict => lasting.conflict().await,
        Step::Process => {
            if !lasting.begin(Repair::Read, &[]).await? {
                return Ok(());
            }
            let records = std::slice::from_ref(lasting.record);
            Box::pin(cases::receive_from(app, &case.source, records, meta))
                .await
                .map(drop)
        }
        Step::TakeOver(command) => {
            if !lasting.begin(Repair::Read, &[]).await? {
                return Ok(());
            }
            let id = app.ledger.fresh_id();
            if Box::pin(takeover::execute(app, ticket, &command, id, meta)).await? {
                Ok(())
            } else {
                lasting.conflict().await
            }
        }
        Step::Write => lasting.begin(Repair::Write, &[]).await.map(drop),
        Step::WriteRemarks(remarks) => lasting.begin(Repair::Write, &remarks).await.map(drop),
    }
}

impl Lasting<'_> {
    /// Decides how the difference is repaired. The source decides about the content of its record and about the end of a
    /// case, and the desk about its own remarks.
    async fn step(&self) -> Result<Step, Error> {
        let field = match self.value {
            ComparedValue::Status => Field::Status,
            ComparedValue::Assignee => Field::Assignee,
            ComparedValue::Content => return Ok(Step::Process),
            ComparedValue::Remark => return self.remarks().await,
        };
        let Comparison {
            place,
            binding,
            defined,
            mapping,
            ..
        } = self.comparison;
        let ends_ticket = field == Field::Status
            && place.integration.is_empty()
            && !self.is_over
            && mapping.ends.contains_key(self.found);
        if ends_ticket {
            return Ok(Step::Process);
        }
        if self.record.is_null() || field == Field::Status && self.found.is_empty() {
            return Ok(Step::Wait);
        }
        let (authority, first) = match field {
            Field::Status => (defined.status_authority, &binding.first_status),
            Field::Assignee => (
                defined.assignee_authority.unwrap_or(Authority::Desk),
                &binding.first_assignee,
            ),
        };
        let writes = self.comparison.writes().await?;
        if writes.is_open && writes.waiting.contains(&field) {
            // The write compares the value with the record itself.
            return Ok(Step::Wait);
        }
        let confirmed = match field {
            Field::Status => &writes.confirmed,
            Field::Assignee => &writes.confirmed_assignee,
        };
        let is_first = binding.accepts_any && confirmed.is_none();
        // If the source has not changed the record, a write of the desk was lost.
        let is_lost = is_first || writes.is_own(field, self.found, first);
        Ok(match authority {
            Authority::Desk => Step::Write,
            Authority::Person | Authority::Source if is_lost => Step::Write,
            Authority::Person => Step::Conflict,
            Authority::Source => self.take_over(field).await?,
        })
    }

    /// Returns the step for missing remarks: those that were not written again a short time before and not refused too often,
    /// at most [`REMARKS_MAX`]. The next comparison continues with the others.
    async fn remarks(&self) -> Result<Step, Error> {
        let Comparison { app, binding, .. } = self.comparison;
        let writes = self.comparison.writes().await?;
        let now = app.ledger.clock.now();
        let missing = self.missing.iter().copied();
        let due = missing
            .filter(|remark| !binding.has_repaired(*remark, now) && !writes.is_given_up(*remark));
        let remarks: Vec<u64> = due.take(REMARKS_MAX).collect();
        Ok(if remarks.is_empty() {
            Step::Wait
        } else {
            Step::WriteRemarks(remarks)
        })
    }

    /// Returns the step that gives the ticket the value of the record.
    async fn take_over(&self, field: Field) -> Result<Step, Error> {
        let Comparison {
            app,
            ticket,
            binding,
            defined,
            mapping,
            accounts,
            ..
        } = self.comparison;
        let wanted = Takeover {
            field,
            found: self.found,
            defined,
            record: &binding.record,
            mapping,
            accounts,
        };
        let command = takeover::command(app, ticket, &wanted).await?;
        Ok(command.map_or(Step::Conflict, |command| Step::TakeOver(Box::new(command))))
    }

    /// Stores that the repair begins, with the values before and after it. Returns false if the same value was repaired a
    /// short time before, or if the case is not bound to the record any more.
    async fn begin(&self, repair: Repair, remarks: &[u64]) -> Result<bool, Error> {
        let Comparison {
            app, place, meta, ..
        } = self.comparison;
        let repaired = case::Command::Repair(Repaired {
            integration: place.integration.to_owned(),
            field: self.value.name().into(),
            found: self.found.to_owned(),
            wanted: self.wanted.to_owned(),
            remarks: remarks.to_vec(),
            repair,
            at: app.ledger.clock.now(),
        });
        execute(app, *place, repaired, meta).await
    }

    /// Stores the conflict, so that people see it. The same conflict again adds no event.
    async fn conflict(&self) -> Result<(), Error> {
        let Comparison {
            app, place, meta, ..
        } = self.comparison;
        let conflict = case::Command::Conflict(Conflicted {
            integration: place.integration.to_owned(),
            field: self.value.name().into(),
            found: self.found.to_owned(),
            wanted: self.wanted.to_owned(),
        });
        execute(app, *place, conflict, meta).await.map(drop)
    }
}
