//! Measures how many writes a desk sends to a source of cases when the statuses of the tickets change often. The desk waits
//! for 30 s before it writes a status that does not end the ticket, and merges the changes during this time. Each write
//! consists of a read of the record and a change of the record. Both count in the budget of the source (`per_minute`).
//!
//! In the end, one half of the tickets is suspended, and the other half is finished.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use functions::cli::demo::fakes::rest::{self, Records};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tests::process::APP;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{Desk, reached, wait, write};

/// Number of cases, and number of cases in one request.
const CASES: usize = 1_000;
const BATCH: usize = 100;
/// Numbers of status changes of a ticket: one half of the tickets ends with the first number, the other half with the
/// second. An odd number of changes is necessary, so that the last status differs from the first one.
const CHANGES: [usize; 2] = [9, 11];
/// Number of tickets that change together. All of them change once before the next change.
const BURST: usize = 250;
/// Number of changes that the test sends at the same time.
const AT_ONCE: usize = 16;
/// The largest number of requests of the desk in one minute. The last writes of most cases are due at the same time, and
/// need more requests than this.
const PER_MINUTE: usize = 1_200;
/// The period of the budget. The desk counts a request before it sends it, so the times at the source differ a little. The
/// test therefore checks the budget in a slightly shorter period.
const MINUTE: Duration = Duration::from_mins(1);
const CHECKED: Duration = Duration::from_secs(59);
/// The longest time until all statuses are written.
const PATIENCE: Duration = Duration::from_mins(10);
/// The aim for the number of writes.
const WRITES_MAX: usize = 1_300;
/// The bearer token of the source.
const TOKEN: &str = "source-secret";

pub(super) async fn measure() {
    let folder = tempfile::tempdir().expect("a directory");
    let records = Arc::new(Records::new(TOKEN));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(records.clone().serve(listener));
    let arguments = arguments(folder.path(), port);
    let desk = Desk::start_anywhere(&folder.path().join("data"), &arguments);
    let tickets = open(&desk, &records).await;

    let begin = Instant::now();
    for burst in tickets.chunks(BURST) {
        for change in 0..CHANGES[1] {
            let changed = burst.iter().enumerate();
            let changed = changed.filter(|(at, _)| change < changes_of(*at));
            let requests = changed.map(|(at, ticket)| set(&desk, ticket, at, change));
            let mut requests = futures_util::stream::iter(requests).buffer_unordered(AT_ONCE);
            while requests.next().await.is_some() {}
        }
    }
    let took = begin.elapsed();
    wait("all statuses are written", PATIENCE, async || {
        let cases = desk.all("cases?source=crm", "cases", CASES).await;
        let completed = cases.iter().filter(|case| {
            let write = &case["write_back"];
            let is_last = write["status"] == "SUSPENDED" || write["status"] == "FINISHED";
            is_last && !write["outcome"].is_null() && write["next_attempt"].is_null()
        });
        completed.count() == CASES
            && records.count("state", "paused") == CASES / 2
            && records.count("state", "done") == CASES / 2
    })
    .await;

    let changes = CASES / 2 * (CHANGES[0] + CHANGES[1]);
    let writes = records.writes();
    println!(
        "{changes} status changes of {CASES} cases in {:.1} s: {writes} writes (aim: at most {WRITES_MAX}, {}), {} requests, \
         all after {:.1} s",
        took.as_secs_f64(),
        reached(writes <= WRITES_MAX),
        records.requests(),
        begin.elapsed().as_secs_f64(),
    );
    let above = records.requests_max(CHECKED).saturating_sub(PER_MINUTE);
    println!(
        "budget of {PER_MINUTE} requests in a minute: at most {} requests in any minute; {above} above the budget in any {} s \
         (aim: 0, {})",
        records.requests_max(MINUTE),
        CHECKED.as_secs(),
        reached(above == 0),
    );
    serving.abort();
}

/// Returns the command-line arguments of a desk with the source. The files for the arguments are in the folder.
fn arguments(folder: &Path, port: u16) -> Vec<String> {
    let source = format!(
        "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nurl = \"http://127.0.0.1:{port}{}\"\n\
         senders = [\"{}\"]\nmapping = \"crm.toml\"\nper_minute = {PER_MINUTE}\nlanguage = \"en\"\n",
        rest::PATH,
        APP.0
    );
    write(
        folder,
        "crm.toml",
        "record = \"/id\"\nservice = { value = 19 }\nrequester = { value = \"lisi\" }\nstatus = \"/state\"\n[fields]\n\
         title = \"/title\"\nimpact = { value = \"3\" }\nurgency = { value = \"3\" }\nGUZHANGLEIXING = { value = \"DNS\" }\n\
         GUZHANGMIAOSHU = \"/text\"\n[write_back]\nRUNNING = \"open\"\nSUSPENDED = \"paused\"\nFINISHED = \"done\"\n",
    );
    vec![
        "--integrations".to_owned(),
        write(folder, "integrations.toml", &source),
        "--secret".to_owned(),
        format!("integration/crm={}", write(folder, "secret", TOKEN)),
    ]
}

/// Opens a ticket for each record. Returns the numbers of the tickets.
async fn open(desk: &Desk, records: &Records) -> Vec<String> {
    let all: Vec<Value> = (0..CASES)
        .map(|number| {
            let id = format!("C{number}");
            json!({ "id": id, "title": "Disk is full", "text": "/var", "state": "open" })
        })
        .collect();
    let mut tickets = Vec::with_capacity(CASES);
    for batch in all.chunks(BATCH) {
        batch.iter().for_each(|record| records.put(record));
        let body = json!({ "source": "crm", "cases": batch });
        let (status, answer) = desk.send(Method::POST, "cases", "admin", &body, None).await;
        assert_eq!(status, 200, "{answer}");
        let results = answer["results"].as_array().expect("results");
        let opened = results.iter().map(|result| {
            let ticket = result["ticket"].as_str();
            ticket.unwrap_or_else(|| panic!("{result}")).to_owned()
        });
        tickets.extend(opened);
    }
    tickets
}

/// Returns the number of changes of the ticket at this place in its burst.
fn changes_of(at: usize) -> usize {
    CHANGES[at % CHANGES.len()]
}

/// Changes the status of a ticket. The changes alternate between a suspension and its end. The last change of a ticket with
/// the larger number of changes finishes it.
async fn set(desk: &Desk, ticket: &str, at: usize, change: usize) {
    let is_last = change + 1 == changes_of(at);
    let operation = if is_last && changes_of(at) == CHANGES[1] {
        "close"
    } else if change.is_multiple_of(2) {
        "suspend"
    } else {
        "resume"
    };
    let mut body = json!({ "message": "waits for a spare part" });
    if operation == "close" {
        body["status"] = "FINISHED".into();
    }
    let path = format!("tickets/{ticket}/{operation}");
    let (status, answer) = desk.send(Method::POST, &path, "admin", &body, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
}
