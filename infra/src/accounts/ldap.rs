//! Reads and unlocks accounts of an OpenLDAP server with the password policy overlay
//! (draft-behera-ldap-password-policy-11). The desk connects only to addresses that its egress rules (rules for
//! outgoing connections) allow.
//!
//! The attribute `pwdAccountLockedTime` contains the time at which an account was locked. To remove the lock, the desk
//! replaces the values of this attribute with an empty list. The desk does not delete the attribute, because the
//! deletion of a missing attribute is an error (reference/surprises.md).

use std::collections::HashSet;
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

/// The LDAP attribute that contains the time at which an account was locked.
const LOCKED: &str = "pwdAccountLockedTime";
/// The LDAP attribute that contains the times of failed logins with a wrong password.
const FAILURES: &str = "pwdFailureTime";
/// The LDAP result codes with which a directory refuses to remove the times of wrong passwords. The reasons are:
/// unknown control (12), attribute missing or protected (16, 17, 19), missing right (50), or an unwilling directory
/// (53).
const NOT_RELAXED: [u32; 6] = [12, 16, 17, 19, 50, 53];
/// The value of `pwdAccountLockedTime` in an account that an administrator has locked for an unlimited time
/// (draft-behera-ldap-password-policy-11, section 5.3.3).
const BY_ADMINISTRATOR: &str = "000001010000Z";
/// The LDAP attribute that lists the controls (protocol extensions) that a directory supports (RFC 4512, section 5.1).
const SUPPORTED: &str = "supportedControl";
/// The id of the LDAP control (protocol extension) for password policies (draft-behera-ldap-password-policy-11, section
/// 6.1).
const POLICY_CONTROL: &str = "1.3.6.1.4.1.42.2.27.8.5.1";
/// Maximum number of entries that a search for an account returns. If a search finds two entries, the name of the
/// account is ambiguous.
const ENTRIES_MAX: i32 = 2;
/// The result codes of LDAP that the desk handles (RFC 4511, appendix A).
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;
/// The LDAP result codes after which another attempt can succeed: time limit exceeded (3), busy (51) and unavailable
/// (52).
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
        // The background task ends when `handle` is dropped, because no further requests can be sent after that.
        tokio::spawn(connection.drive());
        let bound = handle.with_timeout(server.timeout);
        let bound = bound.simple_bind(&server.user, &server.password).await;
        let bound = bound.map_err(|error| unavailable(&error))?;
        check("the login of the desk", bound.rc)?;
        Ok(handle)
    }

    /// Opens a TCP connection to the directory. Uses only addresses that the egress rules (rules for outgoing
    /// connections) allow.
    async fn stream(&self, server: &Server) -> Result<std::net::TcpStream, AccountsError> {
        let host = server.host.trim_matches(['[', ']']);
        let allowed = self.egress.addresses(host, server.port).await;
        let allowed = allowed.map_err(|error| {
            AccountsError::Unavailable(format!("cannot find the directory: {error}"))
        })?;
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

    /// Returns whether a directory supports password policies. Also returns true if the directory does not list the
    /// controls (protocol extensions) that it supports.
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

    /// Searches for an account. Returns the state of the account and the distinguished name of its entry. The
    /// distinguished name is empty if the search does not find exactly one entry.
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
        // The result can contain referrals to other directories. Referrals are not entries, so they are removed.
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
            // The times of the wrong passwords are removed together with the lock. Otherwise, the next wrong password
            // would lock the account again at once. This removal needs the LDAP control "relax rules" and a special
            // right. If the directory does not permit the removal, the desk removes only the lock.
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

/// Runs an operation. Returns an error if the operation takes longer than `timeout`.
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

/// Returns an error if an LDAP result code does not mean success. The error text does not contain the message of the
/// directory, because this message can contain names of accounts.
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

/// Converts an error of the LDAP connection to [`AccountsError::Unavailable`]. Such an error contains no names of
/// accounts.
fn unavailable(error: &LdapError) -> AccountsError {
    AccountsError::Unavailable(format!("the directory cannot be used: {error}"))
}
