//! Reads the inbox of a person, and changes the state of notifications in it.

use std::sync::Arc;

use domain::notification::inbox::{Action, Change, Filter};
use domain::notification::{Command, Notification, Rejection};
use domain::views::Card as _;
use events::{Meta, Moment, PersonId};
use infra::ledger::NoContext;
use infra::views::{Range, RowFilter};
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;
use crate::app::cards::{self, CardList, Documents};
use crate::app::tickets::act::await_card;

/// Maximum number of notifications that one request changes. The request executes one command for each of them.
pub const CHANGES_MAX: usize = 100;

/// The number of notifications in each list of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub inbox: u64,
    pub unread: u64,
    pub unseen: u64,
    pub archived: u64,
    pub snoozed: u64,
}

/// Returns the number of notifications in each list of a person.
pub async fn counts(app: &App, person: &PersonId) -> Result<Counts, Error> {
    let count = async |list: &'static str| {
        let CardList { index, from, to } = CardList::below(list, person.as_str());
        app.views.count(Notification::VIEW, index, &from, &to).await
    };
    Ok(Counts {
        inbox: count("inbox").await?,
        unread: count("unread").await?,
        unseen: count("unseen").await?,
        archived: count("archived").await?,
        snoozed: count("snoozed").await?,
    })
}

/// Reads one page of the notifications in a list of a person, latest first. `list` is one of
/// [`domain::notification::inbox::LISTS`]. The first page has the number 1.
pub async fn page(
    app: &App,
    person: &PersonId,
    list: &'static str,
    filter: &Filter,
    (page, size): (usize, usize),
) -> Result<Documents, Error> {
    let list = CardList::below(list, person.as_str());
    if filter.is_empty() {
        return cards::documents::<Notification>(app, &list, page, size).await;
    }
    let range = Range {
        view: Notification::VIEW,
        index: list.index,
        from: &list.from,
        to: &list.to,
        descending: true,
        skip: (page - 1).saturating_mul(size),
        limit: size,
    };
    let (count, rows) = if filter.ticket.is_none() {
        let fits = |facets: &str| filter.fits_shared(facets);
        app.views.page_where(range, &fits).await?
    } else {
        let (shared, own) = (filter.clone(), filter.clone());
        let filter = RowFilter {
            shared: Arc::new(move |facets: &str| shared.fits_shared(facets)),
            own: Arc::new(move |facet: &str| own.fits_own(facet)),
        };
        app.views.rows_where(range, &filter, false).await?
    };
    let keys = rows.into_iter().map(|entry| entry.key);
    let found = cards::documents_of(app, Notification::VIEW, keys).await?;
    Ok(Documents { count, found })
}

/// The reason why the state of a notification in the inbox was not changed.
#[derive(Debug)]
pub enum NotChanged {
    /// The notification does not exist.
    Unknown,
    /// The end of the snooze is not allowed. The text contains the rule.
    SnoozeOutOfRange(String),
    Technical(Error),
}

/// Executes an action on the notification in the given stream, and returns its new state. Waits until the lists
/// contain the change.
pub async fn change(
    app: &App,
    stream: &str,
    action: Action,
    meta: Meta,
) -> Result<Notification, NotChanged> {
    let (state, position) = execute(app, stream, action, meta).await?;
    await_card(app, position).await;
    Ok(state)
}

/// Executes an action. Also returns the position of the new commit, or `None` if the action changed nothing.
async fn execute(
    app: &App,
    stream: &str,
    action: Action,
    meta: Meta,
) -> Result<(Notification, Option<i64>), NotChanged> {
    let command = Command::ChangeInbox(Change {
        action,
        by: meta.actor.clone(),
        at: app.ledger.clock.now(),
    });
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let executed = app
        .ledger
        .execute::<Notification>(&command_envelope, &command, &NoContext)
        .await;
    match executed {
        Ok(outcome) => {
            #[cfg(feature = "local")]
            if action == Action::Read && !outcome.events.is_empty() {
                app.sending.engaged("read");
            }
            Ok((outcome.state, outcome.position))
        }
        Err(ExecuteError::Rejected(Rejection::NotRequested)) => Err(NotChanged::Unknown),
        Err(ExecuteError::Rejected(rejection @ Rejection::SnoozeOutOfRange)) => {
            Err(NotChanged::SnoozeOutOfRange(rejection.to_string()))
        }
        Err(failure) => Err(NotChanged::Technical(failure.unexpected())),
    }
}

/// The result of an action on several notifications.
#[derive(Debug, Default)]
pub struct ChangedMany {
    /// The number of notifications that the action changed.
    pub changed: u64,
    /// The number of notifications in the list that the request did not change, because a request changes at most
    /// [`CHANGES_MAX`] notifications.
    pub remaining: u64,
    /// The streams of the notifications that do not exist or that belong to another person.
    pub unknown: Vec<String>,
}

/// Executes an action on the notifications in the given streams. Notifications of other people are not changed.
pub async fn change_some(
    app: &App,
    person: &PersonId,
    streams: &[String],
    action: Action,
    meta: &Meta,
) -> Result<ChangedMany, NotChanged> {
    let mut result = ChangedMany::default();
    let mut last = None;
    for stream in streams.iter().take(CHANGES_MAX) {
        let loaded = app.ledger.load::<Notification>(stream).await;
        let state = loaded.map_err(NotChanged::Technical)?.aggregate.0;
        let owner = state.requested.as_ref().map(|requested| &requested.person);
        if owner != Some(person) {
            result.unknown.push(stream.clone());
            continue;
        }
        let (_, position) = execute(app, stream, action, meta.clone()).await?;
        result.changed += u64::from(position.is_some());
        last = last.max(position);
    }
    await_card(app, last).await;
    Ok(result)
}

/// Executes an action on the notifications in a list of a person that are not newer than `up_to`. Starts with the
/// oldest one, and changes at most [`CHANGES_MAX`] notifications.
pub async fn change_list(
    app: &App,
    person: &PersonId,
    list: &'static str,
    up_to: Moment,
    action: Action,
    meta: &Meta,
) -> Result<ChangedMany, NotChanged> {
    let CardList { index, from, .. } = CardList::below(list, person.as_str());
    // The next millisecond is the first value that is not in the range.
    let to = format!("{from}{:016}", up_to.plus_ms(1).0.max(0));
    let view = Notification::VIEW;
    let count = app.views.count(view, index, &from, &to).await;
    let range = Range {
        view,
        index,
        from: &from,
        to: &to,
        descending: false,
        skip: 0,
        limit: CHANGES_MAX,
    };
    let entries = app
        .views
        .range(range)
        .await
        .map_err(NotChanged::Technical)?;
    let streams: Vec<String> = entries.into_iter().map(|entry| entry.key).collect();
    let result = change_some(app, person, &streams, action, meta).await?;
    let tried = u64::try_from(streams.len()).unwrap_or(u64::MAX);
    Ok(ChangedMany {
        remaining: count.map_err(NotChanged::Technical)?.saturating_sub(tried),
        ..result
    })
}
