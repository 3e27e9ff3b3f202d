//! Sends mails by SMTP (RFC 5321). The egress rules (rules for outgoing connections) limit the addresses to
//! which the desk connects.

mod pool;

use std::net::SocketAddr;

use async_trait::async_trait;
use events::Moment;
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailCommand, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error as SmtpError, response::Response as SmtpResponse};

use tokio::net::TcpStream;

use self::pool::{Key, Link, Pool};
use super::{Mail, MailError, MailReply, MailTls, Mailer};
use crate::cache::{Bounds, Cache, NEVER};
use crate::http::egress::Egress;

/// The type of the connection to a mail relay before the client sends its first command.
enum Connection {
    Plain(TcpStream),
    /// An open connection over which the relay has accepted an earlier mail.
    Kept(Box<Link>),
    /// The library opens a connection with TLS to one of these addresses. It cannot set the TCP option `nodelay`.
    Tls(Vec<SocketAddr>, TlsParameters),
}

/// Maximum number of mail relays whose TLS settings are in the cache.
const RELAYS_MAX: usize = 100;

/// A mailer that sends mails to real mail relays.
pub struct Smtp {
    egress: Egress,
    /// The TLS settings for each host name of a mail relay. The creation of these settings loads all trusted root
    /// certificates. The mailer therefore creates the settings once per host name, and not for each mail.
    tls: Cache<String, TlsParameters>,
    pool: Pool,
}

impl Smtp {
    pub fn new(egress: Egress) -> Self {
        Self {
            egress,
            tls: Cache::new(Bounds::entries(RELAYS_MAX)),
            pool: Pool::default(),
        }
    }

    /// Looks up the addresses of a mail relay. Returns the addresses that the egress rules (rules for
    /// outgoing connections) allow. Returns an error if no address is allowed.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, MailError> {
        let allowed = self.egress.addresses(host, port).await;
        let allowed = allowed.map_err(|error| {
            MailError::NotSent(format!("cannot find the mail relay {host}: {error}"))
        })?;
        if allowed.is_empty() {
            return Err(MailError::NotSent(format!(
                "connections to the mail relay {host} are not allowed (--egress)"
            )));
        }
        Ok(allowed)
    }

    /// Returns the TLS settings for connections to `host`.
    fn tls(&self, host: &str) -> Result<TlsParameters, SmtpError> {
        if let Some(kept) = self.tls.get(host, Moment(0)) {
            return Ok(kept);
        }
        let made = tls(host)?;
        self.tls.put(host.to_owned(), made.clone(), 0, NEVER);
        Ok(made)
    }

    /// Sends one mail, and returns the reply of the mail relay. Sets `is_sent` to true just before the content of the mail
    /// is sent. If an error occurs after this moment, it is possible that the relay has already accepted the mail.
    async fn converse(
        &self,
        mail: &Mail,
        opened: Connection,
        is_sent: &mut bool,
    ) -> Result<SmtpResponse, SmtpError> {
        let mut link = self.greet(mail, opened).await?;
        let connection = &mut link.connection;
        let address = |text: &str| text.parse::<Address>().ok();
        let begin = MailCommand::new(address(&mail.from), Vec::new());
        connection.command(begin).await?;
        if let Some(to) = address(&mail.to) {
            connection.command(Rcpt::new(to, Vec::new())).await?;
        }
        connection.command(Data).await?;
        *is_sent = true;
        let response = connection.message(&mail.bytes).await?;
        self.pool.keep(Key::of(mail), link).await;
        Ok(response)
    }

    /// Greets the relay over a new connection, encrypts the connection and logs in. A kept connection needs nothing.
    async fn greet(&self, mail: &Mail, opened: Connection) -> Result<Box<Link>, SmtpError> {
        let hello = ClientId::Domain(mail.hello.clone());
        let mut connection = match opened {
            Connection::Kept(link) => return Ok(link),
            Connection::Plain(stream) => {
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await?
            }
            Connection::Tls(addresses, tls) => {
                let (timeout, addresses) = (Some(mail.timeout), addresses.as_slice());
                AsyncSmtpConnection::connect_tokio1(addresses, timeout, &hello, Some(tls), None)
                    .await?
            }
        };
        if mail.tls == MailTls::Starttls {
            connection.starttls(self.tls(&mail.host)?, &hello).await?;
        }
        if let Some((user, password)) = &mail.login {
            let credentials = Credentials::new(user.clone(), password.clone());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            connection.auth(&mechanisms, &credentials).await?;
        }
        Ok(Box::new(Link::new(connection)))
    }

    /// Returns a kept connection to the relay of a mail, or opens a new one.
    async fn open(&self, mail: &Mail) -> Result<Connection, MailError> {
        if let Some(link) = self.pool.take(Key::of(mail)).await {
            return Ok(Connection::Kept(link));
        }
        let addresses = self.addresses(&mail.host, mail.port).await?;
        match mail.tls {
            MailTls::None | MailTls::Starttls => {
                Ok(Connection::Plain(connect(mail, &addresses).await?))
            }
            MailTls::Implicit => {
                let tls = self.tls(&mail.host);
                let tls = tls.map_err(|error| MailError::NotSent(error.to_string()))?;
                Ok(Connection::Tls(addresses, tls))
            }
        }
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &Mail) -> Result<MailReply, MailError> {
        let mut is_sent = false;
        // The timeout also includes the time that the lookup of the address of the mail relay needs.
        let conversation = async {
            let opened = self.open(mail).await?;
            Ok::<_, MailError>(self.converse(mail, opened, &mut is_sent).await)
        };
        let outcome = tokio::time::timeout(mail.timeout, conversation).await;
        match outcome {
            Ok(Err(error)) => Err(error),
            Ok(Ok(Ok(response))) => Ok(MailReply {
                code: response.code().into(),
                text: response.message().collect::<Vec<_>>().join(" "),
            }),
            Ok(Ok(Err(error))) => reply_of(&error).map_or_else(|| Err(lost(is_sent, &error)), Ok),
            Err(_) => {
                let reason = format!("the mail relay did not answer within {:?}", mail.timeout);
                Err(lost(is_sent, &reason))
            }
        }
    }
}

