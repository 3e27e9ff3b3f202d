//! The connection to robots: a port that publishes messages, and the codecs of the protocols
//! (reference/fleet.md, section 1).
//!
//! A codec is pure: it converts orders to messages, and messages to the neutral model of the crate
//! `domain`. An adapter of the port transports the messages. Publishing is not delivery: VDA 5050
//! uses QoS 0, and only a later state of the robot shows that the robot has an order.
//!
//! **Recipe, an adapter**: To add an adapter, create one file in this folder that implements
//! [`Fleet`], and pass the contract test in `contract.rs`.

pub mod contract;
#[cfg(feature = "aws")]
pub mod iot;
pub mod memory;
#[cfg(feature = "local")]
pub mod mqtt;
pub mod vda5050;

use async_trait::async_trait;
use events::Moment;

use crate::{Error, Kind};

/// Largest message of a robot, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// A message of a robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    /// The instant at which the desk, or the broker in the cloud, received the message.
    pub received: Moment,
    /// The client id of the sender; `None` if the broker does not report it.
    pub client: Option<String>,
}

/// Publishes messages to robots.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Publishes a message with QoS 0, not retained. A message that is not delivered is not sent
    /// again. Returns a transient error if the message was not handed to a connection.
    async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), Error>;
}

/// The adapter of a desk without a broker. Every publication fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFleet;

#[async_trait]
impl Fleet for NoFleet {
    async fn publish(&self, _topic: &str, _payload: &[u8]) -> Result<(), Error> {
        Err(Error::new(
            Kind::Unavailable,
            "this desk has no broker for robots; start it with --mqtt-broker",
        ))
    }
}
