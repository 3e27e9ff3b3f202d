//! These tests run missions (jobs of robots for tickets) with the programs of other vendors. The robots
//! are the virtual AGV of the npm package vda-5050-lib and the vehicle client of the PyPI package
//! vda5050-sdk. Both programs are unchanged. The MQTT broker is mosquitto from Debian.
//!
//! The tests check the work of the robots without the data of the desk. A subscriber writes every message
//! on the broker to a file, and this file shows whether the same work began twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use infra::clock::SystemClock;
use infra::fleet::Fleet as _;
use infra::fleet::contract::messages_arrive_unchanged_and_in_order;
use infra::fleet::mqtt::{Address, Mqtt};
use serde_json::{Value, json};
use tests::foreign::{installed, mosquitto, spawn};
use tests::patrol_workflow;
use tests::process::{APP, Process, free_port, root, until};

use crate::desk::Desk;

/// Default number of missions (jobs of robots) in the test that kills the desk. The environment variable
/// `LEDGERDESK_MISSIONS` can set another number.
const MISSIONS: usize = 8;
/// Maximum number of rounds until both robots have worked. In each round, the test sends two cases
/// (records of another system).
const ROUNDS_MAX: usize = 5;
/// Number of times that the test kills the desk per ten missions (jobs of robots).
const KILLS_PER_TEN: usize = 5;

/// An MQTT broker on a free port, and a subscriber that writes all messages to a file.
struct Broker {
    tools: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    processes: Vec<Process>,
}

impl Broker {
    async fn start() -> Self {
        let mut broker = Self {
            tools: installed(),
            folder: tempfile::tempdir().expect("a directory"),
            port: free_port(),
            processes: Vec::new(),
        };
        broker.restart(true).await;
        broker
    }

