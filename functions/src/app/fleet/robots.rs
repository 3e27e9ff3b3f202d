//! Reads robots with their last states, changes their reservations, and publishes messages to them.

use domain::fleet::choice::Candidate;
use domain::fleet::model::{Order, Snapshot};
use domain::fleet::robot::{Command, Rejection, Robot, Slot};
use events::Moment;
use events::robot::Defined;
use infra::fleet::vda5050::{topic_to, v2};
use infra::ledger::{NoContext, command_id};
use infra::views::{Document, Range};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::App;
use crate::app::cards::read_card;
use events::{Meta, Origin};

/// The view with the last state of each robot, by the name of the robot.
pub const STATES: &str = "robot_state";
/// Most robots of a desk.
pub const ROBOTS_MAX: usize = 10_000;

/// The last state of a robot as the desk received it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RobotState {
    pub snapshot: Snapshot,
    pub received: Moment,
    /// Number and time of the last state, as the robot sent them.
    pub header: u32,
    pub timestamp: i64,
    /// The instant at which the robot or the broker reported a lost connection; absent if the robot
    /// is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Moment>,
    /// Whether the robot has sent a state.
    pub has_state: bool,
}

impl RobotState {
    /// Returns true if a state arrived after the last report of a lost connection.
    pub fn is_connected(&self) -> bool {
        self.has_state && self.lost.is_none_or(|lost| lost < self.received)
    }
}

/// Returns the stream of a robot.
pub fn stream_of(name: &str) -> String {
    format!("robot-{name}")
}

/// Returns the metadata of commits that follow from messages of robots and from deadlines.
pub fn meta(correlation: &str) -> Meta {
    Meta {
        origin: Origin::Mqtt,
        ..Meta::system(correlation, correlation)
    }
}

/// Returns the robot with an identity in topics, with the state of its reservation; `None` if no robot
/// has the identity.
pub async fn find(app: &App, identity: &str) -> Result<Option<Robot>, Error> {
    let end = format!("{identity}\u{1}");
    let range = Range {
        view: "robot",
        index: "identity",
        from: identity,
        to: &end,
        descending: false,
        skip: 0,
        limit: 1,
    };
    let Some(entry) = app.views.range(range).await?.into_iter().next() else {
        return Ok(None);
    };
    Ok(Some(load(app, &entry.key).await?))
}

/// Returns the current state of the stream of a robot.
pub async fn load(app: &App, stream: &str) -> Result<Robot, Error> {
    Ok(app.ledger.load::<Robot>(stream).await?.aggregate.0)
}

/// Returns all robots by name, with the state of their reservation.
pub async fn all(app: &App) -> Result<Vec<Robot>, Error> {
    let range = Range {
        view: "robot",
        index: "name",
        from: "",
        to: "~",
        descending: false,
        skip: 0,
        limit: ROBOTS_MAX,
    };
    let mut robots = Vec::new();
    for entry in app.views.range(range).await? {
        if let Some(document) = app.views.get("robot", &entry.key).await? {
            robots.push(read_card::<Robot>(&app.ledger, &entry.key, &document).await?);
        }
    }
    Ok(robots)
}

/// Returns all robots as candidates for a mission.
pub async fn candidates(app: &App) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    for robot in all(app).await? {
        let Some(defined) = robot.defined else {
            continue;
        };
        let (state, _) = state(app, &defined.name).await?;
        candidates.push(Candidate {
            robot: defined,
            slot: robot.slot,
            is_connected: state.is_connected(),
            state: state.has_state.then_some((state.snapshot, state.received)),
        });
    }
    Ok(candidates)
}

/// Returns the last state of a robot, and the sequence of its document.
pub async fn state(app: &App, name: &str) -> Result<(RobotState, i64), Error> {
    let Some(document) = app.views.get(STATES, name).await? else {
        return Ok((RobotState::default(), 0));
    };
    let state = serde_json::from_slice(&document.body).map_err(|error| {
        Error::because(
            infra::Kind::Corrupt,
            format!("cannot read the state of robot {name}"),
            error,
        )
    })?;
    Ok((state, document.sequence))
}

/// Stores the last state of a robot. If another worker stored a state meanwhile, nothing is stored,
/// because the next state of the robot replaces both.
pub async fn keep(app: &App, name: &str, state: &RobotState, last: i64) -> Result<(), Error> {
    let body = serde_json::to_vec(state).unwrap_or_default();
    let document = Document {
        sequence: last + 1,
        body,
    };
    app.views.put(STATES, name, &document, &[], last).await?;
    Ok(())
}

