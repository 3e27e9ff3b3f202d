//! Implements the aggregate of one mission. A mission is the work of a robot for a node of a ticket
//! (reference/fleet.md, sections 2.1 and 2.2).
//!
//! Each attempt with one robot has a number (the epoch) and its own order id. Every state except the last
//! has a stored deadline. When a deadline passes, the mission continues even if the robot does not answer.
//!
//! Some work must not be done twice. For this work, the robot waits at the station until the desk releases
//! the work (allows the robot to begin). This waiting point is called the gate. Before the release, another
//! robot can get the mission. After the release, the robot may have begun the work. If the attempt then
//! fails, a person must decide how the ticket continues.

use std::collections::{BTreeMap, BTreeSet};

use events::dispatch::{
    Accepted, AttemptFailed, CancelRequested, Closed, Completed, DispatchEvent, Expired,
    LeaseRenewed, OfferRepeated, Offered, OutdatedResultReceived, PollScheduled, Requested,
    Suspected, WorkReleased,
};
use events::site::Position;
use events::task_type::Repetition;
use events::{Moment, NodeId};
use serde::{Deserialize, Serialize};

use super::model::{Order, Progress, order_id};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;
use crate::workflow::{mission_result_key, robot_key};

/// The pauses in milliseconds after the desk sends an offer for the first, second and third time. A robot
/// must accept the offer within the sum of these three pauses.
pub const OFFER_MS: [i64; 3] = [500, 500, 1_000];
/// Duration of a robot's lease in milliseconds. A robot keeps its mission until the end of the lease. Each
/// state message of the robot starts a new lease.
pub const LEASE_MS: i64 = 90_000;
/// Time in milliseconds in which a robot must send a state again after the contact to the robot was lost. This
/// time limit applies if the robot may have begun the work.
pub const SUSPECT_MS: i64 = 60_000;
/// Time in milliseconds in which a robot must send a state again after the contact to the robot was lost. This
/// time limit applies if the desk has not released the work (allowed the robot to begin). The limit is short,
/// because another robot can safely get the mission.
pub const SUSPECT_UNRELEASED_MS: i64 = 10_000;
/// Time in milliseconds in which a robot must confirm that its order is canceled.
pub const CANCEL_MS: i64 = 30_000;
/// Maximum age in milliseconds of the state of a robot that waits at the station. If the state is older, the
/// robot may have left the station. The desk then does not allow the robot to begin the work.
pub const GATE_AGE_MS_MAX: i64 = 5_000;
/// Time in milliseconds in which the ticket must store the result of a mission (the work of a robot). After
/// this time, the desk sends the result again.
const RESULT_DUE_MS: i64 = 30_000;
/// Time in milliseconds during which a mission (the work of a robot) excludes a robot that failed an attempt
/// of this mission.
const EXCLUDED_MS: i64 = 300_000;
/// Pause in milliseconds after the first search that finds no suitable robot. Each further pause is twice
/// as long, up to `CHOICE_MS_MAX`.
const CHOICE_MS: i64 = 1_000;
const CHOICE_MS_MAX: i64 = 10_000;

/// The commands that change one mission (the work of a robot).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Box<Requested>),
    /// Offers the mission (the work of a robot) to a robot that is already reserved for the next attempt.
    Offer {
        robot: String,
        start: Position,
        start_node: String,
        reasons: BTreeMap<String, String>,
        at: Moment,
    },
    /// Stores that the desk found no suitable robot for the mission, and schedules the next search for a
    /// robot.
    Postpone {
        reasons: BTreeMap<String, String>,
        at: Moment,
    },
    /// Stores the progress of the robot's order. The progress comes from a state message of the robot.
    Observe {
        epoch: u32,
        progress: Progress,
        /// The time at which the desk received the state message.
        received: Moment,
        at: Moment,
    },
    /// Continues the mission (the work of a robot) when the deadline of its current phase has passed. For
    /// example, the desk repeats an offer. The member `seen` is the time at which the desk received the last
    /// state message with the current order.
    Fire {
        seen: Option<Moment>,
        at: Moment,
    },
    /// Stores that the connection to the robot is lost. The robot possibly still works.
    LoseContact {
        epoch: u32,
        at: Moment,
    },
    /// Ends the mission (the work of a robot), because the ticket does not need the result any more.
    Withdraw {
        reason: String,
        at: Moment,
    },
    Expire {
        at: Moment,
    },
    /// Closes the mission (the work of a robot) after the result was sent to the ticket. The member
    /// `recorded` is true if the ticket stored the result.
    Close {
        recorded: bool,
    },
}

/// The reasons why the desk rejects a command for a mission (the work of a robot).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the mission is already requested")]
    AlreadyRequested,
    #[error("the mission is not requested")]
    NotRequested,
    #[error("the mission does not wait for a robot")]
    NotQueued,
    #[error("the mission expires at {0} ms, which is later")]
    NotExpired(Moment),
    #[error("the mission has no result")]
    NoResult,
}

