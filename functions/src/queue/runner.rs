//! Makes the attempts of outgoing requests, such as callbacks and API calls.
//!
//! The runner first checks that the time of an attempt has come. Then the runner takes a lease (the exclusive
//! right of one worker to make this attempt). If the request must not be sent twice, the runner stores the
//! start of the attempt before it sends the request. After the response, the runner stores the verdict (the
//! result of the attempt, such as success or failure).

use std::time::Duration;

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

use crate::App;

/// The name of the view (a stored table) with the leases of a desk in the cloud. A lease is the exclusive right of one
/// worker to make an attempt. The view has one document for each stream, with the lease of its newest attempt.
const LEASE: &str = "lease";
/// Duration of a lease, in milliseconds. A lease is the exclusive right of one worker to make an attempt. A lease
/// is longer than the longest request. A lease is shorter than the time for which the queue hides a received
/// message from other workers.
const LEASE_MS: i64 = 30_000;

/// Additional time after the timeout of a request, in milliseconds. If no outcome is stored before the end of
/// this time, the attempt counts as interrupted. This time applies only to requests that must not be sent
/// twice.
const STARTED_GRACE_MS: i64 = 30_000;

/// Minimum pause in milliseconds before the next attempt, if the receiver rejected a request because of a rate limit.
const THROTTLED_MIN_MS: i64 = 1_000;

/// A function that evaluates a response. The function returns a verdict (the result of the attempt,
/// such as success or failure) and the policy for further attempts.
pub type Judge<'a> =
    Box<dyn FnOnce(&Result<HttpResponse, HttpError>) -> (Verdict, Policy) + Send + 'a>;

/// The result of one sent request: the status of the response, the verdict (the result of the attempt) and the
/// policy for further attempts. The status is `None` if no response arrived or if the protocol has no status.
pub type Sent = (Option<u16>, Verdict, Policy);

/// A request over another protocol than HTTP, such as a mail, with the function that evaluates its response.
#[async_trait]
pub trait Transport: Send {
    /// Returns the receiver of the request, such as `smtp://relay.example.com:25`.
    fn target(&self) -> String;
    /// Returns the kind of the request as one word in upper case, such as `MAIL`.
    fn method(&self) -> &'static str;
    /// Returns the maximum duration of the request.
    fn timeout(&self) -> Duration;
    /// Sends the request and evaluates the response.
    async fn send(self: Box<Self>, app: &App) -> Sent;
}

/// A function that creates a command. The command stores the start of an attempt, and the runner executes the
/// command before the runner sends the request.
///
/// The arguments of the function are the attempt number and a time. If no outcome is stored before this time,
/// the attempt counts as interrupted.
pub type Start<'a, O> = Box<dyn FnOnce(u32, Moment) -> <O as Decider>::Command + Send + 'a>;

/// The next attempt of an outgoing request, with all data that the attempt needs.
pub enum Prepared<'a, O: Outgoing> {
    /// The runner sends this HTTP request.
    Request {
        request: HttpRequest,
        /// The function that creates the command for storing the start of the attempt. The value is `None` if
        /// the request may be sent twice. The start is then not stored.
        start: Option<Start<'a, O>>,
        judge: Judge<'a>,
    },
    /// The runner sends this request over another protocol than HTTP.
    Other {
        request: Box<dyn Transport + 'a>,
        /// The function that creates the command for storing the start of the attempt. The value is `None` if
        /// the request may be sent twice. The start is then not stored.
        start: Option<Start<'a, O>>,
    },
    /// The runner sends no request, and stores the given verdict (such as failure) as the result of the attempt.
    Verdict(Verdict, Policy),
}

