//! Writes the status of tickets, their assignees and their remarks back to the records of their cases.

use async_trait::async_trait;
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::itsm::case::{self, Case};
use domain::itsm::mapping;
use domain::itsm::writeback::{
    Answer, Command, DENIED_POLICY, Found, POLICY, Rejection, Step, UNCLEAR, Writeback, is_denied,
    mark,
};
use domain::reactions::write_back;
use domain::value::plain;
use events::Moment;
use events::case::{ConflictResolved, Conflicted};
use events::integration::CaseMapping;
use events::person::Language;
use events::ticket::TicketEvent;
use events::writeback::{Field, Outcome};
use infra::http::{HttpError, HttpResponse};
use infra::ledger::{NoContext, command_id};
use infra::source::{self, Api, AssigneeWrite, RecordWrite, Source, StatusWrite};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::{Map, Value};

use crate::App;
use crate::app::itsm::assignees::Accounts;
use crate::app::itsm::{gate, sources};
use crate::app::tickets;
use crate::app::wording;
use crate::queue::runner::{self, Outgoing, Prepared, Start};

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
        self.target.as_ref().map_or("", |target| &target.cause)
    }

    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        self.interrupted().map(|verdict| (verdict, POLICY))
    }

    async fn prepare<'a>(
        &'a self,
        app: &'a App,
        stream: &str,
    ) -> Result<Prepared<'a, Self>, Error> {
        let impossible = |reason: String| {
            warn_of(
                self,
                Some(stream),
                &reason,
                "a write to a record is not possible now",
            );
            Ok(Prepared::Verdict(Verdict::retry(reason), POLICY))
        };
        let Some(target) = &self.target else {
            return impossible("no write is requested".into());
        };
        let integration = app.configuration.integration(&target.source).await?;
        let defined = integration.defined.clone();
        let api = defined
            .as_ref()
            .and_then(|defined| source::find(&defined.kind))
            .and_then(Source::api);
        let state = app.ledger.load::<Case>(&target.case).await?.aggregate.0;
        let binding = state.binding(&target.source);
        let mapping = integration.mapping(binding.map_or(0, |binding| binding.mapping));
        let (Some(defined), Some(api), Some((_, mapping))) = (defined, api, mapping) else {
            return impossible(format!("the source {} does not exist", target.source));
        };
        if let Some(reason) = binding.and_then(|binding| binding.moved(&defined)) {
            return impossible(reason);
        }
        let language = defined.language;
        let account = match sources::account(&*app.ledger.keys, defined).await? {
            Ok(account) => account,
            Err(reason) => return impossible(reason),
        };
        let accounts = Accounts::load(app, mapping).await?;
        let planned = match self.step {
            Step::Read => api.one(&account, &target.record),
            Step::ReadNotes => api.notes(&account, &target.record),
            Step::Write => {
                let content = match Content::of(self, app, mapping, &accounts, language).await? {
                    Ok(content) => content,
                    Err(reason) => {
                        return Ok(Prepared::Verdict(Verdict::failed(reason), POLICY));
                    }
                };
                api.write(
                    &account,
                    &RecordWrite {
                        record: &target.record,
                        status: content.status.map(|status| StatusWrite {
                            status,
                            pointer: mapping.status.as_deref().unwrap_or_default(),
                            also: &content.also,
                            route: &self.route,
                        }),
                        assignee: content
                            .assignee
                            .map(|(account, pointer)| AssigneeWrite { account, pointer }),
                        note: &content.note,
                    },
                )
            }
        };
        let request = match sources::request(app, planned).await? {
            Ok(request) => request,
            Err(reason) => return impossible(reason),
        };
        let mapping = mapping.clone();
        Ok(Prepared::Request {
            request,
            start: (self.step == Step::Write).then(|| -> Start<'static, Self> {
                Box::new(|attempt, until: Moment| Command::Begin { attempt, until })
            }),
            judge: Box::new(move |response| {
                let answer = match self.step {
                    Step::Read => read(self, api, &mapping, &accounts, response),
                    Step::ReadNotes => answer_of(api.read_notes(response), Answer::Notes),
                    Step::Write => answer_of(api.written(response), |()| Answer::Written),
                };
                match denied(answer, response) {
                    Ok(reason) => (self.verdict(Answer::Denied(reason)), DENIED_POLICY),
                    Err(answer) => (self.verdict(answer), POLICY),
                }
            }),
        })
    }

    async fn judged(&self, _app: &App, verdict: &Verdict) -> Result<(), Error> {
        let reason = match verdict {
            Verdict::Retry { reason, .. } => Some(reason.text.as_str()),
            Verdict::Poll { outputs, .. } => outputs.get(UNCLEAR).map(String::as_str),
            _ => None,
        };
        if let Some(reason) = reason {
            warn_of(
                self,
                None,
                reason,
                "a request for a write to a record failed",
            );
        }
        Ok(())
    }

    /// Counts the request in the limit of the source. If the limit is reached or the source has failed, the request waits.
    async fn admit(&self, app: &App) -> Result<Option<(Verdict, Policy)>, Error> {
        let Some(target) = &self.target else {
            return Ok(None);
        };
        let integration = app.configuration.integration(&target.source).await?;
        let Some(defined) = &integration.defined else {
            return Ok(None);
        };
        // The wait is no failed attempt. The source can change the record during a long wait, so the desk then reads it
        // again. The limit `per_minute` causes only short waits; a read after each of them would use up the limit.
        let wait = gate::admit(app, defined).await?;
        Ok(wait.map(|wait| {
            let is_long = wait.after_ms > LONG_MS;
            let step = if is_long {
                self.first_step()
            } else {
                self.step
            };
            let verdict = Verdict::poll(step.name(), "", wait.after_ms);
            (verdict, POLICY)
        }))
    }

    async fn learned(
        &self,
        app: &App,
        response: &Result<HttpResponse, HttpError>,
    ) -> Result<(), Error> {
        let Some(target) = &self.target else {
            return Ok(());
        };
        let integration = app.configuration.integration(&target.source).await?;
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

    /// Stores conflicts in the case, so that people see them, and the end of earlier ones.
    async fn conclude(&self, app: &App, stream: &str) -> Result<(), Error> {
        let (Some(target), Some(last)) = (&self.target, &self.last) else {
            return Ok(());
        };
        if last.outcome == Outcome::Failed {
            warn_of(
                self,
                Some(stream),
                &last.reason,
                "a write to a record failed",
            );
            return Ok(());
        }
        let state = app.ledger.load::<Case>(&target.case).await?.aggregate.0;
        // An empty name means the source of the case.
        let integration = if target.source == state.source {
            String::new()
        } else {
            target.source.clone()
        };
        let attempt = last.attempt.to_string();
        let execute = async |command: case::Command, id: [u8; 16]| {
            // The binding can have changed in the meantime.
            let command = case::Command::IfBound {
                integration: integration.clone(),
                record: target.record.clone(),
                command: Box::new(command),
            };
            let envelope = CommandEnvelope {
                stream: target.case.clone(),
                command_id: id,
                meta: runner::meta(self),
            };
            app.ledger
                .execute::<Case>(&envelope, &command, &NoContext)
                .await
                .map(drop)
                .map_err(ExecuteError::unexpected)
        };
        let binding = state.binding(&target.source);
        let conflicts = binding.map(|binding| &binding.conflicts);
        for field in &self.settled {
            if conflicts.is_some_and(|known| known.contains_key(field.name())) {
                let resolved = ConflictResolved {
                    integration: integration.clone(),
                    field: field.name().into(),
                };
                let id = command_id(&["resolve", stream, &attempt, field.name()]);
                execute(case::Command::ResolveConflict(resolved), id).await?;
            }
        }
        if last.outcome != Outcome::Conflict || self.is_closed {
            return Ok(());
        }
        for (field, found) in &self.conflicts {
            let conflict = case::Command::Conflict(Conflicted {
                integration: integration.clone(),
                field: field.name().into(),
                found: found.clone(),
                wanted: self.wanted(*field).unwrap_or_default(),
            });
            let id = command_id(&["conflict", stream, &attempt, field.name()]);
            execute(conflict, id).await?;
        }
        let envelope = CommandEnvelope {
            stream: stream.to_owned(),
            command_id: command_id(&["close", stream, &attempt]),
            meta: runner::meta(self),
        };
        app.ledger
            .execute::<Self>(&envelope, &Command::Close, &NoContext)
            .await
            .map(drop)
            .map_err(ExecuteError::unexpected)
    }
}

