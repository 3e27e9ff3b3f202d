//! The journal behind a bad network: one request in four meets a throttle, a conflict or a server error, or was carried out but its answer is cut or
//! never comes.

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
use domain::numbers::{Command, Numbers};
use events::numbers::NumbersEvent;
use events::{Meta, Moment};
use infra::aws::configure;
use infra::clock::{SeededChance, SystemClock};
use infra::keys::memory::Memory as Keys;
use infra::ledger::{NoLookups, command_id};
use infra::store::{self, Journal as _, paged::Paged};
use infra::{Failure, Ledger, Wish};

use crate::contracts::Own;
use crate::house::endpoint;

const COMMANDS: u64 = 5_000;
const WRITERS: u64 = 16;
const STREAMS: u64 = 8;
/// Longest time for one try of a request here, so that a lost answer does not hold the test up.
const TRY_TIMEOUT: Duration = Duration::from_millis(500);
/// Of a thousand requests, how many meet each fault.
const EACH_OF_1000: u64 = 50;

#[derive(Default)]
struct Weather {
    requests: AtomicU64,
    met: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Clone)]
struct Proxy {
    client: reqwest::Client,
    upstream: String,
    weather: Arc<Weather>,
}

/// A body that is one byte short of what was promised, and then breaks off.
struct Short(Option<Bytes>);

impl http_body::Body for Short {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let next = self.0.take().map(http_body::Frame::data);
        Poll::Ready(Some(next.ok_or_else(|| std::io::Error::other("the line is cut"))))
    }
}

/// What becomes of the n-th request.
fn fault(number: u64) -> &'static str {
    let drawn = u64::from_be_bytes(blake3::hash(&number.to_be_bytes()).as_bytes()[..8].try_into().expect("8 bytes")) % 1000;
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
    let body = format!("{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{code}\",\"message\":\"by the weather\"}}");
    Response::builder().status(status).header("content-type", "application/x-amz-json-1.0").body(body.into()).expect("a response")
}

/// Where everything is answered as to somebody who may do nothing; gives back its URL.
pub(crate) async fn denying() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let deny = || async { refuse(StatusCode::BAD_REQUEST, "AccessDeniedException") };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(deny)).await });
    format!("http://{address}")
}

async fn forward(State(proxy): State<Proxy>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let fault = fault(proxy.weather.requests.fetch_add(1, Ordering::SeqCst));
    *proxy.weather.met.lock().expect("no holder panics").entry(fault).or_default() += 1;
    match fault {
        "throttle" => return refuse(StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException"),
        "conflict" => return refuse(StatusCode::BAD_REQUEST, "TransactionConflictException"),
        "server error" => return refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
        _ => {}
    }
    let kept = headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length");
    let kept: reqwest::header::HeaderMap = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    let answer = proxy.client.post(&proxy.upstream).headers(kept).body(body).send().await.expect("the store answers");
    let (status, bytes) = (answer.status(), answer.bytes().await.expect("a body"));
    if fault == "timeout" {
        // It was carried out; no answer comes before the client has given up.
        tokio::time::sleep(TRY_TIMEOUT * 4).await;
    }
    if fault == "cut" {
        // It was carried out; the line is cut before the answer's last byte.
        return Response::builder().status(status).header("content-length", bytes.len() + 1).body(Body::new(Short(Some(bytes)))).expect("a response");
    }
    Response::builder().status(status).header("content-type", "application/x-amz-json-1.0").body(bytes.into()).expect("a response")
}

/// 5,000 commands by 16 writers on 8 streams: nothing is lost, nothing doubled, every answer is right.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_commands_survive_throttles_conflicts_errors_timeouts_and_cut_answers() {
    let own = Own::new().await;
    let weather = Arc::new(Weather::default());
    let upstream = endpoint();
    let proxy = Proxy { client: tests::process::client(), upstream, weather: weather.clone() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(forward).with_state(proxy)).await });
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(TRY_TIMEOUT).build();
    let through = aws_sdk_dynamodb::config::Builder::from(&configure(None).await).endpoint_url(format!("http://{address}")).timeout_config(timeouts).build();
    let mut table = own.journal.clone();
    table.client = aws_sdk_dynamodb::Client::from_conf(through);
    let journal = Arc::new(store::dynamodb::Dynamodb::new(table));
    let chance = Arc::new(SeededChance::new(1));
    let paged = Arc::new(Paged::new(journal, own.store.pages.clone(), own.store.blob.clone()));
    let ledger = Ledger::new(paged, Arc::new(Keys::new(chance.clone())), Arc::new(SystemClock), chance).with_others(1_000);

    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        // A process of its own: nothing is shared but the table.
        let ledger = Ledger::new(ledger.store.clone(), ledger.keys.clone(), ledger.clock.clone(), Arc::new(SeededChance::new(writer))).with_others(1_000);
        writers.spawn(async move {
            let mut given = Vec::new();
            for number in (0..COMMANDS).filter(|number| number % WRITERS == writer) {
                let stream = format!("numbers-REQ{}", number % STREAMS);
                let wish = Wish { stream: stream.clone(), command_id: command_id(&["fault", &number.to_string()]), meta: Meta::system("t", "t") };
                // A client asks again, under the same id, until it is told.
                let outcome = loop {
                    match ledger.execute::<Numbers>(&wish, &Command::Issue { size: 1 }, &NoLookups).await {
                        Ok(outcome) => break outcome,
                        Err(Failure::Technical(error)) => assert!(error.is_passing(), "{error}"),
                        Err(Failure::Rejected(rejection)) => panic!("{rejection}"),
                    }
                };
                if let Some(NumbersEvent::BlockIssued(block)) = outcome.events.first() {
                    given.push((stream, block.from, number));
                } else {
                    assert!(outcome.repeated, "an answer without events is of a command that was carried out before");
                }
            }
            given
        });
    }
    let given: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    let mut by_id = BTreeMap::new();
    let mut stored = 0;
    for number in 0..STREAMS {
        let stream = format!("numbers-REQ{number}");
        let (mut from, mut expected) = (1, 1);
        loop {
            let page = own.store.forward(&stream, from, 200).await.expect("forward");
            let Some(last) = page.last() else { break };
            from = last.next();
            for commit in page {
                let (_, facts) = ledger.read::<NumbersEvent>(&commit).await.expect("read");
                let NumbersEvent::BlockIssued(block) = &facts[0].0;
                assert_eq!(block.from, expected, "{stream}: no number is lost and none given twice");
                expected = block.to + 1;
                assert_eq!(by_id.insert(commit.command_id, (stream.clone(), block.from)), None, "a command was carried out once");
                stored += 1;
            }
        }
    }
    assert_eq!(stored, COMMANDS, "every command was carried out");
    for (stream, from, number) in &given {
        assert_eq!(by_id[&command_id(&["fault", &number.to_string()])], (stream.clone(), *from), "what was answered is what was stored");
    }
    own.caught_up().await;
    let compared = store::audit::compare(&*own.store, Moment(i64::MAX), &mut |_| {}).await.expect("compared");
    assert_eq!((compared.findings(), compared.both), (Vec::new(), COMMANDS));
    let met = weather.met.lock().expect("no holder panics").clone();
    println!("{} requests: {met:?}; {} of {COMMANDS} answers carried their events", weather.requests.load(Ordering::SeqCst), given.len());
    assert!(met.len() == 6 && met.values().all(|count| *count > 100), "{met:?}");
}
