//! Defines the interface to the views. The views are a small document store with sorted indexes.
//! One document can have several values in the same index. All data of the views can be built again
//! from the ledger.

pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod memory;
mod page_writer;
#[cfg(feature = "local")]
pub mod sqlite;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Error;

pub use page_writer::{InSteps, PageWriter};

/// A stored document. `sequence` is the sequence number of the last event that changed the
/// document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub sequence: i64,
    pub body: Vec<u8>,
}

/// One row of an index. The row contains an indexed value, and the key of the document to which the
/// value belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: String,
    pub key: String,
    /// The facets (filter text) of the document. Lists are filtered by this text. The text is empty
    /// if the document was stored without facets.
    pub facets: String,
}

impl Entry {
    /// Returns the shared part of the facets (the filter text of a document): the text before the
    /// first tab. Many documents have the same shared part.
    pub fn shared(&self) -> &str {
        shared_and_own(&self.facets).0
    }
    /// Returns the own part of the facets (the filter text of a document): the text after the first
    /// tab. This part belongs to one document.
    pub fn own(&self) -> &str {
        shared_and_own(&self.facets).1
    }
}

/// Returns the two parts of the facets (the filter text of a document), which are separated by the
/// first tab. Many documents have the same text before the tab. The text after the tab belongs to
/// one document only.
pub fn shared_and_own(facets: &str) -> (&str, &str) {
    facets.split_once('\t').unwrap_or((facets, ""))
}

/// A filter for index rows. Its parameter is the shared facets (filter text) of a row. The filter
/// returns true if the row belongs to the filtered list.
pub type Fits<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// A filter for index rows with two parts. A row passes if both parts return true.
#[derive(Clone)]
pub struct RowFilter {
    /// Checks the shared facets (filter text) of a row. The result depends only on the text, so an
    /// adapter may call this function only once for rows with the same text.
    pub shared: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Checks the own facets (filter text) of a row.
    pub own: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// A part of an index in sorted order. The range contains the rows with values from `from`
/// (inclusive) to `to` (exclusive).
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

/// The indexes that get row counters. Each pair contains the name of a view and the name of an
/// index. With row counters, a list is counted without reading every row. Not all adapters have
/// counters ([`Views::has_counters`]).
pub type Counted = [(&'static str, &'static str)];

/// Maximum number of rows that one step reads. A whole list is read in several steps.
const STEP: usize = 500;

/// The index rows of one document. Each row is a pair of an index name and a value.
pub type Index = [(&'static str, String)];

/// A document that is to be stored, with its index rows and its facets (filter text, see
/// [`Views::put_with`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub view: Cow<'static, str>,
    pub key: String,
    pub document: Document,
    pub index: Vec<(&'static str, String)>,
    pub facets: String,
    /// The sequence number that the stored document must have. The value 0 means that no document
    /// with this key may exist. If the condition is not met, the new document is not stored.
    pub expected: i64,
}

impl Put {
    /// Stores the document in the views. Returns whether the document was stored.
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
    /// Returns a document. Returns `None` if the document does not exist.
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error>;
    /// Returns several documents in the order of `keys`. Each key is a pair of a view and a document key. An adapter for
    /// which one larger read is cheaper than several small reads overrides this function.
    async fn get_all(&self, keys: &[(&str, &str)]) -> Result<Vec<Option<Document>>, Error> {
        let mut documents = Vec::with_capacity(keys.len());
        for (view, key) in keys {
            documents.push(self.get(view, key).await?);
        }
        Ok(documents)
    }
    /// Stores a document and its index rows. The document is stored only if the existing document
    /// has the sequence number `expected` (0 if no document exists). Returns true if the store
    /// contains the given document after the call.
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
    /// Stores a document with facets. Facets are a short text in each index row. Lists are filtered
    /// by this text without reading their documents.
    ///
    /// Many documents have the same text before the first tab. The text after the first tab belongs
    /// to one document only.
    async fn put_with(
        &self,
        view: &str,
        key: &str,
        document: &Document,
        index: &Index,
        facets: &str,
        expected: i64,
    ) -> Result<bool, Error>;
    /// Returns the index rows of a range.
    async fn range(&self, range: Range<'_>) -> Result<Vec<Entry>, Error> {
        self.range_after(range, None).await
    }
    /// Returns the index rows of a range, in the order of the range. If `after` is set, the result
    /// contains only the rows after the entry `after`.
    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error>;
    /// Returns the number of index rows with values from `from` (inclusive) to `to` (exclusive).
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error>;
    /// Returns whether the adapter stores how many index rows have each shared facet (filter text).
    /// Such a number is a row counter. With counters, [`Views::page_where`] is about as fast as
    /// [`Views::range`].
    fn has_counters(&self) -> bool {
        false
    }
    /// Applies the filter `fits` to the shared facets (filter text) of each index row in a range.
    /// Returns the number of all rows that pass the filter, and one page of these rows. The page
    /// starts after `skip` rows and contains at most `limit` rows.
    async fn page_where(
        &self,
        range: Range<'_>,
        fits: Fits<'_>,
    ) -> Result<(u64, Vec<Entry>), Error> {
        walk(self, range, &|entry| fits(entry.shared()), false).await
    }
    /// Reads a range row by row, and applies a filter to each row. Returns one page of the rows that
    /// pass, and the number of all rows that pass. The page starts after `skip` rows and contains at
    /// most `limit` rows. If `until_full` is true, the function stops when the page is full. The
    /// number then counts only the rows that were read.
    async fn rows_where(
        &self,
        range: Range<'_>,
        filter: &RowFilter,
        until_full: bool,
    ) -> Result<(u64, Vec<Entry>), Error> {
        let fits = |entry: &Entry| (filter.shared)(entry.shared()) && (filter.own)(entry.own());
        walk(self, range, &fits, until_full).await
    }
    /// Returns at most `limit` documents of a view, in ascending order of their keys. Starts with
    /// the first key that is greater than `after`.
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

/// Reads a range row by row. Returns the number of rows that pass the filter `fits`, and one page of
/// these rows. If `until_full` is true, the function stops when the page is full.
async fn walk(
    views: &(impl Views + ?Sized),
    range: Range<'_>,
    fits: &(dyn Fn(&Entry) -> bool + Send + Sync),
    until_full: bool,
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
        for entry in entries.into_iter().filter(|entry| fits(entry)) {
            if count >= range.skip as u64 && page.len() < range.limit {
                page.push(entry);
            }
            count += 1;
        }
        if is_end || (until_full && page.len() >= range.limit) {
            return Ok((count, page));
        }
        // Some stores never wait for I/O. This call lets other tasks of the same thread run during
        // a long read.
        tokio::task::yield_now().await;
    }
}
