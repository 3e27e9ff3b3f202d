//! Index rows: how they are keyed, put, deleted, listed, and swept where no document claims them.

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use tokio::task::{JoinError, JoinSet};

use super::{Dynamodb, text};
use crate::aws::{failed, item_bytes};
use crate::store::dynamodb::Item;
use crate::views::{Entry, Range};
use crate::{Error, Kind};

/// Index rows written at once.
const ROWS_AT_ONCE: usize = 32;

/// What stands before the first bar of a value, unless it is a number.
fn head(value: &str) -> &str {
    value.split_once('|').map(|(head, _)| head).filter(|head| !head.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or_default()
}

/// The key of the row that `claim` (`<index>|<value>`) means.
pub(super) fn row_key(view: &str, key: &str, claim: &str) -> [(String, AttributeValue); 2] {
    let (index, value) = claim.split_once('|').unwrap_or((claim, ""));
    [("p".into(), text(format!("i|{view}|{index}|{}", head(value)))), ("s".into(), text(format!("{value}\0{key}")))]
}

impl Dynamodb {
    /// Puts the rows of a document, several at once.
    pub(super) async fn put_rows(&self, view: &str, key: &str, claims: &[&String], sequence: i64) -> Result<(), Error> {
        let mut works = JoinSet::new();
        for claim in claims {
            room(&mut works).await?;
            works.spawn(self.clone().put_row(row_key(view, key, claim).into(), sequence));
        }
        all(works).await
    }

    /// Puts a row unless something newer did.
    async fn put_row(self, mut row: Item, sequence: i64) -> Result<(), Error> {
        row.insert("q".into(), AttributeValue::N(sequence.to_string()));
        let bytes = item_bytes(&row);
        let put = self
            .table
            .put(row)
            .condition_expression("attribute_not_exists(q) OR q < :q")
            .expression_attribute_values(":q", AttributeValue::N(sequence.to_string()))
            .send()
            .await;
        match put {
            Ok(put) => self.table.wrote("row put", bytes, put.consumed_capacity()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => self.table.meter.wrote("row put refused", bytes, Some(1.0)),
            Err(error) => return Err(failed(&format!("put an index row into {}", self.table.name), error)),
        }
        Ok(())
    }

    /// Deletes a row unless something newer wrote it.
    async fn delete_row(self, row: Item, before: i64) -> Result<(), Error> {
        let bytes = item_bytes(&row);
        let deleted = self
            .table
            .client
            .delete_item()
            .table_name(&self.table.name)
            .set_key(Some(row))
            .condition_expression("q < :q")
            .expression_attribute_values(":q", AttributeValue::N(before.to_string()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match deleted {
            Ok(deleted) => self.table.wrote("row delete", bytes, deleted.consumed_capacity()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => self.table.meter.wrote("row delete refused", bytes, Some(1.0)),
            Err(error) => return Err(failed(&format!("delete an index row from {}", self.table.name), error)),
        }
        Ok(())
    }

    pub(super) async fn delete_rows(&self, view: &str, key: &str, claims: &[&String], before: i64) -> Result<(), Error> {
        let mut works = JoinSet::new();
        for claim in claims {
            room(&mut works).await?;
            works.spawn(self.clone().delete_row(row_key(view, key, claim).into(), before));
        }
        all(works).await
    }

    /// Deletes rows that no document claims, so that counts come right again. A row of a document that is just being put is newer than the one that
    /// was read, and stays.
    pub(super) async fn sweep(&self, range: &Range<'_>, strays: Vec<(Entry, i64)>) {
        for (entry, sequence) in strays {
            let claim = format!("{}|{}", range.index, entry.value);
            if let Err(error) = self.delete_rows(range.view, &entry.key, &[&claim], sequence + 1).await {
                tracing::warn!(%error, view = range.view, "a stray index row stays");
            }
        }
    }

    /// One page of the rows of a range, and where to go on.
    pub(super) async fn rows(&self, range: &Range<'_>, limit: usize, from: Option<Item>) -> Result<(Vec<Entry>, Option<Item>), Error> {
        let found = self
            .query(range)?
            .scan_index_forward(!range.descending)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| failed(&format!("list {} by {}", range.view, range.index), error))?;
        let bytes = found.items().iter().map(item_bytes).sum();
        self.table.read("row query", bytes, found.consumed_capacity());
        let entry = |item: &Item| {
            let (value, key) = item.get("s")?.as_s().ok()?.split_once('\0')?;
            Some(Entry { value: value.to_owned(), key: key.to_owned(), facets: String::new() })
        };
        Ok((found.items().iter().filter_map(entry).collect(), found.last_evaluated_key))
    }

    pub(super) fn query(&self, range: &Range<'_>) -> Result<QueryFluentBuilder, Error> {
        let one = head(range.from);
        if one != head(range.to) {
            return Err(Error::new(
                Kind::Misconfigured,
                format!("a range of {} by {} must stay within one head, not {} to {}", range.view, range.index, range.from, range.to),
            ));
        }
        Ok(self
            .table
            .query()
            .key_condition_expression("p = :p AND s BETWEEN :from AND :to")
            .expression_attribute_values(":p", text(format!("i|{}|{}|{one}", range.view, range.index)))
            // A sort key may not be empty; every row's key is longer than a zero.
            .expression_attribute_values(":from", text(if range.from.is_empty() { "\0" } else { range.from }))
            .expression_attribute_values(":to", text(range.to)))
    }
}

type Works = JoinSet<Result<(), Error>>;

/// Waits until one more may be begun.
async fn room(works: &mut Works) -> Result<(), Error> {
    match (works.len() < ROWS_AT_ONCE, works.join_next()) {
        (true, _) => Ok(()),
        (false, ended) => ended.await.map_or(Ok(()), worked),
    }
}

async fn all(mut works: Works) -> Result<(), Error> {
    while let Some(ended) = works.join_next().await {
        worked(ended)?;
    }
    Ok(())
}

fn worked(ended: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    ended.map_err(|error| Error::because(Kind::Unavailable, "writing index rows broke off", error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_word_before_the_first_bar() {
        assert_eq!(
            [head("p1f|0001"), head("RUNNING|1"), head("0001|0002"), head("0001"), head(""), head("RUNNING|~")],
            ["p1f", "RUNNING", "", "", "", "RUNNING"]
        );
    }
}
