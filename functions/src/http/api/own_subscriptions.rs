//! Handles the subscriptions that people make themselves in the API `/v1`. A subscription notifies its person of tickets
//! that meet a condition and that the person may read.

use domain::notification::own_subscription::{Command, OwnSubscription};
use domain::permission::Operation as Permission;
use events::PersonId;
use events::app::Scope;
use events::notification_policy::Occasion;
use serde::Serialize;
use serde_json::Value;

use super::notifications::permitted;
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{done, ok};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, delete, get, put, segments};
use super::shape::{Member, Shape, optional, quoted, required};
use crate::app::definition_files::check_name;
use crate::app::notifications::own_subscriptions::{self, MOST, NotChanged};
use crate::app::people::one_name;

/// The operators of a condition.
const OPERATORS: &[&str] = &[
    "==",
    "!=",
    ">",
    "<",
    ">=",
    "<=",
    "issuperset",
    "notissuperset",
    "in",
    "notin",
];
/// A clause of the condition of a subscription.
pub(super) const CLAUSE: Shape = Shape::Object(&[
    required("key", Shape::Text),
    optional("operator", Shape::Words(OPERATORS)),
    required("value", Shape::Given),
    optional("type", Shape::Text),
]);
const SUBSCRIPTION: &[Member] = &[
    required("on", Shape::List(&Shape::Words(Occasion::NAMES))),
    optional("when", Shape::List(&CLAUSE)),
    optional("paused", Shape::Flag),
];

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/people/{person}/subscriptions",
        "lists the subscriptions that a person made; for this person and superusers",
    )
    .returning::<ShownSubscriptions>(),
    put(
        "/v1/people/{person}/subscriptions/{subscription}",
        "defines a subscription of a person, at most 20; for this person and superusers",
        SUBSCRIPTION,
    )
    .returning::<ShownSubscription>(),
    delete(
        "/v1/people/{person}/subscriptions/{subscription}",
        "removes a subscription of a person; for this person and superusers",
    ),
];

/// The subscriptions that a person made.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Subscriptions"))]
struct ShownSubscriptions {
    /// The maximum number of subscriptions.
    most: usize,
    subscriptions: Vec<ShownSubscription>,
}

/// A subscription that a person made.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Subscription"))]
struct ShownSubscription {
    name: String,
    /// The events of tickets about which the subscription notifies, such as `waiting` and `ended`.
    on: Vec<&'static str>,
    /// The condition. All entries must be true for the ticket.
    when: Vec<SubscriptionClause>,
    /// True if the person switched the subscription off.
    paused: bool,
}

/// One entry of the condition of a subscription.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SubscriptionClause {
    key: String,
    operator: &'static str,
    #[cfg_attr(test, schemars(schema_with = "schema::value"))]
    value: Value,
    #[serde(rename = "type")]
    kind: String,
}

/// The operations on own subscriptions, and the function that handles them.
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
            ("PUT", [_, person, _, name]) => define(request, person, name).await,
            ("DELETE", [_, person, _, name]) => remove(request, person, name).await,
            (_, [_, person, _]) => all(request, person).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn all(request: Asked, person: &str) -> ApiResult {
    let app = &request.app;
    let found = app.people.find(person).await?;
    permitted(&request, Permission::ReadPerson, &found).await?;
    let subscriptions = own_subscriptions::list(app, &found).await?;
    Ok(ok(&ShownSubscriptions {
        most: MOST,
        subscriptions: subscriptions.into_iter().map(shown).collect(),
    }))
}

async fn define(request: Asked, person: &str, name: &str) -> ApiResult {
    let user = one_name(person)
        .ok_or_else(|| Problem::not_found(format!("{} is not a user name", quoted(person))))?;
    check_name("subscription", name)
        .map_err(|reason| Problem::malformed("subscription", reason))?;
    let app = &request.app;
    let found = app.people.find(user).await?;
    let actor = permitted(&request, Permission::ChangePerson, &found).await?;
    let subscription = own_subscriptions::read(name, &request.body)
        .map_err(|wrong| Problem::malformed(&wrong.field, wrong.reason))?;
    let pid = app.people.pid(user).await?;
    // A person who makes the first subscription is possibly not registered yet.
    let actor = if actor == found { pid.clone() } else { actor };
    let command = Command::Put {
        person: pid.clone(),
        subscription,
        by: actor.clone(),
    };
    let all = changed(&request, &pid, &command, actor).await?;
    let stored = all.into_iter().find(|one| one.name == name);
    Ok(ok(&shown(stored.ok_or_else(|| missing(name))?)))
}

async fn remove(request: Asked, person: &str, name: &str) -> ApiResult {
    let found = request.app.people.find(person).await?;
    let actor = permitted(&request, Permission::ChangePerson, &found).await?;
    let command = Command::Remove {
        name: name.to_owned(),
        by: actor.clone(),
    };
    changed(&request, &found, &command, actor).await?;
    Ok(done())
}

/// Executes a command, and returns all subscriptions of the person.
async fn changed(
    request: &Asked,
    person: &PersonId,
    command: &Command,
    actor: PersonId,
) -> Result<Vec<OwnSubscription>, Problem> {
    let meta = request.meta(actor);
    let changed = own_subscriptions::change(&request.app, person, command, meta).await;
    changed.map_err(|failure| match failure {
        NotChanged::Technical(error) => error.into(),
        NotChanged::Rejected(rejection) => match command {
            Command::Remove { name, .. } => missing(name),
            Command::Put { .. } | Command::Pause { .. } | Command::Clear { .. } => {
                Problem::conflict(rejection.to_string())
            }
        },
    })
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!("the person has no subscription {}", quoted(name)))
}

fn shown(one: OwnSubscription) -> ShownSubscription {
    let clauses = one.when.expressions.into_iter();
    ShownSubscription {
        name: one.name,
        on: one.on.into_iter().map(Occasion::name).collect(),
        when: clauses
            .map(|clause| SubscriptionClause {
                operator: clause.condition.sign(),
                key: clause.key,
                value: clause.value,
                kind: clause.kind,
            })
            .collect(),
        paused: one.is_paused,
    }
}
