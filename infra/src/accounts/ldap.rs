//! Reads and unlocks accounts of an OpenLDAP server with the password policy overlay (draft-behera-ldap-password-
//! policy-11). The egress rules of the desk limit the addresses to which connections are allowed.
//!
//! The attribute `pwdAccountLockedTime` contains the time of the lock. The desk removes the lock by replacing this
//! attribute with no value, because a deletion of a missing attribute is an error (reference/surprises.md).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use domain::automation::steps::AccountState;
use ldap3::controls::RelaxRules;
use ldap3::{
    Ldap as Handle, LdapConnAsync, LdapConnSettings, LdapError, Mod, Scope, SearchEntry,
    SearchOptions, StdStream, ldap_escape,
};

use super::{Accounts, AccountsError, Protection, Server};
use crate::http::egress::Egress;

/// The attribute with the time of the lock.
const LOCKED: &str = "pwdAccountLockedTime";
/// The attribute with the times of the wrong passwords.
const FAILURES: &str = "pwdFailureTime";
/// The result codes of a directory that does not let the desk remove the times of the wrong passwords: the control
/// is unknown (12), the attribute cannot be changed (16 to 19), the right is missing (50), and others.
const NOT_RELAXED: [u32; 6] = [12, 16, 17, 19, 50, 53];
/// The value with which an administrator locks an account for an unlimited time (draft-behera-ldap-password-
/// policy-11, section 5.3.3).
const BY_ADMINISTRATOR: &str = "000001010000Z";
/// The attribute with the controls that a directory supports (RFC 4512, section 5.1).
const SUPPORTED: &str = "supportedControl";
/// The control of password policies (draft-behera-ldap-password-policy-11, section 6.1).
const POLICY_CONTROL: &str = "1.3.6.1.4.1.42.2.27.8.5.1";
/// Maximum number of entries that a search returns. Two entries show that the name is ambiguous.
const ENTRIES_MAX: i32 = 2;
/// The result codes of LDAP that the desk handles (RFC 4511, appendix A).
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;
/// The result codes after which another attempt can succeed: busy, unavailable, and the time limit.
const TEMPORARY: [u32; 3] = [3, 51, 52];

/// Reads and unlocks accounts over LDAP.
pub struct Ldap {
    egress: Egress,
}

impl Ldap {
    pub fn new(egress: Egress) -> Self {
        Self { egress }
    }

    /// Opens a connection to a directory, and logs in.
    async fn connect(&self, server: &Server) -> Result<Handle, AccountsError> {
        let stream = self.stream(server).await?;
        let settings = LdapConnSettings::new()
            .set_conn_timeout(server.timeout)
            .set_starttls(server.protection == Protection::StartTls)
            .set_std_stream(StdStream::Tcp(stream));
        let opened = LdapConnAsync::with_settings(settings, &server.target()).await;
        let (connection, mut handle) = opened.map_err(|error| unavailable(&error))?;
        // The task ends when the handle is dropped, because the connection then has no more requests.
        tokio::spawn(connection.drive());
        let bound = handle.with_timeout(server.timeout);
        let bound = bound.simple_bind(&server.user, &server.password).await;
        let bound = bound.map_err(|error| unavailable(&error))?;
        check("the login of the desk", bound.rc)?;
        Ok(handle)
    }

    /// Opens a TCP connection to an address of the directory that the egress rules allow.
    async fn stream(&self, server: &Server) -> Result<std::net::TcpStream, AccountsError> {
        let host = server.host.trim_matches(['[', ']']);
        let is_named = self.egress.allows_host(host);
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![(address, server.port).into()],
            Err(_) => tokio::net::lookup_host((host, server.port))
                .await
                .map_err(|error| {
                    AccountsError::Unavailable(format!("cannot find the directory: {error}"))
                })?
                .collect(),
        };
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| is_named || self.egress.allows(address.ip()))
            .collect();
        if allowed.is_empty() {
            return Err(AccountsError::Refused(format!(
                "connections to the directory {host} are not allowed (--egress)"
            )));
        }
        let stream = tokio::net::TcpStream::connect(&*allowed).await;
        stream
            .and_then(tokio::net::TcpStream::into_std)
            .map_err(|error| {
                AccountsError::Unavailable(format!("cannot connect to the directory: {error}"))
            })
    }

    /// Returns false if the directory says that it does not support password policies. A directory that does not
    /// show what it supports counts as a directory with password policies.
    async fn has_policies(handle: &mut Handle, server: &Server) -> Result<bool, AccountsError> {
        let search = handle.with_timeout(server.timeout);
        let found = search.search("", Scope::Base, "(objectClass=*)", [SUPPORTED]);
        let ldap3::SearchResult(entries, _) = found.await.map_err(|error| unavailable(&error))?;
        let controls: Vec<String> = entries
            .into_iter()
            .flat_map(|entry| SearchEntry::construct(entry).attrs)
            .filter(|(name, _)| name.eq_ignore_ascii_case(SUPPORTED))
            .flat_map(|(_, values)| values)
            .collect();
        Ok(controls.is_empty() || controls.iter().any(|control| control == POLICY_CONTROL))
    }

    /// Searches an account. Returns its state and the distinguished name of its entry. The name is empty if there
    /// is not exactly one entry.
    async fn find(
        handle: &mut Handle,
        server: &Server,
        account: &str,
    ) -> Result<(AccountState, String), AccountsError> {
        let filter = format!("({}={})", server.attribute, ldap_escape(account));
        let options = SearchOptions::new().sizelimit(ENTRIES_MAX);
        let search = handle
            .with_timeout(server.timeout)
            .with_search_options(options);
        let found = search.search(&server.base, Scope::Subtree, &filter, [LOCKED]);
        let ldap3::SearchResult(entries, result) =
            found.await.map_err(|error| unavailable(&error))?;
        if result.rc == NO_SUCH_OBJECT {
            let reason = "the directory has no entry with the name in `base`";
            return Err(AccountsError::Refused(reason.into()));
        }
        if result.rc == SIZE_LIMIT_EXCEEDED {
            return Ok((AccountState::Ambiguous, String::new()));
        }
        check("the search", result.rc)?;
        // A referral to another directory is not an entry.
        let mut entries = entries
            .into_iter()
            .filter(|entry| !entry.is_ref() && !entry.is_intermediate())
            .map(SearchEntry::construct);
        Ok(match (entries.next(), entries.next()) {
            (None, _) => (AccountState::Missing, String::new()),
            (Some(_), Some(_)) => (AccountState::Ambiguous, String::new()),
            (Some(entry), None) => {
                let values = entry
                    .attrs
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(LOCKED));
                let since = values.and_then(|(_, values)| values.first());
                let state = match since.map(String::as_str) {
                    None => AccountState::NotLocked,
                    Some(BY_ADMINISTRATOR) => AccountState::LockedByAdministrator,
                    Some(since) => AccountState::Locked(since.to_owned()),
                };
                (state, entry.dn)
            }
        })
    }
}

