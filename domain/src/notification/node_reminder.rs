//! Implements the aggregate of the reminders of one node. While a ticket waits at the node, its people are reminded
//! again and again. The time between two reminders is fixed when the ticket enters the node.

use std::collections::BTreeMap;

use events::node_reminder::{NodeReminderEvent, Reminded, Started, StopReason, Stopped};
use events::{Moment, NodeId, PersonId, TicketSn};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::intent::effect_id;
use crate::ticket::{NodeRun, Status, Ticket};
use crate::views::Card;

/// Maximum number of reminders of one node. A ticket that still waits then needs an escalation.
pub const REMINDERS_MAX: u32 = 100;
/// Maximum number of people whom one reminder notifies. The event must stay small.
pub const PEOPLE_MAX: usize = 30;

/// The commands that change the reminders of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Start(Started),
    /// Stores the reminder that is due. If another reminder is due, or if its time has not come, the command does
    /// nothing.
    Remind {
        number: u32,
        at: Moment,
        people: Vec<PersonId>,
    },
    Stop(StopReason),
}

/// The reasons why the desk rejects a command for the reminders of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the reminders have already started")]
    AlreadyStarted,
    #[error("the reminders have not started")]
    NotStarted,
}

/// The reminders of one node, computed from their events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReminder {
    pub started: Option<Started>,
    /// The number and the time of the next reminder. `None` after the last reminder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<(u32, Moment)>,
    /// The number of the last reminder of each person.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last: BTreeMap<PersonId, u32>,
}

impl Decider for NodeReminder {
    type Command = Command;
    type Event = NodeReminderEvent;
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
    ) -> Result<Vec<NodeReminderEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match (command, &self.started) {
            (Command::Start(_), Some(_)) => reject(Rejection::AlreadyStarted),
            (Command::Start(started), None) => Ok(vec![started.clone().into()]),
            (_, None) => reject(Rejection::NotStarted),
            (Command::Stop(_), Some(_)) if self.next.is_none() => Ok(Vec::new()),
            (Command::Stop(reason), Some(_)) => Ok(vec![Stopped { reason: *reason }.into()]),
            (Command::Remind { number, at, people }, Some(started)) => Ok(match self.next {
                Some((expected, due)) if expected == *number && due <= *at => {
                    let people = people.iter().take(PEOPLE_MAX).cloned().collect();
                    vec![remind(started, *number, *at, people).into()]
                }
                _ => Vec::new(),
            }),
        }
    }

    fn evolve(&mut self, event: &NodeReminderEvent) {
        match event {
            NodeReminderEvent::Started(started) => {
                self.next = Some((1, started.due));
                self.started = Some(started.clone());
            }
            NodeReminderEvent::Reminded(reminded) => {
                self.next = reminded.due.map(|due| (reminded.number + 1, due));
                let people = reminded.people.iter();
                let people = people.map(|person| (person.clone(), reminded.number));
                self.last.extend(people);
            }
            NodeReminderEvent::Stopped(_) => self.next = None,
        }
    }
}

fn remind(started: &Started, number: u32, at: Moment, people: Vec<PersonId>) -> Reminded {
    let due = (number < REMINDERS_MAX).then(|| at.plus_ms(started.every_ms));
    Reminded {
        number,
        at,
        people,
        due,
    }
}

/// Returns the name of the stream with the reminders of a node. A ticket that enters the node again gets another
/// stream.
pub fn stream(ticket: &TicketSn, node: NodeId, round: u32) -> String {
    let visit = format!("{node}|{round}");
    format!(
        "node_reminder-{}",
        effect_id("remind_node", &ticket.0, &visit)
    )
}

/// Returns the id of the event that stores a reminder. Each event after the start is a reminder, so the number of the
/// reminder determines its place in the stream.
pub fn event_id(stream: &str, number: u32) -> String {
    format!("{stream}:{}", number + 1)
}

