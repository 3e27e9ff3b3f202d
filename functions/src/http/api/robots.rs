//! Handles robots and their missions (work orders) in the API `/v1`. Only superusers may use these
//! operations.

use axum::Json;
use axum::response::IntoResponse;
use domain::fleet::dispatch::{Dispatch, Phase};
use domain::fleet::model::order_id;
use domain::fleet::robot::{Robot, Slot};
use events::Moment;
use serde_json::{Value, json};

use super::admin::{CardList, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, segments,
};
use super::shape::quoted;
use super::time;
use crate::app::definition_files::check_name;
use crate::app::fleet::missions::id_of;
use crate::app::fleet::robots::{self, RobotState};

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/robots",
        "lists all robots with their last state; for superusers",
    ),
    get("/v1/robots/{robot}", "shows a robot"),
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
    ),
    get("/v1/dispatches/{dispatch}", "shows a mission"),
];

/// The operations on robots and missions, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
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
    Ok(Json(json!({ "count": shown.len(), "robots": shown })).into_response())
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
    Ok(Json(robot_body(&request, &robot, &state)).into_response())
}

fn robot_body(request: &Asked, robot: &Robot, state: &RobotState) -> Value {
    let defined = robot.defined.as_ref();
    let (slot, dispatch, reason) = match &robot.slot {
        Slot::Free => ("free", None, None),
        Slot::Held { dispatch, .. } => ("held", Some(id_of(dispatch)), None),
        Slot::Releasing { .. } => ("releasing", None, None),
        Slot::Quarantined { reason, .. } => ("quarantined", None, Some(reason)),
    };
    let snapshot = &state.snapshot;
    json!({
        "robot": defined.map(|one| &one.name),
        "site": defined.map(|one| &one.site),
        "skills": defined.map(|one| &one.skills),
        "protocol": defined.map(|one| format!("VDA 5050 {}", one.version)),
        "reservation": slot,
        "dispatch": dispatch,
        "reason": reason,
        "is_connected": state.is_connected(),
        "state_at": state.has_state.then(|| time(&request.app, state.received)),
        "is_automatic": state.has_state.then_some(snapshot.is_automatic),
        "is_driving": state.has_state.then_some(snapshot.is_driving),
        "order": Some(&snapshot.order).filter(|order| !order.is_empty()),
        "position": snapshot.position,
        "charge": snapshot.charge,
        "errors": snapshot.errors.iter().map(|error| &error.kind).collect::<Vec<_>>(),
    })
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
    page_of(&request, &list, "dispatches", body).await
}

async fn one_mission(request: Asked, id: &str) -> ApiResult {
    let missing = || Problem::not_found(format!("there is no mission {}", quoted(id)));
    let stream = stream_of("dispatch", id).ok_or_else(missing)?;
    let loaded = request.app.ledger.load::<Dispatch>(&stream).await?;
    let mission = loaded.aggregate.0;
    if mission.requested.is_none() {
        return Err(missing());
    }
    Ok(Json(mission_body(&request, &stream, &mission)).into_response())
}

fn mission_body(request: &Asked, stream: &str, mission: &Dispatch) -> Value {
    let at = |at: Moment| time(&request.app, at);
    let requested = mission.requested.as_ref();
    let is_open = mission.phase != Phase::Done;
    json!({
        "id": id_of(stream),
        "ticket": requested.map(|one| &one.ticket),
        "node": requested.map(|one| one.node),
        "task_type": requested.map(|one| &one.task_type),
        "site": requested.map(|one| &one.site),
        "station": requested.map(|one| &one.station),
        "repetition": requested.map(|one| one.repetition),
        "phase": mission.phase.name(),
        "epoch": mission.epoch,
        "robot": Some(&mission.robot).filter(|robot| !robot.is_empty()),
        "order": (mission.epoch > 0).then(|| order_id(stream, mission.epoch)),
        "robots": mission.robots,
        "reasons": mission.reasons,
        "is_work_released": mission.is_released,
        "next_step": is_open.then(|| at(mission.due)),
        "expires": requested.filter(|_| is_open).map(|one| at(one.expires)),
        "outdated_results": mission.outdated,
        "outcome": mission.outcome,
        "is_closed": mission.is_closed,
    })
}
