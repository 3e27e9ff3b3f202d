//! Explains in the API `/v1` for each event of a ticket why a person got a notification or got none.

use domain::permission::Operation as Permission;
use events::app::Scope;
use serde::Serialize;

use super::notifications::permitted;
use super::problem::{ApiResult, Problem};
use super::reply::{Time, ok, time};
use super::request::Asked;
use super::resource::{Answer, Asks, Call, Operation, Resource, list, segments};
use super::tickets::found;
use crate::app::notifications::why_person::{self, Reason};

const OPERATIONS: &[Operation] = &[list(
    "/v1/tickets/{sn}/why/{person}",
    "explains for each event of a ticket why a person got a notification or got none; for this person and superusers",
    &[("language", Asks::Word(&["zh-CN", "en"]))],
)
.returning::<TicketExplanation>()];

/// The explanation of the newest events of a ticket for one person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TicketExplanation {
    ticket: String,
    person: String,
    /// The newest events, from the oldest to the newest.
    events: Vec<ExplainedEvent>,
}

/// The explanation of one event of a ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExplainedEvent {
    at: Time,
    /// The type of the event.
    event: String,
    is_notified: bool,
    reason: WhyReason,
    text: String,
}

/// The reason why a person got a notification, or got none.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum WhyReason {
    Notified,
    OwnAction,
    NoRelation,
    Silent,
    SwitchedOff,
    SilentWorkflow,
    NoPolicy,
}

impl From<Reason> for WhyReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Notified { .. } => Self::Notified,
            Reason::OwnAction => Self::OwnAction,
            Reason::NoRelation => Self::NoRelation,
            Reason::Silent(_) => Self::Silent,
            Reason::SwitchedOff(_) => Self::SwitchedOff,
            Reason::SilentWorkflow => Self::SilentWorkflow,
            Reason::NoPolicy => Self::NoPolicy,
        }
    }
}

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
            ["tickets", sn, "why", person] => explain(call.request, sn, person).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

/// Explains the events of a ticket. The caller must be allowed to read the ticket, because the explanation contains the
/// types of its events.
async fn explain(request: Asked, sn: &str, person: &str) -> ApiResult {
    let app = &request.app;
    let pid = app.people.find(person).await?;
    permitted(&request, Permission::ReadPerson, &pid).await?;
    let (sn, _) = found(&request, sn).await?;
    let language = request.language_or(request.language);
    let explained = why_person::explain(app, &sn.stream(), &pid).await?;
    let events = explained.into_iter().map(|one| ExplainedEvent {
        at: time(app, one.at),
        event: one.event,
        is_notified: matches!(one.reason, Reason::Notified { .. }),
        reason: one.reason.into(),
        text: why_person::text(one.reason, language),
    });
    Ok(ok(&TicketExplanation {
        ticket: sn.to_string(),
        person: person.to_owned(),
        events: events.collect(),
    }))
}