/// Writes a warning about a failure to the log, with the case, the record and the integration.
fn warn_of(write: &Writeback, stream: Option<&str>, reason: &str, text: &'static str) {
    let target = write.target.as_ref();
    tracing::warn!(
        stream,
        case = target.map_or("", |target| target.case.as_str()),
        record = target.map_or("", |target| target.record.as_str()),
        integration = target.map_or("", |target| target.source.as_str()),
        reason,
        "{text}"
    );
}

/// Returns the reason if the source denied the account or its rights. Otherwise, returns the answer.
fn denied(answer: Answer, response: &Result<HttpResponse, HttpError>) -> Result<String, Answer> {
    let status = response.as_ref().ok().map(|response| response.status);
    match answer {
        Answer::Rejected(reason) if is_denied(status) => Ok(reason),
        other => Err(other),
    }
}

/// The content of the next write to a record.
struct Content<'a> {
    status: Option<&'a Value>,
    /// The account, and its place in the record.
    assignee: Option<(&'a Value, &'a str)>,
    note: String,
    also: Map<String, Value>,
}

impl<'a> Content<'a> {
    /// Returns the content of the next write. If there is nothing that can be written, the inner `Err` is the reason.
    async fn of(
        write: &'a Writeback,
        app: &App,
        mapping: &'a CaseMapping,
        accounts: &'a Accounts,
        language: Language,
    ) -> Result<Result<Self, String>, Error> {
        let mut content = Self {
            status: None,
            assignee: None,
            note: String::new(),
            also: Map::new(),
        };
        let mut notes = Vec::new();
        let numbers = write.next_notes();
        let has_reason = mapping.reasons && !write.parts().is_empty();
        let history = match &write.target {
            Some(target) if has_reason || !numbers.is_empty() => {
                tickets::history(&app.ledger, &target.ticket.stream()).await?
            }
            _ => Vec::new(),
        };
        for field in write.parts() {
            match (field, &write.requested, &write.assignee) {
                (Field::Status, Some(requested), _) => {
                    let (ticket, status) = (&requested.ticket, &requested.status);
                    let reason = if mapping.reasons {
                        write_back::reason(&history, status)
                    } else {
                        ""
                    };
                    let note = wording::write_back_note(language, ticket, status);
                    let note = wording::note_with_reason(language, &note, reason);
                    let also = mapping.write_also.get(status);
                    let also = also.into_iter().flatten();
                    content.also = also
                        .map(|(name, value)| (name.clone(), with_note(value.clone(), &note)))
                        .collect();
                    content.status = Some(&requested.target);
                    notes.push(note);
                }
                (Field::Assignee, _, Some(requested)) => {
                    let account = accounts.account(&requested.target);
                    let place = mapping.assignee.as_ref();
                    let (Some(account), Some(place)) = (account, place) else {
                        return Ok(Err("the account of the processor is not known".into()));
                    };
                    content.assignee = Some((account, place.path.as_str()));
                    // A write without an event of the ticket is a repair, or the first one to the record.
                    let of_ticket = format!("{}:", requested.ticket.stream());
                    if mapping.reasons && requested.cause.starts_with(&of_ticket) {
                        let reason = write_back::hand_over_reason(&history);
                        notes.extend(wording::hand_over_note(language, &requested.ticket, reason));
                    }
                }
                _ => {}
            }
        }
        if let Some(target) = &write.target {
            for envelope in &history {
                let TicketEvent::RemarkAdded(remark) = &envelope.event else {
                    continue;
                };
                let text = remark.text.read();
                if numbers.contains(&remark.id) && !text.is_empty() {
                    let mark = mark(&target.ticket, remark.id);
                    let note = wording::remark_note(language, &target.ticket, text, &mark);
                    notes.push(note);
                }
            }
        }
        content.note = notes.join("\n\n");
        let is_empty =
            content.status.is_none() && content.assignee.is_none() && content.note.is_empty();
        Ok(if is_empty {
            Err("the remarks of the ticket cannot be read any more".into())
        } else {
            Ok(content)
        })
    }
}

