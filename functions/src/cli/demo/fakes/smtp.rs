//! Imitates a mail relay. The imitation accepts mails over SMTP without encryption (RFC 5321). The
//! imitation refuses mails to `nobody@...`, as a real relay refuses mails to an unknown address.

use std::sync::{Arc, Mutex};

use events::Moment;
use infra::clock::Clock;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Maximum number of accepted mails that the imitated mail relay stores.
const KEPT_MAX: usize = 100_000;
/// Maximum length of a line that a mail client sends, in bytes. After a longer line, the mail relay
/// closes the connection.
const LINE_MAX: usize = 4_096;
/// The start of the mail header that contains the ticket number. All mails about one ticket have
/// the same header.
const REFERENCES: &str = "References: <ticket.";

/// A mail that the imitated mail relay accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub to: String,
    /// The ticket number in the header `References`. The text is empty if the mail has no such header.
    pub ticket: String,
    /// The time at which the relay had received the whole mail.
    pub at: Moment,
}

/// An imitation of a mail relay. It stores the accepted mails, and does not forward them.
pub struct Relay {
    clock: Arc<dyn Clock>,
    accepted: Mutex<Vec<Accepted>>,
}

impl Relay {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            accepted: Mutex::default(),
        }
    }

    /// Returns the mails that the imitated mail relay accepted, in the order of their arrival.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.accepted.lock().expect("no holder panics").clone()
    }

    /// Accepts the connections of mail clients that arrive at `listener`. The function runs until its
    /// task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let relay = self.clone();
            tokio::spawn(async move { relay.converse(stream).await });
        }
    }

    /// Receives all mails that one mail client sends through the connection `stream`.
    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 relay.example\r\n").await?;
        let (mut line, mut to, mut ticket, mut is_data) =
            (String::new(), String::new(), String::new(), false);
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 || line.len() > LINE_MAX {
                return Ok(());
            }
            let text = line.trim_end();
            if is_data && text != "." {
                if let Some(found) = text.strip_prefix(REFERENCES) {
                    found
                        .split('@')
                        .next()
                        .unwrap_or_default()
                        .clone_into(&mut ticket);
                }
                continue;
            }
            let reply = if is_data {
                is_data = false;
                self.keep(std::mem::take(&mut to), std::mem::take(&mut ticket));
                "250 2.0.0 stored"
            } else if let Some(address) = text.strip_prefix("RCPT TO:<") {
                address
                    .split('>')
                    .next()
                    .unwrap_or_default()
                    .clone_into(&mut to);
                if to.starts_with("nobody@") {
                    "550 5.1.1 no such mailbox"
                } else {
                    "250 2.1.5 ok"
                }
            } else if text == "DATA" {
                is_data = true;
                "354 send the mail"
            } else if text == "QUIT" {
                stream.write_all(b"221 2.0.0 bye\r\n").await?;
                return Ok(());
            } else {
                "250 ok"
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
    }

    fn keep(&self, to: String, ticket: String) {
        let at = self.clock.now();
        let mut accepted = self.accepted.lock().expect("no holder panics");
        if accepted.len() < KEPT_MAX {
            accepted.push(Accepted { to, ticket, at });
        }
    }
}
