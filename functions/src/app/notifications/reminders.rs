//! Reminds the people for whom a node waits again and again, if the workflow of the ticket has the rule `RETRY`.

use domain::intent::{Due, StartReminders, effect_id};
use domain::notification::Notification;
use domain::notification::node_reminder::{
    Command, NodeReminder, Rejection, event_id, people, stream,
};
use domain::reactions::notify_waiting;
use domain::workflow::notice::{self, Rule};
use events::node_reminder::{REMIND, Started};
use events::{Meta, PersonId, WorkflowId};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::notify::{is_too_old, ticket};
use crate::App;
use crate::app::context::Configuration;

/// Returns the time in milliseconds between two reminders of a workflow version. Returns `None` if this version repeats
/// no reminders or does not exist.
pub async fn period(
    configuration: &Configuration,
    workflow: WorkflowId,
    version: i64,
) -> Result<Option<i64>, Error> {
    let deployed = configuration.workflow(workflow, version).await?;
    let rule = deployed.map(|deployed| notice::rule(&deployed.definition));
    Ok(match rule {
        Some(Rule::Repeated { every_ms }) => Some(every_ms),
        Some(Rule::Never | Rule::Once) | None => None,
    })
}

/// Starts the reminders of a node, if the workflow repeats them. If the reminders have already started, or if the
/// ticket does not wait at the node any more, does nothing.
pub async fn start(app: &App, start: StartReminders) -> Result<(), Error> {
    let period = period(&app.configuration, start.workflow, start.version).await?;
    let Some(every_ms) = period else {
        return Ok(());
    };
    let ticket = ticket(app, &start.ticket).await?;
    // After a loss of the views, the desk reads all events again. An event from the time before the notification policy
    // existed must not start reminders then.
    if is_too_old(app, start.at) || people(&ticket, start.node, start.round).is_err() {
        return Ok(());
    }
    let stream = stream(&start.ticket, start.node, start.round);
    let command_envelope = CommandEnvelope {
        command_id: command_id(&["start_reminders", &stream]),
        stream,
        meta: Meta::system(start.correlation, start.cause.clone()),
    };
    let command = Command::Start(Started {
        ticket: start.ticket,
        node: start.node,
        name: start.name,
        round: start.round,
        every_ms,
        cause: start.cause,
        due: start.at.plus_ms(every_ms),
    });
    match app
        .ledger
        .execute::<NodeReminder>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyStarted)) => Ok(()),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Executes the reminder that is due. The ticket is read again, so the reminders stop after the ticket has left the
/// node.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    if due.deadline != REMIND {
        return Ok(());
    }
    let state = app
        .ledger
        .load::<NodeReminder>(&due.stream)
        .await?
        .aggregate
        .0;
    let (Some(started), Some((number, at))) = (&state.started, state.next) else {
        return Ok(());
    };
    let now = app.ledger.clock.now();
    if now < at {
        return Ok(());
    }
    let ticket = ticket(app, &started.ticket).await?;
    let command = match people(&ticket, started.node, started.round) {
        Ok(waiting) => Command::Remind {
            number,
            at: now,
            people: without_waiting(app, &due.stream, &state, waiting).await?,
        },
        Err(reason) => Command::Stop(reason),
    };
    let id = command_id(&["remind", &due.stream, &number.to_string()]);
    let meta = Meta::system(started.cause.clone(), started.cause.clone());
    app.must_execute::<NodeReminder>(&due.stream, id, meta, &command)
        .await
        .map(drop)
}

/// Returns the people whose last reminder is neither held nor collected in a digest. Without this check, the reminders
/// of a whole night would reach a person together at the end of the quiet hours or at the next batch time.
async fn without_waiting(
    app: &App,
    stream: &str,
    state: &NodeReminder,
    waiting: Vec<PersonId>,
) -> Result<Vec<PersonId>, Error> {
    let mut free = Vec::new();
    for person in waiting {
        let is_waiting = match state.last.get(&person) {
            Some(number) => {
                let event = event_id(stream, *number);
                let id = effect_id(notify_waiting::NAME, &event, person.as_str());
                let stream = format!("notification-{id}");
                let last = app.ledger.load::<Notification>(&stream).await?;
                last.aggregate.0.is_waiting()
            }
            None => false,
        };
        if !is_waiting {
            free.push(person);
        }
    }
    Ok(free)
}
