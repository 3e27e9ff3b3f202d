//! Reads the mails in a mailbox of the desk. The mails stay in the mailbox, and their flags do not change. The
//! settings are in the table `mailbox` of a channel account.

#[cfg(feature = "local")]
pub mod imap;
pub mod memory;

use async_trait::async_trait;
use events::Moment;
use events::channel_account::Defined;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mail::MailTls;

/// The key of the table with the settings of the mailbox in a channel account.
pub const KEY: &str = "mailbox";
/// The names of the passwords of mailboxes in the key store begin with this text.
pub const SECRET: &str = "mailbox/";
/// The folder that is read if the account names no folder.
const INBOX: &str = "INBOX";
/// The time between two checks if the account names none, in seconds, and its limits.
const EVERY_SECONDS: u32 = 30;
const EVERY_SECONDS_MIN: u32 = 5;
const EVERY_SECONDS_MAX: u32 = 3_600;
/// Maximum length of a setting, in bytes.
const TEXT_BYTES_MAX: usize = 254;

/// A mailbox on a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub user: String,
    pub folder: String,
    /// The time between two checks for new mails, in seconds.
    pub every_seconds: u32,
    /// True if the desk also reads the mails that arrived before the mailbox was defined.
    pub read_existing: bool,
}

/// The last mail that was read. If the server gives new numbers to all mails, it changes `validity` (RFC 3501, section
/// 2.3.1.1). All mails since the start are then read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub validity: u32,
    pub uid: u32,
}

/// The next mails of a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The mails in the order of their numbers.
    pub mails: Vec<Vec<u8>>,
    /// The numbers and the sizes (in bytes) of mails that are larger than the limit. They are not in `mails`.
    pub too_large: Vec<(u32, u32)>,
    /// The number of mails that arrived before the start. They are not in `mails`.
    pub older: usize,
    /// The place after these mails.
    pub cursor: Cursor,
    /// True if the mailbox has further mails.
    pub has_more: bool,
}

/// Reads mailboxes on mail servers.
#[async_trait]
pub trait Mailboxes: Send + Sync {
    /// Reads the next mails after `after`, or the first mails. Leaves out the mails that arrived before `since`. Returns an
    /// English text if the mailbox cannot be read. The text does not contain the password.
    async fn read(
        &self,
        settings: &Settings,
        password: &str,
        after: Option<Cursor>,
        since: Option<Moment>,
    ) -> Result<Page, String>;
}

/// The port of programs that read no mailboxes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMailboxes;

#[async_trait]
impl Mailboxes for NoMailboxes {
    async fn read(
        &self,
        _settings: &Settings,
        _password: &str,
        _after: Option<Cursor>,
        _since: Option<Moment>,
    ) -> Result<Page, String> {
        Err("this program reads no mailboxes".to_owned())
    }
}

/// Returns the mailbox of an account. Returns `None` if the account has no mailbox. If a setting is wrong, returns
/// the reason as an English text.
pub fn settings(account: &Defined) -> Result<Option<Settings>, String> {
    let Some(value) = account.settings.get(KEY) else {
        return Ok(None);
    };
    let table = value
        .as_object()
        .ok_or_else(|| format!("`{KEY}` must be a table"))?;
    let known = [
        "host",
        "port",
        "tls",
        "user",
        "folder",
        "every_seconds",
        "read_existing",
    ];
    if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!(
            "`{KEY}.{key}` is not a setting of a mailbox; known are {}",
            known.join(", ")
        ));
    }
    let text = |key: &str| match table.get(key) {
        None => Ok(""),
        Some(Value::String(text))
            if text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control) =>
        {
            Ok(text.as_str())
        }
        Some(_) => Err(format!(
            "`{KEY}.{key}` must be a text of at most {TEXT_BYTES_MAX} bytes"
        )),
    };
    let required = |key: &str| match text(key)? {
        "" => Err(format!("`{KEY}.{key}` is required")),
        value => Ok(value.to_owned()),
    };
    let tls = match text("tls")? {
        "" | "implicit" => MailTls::Implicit,
        "starttls" => MailTls::Starttls,
        "none" => MailTls::None,
        _ => return Err(format!("`{KEY}.tls` must be implicit, starttls or none")),
    };
    let port = match table.get("port") {
        None if tls == MailTls::Implicit => Some(993),
        None => Some(143),
        Some(port) => port.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    let port = port.filter(|port| *port > 0);
    let every_seconds = match table.get("every_seconds") {
        None => Some(EVERY_SECONDS),
        Some(every) => every.as_u64().and_then(|every| u32::try_from(every).ok()),
    };
    let every_seconds =
        every_seconds.filter(|every| (EVERY_SECONDS_MIN..=EVERY_SECONDS_MAX).contains(every));
    let every_seconds = every_seconds.ok_or_else(|| {
        format!(
            "`{KEY}.every_seconds` must be a number from {EVERY_SECONDS_MIN} to {EVERY_SECONDS_MAX}"
        )
    })?;
    let read_existing = match table.get("read_existing") {
        None => Some(false),
        Some(value) => value.as_bool(),
    };
    let read_existing =
        read_existing.ok_or_else(|| format!("`{KEY}.read_existing` must be true or false"))?;
    let folder = match text("folder")? {
        "" => INBOX,
        folder => folder,
    };
    Ok(Some(Settings {
        host: required("host")?,
        port: port.ok_or_else(|| format!("`{KEY}.port` must be a number from 1 to 65535"))?,
        tls,
        user: required("user")?,
        folder: folder.to_owned(),
        every_seconds,
        read_existing,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account(mailbox: Value) -> Defined {
        let mut account = crate::channel::contract::account("email");
        account.settings.insert(KEY.to_owned(), mailbox);
        account
    }

    #[test]
    fn a_mailbox_has_usual_settings_if_nothing_is_given() {
        let given = json!({ "host": "imap.example", "user": "itsm" });
        let found = settings(&account(given)).unwrap().unwrap();
        assert_eq!(
            (found.port, found.tls, found.folder.as_str()),
            (993, MailTls::Implicit, "INBOX")
        );
        assert!(!found.read_existing);
        let given = json!({ "host": "imap.example", "user": "itsm", "read_existing": true });
        assert!(settings(&account(given)).unwrap().unwrap().read_existing);
        let given = json!({ "host": "imap.example", "user": "itsm", "tls": "starttls" });
        assert_eq!(settings(&account(given)).unwrap().unwrap().port, 143);
    }

    #[test]
    fn every_wrong_setting_is_named() {
        for (mailbox, named) in [
            (json!("imap.example"), "`mailbox`"),
            (json!({ "user": "itsm" }), "`mailbox.host`"),
            (json!({ "host": "imap.example" }), "`mailbox.user`"),
            (json!({ "host": 1, "user": "itsm" }), "`mailbox.host`"),
            (
                json!({ "host": "a", "user": "b", "tls": "ssl" }),
                "`mailbox.tls`",
            ),
            (
                json!({ "host": "a", "user": "b", "port": 0 }),
                "`mailbox.port`",
            ),
            (
                json!({ "host": "a", "user": "b", "every_seconds": 1 }),
                "`mailbox.every_seconds`",
            ),
            (
                json!({ "host": "a", "user": "b", "password": "c" }),
                "`mailbox.password`",
            ),
            (
                json!({ "host": "a", "user": "b", "read_existing": "yes" }),
                "`mailbox.read_existing`",
            ),
            (json!({ "host": "a", "user": "b\r\nc" }), "`mailbox.user`"),
        ] {
            let reason = settings(&account(mailbox)).unwrap_err();
            assert!(reason.starts_with(named), "{reason}");
        }
    }
}
