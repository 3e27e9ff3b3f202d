//! Reads mailboxes over IMAP (RFC 3501). The egress rules (rules for outgoing connections) limit the addresses to
//! which the desk connects.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_imap::{Client, Session};
use async_trait::async_trait;
use events::Moment;
use futures_util::TryStreamExt as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Cursor, Mailboxes, Page, Settings};
use crate::http::egress::Egress;
use crate::inbound::mail::MAIL_BYTES_MAX;
use crate::mail::MailTls;

/// Maximum duration of one call.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum number of mails in one page.
const MAILS_MAX: usize = 20;
/// One day in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;
/// The size of the mails in a page after which the page ends, in bytes.
const PAGE_BYTES: usize = 16 << 20;

/// A connection with or without encryption.
trait Wire: AsyncRead + AsyncWrite + Unpin + Debug + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Debug + Send> Wire for T {}

/// Reads mailboxes over IMAP.
pub struct Imap {
    egress: Egress,
    /// The TLS settings. Their creation loads all trusted root certificates, so they are created once.
    tls: OnceLock<TlsConnector>,
}

impl Imap {
    pub fn new(egress: Egress) -> Self {
        Self {
            egress,
            tls: OnceLock::new(),
        }
    }

    /// Returns the TLS settings.
    fn tls(&self) -> Result<&TlsConnector, String> {
        if let Some(kept) = self.tls.get() {
            return Ok(kept);
        }
        let made = connector()?;
        Ok(self.tls.get_or_init(|| made))
    }

    /// Opens a connection to the server. Uses only addresses that the egress rules allow.
    async fn connect(&self, settings: &Settings) -> Result<TcpStream, String> {
        let host = settings.host.trim_matches(['[', ']']);
        let allowed = self.egress.addresses(host, settings.port).await;
        let allowed =
            allowed.map_err(|error| format!("cannot find the mail server {host}: {error}"))?;
        if allowed.is_empty() {
            return Err(format!(
                "connections to the mail server {host} are not allowed (--egress)"
            ));
        }
        TcpStream::connect(&*allowed)
            .await
            .map_err(|error| format!("cannot connect to the mail server {host}: {error}"))
    }

    /// Opens an encrypted connection, if the settings require it, and logs in.
    async fn open(
        &self,
        settings: &Settings,
        password: &str,
    ) -> Result<Session<Box<dyn Wire>>, String> {
        let stream = self.connect(settings).await?;
        let stream: Box<dyn Wire> = match settings.tls {
            MailTls::Implicit => Box::new(encrypted(self.tls()?, &settings.host, stream).await?),
            MailTls::None | MailTls::Starttls => Box::new(stream),
        };
        let mut client = Client::new(stream);
        greeting(&mut client).await?;
        if settings.tls == MailTls::Starttls {
            client
                .run_command_and_check_ok("STARTTLS", None)
                .await
                .map_err(|error| format!("the server refused STARTTLS: {error}"))?;
            let stream = encrypted(self.tls()?, &settings.host, client.into_inner()).await?;
            client = Client::new(Box::new(stream) as Box<dyn Wire>);
        }
        let logged_in = client.login(&settings.user, password).await;
        logged_in.map_err(|(error, _)| format!("the login failed: {error}"))
    }
}

#[async_trait]
impl Mailboxes for Imap {
    async fn read(
        &self,
        settings: &Settings,
        password: &str,
        after: Option<Cursor>,
        since: Option<Moment>,
    ) -> Result<Page, String> {
        let reading = async {
            let mut session = self.open(settings, password).await?;
            let page = page(&mut session, &settings.folder, after, since).await;
            // The page is complete, so the result of the logout is not important.
            let _ = session.logout().await;
            page
        };
        let page = tokio::time::timeout(TIMEOUT, reading).await;
        page.unwrap_or_else(|_| Err("the mail server did not answer in time".to_owned()))
    }
}

async fn greeting(client: &mut Client<Box<dyn Wire>>) -> Result<(), String> {
    match client.read_response().await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("the mail server closed the connection".to_owned()),
        Err(error) => Err(format!("the mail server sent no greeting: {error}")),
    }
}

/// Makes the TLS settings. The client trusts the root certificates of Mozilla, which are part of the program, and those
/// of the machine, as for all other connections.
fn connector() -> Result<TlsConnector, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("cannot prepare TLS: {error}");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
    let verifier =
        Verifier::new_with_extra_roots(roots, provider.clone()).map_err(|error| wrong(&error))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Encrypts a connection.
async fn encrypted<T: Wire>(
    tls: &TlsConnector,
    host: &str,
    stream: T,
) -> Result<tokio_rustls::client::TlsStream<T>, String> {
    let name = host.trim_matches(['[', ']']).to_owned();
    let name =
        ServerName::try_from(name).map_err(|error| format!("cannot prepare TLS: {error}"))?;
    tls.connect(name, stream)
        .await
        .map_err(|error| format!("cannot encrypt the connection to the mail server: {error}"))
}

