//! Handles experiments with the time of messages in the API `/v1`. Superusers start and stop experiments, read their
//! figures, and apply a variant to all people.

use axum::http::Method;
use domain::notification::experiment::{
    Command, DAYS, DAYS_DEFAULT, Experiment, PEOPLE_DEFAULT, PEOPLE_MIN, Phase, Rejection,
};
use events::Meta;
use events::app::Scope;
use events::experiment::{Comparison, Group, Outcome, Stopped, Variant};
use serde::Serialize;
use serde_json::Value;

use super::admin::{
    CardList, changes_configuration, is_name, page_of, reads_operations, stream_of,
};
use super::problem::{ApiResult, Problem};
use super::reply::{Time, created, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, post, segments,
};
use super::shape::{Member, Shape, optional, quoted, required};
use crate::App;
use crate::app::notifications::experiments::{self, NotChanged, Settings};

const VARIANT: Shape = Shape::Words(Variant::NAMES);
const SETTINGS: &[Member] = &[
    required("name", Shape::Text),
    optional("variants", Shape::List(&VARIANT)),
    optional("share_percent", Shape::Integer(1, 100)),
    optional("people_min", Shape::Integer(PEOPLE_MIN, 1_000_000)),
    optional("days", Shape::Integer(DAYS.0, DAYS.1)),
];

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/experiments",
        "lists experiments with the time of messages, latest first; for superusers",
        &[("state", Asks::Word(&["all", "active"])), PAGE, PAGE_SIZE],
    )
    .returning::<ExperimentPage>(),
    post(
        "/v1/experiments",
        "starts an experiment; the first variant is the control; for superusers",
        SETTINGS,
    )
    .creating()
    .returning::<ShownExperiment>(),
    get(
        "/v1/experiments/{experiment}",
        "shows an experiment with its figures and its result; for superusers",
    )
    .returning::<ShownExperiment>(),
    post(
        "/v1/experiments/{experiment}/stop",
        "stops a running experiment; for superusers",
        &[],
    )
    .returning::<ShownExperiment>(),
    post(
        "/v1/experiments/{experiment}/apply",
        "applies a variant of an ended experiment to all people; for superusers",
        &[required("variant", VARIANT)],
    )
    .returning::<ShownExperiment>(),
    post(
        "/v1/experiments/{experiment}/withdraw",
        "ends the use of the applied variant; for superusers",
        &[],
    )
    .returning::<ShownExperiment>(),
];

/// One page of experiments.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExperimentPage {
    count: u64,
    experiments: Vec<ShownExperiment>,
}

/// An experiment with the time of messages.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Experiment"))]
struct ShownExperiment {
    id: String,
    name: String,
    /// The variants: `immediate`, `delayed` (15 minutes) or `smart` (the hours at which the person answers). The
    /// first one is the control.
    variants: Vec<&'static str>,
    /// The percentage of people who take part.
    share_percent: u8,
    /// The lowest number of people in each group for a result.
    people_min: u32,
    from: Time,
    until: Time,
    /// `running`, `decided` or `stopped`.
    state: &'static str,
    /// `winner`, `no_difference`, `not_enough_data`, `harmful` or `stopped`. Null while the experiment is running.
    result: Option<&'static str>,
    /// The winner, or the harmful variant.
    variant: Option<&'static str>,
    /// The variant that applies to all people.
    applied: Option<&'static str>,
    /// The time of the next computation of the figures.
    next_check: Option<Time>,
    /// The newest figures. Null before the first computation.
    figures: Option<ExperimentFigures>,
}

/// The figures of an experiment.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExperimentFigures {
    groups: Vec<ExperimentGroup>,
    /// The differences of the other groups to the control.
    comparisons: Vec<ExperimentComparison>,
    /// Whether the experiment has more notifications than the desk counts.
    is_cut: bool,
}

