//! Handles notifications in the API `/v1`. The operations explain each notification, and read and
//! change the notification preferences of a person. Other operations list all notifications and
//! their deliveries. Only superusers can read the notifications of other people. The inbox is in
//! [`super::inbox`].

use std::collections::{BTreeMap, BTreeSet};

use domain::notification::delivery::{Delivery, End};
use domain::notification::receipt::ReceiptState;
use domain::notification::{Notification, Phase};
use domain::permission::Operation as Permission;
use events::app::Scope;
use events::delivery::{FailureClass, Receipt};
use events::notification::{
    Category, Computed, Fact, HeldReason, InboxState, Mode, Outcome, Progress, Role, Route,
    SkipReason, Skipped, Strategy,
};
use events::person::{Language, PreferencesChanged};
use events::preference::{Band, ChannelPreference, Frequency};
use events::{Moment, PersonId};
use infra::{Error, inbound};
use serde::Serialize;
use serde_json::{Value, json};

use super::admin::{CardList, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{Time, not_empty, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, post, put, segments,
};
use super::shape::{Member, Shape, optional, quoted, required};
use crate::App;
use crate::app::notifications::preferences::{self, Preferences};
use crate::app::notifications::unreached_person::Recipients;
use crate::app::notifications::{identities, message, notify, unreached_person, why};
use crate::app::{permissions, times};

/// The languages in which the desk writes messages. These are the allowed values of the member `language`.
pub(super) const LANGUAGES: &[&str] = &["zh-CN", "en"];

const LANGUAGE: Member = optional("language", Shape::Words(LANGUAGES));
const ZONE: Member = optional("zone", Shape::Text);
const QUIET: Member = optional(
    "quiet",
    Shape::Object(&[required("from", Shape::Text), required("to", Shape::Text)]),
);
const DO_NOT_DISTURB_UNTIL: Member = optional("do_not_disturb_until", Shape::Text);
const CALENDAR: Member = optional("calendar", Shape::Text);
const PRESENCE: Member = optional("presence", Shape::Text);
const ADDRESSES: Member = optional("addresses", Shape::Map(&Shape::Text));
const CHANNEL: &[Member] = &[
    optional("frequency", Shape::Words(Frequency::NAMES)),
    optional("batch_times", Shape::List(&Shape::Text)),
    optional("categories", Shape::List(&Shape::Words(Category::NAMES))),
];
const CHANNELS: Member = optional("channels", Shape::Map(&Shape::Object(CHANNEL)));
const AGGREGATION: Member = optional("aggregation", Shape::Flag);
const LEARNING: Member = optional("learning", Shape::Flag);

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/notifications",
        "lists notifications by time, latest first; for superusers",
        &[
            ("state", Asks::Word(&["all", "open", "inbox_only"])),
            ("ticket", Asks::Text),
            PAGE,
            PAGE_SIZE,
        ],
    )
    .returning::<NotificationPage>(),
    get(
        "/v1/notifications/{notification}",
        "shows a notification; for its person and superusers",
    )
    .returning::<ShownNotification>(),
    list(
        "/v1/notifications/{notification}/why",
        "explains step by step why the person got the notification or did not get it",
        &[("language", Asks::Word(LANGUAGES))],
    )
    .returning::<Explanation>(),
    list(
        "/v1/deliveries",
        "lists the deliveries of notifications by time, latest first; for superusers",
        &[
            ("state", Asks::Word(&["all", "open", "failed"])),
            PAGE,
            PAGE_SIZE,
        ],
    )
    .returning::<DeliveryPage>(),
    get(
        "/v1/people/{person}/preferences",
        "shows the language, the time zone, the availability, the addresses and the channels of a person; for this person and superusers",
    )
    .returning::<ShownPreferences>(),
    put(
        "/v1/people/{person}/preferences",
        "replaces the preferences of a person; for this person and superusers",
        &[
            LANGUAGE,
            ZONE,
            QUIET,
            DO_NOT_DISTURB_UNTIL,
            CALENDAR,
            PRESENCE,
            ADDRESSES,
            CHANNELS,
            AGGREGATION,
            LEARNING,
        ],
    )
    .returning::<ShownPreferences>(),
    post(
        "/v1/people/{person}/addresses/{kind}/verify",
        "returns a code that the person sends from the chat account, to link this account; for this person only",
        &[],
    )
    .returning::<ShownCode>(),
];

