//! The read models: a small document store with ordered, many-valued indexes. All of it can be rebuilt from the ledger.

pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "local")]
pub mod sqlite;

use async_trait::async_trait;

use crate::Error;

/// A document as stored, with the sequence of the last event it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub sequence: i64,
    pub body: Vec<u8>,
}

/// One row of an index: the value it stands under and the document's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: String,
    pub key: String,
    /// The facets of the document, by which lists are narrowed; empty where it has none.
    pub facets: String,
}

impl Entry {
    /// The facets that many documents share: what stands before the first tab.
    pub fn shared(&self) -> &str {
        shared_and_own(&self.facets).0
    }
    /// The facets of the document alone: what stands behind the first tab.
    pub fn own(&self) -> &str {
        shared_and_own(&self.facets).1
    }
}

/// Facets in their two parts.
pub fn shared_and_own(facets: &str) -> (&str, &str) {
    facets.split_once('\t').unwrap_or((facets, ""))
}

/// Says of shared facets whether a list shows the rows that have them.
pub type Fits<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// A stretch of an index: values from `from` (inclusive) to `to` (exclusive), ordered by value.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    pub view: &'a str,
    pub index: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub descending: bool,
    pub skip: usize,
    pub limit: usize,
}

/// Lists that are read page by page: an adapter with counters ([`Views::has_counters`]) counts them in stretches of time and by shared facets, so that
/// neither counting nor a deep page walks every row. Their values end in 16 digits, an instant in milliseconds.
pub const COUNTED: [&str; 10] = ["ticket", "creator", "ended", "dealt", "follows", "todo", "claim", "approval", "call", "failed"];
/// Rows that are read at once where a list is walked.
const STEP: usize = 500;

/// Index name and value of each list a document appears in.
pub type Index = [(&'static str, String)];

/// Where views are kept.
#[async_trait]
pub trait Views: Send + Sync {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error>;
    /// Puts a document and its index rows in one step if the stored sequence is still `expected` (0: no document yet). Says whether it did.
    async fn put(&self, view: &str, key: &str, document: &Document, index: &Index, expected: i64) -> Result<bool, Error> {
        self.put_with(view, key, document, index, "", expected).await
    }
    /// The same with facets: a short text that is stored beside each index row, so that a list can be narrowed without reading documents. What stands before
    /// its first tab many documents share; what stands behind it is the document's own.
    async fn put_with(&self, view: &str, key: &str, document: &Document, index: &Index, facets: &str, expected: i64) -> Result<bool, Error>;
    async fn range(&self, range: Range<'_>) -> Result<Vec<Entry>, Error> {
        self.range_after(range, None).await
    }
    /// The rows of a range behind one of its entries, in the order of the range.
    async fn range_after(&self, range: Range<'_>, after: Option<&Entry>) -> Result<Vec<Entry>, Error>;
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error>;
    /// Says whether rows are counted by shared facets, so that [`Views::page_where`] costs about what [`Views::range`] does.
    fn has_counters(&self) -> bool {
        false
    }
    /// How many rows of a range have shared facets that fit, whatever its `skip` and `limit`; and the page of them that `skip` and `limit` mean.
    async fn page_where(&self, range: Range<'_>, fits: Fits<'_>) -> Result<(u64, Vec<Entry>), Error> {
        walk(self, range, fits).await
    }
    /// Documents of a view by key, after a key.
    async fn scan(&self, view: &str, after: &str, limit: usize) -> Result<Vec<(String, Document)>, Error>;
    /// Removes a document with its index rows.
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error>;
    /// Removes every document and index row of a view.
    async fn clear(&self, view: &str) -> Result<(), Error>;
}

/// Reads a whole range row by row, counts the rows that fit and takes one page of them.
async fn walk(views: &(impl Views + ?Sized), range: Range<'_>, fits: Fits<'_>) -> Result<(u64, Vec<Entry>), Error> {
    let (mut count, mut page) = (0_u64, Vec::new());
    let mut last: Option<Entry> = None;
    loop {
        let entries = views.range_after(Range { skip: 0, limit: STEP, ..range }, last.as_ref()).await?;
        let is_end = entries.len() < STEP;
        last = entries.last().cloned();
        for entry in entries.into_iter().filter(|entry| fits(entry.shared())) {
            if count >= range.skip as u64 && page.len() < range.limit {
                page.push(entry);
            }
            count += 1;
        }
        if is_end {
            return Ok((count, page));
        }
        // Long walks let other requests run, also on a store that never waits.
        tokio::task::yield_now().await;
    }
}
