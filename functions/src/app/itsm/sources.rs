//! Works with sources of cases: receives their messages, prepares the account for requests to them, and requests writes
//! to their records (plans/external.md, "Cases in" and "Status out").

use std::collections::BTreeSet;

use domain::intent::Change;
use domain::itsm::case::{Binding, Case};
use domain::itsm::case_source::{self, CaseSource};
use domain::itsm::mapping;
use domain::itsm::reconciliation::{self, ExpectedAssignee, Reconciliation};
use domain::itsm::schedule::Schedule;
use domain::itsm::writeback::{self, Writeback};
use domain::ticket::Ticket;
use events::integration::{Authority, CaseMapping, Defined, Webhook};
use events::writeback::{AssigneeRequested, NoteRequested, Requested};
use events::{AppCode, Meta, TicketSn};
use infra::commit::hex;
use infra::http::HttpRequest;
use infra::keys::Keys;
use infra::ledger::{NoContext, command_id};
use infra::source::{self, Account, Changes, Delivered, Message, NotDelivered, Source};
use infra::{CommandEnvelope, Error, ExecuteError, Kind};

use super::assignees::Accounts;
use super::{callbacks, cases, integrations};
use crate::App;
use crate::app::limits::Of;
use crate::app::outbound::{self, Described};
use crate::app::times;

/// The pause before the desk writes a status that does not end the ticket, an assignee or a remark, in milliseconds. Further
/// changes during the pause are merged.
const MERGE_MS: i64 = 30_000;
/// The name under which the messages of a source are counted for the rate limit.
const LIMITED_AS: &str = "callbacks";
/// The id of a record that exists in no system. A read of it shows whether a system accepts the account of the desk.
pub const ABSENT_RECORD: &str = "ledgerdesk-doctor";
/// Maximum size of a response of a source, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// The reason why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// There is no such source, or it accepts no messages, or the secret of the address is wrong.
    #[error("the address of the message is wrong")]
    Unknown,
    #[error("{0}")]
    Unsigned(NotDelivered),
    /// The message is stored, but nothing is done.
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Returns the source with the given name if it accepts messages and the secret of the address is right.
pub async fn addressed(app: &App, source: &str, secret: &str) -> Result<Defined, NotAccepted> {
    let keys = app.token_keys().await?;
    // The secret depends only on the name, so a stranger causes no read of the store.
    let is_right =
        |key: &[u8; 32]| callbacks::is_secret_of_source(key, source, secret).then_some(());
    if keys.first(is_right).is_none() {
        return Err(NotAccepted::Unknown);
    }
    let now = app.ledger.clock.now();
    app.limits.asked(Of::new(LIMITED_AS, Some(source)), now)?;
    let integration = app.configuration.integration(source).await?;
    match &integration.defined {
        Some(defined) if defined.webhook.is_some() => Ok(defined.clone()),
        _ => Err(NotAccepted::Unknown),
    }
}