/// One page of notifications.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct NotificationPage {
    count: u64,
    notifications: Vec<ShownNotification>,
}

/// A notification: one fact for one person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Notification"))]
pub(super) struct ShownNotification {
    id: String,
    #[cfg_attr(test, schemars(schema_with = "schema::fact"))]
    fact: Option<Fact>,
    /// Why the person gets the notification.
    #[cfg_attr(test, schemars(schema_with = "schema::notification_role"))]
    role: Option<Role>,
    /// The number of the ticket. Null for a fact that concerns a channel account and not a ticket.
    ticket: Option<String>,
    /// The title of the ticket. Null if the title is encrypted, if the person may not read the ticket, and in the list of
    /// all notifications.
    ticket_title: Option<String>,
    /// The user name of the person whom no channel reached. Only the facts `address_missing` and `unreached` have it. Null if
    /// the recipient is no operator any more, and in the list of all notifications.
    unreached_person: Option<String>,
    node: Option<i64>,
    /// The name of the workflow node, of the subscription or of the channel account that the fact concerns.
    node_name: Option<String>,
    /// The time of the event that caused the notification.
    at: Option<Time>,
    is_urgent: bool,
    /// Whether the person has read the notification, or has archived it.
    is_read: bool,
    /// The state of the notification in the inbox.
    #[cfg_attr(test, schemars(schema_with = "schema::inbox_state"))]
    inbox: InboxState,
    /// The time at which a snoozed notification is in the inbox again.
    snoozed_until: Option<Time>,
    /// How far the work is to which the notification refers. Null if no person has acted.
    #[cfg_attr(test, schemars(schema_with = "schema::progress"))]
    progress: Option<Progress>,
    #[cfg_attr(test, schemars(schema_with = "schema::category_or_null"))]
    category: Option<Category>,
    state: NotificationState,
    held_until: Option<Time>,
    /// Why the notification is held.
    #[cfg_attr(test, schemars(schema_with = "schema::held_reason"))]
    held_because: Option<HeldReason>,
    #[cfg_attr(test, schemars(schema_with = "schema::notification_outcome"))]
    outcome: Option<Outcome>,
    reason: Option<String>,
    /// The computed priority. Null until it is computed.
    priority: Option<ShownPriority>,
    /// The accounts that send a message. Null until they are chosen.
    accounts: Option<Vec<ShownRoute>>,
    /// The accounts that send no message.
    skipped: Option<Vec<ShownSkipped>>,
    /// The deliveries that have ended.
    deliveries: Vec<ShownEnd>,
}

/// The state of a notification.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum NotificationState {
    New,
    Held,
    Sending,
    Completed,
}

/// A channel account that sends a message.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Route"))]
struct ShownRoute {
    account: String,
    channel: String,
    /// The time at which a digest lists the notification at the latest. Null if the account sends a message of its own.
    digest_due: Option<Time>,
}

/// The computed priority of a notification. Each factor except `base` is a percentage.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "ComputedPriority")
)]
struct ShownPriority {
    #[cfg_attr(test, schemars(schema_with = "schema::band"))]
    band: Band,
    base: u32,
    impact: u32,
    time: u32,
    role: u32,
    score: u32,
    #[cfg_attr(test, schemars(schema_with = "schema::strategy"))]
    strategy: Strategy,
}

impl From<Computed> for ShownPriority {
    fn from(computed: Computed) -> Self {
        Self {
            band: computed.band,
            base: computed.base,
            impact: computed.impact,
            time: computed.time,
            role: computed.role,
            score: computed.score,
            strategy: computed.strategy,
        }
    }
}

