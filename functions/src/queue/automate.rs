//! Opens the call of an automatic node. The stream is named by the effect id, so a repeated intent meets its first self.

use domain::call::{Call, Command, Rejection};
use domain::intent::{self, Intent};
use events::Meta;
use events::call::Requested;
use infra::ledger::{NoLookups, command_id};
use infra::queue::Message;
use infra::{Error, Failure, Ledger, Wish};

use super::deliver::{misled, read};

/// Turns one intent into a call; its deadline, due at once, makes the first attempt.
pub async fn automate(ledger: &Ledger, message: &Message) -> Result<(), Error> {
    let Intent::Call(call) = read(message)? else { return Err(misled(message)) };
    let intent::Call { ticket, node, name, round, attempt, cause, key, inputs, task, correlation } = *call;
    let wish =
        Wish { stream: format!("call-{}", message.id), command_id: command_id(&["automate", &message.id]), meta: Meta::system(correlation, cause.clone()) };
    let requested = Requested { ticket, node, name, round, attempt, cause, key, inputs, task, due: ledger.clock.now() };
    match ledger.execute::<Call>(&wish, &Command::Request(requested), &NoLookups).await {
        Ok(_) | Err(Failure::Rejected(Rejection::AlreadyRequested)) => Ok(()),
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}
