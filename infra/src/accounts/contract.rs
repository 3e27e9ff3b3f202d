//! Contains the contract test of [`Accounts`]. Each adapter must pass this test.

use domain::automation::steps::AccountState;

use super::{Accounts, Server};

/// The names of accounts that a directory must contain for the contract test.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Name of an account that is not locked.
    pub free: &'a str,
    /// Name of an account that is locked after too many wrong passwords.
    pub locked: &'a str,
    /// Name of an account that an administrator has locked.
    pub closed: &'a str,
}

/// Checks that an adapter reads the states of accounts. Also checks that the adapter unlocks an account only if wrong
/// passwords caused the lock.
///
/// # Panics
///
/// Panics if the adapter does not fulfill the contract.
pub async fn holds(accounts: &dyn Accounts, server: &Server, names: Names<'_>) {
    let read = async |name: &str| accounts.read(server, name).await.expect("an answer");
    let unlock = async |name: &str| accounts.unlock(server, name).await.expect("an answer");
    assert_eq!(read(names.free).await, AccountState::NotLocked);
    assert_eq!(unlock(names.free).await, AccountState::NotLocked);
    assert_eq!(read("nobody").await, AccountState::Missing);
    assert_eq!(unlock("nobody").await, AccountState::Missing);
    // No account has the name `*`. An adapter that used the name as a search pattern would find other accounts here.
    assert_eq!(read("*").await, AccountState::Missing);
    assert_eq!(unlock("*)(uid=*").await, AccountState::Missing);
    assert_eq!(
        read(names.closed).await,
        AccountState::LockedByAdministrator
    );
    assert_eq!(
        unlock(names.closed).await,
        AccountState::LockedByAdministrator
    );
    assert_eq!(
        read(names.closed).await,
        AccountState::LockedByAdministrator
    );
    let AccountState::Locked(since) = read(names.locked).await else {
        panic!("{} is not locked", names.locked)
    };
    assert!(!since.is_empty());
    for _ in 0..2 {
        assert_eq!(unlock(names.locked).await, AccountState::NotLocked);
        assert_eq!(read(names.locked).await, AccountState::NotLocked);
    }
}
