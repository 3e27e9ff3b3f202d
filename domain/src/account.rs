//! Implements the aggregate of one account: the password, the lock after failed logins, and the sessions with
//! which one person uses the console.

use std::collections::BTreeMap;

use events::account::{
    AccountEvent, Closed, Invited, Locked, LoginFailed, PasswordSet, SessionEnded, SessionExtended,
    SessionStarted,
};
use events::{Moment, PersonId};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Maximum time for which an invitation is valid, in milliseconds.
pub const INVITATION_MS: i64 = 72 * 3_600_000;
/// Maximum duration of a session, in milliseconds. This duration is sufficient for a working day with overtime.
pub const SESSION_MS: i64 = 12 * 3_600_000;
/// Time after which an unused session is no longer valid, in milliseconds.
pub const IDLE_MS: i64 = 2 * 3_600_000;
/// Minimum time between two events about the use of one session, in milliseconds. Without this limit, each
/// request would add an event.
const EXTEND_MS: i64 = 10 * 60_000;
/// Maximum number of failed logins in a row. The last of these failed logins locks the account.
pub const FAILURES_MAX: u32 = 5;
/// Time for which an account is locked, in milliseconds. If the last failed login is older than this time, the
/// count of failed logins starts again.
pub const LOCK_MS: i64 = 15 * 60_000;
/// Maximum number of sessions of one account. If a person starts a further session, this session replaces the
/// session that was unused for the longest time.
pub const SESSIONS_MAX: usize = 16;

/// The commands that change one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Invites the person to set a password. A new invitation replaces the previous invitation.
    Invite {
        person: PersonId,
        invitation: String,
        by: PersonId,
        at: Moment,
    },
    /// Sets a password with an invitation. The member `invitation` is the hash of the secret code in the
    /// invitation link.
    Accept {
        person: PersonId,
        invitation: String,
        at: Moment,
    },
    /// Sets a password without an invitation. Only the desk itself uses this command.
    SetPassword {
        person: PersonId,
        by: PersonId,
    },
    /// Stores that a login with a wrong password was rejected.
    Fail {
        at: Moment,
    },
    /// Starts a session after a login with the correct password.
    Start {
        session: String,
        at: Moment,
    },
    /// Stores that the person used a session. The session then stays valid for longer.
    Use {
        session: String,
        at: Moment,
    },
    End {
        session: String,
    },
    Close {
        by: PersonId,
    },
}

/// The reasons why the desk rejects a command for an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the person has no account with a password")]
    NoPassword,
    #[error("the invitation is unknown, used or expired")]
    NotInvited,
    #[error("the account is locked after too many failed logins")]
    Locked(Moment),
    #[error("the session is unknown, ended or expired")]
    NoSession,
}

/// One session: the period from the login of a person to the logout or the end of the validity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub expires: Moment,
    pub idle_until: Moment,
}

impl Session {
    /// Returns true if the session can be used at the time `at`.
    pub fn is_valid(&self, at: Moment) -> bool {
        at < self.expires && at < self.idle_until
    }
}

/// An invitation to set a password. The person has not used the link of the invitation yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The hash of the secret code in the invitation link.
    pub hash: String,
    pub expires: Moment,
}

/// The state of one account, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// True if a password is set for the person. The key store (the store for secrets) contains the data with
    /// which the desk checks the password.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_password: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Invitation>,
    /// The number of failed logins in a row, and the time of the last failed login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<(u32, Moment)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Moment>,
    /// The sessions of the account. Each key of the map is the hash of the secret code in the session cookie.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sessions: BTreeMap<String, Session>,
}

/// Returns the name of the stream that contains the account events of a person.
pub fn stream(person: &PersonId) -> String {
    format!("account-{person}")
}

fn later(at: Moment, ms: i64) -> Moment {
    Moment(at.0.saturating_add(ms))
}