/// The phase of a mission (the work of a robot).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The mission (the work of a robot) waits until the desk finds a suitable robot.
    #[default]
    Queued,
    /// The desk sent an order to a robot. The robot has not accepted the order.
    Offered,
    /// The robot accepted the order, but the desk has not released the work (allowed the robot to begin). Only
    /// work that must not be done twice needs a release.
    Accepted,
    /// It is possible that the robot has begun the work.
    Working,
    /// The desk lost the contact to the robot. One possible reason is a lost connection. Another reason is
    /// that no state message arrived before the end of the robot's lease (the time for which the robot may
    /// keep the mission).
    Suspect,
    /// The desk requested that the robot cancels the order. The robot has not confirmed this request.
    Canceling,
    /// The mission (the work of a robot) has ended with a result.
    Done,
}

impl Phase {
    /// Returns the text that represents the phase in responses of the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Working => "working",
            Self::Suspect => "suspect",
            Self::Canceling => "canceling",
            Self::Done => "done",
        }
    }
}

/// The result of a mission (the work of a robot).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub succeeded: bool,
    pub outputs: BTreeMap<String, String>,
    pub reason: String,
}

/// The state of one mission (the work of a robot), computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    pub requested: Option<Requested>,
    pub phase: Phase,
    /// The number of the current attempt to do the work with one robot. The number is 0 before the first
    /// offer.
    pub epoch: u32,
    /// The robot of the current attempt.
    pub robot: String,
    /// The robots of all attempts. Each key of the map is the number of an attempt, and each value is the
    /// name of a robot.
    pub robots: BTreeMap<u32, String>,
    pub start: Position,
    pub start_node: String,
    /// The number of times that the desk sent the order of the current attempt to the robot.
    pub offers: u32,
    /// The number of searches in succession that found no suitable robot.
    pub choices: u32,
    pub due: Moment,
    /// The time at which the work of the current attempt must end.
    pub work_due: Option<Moment>,
    /// True if the desk has released the work (allowed the robot to begin), so that the robot of the current
    /// attempt may have begun.
    pub is_released: bool,
    /// The time at which the desk lost the contact to the robot. The value has a meaning only in the phase
    /// `Suspect`.
    pub suspect_since: Moment,
    pub cancel: Option<CancelRequested>,
    /// The robots that failed an attempt of this mission (the work of a robot). Each key of the map is the
    /// name of a robot. Each value is the time until which this robot is not chosen again.
    pub excluded: BTreeMap<String, Moment>,
    /// The numbers of attempts with a late success. In each of these attempts, the robot reported the end of
    /// the work after the desk had stored the attempt as failed.
    pub outdated: BTreeSet<u32>,
    /// For each robot in the last search, the reason why the robot is suitable or not. Each key of the map is
    /// the name of a robot.
    pub reasons: BTreeMap<String, String>,
    pub outcome: Option<Outcome>,
    pub is_closed: bool,
}

