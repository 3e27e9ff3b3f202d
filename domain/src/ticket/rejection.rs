//! Why a ticket does not do what was asked.

use events::{LineId, NodeId, Pid, ServiceId, TicketSn};

use crate::attachment::Unfit;

use super::{MESSAGE_MAX, REMARK_MAX, TITLE_MAX};

/// A field that is wrong: its key for programs, its name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldAt {
    pub key: String,
    pub name: String,
}

impl std::fmt::Display for FieldAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

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
    FieldEmpty(FieldAt),
    #[error("field {0} does not allow this option")]
    OptionUnknown(FieldAt),
    #[error("field {0} has no options")]
    OptionsMissing(String),
    #[error("the options of field {at} cannot be fetched: {reason}")]
    OptionsUnavailable { at: FieldAt, reason: String },
    #[error("field {at} {why}")]
    FileUnfit { at: FieldAt, why: Unfit },
    #[error("field {0} cannot be changed any more: it is read-only")]
    ReadOnly(FieldAt),
    #[error("the title is longer than {TITLE_MAX} characters")]
    TitleTooLong,
    #[error("field {at}: {reason}")]
    FieldInvalid { at: FieldAt, reason: String },
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
    #[error("suspending needs a reason")]
    SuspendReasonMissing,
    #[error("the message is longer than {MESSAGE_MAX} characters")]
    MessageTooLong,
    #[error("the reason is longer than {REMARK_MAX} characters")]
    ReasonTooLong,
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
    #[error("this ticket is a child and follows its parent")]
    IsChild,
    #[error("node {0} did not fail")]
    NotFailed(String),
    #[error("line {line} does not lead on from node {node}")]
    LineUnknown { line: LineId, node: NodeId },
    #[error("node {0} is not an approval node that is being decided")]
    NotAnApproval(NodeId),
    #[error("an answer to a call nobody waits for any more")]
    AnswerLate,
    #[error("{0} may not see this ticket")]
    NotAllowedToSee(Pid),
    #[error("{0} may not remind the processors")]
    MayNotRemind(Pid),
    #[error("this workflow does not allow reminding")]
    RemindingOff,
    #[error("status {0} does not end tickets")]
    NotAnEnd(String),
    #[error("the text is empty or longer than {0} characters")]
    TextUnfit(usize),
    #[error("there is no remark {0}")]
    RemarkUnknown(u64),
    #[error("at most {0} are allowed")]
    TooMany(usize),
    #[error("only a finished ticket is rated")]
    NotFinished,
    #[error("this ticket is rated already")]
    RatedAlready,
    #[error("only the creator may rate")]
    NotTheRater,
    #[error("{0} is not a number of stars, 1 to 5")]
    StarsUnfit(u8),
    #[error("a ticket cannot be linked with itself")]
    LinkedWithItself,
    #[error("it is linked with {0} already")]
    LinkedAlready(TicketSn),
    #[error("it is not linked with {0}")]
    NotLinked(TicketSn),
    #[error("{by} may not submit at {node}")]
    MayNotSubmit { by: Pid, node: String },
    #[error("node {0} is not escalated: everybody may act there already, or each of those it names has a vote")]
    NotEscalatable(String),
    #[error("nobody stands above those who have it")]
    NobodyAbove,
    #[error("field {0} cannot be changed any more")]
    NotEditable(String),
    #[error("this service does not allow submitting for somebody else")]
    NoAgency,
}
