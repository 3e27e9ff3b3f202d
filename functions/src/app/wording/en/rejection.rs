//! Contains the English texts for the reasons why a ticket rejects a command. Each text states the problem and
//! the next step.

use domain::attachment::Unfit;
use domain::ticket::{FieldAt, Invalid, MESSAGE_MAX, REMARK_MAX, ROUNDS_MAX, Rejection, TITLE_MAX};

use super::ticket_status;
use crate::app::wording::{Names, field_name, size};

pub(in crate::app::wording) fn text(rejection: &Rejection, names: &Names<'_>) -> String {
    match rejection {
        Rejection::Exists => "The ticket already exists. Do not submit the ticket again.".into(),
        Rejection::Unknown => "The ticket does not exist. Check the ticket number.".into(),
        Rejection::ServiceUnknown(service) => {
            format!("Service {service} does not exist. Choose a service in the catalog.")
        }
        Rejection::ServiceDisabled(service) => format!(
            "Service {service} is disabled. Choose another service or contact the service owner."
        ),
        Rejection::ServiceNotInCatalog(service) => {
            format!("Service {service} is not in the catalog. Contact the service owner.")
        }
        Rejection::ChosenNodeUnknown { service, node } => format!(
            "The workflow of service \"{service}\" has no node {node}. Choose the processors again."
        ),
        Rejection::ChosenProcessorsEmpty { service, node } => format!(
            "Node {node} of service \"{service}\" has no processors. Choose at least one person."
        ),
        Rejection::FieldsMissing(keys) => format!(
            "These fields are missing: {}. Fill in the fields and submit again.",
            keys.join(", ")
        ),
        Rejection::FieldUnknown(key) => {
            format!("Field \"{key}\" does not exist here. Reload the page and fill in the form again.")
        }
        Rejection::FieldTwice(key) => {
            format!("Field \"{key}\" was given twice. Fill in the field only once.")
        }
        Rejection::FieldEmpty(at) => format!("{} is required. Fill in the field.", field(at)),
        Rejection::OptionUnknown(at) => {
            format!("{} does not have this option. Choose another option.", field(at))
        }
        Rejection::OptionsMissing(key) => {
            format!("Field \"{key}\" has no options. Contact the service owner.")
        }
        Rejection::OptionsUnavailable { at, reason } => format!(
            "The options of field \"{}\" cannot be fetched: {reason}. Try again later.",
            field_name(at)
        ),
        Rejection::FileUnfit { at, why } => format!("{} {}", field(at), unfit(why)),
        Rejection::ReadOnly(at) => format!(
            "{} is read-only. The value cannot be changed any more.",
            field(at)
        ),
        Rejection::TitleTooLong => {
            format!("The title is longer than {TITLE_MAX} characters. Shorten the title.")
        }
        Rejection::FieldInvalid {
            at,
            reason: Invalid::CustomRuleInvalid,
        } => format!(
            "{} cannot be checked, because its format rule is not valid. Contact the service owner.",
            field(at)
        ),
        Rejection::FieldInvalid { at, reason } => {
            format!("{} {}. Correct the value.", field(at), invalid(reason))
        }
        Rejection::Ended => "The ticket has ended, so no further action is possible.".into(),
        Rejection::Suspended => "The ticket is suspended. Resume the ticket first.".into(),
        Rejection::NodeUnknown(node) => {
            format!("The ticket has no node {node}. Reload the page and try again.")
        }
        Rejection::NodeFinished(node) => {
            format!("Node {node} is finished. Reload the page to see the progress.")
        }
        Rejection::NotAllowed { by, node } => format!(
            "{} may not act at node {node}: this person is not a processor, or the status of the node does not allow the action. Reload the page to see the progress.",
            names.one(by)
        ),
        Rejection::UnknownPerson(person) => {
            format!("User {} does not exist. Check the user name.", names.one(person))
        }
        Rejection::NotClaimable(node) => {
            format!("Node {node} does not wait for a claim. Reload the page to see the progress.")
        }
        Rejection::NotDistributable(node) => format!(
            "Node {node} does not wait for an assignment. Reload the page to see the progress."
        ),
        Rejection::NoProcessorGiven => {
            "No processor was given, or the chosen roles have no members. Choose the processors again."
                .into()
        }
        Rejection::TargetKindNotAllowed => {
            "Processors cannot be chosen in this way. Choose people, roles, the creator or a department."
                .into()
        }
        Rejection::TargetsOutOfRange(people) => format!(
            "The workflow does not allow these processors: {}. Choose other people.",
            names.all(people)
        ),
        Rejection::DeliverNotAllowed(node) => {
            format!("Node \"{node}\" does not allow a transfer. Contact the service owner.")
        }
        Rejection::NotDeliverable => {
            "The node is not in progress and cannot be transferred. Reload the page to see the progress."
                .into()
        }
        Rejection::DeliverMessageMissing => "A transfer needs a message. Enter a message.".into(),
        Rejection::AlreadyDecided(people) => format!(
            "These people have already voted at this node: {}. Choose other people.",
            names.all(people)
        ),
        Rejection::TerminateNotAllowed(node) => format!(
            "Node \"{node}\" does not allow a termination, or the node is not in progress. Contact the service owner."
        ),
        Rejection::TerminateReasonMissing => "A termination needs a reason. Enter a reason.".into(),
        Rejection::SuspendReasonMissing => "A suspension needs a reason. Enter a reason.".into(),
        Rejection::MessageTooLong => {
            format!("The message is longer than {MESSAGE_MAX} characters. Shorten the message.")
        }
        Rejection::ReasonTooLong => format!(
            "The reason of the vote is longer than {REMARK_MAX} characters. Shorten the reason."
        ),
        Rejection::NotAllowedOnTicket(by) => format!(
            "{} may not act on this ticket. Contact the service owner.",
            names.one(by)
        ),
        Rejection::NotInProcess => {
            "The ticket is not in progress, so this action is not possible. Reload the page to see the status."
                .into()
        }
        Rejection::NotSuspended => {
            "The ticket is not suspended. Reload the page to see the status.".into()
        }
        Rejection::NotTheCreator => {
            "Only the creator may withdraw the ticket. Contact the creator.".into()
        }
        Rejection::NotRevocable => {
            "This workflow does not allow a withdrawal. Contact the service owner.".into()
        }
        Rejection::AlreadyEnded => "The ticket has ended and cannot be withdrawn.".into(),
        Rejection::HandledAlready => {
            "The work on the ticket has begun, so the ticket cannot be withdrawn. A service owner can terminate the ticket."
                .into()
        }
        Rejection::TooManyRounds(node) => format!(
            "Node {node} has reached the limit of {ROUNDS_MAX} rounds. A service owner must check the workflow."
        ),
        Rejection::NotImported => {
            "This desk created the ticket, so rows of another system cannot be imported. Check the ticket number."
                .into()
        }
        Rejection::IsChild => {
            "The ticket is a child ticket. Act on the parent ticket, or remove the link to the parent first."
                .into()
        }
        Rejection::NotFailed(node) => {
            format!("Node \"{node}\" did not fail. Reload the page to see the progress.")
        }
        Rejection::TransitionUnknown { transition, node } => {
            format!("No transition {transition} starts at node {node}. Choose another transition.")
        }
        Rejection::NotAnApproval(node) => {
            format!("Node {node} has no open vote. Reload the page to see the progress.")
        }
        Rejection::ResultNotExpected => {
            "The node does not wait for this result any more. Reload the page to see the progress."
                .into()
        }
        Rejection::NotAllowedToSee(person) => format!(
            "{} may not see this ticket. The creator can add followers.",
            names.one(person)
        ),
        Rejection::MayNotRemind(person) => format!(
            "{} may not remind the processors. Only the creator and the supervisors of the workflow may do this.",
            names.one(person)
        ),
        Rejection::RemindingOff => {
            "This workflow does not allow reminders. Contact the service owner.".into()
        }
        Rejection::NotAnEnd(status) => {
            let status = ticket_status(status).unwrap_or(status);
            format!(
                "The status \"{status}\" does not end a ticket. Choose finished, terminated or withdrawn."
            )
        }
        Rejection::TextUnfit(most) => {
            format!("The text is empty or longer than {most} characters. Change the text.")
        }
        Rejection::RemarkUnknown(id) => {
            format!("The ticket has no comment {id}. Reload the page and reply again.")
        }
        Rejection::TooMany(most) => format!("At most {most} are allowed. Remove some of them."),
        Rejection::NotFinished => {
            "The ticket is not finished. Rate the ticket when the ticket is finished.".into()
        }
        Rejection::RatedAlready => "The ticket already has a rating.".into(),
        Rejection::NotTheRater => {
            "Only the creator, or the person who submitted the ticket for the creator, may rate the ticket."
                .into()
        }
        Rejection::StarsUnfit(stars) => {
            format!("A rating cannot have {stars} stars. Choose 1 to 5 stars.")
        }
        Rejection::LinkedWithItself => {
            "A ticket cannot be linked with itself. Enter another ticket number.".into()
        }
        Rejection::LinkedAlready(other) => format!(
            "The ticket is already linked with {other}. Remove this link before you add another link."
        ),
        Rejection::NotLinked(other) => format!("The ticket is not linked with {other}."),
        Rejection::MayNotSubmit { by, node } => format!(
            "{} may not submit a ticket at node \"{node}\". Contact the service owner.",
            names.one(by)
        ),
        Rejection::NotEscalatable(node) => format!(
            "Node \"{node}\" cannot be escalated: every person may act there, or each processor has a vote."
        ),
        Rejection::NoEscalationTarget => {
            "No escalation target: the processors have no leader and the service has no other owner. Contact an administrator."
                .into()
        }
        Rejection::NotEditable(key) => format!("Field \"{key}\" cannot be changed at this time."),
        Rejection::NoAgency => {
            "This service does not allow a ticket for another person. The person must submit the ticket."
                .into()
        }
    }
}