/// A channel account that sends no message, with the reason.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "SkippedAccount")
)]
struct ShownSkipped {
    account: String,
    #[cfg_attr(test, schemars(schema_with = "schema::skip_reason"))]
    reason: SkipReason,
}

/// The end of a delivery.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DeliveryEnd"))]
struct ShownEnd {
    account: String,
    /// The id of the delivery.
    delivery: String,
    /// Whether the provider accepted the message.
    is_accepted: bool,
    #[cfg_attr(test, schemars(schema_with = "schema::failure_class"))]
    class: Option<FailureClass>,
    /// The code in the response of the provider.
    code: Option<String>,
    reason: Option<String>,
}

/// A notification with its person and an explanation, step by step.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Explanation {
    #[serde(flatten)]
    notification: ShownNotification,
    person: String,
    steps: Vec<WhyStep>,
}

/// One step of an explanation.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct WhyStep {
    at: Time,
    /// The type of the event that this step explains.
    event: String,
    /// The channel account, if the step belongs to a delivery.
    account: Option<String>,
    text: String,
}

/// One page of deliveries.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DeliveryPage {
    count: u64,
    deliveries: Vec<ShownDelivery>,
}

/// A delivery: one message on one account.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Delivery"))]
struct ShownDelivery {
    id: String,
    /// The id of the notification.
    notification: Option<String>,
    ticket: Option<String>,
    account: Option<String>,
    channel: Option<String>,
    state: DeliveryState,
    attempts: u32,
    next_attempt: Option<Time>,
    #[cfg_attr(test, schemars(schema_with = "schema::failure_class"))]
    class: Option<FailureClass>,
    code: Option<String>,
    reason: Option<String>,
    /// What the provider reported after it had accepted the message. Null if it reported nothing.
    #[cfg_attr(test, schemars(schema_with = "schema::receipt"))]
    receipt: Option<Receipt>,
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum DeliveryState {
    Open,
    Accepted,
    Failed,
    /// The provider accepted the message, but a later report says that the recipient did not get it or does not want
    /// it.
    Bounced,
}

/// The notification preferences of a person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Preferences"))]
struct ShownPreferences {
    #[cfg_attr(test, schemars(schema_with = "schema::language"))]
    language: Language,
    /// The time zone, or null for the zone of the desk.
    zone: Option<String>,
    quiet: Option<ShownQuietHours>,
    /// Until this time, the person gets only critical messages.
    do_not_disturb_until: Option<Time>,
    /// The name of the working calendar.
    calendar: Option<String>,
    /// The address of an iCalendar feed with the appointments of the person.
    presence: Option<String>,
    /// The addresses, by kind.
    #[cfg_attr(test, schemars(schema_with = "schema::object"))]
    addresses: serde_json::Map<String, Value>,
    /// The preferences for each kind of address. A kind without an entry gets all messages at once.
    channels: BTreeMap<String, ShownChannel>,
    /// Whether the desk may collect several notifications in one message.
    aggregation: bool,
    /// Whether the desk may learn from the answers of the person, and whether the person takes part in experiments.
    learning: bool,
    /// After a change: the name of the person, if neither the desk nor the directory knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
}

/// The preferences of a person for one kind of address.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "ChannelPreference")
)]
struct ShownChannel {
    #[cfg_attr(test, schemars(schema_with = "schema::frequency"))]
    frequency: Frequency,
    /// The local times of batches. If the list is empty, these are 09:00, 14:00 and 17:00.
    batch_times: Vec<String>,
    /// The categories of the messages, or null for all.
    #[cfg_attr(test, schemars(schema_with = "schema::categories"))]
    categories: Option<Vec<Category>>,
}

/// A code that links a chat account with a person. The person sends the text `link CODE` from the chat account.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AddressCode"))]
struct ShownCode {
    code: String,
    expires: Time,
}

/// The hours in which a person gets only urgent messages.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "QuietHours"))]
struct ShownQuietHours {
    from: String,
    to: String,
}

