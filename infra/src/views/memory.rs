//! Implements the views (documents for reading, with indexes) in memory, for tests and simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Document, Entry, Index, Range, Views};
use crate::Error;

/// Contains all views. The key of the map is the name of the view.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, View>>);

#[derive(Debug, Default)]
struct View {
    documents: BTreeMap<String, Document>,
    facets: BTreeMap<String, String>,
    /// The index rows. Each row contains the name of the index, the value, and the key of the
    /// document.
    rows: BTreeSet<(String, String, String)>,
    /// The index rows of each document: the names of the indexes and the values.
    rows_of: BTreeMap<String, Vec<(String, String)>>,
}

impl View {
    fn drop_rows(&mut self, key: &str) {
        for (name, value) in self.rows_of.remove(key).unwrap_or_default() {
            self.rows.remove(&(name, value, key.to_owned()));
        }
    }
    fn put_rows(&mut self, key: &str, index: &Index) {
        self.drop_rows(key);
        let rows: Vec<(String, String)> = index
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        for (name, value) in &rows {
            self.rows
                .insert((name.clone(), value.clone(), key.to_owned()));
        }
        self.rows_of.insert(key.to_owned(), rows);
    }
    /// Returns the rows of an index whose value is at least `from` and less than `to`, in the order of value and key.
    fn rows_between<'a>(
        &'a self,
        index: &'a str,
        from: &'a str,
        to: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a (String, String, String)> {
        let row = |value: &str| (index.to_owned(), value.to_owned(), String::new());
        // A range of a set must not begin after its end.
        let rows = (from < to).then(|| self.rows.range(row(from)..row(to)));
        rows.into_iter().flatten()
    }
}

#[async_trait]
impl Views for Memory {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        let views = self.0.lock().expect("no holder panics");
        Ok(views
            .get(view)
            .and_then(|view| view.documents.get(key))
            .cloned())
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
        let mut views = self.0.lock().expect("no holder panics");
        let view = views.entry(view.into()).or_default();
        if view
            .documents
            .get(key)
            .map_or(0, |document| document.sequence)
            != expected
        {
            return Ok(false);
        }
        view.put_rows(key, index);
        view.documents.insert(key.into(), document.clone());
        view.facets.insert(key.into(), facets.into());
        Ok(true)
    }
    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error> {
        let views = self.0.lock().expect("no holder panics");
        let Some(view) = views.get(range.view) else {
            return Ok(Vec::new());
        };
        let behind = |(_, value, key): &&(String, String, String)| {
            after.is_none_or(|after| {
                let (row, last) = ((value, key), (&after.value, &after.key));
                if range.descending {
                    row < last
                } else {
                    row > last
                }
            })
        };
        let rows = view
            .rows_between(range.index, range.from, range.to)
            .filter(behind);
        let entry = |(_, value, key): &(String, String, String)| Entry {
            value: value.clone(),
            key: key.clone(),
            facets: view.facets.get(key).cloned().unwrap_or_default(),
        };
        Ok(if range.descending {
            rows.rev()
                .skip(range.skip)
                .take(range.limit)
                .map(entry)
                .collect()
        } else {
            rows.skip(range.skip).take(range.limit).map(entry).collect()
        })
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        let views = self.0.lock().expect("no holder panics");
        Ok(views
            .get(view)
            .map_or(0, |view| view.rows_between(index, from, to).count() as u64))
    }
    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error> {
        let views = self.0.lock().expect("no holder panics");
        let Some(view) = views.get(view) else {
            return Ok(Vec::new());
        };
        let documents = view
            .documents
            .range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        Ok(documents
            .take(limit)
            .map(|(key, document)| (key.clone(), document.clone()))
            .collect())
    }
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        if let Some(view) = self.0.lock().expect("no holder panics").get_mut(view) {
            view.documents.remove(key);
            view.facets.remove(key);
            view.drop_rows(key);
        }
        Ok(())
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        self.0.lock().expect("no holder panics").remove(view);
        Ok(())
    }
}
