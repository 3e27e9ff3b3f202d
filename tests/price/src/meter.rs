//! This module contains a proxy in front of a DynamoDB simulator. For every request, the proxy requests the
//! consumed capacity from the simulator, and adds up these values.

use std::ops::AddAssign;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use serde_json::Value;

/// Prices of one million write units and one million read units, in dollars. These are the on-demand prices
/// of the region us-east-1 since November 2024.
const DOLLARS: (f64, f64) = (0.625, 0.125);

/// Totals of the requests that a [`Meter`] forwarded since the last call of `take`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) requests: u64,
    pub(crate) write_requests: u64,
    pub(crate) write_units: f64,
    pub(crate) read_units: f64,
    /// Total size of the bodies of all requests and responses, in bytes.
    pub(crate) bytes: u64,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.write_requests += other.write_requests;
        self.write_units += other.write_units;
        self.read_units += other.read_units;
        self.bytes += other.bytes;
    }
}

impl Sum {
    pub(crate) fn dollars(&self) -> f64 {
        (self.write_units * DOLLARS.0 + self.read_units * DOLLARS.1) / 1e6
    }
}

/// A proxy that forwards requests to the address `upstream` and measures each request.
pub(crate) struct Meter {
    client: reqwest::Client,
    upstream: String,
    sum: Mutex<Sum>,
}

impl Meter {
    /// Starts a proxy that forwards requests to the address `upstream`. Returns the proxy and the address
    /// on which the proxy listens.
    pub(crate) async fn before(upstream: &str) -> (Arc<Self>, String) {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(std::time::Duration::from_secs(30))
            .build()
            .expect("a client");
        let meter = Arc::new(Self {
            client,
            upstream: upstream.to_owned(),
            sum: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(forward).with_state(meter.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (meter, address)
    }

    /// Returns the totals since the previous call, and resets the totals to zero.
    pub(crate) fn take(&self) -> Sum {
        std::mem::take(&mut self.sum.lock().expect("no holder panics"))
    }
}

async fn forward(
    State(meter): State<Arc<Meter>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.split('.').nth(1))
        .unwrap_or_default()
        .to_owned();
    let mut request: Value = serde_json::from_slice(&body).expect("a request is JSON");
    let is_metered = [
        "PutItem",
        "GetItem",
        "Query",
        "Scan",
        "TransactWriteItems",
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "UpdateItem",
    ]
    .contains(&target.as_str());
    if is_metered {
        request["ReturnConsumedCapacity"] = "TOTAL".into();
    }
    let forwarded: HeaderMap = headers
        .iter()
        .filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let response_of_upstream = meter
        .client
        .post(&meter.upstream)
        .headers(forwarded)
        .body(request.to_string())
        .send()
        .await
        .expect("the stand-in answers");
    let (status, bytes) = (
        response_of_upstream.status(),
        response_of_upstream.bytes().await.expect("a body"),
    );
    if is_metered {
        let response_body: Value = serde_json::from_slice(&bytes).expect("an answer is JSON");
        let units = match &response_body["ConsumedCapacity"] {
            Value::Array(tables) => tables
                .iter()
                .filter_map(|table| table["CapacityUnits"].as_f64())
                .sum(),
            one => one["CapacityUnits"].as_f64().unwrap_or_default(),
        };
        let is_write = target.contains("Write") || target.ends_with("eItem") || target == "PutItem";
        let mut sum = meter.sum.lock().expect("no holder panics");
        sum.requests += 1;
        sum.bytes += (body.len() + bytes.len()) as u64;
        if is_write {
            sum.write_requests += 1;
            sum.write_units += units;
        } else {
            sum.read_units += units;
        }
    }
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0");
    response = response.header("content-length", bytes.len());
    response.body(bytes.into()).expect("a response")
}