impl Account {
    /// Returns the time at which the lock of the account ends. Returns `None` if the account is not locked at
    /// the time `at`.
    pub fn lock(&self, at: Moment) -> Option<Moment> {
        self.locked_until.filter(|until| at < *until)
    }

    /// Returns true if the session can be used at the time `at`. The parameter `session` is the hash of the
    /// secret code in the session cookie.
    pub fn has_session(&self, session: &str, at: Moment) -> bool {
        self.sessions
            .get(session)
            .is_some_and(|known| known.is_valid(at))
    }

    /// Returns the events that start a new session. If the account already has the maximum number of sessions,
    /// the first event ends the session that was unused for the longest time.
    fn start(&self, session: &str, at: Moment) -> Vec<AccountEvent> {
        let oldest = self
            .sessions
            .iter()
            .min_by_key(|(_, known)| known.idle_until)
            .filter(|_| self.sessions.len() >= SESSIONS_MAX);
        let ended = oldest.map(|(session, _)| SessionEnded {
            session: session.clone(),
        });
        let started = SessionStarted {
            session: session.to_owned(),
            expires: later(at, SESSION_MS),
            idle_until: later(at, IDLE_MS),
        };
        ended
            .map(AccountEvent::from)
            .into_iter()
            .chain([started.into()])
            .collect()
    }
}

