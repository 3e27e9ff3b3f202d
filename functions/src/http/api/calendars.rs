//! Handles working calendars in the API `/v1`. Everyone reads them, and superusers define new versions. A stored
//! version never changes, and a calendar is never deleted, because the preferences of people can name it.

use std::collections::BTreeMap;

use events::app::Scope;
use serde::Serialize;

use super::admin::changes_configuration;
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use super::request::Asked;
use super::resource::{Answer, Asks, Call, Operation, Resource, get, list, put, segments};
use super::shape::{Member, Shape, optional, quoted, required};
use crate::app::administration;
use crate::app::definition_files::check_name;
use crate::app::notifications::calendars::{self, Version};

/// Highest number of a version that a request can ask for.
const VERSION_MAX: usize = 1_000_000;
const TEXTS: Shape = Shape::List(&Shape::Text);
const CALENDAR: &[Member] = &[
    optional("zone", Shape::Text),
    required(
        "week",
        Shape::Object(&[
            optional("monday", TEXTS),
            optional("tuesday", TEXTS),
            optional("wednesday", TEXTS),
            optional("thursday", TEXTS),
            optional("friday", TEXTS),
            optional("saturday", TEXTS),
            optional("sunday", TEXTS),
        ]),
    ),
    optional("holidays", TEXTS),
    optional("work_days", TEXTS),
    optional("work_day_hours", TEXTS),
];

const OPERATIONS: &[Operation] = &[
    get("/v1/calendars", "lists working calendars").returning::<Calendars>(),
    list(
        "/v1/calendars/{calendar}",
        "shows the newest version of a working calendar, or the given version",
        &[("version", Asks::Number(1, VERSION_MAX))],
    )
    .returning::<ShownCalendar>(),
    put(
        "/v1/calendars/{calendar}",
        "defines a new version of a working calendar; for superusers",
        CALENDAR,
    )
    .returning::<ShownCalendar>(),
];

/// All working calendars.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Calendars {
    calendars: Vec<ShownCalendar>,
}

/// A working calendar.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Calendar"))]
struct ShownCalendar {
    name: String,
    /// The number of the version. The built-in calendar has the number 0.
    version: u32,
    zone: Option<String>,
    /// The working hours of each weekday, such as `09:00-18:00`.
    week: BTreeMap<String, Vec<String>>,
    holidays: Vec<String>,
    /// The additional working days.
    work_days: Vec<String>,
    /// The working hours of the additional working days.
    work_day_hours: Vec<String>,
}

/// The operations on calendars, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match (call.method.as_str(), segments(&call.path).as_slice()) {
            (_, ["calendars"]) => all(request).await,
            ("PUT", ["calendars", name]) => define(request, name).await,
            (_, ["calendars", name]) => one(request, name).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn all(request: Asked) -> ApiResult {
    let all = calendars::all(&request.app).await?;
    let calendars = all.iter().map(shown).collect();
    Ok(ok(&Calendars { calendars }))
}

async fn one(request: Asked, name: &str) -> ApiResult {
    check_name("calendar", name).map_err(|_| missing(name))?;
    // The number 0 means that the request names no version.
    let version = match request.number("version", 0, VERSION_MAX)? {
        0 => None,
        number => Some(number),
    };
    let found = calendars::version(&request.app, name, version).await?;
    Ok(ok(&shown(&found.ok_or_else(|| missing(name))?)))
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!(
        "there is no calendar {}, or it has no such version",
        quoted(name)
    ))
}

async fn define(request: Asked, name: &str) -> ApiResult {
    let by = changes_configuration(&request).await?;
    check_name("calendar", name).map_err(|reason| Problem::malformed("calendar", reason))?;
    let defined = calendars::read(name, &request.body)
        .map_err(|reason| Problem::malformed(&pointer(&reason), reason))?;
    let app = &request.app;
    let stream = format!("calendar-{name}");
    administration::define::<domain::config::Calendar>(app, &by, stream, &defined).await?;
    let stored = calendars::version(app, name, None).await?;
    Ok(ok(&shown(&stored.ok_or_else(|| missing(name))?)))
}

/// Returns the JSON pointer of the member that an error text names between backticks, such as `week.monday`.
fn pointer(reason: &str) -> String {
    let member = reason.split('`').nth(1).unwrap_or("week");
    format!("/{}", member.replace('.', "/"))
}

fn shown(version: &Version) -> ShownCalendar {
    let defined = &version.defined;
    ShownCalendar {
        name: defined.name.clone(),
        version: version.number,
        zone: defined.zone.clone(),
        week: calendars::week(defined),
        holidays: defined.holidays.iter().cloned().collect(),
        work_days: defined.work_days.iter().cloned().collect(),
        work_day_hours: calendars::hours(&defined.work_day_hours),
    }
}
