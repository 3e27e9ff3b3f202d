//! Converts messages of VDA 5050, versions 2.0 and 2.1. Many robots send messages that deviate from
//! the schemas, so the code accepts such messages. Messages to robots contain only members that the
//! schemas define, and no member is null.

use domain::fleet::model::{
    ActionState, ActionStatus, GATE, Order, RobotError, START, Snapshot, WORK,
};
use events::Moment;
use events::robot::Defined;
use events::site::Position;
use events::task_type::Repetition;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Maximum distance in meters from a node. A robot within this distance has reached the node.
const DEVIATION_M: f64 = 0.5;
/// Maximum distance in meters between a robot and the start of its order. The distance is larger
/// than for other nodes, because the robot has possibly moved since its last state message.
const START_DEVIATION_M: f64 = 2.0;

/// The header of a message that the desk sends to a robot.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Sequence number of this message among all messages on the same topic.
    pub id: u32,
    pub at: Moment,
}

/// The reason why a message from a robot cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// The header of a message that a robot sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub header: u32,
    /// Time of the message in milliseconds, by the clock of the robot. 0 if the message contains no
    /// valid time.
    pub timestamp: i64,
    pub manufacturer: String,
    pub serial: String,
}

fn with_header(robot: &Defined, header: Header, members: Value) -> Value {
    let at = Timestamp::from_millisecond(header.at.0).unwrap_or_default();
    let mut message = json!({
        "headerId": header.id,
        "timestamp": format!("{at:.3}"),
        "version": robot.version,
        "manufacturer": robot.manufacturer,
        "serialNumber": robot.serial,
    });
    if let (Some(message), Value::Object(members)) = (message.as_object_mut(), members) {
        message.extend(members);
    }
    message
}

fn node(id: &str, sequence: u32, order: &Order, position: Position, deviation: f64) -> Value {
    json!({
        "nodeId": id,
        "sequenceId": sequence,
        "released": true,
        "nodePosition": {
            "x": position.x, "y": position.y, "mapId": order.map,
            "allowedDeviationXY": deviation,
        },
        "actions": [],
    })
}

fn edge(sequence: u32, from: &str, to: &str, is_released: bool) -> Value {
    json!({
        "edgeId": format!("{from}-{to}"),
        "sequenceId": sequence,
        "released": is_released,
        "startNodeId": from,
        "endNodeId": to,
        "actions": [],
    })
}

/// Returns the message that sends an order to a robot.
///
/// Some work must not begin twice. The order of such work has a gate (an extra node that the robot
/// reaches before the work). The first message lets the robot drive to the gate. A second message
/// with update number 1 lets the robot begin the work. For other work, the first message already
/// lets the robot begin.
pub fn order(robot: &Defined, order: &Order, header: Header) -> Value {
    let start_node = if order.start_node.is_empty() {
        "start"
    } else {
        &order.start_node
    };
    let start = || node(start_node, START, order, order.start, START_DEVIATION_M);
    let gate_name = format!("{}-gate", order.station);
    let gate = || node(&gate_name, GATE, order, order.position, DEVIATION_M);
    let has_gate = order.repetition == Repetition::AtMostOnce;
    let is_released = !has_gate || order.update > 0;
    let sequence = if has_gate { WORK } else { GATE };
    let mut work = node(&order.station, sequence, order, order.position, DEVIATION_M);
    work["released"] = is_released.into();
    work["actions"] = json!([action(order)]);
    let (nodes, edges) = match (has_gate, order.update) {
        (false, _) => (
            vec![start(), work],
            vec![edge(START + 1, start_node, &order.station, true)],
        ),
        (true, 0) => (
            vec![start(), gate(), work],
            vec![
                edge(START + 1, start_node, &gate_name, true),
                edge(GATE + 1, &gate_name, &order.station, false),
            ],
        ),
        // An update of an order must begin with the last node that an earlier message released
        // (permitted the robot to reach). The update repeats this node unchanged.
        (true, _) => (
            vec![gate(), work],
            vec![edge(GATE + 1, &gate_name, &order.station, true)],
        ),
    };
    with_header(
        robot,
        header,
        json!({ "orderId": order.id, "orderUpdateId": order.update, "nodes": nodes, "edges": edges }),
    )
}

fn action(order: &Order) -> Value {
    let mut action = json!({
        "actionId": order.work_id(),
        "actionType": order.action,
        "blockingType": "HARD",
    });
    if !order.parameters.is_empty() {
        let parameters = order.parameters.iter();
        action["actionParameters"] = parameters
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect();
    }
    action
}

