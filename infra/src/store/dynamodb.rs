//! Implements the journal (the commits of all streams) on DynamoDB. Each commit is one item. One
//! conditional put writes this item (reference/event-sourcing.md 2.1).
//!
//! | attribute | content |
//! | --- | --- |
//! | `p` (partition key) | stream |
//! | `s` (sort key) | sequence number of the first event |
//! | `n` | number of events |
//! | `t` | commit time, milliseconds |
//! | `c` | command id, 16 bytes |
//! | `v`, `h` | hash of the previous commit, hash of this commit, 32 bytes each |
//! | `b` | compressed body |
//! | `k`, `z` | fingerprint and compressed snapshot (serialized state), in about every twelfth commit |
//!
//! If an item with the same key exists, the put fails and returns the stored item. The caller
//! therefore gets the commit of another writer without a further read. If an earlier attempt stored
//! the commit but its response was lost, the returned item is the commit of the caller.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
};
use events::Moment;

use super::memory::{page, within_limit};
use super::{Appended, COMMIT_BYTES_MAX, Commit, Cursor, Journal, Snapshot, Walked};
use crate::Error;
use crate::commit::compress::{compress, decompress};
use crate::sdk::{Item, Table, failed, item_bytes};

/// A journal (the commits of all streams) in one DynamoDB table.
#[derive(Clone, Debug)]
pub struct Dynamodb {
    table: Table,
}

impl Dynamodb {
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    async fn read(
        &self,
        stream: &str,
        condition: &str,
        bound: i64,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        let found = self
            .table
            .query()
            .consistent_read(true)
            .key_condition_expression(condition)
            .expression_attribute_values(":p", AttributeValue::S(stream.into()))
            .expression_attribute_values(":s", AttributeValue::N(bound.to_string()))
            .scan_index_forward(ascending)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| failed(&format!("read {stream} from {}", self.table.name), error))?;
        let commits = found
            .items()
            .iter()
            .map(commit)
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = found.items().iter().map(item_bytes).sum();
        self.table
            .read("journal query", bytes, found.consumed_capacity());
        Ok(page(commits.into_iter(), limit, |commit| commit.body.len()))
    }
}

/// Converts a commit to a DynamoDB item.
pub fn item(commit: &Commit) -> Item {
    let mut item = Item::from([
        ("p".into(), AttributeValue::S(commit.stream.clone())),
        ("s".into(), AttributeValue::N(commit.first.to_string())),
        ("n".into(), AttributeValue::N(commit.n.to_string())),
        ("t".into(), AttributeValue::N(commit.at.0.to_string())),
        ("c".into(), AttributeValue::B(Blob::new(commit.command_id))),
        ("v".into(), AttributeValue::B(Blob::new(commit.prev_hash))),
        ("h".into(), AttributeValue::B(Blob::new(commit.hash))),
        (
            "b".into(),
            AttributeValue::B(Blob::new(compress(&commit.body))),
        ),
    ]);
    if let Some(snapshot) = &commit.snapshot {
        item.insert(
            "k".into(),
            AttributeValue::B(Blob::new(snapshot.fingerprint)),
        );
        item.insert(
            "z".into(),
            AttributeValue::B(Blob::new(compress(&snapshot.state))),
        );
    }
    item
}

/// Converts a DynamoDB item to a commit. If the item is not a valid commit, returns an error that
/// contains the key of the item.
pub fn commit(item: &Item) -> Result<Commit, Error> {
    let name = || {
        let stream = item
            .get("p")
            .and_then(|value| value.as_s().ok())
            .map_or("?", String::as_str);
        let first = item
            .get("s")
            .and_then(|value| value.as_n().ok())
            .map_or("?", String::as_str);
        format!("journal item {stream}:{first}")
    };
    let missing =
        |what: &str| Error::corrupt(format!("{} has no readable attribute {what}", name()));
    let number = |what: &str| {
        item.get(what)
            .and_then(|value| value.as_n().ok()?.parse::<i64>().ok())
            .ok_or_else(|| missing(what))
    };
    let bytes = |what: &str| {
        item.get(what)
            .and_then(|value| value.as_b().ok())
            .map(Blob::as_ref)
            .ok_or_else(|| missing(what))
    };
    let (first, n) = (number("s")?, number("n")?);
    // A reader continues at the sequence number `first + n`. If this number were not greater than
    // `first`, the reader would read the same items without end. Such an item is therefore an
    // error.
    if first < 1 || n < 1 || first.checked_add(n).is_none() {
        return Err(Error::corrupt(format!("{} holds {n} events", name())));
    }
    let decompressed = |what: &str| {
        decompress(bytes(what)?, COMMIT_BYTES_MAX)
            .map_err(|error| Error::corrupt(format!("{}, attribute {what}: {error}", name())))
    };
    let snapshot = match (item.contains_key("k"), item.contains_key("z")) {
        (true, true) => Some(Snapshot {
            fingerprint: bytes("k")?.try_into().map_err(|_| missing("k"))?,
            state: decompressed("z")?,
        }),
        _ => None,
    };
    Ok(Commit {
        stream: item
            .get("p")
            .and_then(|value| value.as_s().ok())
            .ok_or_else(|| missing("p"))?
            .clone(),
        first,
        n,
        at: Moment(number("t")?),
        command_id: bytes("c")?.try_into().map_err(|_| missing("c"))?,
        prev_hash: bytes("v")?.try_into().map_err(|_| missing("v"))?,
        hash: bytes("h")?.try_into().map_err(|_| missing("h"))?,
        body: decompressed("b")?,
        snapshot,
    })
}

