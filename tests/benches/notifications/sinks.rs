//! The receivers of the messages: a mail relay and a gateway for short messages (HTTP). They do as little as possible,
//! so that they do not limit the senders.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Rate, Table, arrived, counted, now_ms};

/// Size of the read buffer of a connection, in bytes.
const BUFFER: usize = 64 << 10;
/// Pause between two checks of a count in memory.
const PAUSE: Duration = Duration::from_millis(2);
/// Number of messages, and of connections, with which a receiver is measured alone.
const MESSAGES: usize = 10_000;
const CONNECTIONS: usize = 8;
/// Number of lines of a mail in this measurement. Such a mail has about the size of a mail of the desk (3 KB).
const LINES: usize = 50;

/// A mail relay that counts the mails and drops them.
pub(super) struct Mails {
    pub(super) port: u16,
    accepted: Arc<AtomicUsize>,
}

impl Mails {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counter = counter.clone();
                // An error ends only this connection. A lost mail is visible in the count.
                tokio::spawn(async move { converse(stream, &counter).await });
            }
        });
        Self { port, accepted }
    }

    pub(super) fn count(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until the relay has accepted `wanted` mails since its start.
    pub(super) async fn wait(&self, wanted: usize) {
        arrived("mails at the relay", wanted, PAUSE, async || self.count()).await;
    }
}

/// Receives the mails of one connection (RFC 5321).
async fn converse(stream: TcpStream, accepted: &AtomicUsize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    stream.write_all(b"220 sink.example\r\n").await?;
    let (mut line, mut is_content) = (Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = if is_content {
            if line != b".\r\n" {
                continue;
            }
            is_content = false;
            accepted.fetch_add(1, Ordering::Relaxed);
            b"250 2.0.0 accepted\r\n"
        } else if line.eq_ignore_ascii_case(b"DATA\r\n") {
            is_content = true;
            b"354 send the mail\r\n"
        } else if line.eq_ignore_ascii_case(b"QUIT\r\n") {
            return stream.write_all(b"221 2.0.0 bye\r\n").await;
        } else {
            b"250 ok\r\n"
        };
        stream.write_all(reply).await?;
    }
}

/// The messages that a gateway accepted.
#[derive(Default)]
struct Posted {
    count: AtomicUsize,
    /// The time of the first message about each ticket, in milliseconds since 1970.
    times: Mutex<HashMap<String, i64>>,
}

/// A gateway for short messages that counts the messages, and remembers the time of the first message about each
/// ticket.
pub(super) struct Gateway {
    pub(super) port: u16,
    posted: Arc<Posted>,
}

impl Gateway {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let posted = Arc::new(Posted::default());
        let router = Router::new()
            .route("/", post(accept))
            .with_state(posted.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, posted }
    }

    pub(super) fn count(&self) -> usize {
        self.posted.count.load(Ordering::Relaxed)
    }

    /// Waits until the gateway has accepted `wanted` messages since its start.
    pub(super) async fn wait(&self, wanted: usize) {
        arrived("messages at the gateway", wanted, PAUSE, async || {
            self.count()
        })
        .await;
    }

    /// Returns the time of the first message about a ticket, in milliseconds since 1970.
    pub(super) fn time(&self, ticket: &str) -> Option<i64> {
        let times = self.posted.times.lock().expect("no holder panics");
        times.get(ticket).copied()
    }
}

async fn accept(State(posted): State<Arc<Posted>>, Json(body): Json<Value>) -> Json<Value> {
    let now = now_ms();
    let ticket = body["ticket"].as_str().unwrap_or_default().to_owned();
    let mut times = posted.times.lock().expect("no holder panics");
    times.entry(ticket).or_insert(now);
    drop(times);
    posted.count.fetch_add(1, Ordering::Relaxed);
    Json(json!({ "code": "0" }))
}

/// Measures the receivers alone, with clients that do nothing else.
pub(super) async fn measure(table: &mut Table) {
    let each = counted(MESSAGES).div_ceil(CONNECTIONS);
    let relay = Mails::start().await;
    let mut mail = "0123456789".repeat(6);
    mail.push_str("\r\n");
    let mail = format!("{}.\r\n", mail.repeat(LINES));
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (port, mail) = (relay.port, mail.clone());
        clients.spawn(async move { send_mails(port, each, &mail).await.expect("sent") });
    }
    clients.join_all().await;
    relay.wait(each * CONNECTIONS).await;
    let mut rate = Rate::default();
    rate.add(relay.count(), begin.elapsed().as_secs_f64());
    table.note(
        "the mail relay of the test alone, 8 bare connections",
        format!("{:.0} mails/s", rate.per_second()),
    );

    let gateway = Gateway::start().await;
    let begin = Instant::now();
    let http = tests::process::client();
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        let (http, url) = (http.clone(), format!("http://127.0.0.1:{}/", gateway.port));
        clients.spawn(async move {
            for number in 0..each {
                let body = json!({ "ticket": format!("{client}-{number}"), "text": "a message" });
                let response = http.post(&url).json(&body).send().await;
                let response = response.expect("a response");
                response.bytes().await.expect("a body");
            }
        });
    }
    clients.join_all().await;
    let mut rate = Rate::default();
    rate.add(gateway.count(), begin.elapsed().as_secs_f64());
    table.note(
        "the HTTP receiver of the test alone, 8 clients",
        format!("{:.0} requests/s", rate.per_second()),
    );
}

/// Sends mails over one connection.
async fn send_mails(port: u16, count: usize, mail: &str) -> std::io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut reply = String::new();
    stream.read_line(&mut reply).await?;
    for _ in 0..count {
        for command in [
            "MAIL FROM:<desk@example.com>\r\n",
            "RCPT TO:<lisi@example.com>\r\n",
            "DATA\r\n",
            mail,
        ] {
            stream.write_all(command.as_bytes()).await?;
            reply.clear();
            stream.read_line(&mut reply).await?;
        }
    }
    Ok(())
}
