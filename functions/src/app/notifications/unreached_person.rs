//! Finds the person about whom an alarm reports: the recipient of a notification that no channel account could send. Events
//! and messages for operators contain no name of this person. The name is read when the alarm is shown, so it disappears
//! with the erasure of the person.

use std::collections::BTreeMap;

use domain::notification::Notification;
use events::PersonId;
use events::notification::{Fact, Requested};
use infra::Error;

use super::definitions::DEFAULT_POLICY;
use crate::App;

/// Whether the notification policy names the recipients of alarms as operators. The policy is read at most once for each
/// recipient. Use one value for one request.
#[derive(Debug, Default)]
pub struct Recipients(BTreeMap<PersonId, bool>);

impl Recipients {
    async fn is_operator(&mut self, app: &App, person: &PersonId) -> Result<bool, Error> {
        if let Some(known) = self.0.get(person) {
            return Ok(*known);
        }
        let found = is_operator(app, person).await?;
        self.0.insert(person.clone(), found);
        Ok(found)
    }
}

/// Returns the user name of the person about whom an alarm reports. Returns `None` for other facts, if the notification
/// policy does not name the recipient of the alarm as an operator any more, and if the person was erased.
pub async fn name(
    app: &App,
    alarm: &Requested,
    recipients: &mut Recipients,
) -> Result<Option<String>, Error> {
    let is_alarm = matches!(alarm.fact, Fact::AddressMissing | Fact::Unreached);
    if !is_alarm || !recipients.is_operator(app, &alarm.person).await? {
        return Ok(None);
    }
    let Some(person) = recipient(app, &alarm.cause).await? else {
        return Ok(None);
    };
    let name = app.people.name(&person).await?;
    Ok(Some(name).filter(|name| name.as_str() != person.as_str()))
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
