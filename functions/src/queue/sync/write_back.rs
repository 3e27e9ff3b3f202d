//! Writes the status of tickets back to the records of their cases.

use async_trait::async_trait;
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::itsm::case::{self, Case};
use domain::itsm::mapping;
use domain::itsm::writeback::{Answer, Command, POLICY, Rejection, Step, Writeback};
use domain::value::plain;
use events::Moment;
use events::case::Conflicted;
use events::writeback::Outcome;
use infra::http::{HttpError, HttpResponse};
use infra::ledger::{NoContext, command_id};
use infra::source::{self, Source, StatusWrite};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::Value;

use crate::App;
use crate::app::itsm::{gate, sources};
use crate::app::wording;
use crate::queue::runner::{self, Outgoing, Prepared};

/// After a longer wait than this, the desk reads a record again before it writes, in milliseconds.
const LONG_MS: i64 = 60_000;
/// The placeholder of the note in the further members of a write.
const NOTE: &str = "${note}";

#[async_trait]
impl Outgoing for Writeback {
    fn attempts(&self) -> Option<Attempts> {
        self.is_open.then_some(self.attempts)
    }

    fn cause(&self) -> &str {
        self.requested
            .as_ref()
            .map_or("", |requested| &requested.cause)
    }

    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        self.interrupted().map(|verdict| (verdict, POLICY))
    }

    async fn prepare<'a>(
        &'a self,
        app: &'a App,
        _stream: &str,
    ) -> Result<Prepared<'a, Self>, Error> {
        let impossible = |reason: String| Ok(Prepared::Verdict(Verdict::retry(reason), POLICY));
        let Some(requested) = &self.requested else {
            return impossible("no write is requested".into());
        };
        let integration = app.configuration.integration(&requested.source).await?;
        let defined = integration.defined.clone();
        let api = defined
            .as_ref()
            .and_then(|defined| source::find(&defined.kind))
            .and_then(Source::api);
        let state = app.ledger.load::<Case>(&requested.case).await?.aggregate.0;
        let mapping = integration.mapping(state.mapping);
        let (Some(defined), Some(api), Some((_, mapping))) = (defined, api, mapping) else {
            return impossible(format!("the source {} does not exist", requested.source));
        };
        let language = defined.language;
        let account = match sources::account(&*app.ledger.keys, defined).await? {
            Ok(account) => account,
            Err(reason) => return impossible(reason),
        };
        let note = wording::write_back_note(language, &requested.ticket, &requested.status);
        let also = mapping.write_also.get(&requested.status);
        let also = also.into_iter().flatten();
        let also = also
            .map(|(name, value)| (name.clone(), with_note(value.clone(), &note)))
            .collect();
        let planned = match self.step {
            Step::Read => api.one(&account, &requested.record),
            Step::Write => api.write(
                &account,
                &StatusWrite {
                    record: &requested.record,
                    status: &requested.target,
                    pointer: mapping.status.as_deref().unwrap_or_default(),
                    note: &note,
                    also: &also,
                    route: &self.route,
                },
            ),
        };
        let request = match sources::request(app, planned).await? {
            Ok(request) => request,
            Err(reason) => return impossible(reason),
        };
        let mapping = mapping.clone();
        Ok(Prepared::Request {
            request,
            start: (self.step == Step::Write)
                .then_some(|attempt, until: Moment| Command::Begin { attempt, until }),
            judge: Box::new(move |response| {
                let answer = match api.record(response) {
                    source::Answer::Rejected(reason) => Answer::Rejected(reason),
                    source::Answer::NotSent(reason) => Answer::NotSent(reason),
                    // Some systems answer a write with an empty body, or with another object than the record.
                    source::Answer::Unclear(reason) => match response {
                        Ok(response) if self.step == Step::Write && is_readable(response) => {
                            Answer::Written
                        }
                        _ => Answer::Unclear(reason),
                    },
                    source::Answer::Done(_) if self.step == Step::Write => Answer::Written,
                    source::Answer::Done(record) => {
                        let status = mapping::status(&mapping, &record);
                        let route = api.route(&record, &requested.target);
                        if status.is_empty() {
                            Answer::Unclear("the record in the response has no status".into())
                        } else {
                            Answer::Status(status, route)
                        }
                    }
                };
                (self.verdict(answer), POLICY)
            }),
        })
    }

    /// Counts the request in the limit of the source. If the limit is reached or the source has failed, the request waits.
    async fn admit(&self, app: &App) -> Result<Option<(Verdict, Policy)>, Error> {
        let Some(requested) = &self.requested else {
            return Ok(None);
        };
        let integration = app.configuration.integration(&requested.source).await?;
        let Some(defined) = &integration.defined else {
            return Ok(None);
        };
        // The wait is no failed attempt. The source can change the record during a long wait, so the desk then reads it
        // again. The limit `per_minute` causes only short waits; a read after each of them would use up the limit.
        let wait = gate::admit(app, defined).await?;
        Ok(wait.map(|wait| {
            let is_long = wait.after_ms > LONG_MS;
            let step = if is_long { Step::Read } else { self.step };
            let verdict = Verdict::poll(step.name(), "", wait.after_ms);
            (verdict, POLICY)
        }))
    }

    async fn learned(
        &self,
        app: &App,
        response: &Result<HttpResponse, HttpError>,
    ) -> Result<(), Error> {
        let Some(requested) = &self.requested else {
            return Ok(());
        };
        let integration = app.configuration.integration(&requested.source).await?;
        match &integration.defined {
            Some(defined) => gate::note(app, defined, response).await,
            None => Ok(()),
        }
    }

    fn record(report: Report) -> Command {
        Command::Record(report)
    }

    fn is_repeated(rejection: &Rejection) -> bool {
        matches!(rejection, Rejection::NotDue(_))
    }

    /// Stores a conflict in the case, so that people see it.
    async fn conclude(&self, app: &App, stream: &str) -> Result<(), Error> {
        let (Some(requested), Some(last)) = (&self.requested, &self.last) else {
            return Ok(());
        };
        let execute = async |command: case::Command, id: &str| {
            let envelope = CommandEnvelope {
                stream: requested.case.clone(),
                command_id: command_id(&[id, stream, &last.attempt.to_string()]),
                meta: runner::meta(self),
            };
            app.ledger
                .execute::<Case>(&envelope, &command, &NoContext)
                .await
                .map(drop)
                .map_err(ExecuteError::unexpected)
        };
        match last.outcome {
            Outcome::Conflict if !self.is_closed => {
                let conflict = case::Command::Conflict(Conflicted {
                    field: "status".into(),
                    found: last.found.clone(),
                    wanted: plain(&requested.target),
                });
                execute(conflict, "conflict").await?;
                let envelope = CommandEnvelope {
                    stream: stream.to_owned(),
                    command_id: command_id(&["close", stream, &last.attempt.to_string()]),
                    meta: runner::meta(self),
                };
                app.ledger
                    .execute::<Self>(&envelope, &Command::Close, &NoContext)
                    .await
                    .map(drop)
                    .map_err(ExecuteError::unexpected)
            }
            Outcome::Conflict => Ok(()),
            Outcome::Failed => {
                tracing::warn!(
                    stream,
                    reason = last.reason,
                    "a status was not written back"
                );
                Ok(())
            }
            Outcome::Written | Outcome::Unchanged => {
                let state = app.ledger.load::<Case>(&requested.case).await?.aggregate.0;
                if state.conflict.is_some() {
                    execute(case::Command::ResolveConflict, "resolve").await?;
                }
                Ok(())
            }
        }
    }
}

/// Returns whether a successful response is empty or JSON. Another response, such as a login page, does not come from the
/// API, so the write was possibly not made.
fn is_readable(response: &HttpResponse) -> bool {
    let is_json = || serde_json::from_slice::<Value>(&response.body).is_ok();
    response.is_success() && !response.is_cut && (response.body.is_empty() || is_json())
}

/// Replaces `${note}` in all texts of a value.
fn with_note(value: Value, note: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(NOTE, note)),
        Value::Array(values) => values
            .into_iter()
            .map(|value| with_note(value, note))
            .collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, with_note(value, note)))
            .collect(),
        other => other,
    }
}