impl Decider for Account {
    type Command = Command;
    type Event = AccountEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<AccountEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            Command::Invite {
                person,
                invitation,
                by,
                at,
            } => Ok(vec![
                Invited {
                    person: person.clone(),
                    invitation: invitation.clone(),
                    expires: later(*at, INVITATION_MS),
                    by: by.clone(),
                }
                .into(),
            ]),
            Command::Accept {
                person,
                invitation,
                at,
            } => {
                let is_valid = self
                    .invitation
                    .as_ref()
                    .is_some_and(|known| known.hash == *invitation && *at < known.expires);
                if is_valid {
                    Ok(vec![
                        PasswordSet {
                            person: person.clone(),
                            by: person.clone(),
                        }
                        .into(),
                    ])
                } else {
                    reject(Rejection::NotInvited)
                }
            }
            Command::SetPassword { person, by } => Ok(vec![
                PasswordSet {
                    person: person.clone(),
                    by: by.clone(),
                }
                .into(),
            ]),
            Command::Fail { .. } | Command::Start { .. } if !self.has_password => {
                reject(Rejection::NoPassword)
            }
            // While the account is locked, the desk stores neither failed logins nor new sessions. During an
            // attack, only a few events are therefore added.
            Command::Fail { at } | Command::Start { at, .. } if self.lock(*at).is_some() => {
                reject(Rejection::Locked(self.lock(*at).unwrap_or(*at)))
            }
            Command::Fail { at } => {
                let recent = self.failed.filter(|(_, last)| at.0 - last.0 < LOCK_MS);
                let failures = recent.map_or(0, |(failures, _)| failures) + 1;
                let mut events = vec![LoginFailed { at: *at, failures }.into()];
                if failures >= FAILURES_MAX {
                    let until = later(*at, LOCK_MS);
                    events.push(Locked { until }.into());
                }
                Ok(events)
            }
            Command::Start { session, at } => Ok(self.start(session, *at)),
            Command::Use { session, at } => match self.sessions.get(session) {
                Some(known) if self.has_session(session, *at) => {
                    let idle_until = later(*at, IDLE_MS).min(known.expires);
                    if idle_until.0 - known.idle_until.0 < EXTEND_MS {
                        return Ok(Vec::new());
                    }
                    Ok(vec![
                        SessionExtended {
                            session: session.clone(),
                            idle_until,
                        }
                        .into(),
                    ])
                }
                _ => reject(Rejection::NoSession),
            },
            Command::End { session } if self.sessions.contains_key(session) => Ok(vec![
                SessionEnded {
                    session: session.clone(),
                }
                .into(),
            ]),
            Command::End { .. } => Ok(Vec::new()),
            Command::Close { by } => {
                if self.has_password || self.invitation.is_some() {
                    Ok(vec![Closed { by: by.clone() }.into()])
                } else {
                    reject(Rejection::NoPassword)
                }
            }
        }
    }

    fn evolve(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Invited(invited) => {
                self.invitation = Some(Invitation {
                    hash: invited.invitation.clone(),
                    expires: invited.expires,
                });
            }
            AccountEvent::PasswordSet(_) => {
                *self = Self {
                    has_password: true,
                    ..Self::default()
                };
            }
            AccountEvent::LoginFailed(failed) => self.failed = Some((failed.failures, failed.at)),
            AccountEvent::Locked(locked) => {
                self.failed = None;
                self.locked_until = Some(locked.until);
            }
            AccountEvent::SessionStarted(started) => {
                self.failed = None;
                self.locked_until = None;
                self.sessions.insert(
                    started.session.clone(),
                    Session {
                        expires: started.expires,
                        idle_until: started.idle_until,
                    },
                );
            }
            AccountEvent::SessionExtended(extended) => {
                if let Some(session) = self.sessions.get_mut(&extended.session) {
                    session.idle_until = extended.idle_until;
                }
            }
            AccountEvent::SessionEnded(ended) => {
                self.sessions.remove(&ended.session);
            }
            AccountEvent::Closed(_) => *self = Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment(1_000_000);

    fn invite(code: &str) -> Command {
        Command::Invite {
            person: "p-1".into(),
            invitation: code.into(),
            by: "p-2".into(),
            at: AT,
        }
    }

    fn accept(code: &str, at: Moment) -> Command {
        Command::Accept {
            person: "p-1".into(),
            invitation: code.into(),
            at,
        }
    }

    fn start(session: &str, at: Moment) -> Command {
        Command::Start {
            session: session.into(),
            at,
        }
    }

    /// Executes the command on the account and returns the number of new events.
    fn run(account: &mut Account, command: &Command) -> Result<usize, Rejection> {
        match account.decide(command, &()) {
            Ok(events) => {
                events.iter().for_each(|event| account.evolve(event));
                Ok(events.len())
            }
            Err(DecideError::Rejected(rejection)) => Err(rejection),
            Err(DecideError::Needs(never)) => unreachable!("{never:?}"),
        }
    }

    fn with_password() -> Account {
        let mut account = Account::default();
        run(&mut account, &invite("code")).unwrap();
        run(&mut account, &accept("code", AT)).unwrap();
        account
    }

    #[test]
    fn an_invitation_is_valid_once_and_for_a_limited_time() {
        let mut account = Account::default();
        run(&mut account, &invite("old")).unwrap();
        run(&mut account, &invite("code")).unwrap();
        let late = later(AT, INVITATION_MS);
        for (code, at) in [("old", AT), ("other", AT), ("code", late)] {
            let result = run(&mut account, &accept(code, at));
            assert_eq!(result, Err(Rejection::NotInvited), "{code}");
        }
        assert_eq!(
            run(&mut account, &accept("code", Moment(late.0 - 1))),
            Ok(1)
        );
        assert!(account.has_password);
        assert_eq!(
            run(&mut account, &accept("code", AT)),
            Err(Rejection::NotInvited)
        );
    }

    #[test]
    fn five_failed_logins_in_a_row_lock_the_account_for_some_time() {
        let mut account = with_password();
        for failure in 1..FAILURES_MAX {
            assert_eq!(
                run(&mut account, &Command::Fail { at: AT }),
                Ok(1),
                "{failure}"
            );
        }
        assert_eq!(run(&mut account, &Command::Fail { at: AT }), Ok(2));
        let end = later(AT, LOCK_MS);
        for command in [Command::Fail { at: AT }, start("s", Moment(end.0 - 1))] {
            assert_eq!(run(&mut account, &command), Err(Rejection::Locked(end)));
        }
        assert_eq!(run(&mut account, &start("s", end)), Ok(1));
        assert_eq!(run(&mut account, &Command::Fail { at: end }), Ok(1));
    }

    #[test]
    fn old_failures_and_failures_before_a_login_do_not_count() {
        let mut account = with_password();
        for failure in 0..i64::from(2 * FAILURES_MAX) {
            let at = later(AT, failure * LOCK_MS);
            assert_eq!(run(&mut account, &Command::Fail { at }), Ok(1), "{failure}");
        }
        let mut account = with_password();
        for _ in 1..FAILURES_MAX {
            run(&mut account, &Command::Fail { at: AT }).unwrap();
        }
        run(&mut account, &start("s", AT)).unwrap();
        for _ in 1..FAILURES_MAX {
            assert_eq!(run(&mut account, &Command::Fail { at: AT }), Ok(1));
        }
    }

    #[test]
    fn a_session_ends_by_logout_idle_time_total_time_and_a_new_password() {
        let mut account = with_password();
        run(&mut account, &start("s", AT)).unwrap();
        let before_idle_end = Moment(AT.0 + IDLE_MS - 1);
        assert!(account.has_session("s", before_idle_end));
        assert!(!account.has_session("s", later(AT, IDLE_MS)));
        assert!(!account.has_session("t", AT));
        let used = |at| Command::Use {
            session: "s".into(),
            at,
        };
        // The person uses the session so often that the session never ends because of the idle time `IDLE_MS`.
        // The session must still end at its maximum duration `SESSION_MS`.
        let mut at = AT;
        while at.0 - AT.0 < SESSION_MS {
            assert!(run(&mut account, &used(at)).is_ok(), "{at:?}");
            at = later(at, IDLE_MS - 1);
        }
        assert_eq!(
            run(&mut account, &used(later(AT, SESSION_MS))),
            Err(Rejection::NoSession)
        );
        let mut account = with_password();
        run(&mut account, &start("s", AT)).unwrap();
        let ended = Command::End {
            session: "s".into(),
        };
        assert_eq!(run(&mut account, &ended), Ok(1));
        assert_eq!(run(&mut account, &ended), Ok(0));
        assert!(!account.has_session("s", AT));
        run(&mut account, &start("s", AT)).unwrap();
        run(&mut account, &invite("new")).unwrap();
        run(&mut account, &accept("new", AT)).unwrap();
        assert!(!account.has_session("s", AT));
    }

    #[test]
    fn frequent_use_of_a_session_adds_few_events() {
        let mut account = with_password();
        run(&mut account, &start("s", AT)).unwrap();
        let events: usize = (0..3_600)
            .map(|second| {
                let at = later(AT, second * 1_000);
                run(
                    &mut account,
                    &Command::Use {
                        session: "s".into(),
                        at,
                    },
                )
                .unwrap()
            })
            .sum();
        assert_eq!(events, 5);
    }

    #[test]
    fn a_further_session_replaces_the_session_unused_for_the_longest_time() {
        let mut account = with_password();
        for number in 0..SESSIONS_MAX {
            let at = later(AT, i64::try_from(number).unwrap());
            run(&mut account, &start(&format!("s{number}"), at)).unwrap();
        }
        assert_eq!(run(&mut account, &start("further", later(AT, 100))), Ok(2));
        assert_eq!(account.sessions.len(), SESSIONS_MAX);
        assert!(!account.sessions.contains_key("s0"));
        assert!(account.sessions.contains_key("further"));
    }

    #[test]
    fn a_closed_account_has_no_password_and_no_session() {
        let mut account = with_password();
        run(&mut account, &start("s", AT)).unwrap();
        let close = Command::Close { by: "p-2".into() };
        assert_eq!(run(&mut account, &close), Ok(1));
        assert_eq!(account, Account::default());
        for command in [close, start("t", AT), Command::Fail { at: AT }] {
            assert_eq!(run(&mut account, &command), Err(Rejection::NoPassword));
        }
    }
}
