//! Why a ticket does not do what was asked.

use events::{NodeId, Pid, ServiceId};

use super::{MESSAGE_MAX, TITLE_MAX};

/// Why not. The wire texts are the BlueKing door's affair; these name the same things.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("ticket exists already")]
    Exists,
    #[error("ticket does not exist")]
    Unknown,
    #[error("service {0} does not exist")]
    ServiceUnknown(ServiceId),
    #[error("service {0} is disabled")]
    ServiceDisabled(ServiceId),
    #[error("service {0} stands in no catalog")]
    ServiceNotInCatalog(ServiceId),
    #[error("service {service} has no node {node}")]
    ChosenNodeUnknown { service: String, node: NodeId },
    #[error("the processors chosen for node {node} of service {service} are empty")]
    ChosenProcessorsEmpty { service: String, node: NodeId },
    #[error("fields are missing: {0:?}")]
    FieldsMissing(Vec<String>),
    #[error("field {0} does not exist here")]
    FieldUnknown(String),
    #[error("field {0} was given twice")]
    FieldTwice(String),
    #[error("field {0} is required")]
    FieldEmpty(String),
    #[error("field {0} does not allow this option")]
    OptionUnknown(String),
    #[error("field {0} has no options")]
    OptionsMissing(String),
    #[error("the title is longer than {TITLE_MAX} characters")]
    TitleTooLong,
    #[error("field {name}: {reason}")]
    FieldInvalid { name: String, reason: String },
    #[error("the ticket is over")]
    Over,
    #[error("the ticket is suspended")]
    Standing,
    #[error("node {0} does not exist in this ticket")]
    NodeUnknown(NodeId),
    #[error("node {0} is finished")]
    NodeFinished(NodeId),
    #[error("{by} may not act on node {node}")]
    NotAllowed { by: Pid, node: NodeId },
    #[error("{0} is not known to the desk yet")]
    Stranger(Pid),
    #[error("node {0} is not waiting to be claimed")]
    NotClaimable(NodeId),
    #[error("node {0} is not waiting to be distributed")]
    NotDistributable(NodeId),
    #[error("nobody was named")]
    NobodyNamed,
    #[error("this kind of processors is not allowed here")]
    TargetKindNotAllowed,
    #[error("not within the allowed processors: {0:?}")]
    TargetsOutOfRange(Vec<Pid>),
    #[error("node {0} does not allow delivering")]
    DeliverNotAllowed(String),
    #[error("the node is not being handled and cannot be delivered")]
    NotDeliverable,
    #[error("a delivery needs a message")]
    DeliverMessageMissing,
    #[error("{0:?} decided already")]
    AlreadyDecided(Vec<Pid>),
    #[error("node {0} does not allow terminating")]
    TerminateNotAllowed(String),
    #[error("terminating needs a reason")]
    TerminateReasonMissing,
    #[error("the message is longer than {MESSAGE_MAX} characters")]
    MessageTooLong,
    #[error("{0} may not act on this ticket")]
    NotAllowedOnTicket(Pid),
    #[error("the ticket is not in process")]
    NotInProcess,
    #[error("the ticket is not suspended")]
    NotSuspended,
    #[error("only the creator may withdraw")]
    NotTheCreator,
    #[error("this workflow does not allow withdrawing")]
    NotRevocable,
    #[error("the ticket is over and cannot be withdrawn")]
    OverAlready,
    #[error("the ticket is being handled and cannot be withdrawn")]
    HandledAlready,
    #[error("node {0} was visited too often")]
    TooManyRounds(NodeId),
    #[error("a ticket of this desk takes no rows of a foreign log")]
    NotImported,
}
