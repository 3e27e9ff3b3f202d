//! What can be asked of a ticket.

use std::collections::BTreeMap;

use events::ticket::{Callback, DynamicField, Observed, Relation};
use events::workflow::Processors;
use events::{AttachmentId, Entry, LineId, NodeId, Pid, ServiceId, TicketSn};

use crate::attachment;

/// What can be asked of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Open(Box<Open>),
    /// TRANSITION: a form is submitted, or a vote cast.
    Submit {
        node: NodeId,
        by: Pid,
        form: Vec<Entry>,
        reason: String,
    },
    /// A vote without a form: the result and, where it fits, the remark are filled in.
    Decide {
        node: NodeId,
        by: Pid,
        pass: bool,
        remark: String,
    },
    Claim {
        node: NodeId,
        by: Pid,
        reason: String,
    },
    Distribute {
        node: NodeId,
        by: Pid,
        to: Processors,
        message: String,
    },
    Deliver {
        node: NodeId,
        by: Pid,
        to: Processors,
        message: String,
    },
    /// Exception distribute: a manager gives a node to anybody.
    Reassign {
        node: NodeId,
        by: Pid,
        to: Processors,
        message: String,
    },
    TerminateAt {
        node: NodeId,
        by: Pid,
        reason: String,
    },
    Suspend {
        by: Pid,
        reason: String,
    },
    Resume {
        by: Pid,
        reason: String,
    },
    Withdraw {
        by: Pid,
        reason: String,
    },
    Terminate {
        by: Pid,
        reason: String,
    },
    /// Ends the ticket with a status that ends tickets.
    Close {
        by: Pid,
        status: String,
        reason: String,
    },
    /// An automatic node's call came to an end.
    Answer(Answer),
    /// A failed automatic node is tried again, perhaps with other inputs.
    Retry {
        node: NodeId,
        by: Pid,
        inputs: BTreeMap<String, String>,
        reason: String,
    },
    /// A failed automatic node is passed over, perhaps with what it would have left behind.
    Ignore {
        node: NodeId,
        by: Pid,
        outputs: BTreeMap<String, String>,
        reason: String,
    },
    /// A manager picks the line where none held.
    Route {
        node: NodeId,
        by: Pid,
        line: LineId,
        reason: String,
    },
    /// The response: claims where a claim is due, else says that it was seen.
    Acknowledge {
        node: Option<NodeId>,
        by: Pid,
        reason: String,
    },
    /// Completes the node at which this person has to act.
    Resolve {
        by: Pid,
        form: Vec<Entry>,
        remark: String,
    },
    /// To the leaders of those who have it.
    Escalate {
        node: Option<NodeId>,
        by: Pid,
        reason: String,
    },
    EditField {
        by: Pid,
        form: Vec<Entry>,
    },
    Remark {
        by: Pid,
        text: String,
        parent: Option<u64>,
        mentions: Vec<Pid>,
        internal: bool,
    },
    Follow {
        by: Pid,
        people: Vec<Pid>,
        follows: bool,
    },
    /// Rates a finished ticket.
    Rate {
        by: Pid,
        stars: u8,
        comment: String,
    },
    /// Supervise: reminds those who have to act.
    Remind {
        by: Pid,
        message: String,
    },
    /// `mirror`: the other ticket said so first.
    Link {
        by: Pid,
        other: TicketSn,
        relation: Relation,
        mirror: bool,
    },
    Unlink {
        by: Pid,
        other: TicketSn,
        mirror: bool,
    },
    /// The parent ended with this status.
    EndWithParent {
        parent: TicketSn,
        status: String,
        approve_result: bool,
    },
    /// Takes over rows of a foreign log, in file order; those it has already are left out.
    Observe(Vec<Observed>),
}

