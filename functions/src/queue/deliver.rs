//! Opens an outgoing callback; its stream has the effect id as its name, so a repeated intent is
//! rejected as a duplicate.

use domain::callback::{Callback, Command, Rejection};
use domain::intent::Intent;
use events::Meta;
use events::callback::Requested;
use infra::ledger::{NoContext, command_id};
use infra::queue::Message;
use infra::{CommandEnvelope, Error, ExecuteError, Ledger};

/// Reads the intent in a message.
pub(super) fn read(message: &Message) -> Result<Intent, Error> {
    serde_json::from_slice(&message.body).map_err(|error| {
        Error::because(
            infra::Kind::Corrupt,
            format!("message {} does not contain an intent", message.id),
            error,
        )
    })
}

/// Returns the error for an intent in the wrong queue.
pub(super) fn wrong_queue(message: &Message) -> Error {
    Error::corrupt(format!(
        "message {} contains an intent of another queue",
        message.id
    ))
}

/// Opens a callback from one intent; its deadline is due at once and starts the first attempt.
pub async fn deliver(ledger: &Ledger, message: &Message) -> Result<(), Error> {
    let Intent::SendCallback {
        ticket,
        cause,
        app,
        callback,
        correlation,
    } = read(message)?
    else {
        return Err(wrong_queue(message));
    };
    let command_envelope = CommandEnvelope {
        stream: format!("callback-{}", message.id),
        command_id: command_id(&["deliver", &message.id]),
        meta: Meta::system(correlation, cause.clone()),
    };
    let requested = Requested {
        ticket,
        cause,
        app,
        callback,
        due: ledger.clock.now(),
    };
    match ledger
        .execute::<Callback>(&command_envelope, &Command::Request(requested), &NoContext)
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
