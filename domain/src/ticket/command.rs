//! Commands of a ticket.

use std::collections::BTreeMap;

use events::ticket::{CallbackTarget, DynamicField, Relation, RowImported};
use events::workflow::Processors;
use events::{AttachmentId, Entry, NodeId, PersonId, ServiceId, TicketSn, TransitionId};

use crate::attachment;

/// A command of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Open(Box<Open>),
    /// Submits the form of a node, or casts a vote with a form (BlueKing: TRANSITION).
    Submit {
        node: NodeId,
        by: PersonId,
        form: Vec<Entry>,
        reason: String,
    },
    /// Casts a vote without a form. The desk fills in the result field and, if a text field exists,
    /// the remark.
    Decide {
        node: NodeId,
        by: PersonId,
        pass: bool,
        remark: String,
    },
    Claim {
        node: NodeId,
        by: PersonId,
        reason: String,
    },
    Assign {
        node: NodeId,
        by: PersonId,
        to: Processors,
        message: String,
    },
    Transfer {
        node: NodeId,
        by: PersonId,
        to: Processors,
        message: String,
    },
    /// Reassigns a node to any people; only managers may reassign (BlueKing: exception
    /// distribution).
    Reassign {
        node: NodeId,
        by: PersonId,
        to: Processors,
        message: String,
    },
    TerminateAt {
        node: NodeId,
        by: PersonId,
        reason: String,
    },
    Suspend {
        by: PersonId,
        reason: String,
    },
    Resume {
        by: PersonId,
        reason: String,
    },
    Withdraw {
        by: PersonId,
        reason: String,
    },
    Terminate {
        by: PersonId,
        reason: String,
    },
    /// Ends the ticket with a final status; only managers may close.
    Close {
        by: PersonId,
        status: String,
        reason: String,
    },
    /// Records the result of an automatic node's API call.
    RecordResult(NodeResult),
    /// Starts a new attempt of a failed automatic node, possibly with other inputs.
    Retry {
        node: NodeId,
        by: PersonId,
        inputs: BTreeMap<String, String>,
        reason: String,
    },
    /// Skips a failed automatic node, possibly with values for its outputs.
    Ignore {
        node: NodeId,
        by: PersonId,
        outputs: BTreeMap<String, String>,
        reason: String,
    },
    /// Takes the transition that a manager chose because no condition matched.
    Route {
        node: NodeId,
        by: PersonId,
        transition: TransitionId,
        reason: String,
    },
    /// Claims the node if the node waits for a claim; otherwise acknowledges the node.
    Acknowledge {
        node: Option<NodeId>,
        by: PersonId,
        reason: String,
    },
    /// Completes the node at which this person must act now.
    Resolve {
        by: PersonId,
        form: Vec<Entry>,
        remark: String,
    },
    /// Adds the leaders of the processors as processors of the node. If no new leader exists, the
    /// service owners are added.
    Escalate {
        node: Option<NodeId>,
        by: PersonId,
        reason: String,
    },
    EditField {
        by: PersonId,
        form: Vec<Entry>,
    },
    Remark {
        by: PersonId,
        text: String,
        parent: Option<u64>,
        mentions: Vec<PersonId>,
        internal: bool,
    },
    Follow {
        by: PersonId,
        people: Vec<PersonId>,
        follows: bool,
    },
    /// Rates a finished ticket.
    Rate {
        by: PersonId,
        stars: u8,
        comment: String,
    },
    /// Reminds the current processors of the ticket (BlueKing: supervision).
    Remind {
        by: PersonId,
        message: String,
    },
    /// Links this ticket to the ticket `other`. `mirror` is true if the other ticket has already
    /// recorded the relation.
    Link {
        by: PersonId,
        other: TicketSn,
        relation: Relation,
        mirror: bool,
    },
    Unlink {
        by: PersonId,
        other: TicketSn,
        mirror: bool,
    },
    /// Ends a child ticket with the final status of its parent.
    EndWithParent {
        parent: TicketSn,
        status: String,
        approve_result: bool,
    },
    /// Imports rows of a foreign log in the order of the file. Rows that are already imported are
    /// skipped.
    ImportRow(Vec<RowImported>),
}

