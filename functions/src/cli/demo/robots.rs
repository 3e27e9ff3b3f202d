//! Adds robots and cases (records of another system) to the demo. An imitated monitoring system sends alarms to the
//! desk. Each alarm becomes a ticket. Each ticket starts a mission: a robot drives to a station and measures a
//! temperature.
//!
//! The robots are imitations that communicate by the standard VDA 5050 ([`super::fakes::vda5050`]). The MQTT broker is
//! the program mosquitto. If mosquitto is missing on this machine, the messages of the robots stay in memory.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use domain::fleet::dispatch::SUSPECT_UNRELEASED_MS;
use events::Moment;
use events::site::Position;
use infra::clock::SystemClock;
use infra::fleet::Fleet;
use infra::fleet::mqtt::Address;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::day::Client;
use super::fakes::rest::{self, Records};
use super::fakes::vda5050::{Setup, Vehicles};
use super::{PAUSE, SystemLine, find_program, until};
use crate::App;
use crate::app::fleet::definitions::Definitions as FleetDefinitions;
use crate::app::itsm::integrations::Definitions as Integrations;
use crate::cli::serve::DEMO_APP;
use crate::host::local;

/// The file name of the MQTT broker mosquitto. The subdirectory for the files of mosquitto has the same name, and is in
/// the data directory of the desk.
const MOSQUITTO: &str = "mosquitto";
/// The longest time that the demo waits until mosquitto accepts connections.
const LISTEN_WAIT: Duration = Duration::from_secs(10);
/// The first level of all MQTT topics of the robots.
const INTERFACE: &str = "uagv";
const MANUFACTURER: &str = "ImitatedRobots";
const MAP: &str = "hall_map";
/// The name of the task type (the kind of robot work) of all missions. For this task type, a robot does the VDA 5050
/// action [`ACTION`].
const TASK_TYPE: &str = "patrol";
const ACTION: &str = "measure";
/// The duration of the work at a station, in milliseconds.
const WORK_MS: i64 = 400;
const SITE: &str = r#"
[[site]]
name = "hall"
map = "hall_map"
stations = { S1 = { x = 10.0, y = 0.0 }, S2 = { x = 10.0, y = 10.0 }, S3 = { x = 40.0, y = 5.0 } }

[[task_type]]
name = "patrol"
action = "measure"
work_s = 60
"#;

/// One robot of the demo, with its first position in meters and its speed in meters per second.
struct Robot {
    name: &'static str,
    serial: &'static str,
    x: f64,
    y: f64,
    speed: f64,
}

/// The robots of the demo. The third robot is the nearest robot to the station S3, so this robot gets the first
/// mission. It is slow, so the demo can switch it off during its drive.
static ROBOTS: [Robot; 3] = [
    Robot {
        name: "agv_1",
        serial: "001",
        x: 0.0,
        y: 0.0,
        speed: 20.0,
    },
    Robot {
        name: "agv_2",
        serial: "002",
        x: 0.0,
        y: 10.0,
        speed: 20.0,
    },
    Robot {
        name: "agv_3",
        serial: "003",
        x: 50.0,
        y: 5.0,
        speed: 2.0,
    },
];

/// The token with which the desk calls the imitated monitoring system.
const TOKEN: &str = "token-of-the-demo";
/// The name of the imitated monitoring system, which sends cases (records of alarms) to the desk.
const SOURCE: &str = "monitoring";
/// The station to which a robot drives after each alarm, in the order of the alarms.
const PLACES: [&str; 6] = ["S3", "S1", "S2", "S1", "S2", "S1"];

/// The robots of the demo, and their connection to the desk.
pub(super) struct Robots {
    vehicles: Vehicles,
    broker: Option<Broker>,
    /// The connection between the desk and the robots if they use no MQTT broker. The value is `None` if the robots use
    /// a broker, or after a call of [`Robots::take_parts`].
    parts: Option<(Arc<dyn Fleet>, local::Robots)>,
    /// The reason why the robots use no MQTT broker. The text is empty if the robots use a broker.
    no_broker: String,
    /// The records of the imitated monitoring system. The desk writes the end of each ticket back to its record.
    monitoring: Arc<Records>,
}

