//! Shows escalations, escalation chains and rotas in the API `/v1`. The desk runs escalations. The module
//! [`on_call_definitions`](super::on_call_definitions) changes chains and rotas.

use domain::notification::chain::EscalationChain;
use domain::notification::escalation::{Escalation, Phase};
use domain::notification::rota::{Rota, next_shift, on_call};
use events::app::Scope;
use events::escalation::{StepNotified, StopReason, Unnotified};
use events::escalation_chain::{OnlyIf, Step, Target};
use events::rota::{Day, Layer, Shift};
use events::{Moment, PersonId};
use serde::Serialize;
use serde_json::Value;

use super::admin::{CardList, page_of, reads_operations, stream_of};
#[cfg(test)]
use super::on_call_definitions::{chain_schema, rota_schema};
use super::problem::{ApiResult, Problem};
use super::reply::{Time, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Parameter, Resource, get, list, segments,
};
use super::shape::quoted;
use crate::App;
use crate::app::definition_files::check_name;
use crate::app::notifications::standing_check::Around;
use crate::app::notifications::{definition_documents, escalations, standing_check};

const AT: Parameter = ("at", Asks::Time);

const OPERATIONS: &[Operation] = &[
    get("/v1/escalation-chains", "lists escalation chains").returning::<Chains>(),
    get(
        "/v1/escalation-chains/{chain}",
        "shows an escalation chain with its steps",
    )
    .returning::<ShownChain>(),
    list(
        "/v1/escalation-chains/{chain}/check",
        "lists the steps that reach no person in the current and the coming shifts; for superusers",
        &[AT],
    )
    .returning::<ChainCheck>(),
    get("/v1/rotas", "lists rotas").returning::<Rotas>(),
    list(
        "/v1/rotas/{rota}",
        "shows a rota with the people on call",
        &[AT],
    )
    .returning::<ShownRota>(),
    list(
        "/v1/escalations",
        "lists escalations by time, latest first; for superusers",
        &[
            ("state", Asks::Word(&["all", "open", "exhausted"])),
            ("ticket", Asks::Text),
            PAGE,
            PAGE_SIZE,
        ],
    )
    .returning::<EscalationPage>(),
    get(
        "/v1/escalations/{escalation}",
        "shows an escalation with the steps that were due; for superusers",
    )
    .returning::<EscalationDetail>(),
];

/// All escalation chains.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Chains {
    escalation_chains: Vec<ShownChain>,
}

/// An escalation chain.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "EscalationChain")
)]
pub(super) struct ShownChain {
    name: String,
    /// The number of the definition. The first definition has number 1.
    version: u32,
    /// How often the steps are repeated after the last step.
    repeat: u32,
    steps: Vec<ShownStep>,
    /// The members that a change of the chain takes.
    #[cfg_attr(test, schemars(schema_with = "chain_schema"))]
    definition: Value,
}

/// A step of an escalation chain.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "EscalationStep")
)]
struct ShownStep {
    /// The time from the step before to this step.
    wait_minutes: u32,
    /// The kind of people: `person`, `leader`, `role`, `rota`, `team` or `round_robin`.
    kind: &'static str,
    /// The user names, the id of the role or of the department, or the name of the rota.
    targets: Vec<String>,
    /// The channel accounts. An empty list means the accounts of the policy.
    accounts: Vec<String>,
    /// The daily period in which the step notifies, with its time zone.
    hours: Option<ShownHours>,
    /// The keys of the priorities for which the step notifies.
    band: Option<Vec<String>>,
    /// Whether the message also makes a sound on the device of the person.
    buzz: bool,
}

/// A daily period in a time zone.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "StepHours"))]
struct ShownHours {
    from: String,
    to: String,
    zone: String,
}

/// The result of the check of an escalation chain.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ChainCheck {
    chain: String,
    at: Time,
    problems: Vec<ChainProblem>,
    /// The numbers of the steps whose people are known only for a ticket.
    unchecked_steps: Vec<u32>,
}

/// A step that does not reach a person.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ChainProblem {
    step: u32,
    /// The begin of the shift with the problem.
    at: Time,
    is_next_shift: bool,
    person: Option<String>,
    text: String,
    /// What the operator can do.
    next_step: &'static str,
}

/// All rotas.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Rotas {
    rotas: Vec<ShownRota>,
}

