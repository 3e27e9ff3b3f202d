//! These tests check the loops that process the queues of a local desk, for example the queue of callbacks. A
//! slow receiver of callbacks must not delay the requests to other receivers. If a receiver responds with the
//! header `Retry-After`, the desk must wait for the time in this header before the next request to this
//! receiver.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use events::Moment;
use functions::catalog::{FUNCTIONS, Trigger};
use functions::host::local::{sweeping, working};
use infra::clock::Clock;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::TestDesk;
use crate::workflow_builder::{api, line, open, service};

/// A clock for the desk. The clock uses the time of the async runtime, and the test pauses this time. The
/// field is the instant at which the test started.
struct PausedClock(Instant);

impl PausedClock {
    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).expect("a short test")
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Moment {
        tests::MORNING.plus_ms(self.elapsed_ms())
    }
}

/// Two simulated receivers of requests: a slow one and a fast one. A request to the slow receiver takes 30
/// s and then fails.
struct Receivers {
    clock: Arc<PausedClock>,
    /// Times of the requests to the fast receiver, in milliseconds since the start of the test.
    fast: Mutex<Vec<i64>>,
    /// Number of requests to the slow receiver that run at this moment, and the maximum of this number.
    slow: Mutex<(usize, usize)>,
}

#[async_trait]
impl HttpClient for Receivers {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.url.contains("slow") {
            {
                let mut slow = self.slow.lock().expect("no holder panics");
                slow.0 += 1;
                slow.1 = slow.1.max(slow.0);
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
            self.slow.lock().expect("no holder panics").0 -= 1;
            return Err(HttpError::Unknown("timeout".into()));
        }
        let now = self.clock.elapsed_ms();
        self.fast.lock().expect("no holder panics").push(now);
        Ok(HttpResponse::of(200, br#"{"code":0}"#))
    }
}

async fn ticket(desk: &TestDesk, receiver: &str) -> Value {
    let mut body = tests::approval_request();
    body["meta"] = json!({ "callback_url": format!("http://{receiver}.example.com/callback/") });
    desk.must("create_ticket", body).await["sn"].clone()
}

async fn withdraw(desk: &TestDesk, sn: &Value) {
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
    )
    .await;
}

/// The numbers of requests to the slow and to the fast receiver.
const SLOW: usize = 96;
const FAST: usize = 40;

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_delays_no_other_receiver() {
    let desk = TestDesk::open().await;
    let mut sns = Vec::new();
    for number in 0..SLOW + FAST {
        let receiver = if number < SLOW { "slow" } else { "fast" };
        sns.push(ticket(&desk, receiver).await);
    }
    let send_all = async || {
        for sn in &sns {
            withdraw(&desk, sn).await;
        }
    };
    requests_to_the_fast_receiver_are_early(&desk, send_all).await;
}

/// The same as for callbacks is true for the API calls of automatic nodes (cases/hostile-and-broken.md, case 9).
#[tokio::test(start_paused = true)]
async fn a_slow_receiver_of_api_calls_delays_no_other_receiver() {
    let desk = TestDesk::open().await;
    let mut services = Vec::new();
    for receiver in ["slow", "fast"] {
        let call = json!({ "remote_api_info": { "method": "POST", "url": format!("https://{receiver}.example.com/accounts") } });
        let lines = json!([line(1, 2), line(2, 3), line(3, 9)]);
        let nodes = json!([api(3, call)]);
        services.push(service(&desk, receiver, nodes, lines, json!([])).await);
    }
    let send_all = async || {
        for number in 0..SLOW + FAST {
            open(&desk, &services[usize::from(number >= SLOW)]).await;
        }
    };
    requests_to_the_fast_receiver_are_early(&desk, send_all).await;
}

/// Runs the loops of all queues while `send_all` causes [`SLOW`] requests to the slow receiver and then [`FAST`]
/// requests to the fast receiver. Panics if a request to the fast receiver is late, or if the desk sends too many
/// concurrent requests to the slow receiver.
async fn requests_to_the_fast_receiver_are_early(desk: &TestDesk, send_all: impl AsyncFn()) {
    let clock = Arc::new(PausedClock(Instant::now()));
    let receivers = Arc::new(Receivers {
        clock: clock.clone(),
        fast: Mutex::default(),
        slow: Mutex::default(),
    });
    let mut app = desk.app.clone();
    app.ledger.clock = clock.clone();
    app.http = receivers.clone();
    for function in FUNCTIONS {
        if let Trigger::Queue { concurrency, .. } = function.trigger {
            let app = app.clone();
            let name = function.name;
            tokio::spawn(async move { working(&app, name, concurrency).await });
        }
    }
    tokio::spawn(async move { sweeping(&app, 250).await });
    send_all().await;
    let requested_at = clock.elapsed_ms();
    let reached = async {
        while receivers.fast.lock().expect("no holder panics").len() < FAST {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(10), reached)
        .await
        .expect("every request to the fast receiver is sent");
    let fast = receivers.fast.lock().expect("no holder panics").clone();
    let latest = fast.iter().max().expect("requests") - requested_at;
    let most = receivers.slow.lock().expect("no holder panics").1;
    println!("latest request to the fast receiver after {latest} ms; at most {most} slow requests");
    assert!(latest <= 3_000, "{latest} ms");
    assert!((1..=32).contains(&most), "{most} requests to one receiver");
}

#[tokio::test]
async fn an_attempt_waits_for_the_retry_after_time_of_the_receiver() {
    let desk = TestDesk::open().await;
    let busy = HttpResponse {
        status: 503,
        headers: vec![("retry-after".into(), "90".into())],
        ..HttpResponse::default()
    };
    desk.receiver
        .answers
        .lock()
        .expect("no holder panics")
        .push_back(Ok(busy));
    let sn = ticket(&desk, "apps").await;
    withdraw(&desk, &sn).await;
    desk.settle().await;
    let calls = || desk.receiver.calls.lock().expect("no holder panics").len();
    assert_eq!(calls(), 1);
    desk.clock.advance(89_999);
    desk.settle().await;
    assert_eq!(
        calls(),
        1,
        "the pause of the receiver replaces the backoff of 1 s"
    );
    desk.clock.advance(1);
    desk.settle().await;
    assert_eq!(calls(), 2);
}
