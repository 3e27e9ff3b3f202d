//! A running desk, the people who get its messages, and the tickets that cause the messages.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::process::{APP, Served};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{arrived, now_ms, write};

/// Number of people who get messages.
pub(super) const PEOPLE: usize = 50;
/// Number of clients that open tickets at the same time. Each client opens tickets for another user, because the desk
/// limits the rate of each user.
pub(super) const CLIENTS: usize = 64;
/// The service of the demo company with which people request the approval of named approvers.
const FAST_APPROVAL: i64 = 1;
const TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum number of repetitions of a request that was above the rate limit of the desk, and the pause before each one.
const REPEATS_MAX: usize = 120;
const REPEAT_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two requests with which the test checks a count of the desk.
const PAUSE: Duration = Duration::from_millis(20);

/// A policy that fills only the inboxes.
pub(super) const INBOX_ONLY: &str = "[policy]\naccounts = []\n";

/// Returns the definition of an account that sends mails, and of a policy that uses it.
pub(super) fn relay(port: u16) -> String {
    format!(
        "[[account]]\nname = \"mail\"\nchannel = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
         from = \"Service desk <desk@example.com>\"\n\n[policy]\naccounts = [\"mail\"]\n"
    )
}

/// Returns the definition of an account that sends short messages by HTTP, and of a policy that uses it. The messages
/// have ids, so the gateway could recognize a repeated message.
pub(super) fn gateway(port: u16) -> String {
    format!(
        "[[account]]\nname = \"gateway\"\nchannel = \"sms\"\nshape = \"custom\"\nurl = \"http://127.0.0.1:{port}/\"\n\
         repetition = \"at_least_once\"\n\
         body = {{ to = \"${{to}}\", text = \"${{text}}\", ticket = \"${{ticket}}\", id = \"${{id}}\" }}\n\
         code_path = \"/code\"\ncodes = {{ \"0\" = \"ok\" }}\n\n[policy]\naccounts = [\"gateway\"]\n"
    )
}

/// Returns the name of a person who gets messages.
fn reader(number: usize) -> String {
    format!("reader{:03}", number % PEOPLE)
}

/// Returns the preferences of a person who gets each message at once.
pub(super) fn at_once(number: usize) -> Value {
    json!({
        "language": "en", "aggregation": false,
        "addresses": { "email": format!("{}@example.com", reader(number)), "phone": format!("+8613800000{number:03}") },
    })
}

/// A ticket that a client opened.
pub(super) struct Opened {
    pub(super) number: String,
    /// The time before the request and after the response, in milliseconds since 1970.
    pub(super) begin_ms: i64,
    pub(super) answered_ms: i64,
}

/// A running desk with one HTTP client for all requests, because creating a client takes time.
pub(super) struct Desk {
    pub(super) served: Served,
    http: reqwest::Client,
    /// Number of tickets that were opened. Each ticket has its own title.
    opened: AtomicUsize,
}

impl Desk {
    /// Starts a desk with the given definitions of accounts and policy. Without definitions, the desk notifies nobody.
    pub(super) fn start(folder: &Path, definitions: Option<&str>) -> Arc<Self> {
        std::fs::create_dir_all(folder).expect("a directory");
        let data = folder.join("data");
        let file = definitions.map(|text| write(folder, "accounts.toml", text));
        let arguments: Vec<&str> = match &file {
            Some(file) => vec!["--accounts", file.as_str()],
            None => Vec::new(),
        };
        let served = Served::start(&data, &arguments);
        assert!(served.is_up(), "the desk did not start");
        let http = infra::http::tls::client().timeout(TIMEOUT).build();
        Arc::new(Self {
            served,
            http: http.expect("a client"),
            opened: AtomicUsize::new(0),
        })
    }

    /// Sets the preferences of all people who get messages.
    pub(super) async fn prepare(&self, preferences: impl Fn(usize) -> Value) {
        for number in 0..PEOPLE {
            let person = reader(number);
            let path = format!("people/{person}/preferences");
            let (status, answer) = self
                .send(Method::PUT, &path, &person, &preferences(number))
                .await;
            assert_eq!(status, 200, "{answer}");
        }
    }

    /// Sends a request to `/v1` on behalf of a user, and returns status and body of the response. If the request is
    /// above the rate limit of the desk, the function sends the request again.
    async fn send(&self, method: Method, path: &str, user: &str, body: &Value) -> (u16, Value) {
        for _ in 0..REPEATS_MAX {
            let mut request = self
                .http
                .request(method.clone(), format!("{}/v1/{path}", self.served.base))
                .basic_auth(APP.0, Some(APP.1))
                .header("x-on-behalf-of", user);
            if !body.is_null() {
                request = request.json(body);
            }
            let response = request.send().await.expect("a response");
            let status = response.status().as_u16();
            let bytes = response.bytes().await.expect("a body");
            if status != 429 {
                return (status, serde_json::from_slice(&bytes).unwrap_or_default());
            }
            tokio::time::sleep(REPEAT_PAUSE).await;
        }
        panic!("{path}: every request is above the rate limit");
    }

    /// Opens one ticket on behalf of the user of a client. The ticket waits for `people` approvers.
    async fn open_one(&self, client: usize, people: usize) -> Opened {
        let at = self.opened.fetch_add(1, Ordering::Relaxed);
        let approvers: Vec<String> = (at..at + people).map(reader).collect();
        let body = json!({
            "service_id": FAST_APPROVAL,
            "fields": {
                "title": format!("VPN account {at}"), "APPROVER": approvers.join(","),
                "APPROVAL_CONTENT": "for the new project",
            },
        });
        let user = format!("opener{client:03}");
        let begin_ms = now_ms();
        let (status, answer) = self.send(Method::POST, "tickets", &user, &body).await;
        let answered_ms = now_ms();
        assert_eq!(status, 201, "{answer}");
        Opened {
            number: answer["sn"].as_str().expect("a number").to_owned(),
            begin_ms,
            answered_ms,
        }
    }

    /// Opens tickets as fast as possible, with many clients at the same time. Each ticket waits for `people` approvers.
    pub(super) async fn open(self: &Arc<Self>, tickets: usize, people: usize) {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (desk, begun) = (self.clone(), begun.clone());
            clients.spawn(async move {
                while begun.fetch_add(1, Ordering::Relaxed) < tickets {
                    desk.open_one(client, people).await;
                }
            });
        }
        clients.join_all().await;
    }

    /// Opens tickets at a fixed rate. Each ticket waits for one approver.
    pub(super) async fn paced(self: &Arc<Self>, tickets: usize, per_second: u32) -> Vec<Opened> {
        let begin = Instant::now();
        let mut requests = JoinSet::new();
        for number in 0..tickets {
            let after = u32::try_from(number).unwrap_or(u32::MAX);
            sleep_until(begin + Duration::from_secs(1) * after / per_second).await;
            let desk = self.clone();
            requests.spawn(async move { desk.open_one(number % CLIENTS, 1).await });
        }
        requests.join_all().await
    }

    /// Returns the number of notifications in a state of the list `/v1/notifications`.
    async fn notifications(&self, state: &str) -> usize {
        let path = format!("notifications?state={state}&page_size=1");
        let (status, answer) = self.send(Method::GET, &path, "admin", &Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        let count = answer["count"].as_u64().expect("a count");
        usize::try_from(count).expect("a count")
    }

    /// Waits until `wanted` notifications have the given state.
    pub(super) async fn wait(&self, state: &str, wanted: usize) {
        arrived("notifications", wanted, PAUSE, async || {
            self.notifications(state).await
        })
        .await;
    }
}
