//! The runner executes the attempts of outgoing requests.
//!
//! The runner loads the work, checks that an attempt is due, and takes a lease (an exclusive right
//! for a limited time). If a repeated request could do harm, the runner records the start of the
//! request. Then the runner sends the request, and records the verdict (the result of the attempt).

use async_trait::async_trait;
use domain::Decider;
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::decider::Nothing;
use events::api_call::Exchange;
use events::{Meta, Moment};
use infra::commit::hex;
use infra::http::{HttpError, HttpRequest, HttpResponse, origin};
use infra::ledger::{NoContext, command_id};
use infra::views::{Document, Views};
use infra::{CommandEnvelope, Error, ExecuteError, Kind, Ledger};
use serde::{Deserialize, Serialize};

use super::unexpected;
use crate::App;

/// The name of the view that stores the leases. Each stream that had an attempt has one document in
/// this view.
const LEASE: &str = "lease";
/// Duration of a lease (the exclusive right to make an attempt). The duration is longer than the
/// longest request. The duration is shorter than the time for which a taken message is hidden from
/// other workers.
const LEASE_MS: i64 = 30_000;

/// Additional time after the timeout of a non-idempotent request. If no outcome is recorded until
/// the end of this time, the attempt counts as interrupted.
const STARTED_GRACE_MS: i64 = 30_000;

/// A function that returns the verdict (the result of an attempt) for a response. It also returns
/// the policy for repeating failed attempts.
pub type Judge<'a> =
    Box<dyn FnOnce(&Result<HttpResponse, HttpError>) -> (Verdict, Policy) + Send + 'a>;

/// A function that returns the command for recording the start of an attempt.
///
/// The arguments are the attempt number and a time limit. If no outcome is recorded until this
/// time, the attempt counts as interrupted.
pub type Start<O> = fn(u32, Moment) -> <O as Decider>::Command;

/// The next attempt of a piece of work, ready to execute.
pub enum Prepared<'a, O: Outgoing> {
    /// The attempt sends this request.
    Request {
        request: HttpRequest,
        /// The function that returns the command for recording the start of the request. The
        /// function is set if a repeated request could do the work twice. The value is `None` if
        /// the receiver detects repeated requests.
        start: Option<Start<O>>,
        judge: Judge<'a>,
    },
    /// The attempt cannot send a request. The runner records this verdict as the result of the
    /// attempt.
    Verdict(Verdict, Policy),
}

/// One kind of outgoing work, such as callbacks. Each piece of work has its own stream.
#[async_trait]
pub trait Outgoing: Decider<Context = (), Lookup = Nothing> {
    /// Returns the state of the attempts if another attempt is necessary. Returns `None` before the
    /// work is requested and after the last attempt.
    fn attempts(&self) -> Option<Attempts>;
    /// Returns the id of the event that caused the work. The id is empty until the work is
    /// requested.
    fn cause(&self) -> &str;
    /// Returns the verdict (the result) for an attempt that was started but has no recorded
    /// outcome. Returns `None` if no such attempt exists.
    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        None
    }
    /// Prepares the next attempt.
    async fn prepare<'a>(&'a self, app: &'a App, stream: &str)
    -> Result<Prepared<'a, Self>, Error>;
    /// Returns the command that records the outcome of an attempt.
    fn record(report: Report) -> Self::Command;
    /// Returns true if the rejection shows a repetition: the work was already requested, or another
    /// worker made the attempt.
    fn is_repeated(rejection: &Self::Rejection) -> bool;
    /// Executes the steps after the last attempt. The runner repeats this call until all steps have
    /// succeeded.
    async fn conclude(&self, _app: &App, _stream: &str) -> Result<(), Error> {
        Ok(())
    }
}

/// Returns the metadata for the commits of a piece of work.
pub fn meta<O: Outgoing>(work: &O) -> Meta {
    Meta::system(work.cause(), work.cause())
}

/// Requests a piece of work. If the work was already requested, does nothing.
pub async fn open<O: Outgoing>(
    ledger: &Ledger,
    command_envelope: &CommandEnvelope,
    request: &O::Command,
) -> Result<(), Error> {
    execute::<O>(ledger, command_envelope, request)
        .await
        .map(drop)
}

/// Makes the next attempt of a piece of work if the attempt is due. After the last attempt,
/// executes the final steps of the work.
pub async fn run<O: Outgoing>(app: &App, stream: &str) -> Result<(), Error> {
    let state = app.ledger.load::<O>(stream).await?.aggregate.0;
    let Some(attempts) = state.attempts() else {
        return state.conclude(app, stream).await;
    };
    let now = app.ledger.clock.now();
    if attempts.due > now {
        return Ok(());
    }
    let attempt = attempts.next();
    let interrupted = state.interrupted().map(|(verdict, policy)| Outcome {
        exchange: None,
        status: None,
        verdict,
        policy,
    });
    let outcome = match interrupted {
        Some(outcome) => outcome,
        None => match make(app, stream, &state, attempt).await? {
            Some(outcome) => outcome,
            None => return Ok(()),
        },
    };
    app.crash.pass("during-callback");
    let report = Report {
        attempt,
        exchange: outcome.exchange,
        status: outcome.status,
        verdict: outcome.verdict,
        policy: outcome.policy,
        at: app.ledger.clock.now(),
    };
    let id = command_id(&["attempt", stream, &attempt.to_string()]);
    let command_envelope = envelope(stream, &state, id);
    match execute::<O>(&app.ledger, &command_envelope, &O::record(report)).await? {
        Some(state) if state.attempts().is_none() => state.conclude(app, stream).await,
        _ => Ok(()),
    }
}

