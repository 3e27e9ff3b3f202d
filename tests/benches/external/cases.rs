//! Measures how many cases (records of an external system) a desk accepts, and how long each takes.
//!
//! For comparison, the same clients open tickets of the desk, and then tickets of django-helpdesk, a ticket system of
//! another vendor, behind gunicorn with two worker processes. django-helpdesk is measured twice: with its default hash of
//! passwords, which takes most of the time of a request, and with a fast hash.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::foreign::{installed, spawn};
use tests::process::{APP, Process, free_port, root};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{Desk, ms, percentile, reached, user, wait, write};

/// Number of clients that send requests at the same time.
const CLIENTS: u32 = 64;
/// Duration of each measurement, and of the requests before it, which are not measured.
const LENGTH: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(2);
/// Timeout of a request. The requests of 64 clients to django-helpdesk wait for each other.
const TIMEOUT: Duration = Duration::from_secs(90);
/// The longest time until django-helpdesk has created its database.
const STARTED_MAX: Duration = Duration::from_mins(2);
/// The account at django-helpdesk.
const ACCOUNT: (&str, &str) = ("ledgerdesk", "helpdesk-secret");
/// The aims: the rate as a multiple of that of django-helpdesk and of that of `POST /v1/tickets`, and the 99th percentile
/// at half of the largest rate.
const HELPDESK_TIMES_MIN: f64 = 30.0;
const TICKETS_TIMES_MIN: f64 = 0.5;
const P99_MAX: Duration = Duration::from_millis(25);

/// The kinds of requests.
#[derive(Clone, Copy)]
enum Operation {
    Case,
    Ticket,
    Helpdesk,
}

/// The receiver of the requests.
struct Target {
    http: reqwest::Client,
    url: String,
    operation: Operation,
    /// Number of requests that were sent. Each request contains its own number.
    sent: AtomicUsize,
}

/// The successful requests of all clients.
#[derive(Default)]
struct Load {
    times: Vec<Duration>,
    failures: usize,
    per_second: f64,
}

impl Target {
    fn new(url: String, operation: Operation) -> Arc<Self> {
        let http = infra::http::tls::client().timeout(TIMEOUT).build();
        Arc::new(Self {
            http: http.expect("a client"),
            url,
            operation,
            sent: AtomicUsize::new(0),
        })
    }

    /// Sends one request of a client. Returns true if a new ticket was opened.
    async fn send(&self, client: u32) -> bool {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let title = format!("Case {number}");
        let request = self.http.post(&self.url);
        let request = match self.operation {
            Operation::Case => {
                let case = json!({ "id": number, "title": title, "text": "slow" });
                of_desk(request, client).json(&json!({ "source": "crm", "cases": [case] }))
            }
            Operation::Ticket => {
                let fields = json!({
                    "title": title, "impact": "3", "urgency": "3", "GUZHANGLEIXING": "DNS", "GUZHANGMIAOSHU": "slow",
                });
                of_desk(request, client).json(&json!({ "service_id": 19, "fields": fields }))
            }
            Operation::Helpdesk => request.basic_auth(ACCOUNT.0, Some(ACCOUNT.1)).json(&json!({
                "queue": 1, "title": title, "description": "slow", "priority": 2, "status": 1,
                "submitter_email": "wangwu@example.com",
            })),
        };
        let Ok(response) = request.send().await else {
            return false;
        };
        let status = response.status().as_u16();
        let Ok(body) = response.bytes().await else {
            return false;
        };
        match self.operation {
            Operation::Case => {
                let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                status == 200 && answer["results"][0]["outcome"] == "opened"
            }
            Operation::Ticket | Operation::Helpdesk => status == 201,
        }
    }

    /// Measures the largest rate. Each client sends the next request after the response to the last one.
    async fn largest(self: &Arc<Self>, length: Duration) -> Load {
        let begin = Instant::now();
        let client = |client: u32| {
            let target = self.clone();
            tokio::spawn(async move {
                let mut load = Load::default();
                while begin.elapsed() < length {
                    let sent = Instant::now();
                    let is_opened = target.send(client).await;
                    load.note(is_opened, sent);
                }
                load
            })
        };
        Load::of((0..CLIENTS).map(client).collect(), begin).await
    }

    /// Sends requests at a fixed rate. The time of a request begins when the request is due, so a late response also makes
    /// the next requests of its client slower.
    async fn paced(self: &Arc<Self>, per_second: f64, length: Duration) -> Load {
        let begin = Instant::now();
        let pause = Duration::from_secs_f64(f64::from(CLIENTS) / per_second);
        let client = |client: u32| {
            let target = self.clone();
            let mut due = begin + pause * client / CLIENTS;
            tokio::spawn(async move {
                let mut load = Load::default();
                while due.duration_since(begin) < length {
                    sleep_until(due).await;
                    let is_opened = target.send(client).await;
                    load.note(is_opened, due);
                    due += pause;
                }
                load
            })
        };
        Load::of((0..CLIENTS).map(client).collect(), begin).await
    }
}

/// Adds the credentials for the API of the desk. Each client has a user of its own, because the desk limits the rate of
/// each user.
fn of_desk(request: reqwest::RequestBuilder, client: u32) -> reqwest::RequestBuilder {
    let request = request.basic_auth(APP.0, Some(APP.1));
    request.header("x-on-behalf-of", user(client as usize))
}

