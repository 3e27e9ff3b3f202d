//! Implements the event store in memory, for tests and simulations.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Appended, COMMIT_BYTES_MAX, Commit, Cursor, Head, Journal, PAGE_BYTES_MAX, Placed, Store,
    Walked, walk_by_position,
};
use crate::{Error, Kind};

/// An event store in memory. Two maps contain the commits: one map by stream, and one map by
/// position in the feed (the ordered list of all commits).
#[derive(Debug)]
pub struct Memory {
    inner: Mutex<Inner>,
    head: watch::Sender<i64>,
}

#[derive(Debug, Default)]
struct Inner {
    feed: Vec<Placed>,
    streams: HashMap<String, BTreeMap<i64, usize>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            head: watch::channel(0).0,
        }
    }
}

impl Inner {
    fn head(&self) -> Head {
        self.feed.last().map_or_else(Head::default, |last| Head {
            position: last.position,
            feed_hash: last.feed_hash,
        })
    }
}

#[async_trait]
impl Journal for Memory {
    async fn append(&self, commit: Commit) -> Result<Appended, Error> {
        within_limit(&commit)?;
        let mut inner = self.inner.lock().expect("no holder panics");
        let at = inner.feed.len();
        let Head {
            position,
            feed_hash,
        } = inner.head();
        if let Some(taken) = inner
            .streams
            .get(&commit.stream)
            .and_then(|stream| stream.get(&commit.first))
        {
            return Ok(Appended::Taken(Box::new(inner.feed[*taken].commit.clone())));
        }
        let position = position + 1;
        inner
            .streams
            .entry(commit.stream.clone())
            .or_default()
            .insert(commit.first, at);
        inner.feed.push(Placed {
            position,
            feed_hash: crate::commit::feed_hash(&feed_hash, position, &commit.hash),
            commit,
        });
        self.head.send_replace(position);
        Ok(Appended::Stored {
            position: Some(position),
        })
    }

    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        let inner = self.inner.lock().expect("no holder panics");
        let Some(commits) = inner.streams.get(stream) else {
            return Ok(Vec::new());
        };
        Ok(page(
            commits
                .range(..before.unwrap_or(i64::MAX))
                .rev()
                .map(|(_, at)| inner.feed[*at].commit.clone()),
            limit,
            |commit| commit.body.len(),
        ))
    }

    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error> {
        let inner = self.inner.lock().expect("no holder panics");
        let Some(commits) = inner.streams.get(stream) else {
            return Ok(Vec::new());
        };
        Ok(page(
            commits
                .range(from..)
                .map(|(_, at)| inner.feed[*at].commit.clone()),
            limit,
            |commit| commit.body.len(),
        ))
    }

    async fn next(&self, stream: &str) -> Result<i64, Error> {
        let inner = self.inner.lock().expect("no holder panics");
        let last = inner
            .streams
            .get(stream)
            .and_then(|commits| commits.values().next_back());
        Ok(last.map_or(1, |at| inner.feed[*at].commit.next()))
    }

    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
        walk_by_position(self, from, limit).await
    }
}

#[async_trait]
impl Store for Memory {
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error> {
        let inner = self.inner.lock().expect("no holder panics");
        let from = usize::try_from(after.max(0))
            .unwrap_or(usize::MAX)
            .min(inner.feed.len());
        Ok(page(inner.feed[from..].iter().cloned(), limit, |placed| {
            placed.commit.body.len()
        }))
    }

    async fn head(&self) -> Result<Head, Error> {
        Ok(self.inner.lock().expect("no holder panics").head())
    }

    async fn past(&self, position: i64) {
        let _ = self
            .head
            .subscribe()
            .wait_for(|head| *head > position)
            .await;
    }
}

/// Returns the first items of a list. The result has at most `limit` items with at most
/// [`PAGE_BYTES_MAX`] bytes in total. If the first item alone is larger, the result contains only
/// this item.
pub(super) fn page<T>(
    items: impl Iterator<Item = T>,
    limit: usize,
    bytes: impl Fn(&T) -> usize,
) -> Vec<T> {
    let mut total = 0;
    let mut page = Vec::new();
    for item in items.take(limit) {
        total += bytes(&item);
        if total > PAGE_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push(item);
    }
    page
}

/// Rejects a commit that is too large or has an invalid stream name. All adapters call this
/// function, so that they accept the same commits.
pub(super) fn within_limit(commit: &Commit) -> Result<(), Error> {
    if !commit.is_well_named() {
        let name = commit.stream.chars().take(40).collect::<String>();
        return Err(Error::new(
            Kind::Misconfigured,
            format!(
                "invalid stream name {name:?}: a name has 1 to 256 bytes without whitespace and control characters"
            ),
        ));
    }
    let size = commit.size();
    if size <= COMMIT_BYTES_MAX {
        return Ok(());
    }
    let longest = serde_json::from_slice(&commit.body)
        .ok()
        .and_then(|body: Value| longest(&body, "").map(|(_, name)| name));
    let longest = longest.map_or_else(String::new, |name| {
        format!("; the longest field is `{name}`")
    });
    Err(Error::new(
        Kind::TooLarge,
        format!("the change has {size} bytes, the maximum is {COMMIT_BYTES_MAX}{longest}"),
    ))
}

/// Finds the longest text in a JSON value. Returns the length of this text, and the name of the
/// field that contains the text.
fn longest(value: &Value, name: &str) -> Option<(usize, String)> {
    match value {
        Value::String(text) => Some((text.len(), name.to_owned())),
        Value::Array(items) => items.iter().filter_map(|item| longest(item, name)).max(),
        Value::Object(members) => {
            // A form field is an object with the members `key` and `value`. If the value is long,
            // the error message contains the key of the field, because the name `value` would not
            // identify the field.
            let field = members.get("key").and_then(Value::as_str);
            let named = |member: &str| {
                if member == "value" {
                    field.unwrap_or(name).to_owned()
                } else {
                    member.to_owned()
                }
            };
            members
                .iter()
                .filter_map(|(member, value)| longest(value, &named(member)))
                .max()
        }
        _ => None,
    }
}
