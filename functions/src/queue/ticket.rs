//! Processes the messages of the queue `ticket`. Each message leads to a command on a ticket. The
//! cause of a message is a change of another ticket, or a reached deadline.

use domain::intent::{Due, Intent};
use domain::ticket::{Command, Rejection, Ticket};
use events::{Meta, PersonId, TicketSn};
use infra::ledger::command_id;
use infra::queue::Message;
use infra::{Error, ExecuteError};

use super::wrong_queue;
use crate::App;
use crate::app::tickets;

/// Executes an intent (a request for work) from a message. One kind of intent adds or removes a
/// relation between two tickets. The other kind ends a child ticket whose parent ticket has ended.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::RelateTicket {
            ticket,
            with,
            relation,
            linked,
            by,
            cause,
            correlation,
        } => {
            // The message adds or removes a relation between two tickets. The message can arrive
            // twice, and the relation can change between the two arrivals. The ledger does not
            // always detect the second arrival, because the ticket stream contains only recent
            // command ids. Therefore, this code first reads the relation in the source ticket. If
            // this relation differs from the message, the message is outdated and has no effect.
            let source = app.ledger.load::<Ticket>(&with.stream()).await?.aggregate.0;
            let current = source.links.iter().find(|link| link.other == ticket);
            let is_outdated = match current {
                Some(link) => !linked || link.relation != relation.inverse(),
                None => linked,
            };
            if is_outdated {
                return Ok(());
            }
            let meta = Meta::system(correlation, cause);
            if !linked {
                return relate(
                    app,
                    message,
                    &ticket,
                    &Command::Unlink {
                        by,
                        other: with,
                        mirror: true,
                    },
                    meta,
                )
                .await
                .map(drop);
            }
            let command = Command::Link {
                by,
                other: with.clone(),
                relation,
                mirror: true,
            };
            if relate(app, message, &ticket, &command, meta.clone()).await? {
                return Ok(());
            }
            // The target ticket rejected the relation. A relation must be stored in both tickets or
            // in none of the two tickets. The relation is therefore also removed from the source
            // ticket.
            let removal = Command::Unlink {
                by: PersonId::system(),
                other: ticket,
                mirror: true,
            };
            relate(app, message, &with, &removal, meta).await.map(drop)
        }
        Intent::EndChildTicket {
            ticket,
            parent,
            status,
            approve_result,
            cause,
            correlation,
        } => {
            let command = Command::EndWithParent {
                parent,
                status,
                approve_result,
            };
            relate(
                app,
                message,
                &ticket,
                &command,
                Meta::system(correlation, cause),
            )
            .await
            .map(drop)
        }
        _ => Err(wrong_queue(message)),
    }
}

/// Executes a command on a ticket because of a related ticket. Returns false if the ticket does not
/// exist or rejects the command.
async fn relate(
    app: &App,
    message: &Message,
    ticket: &TicketSn,
    command: &Command,
    meta: Meta,
) -> Result<bool, Error> {
    match tickets::execute(
        app,
        ticket,
        command,
        &meta,
        command_id(&["relate", ticket.as_str(), &message.id]),
        None,
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
        Err(error) => Err(error.unexpected()),
    }
}

/// The number of stars in an automatic rating. `COMMENT` is the comment of this rating.
const STARS: u8 = 4;
const COMMENT: &str = "系统默认评价：满意！";

/// Rates a finished ticket automatically if its creator has not rated the ticket before the
/// deadline (reference/bk-itsm.md 16). Every automatic rating has the same number of stars and the
/// same comment.
pub async fn rate(app: &App, due: &Due) -> Result<(), Error> {
    let stream = due.stream.as_str();
    let Some(sn) = stream.strip_prefix("ticket-").map(TicketSn::from) else {
        return Ok(());
    };
    let ticket = app.ledger.load::<Ticket>(stream).await?.aggregate.0;
    if ticket.stars.is_some() {
        return Ok(());
    }
    let rate = Command::Rate {
        by: PersonId::system(),
        stars: STARS,
        comment: COMMENT.into(),
    };
    match tickets::execute(
        app,
        &sn,
        &rate,
        &Meta::system("rating", stream),
        command_id(&["deadline", &due.id()]),
        None,
    )
    .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::NotFinished | Rejection::RatedAlready)) => {
            Ok(())
        }
        Err(error) => Err(error.unexpected()),
    }
}
