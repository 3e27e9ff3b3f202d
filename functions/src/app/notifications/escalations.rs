//! Runs escalations: starts them, executes their steps, and stops them when the ticket does not need them any more.

use domain::intent::{Due, StartEscalation};
use domain::notification::chain::{Known, people, prevented};
use domain::notification::escalation::{
    Command, Ending, Escalation, Position, Rejection, claimed_by, due_after, ending,
};
use domain::notification::escalation_start::{Cause, Place, RUNS_MAX, Stay, place, stream};
use domain::ticket::{Context, Lookup, NodeRun, Ticket};
use domain::views::Card as _;
use events::escalation::{STEP_DUE, Started, StopReason, Unnotified};
use events::escalation_chain::{Step, Target};
use events::ticket::TicketEvent;
use events::{Meta, NodeId, PersonId, TicketSn, notification_policy};
use infra::ledger::{ContextLoader, NoContext, command_id};
use infra::views::{Entry, Range};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::definitions::DEFAULT_POLICY;
use super::notify::is_too_old;
use crate::App;
use crate::app::history::history_from;

/// Maximum number of running escalations of one ticket that one check reads. Each parallel node has at most one.
const RUNNING_MAX: usize = 100;
/// Maximum number of steps that one deadline executes. Steps without a wait are executed together.
const STEPS_MAX: usize = 200;

/// Starts the escalation of a node, if the notification policy has a chain for the ticket priority. `id` identifies the
/// request. If the request was executed before, if the same chain already runs at the node, or if the node does not wait
/// any more, does nothing.
pub async fn start(app: &App, id: &str, start: StartEscalation) -> Result<(), Error> {
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    let Some(policy) = policy.await?.0.clone() else {
        return Ok(());
    };
    // After a loss of the views, the desk reads all events again. An event from the time before the policy named a chain
    // must not start an escalation then.
    if is_too_old(app, start.at) {
        return Ok(());
    }
    let ticket = ticket(app, &start.ticket).await?;
    if ended(app, &ticket, (start.node, start.round), &start.cause)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let priority = priority(&ticket);
    let Some(name) = policy.chains.get(&priority) else {
        return Ok(());
    };
    if start.is_priority_change && !starts_again(app, &start, name).await? {
        return Ok(());
    }
    let chain = app.configuration.escalation_chain(name).await?;
    let Some(defined) = &chain.defined else {
        tracing::warn!(
            chain = name,
            "the policy names an escalation chain that is not defined"
        );
        return Ok(());
    };
    let Some(first) = defined.steps.first() else {
        return Ok(());
    };
    let Some(stream) = stream_of(app, id, &start, name).await? else {
        return Ok(());
    };
    let started = Started {
        chain: defined.name.clone(),
        version: chain.version,
        steps: defined.steps.clone(),
        repeat: defined.repeat,
        ticket: start.ticket,
        node: start.node,
        name: start.name,
        round: start.round,
        cause: start.cause.clone(),
        at: start.at,
        priority,
        due: due_after(first, start.at),
    };
    let command_envelope = CommandEnvelope {
        stream,
        command_id: command_id(&["escalate", id]),
        meta: Meta::system(start.correlation, start.cause),
    };
    let command = Command::Start(Box::new(started));
    match app
        .ledger
        .execute::<Escalation>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyStarted)) => Ok(()),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Returns the stream in which the request `id` starts the chain `chain`, see [`place`]. Returns `None` if nothing starts.
/// A chain that ran before a suspension of the ticket is stopped first.
async fn stream_of(
    app: &App,
    id: &str,
    start: &StartEscalation,
    chain: &str,
) -> Result<Option<String>, Error> {
    // Earlier versions named the stream by the request.
    let by_request = format!("escalation-{id}");
    if load(app, &by_request).await?.started.is_some() {
        return Ok(None);
    }
    let stay = Stay {
        ticket: &start.ticket,
        node: start.node,
        round: start.round,
    };
    let cause = Cause {
        id: &start.cause,
        at: start.at,
        is_priority_change: start.is_priority_change,
    };
    for run in 1..=RUNS_MAX {
        let stream = stream(stay, chain, run);
        match place(&load(app, &stream).await?, cause) {
            Place::Free => return Ok(Some(stream)),
            Place::Taken => return Ok(None),
            Place::Ended => {}
            Place::Suspended => {
                let meta = Meta::system(start.correlation.clone(), start.cause.clone());
                let command = Command::End(Ending::Stopped(StopReason::TicketSuspended));
                let command_id = command_id(&["end_escalation", id, &stream]);
                app.must_execute::<Escalation>(&stream, command_id, meta, &command)
                    .await?;
            }
        }
    }
    tracing::warn!(
        chain,
        ticket = start.ticket.as_str(),
        "a chain started too often during one stay of a ticket at a node"
    );
    Ok(Some(by_request))
}

