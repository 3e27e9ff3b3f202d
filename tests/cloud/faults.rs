//! These tests use the journal (the table of all commits) over an unreliable network, in which a quarter of
//! the requests fail.
//!
//! There are five kinds of faults: a throttled request, a conflict, a server error, a lost response and a
//! truncated response. If the response is lost or truncated, DynamoDB has executed the request.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::number_sequence::{Command, NumberSequence};
use events::number_sequence::NumberSequenceEvent;
use events::{Meta, Moment};
use infra::aws::configure;
use infra::clock::{SeededRng, SystemClock};
use infra::keys::memory::Memory as Keys;
use infra::ledger::{NoContext, command_id};
use infra::store::{self, Journal as _, paged::Paged};
use infra::{CommandEnvelope, ExecuteError, Ledger};

use crate::contracts::SeparateStore;
use crate::desk::endpoint;

const COMMANDS: u64 = 5_000;
const WRITERS: u64 = 16;
const STREAMS: u64 = 8;
/// Timeout of one attempt to send a request. The timeout is short, because the test waits for the timeout
/// after each lost response.
const TRY_TIMEOUT: Duration = Duration::from_millis(500);
/// Of 1,000 requests, about 50 requests fail with each kind of fault. There are five kinds of faults.
const EACH_OF_1000: u64 = 50;

#[derive(Default)]
struct Faults {
    requests: AtomicU64,
    met: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Clone)]
struct Proxy {
    client: reqwest::Client,
    upstream: String,
    faults: Arc<Faults>,
}

/// A response body that is one byte shorter than its header `Content-Length` announces.
struct Short(Option<Bytes>);

impl http_body::Body for Short {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let next = self.0.take().map(http_body::Frame::data);
        Poll::Ready(Some(
            next.ok_or_else(|| std::io::Error::other("the connection is closed")),
        ))
    }
}

/// Returns the name of the fault for the request with the given number, or `none` if this request has no
/// fault. The result for a number is always the same.
fn fault(number: u64) -> &'static str {
    let drawn = u64::from_be_bytes(
        blake3::hash(&number.to_be_bytes()).as_bytes()[..8]
            .try_into()
            .expect("8 bytes"),
    ) % 1000;
    match drawn / EACH_OF_1000 {
        0 => "throttle",
        1 => "conflict",
        2 => "server error",
        3 => "timeout",
        4 => "cut",
        _ => "none",
    }
}

fn refuse(status: StatusCode, code: &str) -> Response<Body> {
    let body = format!(
        "{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{code}\",\"message\":\"injected fault\"}}"
    );
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(body.into())
        .expect("a response")
}

/// Starts an HTTP endpoint that denies every request. Returns the URL of this endpoint.
pub(crate) async fn denying() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let deny = || async { refuse(StatusCode::BAD_REQUEST, "AccessDeniedException") };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(deny)).await });
    format!("http://{address}")
}

/// A proxy that denies each request whose body contains a text, and forwards all other requests.
#[derive(Clone)]
struct Denying {
    client: reqwest::Client,
    upstream: String,
    text: String,
}