/// Checks and stores a message of a source. The queue `sync` processes it later.
pub async fn accept(
    app: &App,
    defined: &Defined,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<(), NotAccepted> {
    let Some(codec) = source::find(&defined.kind) else {
        return Err(NotAccepted::Unknown);
    };
    let message = Message { headers, body };
    if defined.webhook == Some(Webhook::Signed) {
        check_signature(app, defined, codec, &message).await?;
    }
    let problem = codec.read(body).err().map(|error| error.to_string());
    let delivery = codec
        .delivery_header()
        .and_then(|name| message.header(name));
    let delivery = match delivery {
        Some(delivery) => Some(callbacks::delivery_of(app, delivery, body).await?),
        None => None,
    };
    callbacks::store_message(
        app,
        &callbacks::Message {
            source: &defined.name,
            subject: stream_of(&defined.name),
            body,
            delivery: delivery.as_deref(),
            problem: problem.clone(),
        },
    )
    .await?;
    problem.map_or(Ok(()), |problem| Err(NotAccepted::Unreadable(problem)))
}

async fn check_signature(
    app: &App,
    defined: &Defined,
    codec: &dyn Source,
    message: &Message<'_>,
) -> Result<(), NotAccepted> {
    let name = secret_name(&defined.name);
    let secret = app.ledger.keys.secret(&name).await?;
    let (Some(secret), Some(signature)) = (secret, codec.signature()) else {
        let reason = format!("the secret {name} is not in the key store");
        return Err(Error::new(Kind::Misconfigured, reason).into());
    };
    signature
        .check(message, &secret)
        .map_err(NotAccepted::Unsigned)
}

/// Returns the name under which the key store contains the secret of the signatures of a source.
pub fn secret_name(source: &str) -> String {
    format!("webhook/{source}")
}

/// Returns the path of the address for the messages of a source. The path contains a secret.
pub async fn path_of(app: &App, source: &str) -> Result<String, Error> {
    let secret = callbacks::secret_of_source(&app.token_keys().await?.newest, source);
    Ok(format!("/callbacks/{source}/{secret}"))
}

/// Returns the name of the stream of a source.
pub fn stream_of(source: &str) -> String {
    format!("case_source-{source}")
}

/// Processes a stored message of a source: receives its records, or makes the next read of the source due. Returns true
/// if the source must be read now.
pub async fn process(app: &App, inbound: &str, stream: &str, meta: &Meta) -> Result<bool, Error> {
    let source = stream.trim_start_matches("case_source-");
    let integration = app.configuration.integration(source).await?;
    let codec = integration
        .defined
        .as_ref()
        .and_then(|defined| source::find(&defined.kind));
    let (Some(codec), Some(body)) = (codec, callbacks::body_of(app, inbound).await?) else {
        return Ok(false);
    };
    match codec.read(&body) {
        Ok(Delivered::Records(records)) => {
            cases::receive_from(app, source, &records, meta).await?;
            Ok(false)
        }
        Ok(Delivered::Hint) => {
            let hint = case_source::Command::Hint {
                inbound: inbound.to_owned(),
                at: app.ledger.clock.now(),
            };
            let id = command_id(&["hint", inbound, stream]);
            match execute(app, stream, id, meta.clone(), &hint).await {
                Ok(()) => Ok(true),
                // The source is not read regularly, so a hint has no meaning.
                Err(ExecuteError::Rejected(_)) => Ok(false),
                Err(ExecuteError::Technical(error)) => Err(error),
            }
        }
        // The kind of the source was changed after the message had arrived.
        Err(problem) => {
            tracing::warn!(inbound, %problem, "a stored message cannot be read any more");
            Ok(false)
        }
    }
}

/// Starts or stops the regular reads of a source, and the comparison of its cases, as its definition says.
pub async fn start_or_stop(app: &App, source: &str, meta: Meta) -> Result<(), Error> {
    let stream = stream_of(source);
    let command = match reading(app, source).await? {
        Some(reading) => case_source::Command::Start {
            source: source.to_owned(),
            filter: selection_of(&reading.defined),
            pause_ms: reading.pause_ms,
            at: app.ledger.clock.now(),
        },
        // A source that does not run is not changed.
        None => case_source::Command::Stop,
    };
    let id = app.ledger.fresh_id();
    execute(app, &stream, id, meta.clone(), &command)
        .await
        .map_err(ExecuteError::unexpected)?;
    let compared = compares(app, source).await?;
    let envelope = CommandEnvelope {
        stream: format!("reconciliation-{source}"),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let at = app.ledger.clock.now();
    let command = match compared {
        Some((_, schedule)) => reconciliation::Command::Start {
            source: source.to_owned(),
            at,
            shift_end: schedule.shift_end_after(at),
        },
        None => reconciliation::Command::Stop,
    };
    app.ledger
        .execute::<Reconciliation>(&envelope, &command, &NoContext)
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

/// Returns a text that describes which records the desk reads. If the text changes, the desk reads the list again from its
/// beginning.
fn selection_of(defined: &Defined) -> String {
    match &defined.list {
        None => defined.filter.clone(),
        Some(list) => format!("{} {}", defined.filter, serde_json::json!(list)),
    }
}

/// Returns the definition of a source whose cases the desk compares with their records, with the times of the comparisons.
/// Returns `None` if it does not compare them.
pub async fn compares(app: &App, source: &str) -> Result<Option<(Defined, Schedule)>, Error> {
    let integration = app.configuration.integration(source).await?;
    let defined = integration.defined.clone();
    Ok(defined.and_then(|defined| {
        let pause_ms = i64::from(defined.reconcile_minutes?) * 60_000;
        // The name of the zone was checked when the integration was defined.
        let zone = defined.zone.as_deref().map(times::zone);
        let zone = zone.and_then(Result::ok);
        let zone = zone.unwrap_or_else(|| app.settings.zone.clone());
        let schedule = Schedule::new(pause_ms, &defined.shift_ends, zone);
        Some((defined, schedule))
    }))
}

async fn execute(
    app: &App,
    stream: &str,
    command_id: [u8; 16],
    meta: Meta,
    command: &case_source::Command,
) -> Result<(), ExecuteError<CaseSource>> {
    let envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id,
        meta,
    };
    app.ledger
        .execute::<CaseSource>(&envelope, command, &NoContext)
        .await
        .map(drop)
}

/// A source that the desk reads regularly.
pub struct Reading {
    pub defined: Defined,
    pub changes: &'static dyn Changes,
    pub pause_ms: i64,
}

/// Returns how the desk reads a source regularly. Returns `None` if it does not.
pub async fn reading(app: &App, source: &str) -> Result<Option<Reading>, Error> {
    let integration = app.configuration.integration(source).await?;
    let Some(defined) = integration.defined.clone() else {
        return Ok(None);
    };
    let changes = source::find(&defined.kind).and_then(Source::changes);
    Ok(match (changes, defined.pull_minutes) {
        (Some(changes), Some(minutes)) => Some(Reading {
            defined,
            changes,
            pause_ms: i64::from(minutes) * 60_000,
        }),
        _ => None,
    })
}

/// Returns the account for requests to a source. If the key store has no secret, the inner `Err` is the reason.
pub async fn account(
    keys: &dyn Keys,
    integration: Defined,
) -> Result<Result<Account, String>, Error> {
    Ok(
        match integrations::secret_of(keys, &integration.name).await? {
            Ok(secret) => Ok(Account {
                integration,
                secret,
            }),
            Err(name) => Err(integrations::no_secret(&name)),
        },
    )
}

/// Builds a request to a source.
pub async fn request(
    app: &App,
    planned: domain::api_call::plan::PlannedRequest,
) -> Result<Result<HttpRequest, String>, Error> {
    let described = Described::of(planned, RESPONSE_BYTES_MAX);
    outbound::request(&*app.ledger.keys, described).await
}

/// A change of a ticket that the desk writes to the records of its case.
#[derive(Clone, Copy, Debug)]
pub struct WriteRequest<'a> {
    /// The name of the stream of the case.
    pub case: &'a str,
    pub ticket: &'a TicketSn,
    pub change: &'a Change,
    /// The integration with the record. `None` means all records of the case.
    pub only: Option<&'a str>,
    /// True if a remark was requested before, but a comparison did not find its note in the record.
    pub repeats: bool,
}

/// Requests that the desk writes a change of a ticket to the records of its case. Returns the streams of the writes. The list
/// is empty if there is nothing to write.
pub async fn request_writes(
    app: &App,
    request: &WriteRequest<'_>,
    meta: &Meta,
) -> Result<Vec<String>, Error> {
    let state = app.ledger.load::<Case>(request.case).await?.aggregate.0;
    if !is_wanted(app, &state, request.change).await? {
        return Ok(Vec::new());
    }
    if state.ticket.is_none() && state.is_pending {
        // The desk stores the ticket in the case a moment after it opened the ticket.
        return Err(Error::new(
            Kind::Conflict,
            format!("{} is not bound to its ticket yet", request.case),
        ));
    }
    if state.ticket.as_ref() != Some(request.ticket) {
        return Ok(Vec::new());
    }
    // Messages can arrive in another order than the events. The current values of the ticket are therefore written.
    let loaded = app.ledger.load::<Ticket>(&request.ticket.stream()).await?;
    let ticket = loaded.aggregate.0;
    let mut streams = Vec::new();
    for (integration, binding) in &state.bindings {
        if request.only.is_some_and(|only| only != integration) {
            continue;
        }
        let record = Record {
            request,
            case: &state,
            integration,
            binding,
            ticket: &ticket,
        };
        let Some(command) = record.command(app, meta).await? else {
            continue;
        };
        let stream = record.stream();
        let envelope = CommandEnvelope {
            stream: stream.clone(),
            command_id: command_id(&["request", &stream, &meta.causation]),
            meta: meta.clone(),
        };
        app.ledger
            .execute::<Writeback>(&envelope, &command, &NoContext)
            .await
            .map_err(ExecuteError::unexpected)?;
        streams.push(stream);
    }
    Ok(streams)
}

/// Requests the write of a change again. Each call is a new request, also for the same value. Returns whether a write was
/// requested.
pub async fn request_again(
    app: &App,
    request: &WriteRequest<'_>,
    meta: &Meta,
) -> Result<bool, Error> {
    let meta = Meta {
        causation: format!("{}:{}", request.case, hex(&app.ledger.fresh_id())),
        ..meta.clone()
    };
    let streams = request_writes(app, request, &meta).await?;
    Ok(!streams.is_empty())
}

/// Returns whether the mapping of at least one record of the case needs changes of this kind. Most mappings need only the
/// status, so other changes cause no further work.
async fn is_wanted(app: &App, case: &Case, change: &Change) -> Result<bool, Error> {
    if *change == Change::Status {
        return Ok(true);
    }
    if case.source.is_empty() {
        return Ok(false);
    }
    let of = |mapping: &CaseMapping| match change {
        Change::Status => true,
        Change::Assignee => mapping.assignee.is_some(),
        Change::Remark { .. } => mapping.notes,
    };
    let own = app.configuration.integration(&case.source).await?;
    let Some((_, mapping)) = own.mapping(case.mapping) else {
        return Ok(false);
    };
    if of(mapping) {
        return Ok(true);
    }
    let named = mapping::further_records(mapping).map(|(_, further)| &further.integration);
    let names: BTreeSet<&String> = named.chain(case.bindings.keys()).collect();
    for name in names {
        let integration = app.configuration.integration(name).await?;
        if integration
            .mapping(0)
            .is_some_and(|(_, mapping)| of(mapping))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One record of a case, to which a change of its ticket is written.
struct Record<'a> {
    request: &'a WriteRequest<'a>,
    case: &'a Case,
    integration: &'a str,
    binding: &'a Binding,
    ticket: &'a Ticket,
}

impl Record<'_> {
    /// Returns the name of the stream of the writes to the record.
    fn stream(&self) -> String {
        stream_of_writes(self.request.case, &self.case.source, self.integration)
    }

    /// Returns the command that requests the write. Returns `None` if there is nothing to write.
    async fn command(&self, app: &App, meta: &Meta) -> Result<Option<writeback::Command>, Error> {
        let integration = app.configuration.integration(self.integration).await?;
        let (Some(defined), Some((_, mapping))) = (
            &integration.defined,
            integration.mapping(self.binding.mapping),
        ) else {
            return Ok(None);
        };
        let Some(api) = source::find(&defined.kind).and_then(Source::api) else {
            return Ok(None);
        };
        Ok(match self.request.change {
            Change::Status => self.status(app, defined, mapping, meta),
            Change::Assignee if mapping.assignee.is_none() || !api.writes_assignee() => None,
            Change::Assignee => {
                let accounts = Accounts::load(app, mapping).await?;
                self.assignee(app, defined, &accounts, meta)
            }
            Change::Remark { .. } if !mapping.notes => None,
            Change::Remark { app: sender, .. } if is_of_source(defined, sender.as_ref()) => None,
            Change::Remark { id, .. } => {
                let requested = NoteRequested {
                    case: self.request.case.to_owned(),
                    source: self.integration.to_owned(),
                    record: self.binding.record.clone(),
                    ticket: self.request.ticket.clone(),
                    remark: *id,
                    repeats: self.request.repeats,
                    cause: meta.causation.clone(),
                    due: app.ledger.clock.now().plus_ms(MERGE_MS),
                };
                Some(writeback::Command::RequestNote(Box::new(requested)))
            }
        })
    }

    fn status(
        &self,
        app: &App,
        defined: &Defined,
        mapping: &CaseMapping,
        meta: &Meta,
    ) -> Option<writeback::Command> {
        let is_own = self.integration == self.case.source;
        if is_own && mapping.ends.contains_key(&self.case.status) {
            // The source has ended the record.
            return None;
        }
        let status = self.ticket.status_key();
        let target = mapping.write_back.get(status)?.clone();
        let is_end = !matches!(status, "RUNNING" | "SUSPENDED");
        let now = app.ledger.clock.now();
        let requested = Requested {
            case: self.request.case.to_owned(),
            source: self.integration.to_owned(),
            record: self.binding.record.clone(),
            ticket: self.request.ticket.clone(),
            status: status.to_owned(),
            target,
            known: self.binding.first_status.clone(),
            overwrites: defined.status_authority == Authority::Desk,
            accepts_any: self.binding.accepts_any,
            cause: meta.causation.clone(),
            due: now.plus_ms(if is_end { 0 } else { MERGE_MS }),
        };
        Some(writeback::Command::Request(Box::new(requested)))
    }

    fn assignee(
        &self,
        app: &App,
        defined: &Defined,
        accounts: &Accounts,
        meta: &Meta,
    ) -> Option<writeback::Command> {
        // An unknown person is never replaced by a guess.
        let ExpectedAssignee::One(target) = accounts.expected(self.ticket) else {
            return None;
        };
        let authority = defined.assignee_authority.unwrap_or(Authority::Desk);
        let requested = AssigneeRequested {
            case: self.request.case.to_owned(),
            source: self.integration.to_owned(),
            record: self.binding.record.clone(),
            ticket: self.request.ticket.clone(),
            target,
            known: self.binding.first_assignee.clone(),
            overwrites: authority == Authority::Desk,
            accepts_any: self.binding.accepts_any,
            cause: meta.causation.clone(),
            due: app.ledger.clock.now().plus_ms(MERGE_MS),
        };
        Some(writeback::Command::RequestAssignee(Box::new(requested)))
    }
}

/// Returns whether a remark came from the source itself: from one of its apps, or from the desk's own reads of the source.
fn is_of_source(defined: &Defined, sender: Option<&AppCode>) -> bool {
    sender.is_some_and(|sender| {
        defined.senders.contains(sender) || sender.0 == cases::own_app(&defined.name).0
    })
}

/// Returns the name of the stream of the writes to one record of a case.
pub fn stream_of_writes(case: &str, source: &str, integration: &str) -> String {
    if integration == source {
        format!("writeback-{}", cases::id_of(case))
    } else {
        let id = command_id(&["binding", case, integration]);
        format!("writeback-{}", hex(&id))
    }
}
