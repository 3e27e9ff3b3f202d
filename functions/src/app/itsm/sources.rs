//! Works with sources of cases: receives their messages, prepares the account for requests to them, and requests writes
//! to their records (plans/external.md, "Cases in" and "Status out").

use domain::itsm::case::Case;
use domain::itsm::case_source::{self, CaseSource};
use domain::itsm::reconciliation::{self, Reconciliation};
use domain::itsm::writeback::{self, Writeback};
use domain::ticket::Ticket;
use events::integration::{Authority, Defined, Webhook};
use events::writeback::Requested;
use events::{Meta, TicketSn};
use infra::http::HttpRequest;
use infra::keys::Keys;
use infra::ledger::{NoContext, command_id};
use infra::source::{self, Account, Changes, Delivered, Message, NotDelivered, Source};
use infra::{CommandEnvelope, Error, ExecuteError, Kind};

use super::{callbacks, cases, integrations};
use crate::App;
use crate::app::limits::Of;
use crate::app::outbound::{self, Described};

/// The pause before the desk writes a status that does not end the ticket, in milliseconds. Further changes during the
/// pause are merged.
const MERGE_MS: i64 = 30_000;
/// The name under which the messages of a source are counted for the rate limit.
const LIMITED_AS: &str = "callbacks";
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
    callbacks::store_message(
        app,
        &callbacks::Message {
            source: &defined.name,
            subject: stream_of(&defined.name),
            body,
            delivery,
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
            filter: reading.defined.filter,
            at: app.ledger.clock.now(),
        },
        // A source that does not run is not changed.
        None => case_source::Command::Stop,
    };
    let id = app.ledger.fresh_id();
    execute(app, &stream, id, meta.clone(), &command)
        .await
        .map_err(ExecuteError::unexpected)?;
    let is_compared = compares(app, source).await?.is_some();
    let envelope = CommandEnvelope {
        stream: format!("reconciliation-{source}"),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let command = if is_compared {
        reconciliation::Command::Start {
            source: source.to_owned(),
            at: app.ledger.clock.now(),
        }
    } else {
        reconciliation::Command::Stop
    };
    app.ledger
        .execute::<Reconciliation>(&envelope, &command, &NoContext)
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

/// Returns the definition of a source whose cases the desk compares with their records, with the pause between two
/// comparisons in milliseconds. Returns `None` if it does not compare them.
pub async fn compares(app: &App, source: &str) -> Result<Option<(Defined, i64)>, Error> {
    let integration = app.configuration.integration(source).await?;
    let defined = integration.defined.clone();
    Ok(defined.and_then(|defined| {
        let minutes = defined.reconcile_minutes?;
        Some((defined, i64::from(minutes) * 60_000))
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

/// Requests that the desk writes the new status of a ticket to the record of its case. Returns the stream of the writes, or
/// `None` if there is nothing to write.
pub async fn request_write(
    app: &App,
    case: &str,
    ticket: &TicketSn,
    meta: Meta,
) -> Result<Option<String>, Error> {
    let state = app.ledger.load::<Case>(case).await?.aggregate.0;
    if state.ticket.is_none() && state.is_pending {
        // The desk stores the ticket in the case a moment after it opened the ticket.
        return Err(Error::new(
            Kind::Conflict,
            format!("{case} is not bound to its ticket yet"),
        ));
    }
    if state.ticket.as_ref() != Some(ticket) {
        return Ok(None);
    }
    // Messages can arrive in another order than the events. The current status of the ticket is therefore written.
    let loaded = app.ledger.load::<Ticket>(&ticket.stream()).await?;
    let status = loaded.aggregate.0.status_key().to_owned();
    let status = status.as_str();
    let integration = app.configuration.integration(&state.source).await?;
    let is_ended_by_source = integration
        .mapping(state.mapping)
        .is_some_and(|(_, mapping)| mapping.ends.contains_key(&state.status));
    if is_ended_by_source {
        return Ok(None);
    }
    let target = integration
        .mapping(state.mapping)
        .and_then(|(_, mapping)| mapping.write_back.get(status).cloned());
    let kind = integration.defined.as_ref().map(|one| one.kind.as_str());
    let api = kind.and_then(source::find).and_then(Source::api);
    let (Some(target), Some(_)) = (target, api) else {
        return Ok(None);
    };
    let is_end = !matches!(status, "RUNNING" | "SUSPENDED");
    let now = app.ledger.clock.now();
    let requested = Requested {
        case: case.to_owned(),
        source: state.source.clone(),
        record: state.record.clone(),
        ticket: ticket.clone(),
        status: status.to_owned(),
        target,
        known: state.first_status.clone(),
        overwrites: integration
            .defined
            .as_ref()
            .is_some_and(|one| one.status_authority == Authority::Desk),
        cause: meta.causation.clone(),
        due: now.plus_ms(if is_end { 0 } else { MERGE_MS }),
    };
    let stream = format!("writeback-{}", cases::id_of(case));
    let envelope = CommandEnvelope {
        stream: stream.clone(),
        command_id: command_id(&["request", &stream, &requested.cause]),
        meta,
    };
    let command = writeback::Command::Request(Box::new(requested));
    app.ledger
        .execute::<Writeback>(&envelope, &command, &NoContext)
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(Some(stream))
}
