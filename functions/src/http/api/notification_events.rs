//! Shows a notification as the event document of the requirements (requirements/notifications.md, 通知事件模型) in the API
//! `/v1`.

use domain::permission::Operation as Permission;
use events::app::Scope;

use super::notifications::allowed;
use super::problem::{ApiResult, Problem};
use super::reply::{Open, ok};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, segments};
use super::tickets::found;
use crate::app::notifications::event_document;

const OPERATIONS: &[Operation] = &[get(
    "/v1/notifications/{notification}/event",
    "shows a notification as one event document with the status of each channel; for its person and superusers",
)
.returning::<Open>()];

/// The operation, and the function that executes it.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        match segments(&call.path).as_slice() {
            ["notifications", id, _] => event(call.request, id).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

/// Shows the event document. If the caller may not read the ticket any more, the document contains only its number.
async fn event(request: Asked, id: &str) -> ApiResult {
    let (stream, state, _) = allowed(&request, Permission::ReadPerson, id).await?;
    let sn = state.requested.map(|requested| requested.ticket.0);
    let card = match found(&request, &sn.unwrap_or_default()).await {
        Ok((_, card)) => Some(card),
        Err(_) => None,
    };
    let document = event_document::document(&request.app, &stream, card.as_ref()).await?;
    let document =
        document.ok_or_else(|| Problem::not_found("this notification does not exist"))?;
    Ok(ok(&Open(document)))
}
