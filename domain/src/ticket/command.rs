//! Defines the commands with which people and the desk change a ticket.

use std::collections::BTreeMap;

use events::ticket::{CallbackTarget, DynamicField, Relation, RowImported};
use events::workflow::Processors;
use events::{AttachmentId, Entry, NodeId, PersonId, ServiceId, TicketSn, TransitionId};

use crate::attachment;

/// A command that opens or changes a ticket.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Open(Box<Open>),
    /// Submits the form of a node. At a node where people vote, the form contains the vote. (BlueKing calls
    /// this operation TRANSITION.)
    Submit {
        node: NodeId,
        by: PersonId,
        form: Vec<Entry>,
        reason: String,
    },
    /// Casts a vote. The command contains no form, so the desk creates the form. The desk writes the decision
    /// `pass` to the form field for the result of the vote. If the form has a text field, the desk also
    /// writes `remark` to this text field.
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
    /// Replaces the processors (the people who may act at a node) with any other people. Only managers of the
    /// ticket (superusers and service owners) may send this command. BlueKing calls this operation "exception
    /// distribution".
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
    /// Ends the ticket with a final status. Only managers of the ticket (superusers and service owners) may
    /// send this command.
    Close {
        by: PersonId,
        status: String,
        reason: String,
    },
    /// Stores the result of an API call that an automatic node requested.
    RecordResult(NodeResult),
    /// Repeats the work of a failed automatic node. The person may change the inputs of the work.
    Retry {
        node: NodeId,
        by: PersonId,
        inputs: BTreeMap<String, String>,
        reason: String,
    },
    /// Skips a failed automatic node. The command can contain values for the output variables of the node.
    Ignore {
        node: NodeId,
        by: PersonId,
        outputs: BTreeMap<String, String>,
        reason: String,
    },
    /// Moves the ticket along a transition that a manager (a superuser or a service owner) chose. The command
    /// is possible only if no transition had a true condition.
    Route {
        node: NodeId,
        by: PersonId,
        transition: TransitionId,
        reason: String,
    },
    /// Claims the node (only the sender may then act at the node) if the node waits for a claim. Otherwise the
    /// command stores that the sender has seen the work at the node.
    Acknowledge {
        node: Option<NodeId>,
        by: PersonId,
        reason: String,
    },
    /// Completes a node at which the sender of the command may act. At a node with votes, the command without a
    /// form is an approval.
    Resolve {
        by: PersonId,
        form: Vec<Entry>,
        remark: String,
    },
    /// Adds the leaders of the processors (the people who may act at the node) as further processors. If there
    /// are no such leaders, or if the leaders are already processors, the command adds the service owners
    /// instead.
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
        /// The uploaded files that belong to the remark.
        files: Vec<AttachmentId>,
    },
    /// Adds or removes followers. Followers may read the ticket. Only a person who takes part in the ticket can
    /// therefore add followers.
    Follow {
        by: PersonId,
        people: Vec<PersonId>,
        follows: bool,
        /// True if the client app of the command may read the ticket. The app can then add followers for a person
        /// who does not take part in the ticket.
        app_may_read: bool,
    },
    /// Rates a ticket that has the status "finished".
    Rate {
        by: PersonId,
        stars: u8,
        comment: String,
    },
    /// Reminds the current processors (people who may act at a node) that the ticket waits for their work.
    /// BlueKing calls this operation "supervision".
    Remind {
        by: PersonId,
        message: String,
    },
    /// Links this ticket to the ticket `other`. The member `mirror` is true if the other ticket has already
    /// stored the link.
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
    /// Completes a node at which people act, because the desk has done the work of the node. Only the desk sends
    /// this command. The member `form` contains the values for the form of the node.
    Fulfill {
        node: NodeId,
        round: u32,
        form: Vec<Entry>,
        remark: String,
    },
    /// Ends this child ticket because its parent has ended. The child gets the final status of the parent.
    EndWithParent {
        parent: TicketSn,
        status: String,
        approve_result: bool,
    },
    /// Imports rows from the log of another system, in the order of the rows in the imported file. A row that
    /// was imported earlier is skipped.
    ImportRow(Vec<RowImported>),
}

/// A macro that returns the person who sends the command. The returned reference is mutable if the command is
/// mutable.
macro_rules! by {
    ($command:expr) => {
        match $command {
            // The command `Open` returns no person, because the creator of a new ticket may have no person id
            // yet. The desk first tests whether the ticket is accepted, and then gives an id to the creator.
            Command::Open(_)
            | Command::ImportRow(_)
            | Command::RecordResult(_)
            | Command::Fulfill { .. }
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
    /// Returns the ids of the uploaded files in the form or in the remark that the command contains.
    pub fn attachments(&self) -> Vec<AttachmentId> {
        if let Self::Remark { files, .. } = self {
            return files.clone();
        }
        self.form()
            .iter()
            .flat_map(|entry| attachment::named(&entry.value))
            .collect()
    }
}

/// The result of an API call. The members `node`, `round` (1 for the first execution of the node, 2 for the
/// second execution) and `attempt` identify this call.
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
    pub fn by(&self) -> Option<&PersonId> {
        by!(self)
    }

    /// Returns the people in the command: the sender, new processors, mentioned people and new followers. The
    /// people in the command's form are not included.
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

    /// Returns mutable references to the people in the command. The people in the command's form are not
    /// included. The caller uses the references to replace user names with the ids of registered people.
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
                ..
            } => {
                people.push(by);
                people.extend(others);
            }
            other => people.extend(by!(other)),
        }
        people
    }

    /// Returns the form that the command contains. The returned slice is empty if the command contains no
    /// form.
    pub fn form(&self) -> &[Entry] {
        match self {
            Self::Open(open) => &open.form,
            Self::Submit { form, .. }
            | Self::Resolve { form, .. }
            | Self::EditField { form, .. } => form,
            _ => &[],
        }
    }

    /// Returns a mutable reference to the form in the command. The returned slice is empty if the command
    /// contains no form, or if the command opens a new ticket. The caller uses the reference to register the
    /// people in the form.
    pub fn form_mut(&mut self) -> &mut [Entry] {
        match self {
            Self::Submit { form, .. }
            | Self::Resolve { form, .. }
            | Self::EditField { form, .. } => form,
            _ => &mut [],
        }
    }
}

/// The command that opens a new ticket.
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
    /// The person who submits the ticket on behalf of the creator. `None` if the creator submits the ticket.
    pub agent: Option<PersonId>,
    pub dynamic_fields: Vec<DynamicField>,
    pub names: BTreeMap<String, BTreeMap<String, String>>,
    /// The name of a secret in the key store (the store for secrets). The secret contains the values of the
    /// variables that automatic nodes use.
    pub variables: Option<String>,
    pub notify_config: serde_json::Value,
    /// The existing ticket from which a person opens the new ticket. `None` if the new ticket does not come
    /// from another ticket.
    pub from: Option<TicketSn>,
    /// True if the creator becomes a follower (a person who watches the ticket) of the new ticket.
    pub attention: bool,
}

impl Open {
    /// Returns mutable references to the people in this command. The people in the form of the new ticket are
    /// not included.
    pub fn people_mut(&mut self) -> Vec<&mut PersonId> {
        let chosen = self.chosen_processors.values_mut().flatten();
        std::iter::once(&mut self.creator)
            .chain(&mut self.agent)
            .chain(chosen)
            .collect()
    }
}
