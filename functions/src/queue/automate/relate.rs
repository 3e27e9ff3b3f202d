//! Executes a command on a related ticket: adds or removes a relation, or ends the ticket with its
//! parent.

use domain::ticket::{Command, Rejection};
use events::{Meta, TicketSn};
use infra::ledger::command_id;
use infra::queue::Message;
use infra::{Error, ExecuteError};

use crate::App;
use crate::app::tickets;

/// Executes the command; returns false if the ticket does not exist or rejects the relation.
pub(super) async fn execute(
    app: &App,
    message: &Message,
    ticket: &TicketSn,
    command: &Command,
    meta: Meta,
) -> Result<bool, Error> {
    match tickets::act(
        app,
        ticket,
        command,
        &meta,
        command_id(&["relate", ticket.as_str(), &message.id]),
    )
    .await
    {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(
            rejection @ (Rejection::Unknown
            | Rejection::Ended
            | Rejection::LinkedAlready(_)
            | Rejection::TooMany(_)
            | Rejection::NotAllowedToSee(_)
            | Rejection::NotAllowedOnTicket(_)),
        )) => {
            tracing::warn!(%rejection, %ticket, "related ticket rejected the command");
            Ok(false)
        }
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            infra::Kind::Misconfigured,
            rejection.to_string(),
        )),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}
