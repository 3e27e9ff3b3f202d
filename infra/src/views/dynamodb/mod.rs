//! Stores the views (documents for reading, with indexes) in one DynamoDB table.
//!
//! The table item of a document has these attributes:
//!
//! - `p`: `d|<view>|<part>`; `part` is a number from 0 to 15, computed from a hash of the document
//!   key
//! - `s`: the key of the document
//! - `q`: the sequence number of the document
//! - `b`: the compressed body
//! - `x`: the list of the index rows that belong to the document
//! - `f`: the facets (filter text)
//!
//! The table item of an index row has these attributes:
//!
//! - `p`: `i|<view>|<index>|<head>`; `head` is the start of the indexed value (see the last
//!   paragraph)
//! - `s`: the indexed value, a zero byte, and the key of the document
//! - `q`: the sequence number of the document version that wrote the row
//!
//! An index row is valid only if the attribute `x` of its document contains the row. Readers ignore
//! all other rows. A put (storing a document) has three steps:
//!
//! - The put writes the new index rows.
//! - The put writes the document, if the stored document has the expected sequence number.
//! - The put deletes the old rows that are not in the new `x`. A row that another put wrote with a
//!   higher sequence number is not deleted.
//!
//! A crash between these steps leaves only rows that readers ignore. Therefore a put needs no
//! transaction. Simple writes cost half as much as transactional writes.
//!
//! The head of an indexed value is the text before its first `|`. The head is empty if the value
//! contains no `|`, or if this text is a number. All rows with the same head are in one partition.
//! For example, the value `p1f…|0000120261122000017` has the head `p1f…`, so all rows of one person
//! are in one partition. A query reads one partition, so all values of a queried range must have
//! the same head.

mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, KeysAndAttributes, ReturnConsumedCapacity,
    ReturnValuesOnConditionCheckFailure, Select, WriteRequest,
};
use tokio::task::JoinSet;

use rows::row_key;

use super::{Document, Entry, Index, Range, Views};
use crate::commit::compress::{compress, decompress};
use crate::sdk::Item;
use crate::sdk::{Table, failed, item_bytes};
use crate::{Error, Kind};

/// Number of DynamoDB partition keys over which the documents of one view are distributed.
const BUCKETS: u8 = 16;
/// Limits of DynamoDB. `GET_MAX` is the maximum number of documents in one BatchGetItem request.
/// `DELETE_MAX` is the maximum number of items in one BatchWriteItem request.
const GET_MAX: usize = 100;
const DELETE_MAX: usize = 25;
/// Maximum size in bytes of a document after decompression. DynamoDB limits only the size of the
/// compressed document.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Maximum number of requests for one batch. DynamoDB can return without processing some items of a
/// batch. A further request then contains only the unprocessed items.
const ROUNDS_MAX: u32 = 8;
/// Maximum number of documents for which this process caches the list of index rows. If the list is
/// cached, a put does not need to read the stored document.
const REMEMBERED_MAX: usize = 10_000;

/// The sequence number of a document, and the list of its index rows.
type Claimed = (i64, Vec<String>);

/// The views (documents for reading, with indexes) in one DynamoDB table.
#[derive(Clone)]
pub struct Dynamodb {
    table: Table,
    /// The cached sequence numbers and index rows of recently read or stored documents. The key of
    /// the map is the view and the document key.
    claimed: Arc<Mutex<HashMap<(String, String), Claimed>>>,
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn bucket(key: &str) -> u8 {
    blake3::hash(key.as_bytes()).as_bytes()[0] % BUCKETS
}

fn document_key(view: &str, key: &str) -> [(String, AttributeValue); 2] {
    [
        ("p".into(), text(format!("d|{view}|{:02}", bucket(key)))),
        ("s".into(), text(key)),
    ]
}

fn sequence(item: &Item) -> i64 {
    item.get("q")
        .and_then(|value| value.as_n().ok()?.parse().ok())
        .unwrap_or_default()
}

fn claims(item: &Item) -> Vec<String> {
    let claims = item.get("x").and_then(|value| value.as_l().ok());
    claims
        .map(|claims| {
            claims
                .iter()
                .filter_map(|claim| claim.as_s().ok().cloned())
                .collect()
        })
        .unwrap_or_default()
}

fn facets(item: &Item) -> String {
    item.get("f")
        .and_then(|value| value.as_s().ok().cloned())
        .unwrap_or_default()
}

fn document(view: &str, item: &Item) -> Result<Document, Error> {
    let stored = item
        .get("b")
        .and_then(|value| value.as_b().ok())
        .ok_or_else(|| Error::corrupt(format!("a document of view {view} has no body")))?;
    Ok(Document {
        sequence: sequence(item),
        body: decompress(stored.as_ref(), DOCUMENT_BYTES_MAX)?,
    })
}

impl Dynamodb {
    pub fn new(table: Table) -> Self {
        Self {
            table,
            claimed: Arc::default(),
        }
    }

