//! Handles robots and their missions (work orders) in the API `/v1`. Only superusers may use these
//! operations.

use std::collections::BTreeMap;

use domain::fleet::dispatch::{Dispatch, Phase};
use domain::fleet::model::order_id;
use domain::fleet::robot::{Robot, Slot};
use events::Moment;
use events::app::Scope;
use events::task_type::Repetition;
use serde::Serialize;

use super::admin::{CardList, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{Time, WorkOutcome, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, segments,
};
use super::shape::quoted;
use crate::app::definition_files::check_name;
use crate::app::fleet::missions::id_of;
use crate::app::fleet::robots::{self, RobotState};

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/robots",
        "lists all robots with their last state; for superusers",
    )
    .returning::<Robots>(),
    get("/v1/robots/{robot}", "shows a robot").returning::<ShownRobot>(),
    list(
        "/v1/dispatches",
        "lists missions by the time of their request, latest first; for superusers",
        &[
            ("state", Asks::Word(&["all", "open"])),
            ("ticket", Asks::Text),
            ("robot", Asks::Text),
            PAGE,
            PAGE_SIZE,
        ],
    )
    .returning::<MissionPage>(),
    get("/v1/dispatches/{dispatch}", "shows a mission").returning::<Mission>(),
];

/// All robots.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(
    clippy::struct_field_names,
    reason = "the names are members of the API"
)]
struct Robots {
    count: usize,
    robots: Vec<ShownRobot>,
    /// The first 20 subscriptions to messages of robots that do not work. Messages with these topics do not arrive.
    refused_subscriptions: Vec<RefusedSubscription>,
}

/// A subscription that the broker of the robots refuses.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RefusedSubscription {
    /// The MQTT topic filter.
    filter: String,
    reason: String,
}

/// A robot with its last state. Members of the state are null before its first state message.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Robot"))]
struct ShownRobot {
    robot: Option<String>,
    site: Option<String>,
    skills: Option<Vec<String>>,
    /// The protocol and its version.
    protocol: Option<String>,
    reservation: Reservation,
    /// The mission that holds the robot.
    dispatch: Option<String>,
    /// The reason why the robot is quarantined.
    reason: Option<String>,
    is_connected: bool,
    state_at: Option<Time>,
    is_automatic: Option<bool>,
    is_driving: Option<bool>,
    /// The order that the robot reports.
    order: Option<String>,
    position: Option<ShownPosition>,
    /// The charge of the battery, in percent.
    charge: Option<f64>,
    /// The types of the errors that the robot reports.
    errors: Vec<String>,
}

/// Whether a mission holds a robot.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum Reservation {
    Free,
    Held,
    Releasing,
    Quarantined,
}

/// A position on the map of a site, in meters.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Position"))]
struct ShownPosition {
    x: f64,
    y: f64,
}

/// One page of missions.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct MissionPage {
    count: u64,
    dispatches: Vec<Mission>,
}

/// A mission: the work of a robot for a node of a ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Mission {
    id: String,
    ticket: Option<String>,
    node: Option<i64>,
    task_type: Option<String>,
    site: Option<String>,
    station: Option<String>,
    /// Whether another robot may repeat the work.
    #[cfg_attr(test, schemars(schema_with = "schema::repetition"))]
    repetition: Option<Repetition>,
    #[cfg_attr(test, schemars(schema_with = "schema::mission_phase"))]
    phase: &'static str,
    /// The number of the current attempt with one robot.
    epoch: u32,
    robot: Option<String>,
    order: Option<String>,
    /// The robots of all attempts, by the number of the attempt.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    robots: BTreeMap<u32, String>,
    /// The reasons why robots were not chosen, by robot.
    reasons: BTreeMap<String, String>,
    /// Whether the robot may begin the work.
    is_work_released: bool,
    next_step: Option<Time>,
    expires: Option<Time>,
    /// The attempts whose results came too late.
    outdated_results: Vec<u32>,
    outcome: Option<WorkOutcome>,
    is_closed: bool,
}

/// The operations on robots and missions, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Fleet,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        reads_operations(&call.request).await?;
        match *segments(&call.path) {
            ["robots"] => all_robots(call.request).await,
            ["robots", name] => one_robot(call.request, name).await,
            [_, id] => one_mission(call.request, id).await,
            _ => all_missions(call.request).await,
        }
    })
}

async fn all_robots(request: Asked) -> ApiResult {
    let mut shown = Vec::new();
    for (robot, state) in robots::with_states(&request.app).await? {
        if robot.defined.is_some() {
            shown.push(robot_body(&request, &robot, &state));
        }
    }
    let refused = request.app.fleet.refused();
    let refused = refused.into_iter().map(|one| RefusedSubscription {
        filter: one.filter,
        reason: one.reason,
    });
    Ok(ok(&Robots {
        count: shown.len(),
        robots: shown,
        refused_subscriptions: refused.collect(),
    }))
}

