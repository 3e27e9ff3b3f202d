//! Finds the tickets that wait for an answer of a person, for a chat command that names no ticket.

use domain::notification::Notification;
use domain::views::Card as _;
use events::notification::Role;
use events::{PersonId, TicketSn};
use infra::Error;
use infra::views::Range;

use super::notify;
use crate::App;

/// Number of notifications that one search reads, from the newest.
const READ_MAX: usize = 50;
/// Maximum number of tickets in the result. An answer in a chat must stay short.
pub const TICKETS_MAX: usize = 5;

/// Returns the tickets of the notifications to which the person can still answer, from the newest: the ticket waits for
/// the person, or an escalation names the person, and the person has used no action of the notification. The result has
/// at most [`TICKETS_MAX`] tickets, and each ticket only once.
pub async fn tickets(app: &App, person: &PersonId) -> Result<Vec<TicketSn>, Error> {
    let (from, to) = (format!("{person}|"), format!("{person}|~"));
    let range = Range {
        view: Notification::VIEW,
        index: "inbox",
        from: &from,
        to: &to,
        descending: true,
        skip: 0,
        limit: READ_MAX,
    };
    let mut found: Vec<TicketSn> = Vec::new();
    for entry in app.views.range(range).await? {
        let state = app.ledger.load::<Notification>(&entry.key).await?;
        let state = state.aggregate.0;
        let Some(requested) = state.requested.filter(|_| state.acted.is_empty()) else {
            continue;
        };
        let is_work =
            matches!(requested.role, Role::Processor | Role::OnCall) && requested.node.is_some();
        if !is_work || found.contains(&requested.ticket) {
            continue;
        }
        let ticket = notify::ticket(app, &requested.ticket).await?;
        if notify::not_needed(&requested, &ticket).is_none() {
            found.push(requested.ticket);
            if found.len() == TICKETS_MAX {
                break;
            }
        }
    }
    Ok(found)
}
