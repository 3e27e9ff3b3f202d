//! Imitates mobile robots that communicate by the standard VDA 5050, version 2.0 (reference/fleet.md, section 1). A
//! robot checks each message as the standard requires. It drives in straight lines, and does one kind of action.
//!
//! [`Vehicle`] is one robot without network and clock. Its methods receive the messages and the current time as
//! arguments. [`Vehicles`] connects several robots to an MQTT broker, or directly to a desk in the same program.
//!
//! The robots do not imitate pauses, charging, actions on edges and factsheets. They never announce the end of a
//! connection (`OFFLINE`).

mod connected;
mod order;

use std::collections::VecDeque;
use std::time::Duration;

use events::site::Position;
use jiff::Timestamp;
use serde_json::{Value, json};

pub use connected::Vehicles;
use order::{Action, Edge, Node, Order, Refusal, distance};

/// Longest time between two state messages of a robot, in milliseconds.
pub const STATE_EVERY_MS: i64 = 1_000;
/// Time in milliseconds that a robot needs to end a canceled order.
const CANCEL_MS: i64 = 100;
/// Maximum number of instant actions (actions that the robot does immediately) in the state of a robot. If there are
/// more, the robot removes the oldest finished instant actions.
const INSTANT_MAX: usize = 50;
/// Maximum number of errors in the state of a robot. If there are more, the robot removes the oldest error.
const ERRORS_MAX: usize = 20;

/// The texts with which VDA 5050 describes the status of an action.
const WAITING: &str = "WAITING";
const RUNNING: &str = "RUNNING";
const FINISHED: &str = "FINISHED";
const FAILED: &str = "FAILED";

/// The fixed properties of an imitated robot.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The first level of all MQTT topics of the robot.
    pub interface: String,
    pub manufacturer: String,
    pub serial: String,
    /// The name of the map on which the robot drives.
    pub map: String,
    /// The position of the robot when it is switched on.
    pub position: Position,
    /// The speed in meters per second.
    pub speed: f64,
    /// The only type of action that the robot does.
    pub action: String,
    /// The duration of each action, in milliseconds.
    pub work_ms: i64,
    /// The text that the robot reports as the result of each action.
    pub result: String,
}

impl Setup {
    /// Returns the MQTT topic of the robot without the last topic level, such as `uagv/v2/RobotCompany/001`.
    pub fn topic(&self) -> String {
        format!(
            "{}/v2/{}/{}",
            self.interface, self.manufacturer, self.serial
        )
    }
}

/// A message that a robot publishes. The message consists of its topic and its payload.
pub type Outgoing = (String, Vec<u8>);

/// The state of one action. The robot reports this state in its state messages.
#[derive(Clone, Debug)]
struct ActionState {
    id: String,
    kind: String,
    status: &'static str,
    result: String,
    is_instant: bool,
}

impl ActionState {
    fn new(action: &Action, status: &'static str, is_instant: bool) -> Self {
        Self {
            id: action.id.clone(),
            kind: action.kind.clone(),
            status,
            result: String::new(),
            is_instant,
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.status, FINISHED | FAILED)
    }
}

/// A drive in a straight line. The times are in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Drive {
    from: Position,
    to: Position,
    since: i64,
    until: i64,
}

/// One imitated robot.
#[derive(Clone, Debug)]
pub struct Vehicle {
    setup: Setup,
    /// The current time in milliseconds since 1970.
    now: i64,
    /// The position at which the current drive began. If the robot does not drive, `position` is its current position.
    position: Position,
    order: String,
    update: u32,
    last_node: String,
    last_sequence: u32,
    /// The id and the sequence id of the last released node (the last node to which the robot may drive). An update of
    /// the order must begin with this node.
    base_end: (String, u32),
    /// The nodes (places) and the edges (ways between two nodes) of the order that the robot has not passed yet.
    nodes: VecDeque<Node>,
    edges: VecDeque<Edge>,
    actions: Vec<ActionState>,
    /// The ids of the actions at the current node that the robot has not begun yet.
    at_node: VecDeque<String>,
    /// The id of the current action, and the time of its end in milliseconds since 1970.
    working: Option<(String, i64)>,
    drive: Option<Drive>,
    /// The id of the instant action that cancels the order. Also contains the time at which the cancellation ends, in
    /// milliseconds since 1970.
    canceling: Option<(String, i64)>,
    is_canceled: bool,
    errors: Vec<Value>,
    /// The number of state messages that the robot has sent.
    states: u32,
    /// The time of the last state message, in milliseconds since 1970.
    sent: i64,
    has_changed: bool,
}