async fn one_robot(request: Asked, name: &str) -> ApiResult {
    let missing = || Problem::not_found(format!("there is no robot {}", quoted(name)));
    if check_name("robot", name).is_err() {
        return Err(missing());
    }
    let robot = robots::load(&request.app, &robots::stream_of(name)).await?;
    if robot.defined.is_none() {
        return Err(missing());
    }
    let (state, _) = robots::state(&request.app, name).await?;
    Ok(ok(&robot_body(&request, &robot, &state)))
}

fn robot_body(request: &Asked, robot: &Robot, state: &RobotState) -> ShownRobot {
    let defined = robot.defined.as_ref();
    let (reservation, dispatch, reason) = match &robot.slot {
        Slot::Free => (Reservation::Free, None, None),
        Slot::Held { dispatch, .. } => (Reservation::Held, Some(id_of(dispatch).to_owned()), None),
        Slot::Releasing { .. } => (Reservation::Releasing, None, None),
        Slot::Quarantined { reason, .. } => (Reservation::Quarantined, None, Some(reason.clone())),
    };
    let snapshot = &state.snapshot;
    ShownRobot {
        robot: defined.map(|one| one.name.clone()),
        site: defined.map(|one| one.site.clone()),
        skills: defined.map(|one| one.skills.clone()),
        protocol: defined.map(|one| format!("VDA 5050 {}", one.version)),
        reservation,
        dispatch,
        reason,
        is_connected: state.is_connected(),
        state_at: state.has_state.then(|| time(&request.app, state.received)),
        is_automatic: state.has_state.then_some(snapshot.is_automatic),
        is_driving: state.has_state.then_some(snapshot.is_driving),
        order: Some(snapshot.order.clone()).filter(|order| !order.is_empty()),
        position: snapshot.position.map(|position| ShownPosition {
            x: position.x,
            y: position.y,
        }),
        charge: snapshot.charge,
        errors: snapshot
            .errors
            .iter()
            .map(|error| error.kind.clone())
            .collect(),
    }
}

async fn all_missions(request: Asked) -> ApiResult {
    let is_open = request.asked_for("state") == Some("open");
    let list = match (
        is_open,
        request.asked_for("ticket"),
        request.asked_for("robot"),
    ) {
        (false, None, None) => CardList::whole("dispatch"),
        (true, None, None) => CardList::whole("open"),
        (false, Some(ticket), None) => CardList::of("ticket", ticket),
        (false, None, Some(robot)) => CardList::below("robot", robot),
        _ => {
            return Err(Problem::malformed(
                "state",
                "only one of `state`, `ticket` and `robot` can be given",
            ));
        }
    };
    let body = |stream: &str, card: &Dispatch| mission_body(&request, stream, card);
    let (count, dispatches) = page_of(&request, &list, body).await?;
    Ok(ok(&MissionPage { count, dispatches }))
}

async fn one_mission(request: Asked, id: &str) -> ApiResult {
    let missing = || Problem::not_found(format!("there is no mission {}", quoted(id)));
    let stream = stream_of("dispatch", id).ok_or_else(missing)?;
    let loaded = request.app.ledger.load::<Dispatch>(&stream).await?;
    let mission = loaded.aggregate.0;
    if mission.requested.is_none() {
        return Err(missing());
    }
    Ok(ok(&mission_body(&request, &stream, &mission)))
}

fn mission_body(request: &Asked, stream: &str, mission: &Dispatch) -> Mission {
    let at = |at: Moment| time(&request.app, at);
    let requested = mission.requested.as_ref();
    let is_open = mission.phase != Phase::Done;
    Mission {
        id: id_of(stream).to_owned(),
        ticket: requested.map(|one| one.ticket.to_string()),
        node: requested.map(|one| one.node.0),
        task_type: requested.map(|one| one.task_type.clone()),
        site: requested.map(|one| one.site.clone()),
        station: requested.map(|one| one.station.clone()),
        repetition: requested.map(|one| one.repetition),
        phase: mission.phase.name(),
        epoch: mission.epoch,
        robot: Some(mission.robot.clone()).filter(|robot| !robot.is_empty()),
        order: (mission.epoch > 0).then(|| order_id(stream, mission.epoch)),
        robots: mission.robots.clone(),
        reasons: mission.reasons.clone(),
        is_work_released: mission.is_released,
        next_step: is_open.then(|| at(mission.due)),
        expires: requested.filter(|_| is_open).map(|one| at(one.expires)),
        outdated_results: mission.outdated.iter().copied().collect(),
        outcome: mission.outcome.clone().map(WorkOutcome::from),
        is_closed: mission.is_closed,
    }
}
