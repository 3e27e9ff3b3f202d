//! This load test measures parts of a working day of a desk (`docs/performance.md`). The command is
//! `cargo bench -p tests --bench day`.
//!
//! Votes and mails: 20 votes per second complete a node. Each vote causes a mail to the next approver. The test
//! measures the time from the request with the vote until the mail relay has received the whole mail. The relay is
//! part of this program.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use events::Moment;
use functions::cli::demo::fakes::smtp::Relay;
use infra::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tests::approval_request;
use tests::process::Served;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Number of measured votes.
const VOTES: usize = 200;
/// Time between two votes: 20 votes per second.
const PAUSE: Duration = Duration::from_millis(50);
/// Maximum time that the test waits for all mails.
const PATIENCE: Duration = Duration::from_mins(1);

async fn relay() -> (u16, Arc<Relay>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let relay = Arc::new(Relay::new(Arc::new(SystemClock)));
    tokio::spawn(relay.clone().serve(listener));
    (port, relay)
}

/// Starts a desk whose only channel account (configured sender) is the mail relay. The user admin has an e-mail
/// address.
async fn desk(folder: &Path, port: u16) -> Served {
    let accounts = folder.join("accounts.toml");
    let text = format!(
        "[[account]]\nname = \"mail\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"desk@example.com\"\n\n[policy]\naccounts = [\"mail\"]\n"
    );
    std::fs::write(&accounts, text).expect("written");
    let path = accounts.to_str().expect("a path");
    let desk = Served::start(&folder.join("data"), &["--accounts", path]);
    let preferences = json!({ "addresses": { "email": "admin@example.com" } });
    let (status, answer) = desk
        .v1("PUT", "people/admin/preferences", "admin", preferences)
        .await;
    assert_eq!(status, 200, "{answer}");
    desk
}

/// Opens a ticket that waits for the vote of zhangsan. The next approver is admin.
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

#[tokio::main]
async fn main() {
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
