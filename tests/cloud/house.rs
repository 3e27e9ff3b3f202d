//! The deployed desk, asked through its HTTP API like by any client, with its ports for a look behind the door.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use functions::App;
use functions::app::{Ports, Settings};
use infra::aws::{Cloud, configure};
use infra::caller::memory::Memory as NoCaller;
use infra::login::memory::Memory as NoLogin;
use serde_json::{Value, json};

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A setting that `localstack/up` writes.
pub(crate) fn setting(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "these tests are told by the environment which desk is meant")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `localstack/up`, then `set -a; . target/localstack/env`; or run ./test"))
}

/// Where DynamoDB answers: it may be another than the rest of the cloud.
#[expect(clippy::disallowed_methods, reason = "these tests are told by the environment which desk is meant")]
pub(crate) fn endpoint() -> String {
    std::env::var("AWS_ENDPOINT_URL_DYNAMODB").unwrap_or_else(|_| setting("AWS_ENDPOINT_URL"))
}

/// Waits until something holds.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A desk that is deployed; what tests before this one did is in it too.
pub(crate) struct House {
    pub(crate) app: App,
    pub(crate) cloud: Cloud,
    client: reqwest::Client,
    base: String,
    /// Code and secret of the application the tests call as.
    pub(crate) caller: (String, String),
    /// The tickets that were opened here.
    opened: Mutex<Vec<String>>,
}

impl House {
    pub(crate) async fn open() -> Self {
        let cloud = Cloud::new(configure(None).await, &setting("LEDGERDESK_PREFIX"), &setting("LEDGERDESK_BUCKET"));
        let ports = Ports {
            ledger: cloud.ledger.clone(),
            views: cloud.views.clone(),
            queue: cloud.queue.clone(),
            blob: cloud.blob.clone(),
            caller: Arc::new(NoCaller::default()),
            login: Arc::new(NoLogin::default()),
            directory: Arc::new(infra::directory::file::File::default()),
            secrets: cloud.secrets.clone(),
        };
        let app = App::new(ports, Settings::default(), Arc::default()).expect("a desk");
        let caller = setting("LEDGERDESK_APP").split_once(':').map(|(code, secret)| (code.to_owned(), secret.to_owned())).expect("CODE:SECRET");
        Self { app, cloud, client: tests::process::client(), base: setting("LEDGERDESK_URL"), caller, opened: Mutex::default() }
    }

    pub(crate) async fn call(&self, operation: &str, mut body: Value) -> Value {
        body["bk_app_code"] = self.caller.0.as_str().into();
        body["bk_app_secret"] = self.caller.1.as_str().into();
        let url = format!("{}/api/c/compapi/v2/itsm/{operation}/", self.base);
        let response = self.client.post(url).json(&body).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), StatusCode::OK, "{operation} {body}");
        let envelope: Value = response.json().await.expect("an envelope");
        if let (true, "create_ticket", Some(sn)) = (envelope["result"] == true, operation, envelope["data"]["sn"].as_str()) {
            self.opened.lock().expect("no holder panics").push(format!("ticket-{sn}"));
        }
        envelope
    }

    /// Calls an operation that must succeed, and gives back its data.
    pub(crate) async fn must(&self, operation: &str, body: Value) -> Value {
        let envelope = self.call(operation, body.clone()).await;
        tests::data_of(operation, &body, &envelope)
    }

    /// Calls an operation that must be refused, and gives back code and message.
    pub(crate) async fn refused(&self, operation: &str, body: Value) -> (i64, String) {
        let envelope = self.call(operation, body.clone()).await;
        tests::refusal_of(operation, &body, &envelope)
    }

    /// Waits until lists show every ticket that was opened here as it is.
    pub(crate) async fn followed(&self) {
        let opened = self.opened.lock().expect("no holder panics").clone();
        for stream in opened {
            let last = self.app.ledger.store.next(&stream).await.expect("next") - 1;
            let card = async || self.app.views.get("ticket", &stream).await.expect("get").filter(|card| card.sequence >= last);
            until(&format!("following {stream} to {last}"), card).await;
        }
    }

    /// Waits until the door knows a service that was just defined: configuration that was read is held for true for a while.
    pub(crate) async fn configured(&self, service: i64) {
        let known = async || {
            let services = self.must("get_services", json!({ "catalog_id": 4 })).await;
            services.as_array()?.iter().any(|listed| listed["id"] == service).then_some(())
        };
        until("the door's knowledge of the service", known).await;
    }

    /// The wire types of a ticket's events, in order.
    pub(crate) async fn story(&self, sn: &str) -> Vec<&'static str> {
        let history = functions::desk::history(&self.app.ledger, &format!("ticket-{sn}")).await.expect("a history");
        history.iter().map(|envelope| events::Fact::kind(&envelope.event)).collect()
    }

    /// How many may ask at once here: each is a process of its own on this machine's two cores.
    #[expect(clippy::unused_self, reason = "flows ask their house")]
    pub(crate) fn rivals(&self) -> usize {
        24
    }

    /// Today, as ticket numbers say it.
    pub(crate) fn day(&self) -> String {
        tests::local(self.app.ledger.clock.now(), "%Y%m%d")
    }

    /// The time, as the wire says it.
    pub(crate) fn now(&self) -> String {
        tests::local(self.app.ledger.clock.now(), "%Y-%m-%d %H:%M:%S")
    }

    /// Asks `/v1` as the application for a user.
    pub(crate) fn v1(&self, method: reqwest::Method, path: &str, user: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}/v1/{path}", self.base));
        request.basic_auth(&self.caller.0, Some(&self.caller.1)).header("x-on-behalf-of", user)
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }
}
