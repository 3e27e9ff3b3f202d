//! Implements the aggregate of one robot. The state contains the definition of the robot and the reservation
//! of the robot. A robot is reserved for only one mission (the work of a robot for a ticket) at a time.
//!
//! The desk stores the reservation before it offers the mission to the robot. If the desk sends no offer
//! after the reservation, the reservation ends at the next check. If a robot keeps an order after the end of
//! the reservation, the desk quarantines the robot. The quarantine ends when the robot reports a state
//! without an order.

use events::Moment;
use events::robot::{
    Defined, Freed, Quarantined, ReleaseStarted, ReservationKept, Reserved, RobotEvent,
};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// Time in milliseconds until the first check of a reservation. In the check, the desk tests whether the
/// mission (the work of a robot) still needs the robot.
pub const RESERVED_MS: i64 = 10_000;
/// Time in milliseconds between two checks of a reservation.
pub const CHECK_MS: i64 = 60_000;
/// Time in milliseconds in which a robot must report that it has no order. The time starts when the
/// reservation of the robot ends.
pub const RELEASE_MS: i64 = 30_000;

/// The commands that change one robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Define(Defined),
    Reserve {
        dispatch: String,
        epoch: u32,
        at: Moment,
    },
    /// Keeps the reservation, because the mission (the work of a robot) still needs the robot.
    Keep {
        at: Moment,
    },
    /// Ends the reservation for one attempt of a mission (the work of a robot). It is possible that the robot
    /// still has the order of this attempt.
    Release {
        dispatch: String,
        epoch: u32,
        reason: String,
        at: Moment,
    },
    /// Ends the reservation of the robot if the desk sent no order for this reservation.
    Unreserve {
        dispatch: String,
        epoch: u32,
    },
    /// Stores that the robot reported a state without an order. The desk received this state at the time
    /// `since`.
    ShowIdle {
        since: Moment,
    },
    /// Quarantines the robot (excludes it from new missions) after the deadline, if the robot has not reported
    /// a state without an order.
    Fire {
        at: Moment,
    },
}

/// The reasons why the desk rejects a command for a robot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the robot is not registered")]
    NotDefined,
    #[error("the robot is not free")]
    NotFree,
}

/// The reservation status of a robot: free, reserved for a mission, waiting for the end of its order, or
/// quarantined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Slot {
    #[default]
    Free,
    Held {
        dispatch: String,
        epoch: u32,
        due: Moment,
    },
    Releasing {
        since: Moment,
        due: Moment,
    },
    Quarantined {
        since: Moment,
        reason: String,
    },
}

/// The state of one robot, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Robot {
    pub defined: Option<Defined>,
    pub slot: Slot,
}

