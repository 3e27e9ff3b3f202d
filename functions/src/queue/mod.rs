//! Queue functions: one file per queue; each call works on one message.

pub mod attempt;
pub mod automate;
pub mod deliver;

use infra::queue::Message;
use infra::{Error, Kind};

use crate::App;

/// Works on one message of a queue.
///
/// After a transient error the message must be deferred, after any other error it must be parked.
pub async fn work(app: &App, queue: &str, message: &Message) -> Result<(), Error> {
    match queue {
        "deliver" => deliver::deliver(&app.ledger, message).await,
        "automate" => automate::automate(app, message).await,
        "attempt" => attempt::attempt(app, message).await,
        _ => Err(Error::new(
            Kind::Misconfigured,
            format!("there is no function for queue {queue}"),
        )),
    }
}
