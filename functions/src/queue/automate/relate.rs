//! Tells a ticket of another one: that they belong together, that they no longer do, or that its parent ended.

use domain::ticket::{Command, Rejection};
use events::{Meta, TicketSn};
use infra::ledger::command_id;
use infra::queue::Message;
use infra::{Error, Failure};

use crate::{App, desk};

/// Tells it, and says whether it took it: a ticket that is not there, or may not or cannot take it any more, does not.
pub(super) async fn tell(app: &App, message: &Message, ticket: &TicketSn, command: &Command, meta: Meta) -> Result<bool, Error> {
    match desk::act(app, ticket, command, &meta, command_id(&["relate", ticket.as_str(), &message.id])).await {
        Ok(_) => Ok(true),
        Err(Failure::Rejected(
            rejection @ (Rejection::Unknown
            | Rejection::Over
            | Rejection::LinkedAlready(_)
            | Rejection::TooMany(_)
            | Rejection::NotAllowedToSee(_)
            | Rejection::NotAllowedOnTicket(_)),
        )) => {
            tracing::warn!(%rejection, %ticket, "a ticket was not told of another");
            Ok(false)
        }
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}