/// Executes the command that closes a piece of work. Every repetition of this call has the same
/// command id.
pub async fn close<O: Outgoing>(
    app: &App,
    stream: &str,
    state: &O,
    command: &O::Command,
) -> Result<(), Error> {
    let command_envelope = envelope(stream, state, command_id(&["close", stream]));
    app.ledger
        .execute::<O>(&command_envelope, command, &NoContext)
        .await
        .map(drop)
        .map_err(unexpected)
}

struct Outcome {
    exchange: Option<Exchange>,
    status: Option<u16>,
    verdict: Verdict,
    policy: Policy,
}

/// Prepares and sends one request. Returns `None` if another worker makes this attempt.
async fn make<O: Outgoing>(
    app: &App,
    stream: &str,
    state: &O,
    attempt: u32,
) -> Result<Option<Outcome>, Error> {
    let (request, start, judge) = match state.prepare(app, stream).await? {
        Prepared::Request {
            request,
            start,
            judge,
        } => (request, start, judge),
        Prepared::Verdict(verdict, policy) => {
            return Ok(Some(Outcome {
                exchange: None,
                status: None,
                verdict,
                policy,
            }));
        }
    };
    let target = origin(&request.url);
    // The number of concurrent requests to one receiver is limited, so a slow receiver does not
    // block all workers of the queue.
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(Error::new(
            Kind::Throttled,
            format!("{target} has its maximum of concurrent requests"),
        ));
    };
    let now = app.ledger.clock.now();
    let owner = hex(&app.ledger.fresh_id());
    if !take_lease(&*app.views, stream, attempt.into(), now, owner).await? {
        return Ok(None);
    }
    if let Some(start) = start {
        let timeout_ms = i64::try_from(request.timeout.as_millis()).unwrap_or(i64::MAX / 2);
        let until = now.plus_ms(timeout_ms + STARTED_GRACE_MS);
        // The command id is random, so the ledger rejects the same command from a second worker.
        // With equal ids, the ledger would accept the second command as a repetition.
        let command_envelope = envelope(stream, state, app.ledger.fresh_id());
        let started = execute::<O>(&app.ledger, &command_envelope, &start(attempt, until)).await?;
        if started.is_none() {
            return Ok(None);
        }
    }
    let sent_at = app.ledger.clock.now();
    let response = app.http.send(&request).await;
    let now = app.ledger.clock.now();
    let (mut verdict, policy) = judge(&response);
    if let (Verdict::Retry { after_ms, .. }, Ok(response)) = (&mut verdict, &response) {
        *after_ms = response.retry_after_ms(now.0).or(*after_ms);
    }
    Ok(Some(Outcome {
        exchange: Some(Exchange {
            target: format!("{} {target}", request.method),
            duration_ms: now.0 - sent_at.0,
        }),
        status: response.ok().map(|response| response.status),
        verdict,
        policy,
    }))
}

fn envelope<O: Outgoing>(stream: &str, state: &O, command_id: [u8; 16]) -> CommandEnvelope {
    CommandEnvelope {
        stream: stream.to_owned(),
        command_id,
        meta: meta(state),
    }
}

/// Executes a command on a piece of work. Returns `None` if the work was already requested or
/// another worker made the attempt.
async fn execute<O: Outgoing>(
    ledger: &Ledger,
    command_envelope: &CommandEnvelope,
    command: &O::Command,
) -> Result<Option<O>, Error> {
    match ledger
        .execute::<O>(command_envelope, command, &NoContext)
        .await
    {
        Ok(outcome) => Ok(Some(outcome.state)),
        Err(ExecuteError::Rejected(rejection)) if O::is_repeated(&rejection) => Ok(None),
        Err(error) => Err(unexpected(error)),
    }
}

/// The exclusive right of one worker to make one attempt, for a limited time.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    attempt: i64,
    until: Moment,
    /// A random id. Two leases for the same attempt therefore have different documents.
    owner: String,
}

/// Takes the lease for an attempt. The lease prevents a second request if the message is delivered
/// again.
///
/// Returns false if another worker has the lease. The lease of a crashed worker expires after
/// [`LEASE_MS`].
async fn take_lease(
    views: &dyn Views,
    stream: &str,
    attempt: i64,
    now: Moment,
    owner: String,
) -> Result<bool, Error> {
    let stored = views.get(LEASE, stream).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    let lease: Option<Lease> =
        stored.and_then(|document| serde_json::from_slice(&document.body).ok());
    if lease.is_some_and(|lease| lease.attempt == attempt && lease.until > now) {
        return Ok(false);
    }
    let body = serde_json::to_vec(&Lease {
        attempt,
        until: now.plus_ms(LEASE_MS),
        owner,
    })
    .unwrap_or_default();
    views
        .put(
            LEASE,
            stream,
            &Document {
                sequence: sequence + 1,
                body,
            },
            &[],
            sequence,
        )
        .await
}
