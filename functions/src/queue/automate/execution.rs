//! Makes the attempts of executions (script runs for tickets). Each attempt does one step of a script: it sends a
//! request to a platform, starts a shell script, or checks a running shell script.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::automation::execution::{
    Command, EXIT_CODE, Execution, LEVEL, OUTCOME, OUTPUT, POLICY, Rejection, name,
};
use domain::automation::steps::{self, AccountState, RUN, UNLOCK, after_reading};
use domain::intent::Due;
use domain::ticket::{Status, Ticket};
use events::Moment;
use events::execution::{APPROVAL, Outcome};
use events::finding::{Finding, Reason};
use events::script::{Action, Body, Level, Limits};
use infra::Error;
use infra::accounts::{AccountsError, Server};
use infra::sandbox::{Ended, Job, Run};

use crate::App;
use crate::app::automation::executions::{self, PLATFORM, id_of};
use crate::queue::runner::{self, Outgoing, Prepared, Sent, Start, Transport};

/// Time in milliseconds from the start of a script to the first check whether the script is still running. Each further
/// pause is 1.5 times the previous pause, but at most [`LOOK_MAX_MS`].
const LOOK_FIRST_MS: i64 = 100;
/// The longest pause in milliseconds between two checks whether a script is still running.
const LOOK_MAX_MS: i64 = 10_000;
/// The pause in milliseconds between two checks whether a ticket is still suspended. A script does not start while its
/// ticket is suspended.
const SUSPENDED_MS: i64 = 30_000;
/// Longest time in milliseconds from the preparation of a request to the sending of this request. This time is shorter
/// than a lease (the exclusive right of one worker to make an attempt). Therefore, no other worker can make the same
/// attempt.
const LATEST_MS: i64 = 20_000;
/// The longest time that the start of a shell script may take. The script itself may run longer.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// The time in milliseconds that the sandbox may need to end a script after its maximum duration.
const END_GRACE_MS: i64 = 20_000;

/// Makes the next attempt of an execution (a script run). `stream` is the event stream of the execution. Does nothing
/// before the time of this attempt.
pub async fn step(app: &App, stream: &str) -> Result<(), Error> {
    runner::run::<Execution>(app, stream).await
}

/// Handles a reached deadline of an execution (a script run). If the deadline belongs to the approval, the request for
/// approval expires. Then the function makes the next attempt.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    if due.deadline == APPROVAL {
        let state = executions::load(app, &due.stream).await?;
        executions::expire(app, due, runner::meta(&state)).await?;
    }
    step(app, &due.stream).await
}

#[async_trait]
impl Outgoing for Execution {
    fn attempts(&self) -> Option<Attempts> {
        self.is_running().then_some(self.attempts)
    }

    fn cause(&self) -> &str {
        self.requested
            .as_ref()
            .map_or("", |requested| &requested.cause)
    }

    /// Returns the verdict (the result of the attempt) if the desk stopped while it started a shell script.
    /// Because of this verdict, the next attempt checks whether the script is running. The desk never starts
    /// the script again.
    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        let look = Verdict::observing(RUN, 0, Finding::StartInterrupted);
        self.attempts.is_interrupted().then_some((look, POLICY))
    }

    async fn prepare<'a>(
        &'a self,
        app: &'a App,
        stream: &str,
    ) -> Result<Prepared<'a, Self>, Error> {
        match prepare(app, self, stream).await? {
            Ok(prepared) => Ok(prepared),
            Err(verdict) => Ok(Prepared::Verdict(verdict, POLICY)),
        }
    }

    fn record(report: Report) -> Command {
        Command::Record(report)
    }

    fn is_repeated(rejection: &Rejection) -> bool {
        matches!(
            rejection,
            Rejection::AlreadyRequested | Rejection::NotDue(_)
        )
    }

    /// Stores the outcome of the script in the ticket, and deletes the files of a shell script. Then closes the
    /// execution, so that the desk makes no further attempt.
    async fn conclude(&self, app: &App, stream: &str) -> Result<(), Error> {
        if self.is_closed {
            return Ok(());
        }
        let meta = runner::meta(self);
        let Some(recorded) = executions::record_outcome(app, stream, self, &meta).await? else {
            return Ok(());
        };
        if let Err(error) = app.sandbox.remove(id_of(stream)).await {
            tracing::warn!(%error, stream, "the files of a script were not deleted");
        }
        runner::close(app, stream, self, &Command::Close { recorded }).await
    }
}