/// Returns the condition that finds the next mails. Without a last mail, the condition finds the mails since the day before
/// `since`, because the server compares days in its own time zone.
fn condition(last: Option<u32>, since: Option<Moment>) -> String {
    let day = since.filter(|_| last.is_none()).and_then(|since| {
        let day = jiff::Timestamp::from_millisecond(since.0.saturating_sub(DAY_MS)).ok()?;
        Some(day.strftime("%d-%b-%Y").to_string())
    });
    match day {
        Some(day) => format!("SINCE {day}"),
        None => format!("UID {}:*", last.unwrap_or_default().saturating_add(1)),
    }
}

/// Reads the next mails. The folder is opened for reading only, so the flags of the mails do not change.
async fn page(
    session: &mut Session<Box<dyn Wire>>,
    folder: &str,
    after: Option<Cursor>,
    since: Option<Moment>,
) -> Result<Page, String> {
    let failed = |error: async_imap::error::Error| format!("cannot read the folder: {error}");
    let opened = session.examine(folder).await.map_err(failed)?;
    let validity = opened
        .uid_validity
        .ok_or("the mail server gives no lasting numbers to mails (UIDVALIDITY)")?;
    let known = after.filter(|after| after.validity == validity);
    let last = known.map(|after| after.uid);
    // Without new mails, the next read starts at the present end. A mail that arrives from now on has a higher number.
    let end = match (last, since, opened.uid_next) {
        (Some(last), _, _) => last,
        (None, None, _) => 0,
        (None, Some(_), Some(next)) => next.saturating_sub(1),
        (None, Some(_), None) => {
            let newest = session.uid_search("UID *").await.map_err(failed)?;
            newest.into_iter().max().unwrap_or_default()
        }
    };
    let mut page = Page {
        cursor: Cursor { validity, uid: end },
        ..Page::default()
    };
    let range = condition(last, since);
    let found = session.uid_search(&range).await.map_err(failed)?;
    // The range always contains the last mail, even if its number is smaller.
    let after = last.unwrap_or_default();
    let mut uids: Vec<u32> = found.into_iter().filter(|uid| *uid > after).collect();
    uids.sort_unstable();
    page.has_more = uids.len() > MAILS_MAX;
    uids.truncate(MAILS_MAX);
    if uids.is_empty() {
        return Ok(page);
    }
    let set: Vec<String> = uids.iter().map(u32::to_string).collect();
    let sizes = session
        .uid_fetch(set.join(","), "(UID RFC822.SIZE INTERNALDATE)")
        .await
        .map_err(failed)?;
    let sizes: Vec<async_imap::types::Fetch> = sizes.try_collect().await.map_err(failed)?;
    let size_of = |uid: u32| {
        let found = sizes.iter().find(|fetch| fetch.uid == Some(uid));
        found.and_then(|fetch| fetch.size)
    };
    // The server gives the time in whole seconds.
    let since_s = since.map(|since| since.0.div_euclid(1_000));
    let is_older = |uid: u32| {
        let found = sizes.iter().find(|fetch| fetch.uid == Some(uid));
        let arrived = found.and_then(async_imap::types::Fetch::internal_date);
        let arrived = arrived.map(|arrived| arrived.timestamp());
        arrived.is_some_and(|arrived| since_s.is_some_and(|since| arrived < since))
    };
    let (mut bytes, mut is_full) = (0, false);
    for uid in uids {
        if bytes >= PAGE_BYTES {
            is_full = true;
            break;
        }
        match size_of(uid) {
            // Another program has removed the mail.
            None => {}
            Some(_) if is_older(uid) => page.older += 1,
            Some(size) if size as usize > MAIL_BYTES_MAX => page.too_large.push((uid, size)),
            Some(_) => {
                if let Some(mail) = mail(session, uid).await.map_err(failed)? {
                    bytes += mail.len();
                    page.mails.push(mail);
                }
            }
        }
        page.cursor.uid = uid;
    }
    page.has_more |= is_full;
    Ok(page)
}

/// Reads one mail. Returns `None` if another program has removed the mail.
async fn mail(
    session: &mut Session<Box<dyn Wire>>,
    uid: u32,
) -> Result<Option<Vec<u8>>, async_imap::error::Error> {
    let fetched = session
        .uid_fetch(uid.to_string(), "(UID BODY.PEEK[])")
        .await?;
    let fetched: Vec<async_imap::types::Fetch> = fetched.try_collect().await?;
    let found = fetched.iter().find(|fetch| fetch.uid == Some(uid));
    Ok(found.and_then(|fetch| fetch.body()).map(<[u8]>::to_vec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_read_begins_at_the_start_and_later_reads_at_the_last_mail() {
        // 2026-11-22T02:00:00Z
        let since = Some(Moment(1_795_312_800_000));
        assert_eq!(condition(None, since), "SINCE 21-Nov-2026");
        assert_eq!(condition(Some(7), since), "UID 8:*");
        assert_eq!(condition(Some(0), since), "UID 1:*");
        assert_eq!(condition(None, None), "UID 1:*");
        assert_eq!(condition(Some(u32::MAX), None), "UID 4294967295:*");
    }
}
