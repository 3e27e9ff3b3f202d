//! Compares a chat group with its ticket again if the ticket changed while the first comparison was stored, and finds out
//! whether an event is older than the rules for chat groups.

use domain::notification::chat_group::{ChatGroup, Command, stream};
use domain::ticket::Ticket;
use events::chat_group::CloseReason;
use events::notification_policy::NotificationPolicyEvent;
use events::{Meta, Moment, TicketSn};
use infra::{Error, Kind};

use super::chat_group_message;
use super::chat_groups::{language, wanted};
use super::definitions::DEFAULT_POLICY;
use crate::App;
use crate::app::history::history_from;

/// Maximum number of times that one call compares a group with its ticket again. If the ticket still changes, the queue
/// repeats the call.
const ROUNDS_MAX: usize = 5;

/// Compares the group with its ticket again if the ticket has changed since its state was read. Without this comparison, two
/// workers could store the people of an old state last, or request a group for a ticket that has just ended. `next` is the
/// sequence number of the event after the state that was read. If `is_new` is true, the caller has requested the group, and
/// the group of an ended ticket is closed. Otherwise, the event that ended the ticket closes it.
pub async fn catch_up(
    app: &App,
    sn: &TicketSn,
    mut next: i64,
    is_new: bool,
    meta: &Meta,
) -> Result<(), Error> {
    for _ in 0..ROUNDS_MAX {
        let read = app.ledger.load::<Ticket>(&sn.stream()).await?;
        if read.next == next {
            return Ok(());
        }
        next = read.next;
        let ticket = read.aggregate.0;
        let is_over = ticket.status.is_over();
        if is_over && !is_new {
            return Ok(());
        }
        let language = language(app).await?;
        let command = if is_over {
            Command::Close {
                reason: CloseReason::TicketEnded,
                by: None,
                name: chat_group_message::closed_name(sn, &ticket, language),
                at: app.ledger.clock.now(),
            }
        } else {
            Command::Update(wanted(app, sn, &ticket, language).await?)
        };
        let id = app.ledger.fresh_id();
        app.must_execute::<ChatGroup>(&stream(sn), id, meta.clone(), &command)
            .await?;
    }
    Err(Error::new(
        Kind::Conflict,
        format!("the ticket {sn} changes too fast for its chat group"),
    ))
}

/// Returns true if the notification policy had no rules for chat groups at the time `at` of an event.
pub(super) async fn is_before_rules(app: &App, at: Moment) -> Result<bool, Error> {
    let stream = format!("notification_policy-{DEFAULT_POLICY}");
    let history = history_from::<NotificationPolicyEvent>(&app.ledger, &stream, 1).await?;
    let valid = history.iter().rev().find(|envelope| envelope.at <= at);
    Ok(valid.is_none_or(|envelope| {
        let NotificationPolicyEvent::Defined(defined) = &envelope.event;
        defined.chat_groups.is_none()
    }))
}
