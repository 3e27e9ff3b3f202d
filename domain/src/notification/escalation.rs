//! Implements the aggregate of one escalation. An escalation notifies people step by step until a person acknowledges the
//! node of the ticket. The steps are fixed when the escalation starts.

use events::escalation::{
    Acknowledged, EscalationEvent, Exhausted, Started, StepNotified, StopReason, Stopped,
    Unnotified,
};
use events::escalation_chain::Step;
use events::ticket::TicketEvent;
use events::{Moment, NodeId, PersonId};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::ticket::{Status, Ticket};
use crate::views::Card;

/// Maximum number of people whom one step notifies. A department can have hundreds of people, and the event must stay
/// small.
pub const PEOPLE_MAX: usize = 30;
const MINUTE_MS: i64 = 60_000;

/// The reason why the ticket does not need the escalation any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Acknowledged(PersonId),
    Stopped(StopReason),
}

/// The commands that change one escalation.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Start(Box<Started>),
    /// Executes the step that is due. If another step is due, or if the time of the step has not come, the command does
    /// nothing.
    Notify {
        position: Position,
        at: Moment,
        people: Result<Vec<PersonId>, Unnotified>,
    },
    End(Ending),
}

/// The position of a step in the passes through the chain. Both numbers begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub pass: u32,
    pub step: u32,
}

/// The reasons why the desk rejects a command for an escalation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the escalation has already started")]
    AlreadyStarted,
    #[error("the escalation has not started")]
    NotStarted,
}

/// The phase of an escalation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    New,
    /// A step is due at the given time.
    Waiting(Position, Moment),
    Acknowledged(Acknowledged),
    Stopped(Stopped),
    Exhausted,
}

/// The state of one escalation, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    pub started: Option<Started>,
    pub phase: Phase,
    /// The steps that were due, in order. The number is limited, because a chain has few steps and repetitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notified: Vec<StepNotified>,
}

impl Decider for Escalation {
    type Command = Command;
    type Event = EscalationEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Start(_))
    }

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<EscalationEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match (command, &self.started) {
            (Command::Start(_), Some(_)) => reject(Rejection::AlreadyStarted),
            (Command::Start(started), None) => Ok(vec![(**started).clone().into()]),
            (_, None) => reject(Rejection::NotStarted),
            (Command::End(_), Some(_)) if !self.is_running() => Ok(Vec::new()),
            (Command::End(Ending::Acknowledged(by)), Some(_)) => {
                Ok(vec![Acknowledged { by: by.clone() }.into()])
            }
            (Command::End(Ending::Stopped(reason)), Some(_)) => {
                Ok(vec![Stopped { reason: *reason }.into()])
            }
            (
                Command::Notify {
                    position,
                    at,
                    people,
                },
                Some(started),
            ) => Ok(match self.phase {
                Phase::Waiting(expected, due) if expected == *position && due <= *at => {
                    notify(started, *position, *at, people)
                }
                _ => Vec::new(),
            }),
        }
    }

    fn evolve(&mut self, event: &EscalationEvent) {
        match event {
            EscalationEvent::Started(started) => {
                self.phase = Phase::Waiting(Position { pass: 1, step: 1 }, started.due);
                self.started = Some(started.clone());
            }
            EscalationEvent::StepNotified(step) => {
                let position = Position {
                    pass: step.pass,
                    step: step.step,
                };
                let next = self
                    .started
                    .as_ref()
                    .and_then(|one| following(one, position));
                self.phase = match (next, step.due) {
                    (Some(next), Some(due)) => Phase::Waiting(next, due),
                    _ => Phase::Exhausted,
                };
                self.notified.push(step.clone());
            }
            EscalationEvent::Acknowledged(acknowledged) => {
                self.phase = Phase::Acknowledged(acknowledged.clone());
            }
            EscalationEvent::Stopped(stopped) => self.phase = Phase::Stopped(stopped.clone()),
            EscalationEvent::Exhausted(_) => self.phase = Phase::Exhausted,
        }
    }
}

/// Returns the events of one executed step. After the last step of the last pass, the escalation is exhausted.
fn notify(
    started: &Started,
    position: Position,
    at: Moment,
    people: &Result<Vec<PersonId>, Unnotified>,
) -> Vec<EscalationEvent> {
    let all: &[PersonId] = people.as_ref().map_or(&[][..], Vec::as_slice);
    let omitted = all.len().saturating_sub(PEOPLE_MAX);
    let due = following(started, position)
        .and_then(|next| step_at(&started.steps, next))
        .map(|step| due_after(step, at));
    let notified = StepNotified {
        pass: position.pass,
        step: position.step,
        at,
        people: all.iter().take(PEOPLE_MAX).cloned().collect(),
        omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
        reason: people.as_ref().err().copied(),
        due,
    };
    let mut events: Vec<EscalationEvent> = vec![notified.into()];
    if due.is_none() {
        events.push(Exhausted {}.into());
    }
    events
}