impl Decider for Dispatch {
    type Command = Command;
    type Event = DispatchEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Request(_))
    }

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<DispatchEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        let Some(requested) = &self.requested else {
            return match command {
                Command::Request(requested) => Ok(request(requested)),
                _ => reject(Rejection::NotRequested),
            };
        };
        match command {
            Command::Request(_) => reject(Rejection::AlreadyRequested),
            Command::Offer { .. } | Command::Postpone { .. } if self.phase != Phase::Queued => {
                reject(Rejection::NotQueued)
            }
            Command::Offer {
                robot,
                start,
                start_node,
                reasons,
                at,
            } => Ok(vec![
                Offered {
                    epoch: self.epoch + 1,
                    robot: robot.clone(),
                    start: *start,
                    start_node: start_node.clone(),
                    reasons: reasons.clone(),
                    due: at.plus_ms(OFFER_MS[0]),
                }
                .into(),
            ]),
            Command::Postpone { reasons, at } => Ok(vec![
                PollScheduled {
                    reasons: reasons.clone(),
                    due: at.plus_ms((CHOICE_MS << self.choices.min(8)).min(CHOICE_MS_MAX)),
                }
                .into(),
            ]),
            Command::Observe {
                epoch,
                progress,
                received,
                at,
            } => Ok(self.observe(requested, *epoch, progress, *received, *at)),
            Command::Fire { at, .. } if *at < self.due => Ok(Vec::new()),
            Command::Fire { seen, at } => Ok(self.fire(requested, *seen, *at)),
            Command::LoseContact { epoch, at } => {
                let has_contact = matches!(self.phase, Phase::Accepted | Phase::Working);
                Ok((has_contact && *epoch == self.epoch)
                    .then(|| self.suspect(*at))
                    .into_iter()
                    .collect())
            }
            Command::Withdraw { .. } if self.phase == Phase::Done => Ok(Vec::new()),
            Command::Withdraw { reason, at } => Ok(self.withdraw(reason, *at)),
            Command::Expire { .. } if self.phase == Phase::Done || self.is_released => {
                Ok(Vec::new())
            }
            Command::Expire { at } if *at < requested.expires => {
                reject(Rejection::NotExpired(requested.expires))
            }
            Command::Expire { at } => Ok(vec![
                Expired {
                    reason: "no robot began the work in time".into(),
                    due: *at,
                }
                .into(),
            ]),
            Command::Close { .. } if self.outcome.is_none() => reject(Rejection::NoResult),
            Command::Close { .. } if self.is_closed => Ok(Vec::new()),
            Command::Close { recorded } => Ok(vec![
                Closed {
                    recorded: *recorded,
                }
                .into(),
            ]),
        }
    }

    fn evolve(&mut self, event: &DispatchEvent) {
        match event {
            DispatchEvent::Requested(requested) => {
                self.due = requested.due;
                self.requested = Some(requested.clone());
            }
            DispatchEvent::PollScheduled(scheduled) => {
                self.choices += 1;
                self.reasons.clone_from(&scheduled.reasons);
                self.due = scheduled.due;
            }
            DispatchEvent::Offered(offered) => {
                self.phase = Phase::Offered;
                self.epoch = offered.epoch;
                self.robot.clone_from(&offered.robot);
                self.robots.insert(offered.epoch, offered.robot.clone());
                self.start = offered.start;
                self.start_node.clone_from(&offered.start_node);
                self.reasons.clone_from(&offered.reasons);
                (self.offers, self.choices) = (1, 0);
                (self.work_due, self.is_released, self.cancel) = (None, false, None);
                self.due = offered.due;
            }
            DispatchEvent::OfferRepeated(repeated) => {
                self.offers += 1;
                self.due = repeated.due;
            }
            DispatchEvent::Accepted(accepted) => {
                self.is_released = accepted.work_due.is_some();
                self.phase = if self.is_released {
                    Phase::Working
                } else {
                    Phase::Accepted
                };
                self.work_due = accepted.work_due;
                self.due = accepted.due;
            }
            DispatchEvent::LeaseRenewed(renewed) => {
                self.phase = if self.is_released {
                    Phase::Working
                } else {
                    Phase::Accepted
                };
                self.due = renewed.due;
            }
            DispatchEvent::WorkReleased(released) => {
                self.phase = Phase::Working;
                self.is_released = true;
                self.work_due = Some(released.work_due);
                self.due = released.due;
            }
            DispatchEvent::Suspected(suspected) => {
                self.phase = Phase::Suspect;
                self.suspect_since = suspected.since;
                self.due = suspected.due;
            }
            DispatchEvent::CancelRequested(requested) => {
                self.phase = Phase::Canceling;
                self.cancel = Some(requested.clone());
                self.due = requested.due;
            }
            DispatchEvent::AttemptFailed(failed) => {
                self.phase = Phase::Queued;
                let until = failed.due.plus_ms(EXCLUDED_MS);
                self.excluded.insert(failed.robot.clone(), until);
                self.is_released = false;
                self.due = failed.due;
            }
            DispatchEvent::OutdatedResultReceived(received) => {
                self.outdated.insert(received.epoch);
            }
            DispatchEvent::Completed(completed) => {
                self.phase = Phase::Done;
                self.due = completed.due;
                self.outcome = Some(Outcome {
                    succeeded: completed.succeeded,
                    outputs: completed.outputs.clone(),
                    reason: completed.reason.clone(),
                });
            }
            DispatchEvent::Expired(expired) => {
                self.phase = Phase::Done;
                self.due = expired.due;
                self.outcome = Some(Outcome {
                    succeeded: false,
                    outputs: BTreeMap::new(),
                    reason: expired.reason.clone(),
                });
            }
            DispatchEvent::Closed(_) => self.is_closed = true,
        }
    }
}

/// Returns the events that open a mission (the work of a robot). If the request contains a problem, the
/// mission ends immediately with a failure, and a person gets the work.
fn request(requested: &Requested) -> Vec<DispatchEvent> {
    let mut events = vec![DispatchEvent::from(requested.clone())];
    if !requested.problem.is_empty() {
        events.push(
            Completed {
                epoch: 0,
                succeeded: false,
                outputs: BTreeMap::new(),
                reason: requested.problem.clone(),
                due: requested.due,
            }
            .into(),
        );
    }
    events
}

