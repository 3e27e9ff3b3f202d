//! Connects imitated robots to an MQTT broker, or directly to a desk in the same program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use infra::Error;
use infra::clock::Clock;
use infra::fleet::mqtt::{Address, Mqtt, Presence};
use infra::fleet::{Fleet, Message};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Outgoing, Setup, Vehicle};
use crate::host::local::Robots;

/// Maximum number of messages that may wait for one robot. Further messages are lost.
const INBOX_MAX: usize = 64;
/// Maximum number of robot messages that may wait for the desk in the same program. Further messages are lost, and a
/// later state message of the robot replaces them.
const DESK_MAX: usize = 4_096;

/// Imitated robots, and their connection to a desk. If this value is dropped, all robots are switched off.
pub struct Vehicles {
    link: Link,
    clock: Arc<dyn Clock>,
    /// The robots that are switched on, by their serial number.
    running: BTreeMap<String, Running>,
}

/// The connection between the robots and the desk: an MQTT broker, or the memory of this program.
enum Link {
    Broker(Address),
    Memory(Arc<Exchange>),
}

/// A robot that is switched on.
struct Running {
    vehicle: Arc<Mutex<Vehicle>>,
    last_will: Outgoing,
    /// The background tasks that run the robot. The tasks end when this value is dropped.
    tasks: JoinSet<()>,
}

impl Vehicles {
    /// Prepares robots that use the MQTT broker at `address`. Each robot has its own connection.
    pub fn serve(address: Address, clock: Arc<dyn Clock>) -> Self {
        Self::new(Link::Broker(address), clock)
    }

    /// Prepares robots that use no broker. Also returns the two parts that a desk needs for such robots: the
    /// publisher of messages to the robots, and the source of messages from the robots.
    pub fn in_memory(clock: Arc<dyn Clock>) -> (Self, (Arc<dyn Fleet>, Robots)) {
        let (desk, messages) = mpsc::channel(DESK_MAX);
        let (interfaces, _) = watch::channel(BTreeSet::new());
        let received = desk.clone();
        let exchange = Arc::new(Exchange {
            robots: Mutex::default(),
            desk,
            clock: clock.clone(),
        });
        let robots = Robots {
            connection: Box::pin(async move { received.closed().await }),
            messages,
            interfaces,
        };
        let vehicles = Self::new(Link::Memory(exchange.clone()), clock);
        let fleet: Arc<dyn Fleet> = exchange;
        (vehicles, (fleet, robots))
    }

    fn new(link: Link, clock: Arc<dyn Clock>) -> Self {
        Self {
            link,
            clock,
            running: BTreeMap::new(),
        }
    }

    /// Switches a robot on. All robots need different serial numbers.
    pub fn switch_on(&mut self, setup: Setup) {
        let (topic, serial) = (setup.topic(), setup.serial.clone());
        let vehicle = Vehicle::new(setup, self.clock.now().0);
        let (online, last_will) = (vehicle.online(), vehicle.last_will());
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let mut tasks = JoinSet::new();
        let outbox: Arc<dyn Fleet> = match &self.link {
            Link::Broker(address) => {
                let mqtt = Arc::new(Mqtt::of_robot(Presence {
                    topic: online.0,
                    online: online.1,
                    lost: last_will.1.clone(),
                }));
                let (_, topics) = watch::channel(BTreeSet::from([topic]));
                let id = format!("robot-{serial}");
                let clock = self.clock.clone();
                tasks.spawn(mqtt.clone().run(address.clone(), id, topics, sender, clock));
                mqtt
            }
            Link::Memory(exchange) => {
                exchange.connect(topic, sender);
                exchange.deliver(&online.0, &online.1);
                exchange.clone()
            }
        };
        let vehicle = Arc::new(Mutex::new(vehicle));
        tasks.spawn(act(vehicle.clone(), inbox, outbox, self.clock.clone()));
        let running = Running {
            vehicle,
            last_will,
            tasks,
        };
        self.running.insert(serial, running);
    }

    /// Switches a robot off. The robot sends no more messages, and the desk gets a message about the lost connection.
    /// Returns the properties of the robot with its last position, or `None` if the robot is not switched on.
    pub async fn switch_off(&mut self, serial: &str) -> Option<Setup> {
        let mut running = self.running.remove(serial)?;
        running.tasks.shutdown().await;
        let setup = running.vehicle.lock().expect("no holder panics").setup();
        if let Link::Memory(exchange) = &self.link {
            exchange.disconnect(&setup.topic());
            let (topic, payload) = &running.last_will;
            exchange.deliver(topic, payload);
        }
        Some(setup)
    }
}

