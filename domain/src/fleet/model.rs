//! Defines orders and robot states independently of the protocol. For each protocol, a codec converts the
//! messages of this protocol to these types (reference/fleet.md, sections 1.4 to 1.6).

use std::collections::BTreeMap;

use events::site::Position;
use events::task_type::Repetition;
use serde::{Deserialize, Serialize};

/// The sequence ids of the nodes in an order for a robot. The order begins at the node `START`. At the node
/// `GATE`, the robot has reached the station and waits until the desk allows the work. At the node `WORK`, the
/// robot does the work. If the work needs no permission, the robot does the work at the node `GATE`.
pub const START: u32 = 0;
pub const GATE: u32 = 2;
pub const WORK: u32 = 4;
/// The error types with which a robot reports that it rejects a whole order (VDA 5050 2.1 and 3.0,
/// reference/fleet.md, section 1.5).
const REJECTIONS: [&str; 13] = [
    "validationError",
    "orderError",
    "orderUpdateError",
    "noRouteError",
    "VALIDATION_FAILURE",
    "UNSUPPORTED_PARAMETER",
    "INVALID_ORDER_ACTION",
    "OTHER_ORDER_ACTIVE",
    "START_NODE_OUT_OF_RANGE",
    "NO_ROUTE_TO_TARGET",
    "MOBILE_ROBOT_NOT_AVAILABLE",
    "UNKNOWN_MAP_ID",
    "INSUFFICIENT_MEMORY",
];

/// An order for one robot. The robot drives to a station and does the work at this station.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The id of the order. The id consists of the id of the mission (the work of a robot) and the number of
    /// the attempt.
    pub id: String,
    /// The number of the order message. The first message has number 0. The message that releases the work
    /// (allows the robot to begin) has number 1.
    pub update: u32,
    pub map: String,
    pub start: Position,
    pub start_node: String,
    pub station: String,
    pub position: Position,
    pub action: String,
    pub parameters: BTreeMap<String, String>,
    pub repetition: Repetition,
}

impl Order {
    /// Returns the id of the action in which the robot does the work.
    pub fn work_id(&self) -> String {
        work_id(&self.id)
    }
}

/// Returns the id of the order for one attempt of a mission (the work of a robot). Each attempt has its own
/// order id, because some robots continue a canceled order after an update of this order.
pub fn order_id(dispatch: &str, epoch: u32) -> String {
    format!("{}-e{epoch}", dispatch.trim_start_matches("dispatch-"))
}

/// Returns the stream name of the mission (the work of a robot) and the number of the attempt for an order
/// id. Returns `None` if this desk did not create the order.
pub fn mission_of(order: &str) -> Option<(String, u32)> {
    let (id, epoch) = order.rsplit_once("-e")?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((format!("dispatch-{id}"), epoch.parse().ok()?)).filter(|_| is_id)
}

fn work_id(order: &str) -> String {
    format!("{order}-work")
}

/// The status of one action that a robot executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionStatus {
    Waiting,
    Running,
    Paused,
    Finished,
    Failed,
    /// A status of an action that this program does not know. The program treats an action with this status
    /// in the same way as a waiting action.
    Unknown,
}

/// One action in the state of a robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionState {
    pub id: String,
    pub status: ActionStatus,
    /// The result that the robot reports. The result is empty if the robot reports no result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub result: String,
}

/// One error that the robot reports in its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotError {
    pub kind: String,
    /// True if the robot cannot continue without a person (`FATAL`).
    pub is_fatal: bool,
    /// The values in the error that identify other objects, such as an order id or an action id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

/// The complete state of a robot at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The id of the robot's last order. The id is empty before the first order.
    pub order: String,
    pub update: u32,
    pub last_node: String,
    pub last_sequence: u32,
    /// The sequence ids of the order nodes that the robot has not reached. For each node, the `bool` is true
    /// if the desk has released the node (allowed the robot to continue to this node).
    pub nodes: Vec<(u32, bool)>,
    pub is_driving: bool,
    pub actions: Vec<ActionState>,
    pub errors: Vec<RobotError>,
    /// True if the robot drives automatically. A robot in another mode gets no mission.
    pub is_automatic: bool,
    pub is_stopped: bool,
    pub position: Option<Position>,
    /// The charge of the battery in percent.
    pub charge: Option<f64>,
}

