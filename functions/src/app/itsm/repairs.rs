//! Requests the writes of a repair: the desk writes its value, or remarks, to a record that differs from the ticket.

use std::collections::BTreeSet;

use domain::intent::{Change, WriteRepair};
use domain::itsm::case::{Case, Command};
use events::Meta;
use events::case::Conflicted;
use events::writeback::Field;
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::rewriting::change_of;
use super::sources::{self, WriteRequest};
use crate::App;

/// Requests that the desk writes what a repair needs. The same repair again requests nothing. If the case is not bound to the
/// record any more, nothing is requested. If the desk can write no value, the case shows the conflict, and a person decides.
/// Returns the streams of the writes.
pub async fn request_writes(app: &App, repair: &WriteRepair) -> Result<BTreeSet<String>, Error> {
    let mut streams = BTreeSet::new();
    let repaired = &repair.repaired;
    let case = app.ledger.load::<Case>(&repair.case).await?.aggregate.0;
    let integration = if repaired.integration.is_empty() {
        &case.source
    } else {
        &repaired.integration
    };
    let (Some(ticket), Some(binding)) = (&case.ticket, case.binding(integration)) else {
        return Ok(streams);
    };
    if binding.record != repair.record {
        return Ok(streams);
    }
    let remarks = repaired.remarks.iter();
    let mut changes: Vec<Change> = remarks
        .map(|id| Change::Remark { id: *id, app: None })
        .collect();
    let repeats = !changes.is_empty();
    let fields = [Field::Status, Field::Assignee].into_iter();
    let field = fields.filter(|field| !repeats && field.name() == repaired.field);
    changes.extend(field.map(change_of));
    for (number, change) in changes.iter().enumerate() {
        let request = WriteRequest {
            case: &repair.case,
            ticket,
            change,
            only: Some(integration),
            repeats,
        };
        // Each request has its own cause, because equal causes are one request.
        let cause = format!("{}/{number}", repair.cause);
        let meta = Meta::system(repair.correlation.as_str(), cause);
        streams.extend(sources::request_writes(app, &request, &meta).await?);
    }
    if streams.is_empty() && !repeats {
        let conflict = Command::IfBound {
            integration: repaired.integration.clone(),
            record: repair.record.clone(),
            command: Box::new(Command::Conflict(Conflicted {
                integration: repaired.integration.clone(),
                field: repaired.field.clone(),
                found: repaired.found.clone(),
                wanted: repaired.wanted.clone(),
            })),
        };
        let envelope = CommandEnvelope {
            stream: repair.case.clone(),
            command_id: command_id(&["conflict", &repair.cause]),
            meta: Meta::system(repair.correlation.as_str(), repair.cause.as_str()),
        };
        app.ledger
            .execute::<Case>(&envelope, &conflict, &NoContext)
            .await
            .map_err(ExecuteError::unexpected)?;
    }
    Ok(streams)
}
