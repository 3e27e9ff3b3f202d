//! Opens an outgoing callback. The stream is named by the effect id, so a repeated intent meets its first self.

use domain::delivery::{Command, Delivery, Rejection};
use domain::intent::Intent;
use events::Meta;
use events::delivery::Requested;
use infra::ledger::{NoLookups, command_id};
use infra::queue::Message;
use infra::{Error, Failure, Ledger, Wish};

/// The intent of a message.
pub(super) fn read(message: &Message) -> Result<Intent, Error> {
    serde_json::from_slice(&message.body).map_err(|error| Error::because(infra::Kind::Corrupt, format!("message {} is not an intent", message.id), error))
}

/// A message in a queue that is not its own.
pub(super) fn misled(message: &Message) -> Error {
    Error::corrupt(format!("message {} is the intent of another queue", message.id))
}

/// Turns one intent into a delivery; its deadline, due at once, makes the first attempt.
pub async fn deliver(ledger: &Ledger, message: &Message) -> Result<(), Error> {
    let Intent::Deliver { ticket, cause, app, callback, correlation } = read(message)? else { return Err(misled(message)) };
    let wish =
        Wish { stream: format!("delivery-{}", message.id), command_id: command_id(&["deliver", &message.id]), meta: Meta::system(correlation, cause.clone()) };
    let requested = Requested { ticket, cause, app, callback, due: ledger.clock.now() };
    match ledger.execute::<Delivery>(&wish, &Command::Request(requested), &NoLookups).await {
        Ok(_) | Err(Failure::Rejected(Rejection::AlreadyRequested)) => Ok(()),
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}