impl Load {
    fn note(&mut self, is_opened: bool, since: Instant) {
        if is_opened {
            self.times.push(since.elapsed());
        } else {
            self.failures += 1;
        }
    }

    /// Returns the requests of all clients.
    async fn of(clients: Vec<JoinHandle<Self>>, begin: Instant) -> Self {
        let mut all = Self::default();
        for client in clients {
            let load = client.await.expect("a client ends");
            all.times.extend(load.times);
            all.failures += load.failures;
        }
        all.per_second = all.times.len() as f64 / begin.elapsed().as_secs_f64();
        all
    }

    fn print(&self, name: &str) {
        println!(
            "{name}, {CLIENTS} clients: {:.1}/s, median {:.1} ms, 99 % {:.1} ms, {} requests, {} failed",
            self.per_second,
            ms(percentile(&self.times, 50)),
            ms(percentile(&self.times, 99)),
            self.times.len(),
            self.failures,
        );
    }
}

pub(super) async fn measure() {
    let folder = tempfile::tempdir().expect("a directory");
    let (cases, half, tickets) = of_our_desk(folder.path()).await;
    let default = of_helpdesk(&folder.path().join("default"), false).await;
    let fast = of_helpdesk(&folder.path().join("fast"), true).await;
    cases.print("POST /v1/cases, largest rate");
    half.print("POST /v1/cases, half of this rate");
    tickets.print("POST /v1/tickets, largest rate");
    default.print("django-helpdesk, default hash of passwords");
    fast.print("django-helpdesk, fast hash of passwords");
    for (name, load) in [("default", &default), ("fast", &fast)] {
        let times = cases.per_second / load.per_second;
        println!(
            "cases per second: {times:.1} times django-helpdesk with the {name} hash (aim: at least {HELPDESK_TIMES_MIN} times, {})",
            reached(times >= HELPDESK_TIMES_MIN)
        );
    }
    let times = cases.per_second / tickets.per_second;
    println!(
        "cases per second: {times:.2} times POST /v1/tickets (aim: at least {TICKETS_TIMES_MIN} times, {})",
        reached(times >= TICKETS_TIMES_MIN)
    );
    let p99 = percentile(&half.times, 99);
    println!(
        "99 % at half load: {:.1} ms (aim: at most {} ms, {})",
        ms(p99),
        P99_MAX.as_millis(),
        reached(p99 <= P99_MAX)
    );
}

/// Returns the load of the desk: cases at the largest rate and at half of this rate, and tickets.
async fn of_our_desk(folder: &Path) -> (Load, Load, Load) {
    let source = format!(
        "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"{}\"]\nmapping = \"crm.toml\"\n",
        APP.0
    );
    let integrations = write(folder, "integrations.toml", &source);
    write(
        folder,
        "crm.toml",
        "record = \"/id\"\nservice = { value = 19 }\nrequester = { value = \"lisi\" }\n[fields]\ntitle = \"/title\"\n\
         impact = { value = \"3\" }\nurgency = { value = \"3\" }\nGUZHANGLEIXING = { value = \"DNS\" }\n\
         GUZHANGMIAOSHU = \"/text\"\n",
    );
    let arguments = ["--integrations".to_owned(), integrations];
    let desk = Desk::start_anywhere(&folder.join("data"), &arguments);
    let cases = format!("{}/v1/cases", desk.served.base);
    let tickets = format!("{}/v1/tickets", desk.served.base);
    let cases = Target::new(cases, Operation::Case);
    let tickets = Target::new(tickets, Operation::Ticket);
    cases.largest(WARM_UP).await;
    let of_cases = cases.largest(LENGTH).await;
    let half = cases.paced(of_cases.per_second / 2.0, LENGTH).await;
    tickets.largest(WARM_UP).await;
    let of_tickets = tickets.largest(LENGTH).await;
    (of_cases, half, of_tickets)
}

/// Returns the load of django-helpdesk at the largest rate.
async fn of_helpdesk(folder: &Path, has_fast_passwords: bool) -> Load {
    std::fs::create_dir(folder).expect("a directory");
    let (mut process, url) = helpdesk(folder, has_fast_passwords).await;
    let target = Target::new(url, Operation::Helpdesk);
    target.largest(WARM_UP).await;
    let load = target.largest(LENGTH).await;
    // In an orderly end, gunicorn also ends its worker processes.
    process.end();
    load
}

/// Starts django-helpdesk behind gunicorn. Returns the process and the URL for new tickets.
async fn helpdesk(folder: &Path, has_fast_passwords: bool) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(installed().join("helpdesk/bin/gunicorn"));
    command
        .args(["--preload", "--workers", "2", "--log-level", "error"])
        .args(["--bind", &address, "--chdir"])
        .arg(root().join("tests/foreign"))
        .arg("django_desk:application()")
        .env("HELPDESK_FOLDER", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if has_fast_passwords {
        command.env("HELPDESK_FAST_PASSWORDS", "1");
    }
    let process = spawn(&mut command, &folder.join("output"));
    let url = format!("http://{address}/api/tickets/");
    let http = tests::process::client();
    wait("django-helpdesk answers", STARTED_MAX, async || {
        let request = http.get(&url).basic_auth(ACCOUNT.0, Some(ACCOUNT.1));
        let response = request.send().await;
        response.is_ok_and(|response| response.status() == 200)
    })
    .await;
    (process, url)
}
