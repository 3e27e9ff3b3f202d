//! Implements `ledgerdesk demo`, which starts a new service desk and simulates a working day
//! through its APIs.

mod automation;
mod console;
mod day;
mod external;
pub mod fakes;
mod notifications;
mod robots;
mod slapd;
mod story;

use domain::projections::desk_board::DeskBoard;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use infra::commit::hex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::CommandError;
use super::audit::{published_heads, verify_ledger};
use super::serve::{DEMO_APP, Parts, Serve, StopSignals, ignore_hangups, stop_signal};
use super::setup::Wanted;
use crate::App;
use crate::app::times;
use crate::stream::project;
use automation::Automation;
use day::{Client, Tally};
use external::External;
use notifications::Channels;
use robots::Robots;

/// The longest time that the demo waits for missing callbacks after the simulated day.
const CALLBACKS_WAIT: Duration = Duration::from_mins(1);
/// The longest time that the demo waits for an expected event, such as the end of a script.
const SYSTEM_WAIT: Duration = Duration::from_mins(1);
/// Time between two checks whether an expected event has happened.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub struct Demo {
    /// Stop the program after the simulated day. Without this option, the desk continues to run.
    #[arg(long)]
    pub exit: bool,
    /// The number of tickets on the simulated day. Other parts of the demo create more tickets.
    #[arg(long, default_value_t = 300, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub tickets: u64,
    /// The address for HTTP requests. By default, a free port of this machine is used.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub listen: String,
    /// The directory of the service desk [default: a new directory in the temporary directory].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A number that determines the simulated day. With the same number, the demo creates the same
    /// tickets.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// The directories in which the demo searches its programs: mosquitto, slapd, bubblewrap and chromium.
    #[arg(long, env = "PATH", hide = true, default_value = "/usr/bin:/bin")]
    pub search_path: String,
}

/// The callbacks (HTTP requests about ended tickets) that the callback receiver of the demo has accepted and rejected.
#[derive(Debug, Default)]
struct Received {
    calls: AtomicU64,
    /// The ticket numbers of all callbacks that the receiver has accepted.
    tickets: Mutex<std::collections::BTreeSet<String>>,
    /// The ticket numbers of all callbacks that the receiver has rejected. The receiver rejects the
    /// first callback of each ticket whose number ends with 7. In this way, the demo shows how the
    /// desk repeats a callback.
    refused: Mutex<std::collections::BTreeSet<String>>,
}

impl Demo {
    /// Runs the demo. Returns an error if a callback is missing or if the verification of the
    /// ledger fails.
    pub async fn run(self, json: bool) -> Result<(), CommandError> {
        ignore_hangups();
        let data = self
            .data
            .clone()
            .unwrap_or_else(|| fresh_directory(self.seed));
        if data.join("ledger.db").exists() {
            return Err(CommandError::Usage(format!(
                "{dir} already contains a desk, and a demo writes a day of tickets: specify a new directory, or open this one with `ledgerdesk serve --demo --data {dir}`",
                dir = data.display()
            )));
        }
        let mut robots = Robots::start(&data, &self.search_path).await?;
        let serve = Serve {
            listen: self.listen.clone(),
            mqtt_broker: robots.broker(),
            ..desk_of(&data, &self.search_path)
        };
        let mut automation = Automation::start(&data, &self.search_path).await?;
        let parts = Parts {
            accounts: automation.accounts(),
            sandbox: automation.sandbox(),
            robots: robots.take_parts(),
        };
        let (app, desk, access) = Box::pin(serve.start_with(parts)).await?;
        let base = format!("http://{}", desk.address);
        let received = Arc::new(Received::default());
        let callback_url = receive(received.clone()).await?;
        if !json {
            println!("a desk for one day: {base} from {}", data.display());
            access
                .lines(&base)
                .iter()
                .for_each(|line| println!("{line}"));
        }

        let client = Client::new(&base, DEMO_APP, &callback_url)
            .map_err(|error| format!("cannot create a client: {error}"))?;
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tickets  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(self.tickets).with_style(style);
        let channels = Channels::start(&app).await?;
        let now = app.ledger.clock.now();
        channels.introduce(&client, now).await?;
        robots.introduce(&app, &client).await?;
        let mut external = External::start(&data, &self.search_path).await?;
        external.introduce(&app, &client).await?;
        automation.introduce(&app, &client).await?;
        let password = access.demo_password.as_deref().unwrap_or_default();
        // The demo switches off a robot, and the desk waits some seconds before another robot gets the mission of this
        // robot. The other parts of the demo therefore run at the same time.
        let others = async {
            let tally = day::drive(&client, self.seed, self.tickets, &bar).await?;
            bar.finish_and_clear();
            let story_lines = story::run(&client).await?;
            wait_for_callbacks(&received, tally.ended_with_callback).await?;
            let external = external.run(&client).await?;
            let automation = automation.run(&app, &client).await?;
            let console = console::run(&client, &base, password, &data, &self.search_path).await?;
            Ok::<_, String>((tally, story_lines, external, automation, console))
        };
        let (worked, [cases, robot_line]) = tokio::try_join!(others, robots.run(&client, &app))?;
        let (tally, story_lines, external_line, automation_line, console_line) = worked;
        external.stop().await;
        let notified = channels.summary(&client).await?;
        let systems = vec![
            external_line,
            cases,
            robot_line,
            notified,
            automation_line,
            console_line,
        ];
        let day = Day {
            tally,
            story: story_lines,
            systems,
            tickets: self.tickets,
        };
        let (report, text) = summary(&app, &day, &received, &data).await?;
        super::print(json, &report, || println!("{text}"));
        if self.exit {
            desk.stop().await;
            return Ok(());
        }
        let mut stop = StopSignals::listen();
        if !json {
            println!("still serving on http://{}; stop with Ctrl-C", desk.address);
        }
        stop_signal(&mut stop).await;
        desk.stop().await;
        Ok(())
    }
}

