//! This module contains a client of a desk in the cloud. The client uses the HTTP API, and can also read
//! the storage of the desk directly.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use functions::App;
use functions::app::Settings;
use infra::aws::{Cloud, configure};
use reqwest::Method;
use serde_json::{Value, json};

/// Longest time that the function [`until`] waits for a condition.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Returns the value of an environment variable. The script `localstack/up` writes these variables. Panics
/// if the variable is not set.
pub(crate) fn setting(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the environment names the desk under test")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `localstack/up`, then `set -a; . target/localstack/env`; or run ./test"))
}

/// Returns the endpoint of DynamoDB, which may differ from the endpoint of the other AWS services.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment names the desk under test"
)]
pub(crate) fn endpoint() -> String {
    std::env::var("AWS_ENDPOINT_URL_DYNAMODB").unwrap_or_else(|_| setting("AWS_ENDPOINT_URL"))
}

/// Sends a request and returns the body of the response. Panics if the status of the response is not 2xx.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.json().await.unwrap_or(Value::Null);
    assert!(status < 300, "{status} {body}");
    body
}

/// Calls the function `look` repeatedly until it returns a value. Panics if there is no value after
/// [`WAIT_MAX`].
pub(crate) async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(what, WAIT_MAX, look).await
}

/// Calls the function `look` repeatedly until it returns a value. Panics if there is no value after the time `longest`.
pub(crate) async fn until_within<T>(
    what: &str,
    longest: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = tokio::time::Instant::now() + longest;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} did not happen within {longest:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A desk in the cloud that all tests share. The desk already contains the data of earlier tests.
pub(crate) struct TestDesk {
    pub(crate) app: App,
    pub(crate) cloud: Cloud,
    client: reqwest::Client,
    base: String,
    /// Code and secret of the app (the client program) that the tests use.
    pub(crate) caller: (String, String),
    /// Names of the streams of the tickets that this test opened.
    opened: Mutex<Vec<String>>,
}

impl TestDesk {
    /// Opens a ticket of the user lisi and returns the body of the response.
    ///
    /// Each instance of a cloud function keeps a copy of the configuration in memory for a short time. If
    /// this copy does not contain a new service yet, the instance rejects a ticket of this service. In this
    /// case, `submit` sends the request again.
    pub(crate) async fn submit(&self, ticket: &Value) -> Value {
        until("the new service is known", async || {
            let request = self.v1(Method::POST, "tickets", "lisi").json(ticket);
            let response = request.send().await.expect("an answer");
            let status = response.status().as_u16();
            let body: Value = response.json().await.unwrap_or(Value::Null);
            let detail = body["detail"].as_str().unwrap_or_default();
            if status == 409 && detail.ends_with("is in no category") {
                return None;
            }
            assert!(status < 300, "{status} {body}");
            Some(body)
        })
        .await
    }

    pub(crate) async fn open() -> Self {
        let cloud = Cloud::new(
            configure(None).await,
            &setting("LEDGERDESK_PREFIX"),
            &setting("LEDGERDESK_BUCKET"),
            &functions::catalog::queues(),
        );
        let app =
            App::new(cloud.ports.clone(), Settings::default(), Arc::default()).expect("a desk");
        let caller = setting("LEDGERDESK_APP")
            .split_once(':')
            .map(|(code, secret)| (code.to_owned(), secret.to_owned()))
            .expect("CODE:SECRET");
        Self {
            app,
            cloud,
            client: tests::process::client(),
            base: setting("LEDGERDESK_URL"),
            caller,
            opened: Mutex::default(),
        }
    }

    pub(crate) async fn call(&self, operation: &str, mut body: Value) -> Value {
        body["bk_app_code"] = self.caller.0.as_str().into();
        body["bk_app_secret"] = self.caller.1.as_str().into();
        let url = format!("{}/api/c/compapi/v2/itsm/{operation}/", self.base);
        let response = self
            .client
            .post(url)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            response.status().as_u16(),
            StatusCode::OK,
            "{operation} {body}"
        );
        let envelope: Value = response.json().await.expect("an envelope");
        if let (true, "create_ticket", Some(sn)) = (
            envelope["result"] == true,
            operation,
            envelope["data"]["sn"].as_str(),
        ) {
            self.opened
                .lock()
                .expect("no holder panics")
                .push(format!("ticket-{sn}"));
        }
        envelope
    }

    /// Calls an operation of the BlueKing API, which must succeed. Returns the member `data` of the
    /// response.
    pub(crate) async fn must(&self, operation: &str, body: Value) -> Value {
        let envelope = self.call(operation, body.clone()).await;
        tests::data_of(operation, &body, &envelope)
    }

    /// Calls an operation of the BlueKing API, which must be rejected. Returns the error code and the error
    /// message.
    pub(crate) async fn refused(&self, operation: &str, body: Value) -> (i64, String) {
        let envelope = self.call(operation, body.clone()).await;
        tests::refusal_of(operation, &body, &envelope)
    }

    /// Waits until the cloud function `follow` has updated the cards (stored summaries) of all tickets
    /// that this test opened.
    pub(crate) async fn followed(&self) {
        let opened = self.opened.lock().expect("no holder panics").clone();
        for stream in opened {
            let last = self.app.ledger.store.next(&stream).await.expect("next") - 1;
            let card = async || {
                self.app
                    .views
                    .get("ticket", &stream)
                    .await
                    .expect("get")
                    .filter(|card| card.sequence >= last)
            };
            until(&format!("following {stream} to {last}"), card).await;
        }
    }

    /// Waits until the API returns a new service. Cloud functions cache the configuration, so the service
    /// may appear with a delay.
    pub(crate) async fn configured(&self, service: i64) {
        let known = async || {
            let services = self.must("get_services", json!({ "catalog_id": 4 })).await;
            services
                .as_array()?
                .iter()
                .any(|listed| listed["id"] == service)
                .then_some(())
        };
        until("the new service in the list", known).await;
    }

    /// Returns the type names of all events of a ticket, from the oldest event to the newest.
    pub(crate) async fn story(&self, sn: &str) -> Vec<&'static str> {
        let history = functions::app::tickets::history(&self.app.ledger, &format!("ticket-{sn}"))
            .await
            .expect("a history");
        history
            .iter()
            .map(|envelope| events::Event::kind(&envelope.event))
            .collect()
    }

    /// Returns the number of concurrent clients for a test of race conditions. The number is lower than
    /// in tests in memory, because each client starts a process on this machine.
    #[expect(clippy::unused_self, reason = "the flows call a method of their desk")]
    pub(crate) fn rivals(&self) -> usize {
        24
    }

    /// Returns the current day in the format of ticket numbers (`YYYYMMDD`).
    pub(crate) fn day(&self) -> String {
        tests::local(self.app.ledger.clock.now(), "%Y%m%d")
    }

    /// Returns the current time in the format of the BlueKing API.
    pub(crate) fn now(&self) -> String {
        tests::local(self.app.ledger.clock.now(), "%Y-%m-%d %H:%M:%S")
    }

    /// Returns a request to `/v1` with the credentials of the test app (a client program), on behalf of a
    /// user.
    pub(crate) fn v1(
        &self,
        method: reqwest::Method,
        path: &str,
        user: &str,
    ) -> reqwest::RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}/v1/{path}", self.base));
        request
            .basic_auth(&self.caller.0, Some(&self.caller.1))
            .header("x-on-behalf-of", user)
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }
}
