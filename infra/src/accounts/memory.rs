//! Implements a directory of accounts in memory, for tests. A test sets the states of the accounts and the errors that
//! operations return.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use domain::automation::steps::AccountState;

use super::{Accounts, AccountsError, Server};

/// A directory of accounts in memory, for tests.
#[derive(Debug, Default)]
pub struct Memory {
    accounts: Mutex<BTreeMap<String, AccountState>>,
    errors: Mutex<VecDeque<AccountsError>>,
    changes: Mutex<Vec<String>>,
}

impl Memory {
    /// Sets the state of an account. The directory contains only the accounts whose states were set.
    pub fn set(&self, account: &str, state: AccountState) {
        self.accounts
            .lock()
            .expect("no holder panics")
            .insert(account.to_owned(), state);
    }

    /// Adds an error for a later operation. Each operation uses and removes the oldest error. If no error is
    /// left, the operation succeeds.
    pub fn fail(&self, error: AccountsError) {
        self.errors
            .lock()
            .expect("no holder panics")
            .push_back(error);
    }

    /// Returns the names of the accounts whose locks were removed, in the order of the changes.
    pub fn changes(&self) -> Vec<String> {
        self.changes.lock().expect("no holder panics").clone()
    }
}

#[async_trait]
impl Accounts for Memory {
    async fn read(&self, _: &Server, account: &str) -> Result<AccountState, AccountsError> {
        if let Some(error) = self.errors.lock().expect("no holder panics").pop_front() {
            return Err(error);
        }
        let accounts = self.accounts.lock().expect("no holder panics");
        Ok(accounts
            .get(account)
            .cloned()
            .unwrap_or(AccountState::Missing))
    }

    async fn unlock(&self, server: &Server, account: &str) -> Result<AccountState, AccountsError> {
        let state = self.read(server, account).await?;
        if !matches!(state, AccountState::Locked(_)) {
            return Ok(state);
        }
        self.set(account, AccountState::NotLocked);
        self.changes
            .lock()
            .expect("no holder panics")
            .push(account.to_owned());
        Ok(AccountState::NotLocked)
    }
}