/// A rota with the people on call.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rota"))]
pub(super) struct ShownRota {
    name: String,
    version: u32,
    at: Time,
    on_call: Vec<String>,
    /// The begin of the next shift with other people.
    next_shift: Option<Time>,
    next_on_call: Vec<String>,
    layers: Vec<ShownLayer>,
    overrides: Vec<ShownOverride>,
    /// The members that a change of the rota takes.
    #[cfg_attr(test, schemars(schema_with = "rota_schema"))]
    definition: Value,
}

/// A sequence of shifts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RotaLayer"))]
struct ShownLayer {
    people: Vec<String>,
    /// The local time at which the first shift begins.
    start: String,
    until: Option<String>,
    /// The length of a shift, in `unit`.
    length: u32,
    /// `hours`, `days` or `weeks`.
    unit: &'static str,
    zone: String,
    window: Option<ShownWindow>,
    level: u32,
}

/// The part of each day in which a layer counts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RotaWindow"))]
struct ShownWindow {
    from: String,
    to: String,
    /// The days on which the period begins, such as `mon`. An empty list means every day.
    days: Vec<&'static str>,
}

/// A period in which another person is on call.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RotaOverride"))]
struct ShownOverride {
    person: String,
    from: Time,
    to: Time,
}

/// One page of escalations.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EscalationPage {
    count: u64,
    escalations: Vec<ShownEscalation>,
}

/// An escalation of a node.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Escalation"))]
struct ShownEscalation {
    id: String,
    chain: Option<String>,
    version: Option<u32>,
    ticket: Option<String>,
    node: Option<i64>,
    round: Option<u32>,
    at: Option<Time>,
    /// `waiting`, `acknowledged`, `stopped` or `exhausted`.
    state: &'static str,
    /// Why the escalation stopped: `node_left`, `ticket_ended`, `ticket_suspended` or `priority_changed`.
    reason: Option<&'static str>,
    /// The number of steps that were due.
    steps_done: usize,
    /// The time at which the next step is due.
    next_step: Option<Time>,
}

/// An escalation with the steps that were due.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EscalationDetail {
    #[serde(flatten)]
    escalation: ShownEscalation,
    acknowledged_by: Option<String>,
    steps: Vec<DoneStep>,
}

/// A step that was due.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DoneStep {
    pass: u32,
    step: u32,
    at: Time,
    people: Vec<String>,
    /// The number of further people whom the step did not notify.
    omitted: u32,
    /// Why the step notified nobody.
    reason: Option<&'static str>,
}

/// The operations on escalations, chains and rotas, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match segments(&call.path).as_slice() {
            ["escalation-chains"] => chains(request).await,
            ["escalation-chains", name] => one_chain(request, name).await,
            ["escalation-chains", name, _] => check(request, name).await,
            ["rotas"] => rotas(request).await,
            ["rotas", name] => one_rota(request, name).await,
            ["escalations"] => all(request).await,
            ["escalations", id] => one(request, id).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn chains(request: Asked) -> ApiResult {
    let app = &request.app;
    let mut escalation_chains = Vec::new();
    for name in app.configuration.escalation_chain_names().await? {
        let chain = app.configuration.escalation_chain(&name).await?;
        escalation_chains.extend(shown_chain(app, &chain).await?);
    }
    Ok(ok(&Chains { escalation_chains }))
}

/// Returns a response with the newest version of an escalation chain.
pub(super) async fn one_chain(request: Asked, name: &str) -> ApiResult {
    let app = &request.app;
    check_name("chain", name).map_err(|_| no_chain(name))?;
    let chain = app.configuration.escalation_chain(name).await?;
    let shown = shown_chain(app, &chain).await?;
    Ok(ok(&shown.ok_or_else(|| no_chain(name))?))
}

fn no_chain(name: &str) -> Problem {
    Problem::not_found(format!("there is no escalation chain {}", quoted(name)))
}

async fn shown_chain(app: &App, chain: &EscalationChain) -> Result<Option<ShownChain>, Problem> {
    let Some(defined) = &chain.defined else {
        return Ok(None);
    };
    let mut steps = Vec::new();
    for step in &defined.steps {
        steps.push(shown_step(app, step).await?);
    }
    Ok(Some(ShownChain {
        name: defined.name.clone(),
        version: chain.version,
        repeat: defined.repeat,
        steps,
        definition: definition_documents::chain(app, defined).await?,
    }))
}