impl Robots {
    /// Starts the MQTT broker mosquitto on a free port of this machine. The files of mosquitto are below the directory
    /// `data`. If mosquitto is missing in `search_path` or does not start, the messages of the robots stay in memory.
    pub(super) async fn start(data: &Path, search_path: &str) -> Result<Self, String> {
        let clock = Arc::new(SystemClock);
        let started = match find(search_path) {
            Some(program) => Broker::start(&program, &data.join(MOSQUITTO)).await,
            None => Err("mosquitto is not on this machine".into()),
        };
        match started {
            Ok(broker) => Ok(Self {
                vehicles: Vehicles::serve(Address::read(&broker.url)?, clock),
                broker: Some(broker),
                parts: None,
                no_broker: String::new(),
                monitoring: Arc::new(Records::new(TOKEN)),
            }),
            Err(no_broker) => {
                let (vehicles, parts) = Vehicles::in_memory(clock);
                Ok(Self {
                    vehicles,
                    broker: None,
                    parts: Some(parts),
                    no_broker,
                    monitoring: Arc::new(Records::new(TOKEN)),
                })
            }
        }
    }

    /// Returns the URL of the broker, or `None` if the robots use no broker.
    pub(super) fn broker(&self) -> Option<String> {
        self.broker.as_ref().map(|broker| broker.url.clone())
    }

    /// Returns the connection between the desk and the robots if they use no MQTT broker. Returns `None` if the robots
    /// use a broker, or if this function was called before.
    pub(super) fn take_parts(&mut self) -> Option<(Arc<dyn Fleet>, local::Robots)> {
        self.parts.take()
    }

