//! Rates a finished ticket automatically if its creator did not rate it in time
//! (reference/bk-itsm.md 16).

use domain::ticket::{Command, Rejection, Ticket};
use events::{Meta, PersonId, TicketSn};
use infra::ledger::command_id;
use infra::{Error, ExecuteError};

use crate::App;
use crate::app::tickets;

/// Stars and comment of an automatic rating.
const STARS: u8 = 4;
const COMMENT: &str = "系统默认评价：满意！";

/// Rates the ticket unless it has a rating.
pub(super) async fn attempt(app: &App, stream: &str) -> Result<(), Error> {
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
    match tickets::act(
        app,
        &sn,
        &rate,
        &Meta::system("rating", stream),
        command_id(&["rate", stream]),
    )
    .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::NotFinished | Rejection::RatedAlready)) => {
            Ok(())
        }
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            infra::Kind::Misconfigured,
            rejection.to_string(),
        )),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}
