//! Gives a ticket the status or the assignee of a record, because the source of the record decides about this value
//! (`status_authority` and `assignee_authority`).

use domain::ticket::{Command, Status, Ticket};
use domain::value::plain;
use events::integration::{CaseMapping, Defined};
use events::workflow::Processors;
use events::writeback::Field;
use events::{Meta, NodeId, PersonId, TicketSn};
use infra::{Error, ExecuteError};

use super::assignees::Accounts;
use crate::App;
use crate::app::{tickets, wording};

/// The value of a record that its ticket shall get.
#[derive(Clone, Copy)]
pub struct Takeover<'a> {
    pub field: Field,
    /// The value in the record. An assignee is the id of a person, or a digest of the account.
    pub found: &'a str,
    pub defined: &'a Defined,
    /// The id of the record.
    pub record: &'a str,
    pub mapping: &'a CaseMapping,
    pub accounts: &'a Accounts,
}

/// Returns the command that gives the ticket the value of the record. Returns `None` if this is impossible: the value has no
/// meaning for the ticket, the account belongs to no known active person, or several people work on the ticket.
pub async fn command(
    app: &App,
    sn: &TicketSn,
    wanted: &Takeover<'_>,
) -> Result<Option<Command>, Error> {
    let ticket = app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0;
    let Defined { language, name, .. } = wanted.defined;
    let reason = wording::record_changed(*language, name, wanted.record);
    match wanted.field {
        Field::Status => Ok(for_status(&ticket, wanted, reason)),
        Field::Assignee => for_assignee(app, &ticket, wanted, reason).await,
    }
}

/// Returns the command for a status: the status of the record must be the one that the desk writes for a suspended or for a
/// running ticket.
fn for_status(ticket: &Ticket, wanted: &Takeover<'_>, reason: String) -> Option<Command> {
    let by = PersonId::system();
    let is_of = |status: &str| {
        let target = wanted.mapping.write_back.get(status);
        target.is_some_and(|target| plain(target) == wanted.found)
    };
    match ticket.status {
        Status::Running if is_of("SUSPENDED") => Some(Command::Suspend { by, reason }),
        Status::Suspended if is_of("RUNNING") => Some(Command::Resume { by, reason }),
        _ => None,
    }
}

/// Returns the command for an assignee. The ticket must have one current node at which people act, and no votes.
async fn for_assignee(
    app: &App,
    ticket: &Ticket,
    wanted: &Takeover<'_>,
    message: String,
) -> Result<Option<Command>, Error> {
    if wanted.accounts.account(wanted.found).is_none() {
        return Ok(None);
    }
    let Some(node) = only_node(ticket) else {
        return Ok(None);
    };
    let person = PersonId::from(wanted.found);
    if !app.people.is_active(&person).await? {
        return Ok(None);
    }
    Ok(Some(Command::Reassign {
        node,
        by: PersonId::system(),
        to: Processors::Person(vec![person]),
        message,
    }))
}

/// Returns the current node at which people act. Returns `None` if there are several ones, or if a person has voted.
fn only_node(ticket: &Ticket) -> Option<NodeId> {
    let mut nodes = ticket.current().filter(|(_, run)| !run.automatic);
    match (nodes.next(), nodes.next()) {
        (Some((node, run)), None) if run.votes.is_empty() => Some(node),
        _ => None,
    }
}

/// Executes a command from [`command`] as the desk itself. Returns false if the ticket does not permit it any more.
pub async fn execute(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    command_id: [u8; 16],
    meta: &Meta,
) -> Result<bool, Error> {
    match Box::pin(tickets::execute(app, sn, command, meta, command_id, None)).await {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}
