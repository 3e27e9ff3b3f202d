//! The index rows of the views: creates their keys, and stores, deletes and lists the rows. Also
//! removes rows that no document lists.

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use tokio::task::{JoinError, JoinSet};

use super::{Dynamodb, text};
use crate::sdk::Item;
use crate::sdk::{failed, item_bytes};
use crate::views::{Entry, Range};
use crate::{Error, Kind};

/// Maximum number of index rows that are written at the same time.
const ROWS_AT_ONCE: usize = 32;

/// Returns the head of a value, which selects the partition of the row. The head is the text before
/// the first `|`. It is empty if the value contains no `|`, or if the text is a number.
fn head(value: &str) -> &str {
    value
        .split_once('|')
        .map(|(head, _)| head)
        .filter(|head| !head.bytes().all(|byte| byte.is_ascii_digit()))
        .unwrap_or_default()
}

/// Returns the key of the index row for a claim. A claim is the text `<index>|<value>`, with which
/// a document lists one of its rows.
pub(super) fn row_key(view: &str, key: &str, claim: &str) -> [(String, AttributeValue); 2] {
    let (index, value) = claim.split_once('|').unwrap_or((claim, ""));
    [
        (
            "p".into(),
            text(format!("i|{view}|{index}|{}", head(value))),
        ),
        ("s".into(), text(format!("{value}\0{key}"))),
    ]
}

impl Dynamodb {
    /// Stores the index rows of a document, several rows at the same time.
    pub(super) async fn put_rows(
        &self,
        view: &str,
        key: &str,
        claims: &[&String],
        sequence: i64,
    ) -> Result<(), Error> {
        let mut tasks = JoinSet::new();
        for claim in claims {
            wait_for_slot(&mut tasks).await?;
            tasks.spawn(
                self.clone()
                    .put_row(row_key(view, key, claim).into(), sequence),
            );
        }
        join_all(tasks).await
    }

    /// Stores a row. Does nothing if a newer version of the document already wrote the row.
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
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => {
                self.table.meter.wrote("row put rejected", bytes, Some(1.0));
            }
            Err(error) => {
                return Err(failed(
                    &format!("put an index row into {}", self.table.name),
                    error,
                ));
            }
        }
        Ok(())
    }

    /// Deletes a row. Does nothing if a newer version of the document wrote the row.
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
            Ok(deleted) => self
                .table
                .wrote("row delete", bytes, deleted.consumed_capacity()),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => self
                .table
                .meter
                .wrote("row delete rejected", bytes, Some(1.0)),
            Err(error) => {
                return Err(failed(
                    &format!("delete an index row from {}", self.table.name),
                    error,
                ));
            }
        }
        Ok(())
    }

    pub(super) async fn delete_rows(
        &self,
        view: &str,
        key: &str,
        claims: &[&String],
        before: i64,
    ) -> Result<(), Error> {
        let mut tasks = JoinSet::new();
        for claim in claims {
            wait_for_slot(&mut tasks).await?;
            tasks.spawn(
                self.clone()
                    .delete_row(row_key(view, key, claim).into(), before),
            );
        }
        join_all(tasks).await
    }

    /// Deletes rows that no document lists, because such rows make counts too high.
    ///
    /// A row that a concurrent put has written is not deleted. Its sequence is higher than the
    /// sequence of the document that was read.
    pub(super) async fn sweep(&self, range: &Range<'_>, strays: Vec<(Entry, i64)>) {
        for (entry, sequence) in strays {
            let claim = format!("{}|{}", range.index, entry.value);
            if let Err(error) = self
                .delete_rows(range.view, &entry.key, &[&claim], sequence + 1)
                .await
            {
                tracing::warn!(%error, view = range.view, "cannot delete a stray index row");
            }
        }
    }

    /// Returns one page of the rows of a range. Also returns the key with which the next page
    /// starts.
    pub(super) async fn rows(
        &self,
        range: &Range<'_>,
        limit: usize,
        from: Option<Item>,
    ) -> Result<(Vec<Entry>, Option<Item>), Error> {
        let found = self
            .query(range)?
            .scan_index_forward(!range.descending)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| failed(&format!("list {} by {}", range.view, range.index), error))?;
        let bytes = found.items().iter().map(item_bytes).sum();
        self.table
            .read("row query", bytes, found.consumed_capacity());
        let entry = |item: &Item| {
            let (value, key) = item.get("s")?.as_s().ok()?.split_once('\0')?;
            Some(Entry {
                value: value.to_owned(),
                key: key.to_owned(),
                facets: String::new(),
            })
        };
        Ok((
            found.items().iter().filter_map(entry).collect(),
            found.last_evaluated_key,
        ))
    }

    pub(super) fn query(&self, range: &Range<'_>) -> Result<QueryFluentBuilder, Error> {
        let head_value = head(range.from);
        if head_value != head(range.to) {
            return Err(Error::new(
                Kind::Misconfigured,
                format!(
                    "a range of {} by {} must stay within one head, not {} to {}",
                    range.view, range.index, range.from, range.to
                ),
            ));
        }
        Ok(self
            .table
            .query()
            .key_condition_expression("p = :p AND s BETWEEN :from AND :to")
            .expression_attribute_values(
                ":p",
                text(format!("i|{}|{}|{head_value}", range.view, range.index)),
            )
            // A sort key must not be empty. An empty start is replaced by a zero byte, which sorts
            // before every row key.
            .expression_attribute_values(
                ":from",
                text(if range.from.is_empty() {
                    "\0"
                } else {
                    range.from
                }),
            )
            .expression_attribute_values(":to", text(range.to)))
    }
}

type Tasks = JoinSet<Result<(), Error>>;

/// If the maximum number of writes is running, waits until one of them ends.
async fn wait_for_slot(tasks: &mut Tasks) -> Result<(), Error> {
    match (tasks.len() < ROWS_AT_ONCE, tasks.join_next()) {
        (true, _) => Ok(()),
        (false, finished) => finished.await.map_or(Ok(()), joined),
    }
}

async fn join_all(mut tasks: Tasks) -> Result<(), Error> {
    while let Some(finished) = tasks.join_next().await {
        joined(finished)?;
    }
    Ok(())
}

fn joined(finished: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    finished.map_err(|error| {
        Error::because(
            Kind::Unavailable,
            "a task that writes index rows failed",
            error,
        )
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_non_numeric_text_before_the_first_bar() {
        assert_eq!(
            [
                head("p1f|0001"),
                head("RUNNING|1"),
                head("0001|0002"),
                head("0001"),
                head(""),
                head("RUNNING|~")
            ],
            ["p1f", "RUNNING", "", "", "", "RUNNING"]
        );
    }
}
