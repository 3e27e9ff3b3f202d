//! The HTTP/1 server of the host that runs the desk on one machine. The server limits the number of
//! connections, the size of a request head (request line and headers), and the time to receive the
//! head. The server also closes a connection if the client pauses for too long.

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

use crate::app::request_scope::Peer;

/// Longest time until a request head (request line and headers) is complete. For the first request,
/// this time starts when the client opens the connection. For a later request, this time starts
/// when the first byte of the request arrives.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause between two requests of one connection. Common proxies close a connection
/// after a pause of 60 s. The server waits longer than these proxies. A proxy therefore never sends
/// a request on a connection that the server has just closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest time that the server waits for a client that reads no byte of a response. After this
/// time, the server closes the connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of a request head (request line and headers), in bytes. The server answers a larger
/// head with status 431. Known clients send at most 4 KiB.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Maximum size of the read buffer and of the write buffer of one connection, in bytes.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Maximum number of concurrent connections. The server allows fewer connections if the operating
/// system allows too few open files. With this number of connections, the server usually needs 16
/// MiB of memory, and at most 256 MiB if all buffers are full.
const CONNECTIONS_MAX: usize = 2048;
/// The number of open files that the server reserves for databases, uploaded files and outgoing
/// requests. The operating system also counts each connection as an open file.
const FILES_RESERVED: u64 = 256;
/// The assumed limit of open files if the operating system sets no limit.
const FILES_UNLIMITED: u64 = 1 << 20;
/// Maximum number of body bytes that the server still reads from a request after the response is
/// ready. The server reads these bytes, because closing a connection with unread bytes resets the
/// connection. The client could then lose the response.
const DRAIN_BYTES_MAX: usize = 16 << 20;
/// Longest time for reading the rest of a request body after the response is ready.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Time after which an authenticated caller counts as stalled. A stalled caller has sent no byte of
/// the body, or read no byte of the response, during this time. The server may close the connection
/// of a stalled caller to accept a new connection.
const STALLED: Duration = Duration::from_secs(1);
/// Time between two searches for connections that exceed a time limit. The function `sweep` closes
/// the connections that it finds.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// Time to wait after the operating system reports an error for a new connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Longest time that the server waits for running requests before the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// The response with status 503 to a new connection. The server sends this response if all
/// connections are in use and none of them can be closed.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: 108\r\n\r\n\
    {\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections are open; try again in a second\"}";

/// Accepts connections and serves their requests with `router`. When `stopped` becomes true, the
/// server accepts no new connections. The server then waits at most `STOP_TIMEOUT` until the
/// running requests are complete.
pub async fn run(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let connections = Arc::new(Connections::new(connections_max(
        infra::local::open_files_max(),
    )));
    let router = TowerToHyperService::new(router);
    let mut tasks = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stop_receiver = stopped.clone();
    let mut ended = pin!(async move { drop(stopped.wait_for(|stop| *stop).await) });
    loop {
        tokio::select! {
            () = &mut ended => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match connections.admit(peer.ip().to_canonical()) {
                    Some((id, connection)) => {
                        let (slot, router, stop_receiver) = (Slot { connections: connections.clone(), id }, router.clone(), stop_receiver.clone());
                        tasks.spawn(async move {
                            serve(stream, connection, router, stop_receiver).await;
                            drop(slot);
                        });
                    }
                    None => drop(stream.try_write(BUSY)),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; closing the oldest connection that waits");
                    connections.free_slot();
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
            _ = sweep.tick() => connections.sweep(Instant::now()),
            Some(joined) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = joined {
                    tracing::error!(%error, "task of a connection panicked");
                }
            }
        }
    }
    drop(listener);
    let answered = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, answered).await.is_err() {
        tracing::warn!("requests took longer than {STOP_TIMEOUT:?} and are aborted");
    }
}

/// Returns the maximum number of connections. `files` is the limit of open files, or `None` if the
/// operating system sets no limit. The result is this limit minus `FILES_RESERVED`, but at least
/// half of the limit and at most `CONNECTIONS_MAX`.
fn connections_max(files: Option<u64>) -> usize {
    let files = files.unwrap_or(FILES_UNLIMITED);
    let left = files.saturating_sub(FILES_RESERVED).max(files / 2);
    usize::try_from(left)
        .unwrap_or(CONNECTIONS_MAX)
        .clamp(1, CONNECTIONS_MAX)
}

