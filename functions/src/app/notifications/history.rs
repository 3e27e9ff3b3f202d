//! Reads the last notifications of a person from the inbox: when the person answered them, and through which channels
//! they were sent. The number of notifications is limited, so a person with a long history costs no more than others.

use domain::notification::Notification;
use domain::views::Card as _;
use events::PersonId;
use infra::Error;
use infra::views::Range;

use crate::App;
use crate::app::cards::{documents_of, stored_card};

/// Maximum number of notifications of one person that the desk reads: the newest ones.
pub const LAST_MAX: usize = 200;

/// Returns the newest notifications of a person, from the newest to the oldest. The notifications contain no personal
/// values.
pub async fn of_person(app: &App, person: &PersonId) -> Result<Vec<Notification>, Error> {
    let (from, to) = (format!("{person}|"), format!("{person}|~"));
    newest(app, "inbox", &from, &to, LAST_MAX).await
}

/// Returns the newest notifications in a part of a list of the view `notification`, from the newest to the oldest.
pub(super) async fn newest(
    app: &App,
    index: &str,
    from: &str,
    to: &str,
    limit: usize,
) -> Result<Vec<Notification>, Error> {
    let range = Range {
        view: Notification::VIEW,
        index,
        from,
        to,
        descending: true,
        skip: 0,
        limit,
    };
    let keys = app.views.range(range).await?.into_iter();
    let found = documents_of(app, Notification::VIEW, keys.map(|entry| entry.key)).await?;
    let cards = found.iter();
    cards
        .filter_map(|(key, document)| Some(stored_card(key, document.as_ref()?)))
        .collect()
}
