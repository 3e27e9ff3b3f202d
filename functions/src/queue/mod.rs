//! Contains the functions that process queue messages. Each file contains the function for one
//! queue. The function processes one message per call.

pub mod automate;
pub mod callback;
pub mod cleanup;
pub mod dispatch;
pub mod notify;
pub mod runner;
pub mod send;
pub mod sync;
pub mod ticket;

use domain::intent::{Intent, Work};
use futures_util::future::BoxFuture;
use infra::Error;
use infra::queue::Message;

use crate::App;
use crate::stream::follow::aggregate::{Registry, find};

/// The type of the function that executes intents (requests for work). A message of the queue
/// contains the intent.
pub type Execute = for<'a> fn(&'a App, &'a Message, Intent) -> BoxFuture<'a, Result<(), Error>>;

/// Processes one message of a queue. The message contains an intent (a request for work) or a
/// reached deadline of a stream. The function `execute` executes the intents of this queue.
///
/// After a transient error, the caller must deliver the message again later. After any other error,
/// the caller must park the message. A parked message is stored with the error and is not delivered
/// again.
pub async fn work(
    app: &App,
    registry: Registry,
    execute: Execute,
    message: &Message,
) -> Result<(), Error> {
    match read(message)? {
        Work::Intent(intent) => execute(app, message, intent).await,
        Work::Due(due) => {
            match find(registry, &due.stream).and_then(|aggregate| aggregate.deadlines()) {
                Some(deadlines) => (deadlines.fire)(app, &due).await,
                None => Err(Error::corrupt(format!(
                    "stream {} has no deadlines",
                    due.stream
                ))),
            }
        }
    }
}

/// Returns the work that a message contains. The work is an intent (a request for work) or a
/// reached deadline. Returns an error if the body of the message is unreadable.
pub fn read(message: &Message) -> Result<Work, Error> {
    serde_json::from_slice(&message.body).map_err(|error| {
        Error::because(
            infra::Kind::Corrupt,
            format!("message {} has neither an intent nor due work", message.id),
            error,
        )
    })
}

/// Returns the error for a message in the wrong queue. The message contains an intent (a request
/// for work) that belongs to another queue.
fn wrong_queue(message: &Message) -> Error {
    Error::corrupt(format!(
        "message {} contains an intent of another queue",
        message.id
    ))
}
