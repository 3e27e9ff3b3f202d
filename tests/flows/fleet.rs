//! These tests check missions (jobs of robots for tickets). The desk offers an order to a robot, and the
//! robot accepts the order. When the robot waits at the station, the desk releases the work: it allows the
//! robot to begin. At the end, the robot reports the result. The tests also check faults of robots and
//! brokers (reference/fleet.md, section 2).

use std::sync::Arc;

use domain::fleet::dispatch::{LEASE_MS, SUSPECT_MS, SUSPECT_UNRELEASED_MS};
use functions::app::fleet::definitions::Definitions;
use functions::app::fleet::messages::{self, Unused};
use functions::app::itsm::integrations::Definitions as Integrations;
use functions::mqtt::fleet_message;
use infra::fleet::Message;
use infra::fleet::memory::Memory;
use serde_json::{Value, json};

use crate::TestDesk;

const FLEET: &str = r#"
    [[site]]
    name = "hall"
    map = "hall_map"
    stations = { S1 = { x = 6.0, y = 0.0 } }

    [[task_type]]
    name = "patrol"
    action = "noop"
    work_s = 300

    [[task_type]]
    name = "inspect"
    action = "noop"
    repetition = "at_least_once"
    work_s = 300

    [[robot]]
    name = "agv_1"
    site = "hall"
    skills = ["patrol", "inspect"]
    manufacturer = "RobotCompany"
    serial = "001"
    version = "2.0.0"
    instant_actions = "instantActions"

    [[robot]]
    name = "agv_2"
    site = "hall"
    skills = ["patrol", "inspect"]
    manufacturer = "RobotCompany"
    serial = "002"
    version = "2.1.0"
"#;

struct Fleet {
    desk: TestDesk,
    broker: Arc<Memory>,
    service: Value,
    headers: std::cell::Cell<u32>,
}

impl Fleet {
    async fn open(task_type: &str) -> Self {
        let mut desk = TestDesk::open().await;
        let broker = Arc::new(Memory::default());
        desk.app.fleet = broker.clone();
        let definitions = Definitions::read(FLEET).unwrap();
        definitions.store(&desk.app).await.unwrap();
        let definition = json!({
            "name": "巡检",
            "nodes": [
                { "id": 1, "name": "开始", "kind": "START" },
                { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title", "station"] },
                { "id": 3, "name": "机器人巡检", "kind": "TASK", "processors": { "type": "PERSON", "who": ["admin"] },
                  "service_task": { "does": "mission", "task_type": task_type, "site": "hall", "station": "${station}",
                                    "parameters": [{ "key": "ticket", "value": "${ticket_sn}" }] } },
                { "id": 9, "name": "结束", "kind": "END" },
            ],
            "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
            "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true },
                       { "id": 2, "key": "station", "type": "STRING", "name": "站点", "is_required": true }],
        });
        let service = desk.publish(definition, json!({})).await;
        desk.followed().await;
        let fleet = Self {
            desk,
            broker,
            service,
            headers: std::cell::Cell::new(0),
        };
        fleet.idle("001", 0.0).await;
        fleet.idle("002", 20.0).await;
        fleet
    }

    async fn submit(&self) -> Value {
        let body =
            json!({ "service_id": self.service, "fields": { "title": "巡检", "station": "S1" } });
        let (status, opened) = self.desk.v1("POST", "tickets", "lisi", body).await;
        assert_eq!(status, 201, "{opened}");
        self.desk.settle().await;
        opened["sn"].clone()
    }

    async fn after(&self, ms: i64) {
        self.desk.clock.advance(ms);
        self.desk.settle().await;
    }

    fn message(&self, serial: &str, kind: &str, mut body: Value) -> Message {
        self.headers.set(self.headers.get() + 1);
        body["headerId"] = self.headers.get().into();
        body["timestamp"] = self.desk.now().into();
        body["manufacturer"] = "RobotCompany".into();
        body["serialNumber"] = serial.into();
        Message {
            topic: format!("uagv/v2/RobotCompany/{serial}/{kind}"),
            payload: body.to_string().into_bytes(),
            received: self.desk.app.ledger.clock.now(),
            client: None,
        }
    }

