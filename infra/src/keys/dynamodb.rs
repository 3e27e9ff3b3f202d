//! Implements the key store on DynamoDB. The table has no point-in-time recovery, because a
//! restored table would again contain erased people.
//!
//! The attribute `p` is the key of an item. There are three kinds of items:
//!
//! - `name|<user name>` contains the person id
//! - `pid|<person id>` contains the name and the encryption key
//! - `secret|<name>` contains the value of a secret
//!
//! Names and keys are cached only for a few seconds, because another process can erase a person.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use events::PersonId;

use super::{Key, Keys, memory::fresh_pid};
use crate::Error;
use crate::cache::{Bounds, Cache};
use crate::clock::{Clock, Rng};
use crate::sdk::Item;
use crate::sdk::{Table, failed, item_bytes};

/// Milliseconds for which names and people stay in the cache.
const CACHE_MS: i64 = crate::sdk::STALE_MS;
/// Maximum size in bytes of a user name. The name is part of an item key, and DynamoDB limits the
/// size of keys.
const NAME_BYTES_MAX: usize = 1024;
/// Maximum number of people that one transaction registers. Each person needs two items, and a
/// transaction can contain at most 100 items.
const REGISTERED_AT_ONCE: usize = 50;
/// Maximum number of entries in each of the two caches: the cache of names, and the cache of
/// people.
const REMEMBERED_MAX: usize = 100_000;

/// A key store in one DynamoDB table.
pub struct Dynamodb {
    table: Table,
    rng: Arc<dyn Rng>,
    clock: Arc<dyn Clock>,
    names: Cache<String, PersonId>,
    people: Cache<PersonId, (String, Key)>,
}

