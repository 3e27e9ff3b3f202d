//! Handles the inbox of a person in the API `/v1`: its lists, the state of each notification, and the changes for
//! clients that wait. Only the person and superusers use the inbox of a person.

use domain::notification::Notification;
use domain::notification::inbox::{Action, Filter};
use domain::permission::Operation as Permission;
use events::app::Scope;
use events::notification::Category;
use events::{Moment, PersonId};
use serde::Serialize;

use super::admin::stream_of;
use super::inbox_events::{self, InboxChanges};
use super::notifications::{ShownNotification, allowed, missing, permitted, titled};
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, PAGE_SIZE_MAX, PAGES_MAX, Resource,
    event_stream, get, list, post, segments,
};
use super::shape::{Member, Shape, optional, required, unless};
use crate::app::notifications::inbox::{self, CHANGES_MAX, ChangedMany, NotChanged};
use crate::app::notifications::inbox_feed;
use crate::app::notifications::unreached_person::Recipients;
use crate::app::times;

/// The names of the actions on a notification.
const ACTIONS: &[&str] = &["seen", "read", "unread", "archive", "restore", "snooze"];
/// The lists of the inbox, as the query parameter `state` names them.
const STATES: &[&str] = &["all", "unread", "unseen", "archived", "snoozed"];
const AFTER: (&str, Asks) = ("after", Asks::Number(0, usize::MAX));
/// Maximum time in seconds that a request waits for a change. A gateway of AWS waits at most 30 s for a response.
const WAIT_MAX: usize = 20;

const UNTIL: Shape = Shape::Text;
const BULK: &[Member] = &[
    required("action", Shape::Words(ACTIONS)),
    unless("up_to", "notifications", Shape::List(&Shape::Text)),
    optional("up_to", Shape::Text),
    optional("until", UNTIL),
];

/// Describes an action on one notification.
const fn action(path: &'static str, summary: &'static str) -> Operation {
    post(path, summary, &[]).returning::<ShownNotification>()
}

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/inbox/{person}",
        "lists the notifications of a person, latest first; for this person and superusers",
        &[
            ("state", Asks::Word(STATES)),
            ("category", Asks::Words(Category::NAMES)),
            ("urgent", Asks::Word(&["true", "false"])),
            ("ticket", Asks::Text),
            PAGE,
            PAGE_SIZE,
        ],
    )
    .returning::<InboxPage>(),
    get(
        "/v1/inbox/{person}/counts",
        "counts the notifications in each list of a person; for this person and superusers",
    )
    .returning::<InboxCounts>(),
    list(
        "/v1/inbox/{person}/changes",
        "returns the changes of the inbox after a position, and waits for the next change if there is none",
        &[AFTER, ("wait", Asks::Number(0, WAIT_MAX))],
    )
    .returning::<InboxChanges>(),
    event_stream(
        "/v1/inbox/{person}/events",
        "sends the changes of the inbox as server-sent events",
        &[AFTER],
    ),
    post(
        "/v1/inbox/{person}/actions",
        "changes the state of up to 100 notifications of a person; for this person and superusers",
        BULK,
    )
    .returning::<ChangedNotifications>(),
    action(
        "/v1/notifications/{notification}/seen",
        "marks an unseen notification as seen",
    ),
    action(
        "/v1/notifications/{notification}/read",
        "marks a notification as read",
    ),
    action(
        "/v1/notifications/{notification}/unread",
        "marks a read notification as unread",
    ),
    action(
        "/v1/notifications/{notification}/archive",
        "moves a notification from the inbox to the archive",
    ),
    action(
        "/v1/notifications/{notification}/restore",
        "moves an archived or snoozed notification back into the inbox",
    ),
    post(
        "/v1/notifications/{notification}/snooze",
        "hides a notification until a time",
        &[required("until", UNTIL)],
    )
    .returning::<ShownNotification>(),
];

/// One page of the inbox.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct InboxPage {
    count: u64,
    /// The position from which a client reads the changes of the inbox. It misses no change after this page.
    position: i64,
    notifications: Vec<ShownNotification>,
}

/// The number of notifications in each list of a person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct InboxCounts {
    /// The notifications that are neither archived nor snoozed.
    all: u64,
    unread: u64,
    unseen: u64,
    archived: u64,
    snoozed: u64,
}

/// The result of an action on several notifications.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ChangedNotifications {
    /// The number of notifications that the action changed.
    changed: u64,
    /// The number of notifications for which the client must repeat the request.
    remaining: u64,
    /// The ids that belong to no notification of the person.
    unknown: Vec<String>,
}

