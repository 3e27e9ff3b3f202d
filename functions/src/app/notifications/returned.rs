//! Stores in a notification that an accepted message came back, or that its recipient does not want it. The next account
//! of the fallback list then sends the message once, unless the message is not needed any more.

use domain::intent::ReportBounce;
use domain::notification::availability::Availability;
use domain::notification::bounce::{Report, is_too_old};
use domain::notification::{Command, Notification};
use domain::permission::Operation;
use events::notification::{NotRepeated, Role};
use events::{Meta, Moment};
use infra::Error;
use infra::ledger::command_id;

use super::definitions::DEFAULT_POLICY;
use super::notify::{self, Reach, policy_of};
use crate::App;
use crate::app::tickets;

/// Stores one report in a notification. `id` identifies this call: a second call with the same `id` does nothing.
///
/// After a loss of the views, the desk reads all reports again. An old report whose notification does not know it sends
/// nothing.
pub async fn record(app: &App, id: &str, report: ReportBounce) -> Result<(), Error> {
    let stream = &report.notification;
    let state = app.ledger.load::<Notification>(stream).await?.aggregate.0;
    let Some(requested) = &state.requested else {
        return Ok(());
    };
    let now = app.ledger.clock.now();
    let obstacle = if notify::is_too_old(app, report.at) {
        Some(NotRepeated::TooOld)
    } else {
        obstacle(app, &state, now).await?
    };
    let due = if obstacle.is_some() {
        now
    } else {
        let configuration = &app.configuration;
        let policy = configuration.notification_policy(DEFAULT_POLICY).await?;
        let policy = policy_of(requested, policy.0.as_ref());
        let reach = Reach::load(app, &requested.person, policy).await?;
        match reach.availability(requested.is_urgent, requested.is_critical, now) {
            Availability::Free => now,
            Availability::Held { until, .. } => until,
        }
    };
    let bounced = report.bounced;
    let command = Command::Bounce(Report {
        account: report.account,
        delivery: report.delivery,
        kind: bounced.kind,
        class: bounced.class,
        code: bounced.code,
        obstacle,
        due,
    });
    let meta = Meta::system(report.correlation, report.cause);
    let id = command_id(&["bounce", id]);
    app.must_execute::<Notification>(stream, id, meta, &command)
        .await
        .map(drop)
}

/// Returns the reason why a message that came back is not sent again at the time `now`. Returns `None` if no message of
/// the notification came back.
pub(super) async fn obstacle_of(
    app: &App,
    state: &Notification,
    now: Moment,
) -> Result<Option<NotRepeated>, Error> {
    if state.is_after_bounce() {
        obstacle(app, state, now).await
    } else {
        Ok(None)
    }
}

/// Returns the reason why the next account of the fallback list does not send a message that no account has accepted in
/// time. Returns `None` if it sends the message, or if the list is not used at all.
pub(super) async fn obstacle_at_expiry(
    app: &App,
    state: &Notification,
    now: Moment,
) -> Result<Option<NotRepeated>, Error> {
    if state.can_fall_back() {
        obstacle(app, state, now).await
    } else {
        Ok(None)
    }
}

async fn obstacle(
    app: &App,
    state: &Notification,
    now: Moment,
) -> Result<Option<NotRepeated>, Error> {
    let Some(requested) = &state.requested else {
        return Ok(None);
    };
    if is_too_old(requested, now) {
        return Ok(Some(NotRepeated::TooOld));
    }
    let ticket = notify::ticket(app, &requested.ticket).await?;
    let needlessness = notify::needlessness(app, requested, &ticket).await?;
    if needlessness.is_some() {
        return Ok(Some(NotRepeated::NotNeeded));
    }
    // The policy, an escalation chain or a script chose these people, also if they may not read the ticket.
    let is_chosen = matches!(
        requested.role,
        Role::Operator | Role::OnCall | Role::Approver
    );
    let person = &requested.person;
    let may_know = is_chosen || tickets::may(app, Operation::ReadTicket, &ticket, person).await?;
    Ok((!may_know).then_some(NotRepeated::NotNeeded))
}
