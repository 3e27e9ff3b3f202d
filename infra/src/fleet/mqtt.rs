//! Connects a desk to an MQTT 3.1.1 broker for robots, with the library rumqttc (reference/fleet.md, section 2.12). The
//! code also connects an imitated robot (a program that acts like a robot) to the broker.
//!
//! The code creates a new client for each connection. If the connection is lost, the client is dropped together with
//! all messages that it has not sent. Otherwise, an old order could reach a robot after the robot has lost its mission
//! (its assigned work). The task that polls the connection does no other work.
//!
//! A broker can refuse a subscription and keep the connection open. The code requests a refused subscription again, and
//! the other subscriptions of the connection continue.

mod subscriptions;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rumqttc::{
    AsyncClient, Broker, ClientError, Event, Incoming, LastWill, MqttOptions, PublishOptions, QoS,
    SubscribeNoticeError,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use self::subscriptions::Subscriptions;
use super::{Fleet, MESSAGE_BYTES_MAX, Message, Refused, vda5050};
use crate::clock::Clock;
use crate::{Error, Kind};

/// Time in seconds without traffic after which the client sends a message that keeps the connection open.
const KEEP_ALIVE_S: u16 = 15;
/// Maximum time without any event of the connection. After this time, the client opens a new
/// connection.
const SILENCE: Duration = Duration::from_secs(2 * KEEP_ALIVE_S as u64);
/// Maximum number of messages that may wait until the connection sends them.
const WAITING_MAX: usize = 1_024;
/// Pauses before a new connection is opened. `PAUSE` is the shortest pause. Each failed attempt
/// doubles the pause up to `PAUSE_MAX`.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The address of an MQTT broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Parses a URL such as `mqtt://127.0.0.1:1883`. The default port is 1883. If the URL is
    /// invalid, the error is the reason as an English text.
    pub fn read(url: &str) -> Result<Self, String> {
        let parsed = crate::http::Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
        if parsed.scheme() != "mqtt" {
            return Err(format!(
                "{url}: the scheme must be mqtt; TLS is not supported yet"
            ));
        }
        let Some(host) = parsed.host_str().filter(|host| !host.is_empty()) else {
            return Err(format!("{url}: the host is missing"));
        };
        if !parsed.username().is_empty() || !matches!(parsed.path(), "" | "/") {
            return Err(format!("{url}: only host and port are allowed"));
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: parsed.port().unwrap_or(1883),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The MQTT messages that report whether a robot is connected (VDA 5050, topic `connection`). The broker stores the
/// newest message and sends it to new subscribers (retained message).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub topic: String,
    /// The client publishes this message when a connection is open.
    pub online: Vec<u8>,
    /// The broker publishes this message when a connection is lost.
    pub lost: Vec<u8>,
}

/// The connection of a desk, or of an imitated robot, to an MQTT broker.
#[derive(Debug, Default)]
pub struct Mqtt {
    /// The client of the current connection. `None` while the broker is not connected.
    client: Mutex<Option<AsyncClient>>,
    /// The messages that report whether a robot is connected. `None` if the connection belongs to a desk.
    presence: Option<Presence>,
    /// The subscriptions of the current connection.
    subscriptions: watch::Sender<Subscriptions>,
}

impl Mqtt {
    /// Creates the connection of one robot to the broker. The function `run` then subscribes to the messages that the
    /// desk sends to this robot. It does not subscribe to messages that robots send.
    pub fn of_robot(presence: Presence) -> Self {
        Self {
            presence: Some(presence),
            ..Self::default()
        }
    }

    fn set(&self, client: Option<AsyncClient>) {
        *self.client.lock().expect("no holder panics") = client;
    }

    fn current(&self) -> Option<AsyncClient> {
        self.client.lock().expect("no holder panics").clone()
    }

    /// Keeps a connection to the broker open, and sends each received message to the channel `received`. The function
    /// ends only if the receiver of this channel is dropped.
    ///
    /// `id` is the MQTT client id. The broker closes an existing connection when another program connects with the same
    /// id. `interfaces` contains the VDA 5050 interface names of all robots. For the connection of a robot,
    /// `interfaces` contains the topic of this robot without its last level.
    pub async fn run(
        self: Arc<Self>,
        address: Address,
        id: String,
        interfaces: watch::Receiver<BTreeSet<String>>,
        received: mpsc::Sender<Message>,
        clock: Arc<dyn Clock>,
    ) {
        let mut pause = PAUSE;
        while !received.is_closed() {
            let broker = Broker::tcp(address.host.clone(), address.port);
            let mut options = MqttOptions::new(id.clone(), broker);
            options
                .set_keep_alive(KEEP_ALIVE_S)
                .set_clean_session(true)
                .set_max_packet_size(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX);
            if let Some(presence) = &self.presence {
                let (topic, lost) = (presence.topic.as_str(), presence.lost.clone());
                options.set_last_will(LastWill::new(topic, lost, QoS::AtLeastOnce, true));
            }
            let (client, mut connection) =
                AsyncClient::builder(options).capacity(WAITING_MAX).build();
            connection.network_options.set_tcp_nodelay(true);
            let (connected, on_connected) = watch::channel(false);
            let mut tasks = JoinSet::new();
            tasks.spawn(self.clone().subscribing(
                client.clone(),
                address.to_string(),
                on_connected,
                interfaces.clone(),
            ));
            let mut was_connected = false;
            let reason = loop {
                match timeout(SILENCE, connection.poll()).await {
                    Err(_) => break "no event of the connection".to_owned(),
                    Ok(Err(error)) => break error.to_string(),
                    Ok(Ok(Event::Incoming(Incoming::ConnAck(_)))) => {
                        was_connected = true;
                        self.set(Some(client.clone()));
                        connected.send_replace(true);
                    }
                    Ok(Ok(Event::Incoming(Incoming::Publish(publish)))) => {
                        let message = Message {
                            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                            payload: publish.payload.to_vec(),
                            received: clock.now(),
                            client: None,
                        };
                        // If the channel is full, the message is dropped. This is acceptable for state messages of
                        // robots, because each state message is complete. A later state message replaces a lost
                        // message.
                        if received.try_send(message).is_err() {
                            tracing::warn!(
                                "a message of a robot is dropped; too many messages wait"
                            );
                        }
                    }
                    // The task `subscribing` gets the answers to its subscriptions (SUBACK) from the client.
                    Ok(Ok(_)) => {}
                }
            };
            self.set(None);
            drop(connection);
            // The task of this connection must end before the next connection records its subscriptions.
            tasks.shutdown().await;
            self.subscriptions.send_replace(Subscriptions::default());
            tracing::warn!(
                broker = address.host,
                port = address.port,
                reason,
                "no connection to the broker of the robots"
            );
            pause = if was_connected {
                PAUSE
            } else {
                (pause * 2).min(PAUSE_MAX)
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Subscribes to the MQTT topics of all VDA 5050 interface names when the connection is open. If names are added to
    /// `interfaces` later, the function also subscribes to their topics. A subscription counts only after the broker has
    /// accepted it. The function requests a refused subscription again after a pause.
    ///
    /// For the connection of a robot, the function also publishes that the robot is connected. It publishes this message
    /// after the answers to the first subscriptions. `broker` is the address of the broker for the log.
    async fn subscribing(
        self: Arc<Self>,
        client: AsyncClient,
        broker: String,
        mut connected: watch::Receiver<bool>,
        mut interfaces: watch::Receiver<BTreeSet<String>>,
    ) {
        if connected.wait_for(|connected| *connected).await.is_err() {
            return;
        }
        let mut unreported = self.presence.as_ref();
        let mut pause = subscriptions::PAUSE;
        loop {
            let wanted: BTreeSet<String> = {
                let all = interfaces.borrow_and_update();
                all.iter().flat_map(|one| self.filters(one)).collect()
            };
            if self.subscribe(&client, &broker, &wanted).await.is_err() {
                return;
            }
            if let Some(presence) = unreported.take() {
                let options = PublishOptions::at_least_once().retained();
                let (topic, online) = (presence.topic.as_str(), presence.online.clone());
                if let Err(error) = client.publish(topic, online, options).await {
                    tracing::error!(%error, topic, "cannot report the connection of a robot");
                    return;
                }
            }
            let is_complete = self.subscriptions.borrow().refused.is_empty();
            let is_changed = if is_complete {
                changed(&mut interfaces).await;
                true
            } else {
                timeout(pause, changed(&mut interfaces)).await.is_ok()
            };
            pause = if is_changed {
                subscriptions::PAUSE
            } else {
                (pause * 2).min(subscriptions::PAUSE_MAX)
            };
        }
    }

    /// Requests the subscriptions of `wanted` that the broker has not accepted, and records the answers. Returns an error
    /// if the connection has ended.
    async fn subscribe(
        &self,
        client: &AsyncClient,
        broker: &str,
        wanted: &BTreeSet<String>,
    ) -> Result<(), Ended> {
        let mut missing = Vec::new();
        self.subscriptions
            .send_modify(|state| missing = state.missing(wanted));
        let mut requested = Vec::new();
        for filter in missing {
            // With QoS 1, some brokers send only a limited number of retained messages to a new subscription. This
            // subscription therefore has QoS 0 (reference/surprises.md).
            let notice = client
                .subscribe_tracked(filter.as_str(), QoS::AtMostOnce)
                .await;
            match notice {
                Ok(notice) => requested.push((filter, notice)),
                Err(ClientError::InvalidRequest(_)) => {
                    self.refuse(broker, &filter, subscriptions::NOT_VALID);
                }
                Err(_) => return Err(Ended),
            }
        }
        let deadline = Instant::now() + subscriptions::ANSWER_MAX;
        for (filter, notice) in requested {
            match timeout_at(deadline, notice.wait_completion_async()).await {
                Ok(Ok(())) => self.accept(broker, &filter),
                Ok(Err(SubscribeNoticeError::V4SubAckFailure(_))) => {
                    self.refuse(broker, &filter, subscriptions::BY_BROKER);
                }
                Ok(Err(_)) => return Err(Ended),
                Err(_) => self.refuse(broker, &filter, subscriptions::NO_ANSWER),
            }
        }
        Ok(())
    }

    fn accept(&self, broker: &str, filter: &str) {
        let mut was_refused = false;
        self.subscriptions
            .send_modify(|state| was_refused = state.accept(filter));
        if was_refused {
            tracing::info!(
                broker,
                filter,
                "the broker accepts a subscription to messages of robots that did not work before"
            );
        }
    }

    /// Records that a subscription does not work. Writes an error to the log only if the reason is new, because the
    /// subscription is requested again and again.
    fn refuse(&self, broker: &str, filter: &str, reason: &str) {
        let mut is_new = false;
        self.subscriptions
            .send_modify(|state| is_new = state.refuse(filter, reason));
        if is_new {
            tracing::error!(
                broker,
                filter,
                reason,
                "cannot subscribe to messages of robots; trying again"
            );
        }
    }

    fn filters(&self, interface: &str) -> Vec<String> {
        if self.presence.is_some() {
            vda5050::filters_of_robot(interface).into()
        } else {
            vda5050::filters(interface).into()
        }
    }
}

/// The connection to the broker has ended.
struct Ended;

/// Waits until the set of interface names changes. If the set cannot change any more, the function waits forever.
async fn changed(interfaces: &mut watch::Receiver<BTreeSet<String>>) {
    if interfaces.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Fleet for Mqtt {
    async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), Error> {
        let unavailable = |what: &str| Error::new(Kind::Unavailable, what.to_owned());
        let client = self
            .current()
            .ok_or_else(|| unavailable("there is no connection to the broker of the robots"))?;
        client
            .try_publish(topic, payload.to_vec(), PublishOptions::at_most_once())
            .map_err(|error| Error::because(Kind::Unavailable, "cannot publish to a robot", error))
    }

    fn refused(&self) -> Vec<Refused> {
        self.subscriptions.borrow().shown()
    }
}
