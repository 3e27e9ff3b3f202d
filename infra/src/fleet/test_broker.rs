//! Contains an MQTT 3.1.1 broker for tests. The tests decide which subscriptions the broker refuses. The broker delivers
//! no messages.

use std::collections::BTreeSet;
use std::io::{Error, ErrorKind};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::MESSAGE_BYTES_MAX;

/// What the broker refuses, and what it has received.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The topic filters that the broker refuses.
    pub refused: BTreeSet<String>,
    /// Number of the connections that clients have opened.
    pub connections: usize,
    /// The topic filters of all subscriptions, in the order of their arrival.
    pub subscriptions: Vec<String>,
    /// The topics of all published messages, in the order of their arrival.
    pub published: Vec<String>,
}

/// A broker on a free port of the loopback address. The broker ends when the value is dropped.
#[derive(Debug)]
pub struct TestBroker {
    pub port: u16,
    pub state: Arc<watch::Sender<State>>,
    _tasks: JoinSet<()>,
}

impl TestBroker {
    /// Starts a broker that refuses the given topic filters.
    pub async fn start(refused: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(watch::Sender::new(State::default()));
        let mut tasks = JoinSet::new();
        let shared = state.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.send_modify(|state| state.connections += 1);
                let shared = shared.clone();
                connections.spawn(async move { converse(stream, &shared).await });
            }
        });
        let broker = Self {
            port,
            state,
            _tasks: tasks,
        };
        broker.refuse(refused);
        broker
    }

    /// Replaces the set of the topic filters that the broker refuses from now on.
    pub fn refuse(&self, filters: &[&str]) {
        let filters = filters.iter().map(|filter| (*filter).to_owned());
        self.state
            .send_modify(|state| state.refused = filters.collect());
    }
}

/// Answers the packets of one client until the connection ends.
async fn converse(mut stream: TcpStream, state: &watch::Sender<State>) -> Result<(), Error> {
    loop {
        let (kind, body) = packet(&mut stream).await?;
        let cut = || Error::from(ErrorKind::InvalidData);
        match kind >> 4 {
            // CONNECT: the broker accepts each client.
            1 => stream.write_all(&[0x20, 2, 0, 0]).await?,
            // PUBLISH: only a message with a quality of service above 0 has a packet id and an answer.
            3 => {
                let (topic, at) = text(&body, 0).ok_or_else(cut)?;
                if kind & 0b0110 != 0 {
                    let id = body.get(at..at + 2).ok_or_else(cut)?;
                    stream.write_all(&[0x40, 2, id[0], id[1]]).await?;
                }
                state.send_modify(|state| state.published.push(topic));
            }
            // SUBSCRIBE: each topic filter has its own return code.
            8 => {
                let id = body.get(..2).ok_or_else(cut)?;
                let (mut at, mut codes, mut filters) = (2, Vec::<u8>::new(), Vec::new());
                while let Some((filter, next)) = text(&body, at) {
                    let is_refused = state.borrow().refused.contains(&filter);
                    codes.push(if is_refused { 0x80 } else { 0 });
                    filters.push(filter);
                    at = next + 1;
                }
                let length = u8::try_from(2 + codes.len()).map_err(|_| cut())?;
                let answer = [&[0x90, length, id[0], id[1]][..], codes.as_slice()].concat();
                state.send_modify(|state| state.subscriptions.extend(filters));
                stream.write_all(&answer).await?;
            }
            // PINGREQ
            12 => stream.write_all(&[0xd0, 0]).await?,
            // DISCONNECT, and packets that the clients of the tests do not send.
            _ => return Ok(()),
        }
    }
}

/// Reads one packet. Returns its first byte, and its content after the length.
async fn packet(stream: &mut TcpStream) -> Result<(u8, Vec<u8>), Error> {
    let kind = stream.read_u8().await?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
        if shift > 21 {
            return Err(ErrorKind::InvalidData.into());
        }
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// Reads the text at the position `at`. Returns the text and the position after it. Returns `None` at the end of the
/// packet.
fn text(body: &[u8], at: usize) -> Option<(String, usize)> {
    let length = body.get(at..at + 2)?;
    let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    let bytes = body.get(at + 2..end)?;
    Some((String::from_utf8_lossy(bytes).into_owned(), end))
}
