//! Executes commands on existing tickets.

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

/// Longest time for which an API waits until the card (the stored summary) of a changed ticket is
/// up to date (design 3).
const CARD_WAIT: Duration = Duration::from_secs(1);

/// Executes a command on a ticket for a person. All APIs use the same steps.
///
/// The first step executes the command. The second step deletes the person's draft of the submitted
/// form. The last step waits until the card (the stored summary of the ticket) is up to date. If
/// `version` is set, the command is executed only if the ticket has this version.
pub async fn act(
    app: &App,
    sn: &TicketSn,
    command: &Command,
    meta: &Meta,
    command_id: [u8; 16],
    version: Option<i64>,
) -> Result<Outcome<Ticket>, ExecuteError<Ticket>> {
    // The future of a command is large, so the future is stored on the heap.
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

/// Returns the workflow node whose form the command completed, and the person who sent the form.
/// Returns `None` if the command completed no form.
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

/// Executes a command. If a version is given, the ticket must have this version
/// ([`infra::Ledger::execute_at`]). If the command is valid, registers all unknown people in the
/// command with one call.
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

/// Returns true if a command with this id was already executed on the ticket. A repeated request
/// gets its response before all other checks.
pub async fn is_done(app: &App, sn: &TicketSn, command_id: &[u8; 16]) -> Result<bool, Error> {
    Ok(sn.as_str().len() <= SN_BYTES_MAX
        && app
            .ledger
            .load::<Ticket>(&sn.stream())
            .await?
            .knows(command_id))
}

/// Links the files of a command to the ticket, and then executes the command. Because of this
/// order, the desk never deletes a file that the ticket contains.
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

/// Waits until lists show the commit at `position`. Waits at most `CARD_WAIT`. If the update of the
/// lists takes longer, the command is still successful.
pub async fn await_card(app: &App, position: Option<i64>) {
    let Some(position) = position else { return };
    let mut followed = app.followed.subscribe();
    let _ = tokio::time::timeout(
        CARD_WAIT,
        followed.wait_for(|followed| *followed >= position),
    )
    .await;
}