/// Returns the options of a desk with the demo company. The desk listens on a free port of this machine.
fn desk_of(data: &Path, search_path: &str) -> Serve {
    Serve {
        listen: "127.0.0.1:0".into(),
        data: data.to_owned(),
        wanted: Wanted {
            demo: true,
            ..Wanted::default()
        },
        demo_on_network: false,
        site: None,
        zone: times::DEFAULT_ZONE.into(),
        directory: None,
        egress: None,
        login: None,
        mqtt_broker: None,
        file_max_mib: 100,
        access_log: false,
        accept_lost_commits: false,
        accept_lost_people: false,
        search_path: search_path.to_owned(),
        crash_at: None,
    }
}

/// Repeats a GET request for `path` of the API `/v1` as `user`, until `found` returns a value for the response. After
/// [`SYSTEM_WAIT`], returns an error with the text `missing` and the last response.
async fn until<T>(
    client: &Client,
    user: &str,
    path: &str,
    missing: &str,
    found: impl Fn(&Value) -> Option<T>,
) -> Result<T, String> {
    let mut last = Value::Null;
    let polling = async {
        loop {
            last = client.request("GET", path, user, Value::Null).await?;
            if let Some(value) = found(&last) {
                return Ok::<T, String>(value);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let outcome = tokio::time::timeout(SYSTEM_WAIT, polling).await;
    outcome.unwrap_or_else(|_| {
        Err(format!(
            "{missing} after {} s: {last}",
            SYSTEM_WAIT.as_secs()
        ))
    })
}

/// Waits until the ticket `sn` has the status `status`.
async fn reach_status(client: &Client, sn: &str, status: &str) -> Result<(), String> {
    let missing = format!("the status of ticket {sn} is not {status}");
    let path = format!("tickets/{sn}");
    until(client, "admin", &path, &missing, |ticket| {
        (ticket["current_status"] == status).then_some(())
    })
    .await
}

/// Searches the directories for a program with one of the names. Returns the path of the first program that exists.
fn find_program(directories: impl Iterator<Item = PathBuf>, names: &[&str]) -> Option<PathBuf> {
    let mut all =
        directories.flat_map(|directory| names.iter().map(move |name| directory.join(name)));
    all.find(|path| path.is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo needs a temporary directory"
)]
fn fresh_directory(seed: u64) -> PathBuf {
    std::env::temp_dir().join(format!("ledgerdesk-demo-{}-{seed}", std::process::id()))
}

/// Starts a callback receiver (an HTTP server for the callbacks of the desk) on this machine and returns its URL. The
/// receiver has the same URL path and the same responses as the BlueKing log platform.
async fn receive(received: Arc<Received>) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| format!("cannot listen for callbacks: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let router = Router::new()
        .route("/callback/", post(take))
        .with_state(received);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}/callback/"))
}

async fn take(State(received): State<Arc<Received>>, Json(body): Json<Value>) -> Json<Value> {
    received.calls.fetch_add(1, Ordering::Relaxed);
    let sn = body["sn"].as_str().unwrap_or_default().to_owned();
    let rejects_first = sn.bytes().last().is_some_and(|digit| digit == b'7')
        && received
            .refused
            .lock()
            .expect("no holder panics")
            .insert(sn.clone());
    if rejects_first {
        return Json(json!({ "result": false, "code": 1, "message": "busy" }));
    }
    received
        .tickets
        .lock()
        .expect("no holder panics")
        .insert(sn);
    Json(json!({ "result": true, "code": 0, "message": "", "data": null }))
}

async fn wait_for_callbacks(received: &Received, expected: u64) -> Result<(), String> {
    let arrived = || received.tickets.lock().expect("no holder panics").len() as u64;
    let all = async {
        while arrived() < expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(CALLBACKS_WAIT, all)
        .await
        .map_err(|_| format!("only {} of {expected} callbacks arrived", arrived()))
}

/// A part of the printed summary: the result of one system of the demo, such as the robots.
struct SystemLine {
    /// The name of the system, such as `robots`.
    name: &'static str,
    /// The numbers about the system, for the JSON output of the demo.
    figures: Value,
    /// The numbers about the system as a text for people.
    text: String,
    /// The command or the console page that shows more about the system.
    look: String,
    /// The part of the system that this program imitates, with the reason. The text is empty if no part is imitated.
    stand_in: String,
}

impl SystemLine {
    /// Returns the lines of the printed summary about this system.
    fn lines(&self) -> String {
        let stand_in = if self.stand_in.is_empty() {
            String::new()
        } else {
            format!("\n              stand-in: {}", self.stand_in)
        };
        format!(
            "  {:<11} {}\n              look: {}{stand_in}",
            self.name, self.text, self.look
        )
    }
}

/// The results of the simulated day.
struct Day {
    tally: Tally,
    /// The lines of the summary about the scripted part of the demo (an incident that causes a change).
    story: Vec<String>,
    /// The results of the other systems, in the order in which the summary shows them.
    systems: Vec<SystemLine>,
    /// The number of tickets from the option `--tickets`.
    tickets: u64,
}

/// Verifies the ledger of the demo. Returns a summary of the simulated day, as JSON and as text.
async fn summary(
    app: &App,
    day: &Day,
    received: &Received,
    data: &Path,
) -> Result<(Value, String), CommandError> {
    let Day {
        tally,
        story: story_lines,
        systems,
        tickets: of_the_day,
    } = day;
    project::project::<DeskBoard>(&app.ledger, &*app.views).await?;
    let (_, board) = project::stored::<DeskBoard>(&*app.views).await?;
    let verdict = verify_ledger(&app.ledger, &published_heads(data)?, &mut |_| {}).await?;
    if !verdict.is_ok() {
        return Err(CommandError::Found(format!(
            "audit verify: {}",
            verdict.findings.join("; ")
        )));
    }
    let program = std::env::args_os().next().map_or_else(
        || "ledgerdesk".into(),
        |path| path.to_string_lossy().into_owned(),
    );
    let count = |map: &std::collections::BTreeMap<String, u64>, key: &str| {
        map.get(key).copied().unwrap_or_default()
    };
    let opened: u64 = board.opened.values().sum();
    let ended: u64 = board.ended.values().sum();
    let figures: serde_json::Map<String, Value> = systems
        .iter()
        .map(|system| {
            let mut figures = system.figures.clone();
            figures["stand_in"] = system.stand_in.clone().into();
            (system.name.to_owned(), figures)
        })
        .collect();
    let systems: Vec<String> = systems.iter().map(SystemLine::lines).collect();
    let others = opened.saturating_sub(*of_the_day);
    let report = json!({
        "data": data.display().to_string(), "tickets": opened, "ended": ended, "board": board, "refused": tally.refused, "story": story_lines,
        "callbacks": received.calls.load(Ordering::Relaxed), "systems": figures, "commits": verdict.commits, "events": verdict.events, "streams": verdict.streams,
        "head": { "position": verdict.head.position, "hash": hex(&verdict.head.feed_hash) }, "verified": true, "example": tally.example,
    });
    let text = format!(
        "
  tickets     {opened} opened ({of_the_day} by the day, {others} by its other parts): {} requests, {} changes, {} incidents, {} problems
              {} finished, {} terminated, {} withdrawn, {} still open
  approvals   {} passed, {} rejected; {} nodes entered again after a send-back
  handling    {} claims, {} assignments, {} transfers, {} suspensions
  rejected    {} operations were rejected with the documented message, as expected
  workflow    {} parallel gateways started; API calls of automatic nodes: {} failed, {} retried, {} succeeded
  relations   {} links between tickets, {} remarks
  story       {}
  callbacks   {} succeeded ({} attempts failed and were repeated), {} requests received
{}
  ledger      {} commits, {} events, {} streams, head {}:{}
  audit verify: ok

  next steps  {program} audit show ticket-{} --data {dir}
              {program} report desk --data {dir}
              {program} audit files --data {dir}
              {program} audit export --data {dir} | head
  pages       {program} serve --demo --data {dir}
  remove      rm -r {dir} removes the directory, which the demo keeps
",
        count(&board.opened, "request"),
        count(&board.opened, "change"),
        count(&board.opened, "event"),
        count(&board.opened, "question"),
        count(&board.ended, "FINISHED"),
        count(&board.ended, "TERMINATED"),
        count(&board.ended, "REVOKED"),
        opened - ended,
        board.passed,
        board.rejected,
        board.sent_back,
        board.claimed,
        board.distributed,
        board.delivered,
        board.suspended,
        tally.refused,
        board.forked,
        board.calls_failed,
        board.calls_retried,
        board.calls_succeeded,
        board.linked,
        board.remarks,
        story_lines.join("\n              "),
        board.callbacks_delivered,
        board.callbacks_failed_attempts,
        received.calls.load(Ordering::Relaxed),
        systems.join("\n"),
        verdict.commits,
        verdict.events,
        verdict.streams,
        verdict.head.position,
        hex(&verdict.head.feed_hash),
        tally.example,
        dir = data.display(),
    );
    Ok((report, text))
}
