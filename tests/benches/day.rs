//! This load test measures parts of a working day of a desk (`docs/performance.md`). The command is
//! `cargo bench -p tests --bench day`.
//!
//! Votes and mails: 20 votes per second complete a node. After each vote, the desk sends a mail to the next approver.
//! The test measures the time from the request with the vote until the mail relay has received the whole mail. The mail
//! relay is a part of this test program.
//!
//! Tickets and unlocks: for each ticket, the desk unlocks an account. The test measures the time from the request with
//! the ticket until the desk connects to the directory (an OpenLDAP server).
//!
//! Scripts: the desk starts a shell script in its sandbox. For comparison, the test starts the same script under the
//! program bubblewrap alone. The two kinds of starts alternate. The test measures the time from the start to the first
//! output line of the script.
//!
//! Robots: see the module `fleet`.
//!
//! The command-line arguments select parts of the test: `votes`, `unlocks`, `scripts`, `orders`, `states`. Without
//! arguments, all parts run.

#[path = "day/fleet.rs"]
mod fleet;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use events::Moment;
use functions::cli::demo::fakes::smtp::Relay;
use infra::clock::{Clock as _, SystemClock};
use infra::sandbox::bubblewrap::Bubblewrap;
use infra::sandbox::contract::{end_of, job};
use serde_json::{Value, json};
use tests::directory::Directory;
use tests::foreign::installed;
use tests::process::{Served, program};
use tests::{account_workflow, approval_request};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Number of account unlocks that the test measures.
const UNLOCKS: usize = 100;
/// Number of scripts that the test starts in the sandbox of the desk. The test starts the same number of scripts under
/// bubblewrap alone.
const SCRIPTS: usize = 50;
/// Number of votes that the test measures.
const VOTES: usize = 200;
/// Time between two votes. This time leads to 20 votes per second.
const PAUSE: Duration = Duration::from_millis(50);
/// Maximum time that the test waits for a condition, such as the arrival of all mails.
const PATIENCE: Duration = Duration::from_mins(1);

async fn relay() -> (u16, Arc<Relay>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let relay = Arc::new(Relay::new(Arc::new(SystemClock)));
    tokio::spawn(relay.clone().serve(listener));
    (port, relay)
}

/// Starts a desk with only one channel account (configured sender of messages), which is the mail relay. The user admin
/// has an e-mail address.
async fn desk(folder: &Path, port: u16) -> Served {
    let accounts = folder.join("accounts.toml");
    let text = format!(
        "[[account]]\nname = \"mail\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"desk@example.com\"\n\n[policy]\naccounts = [\"mail\"]\n"
    );
    std::fs::write(&accounts, text).expect("written");
    let path = accounts.to_str().expect("a path");
    let desk = Served::start(&folder.join("data"), &["--accounts", path]);
    let preferences =
        json!({ "aggregation": false, "addresses": { "email": "admin@example.com" } });
    let (status, answer) = desk
        .v1("PUT", "people/admin/preferences", "admin", preferences)
        .await;
    assert_eq!(status, 200, "{answer}");
    desk
}