impl Dispatch {
    /// Returns the order that the desk sends to the robot for the current attempt. The parameter `stream` is
    /// the stream name of the mission (the work of a robot). Returns `None` before the first offer.
    pub fn order(&self, stream: &str) -> Option<Order> {
        let requested = self.requested.as_ref().filter(|_| self.epoch > 0)?;
        Some(Order {
            id: order_id(stream, self.epoch),
            update: u32::from(self.is_released && requested.repetition == Repetition::AtMostOnce),
            map: requested.map.clone(),
            start: self.start,
            start_node: self.start_node.clone(),
            station: requested.station.clone(),
            position: requested.position,
            action: requested.action.clone(),
            parameters: requested.parameters.clone(),
            repetition: requested.repetition,
        })
    }

    /// Returns true if the attempt `epoch` with the robot `robot` is the current attempt and has not ended.
    /// The robot then possibly still has the order of this attempt, so its reservation must not end.
    pub fn needs_robot(&self, robot: &str, epoch: u32) -> bool {
        let has_attempt = !matches!(self.phase, Phase::Queued | Phase::Done);
        has_attempt && self.robot == robot && self.epoch == epoch
    }

    fn observe(
        &self,
        requested: &Requested,
        epoch: u32,
        progress: &Progress,
        received: Moment,
        at: Moment,
    ) -> Vec<DispatchEvent> {
        if epoch != self.epoch || matches!(self.phase, Phase::Queued | Phase::Done) {
            let is_outdated = epoch < self.epoch || self.phase == Phase::Queued;
            let is_new = is_outdated && !self.outdated.contains(&epoch);
            return match progress {
                Progress::Finished(_) if is_new && epoch <= self.epoch => {
                    vec![OutdatedResultReceived { epoch }.into()]
                }
                _ => Vec::new(),
            };
        }
        let mut events = Vec::new();
        let has_order = !matches!(progress, Progress::None | Progress::Rejected(_));
        let is_contact = match self.phase {
            Phase::Offered if has_order => {
                events.push(self.accept(requested, at));
                true
            }
            Phase::Suspect if has_order => {
                events.push(self.renew(received).into());
                true
            }
            phase => matches!(phase, Phase::Accepted | Phase::Working | Phase::Canceling),
        };
        match progress {
            Progress::Rejected(reason) if self.phase == Phase::Offered => {
                events.push(self.attempt_failed(
                    requested,
                    format!("the robot rejected the order: {reason}"),
                    at,
                ));
            }
            Progress::AtGate
                if is_contact
                    && !self.is_released
                    && self.phase != Phase::Canceling
                    && requested.repetition == Repetition::AtMostOnce
                    && at.0 - received.0 <= GATE_AGE_MS_MAX =>
            {
                let work_due = at.plus_ms(requested.work_ms);
                events.push(
                    WorkReleased {
                        epoch,
                        work_due,
                        due: at.plus_ms(LEASE_MS).min(work_due),
                    }
                    .into(),
                );
            }
            Progress::Finished(result) if is_contact => {
                events.push(self.succeeded(requested.node, result, at));
            }
            Progress::Failed(reason) if is_contact => {
                events.push(self.ended(requested, reason.clone(), at));
            }
            Progress::Dropped if is_contact => {
                let reason = "the robot dropped the order without a result".to_owned();
                events.push(self.ended(requested, reason, at));
            }
            _ => {}
        }
        events
    }

    fn accept(&self, requested: &Requested, at: Moment) -> DispatchEvent {
        let work_due = match requested.repetition {
            Repetition::AtMostOnce => None,
            Repetition::AtLeastOnce => Some(at.plus_ms(requested.work_ms)),
        };
        let lease = at.plus_ms(LEASE_MS);
        Accepted {
            epoch: self.epoch,
            work_due,
            due: work_due.map_or(lease, |work_due| lease.min(work_due)),
        }
        .into()
    }

    /// Returns an event that renews the robot's lease (the right to keep the mission for a limited time). The
    /// new lease starts at `seen`, the time at which the desk received a state message.
    fn renew(&self, seen: Moment) -> LeaseRenewed {
        let lease = seen.plus_ms(LEASE_MS);
        LeaseRenewed {
            epoch: self.epoch,
            due: self.work_due.map_or(lease, |work_due| lease.min(work_due)),
        }
    }

