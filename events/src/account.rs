//! Defines the events of the account with which one person logs in to the console. The events are stored in
//! the stream `account-<pid>`. The key store contains a hash of the password. Events never contain a password,
//! and they contain only the hashes of invitation codes and of session codes.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::{Moment, PersonId};

event_enum! {
    /// The events of the account of one person.
    AccountEvent of "account" {
        Invited "account.invited" 1,
        PasswordSet "account.password_set" 1,
        LoginFailed "account.login_failed" 1,
        Locked "account.locked" 1,
        SessionStarted "account.session_started" 1,
        SessionExtended "account.session_extended" 1,
        SessionEnded "account.session_ended" 1,
        Closed "account.closed" 1,
    }
}

/// A person was invited to set a password. The person receives a link with a secret code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    pub person: PersonId,
    /// The hash of the secret code in the invitation link. The person opens this link to set a password.
    pub invitation: String,
    /// The time after which the invitation link is no longer valid.
    pub expires: Moment,
    pub by: PersonId,
}
impl Personals for Invited {}

/// A password was set. All sessions of the account end, and the invitation is no longer valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordSet {
    pub person: PersonId,
    pub by: PersonId,
}
impl Personals for PasswordSet {}

/// A login with a wrong password was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFailed {
    pub at: Moment,
    /// The number of failed logins in a row, including this login.
    pub failures: u32,
}
impl Personals for LoginFailed {}

/// The account was locked after too many failed logins. Until the time `until`, every login is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    pub until: Moment,
}
impl Personals for Locked {}

/// The person logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStarted {
    /// The hash of the secret code in the session cookie.
    pub session: String,
    /// The time after which the session is no longer valid, even if the person uses the session.
    pub expires: Moment,
    /// The time after which the session is no longer valid if the person does not use the session again before
    /// this time.
    pub idle_until: Moment,
}
impl Personals for SessionStarted {}

/// The person used the session, so the session stays valid for longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionExtended {
    pub session: String,
    pub idle_until: Moment,
}
impl Personals for SessionExtended {}

/// A session ended. Either the person logged out, or the account had too many sessions and a newer session
/// replaced this session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    pub session: String,
}
impl Personals for SessionEnded {}

/// The account was closed. All sessions end, and the password is removed from the key store. The person can
/// log in again only after a new invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub by: PersonId,
}
impl Personals for Closed {}