/// One group of people. A share is the mean of the shares of the people, in percent.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExperimentGroup {
    variant: &'static str,
    people: u32,
    notifications: u32,
    /// The share of notifications that the person read or used within 4 hours.
    answered_percent: f64,
    /// The time after which half of the notifications were answered. Null if fewer than half were answered in time.
    median_answer_seconds: Option<u32>,
    /// The average rating of usefulness (1 to 5) in the feedback of the group. Null without ratings.
    usefulness: Option<f64>,
    /// The number of these ratings.
    ratings: u32,
    urgent_people: u32,
    /// The share of urgent notifications that the person read or used within 30 minutes.
    urgent_answered_percent: f64,
}

/// The difference of a group to the control, in percentage points. The true difference is between `low` and `high`
/// with a probability of about 95 %.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExperimentComparison {
    variant: &'static str,
    difference: f64,
    low: f64,
    high: f64,
    /// Whether people in this group certainly answer fewer urgent notifications in time.
    harms_urgent: bool,
}

/// The operations on experiments, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match (&call.method, segments(&call.path).as_slice()) {
            (&Method::POST, [_]) => start(request).await,
            (_, [_]) => all(request).await,
            (_, [_, id]) => one(request, id).await,
            (_, [_, id, operation]) => change(request, id, operation).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn all(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let list = match request.asked_for("state") {
        Some("active") => CardList::whole("active"),
        _ => CardList::whole("experiment"),
    };
    let app = &request.app;
    let body = |stream: &str, card: &Experiment| shown(app, stream, card);
    let (count, found) = page_of(&request, &list, body).await?;
    Ok(ok(&ExperimentPage {
        count,
        experiments: found.into_iter().flatten().collect(),
    }))
}

async fn start(request: Asked) -> ApiResult {
    let meta = changes_configuration(&request).await?;
    let app = &request.app;
    let settings = settings(&request)?;
    let stream = experiments::start(app, settings, meta)
        .await
        .map_err(problem)?;
    let state = experiments::load(app, &stream).await?;
    Ok(created(&found(app, &stream, &state)?))
}

fn settings(request: &Asked) -> Result<Settings, Problem> {
    let name = request.required("name")?;
    if !is_name(&name) {
        let detail = "`name` must have 1 to 64 characters in one line";
        return Err(Problem::malformed("/name", detail));
    }
    let given = request.body.get("variants").and_then(Value::as_array);
    let variants: Vec<Variant> = match given {
        Some(given) => {
            let names = given.iter().filter_map(Value::as_str);
            names.filter_map(Variant::read).collect()
        }
        None => vec![Variant::Immediate, Variant::Delayed, Variant::Smart],
    };
    let mut distinct = variants.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if variants.len() < 2 || distinct.len() < variants.len() {
        let detail = "`variants` must contain at least two different variants";
        return Err(Problem::malformed("/variants", detail));
    }
    // The shapes of the members have checked the ranges of these numbers.
    let share_percent = request.int("share_percent")?.unwrap_or(100);
    let people_min = request.int("people_min")?;
    let people_min = people_min.and_then(|number| u32::try_from(number).ok());
    Ok(Settings {
        name,
        variants,
        share_percent: u8::try_from(share_percent).unwrap_or(100),
        people_min: people_min.unwrap_or(PEOPLE_DEFAULT),
        days: request.int("days")?.unwrap_or(DAYS_DEFAULT),
    })
}

async fn one(request: Asked, id: &str) -> ApiResult {
    reads_operations(&request).await?;
    let (stream, state) = load(&request, id).await?;
    Ok(ok(&found(&request.app, &stream, &state)?))
}

async fn load(request: &Asked, id: &str) -> Result<(String, Experiment), Problem> {
    let stream = stream_of("experiment", id).ok_or_else(|| missing(id))?;
    let state = experiments::load(&request.app, &stream).await?;
    if state.started.is_none() {
        return Err(missing(id));
    }
    Ok((stream, state))
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no experiment {}", quoted(id)))
}