/// Opens a TCP connection to the first of the addresses that accepts one.
///
/// The library sends the content of a mail and its last line in two parts. Without the TCP option `nodelay`, the
/// operating system sends the second part only after the relay has confirmed the first part. Many relays confirm
/// after 40 ms.
async fn connect(mail: &Mail, addresses: &[SocketAddr]) -> Result<TcpStream, MailError> {
    let share = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut reason = String::new();
    for address in addresses {
        let connecting = TcpStream::connect(address);
        let stream = match tokio::time::timeout(mail.timeout / share, connecting).await {
            Ok(connected) => connected.and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(stream)
            }),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        match stream {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                reason = format!("cannot connect to the mail relay {}: {error}", mail.host);
            }
        }
    }
    Err(MailError::NotSent(reason))
}

fn lost(is_sent: bool, reason: &impl std::fmt::Display) -> MailError {
    let reason = reason.to_string();
    if is_sent {
        MailError::Unknown(reason)
    } else {
        MailError::NotSent(reason)
    }
}

/// Returns the TLS settings for a connection to `host`. The client trusts two sets of root certificates: the
/// set of Mozilla, which is part of the program, and the set of the operating system. The HTTP client trusts
/// the same two sets.
fn tls(host: &str) -> Result<TlsParameters, SmtpError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        builder = builder.add_root_certificate(Certificate::from_der(root.to_vec())?);
    }
    builder.build_rustls()
}

/// Returns the reply of the mail relay that an error contains. Returns `None` if the error contains
/// no reply. The text of an error with a reply has the form `permanent error (550): text`.
fn reply_of(error: &SmtpError) -> Option<MailReply> {
    let code = error.status()?.into();
    let shown = error.to_string();
    let text = shown.split_once("): ").map_or("", |(_, text)| text);
    Some(MailReply {
        code,
        text: text.to_owned(),
    })
}
