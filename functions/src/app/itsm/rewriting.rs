//! Requests the writes again that failed, because a person corrected the reason, such as a wrong secret.

use domain::intent::Change;
use domain::itsm::case::Case;
use domain::itsm::writeback::Writeback;
use events::Meta;
use events::writeback::Field;
use infra::Error;

use super::sources::{self, WriteRequest, request_again};
use crate::App;

/// Returns the change of a ticket that the desk writes as a value of a record.
pub fn change_of(field: Field) -> Change {
    match field {
        Field::Status => Change::Status,
        Field::Assignee => Change::Assignee,
    }
}

/// Requests again what the desk could not write to the records of a case: the current status and assignee of the ticket, and
/// the remarks. The desk reads a record before it writes, so a value or a remark that the record already has is not written
/// twice. Returns the new state of the case, or `None` if there is nothing to write.
pub async fn write_again(app: &App, stream: &str, meta: &Meta) -> Result<Option<Case>, Error> {
    let case = app.ledger.load::<Case>(stream).await?.aggregate.0;
    let Some(ticket) = &case.ticket else {
        return Ok(None);
    };
    let mut is_requested = false;
    for (integration, binding) in &case.bindings {
        let writes = sources::stream_of_writes(stream, &case.source, integration);
        let writes = app.ledger.load::<Writeback>(&writes).await?.aggregate.0;
        let target = writes.target.as_ref();
        if target.is_none_or(|target| target.record != binding.record) || !writes.has_failed() {
            continue;
        }
        let fields = writes.failed_fields().into_iter().map(change_of);
        let notes = writes.unwritten_notes.iter();
        let notes = notes.map(|id| Change::Remark { id: *id, app: None });
        let changes: Vec<Change> = fields.chain(notes).collect();
        for change in &changes {
            let request = WriteRequest {
                case: stream,
                ticket,
                change,
                only: Some(integration),
                repeats: true,
            };
            is_requested |= request_again(app, &request, meta).await?;
        }
    }
    Ok(is_requested.then_some(case))
}
