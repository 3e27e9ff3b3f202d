//! These tests run two desks on one machine. Desk B sends requests for approval to desk A, in the same way
//! as the log platform of BlueKing sends such requests (requirements/external-itsm.md).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::{APP, free_port, printed, run, text, until};

use crate::desk::{Desk, number_of};

/// Number of applications (requests for approval) in the test that kills desks. The environment variable
/// `LEDGERDESK_APPLICATIONS` can set another number.
const APPLICATIONS: usize = 24;
/// One of this number of tickets is closed as soon as it is open, so its application is withdrawn.
const WITHDRAWN_OF: usize = 6;
/// Number of applications (requests for approval) whose callbacks cannot reach desk B. Only polling finds their
/// decisions.
const WITHOUT_CALLBACK: usize = 4;
/// The seed of the random kills. The environment variable `LEDGERDESK_SEED` can set another seed.
const SEED: u64 = 1;

/// Random numbers that depend only on a seed.
struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    /// Returns a number from 0 to `below` - 1.
    fn below(&mut self, below: u64) -> u64 {
        self.drawn += 1;
        let hash = blake3::hash(&[self.seed.to_be_bytes(), self.drawn.to_be_bytes()].concat());
        let bytes = hash
            .as_bytes()
            .first_chunk::<8>()
            .expect("a hash has 32 bytes");
        u64::from_be_bytes(*bytes) % below
    }
}

/// Starts desk A and desk B. Desk B has a service, and the workflow of this service sends applications
/// (requests for approval) to desk A. Returns both desks and the id of the service.
async fn desks(folder: &Path) -> (Desk, Desk, Value) {
    let a = Desk::start(&[]);
    let integrations = folder.join("integrations.toml");
    let secret = folder.join("secret");
    std::fs::write(
        &integrations,
        format!(
            r#"
            [[integration]]
            name = "desk_a"
            kind = "bk_itsm"
            url = "http://127.0.0.1:{}"
            app = "{}"
            user = "admin"

            [[application_kind]]
            name = "log_collection"
            integration = "desk_a"
            service = 18
            days = 14
            granted = {{ approval_result = "true" }}
            [application_kind.fields]
            title = "${{ticket_title}}"
            bk_biz_id = "2"
            expect_access_data = "2026-12-01"
            single_log_size = "200"
            single_host_peak = "300"
            single_host_log_volume = "20"
            expect_host_size = "10"
            log_keep_days = "7"
            hot_data_days = "3"
            apply_reason = "from ${{ticket_sn}}"
            "#,
            a.port, APP.0
        ),
    )
    .expect("written");
    std::fs::write(&secret, APP.1).expect("written");
    let secret = format!("integration/desk_a={}", secret.display());
    let integrations = integrations.to_str().expect("a path");
    let b = Desk::start(&["--integrations", integrations, "--secret", &secret]);
    let definition = json!({
        "name": "日志采集申请",
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title"] },
            { "id": 3, "name": "申请容量", "kind": "TASK", "processors": { "type": "PERSON", "who": ["admin"] },
              "service_task": { "does": "application", "kind": "log_collection", "fields": [{ "key": "log_keep_days", "value": "14" }] } },
            { "id": 4, "name": "创建采集", "kind": "NORMAL", "processors": { "type": "PERSON", "who": ["admin"] } },
            { "id": 9, "name": "结束", "kind": "END" },
        ],
        "transitions": [
            { "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 },
            { "id": 3, "from": 3, "to": 4, "name": "通过", "condition": condition("granted") },
            { "id": 4, "from": 3, "to": 9, "name": "拒绝" },
            { "id": 5, "from": 4, "to": 9 },
        ],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true }],
    });
    let service = json!({ "name": "日志采集" });
    let service = b.served().publish(definition, service).await;
    (a, b, service)
}

fn condition(result: &str) -> Value {
    let clause = json!({ "key": "application_result_3", "type": "STRING", "condition": "==", "value": result });
    json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [clause] }] })
}