/// All operations on notifications, and the function `answer` that executes them.
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
            (_, ["notifications"]) => all(request).await,
            (_, ["notifications", id]) => one(request, id).await,
            (_, ["notifications", id, _]) => explain(request, id).await,
            (_, ["deliveries"]) => deliveries(request).await,
            ("PUT", [_, person, _]) => change(request, person).await,
            (_, [_, person, _, kind, _]) => verify_address(request, person, kind).await,
            (_, [_, person, ..]) => shown_preferences(request, person).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

/// Returns the id of the person who sent the request. Returns an error if this person may not execute the operation
/// on the data of the person `person`.
pub(super) async fn permitted(
    request: &Asked,
    operation: Permission,
    person: &PersonId,
) -> Result<PersonId, Problem> {
    let actor = request.app.people.find(request.user()?).await?;
    if permissions::may_on_person(&request.app, operation, &actor, person).await? {
        Ok(actor)
    } else {
        Err(Problem::denied(
            operation,
            "only the person and superusers may do this",
        ))
    }
}

async fn all(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let state = request.asked_for("state").filter(|state| *state != "all");
    let list = match (state, request.asked_for("ticket")) {
        (None, None) => CardList::whole("notification"),
        (Some("open"), None) => CardList::whole("open"),
        (Some(_), None) => CardList::whole("inbox_only"),
        (None, Some(ticket)) => CardList::below("ticket", ticket),
        (Some(_), Some(_)) => {
            return Err(Problem::malformed(
                "state",
                "only one of `state` and `ticket` can be given",
            ));
        }
    };
    page(&request, &list).await
}

/// Returns a response with one page of the notifications in `list`.
async fn page(request: &Asked, list: &CardList) -> ApiResult {
    let body = |stream: &str, card: &Notification| shown(&request.app, stream, card);
    let (count, notifications) = page_of(request, list, body).await?;
    Ok(ok(&NotificationPage {
        count,
        notifications,
    }))
}

async fn deliveries(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let index = match request.asked_for("state") {
        Some("open") => "open",
        Some("failed") => "failed",
        _ => "delivery",
    };
    let body = |stream: &str, card: &Delivery| delivery(&request, stream, card);
    let (count, deliveries) = page_of(&request, &CardList::whole(index), body).await?;
    Ok(ok(&DeliveryPage { count, deliveries }))
}

fn delivery(request: &Asked, stream: &str, card: &Delivery) -> ShownDelivery {
    let requested = card.requested.as_ref();
    let at = |at: Moment| time(&request.app, at);
    let failure = card.last_failure.as_ref();
    let (state, class, code, reason) = match &card.end {
        None => (
            DeliveryState::Open,
            failure.map(|one| one.class),
            failure.map(|one| one.code.clone()),
            failure.map(|one| one.reason.clone()),
        ),
        Some(End::Succeeded(end)) => match &card.bounced {
            None => (DeliveryState::Accepted, None, Some(end.code.clone()), None),
            Some(bounced) => (
                DeliveryState::Bounced,
                Some(bounced.class),
                Some(bounced.code.clone()),
                Some(bounced.reason.clone()),
            ),
        },
        Some(End::Failed(end)) => (
            DeliveryState::Failed,
            Some(end.class),
            Some(end.code.clone()),
            Some(end.reason.clone()),
        ),
    };
    ShownDelivery {
        id: stream.trim_start_matches("delivery-").to_owned(),
        // An answer to a mail belongs to no notification.
        notification: requested.and_then(|one| {
            let notification = one.notification.strip_prefix("notification-");
            notification.map(str::to_owned)
        }),
        ticket: requested.map(|one| one.ticket.to_string()),
        account: requested.map(|one| one.account.clone()),
        channel: requested.map(|one| one.channel.clone()),
        state,
        attempts: card.attempts.made,
        next_attempt: card.is_open().then(|| at(card.attempts.due)),
        class,
        code: code.filter(|code| !code.is_empty()),
        reason,
        receipt: match card.receipt {
            Some(ReceiptState::Ended(receipt)) => Some(receipt),
            Some(ReceiptState::Scheduled { .. }) | None => None,
        },
    }
}

fn stream(id: &str) -> Result<String, Problem> {
    stream_of("notification", id).ok_or_else(|| missing(id))
}

