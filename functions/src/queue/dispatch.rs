//! Processes the messages of the queue `dispatch`. A message either opens a mission (the work of a robot), or
//! reports that a deadline of a mission or of a robot was reached.

use domain::intent::Intent;
use infra::Error;
use infra::queue::Message;

use super::wrong_queue;
use crate::App;
use crate::app::fleet::missions;

/// Executes an intent (a request for work) from a message: opens the mission (the work for a robot)
/// of an automatic workflow node.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::StartDispatch(start) => missions::open(app, &message.id, *start).await,
        _ => Err(wrong_queue(message)),
    }
}
