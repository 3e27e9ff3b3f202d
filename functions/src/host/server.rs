//! The HTTP server of one machine: HTTP/1 with a bound for each connection, each head, each pause and all connections together.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use crate::http::scope::Peer;

/// Longest time from the first byte of a request, or the start of a connection, to the end of the request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest pause between two requests of a connection: longer than the 60 s for which common proxies keep theirs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest time in which a client takes no byte of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest head of a request; a larger one is answered 431. The largest head of a known client has 4 KiB.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Largest buffer of a connection in each direction.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Connections at once, where the limit of open files allows as many: with full buffers they take 256 MiB, usually 16.
const CONNECTIONS_MAX: usize = 2048;
/// Open files that stay for the desk itself: databases, uploaded files, outgoing calls.
const FILES_RESERVED: u64 = 256;
/// The limit of open files where the system names none.
const FILES_UNLIMITED: u64 = 1 << 20;
/// Bytes of a body that are read on after the answer is known, so that the client or proxy reads the answer instead of a reset.
const DRAIN_BYTES_MAX: usize = 16 << 20;
/// The same in time.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// A known caller whose body, or whose reading of the answer, stops for so long makes place where all are taken.
const STALLED: Duration = Duration::from_secs(1);
/// How often connections are looked at.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// Pause after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Longest time for the requests that are under way when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// The answer to a connection that finds no place.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: 108\r\n\r\n\
    {\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections are open; try again in a second\"}";

/// Serves a router until `stopped` is true; requests that are under way are answered first.
pub async fn run(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let connections = Arc::new(Connections::new(connections_max(infra::local::open_files_max())));
    let router = TowerToHyperService::new(router);
    let mut tasks = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let told = stopped.clone();
    let mut ended = pin!(async move { drop(stopped.wait_for(|stop| *stop).await) });
    loop {
        tokio::select! {
            () = &mut ended => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match connections.admit(peer.ip().to_canonical()) {
                    Some((id, connection)) => {
                        let (place, router, told) = (Place { connections: connections.clone(), id }, router.clone(), told.clone());
                        tasks.spawn(async move {
                            serve(stream, connection, router, told).await;
                            drop(place);
                        });
                    }
                    None => drop(stream.try_write(BUSY)),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; the oldest one that waits is closed");
                    connections.make_place();
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            _ = sweep.tick() => connections.sweep(Instant::now()),
            Some(joined) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = joined {
                    tracing::error!(%error, "serving a connection broke off");
                }
            }
        }
    }
    drop(listener);
    let answered = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, answered).await.is_err() {
        tracing::warn!("requests took longer than {STOP_TIMEOUT:?} to end and were cut off");
    }
}

/// The number of connections under a limit of open files: at least half of it, at most all but the reserve.
fn connections_max(files: Option<u64>) -> usize {
    let files = files.unwrap_or(FILES_UNLIMITED);
    let left = files.saturating_sub(FILES_RESERVED).max(files / 2);
    usize::try_from(left).unwrap_or(CONNECTIONS_MAX).clamp(1, CONNECTIONS_MAX)
}

/// The present state of a connection, in the order in which connections are closed to make place for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// A head is on its way, or should be.
    Head,
    /// A body is on its way, and its caller is not known yet.
    Body,
    /// Nothing, after an answer.
    Idle,
    /// An answer is being sent, perhaps to a client that takes it slowly on purpose, and its caller is not known.
    Sending,
    /// A body of a known caller that stopped on its way, or an answer that the client does not take.
    Stalled,
    /// A request is being answered.
    Busy,
}

/// The phase of a connection.
#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when the client neither sends its body nor takes its answer.
    stalled: Option<Instant>,
}

impl State {
    fn new(phase: Phase) -> Self {
        Self { phase, since: Instant::now(), stalled: None }
    }
}

/// One open connection.
struct Connection {
    address: IpAddr,
    state: Mutex<State>,
    /// The caller of the present request showed valid credentials.
    is_known: Arc<AtomicBool>,
    end: Notify,
}

impl Connection {
    fn new(address: IpAddr) -> Self {
        Self { address, state: Mutex::new(State::new(Phase::Head)), is_known: Arc::default(), end: Notify::new() }
    }

    fn enter(&self, phase: Phase) {
        *self.state.lock().expect("no holder panics") = State::new(phase);
    }

