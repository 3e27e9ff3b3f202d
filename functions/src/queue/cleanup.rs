//! The queue `cleanup`. Deletes expired drafts, and deletes files that no ticket, draft or workflow
//! contains. All messages of this queue are about deadlines that have passed.

use std::future::ready;

use domain::intent::Intent;
use futures_util::future::BoxFuture;
use infra::Error;
use infra::queue::Message;

use super::wrong_queue;
use crate::App;

/// Rejects every intent (a message that requests work), because this queue receives only deadlines.
pub fn execute<'a>(
    _app: &'a App,
    message: &'a Message,
    _intent: Intent,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(ready(Err(wrong_queue(message))))
}
