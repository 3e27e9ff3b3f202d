//! Runs experiments with the time of messages: starts them, assigns notifications to their variants, computes their
//! figures once a day, and applies their results.

use std::sync::Arc;

use domain::intent::Due;
use domain::notification::Notification;
use domain::notification::experiment::{CHECK_MS, Command, Experiment, Phase, Rejection};
use domain::notification::learning::better_time;
use domain::notification::measure::{ANSWER_MS, Measured, Observation, URGENT_ANSWER_MS};
use domain::notification::priority;
use domain::notification::routing::Decision;
use domain::notification::timing::{Plan, is_learnable, is_measurable, moved};
use domain::views::Card as _;
use events::experiment::{Assignment, CHECK, Figures, Started, Variant};
use events::notification::{Held, Requested};
use events::{Meta, Moment, PersonId};
use infra::ledger::{NoContext, command_id};
use infra::views::{Entry, Range};
use infra::{CommandEnvelope, Error, ExecuteError};

use super::definitions::DEFAULT_POLICY;
use super::notify::Reach;
use super::{feedback_report, history};
use crate::App;
use crate::app::cards::{documents_of, stored_card};

/// Maximum number of notifications that one computation of the figures counts: the oldest ones.
pub const NOTIFICATIONS_MAX: usize = 50_000;
/// Number of notifications that one read of the list returns.
const PAGE: usize = 100;
/// Maximum number of active experiments that the desk reads. A new experiment needs that no other one is running, so
/// there are seldom more than two.
const ACTIVE_MAX: usize = 20;

/// The settings of a new experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    /// The first variant is the control.
    pub variants: Vec<Variant>,
    pub share_percent: u8,
    pub people_min: u32,
    pub days: i64,
}

/// The reason why an experiment is not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    #[error("the experiment {0} is running; only one experiment can run at the same time")]
    OtherRuns(String),
    #[error(transparent)]
    Rejected(Rejection),
    #[error(transparent)]
    Technical(#[from] Error),
}

impl From<ExecuteError<Experiment>> for NotChanged {
    fn from(failure: ExecuteError<Experiment>) -> Self {
        match failure {
            ExecuteError::Rejected(rejection) => Self::Rejected(rejection),
            ExecuteError::Technical(error) => Self::Technical(error),
        }
    }
}

/// Starts an experiment and returns the name of its stream.
pub async fn start(app: &App, settings: Settings, meta: Meta) -> Result<String, NotChanged> {
    for (stream, experiment) in active(app, &listed(app).await?).await? {
        if experiment.is_running() {
            let id = stream.trim_start_matches("experiment-").to_owned();
            return Err(NotChanged::OtherRuns(id));
        }
    }
    let now = app.ledger.clock.now();
    let until = now.plus_ms(settings.days * CHECK_MS);
    let started = Started {
        name: settings.name,
        variants: settings.variants,
        share_percent: settings.share_percent,
        people_min: settings.people_min,
        at: now,
        until,
        due: now.plus_ms(CHECK_MS).min(until),
        by: meta.actor.clone(),
    };
    let id = blake3::hash(&app.ledger.fresh_id()).to_hex()[..32].to_owned();
    let stream = format!("experiment-{id}");
    change(app, &stream, Command::Start(Box::new(started)), meta).await?;
    Ok(stream)
}

/// Executes a command of a person, and returns the new state.
pub async fn change(
    app: &App,
    stream: &str,
    command: Command,
    meta: Meta,
) -> Result<Experiment, NotChanged> {
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let outcome = app
        .ledger
        .execute::<Experiment>(&command_envelope, &command, &NoContext)
        .await?;
    Ok(outcome.state)
}

/// Returns the state of an experiment.
pub async fn load(app: &App, stream: &str) -> Result<Experiment, Error> {
    Ok(app.ledger.load::<Experiment>(stream).await?.aggregate.0)
}

/// Returns the streams of the experiments that are running or whose variant is applied, from the newest to the oldest. The
/// list comes from a view (a table that is updated after each commit).
async fn listed(app: &App) -> Result<Arc<Vec<String>>, Error> {
    let range = Range {
        view: Experiment::VIEW,
        index: "active",
        from: "",
        to: "~",
        descending: true,
        skip: 0,
        limit: ACTIVE_MAX,
    };
    let entries = app.views.range(range).await?;
    Ok(Arc::new(
        entries.into_iter().map(|entry| entry.key).collect(),
    ))
}

/// Returns the same as [`listed`]. If this process is the only writer, the list is read once until it changes.
async fn remembered(app: &App) -> Result<Arc<Vec<String>>, Error> {
    if !app.ledger.is_only_writer() {
        return listed(app).await;
    }
    let now = app.ledger.clock.now();
    if let Some(streams) = app.active_experiments.list(now) {
        return Ok(streams);
    }
    let changes = app.active_experiments.changes();
    let streams = listed(app).await?;
    app.active_experiments.add(streams.clone(), now, changes);
    Ok(streams)
}

/// Returns those of the experiments that are active, in the order of `streams`.
async fn active(app: &App, streams: &[String]) -> Result<Vec<(String, Experiment)>, Error> {
    let mut found = Vec::new();
    for stream in streams {
        let experiment = load(app, stream).await?;
        if experiment.is_active() {
            found.push((stream.clone(), experiment));
        }
    }
    Ok(found)
}