impl Dynamodb {
    pub fn new(table: Table, rng: Arc<dyn Rng>, clock: Arc<dyn Clock>) -> Self {
        Self {
            table,
            rng,
            clock,
            names: Cache::new(Bounds::entries(REMEMBERED_MAX)),
            people: Cache::new(Bounds::entries(REMEMBERED_MAX)),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        self.table
            .get("key get", [("p".to_owned(), text(key))])
            .await
    }

    async fn put(&self, item: Item) -> Result<(), Error> {
        let bytes = item_bytes(&item);
        let put = self
            .table
            .put(item)
            .send()
            .await
            .map_err(|error| failed(&format!("write {}", self.table.name), error))?;
        self.table.wrote("key put", bytes, put.consumed_capacity());
        Ok(())
    }

    async fn read_person(&self, pid: &PersonId) -> Result<Option<(String, Key)>, Error> {
        let now = self.clock.now();
        if let Some(person) = self.people.get(pid, now) {
            return Ok(Some(person));
        }
        let Some(item) = self.get(&format!("pid|{pid}")).await? else {
            return Ok(None);
        };
        let name = item.get("u").and_then(|value| value.as_s().ok()).cloned();
        let key = item
            .get("k")
            .and_then(|value| Key::try_from(value.as_b().ok()?.as_ref()).ok());
        let person = name
            .zip(key)
            .ok_or_else(|| Error::corrupt(format!("the key item of {pid} cannot be read")))?;
        let until = now.plus_ms(CACHE_MS);
        self.people.put(pid.clone(), person.clone(), 0, until);
        Ok(Some(person))
    }

    /// Stores new people in one transaction, each person with a new key. Each person has two items.
    /// Either the transaction stores all items, or it stores no item. If a name is already
    /// registered, the function stores no person and returns `false`.
    async fn put_people(&self, people: &[(&str, PersonId)]) -> Result<bool, Error> {
        let put = |item: Item| {
            let put = Put::builder()
                .table_name(&self.table.name)
                .set_item(Some(item))
                .condition_expression("attribute_not_exists(p)")
                .build();
            put.map(|put| TransactWriteItem::builder().put(put).build())
                .map_err(|error| {
                    Error::because(crate::Kind::Misconfigured, "cannot register", error)
                })
        };
        let (mut items, mut units) = (Vec::with_capacity(people.len() * 2), 0.0);
        for (username, pid) in people {
            let mut key = [0; 32];
            self.rng.fill(&mut key);
            let person = [
                ("p".into(), text(format!("pid|{pid}"))),
                ("u".into(), text(*username)),
                ("k".into(), AttributeValue::B(Blob::new(key))),
            ];
            items.push(put(Item::from(person))?);
            items.push(put(Item::from([
                ("p".into(), text(format!("name|{username}"))),
                ("i".into(), text(pid.as_str())),
            ]))?);
            units += 4.0;
        }
        match self
            .table
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await
        {
            Ok(_) => {
                self.table.meter.wrote("key transaction", 0, Some(units));
                Ok(true)
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(TransactWriteItemsError::is_transaction_canceled_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed("register people", error)),
        }
    }
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

#[async_trait]
impl Keys for Dynamodb {
    async fn person(&self, username: &str) -> Result<PersonId, Error> {
        if let Some(pid) = self.find(username).await? {
            return Ok(pid);
        }
        // If another process has registered the user name first, the transaction stores no item. In
        // this case, the function returns the existing person id.
        self.put_people(&[(username, fresh_pid(&*self.rng))])
            .await?;
        let registered = self.find(username).await?;
        registered.ok_or_else(|| {
            Error::new(
                crate::Kind::Unavailable,
                "a person was erased while being registered",
            )
        })
    }

    async fn find_all(&self, usernames: &[String]) -> Result<Vec<Option<PersonId>>, Error> {
        let mut pids = Vec::with_capacity(usernames.len());
        for username in usernames {
            pids.push(self.find(username).await?);
        }
        Ok(pids)
    }

    async fn register_all(&self, usernames: &[String]) -> Result<Vec<PersonId>, Error> {
        let mut pids = self.find_all(usernames).await?;
        let new: Vec<usize> = (0..pids.len()).filter(|at| pids[*at].is_none()).collect();
        for chunk in new.chunks(REGISTERED_AT_ONCE) {
            let people: Vec<(&str, PersonId)> = chunk
                .iter()
                .map(|at| (usernames[*at].as_str(), fresh_pid(&*self.rng)))
                .collect();
            let is_stored = self.put_people(&people).await?;
            for (at, (username, pid)) in chunk.iter().zip(people) {
                // If another process has registered one of these names first, the transaction
                // stores no item. In this case, each name is registered separately.
                pids[*at] = Some(if is_stored {
                    pid
                } else {
                    self.person(username).await?
                });
            }
        }
        Ok(pids.into_iter().flatten().collect())
    }

    async fn find(&self, username: &str) -> Result<Option<PersonId>, Error> {
        // A longer name does not fit in an item key. Therefore, no registered person has such a
        // name.
        if username.len() > NAME_BYTES_MAX {
            return Ok(None);
        }
        let now = self.clock.now();
        if let Some(pid) = self.names.get(username, now) {
            return Ok(Some(pid));
        }
        let Some(item) = self.get(&format!("name|{username}")).await? else {
            return Ok(None);
        };
        let pid = item
            .get("i")
            .and_then(|value| value.as_s().ok())
            .map(|pid| PersonId::from(pid.as_str()));
        let pid = pid.ok_or_else(|| Error::corrupt("the key item of a name cannot be read"))?;
        let until = now.plus_ms(CACHE_MS);
        self.names.put(username.to_owned(), pid.clone(), 0, until);
        Ok(Some(pid))
    }

    async fn name(&self, pid: &PersonId) -> Result<Option<String>, Error> {
        Ok(self.read_person(pid).await?.map(|(name, _)| name))
    }

    async fn key(&self, pid: &PersonId) -> Result<Option<Key>, Error> {
        Ok(self.read_person(pid).await?.map(|(_, key)| key))
    }

    async fn erase(&self, pid: &PersonId) -> Result<bool, Error> {
        // It is possible that another process has erased the person. The cached data is therefore
        // removed, so that the function reads the stored data.
        self.people.remove(pid);
        let Some((name, _)) = self.read_person(pid).await? else {
            return Ok(false);
        };
        let invalid = |error| Error::because(crate::Kind::Misconfigured, "cannot erase", error);
        let person = Delete::builder()
            .table_name(&self.table.name)
            .key("p", text(format!("pid|{pid}")))
            .build()
            .map_err(invalid)?;
        let name_item = Delete::builder()
            .table_name(&self.table.name)
            .key("p", text(format!("name|{name}")))
            .condition_expression("attribute_not_exists(p) OR i = :pid")
            .expression_attribute_values(":pid", text(pid.as_str()))
            .build()
            .map_err(invalid)?;
        let items = [
            TransactWriteItem::builder().delete(person).build(),
            TransactWriteItem::builder().delete(name_item).build(),
        ];
        let erased = self
            .table
            .client
            .transact_write_items()
            .set_transact_items(Some(items.into()))
            .send()
            .await;
        erased.map_err(|error| failed("erase a person", error))?;
        self.people.remove(pid);
        self.names.remove(&name);
        Ok(true)
    }

    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let item = self.get(&format!("secret|{name}")).await?;
        Ok(item.and_then(|item| Some(item.get("v")?.as_b().ok()?.as_ref().to_vec())))
    }

    async fn remove_secret(&self, name: &str) -> Result<(), Error> {
        let delete = self
            .table
            .client
            .delete_item()
            .table_name(&self.table.name)
            .key("p", text(format!("secret|{name}")));
        delete
            .send()
            .await
            .map_err(|error| failed("remove a secret", error))?;
        self.table.meter.wrote("key delete", 0, Some(1.0));
        Ok(())
    }

    async fn keep_secret(&self, name: &str, value: &[u8]) -> Result<(), Error> {
        let item = Item::from([
            ("p".into(), text(format!("secret|{name}"))),
            ("v".into(), AttributeValue::B(Blob::new(value))),
        ]);
        self.put(item).await
    }
}
