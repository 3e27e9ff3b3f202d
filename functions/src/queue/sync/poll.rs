//! Asks an external ITSM for the statuses of several open applications (tickets in this ITSM) in one request.
//!
//! Each application has its own stored deadline. One message asks for all applications that are due, up to the maximum of
//! tickets in each request. While a request is under way, the desk loads the applications of the next one. The result is
//! stored in each application, so the deadlines move. The ledger stores the results of one request in one group.
//!
//! Only one worker at a time asks for the applications of a kind. The other workers do nothing. If the asking worker
//! crashes, the deadlines of the remaining applications cause a message again.

use std::collections::BTreeSet;

use domain::attempt::{Report, Verdict};
use domain::itsm::application::{Answer, Application, Command, POLICY};
use events::Moment;
use events::api_call::Exchange;
use futures_util::future::{join, try_join_all};
use infra::http::{HttpError, HttpResponse, origin};
use infra::itsm::Request;
use infra::ledger::{NoContext, command_id};
use infra::views::{Entry, Range};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::{Connected, RESPONSE_BYTES_MAX, connect, is_awaited};
use crate::App;
use crate::app::itsm::gate;
use crate::app::outbound::{self, Described};
use crate::app::rate;
use crate::queue::runner::{self, Outgoing as _};

/// Applications that are due within this time are asked for together with those that are due now, in milliseconds.
const AHEAD_MS: i64 = 30_000;
/// Maximum number of requests that one message sends for one kind.
const REQUESTS_MAX: usize = 1_000;
/// The longest time in which one message begins another request, in milliseconds. The exclusive right to ask lasts longer
/// than this time and one request.
const TIME_MAX_MS: i64 = 15_000;
/// Maximum number of applications that one message reads one after the other, if they cannot be asked for together.
const ALONE_MAX: usize = 100;

/// Handles a reached deadline of applications that only wait for the decision. The message names one of them, and is for
/// the due applications of all kinds. The kind that is due for the longest time comes first.
pub(super) async fn fire(app: &App, stream: &str) -> Result<(), Error> {
    let began = app.ledger.clock.now();
    let loaded = app.ledger.load::<Application>(stream).await;
    let mut kinds = due_kinds(app, began).await?;
    let own = loaded.as_ref().ok().map(|loaded| &loaded.aggregate.0);
    let own = own.filter(|state| state.is_polled() && state.attempts.due <= began);
    // If the ticket of the named application cannot be read, an operator must see the message.
    let awaited = match own {
        Some(state) => is_awaited(app, state).await.map(drop),
        None => Ok(()),
    };
    // The list can still lack the application that the message names.
    let own = own.map(|state| (state.attempts.due, state.kind().to_owned()));
    let is_missing = |(_, kind): &&(Moment, String)| kinds.iter().all(|(_, other)| other != kind);
    let missing = own.as_ref().filter(is_missing).cloned();
    kinds.extend(missing);
    kinds.sort();
    // An application that cannot be read, or a kind that fails, does not prevent the work for the others.
    let mut done = loaded.map(drop).and(awaited);
    for (_, kind) in kinds {
        if app.ledger.clock.now() > began.plus_ms(TIME_MAX_MS) {
            break;
        }
        let is_own = own.as_ref().is_some_and(|(_, own)| *own == kind);
        let named = is_own.then_some(stream);
        if let Err(error) = Box::pin(poll_kind(app, &kind, named)).await {
            tracing::warn!(%error, kind, "the applications of a kind are not read");
            done = done.and(Err(error));
        }
    }
    done
}

/// Reads the due applications of one kind.
async fn poll_kind(app: &App, kind: &str, named: Option<&str>) -> Result<(), Error> {
    if Box::pin(poll(app, kind, named)).await? {
        return Ok(());
    }
    Box::pin(poll_alone(app, kind, named)).await
}

/// Returns the kinds of the due applications, with the time of the first due application of each kind.
async fn due_kinds(app: &App, now: Moment) -> Result<Vec<(Moment, String)>, Error> {
    let (mut kinds, mut from) = (Vec::new(), String::new());
    loop {
        let first = Range {
            view: "application",
            index: "polled",
            from: &from,
            to: "~",
            descending: false,
            skip: 0,
            limit: 1,
        };
        let found = app.views.range(first).await?;
        let first = found.first().and_then(|entry| {
            let (kind, due) = entry.value.rsplit_once('|')?;
            Some((kind.to_owned(), due.parse().ok().map(Moment)?))
        });
        let Some((kind, due)) = first else {
            return Ok(kinds);
        };
        from = format!("{kind}|~");
        if due <= now {
            kinds.push((due, kind));
        }
    }
}