    /// Goes from one phase to another; does nothing in any other phase.
    fn go_on(&self, from: Phase, to: Phase) {
        let mut state = self.state.lock().expect("no holder panics");
        if state.phase == from {
            *state = State::new(to);
        }
    }

    /// The client stopped, or goes on.
    fn stall(&self, since: Option<Instant>) {
        self.state.lock().expect("no holder panics").stalled = since;
    }

    /// Says whether the answer before was given out and nothing was read since: the next request was sent along with it.
    fn is_pipelined(&self) -> bool {
        self.state.lock().expect("no holder panics").phase == Phase::Idle
    }

    /// The present phase and when it began. A body of a known caller, and an answer to one, is work like any other.
    fn now(&self) -> (Phase, Instant) {
        let State { phase, since, stalled } = *self.state.lock().expect("no holder panics");
        let may_be_known = matches!(phase, Phase::Body | Phase::Sending);
        let is_work = phase == Phase::Busy || (may_be_known && self.is_known.load(Ordering::Relaxed));
        match stalled {
            _ if !is_work => (phase, since),
            Some(stopped) if stopped.elapsed() >= STALLED => (Phase::Stalled, stopped),
            _ => (Phase::Busy, since),
        }
    }
}

/// All open connections.
struct Connections {
    most: usize,
    /// Connections of one address, unless it is this machine's, where a proxy may be.
    most_of_one: usize,
    open: Mutex<(u64, HashMap<u64, Arc<Connection>>)>,
}

impl Connections {
    fn new(most: usize) -> Self {
        Self { most, most_of_one: (most / 2).max(1), open: Mutex::default() }
    }

    /// A place for a new connection; `None` where all places are taken by requests that are being answered.
    fn admit(&self, address: IpAddr) -> Option<(u64, Arc<Connection>)> {
        let mut open = self.open.lock().expect("no holder panics");
        let (last, all) = &mut *open;
        let is_crowd = !address.is_loopback() && all.values().filter(|connection| connection.address == address).count() >= self.most_of_one;
        if (is_crowd && !end_oldest(all, Some(address))) || (all.len() >= self.most && !end_oldest(all, None)) {
            return None;
        }
        *last += 1;
        let connection = Arc::new(Connection::new(address));
        all.insert(*last, connection.clone());
        Some((*last, connection))
    }

    fn forget(&self, id: u64) {
        self.open.lock().expect("no holder panics").1.remove(&id);
    }

    fn make_place(&self) {
        end_oldest(&mut self.open.lock().expect("no holder panics").1, None);
    }

    /// Closes connections that sent no head, or no further request, in time.
    fn sweep(&self, now: Instant) {
        self.open.lock().expect("no holder panics").1.retain(|_, connection| {
            let (phase, since) = connection.now();
            let is_late = match phase {
                Phase::Head => now.saturating_duration_since(since) >= HEAD_TIMEOUT,
                Phase::Idle => now.saturating_duration_since(since) >= IDLE_TIMEOUT,
                Phase::Body | Phase::Sending | Phase::Stalled | Phase::Busy => false,
            };
            if is_late {
                connection.end.notify_one();
            }
            !is_late
        });
    }
}

/// The place of an open connection, free again when it is dropped, however serving it ended.
struct Place {
    connections: Arc<Connections>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.forget(self.id);
    }
}

