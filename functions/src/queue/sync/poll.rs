//! Asks an external ITSM for the statuses of several open applications (tickets in this ITSM) in one request.
//!
//! Each application has its own deadline. The message of the first reached deadline asks for this application and for all
//! other applications of the same kind that are due soon. The result is stored in each application, so their deadlines
//! move, and their messages have nothing to do.
//!
//! Only one worker at a time asks for the applications of a kind. The other workers do nothing. If the asking worker
//! crashes, the deadlines of the remaining applications put their messages into the queue again.

use std::collections::BTreeSet;

use domain::attempt::{Report, Verdict};
use domain::itsm::application::{Answer, Application, Command, POLICY};
use events::api_call::Exchange;
use futures_util::future::try_join_all;
use infra::http::{HttpError, HttpResponse, origin};
use infra::itsm::Request;
use infra::ledger::{NoContext, command_id};
use infra::views::Range;
use infra::{CommandEnvelope, Error, ExecuteError};

use super::{Connected, RESPONSE_BYTES_MAX, connect, is_awaited};
use crate::App;
use crate::app::itsm::gate;
use crate::app::outbound::{self, Described};
use crate::app::rate;
use crate::queue::runner::{self, Outgoing as _};

/// Applications that are due within this time are asked for together with those that are due now, in milliseconds.
const AHEAD_MS: i64 = 30_000;
/// Maximum number of requests that one message sends.
const REQUESTS_MAX: usize = 1_000;
/// The longest time in which one message begins another request, in milliseconds. The exclusive right to ask lasts longer
/// than this time and one request.
const TIME_MAX_MS: i64 = 15_000;

/// Asks for the status of an application together with others of its kind. Returns false if no other application is due
/// soon. The caller then reads the application by itself.
pub(super) async fn poll(
    app: &App,
    stream: &str,
    application: &Application,
) -> Result<bool, Error> {
    let kind = application.kind();
    let began = app.ledger.clock.now();
    let until = format!("{kind}|{:016}~", began.plus_ms(AHEAD_MS).0);
    let from = format!("{kind}|");
    // Every due application has a message, so a count of the whole list would be too slow here.
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
    let asked = ask_all(app, stream, &connected, (&from, &until)).await;
    right.release(app).await?;
    asked.map(|()| true)
}

/// Asks for the application of the stream and for those in the given range of the list `polled`.
async fn ask_all(
    app: &App,
    stream: &str,
    connected: &Connected,
    (from, to): (&str, &str),
) -> Result<(), Error> {
    let began = app.ledger.clock.now();
    let size = connected.0.statuses_max();
    read_failed_callbacks(app, connected).await?;
    let mut asked = BTreeSet::new();
    let mut position = from.to_owned();
    // The number of applications at the position for which the desk has already asked. The view can still contain them.
    let mut ties = 0;
    let mut own = Some(stream.to_owned());
    for _ in 0..REQUESTS_MAX {
        let list = Range {
            view: "application",
            index: "polled",
            from: &position,
            to,
            descending: false,
            skip: 0,
            limit: size + ties - usize::from(own.is_some()),
        };
        let found = app.views.range(list).await?;
        if let Some(last) = found.last() {
            position.clone_from(&last.value);
            ties = found.iter().filter(|entry| entry.value == position).count();
        }
        let keys = found.into_iter().map(|entry| entry.key);
        let streams: Vec<String> = own
            .take()
            .into_iter()
            .chain(keys)
            .filter(|stream| asked.insert(stream.clone()))
            .collect();
        let group = due(app, &streams).await?;
        let goes_on = if group.is_empty() {
            !streams.is_empty()
        } else {
            ask(app, connected, &group).await?
        };
        let is_late = app.ledger.clock.now() > began.plus_ms(TIME_MAX_MS);
        if !goes_on || is_late {
            break;
        }
    }
    Ok(())
}

/// An application that is due, with its stream.
type Due = (String, Application);

/// Returns the applications that only wait for the decision. An application for which the ticket of this desk no longer
/// waits is withdrawn.
async fn due(app: &App, streams: &[String]) -> Result<Vec<Due>, Error> {
    let until = app.ledger.clock.now().plus_ms(AHEAD_MS);
    let mut due = Vec::new();
    for stream in streams {
        let state = app.ledger.load::<Application>(stream).await?.aggregate.0;
        if !state.is_polled() || state.attempts.due > until {
            continue;
        }
        if is_awaited(app, &state).await? {
            due.push((stream.clone(), state));
        } else {
            let verdict = state.abandoned();
            record(app, stream, &state, (verdict, None, None)).await?;
        }
    }
    Ok(due)
}

/// Sends one request about the statuses of a group of applications, and stores the result in each. Returns false if no
/// further request may be sent now.
async fn ask(app: &App, connected: &Connected, group: &[Due]) -> Result<bool, Error> {
    let integration = &connected.1.integration;
    if let Some(wait) = gate::admit(app, integration).await? {
        // The other applications are still due, and their own messages ask again.
        if let Some((stream, state)) = group.first() {
            let verdict = state.postponed(wait.after_ms);
            record(app, stream, state, (verdict, None, None)).await?;
        }
        return Ok(false);
    }
    let externals = group.iter().map(|(_, state)| state.external.clone());
    let request = Request::Statuses {
        externals: externals.collect(),
    };
    let Some(Sent {
        answer,
        exchange,
        response,
    }) = send(app, connected, &request).await?
    else {
        return Ok(false);
    };
    let status = response.as_ref().ok().map(|response| response.status);
    // The ledger stores commits that arrive together in one group.
    let records = group.iter().map(|(stream, state)| {
        let mut verdict = state.polled(&answer);
        runner::delay(&mut verdict, &response, app.ledger.clock.now());
        record(
            app,
            stream,
            state,
            (verdict, Some(exchange.clone()), status),
        )
    });
    try_join_all(records).await?;
    Ok(matches!(answer, Answer::Statuses(_)))
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
            let state = app.ledger.load::<Application>(&stream).await?.aggregate.0;
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
