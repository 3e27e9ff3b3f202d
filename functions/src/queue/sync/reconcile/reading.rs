//! Reads one record of a case, and its notes, within the limits of the integration.

use domain::api_call::plan::PlannedRequest;
use domain::itsm::writeback::is_denied;
use events::integration::Defined;
use infra::Error;
use infra::http::{HttpError, HttpResponse, origin};
use infra::source::{self, Account, Answer, Source};
use serde_json::Value;

use super::Outcome;
use super::compare::Comparison;
use crate::App;
use crate::app::itsm::{gate, sources};

/// The pause if the source already has the maximum number of concurrent requests, in milliseconds.
const BUSY_MS: i64 = 1_000;

/// A record that the desk read.
pub(super) struct Read {
    /// Null if the record does not exist.
    pub(super) record: Value,
    /// `None` if the notes were not read.
    pub(super) notes: Option<Notes>,
}

/// The notes of a record.
pub(super) struct Notes {
    pub(super) text: Answer<String>,
    /// False if the record can have earlier notes.
    pub(super) are_all: bool,
}

impl Comparison<'_> {
    /// Reads the record, and its notes if `has_notes` is true. If the record cannot be read, the inner `Err` is the outcome of
    /// the comparison.
    pub(super) async fn read(&self, has_notes: bool) -> Result<Result<Read, Outcome>, Error> {
        let (app, id) = (self.app, &self.binding.record);
        let account = match sources::account(&*app.ledger.keys, self.defined.clone()).await? {
            Ok(account) => account,
            Err(reason) => return Ok(Err(Outcome::Unreachable(reason))),
        };
        let planned = self.api.one(&account, id);
        let response = match send(app, self.defined, &planned).await? {
            Ok(response) => response,
            Err(outcome) => return Ok(Err(outcome)),
        };
        let status = response.as_ref().ok().map(|response| response.status);
        let record = match self.api.record(&response) {
            Answer::Done(record) => record,
            _ if matches!(status, Some(404 | 410)) => Value::Null,
            Answer::Rejected(reason) if is_denied(status) => {
                let (stream, source) = (self.place.stream, &self.defined.name);
                tracing::warn!(stream, source, reason, "the source denies a record");
                return Ok(Err(Outcome::Denied(reason)));
            }
            Answer::Rejected(reason) if matches!(status, Some(400 | 414 | 422)) => {
                let (stream, source) = (self.place.stream, &self.defined.name);
                tracing::warn!(stream, source, reason, "the id of a record is not accepted");
                return Ok(Err(Outcome::Rejected(reason)));
            }
            Answer::Rejected(reason) | Answer::NotSent(reason) | Answer::Unclear(reason) => {
                return Ok(Err(Outcome::Unreachable(reason)));
            }
        };
        let notes = if has_notes && !record.is_null() {
            self.notes(&account, &planned, &response).await?
        } else {
            None
        };
        Ok(Ok(Read { record, notes }))
    }

    /// Reads the notes of the record. Some systems return them with the record. Returns `None` if no request may be sent now;
    /// a later comparison then reads them.
    async fn notes(
        &self,
        account: &Account,
        of_record: &PlannedRequest,
        response: &Result<HttpResponse, HttpError>,
    ) -> Result<Option<Notes>, Error> {
        let read = |response: &Result<HttpResponse, HttpError>| Notes {
            text: self.api.read_notes(response),
            are_all: self.api.has_all_notes(response),
        };
        let planned = self.api.notes(account, &self.binding.record);
        if planned == *of_record {
            return Ok(Some(read(response)));
        }
        Ok(match send(self.app, self.defined, &planned).await? {
            Ok(response) => Some(read(&response)),
            Err(Outcome::Unreachable(reason)) => Some(Notes {
                text: Answer::NotSent(reason),
                are_all: false,
            }),
            Err(_) => None,
        })
    }
}

/// Sends one request within the limits of the integration. If no request may be sent, the inner `Err` is the outcome.
async fn send(
    app: &App,
    defined: &Defined,
    planned: &PlannedRequest,
) -> Result<Result<Result<HttpResponse, HttpError>, Outcome>, Error> {
    let request = match sources::request(app, planned.clone()).await? {
        Ok(request) => request,
        Err(reason) => return Ok(Err(Outcome::Unreachable(reason))),
    };
    let Some(_slot) = app.targets.enter(&origin(&request.url)) else {
        return Ok(Err(Outcome::Wait(BUSY_MS)));
    };
    if let Some(wait) = gate::admit(app, defined).await? {
        return Ok(Err(Outcome::Wait(wait.after_ms)));
    }
    let response = app.http.send(&request).await;
    gate::note(app, defined, &response).await?;
    Ok(Ok(response))
}

/// Reads a record that does not exist, because the source denied a record. Returns the reason if the source does not accept
/// the secret of the desk at all (401), or if it cannot be reached. The status 403 is no proof, because some systems also
/// answer so about records that do not exist.
pub(super) async fn probe(app: &App, defined: &Defined) -> Result<Option<String>, Error> {
    let Some(api) = source::find(&defined.kind).and_then(Source::api) else {
        return Ok(None);
    };
    let account = match sources::account(&*app.ledger.keys, defined.clone()).await? {
        Ok(account) => account,
        Err(reason) => return Ok(Some(reason)),
    };
    let planned = api.one(&account, sources::ABSENT_RECORD);
    let response = match send(app, defined, &planned).await? {
        Ok(response) => response,
        Err(Outcome::Unreachable(reason)) => return Ok(Some(reason)),
        Err(_) => return Ok(None),
    };
    let status = response.as_ref().ok().map(|response| response.status);
    Ok(match api.record(&response) {
        Answer::Rejected(reason) if status == Some(401) => Some(reason),
        Answer::NotSent(reason) | Answer::Unclear(reason) if status.is_none() => Some(reason),
        _ => None,
    })
}