/// Ends the oldest connection that waits for something, perhaps of one address; says whether there was one.
fn end_oldest(open: &mut HashMap<u64, Arc<Connection>>, of: Option<IpAddr>) -> bool {
    let waiting = open.iter().filter(|(_, connection)| of.is_none_or(|address| connection.address == address)).map(|(id, connection)| (connection.now(), *id));
    let Some((_, id)) = waiting.filter(|((phase, _), _)| *phase != Phase::Busy).min() else { return false };
    if let Some(connection) = open.remove(&id) {
        connection.end.notify_one();
    }
    true
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream, connection: Arc<Connection>, router: TowerToHyperService<Router>, mut stopped: watch::Receiver<bool>) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Watched { stream, connection: connection.clone(), stalled: None, lingers: None });
    let answering = connection.clone();
    let service = service_fn(move |request| answer(router.clone(), answering.clone(), request));
    let mut settings = http1::Builder::new();
    // The time of a head is watched here, since an idle connection may wait longer than a head may take.
    settings.max_header_size(HEAD_BYTES_MAX).max_buf_size(BUFFER_BYTES_MAX).header_read_timeout(None::<Duration>);
    let mut serving = pin!(settings.serve_connection(io, service));
    let mut ended = pin!(async move { drop(stopped.wait_for(|stop| *stop).await) });
    let mut is_stopping = false;
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = connection.end.notified() => return,
            () = &mut ended, if !is_stopping => {
                is_stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Answers one request, and reads on what is left of its body.
async fn answer(router: TowerToHyperService<Router>, connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response<Answering>, Infallible> {
    if connection.is_pipelined() {
        // Requests that were sent all at once let those of other connections go on in between.
        tokio::task::yield_now().await;
    }
    let (mut parts, body) = request.into_parts();
    let waits_for_word = parts.headers.contains_key(header::EXPECT);
    connection.is_known.store(false, Ordering::Relaxed);
    connection.enter(if body.is_end_stream() { Phase::Busy } else { Phase::Body });
    parts.extensions.insert(Peer { address: connection.address, is_known: connection.is_known.clone() });
    let shared = Shared(Arc::new(Mutex::new(Reading { body, was_read: false, is_stalled: false, connection: connection.clone() })));
    let mut response = router.call(Request::from_parts(parts, Body::new(shared.clone()))).await?;
    // What is read on makes place for others.
    let is_known = connection.is_known.swap(false, Ordering::Relaxed);
    if !drained(shared, waits_for_word).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    connection.is_known.store(is_known, Ordering::Relaxed);
    connection.enter(Phase::Sending);
    Ok(response.map(|body| Answering { body, connection }))
}

/// Reads a body to its end, within bounds; says whether the end was reached.
async fn drained(mut body: Shared, waits_for_word: bool) -> bool {
    if body.is_end_stream() {
        return true;
    }
    // A client that waits for `100 Continue` sends nothing before.
    if waits_for_word && !body.0.lock().expect("no holder panics").was_read {
        return false;
    }
    let read = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DRAIN_BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DRAIN_TIMEOUT, read).await.unwrap_or(false)
}

/// The body of a request and what becomes of it.
struct Reading {
    body: Incoming,
    was_read: bool,
    is_stalled: bool,
    connection: Arc<Connection>,
}

/// The body of a request, read by the handler first and by the server afterwards.
#[derive(Clone)]
struct Shared(Arc<Mutex<Reading>>);

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut reading = self.0.lock().expect("no holder panics");
        reading.was_read = true;
        let polled = Pin::new(&mut reading.body).poll_frame(context);
        if polled.is_pending() != reading.is_stalled {
            reading.is_stalled = polled.is_pending();
            reading.connection.stall(polled.is_pending().then(Instant::now));
        }
        if matches!(polled, Poll::Ready(None)) || reading.body.is_end_stream() {
            reading.connection.go_on(Phase::Body, Phase::Busy);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().expect("no holder panics").body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().expect("no holder panics").body.size_hint()
    }
}