#[async_trait]
impl Journal for Dynamodb {
    async fn append(&self, commit: Commit) -> Result<Appended, Error> {
        within_limit(&commit)?;
        let item = item(&commit);
        let bytes = item_bytes(&item);
        let put = self
            .table
            .put(item)
            .condition_expression("attribute_not_exists(p)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match put {
            Ok(put) => {
                self.table
                    .wrote("journal put", bytes, put.consumed_capacity());
                Ok(Appended::Stored { position: None })
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(rejected)) => {
                    // AWS charges a rejected put like a write, but the response contains no
                    // capacity units. The units are therefore computed from the size of the item.
                    self.table.meter.wrote(
                        "journal put rejected",
                        bytes,
                        Some(f64::from(
                            u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX),
                        )),
                    );
                    match rejected.item() {
                        Some(item) => Ok(Appended::Taken(Box::new(self::commit(item)?))),
                        // Some emulators do not return the stored item when they reject a put. In this case, a separate
                        // request reads the item.
                        None => self.taken(&commit).await,
                    }
                }
                _ => Err(failed(
                    &format!("store commit {}:{}", commit.stream, commit.first),
                    error,
                )),
            },
        }
    }

    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        self.read(
            stream,
            "p = :p AND s < :s",
            before.unwrap_or(i64::MAX),
            false,
            limit,
        )
        .await
    }

    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error> {
        self.read(stream, "p = :p AND s >= :s", from, true, limit)
            .await
    }

    async fn next(&self, stream: &str) -> Result<i64, Error> {
        Ok(self
            .back(stream, None, 1)
            .await?
            .first()
            .map_or(1, Commit::next))
    }

    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
        let mut scan = self
            .table
            .client
            .scan()
            .table_name(&self.table.name)
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some(from) = from {
            let (stream, first) = from
                .rsplit_once(' ')
                .ok_or_else(|| Error::corrupt(format!("{from} is not a cursor of the journal")))?;
            scan = scan
                .exclusive_start_key("p", AttributeValue::S(stream.into()))
                .exclusive_start_key("s", AttributeValue::N(first.into()));
        }
        let found = scan
            .send()
            .await
            .map_err(|error| failed(&format!("walk over {}", self.table.name), error))?;
        let (mut commits, mut unreadable) = (Vec::new(), Vec::new());
        for item in found.items() {
            match commit(item) {
                Ok(commit) => commits.push(commit),
                Err(error) => unreadable.push(error.to_string()),
            }
        }
        self.table.read(
            "journal scan",
            found.items().iter().map(item_bytes).sum(),
            found.consumed_capacity(),
        );
        let cursor = |key: &Item| {
            Some(format!(
                "{} {}",
                key.get("p")?.as_s().ok()?,
                key.get("s")?.as_n().ok()?
            ))
        };
        Ok(Walked {
            commits,
            unreadable,
            next: found.last_evaluated_key().and_then(cursor),
        })
    }
}

impl Dynamodb {
    async fn taken(&self, commit: &Commit) -> Result<Appended, Error> {
        let found = self
            .forward(&commit.stream, commit.first, 1)
            .await?
            .into_iter()
            .find(|taken| taken.first == commit.first);
        found
            .map(|taken| Appended::Taken(Box::new(taken)))
            .ok_or_else(|| {
                Error::corrupt(format!(
                    "the key of commit {}:{} exists, but a read finds no commit",
                    commit.stream, commit.first
                ))
            })
    }
}
