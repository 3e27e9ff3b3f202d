//! Executes intents of tickets: opens the API call of an automatic node, or changes a related
//! ticket ([`relate`]).
//!
//! The stream of an API call has the effect id as its name, so a repeated intent is rejected as a
//! duplicate.

mod relate;

use domain::api_call::{ApiCall, Command, Rejection};
use domain::intent::{self, Intent};
use domain::ticket::Command as TicketCommand;
use events::api_call::Requested;
use events::{Meta, PersonId};
use infra::ledger::{NoContext, command_id};
use infra::queue::Message;
use infra::{CommandEnvelope, Error, ExecuteError, Ledger};

use super::deliver::{read, wrong_queue};
use crate::App;

/// Executes one intent.
pub async fn automate(app: &App, message: &Message) -> Result<(), Error> {
    match read(message)? {
        Intent::StartApiCall(call) => open(&app.ledger, message, *call).await,
        Intent::RelateTicket {
            ticket,
            with,
            relation,
            linked,
            by,
            cause,
            correlation,
        } => {
            let meta = Meta::system(correlation, cause);
            if !linked {
                return relate::execute(
                    app,
                    message,
                    &ticket,
                    &TicketCommand::Unlink {
                        by,
                        other: with,
                        mirror: true,
                    },
                    meta,
                )
                .await
                .map(drop);
            }
            let command = TicketCommand::Link {
                by,
                other: with.clone(),
                relation,
                mirror: true,
            };
            if relate::execute(app, message, &ticket, &command, meta.clone()).await? {
                return Ok(());
            }
            // The other ticket rejected the relation, so this ticket removes it: a relation exists
            // on both tickets or on none.
            let removal = TicketCommand::Unlink {
                by: PersonId::system(),
                other: ticket,
                mirror: true,
            };
            relate::execute(app, message, &with, &removal, meta)
                .await
                .map(drop)
        }
        Intent::EndChildTicket {
            ticket,
            parent,
            status,
            approve_result,
            cause,
            correlation,
        } => {
            let command = TicketCommand::EndWithParent {
                parent,
                status,
                approve_result,
            };
            relate::execute(
                app,
                message,
                &ticket,
                &command,
                Meta::system(correlation, cause),
            )
            .await
            .map(drop)
        }
        Intent::SendCallback { .. } => Err(wrong_queue(message)),
    }
}

/// Opens an API call from one intent; its deadline is due at once and starts the first attempt.
async fn open(ledger: &Ledger, message: &Message, call: intent::StartApiCall) -> Result<(), Error> {
    let intent::StartApiCall {
        ticket,
        node,
        name,
        round,
        attempt,
        cause,
        key,
        inputs,
        task,
        correlation,
    } = call;
    let command_envelope = CommandEnvelope {
        stream: format!("api_call-{}", message.id),
        command_id: command_id(&["automate", &message.id]),
        meta: Meta::system(correlation, cause.clone()),
    };
    let requested = Requested {
        ticket,
        node,
        name,
        round,
        attempt,
        cause,
        key,
        inputs,
        task,
        due: ledger.clock.now(),
    };
    match ledger
        .execute::<ApiCall>(&command_envelope, &Command::Request(requested), &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyRequested)) => Ok(()),
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            infra::Kind::Misconfigured,
            rejection.to_string(),
        )),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}
