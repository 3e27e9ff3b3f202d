//! Measures a desk that gives orders to imitated robots (VDA 5050 2.0). The desk and the robots exchange messages over
//! the MQTT broker mosquitto.
//!
//! Orders: the test sends cases (records of an external system) at a fixed rate. Each case becomes a ticket with a
//! mission (the work of a robot). The test measures the time from the request with the case to the first state message
//! in which a robot reports the order.
//!
//! For comparison, the test measures the steps that every desk needs: one message over the same broker, and one write
//! to disk for each commit. The test also measures the master controller of the npm package vda-5050-lib. This
//! controller stores no data.
//!
//! States: 500 robots send one state message per second. The test measures the CPU time that the desk needs for each
//! message. A second process receives the same messages and only counts the messages.

#![expect(
    clippy::cast_precision_loss,
    reason = "times and counts are far below 2^52"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use events::Moment;
use events::site::Position;
use functions::cli::demo::fakes::vda5050::{Setup, Vehicles};
use infra::clock::{Clock as _, SystemClock};
use infra::fleet::mqtt::Address;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, PublishOptions, QoS};
use serde_json::{Value, json};
use tests::foreign::{installed, mosquitto};
use tests::patrol_workflow;
use tests::process::{APP, Process, Served, free_port, resident_kib, root};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{PATIENCE, percentile};

/// The first command-line argument of the process that only counts the state messages of the robots.
pub(super) const COUNT: &str = "count-states";
/// Number of robots when the test measures orders (`FEW`) and when the test measures state messages (`MANY`).
const FEW: usize = 50;
const MANY: usize = 500;
/// Number of cases (records of an external system) that the test sends, and the time between two cases: 5 cases per
/// second for 30 seconds.
const CASES: usize = 150;
const CASE_PAUSE: Duration = Duration::from_millis(200);
/// Number of cases that the test sends one at a time. With these cases, the test counts the commits that the desk
/// stores before it sends an order.
const SINGLE: usize = 5;
/// Number of measurements for each comparison: the messages over the broker, the writes to disk, and the orders of the
/// npm master controller.
const REPEATED: usize = 100;
/// Size of the data that the test writes to disk in one measurement, in bytes.
const SYNCED_BYTES: usize = 4_096;
/// Duration of the measurement of the CPU time.
const STATES_TIME: Duration = Duration::from_secs(30);
/// Pause between two requests with which the test checks a condition again.
const PAUSE: Duration = Duration::from_millis(100);
const STATIONS: usize = 10;
const MANUFACTURER: &str = "Robots";
const MAP: &str = "hall_map";

/// The parts of one measurement: an MQTT broker, a desk, and imitated robots.
struct Hall {
    desk: Served,
    vehicles: Vehicles,
    port: u16,
    folder: tempfile::TempDir,
    _broker: Process,
}

fn serial(number: usize) -> String {
    format!("{number:04}")
}

/// Returns the definitions of the site, the task type (the kind of work) and the robots as TOML text.
fn definitions(robots: usize) -> String {
    let stations: Vec<String> = (0..STATIONS)
        .map(|at| format!("S{at} = {{ x = {at}.0, y = 10.0 }}"))
        .collect();
    let mut text = format!(
        "[[site]]\nname = \"hall\"\nmap = \"{MAP}\"\nstations = {{ {} }}\n\n[[task_type]]\nname = \"patrol\"\naction = \"noop\"\nwork_s = 60\n",
        stations.join(", ")
    );
    let robots = (0..robots).map(|number| {
        let serial = serial(number);
        format!(
            "\n[[robot]]\nname = \"robot_{serial}\"\nsite = \"hall\"\nskills = [\"patrol\"]\nmanufacturer = \"{MANUFACTURER}\"\nserial = \"{serial}\"\nversion = \"2.0.0\"\n"
        )
    });
    text.extend(robots);
    text
}