impl Vehicle {
    /// Creates a robot that was switched on at the time `now_ms` and has no order.
    pub fn new(setup: Setup, now_ms: i64) -> Self {
        let (position, last_node) = (setup.position, format!("home-{}", setup.serial));
        Self {
            setup,
            now: now_ms,
            position,
            order: String::new(),
            update: 0,
            base_end: (last_node.clone(), 0),
            last_node,
            last_sequence: 0,
            nodes: VecDeque::new(),
            edges: VecDeque::new(),
            actions: Vec::new(),
            at_node: VecDeque::new(),
            working: None,
            drive: None,
            canceling: None,
            is_canceled: false,
            errors: Vec::new(),
            states: 0,
            sent: now_ms - STATE_EVERY_MS,
            has_changed: true,
        }
    }

    /// Returns the message that reports the robot as connected. An MQTT client publishes this message with the retain
    /// flag.
    pub fn online(&self) -> Outgoing {
        self.connection(1, "ONLINE")
    }

    /// Returns the message that reports the robot as disconnected. The broker publishes this message with the retain
    /// flag when the connection to the robot is lost.
    pub fn last_will(&self) -> Outgoing {
        self.connection(0, "CONNECTIONBROKEN")
    }

    fn connection(&self, header: u32, state: &str) -> Outgoing {
        self.message("connection", header, json!({ "connectionState": state }))
    }

    fn message(&self, name: &str, header: u32, mut body: Value) -> Outgoing {
        let at = Timestamp::from_millisecond(self.now).unwrap_or_default();
        body["headerId"] = header.into();
        body["timestamp"] = format!("{at:.3}").into();
        body["version"] = "2.0.0".into();
        body["manufacturer"] = self.setup.manufacturer.as_str().into();
        body["serialNumber"] = self.setup.serial.as_str().into();
        let topic = format!("{}/{name}", self.setup.topic());
        (topic, body.to_string().into_bytes())
    }

    /// Returns the properties of the robot, with its current position.
    pub fn setup(&self) -> Setup {
        Setup {
            position: self.place(),
            ..self.setup.clone()
        }
    }

    /// Processes a message to the robot. Returns the messages that the robot publishes.
    pub fn receive(&mut self, topic: &str, payload: &[u8]) -> Vec<Outgoing> {
        let own = self.setup.topic();
        let name = topic
            .strip_prefix(own.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        let taken = match name {
            Some("order") => {
                Order::read(payload, &self.setup).and_then(|order| self.take_order(order))
            }
            Some("instantActions") => order::instant_actions(payload, &self.setup)
                .map(|actions| self.take_instant_actions(&actions)),
            _ => Ok(()),
        };
        if let Err(refusal) = taken {
            self.report(&refusal);
        }
        self.advance();
        self.changes()
    }

    /// Sets the current time of the robot, and does everything that is due at this time. Returns the messages that the
    /// robot publishes.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Outgoing> {
        self.now = self.now.max(now_ms);
        self.advance();
        self.changes()
    }

    /// Returns the time of the next step of the robot, in milliseconds since 1970. The step ends an action, a drive or
    /// a cancellation, or sends a state message. A new message to the robot can cause an earlier step.
    pub fn due(&self) -> i64 {
        let ends = [
            self.working.as_ref().map(|(_, until)| *until),
            self.canceling.as_ref().map(|(_, until)| *until),
            self.drive.map(|drive| drive.until),
        ];
        let next_state = self.sent + STATE_EVERY_MS;
        ends.into_iter().flatten().fold(next_state, i64::min)
    }

    /// Returns true if the robot has no unfinished order and no unfinished action.
    fn is_idle(&self) -> bool {
        self.nodes.is_empty()
            && self.edges.is_empty()
            && self.actions.iter().all(ActionState::has_ended)
    }

