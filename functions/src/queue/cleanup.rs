//! The queue `cleanup`: deletes expired drafts, and files without a holder. The queue contains only
//! due work.

use std::future::ready;

use domain::intent::Intent;
use futures_util::future::BoxFuture;
use infra::Error;
use infra::queue::Message;

use super::wrong_queue;
use crate::App;

/// Rejects every intent, because no intent is sent to this queue.
pub fn execute<'a>(
    _app: &'a App,
    message: &'a Message,
    _intent: Intent,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(ready(Err(wrong_queue(message))))
}