impl Hall {
    /// Starts the broker, the desk and the robots. Returns when all robots are connected and free.
    async fn open(robots: usize) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let broker = mosquitto(folder.path(), port, false).await;
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.to_str().expect("a path").to_owned()
        };
        let fleet = write("fleet.toml", &definitions(robots));
        let url = format!("mqtt://127.0.0.1:{port}");
        let data = folder.path().join("data");
        let more = ["--fleet", &fleet, "--mqtt-broker", &url];
        let desk = Served::start(&data, &more);
        let definition = patrol_workflow();
        let service = desk.publish(definition, json!({})).await;
        desk.kill();
        write(
            "crm.toml",
            &format!(
                "record = \"/id\"\nservice = {{ value = {service} }}\nrequester = {{ value = \"lisi\" }}\n[fields]\ntitle = \"/title\"\nstation = \"/place\"\n"
            ),
        );
        let integrations = write(
            "integrations.toml",
            &format!(
                "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"{}\"]\nmapping = \"crm.toml\"\n",
                APP.0
            ),
        );
        let more = [
            "--fleet",
            &fleet,
            "--mqtt-broker",
            &url,
            "--integrations",
            &integrations,
        ];
        let desk = Served::start(&data, &more);
        assert!(desk.is_up(), "the desk serves");
        let address = Address::read(&url).expect("an address");
        let mut vehicles = Vehicles::serve(address, Arc::new(SystemClock));
        for number in 0..robots {
            vehicles.switch_on(setup(number));
        }
        let hall = Self {
            desk,
            vehicles,
            port,
            folder,
            _broker: broker,
        };
        hall.ready(robots).await;
        hall
    }

    /// Waits until all robots are connected and have no mission.
    async fn ready(&self, robots: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.get("robots").await;
            let all = shown["robots"].as_array().cloned().unwrap_or_default();
            let free = all.iter().filter(|robot| {
                robot["reservation"] == "free"
                    && robot["is_connected"] == true
                    && robot["state_at"].is_string()
            });
            let free = free.count();
            if free == robots {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "only {free} robots of {robots} are free"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn position(&self) -> u64 {
        let response = reqwest::get(format!("{}/readyz", self.desk.base)).await;
        let text = response.expect("an answer").text().await.expect("a text");
        let last = text.rsplit(' ').next().and_then(|word| word.parse().ok());
        last.unwrap_or_else(|| panic!("a position: {text}"))
    }

    /// Sends cases (records of an external system) at a fixed rate. Returns the time of each request. Each key of the
    /// map is the number of the ticket that the desk opened for the case.
    async fn send(&self, first: usize, count: usize) -> HashMap<String, Moment> {
        let mut sent = HashMap::new();
        let mut due = Instant::now();
        let requests = (first..first + count).map(|number| {
            let at = due;
            due += CASE_PAUSE;
            async move {
                tokio::time::sleep_until(at).await;
                let case = json!({ "id": number, "title": "t", "place": format!("S{}", number % STATIONS) });
                let body = json!({ "source": "crm", "cases": [case] });
                let begin = SystemClock.now();
                let (status, answer) = self.desk.v1("POST", "cases", "admin", body).await;
                assert_eq!(status, 200, "{answer}");
                let ticket = answer["results"][0]["ticket"].as_str();
                (
                    ticket.unwrap_or_else(|| panic!("{answer}")).to_owned(),
                    begin,
                )
            }
        });
        sent.extend(futures_util::future::join_all(requests).await);
        sent
    }

    /// Waits until a robot has reported an order for the ticket in a state message. Returns the time of this message
    /// and the id of the mission (the work of the robot).
    async fn confirmed(&self, ticket: &str, seen: &Seen) -> (Moment, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.get(&format!("dispatches?ticket={ticket}")).await;
            if let Some(mission) = shown["dispatches"][0]["id"].as_str()
                && let Some(at) = seen.confirmed(mission)
            {
                return (at, mission.to_owned());
            }
            assert!(Instant::now() < deadline, "a robot has the order: {shown}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the ticket is finished.
    async fn finished(&self, ticket: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.get(&format!("tickets/{ticket}")).await;
            if shown["current_status"] == "FINISHED" {
                return;
            }
            assert!(Instant::now() < deadline, "the ticket ends: {shown}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn setup(number: usize) -> Setup {
    Setup {
        interface: "uagv".into(),
        manufacturer: MANUFACTURER.into(),
        serial: serial(number),
        map: MAP.into(),
        position: Position {
            x: (number % STATIONS) as f64,
            y: (number / STATIONS) as f64 / 10.0,
        },
        speed: 20.0,
        action: "noop".into(),
        work_ms: 400,
        result: String::new(),
    }
}

/// Opens a connection to the MQTT broker and subscribes to a topic filter. Returns when the broker has confirmed the
/// subscription.
async fn subscriber(port: u16, id: &str, filter: &str) -> (AsyncClient, rumqttc::EventLoop) {
    let broker = rumqttc::Broker::tcp("127.0.0.1".to_owned(), port);
    let options = MqttOptions::new(id, broker);
    let (client, mut connection) = AsyncClient::builder(options).capacity(1_024).build();
    connection.network_options.set_tcp_nodelay(true);
    client
        .subscribe(filter, QoS::AtMostOnce)
        .await
        .expect("a subscription");
    loop {
        let event = connection.poll().await.expect("a connection");
        if matches!(event, Event::Incoming(Incoming::SubAck(_))) {
            return (client, connection);
        }
    }
}

/// The times of the messages that the test received from the broker.
#[derive(Default)]
struct Seen {
    /// The time of the first order message with each order id. The member `states` contains the time of the first state
    /// message with each order id.
    orders: Mutex<BTreeMap<String, Moment>>,
    states: Mutex<BTreeMap<String, Moment>>,
    has_changed: Notify,
}

impl Seen {
    /// Starts a task that receives the messages of all robots and stores the times of these messages.
    async fn watch(port: u16) -> Arc<Self> {
        let seen = Arc::new(Self::default());
        let (client, mut connection) = subscriber(port, "observer", "uagv/v2/#").await;
        let watching = seen.clone();
        tokio::spawn(async move {
            let _client = client;
            while let Ok(event) = connection.poll().await {
                let Event::Incoming(Incoming::Publish(publish)) = event else {
                    continue;
                };
                let now = SystemClock.now();
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                let first = match topic.rsplit('/').next() {
                    Some("order") => &watching.orders,
                    Some("state") => &watching.states,
                    _ => continue,
                };
                let body: Value = serde_json::from_slice(&publish.payload).expect("JSON");
                let order = body["orderId"].as_str().unwrap_or_default().to_owned();
                let mut first = first.lock().expect("no holder panics");
                first.entry(order).or_insert(now);
                watching.has_changed.notify_waiters();
            }
        });
        seen
    }

    /// Returns the time of the first state message that contains an order of the mission (the work of a robot).
    fn confirmed(&self, mission: &str) -> Option<Moment> {
        first_of(&self.states, mission)
    }

    /// Waits until an order message arrives that has no order id in `known`.
    async fn next_order(&self, known: &BTreeSet<String>) {
        loop {
            let changed = self.has_changed.notified();
            let is_new = {
                let orders = self.orders.lock().expect("no holder panics");
                orders.keys().any(|order| !known.contains(order))
            };
            if is_new {
                return;
            }
            let waited = tokio::time::timeout(PATIENCE, changed).await;
            waited.expect("an order goes out");
        }
    }

    fn known_orders(&self) -> BTreeSet<String> {
        let orders = self.orders.lock().expect("no holder panics");
        orders.keys().cloned().collect()
    }
}

fn first_of(times: &Mutex<BTreeMap<String, Moment>>, mission: &str) -> Option<Moment> {
    let times = times.lock().expect("no holder panics");
    let of_mission = times
        .iter()
        .filter(|(order, _)| order.split("-e").next() == Some(mission));
    of_mission.map(|(_, at)| *at).min_by_key(|at| at.0)
}

/// Returns the median time in milliseconds that a message with QoS 1 needs from the publication to a subscriber. The
/// same client publishes and receives the message.
async fn echo_ms(port: u16) -> f64 {
    let (client, mut connection) = subscriber(port, "echo", "echo").await;
    let mut times = Vec::new();
    for _ in 0..REPEATED {
        let begin = Instant::now();
        let options = PublishOptions::at_least_once();
        client
            .publish("echo", vec![0_u8; 1_000], options)
            .await
            .expect("published");
        loop {
            let event = connection.poll().await.expect("a connection");
            if matches!(event, Event::Incoming(Incoming::Publish(_))) {
                break;
            }
        }
        times.push(begin.elapsed());
    }
    median_ms(times)
}

/// Returns the median time in milliseconds of a write to disk with `fdatasync`. The file is in the same folder as the
/// data of the desk.
fn sync_ms(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("synced")).expect("a file");
    let mut times = Vec::new();
    for _ in 0..REPEATED {
        let begin = Instant::now();
        file.write_all(&[7; SYNCED_BYTES]).expect("written");
        file.sync_data().expect("synced");
        times.push(begin.elapsed());
    }
    median_ms(times)
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

/// Returns the median time in milliseconds that the npm master controller needs for an order. The time ends at the
/// first state message that contains the order. The order goes to one additional imitated robot at the same broker.
async fn other_master_ms(hall: &mut Hall) -> f64 {
    let mut robot = setup(FEW);
    robot.manufacturer = "OtherRobots".into();
    robot.work_ms = 1;
    let (x, y) = (robot.position.x, robot.position.y);
    hall.vehicles.switch_on(robot);
    let tools = installed();
    let output = tokio::process::Command::new("node")
        .arg(root().join("tests/foreign/master.mjs"))
        .arg(&tools)
        .args([&hall.port.to_string(), "uagv", "OtherRobots", &serial(FEW)])
        .args([MAP, &x.to_string(), &y.to_string(), &REPEATED.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    let output = output.expect("in time").expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let times = text.lines().map(|line| {
        let ms: f64 = line.parse().unwrap_or_else(|_| panic!("a time: {text}"));
        Duration::from_secs_f64(ms / 1_000.0)
    });
    let times: Vec<Duration> = times.collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(times.len(), REPEATED, "{text}{errors}");
    median_ms(times)
}

/// Measures the time from the request with a case to the first state message in which a robot reports the order. Prints
/// the results.
pub(super) async fn orders() {
    let mut hall = Hall::open(FEW).await;
    let seen = Seen::watch(hall.port).await;
    let mut commits = Vec::new();
    for number in 0..SINGLE {
        let (before, known) = (hall.position().await, seen.known_orders());
        let sending = hall.send(number, 1);
        let (sent, ()) = tokio::join!(sending, seen.next_order(&known));
        commits.push(hall.position().await - before);
        for ticket in sent.keys() {
            hall.finished(ticket).await;
        }
    }
    commits.sort_unstable();
    let commits = commits[0];
    let sent = hall.send(SINGLE, CASES).await;
    let (mut times, mut robots) = (Vec::new(), BTreeSet::new());
    for (ticket, at) in &sent {
        let (confirmed, mission) = hall.confirmed(ticket, &seen).await;
        times.push(confirmed.0 - at.0);
        let shown = hall.get(&format!("dispatches/{mission}")).await;
        robots.insert(shown["robot"].to_string());
        hall.finished(ticket).await;
    }
    times.sort_unstable();
    let mean = times.iter().sum::<i64>() as f64 / times.len() as f64;
    let median = percentile(&times, 50) as f64;
    println!(
        "{CASES} cases, 5 per second, {FEW} robots ({} worked), from the request with the case to the first state with the order: \
         mean {mean:.1} ms, median {median} ms, 99 % {} ms, longest {} ms",
        robots.len(),
        percentile(&times, 99),
        percentile(&times, 100),
    );
    hall.ready(FEW).await;
    let (echo, sync) = (echo_ms(hall.port).await, sync_ms(hall.folder.path()));
    let limit = echo + commits as f64 * sync;
    println!(
        "bare limit: echo with QoS 1 {echo:.2} ms and {commits} commits with {sync:.2} ms each: {limit:.2} ms; the median is {:.1} times the limit",
        median / limit
    );
    let other = other_master_ms(&mut hall).await;
    println!(
        "npm master controller, {REPEATED} orders, from the assignment to the first state with the order: median {other:.2} ms; \
         the median of the desk is {:.1} times as long",
        median / other
    );
}

/// A process that only counts the state messages of all robots.
struct Counter {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Counter {
    fn start(port: u16) -> Self {
        let program: PathBuf = std::env::current_exe().expect("the path of the benchmark");
        let mut child = Command::new(program)
            .args([COUNT, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let output = child.stdout.take().expect("a pipe");
        Self {
            child,
            lines: BufReader::new(output).lines(),
        }
    }

    /// Returns the number of state messages that the process has counted since its start.
    fn count(&mut self) -> u64 {
        let input = self.child.stdin.as_mut().expect("a pipe");
        input.write_all(b"\n").expect("written");
        let line = self.lines.next().expect("a line").expect("a line");
        line.parse().expect("a number")
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts the state messages of all robots. Prints the current count for each line of the standard input. Returns when
/// the standard input ends.
pub(super) async fn count_states(port: u16) {
    let (_client, mut connection) = subscriber(port, "counter", "uagv/v2/+/+/state").await;
    let (sender, mut asked) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            if sender.blocking_send(()).is_err() {
                break;
            }
        }
    });
    let mut count = 0_u64;
    loop {
        tokio::select! {
            event = connection.poll() => {
                if matches!(event.expect("a connection"), Event::Incoming(Incoming::Publish(_))) {
                    count += 1;
                }
            }
            asked = asked.recv() => match asked {
                Some(()) => println!("{count}"),
                None => return,
            },
        }
    }
}

/// Returns the CPU time of all threads of a process.
fn cpu(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("a process");
    let times = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

/// Measures the CPU time that the desk needs for each state message of a robot, and the memory of the desk. Prints the
/// results.
pub(super) async fn states() {
    let hall = Hall::open(MANY).await;
    let mut counter = Counter::start(hall.port);
    let (desk, bare) = (hall.desk.id(), counter.child.id());
    // The counter process answers only after it has connected to the broker. The measurement therefore starts after
    // this answer.
    let before = counter.count();
    let cpu_before = (cpu(desk), cpu(bare));
    tokio::time::sleep(STATES_TIME).await;
    let states = counter.count() - before;
    let cpu_after = (cpu(desk), cpu(bare));
    let per_state = |before: Duration, after: Duration| {
        after.saturating_sub(before).as_secs_f64() * 1e6 / states as f64
    };
    let ours = per_state(cpu_before.0, cpu_after.0);
    let theirs = per_state(cpu_before.1, cpu_after.1);
    println!(
        "{states} states in {} s from {MANY} robots, CPU time per state: desk {ours:.1} µs, bare subscriber {theirs:.1} µs: {:.1} times",
        STATES_TIME.as_secs(),
        ours / theirs
    );
    let sent = hall.send(0, CASES).await;
    for ticket in sent.keys() {
        hall.finished(ticket).await;
    }
    println!(
        "resident memory of the desk after {CASES} missions with {MANY} robots: {:.1} MB",
        resident_kib(desk) as f64 / 1_000.0
    );
}
