//! Processes the messages of the queue `cleanup`. Each message contains a reached deadline of a
//! draft or an uploaded file. An expired draft is deleted. A file is deleted if no ticket, draft or
//! workflow contains the file.

use std::future::ready;

use domain::intent::Intent;
use futures_util::future::BoxFuture;
use infra::Error;
use infra::queue::Message;

use super::wrong_queue;
use crate::App;

/// Returns an error for every intent (a request for work), because the messages of this queue
/// contain only reached deadlines.
pub fn execute<'a>(
    _app: &'a App,
    message: &'a Message,
    _intent: Intent,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(ready(Err(wrong_queue(message))))
}