/// Returns the acting person of a command, as a shared or mutable reference like the command
/// itself.
macro_rules! by {
    ($command:expr) => {
        match $command {
            // A new ticket returns no acting person here, because its creator may be unregistered.
            // The submit use case registers the creator after a dry run has accepted the ticket.
            Command::Open(_)
            | Command::ImportRow(_)
            | Command::RecordResult(_)
            | Command::EndWithParent { .. } => None,
            Command::Submit { by, .. }
            | Command::Decide { by, .. }
            | Command::Claim { by, .. }
            | Command::Assign { by, .. }
            | Command::Transfer { by, .. }
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
    /// Returns the ids of the uploaded files in the form of the command.
    pub fn attachments(&self) -> Vec<AttachmentId> {
        self.form()
            .iter()
            .flat_map(|entry| attachment::named(&entry.value))
            .collect()
    }
}

/// The result of an automatic node's API call. `round` and `attempt` identify the API call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeResult {
    pub node: NodeId,
    pub round: u32,
    pub attempt: u32,
    pub succeeded: bool,
    pub outputs: BTreeMap<String, String>,
    pub task: String,
    pub reason: String,
}

impl Command {
    /// Returns the acting person; `None` if the desk itself acts.
    pub(super) fn by(&self) -> Option<&PersonId> {
        by!(self)
    }

    /// Returns all people in the command: the acting person, new processors, mentioned people and
    /// new followers. People in the form are not included.
    pub(super) fn people(&self) -> impl Iterator<Item = &PersonId> {
        let others: &[PersonId] = match self {
            Self::Assign {
                to: Processors::Person(people),
                ..
            }
            | Self::Transfer {
                to: Processors::Person(people),
                ..
            }
            | Self::Reassign {
                to: Processors::Person(people),
                ..
            }
            | Self::Remark {
                mentions: people, ..
            }
            | Self::Follow {
                people,
                follows: true,
                ..
            } => people,
            _ => &[],
        };
        self.by().into_iter().chain(others)
    }

    /// Returns all people in the command as mutable references, so that the caller can register
    /// unregistered people. People in the form are not included.
    pub fn people_mut(&mut self) -> Vec<&mut PersonId> {
        let mut people: Vec<&mut PersonId> = Vec::new();
        match self {
            Self::Assign {
                by,
                to: Processors::Person(others),
                ..
            }
            | Self::Transfer {
                by,
                to: Processors::Person(others),
                ..
            }
            | Self::Reassign {
                by,
                to: Processors::Person(others),
                ..
            }
            | Self::Remark {
                by,
                mentions: others,
                ..
            }
            | Self::Follow {
                by,
                people: others,
                follows: true,
            } => {
                people.push(by);
                people.extend(others);
            }
            other => people.extend(by!(other)),
        }
        people
    }

    /// Returns the form of the command; empty if the command contains no form.
    pub fn form(&self) -> &[Entry] {
        match self {
            Self::Open(open) => &open.form,
            Self::Submit { form, .. }
            | Self::Resolve { form, .. }
            | Self::EditField { form, .. } => form,
            _ => &[],
        }
    }

    /// Returns the form of a command on an existing ticket as a mutable slice, so that the caller
    /// can register the people in the form.
    pub fn form_mut(&mut self) -> &mut [Entry] {
        match self {
            Self::Submit { form, .. }
            | Self::Resolve { form, .. }
            | Self::EditField { form, .. } => form,
            _ => &mut [],
        }
    }
}

/// The content of a new ticket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Open {
    pub sn: TicketSn,
    pub id: i64,
    pub service: ServiceId,
    pub creator: PersonId,
    pub form: Vec<Entry>,
    pub tag: String,
    pub callback: Option<CallbackTarget>,
    pub chosen_processors: BTreeMap<NodeId, Vec<PersonId>>,
    /// The person who submits the ticket for the creator; `None` if the creator submits.
    pub agent: Option<PersonId>,
    pub dynamic_fields: Vec<DynamicField>,
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of the secret that contains the variables for automatic nodes.
    pub variables: Option<String>,
    pub notify_config: serde_json::Value,
    /// The ticket from which this ticket is raised.
    pub from: Option<TicketSn>,
    /// True if the creator follows the new ticket.
    pub attention: bool,
}

impl Open {
    /// Returns the people in the command, except the people in the form.
    pub fn people_mut(&mut self) -> Vec<&mut PersonId> {
        let chosen = self.chosen_processors.values_mut().flatten();
        std::iter::once(&mut self.creator)
            .chain(&mut self.agent)
            .chain(chosen)
            .collect()
    }
}