    /// Defines the robots, the source of the alarms, and a service whose tickets start robot missions. Then switches
    /// the robots on.
    pub(super) async fn introduce(&mut self, app: &App, client: &Client) -> Result<(), String> {
        let text = |error: infra::Error| error.to_string();
        let fleet = FleetDefinitions::read(&fleet())?;
        fleet.store(app).await.map_err(text)?;
        let service = add_service(client).await?;
        let mapping = format!(
            "record = \"/id\"\ncreated = \"/raised_at\"\nupdate = {{ counter = \"/revision\" }}\n\
             service = {{ path = \"/kind\", values = {{ temperature = {service} }} }}\nrequester = {{ value = \"lisi\" }}\n\
             status = \"/status\"\n[write_back]\nFINISHED = \"closed\"\n\
             [fields]\ntitle = \"/text\"\nstation = \"/place\"\nlevel = \"/severity\"\n"
        );
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(|error| format!("no port for the monitoring: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        tokio::spawn(self.monitoring.clone().serve(listener));
        let source = format!(
            "[[integration]]\nname = \"{SOURCE}\"\nkind = \"generic_json\"\nsenders = [\"{}\"]\nmapping = \"monitoring.toml\"\nurl = \"http://{address}{}\"\n",
            DEMO_APP.0,
            rest::PATH
        );
        let source = Integrations::read(&source, &|_| Ok(mapping.clone()))?;
        source.store(app).await.map_err(text)?;
        let secret = format!("integration/{SOURCE}");
        let kept = app.ledger.keys.keep_secret(&secret, TOKEN.as_bytes()).await;
        kept.map_err(text)?;
        // The desk ignores messages of unknown robots. The demo therefore waits until the list of robots in the desk is
        // complete.
        let are_listed = |shown: &Value| (shown["count"] == ROBOTS.len()).then_some(());
        let missing = "the desk does not list the robots";
        until(client, "admin", "robots", missing, are_listed).await?;
        for robot in &ROBOTS {
            self.vehicles.switch_on(Setup {
                interface: INTERFACE.into(),
                manufacturer: MANUFACTURER.into(),
                serial: robot.serial.into(),
                map: MAP.into(),
                position: Position {
                    x: robot.x,
                    y: robot.y,
                },
                speed: robot.speed,
                action: ACTION.into(),
                work_ms: WORK_MS,
                result: "24.5 °C".into(),
            });
        }
        Ok(())
    }

    /// Sends the alarms, and waits until robots have completed all missions. The demo switches off the robot of the
    /// first mission during its drive, so another robot gets this mission. At the end, the demo switches the robot on
    /// again. Returns one summary line about the alarms and one summary line about the robots.
    pub(super) async fn run(
        &mut self,
        client: &Client,
        app: &App,
    ) -> Result<[SystemLine; 2], String> {
        all_free(client).await?;
        let clock = &app.ledger.clock;
        let raised = clock.now();
        let alarms: Vec<Value> = (0..PLACES.len()).map(|at| alarm(at, raised)).collect();
        alarms.iter().for_each(|alarm| self.monitoring.put(alarm));
        let mut opened = send(client, &alarms[..1], "opened").await?;
        let path = format!("dispatches?ticket={}", word(&opened[0]["ticket"]));
        let missing = "no robot has accepted the mission of the first alarm";
        let lost = until(client, "admin", &path, missing, |shown| {
            let mission = &shown["dispatches"][0];
            let is_on_its_way =
                mission["phase"] == "accepted" && mission["is_work_released"] == false;
            is_on_its_way.then(|| word(&mission["robot"]))
        })
        .await?;
        let off = self.switch_off(&lost).await?;
        let switched_off = clock.now();

        // The ticket of the first alarm stays open until another robot has completed the mission. The desk can
        // therefore still update this ticket.
        let mut update = alarms[0].clone();
        update["revision"] = 2.into();
        update["severity"] = "critical".into();
        let updated = send(client, &[update], "updated").await?.len();
        opened.extend(send(client, &alarms[1..], "opened").await?);
        let unchanged = send(client, &alarms[1..2], "unchanged").await?.len();
        let mut unreadable = alarm(PLACES.len(), raised);
        unreadable["kind"] = "smoke".into();
        let refused = send(client, &[unreadable], "refused").await?.len();
        let is_kept = |shown: &Value| (shown["count"] == refused).then_some(());
        let missing = "the desk does not list the refused record";
        until(client, "admin", "cases?state=refused", missing, is_kept).await?;
        let tickets: BTreeSet<String> = opened.iter().map(|one| word(&one["ticket"])).collect();
        if tickets.len() != alarms.len() {
            let (alarms, tickets) = (alarms.len(), tickets.len());
            return Err(format!("{alarms} alarms have {tickets} tickets"));
        }

        let missing = format!("no other robot has got the mission of {lost}");
        let replacement = until(client, "admin", &path, &missing, |shown| {
            let mission = &shown["dispatches"][0];
            let is_new = mission["epoch"].as_u64() > Some(1) && mission["robot"] != lost;
            is_new.then(|| word(&mission["robot"]))
        })
        .await?;
        let replaced_ms = clock.now().0 - switched_off.0;
        let missions = completed(client, &tickets).await?;
        self.vehicles.switch_on(off);
        all_free(client).await?;
        let closed = self.closed(client, alarms.len()).await?;

        let cases = SystemLine {
            name: "cases",
            figures: json!({
                "opened": opened.len(), "tickets": tickets.len(), "unchanged": unchanged, "updated": updated,
                "refused": refused, "closed": closed,
            }),
            text: format!(
                "{} cases from the monitoring became {} tickets; {unchanged} repeated record changed nothing; \
                 {updated} later record changed its ticket; {refused} unreadable record was kept as refused; \
                 {closed} alarms were closed at the monitoring when their tickets ended",
                opened.len(),
                tickets.len(),
            ),
            look: format!(
                "GET /v1/cases, or: ledgerdesk audit show case-{}",
                word(&opened[0]["case"])
            ),
            stand_in: "the monitoring is imitated by this program, because the demo has no real monitoring"
                .into(),
        };
        let robots = self.line(&missions, &lost, &replacement, replaced_ms);
        Ok([cases, robots])
    }

    /// Waits until the desk has closed `count` alarms at the monitoring. Returns the number of closed alarms.
    async fn closed(&self, client: &Client, count: usize) -> Result<usize, String> {
        let missing = "the desk has not closed the alarms at the monitoring";
        let path = format!("cases?source={SOURCE}");
        until(client, "admin", &path, missing, |shown| {
            let written = shown["cases"].as_array()?.iter();
            let written = written.filter(|case| case["write_back"]["outcome"] == "written");
            (written.count() == count).then(|| self.monitoring.count("status", "closed"))
        })
        .await
    }

    /// Switches a robot off. Returns the properties with which the robot can be switched on again.
    async fn switch_off(&mut self, name: &str) -> Result<Setup, String> {
        let unknown = || format!("robot {name} has a mission, but is not switched on");
        let robot = ROBOTS.iter().find(|robot| robot.name == name);
        let serial = robot.ok_or_else(unknown)?.serial;
        self.vehicles.switch_off(serial).await.ok_or_else(unknown)
    }

    /// Returns the summary line about the robots. `lost` is the robot that was switched off. `replacement` is the robot
    /// that got the mission of `lost`, `replaced_ms` milliseconds later.
    fn line(
        &self,
        missions: &[Value],
        lost: &str,
        replacement: &str,
        replaced_ms: i64,
    ) -> SystemLine {
        let workers: BTreeSet<String> = missions.iter().map(|one| word(&one["robot"])).collect();
        let attempts = missions.iter().map(|one| one["epoch"].as_u64());
        let attempts: u64 = attempts.map(Option::unwrap_or_default).sum();
        let of_lost = missions.iter().find(|one| one["robots"]["1"] == lost);
        let example = word(&of_lost.unwrap_or(&Value::Null)["id"]);
        let mut stand_in =
            "the robots are imitated by this program, because the demo has no real robots"
                .to_owned();
        if !self.no_broker.is_empty() {
            stand_in = format!("{stand_in}; {}, so messages stay in memory", self.no_broker);
        }
        SystemLine {
            name: "robots",
            figures: json!({
                "robots": ROBOTS.len(), "missions": missions.len(), "attempts": attempts, "switched_off": lost,
                "replaced_by": replacement, "replaced_ms": replaced_ms,
                "broker": if self.broker.is_some() { MOSQUITTO } else { "memory" },
            }),
            text: format!(
                "{} missions were done by {} robots; robot {lost} was switched off on its way, and {replacement} got its \
                 mission {}.{} s later (the desk waits {} s for a lost robot)",
                missions.len(),
                workers.len(),
                replaced_ms / 1000,
                replaced_ms % 1000 / 100,
                SUSPECT_UNRELEASED_MS / 1000,
            ),
            look: format!("page /missions, or: ledgerdesk audit show dispatch-{example}"),
            stand_in,
        }
    }
}

/// A running process of the MQTT broker mosquitto. The process is killed when this value is dropped.
struct Broker {
    url: String,
    _process: Child,
}

impl Broker {
    /// Starts mosquitto, and waits until mosquitto accepts connections. `directory` contains the configuration and the
    /// log of mosquitto. The returned error is an English text with the reason.
    async fn start(program: &Path, directory: &Path) -> Result<Self, String> {
        let text = |error: std::io::Error| format!("mosquitto cannot be started: {error}");
        let free = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let port = free.local_addr().map_err(text)?.port();
        drop(free);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(directory).map_err(text)?;
        let configuration = directory.join("mosquitto.conf");
        // Without the option `set_tcp_nodelay`, a message can be delayed by up to 50 ms (docs/fleet.md).
        let options = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n"
        );
        std::fs::write(&configuration, options).map_err(text)?;
        let log = directory.join("mosquitto.log");
        let output = File::create(&log).map_err(text)?;
        let errors = output.try_clone().map_err(text)?;
        let mut process = Command::new(program)
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(text)?;
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                if let Ok(Some(status)) = process.try_wait() {
                    return Some(status);
                }
                tokio::time::sleep(PAUSE).await;
            }
            None
        };
        let outcome = tokio::time::timeout(LISTEN_WAIT, listening).await;
        let reason = match outcome {
            Ok(None) => {
                return Ok(Self {
                    url: format!("mqtt://127.0.0.1:{port}"),
                    _process: process,
                });
            }
            Ok(Some(status)) => format!("ended with {status}"),
            Err(_) => format!("does not listen after {} s", LISTEN_WAIT.as_secs()),
        };
        Err(format!("mosquitto {reason} (see {})", log.display()))
    }
}

