//! Binds a case to a record of another integration, such as a CRM, because a person names the record, and removes such a
//! binding.

use std::collections::BTreeSet;

use domain::intent::Change;
use domain::itsm::case::{Case, Command, Rejection};
use domain::itsm::mapping::RECORD_BYTES_MAX;
use domain::itsm::pinned::target_of_records;
use domain::itsm::writeback::{self, Writeback};
use domain::reactions::write_back;
use events::Meta;
use events::case::{BindingSet, FurtherBinding};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError, Kind};

use super::cases;
use super::sources::{self, WriteRequest};
use crate::App;
use crate::app::tickets;

/// Maximum number of attempts to cancel writes. An attempt fails if the writes change at the same time.
const CANCEL_ATTEMPTS: usize = 3;

/// The reason why a case was not bound to a record, or why a binding was not removed.
#[derive(Debug, thiserror::Error)]
pub enum NotLinked {
    /// The id of the record is not valid.
    #[error(
        "must have 1 to {} bytes, no control characters, and no spaces at its ends",
        RECORD_BYTES_MAX
    )]
    Record,
    /// The integration does not exist, or the desk cannot write to its records.
    #[error("integration {name} {reason}")]
    Integration { name: String, reason: &'static str },
    /// The text contains the names of the integrations.
    #[error("is required, because a person bound the case to records of {0}")]
    Several(String),
    #[error(transparent)]
    Rejected(Rejection),
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Binds the case to the record of another integration. The desk then writes the status, the assignee and the last remark of
/// the ticket to the record ([`request_writes`]). The actor of `meta` is stored as the person who bound the case. An earlier
/// binding to another record of the same integration ends. Returns the new state of the case.
pub async fn link(
    app: &App,
    stream: &str,
    integration: &str,
    record: &str,
    meta: &Meta,
) -> Result<Case, NotLinked> {
    let is_id = (1..=RECORD_BYTES_MAX).contains(&record.len())
        && record.trim() == record
        && !record.chars().any(char::is_control);
    if !is_id {
        return Err(NotLinked::Record);
    }
    let defined = app.configuration.integration(integration).await?;
    let mapping = cases::bindable(&defined).map_err(|reason| NotLinked::Integration {
        name: integration.to_owned(),
        reason,
    })?;
    let set = Command::SetBinding(BindingSet {
        by: meta.actor.clone(),
        binding: FurtherBinding {
            integration: integration.to_owned(),
            record: record.to_owned(),
            mapping,
            target: defined.defined.as_ref().and_then(target_of_records),
            refused: None,
        },
    });
    execute(app, stream, &set, meta).await
}

/// Removes the binding of the case to a record of another integration that a person set. The record stays as it is, and writes
/// that wait for it are canceled ([`request_writes`]). Without a name, the only integration with such a binding is meant. If
/// there is no binding, nothing changes.
pub async fn unlink(
    app: &App,
    stream: &str,
    integration: Option<&str>,
    meta: &Meta,
) -> Result<(), NotLinked> {
    let case = app.ledger.load::<Case>(stream).await?.aggregate.0;
    let known = case.set_by_people();
    let integration = match (integration, known.as_slice()) {
        (Some(integration), _) => integration,
        (None, []) => return Ok(()),
        (None, [only]) => *only,
        (None, several) => return Err(NotLinked::Several(several.join(", "))),
    };
    let remove = Command::RemoveBinding {
        by: meta.actor.clone(),
        integration: integration.to_owned(),
    };
    execute(app, stream, &remove, meta).await.map(drop)
}

async fn execute(
    app: &App,
    stream: &str,
    command: &Command,
    meta: &Meta,
) -> Result<Case, NotLinked> {
    let envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    let outcome = app
        .ledger
        .execute::<Case>(&envelope, command, &NoContext)
        .await
        .map_err(|failure| match failure {
            ExecuteError::Rejected(rejection) => NotLinked::Rejected(rejection),
            ExecuteError::Technical(error) => NotLinked::Technical(error),
        })?;
    Ok(outcome.state)
}

/// Cancels the writes in a stream that wait for a record to which the case is not bound any more. Returns true if they were
/// canceled.
pub async fn cancel_former(app: &App, stream: &str) -> Result<bool, Error> {
    for _ in 0..CANCEL_ATTEMPTS {
        let loaded = app.ledger.load::<Writeback>(stream).await?;
        let Some(target) = &loaded.aggregate.0.target else {
            return Ok(false);
        };
        // The case is loaded after the writes. Writes for a newer binding therefore change the stream of the writes, and the
        // command is rejected.
        let case = app.ledger.load::<Case>(&target.case).await?.aggregate.0;
        let binding = case.binding(&target.source);
        let record = binding.map(|binding| binding.record.clone());
        if record.as_ref() == Some(&target.record) {
            return Ok(false);
        }
        let envelope = CommandEnvelope {
            stream: stream.to_owned(),
            command_id: app.ledger.fresh_id(),
            meta: Meta::system(target.cause.as_str(), target.cause.as_str()),
        };
        let cancel = writeback::Command::Cancel { record };
        let last = Some(loaded.next - 1);
        match app
            .ledger
            .execute_at::<Writeback>(&envelope, last, &cancel, &NoContext)
            .await
        {
            Ok(outcome) => return Ok(!outcome.events.is_empty()),
            Err(ExecuteError::Technical(error)) if error.kind == Kind::Stale => {}
            Err(failure) => return Err(failure.unexpected()),
        }
    }
    Err(Error::new(
        Kind::Conflict,
        format!("{stream} changed during every attempt"),
    ))
}

/// Requests that the desk writes the current status, the assignee and the last remark of the ticket to the record in the
/// integration, and cancels writes that wait for a former record. If the case is not bound to a record any more, nothing is
/// requested. `cause` is the id of the event that changed the binding. Returns the streams of the writes.
pub async fn request_writes(
    app: &App,
    stream: &str,
    integration: &str,
    cause: &str,
    correlation: &str,
) -> Result<BTreeSet<String>, Error> {
    let case = app.ledger.load::<Case>(stream).await?.aggregate.0;
    cancel_former(
        app,
        &sources::stream_of_writes(stream, &case.source, integration),
    )
    .await?;
    let (Some(ticket), Some(_)) = (&case.ticket, case.binding(integration)) else {
        return Ok(BTreeSet::new());
    };
    let history = tickets::history(&app.ledger, &ticket.stream()).await?;
    let remark = write_back::last_remark(&history);
    let changes = [Change::Status, Change::Assignee].into_iter().chain(remark);
    let mut streams = BTreeSet::new();
    for (change, name) in changes.zip(["status", "assignee", "remark"]) {
        let request = WriteRequest {
            case: stream,
            ticket,
            change: &change,
            only: Some(integration),
            repeats: false,
        };
        // Each request has its own cause, because equal causes are one request.
        let meta = Meta::system(correlation, format!("{cause}/{name}"));
        streams.extend(sources::request_writes(app, &request, &meta).await?);
    }
    Ok(streams)
}
