//! Keeps some connections to mail relays open, so that the next mail needs no new connection, no TLS handshake and no login.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use tokio::time::Instant;

use super::super::Mail;

/// Maximum number of connections that are kept for all relays together.
const KEPT_MAX: usize = 32;
/// Maximum number of connections that are kept for one relay and one login. With fewer, most of the mails that are sent at
/// the same time would need a new connection.
const PER_RELAY_MAX: usize = 16;
/// Maximum number of mails over one connection. Many relays limit this number.
const MAILS_MAX: u32 = 50;
/// The time within which a kept connection must answer. A relay or a firewall may have closed it without a message.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// The time after which a connection without a mail is closed. If the login of an account changes, the connections with the
/// old login therefore end after this time. Most relays wait longer for a command.
const IDLE: Duration = Duration::from_mins(1);

/// A hash of everything that a connection depends on: the relay, the encryption and the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(mail: &Mail) -> Self {
        let parts = (&mail.host, mail.port, mail.tls, &mail.login, &mail.hello);
        Self(*blake3::hash(format!("{parts:?}").as_bytes()).as_bytes())
    }
}

/// An open connection to a mail relay.
pub(super) struct Link {
    pub(super) connection: AsyncSmtpConnection,
    /// Number of mails that the relay accepted over this connection.
    sent: u32,
}

impl Link {
    pub(super) fn new(connection: AsyncSmtpConnection) -> Self {
        Self {
            connection,
            sent: 0,
        }
    }

    /// Closes the connection. An error has no effect, because the relay has answered all mails.
    async fn close(mut self: Box<Self>) {
        let _ = tokio::time::timeout(ANSWER, self.connection.quit()).await;
    }
}

/// The connections that wait for the next mail.
#[derive(Default)]
pub(super) struct Pool(Arc<Mutex<Kept<Box<Link>>>>);

impl Pool {
    /// Returns the newest kept connection. It may not work any more. Returns `None` if there is none.
    pub(super) fn take(&self, key: Key) -> Option<Box<Link>> {
        let mut kept = self.0.lock().expect("no holder panics");
        kept.take(key, Instant::now())
    }

    /// Closes all kept connections to a relay.
    pub(super) fn discard(&self, key: Key) {
        let mut kept = self.0.lock().expect("no holder panics");
        kept.links.retain(|one| one.key != key);
    }

    /// Keeps a connection after the relay accepted a mail. Closes a connection if there are too many, or if it was used too
    /// often. The caller does not wait for the answer of the relay to this close.
    pub(super) fn keep(&self, key: Key, mut link: Box<Link>) {
        link.sent += 1;
        let mut kept = self.0.lock().expect("no holder panics");
        let closed = if link.sent < MAILS_MAX {
            kept.add(key, link, Instant::now())
        } else {
            Some(link)
        };
        if !kept.links.is_empty() && !kept.is_watched {
            kept.is_watched = true;
            tokio::spawn(close_idle(self.0.clone()));
        }
        drop(kept);
        if let Some(closed) = closed {
            tokio::spawn(closed.close());
        }
    }
}

/// Closes the connections that wait for too long. Ends when no connection is left.
async fn close_idle(kept: Arc<Mutex<Kept<Box<Link>>>>) {
    loop {
        let (idle, next) = {
            let mut kept = kept.lock().expect("no holder panics");
            let idle = kept.take_idle(Instant::now());
            let next = kept.links.front().map(|oldest| oldest.since + IDLE);
            kept.is_watched = next.is_some();
            (idle, next)
        };
        for link in idle {
            tokio::spawn(link.close());
        }
        let Some(next) = next else {
            return;
        };
        tokio::time::sleep_until(next).await;
    }
}

/// A connection of the type `L` that waits for the next mail.
struct Waiting<L> {
    key: Key,
    since: Instant,
    link: L,
}

/// The connections of the type `L` that wait for the next mail.
struct Kept<L> {
    /// The connection that waits for the longest time is at the front.
    links: VecDeque<Waiting<L>>,
    /// True while a task closes the connections that wait for too long.
    is_watched: bool,
}

