//! Opens missions and executes their steps. A mission is work for a robot. A step of a mission
//! chooses a robot, handles a deadline, stores the progress of the robot, or stores the result in
//! the ticket.
//!
//! The desk stores an event first and then sends the message to the robot. A message can be lost.
//! The desk sends such a message again after the next state message of the robot or at the deadline
//! of the mission.

use domain::decider::Decider as _;
use domain::fleet::choice::{Need, choose};
use domain::fleet::dispatch::{Command, Dispatch, Phase, Rejection};
use domain::fleet::model::{Progress, Snapshot, order_id, progress};
use domain::intent::{Due, StartServiceTask};
use domain::placeholder::{Variables, fill};
use domain::ticket::NodeResult;
use events::dispatch::{DispatchEvent, EXPIRE, Requested};
use events::robot::Defined;
use events::site::Position;
use events::task_type::Repetition;
use events::workflow::service_task::{Mission, ServiceTask};
use events::{Meta, Moment};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::robots;
use crate::App;
use crate::app::tickets::service_task::{self, Awaiting};

/// Number of milliseconds in one minute.
const MINUTE_MS: i64 = 60_000;
/// Time limit for a mission (work for a robot) without a valid definition, in minutes. After this
/// time, a person gets the work.
const DEFAULT_MIN: u32 = 10;
/// Maximum number of steps that one call executes for a mission (work for a robot). The choice of a
/// robot, for example, is one step.
const STEPS_MAX: usize = 8;

/// Opens a mission (work for a robot) for an automatic workflow node, and tries to choose a robot
/// for the mission. `id` is the id of the mission. A repeated call with the same id does not open a
/// second mission.
pub async fn open(app: &App, id: &str, start: StartServiceTask) -> Result<(), Error> {
    let stream = format!("dispatch-{id}");
    let meta = Meta::system(start.correlation.clone(), start.cause.clone());
    let requested = request(app, start).await?;
    let command_envelope = CommandEnvelope {
        stream: stream.clone(),
        command_id: command_id(&["dispatch", id]),
        meta,
    };
    match app
        .ledger
        .execute::<Dispatch>(
            &command_envelope,
            &Command::Request(Box::new(requested)),
            &NoContext,
        )
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyRequested)) => {}
        Err(failure) => return Err(failure.unexpected()),
    }
    step(app, &stream).await
}

/// Returns the request that opens a mission (work for a robot). If the definition of the site, the
/// station or the task type is missing, the field `problem` contains the reason. A person then gets
/// the work.
async fn request(app: &App, start: StartServiceTask) -> Result<Requested, Error> {
    let awaiting = Awaiting {
        ticket: &start.ticket,
        node: start.node,
        round: start.round,
        attempt: start.attempt,
    };
    let now = app.ledger.clock.now();
    let mut requested = Requested {
        ticket: start.ticket.clone(),
        node: start.node,
        name: start.name,
        round: start.round,
        attempt: start.attempt,
        cause: start.cause,
        task_type: String::new(),
        action: String::new(),
        parameters: std::collections::BTreeMap::new(),
        repetition: Repetition::AtMostOnce,
        work_ms: 0,
        site: String::new(),
        map: String::new(),
        station: String::new(),
        position: Position::default(),
        problem: String::new(),
        due: now,
        expires: now.plus_ms(i64::from(DEFAULT_MIN) * MINUTE_MS),
    };
    let (card, mission) = match service_task::awaited(app, &awaiting).await? {
        Ok((card, _, ServiceTask::Mission(mission))) => (card, mission),
        Ok(_) => {
            requested.problem = "the node has no mission".into();
            return Ok(requested);
        }
        Err(reason) => {
            requested.problem = reason.into();
            return Ok(requested);
        }
    };
    let variables = service_task::variables(app, &card, &start.inputs).await?;
    let minutes = i64::from(mission.expires_after_min);
    requested.expires = now.plus_ms(minutes * MINUTE_MS);
    if let Err(problem) = define(app, &mission, &variables, &mut requested).await? {
        requested.problem = problem;
    }
    Ok(requested)
}

