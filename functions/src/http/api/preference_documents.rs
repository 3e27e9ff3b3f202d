//! Handles the notification preferences of a person in the form of the requirements (requirements/notifications.md,
//! 用户偏好配置) in the API `/v1`.

use domain::permission::Operation as Permission;
use events::app::Scope;
use events::preference::Frequency;
use serde_json::Value;

use super::notifications::permitted;
use super::problem::{ApiResult, Problem};
use super::reply::{Open, ok};
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, put, segments};
use super::shape::{Member, Shape, optional, quoted};
use crate::app::notifications::{preference_document, preferences};
use crate::app::people::one_name;

/// The names of categories in the document. `all` means all categories.
const CATEGORIES: &[&str] = &[
    "approval",
    "assigned",
    "escalated",
    "updated",
    "commented",
    "resolved",
    "all",
];
const FREQUENCY: Member = optional("frequency", Shape::Words(Frequency::NAMES));
const BATCH_TIME: Member = optional("batch_time", Shape::Text);
const CHOSEN: Member = optional("categories", Shape::List(&Shape::Words(CATEGORIES)));
const EMAIL: &[Member] = &[
    optional("address", Shape::Text),
    FREQUENCY,
    BATCH_TIME,
    CHOSEN,
];
const WECHAT: &[Member] = &[
    optional("openid", Shape::Text),
    FREQUENCY,
    BATCH_TIME,
    CHOSEN,
];
const CHAT: &[Member] = &[
    optional("userid", Shape::Text),
    FREQUENCY,
    BATCH_TIME,
    CHOSEN,
];
const NAMES: Shape = Shape::Words(&["email", "wechat", "dingtalk", "slack"]);
const SECTIONS: &[Member] = &[
    optional("channels", Shape::List(&NAMES)),
    optional("email", Shape::Object(EMAIL)),
    optional("wechat", Shape::Object(WECHAT)),
    optional("dingtalk", Shape::Object(CHAT)),
    optional("slack", Shape::Object(CHAT)),
];
const DOCUMENT: &[Member] = &[
    optional("user_id", Shape::Text),
    optional("username", Shape::Text),
    optional("notification_preferences", Shape::Object(SECTIONS)),
    optional("timezone", Shape::Text),
    optional("language", Shape::Words(&["zh-CN", "en"])),
];

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/people/{person}/notification-preferences",
        "shows the notification preferences of a person as one document; for this person and superusers",
    )
    .returning::<Open>(),
    put(
        "/v1/people/{person}/notification-preferences",
        "replaces the notification preferences of a person by a document, and returns it unchanged; for this person and superusers",
        DOCUMENT,
    )
    .returning::<Open>(),
];

/// The operations on the documents, and the function that executes them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        match (call.method.as_str(), segments(&call.path).as_slice()) {
            ("PUT", [_, person, _]) => change(call.request, person).await,
            (_, [_, person, ..]) => shown(call.request, person).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn shown(request: Asked, person: &str) -> ApiResult {
    let pid = request.app.people.find(person).await?;
    permitted(&request, Permission::ReadPerson, &pid).await?;
    let stored = preferences::read(&request.app, &pid).await?;
    let zone = request.app.settings.zone.iana_name().unwrap_or("UTC");
    Ok(ok(&Open(preference_document::write(person, &stored, zone))))
}

async fn change(request: Asked, person: &str) -> ApiResult {
    let name = one_name(person)
        .ok_or_else(|| Problem::not_found(format!("{} is not a user name", quoted(person))))?;
    let app = &request.app;
    let found = app.people.find(name).await?;
    let actor = permitted(&request, Permission::ChangePerson, &found).await?;
    let stored = preferences::read(app, &found).await?;
    let wanted = preference_document::read(&request.body, name, &stored)
        .map_err(|wrong| Problem::malformed(&wrong.field, wrong.reason))?;
    let pid = app.people.pid(name).await?;
    let actor = if actor == found { pid.clone() } else { actor };
    let meta = request.meta(actor);
    preferences::write(app, &pid, wanted, meta).await?;
    Ok(ok(&Open(Value::Object(request.body.clone()))))
}