impl Snapshot {
    /// Returns true if the robot has no unfinished order (VDA 5050, section on idle robots).
    pub fn is_idle(&self) -> bool {
        self.nodes.is_empty()
            && !self.is_driving
            && self.actions.iter().all(|action| {
                matches!(action.status, ActionStatus::Finished | ActionStatus::Failed)
            })
    }

    /// Returns true if the robot can work. The robot must be in automatic mode, without an emergency stop
    /// and without a fatal error.
    pub fn is_able(&self) -> bool {
        self.is_automatic && !self.is_stopped && !self.errors.iter().any(|error| error.is_fatal)
    }

    fn action(&self, id: &str) -> Option<&ActionState> {
        self.actions.iter().find(|action| action.id == id)
    }
}

/// The progress of one order. The desk computes the progress from the robot's state, because VDA 5050
/// defines no status of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The state of the robot does not contain the order.
    None,
    /// The robot rejected the order. The text contains the reason.
    Rejected(String),
    /// The robot has accepted the order. The robot drives or waits, but does not work.
    Accepted,
    /// The robot waits at the station until the desk releases the work (allows the robot to begin).
    AtGate,
    Working,
    /// The robot has done the work. The text contains the result that the robot reports.
    Finished(String),
    Failed(String),
    /// The robot does not have the order any more and reported no result.
    Dropped,
}