/// Prepares the next step of an execution (a script run). If the step sends no request, returns the verdict (the result
/// of the attempt) as the inner `Err`.
async fn prepare<'a>(
    app: &'a App,
    execution: &'a Execution,
    stream: &str,
) -> Result<Result<Prepared<'a, Execution>, Verdict>, Error> {
    let Some(requested) = &execution.requested else {
        return Ok(Err(steps::failed(Finding::NotRequested)));
    };
    if !requested.problem.is_empty() {
        return Ok(Err(steps::failed(Reason {
            text: requested.problem.clone(),
            finding: requested.finding.clone(),
        })));
    }
    let now = app.ledger.clock.now();
    let step = execution.step.as_str();
    let is_first = step == steps::first(&requested.body);
    if is_first {
        let loaded = app
            .ledger
            .load::<Ticket>(&requested.ticket.stream())
            .await?;
        let ticket = loaded.aggregate.0;
        if !ticket.waits_for_people(requested.node, requested.round) {
            return Ok(Err(ended(Outcome::Canceled, Finding::NotAwaited)));
        }
        if ticket.status == Status::Suspended && now < execution.runs_until() {
            return Ok(Err(Verdict::observing(
                step,
                SUSPENDED_MS,
                Finding::TicketSuspended,
            )));
        }
    }
    if step != RUN && now >= execution.runs_until() {
        return Ok(Err(ended(Outcome::TimedOut, Finding::DurationOver)));
    }
    let Some(parameters) = parameters(execution) else {
        return Ok(Err(steps::failed(Finding::ParametersErased)));
    };
    match &requested.body {
        Body::Steps { action, platform } => {
            if executions::target(app, platform).await? != requested.target {
                let platform = platform.clone();
                return Ok(Err(steps::failed(Finding::PlatformChanged { platform })));
            }
            account_step(app, step, *action, platform, &parameters).await
        }
        Body::Shell { .. } if step == RUN => {
            let is_late = now >= execution.runs_until().plus_ms(END_GRACE_MS);
            match app.sandbox.read(id_of(stream)).await {
                Ok(run) => Ok(Err(after_looking(&run, is_late, execution.attempts.made))),
                Err(error) if is_late => Ok(Err(Verdict::Unknown {
                    reason: Finding::RunUnreadable {
                        problem: error.to_string(),
                    }
                    .into(),
                })),
                Err(error) => Err(error),
            }
        }
        Body::Shell {
            content,
            level,
            limits,
        } => {
            let reached = app.sandbox.level().await;
            if reached < *level {
                return Ok(Err(too_weak(*level, reached)));
            }
            let left = execution.runs_until().0 - now.0;
            let job = job(stream, content, parameters, *limits, left);
            let begin: Start<'_, Execution> =
                Box::new(|attempt, until| Command::Begin { attempt, until });
            Ok(Ok(Prepared::Other {
                request: Box::new(ScriptStart { job, prepared: now }),
                start: Some(begin),
            }))
        }
    }
}

/// Returns the parameters of the script. Returns `None` if the parameters were erased.
fn parameters(execution: &Execution) -> Option<BTreeMap<String, String>> {
    let parameters = execution.parameters.as_ref()?.value.as_object()?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Some(
        parameters
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
    )
}

