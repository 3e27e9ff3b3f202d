//! Reads one record of a case, and its notes, within the limits of the integration.

use domain::api_call::plan::PlannedRequest;
use infra::Error;
use infra::http::{HttpError, HttpResponse, origin};
use infra::source::{Account, Answer};
use serde_json::Value;

use super::Outcome;
use super::compare::Comparison;
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
    /// the comparison: [`Outcome::Skipped`] if the source does not accept the id of this record.
    pub(super) async fn read(&self, has_notes: bool) -> Result<Result<Read, Outcome>, Error> {
        let (app, id) = (self.app, &self.binding.record);
        let account = match sources::account(&*app.ledger.keys, self.defined.clone()).await? {
            Ok(account) => account,
            Err(reason) => return Ok(Err(Outcome::Unreachable(reason))),
        };
        let planned = self.api.one(&account, id);
        let response = match self.send(&planned).await? {
            Ok(response) => response,
            Err(outcome) => return Ok(Err(outcome)),
        };
        let status = response.as_ref().ok().map(|response| response.status);
        let record = match self.api.record(&response) {
            Answer::Done(record) => record,
            _ if matches!(status, Some(404 | 410)) => Value::Null,
            Answer::Rejected(reason) if matches!(status, Some(400 | 414 | 422)) => {
                let (stream, source) = (self.place.stream, &self.defined.name);
                tracing::warn!(stream, source, reason, "the id of a record is not accepted");
                return Ok(Err(Outcome::Skipped));
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
        Ok(match self.send(&planned).await? {
            Ok(response) => Some(read(&response)),
            Err(Outcome::Unreachable(reason)) => Some(Notes {
                text: Answer::NotSent(reason),
                are_all: false,
            }),
            Err(_) => None,
        })
    }

    /// Sends one request within the limits of the integration. If no request may be sent, the inner `Err` is the outcome.
    async fn send(
        &self,
        planned: &PlannedRequest,
    ) -> Result<Result<Result<HttpResponse, HttpError>, Outcome>, Error> {
        let app = self.app;
        let request = match sources::request(app, planned.clone()).await? {
            Ok(request) => request,
            Err(reason) => return Ok(Err(Outcome::Unreachable(reason))),
        };
        let Some(_slot) = app.targets.enter(&origin(&request.url)) else {
            return Ok(Err(Outcome::Wait(BUSY_MS)));
        };
        if let Some(wait) = gate::admit(app, self.defined).await? {
            return Ok(Err(Outcome::Wait(wait.after_ms)));
        }
        let response = app.http.send(&request).await;
        gate::note(app, self.defined, &response).await?;
        Ok(Ok(response))
    }
}