    fn remember(&self, view: &str, key: &str, known: Option<Claimed>) {
        let mut claimed = self.claimed.lock().expect("no holder panics");
        if claimed.len() >= REMEMBERED_MAX {
            claimed.clear();
        }
        let cache_key = (view.to_owned(), key.to_owned());
        match known {
            Some(known) => drop(claimed.insert(cache_key, known)),
            None => drop(claimed.remove(&cache_key)),
        }
    }

    async fn get_item(&self, view: &str, key: &str) -> Result<Option<Item>, Error> {
        let got = self.table.get("view get", document_key(view, key)).await?;
        self.remember(
            view,
            key,
            got.as_ref().map(|item| (sequence(item), claims(item))),
        );
        Ok(got)
    }

    /// Reads documents by their keys. For each existing document, returns the sequence number, the
    /// index rows and the facets (filter text).
    async fn claims_of(
        &self,
        view: &str,
        keys: &[&str],
    ) -> Result<HashMap<String, (Claimed, String)>, Error> {
        let mut claimed = HashMap::new();
        let unique: Vec<&str> = keys
            .iter()
            .copied()
            .collect::<HashSet<_>>()
            .into_iter()
            .collect();
        for chunk in unique.chunks(GET_MAX) {
            let builder = KeysAndAttributes::builder().set_keys(Some(
                chunk
                    .iter()
                    .map(|key| document_key(view, key).into())
                    .collect(),
            ));
            let request = builder
                .consistent_read(true)
                .projection_expression("s, q, x, f")
                .build()
                .map_err(|error| {
                    Error::because(Kind::Misconfigured, "cannot request documents", error)
                })?;
            let mut unprocessed = Some(HashMap::from([(self.table.name.clone(), request)]));
            for round in 0..ROUNDS_MAX {
                let Some(request) = unprocessed
                    .take()
                    .filter(|unprocessed| !unprocessed.is_empty())
                else {
                    break;
                };
                wait(round).await;
                let got = self
                    .table
                    .client
                    .batch_get_item()
                    .set_request_items(Some(request))
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .send()
                    .await;
                let got =
                    got.map_err(|error| failed(&format!("read documents of {view}"), error))?;
                let items = got
                    .responses()
                    .and_then(|responses| responses.get(&self.table.name))
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let units = got
                    .consumed_capacity()
                    .iter()
                    .filter_map(aws_sdk_dynamodb::types::ConsumedCapacity::capacity_units)
                    .sum();
                self.table.meter.read(
                    "view batch get",
                    items.iter().map(item_bytes).sum(),
                    Some(units),
                );
                for item in items {
                    if let Some(Ok(key)) = item.get("s").map(AttributeValue::as_s) {
                        claimed.insert(key.clone(), ((sequence(item), claims(item)), facets(item)));
                    }
                }
                unprocessed = got.unprocessed_keys;
            }
            if unprocessed.is_some_and(|unprocessed| !unprocessed.is_empty()) {
                return Err(Error::new(
                    Kind::Throttled,
                    format!("not all documents of {view} could be read"),
                ));
            }
        }
        Ok(claimed)
    }

    async fn delete_all(&self, keys: Vec<Item>) -> Result<(), Error> {
        for chunk in keys.chunks(DELETE_MAX) {
            let request = |key: &Item| {
                let delete = DeleteRequest::builder().set_key(Some(key.clone())).build();
                delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
            };
            let requests = chunk
                .iter()
                .map(request)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| Error::because(Kind::Misconfigured, "cannot delete", error))?;
            let mut unprocessed = Some(HashMap::from([(self.table.name.clone(), requests)]));
            for round in 0..ROUNDS_MAX {
                let Some(requests) = unprocessed
                    .take()
                    .filter(|unprocessed| !unprocessed.is_empty())
                else {
                    break;
                };
                wait(round).await;
                let deleted = self
                    .table
                    .client
                    .batch_write_item()
                    .set_request_items(Some(requests))
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                let deleted = deleted
                    .send()
                    .await
                    .map_err(|error| failed(&format!("delete from {}", self.table.name), error))?;
                let units = deleted
                    .consumed_capacity()
                    .iter()
                    .filter_map(aws_sdk_dynamodb::types::ConsumedCapacity::capacity_units)
                    .sum();
                self.table.meter.wrote("view batch delete", 0, Some(units));
                unprocessed = deleted.unprocessed_items;
            }
            if unprocessed.is_some_and(|unprocessed| !unprocessed.is_empty()) {
                return Err(Error::new(
                    Kind::Throttled,
                    format!("not everything could be deleted from {}", self.table.name),
                ));
            }
        }
        Ok(())
    }

