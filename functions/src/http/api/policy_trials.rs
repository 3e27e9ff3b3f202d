//! Tries a notification policy in the API `/v1`: compares it with the active policy on past events.

use events::app::Scope;
use events::person::Language;
use serde_json::Value;

use super::admin::reads_operations;
use super::notifications::LANGUAGES;
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, post, segments};
use super::shape::{Shape, optional, required};
use crate::app::notifications::definitions::Definitions;
use crate::app::notifications::policy_try::{Options, Report, TryError, report, try_policy};

/// Maximum number of days of a trial. A longer trial could take longer than a request may take.
const DAYS_MAX: i64 = 31;
/// The number of days if the request contains none.
const DAYS: u32 = 7;
/// Maximum number of notifications of a trial. The command line has a higher limit.
const NOTIFICATIONS_MAX: usize = 20_000;
/// Maximum size of the definitions, in bytes.
const SIZE_MAX: usize = 256 * 1024;

const OPERATIONS: &[Operation] = &[post(
    "/v1/notification-policies/try",
    "compares a notification policy with the active one on past events; stores and sends nothing; for superusers",
    &[
        required("definitions", Shape::Text),
        optional("days", Shape::Integer(1, DAYS_MAX)),
        optional("assume_addresses", Shape::Flag),
        optional("language", Shape::Words(LANGUAGES)),
    ],
)
.returning::<Report>()];

/// The operation, and the function that executes it.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        match segments(&call.path).as_slice() {
            ["notification-policies", "try"] => attempt(call.request).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn attempt(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let text = request.required("definitions")?;
    let wrong = |reason: String| Problem::malformed("/definitions", reason);
    if text.len() > SIZE_MAX {
        return Err(wrong(format!(
            "`definitions` must have at most {SIZE_MAX} bytes"
        )));
    }
    let definitions = Definitions::read(&text).map_err(wrong)?;
    let days = request.body.get("days").and_then(Value::as_u64);
    let options = Options {
        days: days.and_then(|days| days.try_into().ok()).unwrap_or(DAYS),
        to: None,
        imported: None,
        assumes_addresses: request.flag("assume_addresses", false)?,
        notifications_max: NOTIFICATIONS_MAX,
    };
    let language = match request.text("language")?.as_deref() {
        Some("en") => Language::English,
        Some(_) => Language::Chinese,
        None => request.language,
    };
    let tried = try_policy(&request.app, &definitions, &options, |_, _| {}).await;
    let tried = tried.map_err(|error| match error {
        TryError::Refused(reason) => wrong(reason),
        TryError::TooMany { .. } => Problem::malformed("/days", error.to_string()),
        TryError::Technical(error) => error.into(),
    })?;
    Ok(ok(&report(&request.app, &tried, language).await?))
}