/// Returns the variant that decides the time of the messages to a person. A running experiment has precedence. An
/// experiment in which the person does not take part changes nothing, and then the newest applied variant counts.
async fn assignment(app: &App, person: &PersonId) -> Result<Option<Assignment>, Error> {
    let active = active(app, &remembered(app).await?).await?;
    let (running, applied): (Vec<_>, Vec<_>) = active
        .iter()
        .partition(|(_, experiment)| experiment.is_running());
    // If two people started experiments at the same time, the older one counts.
    let mut all = running.into_iter().rev().take(1).chain(applied);
    Ok(all.find_map(|(stream, experiment)| experiment.assignment(stream, person)))
}

/// Moves the decision about a notification to a later time, if an experiment or the learned hours of the person demand
/// it. `held` contains the data of the last hold.
pub(super) async fn moved_decision(
    app: &App,
    reach: &Reach,
    requested: &Requested,
    held: Option<&Held>,
    decision: Decision,
    now: Moment,
) -> Result<Decision, Error> {
    let policy = reach.policy.as_ref();
    // A person who does not want the desk to learn takes part in no experiment.
    let is_possible =
        is_measurable(requested.fact, requested.role) && reach.preferences.is_learned();
    let (true, Some(policy)) = (is_possible, policy) else {
        return Ok(decision);
    };
    let mut assigned = assignment(app, &requested.person).await?;
    if assigned.is_none() && policy.learns_times && is_learnable(requested.fact.category()) {
        assigned = Some(Assignment {
            experiment: String::new(),
            variant: Variant::Smart,
            is_applied: true,
        });
    }
    let is_smart = assigned
        .as_ref()
        .is_some_and(|one| one.variant == Variant::Smart);
    let learned = if is_smart && !requested.is_urgent {
        let answers = answers(app, &requested.person).await?;
        better_time(&answers, &reach.zone, requested.at)
    } else {
        None
    };
    let band = priority::band(Some(policy), &requested.priority);
    let plan = Plan {
        requested,
        computed: priority::compute(requested, band, now),
        assignment: assigned,
        learned,
        zone: &reach.zone,
        presence_limit: held.and_then(|held| held.presence_limit),
        now,
    };
    Ok(moved(decision, &plan))
}

/// Returns the times at which a person answered the newest notifications.
async fn answers(app: &App, person: &PersonId) -> Result<Vec<Moment>, Error> {
    let last = history::of_person(app, person).await?;
    Ok(last.iter().filter_map(|one| one.answered_at).collect())
}

/// Computes the figures of an experiment at its deadline. The figures end the experiment, or the next check follows.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    let state = load(app, &due.stream).await?;
    let now = app.ledger.clock.now();
    let (Some(started), Phase::Running(next)) = (&state.started, &state.phase) else {
        return Ok(());
    };
    if due.deadline != CHECK || now < *next {
        return Ok(());
    }
    let policy = app.configuration.notification_policy(DEFAULT_POLICY);
    let applies = policy
        .await?
        .0
        .as_ref()
        .is_some_and(|one| one.applies_winner);
    let command = Command::Check {
        figures: figures(app, &due.stream, &state, started, now).await?,
        at: now,
        applies,
    };
    let id = command_id(&["fire", &due.id()]);
    let meta = Meta::system(due.stream.clone(), due.stream.clone());
    app.must_execute::<Experiment>(&due.stream, id, meta, &command)
        .await
        .map(drop)
}

/// Computes the figures of an experiment at the time `now`. A notification counts when the time for an answer is over.
pub async fn figures(
    app: &App,
    stream: &str,
    experiment: &Experiment,
    started: &Started,
    now: Moment,
) -> Result<Figures, Error> {
    let (from, to) = (format!("{stream}|"), format!("{stream}|~"));
    let mut measured = Measured::default();
    for (person, rating) in feedback_report::usefulness(app, started.at, now).await? {
        let assigned = experiment.assignment(stream, &person);
        if let Some(assigned) = assigned.filter(|one| !one.is_applied) {
            measured.rate(assigned.variant, rating);
        }
    }
    let (mut after, mut count): (Option<Entry>, usize) = (None, 0);
    while count < NOTIFICATIONS_MAX {
        let range = Range {
            view: Notification::VIEW,
            index: "experiment",
            from: &from,
            to: &to,
            descending: false,
            skip: 0,
            limit: PAGE,
        };
        let page = app.views.range_after(range, after.as_ref()).await?;
        let is_last = page.len() < PAGE;
        count += page.len();
        after = page.last().cloned();
        let keys = page.into_iter().map(|entry| entry.key);
        for (key, document) in documents_of(app, Notification::VIEW, keys).await? {
            if let Some(document) = document {
                let card: Notification = stored_card(&key, &document)?;
                if let Some(observation) = observation(&card, now) {
                    measured.add(observation);
                }
            }
        }
        if is_last {
            return Ok(measured.figures(&started.variants, false));
        }
    }
    Ok(measured.figures(&started.variants, true))
}

/// Returns the measurement of one notification. Returns `None` if the person still has time to answer.
///
/// A notification also counts if its ticket did not need it any more at the end of a delay. Without these
/// notifications, a delay would look better than it is.
fn observation(card: &Notification, now: Moment) -> Option<Observation> {
    let (requested, assignment) = (card.requested.as_ref()?, card.experiment.as_ref()?);
    let limit_ms = if requested.is_urgent {
        URGENT_ANSWER_MS
    } else {
        ANSWER_MS
    };
    let limit = requested.at.plus_ms(limit_ms);
    (limit <= now).then(|| Observation {
        variant: assignment.variant,
        person: requested.person.clone(),
        is_urgent: requested.is_urgent,
        answered_after_ms: card
            .answered_at
            .filter(|at| *at <= limit)
            .map(|at| at.0 - requested.at.0),
    })
}