/// The body of an answer; when it is gone, the connection waits for the next request.
struct Answering {
    body: Body,
    connection: Arc<Connection>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.connection.enter(Phase::Idle);
    }
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose reads and writes are watched.
struct Watched {
    stream: TcpStream,
    connection: Arc<Connection>,
    /// Ends a write that the client does not take.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Ends the reading after the last answer; with it the bytes that may still come.
    lingers: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Watched {
    /// Fails a write that took too long.
    fn in_time<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if self.stalled.take().is_some() {
                self.connection.stall(None);
            }
            return polled;
        }
        if self.stalled.is_none() {
            self.connection.stall(Some(Instant::now()));
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took nothing of the answer"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() && buffer.filled().len() > before {
            self.connection.go_on(Phase::Idle, Phase::Head);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, polled)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.in_time(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Ends the answers, then reads on for a moment: closing with unread bytes would have the client lose the last answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            match Pin::new(&mut self.stream).poll_shutdown(context) {
                Poll::Ready(Ok(())) => self.lingers = Some((Box::pin(tokio::time::sleep(DRAIN_TIMEOUT)), DRAIN_BYTES_MAX)),
                other => return other,
            }
        }
        let mut scratch = [0; 4096];
        let watched = &mut *self;
        while let Some((until, left)) = &mut watched.lingers {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut watched.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() || *left < buffer.filled().len() => break,
                Poll::Ready(Ok(())) => *left -= buffer.filled().len(),
                Poll::Ready(Err(_)) => break,
                Poll::Pending if until.as_mut().poll(context).is_ready() => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: [IpAddr; 2] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2))];

    #[test]
    fn files_of_the_desk_are_left_over_by_connections() {
        assert_eq!(connections_max(Some(1024)), 768);
        assert_eq!(connections_max(Some(100)), 50);
        assert_eq!(connections_max(Some(0)), 1);
        assert_eq!(connections_max(Some(1 << 20)), CONNECTIONS_MAX);
        assert_eq!(connections_max(None), CONNECTIONS_MAX);
    }

    #[test]
    fn a_connection_that_waits_makes_place_and_a_busy_one_does_not() {
        let connections = Connections::new(4);
        let (_, busy) = connections.admit(FAR[0]).expect("a place");
        let (idle_id, idle) = connections.admit(FAR[0]).expect("a place");
        let (head_id, _) = connections.admit(FAR[1]).expect("a place");
        let (_, other) = connections.admit(FAR[1]).expect("a place");
        busy.enter(Phase::Busy);
        idle.enter(Phase::Idle);
        other.enter(Phase::Busy);
        let is_open = |id: u64| connections.open.lock().unwrap().1.contains_key(&id);
        let (_, loopback) = connections.admit("127.0.0.1".parse().unwrap()).expect("the place of the incomplete head");
        loopback.enter(Phase::Busy);
        assert!(!is_open(head_id) && is_open(idle_id));
        connections.admit("127.0.0.2".parse().unwrap()).expect("the place of the idle one").1.enter(Phase::Busy);
        assert!(!is_open(idle_id));
        assert!(connections.admit("127.0.0.3".parse().unwrap()).is_none(), "all others are being answered");
    }

    #[test]
    fn an_answer_makes_place_where_its_caller_is_not_known() {
        let connections = Connections::new(1);
        let (id, sending) = connections.admit(FAR[0]).expect("a place");
        sending.enter(Phase::Sending);
        sending.is_known.store(true, Ordering::Relaxed);
        assert!(connections.admit(FAR[1]).is_none(), "a known caller keeps the place");
        sending.is_known.store(false, Ordering::Relaxed);
        connections.admit(FAR[1]).expect("the place of the answer");
        assert!(!connections.open.lock().unwrap().1.contains_key(&id));
    }

    #[test]
    fn a_known_caller_that_stalls_makes_place_after_all_that_wait() {
        let connections = Connections::new(2);
        let stopped = Instant::now().checked_sub(STALLED).expect("the clock began before");
        let (stalled_id, stalled) = connections.admit(FAR[0]).expect("a place");
        stalled.enter(Phase::Body);
        stalled.is_known.store(true, Ordering::Relaxed);
        stalled.stall(Some(stopped));
        let (_, busy) = connections.admit(FAR[1]).expect("a place");
        busy.enter(Phase::Busy);
        assert_eq!((stalled.now().0, busy.now().0), (Phase::Stalled, Phase::Busy));
        connections.admit("127.0.0.3".parse().unwrap()).expect("the place of the stalled one").1.enter(Phase::Busy);
        assert!(!connections.open.lock().unwrap().1.contains_key(&stalled_id));
        busy.stall(Some(stopped));
        busy.stall(None);
        assert!(connections.admit("127.0.0.1".parse().unwrap()).is_none(), "one that goes on is busy");
    }

    #[test]
    fn one_address_takes_half_of_the_places_and_this_machine_all() {
        let connections = Connections::new(4);
        for _ in 0..2 {
            connections.admit(FAR[0]).expect("a place").1.enter(Phase::Busy);
        }
        assert!(connections.admit(FAR[0]).is_none());
        for _ in 0..2 {
            connections.admit("127.0.0.1".parse().unwrap()).expect("a place").1.enter(Phase::Busy);
        }
        assert!(connections.admit("::1".parse().unwrap()).is_none());
    }

    #[test]
    fn a_head_that_never_ends_is_closed_and_a_body_of_a_known_caller_is_not() {
        let connections = Connections::new(4);
        let (head, _) = connections.admit(FAR[0]).expect("a place");
        let (_, body) = connections.admit(FAR[0]).expect("a place");
        body.enter(Phase::Body);
        body.is_known.store(true, Ordering::Relaxed);
        connections.sweep(Instant::now() + HEAD_TIMEOUT);
        let open = connections.open.lock().unwrap();
        assert!(!open.1.contains_key(&head) && open.1.len() == 1);
        assert_eq!(body.now().0, Phase::Busy);
    }
}
