//! Reads the messages that the desk sends to a robot, and checks their format (VDA 5050 2.0, sections 6.6 and 6.9).

use events::site::Position;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Setup;

/// Maximum distance in meters between a robot and a node (a place) at which the robot counts as being at the node. This
/// default is used if the order contains no distance for the node.
const DEVIATION_M: f64 = 0.5;

/// The reason why a robot refuses a message. The robot reports the reason as an error in its state message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// The value of the member `errorType` of VDA 5050.
    kind: &'static str,
    description: String,
    /// The names and values of the message members to which the error refers.
    references: Vec<(&'static str, String)>,
}

impl Refusal {
    /// Creates the reason for the refusal of a message that does not have the format of VDA 5050.
    fn malformed(message: &Value, description: impl Into<String>) -> Self {
        let members = ["headerId", "orderId", "orderUpdateId"];
        let references = members
            .into_iter()
            .filter_map(|member| match &message[member] {
                Value::Null => None,
                Value::String(text) => Some((member, text.clone())),
                other => Some((member, other.to_string())),
            });
        Self {
            kind: "validationError",
            description: description.into(),
            references: references.collect(),
        }
    }

    /// Creates the reason for the refusal of an order. The format of this order is valid, but the robot does not
    /// execute the order.
    pub(super) fn of_order(
        kind: &'static str,
        order: &Order,
        description: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            description: description.into(),
            references: vec![
                ("orderId", order.id.clone()),
                ("orderUpdateId", order.update.to_string()),
            ],
        }
    }

    /// Creates the reason for the refusal of an instant action (an action that the robot must do immediately). The
    /// robot cannot do this action.
    pub(super) fn of_action(kind: &'static str, id: &str, description: impl Into<String>) -> Self {
        Self {
            kind,
            description: description.into(),
            references: vec![("actionId", id.to_owned())],
        }
    }

    /// Returns the reason for the refusal as JSON, for the list `errors` in the state message of the robot.
    pub(super) fn entry(&self) -> Value {
        let references = self.references.iter();
        let references = references
            .map(|(key, value)| json!({ "referenceKey": key, "referenceValue": value }))
            .collect::<Vec<_>>();
        json!({
            "errorType": self.kind,
            "errorLevel": "WARNING",
            "errorDescription": self.description,
            "errorReferences": references,
        })
    }
}

/// An order message: a new order, or an update of an order.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Order {
    #[serde(rename = "orderId")]
    pub(super) id: String,
    #[serde(rename = "orderUpdateId")]
    pub(super) update: u32,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

/// A node of an order. A node is a place to which the robot drives.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Node {
    #[serde(rename = "nodeId")]
    pub(super) id: String,
    #[serde(rename = "sequenceId")]
    pub(super) sequence: u32,
    /// True if the robot may drive to the node.
    pub(super) released: bool,
    /// VDA 5050 does not require the position of a node. The imitated robot requires the position, because the robot
    /// has no map with node names.
    #[serde(rename = "nodePosition")]
    place: Place,
    pub(super) actions: Vec<Action>,
}

#[derive(Clone, Debug, Deserialize)]
struct Place {
    x: f64,
    y: f64,
    #[serde(rename = "mapId")]
    map: String,
    #[serde(rename = "allowedDeviationXY")]
    deviation: Option<f64>,
}

/// An edge of an order. An edge is the way between two nodes.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Edge {
    #[serde(rename = "edgeId")]
    pub(super) id: String,
    #[serde(rename = "sequenceId")]
    pub(super) sequence: u32,
    pub(super) released: bool,
    #[serde(rename = "startNodeId")]
    start: String,
    #[serde(rename = "endNodeId")]
    end: String,
    actions: Vec<Action>,
}

/// An action that the robot does at a node, or an instant action (an action that the robot does immediately).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Action {
    #[serde(rename = "actionId")]
    pub(super) id: String,
    #[serde(rename = "actionType")]
    pub(super) kind: String,
    #[serde(rename = "blockingType")]
    blocking: String,
}

impl Action {
    fn check(&self) -> Result<(), String> {
        if self.id.is_empty() {
            return Err("`actionId` must not be empty".into());
        }
        match self.blocking.as_str() {
            "NONE" | "SOFT" | "HARD" => Ok(()),
            other => Err(format!(
                "`blockingType` must be NONE, SOFT or HARD, not {other:?}"
            )),
        }
    }
}

impl Node {
    pub(super) fn position(&self) -> Position {
        Position {
            x: self.place.x,
            y: self.place.y,
        }
    }

    /// Returns true if a robot at `position` is on this node.
    pub(super) fn is_at(&self, position: Position) -> bool {
        let deviation = self.place.deviation.unwrap_or(DEVIATION_M);
        distance(position, self.position()) <= deviation
    }
}

