//! Handles the chat groups of tickets in the API `/v1`: shows the group of a ticket, creates it and closes it.

use domain::notification::chat_group::End;
use domain::notification::delivery::LastFailure;
use events::TicketSn;
use events::app::Scope;
use events::chat_group::{CloseReason, LeftOutReason};
use events::delivery::FailureClass;
use events::person::Language;
use serde::Serialize;

use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{Time, done, not_empty, ok, time};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, delete, get, post, segments};
use super::tickets::found;
use crate::App;
use crate::app::notifications::chat_groups::{self, NotGrouped};

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/tickets/{sn}/chat-group",
        "shows the chat group of a ticket, with the people who are left out and the last failure",
    )
    .returning::<ShownGroup>(),
    post(
        "/v1/tickets/{sn}/chat-group",
        "creates the chat group of a ticket, or adds the people again who were left out; for people who take part in the ticket",
        &[],
    )
    .returning::<ShownGroup>(),
    delete(
        "/v1/tickets/{sn}/chat-group",
        "closes the chat group of a ticket; for the person who created it and for managers of the ticket",
    ),
];

/// The chat group of a ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ChatGroup"))]
struct ShownGroup {
    /// `none`, `creating`, `open`, `changing`, `waiting` (the last change failed, and the next change of the ticket tries
    /// again), `closing`, `closed` or `failed` (the group could not be created).
    state: &'static str,
    /// The channel account that owns the group.
    account: Option<String>,
    channel: Option<String>,
    name: Option<String>,
    /// The id of the group on the platform.
    chat: Option<String>,
    /// The person who created the group. Null if the notification policy requires it.
    requested_by: Option<String>,
    members: Vec<String>,
    left_out: Vec<ShownLeftOut>,
    /// The ids of erased people whom the platform did not remove. An operator must remove these people at the platform.
    not_removed: Vec<String>,
    /// The number of further people who are left out, because a group has at most 200 members.
    omitted: u32,
    /// The number of messages that wait to be sent.
    waiting_messages: usize,
    next_attempt: Option<Time>,
    /// The last failure since the last success.
    failure: Option<GroupFailure>,
    /// Why the group is closed: `ticket_ended` or `by_person`.
    closed_because: Option<&'static str>,
}

/// A person of the ticket who is not a member of its chat group.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "LeftOutOfChatGroup")
)]
struct ShownLeftOut {
    person: String,
    /// `no_address`, `suppressed` (the platform reported the address as wrong), `not_permitted` (the person may not read the
    /// ticket, or not take part in a confidential ticket) or `refused` (the platform refused the person).
    reason: &'static str,
}

/// A failure of a request to the platform.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "ChatGroupFailure")
)]
struct GroupFailure {
    #[cfg_attr(test, schemars(schema_with = "schema::failure_class"))]
    class: Option<FailureClass>,
    /// The code in the response of the platform.
    code: Option<String>,
    reason: String,
}

/// The operations on chat groups, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match (call.method.as_str(), segments(&call.path).as_slice()) {
            ("POST", [_, sn, _]) => create(request, sn).await,
            ("DELETE", [_, sn, _]) => close(request, sn).await,
            (_, [_, sn, _]) => show(request, sn).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn show(request: Asked, sn: &str) -> ApiResult {
    let (sn, _) = found(&request, sn).await?;
    Ok(ok(&shown(&request.app, &sn).await?))
}

async fn create(request: Asked, sn: &str) -> ApiResult {
    let app = &request.app;
    let (sn, _) = found(&request, sn).await?;
    let person = request.actor().await?;
    let (id, meta) = (app.ledger.fresh_id(), request.meta(person.clone()));
    let requested = chat_groups::request_by(app, &sn, &person, id, meta).await;
    match requested {
        Ok(()) => Ok(ok(&shown(app, &sn).await?)),
        Err(reason) => Err(problem(app, reason).await?),
    }
}

async fn close(request: Asked, sn: &str) -> ApiResult {
    let app = &request.app;
    let (sn, _) = found(&request, sn).await?;
    let person = request.actor().await?;
    let (id, meta) = (app.ledger.fresh_id(), request.meta(person.clone()));
    match chat_groups::close_by(app, &sn, &person, id, meta).await {
        Ok(()) => Ok(done()),
        Err(reason) => Err(problem(app, reason).await?),
    }
}

async fn problem(app: &App, reason: NotGrouped) -> Result<Problem, Problem> {
    let detail = chat_groups::refusal(app, &reason, Language::English).await?;
    Ok(match reason {
        NotGrouped::NotConfigured | NotGrouped::Ended | NotGrouped::Confidential(_) => {
            Problem::conflict(detail)
        }
        NotGrouped::NotPermitted(operation) => Problem::denied(operation, detail),
        NotGrouped::Missing => Problem::not_found(detail),
        NotGrouped::Technical(error) => error.into(),
    })
}

async fn shown(app: &App, sn: &TicketSn) -> Result<ShownGroup, Problem> {
    let group = chat_groups::read(app, sn).await?;
    let requested = group.requested.as_ref();
    let requested_by = match requested.and_then(|one| one.by.as_ref()) {
        Some(by) => Some(app.people.name(by).await?),
        None => None,
    };
    let members: Vec<_> = group.members.keys().cloned().collect();
    let mut left_out = Vec::new();
    for one in group.all_left_out() {
        left_out.push(ShownLeftOut {
            person: app.people.name(&one.person).await?,
            reason: reason(one.reason),
        });
    }
    let closed_because = match &group.end {
        Some(End::Closed(CloseReason::TicketEnded)) => Some("ticket_ended"),
        Some(End::Closed(CloseReason::ByPerson)) => Some("by_person"),
        Some(End::Failed(_)) | None => None,
    };
    let next = group.step().map(|_| time(app, group.attempts.due));
    Ok(ShownGroup {
        state: chat_groups::state(&group),
        account: requested.map(|one| one.account.clone()),
        channel: requested.map(|one| one.channel.clone()),
        name: not_empty(&group.name),
        chat: not_empty(&group.chat),
        requested_by,
        members: app.people.all_names(&members).await?,
        left_out,
        not_removed: app.people.all_names(&group.not_removed).await?,
        omitted: group.omitted,
        waiting_messages: group.messages.len(),
        next_attempt: next,
        failure: group.last_failure.as_ref().map(failure),
        closed_because,
    })
}

fn reason(reason: LeftOutReason) -> &'static str {
    match reason {
        LeftOutReason::NoAddress => "no_address",
        LeftOutReason::Suppressed => "suppressed",
        LeftOutReason::NotPermitted => "not_permitted",
        LeftOutReason::Refused => "refused",
    }
}

fn failure(failure: &LastFailure) -> GroupFailure {
    GroupFailure {
        class: Some(failure.class),
        code: not_empty(&failure.code),
        reason: failure.reason.clone(),
    }
}