/// All operations on the inbox, and the function that executes them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match segments(&call.path).as_slice() {
            ["inbox", person] => page(request, person).await,
            ["inbox", person, "counts"] => counts(request, person).await,
            ["inbox", person, "actions"] => change_many(request, person).await,
            ["inbox", person, "changes"] => changes(request, person).await,
            ["inbox", person, _] => {
                let (person, after) = opened(&request, person).await?;
                inbox_events::streamed(request.app, person, after).await
            }
            ["notifications", id, name] => change(request, id, name).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

/// Returns the person with the name `person`, if the caller may execute the operation on the data of this person.
async fn owner(
    request: &Asked,
    operation: Permission,
    person: &str,
) -> Result<(PersonId, PersonId), Problem> {
    let owner = request.app.people.find(person).await?;
    let actor = permitted(request, operation, &owner).await?;
    Ok((owner, actor))
}

async fn page(request: Asked, person: &str) -> ApiResult {
    let (person, _) = owner(&request, Permission::ReadPerson, person).await?;
    let app = &request.app;
    let list = match request.asked_for("state") {
        Some("unread") => "unread",
        Some("unseen") => "unseen",
        Some("archived") => "archived",
        Some("snoozed") => "snoozed",
        _ => "inbox",
    };
    let categories = request.asked_for("category").unwrap_or_default().split(',');
    let filter = Filter {
        categories: categories
            .map(|category| category.trim().to_owned())
            .filter(|category| !category.is_empty())
            .collect(),
        is_urgent: request.asked_for("urgent").map(|urgent| urgent == "true"),
        ticket: request.asked_for("ticket").map(str::to_owned),
    };
    let size = request.number("page_size", 20, PAGE_SIZE_MAX)?;
    let number = request.number("page", 1, PAGES_MAX)?;
    // The cursor is read before the page, so the changes after it contain everything that the page does not show.
    let position = inbox_feed::cursor(app).await?;
    let documents = inbox::page(app, &person, list, &filter, (number, size)).await?;
    let cards = documents.cards::<Notification>(&app.ledger).await?;
    let mut notifications = Vec::with_capacity(cards.len());
    let mut recipients = Recipients::default();
    for (stream, card) in &cards {
        notifications.push(titled(app, stream, card, &mut recipients).await?);
    }
    Ok(ok(&InboxPage {
        count: documents.count,
        position,
        notifications,
    }))
}

async fn counts(request: Asked, person: &str) -> ApiResult {
    let (person, _) = owner(&request, Permission::ReadPerson, person).await?;
    let counts = inbox::counts(&request.app, &person).await?;
    Ok(ok(&InboxCounts {
        all: counts.inbox,
        unread: counts.unread,
        unseen: counts.unseen,
        archived: counts.archived,
        snoozed: counts.snoozed,
    }))
}

async fn change(request: Asked, id: &str, name: &str) -> ApiResult {
    let (stream, _, actor) = allowed(&request, Permission::ChangePerson, id).await?;
    let action = action_named(&request, name)?;
    let meta = request.meta(actor);
    let state = inbox::change(&request.app, &stream, action, meta)
        .await
        .map_err(|failure| not_changed(failure, id))?;
    let mut recipients = Recipients::default();
    Ok(ok(
        &titled(&request.app, &stream, &state, &mut recipients).await?
    ))
}

async fn change_many(request: Asked, person: &str) -> ApiResult {
    let (person, actor) = owner(&request, Permission::ChangePerson, person).await?;
    let name = request.required("action")?;
    let action = action_named(&request, &name)?;
    let meta = request.meta(actor);
    let app = &request.app;
    let up_to = moment(&request, "up_to")?;
    let changed = match (ids(&request)?, up_to) {
        (Some(_), Some(_)) => {
            return Err(Problem::malformed(
                "/up_to",
                "only one of `notifications` and `up_to` can be given",
            ));
        }
        (Some(ids), None) => {
            let (streams, wrong): (Vec<_>, Vec<_>) = ids
                .into_iter()
                .map(|id| stream_of("notification", &id).ok_or(id))
                .partition(Result::is_ok);
            let streams: Vec<String> = streams.into_iter().flatten().collect();
            let mut changed = inbox::change_some(app, &person, &streams, action, &meta)
                .await
                .map_err(|failure| not_changed(failure, ""))?;
            changed
                .unknown
                .extend(wrong.into_iter().filter_map(Result::err));
            changed
        }
        (None, up_to) => {
            let list = match action {
                Action::See => "unseen",
                Action::Read => "unread",
                Action::Archive => "inbox",
                Action::Unread | Action::Restore | Action::Snooze { .. } => {
                    return Err(Problem::malformed(
                        "/action",
                        "`up_to` is allowed for the actions seen, read and archive; give `notifications`",
                    ));
                }
            };
            let up_to = up_to.unwrap_or_default();
            inbox::change_list(app, &person, list, up_to, action, &meta)
                .await
                .map_err(|failure| not_changed(failure, ""))?
        }
    };
    let ChangedMany {
        changed,
        remaining,
        unknown,
    } = changed;
    let unknown = unknown.into_iter();
    Ok(ok(&ChangedNotifications {
        changed,
        remaining,
        unknown: unknown
            .map(|stream| stream.trim_start_matches("notification-").to_owned())
            .collect(),
    }))
}

