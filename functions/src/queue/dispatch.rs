//! The queue `dispatch`: opens missions and handles the deadlines of missions and robots.

use domain::intent::Intent;
use infra::Error;
use infra::queue::Message;

use super::wrong_queue;
use crate::App;
use crate::app::fleet::missions;

/// Opens the mission of an automatic node.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::StartDispatch(start) => missions::open(app, &message.id, *start).await,
        _ => Err(wrong_queue(message)),
    }
}
