//! Defines the events of the reminders of one node. The events are stored in the stream `node_reminder-<id>`. While a
//! ticket waits at the node, its people are reminded again and again, if the workflow has the rule `RETRY`
//! (reference/bk-itsm.md 12.3).

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, NodeId, PersonId, TicketSn};

/// The name of the deadline at which the next reminder is due.
pub const REMIND: &str = "remind";

event_enum! {
    /// The events of the reminders of one node.
    NodeReminderEvent of "node_reminder" {
        Started "node_reminder.started" 1,
        Reminded "node_reminder.reminded" 1,
        Stopped "node_reminder.stopped" 1,
    }
    deadlines |event: &NodeReminderEvent| match event {
        NodeReminderEvent::Started(started) => vec![DeadlineChange::set(REMIND, started.due)],
        NodeReminderEvent::Reminded(reminded) => vec![match reminded.due {
            Some(due) => DeadlineChange::set(REMIND, due),
            None => DeadlineChange::clear(REMIND),
        }],
        NodeReminderEvent::Stopped(_) => vec![DeadlineChange::clear(REMIND)],
    };
}

/// The reminders of a node started, because a ticket entered the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub ticket: TicketSn,
    pub node: NodeId,
    /// The name that the node had when the reminders started.
    pub name: String,
    /// The number of times that the ticket has entered the node.
    pub round: u32,
    /// The time between two reminders in milliseconds.
    pub every_ms: i64,
    /// The id of the event that caused the reminders.
    pub cause: String,
    /// The time at which the first reminder is due.
    pub due: Moment,
}
impl Personals for Started {}

/// A reminder was due. The desk notifies the people in `people`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminded {
    /// The number of the reminder. The first reminder has number 1.
    pub number: u32,
    pub at: Moment,
    /// The people for whom the node waits. The list does not contain people whose last reminder is still held. It is
    /// empty while the ticket is suspended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonId>,
    /// The time at which the next reminder is due. The value is absent after the last reminder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Reminded {}

/// The reason why the reminders stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The ticket has left the node, or has entered it again.
    NodeLeft,
    /// The ticket has ended.
    TicketEnded,
}

/// The reminders stopped, because the ticket does not wait at the node any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub reason: StopReason,
}
impl Personals for Stopped {}
