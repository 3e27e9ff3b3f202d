//! Connects a desk to robots. The module contains a port (an interface that publishes messages),
//! and codecs (converters) for the protocols of robots (reference/fleet.md, section 1).
//!
//! A codec does no I/O. It converts orders to messages, and messages to the protocol-independent
//! model of the crate `domain`. An adapter of the port transports the messages. A published message
//! can be lost, because VDA 5050 uses QoS 0. Only a later state message of the robot shows that the
//! robot has received an order.
//!
//! **How to add an adapter**: Create one file in this directory that implements [`Fleet`]. Add one
//! test that runs the contract test in `contract.rs` on the adapter.

pub mod contract;
#[cfg(feature = "aws")]
pub mod iot;
pub mod memory;
#[cfg(feature = "local")]
pub mod mqtt;
#[cfg(feature = "local")]
pub mod test_broker;
pub mod vda5050;

use async_trait::async_trait;
use events::Moment;
use serde::{Deserialize, Serialize};

use crate::{Error, Kind};

/// Maximum size in bytes of a message from a robot.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Maximum number of refused subscriptions that [`Fleet::refused`] returns. A desk with 10,000 robots can have 30,000
/// subscriptions, and people read only the first ones.
pub const REFUSED_MAX: usize = 20;

/// A message that a robot sent. The type is also used for a message that an imitated robot (a
/// program that acts like a robot) received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    /// Time when the desk received the message. In the cloud, this is the time when the broker
    /// received the message.
    pub received: Moment,
    /// The MQTT client id of the sender. `None` if the broker does not provide this id.
    pub client: Option<String>,
}

/// A subscription to messages of robots that does not work. Messages of robots with these topics do not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The MQTT topic filter of the subscription.
    pub filter: String,
    /// The reason as an English text.
    pub reason: String,
}

/// Publishes messages to robots.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Publishes a message with QoS 0 and without the retain flag. If the message is lost on the
    /// way, it is not sent again. Returns a transient error (a later attempt can succeed) if no
    /// connection can accept the message.
    async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), Error>;

    /// Returns at most [`REFUSED_MAX`] subscriptions of the open connection that do not work. An adapter without
    /// subscriptions returns none.
    fn refused(&self) -> Vec<Refused> {
        Vec::new()
    }
}

/// The adapter for a desk without a broker. Every call of `publish` returns an error.
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