/// Copies the definitions of the site and the task type of a mission (work for a robot) to
/// `requested`. If a definition is missing or a placeholder cannot be replaced, the inner `Err` is
/// the reason.
async fn define(
    app: &App,
    mission: &Mission,
    variables: &Variables,
    requested: &mut Requested,
) -> Result<Result<(), String>, Error> {
    let plain = |text: &str| fill(text, variables, str::to_owned);
    let station = match plain(&mission.station) {
        Ok(station) => station,
        Err(reason) => return Ok(Err(format!("station: {reason}"))),
    };
    for pair in &mission.parameters {
        match plain(&pair.value) {
            Ok(value) => drop(requested.parameters.insert(pair.key.clone(), value)),
            Err(reason) => return Ok(Err(format!("parameter {}: {reason}", pair.key))),
        }
    }
    requested.task_type.clone_from(&mission.task_type);
    requested.site.clone_from(&mission.site);
    requested.station.clone_from(&station);
    let task_type = app.configuration.task_type(&mission.task_type).await?;
    let Some(task_type) = &task_type.0 else {
        return Ok(Err(format!(
            "task type {} does not exist",
            mission.task_type
        )));
    };
    let site = app.configuration.site(&mission.site).await?;
    let Some(site) = &site.0 else {
        return Ok(Err(format!("site {} does not exist", mission.site)));
    };
    let Some(position) = site.stations.get(&station) else {
        return Ok(Err(format!(
            "site {} has no station {station:?}",
            site.name
        )));
    };
    requested.action.clone_from(&task_type.action);
    (requested.repetition, requested.work_ms) = (task_type.repetition, task_type.work_ms);
    (requested.map, requested.position) = (site.map.clone(), *position);
    Ok(Ok(()))
}

/// Handles a reached deadline of a mission (work for a robot).
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    let stream = &due.stream;
    let at = app.ledger.clock.now();
    if due.deadline == EXPIRE {
        execute(app, stream, &Command::Expire { at }, Cause::Deadline(due)).await?;
        return step(app, stream).await;
    }
    let state = load(app, stream).await?;
    if !matches!(state.phase, Phase::Queued | Phase::Done) {
        let (robot, _) = robots::state(app, &state.robot).await?;
        let is_current = robot.snapshot.order == order_id(stream, state.epoch);
        let fire = Command::Fire {
            seen: (robot.has_state && is_current).then_some(robot.received),
            at,
        };
        execute(app, stream, &fire, Cause::Deadline(due)).await?;
    }
    step(app, stream).await
}

/// Stores the progress of one attempt of a mission (work for a robot). `epoch` is the number of the
/// attempt. `snapshot` is a state message of the robot, and the progress is computed from this
/// message.
pub async fn observe(
    app: &App,
    stream: &str,
    epoch: u32,
    snapshot: &Snapshot,
    received: Moment,
) -> Result<(), Error> {
    let state = load(app, stream).await?;
    let Some(requested) = &state.requested else {
        return Ok(());
    };
    let order = order_id(stream, epoch);
    let mut shown = progress(&order, requested.repetition, snapshot);
    // The desk has requested the cancellation of the order, and waits for a confirmation. A state
    // message without any order is this confirmation. A robot that never received the order also
    // sends such a message.
    let is_canceling = state.phase == Phase::Canceling && epoch == state.epoch;
    if shown == Progress::None && is_canceling && snapshot.is_idle() {
        shown = Progress::Dropped;
    }
    if shown == Progress::None {
        return Ok(());
    }
    let at = app.ledger.clock.now();
    let observe = Command::Observe {
        epoch,
        progress: shown.clone(),
        received,
        at,
    };
    // Most state messages contain no new progress. For such a message, no command is executed,
    // because each command would read the event stream again.
    let is_new = state
        .decide(&observe, &())
        .is_ok_and(|events| !events.is_empty());
    if !is_new {
        return repair(app, stream, &state, epoch, &shown, snapshot).await;
    }
    if shown == Progress::AtGate && !still_awaited(app, &state).await? {
        return withdraw(app, stream).await;
    }
    execute(app, stream, &observe, Cause::State(received)).await?;
    step(app, stream).await
}

/// Stores that the connection to the robot of a mission (work for a robot) is lost. `stream` is the
/// event stream of the mission, and `epoch` is the number of the current attempt.
pub async fn lose_contact(app: &App, stream: &str, epoch: u32) -> Result<(), Error> {
    let command = Command::LoseContact {
        epoch,
        at: app.ledger.clock.now(),
    };
    execute(app, stream, &command, Cause::Own).await
}

