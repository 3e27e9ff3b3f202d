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

/// Lists that are read page by page: where an adapter can, it counts them in stretches of time, so that neither counting nor a deep page
/// walks every row. Their values end in 16 digits, an instant in milliseconds.
pub const COUNTED: [&str; 12] = ["ticket", "listed", "creator", "status", "mine", "dealt", "follows", "todo", "claim", "approval", "call", "failed"];

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
    /// The same with facets: a short text that is stored beside each index row, so that a list can be narrowed without reading documents.
    async fn put_with(&self, view: &str, key: &str, document: &Document, index: &Index, facets: &str, expected: i64) -> Result<bool, Error>;
    async fn range(&self, range: Range<'_>) -> Result<Vec<Entry>, Error> {
        self.range_after(range, None).await
    }
    /// The rows of a range behind one of its entries, in the order of the range.
    async fn range_after(&self, range: Range<'_>, after: Option<&Entry>) -> Result<Vec<Entry>, Error>;
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error>;
    /// Documents of a view by key, after a key.
    async fn scan(&self, view: &str, after: &str, limit: usize) -> Result<Vec<(String, Document)>, Error>;
    /// Removes a document with its index rows.
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error>;
    /// Removes every document and index row of a view.
    async fn clear(&self, view: &str) -> Result<(), Error>;
}
