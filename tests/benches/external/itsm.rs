//! Starts an imitated external BlueKing ITSM in the process of the test, and a desk that applies there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use functions::cli::demo::fakes::bk_itsm::{BkItsm, Faults, SERVICE};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Desk, now_ms, user, wait, write};

/// Code and secret of the app under which the desk calls the external ITSM.
const APP: (&str, &str) = ("bk_log", "external-secret");
/// Number of applications that the test opens at the same time.
const AT_ONCE: usize = 32;
/// Number of users that apply.
const USERS: usize = 100;
/// The longest time in which the external ITSM must have a ticket for each application.
const CREATED_MAX: Duration = Duration::from_mins(5);

/// An imitated external ITSM on a port of the loopback address. It ends when this value is dropped.
pub(super) struct External {
    pub(super) itsm: Arc<BkItsm>,
    http: reqwest::Client,
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for External {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl External {
    pub(super) async fn start() -> Self {
        let itsm = Arc::new(BkItsm::new(APP.0, APP.1, Faults::default(), now_ms));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let served = itsm.clone();
        let task = tokio::spawn(async move {
            served.serve(listener).await.expect("the imitation serves");
        });
        Self {
            itsm,
            http: tests::process::client(),
            port,
            task,
        }
    }

    /// Returns the command-line arguments of a desk that applies at this external ITSM. The files for the arguments are in
    /// the folder.
    pub(super) fn arguments(&self, folder: &Path) -> Vec<String> {
        let definitions = format!(
            r#"
            [[integration]]
            name = "itsm"
            kind = "bk_itsm"
            url = "http://127.0.0.1:{}"
            app = "{}"
            user = "admin"

            [[application_kind]]
            name = "collect"
            preset = "log_collection"
            integration = "itsm"
            service = {SERVICE}
            "#,
            self.port, APP.0
        );
        vec![
            "--integrations".to_owned(),
            write(folder, "integrations.toml", &definitions),
            "--secret".to_owned(),
            format!("integration/itsm={}", write(folder, "secret", APP.1)),
        ]
    }

    /// Opens applications, and waits until the external ITSM has a ticket for each.
    pub(super) async fn apply(&self, desk: &Desk, count: usize) {
        let numbers = futures_util::stream::iter(0..count);
        let applied = numbers.map(|number| apply(desk, number));
        let mut applied = applied.buffer_unordered(AT_ONCE);
        while applied.next().await.is_some() {}
        wait("each application has a ticket", CREATED_MAX, async || {
            self.itsm.count("create_ticket") >= count
        })
        .await;
    }

    /// Sends a request as a plain client, with the same parts as a request of the desk, and reads the response. A request
    /// without a body is a GET request.
    pub(super) async fn call(&self, operation: &str, body: Option<Value>) {
        let url = format!(
            "http://127.0.0.1:{}/api/c/compapi/v2/itsm/{operation}",
            self.port
        );
        let credentials = json!({ "bk_app_code": APP.0, "bk_app_secret": APP.1 });
        let request = match body {
            None => self.http.get(url),
            Some(mut body) => {
                body["bk_app_code"] = APP.0.into();
                body["bk_app_secret"] = APP.1.into();
                self.http.post(url).json(&body)
            }
        };
        let request = request.header("X-Bkapi-Authorization", credentials.to_string());
        let response = request.send().await.expect("a response");
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer["result"], true, "{operation}: {answer}");
    }
}

async fn apply(desk: &Desk, number: usize) {
    let body = json!({
        "kind": "collect",
        "subject": format!("collector-{number}"),
        "fields": {
            "bk_biz_id": "2", "expect_access_data": "2026-12-01", "single_log_size": 200, "single_host_peak": 300,
            "single_host_log_volume": 20, "expect_host_size": 10, "log_keep_days": 7, "hot_data_days": 3,
            "apply_reason": "审计",
        },
    });
    let (user, key) = (user(number % USERS), format!("key-{number}"));
    let (status, answer) = desk
        .send(Method::POST, "applications", &user, &body, Some(&key))
        .await;
    assert_eq!(status, 201, "{answer}");
}
