//! Contains the function `fleet_message`, which processes the messages of robots. If the desk runs
//! on one machine, the messages come from an MQTT broker. In the cloud, a rule of the broker puts
//! the messages into the queue `fleet`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::Moment;
use infra::fleet::Message;
use infra::{Error, Kind};
use serde::Deserialize;

use crate::App;
use crate::app::fleet::messages;

/// The name of the function that processes the messages of robots.
pub const NAME: &str = "fleet_message";

/// A message in the queue `fleet`. A rule of the message broker creates this JSON object. The field
/// `payload` contains the robot message as base64 text, so that the robot message cannot change the
/// other fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Queued {
    payload: String,
    topic: String,
    client: String,
    /// The time at which the broker received the message, in milliseconds since 1970.
    received: i64,
}

/// Processes one message of a robot.
pub async fn receive(app: &App, message: &Message) -> Result<(), Error> {
    messages::receive(app, message).await
}

/// Processes one message of the queue `fleet`. A message without the expected fields is rejected,
/// because the rule of the broker writes only messages with these fields.
pub async fn from_queue(app: &App, body: &str) -> Result<(), Error> {
    let queued: Queued = serde_json::from_str(body).map_err(|error| {
        Error::because(
            Kind::Corrupt,
            "a message of the queue fleet does not have the form of the rule",
            error,
        )
    })?;
    let payload = STANDARD.decode(&queued.payload).map_err(|error| {
        Error::because(
            Kind::Corrupt,
            "the payload of a message is not base64",
            error,
        )
    })?;
    let message = Message {
        topic: queued.topic,
        payload,
        received: Moment(queued.received),
        client: Some(queued.client),
    };
    receive(app, &message).await
}