    /// Ends the broker and starts a new broker on the same port. With `keeps`, both brokers store their
    /// sessions and retained messages, and the old broker ends in order. The new broker then has the sessions
    /// of the old broker. Otherwise, the old broker is killed, and everything that it knew is lost.
    async fn restart(&mut self, keeps: bool) {
        if keeps && let Some(broker) = self.processes.first_mut() {
            broker.end();
        }
        self.processes.clear();
        let broker = mosquitto(self.folder.path(), self.port, keeps).await;
        self.processes.push(broker);
        let mut command = Command::new(self.tools.join("mosquitto_sub"));
        let port = self.port.to_string();
        command.args(["-h", "127.0.0.1", "-p", &port, "-t", "#", "-v"]);
        self.processes.push(spawn(&mut command, &self.journal()));
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Starts the virtual AGV (automated guided vehicle) of the npm package as a robot with the given
    /// serial number and position.
    fn agv(&self, serial: &str, x: f64) -> Process {
        let mut command = Command::new("node");
        command
            .arg(root().join("tests/foreign/agv.mjs"))
            .arg(&self.tools)
            .args([&self.port.to_string(), "uagv", serial, &x.to_string(), "0"]);
        spawn(
            &mut command,
            &self.folder.path().join(format!("{serial}.log")),
        )
    }

    /// Starts the vehicle client of the PyPI package as a robot with the given serial number and
    /// position.
    fn vehicle(&self, serial: &str, x: f64) -> Process {
        let mut command = Command::new(self.tools.join("python/bin/python"));
        command.arg(root().join("tests/foreign/vehicle.py")).args([
            &self.port.to_string(),
            serial,
            &x.to_string(),
            "0",
            "1.5",
        ]);
        spawn(
            &mut command,
            &self.folder.path().join(format!("{serial}.log")),
        )
    }

    /// Finds all attempts in which a robot began the work of a mission (a job of a robot). The source is the
    /// file with the MQTT messages of the robots. Returns a map from each mission to the attempts. Each
    /// attempt is a text with the serial number of the robot and the id of the order.
    fn began(&self) -> BTreeMap<String, BTreeSet<String>> {
        let text = std::fs::read_to_string(self.journal()).unwrap_or_default();
        let mut began: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in text.lines() {
            let Some((topic, payload)) = line.split_once(' ') else {
                continue;
            };
            let Ok(state) = serde_json::from_str::<Value>(payload) else {
                continue;
            };
            for action in state["actionStates"].as_array().into_iter().flatten() {
                let id = action["actionId"].as_str().unwrap_or_default();
                let status = action["actionStatus"].as_str().unwrap_or_default();
                let has_begun = matches!(status, "INITIALIZING" | "RUNNING" | "FINISHED");
                if let Some(order) = id.strip_suffix("-work").filter(|_| has_begun) {
                    let mission = order.split("-e").next().unwrap_or_default();
                    let robot = topic.split('/').nth(3).unwrap_or_default();
                    let attempt = format!("{robot} {order}");
                    began.entry(mission.to_owned()).or_default().insert(attempt);
                }
            }
        }
        began
    }
}

#[tokio::test]
async fn the_mqtt_adapter_passes_the_contract_also_with_large_messages() {
    let broker = Broker::start().await;
    let mqtt = Arc::new(Mqtt::default());
    let address = Address::read(&format!("mqtt://127.0.0.1:{}", broker.port)).expect("an address");
    let (sender, mut received) = tokio::sync::mpsc::channel(16);
    let (interfaces, watched) = tokio::sync::watch::channel(BTreeSet::new());
    let connection = mqtt.clone().run(
        address,
        "contract".into(),
        watched,
        sender,
        Arc::new(SystemClock),
    );
    let connection = tokio::spawn(connection);
    // The MQTT adapter subscribes to topics when it receives the name of an interface (the first part of a
    // topic). A message that is published before the subscription is lost. The test therefore publishes a
    // message repeatedly until one message arrives.
    interfaces.send_replace(BTreeSet::from(["uagv".to_owned()]));
    let ready = "uagv/v2/contract/001/connection";
    until("the subscription", async || {
        let _ = mqtt.publish(ready, b"{}").await;
        let arrived = tokio::time::timeout(Duration::from_millis(200), received.recv()).await;
        arrived.map(drop).map_err(|_| json!("no message"))
    })
    .await;
    messages_arrive_unchanged_and_in_order(&*mqtt, async || {
        loop {
            let message = received.recv().await.expect("a connection");
            if message.topic != ready {
                return (message.topic, message.payload);
            }
        }
    })
    .await;
    drop(received);
    connection.abort();
}

/// Starts a desk that is connected to the broker and has two robots. The workflow of a service contains a
/// mission (a job of a robot). The desk also has a source of cases (records of another system) for this
/// service.
async fn desk(broker: &Broker) -> Desk {
    let write = |name: &str, text: &str| {
        let path = broker.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let fleet = write(
        "fleet.toml",
        r#"
        [[site]]
        name = "hall"
        map = "hall_map"
        stations = { S1 = { x = 4.0, y = 2.0 }, S2 = { x = 8.0, y = 2.0 }, S3 = { x = 6.0, y = 30.0 } }

        [[task_type]]
        name = "patrol"
        action = "noop"
        work_s = 120

        [[robot]]
        name = "agv_1"
        site = "hall"
        skills = ["patrol"]
        manufacturer = "RobotCompany"
        serial = "001"
        version = "2.0.0"
        instant_actions = "instantActions"

        [[robot]]
        name = "vehicle_1"
        site = "hall"
        skills = ["patrol"]
        manufacturer = "VehicleCompany"
        serial = "v1"
        version = "2.1.0"
        "#,
    );
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let mut desk = Desk::start(&["--fleet", &fleet, "--mqtt-broker", &url]);
    let definition = patrol_workflow();
    let service = desk.served().publish(definition, json!({})).await;
    write(
        "crm.toml",
        &format!(
            "record = \"/id\"\nservice = {{ value = {service} }}\nrequester = {{ value = \"lisi\" }}\n[fields]\ntitle = \"/title\"\nstation = \"/place\""
        ),
    );
    let integrations = write(
        "integrations.toml",
        &format!(
            "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"{}\"]\nmapping = \"crm.toml\"",
            APP.0
        ),
    );
    desk.more
        .extend(["--integrations".to_owned(), integrations]);
    desk.restart();
    desk
}

/// Waits until all given robots are connected and free, so that each robot can get a mission (a job of a
/// robot).
async fn ready(desk: &Desk, names: &[&str]) {
    until("the robots are free and connected", async || {
        let shown = desk.v1("GET", "robots", "admin", Value::Null).await;
        let robots = shown["robots"].as_array().cloned().unwrap_or_default();
        let is_free = |name: &&str| {
            robots.iter().any(|robot| {
                robot["robot"] == **name
                    && robot["reservation"] == "free"
                    && robot["is_connected"] == true
            })
        };
        if names.iter().all(is_free) {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;
}

async fn post_case(desk: &Desk, id: usize, place: &str) -> String {
    let case = json!({ "id": id, "title": format!("Patrol {id}"), "place": place });
    let body = json!({ "source": "crm", "cases": [case] });
    let answer = desk.v1("POST", "cases", "admin", body).await;
    let ticket = answer["results"][0]["ticket"].as_str();
    ticket.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Returns the mission (the job of a robot) of a ticket.
async fn mission(desk: &Desk, sn: &str) -> Value {
    let path = format!("dispatches?ticket={sn}");
    let shown = desk.v1("GET", &path, "admin", Value::Null).await;
    shown["dispatches"][0].clone()
}

/// Waits until the mission (the job of a robot) of a ticket has the given phase and its work is not released.
/// Returns the mission.
async fn phase(desk: &Desk, sn: &str, phase: &str) -> Value {
    until("the phase of the mission", async || {
        let mission = mission(desk, sn).await;
        if mission["phase"] == phase && mission["is_work_released"] == false {
            Ok(mission)
        } else {
            Err(mission)
        }
    })
    .await
}

/// Waits until the mission (the job of a robot) of a ticket has ended, with or without success. Returns the
/// mission.
async fn closed(desk: &Desk, sn: &str) -> Value {
    until("the mission ends", async || {
        let mission = mission(desk, sn).await;
        if mission["is_closed"] == true {
            Ok(mission)
        } else {
            Err(mission)
        }
    })
    .await
}

/// Waits until a ticket is finished and its mission (the job of a robot) is closed. Returns the mission.
async fn finished(desk: &Desk, sn: &str) -> Value {
    until("the ticket is finished", async || {
        let path = format!("dispatches?ticket={sn}");
        let shown = desk.v1("GET", &path, "admin", Value::Null).await;
        let ticket = desk
            .v1("GET", &format!("tickets/{sn}"), "admin", Value::Null)
            .await;
        let mission = &shown["dispatches"][0];
        if ticket["current_status"] == "FINISHED" && mission["is_closed"] == true {
            Ok(shown["dispatches"][0].clone())
        } else {
            Err(json!([ticket["current_status"], shown]))
        }
    })
    .await
}

#[tokio::test]
async fn foreign_robots_complete_cases_and_a_killed_robot_is_replaced() {
    let mut broker = Broker::start().await;
    let (agv, vehicle) = (broker.agv("001", 0.0), broker.vehicle("v1", 12.0));
    let desk = desk(&broker).await;
    ready(&desk, &["agv_1", "vehicle_1"]).await;
    let mut by_robot = BTreeMap::new();
    let mut rounds = 0;
    // In each round, the test sends two cases (records of another system), normally one for each robot. On a
    // busy machine, one robot may accept a mission (a job) too late. The other robot then completes both
    // cases. The test therefore starts more rounds until both robots have worked.
    while rounds < 2 || (by_robot.len() < 2 && rounds < ROUNDS_MAX) {
        let round = rounds;
        rounds += 1;
        let sns = [
            post_case(&desk, 2 * round, "S1").await,
            post_case(&desk, 2 * round + 1, "S2").await,
        ];
        for sn in &sns {
            let mission = finished(&desk, sn).await;
            assert_eq!(mission["outcome"]["succeeded"], true, "{mission}");
            *by_robot.entry(mission["robot"].to_string()).or_insert(0) += 1;
        }
        ready(&desk, &["agv_1", "vehicle_1"]).await;
    }
    assert_eq!(by_robot.len(), 2, "both robots worked: {by_robot:?}");
    // The test sends one more case (a record of another system). When a robot has accepted the mission (the
    // job) of this case, the test kills this robot before the work begins. The other robot must complete the
    // case.
    let sn = post_case(&desk, 2 * ROUNDS_MAX, "S3").await;
    let mission = phase(&desk, &sn, "accepted").await;
    let (mut agv, mut vehicle) = (Some(agv), Some(vehicle));
    if mission["robot"] == "agv_1" {
        agv = None;
    } else {
        vehicle = None;
    }
    let replaced = finished(&desk, &sn).await;
    assert_eq!(replaced["epoch"], 2, "{replaced}");
    assert_ne!(replaced["robot"], mission["robot"]);
    // The test starts the killed robot again. The robot has no order after its start, so the desk must treat
    // the robot as free.
    let _agv = agv.unwrap_or_else(|| broker.agv("001", 0.0));
    let mut vehicle = vehicle.unwrap_or_else(|| broker.vehicle("v1", 12.0));
    ready(&desk, &["agv_1", "vehicle_1"]).await;
    let attempts: usize = broker.began().values().map(BTreeSet::len).sum();
    assert_eq!(
        attempts,
        2 * rounds + 1,
        "each work began once: {:?}",
        broker.began()
    );
    // The broker is restarted during a mission (the job of a robot): once with its sessions, and once without
    // its sessions and retained messages. In both cases the mission ends, and no work begins twice. After the
    // restart, the robots complete the mission of one more case (a record of another system).
    let mut ends = Vec::new();
    for (number, keeps) in [true, false].into_iter().enumerate() {
        let case = 2 * (ROUNDS_MAX + number) + 1;
        let sn = post_case(&desk, case, "S3").await;
        phase(&desk, &sn, "accepted").await;
        broker.restart(keeps).await;
        let mission = closed(&desk, &sn).await;
        // The client of the PyPI package does not connect again by itself after its broker has ended.
        drop(std::mem::replace(&mut vehicle, broker.vehicle("v1", 12.0)));
        ends.push(json!([
            keeps,
            mission["outcome"]["succeeded"],
            mission["epoch"]
        ]));
        ready(&desk, &["agv_1", "vehicle_1"]).await;
        let sn = post_case(&desk, case + 1, "S1").await;
        let mission = finished(&desk, &sn).await;
        assert_eq!(mission["outcome"]["succeeded"], true, "{mission}");
    }
    let began = broker.began();
    let twice = began.values().filter(|attempts| attempts.len() > 1).count();
    assert_eq!(twice, 0, "{began:?}");
    println!(
        "{} cases by foreign robots, 1 killed robot replaced, {twice} works begun twice: {by_robot:?}; restarts of the broker with [sessions, success, epoch]: {}",
        2 * rounds + 5,
        json!(ends)
    );
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment selects the long form"
)]
async fn missions_end_after_kills_of_the_desk() {
    let broker = Broker::start().await;
    let (_agv, _vehicle) = (broker.agv("001", 0.0), broker.vehicle("v1", 12.0));
    let mut desk = desk(&broker).await;
    ready(&desk, &["agv_1", "vehicle_1"]).await;
    let count = std::env::var("LEDGERDESK_MISSIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(MISSIONS);
    let mut sns = Vec::new();
    for id in 0..count {
        sns.push(post_case(&desk, id, ["S1", "S2"][id % 2]).await);
    }
    let kills = count * KILLS_PER_TEN / 10;
    for kill in 0..kills {
        // The test waits before each kill of the desk. The waiting times have different lengths, so that the
        // desk is killed in all phases of a mission (a job of a robot).
        let pause = 400 + 631 * u64::try_from(kill).expect("a number") % 2_900;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        desk.restart();
    }
    let (mut succeeded, mut with_a_person) = (0, 0);
    for sn in &sns {
        let mission = closed(&desk, sn).await;
        if mission["outcome"]["succeeded"] == true {
            succeeded += 1;
        } else {
            with_a_person += 1;
        }
    }
    until("no robot is reserved", async || {
        let shown = desk.v1("GET", "robots", "admin", Value::Null).await;
        let is_settled = shown["robots"].as_array().is_some_and(|robots| {
            robots
                .iter()
                .all(|robot| matches!(robot["reservation"].as_str(), Some("free" | "quarantined")))
        });
        if is_settled { Ok(()) } else { Err(shown) }
    })
    .await;
    let began = broker.began();
    let twice: Vec<_> = began
        .iter()
        .filter(|(_, attempts)| attempts.len() > 1)
        .collect();
    assert!(twice.is_empty(), "work began twice: {twice:?}");
    assert!(
        began.len() >= succeeded,
        "{} of {succeeded} works are in the journal",
        began.len()
    );
    println!(
        "{count} missions, {kills} kills: {succeeded} done by robots, {with_a_person} with a person, 0 without an end, work begun twice 0"
    );
}