/// The phase of a connection. If too many connections are open, the server closes an old connection
/// to accept a new connection. The order of the variants is the order of closing: a connection in
/// the first phase of this list is closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// The server waits for the end of a request head (request line and headers).
    Head,
    /// The server receives a request body of an unauthenticated caller.
    Body,
    /// The server has sent a response and waits for the next request.
    Idle,
    /// The server sends a response to an unauthenticated caller. Such a caller can read slowly on
    /// purpose, to occupy connections.
    Sending,
    /// An authenticated caller has sent no byte of the request body, or read no byte of the
    /// response, for at least the time `STALLED`.
    Stalled,
    /// The server handles a request. The server never closes such a connection to accept a new
    /// connection.
    Busy,
}

/// The phase of a connection, and the time at which the phase started.
#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    since: Instant,
    /// The time at which the client stopped sending the request body or stopped reading the
    /// response. The value is `None` while the client sends or reads.
    stalled: Option<Instant>,
}

impl State {
    fn new(phase: Phase) -> Self {
        Self {
            phase,
            since: Instant::now(),
            stalled: None,
        }
    }
}

/// One open connection and its current phase.
struct Connection {
    address: IpAddr,
    state: Mutex<State>,
    /// True if the caller of the current request sent valid credentials. The code that handles the
    /// request sets this value.
    is_known: Arc<AtomicBool>,
    end: Notify,
}

impl Connection {
    fn new(address: IpAddr) -> Self {
        Self {
            address,
            state: Mutex::new(State::new(Phase::Head)),
            is_known: Arc::default(),
            end: Notify::new(),
        }
    }

    fn enter(&self, phase: Phase) {
        *self.state.lock().expect("no holder panics") = State::new(phase);
    }

    /// Changes the phase of the connection from `from` to `to`. Does nothing if the current phase
    /// is not `from`.
    fn change(&self, from: Phase, to: Phase) {
        let mut state = self.state.lock().expect("no holder panics");
        if state.phase == from {
            *state = State::new(to);
        }
    }

    /// Stores in `since` the time at which the client stopped sending the request body or stopped
    /// reading the response. `None` means that the client sends or reads again.
    fn stall(&self, since: Option<Instant>) {
        self.state.lock().expect("no holder panics").stalled = since;
    }

    /// Returns true if the current request was pipelined: the client sent the request before the
    /// previous response was complete. The server normally leaves the phase `Idle` when the first
    /// bytes of a request arrive. The bytes of a pipelined request arrived earlier, so the phase is
    /// still `Idle`.
    fn is_pipelined(&self) -> bool {
        self.state.lock().expect("no holder panics").phase == Phase::Idle
    }

    /// Returns the current phase of this connection, and the time at which this phase started. If
    /// the caller is authenticated, the function returns `Busy` instead of `Body` or `Sending`. If
    /// an authenticated caller sends or reads nothing for the time `STALLED`, the function returns
    /// `Stalled`.
    fn now(&self) -> (Phase, Instant) {
        let State {
            phase,
            since,
            stalled,
        } = *self.state.lock().expect("no holder panics");
        let may_be_known = matches!(phase, Phase::Body | Phase::Sending);
        let is_work =
            phase == Phase::Busy || (may_be_known && self.is_known.load(Ordering::Relaxed));
        match stalled {
            _ if !is_work => (phase, since),
            Some(stopped) if stopped.elapsed() >= STALLED => (Phase::Stalled, stopped),
            _ => (Phase::Busy, since),
        }
    }
}

/// All open connections.
struct Connections {
    max: usize,
    /// Maximum number of connections from one IP address. Connections from the same machine
    /// (loopback) have no such limit, because a local proxy can send the requests of many clients.
    per_address_max: usize,
    open: Mutex<(u64, HashMap<u64, Arc<Connection>>)>,
}

impl Connections {
    fn new(max: usize) -> Self {
        Self {
            max,
            per_address_max: (max / 2).max(1),
            open: Mutex::default(),
        }
    }