    /// Returns the table keys of a document and of its index rows. `claims` lists these rows, each
    /// as `<index>|<value>`.
    fn item_keys(view: &str, key: &str, claims: &[String]) -> Vec<Item> {
        let rows = claims
            .iter()
            .map(|claim| Item::from(row_key(view, key, claim)));
        rows.chain([document_key(view, key).into()]).collect()
    }

    /// Returns at most `limit` documents of a view, in ascending order of their keys. All keys are
    /// greater than `after`.
    async fn items(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Item)>, Error> {
        let mut buckets = JoinSet::new();
        for bucket in 0..BUCKETS {
            let query = self
                .table
                .query()
                .key_condition_expression("p = :p AND s > :s")
                .expression_attribute_values(":p", text(format!("d|{view}|{bucket:02}")))
                .expression_attribute_values(
                    ":s",
                    text(if after.is_empty() { "\0" } else { after }),
                )
                .limit(i32::try_from(limit).unwrap_or(i32::MAX))
                .consistent_read(true);
            buckets.spawn(query.send());
        }
        // Each partition sends one response, sorted by document key. If a response is truncated,
        // documents after its last key can be missing. `complete_until` is the smallest last key of
        // all truncated responses. The result contains only documents up to this key.
        let (mut found, mut complete_until) = (BTreeMap::new(), None::<String>);
        while let Some(response) = buckets.join_next().await {
            let response = response.map_err(|error| {
                Error::because(
                    Kind::Unavailable,
                    "the task that reads a view failed",
                    error,
                )
            })?;
            let response = response
                .map_err(|error| failed(&format!("scan {view} in {}", self.table.name), error))?;
            let bytes = response.items().iter().map(item_bytes).sum();
            self.table
                .read("view scan", bytes, response.consumed_capacity());
            let mut last = None;
            for item in response.items() {
                if let Some(Ok(key)) = item.get("s").map(AttributeValue::as_s) {
                    last = Some(key.clone());
                    found.insert(key.clone(), item.clone());
                }
            }
            if response.last_evaluated_key().is_some()
                && last.is_some()
                && (complete_until.is_none() || last < complete_until)
            {
                complete_until = last;
            }
        }
        let complete = found.into_iter().filter(|(key, _)| {
            complete_until
                .as_ref()
                .is_none_or(|complete_until| key <= complete_until)
        });
        Ok(complete.take(limit).collect())
    }
}

/// Waits before a batch request is sent again. `round` is 1 for the first repetition, 2 for the
/// second repetition, and so on. The wait is 20 ms before the first repetition, and doubles before
/// each further repetition. Round 0 is the first request, so there is no wait.
async fn wait(round: u32) {
    if round > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10 << round)).await;
    }
}