/// Opens a ticket that waits for the vote of zhangsan. The approver after zhangsan is admin. Returns the ticket number.
async fn open(desk: &Served) -> String {
    let mut request = approval_request();
    for field in request["fields"].as_array_mut().expect("fields") {
        if field["key"] == "ZHIDINGSHENPIREN" {
            field["value"] = json!("zhangsan");
        }
    }
    let answer = desk.bk("create_ticket", request).await;
    let number = answer["data"]["sn"].as_str();
    number.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Returns a percentile of the values in `sorted`. `share` is a percentage, for example 99 for
/// the 99th percentile.
fn percentile(sorted: &[i64], share: usize) -> i64 {
    let at = (sorted.len() * share).div_ceil(100).clamp(1, sorted.len());
    sorted[at - 1]
}

/// Measures the time from a vote to the arrival of the mail that the desk sends after the vote.
async fn votes() {
    let folder = tempfile::tempdir().expect("a directory");
    let (port, relay) = relay().await;
    let desk = Arc::new(desk(folder.path(), port).await);
    let mut tickets = Vec::new();
    for _ in 0..VOTES {
        tickets.push(open(&desk).await);
    }
    let mut votes = tokio::task::JoinSet::new();
    for ticket in tickets {
        let desk = desk.clone();
        votes.spawn(async move {
            let path = format!("tickets/{ticket}/decide");
            let begin = SystemClock.now();
            let vote = json!({ "node": 3, "pass": true });
            let (status, answer): (u16, Value) = desk.v1("POST", &path, "zhangsan", vote).await;
            assert_eq!(status, 200, "{answer}");
            (ticket, begin, SystemClock.now())
        });
        tokio::time::sleep(PAUSE).await;
    }
    let answered = votes.join_all().await;
    let deadline = Instant::now() + PATIENCE;
    while relay.accepted().len() < VOTES {
        assert!(Instant::now() < deadline, "all mails arrive");
        tokio::time::sleep(PAUSE).await;
    }
    let arrived: HashMap<String, Moment> = relay
        .accepted()
        .into_iter()
        .map(|mail| (mail.ticket, mail.at))
        .collect();
    let sorted = |from: fn(&(String, Moment, Moment)) -> Moment| -> Vec<i64> {
        let times = answered
            .iter()
            .map(|vote| arrived[&vote.0].0 - from(vote).0);
        let mut times: Vec<i64> = times.collect();
        times.sort_unstable();
        times
    };
    for (name, times) in [
        ("request with the vote", sorted(|vote| vote.1)),
        ("response to the vote", sorted(|vote| vote.2)),
    ] {
        println!(
            "{VOTES} votes, 20 per second, from the {name} to the mail: median {} ms, 99 % {} ms, longest {} ms",
            percentile(&times, 50),
            percentile(&times, 99),
            percentile(&times, 100),
        );
    }
}

/// Starts a TCP server that forwards each connection to the port `target`. Returns the port of this server and the
/// times of the connections.
async fn proxy(target: u16) -> (u16, Arc<Mutex<Vec<Moment>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let times = Arc::new(Mutex::new(Vec::new()));
    let connected = times.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let now = SystemClock.now();
            connected.lock().expect("no holder panics").push(now);
            tokio::spawn(async move {
                let far = tokio::net::TcpStream::connect(("127.0.0.1", target)).await;
                let mut far = far.expect("the directory accepts");
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (port, times)
}

/// Measures the time from the request with a ticket until the desk first connects to the directory (the LDAP server).
async fn unlocks() {
    let folder = tempfile::tempdir().expect("a directory");
    let directory = Directory::start(folder.path()).await;
    let (port, times) = proxy(directory.server().port).await;
    let text = directory.platform("company_directory");
    let text = text.replace(
        &format!(":{}\"", directory.server().port),
        &format!(":{port}\""),
    );
    let rule = r#"
        [[script]]
        name = "unlock"
        version = "1"
        action = "unlock_account"
        platform = "company_directory"
        parameters = [{ name = "account" }]

        [[rule]]
        name = "unlock"
        node = "处理"
        script = "unlock"
        parameters = { account = "lisi" }
        form = { result = "x" }
    "#;
    let definitions = folder.path().join("automation.toml");
    std::fs::write(&definitions, [&text, rule].concat()).expect("written");
    let secret = folder.path().join("secret.txt");
    std::fs::write(&secret, "desk-secret").expect("written");
    let secret = format!("platform/company_directory={}", secret.display());
    let more = [
        "--automation",
        definitions.to_str().expect("a path"),
        "--secret",
        &secret,
    ];
    let desk = Served::start(&folder.path().join("data"), &more);
    let definition = account_workflow("解锁", "处理");
    let service = desk.publish(definition, json!({})).await;
    let (mut from_request, mut from_response) = (Vec::new(), Vec::new());
    for _ in 0..UNLOCKS {
        let before = times.lock().expect("no holder panics").len();
        let body = json!({ "service_id": service, "fields": { "title": "t" } });
        let begin = SystemClock.now();
        let (status, answer) = desk.v1("POST", "tickets", "lisi", body).await;
        assert_eq!(status, 201, "{answer}");
        let answered = SystemClock.now();
        let ticket = format!("tickets/{}", answer["sn"].as_str().expect("a number"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, shown) = desk.v1("GET", &ticket, "admin", Value::Null).await;
            if shown["current_status"] == "FINISHED" {
                break;
            }
            assert!(Instant::now() < deadline, "the ticket ends: {shown}");
        }
        let connected = times.lock().expect("no holder panics")[before];
        from_request.push(connected.0 - begin.0);
        from_response.push(connected.0 - answered.0);
    }
    for (name, mut waited) in [("request", from_request), ("response", from_response)] {
        waited.sort_unstable();
        println!(
            "{UNLOCKS} unlocks, from the {name} of the ticket to the connection to slapd: median {} ms, 99 % {} ms",
            percentile(&waited, 50),
            percentile(&waited, 99),
        );
    }
}

/// A shell script that prints the time of its start, in milliseconds since 1970.
const FIRST_LINE: &str = "date +%s%3N";

/// Measures the time from the start of a script to its first output line, in the sandbox of the desk and under
/// bubblewrap alone.
async fn sandboxes() {
    let folder = tempfile::tempdir().expect("a directory");
    let search = installed();
    let runs = folder.path().join("runs");
    let sandbox = Bubblewrap::new(runs, program(), &search.display().to_string());
    let bare = || {
        let begin = SystemClock.now();
        let mut command = std::process::Command::new(search.join("bwrap"));
        command.args([
            "--unshare-user",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup",
            "--die-with-parent",
            "--new-session",
            "--ro-bind",
            "/usr",
            "/usr",
            "--symlink",
            "usr/bin",
            "/bin",
            "--symlink",
            "usr/lib",
            "/lib",
            "--symlink",
            "usr/lib64",
            "/lib64",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            "/bin/sh",
            "-c",
            FIRST_LINE,
        ]);
        let output = command.output().expect("bubblewrap runs");
        first_line(&String::from_utf8_lossy(&output.stdout)) - begin.0
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..SCRIPTS {
        let begin = SystemClock.now();
        let end = end_of(&sandbox, &job(&format!("run-{number}"), FIRST_LINE)).await;
        ours.push(first_line(&end.output) - begin.0);
        theirs.push(bare());
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    println!(
        "{SCRIPTS} scripts, from the start to the first line: sandbox median {} ms, 99 % {} ms; bubblewrap alone median {} ms, 99 % {} ms",
        percentile(&ours, 50),
        percentile(&ours, 99),
        percentile(&theirs, 50),
        percentile(&theirs, 99),
    );
}

fn first_line(output: &str) -> i64 {
    let line = output.lines().next().unwrap_or_default();
    line.parse().unwrap_or_else(|_| panic!("a time: {output}"))
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some(fleet::COUNT) {
        let port = arguments.next().and_then(|text| text.parse().ok());
        return fleet::count_states(port.expect("a port")).await;
    }
    // `cargo bench` adds the argument `--bench`, which begins with a hyphen. The test therefore ignores arguments that
    // begin with a hyphen.
    let chosen = first.into_iter().chain(arguments);
    let chosen: Vec<String> = chosen.filter(|one| !one.starts_with('-')).collect();
    let runs = |part: &str| chosen.is_empty() || chosen.iter().any(|one| one == part);
    if runs("votes") {
        votes().await;
    }
    if runs("unlocks") {
        unlocks().await;
    }
    if runs("scripts") {
        sandboxes().await;
    }
    if runs("orders") {
        fleet::orders().await;
    }
    if runs("states") {
        fleet::states().await;
    }
}