async fn shown_step(app: &App, step: &Step) -> Result<ShownStep, Problem> {
    let (kind, targets) = match &step.notify {
        Target::Person(person) => ("person", vec![app.people.name(person).await?]),
        Target::Leader => ("leader", Vec::new()),
        Target::Role(role) => ("role", vec![role.to_string()]),
        Target::Rota(name) => ("rota", vec![name.clone()]),
        Target::Team(id) => ("team", vec![id.clone()]),
        Target::RoundRobin(people) => ("round_robin", app.people.all_names(people).await?),
    };
    let (hours, band) = match &step.only_if {
        Some(OnlyIf::Hours(hours)) => {
            let hours = ShownHours {
                from: hours.from.clone(),
                to: hours.to.clone(),
                zone: hours.zone.clone(),
            };
            (Some(hours), None)
        }
        Some(OnlyIf::Band(band)) => (None, Some(band.clone())),
        None => (None, None),
    };
    Ok(ShownStep {
        wait_minutes: step.wait_minutes,
        kind,
        targets,
        accounts: step.accounts.clone(),
        hours,
        band,
        buzz: step.buzz,
    })
}

/// Returns the time in the parameter `at`, or the current time.
fn asked_at(request: &Asked) -> Moment {
    let given = request.moment("at");
    given.unwrap_or_else(|| request.app.ledger.clock.now())
}

async fn check(request: Asked, name: &str) -> ApiResult {
    reads_operations(&request).await?;
    let app = &request.app;
    check_name("chain", name).map_err(|_| no_chain(name))?;
    let chain = app.configuration.escalation_chain(name).await?;
    let Some(defined) = &chain.defined else {
        return Err(no_chain(name));
    };
    let at = asked_at(&request);
    let teams = escalations::teams(app, &standing_check::teams_of(defined)).await?;
    // The function that answers requests may not read the secrets of channel accounts.
    let around = Around {
        app: Some(app),
        reads_secrets: false,
    };
    let report = standing_check::look(&app.ledger, around, defined, teams, at).await?;
    let problems = report.found.into_iter().map(|one| ChainProblem {
        step: one.step,
        at: time(app, one.at),
        is_next_shift: one.is_next_shift,
        person: one.person,
        text: one.text,
        next_step: one.advice,
    });
    Ok(ok(&ChainCheck {
        chain: defined.name.clone(),
        at: time(app, at),
        problems: problems.collect(),
        unchecked_steps: report.unchecked,
    }))
}

async fn rotas(request: Asked) -> ApiResult {
    let app = &request.app;
    let at = app.ledger.clock.now();
    let mut rotas = Vec::new();
    for name in app.configuration.rota_names().await? {
        let rota = app.configuration.rota(&name).await?;
        rotas.extend(shown_rota(app, &rota, at).await?);
    }
    Ok(ok(&Rotas { rotas }))
}

/// Returns a response with the newest version of a rota.
pub(super) async fn one_rota(request: Asked, name: &str) -> ApiResult {
    let app = &request.app;
    let missing = || Problem::not_found(format!("there is no rota {}", quoted(name)));
    check_name("rota", name).map_err(|_| missing())?;
    let rota = app.configuration.rota(name).await?;
    let shown = shown_rota(app, &rota, asked_at(&request)).await?;
    Ok(ok(&shown.ok_or_else(missing)?))
}

async fn shown_rota(app: &App, rota: &Rota, at: Moment) -> Result<Option<ShownRota>, Problem> {
    let Some(defined) = &rota.defined else {
        return Ok(None);
    };
    let next = next_shift(defined, at);
    let next_people = next.map_or_else(Vec::new, |next| on_call(defined, next));
    let mut layers = Vec::new();
    for layer in &defined.layers {
        layers.push(shown_layer(app, layer).await?);
    }
    let mut overrides = Vec::new();
    for one in &defined.overrides {
        overrides.push(ShownOverride {
            person: app.people.name(&one.person).await?,
            from: time(app, one.from),
            to: time(app, one.to),
        });
    }
    Ok(Some(ShownRota {
        name: defined.name.clone(),
        version: rota.version,
        at: time(app, at),
        on_call: app.people.all_names(&on_call(defined, at)).await?,
        next_shift: next.map(|next| time(app, next)),
        next_on_call: app.people.all_names(&next_people).await?,
        layers,
        overrides,
        definition: definition_documents::rota(app, defined).await?,
    }))
}