/// Repeats a message to the robot if the earlier message was probably lost. `snapshot` is the last
/// state of the robot, and shows whether the earlier message had an effect. `shown` is the progress
/// of the attempt with the number `epoch`.
async fn repair(
    app: &App,
    stream: &str,
    state: &Dispatch,
    epoch: u32,
    shown: &Progress,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    let has_order = matches!(
        shown,
        Progress::Accepted | Progress::AtGate | Progress::Working
    );
    if !has_order || snapshot.is_idle() && *shown != Progress::AtGate {
        return Ok(());
    }
    let is_current = epoch == state.epoch && !matches!(state.phase, Phase::Queued | Phase::Done);
    let Some(robot) = robot_of(app, state, epoch).await? else {
        return Ok(());
    };
    if !is_current || state.phase == Phase::Canceling {
        return robots::send_cancel(app, &robot, &order_id(stream, epoch)).await;
    }
    if *shown == Progress::AtGate
        && state.is_released
        && snapshot.update == 0
        && let Some(order) = state.order(stream)
    {
        return robots::send_order(app, &robot, &order).await;
    }
    Ok(())
}

/// Returns the robot that was chosen for one attempt of a mission (work for a robot). `epoch` is
/// the number of the attempt. Returns `None` if the mission has no such attempt.
async fn robot_of(app: &App, state: &Dispatch, epoch: u32) -> Result<Option<Defined>, Error> {
    match state.robots.get(&epoch) {
        Some(name) => Ok(robots::load(app, &robots::stream_of(name)).await?.defined),
        None => Ok(None),
    }
}

async fn still_awaited(app: &App, state: &Dispatch) -> Result<bool, Error> {
    let Some(requested) = &state.requested else {
        return Ok(false);
    };
    let awaiting = Awaiting {
        ticket: &requested.ticket,
        node: requested.node,
        round: requested.round,
        attempt: requested.attempt,
    };
    Ok(service_task::awaited(app, &awaiting).await?.is_ok())
}

async fn withdraw(app: &App, stream: &str) -> Result<(), Error> {
    let withdraw = Command::Withdraw {
        reason: "the ticket no longer waits for the mission".into(),
        at: app.ledger.clock.now(),
    };
    execute(app, stream, &withdraw, Cause::Own).await?;
    Box::pin(step(app, stream)).await
}

/// Executes the steps of a mission (work for a robot) that are possible now. Such a step chooses a
/// robot, or stores the result of the mission. The function returns as soon as the mission must
/// wait for a message or a deadline.
pub async fn step(app: &App, stream: &str) -> Result<(), Error> {
    for _ in 0..STEPS_MAX {
        let state = load(app, stream).await?;
        if state.phase == Phase::Done {
            return conclude(app, stream, &state).await;
        }
        let now = app.ledger.clock.now();
        if state.phase != Phase::Queued || state.requested.is_none() || now < state.due {
            return Ok(());
        }
        if !still_awaited(app, &state).await? {
            Box::pin(withdraw(app, stream)).await?;
            continue;
        }
        choose_robot(app, stream, &state, now).await?;
    }
    Ok(())
}

async fn choose_robot(app: &App, stream: &str, state: &Dispatch, now: Moment) -> Result<(), Error> {
    let Some(requested) = &state.requested else {
        return Ok(());
    };
    let excluded = state
        .excluded
        .iter()
        .filter(|(_, until)| **until > now)
        .map(|(name, _)| name.clone())
        .collect();
    let need = Need {
        task_type: &requested.task_type,
        site: &requested.site,
        position: requested.position,
        excluded: &excluded,
    };
    let candidates = robots::candidates(app).await?;
    let mut choice = choose(&candidates, &need, now);
    let epoch = state.epoch + 1;
    for (robot, start_node, start) in &choice.able {
        if robots::reserve(app, robot, stream, epoch).await? {
            let offer = Command::Offer {
                robot: robot.clone(),
                start: *start,
                start_node: start_node.clone(),
                reasons: choice.reasons,
                at: app.ledger.clock.now(),
            };
            execute(app, stream, &offer, Cause::Own).await?;
            // At the same time, another worker may have chosen another robot for this mission. In
            // this case, the reservation of `robot` must end.
            let is_chosen = load(app, stream).await?.needs_robot(robot, epoch);
            return if is_chosen {
                Ok(())
            } else {
                robots::unreserve(app, robot, stream, epoch).await
            };
        }
        let taken = "was reserved for another mission at the same time";
        choice.reasons.insert(robot.clone(), taken.to_owned());
    }
    let postpone = Command::Postpone {
        reasons: choice.reasons,
        at: now,
    };
    execute(app, stream, &postpone, Cause::Own).await
}

