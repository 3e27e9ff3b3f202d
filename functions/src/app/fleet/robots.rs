//! Reads robots and their last states, changes their reservations, and sends messages to robots.

use std::collections::BTreeMap;

use domain::fleet::choice::Candidate;
use domain::fleet::model::{Order, Snapshot};
use domain::fleet::robot::{Command, Rejection, Robot, Slot};
use events::Moment;
use events::robot::Defined;
use infra::cache::{Bounds, Cache, NEVER};
use infra::fleet::vda5050::{topic_to, v2};
use infra::ledger::{NoContext, command_id};
use infra::views::{Document, Range};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::App;
use crate::app::cards::read_card;
use events::{Meta, Origin};

/// The name of the view (a stored table) that contains the last state of each robot. The view has
/// one document for each robot, and the key of the document is the robot name.
pub const STATES: &str = "robot_state";
/// Maximum number of robots in one desk.
pub const ROBOTS_MAX: usize = 10_000;

/// The last state of a robot that the desk received.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RobotState {
    pub snapshot: Snapshot,
    pub received: Moment,
    /// The robot gives each of its state messages a number. This field contains the number of the
    /// message that the desk stored last. The field `timestamp` contains the time that the robot
    /// wrote into this message.
    pub header: u32,
    pub timestamp: i64,
    /// The time at which the robot or the message broker reported a lost connection. While the
    /// robot is connected, the value is `None` and is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Moment>,
    /// True if the desk has received a state message from the robot.
    pub has_state: bool,
}

impl RobotState {
    /// Returns true if the robot is connected. A robot is connected if a state message arrived
    /// after the last report of a lost connection.
    pub fn is_connected(&self) -> bool {
        self.has_state && self.lost.is_none_or(|lost| lost < self.received)
    }
}

/// Robots that have sent messages to this process. The values of this type are copies of stored data.
pub struct KnownRobots {
    /// The name of the event stream of a robot, by the identity of the robot.
    streams: Cache<String, String>,
    /// The last state of a robot and the sequence number of the stored document, by the robot name.
    /// The cache is empty if other processes also store states.
    states: Cache<String, (RobotState, i64)>,
}

impl Default for KnownRobots {
    fn default() -> Self {
        // The cache drops old entries when one of its two halves is full.
        let bounds = Bounds::entries(2 * ROBOTS_MAX);
        Self {
            streams: Cache::new(bounds),
            states: Cache::new(bounds),
        }
    }
}

/// Returns the name of the event stream for a robot.
pub fn stream_of(name: &str) -> String {
    format!("robot-{name}")
}

/// Returns the metadata for commits that are caused by robot messages or by deadlines.
pub fn meta(correlation: &str) -> Meta {
    Meta {
        origin: Origin::Mqtt,
        ..Meta::system(correlation, correlation)
    }
}

/// Returns the robot with the given identity, and the state of its reservation. The identity is a
/// part of the MQTT topics of the robot. Returns `None` if the identity is unknown.
pub async fn find(app: &App, identity: &str) -> Result<Option<Robot>, Error> {
    let now = app.ledger.clock.now();
    if let Some(stream) = app.known_robots.streams.get(identity, now) {
        let robot = load(app, &stream).await?;
        // The definition of the robot may have changed since the last message.
        if robot.has_identity(identity) {
            return Ok(Some(robot));
        }
    }
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
    let robot = load(app, &entry.key).await?;
    let streams = &app.known_robots.streams;
    streams.put(identity.to_owned(), entry.key, 0, NEVER);
    Ok(Some(robot))
}

/// Reads a robot from its event stream.
pub async fn load(app: &App, stream: &str) -> Result<Robot, Error> {
    Ok(app.ledger.load::<Robot>(stream).await?.aggregate.0)
}