    /// Processes a state message of the robot with the serial number `serial` at the position `x`. By
    /// default, the state contains no order. The values in `members` replace members of this default
    /// state.
    async fn state(&self, serial: &str, x: f64, members: Value) {
        let mut body = json!({
            "orderId": "", "orderUpdateId": 0, "lastNodeId": format!("n{serial}"), "lastNodeSequenceId": 0,
            "nodeStates": [], "edgeStates": [], "actionStates": [], "errors": [], "driving": false,
            "operatingMode": "AUTOMATIC", "batteryState": { "batteryCharge": 80.0, "charging": false },
            "agvPosition": { "x": x, "y": 0.0, "mapId": "hall_map", "positionInitialized": true },
            "safetyState": { "eStop": "NONE", "fieldViolation": false },
        });
        for (member, value) in members.as_object().expect("an object") {
            body[member] = value.clone();
        }
        let message = self.message(serial, "state", body);
        let used = messages::process(&self.desk.app, &message).await.unwrap();
        assert_eq!(used, Ok(()));
        self.desk.settle().await;
    }

    async fn idle(&self, serial: &str, x: f64) {
        self.state(serial, x, json!({})).await;
    }

    async fn traveling(&self, serial: &str, order: &str) {
        let members = json!({ "orderId": order, "driving": true,
            "nodeStates": [{ "nodeId": "S1-gate", "sequenceId": 2, "released": true }, { "nodeId": "S1", "sequenceId": 4, "released": false }] });
        self.state(serial, 3.0, members).await;
    }

    async fn at_gate(&self, serial: &str, order: &str) {
        let members = json!({ "orderId": order, "lastNodeId": "S1-gate", "lastNodeSequenceId": 2,
            "nodeStates": [{ "nodeId": "S1", "sequenceId": 4, "released": false }] });
        self.state(serial, 6.0, members).await;
    }

    async fn work(&self, serial: &str, order: &str, status: &str) {
        let members = json!({ "orderId": order, "orderUpdateId": 1, "lastNodeId": "S1", "lastNodeSequenceId": 4,
            "actionStates": [{ "actionId": format!("{order}-work"), "actionStatus": status, "resultDescription": "3 photos" }] });
        self.state(serial, 6.0, members).await;
    }

    async fn lose(&self, serial: &str) {
        let body = json!({ "connectionState": "CONNECTIONBROKEN" });
        let message = self.message(serial, "connection", body);
        let used = messages::process(&self.desk.app, &message).await.unwrap();
        assert_eq!(used, Ok(()));
        self.desk.settle().await;
    }

    /// Returns the messages that the desk sent to robots since the last call. Each text contains the
    /// serial number of the robot. For an order, `update` and the update number follow. For an instant
    /// action, the action type follows.
    fn sent(&self) -> Vec<String> {
        let sent = self.broker.take().into_iter();
        sent.map(|(topic, payload)| {
            let body: Value = serde_json::from_slice(&payload).unwrap();
            let parts: Vec<&str> = topic.split('/').collect();
            let member = if parts[3] == "001" {
                "instantActions"
            } else {
                "actions"
            };
            let detail = if parts[4] == "order" {
                format!("update {}", body["orderUpdateId"])
            } else {
                body[member][0]["actionType"].as_str().unwrap().to_owned()
            };
            format!("{} {detail}", parts[3])
        })
        .collect()
    }

    async fn get(&self, path: &str) -> Value {
        let (status, shown) = self.desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{shown}");
        shown
    }

    async fn mission(&self) -> Value {
        let listed = self.get("dispatches").await["dispatches"][0].clone();
        let path = format!("dispatches/{}", listed["id"].as_str().expect("an id"));
        assert_eq!(self.get(&path).await, listed);
        listed
    }

    async fn order(&self) -> String {
        self.mission().await["order"]
            .as_str()
            .expect("an order")
            .to_owned()
    }