/// Returns the path of the program mosquitto. Debian installs mosquitto in `sbin`, which is not in the search path of
/// normal users. For each directory of the search path, the function therefore also searches the directory `sbin`
/// beside it.
fn find(search_path: &str) -> Option<PathBuf> {
    let directories = std::env::split_paths(search_path)
        .filter(|directory| directory.is_absolute())
        .flat_map(|directory| [directory.with_file_name("sbin"), directory]);
    find_program(directories, &[MOSQUITTO])
}

/// Returns the definitions of the site, the task type and the robots (docs/fleet.md).
fn fleet() -> String {
    let robots = ROBOTS.iter().map(|robot| {
        format!(
            "\n[[robot]]\nname = \"{}\"\nsite = \"hall\"\nskills = [\"{}\"]\ninterface = \"{INTERFACE}\"\n\
             manufacturer = \"{MANUFACTURER}\"\nserial = \"{}\"\nversion = \"2.0.0\"\n",
            robot.name, TASK_TYPE, robot.serial
        )
    });
    let robots: Vec<String> = robots.collect();
    format!("{SITE}{}", robots.concat())
}

/// Adds a service whose tickets start robot missions. Returns the id of the service.
async fn add_service(client: &Client) -> Result<Value, String> {
    let definition = json!({
        "name": "机器人巡检",
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title", "station", "level"] },
            { "id": 3, "name": "机器人测温", "kind": "TASK", "processors": { "type": "PERSON", "who": ["admin"] },
              "service_task": { "does": "mission", "task_type": TASK_TYPE, "site": "hall", "station": "${station}", "expires_after_min": 3 } },
            { "id": 9, "name": "结束", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
        "fields": [
            { "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true },
            { "id": 2, "key": "station", "type": "STRING", "name": "站点", "is_required": true },
            { "id": 3, "key": "level", "type": "STRING", "name": "告警级别", "is_required": true },
        ],
    });
    let service = json!({ "kind": "event", "catalog": 11 });
    client.publish(definition, service).await
}

/// Returns the alarm with the index `at` as JSON, in the format of the imitated monitoring system.
fn alarm(at: usize, raised: Moment) -> Value {
    json!({
        "id": format!("ALM-{}", at + 1), "raised_at": raised.0, "revision": 1, "kind": "temperature",
        "severity": "warning", "status": "open", "text": format!("{} 号机柜温度过高", at + 1), "place": PLACES[at % PLACES.len()],
    })
}

/// Sends records of alarms to the desk, and returns the result for each record. Returns an error if a record does not
/// have the outcome `expected`.
async fn send(client: &Client, records: &[Value], expected: &str) -> Result<Vec<Value>, String> {
    let body = json!({ "source": SOURCE, "cases": records });
    let answer = client.v1("cases", "admin", body).await?;
    let results = answer["results"].as_array().cloned().unwrap_or_default();
    let is_expected = results.iter().all(|one| one["outcome"] == expected);
    if is_expected && results.len() == records.len() {
        Ok(results)
    } else {
        Err(format!(
            "{} records of the monitoring should be {expected}: {answer}",
            records.len()
        ))
    }
}

/// Waits until each robot is connected, and free for a mission.
async fn all_free(client: &Client) -> Result<(), String> {
    let missing = "the robots are not connected and free";
    until(client, "admin", "robots", missing, |shown| {
        let robots = shown["robots"].as_array()?;
        robots
            .iter()
            .all(|robot| robot["is_connected"] == true && robot["reservation"] == "free")
            .then_some(())
    })
    .await
}

/// Waits until the missions of all tickets in `tickets` have ended. Returns the missions as JSON, or an error if a
/// mission has failed.
async fn completed(client: &Client, tickets: &BTreeSet<String>) -> Result<Vec<Value>, String> {
    let missing = "the missions have not ended";
    let missions = until(
        client,
        "admin",
        "dispatches?page_size=200",
        missing,
        |shown| {
            let all = shown["dispatches"].as_array()?.iter();
            let own = all.filter(|one| tickets.contains(&word(&one["ticket"])));
            let ended: Vec<Value> = own
                .filter(|one| one["is_closed"] == true)
                .cloned()
                .collect();
            (ended.len() == tickets.len()).then_some(ended)
        },
    )
    .await?;
    let failed = missions
        .iter()
        .find(|one| one["outcome"]["succeeded"] != true);
    match failed {
        Some(failed) => Err(format!(
            "the mission of ticket {} failed: {}",
            word(&failed["ticket"]),
            failed["outcome"]["reason"]
        )),
        None => Ok(missions),
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_of_the_robots_are_valid() {
        let fleet = FleetDefinitions::read(&fleet()).unwrap();
        assert_eq!(fleet.robots.len(), ROBOTS.len());
        assert_eq!(
            (
                fleet.task_types[0].action.as_str(),
                fleet.sites[0].map.as_str()
            ),
            (ACTION, MAP)
        );
        let stations = &fleet.sites[0].stations;
        assert!(PLACES.iter().all(|place| stations.contains_key(*place)));
        assert_eq!(fleet.task_types[0].name, TASK_TYPE);
    }
}