pub(super) fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no notification {}", quoted(id)))
}

/// Loads the notification with the given id. Returns the event stream and the state of the
/// notification, and the id of the person who sent the request. If this person may not execute the
/// operation on the notification, the error is the same as for a notification that does not exist.
pub(super) async fn allowed(
    request: &Asked,
    operation: Permission,
    id: &str,
) -> Result<(String, Notification, PersonId), Problem> {
    let stream = stream(id)?;
    let state = request
        .app
        .ledger
        .load::<Notification>(&stream)
        .await?
        .aggregate
        .0;
    let requested = state.requested.as_ref().ok_or_else(|| missing(id))?;
    let actor = permitted(request, operation, &requested.person)
        .await
        .map_err(|_| missing(id))?;
    Ok((stream, state, actor))
}

async fn one(request: Asked, id: &str) -> ApiResult {
    let (stream, state, _) = allowed(&request, Permission::ReadPerson, id).await?;
    let mut recipients = Recipients::default();
    Ok(ok(
        &titled(&request.app, &stream, &state, &mut recipients).await?
    ))
}

/// Returns a code for a chat account. Only the person gets the code, because the owner of the chat account then acts as
/// this person.
async fn verify_address(request: Asked, person: &str, kind: &str) -> ApiResult {
    let found = request.app.people.find(person).await?;
    let operation = Permission::ChangePerson;
    if permitted(&request, operation, &found).await? != found {
        return Err(Problem::denied(operation, "only the person may do this"));
    }
    if !inbound::is_linkable(kind) {
        let kinds: BTreeSet<&str> = inbound::ALL.iter().map(|one| one.address_kind()).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        return Err(Problem::malformed(
            "kind",
            format!(
                "the desk receives no messages from addresses of the kind {}; an account can be linked for {}",
                quoted(kind),
                kinds.join(", ")
            ),
        ));
    }
    let code = identities::issue(&request.app, &found, kind).await?;
    let code = code.ok_or_else(|| {
        let kind = quoted(kind);
        Problem::not_found(format!(
            "the preferences of the person have no address {kind}"
        ))
    })?;
    Ok(ok(&ShownCode {
        code: code.code,
        expires: time(&request.app, code.expires),
    }))
}

async fn explain(request: Asked, id: &str) -> ApiResult {
    let (stream, state, actor) = allowed(&request, Permission::ReadPerson, id).await?;
    let app = &request.app;
    let preferences = preferences::read(app, &actor).await?;
    let language = request.language_or(preferences.language);
    let zone = notify::zone(app, preferences.zone.as_deref());
    let steps = why::steps(app, &stream, language, &zone).await?;
    let steps = steps.into_iter().map(|step| WhyStep {
        at: time(app, step.at),
        event: step.event,
        account: Some(step.account).filter(|account| !account.is_empty()),
        text: step.text,
    });
    let person = match &state.requested {
        Some(requested) => app.people.name(&requested.person).await?,
        None => String::new(),
    };
    Ok(ok(&Explanation {
        notification: titled(app, &stream, &state, &mut Recipients::default()).await?,
        person,
        steps: steps.collect(),
    }))
}

/// Returns the notification in the given stream as the API shows it, with the title of its ticket and the person of an
/// alarm. All notifications of one response share `recipients`.
pub(super) async fn titled(
    app: &App,
    stream: &str,
    state: &Notification,
    recipients: &mut Recipients,
) -> Result<ShownNotification, Error> {
    let (mut ticket_title, mut unreached_person) = (None, None);
    if let Some(requested) = &state.requested {
        ticket_title = message::title_for(app, requested).await?;
        unreached_person = unreached_person::name(app, requested, recipients).await?;
    }
    Ok(ShownNotification {
        ticket_title,
        unreached_person,
        ..shown(app, stream, state)
    })
}