impl Decider for Robot {
    type Command = Command;
    type Event = RobotEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Define(_))
    }

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<RobotEvent>, DecideError<Self>> {
        if let Command::Define(defined) = command {
            let is_new = self.defined.as_ref() != Some(defined);
            return Ok(is_new.then(|| defined.clone().into()).into_iter().collect());
        }
        if self.defined.is_none() {
            return Err(DecideError::Rejected(Rejection::NotDefined));
        }
        Ok(match (command, &self.slot) {
            (
                Command::Reserve {
                    dispatch,
                    epoch,
                    at,
                },
                Slot::Free,
            ) => vec![
                Reserved {
                    dispatch: dispatch.clone(),
                    epoch: *epoch,
                    due: at.plus_ms(RESERVED_MS),
                }
                .into(),
            ],
            (
                Command::Reserve {
                    dispatch, epoch, ..
                },
                Slot::Held {
                    dispatch: holder,
                    epoch: held,
                    ..
                },
            ) if holder == dispatch && held == epoch => Vec::new(),
            (Command::Reserve { .. }, _) => return Err(DecideError::Rejected(Rejection::NotFree)),
            (Command::Keep { at }, Slot::Held { .. }) => vec![
                ReservationKept {
                    due: at.plus_ms(CHECK_MS),
                }
                .into(),
            ],
            (
                Command::Release {
                    dispatch,
                    epoch,
                    reason,
                    at,
                },
                Slot::Held {
                    dispatch: holder,
                    epoch: held,
                    ..
                },
            ) if holder == dispatch && held == epoch => vec![
                ReleaseStarted {
                    reason: reason.clone(),
                    due: at.plus_ms(RELEASE_MS),
                }
                .into(),
            ],
            (
                Command::Unreserve { dispatch, epoch },
                Slot::Held {
                    dispatch: holder,
                    epoch: held,
                    ..
                },
            ) if holder == dispatch && held == epoch => vec![
                Freed {
                    reason: "the mission chose another robot".into(),
                }
                .into(),
            ],
            // A state without an order does not always show that the robot is free. Possibly the robot sent
            // this state before it received the order of the mission. The desk therefore waits for a state
            // without an order that arrives after the end of the reservation.
            (
                Command::ShowIdle { since },
                Slot::Releasing { since: begun, .. } | Slot::Quarantined { since: begun, .. },
            ) if since > begun => vec![
                Freed {
                    reason: "the state of the robot shows no order".into(),
                }
                .into(),
            ],
            (Command::Fire { at }, Slot::Releasing { due, .. }) if at >= due => vec![
                Quarantined {
                    reason: format!(
                        "the robot sent no state without an order within {} s",
                        RELEASE_MS / 1000
                    ),
                }
                .into(),
            ],
            _ => Vec::new(),
        })
    }

    fn evolve(&mut self, event: &RobotEvent) {
        match event {
            RobotEvent::Defined(defined) => self.defined = Some(defined.clone()),
            RobotEvent::Reserved(reserved) => {
                self.slot = Slot::Held {
                    dispatch: reserved.dispatch.clone(),
                    epoch: reserved.epoch,
                    due: reserved.due,
                };
            }
            RobotEvent::ReservationKept(kept) => {
                if let Slot::Held { due, .. } = &mut self.slot {
                    *due = kept.due;
                }
            }
            RobotEvent::ReleaseStarted(started) => {
                self.slot = Slot::Releasing {
                    since: started.due.plus_ms(-RELEASE_MS),
                    due: started.due,
                };
            }
            RobotEvent::Freed(_) => self.slot = Slot::Free,
            RobotEvent::Quarantined(quarantined) => {
                let since = match self.slot {
                    Slot::Releasing { since, .. } => since,
                    _ => Moment(0),
                };
                self.slot = Slot::Quarantined {
                    since,
                    reason: quarantined.reason.clone(),
                };
            }
        }
    }
}

impl Robot {
    /// Returns the text that identifies the robot in messages. The text consists of three levels of the
    /// robot's MQTT topics: interface, manufacturer and serial number.
    pub fn identity(interface: &str, manufacturer: &str, serial: &str) -> String {
        format!("{interface}/{manufacturer}/{serial}")
    }

    /// Returns true if the robot is defined and has the given identity (see [`Robot::identity`]).
    pub fn has_identity(&self, identity: &str) -> bool {
        self.defined.as_ref().is_some_and(|robot| {
            Self::identity(&robot.interface, &robot.manufacturer, &robot.serial) == identity
        })
    }
}

/// Adds each robot to two lists. The list `name` contains the names of all robots. The list `identity`
/// contains the texts that identify the robots in MQTT topics.
impl Card for Robot {
    type Event = RobotEvent;
    const VIEW: &'static str = "robot";

