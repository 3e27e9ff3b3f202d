//! Tells a ticket of another one: that they belong together, that they no longer do, or that its parent ended.

use domain::intent::Intent;
use domain::ticket::{Command, Rejection};
use events::Meta;
use infra::ledger::command_id;
use infra::queue::Message;
use infra::{Error, Failure};

use super::deliver::{misled, read};
use crate::{App, desk};

/// Carries out one intent. A ticket that is not there, or cannot take it any more, has nothing to be told.
pub async fn relate(app: &App, message: &Message) -> Result<(), Error> {
    let (ticket, command, cause, correlation) = match read(message)? {
        Intent::Relate { ticket, with, relation, linked, by, cause, correlation } => {
            let command = if linked { Command::Link { by, other: with, relation, mirror: true } } else { Command::Unlink { by, other: with, mirror: true } };
            (ticket, command, cause, correlation)
        }
        Intent::EndChild { ticket, parent, status, approve_result, cause, correlation } => {
            (ticket, Command::EndWithParent { parent, status, approve_result }, cause, correlation)
        }
        _ => return Err(misled(message)),
    };
    let id = command_id(&["relate", &message.id]);
    match desk::act(app, &ticket, &command, &Meta::system(correlation, cause), id).await {
        Ok(_) => Ok(()),
        Err(Failure::Rejected(rejection @ (Rejection::Unknown | Rejection::Over | Rejection::LinkedAlready(_) | Rejection::TooMany(_)))) => {
            tracing::warn!(%rejection, %ticket, "a ticket was not told of another");
            Ok(())
        }
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}