fn field(at: &FieldAt) -> String {
    format!("Field \"{}\"", field_name(at))
}

fn unfit(why: &Unfit) -> String {
    match why {
        Unfit::NotUploaded => "accepts only uploaded files. Upload the file first.".into(),
        Unfit::TooMany(most) => format!("accepts at most {most} files. Remove some files."),
        Unfit::NotHere(file) => format!(
            "contains the file {file}, which does not exist or belongs to another ticket. Upload the file again."
        ),
        Unfit::Type {
            accept,
            name,
            media_type,
        } => {
            let accept = accept.join(", ");
            format!(
                "accepts only files of the type {accept}. The type of \"{name}\" is {media_type}."
            )
        }
        Unfit::TooLarge { most, name, bytes } => {
            let (most, bytes) = (size(*most, false), size(*bytes, true));
            format!("accepts files of at most {most}. The size of \"{name}\" is {bytes}.")
        }
    }
}

/// Returns a text about the reason why a field value is not valid.
fn invalid(reason: &Invalid) -> String {
    match reason {
        Invalid::NotRows => "is not a table".into(),
        Invalid::NotAText => "is not a text".into(),
        Invalid::NotANumber => "is not a number".into(),
        Invalid::NotADate => "is not a date, such as 2026-01-31".into(),
        Invalid::NotATime => "is not a time, such as 2026-01-31 09:30:00".into(),
        Invalid::NotAFlag => "must be true or false".into(),
        Invalid::NotALink => "is not a link that opens a page".into(),
        Invalid::SeveralPeople => "names more than one person".into(),
        Invalid::Comma(item) => {
            format!("has the option \"{item}\" with a comma, but commas separate options")
        }
        Invalid::CellEmpty { row, column } => format!("has no \"{column}\" in row {row}"),
        Invalid::CellInvalid { row, column } => {
            format!("has a value that does not fit for \"{column}\" in row {row}")
        }
        Invalid::Rule(rule) => format!("must {}", required(rule)),
        Invalid::CustomRule | Invalid::CustomRuleInvalid => {
            "does not have the required format".into()
        }
        Invalid::NotAfterNow => "must be later than now".into(),
        Invalid::NotBeforeNow => "must be earlier than now".into(),
        Invalid::OtherFields => "does not fit the values of other fields".into(),
        Invalid::TooLong(most) => format!("is longer than {most} characters"),
    }
}

/// Returns what a built-in rule for texts requires. `rule` is the name of the rule in the workflow.
fn required(rule: &str) -> &'static str {
    match rule {
        "FLOAT" => "be a number",
        "NUM" => "be a number",
        "NON_NEGATIVE" => "be a number from 0",
        "NON_POSITIVE" => "be a number up to 0",
        "GTE_ZERO" => "be a number greater than 0",
        "LTE_ZERO" => "be a number less than 0",
        "NUMWITHOUTZERO" => "be a positive integer without a leading 0",
        "LOWER_EN" => "consist of lowercase English letters",
        "UPPER_EN" => "consist of uppercase English letters",
        "EN" => "consist of English letters",
        "EN_NUM" => "consist of English letters and digits",
        "CH" => "consist of Chinese characters",
        "EN_CH" => "consist of Chinese characters and English letters",
        "EN_CH_NUM" => "consist of Chinese characters, English letters and digits",
        "START_EN" => "be a text that begins with an English letter",
        "EMAIL" => "be an e-mail address",
        "PHONE_NUM" => "be a mobile phone number",
        "ID_CARD" => "be an identity card number",
        "QQ" => "be a QQ number",
        "IP" => "be an IP address",
        _ => "have the required format",
    }
}
