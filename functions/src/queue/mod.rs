//! One file per kind of message: one attempt or step each.

pub mod attempt;
pub mod automate;
pub mod deliver;
pub mod token;

use infra::queue::Message;
use infra::{Error, Kind};

use crate::App;

/// Works on one message of a queue. An error that may pass means: later again; any other: set it aside.
pub async fn work(app: &App, queue: &str, message: &Message) -> Result<(), Error> {
    match queue {
        "deliver" => deliver::deliver(&app.ledger, message).await,
        "automate" => automate::automate(app, message).await,
        "attempt" => attempt::attempt(app, message).await,
        _ => Err(Error::new(Kind::Misconfigured, format!("there is no function for queue {queue}"))),
    }
}