/// Runs one robot until its inbox is closed. Passes messages and the current time to the robot, and publishes the
/// messages of the robot. As in VDA 5050, a message that cannot be published is lost. A later state message replaces
/// the lost message.
async fn act(
    vehicle: Arc<Mutex<Vehicle>>,
    mut inbox: mpsc::Receiver<Message>,
    outbox: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
) {
    loop {
        let due = vehicle.lock().expect("no holder panics").due();
        let pause = Duration::from_millis((due - clock.now().0).max(0).unsigned_abs());
        let message = tokio::select! {
            arrived = inbox.recv() => match arrived {
                Some(message) => Some(message),
                None => return,
            },
            () = tokio::time::sleep(pause) => None,
        };
        let outgoing = {
            let mut vehicle = vehicle.lock().expect("no holder panics");
            let mut outgoing = vehicle.tick(clock.now().0);
            if let Some(message) = message {
                outgoing.extend(vehicle.receive(&message.topic, &message.payload));
            }
            outgoing
        };
        for (topic, payload) in outgoing {
            if let Err(error) = outbox.publish(&topic, &payload).await {
                tracing::debug!(%error, topic, "a message of an imitated robot is lost");
            }
        }
    }
}

/// Replaces an MQTT broker: delivers the messages between robots and a desk in the same program.
struct Exchange {
    /// The message inboxes of all connected robots. The key is the MQTT topic of the robot without the last topic
    /// level, such as `uagv/v2/RobotCompany/001`.
    robots: Mutex<BTreeMap<String, mpsc::Sender<Message>>>,
    desk: mpsc::Sender<Message>,
    clock: Arc<dyn Clock>,
}

impl Exchange {
    fn connect(&self, robot: String, inbox: mpsc::Sender<Message>) {
        let mut robots = self.robots.lock().expect("no holder panics");
        robots.insert(robot, inbox);
    }

    fn disconnect(&self, robot: &str) {
        self.robots.lock().expect("no holder panics").remove(robot);
    }

    /// Delivers a message, like a broker with QoS 0. The message is lost if no receiver exists, or if too many
    /// messages wait for the receiver.
    fn deliver(&self, topic: &str, payload: &[u8]) {
        let receiver = match topic.rsplit_once('/') {
            Some((robot, "order" | "instantActions")) => {
                let robots = self.robots.lock().expect("no holder panics");
                robots.get(robot).cloned()
            }
            _ => Some(self.desk.clone()),
        };
        let message = Message {
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            received: self.clock.now(),
            client: None,
        };
        if receiver.is_none_or(|receiver| receiver.try_send(message).is_err()) {
            tracing::debug!(topic, "a message between the desk and a robot is lost");
        }
    }
}

#[async_trait]
impl Fleet for Exchange {
    async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), Error> {
        self.deliver(topic, payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use events::site::Position;
    use infra::clock::SystemClock;
    use serde_json::{Value, json};

    use super::*;

    fn setup() -> Setup {
        Setup {
            interface: "uagv".into(),
            manufacturer: "RobotCompany".into(),
            serial: "001".into(),
            map: "hall_map".into(),
            position: Position { x: 1.0, y: 2.0 },
            speed: 10.0,
            action: "noop".into(),
            work_ms: 1,
            result: String::new(),
        }
    }

    async fn next(robots: &mut Robots) -> (String, Value) {
        let message = robots.messages.recv().await.expect("a message");
        let body = serde_json::from_slice(&message.payload).expect("JSON");
        (message.topic, body)
    }

    #[tokio::test]
    async fn a_robot_without_a_broker_sends_states_until_it_is_off() {
        let (mut vehicles, (fleet, mut robots)) = Vehicles::in_memory(Arc::new(SystemClock));
        vehicles.switch_on(setup());
        let (topic, online) = next(&mut robots).await;
        assert_eq!(topic, "uagv/v2/RobotCompany/001/connection");
        assert_eq!(online["connectionState"], "ONLINE");
        let (topic, state) = next(&mut robots).await;
        assert_eq!(topic, "uagv/v2/RobotCompany/001/state");
        assert_eq!(state["orderId"], "");
        let order = json!({
            "headerId": 1, "timestamp": "2026-11-22T02:00:00.000Z", "version": "2.0.0",
            "manufacturer": "RobotCompany", "serialNumber": "001", "orderId": "a", "orderUpdateId": 0, "edges": [],
            "nodes": [{ "nodeId": "S1", "sequenceId": 0, "released": true,
                        "nodePosition": { "x": 1.0, "y": 2.0, "mapId": "hall_map" },
                        "actions": [{ "actionId": "1", "actionType": "noop", "blockingType": "HARD" }] }],
        });
        let topic = "uagv/v2/RobotCompany/001/order";
        let published = fleet.publish(topic, order.to_string().as_bytes()).await;
        published.expect("published");
        loop {
            let (_, state) = next(&mut robots).await;
            if state["actionStates"][0]["actionStatus"] == "FINISHED" {
                assert_eq!(state["orderId"], "a");
                break;
            }
        }
        let off = vehicles.switch_off("001").await;
        assert_eq!(off, Some(setup()));
        assert_eq!(vehicles.switch_off("001").await, None);
        loop {
            let (_, message) = next(&mut robots).await;
            if message["connectionState"] == "CONNECTIONBROKEN" {
                break;
            }
        }
        assert!(robots.messages.try_recv().is_err());
    }
}
