//! Processes the messages of the queue `dispatch`. Opens missions (work for robots), and handles
//! the deadlines of missions and robots.

use domain::intent::Intent;
use infra::Error;
use infra::queue::Message;

use super::wrong_queue;
use crate::App;
use crate::app::fleet::missions;

/// Opens the mission (the work for a robot) of an automatic workflow node.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::StartDispatch(start) => missions::open(app, &message.id, *start).await,
        _ => Err(wrong_queue(message)),
    }
}
