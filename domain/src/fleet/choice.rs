//! Chooses a robot for a mission (the work of a robot for a ticket). For each robot, the result contains
//! the reason why the robot is suitable or not.

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::robot::Defined;
use events::site::Position;

use super::model::Snapshot;
use super::robot::Slot;

/// Maximum age in milliseconds of a robot's last state. A robot with an older state gets no mission. VDA
/// 5050 requires that a robot sends its state at least every 30 s.
pub const STATE_AGE_MS_MAX: i64 = 60_000;
/// Minimum charge of the battery in percent. A robot with a lower charge gets no mission.
const CHARGE_MIN: f64 = 20.0;

/// One robot that the search checks, with the last state of the robot. The desk decides whether the robot is
/// suitable for the mission (the work of a robot).
#[derive(Clone, Debug)]
pub struct Candidate {
    pub robot: Defined,
    pub slot: Slot,
    /// The last state of the robot, and the time at which the desk received this state.
    pub state: Option<(Snapshot, Moment)>,
    pub is_connected: bool,
}

/// The requirements of a mission (the work of a robot).
#[derive(Clone, Debug)]
pub struct Need<'a> {
    pub task_type: &'a str,
    pub site: &'a str,
    pub position: Position,
    /// The names of robots that failed an earlier attempt of this mission (the work of a robot). These robots
    /// are not suitable.
    pub excluded: &'a BTreeSet<String>,
}

/// The result of the search for a suitable robot: the suitable robots, and the reasons for all robots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// The suitable robots, from the best to the worst. Each entry contains the name of a robot, the name of
    /// the map node that this robot reached last, and the position of this robot.
    pub able: Vec<(String, String, Position)>,
    pub reasons: BTreeMap<String, String>,
}

/// Checks all robots and sorts the suitable robots by their distance from the station. If two robots have the
/// same distance, the robot with the higher battery charge is first. If the charges are also equal, the robots
/// are sorted by name.
pub fn choose(candidates: &[Candidate], need: &Need<'_>, now: Moment) -> Choice {
    let mut choice = Choice::default();
    let mut able = Vec::new();
    for candidate in candidates {
        let name = &candidate.robot.name;
        match judge(candidate, need, now) {
            Ok((snapshot, position)) => {
                let distance = (position.x - need.position.x).hypot(position.y - need.position.y);
                choice
                    .reasons
                    .insert(name.clone(), format!("able, {distance:.1} m away"));
                let charge = snapshot.charge.unwrap_or_default();
                able.push((distance, charge, name, snapshot.last_node.clone(), position));
            }
            Err(reason) => {
                choice.reasons.insert(name.clone(), reason);
            }
        }
    }
    able.sort_by(|one, other| {
        one.0
            .total_cmp(&other.0)
            .then(other.1.total_cmp(&one.1))
            .then(one.2.cmp(other.2))
    });
    choice.able = able
        .into_iter()
        .map(|(_, _, name, node, position)| (name.clone(), node, position))
        .collect();
    choice
}