/// Returns the distance between two positions, in meters.
pub(super) fn distance(one: Position, other: Position) -> f64 {
    (one.x - other.x).hypot(one.y - other.y)
}

impl Order {
    /// Reads an order, and checks whether the robot with the properties `setup` can do this order.
    pub(super) fn read(payload: &[u8], setup: &Setup) -> Result<Self, Refusal> {
        let message = parse(payload, setup)?;
        let order: Self = members(&message)?;
        order
            .check()
            .map_err(|reason| Refusal::malformed(&message, reason))?;
        order.check_abilities(setup)?;
        Ok(order)
    }

    fn check(&self) -> Result<(), String> {
        let Some(first) = self.nodes.first() else {
            return Err("`nodes` must have at least one node".into());
        };
        if self.id.is_empty() {
            return Err("`orderId` must not be empty".into());
        }
        if self.edges.len() + 1 != self.nodes.len() {
            return Err("`edges` must have one edge between each two nodes".into());
        }
        let mut parts = vec![(first.sequence, first.released)];
        for (edge, node) in self.edges.iter().zip(&self.nodes[1..]) {
            parts.push((edge.sequence, edge.released));
            parts.push((node.sequence, node.released));
        }
        let has_gap = parts
            .windows(2)
            .any(|pair| pair[0].0.checked_add(1) != Some(pair[1].0));
        if has_gap || !first.sequence.is_multiple_of(2) {
            return Err("`sequenceId` must count nodes and edges without gaps".into());
        }
        let has_release_after_horizon = parts.windows(2).any(|pair| pair[1].1 && !pair[0].1);
        if !first.released || has_release_after_horizon {
            return Err(
                "`released` must be true from the first node to the end of the base".into(),
            );
        }
        let ends = self.nodes.windows(2).map(|pair| (&pair[0].id, &pair[1].id));
        if self
            .edges
            .iter()
            .zip(ends)
            .any(|(edge, ends)| (&edge.start, &edge.end) != ends)
        {
            return Err("`startNodeId` and `endNodeId` must name the nodes of the edge".into());
        }
        self.nodes
            .iter()
            .flat_map(|node| &node.actions)
            .try_for_each(Action::check)
    }

    fn check_abilities(&self, setup: &Setup) -> Result<(), Refusal> {
        let actions = self.nodes.iter().flat_map(|node| &node.actions);
        for action in actions {
            if action.kind != setup.action {
                let reason = format!("the robot cannot do the action {}", action.kind);
                return Err(Refusal::of_order("orderError", self, reason));
            }
        }
        if self.edges.iter().any(|edge| !edge.actions.is_empty()) {
            let reason = "the robot cannot do actions on edges";
            return Err(Refusal::of_order("orderError", self, reason));
        }
        if self.nodes.iter().any(|node| node.place.map != setup.map) {
            let reason = format!("the robot drives only on the map {}", setup.map);
            return Err(Refusal::of_order("noRouteError", self, reason));
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
struct InstantActions {
    actions: Vec<Action>,
}

/// Reads a message with instant actions (actions that the robot does immediately), and checks its format.
pub(super) fn instant_actions(payload: &[u8], setup: &Setup) -> Result<Vec<Action>, Refusal> {
    let message = parse(payload, setup)?;
    let InstantActions { actions } = members(&message)?;
    actions
        .iter()
        .try_for_each(Action::check)
        .map_err(|reason| Refusal::malformed(&message, reason))?;
    Ok(actions)
}

/// Parses the JSON text of a message, and checks its header.
fn parse(payload: &[u8], setup: &Setup) -> Result<Value, Refusal> {
    let message: Value = serde_json::from_slice(payload)
        .map_err(|error| Refusal::malformed(&Value::Null, error.to_string()))?;
    let text = |member: &str| message[member].as_str().unwrap_or_default();
    let reason = if !message["headerId"].is_u64() {
        "`headerId` must be a number"
    } else if text("timestamp").parse::<Timestamp>().is_err() {
        "`timestamp` must be a time in UTC"
    } else if !text("version").starts_with("2.") {
        "`version` must be 2.0.0"
    } else if text("manufacturer") != setup.manufacturer || text("serialNumber") != setup.serial {
        "`manufacturer` and `serialNumber` must name this robot"
    } else {
        return Ok(message);
    };
    Err(Refusal::malformed(&message, reason))
}

fn members<T: DeserializeOwned>(message: &Value) -> Result<T, Refusal> {
    T::deserialize(message).map_err(|error| Refusal::malformed(message, error.to_string()))
}
