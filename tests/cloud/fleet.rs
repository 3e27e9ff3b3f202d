//! This test runs a mission (a job of a robot for a ticket) with deployed cloud functions. A rule of the
//! MQTT broker writes the state of the robot to the queue `fleet`, and the function `fleet_message` reads
//! this queue. The function `dispatch` sends the order to the robot over the broker.

use std::process::{Command, Stdio};

use base64::Engine as _;
use functions::app::fleet::definitions::Definitions;
use functions::mqtt::fleet_message;
use reqwest::Method;
use serde_json::{Value, json};
use tests::foreign::installed;
use tests::process::{Process, root};

use crate::TestDesk;
use crate::desk::{send, setting, until};

#[tokio::test]
async fn a_robot_at_the_broker_of_the_cloud_completes_a_mission() {
    installed();
    let desk = TestDesk::open().await;
    // The desk in the cloud keeps the data of earlier test runs. Each run therefore adds a different number
    // to the names of the items that it creates.
    let run = std::process::id();
    let definitions = Definitions::read(&format!(
        r#"
        [[site]]
        name = "hall_{run}"
        map = "hall_map"
        stations = {{ S1 = {{ x = 1.0, y = 0.0 }} }}

        [[task_type]]
        name = "patrol_{run}"
        action = "noop"
        work_s = 60

        [[robot]]
        name = "robot_{run}"
        site = "hall_{run}"
        skills = ["patrol_{run}"]
        manufacturer = "CloudCompany"
        serial = "r{run}"
        version = "2.1.0"
        "#
    ))
    .expect("valid");
    definitions.store(&desk.app).await.expect("stored");
    let robot = Command::new(root().join("target/foreign/python/bin/python"))
        .arg(root().join("tests/foreign/cloud_robot.py"))
        .args([setting("AWS_ENDPOINT_URL"), format!("r{run}")])
        .stdout(Stdio::null())
        .spawn();
    let _robot = Process(robot.expect("the robot runs"));
    let get = async |path: &str| send(desk.v1(Method::GET, path, "admin")).await;
    until("the first state of the robot", async || {
        let shown = get("robots").await;
        let robots = shown["robots"].as_array()?.clone();
        robots
            .into_iter()
            .find(|one| one["robot"] == format!("robot_{run}") && one["is_connected"] == true)
    })
    .await;
    let definition = json!({
        "name": format!("Patrol {run}"),
        "nodes": [
            { "id": 1, "name": "Start", "kind": "START" },
            { "id": 2, "name": "Request", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title"] },
            { "id": 3, "name": "Robot", "kind": "TASK", "processors": { "type": "PERSON", "who": ["admin"] },
              "service_task": { "does": "mission", "task_type": format!("patrol_{run}"), "site": format!("hall_{run}"), "station": "S1" } },
            { "id": 9, "name": "End", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "Title", "is_required": true }],
    });
    let post = |path: &str, body: &Value| desk.v1(Method::POST, path, "admin").json(body);
    let drawn = send(post("workflows", &json!({ "definition": definition }))).await;
    let deploy = format!("workflows/{}/deploy", drawn["workflow"]);
    send(post(&deploy, &json!({}))).await;
    let service = json!({ "kind": "request", "name": format!("Patrol {run}"), "workflow": drawn["workflow"], "version": 1, "catalog": 4 });
    let service = send(post("services", &service)).await;
    let ticket = json!({ "service_id": service["service"], "fields": { "title": "patrol" } });
    let opened = desk.submit(&ticket).await;
    let sn = opened["sn"].as_str().expect("a number").to_owned();
    until("the end of the ticket", async || {
        let shown = get(&format!("tickets/{sn}")).await;
        (shown["current_status"] == "FINISHED").then_some(())
    })
    .await;
    let mission = until("the card of the mission", async || {
        let shown = get(&format!("dispatches?ticket={sn}")).await;
        let mission = shown["dispatches"][0].clone();
        (mission["is_closed"] == true).then_some(mission)
    })
    .await;
    assert_eq!(mission["outcome"]["outputs"]["mission_result_3"], "seen");
    assert_eq!(mission["epoch"], 1);
}

/// The function `fleet_message` gets two forged messages. The first message imitates an internal message
/// of the desk. The function rejects this message, because it does not have the format that the broker
/// rule writes. The second message has no client id of a robot, like a message over the HTTP API of the
/// broker. The desk ignores the second message.
#[tokio::test]
async fn a_forged_message_at_the_broker_changes_nothing() {
    let desk = TestDesk::open().await;
    let due = json!({ "due": { "stream": "dispatch-1", "deadline": "expire", "at": 0 } });
    let forged = json!({ "id": "x", "due": 0, "body": due.to_string() });
    assert!(
        fleet_message::from_queue(&desk.app, &forged.to_string())
            .await
            .is_err()
    );
    let base64 = base64::engine::general_purpose::STANDARD.encode(forged.to_string());
    let of_rule = json!({ "payload": base64, "topic": "uagv/v2/CloudCompany/r1/state", "client": "n/a", "received": 1 });
    let used = fleet_message::from_queue(&desk.app, &of_rule.to_string()).await;
    assert!(used.is_ok(), "a message of an unknown robot is dropped");
}