async fn submit(b: &Desk, service: &Value, title: &str) -> String {
    let body = json!({ "service_id": service, "fields": { "title": title } });
    let opened = b.v1("POST", "tickets", "lisi", body).await;
    opened["sn"].as_str().expect("a number").to_owned()
}

/// Returns the tickets of the service with id 18 at desk A that wait for a decision.
async fn waiting(a: &Desk) -> Vec<Value> {
    let (status, answer) = a
        .served()
        .v1(
            "GET",
            "tickets?service=18&status=RUNNING&page_size=200",
            "admin",
            Value::Null,
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    answer["items"].as_array().cloned().unwrap_or_default()
}

async fn decide(a: &Desk, sn: &str, pass: bool) {
    let remark = |key: &str, text: &str| json!({ "key": key, "value": text });
    let answer = a
        .served()
        .bk(
            "operate_node",
            json!({
                "sn": sn, "operator": "admin", "state_id": 3, "action_type": "TRANSITION",
                "fields": [
                    remark("approval_result", if pass { "true" } else { "false" }),
                    remark("can_use_independent_es_cluster", "false"),
                    remark("evaluate_remark", ""), remark("reject_remark", if pass { "" } else { "no capacity" }),
                ],
            }),
        )
        .await;
    if answer["result"] != true {
        // Desk B has withdrawn the ticket in the meantime.
        let shown = a
            .v1("GET", &format!("tickets/{sn}"), "admin", Value::Null)
            .await;
        assert_eq!(shown["current_status"], "REVOKED", "{answer}");
    }
}

/// Reads one node of a ticket on desk B. Returns null if the ticket has no such node.
async fn node(b: &Desk, sn: &str, id: i64) -> Value {
    let shown = b
        .v1("GET", &format!("tickets/{sn}"), "admin", Value::Null)
        .await;
    let nodes = shown["nodes"].as_array().cloned().unwrap_or_default();
    nodes
        .into_iter()
        .find(|node| node["id"] == id || node["node"] == id)
        .unwrap_or(Value::Null)
}

/// Returns the number of results of automatic nodes in the ticket `sn`. Each result is stored in one event of
/// the ticket, and the function counts these events.
async fn results(b: &Desk, sn: &str) -> usize {
    let history = b
        .v1("GET", &format!("tickets/{sn}/events"), "admin", Value::Null)
        .await;
    history["events"].as_array().map_or(0, |events| {
        events
            .iter()
            .filter(|event| event.to_string().contains("node_result_received"))
            .count()
    })
}

#[tokio::test]
async fn an_application_is_decided_by_another_desk() {
    let folder = tempfile::tempdir().expect("a directory");
    let (a, b, service) = desks(folder.path()).await;
    for pass in [true, false] {
        let sn = submit(&b, &service, &format!("采集 {pass}")).await;
        let applied = until("desk A has the ticket", async || {
            let waiting = waiting(&a).await;
            waiting.first().cloned().ok_or(json!(waiting))
        })
        .await;
        let number = applied["sn"].as_str().expect("a number").to_owned();
        let shown = a
            .v1("GET", &format!("tickets/{number}"), "admin", Value::Null)
            .await;
        assert_eq!(shown["creator"], "lisi");
        let fields = shown["fields"].to_string();
        assert!(fields.contains(&format!("from {sn}")), "{fields}");
        decide(&a, &number, pass).await;
        until("the node of desk B ends", async || {
            let node = node(&b, &sn, 3).await;
            if node["status"] == "FINISHED" {
                Ok(())
            } else {
                Err(node)
            }
        })
        .await;
        let consequence = node(&b, &sn, 4).await;
        assert_eq!(consequence.is_null(), !pass, "{consequence}");
        let listed = until("the application is closed", async || {
            let listed = b.v1("GET", "applications", "admin", Value::Null).await;
            let found = listed["applications"].as_array().and_then(|all| {
                all.iter()
                    .find(|one| one["ticket"] == sn.as_str() && one["is_closed"] == true)
            });
            found.cloned().ok_or(listed.clone())
        })
        .await;
        assert_eq!(listed["external"], number.as_str());
        let result = &listed["outcome"]["outputs"]["application_result_3"];
        assert_eq!(result, if pass { "granted" } else { "refused" });
        let id = listed["id"].as_str().expect("an id");
        let history = printed(&[
            "audit",
            "show",
            &format!("application-{id}"),
            "--data",
            b.data(),
        ]);
        for event in [
            "requested",
            "attempt_started",
            "hinted",
            "completed",
            "closed",
        ] {
            assert!(
                history.contains(&format!("application.{event}")),
                "{event}: {history}"
            );
        }
        assert!(
            history.contains("callback"),
            "the callback is the cause: {history}"
        );
        assert!(!history.contains("/callbacks/"), "no secret is stored");
    }
    for desk in [&a, &b] {
        let verified = run(&["audit", "verify", "--data", desk.data()]);
        assert!(verified.status.success(), "{}", text(&verified.stdout));
    }
}

/// Returns all applications (requests for approval) of a desk.
async fn applications(desk: &Desk, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1..=count / 200 + 1 {
        let path = format!("applications?page_size=200&page={page}");
        let listed = desk.v1("GET", &path, "admin", Value::Null).await;
        let listed = listed["applications"].as_array().cloned();
        all.extend(listed.unwrap_or_default());
    }
    all
}

/// The test kills desk A or desk B several times while applications (requests for approval) are open. In
/// the end, both desks must have stored the same decisions.
#[tokio::test]
async fn two_desks_agree_after_kills() {
    let count = number_of("LEDGERDESK_APPLICATIONS", APPLICATIONS as u64);
    let count = usize::try_from(count).expect("a number of applications");
    let mut random = Random {
        seed: number_of("LEDGERDESK_SEED", SEED),
        drawn: 0,
    };
    let folder = tempfile::tempdir().expect("a directory");
    let (mut a, mut b, service) = desks(folder.path()).await;
    let (mut tickets, mut withdrawn) = (Vec::new(), BTreeSet::new());
    let mut kills = 0;
    for number in 0..count {
        if number + WITHOUT_CALLBACK == count {
            // The callback URLs of desk B now have a port without a server.
            let unreachable = format!("http://127.0.0.1:{}", free_port());
            b.more.extend(["--site".to_owned(), unreachable]);
            b.restart();
        }
        let ticket = submit(&b, &service, &format!("采集 {number}")).await;
        let is_last = number + WITHOUT_CALLBACK >= count;
        if number % WITHDRAWN_OF == WITHDRAWN_OF - 1 && !is_last {
            // The desk may be killed before, during or after the withdrawal at the other desk.
            let path = format!("tickets/{ticket}/close");
            let body = json!({ "status": "TERMINATED", "message": "not needed" });
            b.v1("POST", &path, "admin", body).await;
            withdrawn.insert(ticket);
        } else {
            tickets.push(ticket);
        }
        // On average, the test kills a desk after one of four applications, at a random time. The kill can
        // therefore interrupt a desk that creates an application (a request for approval), decides an
        // application, or reports a decision.
        if random.below(4) == 0 {
            kills += 1;
            tokio::time::sleep(Duration::from_millis(random.below(120))).await;
            if random.below(2) == 0 {
                b.restart();
            } else {
                a.restart();
            }
        }
        for applied in waiting(&a).await {
            let sn = applied["sn"].as_str().expect("a number");
            decide(&a, sn, sn.ends_with(['1', '3', '5', '7', '9'])).await;
        }
    }
    until("every application is decided", async || {
        for applied in waiting(&a).await {
            let sn = applied["sn"].as_str().expect("a number");
            decide(&a, sn, sn.ends_with(['1', '3', '5', '7', '9'])).await;
        }
        // The order of these requests is important. A desk creates an application only after its ticket, so a new
        // application can appear between the two requests. If all applications exist before the open ones are read,
        // no new application can appear.
        let all = b.v1("GET", "applications", "admin", Value::Null).await;
        let open = b
            .v1("GET", "applications?state=open", "admin", Value::Null)
            .await;
        if all["count"] == count && open["count"] == 0 {
            Ok(())
        } else {
            Err(open)
        }
    })
    .await;
    let (mut granted, mut refused, mut by_callback, mut by_poll) = (0, 0, 0, 0);
    for sn in &tickets {
        // A reaction (a function that runs after an event) stores the result in the ticket. The reaction can
        // run after the application (the request for approval) was removed from the list of open
        // applications.
        let results = until("the ticket has its result", async || {
            match results(&b, sn).await {
                0 => {
                    let shown = b
                        .v1("GET", &format!("tickets/{sn}"), "admin", Value::Null)
                        .await;
                    let all = applications(&b, count).await;
                    let own = all.into_iter().find(|one| one["ticket"] == sn.as_str());
                    Err(json!({ "ticket": shown, "application": own }))
                }
                found => Ok(found),
            }
        })
        .await;
        assert_eq!(results, 1, "{sn} has one result");
        if node(&b, sn, 4).await.is_null() {
            refused += 1;
        } else {
            granted += 1;
        }
    }
    let (mut created, mut outcomes) = (0, BTreeMap::<String, usize>::new());
    for one in applications(&b, count).await {
        let external = one["external"].as_str().expect("a number");
        created += u64::from(!external.is_empty());
        let status = one["status"].as_str().expect("a word");
        *outcomes.entry(status.to_owned()).or_default() += 1;
        if withdrawn.contains(one["ticket"].as_str().expect("a ticket")) {
            // The other desk knows the withdrawal, or it decided before, or its ticket was never created.
            let expected: &[&str] = match status {
                "withdrawn" if external.is_empty() => continue,
                "withdrawn" => &["REVOKED"],
                "granted" | "refused" => &["FINISHED"],
                other => panic!("{other}: {one}"),
            };
            let path = format!("tickets/{external}");
            let shown = a.v1("GET", &path, "admin", Value::Null).await;
            let status = shown["current_status"].as_str().expect("a word");
            assert!(expected.contains(&status), "{status}: {one}");
            continue;
        }
        let stream = format!("application-{}", one["id"].as_str().expect("an id"));
        let history = printed(&["audit", "show", &stream, "--data", b.data()]);
        by_callback += usize::from(history.contains("\"cause\":\"callback\""));
        by_poll += usize::from(history.contains("\"cause\":\"poll\""));
        let shown = a
            .v1("GET", &format!("tickets/{external}"), "admin", Value::Null)
            .await;
        let is_granted = one["outcome"]["outputs"]["application_result_3"] == "granted";
        let approved = external.ends_with(['1', '3', '5', '7', '9']);
        assert_eq!(
            (&shown["current_status"], is_granted),
            (&json!("FINISHED"), approved),
            "{one}"
        );
    }
    // The list of all tickets does not contain withdrawn ones.
    let mut at_a = 0;
    for query in ["service=18", "service=18&status=REVOKED"] {
        let path = format!("tickets?{query}");
        let listed = a.v1("GET", &path, "admin", Value::Null).await;
        at_a += listed["count"].as_u64().expect("a count");
    }
    assert_eq!(at_a, created, "one ticket at desk A per application");
    println!(
        "{count} applications, {kills} kills: {outcomes:?}; of {} that were not withdrawn: {granted} granted, {refused} refused, {by_callback} found by a callback, {by_poll} by polling",
        tickets.len()
    );
    assert!(kills > 0, "the seed kills no desk");
    assert!(outcomes.contains_key("withdrawn"), "{outcomes:?}");
    assert_eq!(
        by_callback + by_poll,
        tickets.len(),
        "each decision has one cause"
    );
    assert!(by_poll >= WITHOUT_CALLBACK, "{by_poll} found by polling");
    for desk in [&a, &b] {
        let verified = run(&["audit", "verify", "--data", desk.data()]);
        assert!(verified.status.success(), "{}", text(&verified.stdout));
    }
}
