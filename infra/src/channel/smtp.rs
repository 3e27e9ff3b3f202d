//! Sends mails by SMTP (RFC 5321). The egress rules (rules for outgoing connections) limit the addresses to
//! which the desk connects.

mod pool;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use async_trait::async_trait;
use events::Moment;
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
#[cfg(feature = "local")]
use lettre::transport::smtp::client::{Certificate, TlsParametersBuilder};
use lettre::transport::smtp::commands::{Data, Mail as MailCommand, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error as SmtpError, response::Response as SmtpResponse};

use tokio::net::TcpStream;

use self::pool::{Key, Link, Pool};
use super::{Mail, MailError, MailReply, MailTls, Mailer};
use crate::cache::{Bounds, Cache, NEVER};
use crate::http::egress::Egress;

/// The type of a new connection to a mail relay before the client sends its first command.
enum Connection {
    Plain(TcpStream),
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

    /// Greets the relay over a new connection, encrypts the connection and logs in.
    async fn greet(&self, mail: &Mail, opened: Connection) -> Result<Box<Link>, SmtpError> {
        let hello = ClientId::Domain(mail.hello.clone());
        let mut connection = match opened {
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

    /// Begins a mail over a kept connection, or over a new one if the kept connection does not work any more. Returns the
    /// connection on which the relay accepted the sender of the mail.
    ///
    /// The first command of the mail shows whether a kept connection still works, so no command is necessary only for
    /// this test. Without content, the relay has nothing to deliver, so the mail can begin again on another connection.
    async fn begin(&self, mail: &Mail) -> Result<Result<Box<Link>, SmtpError>, MailError> {
        let key = Key::of(mail);
        if let Some(mut link) = self.pool.take(key) {
            let begun = link.connection.command(first_command(mail));
            let begun = tokio::time::timeout(pool::ANSWER, begun).await;
            match begun {
                Ok(Ok(_)) => return Ok(Ok(link)),
                Ok(Err(error)) if error.is_permanent() => return Ok(Err(error)),
                // The reason may be the age of the connection: some relays end a connection with another code than 421, or
                // limit the number of mails over one connection. The reply on a new connection counts.
                Ok(Err(error)) if error.is_transient() && !is_closing(&error) => {}
                // The relay has closed the connection. It has probably closed the older ones too.
                Ok(Err(_)) | Err(_) => self.pool.discard(key),
            }
        }
        let opened = self.open(mail).await?;
        let begun = async {
            let mut link = self.greet(mail, opened).await?;
            link.connection.command(first_command(mail)).await?;
            Ok::<_, SmtpError>(link)
        };
        Ok(begun.await)
    }

    /// Opens a new connection to the relay of a mail.
    async fn open(&self, mail: &Mail) -> Result<Connection, MailError> {
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

/// Returns an address as the mail library needs it. Returns `None` if the address is invalid.
fn address(text: &str) -> Option<Address> {
    text.parse().ok()
}

/// Returns the command that begins a mail (RFC 5321, section 3.3).
fn first_command(mail: &Mail) -> MailCommand {
    MailCommand::new(address(&mail.from), Vec::new())
}

/// The code with which a relay closes a connection (RFC 5321, section 3.8).
const CLOSING: u16 = 421;
/// The code with which a relay asks for the content of a mail (RFC 5321, section 4.1.1.4).
const READY: u16 = 354;

/// Returns true if an error is the reply of a relay that closes the connection.
fn is_closing(error: &SmtpError) -> bool {
    error
        .status()
        .is_some_and(|status| u16::from(status) == CLOSING)
}

/// Sends one mail over a connection on which [`Smtp::begin`] began it. Returns the reply of the mail relay, and the
/// connection if it can be used for the next mail. Sets `is_sent` to true just before the content of the mail is sent. If an
/// error occurs after this moment, it is possible that the relay has already accepted the mail.
async fn converse(
    mail: &Mail,
    mut link: Box<Link>,
    is_sent: &mut bool,
) -> Result<(SmtpResponse, Option<Box<Link>>), SmtpError> {
    let connection = &mut link.connection;
    if let Some(to) = address(&mail.to) {
        connection.command(Rcpt::new(to, Vec::new())).await?;
    }
    let ready = connection.command(Data).await?;
    *is_sent = true;
    let response = connection.message(&mail.bytes).await?;
    // After any other reply, the next reply may belong to an earlier command.
    let is_in_step = ready.has_code(READY) && is_complete(&response);
    Ok((response, is_in_step.then_some(link)))
}

/// Returns true if a reply is the last one to a command (RFC 5321, section 4.2.1).
fn is_complete(response: &SmtpResponse) -> bool {
    (200..300).contains(&u16::from(response.code()))
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &Mail) -> Result<MailReply, MailError> {
        let mut is_sent = false;
        // The timeout also includes the time that the lookup of the address of the mail relay needs.
        let conversation = async {
            Ok::<_, MailError>(match self.begin(mail).await? {
                Ok(link) => converse(mail, link, &mut is_sent).await,
                Err(error) => Err(error),
            })
        };
        let outcome = tokio::time::timeout(mail.timeout, conversation).await;
        match outcome {
            Ok(Err(error)) => Err(error),
            Ok(Ok(Ok((response, link)))) => {
                // The relay has answered, so the rest must not change the result.
                if let Some(link) = link {
                    self.pool.keep(Key::of(mail), link);
                }
                let code = u16::from(response.code());
                if !is_complete(&response) {
                    let reason = format!("the mail relay answered with {code} to a complete mail");
                    return Err(lost(is_sent, &reason));
                }
                Ok(MailReply {
                    code,
                    text: response.message().collect::<Vec<_>>().join(" "),
                })
            }
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

/// Returns the TLS settings for a connection to `host`. The client trusts the same root certificates as the HTTP client,
/// see [`crate::http::tls`].
fn tls(host: &str) -> Result<TlsParameters, SmtpError> {
    let builder = TlsParameters::builder(host.to_owned());
    #[cfg(feature = "local")]
    let builder = with_roots(builder)?;
    builder.build_rustls()
}

#[cfg(feature = "local")]
fn with_roots(mut builder: TlsParametersBuilder) -> Result<TlsParametersBuilder, SmtpError> {
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        builder = builder.add_root_certificate(Certificate::from_der(root.to_vec())?);
    }
    Ok(builder)
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