    fn fire(&self, requested: &Requested, seen: Option<Moment>, at: Moment) -> Vec<DispatchEvent> {
        let is_contact = |seen: &Moment| match self.phase {
            Phase::Suspect => *seen > self.suspect_since,
            _ => seen.plus_ms(LEASE_MS) > at,
        };
        let seen = seen.filter(is_contact);
        let event = match self.phase {
            // This function adds no events in the phases `Queued` and `Done`, because the caller does the
            // necessary work. In the phase `Queued`, the caller searches for a robot. In the phase `Done`, the
            // caller sends the result to the ticket.
            Phase::Queued | Phase::Done => return Vec::new(),
            Phase::Offered => {
                let sent = usize::try_from(self.offers).unwrap_or(usize::MAX);
                if let Some(pause) = OFFER_MS.get(sent) {
                    OfferRepeated {
                        epoch: self.epoch,
                        due: at.plus_ms(*pause),
                    }
                    .into()
                } else {
                    let seconds = OFFER_MS.iter().sum::<i64>() / 1000;
                    let reason = format!("the robot did not accept the order within {seconds} s");
                    self.attempt_failed(requested, reason, at)
                }
            }
            Phase::Accepted | Phase::Working | Phase::Suspect
                if self.work_due.is_some_and(|work_due| at >= work_due) =>
            {
                let seconds = requested.work_ms / 1000;
                self.cancel(format!("the work takes longer than {seconds} s"), false, at)
            }
            Phase::Accepted | Phase::Working | Phase::Suspect if seen.is_some() => {
                self.renew(seen.unwrap_or(at)).into()
            }
            Phase::Accepted | Phase::Working => self.suspect(at),
            Phase::Suspect => self.ended(requested, "the contact to the robot is lost".into(), at),
            Phase::Canceling => {
                self.ended(requested, "the robot did not confirm the cancel".into(), at)
            }
        };
        vec![event]
    }

    fn suspect(&self, at: Moment) -> DispatchEvent {
        let pause = if self.is_released {
            SUSPECT_MS
        } else {
            SUSPECT_UNRELEASED_MS
        };
        Suspected {
            epoch: self.epoch,
            since: at,
            due: at.plus_ms(pause),
        }
        .into()
    }

    fn withdraw(&self, reason: &str, at: Moment) -> Vec<DispatchEvent> {
        match &self.cancel {
            Some(cancel) if self.phase == Phase::Canceling && cancel.is_final => Vec::new(),
            _ if self.phase == Phase::Queued => vec![self.failed(reason.to_owned(), at)],
            _ => vec![self.cancel(reason.to_owned(), true, at)],
        }
    }

    fn cancel(&self, reason: String, is_final: bool, at: Moment) -> DispatchEvent {
        CancelRequested {
            epoch: self.epoch,
            reason,
            is_final,
            due: at.plus_ms(CANCEL_MS),
        }
        .into()
    }

    /// Returns an event that ends the current attempt of the mission (the work of a robot) without a success.
    /// The mission fails if the ticket does not need the result any more. The mission also fails if the work
    /// must not be done twice and the robot was already allowed to begin. In all other cases, the mission can
    /// go to another robot.
    fn ended(&self, requested: &Requested, reason: String, at: Moment) -> DispatchEvent {
        let cancel = self
            .cancel
            .as_ref()
            .filter(|_| self.phase == Phase::Canceling);
        let reason = match cancel {
            Some(cancel) => format!("{}; {reason}", cancel.reason),
            None => reason,
        };
        if cancel.is_some_and(|cancel| cancel.is_final) {
            return self.failed(reason, at);
        }
        if self.is_released && requested.repetition == Repetition::AtMostOnce {
            let reason = format!(
                "{reason}; the work was released to robot {} and may be done, so a person must check",
                self.robot
            );
            return self.failed(reason, at);
        }
        self.attempt_failed(requested, reason, at)
    }

    fn attempt_failed(&self, requested: &Requested, reason: String, at: Moment) -> DispatchEvent {
        AttemptFailed {
            epoch: self.epoch,
            robot: self.robot.clone(),
            reason,
            due: at,
            expires: requested.expires,
        }
        .into()
    }

    fn failed(&self, reason: String, at: Moment) -> DispatchEvent {
        Completed {
            epoch: self.epoch,
            succeeded: false,
            outputs: BTreeMap::new(),
            reason,
            due: at.plus_ms(RESULT_DUE_MS),
        }
        .into()
    }

    fn succeeded(&self, node: NodeId, result: &str, at: Moment) -> DispatchEvent {
        let result = if result.is_empty() { "done" } else { result };
        Completed {
            epoch: self.epoch,
            succeeded: true,
            outputs: BTreeMap::from([
                (mission_result_key(node), result.to_owned()),
                (robot_key(node), self.robot.clone()),
            ]),
            reason: String::new(),
            due: at.plus_ms(RESULT_DUE_MS),
        }
        .into()
    }
}

