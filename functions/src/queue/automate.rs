//! Carries out what follows from a ticket on another stream: opens the call of an automatic node, or tells another ticket ([`relate`]).
//! The stream of a call is named by the effect id, so a repeated intent meets its first self.

mod relate;

use domain::call::{Call, Command, Rejection};
use domain::intent::{self, Intent};
use domain::ticket::Command as TicketCommand;
use events::call::Requested;
use events::{Meta, Pid};
use infra::ledger::{NoLookups, command_id};
use infra::queue::Message;
use infra::{Error, Failure, Ledger, Wish};

use super::deliver::{misled, read};
use crate::App;

/// Carries out one intent.
pub async fn automate(app: &App, message: &Message) -> Result<(), Error> {
    match read(message)? {
        Intent::Call(call) => open(&app.ledger, message, *call).await,
        Intent::Relate { ticket, with, relation, linked, by, cause, correlation } => {
            let meta = Meta::system(correlation, cause);
            if !linked {
                return relate::tell(app, message, &ticket, &TicketCommand::Unlink { by, other: with, mirror: true }, meta).await.map(drop);
            }
            let command = TicketCommand::Link { by, other: with.clone(), relation, mirror: true };
            if relate::tell(app, message, &ticket, &command, meta.clone()).await? {
                return Ok(());
            }
            // What the other side does not take, this side takes back: neither believes alone that they belong together.
            let back = TicketCommand::Unlink { by: Pid::system(), other: ticket, mirror: true };
            relate::tell(app, message, &with, &back, meta).await.map(drop)
        }
        Intent::EndChild { ticket, parent, status, approve_result, cause, correlation } => {
            let command = TicketCommand::EndWithParent { parent, status, approve_result };
            relate::tell(app, message, &ticket, &command, Meta::system(correlation, cause)).await.map(drop)
        }
        Intent::Deliver { .. } => Err(misled(message)),
    }
}

/// Turns one intent into a call; its deadline, due at once, makes the first attempt.
async fn open(ledger: &Ledger, message: &Message, call: intent::Call) -> Result<(), Error> {
    let intent::Call { ticket, node, name, round, attempt, cause, key, inputs, task, correlation } = call;
    let wish =
        Wish { stream: format!("call-{}", message.id), command_id: command_id(&["automate", &message.id]), meta: Meta::system(correlation, cause.clone()) };
    let requested = Requested { ticket, node, name, round, attempt, cause, key, inputs, task, due: ledger.clock.now() };
    match ledger.execute::<Call>(&wish, &Command::Request(requested), &NoLookups).await {
        Ok(_) | Err(Failure::Rejected(Rejection::AlreadyRequested)) => Ok(()),
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}
