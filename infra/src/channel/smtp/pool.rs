//! Keeps some connections to mail relays open, so that the next mail needs no new connection, no TLS handshake and no login.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;

use super::super::Mail;

/// Maximum number of connections that are kept for all relays together.
const KEPT_MAX: usize = 32;
/// Maximum number of connections that are kept for one relay and one login.
const PER_RELAY_MAX: usize = 4;
/// Maximum number of mails over one connection. Many relays limit this number.
const MAILS_MAX: u32 = 50;
/// The time within which a kept connection must answer. A relay or a firewall may have closed it without a message.
const ANSWER: Duration = Duration::from_secs(2);

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
}

/// The connections that wait for the next mail. The oldest one is at the front.
#[derive(Default)]
pub(super) struct Pool(Mutex<VecDeque<(Key, Box<Link>)>>);

impl Pool {
    /// Returns a kept connection that still answers. Returns `None` if there is none.
    pub(super) async fn take(&self, key: Key) -> Option<Box<Link>> {
        let mut link = self.newest(key)?;
        let answered = tokio::time::timeout(ANSWER, link.connection.test_connected()).await;
        answered
            .is_ok_and(|is_connected| is_connected)
            .then_some(link)
    }

    fn newest(&self, key: Key) -> Option<Box<Link>> {
        let mut kept = self.0.lock().expect("no holder panics");
        let at = kept.iter().rposition(|(one, _)| *one == key)?;
        kept.remove(at).map(|(_, link)| link)
    }

    /// Keeps a connection after the relay accepted a mail. Closes a connection if there are too many, or if it was used too
    /// often.
    pub(super) async fn keep(&self, key: Key, mut link: Box<Link>) {
        link.sent += 1;
        let closed = if link.sent < MAILS_MAX {
            self.add(key, link)
        } else {
            Some(link)
        };
        if let Some(mut closed) = closed {
            // The relay has already accepted the mail, so an error of the command QUIT can be ignored.
            let _ = tokio::time::timeout(ANSWER, closed.connection.quit()).await;
        }
    }

    /// Adds a connection. Returns a connection that must be closed because there are too many.
    fn add(&self, key: Key, link: Box<Link>) -> Option<Box<Link>> {
        let mut kept = self.0.lock().expect("no holder panics");
        if kept.iter().filter(|(one, _)| *one == key).count() >= PER_RELAY_MAX {
            return Some(link);
        }
        kept.push_back((key, link));
        let is_full = kept.len() > KEPT_MAX;
        let oldest = if is_full { kept.pop_front() } else { None };
        oldest.map(|(_, link)| link)
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
}
