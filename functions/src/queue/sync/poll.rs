//! Asks an external ITSM for the statuses of several open applications (tickets in this ITSM) in one request.
//!
//! One message asks for all applications that are due, up to the maximum of tickets in each request. While a request is
//! under way, the desk reads the applications of the next one.
//!
//! An application is resting if its last request had no problem. If the external ticket of a resting application does not
//! change, the desk stores nothing in its stream: its state comes from its card, and the times of its next requests follow
//! from one document for each kind (`app/itsm/rounds.rs`). Any other result is stored in the application, and so is the
//! result for an application whose last request had a problem.
//!
//! Only one worker at a time asks for the applications of a kind. The other workers do nothing. If the asking worker
//! crashes, the document of the kind is still the same, so the next message asks for its applications again.

mod schedule;
mod waiting;

use std::collections::BTreeSet;

use domain::attempt::{Report, Verdict};
use domain::itsm::application::{Answer, Application, Command, POLICY, POLLED, RESTING};
use domain::views::Card;
use events::Moment;
use events::api_call::Exchange;
use futures_util::future::{join, try_join_all};
use infra::http::{HttpError, HttpResponse, origin};
use infra::itsm::Request;
use infra::ledger::{NoContext, command_id};
use infra::views::Range;
use infra::{CommandEnvelope, Error, ExecuteError};

use super::{Connected, RESPONSE_BYTES_MAX, connect, is_awaited};
use crate::App;
use crate::app::itsm::gate;
use crate::app::itsm::rounds::{self, Asked, Rest};
use crate::app::outbound::{self, Described};
use crate::app::rate;
use crate::queue::runner::{self, Outgoing as _};
use schedule::{are_several, has_work, list, listed_kinds, next_message};
use waiting::{Due, Group, Waiting, state_of};

/// Applications that are due within this time are asked for together with those that are due now, in milliseconds.
const AHEAD_MS: i64 = 30_000;
/// Maximum number of requests that one message sends for one kind.
const REQUESTS_MAX: usize = 1_000;
/// The longest time in which one message begins another request, in milliseconds. The exclusive right to ask lasts longer
/// than this time and one request.
const TIME_MAX_MS: i64 = 15_000;
/// Maximum number of applications of each list that one message reads one after the other, if they cannot be asked for
/// together.
const ALONE_MAX: usize = 100;
/// The pause before the next message, if the requests of this message were not complete, in milliseconds.
const SOON_MS: i64 = 1_000;

/// Handles a reached deadline of applications that only wait for the decision. The message is for the due applications of
/// all kinds, and possibly names one of them. The kind that is due for the longest time comes first.
pub(super) async fn fire(app: &App, stream: &str) -> Result<(), Error> {
    let began = app.ledger.clock.now();
    let done = fire_kinds(app, stream, began).await;
    // The time of the next message is also stored if a kind has failed.
    let next = next_message(app, began).await;
    done.and(next)
}