/// Returns all documents of a view about robots, sorted by key. A response of the store can contain only some of the
/// documents, so the function reads until a response is empty.
async fn documents(app: &App, view: &str) -> Result<Vec<(String, Document)>, Error> {
    let mut all: Vec<(String, Document)> = Vec::new();
    loop {
        let after = all.last().map_or("", |(key, _)| key.as_str());
        let page = app.views.scan(view, after, ROBOTS_MAX).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Returns all robots, sorted by name, with the states of their reservations.
pub async fn all(app: &App) -> Result<Vec<Robot>, Error> {
    // The keys of the view are stream names, so their order is the order of the robot names.
    let mut robots = Vec::new();
    for (stream, document) in documents(app, "robot").await? {
        robots.push(read_card::<Robot>(&app.ledger, &stream, &document).await?);
    }
    Ok(robots)
}

/// Returns all robots as candidates for a mission (work for a robot). Each candidate contains the
/// definition, the reservation and the last state of the robot.
pub async fn candidates(app: &App) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    for (robot, state) in with_states(app).await? {
        let Some(defined) = robot.defined else {
            continue;
        };
        candidates.push(Candidate {
            robot: defined,
            slot: robot.slot,
            is_connected: state.is_connected(),
            state: state.has_state.then_some((state.snapshot, state.received)),
        });
    }
    Ok(candidates)
}

/// Returns all robots, sorted by name, and the last state of each robot.
pub async fn with_states(app: &App) -> Result<Vec<(Robot, RobotState)>, Error> {
    let mut states = BTreeMap::new();
    for (name, document) in documents(app, STATES).await? {
        states.insert(name.clone(), read_state(&name, &document)?);
    }
    let robots = all(app).await?.into_iter();
    let with_state = robots.map(|robot| {
        let name = robot.defined.as_ref().map(|defined| &defined.name);
        let state = name.and_then(|name| states.remove(name));
        (robot, state.unwrap_or_default())
    });
    Ok(with_state.collect())
}

/// Returns the last state of a robot, and the sequence number of the stored document. [`keep`]
/// needs this number.
pub async fn state(app: &App, name: &str) -> Result<(RobotState, i64), Error> {
    let now = app.ledger.clock.now();
    if let Some(known) = app.known_robots.states.get(name, now) {
        return Ok(known);
    }
    let Some(document) = app.views.get(STATES, name).await? else {
        return Ok((RobotState::default(), 0));
    };
    Ok((read_state(name, &document)?, document.sequence))
}

fn read_state(name: &str, document: &Document) -> Result<RobotState, Error> {
    serde_json::from_slice(&document.body).map_err(|error| {
        Error::because(
            infra::Kind::Corrupt,
            format!("cannot read the state of robot {name}"),
            error,
        )
    })
}

/// Stores the last state of a robot. `last` is the sequence number of the document that the caller
/// read with [`state`]. If another worker stores a state at the same time, this function drops
/// `state` without an error. The loss does no harm, because the next state message replaces the
/// stored state.
pub async fn keep(app: &App, name: &str, state: &RobotState, last: i64) -> Result<(), Error> {
    let body = serde_json::to_vec(state).unwrap_or_default();
    let document = Document {
        sequence: last + 1,
        body,
    };
    let is_stored = app.views.put(STATES, name, &document, &[], last).await?;
    let states = &app.known_robots.states;
    if is_stored && app.ledger.is_only_writer() {
        let known = (state.clone(), document.sequence);
        states.put(name.to_owned(), known, 0, NEVER);
    } else {
        states.remove(name);
    }
    Ok(())
}

/// Reserves the robot `name` for one attempt of a mission (work for a robot). `dispatch` is the
/// stream name of the mission, and `epoch` is the number of the attempt. Returns false if the robot
/// is not free.
pub async fn reserve(app: &App, name: &str, dispatch: &str, epoch: u32) -> Result<bool, Error> {
    let command = Command::Reserve {
        dispatch: dispatch.to_owned(),
        epoch,
        at: app.ledger.clock.now(),
    };
    let id = command_id(&["reserve", name, dispatch, &epoch.to_string()]);
    match execute(app, name, &command, id, dispatch).await {
        // If this command was already executed earlier, the ledger does not execute the command
        // again. The reservation may have ended since then. The current reservation is therefore
        // checked.
        Ok(slot) => Ok(matches!(
            slot,
            Slot::Held { dispatch: holder, epoch: held, .. } if holder == dispatch && held == epoch
        )),
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// Ends the reservation of a robot for one attempt of a mission (work for a robot). The caller uses
/// this function if no order of this attempt was sent to the robot. `dispatch` is the stream name
/// of the mission, and `epoch` is the number of the attempt.
pub async fn unreserve(app: &App, name: &str, dispatch: &str, epoch: u32) -> Result<(), Error> {
    let command = Command::Unreserve {
        dispatch: dispatch.to_owned(),
        epoch,
    };
    accepted(execute(app, name, &command, app.ledger.fresh_id(), dispatch).await)
}

/// Ends the reservation of a robot for one attempt of a mission (work for a robot). `dispatch` is
/// the stream name of the mission, and `epoch` is the number of the attempt. A reservation for
/// another attempt is not changed.
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

/// Stores that a robot has no order. `since` is the time at which the desk received a state message
/// without an order.
pub async fn show_idle(app: &App, name: &str, since: Moment) -> Result<(), Error> {
    let command = Command::ShowIdle { since };
    let stream = stream_of(name);
    accepted(execute(app, name, &command, app.ledger.fresh_id(), &stream).await)
}

/// Executes a command about the reservation of the robot `name`. If the robot is not defined or not
/// free, does nothing.
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

/// Sends the order of a mission (work for a robot) to the robot.
pub async fn send_order(app: &App, robot: &Defined, order: &Order) -> Result<(), Error> {
    let message = v2::order(robot, order, header(app));
    publish(app, robot, "order", &message).await
}

/// Sends a request to the robot to cancel an order.
pub async fn send_cancel(app: &App, robot: &Defined, order: &str) -> Result<(), Error> {
    let message = v2::cancel(robot, order, header(app));
    publish(app, robot, "instantActions", &message).await
}

/// Asks a robot to send a new state message. `id` is the id of this request.
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
