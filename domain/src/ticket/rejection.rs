//! Defines the reasons for which a ticket rejects a command.

use events::{NodeId, PersonId, ServiceId, TicketSn, TransitionId};

use crate::attachment::Unfit;

use super::{MESSAGE_MAX, REMARK_MAX, TITLE_MAX};

/// The form field that caused a rejection. Programs use the key of the field, and people read the name of the
/// field.
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

/// The reason why a value does not fit its form field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("is not a list of rows")]
    NotRows,
    #[error("is not a text")]
    NotAText,
    #[error("is not a number")]
    NotANumber,
    #[error("is not a date (YYYY-MM-DD)")]
    NotADate,
    #[error("is not a time (YYYY-MM-DD hh:mm:ss)")]
    NotATime,
    #[error("is neither true nor false")]
    NotAFlag,
    #[error("is not a link that opens a page")]
    NotALink,
    #[error("names more than one person")]
    SeveralPeople,
    /// An option contains a comma. Commas separate several options, so the meaning would not be clear.
    #[error("contains the option {0:?} with a comma, but commas separate options")]
    Comma(String),
    /// A required cell of a table is empty. The first row has the number 1.
    #[error("row {row} column {column} is empty")]
    CellEmpty { row: usize, column: String },
    #[error("row {row} column {column} has a value that is not valid")]
    CellInvalid { row: usize, column: String },
    /// The text does not match the built-in rule with this name, such as `EMAIL`.
    #[error("does not fit the rule {0}")]
    Rule(String),
    #[error("does not fit the custom rule")]
    CustomRule,
    #[error("has a custom rule that is not a valid pattern")]
    CustomRuleInvalid,
    #[error("must be later than now")]
    NotAfterNow,
    #[error("must be earlier than now")]
    NotBeforeNow,
    /// The value does not fit the values of other fields.
    #[error("does not fit the values of other fields")]
    OtherFields,
    #[error("is longer than {0} characters")]
    TooLong(usize),
}

/// The reason why a ticket rejects a command. The BlueKing API returns its own error text for each reason. The
/// API `/v1` returns the name of the variant in snake case.
#[derive(
    Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Rejection {
    #[error("the ticket already exists")]
    Exists,
    #[error("the ticket does not exist")]
    Unknown,
    #[error("service {0} does not exist")]
    ServiceUnknown(ServiceId),
    #[error("service {0} is disabled")]
    ServiceDisabled(ServiceId),
    #[error("service {0} is in no category")]
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
    FieldInvalid { at: FieldAt, reason: Invalid },
    #[error("the ticket has ended")]
    Ended,
    #[error("the ticket is suspended")]
    Suspended,
    #[error("node {0} does not exist in this ticket")]
    NodeUnknown(NodeId),
    #[error("node {0} is finished")]
    NodeFinished(NodeId),
    #[error("{by} may not act on node {node}")]
    NotAllowed { by: PersonId, node: NodeId },
    #[error("person {0} is not registered")]
    UnknownPerson(PersonId),
    #[error("node {0} is not waiting to be claimed")]
    NotClaimable(NodeId),
    #[error("node {0} is not waiting to be assigned")]
    NotDistributable(NodeId),
    #[error("no processor was given")]
    NoProcessorGiven,
    #[error("this kind of processors is not allowed here")]
    TargetKindNotAllowed,
    #[error("not within the allowed processors: {0:?}")]
    TargetsOutOfRange(Vec<PersonId>),
    #[error("node {0} does not allow a transfer")]
    DeliverNotAllowed(String),
    #[error("the node is not in process and cannot be transferred")]
    NotDeliverable,
    #[error("a transfer needs a message")]
    DeliverMessageMissing,
    #[error("{0:?} have already decided")]
    AlreadyDecided(Vec<PersonId>),
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
    NotAllowedOnTicket(PersonId),
    #[error("the ticket is not in process")]
    NotInProcess,
    #[error("the ticket is not suspended")]
    NotSuspended,
    #[error("only the creator may withdraw")]
    NotTheCreator,
    #[error("this workflow does not allow withdrawing")]
    NotRevocable,
    #[error("the ticket has ended and cannot be withdrawn")]
    AlreadyEnded,
    #[error("the ticket is in process and cannot be withdrawn")]
    HandledAlready,
    #[error("node {0} has reached the limit of rounds")]
    TooManyRounds(NodeId),
    #[error("a ticket of this desk accepts no rows of a foreign log")]
    NotImported,
    #[error("this ticket is a child and follows its parent")]
    IsChild,
    #[error("node {0} did not fail")]
    NotFailed(String),
    #[error("transition {transition} does not start at node {node}")]
    TransitionUnknown {
        transition: TransitionId,
        node: NodeId,
    },
    #[error("node {0} has no open vote")]
    NotAnApproval(NodeId),
    #[error("no API call of this node expects this result")]
    ResultNotExpected,
    #[error("{0} may not see this ticket")]
    NotAllowedToSee(PersonId),
    #[error("{0} may not remind the processors")]
    MayNotRemind(PersonId),
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
    #[error("only a finished ticket can be rated")]
    NotFinished,
    #[error("this ticket is already rated")]
    RatedAlready,
    #[error("only the creator may rate")]
    NotTheRater,
    #[error("the number of stars must be 1 to 5, not {0}")]
    StarsUnfit(u8),
    #[error("a ticket cannot be linked with itself")]
    LinkedWithItself,
    #[error("the ticket is already linked with {0}")]
    LinkedAlready(TicketSn),
    #[error("the ticket is not linked with {0}")]
    NotLinked(TicketSn),
    #[error("{by} may not submit at {node}")]
    MayNotSubmit { by: PersonId, node: String },
    #[error(
        "node {0} cannot be escalated: every person may act there, or each processor has a vote"
    )]
    NotEscalatable(String),
    #[error(
        "no escalation target: the processors have no leader and the service has no other owner"
    )]
    NoEscalationTarget,
    #[error("field {0} cannot be changed any more")]
    NotEditable(String),
    #[error("this service does not allow submitting for another person")]
    NoAgency,
}

impl Rejection {
    /// The names of all rejections, in snake case.
    pub const KINDS: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// Returns the key of the form field that caused the rejection. If several required fields are empty, the
    /// first of them is returned. Returns `None` if no form field caused the rejection.
    pub fn field_key(&self) -> Option<&str> {
        match self {
            Self::FieldsMissing(keys) => keys.first().map(String::as_str),
            Self::FieldUnknown(key)
            | Self::FieldTwice(key)
            | Self::OptionsMissing(key)
            | Self::NotEditable(key) => Some(key),
            Self::FieldEmpty(at)
            | Self::OptionUnknown(at)
            | Self::FieldInvalid { at, .. }
            | Self::FileUnfit { at, .. }
            | Self::ReadOnly(at)
            | Self::OptionsUnavailable { at, .. } => Some(&at.key),
            Self::TitleTooLong => Some("title"),
            _ => None,
        }
    }
}