async fn shown_layer(app: &App, layer: &Layer) -> Result<ShownLayer, Problem> {
    let (length, unit) = match layer.shift {
        Shift::Hours(length) => (length, "hours"),
        Shift::Days(length) => (length, "days"),
        Shift::Weeks(length) => (length, "weeks"),
    };
    let window = layer.window.as_ref().map(|window| ShownWindow {
        from: window.from.clone(),
        to: window.to.clone(),
        days: window.days.iter().copied().map(day).collect(),
    });
    Ok(ShownLayer {
        people: app.people.all_names(&layer.people).await?,
        start: layer.start.clone(),
        until: layer.until.clone(),
        length,
        unit,
        zone: layer.zone.clone(),
        window,
        level: layer.level,
    })
}

fn day(day: Day) -> &'static str {
    match day {
        Day::Mon => "mon",
        Day::Tue => "tue",
        Day::Wed => "wed",
        Day::Thu => "thu",
        Day::Fri => "fri",
        Day::Sat => "sat",
        Day::Sun => "sun",
    }
}

async fn all(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let state = request.asked_for("state").filter(|state| *state != "all");
    let list = match (state, request.asked_for("ticket")) {
        (None, None) => CardList::whole("escalation"),
        (Some("open"), None) => CardList::whole("open"),
        (Some(_), None) => CardList::whole("exhausted"),
        (None, Some(ticket)) => CardList::below("ticket", ticket),
        (Some(_), Some(_)) => {
            return Err(Problem::malformed(
                "state",
                "only one of `state` and `ticket` can be given",
            ));
        }
    };
    let app = &request.app;
    let body = |stream: &str, card: &Escalation| shown(app, stream, card);
    let (count, escalations) = page_of(&request, &list, body).await?;
    Ok(ok(&EscalationPage { count, escalations }))
}

async fn one(request: Asked, id: &str) -> ApiResult {
    reads_operations(&request).await?;
    let app = &request.app;
    let missing = || Problem::not_found(format!("there is no escalation {}", quoted(id)));
    let stream = stream_of("escalation", id).ok_or_else(missing)?;
    let state = app.ledger.load::<Escalation>(&stream).await?.aggregate.0;
    if state.started.is_none() {
        return Err(missing());
    }
    let acknowledged_by = match &state.phase {
        Phase::Acknowledged(acknowledged) => Some(name(app, &acknowledged.by).await?),
        _ => None,
    };
    let mut steps = Vec::new();
    for step in &state.notified {
        steps.push(done_step(app, step).await?);
    }
    Ok(ok(&EscalationDetail {
        escalation: shown(app, &stream, &state),
        acknowledged_by,
        steps,
    }))
}

async fn name(app: &App, person: &PersonId) -> Result<String, Problem> {
    Ok(app.people.name(person).await?)
}

async fn done_step(app: &App, step: &StepNotified) -> Result<DoneStep, Problem> {
    let reason = step.reason.map(|reason| match reason {
        Unnotified::OutsideHours => "outside_hours",
        Unnotified::OtherPriority => "other_priority",
        Unnotified::NobodyOnCall => "nobody_on_call",
        Unnotified::RotaNotDefined => "rota_not_defined",
        Unnotified::RoleEmpty => "role_empty",
        Unnotified::TeamEmpty => "team_empty",
        Unnotified::NoLeader => "no_leader",
    });
    Ok(DoneStep {
        pass: step.pass,
        step: step.step,
        at: time(app, step.at),
        people: app.people.all_names(&step.people).await?,
        omitted: step.omitted,
        reason,
    })
}

fn shown(app: &App, stream: &str, card: &Escalation) -> ShownEscalation {
    let started = card.started.as_ref();
    let (state, reason) = match &card.phase {
        Phase::New | Phase::Waiting(..) => ("waiting", None),
        Phase::Acknowledged(_) => ("acknowledged", None),
        Phase::Stopped(stopped) => {
            let reason = match stopped.reason {
                StopReason::NodeLeft => "node_left",
                StopReason::TicketEnded => "ticket_ended",
                StopReason::TicketSuspended => "ticket_suspended",
                StopReason::PriorityChanged => "priority_changed",
            };
            ("stopped", Some(reason))
        }
        Phase::Exhausted => ("exhausted", None),
    };
    ShownEscalation {
        id: stream.trim_start_matches("escalation-").to_owned(),
        chain: started.map(|one| one.chain.clone()),
        version: started.map(|one| one.version),
        ticket: started.map(|one| one.ticket.to_string()),
        node: started.map(|one| one.node.0),
        round: started.map(|one| one.round),
        at: started.map(|one| time(app, one.at)),
        state,
        reason,
        steps_done: card.notified.len(),
        next_step: card.next_step().map(|(_, due, _)| time(app, due)),
    }
}