#[async_trait]
impl Views for Dynamodb {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        self.get_item(view, key)
            .await?
            .map(|item| document(view, &item))
            .transpose()
    }

    async fn put_with(
        &self,
        view: &str,
        key: &str,
        document: &Document,
        index: &Index,
        facets: &str,
        expected: i64,
    ) -> Result<bool, Error> {
        let known = self
            .claimed
            .lock()
            .expect("no holder panics")
            .get(&(view.to_owned(), key.to_owned()))
            .cloned();
        let old = match known.filter(|(sequence, _)| *sequence == expected) {
            Some((_, claims)) => claims,
            None if expected == 0 => Vec::new(),
            None => match self.get_item(view, key).await? {
                Some(item) if sequence(&item) == expected => claims(&item),
                _ => return Ok(false),
            },
        };
        let mut new: Vec<String> = index
            .iter()
            .map(|(name, value)| format!("{name}|{value}"))
            .collect();
        new.sort();
        new.dedup();
        let added: Vec<&String> = new.iter().filter(|claim| !old.contains(claim)).collect();
        self.put_rows(view, key, &added, document.sequence).await?;

        let mut item = Item::from(document_key(view, key));
        let body = compress(&document.body);
        item.insert("q".into(), AttributeValue::N(document.sequence.to_string()));
        item.insert("b".into(), AttributeValue::B(Blob::new(body.clone())));
        if !new.is_empty() {
            item.insert(
                "x".into(),
                AttributeValue::L(new.iter().map(text).collect()),
            );
        }
        if !facets.is_empty() {
            item.insert("f".into(), text(facets));
        }
        let bytes = item_bytes(&item);
        let put = self.table.put(item);
        let put = if expected == 0 {
            put.condition_expression("attribute_not_exists(p)")
        } else {
            put.condition_expression("q = :q")
                .expression_attribute_values(":q", AttributeValue::N(expected.to_string()))
        };
        match put
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await
        {
            Ok(put) => self.table.wrote("view put", bytes, put.consumed_capacity()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(rejected)) => {
                    self.table
                        .meter
                        .wrote("view put rejected", bytes, Some(1.0));
                    self.remember(view, key, None);
                    // The put was rejected. An earlier attempt may have stored the document, but
                    // its response was lost. If the stored document is equal to this document, the
                    // put is therefore treated as successful.
                    let stored = rejected
                        .item()
                        .filter(|stored| sequence(stored) == document.sequence);
                    if stored
                        .and_then(|stored| stored.get("b")?.as_b().ok())
                        .map(Blob::as_ref)
                        != Some(&body)
                    {
                        return Ok(false);
                    }
                }
                _ => {
                    return Err(failed(
                        &format!("write {view} {key} into {}", self.table.name),
                        error,
                    ));
                }
            },
        }
        // The document is already stored. If the deletion of old rows fails, the function therefore
        // only writes a warning to the log. Readers ignore the remaining rows and delete them
        // later.
        let dropped: Vec<&String> = old.iter().filter(|claim| !new.contains(claim)).collect();
        if let Err(error) = self
            .delete_rows(view, key, &dropped, document.sequence)
            .await
        {
            tracing::warn!(%error, view, key, "cannot delete old index rows");
        }
        self.remember(view, key, Some((document.sequence, new)));
        Ok(true)
    }

    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error> {
        let needed = range.skip.saturating_add(range.limit);
        let mut from = after.map(|after| {
            Item::from(row_key(
                range.view,
                &after.key,
                &format!("{}|{}", range.index, after.value),
            ))
        });
        let mut entries = Vec::new();
        while entries.len() < needed {
            let (rows, next) = self.rows(&range, needed - entries.len(), from).await?;
            let keys: Vec<&str> = rows.iter().map(|entry| entry.key.as_str()).collect();
            let claimed = self.claims_of(range.view, &keys).await?;
            let mut strays = Vec::new();
            for entry in rows {
                match claimed.get(&entry.key) {
                    Some(((_, claims), facets))
                        if claims.contains(&format!("{}|{}", range.index, entry.value)) =>
                    {
                        entries.push(Entry {
                            facets: facets.clone(),
                            ..entry
                        });
                    }
                    Some(((sequence, _), _)) => strays.push((entry, *sequence)),
                    // The document of this row does not exist, but the row is not deleted. Perhaps
                    // a concurrent put has just written this row and has not stored its document
                    // yet.
                    None => {}
                }
            }
            self.sweep(&range, strays).await;
            from = next;
            if from.is_none() {
                break;
            }
        }
        Ok(entries.into_iter().skip(range.skip).collect())
    }

    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        let range = Range {
            view,
            index,
            from,
            to,
            descending: false,
            skip: 0,
            limit: 0,
        };
        let (mut count, mut next) = (0, None);
        loop {
            let found = self
                .query(&range)?
                .select(Select::Count)
                .set_exclusive_start_key(next)
                .send()
                .await;
            let found =
                found.map_err(|error| failed(&format!("count {view} by {index}"), error))?;
            self.table.read("row count", 0, found.consumed_capacity());
            count += u64::from(found.count().unsigned_abs());
            next = found.last_evaluated_key;
            if next.is_none() {
                return Ok(count);
            }
        }
    }

    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error> {
        let items = self.items(view, after, limit).await?;
        items
            .into_iter()
            .map(|(key, item)| Ok((key, document(view, &item)?)))
            .collect()
    }

    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        let Some(item) = self.get_item(view, key).await? else {
            return Ok(());
        };
        self.remember(view, key, None);
        self.delete_all(Self::item_keys(view, key, &claims(&item)))
            .await
    }

    async fn clear(&self, view: &str) -> Result<(), Error> {
        loop {
            let items = self.items(view, "", 1000).await?;
            if items.is_empty() {
                self.claimed
                    .lock()
                    .expect("no holder panics")
                    .retain(|(of, _), _| of != view);
                return Ok(());
            }
            let keys = items
                .iter()
                .flat_map(|(key, item)| Self::item_keys(view, key, &claims(item)))
                .collect();
            self.delete_all(keys).await?;
        }
    }
}