/// Returns the position of the step after the step at `position`. Returns `None` after the last step of the last pass.
fn following(started: &Started, position: Position) -> Option<Position> {
    let count = u32::try_from(started.steps.len()).unwrap_or(u32::MAX);
    if position.step < count {
        return Some(Position {
            step: position.step + 1,
            ..position
        });
    }
    (position.pass <= started.repeat).then_some(Position {
        pass: position.pass + 1,
        step: 1,
    })
}

fn step_at(steps: &[Step], position: Position) -> Option<&Step> {
    let index = usize::try_from(position.step.checked_sub(1)?).ok()?;
    steps.get(index)
}

/// Returns the time at which a step is due. `at` is the time of the step before, or of the start.
pub fn due_after(step: &Step, at: Moment) -> Moment {
    at.plus_ms(i64::from(step.wait_minutes) * MINUTE_MS)
}

impl Escalation {
    /// Returns true if a step of the escalation is due at some time.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Waiting(..))
    }

    /// Returns the step that is due next, with its position and its time.
    pub fn next_step(&self) -> Option<(Position, Moment, &Step)> {
        let Phase::Waiting(position, due) = self.phase else {
            return None;
        };
        let steps = &self.started.as_ref()?.steps;
        Some((position, due, step_at(steps, position)?))
    }

    /// Returns the number with which a round robin of the step at `position` selects its person. `id` is the name of the
    /// stream of the escalation. The number is always the same for the same escalation, and increases with each pass.
    pub fn turn(id: &str, position: Position) -> u64 {
        let hash = blake3::hash(id.as_bytes());
        let mut start = [0; 4];
        start.copy_from_slice(&hash.as_bytes()[..4]);
        u64::from(u32::from_be_bytes(start)) + u64::from(position.pass)
    }
}

/// Returns the reason why a ticket does not need the escalation of a node any more. Returns `None` if the ticket still
/// waits at this node and no person has acknowledged the node.
pub fn ending(ticket: &Ticket, node: NodeId, round: u32) -> Option<Ending> {
    if ticket.opened.is_none() || ticket.status.is_over() {
        return Some(Ending::Stopped(StopReason::TicketEnded));
    }
    let node_run = ticket.nodes.get(&node);
    let Some(node_run) = node_run.filter(|run| run.is_current() && run.round == round) else {
        return Some(Ending::Stopped(StopReason::NodeLeft));
    };
    if let Some(by) = &node_run.acknowledged {
        return Some(Ending::Acknowledged(by.clone()));
    }
    (ticket.status == Status::Suspended).then_some(Ending::Stopped(StopReason::TicketSuspended))
}

/// Returns the first person who claimed the node. `events` are the events of the ticket since the start of the escalation. A
/// claim counts as an acknowledgement, because the first acknowledgement of an unclaimed node claims the node. A claim by
/// the desk itself does not count.
pub fn claimed_by<'a>(
    events: impl IntoIterator<Item = &'a TicketEvent>,
    node: NodeId,
) -> Option<&'a PersonId> {
    events.into_iter().find_map(|event| match event {
        TicketEvent::NodeClaimed(claimed) if claimed.node == node && !claimed.automatic => {
            Some(&claimed.by)
        }
        _ => None,
    })
}

/// Defines in which lists of the view `escalation` an escalation appears: the list of all escalations, the list of running
/// escalations, and the lists of one ticket.
impl Card for Escalation {
    type Event = EscalationEvent;
    const VIEW: &'static str = "escalation";