async fn fire_kinds(app: &App, stream: &str, began: Moment) -> Result<(), Error> {
    let loaded = app.ledger.load::<Application>(stream).await;
    let own = loaded.as_ref().ok().map(|loaded| &loaded.aggregate.0);
    let own = own.filter(|state| state.is_polled() && state.attempts.due <= began);
    // If the ticket of the named application cannot be read, an operator must see the message.
    let awaited = match own {
        Some(state) => is_awaited(app, state).await.map(drop),
        None => Ok(()),
    };
    // The lists can still lack the application that the message names.
    let own = own.map(|state| (state.attempts.due, state.kind().to_owned()));
    let is_needed = own.is_some() && !is_listed(app, stream).await?;
    let own = own.filter(|_| is_needed);
    let mut kinds = Vec::new();
    for (due, kind) in listed_kinds(app).await? {
        if has_work(app, &kind, began).await? {
            kinds.push((due, kind));
        }
    }
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

/// Returns true if the card of the application is in one of the lists of this module.
async fn is_listed(app: &App, stream: &str) -> Result<bool, Error> {
    let card = app.views.get(Application::VIEW, stream).await?;
    let card = card.and_then(|document| state_of(stream, &document));
    Ok(card.is_some_and(|card| card.is_polled()))
}

/// Reads the due applications of one kind.
async fn poll_kind(app: &App, kind: &str, named: Option<&str>) -> Result<(), Error> {
    if Box::pin(poll(app, kind, named)).await? {
        return Ok(());
    }
    Box::pin(poll_alone(app, kind, named)).await
}

/// Reads the due applications of a kind one after the other. `named` is the application that the message names.
async fn poll_alone(app: &App, kind: &str, named: Option<&str>) -> Result<(), Error> {
    let began = app.ledger.clock.now();
    let rest = rounds::rest(&*app.views, kind).await?;
    let until = format!("{kind}|{:016}~", began.0);
    let mut streams: BTreeSet<String> = named.map(str::to_owned).into_iter().collect();
    for (index, from) in [(POLLED, Moment(0)), (RESTING, rest.earliest(began))] {
        let from = format!("{kind}|{:016}", from.0);
        let found = app
            .views
            .range(list(index, &from, &until, ALONE_MAX))
            .await?;
        streams.extend(found.into_iter().map(|entry| entry.key));
    }
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
    if !are_several(app, kind, began).await? {
        return Ok(false);
    }
    let Ok(connected) = connect(app, kind).await? else {
        return Ok(false);
    };
    let right = format!("application_kind-{kind}");
    let Some(right) = runner::right(app, &right).await? else {
        return Ok(true);
    };
    let asked = poll_with_right(app, kind, named, &connected).await;
    right.release(app).await?;
    asked.map(|()| true)
}

/// Asks for the statuses of the due applications of a kind. The caller has the exclusive right for this kind.
async fn poll_with_right(
    app: &App,
    kind: &str,
    named: Option<&str>,
    connected: &Connected,
) -> Result<(), Error> {
    let began = app.ledger.clock.now();
    let until = began.plus_ms(AHEAD_MS);
    let rest = rounds::rest(&*app.views, kind).await?;
    let mut waiting = Waiting::new(kind, &rest, began, connected.0.statuses_max());
    waiting.named = named.map(str::to_owned);
    let interrupted = ask_all(app, connected, &mut waiting).await?;
    if rest.waits(began) {
        return Ok(());
    }
    let rest = match interrupted {
        None => rest.complete(began, until),
        Some(pause_ms) => Rest {
            wait: app.ledger.clock.now().plus_ms(pause_ms),
            asked: waiting.asked.map(|entry| Asked {
                value: entry.value,
                stream: entry.key,
                is_all: rest.is_all(began),
            }),
            ..rest
        },
    };
    rounds::store_rest(&*app.views, kind, &rest).await
}

/// Asks for all waiting applications. Returns `None` if the requests are complete. Otherwise, returns the pause until they
/// can continue, in milliseconds.
async fn ask_all(
    app: &App,
    connected: &Connected,
    waiting: &mut Waiting,
) -> Result<Option<i64>, Error> {
    let began = app.ledger.clock.now();
    read_failed_callbacks(app, connected).await?;
    let mut group = waiting.next(app).await?;
    for _ in 0..REQUESTS_MAX {
        let Some(asked) = group else {
            return Ok(None);
        };
        let (sent, next) = join(ask(app, connected, &asked), waiting.next(app)).await;
        match sent? {
            Progress::Refused { after_ms } => return Ok(Some(after_ms)),
            Progress::Asked => waiting.asked = asked.last.or(waiting.asked.take()),
            Progress::Failed => {
                waiting.asked = asked.last.or(waiting.asked.take());
                return Ok(Some(SOON_MS));
            }
        }
        group = next?;
        let is_late = app.ledger.clock.now() > began.plus_ms(TIME_MAX_MS);
        if is_late && group.is_some() {
            break;
        }
    }
    Ok(Some(SOON_MS))
}

/// What a request about a group of applications has done.
enum Progress {
    /// The response is stored, and the next request can be sent.
    Asked,
    /// The failure is stored in each application of the group. No further request may be sent now.
    Failed,
    /// No request may be sent for this time, in milliseconds.
    Refused { after_ms: i64 },
}

/// Sends one request about the statuses of a group of applications, and stores the result in each application that has
/// changed.
async fn ask(app: &App, connected: &Connected, group: &Group) -> Result<Progress, Error> {
    let integration = &connected.1.integration;
    let all: Vec<&Due> = group.due.iter().collect();
    if let Some(wait) = gate::admit(app, integration).await? {
        // The resting applications and those of later groups are still due, and cause the next message.
        if !group.are_resting {
            let waits = |state: &Application| state.postponed(wait.after_ms);
            record_all(app, &all, waits, (None, None)).await?;
        }
        let after_ms = wait.after_ms;
        return Ok(Progress::Refused { after_ms });
    }
    // A ticket number has a meaning only in the external ITSM that gave it.
    let moved = |state: &Application| state.moved(integration).map(Verdict::retry);
    let here = all.iter().filter(|(_, state)| moved(state).is_none());
    let externals: Vec<String> = here.map(|(_, state)| state.external.clone()).collect();
    if externals.is_empty() {
        let verdict = |state: &Application| {
            moved(state).unwrap_or_else(|| Verdict::retry("no ticket is in this external ITSM"))
        };
        return record_all(app, &all, verdict, (None, None))
            .await
            .map(|()| Progress::Asked);
    }
    let request = Request::Statuses { externals };
    let Some(Sent {
        answer,
        exchange,
        response,
    }) = send(app, connected, &request).await?
    else {
        let failed = |_: &Application| Verdict::retry("the request cannot be built");
        return record_all(app, &all, failed, (None, None))
            .await
            .map(|()| Progress::Failed);
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
    let is_changed = |(_, state): &&Due| {
        !group.are_resting || moved(state).is_some() || !state.is_unchanged(&answer)
    };
    let changed: Vec<&Due> = group.due.iter().filter(is_changed).collect();
    record_all(app, &changed, polled, (Some(exchange), status)).await?;
    // After a rejection, the desk reads each ticket by itself. The next groups must not wait for this.
    Ok(match answer {
        Answer::Statuses(_) | Answer::Rejected(_) => Progress::Asked,
        _ => Progress::Failed,
    })
}

/// Stores a verdict in each application of a group. The ledger stores commits that arrive together in one group. If an
/// application cannot be read, the work for the others continues.
async fn record_all(
    app: &App,
    group: &[&Due],
    verdict: impl Fn(&Application) -> Verdict,
    (exchange, status): (Option<Exchange>, Option<u16>),
) -> Result<(), Error> {
    let records = group.iter().map(|(stream, state)| {
        let result = (verdict(state), exchange.clone(), status);
        async move {
            match record(app, stream, state, result).await {
                Err(error) if error.is_poison() => {
                    tracing::error!(%error, stream, "an application cannot be read");
                    Ok(())
                }
                done => done,
            }
        }
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