/// Stores the result of a mission (work for a robot) in the ticket, and then closes the mission.
async fn conclude(app: &App, stream: &str, state: &Dispatch) -> Result<(), Error> {
    let (Some(requested), Some(outcome)) = (&state.requested, &state.outcome) else {
        return Ok(());
    };
    if state.is_closed {
        return Ok(());
    }
    let result = NodeResult {
        node: requested.node,
        round: requested.round,
        attempt: requested.attempt,
        succeeded: outcome.succeeded,
        outputs: outcome.outputs.clone(),
        task: state.robot.clone(),
        reason: outcome.reason.clone(),
    };
    let meta = robots::meta(stream);
    let recorded =
        service_task::record_result(app, &requested.ticket, result, &meta, stream).await?;
    execute(app, stream, &Command::Close { recorded }, Cause::Own).await
}

/// The cause of a command on a mission (work for a robot).
#[derive(Clone, Copy)]
enum Cause<'a> {
    Own,
    Deadline(&'a Due),
    /// The command follows from a state message of a robot. The value is the time at which the desk
    /// received this message.
    State(Moment),
}

/// Executes a command on a mission (work for a robot). Then handles the new events: sends messages
/// to the robot, or ends the reservation of the robot.
async fn execute(
    app: &App,
    stream: &str,
    command: &Command,
    cause: Cause<'_>,
) -> Result<(), Error> {
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: match cause {
            Cause::Deadline(due) => command_id(&["fire", &due.id()]),
            Cause::Own | Cause::State(_) => app.ledger.fresh_id(),
        },
        meta: robots::meta(stream),
    };
    let outcome = match app
        .ledger
        .execute::<Dispatch>(&command_envelope, command, &NoContext)
        .await
    {
        Ok(outcome) => outcome,
        // Another worker has already changed the mission, and the mission no longer waits for a
        // robot.
        Err(ExecuteError::Rejected(Rejection::NotQueued)) => return Ok(()),
        Err(failure) => return Err(failure.unexpected()),
    };
    for event in &outcome.events {
        if let Err(error) = follow_up(app, stream, &outcome.state, event, cause).await {
            // Either a message could not be sent to the robot, or the reservation of the robot
            // could not be ended. The desk tries again at a later deadline of the mission, or after
            // a later state message of the robot.
            tracing::warn!(%error, stream, "a message to a robot or a release was not sent");
        }
    }
    Ok(())
}

async fn follow_up(
    app: &App,
    stream: &str,
    state: &Dispatch,
    event: &DispatchEvent,
    cause: Cause<'_>,
) -> Result<(), Error> {
    let Some(robot) = robots::load(app, &robots::stream_of(&state.robot))
        .await?
        .defined
    else {
        return Ok(());
    };
    // If a state message of the robot ends the attempt, the same message may also show that the
    // robot has no order. Such a message frees the robot only if the message arrived later than the
    // stored end of the reservation. The stored end is therefore one millisecond before the arrival
    // of the message.
    let ended = match cause {
        Cause::State(received) => received.plus_ms(-1),
        Cause::Own | Cause::Deadline(_) => app.ledger.clock.now(),
    };
    let order = order_id(stream, state.epoch);
    let release = async |reason: &str| {
        robots::release(app, &robot.name, stream, state.epoch, reason, ended).await
    };
    match event {
        DispatchEvent::Offered(_) | DispatchEvent::WorkReleased(_) => match state.order(stream) {
            Some(order) => robots::send_order(app, &robot, &order).await,
            None => Ok(()),
        },
        DispatchEvent::OfferRepeated(repeated) => {
            if let Some(order) = state.order(stream) {
                robots::send_order(app, &robot, &order).await?;
            }
            let id = format!("{order}-state{}", repeated.due.0);
            robots::request_state(app, &robot, &id).await
        }
        DispatchEvent::CancelRequested(_) => robots::send_cancel(app, &robot, &order).await,
        DispatchEvent::AttemptFailed(failed) => {
            release(&failed.reason).await?;
            robots::send_cancel(app, &robot, &order).await
        }
        DispatchEvent::Completed(completed) if completed.succeeded => {
            release("the work is done").await
        }
        DispatchEvent::Completed(completed) if completed.epoch > 0 => {
            release(&completed.reason).await?;
            robots::send_cancel(app, &robot, &order).await
        }
        DispatchEvent::Expired(expired) => {
            release(&expired.reason).await?;
            robots::send_cancel(app, &robot, &order).await
        }
        _ => Ok(()),
    }
}

/// Returns the id of a mission (work for a robot). The id is the part of the stream name after
/// `dispatch-`.
pub fn id_of(stream: &str) -> &str {
    stream.trim_start_matches("dispatch-")
}

/// Returns the current state of a mission (work for a robot) from its event stream.
pub async fn load(app: &App, stream: &str) -> Result<Dispatch, Error> {
    Ok(app.ledger.load::<Dispatch>(stream).await?.aggregate.0)
}
