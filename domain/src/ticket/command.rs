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
    /// Submits the form of a node. At a vote node, this form is also the vote (BlueKing:
    /// TRANSITION).
    Submit {
        node: NodeId,
        by: PersonId,
        form: Vec<Entry>,
        reason: String,
    },
    /// Casts a vote without a form. The desk writes the decision to the result field, and the
    /// remark to a text field if there is one.
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
    /// Replaces the processors of a node with any other people. Only managers may do this
    /// (BlueKing: exception distribution).
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
    /// Ends the ticket with a final status. Only managers may do this.
    Close {
        by: PersonId,
        status: String,
        reason: String,
    },
    /// Records the result of an API call that an automatic node requested.
    RecordResult(NodeResult),
    /// Repeats a failed automatic node, possibly with changed inputs.
    Retry {
        node: NodeId,
        by: PersonId,
        inputs: BTreeMap<String, String>,
        reason: String,
    },
    /// Skips a failed automatic node, possibly with values for its output variables.
    Ignore {
        node: NodeId,
        by: PersonId,
        outputs: BTreeMap<String, String>,
        reason: String,
    },
    /// Continues along a transition that a manager chose. This is possible only if no condition
    /// matched.
    Route {
        node: NodeId,
        by: PersonId,
        transition: TransitionId,
        reason: String,
    },
    /// Claims the node if the node waits for a claim. Otherwise the person acknowledges the work at
    /// the node.
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
    /// Makes the leaders of the processors additional processors of the node. If there is no new
    /// leader, the service owners become additional processors.
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
    /// Reminds the current processors of their work (BlueKing: supervision).
    Remind {
        by: PersonId,
        message: String,
    },
    /// Links this ticket to the ticket `other`. `mirror` is true if the other ticket has already
    /// recorded the link.
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
    /// Imports rows of the log of another system in the order of the file. Rows that were imported
    /// before are skipped.
    ImportRow(Vec<RowImported>),
}

/// Returns the person who sends the command. The reference is mutable if the given command is
/// mutable.
macro_rules! by {
    ($command:expr) => {
        match $command {
            // The creator of a new ticket may have no person id yet, so the macro returns no person
            // here. The creator gets an id only after a trial decision accepts the ticket.
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

/// The result of an API call. `round` (the number of the node's run) and `attempt` identify the
/// call.
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
    /// Returns the person who sends the command. Returns `None` if the desk sends the command.
    pub(super) fn by(&self) -> Option<&PersonId> {
        by!(self)
    }

    /// Returns all people in the command except the people in the form: the acting person, new
    /// processors, mentioned people and new followers.
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

    /// Returns mutable references to all people in the command except the people in the form. The
    /// caller replaces unknown people with registered people.
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

    /// Returns the form of the command. The form is empty if the command has no form.
    pub fn form(&self) -> &[Entry] {
        match self {
            Self::Open(open) => &open.form,
            Self::Submit { form, .. }
            | Self::Resolve { form, .. }
            | Self::EditField { form, .. } => form,
            _ => &[],
        }
    }

    /// Returns the form of a command on an existing ticket. The reference is mutable, so that the
    /// caller can register the people in the form.
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
    /// The person who submits the ticket for the creator. `None` if the creator submits the ticket.
    pub agent: Option<PersonId>,
    pub dynamic_fields: Vec<DynamicField>,
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of the secret in the key store that contains the variables for automatic nodes.
    pub variables: Option<String>,
    pub notify_config: serde_json::Value,
    /// The existing ticket from which a person opens this ticket.
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