/// Returns true if a changed priority starts the escalation chain `chain` at a node. It does not if a person has
/// claimed the node since the ticket entered it, or if the same chain already runs at the node.
async fn starts_again(app: &App, start: &StartEscalation, chain: &str) -> Result<bool, Error> {
    let history = history_from::<TicketEvent>(&app.ledger, &start.ticket.stream(), 1).await?;
    let is_entry = |event: &TicketEvent| {
        matches!(event, TicketEvent::NodeEntered(entered)
            if entered.node == start.node && entered.round == start.round)
    };
    let since_entry = history.iter().map(|envelope| &envelope.event);
    let since_entry = since_entry.skip_while(|event| !is_entry(event));
    if claimed_by(since_entry, start.node).is_some() {
        return Ok(false);
    }
    for entry in running(app, &start.ticket).await? {
        let state = load(app, &entry.key).await?;
        let is_same = state.started.as_ref().is_some_and(|started| {
            (started.node, started.round) == (start.node, start.round) && started.chain == chain
        });
        if is_same && state.is_running() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the running escalations of a ticket. The list comes from a view (a table that is updated after each commit),
/// so a new escalation can be missing for a short time.
async fn running(app: &App, sn: &TicketSn) -> Result<Vec<Entry>, Error> {
    let (from, to) = (format!("{sn}|"), format!("{sn}|~"));
    let range = Range {
        view: Escalation::VIEW,
        index: "open_of_ticket",
        from: &from,
        to: &to,
        descending: false,
        skip: 0,
        limit: RUNNING_MAX,
    };
    app.views.range(range).await
}

/// Returns true if the ticket has another priority than at the start of the escalation, and the policy does not name
/// the same chain for it.
fn is_superseded(
    started: &Started,
    ticket: &Ticket,
    policy: Option<&notification_policy::Defined>,
) -> bool {
    let priority = priority(ticket);
    let chain = policy.and_then(|policy| policy.chains.get(&priority));
    priority != started.priority && chain != Some(&started.chain)
}

/// Compares the running escalations of a ticket with the ticket, and ends those that the ticket does not need any more.
/// The list of escalations comes from a view (a table that is updated after each commit). An escalation that is missing
/// in the list is compared at its next deadline. `id` identifies this call.
pub async fn check(app: &App, id: &str, sn: &TicketSn, meta: Meta) -> Result<(), Error> {
    let running = running(app, sn).await?;
    if running.is_empty() {
        return Ok(());
    }
    let ticket = ticket(app, sn).await?;
    for entry in running {
        let state = load(app, &entry.key).await?;
        let Some(started) = state.started.as_ref().filter(|_| state.is_running()) else {
            continue;
        };
        if let Some(ending) = ending_of(app, started, &ticket).await? {
            let command_id = command_id(&["end_escalation", id, &entry.key]);
            let command = Command::End(ending);
            app.must_execute::<Escalation>(&entry.key, command_id, meta.clone(), &command)
                .await?;
        }
    }
    Ok(())
}

/// Executes the steps of an escalation that are due. Before each step, the state of the ticket is read again, so an
/// escalation that the ticket does not need any more ends without a further message.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    if due.deadline != STEP_DUE {
        return Ok(());
    }
    for _ in 0..STEPS_MAX {
        if !step(app, &due.stream).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Executes the next step of an escalation if it is due. Returns false if no step is due.
async fn step(app: &App, stream: &str) -> Result<bool, Error> {
    let state = load(app, stream).await?;
    let (Some(started), Some((position, due, step))) = (&state.started, state.next_step()) else {
        return Ok(false);
    };
    let now = app.ledger.clock.now();
    if now < due {
        return Ok(false);
    }
    let ticket = ticket(app, &started.ticket).await?;
    let meta = Meta::system(started.cause.clone(), started.cause.clone());
    let Position { pass, step: number } = position;
    let command_id = command_id(&[
        "escalation_step",
        stream,
        &pass.to_string(),
        &number.to_string(),
    ]);
    if let Some(ending) = ending_of(app, started, &ticket).await? {
        app.must_execute::<Escalation>(stream, command_id, meta, &Command::End(ending))
            .await?;
        return Ok(false);
    }
    let node_run = ticket.nodes.get(&started.node);
    let waiting = node_run.map(NodeRun::whose_turn).unwrap_or_default();
    let people = match prevented(step.only_if.as_ref(), now, &priority(&ticket)) {
        Some(reason) => Err(reason),
        None => resolve(app, step, &waiting, Escalation::turn(stream, position)).await?,
    };
    let command = Command::Notify {
        position,
        at: now,
        people,
    };
    app.must_execute::<Escalation>(stream, command_id, meta, &command)
        .await?;
    Ok(true)
}

/// Returns the people whom a step notifies now. `waiting` are the people for whom the node waits.
async fn resolve(
    app: &App,
    step: &Step,
    waiting: &[PersonId],
    turn: u64,
) -> Result<Result<Vec<PersonId>, Unnotified>, Error> {
    let mut known = Known::default();
    match &step.notify {
        Target::Rota(name) => {
            if let Some(rota) = app.configuration.rota(name).await?.defined.clone() {
                known.rotas.insert(name.clone(), rota);
            }
        }
        Target::Role(role) => {
            let members = app.configuration.role(*role).await?;
            let members = members.0.as_ref().map(|role| role.members.clone());
            known.roles.insert(*role, members.unwrap_or_default());
        }
        Target::Team(team) => {
            known.teams = teams(app, std::slice::from_ref(team)).await?;
        }
        Target::Leader => {
            let lookups: Vec<Lookup> = waiting.iter().cloned().map(Lookup::Leader).collect();
            let context = loaded(app, &lookups).await?;
            let leaders = context.leaders.into_values().flatten();
            for leader in leaders {
                if !known.leaders.contains(&leader) {
                    known.leaders.push(leader);
                }
            }
        }
        Target::Person(_) | Target::RoundRobin(_) => {}
    }
    let now = app.ledger.clock.now();
    Ok(people(&step.notify, &known, now, turn))
}

/// Returns the people of departments, by the id of the department.
pub async fn teams(
    app: &App,
    ids: &[String],
) -> Result<std::collections::BTreeMap<String, Vec<PersonId>>, Error> {
    let lookups: Vec<Lookup> = ids.iter().cloned().map(Lookup::Department).collect();
    Ok(loaded(app, &lookups).await?.departments)
}

async fn loaded(app: &App, lookups: &[Lookup]) -> Result<Context, Error> {
    let mut context = Context::default();
    ContextLoader::<Ticket>::load(&*app.configuration, lookups, &mut context).await?;
    Ok(context)
}

/// Returns the reason why the ticket does not need a started escalation any more.
async fn ending_of(app: &App, started: &Started, ticket: &Ticket) -> Result<Option<Ending>, Error> {
    let node = (started.node, started.round);
    if let Some(ending) = ended(app, ticket, node, &started.cause).await? {
        return Ok(Some(ending));
    }
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    let is_superseded = is_superseded(started, ticket, policy.await?.0.as_ref());
    Ok(is_superseded.then_some(Ending::Stopped(StopReason::PriorityChanged)))
}

/// Returns the reason why the ticket does not need the escalation any more. `node` is the node with its round. `cause`
/// is the id of the ticket event that caused the escalation: the stream and the sequence, separated by a colon.
async fn ended(
    app: &App,
    ticket: &Ticket,
    (node, round): (NodeId, u32),
    cause: &str,
) -> Result<Option<Ending>, Error> {
    if let Some(ending) = ending(ticket, node, round) {
        return Ok(Some(ending));
    }
    let Some((stream, sequence)) = cause.rsplit_once(':') else {
        return Ok(None);
    };
    let from = sequence.parse().unwrap_or(1);
    let history = history_from::<TicketEvent>(&app.ledger, stream, from).await?;
    let by = claimed_by(history.iter().map(|envelope| &envelope.event), node);
    Ok(by.cloned().map(Ending::Acknowledged))
}

async fn load(app: &App, stream: &str) -> Result<Escalation, Error> {
    Ok(app.ledger.load::<Escalation>(stream).await?.aggregate.0)
}

async fn ticket(app: &App, sn: &TicketSn) -> Result<Ticket, Error> {
    Ok(app.ledger.load::<Ticket>(&sn.stream()).await?.aggregate.0)
}

/// Returns the key of the ticket priority. The key is empty if the ticket has no priority.
fn priority(ticket: &Ticket) -> String {
    let priority = ticket.priority().map(|priority| priority.key.clone());
    priority.unwrap_or_default()
}