/// A type of outgoing work, such as callbacks. Each item of this work, such as one callback, has its own stream of
/// events.
#[async_trait]
pub trait Outgoing: Decider<Context = (), Lookup = Nothing> {
    /// Returns the number of attempts so far and the time of the next attempt. Returns `None` if the work was
    /// not requested yet, or if no further attempt follows.
    fn attempts(&self) -> Option<Attempts>;
    /// Returns the id that new commits contain as their cause. For most types of work, this is the id of the event
    /// that caused the work. The id is empty if the work was not requested yet.
    fn cause(&self) -> &str;
    /// Returns the verdict (the result, such as failure) for an interrupted attempt. An interrupted attempt has a
    /// stored start, but no stored outcome. Returns `None` if the current attempt was not interrupted.
    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        None
    }
    /// Loads the data for the next attempt, and creates the request of this attempt.
    async fn prepare<'a>(&'a self, app: &'a App, stream: &str)
    -> Result<Prepared<'a, Self>, Error>;
    /// Returns a verdict (the result of the attempt) if the request must not be sent now, for example because of a
    /// rate limit. The runner calls this function after it took the lease (the exclusive right to make the
    /// attempt).
    async fn admit(&self, _app: &App) -> Result<Option<(Verdict, Policy)>, Error> {
        Ok(None)
    }
    /// Returns the policy for further attempts after a verdict (the result of the attempt). `policy` is the policy that the
    /// attempt itself returned. The runner calls this function before it stores the outcome.
    async fn policy(
        &self,
        _app: &App,
        _verdict: &Verdict,
        policy: Policy,
    ) -> Result<Policy, Error> {
        Ok(policy)
    }
    /// Learns from the response to an HTTP request, for example that the receiver cannot answer at this time. The runner
    /// calls this function before it stores the outcome.
    async fn learned(
        &self,
        _app: &App,
        _response: &Result<HttpResponse, HttpError>,
    ) -> Result<(), Error> {
        Ok(())
    }
    /// Learns from the verdict (the result of an attempt) of a request that was sent. The runner calls this function before
    /// it stores the outcome.
    async fn judged(&self, _app: &App, _verdict: &Verdict) -> Result<(), Error> {
        Ok(())
    }
    /// Returns the command that stores the outcome of an attempt.
    fn record(report: Report) -> Self::Command;
    /// Returns true if a command was rejected because its effect is already stored. Either the work was
    /// already requested, or another worker already made the attempt.
    fn is_repeated(rejection: &Self::Rejection) -> bool;
    /// Does the work that follows the last attempt, for example stores the result in a ticket. If this function returns
    /// an error, the runner calls it again later.
    async fn conclude(&self, _app: &App, _stream: &str) -> Result<(), Error> {
        Ok(())
    }
}

/// Returns the metadata for commits about outgoing work. The actor in the metadata is the system, because no
/// person acts.
pub fn meta<O: Outgoing>(work: &O) -> Meta {
    Meta::system(work.cause(), work.cause())
}

/// Executes the command that requests new outgoing work. If this work was already requested, no event is
/// added.
pub async fn open<O: Outgoing>(
    ledger: &Ledger,
    command_envelope: &CommandEnvelope,
    request: &O::Command,
) -> Result<(), Error> {
    execute::<O>(ledger, command_envelope, request)
        .await
        .map(drop)
}

/// Makes the next attempt of the outgoing work in the given stream. Does nothing before the time of this
/// attempt. After the last attempt, calls `Outgoing::conclude`.
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
    let interrupted = state
        .interrupted()
        .map(|(verdict, policy)| Outcome::without_request(verdict, policy));
    let outcome = match interrupted {
        Some(outcome) => outcome,
        None => match make(app, stream, &state, attempt).await? {
            Some(outcome) => outcome,
            None => return Ok(()),
        },
    };
    app.crash.pass("during-callback");
    // The outcome is stored even if the policy is not known.
    let policy = state.policy(app, &outcome.verdict, outcome.policy).await;
    let policy = policy.unwrap_or_else(|error| {
        tracing::warn!(%error, "the policy for further attempts is not known");
        outcome.policy
    });
    let report = Report {
        attempt,
        exchange: outcome.exchange,
        status: outcome.status,
        verdict: outcome.verdict,
        policy,
        at: app.ledger.clock.now(),
    };
    let id = command_id(&["attempt", stream, &attempt.to_string()]);
    let command_envelope = envelope(stream, &state, id);
    match execute::<O>(&app.ledger, &command_envelope, &O::record(report)).await? {
        Some(state) if state.attempts().is_none() => state.conclude(app, stream).await,
        _ => Ok(()),
    }
}

/// Executes the command that ends outgoing work. All calls for one stream use the same command id, so the
/// ledger executes the command only once.
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
        .map_err(ExecuteError::unexpected)
}

struct Outcome {
    exchange: Option<Exchange>,
    status: Option<u16>,
    verdict: Verdict,
    policy: Policy,
}

impl Outcome {
    /// Returns the outcome of an attempt that sent no request.
    fn without_request(verdict: Verdict, policy: Policy) -> Self {
        Self {
            exchange: None,
            status: None,
            verdict,
            policy,
        }
    }
}