/// Checks whether a robot is suitable. Returns the state and the position of a suitable robot. The error is
/// the reason why the robot is not suitable.
fn judge<'a>(
    candidate: &'a Candidate,
    need: &Need<'_>,
    now: Moment,
) -> Result<(&'a Snapshot, Position), String> {
    let robot = &candidate.robot;
    if robot.site != need.site {
        return Err(format!("works at the site {}", robot.site));
    }
    if !robot.skills.iter().any(|skill| skill == need.task_type) {
        return Err(format!("cannot do {}", need.task_type));
    }
    match &candidate.slot {
        Slot::Free => {}
        Slot::Held { .. } => return Err("has another mission".into()),
        Slot::Releasing { .. } => return Err("still ends another mission".into()),
        Slot::Quarantined { reason, .. } => return Err(format!("quarantined: {reason}")),
    }
    if need.excluded.contains(&robot.name) {
        return Err("failed an earlier attempt of this mission".into());
    }
    if !candidate.is_connected {
        return Err("not connected".into());
    }
    let Some((snapshot, received)) = &candidate.state else {
        return Err("sent no state".into());
    };
    if now.0 - received.0 > STATE_AGE_MS_MAX {
        return Err(format!(
            "the last state is {} s old",
            (now.0 - received.0) / 1000
        ));
    }
    if !snapshot.is_able() {
        return Err("not in automatic mode, stopped, or with a fatal error".into());
    }
    if !snapshot.is_idle() {
        return Err("works on an order of another system".into());
    }
    match snapshot.charge {
        Some(charge) if charge < CHARGE_MIN => Err(format!("charge is only {charge:.0} %")),
        _ => match snapshot.position {
            Some(position) => Ok((snapshot, position)),
            None => Err("the position is unknown".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, x: f64) -> Candidate {
        Candidate {
            robot: Defined {
                name: name.into(),
                site: "hall".into(),
                skills: vec!["patrol".into()],
                interface: "uagv".into(),
                manufacturer: "m".into(),
                serial: name.into(),
                version: "2.0.0".into(),
                instant_actions: "actions".into(),
            },
            slot: Slot::Free,
            state: Some((
                Snapshot {
                    is_automatic: true,
                    position: Some(Position { x, y: 0.0 }),
                    charge: Some(80.0),
                    last_node: "n0".into(),
                    ..Snapshot::default()
                },
                Moment(100_000),
            )),
            is_connected: true,
        }
    }

    fn chosen(candidates: &[Candidate], excluded: &[&str]) -> Choice {
        let excluded = excluded.iter().map(|name| (*name).to_owned()).collect();
        let need = Need {
            task_type: "patrol",
            site: "hall",
            position: Position { x: 10.0, y: 0.0 },
            excluded: &excluded,
        };
        choose(candidates, &need, Moment(160_000))
    }

    #[test]
    fn the_nearest_able_robot_is_first() {
        let mut charged = candidate("b", 9.0);
        charged.state.as_mut().unwrap().0.charge = Some(90.0);
        let choice = chosen(&[candidate("far", 0.0), candidate("a", 9.0), charged], &[]);
        let names: Vec<&str> = choice.able.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(names, ["b", "a", "far"]);
        assert_eq!(choice.reasons["far"], "able, 10.0 m away");
    }

    #[test]
    fn each_robot_has_a_reason() {
        let change = |change: &dyn Fn(&mut Candidate)| {
            let mut one = candidate("r", 1.0);
            change(&mut one);
            let choice = chosen(&[one], &[]);
            assert!(choice.able.is_empty(), "{choice:?}");
            choice.reasons["r"].clone()
        };
        let state =
            |edit: &dyn Fn(&mut Snapshot)| change(&|one| edit(&mut one.state.as_mut().unwrap().0));
        assert_eq!(
            change(&|one| one.robot.site = "dock".into()),
            "works at the site dock"
        );
        assert_eq!(change(&|one| one.robot.skills.clear()), "cannot do patrol");
        let held = Slot::Held {
            dispatch: "dispatch-1".into(),
            epoch: 1,
            due: Moment(0),
        };
        assert_eq!(
            change(&|one| one.slot = held.clone()),
            "has another mission"
        );
        assert_eq!(change(&|one| one.is_connected = false), "not connected");
        assert_eq!(change(&|one| one.state = None), "sent no state");
        assert_eq!(
            change(&|one| one.state.as_mut().unwrap().1 = Moment(99_999)),
            "the last state is 60 s old"
        );
        assert!(state(&|state| state.is_automatic = false).starts_with("not in automatic"));
        assert!(state(&|state| state.is_driving = true).starts_with("works on an order"));
        assert_eq!(
            state(&|state| state.charge = Some(19.4)),
            "charge is only 19 %"
        );
        assert_eq!(
            state(&|state| state.position = None),
            "the position is unknown"
        );
        let excluded = chosen(&[candidate("r", 1.0)], &["r"]);
        assert_eq!(
            excluded.reasons["r"],
            "failed an earlier attempt of this mission"
        );
    }
}
