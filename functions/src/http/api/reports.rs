//! Handles reports about notifications in the API `/v1`. They concern the whole desk, so only superusers may read them.

use events::app::Scope;

use super::admin::reads_operations;
use super::notifications::LANGUAGES;
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use super::request::Asked;
use super::resource::{Answer, Asks, Call, Operation, Parameter, Resource, list, segments};
use crate::app::notifications::delivery_report::{self, Outcomes, Report};

/// Maximum number of days of a period.
const DAYS_MAX: usize = 92;
/// The number of days if the request contains none.
const DAYS: usize = 30;
/// The length of one day in milliseconds.
const DAY_MS: i64 = 86_400_000;

const LANGUAGE: Parameter = ("language", Asks::Word(LANGUAGES));
const OF_DAYS: Parameter = ("days", Asks::Number(1, DAYS_MAX));

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/reports/notifications",
        "reports how the notifications of the days before `to` were delivered and answered; for superusers",
        &[("to", Asks::Time), OF_DAYS, LANGUAGE],
    )
    .returning::<Report>(),
    list(
        "/v1/reports/outcomes",
        "compares the days before and after `split` with the figures of the requirements; for superusers",
        &[("split", Asks::Time), OF_DAYS, LANGUAGE],
    )
    .returning::<Outcomes>(),
];

/// The reports, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        match segments(&call.path).as_slice() {
            ["reports", "notifications"] => notifications(call.request).await,
            ["reports", "outcomes"] => outcomes(call.request).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn notifications(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let app = &request.app;
    let to = request
        .moment("to")
        .unwrap_or_else(|| app.ledger.clock.now());
    let from = to.plus_ms(-DAY_MS * i64::from(days(&request)?));
    let (zone, language) = (&app.settings.zone, request.language_or(request.language));
    let report = delivery_report::report(&app.ledger, (from, to), zone, language);
    Ok(ok(&report.await?))
}

async fn outcomes(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let app = &request.app;
    let days = days(&request)?;
    // Without a time, the last days are compared with the days before them.
    let now = app.ledger.clock.now();
    let default = now.plus_ms(-DAY_MS * i64::from(days));
    let split = request.moment("split").unwrap_or(default);
    let (zone, language) = (&app.settings.zone, request.language_or(request.language));
    let outcomes = delivery_report::outcomes(&app.ledger, split, days, zone, language);
    Ok(ok(&outcomes.await?))
}

fn days(request: &Asked) -> Result<u32, Problem> {
    let days = request.number("days", DAYS, DAYS_MAX)?;
    Ok(u32::try_from(days).unwrap_or(u32::MAX))
}