#[async_trait]
impl Accounts for Ldap {
    async fn read(&self, server: &Server, account: &str) -> Result<AccountState, AccountsError> {
        within(server.timeout, async {
            let mut handle = self.connect(server).await?;
            let (state, _) = Self::find(&mut handle, server, account).await?;
            if state == AccountState::NotLocked && !Self::has_policies(&mut handle, server).await? {
                let reason = "the directory has no password policies, so it cannot tell whether an account is locked";
                return Err(AccountsError::Refused(reason.into()));
            }
            let _ = handle.unbind().await;
            Ok(state)
        })
        .await
    }

    async fn unlock(&self, server: &Server, account: &str) -> Result<AccountState, AccountsError> {
        within(server.timeout, async {
            let mut handle = self.connect(server).await?;
            let (state, entry) = Self::find(&mut handle, server, account).await?;
            let AccountState::Locked(_) = state else {
                return Ok(state);
            };
            // The old wrong passwords are removed too. Otherwise, the next wrong password would lock the account
            // again at once. Only a directory with the control "relax rules" and a special right allows this, so
            // the desk else removes only the lock.
            let both = vec![
                Mod::Replace(LOCKED, HashSet::new()),
                Mod::Replace(FAILURES, HashSet::new()),
            ];
            let change = handle
                .with_timeout(server.timeout)
                .with_controls(RelaxRules)
                .modify(&entry, both);
            let changed = change.await.map_err(|error| unavailable(&error))?;
            if NOT_RELAXED.contains(&changed.rc) {
                let lock = vec![Mod::Replace(LOCKED, HashSet::new())];
                let change = handle.with_timeout(server.timeout).modify(&entry, lock);
                let changed = change.await.map_err(|error| unavailable(&error))?;
                check("the change of the account", changed.rc)?;
            } else {
                check("the change of the account", changed.rc)?;
            }
            let _ = handle.unbind().await;
            Ok(AccountState::NotLocked)
        })
        .await
    }
}

/// Limits the duration of a whole operation.
async fn within<T>(
    timeout: Duration,
    operation: impl Future<Output = Result<T, AccountsError>>,
) -> Result<T, AccountsError> {
    match tokio::time::timeout(timeout, operation).await {
        Ok(done) => done,
        Err(_) => Err(AccountsError::Unavailable(format!(
            "the directory did not answer within {timeout:?}"
        ))),
    }
}

/// Returns an error for a result code of LDAP that is not success. The text of the directory is not used, because
/// it can contain names of accounts.
fn check(what: &str, code: u32) -> Result<(), AccountsError> {
    let meaning = match code {
        SUCCESS => return Ok(()),
        3 => "the time limit was exceeded",
        49 => "the name or the password is wrong",
        50 => "the desk has no right to do this, or must first change its own password",
        51 => "the directory is busy",
        52 => "the directory is unavailable",
        53 => "the directory is unwilling",
        _ => "see RFC 4511, appendix A",
    };
    let reason = format!("the directory refused {what} with code {code}: {meaning}");
    Err(if TEMPORARY.contains(&code) {
        AccountsError::Unavailable(reason)
    } else {
        AccountsError::Refused(reason)
    })
}

/// Returns the error for a connection that failed. Such an error contains no names of accounts.
fn unavailable(error: &LdapError) -> AccountsError {
    AccountsError::Unavailable(format!("the directory cannot be used: {error}"))
}