    fn fold(&mut self, envelope: &Envelope<EscalationEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(started) = &self.started else {
            return Vec::new();
        };
        let age = format!("{:016}", started.at.0);
        let of_ticket = format!("{}|{age}", started.ticket);
        let mut rows = vec![("escalation", age.clone()), ("ticket", of_ticket.clone())];
        if self.is_running() {
            rows.extend([("open", age.clone()), ("open_of_ticket", of_ticket)]);
        }
        if self.phase == Phase::Exhausted {
            rows.push(("exhausted", age));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use events::Event as _;
    use events::escalation::STEP_DUE;
    use events::escalation_chain::Target;

    use super::*;
    use crate::decider::fold;

    fn started(repeat: u32) -> Started {
        let step = |wait_minutes, person: &str| Step {
            wait_minutes,
            notify: Target::Person(person.into()),
            accounts: Vec::new(),
            only_if: None,
            buzz: false,
        };
        Started {
            chain: "default".into(),
            version: 1,
            steps: vec![step(0, "a"), step(10, "b")],
            repeat,
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "审批".into(),
            round: 1,
            cause: "ticket-REQ1:5".into(),
            at: Moment(5),
            priority: "3".into(),
            due: Moment(5),
        }
    }

    fn notify(pass: u32, step: u32, at: i64, person: &str) -> Command {
        Command::Notify {
            position: Position { pass, step },
            at: Moment(at),
            people: Ok(vec![person.into()]),
        }
    }

    fn notified(pass: u32, step: u32, at: i64, person: &str, due: Option<i64>) -> StepNotified {
        StepNotified {
            pass,
            step,
            at: Moment(at),
            people: vec![person.into()],
            omitted: 0,
            reason: None,
            due: due.map(Moment),
        }
    }

    fn decide(given: &[EscalationEvent], command: &Command) -> Vec<EscalationEvent> {
        let state = fold::<Escalation>(given);
        state.decide(command, &()).unwrap()
    }

    #[test]
    fn steps_follow_each_other_until_the_chain_is_exhausted() {
        let mut history: Vec<EscalationEvent> = vec![started(1).into()];
        for (pass, step, at, person, due) in [
            (1, 1, 5, "a", Some(600_005)),
            (1, 2, 600_005, "b", Some(600_005)),
            (2, 1, 600_007, "a", Some(1_200_007)),
            (2, 2, 1_200_007, "b", None),
        ] {
            let events = decide(&history, &notify(pass, step, at, person));
            let expected = EscalationEvent::from(notified(pass, step, at, person, due));
            assert_eq!(events[0], expected);
            assert_eq!(events.len(), if due.is_some() { 1 } else { 2 });
            history.extend(events);
        }
        assert_eq!(fold::<Escalation>(&history).phase, Phase::Exhausted);
    }

    #[test]
    fn a_step_is_executed_once_and_not_before_its_time() {
        let mut history: Vec<EscalationEvent> = vec![started(0).into()];
        history.extend(decide(&history, &notify(1, 1, 5, "a")));
        assert!(decide(&history, &notify(1, 1, 5, "a")).is_empty());
        assert!(decide(&history, &notify(1, 2, 600_004, "b")).is_empty());
        assert_eq!(decide(&history, &notify(1, 2, 600_005, "b")).len(), 2);
    }

    #[test]
    fn a_step_without_people_records_its_reason_and_the_next_follows() {
        let history: Vec<EscalationEvent> = vec![started(0).into()];
        let command = Command::Notify {
            position: Position { pass: 1, step: 1 },
            at: Moment(5),
            people: Err(Unnotified::NobodyOnCall),
        };
        let expected = StepNotified {
            people: Vec::new(),
            reason: Some(Unnotified::NobodyOnCall),
            ..notified(1, 1, 5, "", Some(600_005))
        };
        assert_eq!(
            decide(&history, &command),
            [EscalationEvent::from(expected)]
        );
    }

    #[test]
    fn a_step_with_too_many_people_counts_the_others() {
        let history: Vec<EscalationEvent> = vec![started(0).into()];
        let command = Command::Notify {
            position: Position { pass: 1, step: 1 },
            at: Moment(5),
            people: Ok(vec!["a".into(); PEOPLE_MAX + 2]),
        };
        let events = decide(&history, &command);
        let [EscalationEvent::StepNotified(step)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((step.people.len(), step.omitted), (PEOPLE_MAX, 2));
    }

    #[test]
    fn an_escalation_ends_once_and_has_no_deadline_after_its_end() {
        let mut history: Vec<EscalationEvent> = vec![started(0).into()];
        let end = Command::End(Ending::Acknowledged("a".into()));
        let events = decide(&history, &end);
        let acknowledged = Acknowledged { by: "a".into() };
        assert_eq!(events, [EscalationEvent::from(acknowledged)]);
        let changes = events[0].deadlines();
        assert_eq!((&*changes[0].id, changes[0].due), (STEP_DUE, None));
        history.extend(events);
        assert!(decide(&history, &end).is_empty());
        assert!(decide(&history, &notify(1, 1, 5, "a")).is_empty());
        let stop = Command::End(Ending::Stopped(StopReason::NodeLeft));
        assert!(decide(&history, &stop).is_empty());
        let again = Command::Start(Box::new(started(0)));
        let state = fold::<Escalation>(&history);
        assert_eq!(
            state.decide(&again, &()),
            Err(DecideError::Rejected(Rejection::AlreadyStarted))
        );
    }

    #[test]
    fn a_claim_by_a_person_counts_as_an_acknowledgement() {
        let claimed = |node, by: &str, automatic| {
            TicketEvent::from(events::ticket::NodeClaimed {
                node: NodeId(node),
                name: "n".into(),
                by: by.into(),
                automatic,
                reason: events::Remark::default(),
            })
        };
        let history = [
            claimed(2, "a", false),
            claimed(3, "b", true),
            claimed(3, "c", false),
        ];
        let by = claimed_by(&history, NodeId(3));
        assert_eq!(by, Some(&PersonId::from("c")));
        assert_eq!(claimed_by(&history, NodeId(4)), None);
    }

    #[test]
    fn every_running_state_has_a_deadline() {
        let mut history: Vec<EscalationEvent> = vec![started(1).into()];
        for (pass, step, at) in [
            (1, 1, 5),
            (1, 2, 600_005),
            (2, 1, 600_005),
            (2, 2, 1_200_005),
        ] {
            let state = fold::<Escalation>(&history);
            assert!(state.is_running());
            let last = history.last().unwrap().deadlines();
            assert_eq!(last[0].due, state.next_step().map(|(_, due, _)| due));
            history.extend(decide(&history, &notify(pass, step, at, "a")));
        }
        assert!(!fold::<Escalation>(&history).is_running());
        assert_eq!(history.last().unwrap().deadlines()[0].due, None);
    }
}