/// Reserves a robot for one attempt of a mission. Returns false if the robot is not free.
pub async fn reserve(app: &App, name: &str, dispatch: &str, epoch: u32) -> Result<bool, Error> {
    let command = Command::Reserve {
        dispatch: dispatch.to_owned(),
        epoch,
        at: app.ledger.clock.now(),
    };
    let id = command_id(&["reserve", name, dispatch, &epoch.to_string()]);
    match execute(app, name, &command, id, dispatch).await {
        // A repeated command is not a new reservation: the robot may have been released since.
        Ok(slot) => Ok(matches!(
            slot,
            Slot::Held { dispatch: holder, epoch: held, .. } if holder == dispatch && held == epoch
        )),
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// Ends a reservation for which no order was sent.
pub async fn unreserve(app: &App, name: &str, dispatch: &str, epoch: u32) -> Result<(), Error> {
    let command = Command::Unreserve {
        dispatch: dispatch.to_owned(),
        epoch,
    };
    accepted(execute(app, name, &command, app.ledger.fresh_id(), dispatch).await)
}

/// Ends the reservation of one attempt. Does nothing if the robot has another reservation.
pub async fn release(
    app: &App,
    name: &str,
    dispatch: &str,
    epoch: u32,
    reason: &str,
    at: Moment,
) -> Result<(), Error> {
    let command = Command::Release {
        dispatch: dispatch.to_owned(),
        epoch,
        reason: reason.to_owned(),
        at,
    };
    let id = command_id(&["release", name, dispatch, &epoch.to_string()]);
    accepted(execute(app, name, &command, id, dispatch).await)
}

/// Records that a state of the robot shows no order.
pub async fn show_idle(app: &App, name: &str, since: Moment) -> Result<(), Error> {
    let command = Command::ShowIdle { since };
    let stream = stream_of(name);
    accepted(execute(app, name, &command, app.ledger.fresh_id(), &stream).await)
}

/// Executes a command of the check of a reservation.
pub async fn check(app: &App, name: &str, command: &Command) -> Result<(), Error> {
    let stream = stream_of(name);
    accepted(execute(app, name, command, app.ledger.fresh_id(), &stream).await)
}

fn accepted(result: Result<Slot, ExecuteError<Robot>>) -> Result<(), Error> {
    match result {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::NotDefined | Rejection::NotFree)) => Ok(()),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

async fn execute(
    app: &App,
    name: &str,
    command: &Command,
    command_id: [u8; 16],
    correlation: &str,
) -> Result<Slot, ExecuteError<Robot>> {
    let command_envelope = CommandEnvelope {
        stream: stream_of(name),
        command_id,
        meta: meta(correlation),
    };
    let outcome = app
        .ledger
        .execute::<Robot>(&command_envelope, command, &NoContext)
        .await?;
    if outcome.repeated {
        let stream = stream_of(name);
        return Ok(load(app, &stream).await?.slot);
    }
    Ok(outcome.state.slot)
}

/// Publishes the order of a mission to its robot.
pub async fn send_order(app: &App, robot: &Defined, order: &Order) -> Result<(), Error> {
    let message = v2::order(robot, order, header(app));
    publish(app, robot, "order", &message).await
}

/// Publishes the cancel of an order to a robot.
pub async fn send_cancel(app: &App, robot: &Defined, order: &str) -> Result<(), Error> {
    let message = v2::cancel(robot, order, header(app));
    publish(app, robot, "instantActions", &message).await
}

/// Publishes a request for a new state to a robot.
pub async fn request_state(app: &App, robot: &Defined, id: &str) -> Result<(), Error> {
    let message = v2::state_request(robot, id, header(app));
    publish(app, robot, "instantActions", &message).await
}

fn header(app: &App) -> v2::Header {
    v2::Header {
        id: app
            .fleet_messages
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed),
        at: app.ledger.clock.now(),
    }
}

async fn publish(app: &App, robot: &Defined, name: &str, message: &Value) -> Result<(), Error> {
    let topic = topic_to(robot, name);
    app.fleet
        .publish(&topic, message.to_string().as_bytes())
        .await
}