/// Returns the people whom a reminder notifies, or the reason why the ticket does not need it any more. The list is
/// empty while the ticket is suspended.
pub fn people(ticket: &Ticket, node: NodeId, round: u32) -> Result<Vec<PersonId>, StopReason> {
    if ticket.opened.is_none() || ticket.status.is_over() {
        return Err(StopReason::TicketEnded);
    }
    let node_run = ticket.nodes.get(&node);
    let is_here = |run: &&NodeRun| run.is_current() && run.round == round;
    let node_run = node_run.filter(is_here).ok_or(StopReason::NodeLeft)?;
    if ticket.status == Status::Suspended {
        return Ok(Vec::new());
    }
    Ok(node_run.whose_turn())
}

/// The reminders of a node appear in no list, because the notifications of the ticket show them.
impl Card for NodeReminder {
    type Event = NodeReminderEvent;
    const VIEW: &'static str = "node_reminder";

    fn fold(&mut self, envelope: &Envelope<NodeReminderEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use events::Event as _;

    use super::*;
    use crate::decider::fold;

    fn started() -> Started {
        Started {
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "审批".into(),
            round: 1,
            every_ms: 1_000,
            cause: "ticket-REQ1:5".into(),
            due: Moment(1_005),
        }
    }

    fn due(number: u32, at: i64, people: &[&str]) -> Command {
        Command::Remind {
            number,
            at: Moment(at),
            people: people.iter().map(|one| PersonId::from(*one)).collect(),
        }
    }

    fn decide(given: &[NodeReminderEvent], command: &Command) -> Vec<NodeReminderEvent> {
        fold::<NodeReminder>(given).decide(command, &()).unwrap()
    }

    #[test]
    fn a_reminder_is_stored_once_and_sets_the_next() {
        let mut history: Vec<NodeReminderEvent> = vec![started().into()];
        assert!(decide(&history, &due(1, 1_004, &["a"])).is_empty());
        let events = decide(&history, &due(1, 1_010, &["a", "b"]));
        let deadlines = events[0].deadlines();
        assert_eq!(deadlines[0].due, Some(Moment(2_010)));
        history.extend(events);
        assert!(decide(&history, &due(1, 9_000, &["a"])).is_empty());
        history.extend(decide(&history, &due(2, 2_010, &["a"])));
        let state = fold::<NodeReminder>(&history);
        let last: Vec<(&str, u32)> = state
            .last
            .iter()
            .map(|(person, number)| (person.as_str(), *number))
            .collect();
        assert_eq!(last, [("a", 2), ("b", 1)]);
    }

    #[test]
    fn the_number_of_reminders_is_limited() {
        let mut history: Vec<NodeReminderEvent> = vec![started().into()];
        for number in 1..=REMINDERS_MAX {
            let at = 1_005 + i64::from(number - 1) * 1_000;
            history.extend(decide(&history, &due(number, at, &["a"])));
        }
        let state = fold::<NodeReminder>(&history);
        assert_eq!(state.next, None);
        assert_eq!(history.last().unwrap().deadlines()[0].due, None);
        assert_eq!(history.len(), 1 + REMINDERS_MAX as usize);
    }

    #[test]
    fn stopped_reminders_have_no_deadline() {
        let mut history: Vec<NodeReminderEvent> = vec![started().into()];
        let stop = Command::Stop(StopReason::NodeLeft);
        let events = decide(&history, &stop);
        assert_eq!(events[0].deadlines()[0].due, None);
        history.extend(events);
        assert!(decide(&history, &stop).is_empty());
        assert!(decide(&history, &due(1, 9_000, &["a"])).is_empty());
        let again = Command::Start(started());
        assert_eq!(
            fold::<NodeReminder>(&history).decide(&again, &()),
            Err(DecideError::Rejected(Rejection::AlreadyStarted))
        );
    }

    #[test]
    fn a_ticket_that_enters_the_node_again_has_other_reminders() {
        let of = |round| stream(&"REQ1".into(), NodeId(3), round);
        assert_ne!(of(1), of(2));
        assert_eq!(event_id("node_reminder-a", 1), "node_reminder-a:2");
    }
}