    /// Registers a new connection, and returns its id and its object. If too many connections are
    /// open, the function first closes an old connection that is not busy. Returns `None` if all
    /// old connections are busy.
    fn admit(&self, address: IpAddr) -> Option<(u64, Arc<Connection>)> {
        let mut open = self.open.lock().expect("no holder panics");
        let (last, all) = &mut *open;
        let is_address_full = !address.is_loopback()
            && all
                .values()
                .filter(|connection| connection.address == address)
                .count()
                >= self.per_address_max;
        if (is_address_full && !end_oldest(all, Some(address)))
            || (all.len() >= self.max && !end_oldest(all, None))
        {
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

    fn free_slot(&self) {
        end_oldest(&mut self.open.lock().expect("no holder panics").1, None);
    }

    /// Closes each connection that exceeds a time limit. The limit is `HEAD_TIMEOUT` for receiving
    /// a request head (request line and headers), and `IDLE_TIMEOUT` for waiting for the next
    /// request.
    fn sweep(&self, now: Instant) {
        self.open
            .lock()
            .expect("no holder panics")
            .1
            .retain(|_, connection| {
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

/// The registration of one open connection. Dropping this value removes the connection from the
/// list of open connections, even after a panic.
struct Slot {
    connections: Arc<Connections>,
    id: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.forget(self.id);
    }
}

/// Closes one of the connections in `open`, but never a busy connection. The function chooses the
/// connection whose phase comes first in the list of phases. In the same phase, the function
/// chooses the connection that entered the phase first. If `of` is an address, only connections
/// from this address are considered.
///
/// Returns false if all considered connections are busy.
fn end_oldest(open: &mut HashMap<u64, Arc<Connection>>, of: Option<IpAddr>) -> bool {
    let waiting = open
        .iter()
        .filter(|(_, connection)| of.is_none_or(|address| connection.address == address))
        .map(|(id, connection)| (connection.now(), *id));
    let Some((_, id)) = waiting
        .filter(|((phase, _), _)| *phase != Phase::Busy)
        .min()
    else {
        return false;
    };
    if let Some(connection) = open.remove(&id) {
        connection.end.notify_one();
    }
    true
}

/// Serves one connection until the connection ends.
async fn serve(
    stream: TcpStream,
    connection: Arc<Connection>,
    router: TowerToHyperService<Router>,
    mut stopped: watch::Receiver<bool>,
) {
    // Nagle's algorithm delays small packets, and responses are often small. The server therefore
    // turns this algorithm off.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Watched {
        stream,
        connection: connection.clone(),
        stalled: None,
        lingers: None,
    });
    let answering = connection.clone();
    let service = service_fn(move |request| answer(router.clone(), answering.clone(), request));
    let mut settings = http1::Builder::new();
    // The server does not use the header timeout of the library hyper, because this timeout would
    // also close connections that wait for the next request. The function `sweep` limits the time
    // for request heads instead.
    settings
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .header_read_timeout(None::<Duration>);
    let mut serving = pin!(settings.serve_connection(io, service));
    let mut ended = pin!(async move { drop(stopped.wait_for(|stop| *stop).await) });
    let mut is_stopping = false;
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "connection ended early");
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

/// Returns the response of the router to one request. When the response is ready, the function also
/// reads the rest of the request body. Without this reading, closing the connection would reset the
/// connection, and the client could lose the response.
async fn answer(
    router: TowerToHyperService<Router>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Answering>, Infallible> {
    if connection.is_pipelined() {
        // A client can send many requests at once, before the first response arrives. The task
        // yields before each of these pipelined requests, so that other connections also make
        // progress.
        tokio::task::yield_now().await;
    }
    let (mut parts, body) = request.into_parts();
    let expects_continue = parts.headers.contains_key(header::EXPECT);
    connection.is_known.store(false, Ordering::Relaxed);
    connection.enter(if body.is_end_stream() {
        Phase::Busy
    } else {
        Phase::Body
    });
    parts.extensions.insert(Peer {
        address: connection.address,
        is_known: connection.is_known.clone(),
    });
    let shared = Shared(Arc::new(Mutex::new(Reading {
        body,
        was_read: false,
        is_stalled: false,
        connection: connection.clone(),
    })));
    let mut response = router
        .call(Request::from_parts(parts, Body::new(shared.clone())))
        .await?;
    // The response is ready, and the server only reads the rest of the request body. During this
    // time, the server treats the caller as unauthenticated. The server may therefore close this
    // connection to accept a new connection.
    let is_known = connection.is_known.swap(false, Ordering::Relaxed);
    if !drained(shared, expects_continue).await {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    connection.is_known.store(is_known, Ordering::Relaxed);
    connection.enter(Phase::Sending);
    Ok(response.map(|body| Answering { body, connection }))
}

/// Reads a request body to its end. Returns false if the unread bytes exceed [`DRAIN_BYTES_MAX`],
/// if reading takes longer than [`DRAIN_TIMEOUT`], or if reading fails.
async fn drained(mut body: Shared, expects_continue: bool) -> bool {
    if body.is_end_stream() {
        return true;
    }
    // The client asked for status 100 with the header `Expect`, and sends the body only after this
    // status. The server sends status 100 when the handler reads the body. The handler did not read
    // the body, so no body arrives and there is nothing to read.
    if expects_continue && !body.0.lock().expect("no holder panics").was_read {
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
    tokio::time::timeout(DRAIN_TIMEOUT, read)
        .await
        .unwrap_or(false)
}

/// The body of a request, and whether a reader has already read from the body.
struct Reading {
    body: Incoming,
    was_read: bool,
    is_stalled: bool,
    connection: Arc<Connection>,
}

/// The body of a request, which two readers share. The request handler reads the body first. The
/// server then reads the bytes that the handler did not read.
#[derive(Clone)]
struct Shared(Arc<Mutex<Reading>>);

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut reading = self.0.lock().expect("no holder panics");
        reading.was_read = true;
        let polled = Pin::new(&mut reading.body).poll_frame(context);
        if polled.is_pending() != reading.is_stalled {
            reading.is_stalled = polled.is_pending();
            reading
                .connection
                .stall(polled.is_pending().then(Instant::now));
        }
        if matches!(polled, Poll::Ready(None)) || reading.body.is_end_stream() {
            reading.connection.change(Phase::Body, Phase::Busy);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .lock()
            .expect("no holder panics")
            .body
            .is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().expect("no holder panics").body.size_hint()
    }
}

/// The body of a response. When the response is sent, this value is dropped, and the connection
/// enters the phase `Idle`.
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

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A TCP stream that updates the phase of its connection when a new request starts, and when the
/// client stops reading.
struct Watched {
    stream: TcpStream,
    connection: Arc<Connection>,
    /// The timer of a write that cannot continue because the client does not read. The value is
    /// `None` if no write is waiting.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The limits for reading the bytes that the client still sends after the last response. The
    /// limits are a timer, and the number of bytes that the server may still read. The value is
    /// `None` until the server closes its sending direction.
    lingers: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Watched {
    /// Returns an error if a write has waited longer than [`WRITE_TIMEOUT`] for the client.
    /// Otherwise returns `polled`, the result of the write, without change.
    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if self.stalled.take().is_some() {
                self.connection.stall(None);
            }
            return polled;
        }
        if self.stalled.is_none() {
            self.connection.stall(Some(Instant::now()));
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client did not read the response in time",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() && buffer.filled().len() > before {
            self.connection.change(Phase::Idle, Phase::Head);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.in_time(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Closes the sending direction of the connection. The function then reads and discards the
    /// bytes that the client still sends, for at most `DRAIN_TIMEOUT`.
    ///
    /// Without this reading, the operating system would reset the connection. The client could then
    /// lose the last response.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            match Pin::new(&mut self.stream).poll_shutdown(context) {
                Poll::Ready(Ok(())) => {
                    self.lingers =
                        Some((Box::pin(tokio::time::sleep(DRAIN_TIMEOUT)), DRAIN_BYTES_MAX));
                }
                other => return other,
            }
        }
        let mut scratch = [0; 4096];
        let watched = &mut *self;
        while let Some((until, left)) = &mut watched.lingers {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut watched.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(()))
                    if buffer.filled().is_empty() || *left < buffer.filled().len() =>
                {
                    break;
                }
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

    const FAR: [IpAddr; 2] = [
        IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
        IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)),
    ];

    #[test]
    fn connections_leave_open_files_for_the_desk() {
        assert_eq!(connections_max(Some(1024)), 768);
        assert_eq!(connections_max(Some(100)), 50);
        assert_eq!(connections_max(Some(0)), 1);
        assert_eq!(connections_max(Some(1 << 20)), CONNECTIONS_MAX);
        assert_eq!(connections_max(None), CONNECTIONS_MAX);
    }

    #[test]
    fn new_connections_close_waiting_ones_but_not_busy_ones() {
        let connections = Connections::new(4);
        let (_, busy) = connections.admit(FAR[0]).expect("a slot");
        let (idle_id, idle) = connections.admit(FAR[0]).expect("a slot");
        let (head_id, _) = connections.admit(FAR[1]).expect("a slot");
        let (_, other) = connections.admit(FAR[1]).expect("a slot");
        busy.enter(Phase::Busy);
        idle.enter(Phase::Idle);
        other.enter(Phase::Busy);
        let is_open = |id: u64| connections.open.lock().unwrap().1.contains_key(&id);
        let (_, loopback) = connections
            .admit("127.0.0.1".parse().unwrap())
            .expect("the slot of the incomplete head");
        loopback.enter(Phase::Busy);
        assert!(!is_open(head_id) && is_open(idle_id));
        connections
            .admit("127.0.0.2".parse().unwrap())
            .expect("the slot of the idle connection")
            .1
            .enter(Phase::Busy);
        assert!(!is_open(idle_id));
        assert!(
            connections.admit("127.0.0.3".parse().unwrap()).is_none(),
            "all other connections are busy"
        );
    }

    #[test]
    fn incomplete_heads_and_idle_connections_end_after_their_limits() {
        let connections = Connections::new(16);
        let begin = Instant::now();
        let mut admitted = Vec::new();
        for phase in [Phase::Head, Phase::Idle, Phase::Busy] {
            let (id, connection) = connections.admit(FAR[0]).expect("a slot");
            connection.enter(phase);
            admitted.push((id, connection));
        }
        let open = || -> Vec<bool> {
            let open = connections.open.lock().unwrap();
            let is_open = |(id, _): &(u64, _)| open.1.contains_key(id);
            admitted.iter().map(is_open).collect()
        };
        // Both limits begin when the connection enters its phase, which was after `begin`.
        connections.sweep(begin + HEAD_TIMEOUT - Duration::from_secs(1));
        assert_eq!(open(), [true, true, true]);
        let end = Instant::now();
        connections.sweep(end + HEAD_TIMEOUT);
        assert_eq!(open(), [false, true, true]);
        connections.sweep(begin + IDLE_TIMEOUT - Duration::from_secs(1));
        assert_eq!(open(), [false, true, true]);
        connections.sweep(end + IDLE_TIMEOUT);
        assert_eq!(open(), [false, false, true]);
    }

    #[test]
    fn a_response_to_an_unknown_caller_is_closed_for_a_new_connection() {
        let connections = Connections::new(1);
        let (id, sending) = connections.admit(FAR[0]).expect("a slot");
        sending.enter(Phase::Sending);
        sending.is_known.store(true, Ordering::Relaxed);
        assert!(
            connections.admit(FAR[1]).is_none(),
            "a known caller keeps its slot"
        );
        sending.is_known.store(false, Ordering::Relaxed);
        connections.admit(FAR[1]).expect("the slot of the response");
        assert!(!connections.open.lock().unwrap().1.contains_key(&id));
    }

    #[test]
    fn a_stalled_known_caller_is_closed_after_waiting_connections() {
        let connections = Connections::new(2);
        let stopped = Instant::now()
            .checked_sub(STALLED)
            .expect("the clock started earlier");
        let (stalled_id, stalled) = connections.admit(FAR[0]).expect("a slot");
        stalled.enter(Phase::Body);
        stalled.is_known.store(true, Ordering::Relaxed);
        stalled.stall(Some(stopped));
        let (_, busy) = connections.admit(FAR[1]).expect("a slot");
        busy.enter(Phase::Busy);
        assert_eq!(
            (stalled.now().0, busy.now().0),
            (Phase::Stalled, Phase::Busy)
        );
        connections
            .admit("127.0.0.3".parse().unwrap())
            .expect("the slot of the stalled connection")
            .1
            .enter(Phase::Busy);
        assert!(!connections.open.lock().unwrap().1.contains_key(&stalled_id));
        busy.stall(Some(stopped));
        busy.stall(None);
        assert!(
            connections.admit("127.0.0.1".parse().unwrap()).is_none(),
            "a connection that continues is busy"
        );
    }

    #[test]
    fn one_address_may_use_half_of_the_slots_and_loopback_all() {
        let connections = Connections::new(4);
        for _ in 0..2 {
            connections
                .admit(FAR[0])
                .expect("a slot")
                .1
                .enter(Phase::Busy);
        }
        assert!(connections.admit(FAR[0]).is_none());
        for _ in 0..2 {
            connections
                .admit("127.0.0.1".parse().unwrap())
                .expect("a slot")
                .1
                .enter(Phase::Busy);
        }
        assert!(connections.admit("::1".parse().unwrap()).is_none());
    }

    #[test]
    fn an_endless_head_is_closed_but_not_the_body_of_a_known_caller() {
        let connections = Connections::new(4);
        let (head, _) = connections.admit(FAR[0]).expect("a slot");
        let (_, body) = connections.admit(FAR[0]).expect("a slot");
        body.enter(Phase::Body);
        body.is_known.store(true, Ordering::Relaxed);
        connections.sweep(Instant::now() + HEAD_TIMEOUT);
        let open = connections.open.lock().unwrap();
        assert!(!open.1.contains_key(&head) && open.1.len() == 1);
        assert_eq!(body.now().0, Phase::Busy);
    }
}
