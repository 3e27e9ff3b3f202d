//! Processes the messages of robots. A message is ignored if the robot identity in its MQTT topic
//! differs from the identity in the message.
//!
//! Each state message contains the whole state of the robot. If a state message is lost or
//! repeated, the next state message therefore still shows the current state.

use domain::fleet::dispatch::Dispatch;
use domain::fleet::model::mission_of;
use domain::fleet::robot::{Command, Robot, Slot};
use domain::intent::Due;
use events::Moment;
use infra::Error;
use infra::fleet::vda5050::{Topic, TopicKind, major, v2};
use infra::fleet::{MESSAGE_BYTES_MAX, Message};
use serde_json::Value;

use super::{missions, robots};
use crate::App;

/// Minimum time between two writes of an unchanged robot state, in milliseconds.
const KEEP_MS: i64 = 10_000;

/// The reason why a message of a robot is ignored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unused {
    #[error("robots send nothing on this topic")]
    Topic,
    #[error("the message has more than {MESSAGE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("no robot has this identity")]
    UnknownRobot,
    #[error("the version in the topic is not the version of the robot")]
    Version,
    #[error("the identity in the message or of the sender is not the identity in the topic")]
    Identity,
    #[error("{0}")]
    Unreadable(v2::Unreadable),
    #[error("a newer state is known")]
    Older,
}

/// Processes one message of a robot. If the message is ignored, a warning is written to the log. A
/// message with an older state is ignored without a warning.
pub async fn receive(app: &App, message: &Message) -> Result<(), Error> {
    match process(app, message).await? {
        Ok(()) | Err(Unused::Older) => {}
        Err(reason) => {
            tracing::warn!(topic = message.topic, %reason, "a message of a robot is not used");
        }
    }
    Ok(())
}

/// Processes one message of a robot. If the message is ignored, the inner `Err` is the reason.
pub async fn process(app: &App, message: &Message) -> Result<Result<(), Unused>, Error> {
    let Some(topic) = Topic::read(&message.topic) else {
        return Ok(Err(Unused::Topic));
    };
    if message.payload.len() > MESSAGE_BYTES_MAX {
        return Ok(Err(Unused::TooLarge));
    }
    let identity = Robot::identity(&topic.interface, &topic.manufacturer, &topic.serial);
    let found = robots::find(app, &identity).await?;
    let Some((robot, slot)) = found.and_then(|found| Some((found.defined?, found.slot))) else {
        return Ok(Err(Unused::UnknownRobot));
    };
    if major(&robot.version) != topic.major {
        return Ok(Err(Unused::Version));
    }
    let (received, body) = match v2::read(&message.payload) {
        Ok(read) => read,
        Err(unreadable) => return Ok(Err(Unused::Unreadable(unreadable))),
    };
    let is_own = received.manufacturer == robot.manufacturer && received.serial == robot.serial;
    // In the cloud, the message broker adds the client id of the sender to the message. If this id
    // is not the serial number of the robot, the message is ignored.
    let is_sender = message
        .client
        .as_ref()
        .is_none_or(|client| *client == robot.serial);
    if !is_own || !is_sender {
        return Ok(Err(Unused::Identity));
    }
    match topic.kind {
        TopicKind::Connection => {
            connection(app, &robot.name, &slot, &body, message.received).await?;
            Ok(Ok(()))
        }
        TopicKind::State => {
            state(app, &robot.name, &slot, &received, &body, message.received).await
        }
        TopicKind::Factsheet => Ok(Ok(())),
    }
}

/// Stores whether the robot is connected. The messages are processed in the order of their arrival,
/// and not in the order of the times in the messages. A time in a message can be old. For example,
/// the broker reports a lost connection with a message that contains the start time of the
/// connection.
async fn connection(
    app: &App,
    name: &str,
    slot: &Slot,
    body: &Value,
    received: Moment,
) -> Result<(), Error> {
    let (mut state, last) = robots::state(app, name).await?;
    let lost = (!v2::is_connected(body)).then_some(received);
    if lost.is_some() != state.lost.is_some() {
        state.lost = lost;
        robots::keep(app, name, &state, last).await?;
    }
    if lost.is_some()
        && let Slot::Held {
            dispatch, epoch, ..
        } = slot
    {
        missions::lose_contact(app, dispatch, *epoch).await?;
    }
    Ok(())
}

/// Stores the state of a robot, and stores the progress of its missions (the work for the robot).
/// The parameter `slot` is the state of the robot's reservation when the message arrived. If the
/// message is ignored, the inner `Err` is the reason.
async fn state(
    app: &App,
    name: &str,
    slot: &Slot,
    header: &v2::Received,
    body: &Value,
    received: Moment,
) -> Result<Result<(), Unused>, Error> {
    let snapshot = v2::snapshot(body);
    let (mut known, last) = robots::state(app, name).await?;
    // A robot gives each state message a number and a time. A message is newer than the stored
    // state if its number or its time is greater. After a restart of the robot, the numbers start
    // again, but the time is greater. If a message is not newer and its state differs from the
    // stored state, the desk ignores the message.
    let is_older = known.has_state
        && header.header <= known.header
        && header.timestamp <= known.timestamp
        && snapshot != known.snapshot;
    if is_older {
        return Ok(Err(Unused::Older));
    }
    let is_changed = !known.has_state || known.snapshot != snapshot || known.lost.is_some();
    if is_changed || received.0 - known.received.0 >= KEEP_MS {
        known.snapshot = snapshot.clone();
        known.received = received;
        (known.header, known.timestamp) = (header.header, header.timestamp);
        (known.lost, known.has_state) = (None, true);
        robots::keep(app, name, &known, last).await?;
    }
    let mut missions: Vec<(String, u32)> = mission_of(&snapshot.order).into_iter().collect();
    if let Slot::Held {
        dispatch, epoch, ..
    } = slot
    {
        let held = (dispatch.clone(), *epoch);
        if !missions.contains(&held) {
            missions.push(held);
        }
    }
    for (dispatch, epoch) in missions {
        missions::observe(app, &dispatch, epoch, &snapshot, received).await?;
    }
    if snapshot.is_idle() {
        // While this message was processed, a mission (work for a robot) may have ended the
        // reservation of the robot. The reservation is therefore read again.
        let robot = robots::load(app, &robots::stream_of(name)).await?;
        if matches!(
            robot.slot,
            Slot::Releasing { .. } | Slot::Quarantined { .. }
        ) {
            robots::show_idle(app, name, received).await?;
        }
    }
    Ok(Ok(()))
}

/// Checks the reservation of a robot at the deadline of this reservation. The reservation ends if
/// the mission (the work for the robot) does not need the robot.
pub async fn check(app: &App, due: &Due) -> Result<(), Error> {
    let at = app.ledger.clock.now();
    let robot = robots::load(app, &due.stream).await?;
    let Some(defined) = &robot.defined else {
        return Ok(());
    };
    match &robot.slot {
        Slot::Held {
            dispatch, epoch, ..
        } => {
            let mission: Dispatch = missions::load(app, dispatch).await?;
            if mission.needs_robot(&defined.name, *epoch) {
                return robots::check(app, &defined.name, &Command::Keep { at }).await;
            }
            let reason = "the mission does not need the robot";
            robots::release(app, &defined.name, dispatch, *epoch, reason, at).await
        }
        Slot::Releasing { .. } => robots::check(app, &defined.name, &Command::Fire { at }).await,
        Slot::Free | Slot::Quarantined { .. } => Ok(()),
    }
}