    async fn reservation(&self, robot: &str) -> String {
        let shown = self.get(&format!("robots/{robot}")).await;
        shown["reservation"].as_str().unwrap().to_owned()
    }

    async fn node(&self, sn: &Value) -> String {
        let shown = self.get(&format!("tickets/{}", sn.as_str().unwrap())).await;
        let nodes = shown["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["node"] == 3).unwrap();
        node["status"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_case_becomes_a_mission_and_the_robot_completes_its_ticket() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    let source = "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"bk_log_search\"]\nmapping = \"m\"";
    let mapping = format!(
        "record = \"/id\"\nservice = {{ value = {} }}\nrequester = {{ value = \"lisi\" }}\n[fields]\ntitle = \"/title\"\nstation = \"/place\"",
        fleet.service
    );
    let integrations = Integrations::read(source, &|_| Ok(mapping.clone())).unwrap();
    integrations.store(&fleet.desk.app).await.unwrap();
    let body = json!({ "source": "crm", "cases": [{ "id": 7, "title": "Patrol", "place": "S1" }] });
    let (_, answer) = fleet.desk.v1("POST", "cases", "admin", body).await;
    let sn = answer["results"][0]["ticket"].clone();
    fleet.desk.settle().await;
    assert_eq!(
        fleet.sent(),
        ["001 update 0"],
        "the nearest robot gets the order"
    );
    let mission = fleet.mission().await;
    assert_eq!(
        (&mission["ticket"], &mission["phase"]),
        (&sn, &json!("offered"))
    );
    assert_eq!(mission["reasons"]["agv_2"], "able, 14.0 m away");
    let order = fleet.order().await;
    fleet.traveling("001", &order).await;
    assert_eq!(fleet.reservation("agv_1").await, "held");
    fleet.after(5_000).await;
    fleet.at_gate("001", &order).await;
    assert_eq!(fleet.sent(), ["001 update 1"], "the work is released once");
    fleet.work("001", &order, "RUNNING").await;
    assert_eq!(fleet.node(&sn).await, "RUNNING");
    fleet.work("001", &order, "FINISHED").await;
    assert_eq!(fleet.node(&sn).await, "FINISHED");
    let mission = fleet.mission().await;
    let outputs = &mission["outcome"]["outputs"];
    assert_eq!(outputs["mission_result_3"], "3 photos");
    assert_eq!(outputs["mission_robot_3"], "agv_1");
    assert_eq!(mission["is_closed"], true);
    assert_eq!(fleet.reservation("agv_1").await, "free");
    assert!(fleet.sent().is_empty());
    assert_eq!(fleet.get("dispatches?robot=agv_1").await["count"], 1);
    assert_eq!(fleet.get("dispatches?state=open").await["count"], 0);
}

#[tokio::test]
async fn a_silent_robot_is_replaced_within_two_seconds() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.submit().await;
    assert_eq!(fleet.sent(), ["001 update 0"]);
    fleet.after(500).await;
    assert_eq!(fleet.sent(), ["001 update 0", "001 stateRequest"]);
    fleet.after(500).await;
    assert_eq!(fleet.sent(), ["001 update 0", "001 stateRequest"]);
    fleet.after(1_000).await;
    assert_eq!(fleet.sent(), ["001 cancelOrder", "002 update 0"]);
    let mission = fleet.mission().await;
    assert_eq!(
        (&mission["robot"], &mission["epoch"]),
        (&json!("agv_2"), &json!(2))
    );
    assert_eq!(fleet.reservation("agv_1").await, "releasing");
    // The first robot sends no state for 30 seconds, so it is quarantined (it gets no mission). A later
    // state without an order makes the robot free again.
    fleet.after(30_000).await;
    assert_eq!(fleet.reservation("agv_1").await, "quarantined");
    fleet.idle("001", 0.0).await;
    assert_eq!(fleet.reservation("agv_1").await, "free");
}

#[tokio::test]
async fn a_rejected_order_goes_to_another_robot() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.submit().await;
    let order = fleet.order().await;
    fleet.sent();
    let error = |reference: &str| {
        json!({ "errors": [{ "errorType": "orderError", "errorLevel": "WARNING",
            "errorReferences": [{ "referenceKey": "orderId", "referenceValue": reference }] }] })
    };
    fleet.state("001", 0.0, error("another-order")).await;
    assert!(
        fleet.sent().is_empty(),
        "an error of another order changes nothing"
    );
    fleet.state("001", 0.0, error(&order)).await;
    assert_eq!(fleet.sent(), ["001 cancelOrder", "002 update 0"]);
}

#[tokio::test]
async fn a_robot_that_is_cut_off_cannot_begin_the_work() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.submit().await;
    let order = fleet.order().await;
    fleet.traveling("001", &order).await;
    fleet.sent();
    fleet.lose("001").await;
    fleet.after(SUSPECT_UNRELEASED_MS).await;
    assert_eq!(fleet.sent(), ["001 cancelOrder", "002 update 0"]);
    // Robot 001 lost its connection, drove to the station with the old order, and waits for the release of
    // the work (the permission to begin). The mission now belongs to robot 002, so the desk must send no
    // release to robot 001.
    fleet.at_gate("001", &order).await;
    fleet.at_gate("001", &order).await;
    let sent = fleet.sent();
    assert!(
        !sent.is_empty() && sent.iter().all(|message| message == "001 cancelOrder"),
        "{sent:?}"
    );
    let second = fleet.order().await;
    fleet.traveling("002", &second).await;
    fleet.at_gate("002", &second).await;
    assert!(fleet.sent().contains(&"002 update 1".to_owned()));
}