async fn change(request: Asked, id: &str, operation: &str) -> ApiResult {
    let meta: Meta = changes_configuration(&request).await?;
    let (stream, _) = load(&request, id).await?;
    let (by, at) = (meta.actor.clone(), request.app.ledger.clock.now());
    let command = match operation {
        "stop" => Command::Stop { by, at },
        "withdraw" => Command::Withdraw { by, at },
        _ => {
            let name = request.required("variant")?;
            let variant = Variant::read(&name)
                .ok_or_else(|| Problem::malformed("/variant", "`variant` is unknown"))?;
            Command::Apply { variant, by, at }
        }
    };
    let changed = experiments::change(&request.app, &stream, command, meta).await;
    let state = changed.map_err(problem)?;
    Ok(ok(&found(&request.app, &stream, &state)?))
}

fn problem(reason: NotChanged) -> Problem {
    let detail = reason.to_string();
    match reason {
        NotChanged::Technical(error) => error.into(),
        NotChanged::Rejected(Rejection::UnknownVariant) => Problem::malformed("/variant", detail),
        NotChanged::Rejected(_) | NotChanged::OtherRuns(_) => Problem::conflict(detail),
    }
}

fn found(app: &App, stream: &str, state: &Experiment) -> Result<ShownExperiment, Problem> {
    shown(app, stream, state).ok_or_else(|| missing(stream))
}

/// Returns an experiment as the body of a response. Returns `None` if the experiment does not exist.
fn shown(app: &App, stream: &str, state: &Experiment) -> Option<ShownExperiment> {
    let started = state.started.as_ref()?;
    let (word, result, variant) = match &state.phase {
        Phase::New | Phase::Running(_) => ("running", None, None),
        Phase::Decided(decided) => match decided.outcome {
            Outcome::Winner { variant } => ("decided", Some("winner"), Some(variant)),
            Outcome::NoDifference => ("decided", Some("no_difference"), None),
            Outcome::NotEnoughData => ("decided", Some("not_enough_data"), None),
        },
        Phase::Stopped(Stopped {
            harmful: Some(harmful),
            ..
        }) => ("stopped", Some("harmful"), Some(*harmful)),
        Phase::Stopped(_) => ("stopped", Some("stopped"), None),
    };
    let next_check = match &state.phase {
        Phase::Running(due) => Some(time(app, *due)),
        _ => None,
    };
    let figures = state.figures().map(|figures| ExperimentFigures {
        groups: figures.groups.iter().map(group).collect(),
        comparisons: figures.comparisons.iter().map(comparison).collect(),
        is_cut: figures.is_cut,
    });
    Some(ShownExperiment {
        id: stream.trim_start_matches("experiment-").to_owned(),
        name: started.name.clone(),
        variants: started
            .variants
            .iter()
            .copied()
            .map(Variant::name)
            .collect(),
        share_percent: started.share_percent,
        people_min: started.people_min,
        from: time(app, started.at),
        until: time(app, started.until),
        state: word,
        result,
        variant: variant.map(Variant::name),
        applied: state.applied.as_ref().map(|one| one.variant.name()),
        next_check,
        figures,
    })
}

fn group(group: &Group) -> ExperimentGroup {
    let percent = |permille: u32| f64::from(permille) / 10.0;
    ExperimentGroup {
        variant: group.variant.name(),
        people: group.people,
        notifications: group.notifications,
        answered_percent: percent(group.answered_permille),
        median_answer_seconds: group.median_answer_s,
        usefulness: group
            .usefulness_hundredths
            .map(|sum| f64::from(sum) / 100.0),
        ratings: group.ratings,
        urgent_people: group.urgent_people,
        urgent_answered_percent: percent(group.urgent_answered_permille),
    }
}

fn comparison(comparison: &Comparison) -> ExperimentComparison {
    let points = |permille: i32| f64::from(permille) / 10.0;
    ExperimentComparison {
        variant: comparison.variant.name(),
        difference: points(comparison.difference_permille),
        low: points(comparison.low_permille),
        high: points(comparison.high_permille),
        harms_urgent: comparison.harms_urgent,
    }
}