impl<L> Default for Kept<L> {
    fn default() -> Self {
        Self {
            links: VecDeque::new(),
            is_watched: false,
        }
    }
}

impl<L> Kept<L> {
    /// Removes and returns the newest connection with the given key, unless it waits for too long.
    fn take(&mut self, key: Key, now: Instant) -> Option<L> {
        let at = self.links.iter().rposition(|one| one.key == key)?;
        if self.links[at].since + IDLE <= now {
            return None;
        }
        self.links.remove(at).map(|one| one.link)
    }

    /// Adds a connection. Returns a connection that must be closed because there are too many.
    fn add(&mut self, key: Key, link: L, now: Instant) -> Option<L> {
        if self.links.iter().filter(|one| one.key == key).count() >= PER_RELAY_MAX {
            return Some(link);
        }
        let waiting = Waiting {
            key,
            since: now,
            link,
        };
        self.links.push_back(waiting);
        let is_full = self.links.len() > KEPT_MAX;
        let oldest = if is_full {
            self.links.pop_front()
        } else {
            None
        };
        oldest.map(|one| one.link)
    }

    /// Removes and returns the connections that wait for too long.
    fn take_idle(&mut self, now: Instant) -> Vec<L> {
        let count = self.links.iter().take_while(|one| one.since + IDLE <= now);
        let count = count.count();
        self.links.drain(..count).map(|one| one.link).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::MailTls;
    use super::*;

    fn mail() -> Mail {
        Mail {
            host: "relay.example".into(),
            port: 587,
            tls: MailTls::Starttls,
            login: Some(("desk".into(), "password".into())),
            hello: "example.com".into(),
            from: "desk@example.com".into(),
            to: "a@example.com".into(),
            bytes: Vec::new(),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn only_mails_with_the_same_relay_and_login_share_a_connection() {
        let key = Key::of(&mail());
        let to_another = Mail {
            to: "b@example.com".into(),
            bytes: b"x".to_vec(),
            ..mail()
        };
        assert_eq!(Key::of(&to_another), key);
        for other in [
            Mail {
                host: "other.example".into(),
                ..mail()
            },
            Mail { port: 25, ..mail() },
            Mail {
                tls: MailTls::None,
                ..mail()
            },
            Mail {
                login: None,
                ..mail()
            },
            Mail {
                login: Some(("desk".into(), "other".into())),
                ..mail()
            },
        ] {
            assert_ne!(Key::of(&other), key, "{other:?}");
        }
    }

    fn key(number: u16) -> Key {
        Key::of(&Mail {
            port: number,
            ..mail()
        })
    }

    #[test]
    fn a_connection_waits_for_a_limited_time() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut kept = Kept::default();
        for (number, seconds) in [(1, 0), (2, 10), (1, 20)] {
            assert_eq!(kept.add(key(number), seconds, at(seconds)), None);
        }
        assert_eq!(kept.take(key(3), at(20)), None);
        assert!(kept.take_idle(at(59)).is_empty());
        assert_eq!(
            kept.take(key(2), at(70)),
            None,
            "the relay may have closed it"
        );
        assert_eq!(kept.take_idle(at(70)), [0, 10]);
        assert_eq!(kept.take(key(1), at(79)), Some(20));
        assert!(kept.links.is_empty());
    }

    #[test]
    fn the_number_of_waiting_connections_is_bounded() {
        let now = Instant::now();
        let mut kept = Kept::default();
        for number in 0..PER_RELAY_MAX {
            assert_eq!(kept.add(key(1), number, now), None);
        }
        assert_eq!(kept.add(key(1), 100, now), Some(100), "one relay");
        for number in PER_RELAY_MAX..KEPT_MAX {
            let relay = u16::try_from(number).expect("a small number");
            assert_eq!(kept.add(key(relay), number, now), None);
        }
        assert_eq!(kept.add(key(2), 200, now), Some(0), "all relays");
        assert_eq!(kept.links.len(), KEPT_MAX);
        assert_eq!(
            kept.take(key(1), now),
            Some(PER_RELAY_MAX - 1),
            "the newest"
        );
    }
}