#[tokio::test]
async fn released_work_of_a_lost_robot_goes_to_a_person() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    let sn = fleet.submit().await;
    let order = fleet.order().await;
    fleet.at_gate("001", &order).await;
    fleet.work("001", &order, "RUNNING").await;
    fleet.lose("001").await;
    fleet.sent();
    fleet.after(SUSPECT_MS).await;
    assert_eq!(fleet.node(&sn).await, "FAILED");
    let reason = fleet.mission().await["outcome"]["reason"].clone();
    assert!(
        reason.as_str().unwrap().contains("a person must check"),
        "{reason}"
    );
    assert!(
        !fleet
            .sent()
            .iter()
            .any(|message| message.starts_with("002"))
    );
    // A person repeats the failed node. The desk must then give a new mission for the same work to robot 002.
    let path = format!("tickets/{}/retry", sn.as_str().unwrap());
    let body = json!({ "node": 3 });
    let (status, answer) = fleet.desk.v1("POST", &path, "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    fleet.idle("002", 20.0).await;
    fleet.desk.settle().await;
    assert_eq!(fleet.sent(), ["002 update 0"]);
}

#[tokio::test]
async fn a_lost_release_is_sent_again() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.submit().await;
    let order = fleet.order().await;
    fleet.at_gate("001", &order).await;
    fleet.sent();
    fleet.at_gate("001", &order).await;
    assert_eq!(fleet.sent(), ["001 update 1"]);
    fleet.work("001", &order, "RUNNING").await;
    assert!(fleet.sent().is_empty());
}

#[tokio::test]
async fn the_lease_follows_the_states_of_the_robot() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.submit().await;
    let order = fleet.order().await;
    fleet.traveling("001", &order).await;
    fleet.after(LEASE_MS - 20_000).await;
    fleet.traveling("001", &order).await;
    fleet.after(20_000).await;
    assert_eq!(fleet.mission().await["phase"], "accepted");
    fleet.after(LEASE_MS).await;
    assert_eq!(fleet.mission().await["phase"], "suspect");
    fleet.traveling("001", &order).await;
    assert_eq!(fleet.mission().await["phase"], "accepted");
}

