//! These tests send many requests to a desk and kill it with SIGKILL at its crash points (named places in the
//! program). No change that the desk acknowledged may be lost or stored twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use functions::registry::{PROJECTIONS, REGISTRY};
use infra::crash::POINTS;
use serde_json::{Value, json};
use tests::process::{Served, call, client, fast_approval, run};

/// Number of processes that the test starts. Each process is killed when it reaches a crash point (a
/// named place in the program).
const KILLS: usize = 200;
/// Number of concurrent clients.
const CLIENTS: usize = 6;
/// Maximum number of tickets that one client creates in one process.
const TICKETS: usize = 12;
/// Time after which the test kills a process that has not reached its crash point (a named place in the
/// program).
const LIFETIME: Duration = Duration::from_secs(20);

/// Results that the clients have observed. The test keeps these values in its own memory, so a crash of
/// the desk does not destroy them.
#[derive(Default)]
struct Memory {
    /// Numbers of the tickets whose creation the desk acknowledged. The key of the map is the idempotency
    /// key of the create request.
    tickets: BTreeMap<String, String>,
    /// Idempotency keys of all create requests that a client sent, even if no response arrived.
    sent: BTreeSet<String>,
    /// Numbers of the tickets whose end the desk acknowledged.
    ended: BTreeSet<String>,
}

/// Maps each ticket number to the ids of the callbacks that arrived for this ticket.
type Received = Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>;