/// Starts a proxy of DynamoDB that denies each request whose body contains `text`. Returns the URL of this proxy.
pub(crate) async fn denying_requests_with(text: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let proxy = Denying {
        client: tests::process::client(),
        upstream: endpoint(),
        text: text.to_owned(),
    };
    let router = Router::new().fallback(deny_or_forward).with_state(proxy);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn deny_or_forward(
    State(proxy): State<Denying>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if String::from_utf8_lossy(&body).contains(&proxy.text) {
        return refuse(StatusCode::BAD_REQUEST, "AccessDeniedException");
    }
    let (status, bytes) = pass_on(&proxy.client, &proxy.upstream, &headers, body).await;
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(bytes.into())
        .expect("a response")
}

/// Sends a request to the store, and returns the status and the body of the response.
async fn pass_on(
    client: &reqwest::Client,
    upstream: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> (StatusCode, Bytes) {
    let kept = headers
        .iter()
        .filter(|(name, _)| *name != "host" && *name != "content-length");
    let kept: reqwest::header::HeaderMap = kept
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let answer = client
        .post(upstream)
        .headers(kept)
        .body(body)
        .send()
        .await
        .expect("the store answers");
    let status = answer.status();
    (status, answer.bytes().await.expect("a body"))
}

async fn forward(State(proxy): State<Proxy>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let fault = fault(proxy.faults.requests.fetch_add(1, Ordering::SeqCst));
    *proxy
        .faults
        .met
        .lock()
        .expect("no holder panics")
        .entry(fault)
        .or_default() += 1;
    match fault {
        "throttle" => {
            return refuse(
                StatusCode::BAD_REQUEST,
                "ProvisionedThroughputExceededException",
            );
        }
        "conflict" => return refuse(StatusCode::BAD_REQUEST, "TransactionConflictException"),
        "server error" => return refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
        _ => {}
    }
    let (status, bytes) = pass_on(&proxy.client, &proxy.upstream, &headers, body).await;
    if fault == "timeout" {
        // DynamoDB has executed the request. The proxy delays the response until the client has stopped
        // waiting for the response.
        tokio::time::sleep(TRY_TIMEOUT * 4).await;
    }
    if fault == "cut" {
        // DynamoDB has executed the request. The proxy removes the last byte of its response.
        return Response::builder()
            .status(status)
            .header("content-length", bytes.len() + 1)
            .body(Body::new(Short(Some(bytes))))
            .expect("a response");
    }
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(bytes.into())
        .expect("a response")
}

/// 16 writers execute 5,000 commands on 8 streams over the unreliable network. Each command must be
/// executed exactly once, and every response must be correct.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_5000_commands_is_executed_once_despite_faults() {
    let own = SeparateStore::new().await;
    let faults = Arc::new(Faults::default());
    let upstream = endpoint();
    let proxy = Proxy {
        client: tests::process::client(),
        upstream,
        faults: faults.clone(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(forward).with_state(proxy)).await
    });
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(TRY_TIMEOUT)
        .build();
    let through = aws_sdk_dynamodb::config::Builder::from(&configure(None).await)
        .endpoint_url(format!("http://{address}"))
        .timeout_config(timeouts)
        .build();
    let mut table = own.journal.clone();
    table.client = aws_sdk_dynamodb::Client::from_conf(through);
    let journal = Arc::new(store::dynamodb::Dynamodb::new(table));
    let rng = Arc::new(SeededRng::new(1));
    let paged = Arc::new(Paged::new(
        journal,
        own.store.pages.clone(),
        own.store.blob.clone(),
    ));
    let ledger = Ledger::new(
        paged,
        Arc::new(Keys::new(rng.clone())),
        Arc::new(SystemClock),
        rng,
    )
    .with_others(1_000);

    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        // Each writer has a separate ledger object, like a separate process. The writers share only the
        // DynamoDB table.
        let ledger = Ledger::new(
            ledger.store.clone(),
            ledger.keys.clone(),
            ledger.clock.clone(),
            Arc::new(SeededRng::new(writer)),
        )
        .with_others(1_000);
        writers.spawn(async move {
            let mut issued = Vec::new();
            for number in (0..COMMANDS).filter(|number| number % WRITERS == writer) {
                let stream = format!("number_sequence-REQ{}", number % STREAMS);
                let command_envelope = CommandEnvelope {
                    stream: stream.clone(),
                    command_id: command_id(&["fault", &number.to_string()]),
                    meta: Meta::system("t", "t"),
                };
                // The response of a failed request does not show whether the command was executed. The client
                // therefore repeats the command with the same command id.
                let outcome = loop {
                    match ledger
                        .execute::<NumberSequence>(
                            &command_envelope,
                            &Command::Issue { size: 1 },
                            &NoContext,
                        )
                        .await
                    {
                        Ok(outcome) => break outcome,
                        Err(ExecuteError::Technical(error)) => {
                            assert!(error.is_transient(), "{error}");
                        }
                        Err(ExecuteError::Rejected(rejection)) => panic!("{rejection}"),
                    }
                };
                if let Some(NumberSequenceEvent::BlockIssued(block)) = outcome.events.first() {
                    issued.push((stream, block.from, number));
                } else {
                    assert!(
                        outcome.repeated,
                        "an outcome without events belongs to a command that was executed before"
                    );
                }
            }
            issued
        });
    }
    let issued: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    let mut by_id = BTreeMap::new();
    let mut stored = 0;
    for number in 0..STREAMS {
        let stream = format!("number_sequence-REQ{number}");
        let (mut from, mut expected) = (1, 1);
        loop {
            let page = own
                .store
                .forward(&stream, from, 200)
                .await
                .expect("forward");
            let Some(last) = page.last() else { break };
            from = last.next();
            for commit in page {
                let (_, context) = ledger
                    .read::<NumberSequenceEvent>(&commit)
                    .await
                    .expect("read");
                let NumberSequenceEvent::BlockIssued(block) = &context[0].0;
                assert_eq!(
                    block.from, expected,
                    "{stream}: no number is lost or issued twice"
                );
                expected = block.to + 1;
                assert_eq!(
                    by_id.insert(commit.command_id, (stream.clone(), block.from)),
                    None,
                    "a command was executed once"
                );
                stored += 1;
            }
        }
    }
    assert_eq!(stored, COMMANDS, "every command was executed");
    for (stream, from, number) in &issued {
        assert_eq!(
            by_id[&command_id(&["fault", &number.to_string()])],
            (stream.clone(), *from),
            "the outcome equals the stored commit"
        );
    }
    own.caught_up().await;
    let compared = store::audit::compare(&*own.store, Moment(i64::MAX), &mut |_| {})
        .await
        .expect("compared");
    assert_eq!((compared.findings(), compared.both), (Vec::new(), COMMANDS));
    let met = faults.met.lock().expect("no holder panics").clone();
    println!(
        "{} requests: {met:?}; {} of {COMMANDS} outcomes contained their events",
        faults.requests.load(Ordering::SeqCst),
        issued.len()
    );
    assert!(
        met.len() == 6 && met.values().all(|count| *count > 100),
        "{met:?}"
    );
}