/// Returns the message that cancels the current order of a robot. The action id is computed from
/// the order id. If the message is repeated, the robot therefore cancels the order only once.
pub fn cancel(robot: &Defined, order: &str, header: Header) -> Value {
    instant_action(robot, "cancelOrder", &format!("{order}-cancel"), header)
}

/// Returns the message that requests a state message from a robot.
pub fn state_request(robot: &Defined, id: &str, header: Header) -> Value {
    instant_action(robot, "stateRequest", id, header)
}

fn instant_action(robot: &Defined, kind: &str, id: &str, header: Header) -> Value {
    let mut members = Map::new();
    members.insert(
        robot.instant_actions.clone(),
        json!([{ "actionId": id, "actionType": kind, "blockingType": "NONE" }]),
    );
    with_header(robot, header, Value::Object(members))
}

/// Parses the JSON text of a message from a robot. Returns the header and the whole message.
pub fn read(payload: &[u8]) -> Result<(Received, Value), Unreadable> {
    let message: Value = serde_json::from_slice(payload)
        .map_err(|error| Unreadable(format!("the message is not JSON: {error}")))?;
    if !message.is_object() {
        return Err(Unreadable("the message is not a JSON object".into()));
    }
    let text = |member: &str| message[member].as_str().unwrap_or_default().to_owned();
    let timestamp = text("timestamp")
        .parse::<Timestamp>()
        .map_or(0, Timestamp::as_millisecond);
    let header = message["headerId"].as_u64().unwrap_or_default();
    let received = Received {
        header: u32::try_from(header).unwrap_or(u32::MAX),
        timestamp,
        manufacturer: text("manufacturer"),
        serial: text("serialNumber"),
    };
    Ok((received, message))
}

/// Returns whether a message of the topic `connection` reports that the robot is connected. A robot
/// without a connection can still work, so the result does not show whether the robot works.
pub fn is_connected(message: &Value) -> bool {
    message["connectionState"] == "ONLINE"
}

/// Converts a message of the topic `state` to a snapshot of the robot. The function ignores unknown
/// members, and uses default values for missing members.
pub fn snapshot(message: &Value) -> Snapshot {
    let items = |member: &str| message[member].as_array().into_iter().flatten();
    let nodes = items("nodeStates").map(|node| {
        let released = node["released"].as_bool().unwrap_or(true);
        (number(&node["sequenceId"]), released)
    });
    let actions = items("actionStates").map(|action| ActionState {
        id: text(&action["actionId"]),
        status: status(action["actionStatus"].as_str().unwrap_or_default()),
        result: text(&action["resultDescription"]),
    });
    let errors = items("errors").map(|error| {
        let references = error["errorReferences"].as_array().into_iter().flatten();
        RobotError {
            kind: text(&error["errorType"]),
            is_fatal: error["errorLevel"] == "FATAL",
            references: references
                .map(|reference| text(&reference["referenceValue"]))
                .collect(),
        }
    });
    let position = &message["agvPosition"];
    let position = match (position["x"].as_f64(), position["y"].as_f64()) {
        (Some(x), Some(y)) if position["positionInitialized"] != false => Some(Position { x, y }),
        _ => None,
    };
    let stop = message["safetyState"]["eStop"].as_str().unwrap_or("NONE");
    Snapshot {
        order: text(&message["orderId"]),
        update: number(&message["orderUpdateId"]),
        last_node: text(&message["lastNodeId"]),
        last_sequence: number(&message["lastNodeSequenceId"]),
        nodes: nodes.collect(),
        is_driving: message["driving"] == true,
        actions: actions.collect(),
        errors: errors.collect(),
        is_automatic: message["operatingMode"] == "AUTOMATIC",
        is_stopped: stop != "NONE",
        position,
        charge: message["batteryState"]["batteryCharge"].as_f64(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u32 {
    let number = value.as_u64().unwrap_or_default();
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn status(name: &str) -> ActionStatus {
    match name {
        "WAITING" => ActionStatus::Waiting,
        "INITIALIZING" | "RUNNING" => ActionStatus::Running,
        "PAUSED" => ActionStatus::Paused,
        "FINISHED" => ActionStatus::Finished,
        "FAILED" => ActionStatus::Failed,
        _ => ActionStatus::Unknown,
    }
}