async fn take(
    State(received): State<Received>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Json<Value> {
    let id = headers
        .get("idempotency-key")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    received
        .lock()
        .unwrap()
        .entry(body["sn"].as_str().unwrap_or_default().to_owned())
        .or_default()
        .insert(id);
    Json(json!({ "code": 0, "result": true }))
}

async fn receive() -> (String, Received) {
    let received = Received::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/", post(take))
        .with_state(received.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, received)
}

/// Runs one client (`number`) against one process of the desk (`process`). The client ends when the
/// process is killed or when the client has created all its tickets. The client uses a separate
/// idempotency key for each ticket, and ends each ticket in one of three ways.
async fn load(
    base: String,
    url: String,
    memory: Arc<Mutex<Memory>>,
    process: usize,
    number: usize,
) {
    let client = client();
    for ticket in 0..TICKETS {
        let key = format!("{process}-{number}-{ticket}");
        memory.lock().unwrap().sent.insert(key.clone());
        let Some(answer) = call(
            &client,
            &base,
            "create_ticket",
            fast_approval(&key, Some(&url)),
            Some(&key),
        )
        .await
        else {
            return;
        };
        let Some(sn) = answer["data"]["sn"].as_str().map(str::to_owned) else {
            panic!("refused: {answer}")
        };
        let before = memory
            .lock()
            .unwrap()
            .tickets
            .insert(key.clone(), sn.clone());
        assert!(before.is_none_or(|before| before == sn));
        if !end(&client, &base, &sn, &key, ticket).await {
            return;
        }
        memory.lock().unwrap().ended.insert(sn);
    }
}

/// Ends a ticket by an approval, a rejection or a withdrawal. The parameter `way` selects one of these
/// three ways. Returns true if the desk acknowledged the end of the ticket.
async fn end(client: &reqwest::Client, base: &str, sn: &str, key: &str, way: usize) -> bool {
    let fields = |value: &str| {
        tests::form(&[
            ("SHENPIYIJIAN", value),
            ("JUJUELIYOU", if value == "false" { "no" } else { "" }),
        ])
    };
    let vote = |value: &str| json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields(value) });
    let (operation, body) = match way % 3 {
        0 => ("operate_node", vote("true")),
        1 => ("operate_node", vote("false")),
        _ => (
            "operate_ticket",
            json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
        ),
    };
    match call(client, base, operation, body, Some(&format!("end-{key}"))).await {
        Some(answer) if answer["result"] == true => true,
        Some(answer) => panic!("{sn} cannot be ended: {answer}"),
        None => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills_lose_and_duplicate_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap().to_owned();
    let (url, received) = receive().await;
    let memory = Arc::new(Mutex::new(Memory::default()));
    let mut at_points: BTreeMap<&str, usize> = BTreeMap::new();
    for process in 0..KILLS {
        let point = POINTS[process % POINTS.len()];
        // The process is killed when it reaches the crash point `point` (a named place in the program) for
        // the n-th time. The start of a process also reaches crash points, so `n` is normally at least 3. The
        // process then completes its start, and is killed while clients send requests. A process sends only a
        // few callbacks, so `n` is at most 3 for the points of a request.
        let nth = if matches!(point, "before-request" | "during-callback") {
            1 + process % 3
        } else {
            3 + (process * 7) % 40
        };
        let mut desk = Served::start(directory.path(), &["--crash-at", &format!("{point}:{nth}")]);
        if desk.is_up() {
            let clients = (0..CLIENTS).map(|number| {
                tokio::spawn(load(
                    desk.base.clone(),
                    url.clone(),
                    memory.clone(),
                    process,
                    number,
                ))
            });
            for client in clients.collect::<Vec<_>>() {
                client.await.expect("no request of a client is rejected");
            }
        }
        let died = tokio::time::timeout(LIFETIME, async {
            while !desk.has_ended() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if died.await.is_ok() {
            *at_points.entry(point).or_default() += 1;
        }
        desk.kill();
    }
    println!("kills at armed points: {at_points:?}");
    assert_eq!(
        at_points.values().sum::<usize>(),
        KILLS,
        "every process ended at its crash point"
    );

    // The test starts the last process without a crash point (a place at which the process is killed).
    // The test sends each create request again with the idempotency key of the first attempt, and then
    // ends the tickets that are still open.
    let desk = Served::start(directory.path(), &[]);
    let client = client();
    let sent: Vec<String> = memory.lock().unwrap().sent.iter().cloned().collect();
    let mut sns = BTreeSet::new();
    for key in &sent {
        let answer = call(
            &client,
            &desk.base,
            "create_ticket",
            fast_approval(key, Some(&url)),
            Some(key),
        )
        .await
        .expect("an answer");
        let sn = answer["data"]["sn"]
            .as_str()
            .expect("the ticket of the key")
            .to_owned();
        let acknowledged = memory.lock().unwrap().tickets.get(key).cloned();
        assert!(
            acknowledged.is_none_or(|acknowledged| acknowledged == sn),
            "{key} had another ticket before"
        );
        assert!(sns.insert(sn.clone()), "two keys have the same ticket");
        let status = call(
            &client,
            &desk.base,
            "get_ticket_status",
            json!({ "sn": sn }),
            None,
        )
        .await
        .expect("an answer")["data"]["current_status"]
            .clone();
        if memory.lock().unwrap().ended.contains(&sn) {
            assert_ne!(status, "RUNNING", "the end of {sn} was acknowledged");
        }
        let way = key.rsplit('-').next().unwrap().parse().unwrap();
        if status == "RUNNING" {
            assert!(end(&client, &desk.base, &sn, key, way).await);
        }
    }
    let listed = call(
        &client,
        &desk.base,
        "get_tickets",
        json!({ "page_size": 1 }),
        None,
    )
    .await
    .expect("a list");
    assert_eq!(
        listed["data"]["count"],
        sns.len(),
        "each key has one ticket, and there are no others"
    );
    let all_received = async {
        while received.lock().unwrap().len() < sns.len() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_mins(2), all_received).await;
    assert!(
        in_time.is_ok(),
        "{} of {} callbacks arrived",
        received.lock().unwrap().len(),
        sns.len()
    );
    for (sn, ids) in received.lock().unwrap().iter() {
        assert!(sns.contains(sn));
        assert_eq!(ids.len(), 1, "{sn} has one callback id: {ids:?}");
    }
    desk.kill();
    let verified = run(&["audit", "verify", "--data", &data]);
    let printed = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(printed.contains("audit verify: ok"), "{printed}");
    // The views are lists that the desk computes from the ledger. The test waits until the views contain
    // all commits. The views must then be equal to views that are computed again from the ledger.
    let desk = Served::start(directory.path(), &[]);
    let caught_up = async {
        while !String::from_utf8_lossy(&run(&["doctor", "--data", &data]).stdout)
            .contains("views: 0 commits behind")
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), caught_up)
        .await
        .expect("the follower reaches the end");
    desk.kill();
    let rebuilt =
        String::from_utf8_lossy(&run(&["audit", "rebuild", "--data", &data]).stdout).into_owned();
    let cards = REGISTRY
        .iter()
        .filter(|aggregate| aggregate.view().is_some());
    let views = cards.count() + PROJECTIONS.len();
    assert!(
        rebuilt.lines().count() == views
            && rebuilt
                .lines()
                .all(|line| line.ends_with("0 differed from the old view")),
        "{rebuilt}"
    );
    // In the exported events, each ticket is opened exactly once, decided at most once and ended exactly
    // once.
    let export =
        String::from_utf8_lossy(&run(&["audit", "export", "--data", &data]).stdout).into_owned();
    let mut kinds_by_ticket: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in export.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let (stream, kind) = (
            event["stream"].as_str().unwrap(),
            event["type"].as_str().unwrap(),
        );
        if let Some(sn) = stream.strip_prefix("ticket-") {
            kinds_by_ticket
                .entry(sn.to_owned())
                .or_default()
                .push(kind.to_owned());
        }
    }
    assert_eq!(
        kinds_by_ticket.keys().cloned().collect::<BTreeSet<_>>(),
        sns
    );
    for (sn, kinds) in &kinds_by_ticket {
        let count = |names: &[&str]| {
            kinds
                .iter()
                .filter(|kind| names.iter().any(|name| kind.contains(name)))
                .count()
        };
        assert_eq!(
            (
                count(&["opened"]),
                count(&["finished", "withdrawn", "terminated"])
            ),
            (1, 1),
            "{sn}: {kinds:?}"
        );
        assert!(count(&["vote_cast"]) <= 1, "{sn}: {kinds:?}");
    }
    println!(
        "{} tickets, {} acknowledged before their crash; {}",
        sns.len(),
        memory.lock().unwrap().tickets.len(),
        printed.lines().next().unwrap_or_default()
    );
}
