//! Implements the key store in memory, for tests and simulations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use events::PersonId;

use super::{Key, Keys};
use crate::Error;
use crate::clock::Rng;

/// A key store that contains people and secrets in maps.
pub struct Memory {
    rng: Arc<dyn Rng>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_name: HashMap<String, PersonId>,
    people: HashMap<PersonId, (String, Key)>,
    secrets: HashMap<String, Vec<u8>>,
}

impl Memory {
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        Self {
            rng,
            inner: Mutex::default(),
        }
    }
}

/// Returns a random person id: the letter `p` and 24 hex digits.
pub(super) fn fresh_pid(rng: &dyn Rng) -> PersonId {
    let mut bytes = [0; 12];
    rng.fill(&mut bytes);
    PersonId(format!("p{}", crate::commit::hex(&bytes)))
}

#[async_trait]
impl Keys for Memory {
    async fn person(&self, username: &str) -> Result<PersonId, Error> {
        let mut inner = self.inner.lock().expect("no holder panics");
        if let Some(pid) = inner.by_name.get(username) {
            return Ok(pid.clone());
        }
        let (pid, mut key) = (fresh_pid(&*self.rng), [0; 32]);
        self.rng.fill(&mut key);
        inner.by_name.insert(username.into(), pid.clone());
        inner.people.insert(pid.clone(), (username.into(), key));
        Ok(pid)
    }
    async fn find(&self, username: &str) -> Result<Option<PersonId>, Error> {
        Ok(self
            .inner
            .lock()
            .expect("no holder panics")
            .by_name
            .get(username)
            .cloned())
    }
    async fn find_all(&self, usernames: &[String]) -> Result<Vec<Option<PersonId>>, Error> {
        let inner = self.inner.lock().expect("no holder panics");
        Ok(usernames
            .iter()
            .map(|username| inner.by_name.get(username).cloned())
            .collect())
    }
    async fn register_all(&self, usernames: &[String]) -> Result<Vec<PersonId>, Error> {
        let mut pids = Vec::with_capacity(usernames.len());
        for username in usernames {
            pids.push(self.person(username).await?);
        }
        Ok(pids)
    }
    async fn name(&self, pid: &PersonId) -> Result<Option<String>, Error> {
        Ok(self
            .inner
            .lock()
            .expect("no holder panics")
            .people
            .get(pid)
            .map(|(name, _)| name.clone()))
    }
    async fn key(&self, pid: &PersonId) -> Result<Option<Key>, Error> {
        Ok(self
            .inner
            .lock()
            .expect("no holder panics")
            .people
            .get(pid)
            .map(|(_, key)| *key))
    }
    async fn erase(&self, pid: &PersonId) -> Result<bool, Error> {
        let mut inner = self.inner.lock().expect("no holder panics");
        let erased = inner.people.remove(pid);
        if let Some((name, _)) = &erased {
            inner.by_name.remove(name);
        }
        Ok(erased.is_some())
    }
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self
            .inner
            .lock()
            .expect("no holder panics")
            .secrets
            .get(name)
            .cloned())
    }
    async fn keep_secret(&self, name: &str, value: &[u8]) -> Result<(), Error> {
        self.inner
            .lock()
            .expect("no holder panics")
            .secrets
            .insert(name.into(), value.into());
        Ok(())
    }
    async fn remove_secret(&self, name: &str) -> Result<(), Error> {
        self.inner
            .lock()
            .expect("no holder panics")
            .secrets
            .remove(name);
        Ok(())
    }
}