/// Returns the notification in the given stream as the API shows it, without the title of its ticket and the
/// person of an alarm.
fn shown(app: &App, stream: &str, state: &Notification) -> ShownNotification {
    let at = |at: Moment| time(app, at);
    let requested = state.requested.as_ref();
    let (phase, outcome, reason, until) = match &state.phase {
        Phase::New => (NotificationState::New, None, None, None),
        Phase::Held(held) => (NotificationState::Held, None, None, Some(at(held.until))),
        Phase::Sending => (NotificationState::Sending, None, None, None),
        Phase::Completed(completed) => (
            NotificationState::Completed,
            Some(completed.outcome),
            not_empty(&completed.reason),
            None,
        ),
    };
    let routed = state.routed.as_ref();
    let routes = |routes: &[Route]| -> Vec<ShownRoute> {
        let routes = routes.iter();
        routes
            .map(|route| ShownRoute {
                account: route.account.clone(),
                channel: route.channel.clone(),
                digest_due: match route.mode {
                    Mode::Immediate => None,
                    Mode::Digest { due, .. } => Some(at(due)),
                },
            })
            .collect()
    };
    let skipped = |skipped: &[Skipped]| -> Vec<ShownSkipped> {
        let skipped = skipped.iter();
        skipped
            .map(|skipped| ShownSkipped {
                account: skipped.account.clone(),
                reason: skipped.reason,
            })
            .collect()
    };
    let deliveries = state.ended.iter().map(|ended| ShownEnd {
        account: ended.account.clone(),
        delivery: ended.delivery.trim_start_matches("delivery-").to_owned(),
        is_accepted: ended.is_accepted,
        class: ended.class,
        code: not_empty(&ended.code),
        reason: not_empty(&ended.reason),
    });
    ShownNotification {
        id: stream.trim_start_matches("notification-").to_owned(),
        fact: requested.map(|one| one.fact),
        ticket: requested
            .filter(|one| one.fact.concerns_ticket())
            .map(|one| one.ticket.to_string()),
        ticket_title: None,
        unreached_person: None,
        role: requested.map(|one| one.role),
        node: requested.and_then(|one| one.node).map(|node| node.0),
        node_name: requested.and_then(|one| not_empty(one.label())),
        at: requested.map(|one| at(one.at)),
        is_urgent: requested.is_some_and(|one| one.is_urgent),
        is_read: state.is_read(),
        inbox: state.inbox,
        snoozed_until: state.snoozed_until.map(at),
        progress: state.outdated.as_ref().map(|outdated| outdated.to),
        category: requested.map(|one| one.fact.category()),
        state: phase,
        held_until: until,
        held_because: match &state.phase {
            Phase::Held(held) => Some(held.reason()),
            _ => None,
        },
        outcome,
        reason,
        priority: routed.and_then(|routed| routed.priority).map(Into::into),
        accounts: routed.map(|routed| routes(&routed.routes)),
        skipped: routed.map(|routed| skipped(&routed.skipped)),
        deliveries: deliveries.collect(),
    }
}

async fn shown_preferences(request: Asked, person: &str) -> ApiResult {
    let pid = request.app.people.find(person).await?;
    permitted(&request, Permission::ReadPerson, &pid).await?;
    let preferences = preferences::read(&request.app, &pid).await?;
    Ok(ok(&preferences_body(&request, &preferences)))
}

async fn change(request: Asked, person: &str) -> ApiResult {
    let name = crate::app::people::one_name(person)
        .ok_or_else(|| Problem::not_found(format!("{} is not a user name", quoted(person))))?;
    let found = request.app.people.find(name).await?;
    let actor = permitted(&request, Permission::ChangePerson, &found).await?;
    // A person who changes the own preferences is known, also if this is the first request of the person.
    let warnings = if actor == found {
        None
    } else {
        let people = [found.clone()];
        request.check_directory("person", &people).await?;
        unknown(&request.app, name, &found).await
    };
    let wanted = wanted(&request)?;
    preferences::check(&wanted).map_err(|wrong| Problem::malformed(&wrong.field, wrong.reason))?;
    preferences::check_in_desk(&request.app, &wanted)
        .await?
        .map_err(|wrong| Problem::malformed(&wrong.field, wrong.reason))?;
    let pid = request.app.people.pid(name).await?;
    let actor = if actor == found { pid.clone() } else { actor };
    let meta = request.meta(actor);
    let stored = preferences::write(&request.app, &pid, wanted, meta).await?;
    Ok(ok(&ShownPreferences {
        warnings,
        ..preferences_body(&request, &stored)
    }))
}