/// Prepares one step of the built-in script that unlocks an account in an LDAP directory. If the step sends no request,
/// returns the verdict (the result of the attempt) as the inner `Err`.
async fn account_step<'a>(
    app: &'a App,
    step: &str,
    action: Action,
    platform: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<Result<Prepared<'a, Execution>, Verdict>, Error> {
    let Action::UnlockAccount = action;
    let Some(defined) = app.configuration.platform(platform).await? else {
        let platform = platform.to_owned();
        return Ok(Err(steps::failed(Finding::PlatformNotDefined { platform })));
    };
    let secret = app
        .ledger
        .keys
        .secret(&format!("{PLATFORM}{platform}"))
        .await?;
    // The secret or the settings of the LDAP server are possibly missing or wrong. An operator can correct
    // them, so the desk makes another attempt later.
    let Some(secret) = secret else {
        let secret = format!("{PLATFORM}{platform}");
        return Ok(Err(Verdict::retry(Finding::SecretMissing { secret })));
    };
    let password = String::from_utf8_lossy(&secret).into_owned();
    let server = match Server::read(&defined.settings, &password) {
        Ok(server) => server,
        Err(problem) => {
            let platform = platform.to_owned();
            let unusable = Finding::PlatformUnusable { platform, problem };
            return Ok(Err(Verdict::retry(unusable)));
        }
    };
    let account = parameters.get("account").cloned().unwrap_or_default();
    Ok(Ok(Prepared::Other {
        request: Box::new(AccountStep {
            server,
            account,
            step: step.to_owned(),
            prepared: app.ledger.clock.now(),
        }),
        // Each step may be repeated, so the start of the step is not stored.
        start: None,
    }))
}

/// One step of the script that unlocks an account in an LDAP directory. The step reads the state of the account or
/// unlocks the account.
struct AccountStep {
    server: Server,
    account: String,
    step: String,
    /// The time at which the step was prepared.
    prepared: Moment,
}

#[async_trait]
impl Transport for AccountStep {
    fn target(&self) -> String {
        self.server.target()
    }

    fn method(&self) -> &'static str {
        if self.step == UNLOCK {
            "MODIFY"
        } else {
            "SEARCH"
        }
    }

    fn timeout(&self) -> Duration {
        self.server.timeout
    }

    async fn send(self: Box<Self>, app: &App) -> Sent {
        if let Some(late) = late(app, self.prepared) {
            return (None, late, POLICY);
        }
        let (server, account) = (&self.server, &self.account);
        let verdict = if self.step == UNLOCK {
            match app.accounts.unlock(server, account).await {
                Ok(AccountState::NotLocked) => steps::after_unlocking(),
                Ok(state) => after_reading(&self.step, &state),
                Err(error) => refused(error),
            }
        } else {
            match app.accounts.read(server, account).await {
                Ok(state) => after_reading(&self.step, &state),
                Err(error) => refused(error),
            }
        };
        (None, verdict, POLICY)
    }
}

/// Returns the verdict `Retry` if too much time has passed since a request was prepared. After a long pause of this
/// process, another worker may already have made the attempt. The request must then not be sent.
fn late(app: &App, prepared: Moment) -> Option<Verdict> {
    let waited_ms = app.ledger.clock.now().0 - prepared.0;
    (waited_ms > LATEST_MS).then(|| Verdict::retry(Finding::ProcessPaused))
}

fn refused(error: AccountsError) -> Verdict {
    match error {
        AccountsError::Unavailable(problem) => {
            Verdict::retry(Finding::DirectoryUnavailable { problem })
        }
        AccountsError::Refused(problem) => steps::failed(Finding::DirectoryRefused { problem }),
    }
}

/// A request that starts a shell script in a sandbox.
struct ScriptStart {
    job: Job,
    /// The time at which this request was prepared.
    prepared: Moment,
}

#[async_trait]
impl Transport for ScriptStart {
    fn target(&self) -> String {
        "sandbox://localhost".into()
    }