/// Adds each mission (the work of a robot) to the list of all missions and to the list of the ticket that
/// needs the mission. A mission without a result is also in the list of open missions. A mission with a robot
/// is also in the list of this robot.
impl Card for Dispatch {
    type Event = DispatchEvent;
    const VIEW: &'static str = "dispatch";
    const COUNTED: &'static [&'static str] = &["dispatch", "open", "robot"];

    fn fold(&mut self, envelope: &Envelope<DispatchEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(requested) = &self.requested else {
            return Vec::new();
        };
        let at = format!("{:016}", requested.due.0);
        let mut rows = vec![
            ("dispatch", at.clone()),
            ("ticket", requested.ticket.0.clone()),
        ];
        if self.phase != Phase::Done {
            rows.push(("open", at.clone()));
        }
        if !self.robot.is_empty() {
            rows.push(("robot", format!("{}|{at}", self.robot)));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::fold;

    const STREAM: &str = "dispatch-5d41402abc4b2a76b9719d911017c592";
    const START: Moment = Moment(1_000_000);

    fn requested(repetition: Repetition) -> Requested {
        Requested {
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "Robot".into(),
            round: 1,
            attempt: 1,
            cause: "ticket-REQ1:5".into(),
            task_type: "patrol".into(),
            action: "noop".into(),
            parameters: BTreeMap::new(),
            repetition,
            work_ms: 120_000,
            site: "hall".into(),
            map: "hall_map".into(),
            station: "S1".into(),
            position: Position { x: 6.0, y: 2.0 },
            problem: String::new(),
            due: START,
            expires: START.plus_ms(600_000),
        }
    }

    /// A mission (the work of a robot) under test, with all its events. The tests count time in milliseconds
    /// after [`START`].
    struct Mission(Vec<DispatchEvent>);

    impl Mission {
        fn new(repetition: Repetition) -> Self {
            Self(request(&requested(repetition)))
        }

        fn state(&self) -> Dispatch {
            fold::<Dispatch>(&self.0)
        }

        /// Executes a command of the tested mission and returns the types of the new events. If the mission
        /// rejects the command, the test fails.
        fn run(&mut self, command: &Command) -> Vec<&'static str> {
            let added = self.state().decide(command, &()).expect("accepted");
            self.0.extend(added.iter().cloned());
            added.iter().map(events::Event::kind).collect()
        }

        fn offer(&mut self, robot: &str, at: i64) -> Vec<&'static str> {
            self.run(&Command::Offer {
                robot: robot.into(),
                start: Position::default(),
                start_node: "n0".into(),
                reasons: BTreeMap::new(),
                at: START.plus_ms(at),
            })
        }

        fn observe(&mut self, epoch: u32, progress: Progress, at: i64) -> Vec<&'static str> {
            self.run(&Command::Observe {
                epoch,
                progress,
                received: START.plus_ms(at),
                at: START.plus_ms(at),
            })
        }

        fn fire(&mut self, seen: Option<i64>, at: i64) -> Vec<&'static str> {
            self.run(&Command::Fire {
                seen: seen.map(|seen| START.plus_ms(seen)),
                at: START.plus_ms(at),
            })
        }

        /// Returns a mission whose work the desk has released (allowed the robot to begin). The robot has
        /// reached the station before the release.
        fn released() -> Self {
            let mut mission = Self::new(Repetition::AtMostOnce);
            mission.offer("agv_1", 0);
            mission.observe(1, Progress::Accepted, 100);
            mission.observe(1, Progress::AtGate, 5_000);
            mission
        }
    }

    #[test]
    fn work_with_a_gate_is_released_when_the_robot_waits_there() {
        let mut mission = Mission::new(Repetition::AtMostOnce);
        assert_eq!(mission.offer("agv_1", 0), ["dispatch.offered"]);
        assert_eq!(mission.state().order(STREAM).unwrap().update, 0);
        assert_eq!(
            mission.observe(1, Progress::Accepted, 100),
            ["dispatch.accepted"]
        );
        assert!(mission.observe(1, Progress::Accepted, 200).is_empty());
        assert_eq!(
            mission.observe(1, Progress::AtGate, 5_000),
            ["dispatch.work_released"]
        );
        assert!(mission.observe(1, Progress::AtGate, 5_100).is_empty());
        assert_eq!(mission.state().order(STREAM).unwrap().update, 1);
        assert!(mission.observe(1, Progress::Working, 6_000).is_empty());
        let done = mission.observe(1, Progress::Finished("ok".into()), 9_000);
        assert_eq!(done, ["dispatch.completed"]);
        let outcome = mission.state().outcome.unwrap();
        assert!(outcome.succeeded);
        assert_eq!(outcome.outputs["mission_result_3"], "ok");
        assert_eq!(outcome.outputs["mission_robot_3"], "agv_1");
        assert_eq!(
            mission.run(&Command::Close { recorded: true }),
            ["dispatch.closed"]
        );
    }

    #[test]
    fn an_old_state_does_not_release_the_work() {
        let mut mission = Mission::new(Repetition::AtMostOnce);
        mission.offer("agv_1", 0);
        mission.observe(1, Progress::Accepted, 100);
        let delayed = Command::Observe {
            epoch: 1,
            progress: Progress::AtGate,
            received: START.plus_ms(1_000),
            at: START.plus_ms(1_001 + GATE_AGE_MS_MAX),
        };
        assert!(mission.run(&delayed).is_empty());
    }

    #[test]
    fn one_state_can_show_several_steps() {
        let mut mission = Mission::new(Repetition::AtMostOnce);
        mission.offer("agv_1", 0);
        let events = mission.observe(1, Progress::AtGate, 300);
        assert_eq!(events, ["dispatch.accepted", "dispatch.work_released"]);
        let mut mission = Mission::new(Repetition::AtLeastOnce);
        mission.offer("agv_1", 0);
        let events = mission.observe(1, Progress::Finished(String::new()), 300);
        assert_eq!(events, ["dispatch.accepted", "dispatch.completed"]);
    }

    #[test]
    fn a_silent_robot_loses_its_offer_after_two_seconds() {
        let mut mission = Mission::new(Repetition::AtMostOnce);
        mission.offer("agv_1", 0);
        assert!(mission.fire(None, 499).is_empty());
        assert_eq!(mission.fire(None, 500), ["dispatch.offer_repeated"]);
        assert_eq!(mission.fire(None, 1_000), ["dispatch.offer_repeated"]);
        assert!(mission.fire(None, 1_999).is_empty());
        assert_eq!(mission.fire(None, 2_000), ["dispatch.attempt_failed"]);
        let state = mission.state();
        assert_eq!(
            (state.phase, state.due),
            (Phase::Queued, START.plus_ms(2_000))
        );
        assert!(state.excluded["agv_1"] > START.plus_ms(2_000));
        mission.offer("agv_2", 2_000);
        assert_eq!(
            mission.state().order(STREAM).unwrap().id,
            order_id(STREAM, 2)
        );
    }

    #[test]
    fn a_rejection_moves_the_mission_to_another_robot() {
        let mut mission = Mission::new(Repetition::AtMostOnce);
        mission.offer("agv_1", 0);
        let events = mission.observe(1, Progress::Rejected("noRouteError".into()), 50);
        assert_eq!(events, ["dispatch.attempt_failed"]);
        // The desk offers the mission (the work of a robot) to the same robot again. The robot then repeats
        // the report that it rejected the first offer. The mission ignores this repeated report.
        mission.offer("agv_1", 60);
        assert!(
            mission
                .observe(1, Progress::Rejected("noRouteError".into()), 70)
                .is_empty()
        );
    }

    #[test]
    fn a_lease_is_renewed_by_states_and_ends_without_them() {
        let mut mission = Mission::new(Repetition::AtMostOnce);
        mission.offer("agv_1", 0);
        mission.observe(1, Progress::Accepted, 0);
        assert_eq!(
            mission.fire(Some(60_000), LEASE_MS),
            ["dispatch.lease_renewed"]
        );
        assert_eq!(mission.state().due, START.plus_ms(60_000 + LEASE_MS));
        let end = 60_000 + LEASE_MS;
        assert_eq!(mission.fire(Some(60_000), end), ["dispatch.suspected"]);
        assert_eq!(
            mission.observe(1, Progress::Accepted, end + 1),
            ["dispatch.lease_renewed"]
        );
        assert_eq!(mission.state().phase, Phase::Accepted);
    }

    #[test]
    fn unreleased_work_of_a_lost_robot_goes_to_another_robot() {
        let mut mission = Mission::new(Repetition::AtMostOnce);
        mission.offer("agv_1", 0);
        mission.observe(1, Progress::Accepted, 0);
        let lost = Command::LoseContact {
            epoch: 1,
            at: START.plus_ms(1_000),
        };
        assert_eq!(mission.run(&lost), ["dispatch.suspected"]);
        assert!(mission.run(&lost).is_empty());
        let end = 1_000 + SUSPECT_UNRELEASED_MS;
        // The last state message of the robot arrived at time 900, before the connection was lost. The robot
        // has therefore not been in contact again, and the attempt fails.
        assert_eq!(mission.fire(Some(900), end), ["dispatch.attempt_failed"]);
    }

    #[test]
    fn released_work_of_a_lost_robot_goes_to_a_person() {
        let mut mission = Mission::released();
        let lost = Command::LoseContact {
            epoch: 1,
            at: START.plus_ms(6_000),
        };
        mission.run(&lost);
        assert_eq!(
            mission.fire(None, 6_000 + SUSPECT_MS),
            ["dispatch.completed"]
        );
        let outcome = mission.state().outcome.unwrap();
        assert!(!outcome.succeeded);
        assert!(
            outcome.reason.contains("a person must check"),
            "{}",
            outcome.reason
        );
    }

    #[test]
    fn a_failure_before_the_release_is_repeated_and_after_it_is_not() {
        for (mut mission, expected) in [
            (Mission::released(), "dispatch.completed"),
            (
                {
                    let mut mission = Mission::new(Repetition::AtLeastOnce);
                    mission.offer("agv_1", 0);
                    mission.observe(1, Progress::Working, 100);
                    mission
                },
                "dispatch.attempt_failed",
            ),
        ] {
            let events = mission.observe(1, Progress::Failed("jam".into()), 7_000);
            assert_eq!(events, [expected]);
        }
        let mut dropped = Mission::new(Repetition::AtMostOnce);
        dropped.offer("agv_1", 0);
        dropped.observe(1, Progress::Accepted, 100);
        assert_eq!(
            dropped.observe(1, Progress::Dropped, 200),
            ["dispatch.attempt_failed"]
        );
    }

    #[test]
    fn work_that_takes_too_long_is_canceled() {
        let mut mission = Mission::released();
        let work_due = mission.state().work_due.unwrap().0 - START.0;
        mission.fire(Some(94_000), 95_000);
        assert_eq!(
            mission.fire(Some(work_due), work_due),
            ["dispatch.cancel_requested"]
        );
        let events = mission.observe(1, Progress::Failed("canceled".into()), work_due + 10);
        assert_eq!(events, ["dispatch.completed"]);
        let reason = mission.state().outcome.unwrap().reason;
        assert!(
            reason.starts_with("the work takes longer than 120 s"),
            "{reason}"
        );
        // If the robot does not confirm the cancellation within `CANCEL_MS`, the mission (the work of a robot)
        // ends.
        let mut silent = Mission::released();
        silent.fire(Some(94_000), 95_000);
        silent.fire(None, work_due);
        assert_eq!(
            silent.fire(None, work_due + CANCEL_MS),
            ["dispatch.completed"]
        );
    }

    #[test]
    fn a_result_of_an_earlier_attempt_is_recorded_once_and_changes_nothing() {
        let mut mission = Mission::new(Repetition::AtLeastOnce);
        mission.offer("agv_1", 0);
        mission.fire(None, 500);
        mission.fire(None, 1_000);
        mission.fire(None, 2_000);
        let late = || Progress::Finished("late".into());
        assert_eq!(
            mission.observe(1, late(), 2_100),
            ["dispatch.outdated_result_received"]
        );
        mission.offer("agv_2", 2_200);
        assert!(mission.observe(1, late(), 2_300).is_empty());
        assert_eq!(mission.state().phase, Phase::Offered);
        assert!(mission.observe(9, late(), 2_400).is_empty());
    }

    #[test]
    fn a_withdrawn_mission_cancels_its_robot_and_ends() {
        let withdraw = |at| Command::Withdraw {
            reason: "the ticket ended".into(),
            at: START.plus_ms(at),
        };
        let mut queued = Mission::new(Repetition::AtMostOnce);
        assert_eq!(queued.run(&withdraw(10)), ["dispatch.completed"]);
        assert!(queued.run(&withdraw(20)).is_empty());
        let mut mission = Mission::new(Repetition::AtMostOnce);
        mission.offer("agv_1", 0);
        mission.observe(1, Progress::Accepted, 100);
        assert_eq!(mission.run(&withdraw(200)), ["dispatch.cancel_requested"]);
        assert!(mission.run(&withdraw(300)).is_empty());
        // The robot waits at the station for the release of the work. The ticket does not need the mission
        // (the work of a robot) any more, so the desk does not release the work.
        assert!(mission.observe(1, Progress::AtGate, 400).is_empty());
        assert_eq!(
            mission.observe(1, Progress::Dropped, 500),
            ["dispatch.completed"]
        );
    }

    #[test]
    fn a_mission_without_a_robot_goes_to_a_person_in_time() {
        let mut mission = Mission::new(Repetition::AtMostOnce);
        for pause in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            let at = mission.state().due;
            let postpone = Command::Postpone {
                reasons: BTreeMap::new(),
                at,
            };
            mission.run(&postpone);
            assert_eq!(mission.state().due, at.plus_ms(pause));
        }
        let early = Command::Expire { at: START };
        let rejected = mission.state().decide(&early, &());
        assert!(matches!(
            rejected,
            Err(DecideError::Rejected(Rejection::NotExpired(_)))
        ));
        let expire = Command::Expire {
            at: START.plus_ms(600_000),
        };
        assert_eq!(mission.run(&expire), ["dispatch.expired"]);
        // The desk has allowed a robot to begin the work of this mission, so the mission does not expire.
        let mut released = Mission::released();
        assert!(released.run(&expire).is_empty());
    }

    #[test]
    fn a_mission_with_a_missing_definition_ends_at_once() {
        let mut requested = requested(Repetition::AtMostOnce);
        requested.problem = "site hall has no station \"S9\"".into();
        let state = fold::<Dispatch>(&request(&requested));
        assert_eq!(state.phase, Phase::Done);
        assert_eq!(state.outcome.unwrap().reason, requested.problem);
    }
}
