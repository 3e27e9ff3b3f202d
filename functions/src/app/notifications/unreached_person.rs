//! Finds the person about whom an alarm reports: the recipient of a notification that no channel account could send. Events
//! and messages for operators contain no name of this person. The name is read when the alarm is shown, so it disappears
//! with the erasure of the person.

use domain::notification::Notification;
use events::PersonId;
use events::notification::{Fact, Requested};
use infra::Error;

use super::definitions::DEFAULT_POLICY;
use crate::App;

/// Returns the user name of the person about whom an alarm reports. Returns `None` for other facts, and if the notification
/// policy does not name the recipient of the alarm as an operator any more.
pub async fn name(app: &App, alarm: &Requested) -> Result<Option<String>, Error> {
    let is_alarm = matches!(alarm.fact, Fact::AddressMissing | Fact::Unreached);
    if !is_alarm || !is_operator(app, &alarm.person).await? {
        return Ok(None);
    }
    match recipient(app, &alarm.cause).await? {
        Some(person) => app.people.name(&person).await.map(Some),
        None => Ok(None),
    }
}

/// Returns the recipient of the notification to which an event belongs. `cause` is the id of the event, such as
/// `notification-<id>:3`. Returns `None` if the event belongs to another stream, or if the notification does not exist.
pub(super) async fn recipient(app: &App, cause: &str) -> Result<Option<PersonId>, Error> {
    let stream = cause.rsplit_once(':').map_or(cause, |(stream, _)| stream);
    if !stream.starts_with("notification-") {
        return Ok(None);
    }
    let loaded = app.ledger.load::<Notification>(stream).await?;
    Ok(loaded.aggregate.0.requested.map(|one| one.person))
}

/// Returns true if the notification policy names the person as an operator.
pub(super) async fn is_operator(app: &App, person: &PersonId) -> Result<bool, Error> {
    let policy = app
        .configuration
        .notification_policy(DEFAULT_POLICY)
        .await?;
    for name in policy.0.iter().flat_map(|policy| &policy.operators) {
        if app.people.find(name).await? == *person {
            return Ok(true);
        }
    }
    Ok(false)
}