/// Reads the due applications of a kind one after the other. `named` is the application that the message names.
async fn poll_alone(app: &App, kind: &str, named: Option<&str>) -> Result<(), Error> {
    let began = app.ledger.clock.now();
    let (from, until) = (format!("{kind}|"), format!("{kind}|{:016}~", began.0));
    let list = Range {
        view: "application",
        index: "polled",
        from: &from,
        to: &until,
        descending: false,
        skip: 0,
        limit: ALONE_MAX,
    };
    let found = app.views.range(list).await?;
    let keys = found.into_iter().map(|entry| entry.key);
    let streams: BTreeSet<String> = named.map(str::to_owned).into_iter().chain(keys).collect();
    for stream in streams {
        if app.ledger.clock.now() > began.plus_ms(TIME_MAX_MS) {
            break;
        }
        match runner::run::<Application>(app, &stream).await {
            Err(error) if error.is_poison() && named != Some(stream.as_str()) => {
                tracing::error!(%error, stream, "an application cannot be read");
            }
            done => done?,
        }
    }
    Ok(())
}

/// Asks for the statuses of the due applications of a kind. `named` is an application that is due. Returns false if at most
/// one application is due soon, or if the configuration is incomplete. The caller then reads each application by itself.
pub(super) async fn poll(app: &App, kind: &str, named: Option<&str>) -> Result<bool, Error> {
    let began = app.ledger.clock.now();
    let until = format!("{kind}|{:016}~", began.plus_ms(AHEAD_MS).0);
    let from = format!("{kind}|");
    // A count of the whole list would be too slow here.
    let first = Range {
        view: "application",
        index: "polled",
        from: &from,
        to: &until,
        descending: false,
        skip: 0,
        limit: 2,
    };
    if app.views.range(first).await?.len() < 2 {
        return Ok(false);
    }
    let Ok(connected) = connect(app, kind).await? else {
        return Ok(false);
    };
    let right = format!("application_kind-{kind}");
    let Some(right) = runner::right(app, &right).await? else {
        return Ok(true);
    };
    let waiting = Waiting {
        from,
        to: until,
        last: None,
        size: connected.0.statuses_max(),
        returned: BTreeSet::new(),
        named: named.map(str::to_owned),
    };
    let asked = ask_all(app, &connected, waiting).await;
    right.release(app).await?;
    asked.map(|()| true)
}

/// An application that is due, with its stream.
type Due = (String, Application);

/// The applications that are still to be asked for, in the order of their deadlines.
struct Waiting {
    /// The part of the list `polled` that is asked for.
    from: String,
    to: String,
    /// The last entry of the list that was returned.
    last: Option<Entry>,
    /// Number of tickets in one request.
    size: usize,
    /// The returned applications. A deadline can move within the list.
    returned: BTreeSet<String>,
    /// An application that comes first, even if the list lacks it.
    named: Option<String>,
}

impl Waiting {
    /// Returns the next group of due applications. Returns `None` at the end of the list.
    async fn next(&mut self, app: &App) -> Result<Option<Vec<Due>>, Error> {
        loop {
            let streams = self.streams(app).await?;
            if streams.is_empty() {
                return Ok(None);
            }
            let group = due(app, &streams).await?;
            if !group.is_empty() {
                return Ok(Some(group));
            }
        }
    }

    /// Returns the next applications of the list, and `named` before them. The result is empty at the end of the list.
    async fn streams(&mut self, app: &App) -> Result<Vec<String>, Error> {
        let mut streams = Vec::with_capacity(self.size);
        if let Some(named) = self.named.take() {
            self.returned.insert(named.clone());
            streams.push(named);
        }
        loop {
            let from = self.last.as_ref().map_or(&self.from, |last| &last.value);
            let list = Range {
                view: "application",
                index: "polled",
                from,
                to: &self.to,
                descending: false,
                skip: 0,
                limit: self.size - streams.len(),
            };
            let found = app.views.range_after(list, self.last.as_ref()).await?;
            let Some(last) = found.last() else {
                return Ok(streams);
            };
            self.last = Some(last.clone());
            for entry in found {
                if self.returned.insert(entry.key.clone()) {
                    streams.push(entry.key);
                }
            }
            if streams.len() >= self.size {
                return Ok(streams);
            }
        }
    }
}

