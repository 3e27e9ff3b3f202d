//! This benchmark measures how much the number of tickets increases the response times. It sends the same
//! requests to a large desk and to a small desk, and compares the median response times.
//!
//! Run `cargo bench -p tests --bench scale -- 1000000`. The argument is the number of tickets of the large
//! desk. The argument `filtered` runs only the lists with filters. Set `TMPDIR` to a directory on a real
//! disk.
//!
//! Both desks are complete: they use SQLite on disk, the HTTP router, and the background task that updates
//! the views (stored lists). A test clock advances ten seconds per ticket. The tickets of the large desk
//! therefore cover a longer time. The benchmark sends each request alternately to the two desks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use events::TicketSn;
use functions::app::Settings;
use functions::app::seed;
use functions::host::local::following;
use functions::{App, http};
use infra::clock::{Clock as _, ManualClock};
use infra::crash::Crash;
use infra::local;
use serde_json::{Value, json};
use tests::{MORNING, TRUSTED};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Number of tickets of the small desk.
const SMALL: usize = 10_000;
/// Default number of tickets of the large desk.
const LARGE: usize = 1_000_000;
/// Number of people who submit tickets.
const CREATORS: usize = 100;
/// Number of measured requests of each kind on each desk.
const CALLS: usize = 201;
/// Number of tickets that are created concurrently while the benchmark fills a desk.
const AT_ONCE: usize = 64;
/// Number of remarks on the ticket with many remarks. The benchmark compares this ticket with a ticket without
/// remarks.
const REMARKS: usize = 10_000;

struct Desk {
    app: App,
    router: Router,
    clock: Arc<ManualClock>,
    tickets: usize,
    last: Value,
    /// Ticket numbers (unique texts) of the tickets that wait for an approval. [`Desk::end_most`] approves
    /// nine of ten of these tickets.
    to_end: Vec<Value>,
    _directory: tempfile::TempDir,
}

impl Desk {
    async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (app, clock) = app(directory.path());
        let follower = app.clone();
        tokio::spawn(async move { following(&follower).await });
        seed::found(&app).await.expect("the base");
        seed::demo(&app).await.expect("the demo company");
        app.credentials
            .register(&tests::registered(TRUSTED.0, true), TRUSTED.1)
            .await
            .expect("an application");
        Self {
            router: http::router(app.clone()),
            app,
            clock,
            tickets: 0,
            last: Value::Null,
            to_end: Vec::new(),
            _directory: directory,
        }
    }

    async fn fill(&mut self, tickets: usize) {
        let started = now();
        let mut all = JoinSet::new();
        for number in self.tickets..tickets {
            if all.len() >= AT_ONCE {
                let created: Value = all.join_next().await.expect("one").expect("no panic");
                if tickets <= SMALL {
                    self.to_end.push(created["sn"].clone());
                }
            }
            self.clock.advance(10_000);
            let (router, body) = (self.router.clone(), submission(number));
            all.spawn(async move { call(&router, "create_ticket", body).await });
            if number % 50_000 == 49_999 {
                println!(
                    "  {} tickets after {:.0} s",
                    number + 1,
                    started.elapsed().as_secs_f64()
                );
            }
        }
        while let Some(created) = all.join_next().await {
            self.last = created.expect("no panic")["sn"].clone();
        }
        self.tickets = tickets;
        let head = self.app.ledger.store.head().await.expect("head").position;
        self.app.followed.wait(head).await;
        println!(
            "{tickets} tickets in {:.0} s",
            started.elapsed().as_secs_f64()
        );
    }
}

impl Desk {
    /// Approves nine of ten tickets, so that these tickets end. The other tickets stay open. On a real desk,
    /// most tickets have also ended.
    async fn end_most(&mut self) {
        for (number, sn) in std::mem::take(&mut self.to_end)
            .into_iter()
            .enumerate()
            .filter(|(number, _)| number % 10 > 0)
        {
            self.clock.advance(if number % 2 == 0 { 1_000 } else { 0 });
            call(
                &self.router,
                "approve",
                json!({ "sn": sn, "state_id": 3, "approver": "zhangsan", "action": "true" }),
            )
            .await;
        }
        let head = self.app.ledger.store.head().await.expect("head").position;
        self.app.followed.wait(head).await;
    }
}

fn app(directory: &Path) -> (App, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(MORNING));
    let mut local = local::open(
        directory,
        &Arc::new(Crash::default()),
        &functions::registry::counted(),
    )
    .expect("a directory");
    local.ledger.clock = clock.clone();
    (
        App::new(local, Settings::default(), Arc::default()).expect("a desk"),
        clock,
    )
}

