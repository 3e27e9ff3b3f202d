//! Executes commands on existing tickets, and waits until ticket lists contain the result.

use std::time::Duration;

use domain::ticket::{Command, Rejection, Ticket};
use events::draft::FormRef;
use events::ticket::TicketEvent;
use events::{Meta, NodeId, PersonId, TicketSn};
use infra::{CommandEnvelope, Error, ExecuteError, Outcome};

use super::read::SN_BYTES_MAX;
use crate::App;
use crate::app::people::people_in;
use crate::app::{attachments, drafts};

/// Longest time that a request waits for the card (the stored summary of the ticket) after a
/// command. The command is successful even if the card is not updated within this time (design.md,
/// section 3).
const CARD_WAIT: Duration = Duration::from_secs(1);

/// Executes a command of a person on a ticket, and returns the result of the command. All HTTP APIs
/// use this function.
///
/// If `version` is set and the ticket has another version, the command is rejected. If the command
/// completes a form, the draft of this person for this form is deleted. At the end, the function
/// waits until the card (the stored summary of the ticket) contains the new state of the ticket.
pub async fn act(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    meta: &Meta,
    command_id: [u8; 16],
    version: Option<i64>,
) -> Result<Outcome<Ticket>, ExecuteError<Ticket>> {
    // The future of this call is large. The future is stored on the heap, so that the future of
    // `act` stays small.
    let executed = Box::pin(execute(app, sn, command, meta, command_id, version));
    let outcome = executed.await?;
    if let Some((node, by)) = completed_form(command, &outcome.events) {
        let form = FormRef::Node {
            ticket: sn.clone(),
            node,
        };
        let meta = Meta {
            actor: by.clone(),
            ..meta.clone()
        };
        drafts::sent(app, by, &form, &meta).await;
    }
    await_card(app, outcome.position).await;
    Ok(outcome)
}

/// If the command completed a form, returns the workflow node of the form and the person who sent
/// the form. Otherwise, returns `None`. `events` contains the events that the command produced.
fn completed_form<'a>(
    command: &'a Command,
    events: &[TicketEvent],
) -> Option<(NodeId, &'a PersonId)> {
    match command {
        Command::Submit { node, by, .. } | Command::Decide { node, by, .. } => Some((*node, by)),
        Command::Resolve { by, .. } => events
            .iter()
            .find_map(|event| match event {
                TicketEvent::NodeCompleted(completed) => Some(completed.node),
                TicketEvent::VoteCast(vote) => Some(vote.node),
                _ => None,
            })
            .map(|node| (node, by)),
        _ => None,
    }
}

/// Executes a command on a ticket, and returns the result of the command. If `version` is set and
/// the ticket has another version, the command is rejected ([`infra::Ledger::execute_at`]).
///
/// A command may contain people who are not registered yet. If the command is rejected for this
/// reason, these people are registered with one call, and the command is executed again. If the
/// directory lists people and one of these people is not in it, the command is rejected.
pub async fn execute(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    meta: &Meta,
    command_id: [u8; 16],
    version: Option<i64>,
) -> Result<Outcome<Ticket>, ExecuteError<Ticket>> {
    if sn.as_str().len() > SN_BYTES_MAX {
        return Err(ExecuteError::Rejected(Rejection::Unknown));
    }
    match act_as_known(app, sn, command, meta, command_id, version).await {
        Err(ExecuteError::Rejected(Rejection::UnknownPerson(_))) => {
            let (mut command, mut meta) = (command.clone(), meta.clone());
            let ticket = app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0;
            let workflow = match &ticket.opened {
                Some(opened) => {
                    app.configuration
                        .workflow(opened.workflow, opened.workflow_version)
                        .await?
                }
                None => None,
            };
            let mut people: Vec<PersonId> = command
                .people_mut()
                .into_iter()
                .map(|pid| pid.clone())
                .collect();
            people.push(meta.actor.clone());
            if let Some(workflow) = &workflow {
                people.extend(people_in(&workflow.definition, command.form()));
            }
            if let Some(absent) = app.people.first_absent(&people).await? {
                return Err(ExecuteError::Rejected(Rejection::UnknownPerson(absent)));
            }
            let registered = app.people.register(people).await?;
            command
                .people_mut()
                .into_iter()
                .chain([&mut meta.actor])
                .for_each(|pid| registered.put(pid));
            if let Some(workflow) = &workflow {
                registered.put_in(&workflow.definition, command.form_mut());
            }
            act_as_known(app, sn, &command, &meta, command_id, version).await
        }
        done => done,
    }
}

/// Returns true if a command with this id was already executed on the ticket. An API calls this
/// function before all other checks, because a repeated request must not be checked again.
pub async fn is_done(app: &App, sn: &TicketSn, command_id: &[u8; 16]) -> Result<bool, Error> {
    Ok(sn.as_str().len() <= SN_BYTES_MAX
        && app
            .ledger
            .load::<Ticket>(&sn.stream())
            .await?
            .knows(command_id))
}

/// Links the files in a command to the ticket. Then executes the command and returns its result.
/// The files are linked first, because the desk deletes files without a link. In the opposite
/// order, the desk could delete a file that the ticket already contains.
async fn act_as_known(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    meta: &Meta,
    command_id: [u8; 16],
    version: Option<i64>,
) -> Result<Outcome<Ticket>, ExecuteError<Ticket>> {
    let foreseen = attachments::attach_for(app, sn, command, meta).await?;
    let command_envelope = CommandEnvelope {
        stream: sn.stream(),
        command_id,
        meta: meta.clone(),
    };
    let outcome = app
        .ledger
        .execute_at(&command_envelope, version, command, &*app.configuration)
        .await?;
    if !foreseen {
        attachments::attach_after(app, sn, command, &outcome.state, meta).await?;
    }
    Ok(outcome)
}

/// Waits until ticket lists contain the commit at the feed position `position`. The wait ends after
/// `CARD_WAIT` even if the lists are not up to date, because the command is already stored.
pub async fn await_card(app: &App, position: Option<i64>) {
    let Some(position) = position else { return };
    let _ = tokio::time::timeout(CARD_WAIT, app.followed.wait(position)).await;
}
