//! Reads the changed records of a source of cases, page by page.

use domain::intent::Due;
use domain::itsm::case_source::{CaseSource, Command, Failed, Read, Rejection};
use events::Meta;
use events::api_call::Exchange;
use infra::http::origin;
use infra::ledger::{NoContext, command_id};
use infra::source::{Answer, Page};
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;
use crate::app::itsm::{cases, gate, sources};
use crate::queue::runner;

/// Maximum number of pages that one message reads. The deadline of the source continues after them.
const PAGES_MAX: usize = 20;

/// The longest time in which one message begins to read another page, in milliseconds. Other messages of the queue wait.
const TIME_MAX_MS: i64 = 15_000;

/// Handles a reached deadline of a source.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    pull(app, &due.stream).await
}

/// Reads the pages that are due. Does nothing before their time.
///
/// Each record is received before the page is stored as read. If the process ends in between, the page is read again.
/// Records that the desk has already received do not change.
pub async fn pull(app: &App, stream: &str) -> Result<(), Error> {
    let began = app.ledger.clock.now();
    for _ in 0..PAGES_MAX {
        let is_late = app.ledger.clock.now() > began.plus_ms(TIME_MAX_MS);
        if is_late || !page(app, stream).await? {
            break;
        }
    }
    Ok(())
}

/// Reads one page. Returns true if the next one is due.
async fn page(app: &App, stream: &str) -> Result<bool, Error> {
    let loaded = app.ledger.load::<CaseSource>(stream).await?;
    let state = &loaded.aggregate.0;
    let now = app.ledger.clock.now();
    if !state.is_running || state.attempts.due > now {
        return Ok(false);
    }
    let attempt = state.attempts.next();
    let event = format!("{stream}:{}", loaded.next - 1);
    let meta = Meta::system(event.clone(), event);
    let record = async |command: Command| {
        let envelope = CommandEnvelope {
            stream: stream.to_owned(),
            command_id: command_id(&["pull", stream, &attempt.to_string()]),
            meta: meta.clone(),
        };
        match app
            .ledger
            .execute::<CaseSource>(&envelope, &command, &NoContext)
            .await
        {
            Ok(outcome) => Ok(outcome.state.attempts.due <= app.ledger.clock.now()),
            // Another worker has read the page, or the source was stopped.
            Err(ExecuteError::Rejected(Rejection::NotDue(_) | Rejection::NotStarted)) => Ok(false),
            Err(ExecuteError::Technical(error)) => Err(error),
        }
    };
    let failed = |reason: String| Failed {
        attempt,
        exchange: None,
        status: None,
        reason,
        after_ms: None,
        is_throttled: false,
        page_size: None,
        at: app.ledger.clock.now(),
    };
    // The configuration of this process can be a few seconds old, so the source is not stopped here.
    let Some(reading) = sources::reading(app, &state.source).await? else {
        let reason = "the source has no regular reads".to_owned();
        return record(Command::Fail(failed(reason))).await;
    };
    let name = &reading.defined.name;
    let account = match sources::account(&*app.ledger.keys, reading.defined.clone()).await? {
        Ok(account) => account,
        Err(reason) => return record(Command::Fail(failed(reason))).await,
    };
    let (changes, cursor) = (reading.changes, state.cursor.as_str());
    let size = state
        .page_size
        .and_then(|size| usize::try_from(size).ok())
        .map_or(changes.page_size(), |size| size.min(changes.page_size()));
    let request = sources::request(app, changes.changed(&account, cursor, size)).await?;
    let request = match request {
        Ok(request) => request,
        Err(reason) => return record(Command::Fail(failed(reason))).await,
    };
    let target = origin(&request.url);
    let Some(_slot) = app.targets.enter(&target) else {
        return Err(runner::busy(&target));
    };
    if !runner::lease(app, stream, attempt).await? {
        return Ok(false);
    }
    if let Some(wait) = gate::admit(app, &reading.defined).await? {
        return record(Command::Fail(Failed {
            after_ms: Some(wait.after_ms),
            is_throttled: true,
            ..failed(wait.reason)
        }))
        .await;
    }
    let sent = app.ledger.clock.now();
    let response = app.http.send(&request).await;
    gate::note(app, &reading.defined, &response).await?;
    let at = app.ledger.clock.now();
    let exchange = Some(Exchange {
        target: format!("{} {target}", request.method),
        duration_ms: at.0 - sent.0,
    });
    let page = changes.page(&account, cursor, size, &response);
    let is_cut = matches!(&response, Ok(response) if response.is_success() && response.is_cut);
    let read = match page {
        // A source with large records must not stop at this page forever.
        Answer::Unclear(reason) if is_cut && size > 1 => {
            return record(Command::Fail(Failed {
                exchange,
                status: response.as_ref().ok().map(|response| response.status),
                page_size: u32::try_from(size / 2).ok(),
                ..failed(reason)
            }))
            .await;
        }
        Answer::Done(read) => read,
        Answer::Rejected(reason) | Answer::NotSent(reason) | Answer::Unclear(reason) => {
            let response = response.as_ref().ok();
            return record(Command::Fail(Failed {
                exchange,
                status: response.map(|response| response.status),
                after_ms: response.and_then(|response| response.retry_after_ms(at.0)),
                ..failed(reason)
            }))
            .await;
        }
    };
    let Page {
        records,
        cursor,
        has_more,
    } = read;
    let changed = Box::pin(cases::receive_from(app, name, &records, &meta)).await?;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    record(Command::Page(Read {
        attempt,
        exchange,
        records: count(records.len()),
        changed: count(changed),
        hints: if state.has_more {
            state.hints_at_start
        } else {
            state.hints
        },
        cursor,
        has_more,
        pause_ms: reading.pause_ms,
        at,
    }))
    .await
}