    fn fold(&mut self, envelope: &Envelope<RobotEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(defined) = &self.defined else {
            return Vec::new();
        };
        let identity = Self::identity(&defined.interface, &defined.manufacturer, &defined.serial);
        vec![("name", defined.name.clone()), ("identity", identity)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::fold;

    fn defined() -> Command {
        Command::Define(Defined {
            name: "agv_1".into(),
            site: "hall".into(),
            skills: vec!["patrol".into()],
            interface: "uagv".into(),
            manufacturer: "RobotCompany".into(),
            serial: "001".into(),
            version: "2.0.0".into(),
            instant_actions: "actions".into(),
        })
    }

    fn reserve(dispatch: &str, epoch: u32) -> Command {
        Command::Reserve {
            dispatch: dispatch.into(),
            epoch,
            at: Moment(1_000),
        }
    }

    fn release(dispatch: &str, epoch: u32) -> Command {
        Command::Release {
            dispatch: dispatch.into(),
            epoch,
            reason: "the mission ended".into(),
            at: Moment(50_000),
        }
    }

    fn after(commands: &[Command]) -> Robot {
        let mut events = Vec::new();
        for command in commands {
            let robot = fold::<Robot>(&events);
            events.extend(robot.decide(command, &()).expect("an accepted command"));
        }
        fold::<Robot>(&events)
    }

    #[test]
    fn a_robot_is_reserved_for_one_attempt() {
        let robot = after(&[defined(), reserve("dispatch-1", 1)]);
        assert_eq!(robot.decide(&reserve("dispatch-1", 1), &()), Ok(Vec::new()));
        for other in [reserve("dispatch-1", 2), reserve("dispatch-2", 1)] {
            let rejected = robot.decide(&other, &());
            assert_eq!(rejected, Err(DecideError::Rejected(Rejection::NotFree)));
        }
        let unknown = Robot::default().decide(&reserve("dispatch-1", 1), &());
        assert_eq!(unknown, Err(DecideError::Rejected(Rejection::NotDefined)));
    }

    #[test]
    fn only_the_holder_releases_and_only_a_later_state_frees() {
        let held = [defined(), reserve("dispatch-1", 2)];
        assert_eq!(
            after(&held).decide(&release("dispatch-1", 1), &()),
            Ok(Vec::new())
        );
        let mut commands = held.to_vec();
        commands.push(release("dispatch-1", 2));
        commands.push(Command::ShowIdle {
            since: Moment(50_000),
        });
        assert!(matches!(after(&commands).slot, Slot::Releasing { .. }));
        commands.push(Command::ShowIdle {
            since: Moment(50_001),
        });
        assert_eq!(after(&commands).slot, Slot::Free);
    }

    #[test]
    fn a_robot_that_keeps_its_order_is_quarantined_until_it_shows_none() {
        let mut commands = vec![
            defined(),
            reserve("dispatch-1", 1),
            release("dispatch-1", 1),
        ];
        commands.push(Command::Fire { at: Moment(79_999) });
        assert!(matches!(after(&commands).slot, Slot::Releasing { .. }));
        commands.push(Command::Fire { at: Moment(80_000) });
        assert!(matches!(after(&commands).slot, Slot::Quarantined { .. }));
        let robot = after(&commands);
        let rejected = robot.decide(&reserve("dispatch-2", 1), &());
        assert_eq!(rejected, Err(DecideError::Rejected(Rejection::NotFree)));
        commands.push(Command::ShowIdle {
            since: Moment(90_000),
        });
        assert_eq!(after(&commands).slot, Slot::Free);
    }

    #[test]
    fn every_slot_that_is_not_free_or_quarantined_has_a_deadline() {
        use events::Event as _;
        let mut deadline = None;
        let mut robot = Robot::default();
        for command in [
            defined(),
            reserve("dispatch-1", 1),
            Command::Keep { at: Moment(11_000) },
            release("dispatch-1", 1),
            Command::Fire { at: Moment(80_000) },
            Command::ShowIdle {
                since: Moment(90_000),
            },
        ] {
            for event in robot.decide(&command, &()).unwrap() {
                robot.evolve(&event);
                for change in event.deadlines() {
                    deadline = change.due;
                }
            }
            let needs = matches!(robot.slot, Slot::Held { .. } | Slot::Releasing { .. });
            assert_eq!(deadline.is_some(), needs, "{command:?}: {:?}", robot.slot);
        }
    }
}
