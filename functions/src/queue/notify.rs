//! Processes the messages of the queue `notify`. A message notifies one person, or stores the end of a
//! delivery in its notification.

use domain::intent::Intent;
use events::Meta;
use infra::Error;
use infra::queue::Message;

use super::wrong_queue;
use crate::App;
use crate::app::notifications::notify;

/// Executes an intent (a request for work) from a message.
pub async fn execute(app: &App, message: &Message, intent: Intent) -> Result<(), Error> {
    match intent {
        Intent::Notify(request) => notify::request(app, &message.id, *request).await,
        Intent::EndDelivery {
            notification,
            ended,
            cause,
            correlation,
        } => {
            let meta = Meta::system(correlation, cause);
            notify::end_delivery(app, &message.id, &notification, ended, meta).await
        }
        _ => Err(wrong_queue(message)),
    }
}
