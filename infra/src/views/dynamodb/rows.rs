//! Stores, deletes and lists the index rows of the views, and creates the table keys of these rows.
//! Also deletes rows that are not in the row list of any document.

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

/// Returns the head of an index value. The head selects the partition of the row. The head is the
/// text before the first `|`. The head is empty if the value contains no `|`, or if this text is a
/// number.
fn head(value: &str) -> &str {
    value
        .split_once('|')
        .map(|(head, _)| head)
        .filter(|head| !head.bytes().all(|byte| byte.is_ascii_digit()))
        .unwrap_or_default()
}

/// Returns the table key of an index row. `claim` is the text `<index>|<value>`. A document lists
/// its rows in this format.
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
    /// Stores index rows of a document. Several rows are written at the same time.
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

    /// Stores an index row. `sequence` is the sequence number of the document version that writes
    /// the row. If a version with this number or a higher number has already written the row, the
    /// function changes nothing.
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

    /// Deletes an index row. If a document version with the sequence number `before` or a higher
    /// number has written the row, the function deletes nothing.
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

    /// Deletes index rows that are not in the row list of their document. Otherwise, a count of the
    /// index rows would include these invalid rows.
    ///
    /// With each row, `strays` contains the sequence number of its document. A concurrent put can
    /// write the row again with a higher sequence number. In this case, the row is not deleted.
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

    /// Returns one page of the index rows in a range. Also returns the table key after which the
    /// next page begins, or `None` if no further page exists. The returned page begins after the
    /// table key `from`.
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
            // DynamoDB does not allow an empty sort key. An empty start is therefore replaced by a
            // zero byte, because a zero byte sorts before every row key.
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

/// If the maximum number of changes of index rows is already running, waits until one of these
/// changes ends.
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