/// Reads the values of a record in a response.
fn read(
    write: &Writeback,
    api: &dyn Api,
    mapping: &CaseMapping,
    accounts: &Accounts,
    response: &Result<HttpResponse, HttpError>,
) -> Answer {
    let record = match api.record(response) {
        source::Answer::Done(record) => record,
        other => return answer_of(other, |_: Value| Answer::Written),
    };
    let status = mapping::status(mapping, &record);
    let wanted = write.requested.as_ref();
    let wanted = wanted.filter(|_| write.waiting.contains(&Field::Status));
    if wanted.is_some() && status.is_empty() {
        return Answer::Unclear("the record in the response has no status".into());
    }
    let executed = wanted.map(|requested| plain(&requested.target));
    let executed = executed
        .filter(|target| write.tried.contains(target) && api.is_executed(&record, &write.route));
    let status = executed.unwrap_or(status);
    Answer::Record(Found {
        status,
        assignee: accounts.form_of(&mapping::assignee(mapping, &record)),
        route: wanted.map_or_else(
            || Ok(String::new()),
            |requested| api.route(&record, &requested.target),
        ),
        separates_assignee: api.separates_assignee(),
        separates_notes: api.separates_notes(),
    })
}

/// Returns the meaning of a response. `done` converts the value of a successful response.
fn answer_of<T>(answer: source::Answer<T>, done: impl FnOnce(T) -> Answer) -> Answer {
    match answer {
        source::Answer::Done(value) => done(value),
        source::Answer::Rejected(reason) => Answer::Rejected(reason),
        source::Answer::NotSent(reason) => Answer::NotSent(reason),
        source::Answer::Unclear(reason) => Answer::Unclear(reason),
    }
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
