//! The views port: a small document store with ordered, many-valued indexes. All data of the views
//! can be rebuilt from the ledger.

pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod memory;
mod page_writer;
#[cfg(feature = "local")]
pub mod sqlite;

use std::borrow::Cow;

use async_trait::async_trait;

use crate::Error;

pub use page_writer::{InSteps, PageWriter};

/// A stored document, and the sequence of the last event that the document includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub sequence: i64,
    pub body: Vec<u8>,
}

/// One row of an index: the indexed value and the key of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: String,
    pub key: String,
    /// The facets of the document, a short text by which lists are filtered; empty if the document
    /// was put without facets.
    pub facets: String,
}

impl Entry {
    /// Returns the facets that many documents share: the text before the first tab.
    pub fn shared(&self) -> &str {
        shared_and_own(&self.facets).0
    }
    /// Returns the facets of this document alone: the text after the first tab.
    pub fn own(&self) -> &str {
        shared_and_own(&self.facets).1
    }
}

/// Splits facets into the shared part and the document's own part.
pub fn shared_and_own(facets: &str) -> (&str, &str) {
    facets.split_once('\t').unwrap_or((facets, ""))
}

/// A predicate on shared facets: whether a list shows the rows with these facets.
pub type Fits<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// A range of an index: values from `from` (inclusive) to `to` (exclusive), ordered by value.
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

/// The lists that an adapter with counters ([`Views::has_counters`]) counts, each named by view and
/// index. A count or a deep page of such a list does not read every row.
pub type Counted = [(&'static str, &'static str)];

/// Number of rows per read when a list is read completely.
const STEP: usize = 500;

/// The index rows of one document: the index name and the value of each row.
pub type Index = [(&'static str, String)];

/// A document to put, with its index rows and facets (see [`Views::put_with`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub view: Cow<'static, str>,
    pub key: String,
    pub document: Document,
    pub index: Vec<(&'static str, String)>,
    pub facets: String,
    /// The sequence that the stored document must have; 0 if no document may exist.
    pub expected: i64,
}

impl Put {
    /// Puts the document; returns whether the document was stored.
    pub async fn store(&self, views: &dyn Views) -> Result<bool, Error> {
        views
            .put_with(
                &self.view,
                &self.key,
                &self.document,
                &self.index,
                &self.facets,
                self.expected,
            )
            .await
    }
}

/// Stores documents and their index rows.
#[async_trait]
pub trait Views: Send + Sync {
    /// Returns a document; `None` if the document does not exist.
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error>;
    /// Puts a document and its index rows in one step if the stored sequence is `expected` (0: no
    /// document yet). Returns whether the document is stored.
    async fn put(
        &self,
        view: &str,
        key: &str,
        document: &Document,
        index: &Index,
        expected: i64,
    ) -> Result<bool, Error> {
        self.put_with(view, key, document, index, "", expected)
            .await
    }
    /// Puts a document with facets. Facets are a short text that is stored with each index row, so
    /// that lists can be filtered without a read of the documents. The part before the first tab is
    /// shared by many documents; the part after the first tab belongs to this document alone.
    async fn put_with(
        &self,
        view: &str,
        key: &str,
        document: &Document,
        index: &Index,
        facets: &str,
        expected: i64,
    ) -> Result<bool, Error>;
    /// Returns the rows of a range.
    async fn range(&self, range: Range<'_>) -> Result<Vec<Entry>, Error> {
        self.range_after(range, None).await
    }
    /// Returns the rows of a range that follow the entry `after`, in the order of the range; `None`
    /// starts at the first row.
    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error>;
    /// Returns the number of rows with values from `from` (inclusive) to `to` (exclusive).
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error>;
    /// Returns whether rows are counted by shared facets, so that [`Views::page_where`] costs about
    /// as much as [`Views::range`].
    fn has_counters(&self) -> bool {
        false
    }
    /// Counts the rows of a range whose shared facets fit, regardless of `skip` and `limit`. Also
    /// returns the page of these rows that `skip` and `limit` select.
    async fn page_where(
        &self,
        range: Range<'_>,
        fits: Fits<'_>,
    ) -> Result<(u64, Vec<Entry>), Error> {
        walk(self, range, fits).await
    }
    /// Returns at most `limit` documents of a view with keys after `after`, by ascending key.
    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error>;
    /// Removes a document with its index rows.
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error>;
    /// Removes every document and index row of a view.
    async fn clear(&self, view: &str) -> Result<(), Error>;
}

/// Reads a whole range row by row, counts the rows that fit, and collects one page of these rows.
async fn walk(
    views: &(impl Views + ?Sized),
    range: Range<'_>,
    fits: Fits<'_>,
) -> Result<(u64, Vec<Entry>), Error> {
    let (mut count, mut page) = (0_u64, Vec::new());
    let mut last: Option<Entry> = None;
    loop {
        let entries = views
            .range_after(
                Range {
                    skip: 0,
                    limit: STEP,
                    ..range
                },
                last.as_ref(),
            )
            .await?;
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
        // A store that never waits would otherwise block other requests during a long read.
        tokio::task::yield_now().await;
    }
}