#[tokio::test]
async fn work_that_may_be_repeated_is_released_at_once_and_repeated() {
    let fleet = Box::pin(Fleet::open("inspect")).await;
    fleet.submit().await;
    let order = fleet.order().await;
    let driving = json!({ "orderId": order, "driving": true,
        "nodeStates": [{ "nodeId": "S1", "sequenceId": 2, "released": true }] });
    fleet.state("001", 3.0, driving).await;
    fleet.sent();
    fleet.lose("001").await;
    fleet.after(SUSPECT_MS).await;
    fleet.idle("002", 20.0).await;
    fleet.after(10_000).await;
    assert_eq!(fleet.mission().await["robot"], "agv_2");
    // The first robot completes the work although another robot has the mission. The desk must record
    // this late result and must not end the mission.
    let actions = json!([{ "actionId": format!("{order}-work"), "actionStatus": "FINISHED" }]);
    let members = json!({ "orderId": order, "lastNodeSequenceId": 2, "actionStates": actions });
    fleet.state("001", 6.0, members).await;
    let mission = fleet.mission().await;
    assert_eq!(mission["outdated_results"], json!([1]));
    assert_eq!(mission["outcome"], Value::Null);
}

#[tokio::test]
async fn a_ticket_that_ends_stops_its_robot_at_the_gate() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    let sn = fleet.submit().await;
    let order = fleet.order().await;
    fleet.traveling("001", &order).await;
    let path = format!("tickets/{}/terminate", sn.as_str().unwrap());
    let body = json!({ "message": "no longer needed" });
    let (status, answer) = fleet.desk.v1("POST", &path, "admin", body).await;
    assert_eq!(status, 200, "{answer}");
    fleet.sent();
    fleet.at_gate("001", &order).await;
    assert_eq!(fleet.sent(), ["001 cancelOrder"]);
    fleet.idle("001", 6.0).await;
    fleet.after(30_000).await;
    let mission = fleet.mission().await;
    assert_eq!(
        (&mission["phase"], &mission["is_closed"]),
        (&json!("done"), &json!(true))
    );
    fleet.idle("001", 6.0).await;
    assert_eq!(fleet.reservation("agv_1").await, "free");
}

#[tokio::test]
async fn a_mission_without_a_robot_goes_to_a_person() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.lose("001").await;
    fleet.lose("002").await;
    let sn = fleet.submit().await;
    let mission = fleet.mission().await;
    assert_eq!(mission["reasons"]["agv_1"], "not connected");
    assert!(fleet.sent().is_empty());
    fleet.after(600_000).await;
    assert_eq!(fleet.node(&sn).await, "FAILED");
    let outcome = fleet.mission().await["outcome"].clone();
    assert_eq!(outcome["reason"], "no robot began the work in time");
}

#[tokio::test]
async fn an_unknown_station_goes_to_a_person_at_once() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    let body =
        json!({ "service_id": fleet.service, "fields": { "title": "巡检", "station": "S9" } });
    let (_, opened) = fleet.desk.v1("POST", "tickets", "lisi", body).await;
    fleet.desk.settle().await;
    assert_eq!(fleet.node(&opened["sn"]).await, "FAILED");
    let reason = fleet.mission().await["outcome"]["reason"].clone();
    assert_eq!(reason, "site hall has no station \"S9\"");
}

#[tokio::test]
async fn a_message_under_another_identity_changes_nothing() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.submit().await;
    let order = fleet.order().await;
    let app = &fleet.desk.app;
    let gate = json!({ "orderId": order, "lastNodeSequenceId": 2, "operatingMode": "AUTOMATIC" });
    let valid = || fleet.message("001", "state", gate.clone());
    let head = fleet.desk.head().await;
    let large = vec![b' '; 300 << 10];
    for (message, expected) in [
        (
            Message {
                topic: "uagv/v2/RobotCompany/002/state".into(),
                ..valid()
            },
            Unused::Identity,
        ),
        (
            Message {
                client: Some("002".into()),
                ..valid()
            },
            Unused::Identity,
        ),
        (
            Message {
                topic: "uagv/v2/RobotCompany/009/state".into(),
                ..valid()
            },
            Unused::UnknownRobot,
        ),
        (
            Message {
                topic: "uagv/v1/RobotCompany/001/state".into(),
                ..valid()
            },
            Unused::Version,
        ),
        (
            Message {
                topic: "uagv/v2/RobotCompany/001/order".into(),
                ..valid()
            },
            Unused::Topic,
        ),
        (
            Message {
                payload: large,
                ..valid()
            },
            Unused::TooLarge,
        ),
    ] {
        let used = messages::process(app, &message).await.unwrap();
        assert_eq!(used, Err(expected), "{}", message.topic);
    }
    for broken in ["{", "[]", "\"text\"", ""] {
        let message = Message {
            payload: broken.into(),
            ..valid()
        };
        let used = messages::process(app, &message).await.unwrap();
        assert!(
            matches!(used, Err(Unused::Unreadable(_))),
            "{broken}: {used:?}"
        );
    }
    assert_eq!(fleet.desk.head().await, head);
    assert_eq!(fleet.mission().await["phase"], "offered");
}