    fn method(&self) -> &'static str {
        "START"
    }

    fn timeout(&self) -> Duration {
        START_TIMEOUT
    }

    async fn send(self: Box<Self>, app: &App) -> Sent {
        if let Some(late) = late(app, self.prepared) {
            return (None, late, POLICY);
        }
        let verdict = match app.sandbox.start(&self.job).await {
            Ok(()) => Verdict::observing(RUN, LOOK_FIRST_MS, Finding::ScriptStarted),
            // After this error, the script is not running. Another attempt therefore cannot start the script twice.
            Err(error) => Verdict::retry(Finding::ScriptNotStarted {
                problem: error.to_string(),
            }),
        };
        (None, verdict, POLICY)
    }
}

fn job(
    stream: &str,
    content: &str,
    parameters: BTreeMap<String, String>,
    limits: Limits,
    left_ms: i64,
) -> Job {
    Job {
        id: id_of(stream).to_owned(),
        content: content.to_owned(),
        parameters,
        limits,
        timeout_ms: left_ms.unsigned_abs(),
    }
}

/// Returns the verdict (the result of an attempt) that ends an execution (a script run) with the given outcome,
/// such as a timeout.
fn ended(outcome: Outcome, reason: Finding) -> Verdict {
    Verdict::Failed {
        reason: reason.into(),
        outputs: [(OUTCOME.to_owned(), name(outcome).to_owned())].into(),
    }
}

fn too_weak(needed: Level, reached: Level) -> Verdict {
    Verdict::Failed {
        reason: Finding::SandboxTooWeak { needed, reached }.into(),
        outputs: [(LEVEL.to_owned(), reached.name().to_owned())].into(),
    }
}

/// Returns the verdict (the result of an attempt) after a check of a shell script. If the script is still running,
/// another check follows. `is_late` is true if the sandbox should already have ended the script.
fn after_looking(run: &Run, is_late: bool, looks: u32) -> Verdict {
    match run {
        Run::Running if is_late => Verdict::Unknown {
            reason: Finding::ScriptNotEnded.into(),
        },
        Run::Running => {
            let mut after_ms = LOOK_FIRST_MS;
            for _ in 0..looks.min(20) {
                after_ms = (after_ms + after_ms / 2).min(LOOK_MAX_MS);
            }
            Verdict::observing(RUN, after_ms, Finding::ScriptRunning)
        }
        Run::Missing => Verdict::Unknown {
            reason: Finding::RunMissing.into(),
        },
        Run::Lost => Verdict::Unknown {
            reason: Finding::WatcherKilled.into(),
        },
        Run::Ended(end) => after_end(end),
    }
}

fn after_end(end: &Ended) -> Verdict {
    let mut outputs: BTreeMap<String, String> = [
        (LEVEL.to_owned(), end.level.name().to_owned()),
        (OUTPUT.to_owned(), end.output.clone()),
    ]
    .into();
    if let Some(code) = end.exit_code {
        outputs.insert(EXIT_CODE.into(), code.to_string());
    }
    let (outcome, finding) = if end.is_lost {
        (Outcome::Unknown, Finding::SandboxKilled)
    } else if !end.problem.is_empty() {
        let problem = end.problem.clone();
        (Outcome::Failed, Finding::SandboxFailed { problem })
    } else if end.is_timed_out {
        (Outcome::TimedOut, Finding::DurationOver)
    } else if end.is_exceeded {
        (Outcome::ResourceExceeded, Finding::LimitExceeded)
    } else {
        match end.exit_code {
            Some(0) => {
                return Verdict::Succeeded {
                    outputs,
                    observed: Some(Box::new(Finding::ExitCode { code: 0 })),
                };
            }
            Some(code) => (Outcome::Failed, Finding::ExitCode { code }),
            None => (Outcome::Failed, Finding::EndedBySignal),
        }
    };
    outputs.insert(OUTCOME.into(), name(outcome).into());
    Verdict::Failed {
        reason: finding.into(),
        outputs,
    }
}