/// Who wants it, borrowed as the command is.
macro_rules! by {
    ($command:expr) => {
        match $command {
            // Who opens is registered by the door, after it has asked whether the ticket would be accepted.
            Command::Open(_) | Command::Observe(_) | Command::Answer(_) | Command::EndWithParent { .. } => None,
            Command::Submit { by, .. }
            | Command::Decide { by, .. }
            | Command::Claim { by, .. }
            | Command::Distribute { by, .. }
            | Command::Deliver { by, .. }
            | Command::Reassign { by, .. }
            | Command::TerminateAt { by, .. }
            | Command::Suspend { by, .. }
            | Command::Resume { by, .. }
            | Command::Withdraw { by, .. }
            | Command::Terminate { by, .. }
            | Command::Close { by, .. }
            | Command::Retry { by, .. }
            | Command::Ignore { by, .. }
            | Command::Route { by, .. }
            | Command::Acknowledge { by, .. }
            | Command::Resolve { by, .. }
            | Command::Escalate { by, .. }
            | Command::EditField { by, .. }
            | Command::Remark { by, .. }
            | Command::Follow { by, .. }
            | Command::Rate { by, .. }
            | Command::Remind { by, .. }
            | Command::Link { by, .. }
            | Command::Unlink { by, .. } => Some(by),
        }
    };
}

impl Command {
    /// The uploaded files that a form names.
    pub fn attachments(&self) -> Vec<AttachmentId> {
        self.form().iter().flat_map(|entry| attachment::named(&entry.value)).collect()
    }
}

/// What an automatic node's call came to; `round` and `attempt` say which call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub node: NodeId,
    pub round: u32,
    pub attempt: u32,
    pub succeeded: bool,
    pub outputs: BTreeMap<String, String>,
    pub task: String,
    pub reason: String,
}

impl Command {
    /// Who wants it, where a person does.
    pub(super) fn by(&self) -> Option<&Pid> {
        by!(self)
    }

    /// Everybody it names: who wants it, whom work is given to, who is told.
    pub(super) fn people(&self) -> impl Iterator<Item = &Pid> {
        let others: &[Pid] = match self {
            Self::Distribute { to: Processors::Person(people), .. }
            | Self::Deliver { to: Processors::Person(people), .. }
            | Self::Reassign { to: Processors::Person(people), .. }
            | Self::Remark { mentions: people, .. }
            | Self::Follow { people, follows: true, .. } => people,
            _ => &[],
        };
        self.by().into_iter().chain(others)
    }

    /// The same, so that whoever is unknown to the desk can be made known to it.
    pub fn people_mut(&mut self) -> Vec<&mut Pid> {
        let mut people: Vec<&mut Pid> = Vec::new();
        match self {
            Self::Distribute { by, to: Processors::Person(others), .. }
            | Self::Deliver { by, to: Processors::Person(others), .. }
            | Self::Reassign { by, to: Processors::Person(others), .. }
            | Self::Remark { by, mentions: others, .. }
            | Self::Follow { by, people: others, follows: true } => {
                people.push(by);
                people.extend(others);
            }
            other => people.extend(by!(other)),
        }
        people
    }

    /// The form it brings.
    pub fn form(&self) -> &[Entry] {
        match self {
            Self::Open(open) => &open.form,
            Self::Submit { form, .. } | Self::Resolve { form, .. } | Self::EditField { form, .. } => form,
            _ => &[],
        }
    }

    /// The same of a ticket that is there, so that whoever it names can be made known to the desk.
    pub fn form_mut(&mut self) -> &mut [Entry] {
        match self {
            Self::Submit { form, .. } | Self::Resolve { form, .. } | Self::EditField { form, .. } => form,
            _ => &mut [],
        }
    }
}

/// A new ticket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Open {
    pub sn: TicketSn,
    pub id: i64,
    pub service: ServiceId,
    pub creator: Pid,
    pub form: Vec<Entry>,
    pub tag: String,
    pub callback: Option<Callback>,
    pub chosen_processors: BTreeMap<NodeId, Vec<Pid>>,
    /// Who submits it for the creator.
    pub agent: Option<Pid>,
    pub dynamic_fields: Vec<DynamicField>,
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of the secret that holds the variables for automatic nodes.
    pub variables: Option<String>,
    pub notify_config: serde_json::Value,
    /// The ticket it is raised from.
    pub from: Option<TicketSn>,
    /// The creator follows it.
    pub attention: bool,
}

impl Open {
    /// The people it names besides those in its form.
    pub fn people_mut(&mut self) -> Vec<&mut Pid> {
        let chosen = self.chosen_processors.values_mut().flatten();
        std::iter::once(&mut self.creator).chain(&mut self.agent).chain(chosen).collect()
    }
}