/// Takes the lease (the exclusive right) for one attempt. Returns false if another worker has the lease.
pub(super) async fn lease(app: &App, stream: &str, attempt: u32) -> Result<bool, Error> {
    let now = app.ledger.clock.now();
    // All workers are in this process. After a crash, no worker makes the attempt any more.
    if app.ledger.is_only_writer() {
        return app.leases.take(stream, attempt, now, now.plus_ms(LEASE_MS));
    }
    let owner = hex(&app.ledger.fresh_id());
    // Almost always, the first attempt has no stored lease. The write succeeds only if there is none.
    let first = Lease {
        attempt: attempt.into(),
        until: now.plus_ms(LEASE_MS),
        owner: owner.clone(),
    };
    if attempt == 1 && put_lease(&*app.views, stream, &first, 0).await? {
        return Ok(true);
    }
    take_lease(&*app.views, stream, attempt.into(), now, owner).await
}

/// The exclusive right of one worker to do work with a name. The right ends after [`LEASE_MS`] or when it is released.
pub(super) struct Right {
    name: String,
    owner: String,
}

/// Takes the exclusive right to do the work `name`. Returns `None` if another worker has it.
pub(super) async fn right(app: &App, name: &str) -> Result<Option<Right>, Error> {
    let now = app.ledger.clock.now();
    let owner = hex(&app.ledger.fresh_id());
    let is_taken = take_lease(&*app.views, name, 1, now, owner.clone()).await?;
    Ok(is_taken.then(|| Right {
        name: name.to_owned(),
        owner,
    }))
}

impl Right {
    /// Gives the right back, so that another worker can take it at once.
    pub(super) async fn release(self, app: &App) -> Result<(), Error> {
        let Some(stored) = app.views.get(LEASE, &self.name).await? else {
            return Ok(());
        };
        let lease: Option<Lease> = serde_json::from_slice(&stored.body).ok();
        let Some(lease) = lease.filter(|lease| lease.owner == self.owner) else {
            return Ok(());
        };
        let ended = Lease {
            until: Moment(0),
            ..lease
        };
        let document = Document {
            sequence: stored.sequence + 1,
            body: serde_json::to_vec(&ended).unwrap_or_default(),
        };
        let views = &*app.views;
        let put = views.put(LEASE, &self.name, &document, &[], stored.sequence);
        put.await.map(drop)
    }
}

/// Returns the error of a receiver that already has the maximum of concurrent requests. The queue repeats the message.
pub(super) fn busy(target: &str) -> Error {
    Error::new(
        Kind::Throttled,
        format!("{target} has its maximum of concurrent requests"),
    )
}

/// Makes one attempt. Takes the lease (the exclusive right to make the attempt), sends the request and
/// evaluates the response. Returns `None` if another worker makes this attempt.
async fn make<O: Outgoing>(
    app: &App,
    stream: &str,
    state: &O,
    attempt: u32,
) -> Result<Option<Outcome>, Error> {
    let (sending, start) = match state.prepare(app, stream).await? {
        Prepared::Request {
            request,
            start,
            judge,
        } => (Sending::Http(request, judge), start),
        Prepared::Other { request, start } => (Sending::Other(request), start),
        Prepared::Verdict(verdict, policy) => {
            // The lease is the exclusive right of one worker to make the attempt. Without the lease, this verdict
            // could replace the result of another worker that sends the request now.
            let is_taken = lease(app, stream, attempt).await?;
            return Ok(is_taken.then(|| Outcome::without_request(verdict, policy)));
        }
    };
    let target = sending.target();
    // The number of concurrent requests to one receiver is limited. Without this limit, a slow
    // receiver could occupy all workers of the queue.
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(busy(&target));
    };
    let now = app.ledger.clock.now();
    if !lease(app, stream, attempt).await? {
        return Ok(None);
    }
    if let Some((verdict, policy)) = state.admit(app).await? {
        return Ok(Some(Outcome::without_request(verdict, policy)));
    }
    if let Some(start) = start {
        let timeout_ms = i64::try_from(sending.timeout().as_millis()).unwrap_or(i64::MAX / 2);
        let until = now.plus_ms(timeout_ms + STARTED_GRACE_MS);
        // Each worker uses a random command id. If two workers start the same attempt, the ledger rejects the
        // second command. If the ids were equal, the ledger would accept the second command as a repetition
        // of the first.
        let command_envelope = envelope(stream, state, app.ledger.fresh_id());
        let started = execute::<O>(&app.ledger, &command_envelope, &start(attempt, until)).await?;
        if started.is_none() {
            return Ok(None);
        }
    }
    let shown = format!("{} {target}", sending.method());
    let sent_at = app.ledger.clock.now();
    app.crash.pass("before-request");
    let (status, verdict, policy) = sending.send(app, state).await;
    let duration_ms = app.ledger.clock.now().0 - sent_at.0;
    // The result is stored even if the desk cannot learn from it.
    if let Err(error) = state.judged(app, &verdict).await {
        tracing::warn!(%error, "the result of an attempt is not counted");
    }
    Ok(Some(Outcome {
        exchange: Some(Exchange {
            target: shown,
            duration_ms,
        }),
        status,
        verdict,
        policy,
    }))
}