/// Returns the ids in the body of the request. Returns `None` if the body has no ids.
fn ids(request: &Asked) -> Result<Option<Vec<String>>, Problem> {
    let Some(ids) = request.body.get("notifications").cloned() else {
        return Ok(None);
    };
    let ids: Vec<String> = serde_json::from_value(ids).map_err(|_| {
        Problem::malformed("/notifications", "`notifications` must be a list of ids")
    })?;
    if ids.len() > CHANGES_MAX {
        return Err(Problem::malformed(
            "/notifications",
            format!("`notifications` must have at most {CHANGES_MAX} ids"),
        ));
    }
    Ok(Some(ids))
}

/// Returns the action with the given name. Only `snooze` has the member `until`.
fn action_named(request: &Asked, name: &str) -> Result<Action, Problem> {
    let until = moment(request, "until")?;
    Ok(match (name, until) {
        ("snooze", Some(until)) => Action::Snooze { until },
        ("snooze", None) => {
            return Err(Problem::malformed("/until", "`until` is required"));
        }
        (_, Some(_)) => {
            return Err(Problem::malformed(
                "/until",
                "`until` is allowed for the action snooze only",
            ));
        }
        ("seen", None) => Action::See,
        ("read", None) => Action::Read,
        ("unread", None) => Action::Unread,
        ("archive", None) => Action::Archive,
        ("restore", None) => Action::Restore,
        _ => return Err(Problem::not_found("this path does not exist")),
    })
}

/// Returns the time in the member `key` of the body.
fn moment(request: &Asked, key: &str) -> Result<Option<Moment>, Problem> {
    let Some(text) = request.text(key)? else {
        return Ok(None);
    };
    match times::read(&text) {
        Some(at) if !times::is_day(&text) => Ok(Some(at)),
        _ => Err(Problem::malformed(
            &format!("/{key}"),
            format!("`{key}` must be a time such as 2026-11-22T18:00:00+08:00"),
        )),
    }
}

fn not_changed(failure: NotChanged, id: &str) -> Problem {
    match failure {
        NotChanged::Unknown => missing(id),
        NotChanged::SnoozeOutOfRange(rule) => Problem::malformed("/until", rule),
        NotChanged::Technical(error) => error.into(),
    }
}

async fn changes(request: Asked, person: &str) -> ApiResult {
    let (person, after) = opened(&request, person).await?;
    let wait = match request.asked_for("wait") {
        Some(text) => text.parse().unwrap_or_default(),
        None => 0,
    };
    inbox_events::changes(request.app, person, after, wait).await
}

/// Returns the person whose inbox the client reads, and the position after which it reads. The header `Last-Event-ID`
/// takes precedence over the parameter `after`, because a browser repeats a request with the first address and a new
/// header.
async fn opened(request: &Asked, person: &str) -> Result<(PersonId, i64), Problem> {
    let (person, _) = owner(request, Permission::ReadPerson, person).await?;
    let number = |name: &str, text: &str| {
        let position = text.parse::<i64>().ok().filter(|position| *position >= 0);
        position.ok_or_else(|| {
            let what = format!("`{name}` must be a position, which is a number from 0");
            Problem::malformed(name, what)
        })
    };
    let after = match (&request.last_event_id, request.asked_for("after")) {
        (Some(id), _) => number("Last-Event-ID", id)?,
        (None, Some(after)) => number("after", after)?,
        (None, None) => inbox_feed::cursor(&request.app).await?,
    };
    Ok((person, after))
}
