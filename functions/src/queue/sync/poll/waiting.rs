//! Reads the lists of the applications that only wait for the decision, and returns them in groups for one request each.

use std::collections::BTreeSet;

use domain::itsm::application::{Application, POLLED, RESTING};
use domain::views::Card;
use events::Moment;
use futures_util::future::try_join_all;
use infra::Error;
use infra::views::{Document, Entry};

use super::schedule::list;
use super::{AHEAD_MS, record};
use crate::App;
use crate::app::cards;
use crate::app::itsm::rounds::Rest;
use crate::queue::sync::is_awaited;

/// Returns the state in a card. Returns `None` if the card cannot be read.
pub(super) fn state_of(stream: &str, card: &Document) -> Option<Application> {
    match cards::stored_card::<Application>(stream, card) {
        Ok(state) => Some(state),
        Err(error) => {
            tracing::error!(%error, stream, "an application cannot be read");
            None
        }
    }
}

/// An application that is due, with its stream.
pub(super) type Due = (String, Application);

/// The applications of one request.
pub(super) struct Group {
    pub(super) due: Vec<Due>,
    /// True if they are resting. Their states are from their cards, and nothing is stored if nothing has changed.
    pub(super) are_resting: bool,
    /// The last entry of the list of resting applications that this group or an earlier one contains.
    pub(super) last: Option<Entry>,
}

/// The applications that are still to be asked for, in the order of their deadlines.
pub(super) struct Waiting {
    /// Applications with a problem, and then resting applications.
    parts: Vec<Part>,
    /// Number of tickets in one request.
    size: usize,
    /// The returned applications of the first part. A deadline can move within this list.
    returned: BTreeSet<String>,
    /// An application that comes first, even if the lists lack it.
    pub(super) named: Option<String>,
    /// The last resting application that was asked for.
    pub(super) asked: Option<Entry>,
}

/// A part of a list.
struct Part {
    index: &'static str,
    from: String,
    to: String,
    /// The last entry that was returned.
    last: Option<Entry>,
}

impl Waiting {
    pub(super) fn new(kind: &str, rest: &Rest, now: Moment, size: usize) -> Self {
        let to = format!("{kind}|{:016}~", now.plus_ms(AHEAD_MS).0);
        let mut parts = vec![Part {
            index: POLLED,
            from: format!("{kind}|"),
            to: to.clone(),
            last: None,
        }];
        // The requests continue where the last ones were interrupted.
        let is_all = rest.is_all(now);
        let asked = rest.asked.as_ref().filter(|asked| asked.is_all == is_all);
        let asked = asked.map(|asked| Entry {
            value: asked.value.clone(),
            key: asked.stream.clone(),
            facets: String::new(),
        });
        if !rest.waits(now) {
            parts.push(Part {
                index: RESTING,
                from: format!("{kind}|{:016}", rest.earliest(now).0),
                to,
                last: asked.clone(),
            });
        }
        // The parts are taken from the end.
        parts.reverse();
        Self {
            parts,
            size,
            returned: BTreeSet::new(),
            named: None,
            asked,
        }
    }

    /// Returns the next group of due applications. Returns `None` at the end of the lists.
    pub(super) async fn next(&mut self, app: &App) -> Result<Option<Group>, Error> {
        loop {
            let Some(part) = self.parts.last_mut() else {
                return Ok(None);
            };
            let are_resting = part.index == RESTING;
            let mut streams = Vec::with_capacity(self.size);
            if let Some(named) = self.named.take() {
                self.returned.insert(named.clone());
                streams.push(named);
            }
            let mut is_end = false;
            while streams.len() < self.size && !is_end {
                let limit = self.size - streams.len();
                let found = part.next(app, limit).await?;
                is_end = found.len() < limit;
                // The list of resting applications does not change while they are asked for, so it needs no memory.
                let new = found.into_iter().map(|entry| entry.key);
                streams.extend(new.filter(|key| are_resting || self.returned.insert(key.clone())));
            }
            let last = part.last.clone().filter(|_| are_resting);
            if is_end {
                self.parts.pop();
            }
            let due = if are_resting {
                resting(app, streams).await?
            } else {
                with_problem(app, &streams).await?
            };
            if !due.is_empty() {
                return Ok(Some(Group {
                    due,
                    are_resting,
                    last,
                }));
            }
        }
    }
}

impl Part {
    /// Returns the next entries.
    async fn next(&mut self, app: &App, limit: usize) -> Result<Vec<Entry>, Error> {
        let from = self.last.as_ref().map_or(&self.from, |last| &last.value);
        let range = list(self.index, from, &self.to, limit);
        let found = app.views.range_after(range, self.last.as_ref()).await?;
        if let Some(last) = found.last() {
            self.last = Some(last.clone());
        }
        Ok(found)
    }
}

/// Returns the states of resting applications from their cards. An application for which the ticket of this desk no longer
/// waits is withdrawn.
async fn resting(app: &App, streams: Vec<String>) -> Result<Vec<Due>, Error> {
    let cards = cards::documents_of(app, Application::VIEW, streams.into_iter()).await?;
    let due = cards.into_iter().filter_map(|(stream, card)| {
        let state = state_of(&stream, &card?)?;
        state.is_resting().then_some((stream, state))
    });
    let checks = due.map(|one| still_awaited(app, one));
    let found = try_join_all(checks).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns a resting application if the ticket of this desk waits for it. Otherwise, withdraws the application.
async fn still_awaited(app: &App, (stream, state): Due) -> Result<Option<Due>, Error> {
    if state.requested.is_none() {
        return Ok(Some((stream, state)));
    }
    match is_awaited(app, &state).await {
        Ok(true) => Ok(Some((stream, state))),
        Ok(false) => {
            let result = (state.abandoned(), None, None);
            record(app, &stream, &state, result).await.map(|()| None)
        }
        Err(error) if error.is_poison() => {
            tracing::error!(%error, stream, "the ticket of an application cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns the applications that only wait for the decision, in the order of `streams`. An application for which the ticket
/// of this desk no longer waits is withdrawn.
async fn with_problem(app: &App, streams: &[String]) -> Result<Vec<Due>, Error> {
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