    /// Accepts an order message, or returns the reason why the robot refuses the message. A repetition of the current
    /// order message changes nothing (VDA 5050 2.0, section 6.6.4.3).
    fn take_order(&mut self, order: Order) -> Result<(), Refusal> {
        if order.id != self.order {
            return self.begin(order);
        }
        if order.update == self.update {
            return Ok(());
        }
        let refuse = |reason: String| Err(Refusal::of_order("orderUpdateError", &order, reason));
        if order.update < self.update {
            return refuse(format!("the robot already has the update {}", self.update));
        }
        if self.is_canceled {
            return refuse("the order is canceled".into());
        }
        let (node, sequence) = &self.base_end;
        if order.nodes[0].id != *node || order.nodes[0].sequence != *sequence {
            return refuse(format!(
                "the update must begin with the node {node} and the sequence id {sequence}"
            ));
        }
        let dropped: Vec<String> = self
            .nodes
            .iter()
            .filter(|node| !node.released)
            .flat_map(|node| &node.actions)
            .map(|action| action.id.clone())
            .collect();
        self.actions.retain(|action| !dropped.contains(&action.id));
        self.nodes.retain(|node| node.released);
        self.edges.retain(|edge| edge.released);
        self.append(order);
        Ok(())
    }

    /// Begins a new order, or returns the reason why the robot refuses the order.
    fn begin(&mut self, order: Order) -> Result<(), Refusal> {
        let refuse =
            |kind: &'static str, reason: &str| Err(Refusal::of_order(kind, &order, reason));
        if !self.is_idle() {
            return refuse("orderError", "the robot has another order");
        }
        if order.update != 0 {
            return refuse("orderUpdateError", "the robot does not have this order");
        }
        let first = &order.nodes[0];
        if first.id != self.last_node && !first.is_at(self.position) {
            return refuse("noRouteError", "the robot is not at the first node");
        }
        self.actions.clear();
        self.is_canceled = false;
        (self.last_node, self.last_sequence) = (first.id.clone(), first.sequence);
        self.base_end = (first.id.clone(), first.sequence);
        self.add_waiting(&order.nodes[0].actions);
        self.reach(&order.nodes[0].actions);
        self.append(order);
        Ok(())
    }

    /// Appends the nodes and edges of an order message to the current order. The first node of the message is skipped,
    /// because the robot already has this node.
    fn append(&mut self, order: Order) {
        for node in order.nodes.into_iter().skip(1) {
            self.add_waiting(&node.actions);
            if node.released {
                self.base_end = (node.id.clone(), node.sequence);
            }
            self.nodes.push_back(node);
        }
        self.edges.extend(order.edges);
        (self.order, self.update) = (order.id, order.update);
        self.errors.clear();
        self.has_changed = true;
    }

    fn add_waiting(&mut self, actions: &[Action]) {
        let states = actions.iter();
        self.actions
            .extend(states.map(|action| ActionState::new(action, WAITING, false)));
    }

    /// Begins instant actions (actions that the robot does immediately). An action with a known id is a repetition, and
    /// changes nothing.
    fn take_instant_actions(&mut self, actions: &[Action]) {
        for action in actions {
            if self.actions.iter().any(|known| known.id == action.id) {
                continue;
            }
            let status = match action.kind.as_str() {
                "cancelOrder" => self.cancel(&action.id),
                "stateRequest" => FINISHED,
                other => {
                    let reason = format!("the robot cannot do the instant action {other}");
                    self.report(&Refusal::of_action(
                        "instantActionError",
                        &action.id,
                        reason,
                    ));
                    FAILED
                }
            };
            self.actions.push(ActionState::new(action, status, true));
            self.has_changed = true;
        }
        let is_old = |action: &ActionState| action.is_instant && action.has_ended();
        while self.actions.iter().filter(|one| one.is_instant).count() > INSTANT_MAX
            && let Some(oldest) = self.actions.iter().position(is_old)
        {
            self.actions.remove(oldest);
        }
    }