/// A request with the function that evaluates its response.
enum Sending<'a> {
    Http(HttpRequest, Judge<'a>),
    Other(Box<dyn Transport + 'a>),
}

impl Sending<'_> {
    /// Returns the receiver of the request as a text with scheme, host and port.
    fn target(&self) -> String {
        match self {
            Self::Http(request, _) => origin(&request.url),
            Self::Other(request) => request.target(),
        }
    }

    fn method(&self) -> &str {
        match self {
            Self::Http(request, _) => &request.method,
            Self::Other(request) => request.method(),
        }
    }

    fn timeout(&self) -> Duration {
        match self {
            Self::Http(request, _) => request.timeout,
            Self::Other(request) => request.timeout(),
        }
    }

    /// Sends the request. Returns the status of the response, the verdict (the result of the attempt) and the
    /// policy for further attempts.
    async fn send<O: Outgoing>(self, app: &App, state: &O) -> Sent {
        match self {
            Self::Http(request, judge) => {
                let response = app.http.send(&request).await;
                // The response is used even if the desk cannot learn from it.
                if let Err(error) = state.learned(app, &response).await {
                    tracing::warn!(%error, "the result of a request is not counted");
                }
                let (mut verdict, policy) = judge(&response);
                delay(&mut verdict, &response, app.ledger.clock.now());
                let status = response.ok().map(|response| response.status);
                (status, verdict, policy)
            }
            Self::Other(request) => request.send(app).await,
        }
    }
}

/// Uses the pause of the header `Retry-After` in a verdict (the result of an attempt), if the response has this header.
pub(super) fn delay(
    verdict: &mut Verdict,
    response: &Result<HttpResponse, HttpError>,
    now: Moment,
) {
    let requested = response.as_ref().ok();
    let requested = requested.and_then(|response| response.retry_after_ms(now.0));
    match (verdict, requested) {
        (Verdict::Retry { after_ms, .. }, Some(ms)) => *after_ms = Some(ms),
        (Verdict::Throttled { after_ms, .. }, Some(ms)) => *after_ms = ms.max(THROTTLED_MIN_MS),
        _ => {}
    }
}

fn envelope<O: Outgoing>(stream: &str, state: &O, command_id: [u8; 16]) -> CommandEnvelope {
    CommandEnvelope {
        stream: stream.to_owned(),
        command_id,
        meta: meta(state),
    }
}

/// Executes a command of outgoing work and returns the new state. Returns `None` if the effect of the command
/// is already stored: the work was already requested, or another worker already made the attempt.
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
        Err(error) => Err(error.unexpected()),
    }
}

/// A lease. The lease gives one worker the exclusive right to make one attempt. The lease ends at the time
/// `until`.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    attempt: i64,
    until: Moment,
    /// A random id of the worker that has the lease (the exclusive right to make an attempt). The ids differ,
    /// so the stored leases of two workers are never equal.
    owner: String,
}

/// Takes the lease for an attempt. A lease is the exclusive right of one worker to make the attempt. Even if
/// the queue delivers the same message twice, only one worker sends the request.
///
/// Returns true if the worker got the lease, and false if another worker has it. If a worker crashes, its
/// lease ends after [`LEASE_MS`].
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
    // If the stored lease belongs to a later attempt, the attempt of this worker is already over. If the stored lease
    // of the same attempt has not ended, another worker makes this attempt.
    let is_refused =
        |lease: Lease| lease.attempt > attempt || lease.attempt == attempt && lease.until > now;
    if lease.is_some_and(is_refused) {
        return Ok(false);
    }
    let lease = Lease {
        attempt,
        until: now.plus_ms(LEASE_MS),
        owner,
    };
    put_lease(views, stream, &lease, sequence).await
}

/// Stores a lease if the stored document still has the sequence number `expected`. Returns whether the lease was stored.
async fn put_lease(
    views: &dyn Views,
    stream: &str,
    lease: &Lease,
    expected: i64,
) -> Result<bool, Error> {
    let document = Document {
        sequence: expected + 1,
        body: serde_json::to_vec(lease).unwrap_or_default(),
    };
    views.put(LEASE, stream, &document, &[], expected).await
}