fn submission(number: usize) -> Value {
    let fields = tests::form(&[
        ("title", "压测"),
        ("APPROVER", "zhangsan,wangwu"),
        ("APPROVAL_CONTENT", "x"),
    ]);
    json!({ "fast_approval": true, "creator": format!("user{:02}", number % CREATORS), "fields": fields })
}

async fn call(router: &Router, operation: &str, mut body: Value) -> Value {
    body["bk_app_code"] = TRUSTED.0.into();
    body["bk_app_secret"] = TRUSTED.1.into();
    let request = Request::post(format!("/api/c/compapi/v2/itsm/{operation}/"))
        .header("content-type", "application/json");
    let response = router
        .clone()
        .oneshot(
            request
                .body(Body::from(body.to_string()))
                .expect("a request"),
        )
        .await
        .expect("an answer");
    let envelope: Value = serde_json::from_slice(
        &to_bytes(response.into_body(), 1 << 26)
            .await
            .expect("a body"),
    )
    .expect("JSON");
    assert_eq!(envelope["result"], true, "{operation}: {envelope}");
    envelope["data"].clone()
}

/// Returns the requests for the comparison of response times. Each entry contains a label, the name of the
/// operation, and the request body.
fn calls(desk: &Desk) -> Vec<(&'static str, &'static str, Value)> {
    let (pages, of_one) = (desk.tickets / 10, desk.tickets / CREATORS / 10);
    vec![
        ("create_ticket", "create_ticket", submission(7)),
        ("get_tickets, page 1", "get_tickets", json!({})),
        (
            "get_tickets, the page in the middle",
            "get_tickets",
            json!({ "page": pages / 2 }),
        ),
        (
            "get_tickets, the last page",
            "get_tickets",
            json!({ "page": "last" }),
        ),
        (
            "get_tickets by creator, page 1",
            "get_tickets",
            json!({ "creator": "user42" }),
        ),
        (
            "get_tickets by creator, the page in the middle",
            "get_tickets",
            json!({ "creator": "user42", "page": (of_one / 2).max(1) }),
        ),
        (
            "get_tickets_by_user, my_created",
            "get_tickets_by_user",
            json!({ "user": "user42", "view_type": "my_created" }),
        ),
        (
            "get_tickets_by_user, my_todo of the approver of all",
            "get_tickets_by_user",
            json!({ "user": "zhangsan", "view_type": "my_todo" }),
        ),
        (
            "get_tickets_by_user, my_todo, the page in the middle",
            "get_tickets_by_user",
            json!({ "user": "zhangsan", "view_type": "my_todo", "page": pages / 2 }),
        ),
        (
            "get_ticket_info",
            "get_ticket_info",
            json!({ "sn": desk.last }),
        ),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let large = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(LARGE);
    if std::env::args().any(|argument| argument == "filtered") {
        let mut desk = Desk::open().await;
        desk.fill(SMALL).await;
        desk.end_most().await;
        return filtered(&desk).await;
    }
    let mut desks = [Desk::open().await, Desk::open().await];
    desks[0].fill(SMALL).await;
    desks[1].fill(large).await;
    println!("\n| call | at {SMALL} | at {large} | ratio |\n| --- | ---: | ---: | ---: |");
    let plans = [calls(&desks[0]), calls(&desks[1])];
    for (at, (name, ..)) in plans[0].iter().enumerate() {
        let mut times: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for _ in 0..CALLS {
            for (which, desk) in desks.iter().enumerate() {
                let (_, operation, body) = plans[which][at].clone();
                desk.clock.advance(10_000);
                let started = now();
                call(&desk.router, operation, body).await;
                times
                    .entry(which)
                    .or_default()
                    .push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        let (small, big) = (
            median(times.remove(&0).expect("times")),
            median(times.remove(&1).expect("times")),
        );
        println!(
            "| {name} | {small:.2} ms | {big:.2} ms | {:.2} |",
            big / small
        );
    }
    many_remarks(&desks[0]).await;
    desks[0].end_most().await;
    filtered(&desks[0]).await;
}

/// Compares the response times of lists with a filter and lists without a filter on the small desk. The
/// benchmark alternates between these two kinds of requests.
async fn filtered(desk: &Desk) {
    let all = |more: Value| {
        let mut body = json!({ "page_size": 10 });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        body
    };
    let service =
        call(&desk.router, "get_ticket_info", json!({ "sn": desk.last })).await["service_id"]
            .clone();
    println!(
        "\n| list of {} tickets | without a filter | with it | ratio |\n| --- | ---: | ---: | ---: |",
        desk.tickets
    );
    for (name, operation, plain, filtered_body) in [
        (
            "service of most tickets",
            "get_tickets",
            json!({}),
            json!({ "service_id__in": service.to_string() }),
        ),
        (
            "service of no ticket",
            "get_tickets",
            json!({}),
            json!({ "service_id__in": "999" }),
        ),
        (
            "kind",
            "get_tickets",
            json!({}),
            json!({ "service_type": "request" }),
        ),
        ("tag", "get_tickets", json!({}), json!({ "tag": "none" })),
        (
            "business",
            "get_tickets",
            json!({}),
            json!({ "bk_biz_id__in": "-1" }),
        ),
        (
            "two statuses",
            "get_tickets",
            json!({}),
            json!({ "current_status__in": "RUNNING,FINISHED" }),
        ),
        (
            "service and status",
            "get_tickets",
            json!({}),
            json!({ "service_id__in": service.to_string(), "current_status__in": "FINISHED" }),
        ),
        (
            "time of the end, that of every ended ticket",
            "get_tickets",
            json!({}),
            json!({ "end_at__gte": "2026-01-01 00:00:00" }),
        ),
        (
            "time of the end, that of the newest hundred",
            "get_tickets",
            json!({}),
            json!({ "end_at__gte": tests::local(events::Moment(desk.clock.now().0 - 50_000), "%Y-%m-%d %H:%M:%S") }),
        ),
        (
            "time of the end, that of every ended ticket, page 400",
            "get_tickets",
            json!({ "page": 400 }),
            json!({ "end_at__gte": "2026-01-01 00:00:00" }),
        ),
        (
            "time of the end, that of no ticket",
            "get_tickets",
            json!({}),
            json!({ "end_at__gte": "2030-01-01 00:00:00" }),
        ),
        (
            "my_todo by service",
            "get_tickets_by_user",
            json!({ "user": "zhangsan", "view_type": "my_todo" }),
            json!({ "service_id": service.to_string() }),
        ),
        (
            "my_created by status",
            "get_tickets_by_user",
            json!({ "user": "user42", "view_type": "my_created" }),
            json!({ "current_status__in": "RUNNING" }),
        ),
    ] {
        let filtered_body = {
            let mut body = plain.clone();
            body.as_object_mut()
                .expect("an object")
                .extend(filtered_body.as_object().cloned().unwrap_or_default());
            body
        };
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..CALLS {
            for (which, body) in [&plain, &filtered_body].into_iter().enumerate() {
                let started = now();
                call(&desk.router, operation, all(body.clone())).await;
                times[which].push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        let [plain, filtered_body] = times.map(median);
        println!(
            "| {name} | {plain:.2} ms | {filtered_body:.2} ms | {:.2} |",
            filtered_body / plain
        );
    }
}

/// Compares the response times for two tickets: one ticket has many remarks, and the other ticket has no
/// remarks.
async fn many_remarks(desk: &Desk) {
    let pick = async || call(&desk.router, "create_ticket", submission(3)).await["sn"].clone();
    let (plain, long) = (pick().await, pick().await);
    let by = desk.app.people.find("user03").await.expect("a person");
    let started = now();
    for number in 0..REMARKS {
        let remark = domain::ticket::Command::Remark {
            by: by.clone(),
            text: format!("第 {number} 条评论"),
            parent: None,
            mentions: Vec::new(),
            internal: false,
            files: Vec::new(),
        };
        let sn = TicketSn(long.as_str().expect("sn").to_owned());
        let id = desk.app.ledger.fresh_id();
        functions::app::tickets::execute(
            &desk.app,
            &sn,
            &remark,
            &events::Meta::system("b", "b"),
            id,
            None,
        )
        .await
        .expect("remarked");
    }
    println!(
        "\n{REMARKS} remarks on one ticket in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    println!("\n| call | no remarks | {REMARKS} remarks | ratio |\n| --- | ---: | ---: | ---: |");
    for (name, operation) in [
        ("get_ticket_info", "get_ticket_info"),
        ("get_ticket_status", "get_ticket_status"),
        ("follow and unfollow", "add_follower"),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..CALLS {
            for (which, sn) in [&plain, &long].into_iter().enumerate() {
                let started = now();
                call(&desk.router, operation, json!({ "sn": sn, "users": "user09", "attention": round % 2 == 0, "operator": "user03" })).await;
                times[which].push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        let [plain, long] = times.map(median);
        println!(
            "| {name} | {plain:.2} ms | {long:.2} ms | {:.2} |",
            long / plain
        );
    }
    let logs = now();
    call(&desk.router, "get_ticket_logs", json!({ "sn": long })).await;
    println!(
        "| get_ticket_logs (reads the whole history) | | {:.0} ms | |",
        logs.elapsed().as_secs_f64() * 1e3
    );
    call(
        &desk.router,
        "approve",
        json!({ "sn": long, "state_id": 3, "approver": "wangwu", "action": "true" }),
    )
    .await;
    println!("the ticket with {REMARKS} remarks was approved");
}