    /// Begins to cancel the order. `id` is the id of the instant action that requests the cancellation. Returns the
    /// status of this action.
    fn cancel(&mut self, id: &str) -> &'static str {
        if self.is_idle() {
            let reason = "the robot has no order";
            self.report(&Refusal::of_action("noOrderToCancel", id, reason));
            return FAILED;
        }
        self.position = self.place();
        (self.drive, self.working) = (None, None);
        self.nodes.clear();
        self.edges.clear();
        self.at_node.clear();
        let unfinished = self.actions.iter_mut().filter(|action| !action.has_ended());
        unfinished.for_each(|action| action.status = FAILED);
        self.is_canceled = true;
        self.canceling = Some((id.to_owned(), self.now + CANCEL_MS));
        RUNNING
    }

    /// Adds an error to the state of the robot. The robot reports the error until it accepts another order message.
    fn report(&mut self, refusal: &Refusal) {
        let error = refusal.entry();
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
        if self.errors.len() > ERRORS_MAX {
            self.errors.remove(0);
        }
        self.has_changed = true;
    }

    /// Does everything that the robot can do at the current time: ends finished actions and drives, and begins the next
    /// action or drive.
    fn advance(&mut self) {
        let now = self.now;
        loop {
            if let Some((id, _)) = self.canceling.take_if(|(_, until)| *until <= now) {
                self.set(&id, FINISHED);
            } else if let Some((id, _)) = self.working.take_if(|(_, until)| *until <= now) {
                self.set(&id, FINISHED);
            } else if self.canceling.is_some() || self.working.is_some() {
                return;
            } else if let Some(id) = self.at_node.pop_front() {
                self.set(&id, RUNNING);
                self.working = Some((id, now + self.setup.work_ms));
            } else if let Some(drive) = self.drive.take_if(|drive| drive.until <= now) {
                self.arrive(drive.to);
            } else if self.drive.is_some() || !self.depart() {
                return;
            }
        }
    }

    fn set(&mut self, id: &str, status: &'static str) {
        let result = &self.setup.result;
        let actions = self.actions.iter_mut().filter(|action| action.id == id);
        for action in actions {
            action.status = status;
            if status == FINISHED && !action.is_instant {
                action.result.clone_from(result);
            }
        }
        self.has_changed = true;
    }

    /// Begins the drive to the next node. Returns false if the order has no next node, or if the next node is not
    /// released (the robot may not drive to it yet).
    fn depart(&mut self) -> bool {
        let Some(node) = self.nodes.front().filter(|node| node.released) else {
            return false;
        };
        let to = node.position();
        let duration = Duration::try_from_secs_f64(distance(self.position, to) / self.setup.speed);
        let ms = i64::try_from(duration.unwrap_or(Duration::MAX).as_millis()).unwrap_or(i64::MAX);
        self.drive = Some(Drive {
            from: self.position,
            to,
            since: self.now,
            until: self.now.saturating_add(ms),
        });
        self.has_changed = true;
        true
    }

    fn arrive(&mut self, at: Position) {
        self.position = at;
        self.edges.pop_front();
        if let Some(node) = self.nodes.pop_front() {
            self.reach(&node.actions);
            (self.last_node, self.last_sequence) = (node.id, node.sequence);
        }
        self.has_changed = true;
    }

    /// Adds the actions of a reached node to the list of actions that the robot must do there.
    fn reach(&mut self, actions: &[Action]) {
        self.at_node
            .extend(actions.iter().map(|action| action.id.clone()));
    }

    /// Returns the current position of the robot.
    fn place(&self) -> Position {
        let Some(Drive {
            from, to, since, ..
        }) = self.drive
        else {
            return self.position;
        };
        let elapsed = Duration::from_millis((self.now - since).unsigned_abs());
        let whole = distance(from, to);
        let driven = (self.setup.speed * elapsed.as_secs_f64()).min(whole);
        let part = if whole > 0.0 { driven / whole } else { 1.0 };
        Position {
            x: from.x + (to.x - from.x) * part,
            y: from.y + (to.y - from.y) * part,
        }
    }

    /// Returns a new state message if the state has changed, or if the last state message is [`STATE_EVERY_MS`] old.
    /// Otherwise, returns no message.
    fn changes(&mut self) -> Vec<Outgoing> {
        if !self.has_changed && self.now < self.sent + STATE_EVERY_MS {
            return Vec::new();
        }
        self.has_changed = false;
        self.sent = self.now;
        self.states += 1;
        vec![self.message("state", self.states, self.state())]
    }

    fn state(&self) -> Value {
        let nodes = self.nodes.iter().map(|node| {
            json!({ "nodeId": node.id, "sequenceId": node.sequence, "released": node.released })
        });
        let edges = self.edges.iter().map(|edge| {
            json!({ "edgeId": edge.id, "sequenceId": edge.sequence, "released": edge.released })
        });
        let actions = self.actions.iter().map(|action| {
            let mut state = json!({
                "actionId": action.id, "actionType": action.kind, "actionStatus": action.status,
            });
            if !action.result.is_empty() {
                state["resultDescription"] = action.result.as_str().into();
            }
            state
        });
        let position = self.place();
        let is_at_base_end =
            self.drive.is_none() && self.nodes.front().is_some_and(|node| !node.released);
        json!({
            "orderId": self.order,
            "orderUpdateId": self.update,
            "lastNodeId": self.last_node,
            "lastNodeSequenceId": self.last_sequence,
            "nodeStates": nodes.collect::<Vec<_>>(),
            "edgeStates": edges.collect::<Vec<_>>(),
            "actionStates": actions.collect::<Vec<_>>(),
            "agvPosition": {
                "x": position.x, "y": position.y, "theta": 0.0, "mapId": self.setup.map,
                "positionInitialized": true,
            },
            "driving": self.drive.is_some(),
            "paused": false,
            "newBaseRequest": is_at_base_end,
            "batteryState": { "batteryCharge": 90.0, "charging": false },
            "operatingMode": "AUTOMATIC",
            "errors": self.errors,
            "safetyState": { "eStop": "NONE", "fieldViolation": false },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::fleet::model::{ActionStatus, Order as Planned, Progress, Snapshot, progress};
    use events::Moment;
    use events::robot::Defined;
    use events::task_type::Repetition;
    use infra::fleet::vda5050::{topic_to, v2};

    use super::*;

    const ORDER: &str = "5d41402abc4b2a76b9719d911017c592-e1";
    const START: i64 = 1_795_312_800_000;

    /// Creates the robot of the tests. The robot drives for 1 s from its start to the station of the test order. It
    /// then works at the station for 400 ms.
    fn vehicle() -> Vehicle {
        let setup = Setup {
            interface: "uagv".into(),
            manufacturer: "RobotCompany".into(),
            serial: "001".into(),
            map: "hall_map".into(),
            position: Position::default(),
            speed: 10.0,
            action: "noop".into(),
            work_ms: 400,
            result: "3 photos".into(),
        };
        let mut vehicle = Vehicle::new(setup, START);
        let first = last(&vehicle.tick(START));
        assert!(first.is_idle() && first.is_able());
        vehicle
    }

    fn defined() -> Defined {
        Defined {
            name: "agv_1".into(),
            site: "hall".into(),
            skills: Vec::new(),
            interface: "uagv".into(),
            manufacturer: "RobotCompany".into(),
            serial: "001".into(),
            version: "2.0.0".into(),
            instant_actions: "actions".into(),
        }
    }

    fn planned(update: u32, repetition: Repetition) -> Planned {
        Planned {
            id: ORDER.into(),
            update,
            map: "hall_map".into(),
            start: Position::default(),
            start_node: "home-001".into(),
            station: "S1".into(),
            position: Position { x: 10.0, y: 0.0 },
            action: "noop".into(),
            parameters: BTreeMap::new(),
            repetition,
        }
    }

    fn header() -> v2::Header {
        v2::Header {
            id: 7,
            at: Moment(START),
        }
    }

    /// Sends a message to the robot. `name` is the last level of the MQTT topic, such as `order`. Returns the messages
    /// that the robot publishes.
    fn send(vehicle: &mut Vehicle, name: &str, message: &Value) -> Vec<Outgoing> {
        let topic = topic_to(&defined(), name);
        vehicle.receive(&topic, message.to_string().as_bytes())
    }

    fn order(vehicle: &mut Vehicle, planned: &Planned) -> Vec<Outgoing> {
        let message = v2::order(&defined(), planned, header());
        send(vehicle, "order", &message)
    }

    fn cancel(vehicle: &mut Vehicle, order: &str) -> Vec<Outgoing> {
        let message = v2::cancel(&defined(), order, header());
        send(vehicle, "instantActions", &message)
    }

    /// Returns the last state message of the robot, converted to the type that the desk uses.
    fn last(sent: &[Outgoing]) -> Snapshot {
        let (topic, payload) = sent.last().expect("a message");
        assert_eq!(*topic, topic_to(&defined(), "state"));
        let (received, message) = v2::read(payload).expect("a readable message");
        assert_eq!(
            (received.manufacturer.as_str(), received.serial.as_str()),
            ("RobotCompany", "001")
        );
        assert!(received.header > 0 && received.timestamp >= START);
        v2::snapshot(&message)
    }

    fn shown(sent: &[Outgoing]) -> Progress {
        progress(ORDER, Repetition::AtMostOnce, &last(sent))
    }

    fn errors(sent: &[Outgoing]) -> Vec<String> {
        let errors = last(sent).errors.into_iter();
        errors.map(|error| error.kind).collect()
    }

    #[test]
    fn an_order_is_completed_after_the_release_of_its_work() {
        let mut robot = vehicle();
        let first = planned(0, Repetition::AtMostOnce);
        let sent = order(&mut robot, &first);
        assert_eq!(shown(&sent), Progress::Accepted);
        assert!(last(&sent).is_driving);
        assert_eq!(last(&sent).nodes, [(2, true), (4, false)]);
        assert!(
            order(&mut robot, &first).is_empty(),
            "a repeated order is ignored"
        );
        assert!(robot.tick(START + 999).is_empty());
        let sent = robot.tick(START + 1_000);
        assert_eq!(shown(&sent), Progress::AtGate);
        assert_eq!(last(&sent).position, Some(Position { x: 10.0, y: 0.0 }));
        assert_eq!(robot.due(), START + 1_000 + STATE_EVERY_MS);
        let sent = robot.tick(START + 5_000);
        assert_eq!(shown(&sent), Progress::AtGate, "the robot waits");
        let sent = order(&mut robot, &planned(1, Repetition::AtMostOnce));
        assert_eq!(shown(&sent), Progress::Working);
        assert_eq!(robot.due(), START + 5_400);
        assert!(robot.tick(START + 5_399).is_empty());
        let sent = robot.tick(START + 5_400);
        assert_eq!(shown(&sent), Progress::Finished("3 photos".into()));
        assert!(last(&sent).is_idle());
        assert_eq!(last(&sent).last_node, "S1");
    }

    #[test]
    fn work_without_a_gate_begins_at_the_station() {
        let mut robot = vehicle();
        let sent = order(&mut robot, &planned(0, Repetition::AtLeastOnce));
        assert_eq!(last(&sent).nodes, [(2, true)]);
        assert_eq!(shown(&robot.tick(START + 1_000)), Progress::Working);
        let sent = robot.tick(START + 1_400);
        assert_eq!(shown(&sent), Progress::Finished("3 photos".into()));
    }

    #[test]
    fn a_wrong_update_is_rejected_and_the_order_continues() {
        let mut robot = vehicle();
        order(&mut robot, &planned(0, Repetition::AtMostOnce));
        robot.tick(START + 1_000);
        let mut elsewhere = planned(1, Repetition::AtMostOnce);
        elsewhere.station = "S2".into();
        let sent = order(&mut robot, &elsewhere);
        assert_eq!(errors(&sent), ["orderUpdateError"]);
        assert!(last(&sent).errors[0].references.contains(&ORDER.to_owned()));
        assert_eq!(shown(&sent), Progress::AtGate);
        let sent = order(&mut robot, &planned(1, Repetition::AtMostOnce));
        assert_eq!(shown(&sent), Progress::Working);
        assert!(
            errors(&sent).is_empty(),
            "a taken order removes the errors of earlier messages"
        );
        let sent = order(&mut robot, &planned(0, Repetition::AtMostOnce));
        assert_eq!(errors(&sent), ["orderUpdateError"]);
        assert_eq!((last(&sent).update, shown(&sent)), (1, Progress::Working));
    }

    #[test]
    fn a_canceled_order_ends_and_stays_canceled() {
        let mut robot = vehicle();
        order(&mut robot, &planned(0, Repetition::AtMostOnce));
        robot.tick(START + 500);
        let sent = cancel(&mut robot, ORDER);
        assert!(matches!(shown(&sent), Progress::Failed(_)));
        assert!(!last(&sent).is_idle() && !last(&sent).is_driving);
        assert_eq!(last(&sent).position, Some(Position { x: 5.0, y: 0.0 }));
        assert!(
            cancel(&mut robot, ORDER).is_empty(),
            "a repeated cancellation is ignored"
        );
        let sent = robot.tick(START + 500 + CANCEL_MS);
        let action = last(&sent).actions.pop().expect("the cancellation");
        assert_eq!(action.status, ActionStatus::Finished);
        assert!(last(&sent).is_idle());
        let sent = order(&mut robot, &planned(1, Repetition::AtMostOnce));
        assert_eq!(errors(&sent), ["orderUpdateError"]);
        let sent = cancel(&mut robot, "another");
        assert_eq!(errors(&sent), ["orderUpdateError", "noOrderToCancel"]);
        let mut next = planned(0, Repetition::AtMostOnce);
        next.id = ORDER.replace("-e1", "-e2");
        let sent = order(&mut robot, &next);
        assert_eq!(last(&sent).order, next.id);
        assert!(errors(&sent).is_empty() && last(&sent).is_driving);
    }

    #[test]
    fn each_fault_of_a_message_has_the_error_of_the_standard() {
        let message = v2::order(&defined(), &planned(0, Repetition::AtMostOnce), header());
        let with = |path: &str, value: Value| {
            let mut message = message.clone();
            *message.pointer_mut(path).expect("a member") = value;
            message
        };
        for (path, value, expected) in [
            ("/nodes", json!([]), "validationError"),
            ("/nodes/0/released", false.into(), "validationError"),
            ("/nodes/1/sequenceId", 3.into(), "validationError"),
            ("/edges/1/endNodeId", "S2".into(), "validationError"),
            ("/serialNumber", "002".into(), "validationError"),
            ("/version", "3.0.0".into(), "validationError"),
            ("/nodes/2/actions/0/actionType", "pick".into(), "orderError"),
            ("/nodes/0/nodePosition/mapId", "yard".into(), "noRouteError"),
            ("/orderUpdateId", 1.into(), "orderUpdateError"),
        ] {
            let sent = send(&mut vehicle(), "order", &with(path, value));
            assert_eq!(errors(&sent), [expected], "{path}");
            assert!(last(&sent).order.is_empty(), "{path}");
        }
        let mut far = planned(0, Repetition::AtMostOnce);
        far.start_node = "n1".into();
        far.start.x = 2.5;
        assert_eq!(errors(&order(&mut vehicle(), &far)), ["noRouteError"]);
        let topic = topic_to(&defined(), "order");
        let sent = vehicle().receive(&topic, b"{");
        assert_eq!(errors(&sent), ["validationError"]);
        // Since version 2.0, VDA 5050 uses the member name `actions` for instant actions. The robot must reject the
        // older member name.
        let old = Defined {
            instant_actions: "instantActions".into(),
            ..defined()
        };
        let message = v2::state_request(&old, "1", header());
        let sent = send(&mut vehicle(), "instantActions", &message);
        assert_eq!(errors(&sent), ["validationError"]);
    }

    #[test]
    fn a_robot_with_an_order_takes_no_other_order() {
        let mut robot = vehicle();
        order(&mut robot, &planned(0, Repetition::AtMostOnce));
        let mut other = planned(0, Repetition::AtMostOnce);
        other.id = ORDER.replace("-e1", "-e2");
        let sent = order(&mut robot, &other);
        assert_eq!(errors(&sent), ["orderError"]);
        assert_eq!(last(&sent).order, ORDER);
        let message = v2::state_request(&defined(), "1", header());
        assert_eq!(send(&mut robot, "instantActions", &message).len(), 1);
        assert!(
            robot
                .receive("uagv/v2/RobotCompany/002/order", b"{")
                .is_empty()
        );
    }
}
