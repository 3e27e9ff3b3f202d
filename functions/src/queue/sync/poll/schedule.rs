//! Finds out which kinds have applications that are due, and when the next message is necessary.

use domain::itsm::application::{Application, POLLED, RESTING};
use domain::views::Card;
use events::Moment;
use events::application::POLL;
use infra::Error;
use infra::views::{Entry, Range};

use super::{AHEAD_MS, SOON_MS};
use crate::App;
use crate::app::itsm::rounds::{self, ALL_EVERY_MS, Round, YOUNG_MS};
use crate::stream::follow::due;

/// Stores the time of the next message about applications that only wait for the decision, after a message that began at
/// the time `began`.
pub(super) async fn next_message(app: &App, began: Moment) -> Result<(), Error> {
    let mut next = began.plus_ms(ALL_EVERY_MS);
    for (_, kind) in listed_kinds(app).await? {
        next = next.min(next_of_kind(app, &kind, began).await?);
    }
    let round = Round { until: began, next };
    rounds::store_round(&*app.views, &due::group("application", POLL), &round).await
}

/// Returns the time of the next message about the applications of a kind. The time is later than `began`.
async fn next_of_kind(app: &App, kind: &str, began: Moment) -> Result<Moment, Error> {
    let rest = rounds::rest(&*app.views, kind).await?;
    let mut next = began.plus_ms(ALL_EVERY_MS);
    let first = first_due(app, POLLED, kind, Moment(0)).await?;
    if let Some(due) = first {
        // An application that is still due has failed. Its own message, or a later one, continues.
        next = next.min(due.max(began.plus_ms(AHEAD_MS)));
    }
    let new = first_due(app, RESTING, kind, rest.first_new(began)).await?;
    if let Some(due) = new {
        next = next.min(due);
    }
    if let Some(first) = first_due(app, RESTING, kind, Moment(0)).await? {
        let is_asked = first < rest.first_new(began);
        let young = began.plus_ms(-YOUNG_MS);
        let is_young = match first_due(app, RESTING, kind, young).await? {
            Some(due) => due < rest.first_new(began),
            None => false,
        };
        if is_asked {
            next = next.min(rest.all);
        }
        if is_young {
            next = next.min(rest.young);
        }
    }
    Ok(next.max(rest.wait).max(began.plus_ms(SOON_MS)))
}

/// Returns the kinds of the applications that only wait for the decision, with the first deadline of each kind.
pub(super) async fn listed_kinds(app: &App) -> Result<Vec<(Moment, String)>, Error> {
    let mut kinds: Vec<(Moment, String)> = Vec::new();
    for index in [POLLED, RESTING] {
        let mut from = String::new();
        loop {
            let first = app.views.range(list(index, &from, "~", 1)).await?;
            let first = first.first().and_then(|entry| {
                let (kind, _) = entry.value.rsplit_once('|')?;
                Some((due_of(entry)?, kind.to_owned()))
            });
            let Some((due, kind)) = first else { break };
            from = format!("{kind}|~");
            match kinds.iter().position(|(_, known)| *known == kind) {
                Some(place) => kinds[place].0 = due.min(kinds[place].0),
                None => kinds.push((due, kind)),
            }
        }
    }
    kinds.sort();
    Ok(kinds)
}

/// Returns the deadline in an entry of a list.
fn due_of(entry: &Entry) -> Option<Moment> {
    let (_, due) = entry.value.rsplit_once('|')?;
    due.parse().ok().map(Moment)
}

pub(super) fn list<'a>(index: &'a str, from: &'a str, to: &'a str, limit: usize) -> Range<'a> {
    Range {
        view: Application::VIEW,
        index,
        from,
        to,
        descending: false,
        skip: 0,
        limit,
    }
}

/// Returns the first deadline of the applications of a kind in a list that is not earlier than `from`.
async fn first_due(
    app: &App,
    index: &str,
    kind: &str,
    from: Moment,
) -> Result<Option<Moment>, Error> {
    let (from, to) = (format!("{kind}|{:016}", from.0), format!("{kind}|~"));
    let found = app.views.range(list(index, &from, &to, 1)).await?;
    Ok(found.first().and_then(due_of))
}

/// Returns true if an application of a kind is due now.
pub(super) async fn has_work(app: &App, kind: &str, now: Moment) -> Result<bool, Error> {
    let first = first_due(app, POLLED, kind, Moment(0)).await?;
    if first.is_some_and(|due| due <= now) {
        return Ok(true);
    }
    let rest = rounds::rest(&*app.views, kind).await?;
    if rest.waits(now) {
        return Ok(false);
    }
    let first = first_due(app, RESTING, kind, rest.earliest(now)).await?;
    Ok(first.is_some_and(|due| due <= now))
}

/// Returns true if at least two applications of a kind are due before the next request about all applications.
pub(super) async fn are_several(app: &App, kind: &str, now: Moment) -> Result<bool, Error> {
    let from = format!("{kind}|");
    let mut count = 0;
    for (index, ahead) in [(POLLED, AHEAD_MS), (RESTING, ALL_EVERY_MS)] {
        let until = format!("{kind}|{:016}~", now.plus_ms(ahead).0);
        count += app.views.range(list(index, &from, &until, 2)).await?.len();
    }
    Ok(count >= 2)
}