/// Returns the progress of one order according to the last state of a robot. The parameter `repetition`
/// determines whether the robot must wait until the desk releases the work (allows the robot to begin).
pub fn progress(order: &str, repetition: Repetition, snapshot: &Snapshot) -> Progress {
    if snapshot.order != order {
        let rejection = snapshot.errors.iter().find(|error| {
            REJECTIONS.contains(&error.kind.as_str())
                && error.references.iter().any(|value| value == order)
        });
        return rejection.map_or(Progress::None, |error| {
            Progress::Rejected(error.kind.clone())
        });
    }
    let work = snapshot.action(&work_id(order));
    match work.map(|action| (action.status, &action.result)) {
        Some((ActionStatus::Finished, result)) => Progress::Finished(result.clone()),
        Some((ActionStatus::Failed, result)) => Progress::Failed(if result.is_empty() {
            "the robot reported a failure of the work".to_owned()
        } else {
            format!("the robot reported a failure of the work: {result}")
        }),
        Some((ActionStatus::Running | ActionStatus::Paused, _)) => Progress::Working,
        Some((ActionStatus::Waiting | ActionStatus::Unknown, _)) | None => {
            let is_released = repetition == Repetition::AtLeastOnce || snapshot.update > 0;
            let has_released_nodes = snapshot.nodes.iter().any(|(_, released)| *released);
            let is_at_gate = snapshot.last_sequence >= GATE && !snapshot.is_driving;
            if snapshot.nodes.is_empty() && !snapshot.is_driving && work.is_none() && is_released {
                Progress::Dropped
            } else if !is_released && !has_released_nodes && is_at_gate {
                Progress::AtGate
            } else if snapshot.nodes.is_empty() && !is_at_gate && !snapshot.is_driving {
                Progress::Dropped
            } else {
                Progress::Accepted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "5d41402abc4b2a76b9719d911017c592-e3";

    fn snapshot(update: u32, last: u32, nodes: &[(u32, bool)]) -> Snapshot {
        Snapshot {
            order: ORDER.into(),
            update,
            last_sequence: last,
            nodes: nodes.to_vec(),
            is_automatic: true,
            ..Snapshot::default()
        }
    }

    fn with_work(mut snapshot: Snapshot, status: ActionStatus, result: &str) -> Snapshot {
        snapshot.actions.push(ActionState {
            id: format!("{ORDER}-work"),
            status,
            result: result.into(),
        });
        snapshot
    }

    #[test]
    fn an_order_id_names_mission_and_epoch() {
        let dispatch = "dispatch-5d41402abc4b2a76b9719d911017c592";
        assert_eq!(order_id(dispatch, 3), ORDER);
        assert_eq!(mission_of(ORDER), Some((dispatch.into(), 3)));
        for foreign in ["", "x-e3", "5d41402abc4b2a76b9719d911017c592", "order-e"] {
            assert_eq!(mission_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn progress_follows_from_the_state_of_the_robot() {
        use ActionStatus::{Failed, Finished, Running, Waiting};
        use Repetition::{AtLeastOnce, AtMostOnce};
        let driving = Snapshot {
            is_driving: true,
            ..snapshot(0, 0, &[(2, true), (4, false)])
        };
        let gate = snapshot(0, 2, &[(4, false)]);
        for (state, repetition, expected) in [
            (driving, AtMostOnce, Progress::Accepted),
            (gate.clone(), AtMostOnce, Progress::AtGate),
            (with_work(gate, Waiting, ""), AtMostOnce, Progress::AtGate),
            // Some robots do not report the nodes of an order that they may not enter yet. If the state of a
            // robot at the station contains no further node, the progress is also `AtGate`.
            (snapshot(0, 2, &[]), AtMostOnce, Progress::AtGate),
            (snapshot(1, 2, &[(4, true)]), AtMostOnce, Progress::Accepted),
            (
                with_work(snapshot(1, 4, &[]), Running, ""),
                AtMostOnce,
                Progress::Working,
            ),
            (
                with_work(snapshot(1, 4, &[]), Finished, "ok"),
                AtMostOnce,
                Progress::Finished("ok".into()),
            ),
            (
                with_work(snapshot(1, 4, &[]), Failed, "jam"),
                AtMostOnce,
                Progress::Failed("the robot reported a failure of the work: jam".into()),
            ),
            (snapshot(0, 0, &[]), AtMostOnce, Progress::Dropped),
            (snapshot(1, 4, &[]), AtMostOnce, Progress::Dropped),
            (
                snapshot(0, 0, &[(2, true)]),
                AtLeastOnce,
                Progress::Accepted,
            ),
            (snapshot(0, 2, &[]), AtLeastOnce, Progress::Dropped),
            (Snapshot::default(), AtMostOnce, Progress::None),
        ] {
            assert_eq!(progress(ORDER, repetition, &state), expected, "{state:?}");
        }
    }

    #[test]
    fn only_a_rejection_of_this_order_counts() {
        let error = |kind: &str, reference: &str| Snapshot {
            errors: vec![RobotError {
                kind: kind.into(),
                is_fatal: false,
                references: vec!["order".into(), reference.into()],
            }],
            ..Snapshot::default()
        };
        let of = |snapshot: &Snapshot| progress(ORDER, Repetition::AtMostOnce, snapshot);
        assert_eq!(
            of(&error("orderError", ORDER)),
            Progress::Rejected("orderError".into())
        );
        // A robot that rejected an order reports the error until the robot accepts another order. The error
        // in this state belongs to the order `another-e1`, so the tested order has the progress `None`.
        assert_eq!(of(&error("orderError", "another-e1")), Progress::None);
        assert_eq!(of(&error("batteryLow", ORDER)), Progress::None);
    }

    #[test]
    fn an_idle_and_able_robot_can_get_work() {
        let mut robot = snapshot(0, 4, &[]);
        assert!(robot.is_idle() && robot.is_able());
        robot = with_work(robot, ActionStatus::Running, "");
        assert!(!robot.is_idle());
        robot.actions.clear();
        robot.is_stopped = true;
        assert!(!robot.is_able());
        robot.is_stopped = false;
        robot.errors.push(RobotError {
            kind: "motor".into(),
            is_fatal: true,
            references: Vec::new(),
        });
        assert!(!robot.is_able());
    }
}