/// Asks for all waiting applications.
async fn ask_all(app: &App, connected: &Connected, mut waiting: Waiting) -> Result<(), Error> {
    let began = app.ledger.clock.now();
    read_failed_callbacks(app, connected).await?;
    let mut group = waiting.next(app).await?;
    for _ in 0..REQUESTS_MAX {
        let Some(asked) = group else { break };
        let (goes_on, next) = join(ask(app, connected, &asked), waiting.next(app)).await;
        let is_late = app.ledger.clock.now() > began.plus_ms(TIME_MAX_MS);
        if !goes_on? || is_late {
            break;
        }
        group = next?;
    }
    Ok(())
}

/// Returns the applications that only wait for the decision, in the order of `streams`. An application for which the ticket
/// of this desk no longer waits is withdrawn.
async fn due(app: &App, streams: &[String]) -> Result<Vec<Due>, Error> {
    let until = app.ledger.clock.now().plus_ms(AHEAD_MS);
    let loads = streams.iter().map(|stream| one_due(app, stream, until));
    let found = try_join_all(loads).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns an application if it is due. If the application or its ticket cannot be read, the result is empty, so that the
/// work for the others does not wait.
async fn one_due(app: &App, stream: &str, until: Moment) -> Result<Option<Due>, Error> {
    match readable_due(app, stream, until).await {
        Err(error) if error.is_poison() => {
            tracing::error!(%error, stream, "an application cannot be read");
            Ok(None)
        }
        due => due,
    }
}

async fn readable_due(app: &App, stream: &str, until: Moment) -> Result<Option<Due>, Error> {
    let state = app.ledger.load::<Application>(stream).await?.aggregate.0;
    if !state.is_polled() || state.attempts.due > until {
        return Ok(None);
    }
    if is_awaited(app, &state).await? {
        return Ok(Some((stream.to_owned(), state)));
    }
    let verdict = state.abandoned();
    record(app, stream, &state, (verdict, None, None)).await?;
    Ok(None)
}

/// Sends one request about the statuses of a group of applications, and stores the result in each. Returns false if no
/// further request may be sent now.
async fn ask(app: &App, connected: &Connected, group: &[Due]) -> Result<bool, Error> {
    let integration = &connected.1.integration;
    if let Some(wait) = gate::admit(app, integration).await? {
        // The applications of later groups are still due, and cause the next message.
        let waits = |state: &Application| state.postponed(wait.after_ms);
        return record_all(app, group, waits, (None, None))
            .await
            .map(|()| false);
    }
    // A ticket number has a meaning only in the external ITSM that gave it.
    let moved = |state: &Application| state.moved(integration).map(Verdict::retry);
    let here = group.iter().filter(|(_, state)| moved(state).is_none());
    let externals: Vec<String> = here.map(|(_, state)| state.external.clone()).collect();
    if externals.is_empty() {
        let verdict = |state: &Application| {
            moved(state).unwrap_or_else(|| Verdict::retry("no ticket is in this external ITSM"))
        };
        return record_all(app, group, verdict, (None, None))
            .await
            .map(|()| true);
    }
    let request = Request::Statuses { externals };
    let Some(Sent {
        answer,
        exchange,
        response,
    }) = send(app, connected, &request).await?
    else {
        let failed = |_: &Application| Verdict::retry("the request cannot be built");
        return record_all(app, group, failed, (None, None))
            .await
            .map(|()| false);
    };
    let status = response.as_ref().ok().map(|response| response.status);
    let now = app.ledger.clock.now();
    let polled = |state: &Application| {
        if let Some(verdict) = moved(state) {
            return verdict;
        }
        let mut verdict = state.polled(&answer);
        runner::delay(&mut verdict, &response, now);
        verdict
    };
    record_all(app, group, polled, (Some(exchange), status)).await?;
    // After a rejection, the desk reads each ticket by itself. The next groups must not wait for this.
    Ok(matches!(answer, Answer::Statuses(_) | Answer::Rejected(_)))
}

/// Stores a verdict in each application of a group. The ledger stores commits that arrive together in one group.
async fn record_all(
    app: &App,
    group: &[Due],
    verdict: impl Fn(&Application) -> Verdict,
    (exchange, status): (Option<Exchange>, Option<u16>),
) -> Result<(), Error> {
    let records = group.iter().map(|(stream, state)| {
        let result = (verdict(state), exchange.clone(), status);
        record(app, stream, state, result)
    });
    try_join_all(records).await.map(drop)
}

/// Asks at most once in a minute for the tickets about which a callback of the external ITSM failed. The desk then reads
/// these tickets at once.
async fn read_failed_callbacks(app: &App, connected: &Connected) -> Result<(), Error> {
    let (_, connection, kind) = connected;
    let name = format!("failed_callbacks/{}", kind.name);
    // A request that the external ITSM does not get must not use up the one that is permitted in a minute.
    if gate::admit(app, &connection.integration).await?.is_some()
        || rate::take(app, &name, 1).await?.is_some()
    {
        return Ok(());
    }
    let sent = send(app, connected, &Request::FailedCallbacks).await?;
    let Some(Sent {
        answer: Answer::FailedCallbacks(numbers),
        exchange,
        response,
    }) = sent
    else {
        return Ok(());
    };
    let status = response.as_ref().ok().map(|response| response.status);
    for number in numbers {
        let value = format!("{}|{number}", kind.name);
        let to = format!("{value}\u{1}");
        let list = Range {
            view: "application",
            index: "external",
            from: &value,
            to: &to,
            descending: false,
            skip: 0,
            limit: 1,
        };
        for entry in app.views.range(list).await? {
            let stream = entry.key;
            let state = match app.ledger.load::<Application>(&stream).await {
                Err(error) if error.is_poison() => {
                    tracing::error!(%error, stream, "an application cannot be read");
                    continue;
                }
                loaded => loaded?.aggregate.0,
            };
            if state.is_polled() && state.external == number {
                let result = (state.missed(), Some(exchange.clone()), status);
                record(app, &stream, &state, result).await?;
            }
        }
    }
    Ok(())
}

struct Sent {
    answer: Answer,
    exchange: Exchange,
    response: Result<HttpResponse, HttpError>,
}

/// Sends a request. Returns `None` if the request cannot be built, for example because the secret is missing.
async fn send(
    app: &App,
    (codec, connection, _): &Connected,
    request: &Request,
) -> Result<Option<Sent>, Error> {
    let Ok(planned) = codec.request(connection, request) else {
        return Ok(None);
    };
    let described = Described::of(planned, RESPONSE_BYTES_MAX);
    let Ok(built) = outbound::request(&*app.ledger.keys, described).await? else {
        return Ok(None);
    };
    let target = origin(&built.url);
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(runner::busy(&target));
    };
    let sent_at = app.ledger.clock.now();
    let response = app.http.send(&built).await;
    gate::note(app, &connection.integration, &response).await?;
    Ok(Some(Sent {
        answer: codec.answer(request, &response),
        exchange: Exchange {
            target: format!("{} {target}", built.method),
            duration_ms: app.ledger.clock.now().0 - sent_at.0,
        },
        response,
    }))
}

/// Stores the result of a request in an application. If another worker has already stored a result, nothing changes.
async fn record(
    app: &App,
    stream: &str,
    application: &Application,
    (verdict, exchange, status): (Verdict, Option<Exchange>, Option<u16>),
) -> Result<(), Error> {
    let attempt = application.attempts.next();
    let report = Report {
        attempt,
        exchange,
        status,
        verdict,
        policy: POLICY,
        at: app.ledger.clock.now(),
    };
    let envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: command_id(&["attempt", stream, &attempt.to_string()]),
        meta: runner::meta(application),
    };
    match app
        .ledger
        .execute::<Application>(&envelope, &Command::Record(report), &NoContext)
        .await
    {
        Ok(_) => Ok(()),
        Err(ExecuteError::Rejected(rejection)) if Application::is_repeated(&rejection) => Ok(()),
        Err(failure) => Err(failure.unexpected()),
    }
}
