//! Reads and unlocks accounts in directories such as an LDAP server (reference/automation.md, section 4).
//!
//! Each operation may be repeated. Unlocking an account that is not locked changes nothing.
//!
//! **How to add an adapter**: Create one file in this directory that implements [`Accounts`]. Add one test that runs
//! the contract test in `contract.rs` on the adapter.

pub mod contract;
pub mod ldap;
pub mod memory;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::automation::steps::AccountState;
use serde_json::Value;

/// Maximum duration of one operation on a directory, including the connection and the login.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Default name of the LDAP attribute that contains the name of an account.
const ACCOUNT_ATTRIBUTE: &str = "uid";

/// The encryption of the connection to a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The connection uses no TLS. The password of the desk is then readable on the network.
    None,
    /// The connection uses TLS from the beginning (`ldaps`).
    Tls,
    /// The connection changes to TLS before the login (RFC 4511, section 4.14).
    StartTls,
}

/// A directory of accounts, with the data that the desk needs to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub protection: Protection,
    /// The distinguished name of the entry below which accounts are searched.
    pub base: String,
    /// The name of the LDAP attribute that contains the name of an account.
    pub attribute: String,
    /// The distinguished name with which the desk logs in.
    pub user: String,
    pub password: String,
    pub timeout: Duration,
}

impl Server {
    /// Reads the settings of an automation platform of the kind `ldap`. If a setting is missing, wrong or unknown,
    /// returns an English text that names this setting.
    pub fn read(settings: &BTreeMap<String, Value>, password: &str) -> Result<Self, String> {
        const KNOWN: [&str; 5] = ["url", "tls", "base", "attribute", "user"];
        if let Some(unknown) = settings.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(format!("`{unknown}` is not a setting of ldap"));
        }
        let text = |key: &str| match settings.get(key) {
            None => Err(format!("`{key}` is missing")),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            Some(_) => Err(format!("`{key}` must be a text that is not empty")),
        };
        let wrong = || "`url` must have the form ldap://HOST:PORT or ldaps://HOST:PORT".to_owned();
        let url: crate::http::Url = text("url")?.parse().map_err(|_| wrong())?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let is_plain = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && !host.starts_with('[')
            && !host.is_empty();
        let protection = match (url.scheme(), settings.get("tls").and_then(Value::as_str)) {
            ("ldaps", None) => Protection::Tls,
            ("ldap", Some("starttls")) => Protection::StartTls,
            ("ldap", Some("none")) => Protection::None,
            ("ldap", _) => {
                return Err(
                    "`tls` must be \"starttls\" or \"none\" for a `url` that begins with ldap://"
                        .into(),
                );
            }
            ("ldaps", Some(_)) => {
                return Err("`tls` is not allowed for a `url` that begins with ldaps://".into());
            }
            _ => return Err(wrong()),
        };
        if !is_plain {
            return Err(wrong());
        }
        let port = if protection == Protection::Tls {
            636
        } else {
            389
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(port),
            protection,
            base: text("base")?,
            attribute: match settings.get("attribute") {
                None => ACCOUNT_ATTRIBUTE.to_owned(),
                Some(_) => attribute(text("attribute")?)?,
            },
            user: text("user")?,
            password: password.to_owned(),
            timeout: TIMEOUT,
        })
    }

    /// Returns the URL of the directory, such as `ldaps://ldap.example.com:636`.
    pub fn target(&self) -> String {
        let scheme = if self.protection == Protection::Tls {
            "ldaps"
        } else {
            "ldap"
        };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// Checks that the name of an LDAP attribute contains only letters, digits and hyphens. The name becomes part of a
/// search filter, and other characters can have a special meaning in a filter.
fn attribute(name: String) -> Result<String, String> {
    let is_word = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_word {
        Ok(name)
    } else {
        Err("`attribute` must have letters, digits and hyphens only".into())
    }
}

/// The reason why an operation on a directory failed. The texts contain no names of accounts or entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountsError {
    /// The directory could not be reached or did not answer. Another attempt can succeed.
    Unavailable(String),
    /// The directory refused the operation. Another attempt does not help.
    Refused(String),
}

/// Reads and unlocks accounts in directories.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Returns the state of an account.
    async fn read(&self, server: &Server, account: &str) -> Result<AccountState, AccountsError>;
    /// Unlocks an account, and returns its new state. An account that an administrator has locked stays locked.
    async fn unlock(&self, server: &Server, account: &str) -> Result<AccountState, AccountsError>;
}

/// The adapter for a desk that uses no directory of accounts. Every operation returns an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAccounts;

#[async_trait]
impl Accounts for NoAccounts {
    async fn read(&self, _: &Server, _: &str) -> Result<AccountState, AccountsError> {
        Err(AccountsError::Refused(
            "this desk reaches no directory".into(),
        ))
    }
    async fn unlock(&self, server: &Server, account: &str) -> Result<AccountState, AccountsError> {
        self.read(server, account).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(change: &[(&str, Value)]) -> Result<Server, String> {
        let mut settings: BTreeMap<String, Value> = [
            ("url", json!("ldaps://ldap.example.com")),
            ("base", json!("ou=people,dc=example,dc=com")),
            ("user", json!("cn=desk,dc=example,dc=com")),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        for (key, value) in change {
            if value.is_null() {
                settings.remove(*key);
            } else {
                settings.insert((*key).to_owned(), value.clone());
            }
        }
        Server::read(&settings, "secret")
    }

    #[test]
    fn settings_name_what_is_wrong() {
        let server = read(&[]).expect("valid");
        assert_eq!((server.port, server.protection), (636, Protection::Tls));
        assert_eq!(server.target(), "ldaps://ldap.example.com:636");
        let plain = read(&[
            ("url", json!("ldap://127.0.0.1:10389")),
            ("tls", json!("none")),
        ]);
        assert_eq!(plain.expect("valid").target(), "ldap://127.0.0.1:10389");
        let url = json!("ldap://ldap.example.com");
        let started = read(&[("url", url.clone()), ("tls", json!("starttls"))]).expect("valid");
        assert_eq!(
            (started.port, started.protection),
            (389, Protection::StartTls)
        );
        for (change, expected) in [
            (vec![("url", Value::Null)], "`url` is missing"),
            (vec![("url", json!("http://x"))], "`url` must have the form"),
            (
                vec![("url", json!("ldaps://:secret@x"))],
                "`url` must have the form",
            ),
            (
                vec![("url", json!("ldaps://x/dc=example"))],
                "`url` must have the form",
            ),
            (vec![("url", url)], "`tls` must be"),
            (vec![("tls", json!("none"))], "`tls` is not allowed"),
            (vec![("base", json!(" "))], "`base` must be a text"),
            (vec![("user", json!(5))], "`user` must be a text"),
            (
                vec![("attribute", json!("uid)(x"))],
                "`attribute` must have letters",
            ),
            (
                vec![("password", json!("p"))],
                "`password` is not a setting",
            ),
        ] {
            let reason = read(&change).expect_err(expected);
            assert!(reason.contains(expected), "{change:?}: {reason}");
        }
    }
}