#[tokio::test]
async fn a_message_that_imitates_work_of_the_desk_has_no_effect() {
    use base64::Engine as _;
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.submit().await;
    let order = fleet.order().await;
    let app = &fleet.desk.app;
    let head = fleet.desk.head().await;
    let due = json!({ "due": { "stream": format!("dispatch-{}", &order[..32]), "deadline": "expire", "at": 0 } });
    // In the cloud, a rule of the MQTT broker writes each message of a robot to a queue. The message
    // `forged` imitates an internal message of the desk. The function `from_queue` must reject `forged`,
    // because this message does not have the format that the rule writes.
    let forged =
        json!({ "id": "x", "due": 0, "body": due.to_string(), "topic": "a", "received": 1 });
    for body in [
        forged.to_string(),
        due.to_string(),
        "{".into(),
        "null".into(),
    ] {
        let failed = fleet_message::from_queue(app, &body).await;
        assert!(failed.is_err(), "{body}");
    }
    let base64 = base64::engine::general_purpose::STANDARD.encode(forged.to_string());
    let queued = |client: &str| json!({ "payload": base64, "topic": "uagv/v2/RobotCompany/001/state", "client": client, "received": 1 });
    fleet_message::from_queue(app, &queued("001").to_string())
        .await
        .unwrap();
    fleet.desk.settle().await;
    assert_eq!(fleet.desk.head().await, head);
    assert_eq!(fleet.mission().await["phase"], "offered");
}

#[tokio::test]
async fn repeated_and_old_states_add_no_commit() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    fleet.submit().await;
    let order = fleet.order().await;
    let body = |sequence: i64| {
        json!({ "orderId": order, "driving": sequence == 0, "lastNodeSequenceId": sequence, "operatingMode": "AUTOMATIC",
                "nodeStates": [{ "sequenceId": 4, "released": false }] })
    };
    let (first, second) = (
        fleet.message("001", "state", body(0)),
        fleet.message("001", "state", body(2)),
    );
    let app = &fleet.desk.app;
    messages::process(app, &first).await.unwrap().unwrap();
    messages::process(app, &second).await.unwrap().unwrap();
    fleet.desk.settle().await;
    let head = fleet.desk.head().await;
    for message in [&first, &second, &second, &first] {
        let _ = messages::process(app, message).await.unwrap();
        fleet.desk.settle().await;
    }
    assert_eq!(fleet.desk.head().await, head);
}

#[tokio::test]
async fn a_loss_of_the_views_sends_no_order() {
    let fleet = Box::pin(Fleet::open("patrol")).await;
    for _ in 0..2 {
        fleet.submit().await;
    }
    let order = fleet.order().await;
    let serial = if fleet.mission().await["robot"] == "agv_1" {
        "001"
    } else {
        "002"
    };
    fleet.at_gate(serial, &order).await;
    fleet.work(serial, &order, "FINISHED").await;
    fleet.sent();
    let head = fleet.desk.head().await;
    let Fleet { desk, broker, .. } = fleet;
    let mut desk = desk.restart_without_views().await;
    desk.app.fleet = broker.clone();
    desk.settle().await;
    assert!(broker.take().is_empty());
    assert_eq!(desk.head().await, head);
}
