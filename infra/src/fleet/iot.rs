//! Publishes messages to robots with the HTTP API of AWS IoT Core, which is the MQTT broker in the
//! cloud.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iotdataplane::Client;
use aws_sdk_iotdataplane::primitives::Blob;

use super::Fleet;
use crate::{Error, Kind};

/// A client of the data plane (the API that publishes messages) of AWS IoT Core.
#[derive(Clone, Debug)]
pub struct Iot {
    client: Client,
}

impl Iot {
    /// Creates the client. This function sends no request.
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            client: Client::new(config),
        }
    }
}

#[async_trait]
impl Fleet for Iot {
    async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), Error> {
        let sent = self
            .client
            .publish()
            .topic(topic)
            .qos(0)
            .payload(Blob::new(payload))
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| Error::because(Kind::Unavailable, "cannot publish to a robot", error))
    }
}