/// Returns a warning if neither the desk nor the directory knows a person. The name can be misspelled.
async fn unknown(app: &App, name: &str, person: &PersonId) -> Option<Vec<String>> {
    person.unregistered_name()?;
    let is_known = matches!(app.directory.has_person(name).await, Ok(Some(true)));
    let warning = || vec![format!("{} is unknown; check the spelling", quoted(name))];
    (!is_known).then(warning)
}

/// Returns the notification preferences in the body of a request. The server has already checked
/// the names and the types of the body members.
fn wanted(request: &Asked) -> Result<Preferences, Problem> {
    let quiet = request.body.get("quiet").cloned();
    let quiet = quiet.map(serde_json::from_value).transpose();
    let addresses = request
        .body
        .get("addresses")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let addresses: Result<BTreeMap<String, String>, _> = serde_json::from_value(addresses);
    let channels = request.body.get("channels").cloned();
    let channels: Result<BTreeMap<String, ChannelPreference>, _> =
        serde_json::from_value(channels.unwrap_or_else(|| json!({})));
    let wrong = |field: &str| Problem::malformed(field, format!("`{}` is not valid", &field[1..]));
    Ok(Preferences {
        language: match request.text("language")?.as_deref() {
            Some("en") => Language::English,
            _ => Language::Chinese,
        },
        zone: request.text("zone")?,
        quiet: quiet.map_err(|_| wrong("/quiet"))?,
        do_not_disturb_until: do_not_disturb_until(request)?,
        calendar: request.text("calendar")?,
        presence: request.text("presence")?,
        addresses: addresses.map_err(|_| wrong("/addresses"))?,
        channels: channels.map_err(|_| wrong("/channels"))?,
        is_aggregated: Some(request.flag("aggregation", true)?),
        is_learned: Some(request.flag("learning", true)?),
        document: None,
    })
}

/// Returns the end of the time in which the person does not want to be disturbed.
fn do_not_disturb_until(request: &Asked) -> Result<Option<Moment>, Problem> {
    let Some(text) = request.text("do_not_disturb_until")? else {
        return Ok(None);
    };
    match times::read(&text) {
        Some(until) if !times::is_day(&text) => Ok(Some(until)),
        _ => Err(Problem::malformed(
            "/do_not_disturb_until",
            "`do_not_disturb_until` must be a time such as 2026-11-22T18:00:00+08:00",
        )),
    }
}

fn channel_body(choice: &ChannelPreference) -> ShownChannel {
    ShownChannel {
        frequency: choice.frequency,
        batch_times: choice.batch_times.clone(),
        categories: choice.categories.clone(),
    }
}

fn preferences_body(request: &Asked, preferences: &PreferencesChanged) -> ShownPreferences {
    let addresses = preferences.addresses.iter();
    let presence = preferences.presence.as_ref();
    ShownPreferences {
        language: preferences.language,
        zone: preferences.zone.clone(),
        quiet: preferences.quiet.as_ref().map(|quiet| ShownQuietHours {
            from: quiet.from.clone(),
            to: quiet.to.clone(),
        }),
        do_not_disturb_until: preferences
            .do_not_disturb_until
            .map(|until| time(&request.app, until)),
        calendar: preferences.calendar.clone(),
        presence: presence.and_then(|url| url.value.as_str().map(str::to_owned)),
        addresses: addresses
            .map(|(kind, address)| (kind.clone(), address.value.clone()))
            .collect(),
        channels: preferences
            .channels
            .iter()
            .map(|(kind, choice)| (kind.clone(), channel_body(choice)))
            .collect(),
        aggregation: preferences.is_aggregated(),
        learning: preferences.is_learned(),
        warnings: None,
    }
}
