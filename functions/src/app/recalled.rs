//! Keeps the newest versions of documents that change often, so that a desk on one machine does not read them again before
//! each message. Such documents are not part of the ledger, for example the state of a breaker.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard};

use infra::Error;
use infra::views::{Document, Views};

/// Maximum number of documents in memory. If there are more, all of them are read again.
const KNOWN_MAX: usize = 4_096;

/// Number of locks. Each document uses one of them, selected by the hash of its key.
const LOCKS: usize = 64;

/// The documents that this process has read or written. The desk uses them only if no other process writes documents,
/// see [`infra::Ledger::is_only_writer`].
#[derive(Debug)]
pub struct Recalled {
    known: Mutex<Known>,
    locks: Vec<tokio::sync::Mutex<()>>,
    hasher: RandomState,
}

impl Default for Recalled {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
            hasher: RandomState::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// The documents by the names of their views and their keys. `None` if a document does not exist.
    documents: HashMap<(&'static str, String), Option<Document>>,
    /// The number of times at which documents were dropped from memory. A task that read a document before must not add
    /// it after, because the document may have changed since.
    dropped: u64,
}

impl Known {
    /// Adds a document that was read, unless a newer version is known. `dropped` is the number of drops before the document
    /// was read.
    fn add(&mut self, view: &'static str, key: &str, document: Option<Document>, dropped: u64) {
        if self.dropped != dropped {
            return;
        }
        let place = (view, key.to_owned());
        // A known version of this document must stay for the comparison below.
        if self.documents.len() >= KNOWN_MAX && !self.documents.contains_key(&place) {
            self.documents.clear();
            self.dropped += 1;
        }
        let known = self.documents.entry(place).or_default();
        if sequence(known.as_ref()) <= sequence(document.as_ref()) {
            *known = document;
        }
    }

    /// Adds a document that was stored. `dropped` is the number of drops before it was stored. After a drop, a newer
    /// version may exist, so the document is read again. The known version must not stay, because it is older.
    fn replace(&mut self, view: &'static str, key: &str, document: Document, dropped: u64) {
        if self.dropped == dropped {
            self.add(view, key, Some(document), dropped);
        } else {
            self.remove(view, key);
        }
    }

    fn remove(&mut self, view: &'static str, key: &str) {
        self.documents.remove(&(view, key.to_owned()));
        self.dropped += 1;
    }
}

/// Returns the sequence number of a document. The number of a missing document is 0.
fn sequence(document: Option<&Document>) -> i64 {
    document.map_or(0, |document| document.sequence)
}

impl Recalled {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder panics")
    }

    /// Waits until no other task of this process changes the document with this key. While a task has the returned value,
    /// the other tasks wait. Without this wait, tasks that change the same document would repeat their work again and
    /// again. A task must not wait for two keys at the same time.
    pub async fn turn(&self, key: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let hash = self.hasher.hash_one(key);
        let at = usize::try_from(hash % LOCKS as u64).unwrap_or_default();
        self.locks[at].lock().await
    }

    /// Returns a document. Returns `None` if the document does not exist. `is_only_writer` is false if other processes
    /// write documents too. The document is then always read.
    pub async fn get(
        &self,
        views: &dyn Views,
        is_only_writer: bool,
        view: &'static str,
        key: &str,
    ) -> Result<Option<Document>, Error> {
        if !is_only_writer {
            return views.get(view, key).await;
        }
        let dropped = {
            let known = self.known();
            if let Some(document) = known.documents.get(&(view, key.to_owned())) {
                return Ok(document.clone());
            }
            known.dropped
        };
        let document = views.get(view, key).await?;
        self.known().add(view, key, document.clone(), dropped);
        Ok(document)
    }

    /// Stores a document if the stored document has the sequence number `expected`. Returns whether it was stored.
    pub async fn put(
        &self,
        views: &dyn Views,
        is_only_writer: bool,
        view: &'static str,
        key: &str,
        document: Document,
        expected: i64,
    ) -> Result<bool, Error> {
        if !is_only_writer {
            return views.put(view, key, &document, &[], expected).await;
        }
        let dropped = self.known().dropped;
        let stored = views.put(view, key, &document, &[], expected).await;
        let mut known = self.known();
        match stored {
            Ok(true) => known.replace(view, key, document, dropped),
            // Another task stored the document first, or it is not known what is stored.
            Ok(false) | Err(_) => known.remove(view, key),
        }
        stored
    }
}

#[cfg(test)]
mod tests {
    use infra::views::memory::Memory;

    use super::*;

    const VIEW: &str = "limit";

    fn document(sequence: i64) -> Document {
        Document {
            sequence,
            body: sequence.to_string().into_bytes(),
        }
    }

    #[tokio::test]
    async fn a_document_is_read_once_and_its_newest_version_is_known() {
        let (views, recalled) = (Memory::default(), Recalled::default());
        let get = async || recalled.get(&views, true, VIEW, "a").await.expect("read");
        assert_eq!(get().await, None);
        let put = recalled.put(&views, true, VIEW, "a", document(1), 0);
        assert!(put.await.expect("stored"));
        assert_eq!(get().await, Some(document(1)));
        // A change by another process is not seen, because a desk on one machine has no other process.
        let second = document(2);
        let changed = views.put(VIEW, "a", &second, &[], 1);
        assert!(changed.await.expect("stored"));
        assert_eq!(get().await, Some(document(1)));
        let read = recalled.get(&views, false, VIEW, "a");
        assert_eq!(read.await.expect("read"), Some(document(2)));
        // A failed write shows that the known version is not the newest one.
        let put = recalled.put(&views, true, VIEW, "a", document(2), 1);
        let _ = put.await.expect("a result");
        let put = recalled.put(&views, true, VIEW, "a", document(9), 1);
        assert!(!put.await.expect("not stored"));
        assert_eq!(get().await, Some(document(2)));
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let mut known = Known::default();
        known.add(VIEW, "a", Some(document(2)), 0);
        known.add(VIEW, "a", Some(document(1)), 0);
        known.add(VIEW, "a", None, 0);
        let of_a = (VIEW, "a".to_owned());
        assert_eq!(known.documents[&of_a], Some(document(2)));
        // A task read version 1 of a second document before that document was dropped.
        known.remove(VIEW, "a");
        known.add(VIEW, "a", Some(document(1)), 0);
        assert!(!known.documents.contains_key(&of_a));
        for number in 0..=KNOWN_MAX {
            let dropped = known.dropped;
            known.add(VIEW, &number.to_string(), None, dropped);
        }
        assert!(known.documents.len() <= KNOWN_MAX);
    }

    #[test]
    fn a_stored_document_never_leaves_an_older_version() {
        let of_a = (VIEW, "a".to_owned());
        let mut known = Known::default();
        known.add(VIEW, "a", Some(document(1)), 0);
        known.replace(VIEW, "a", document(2), 0);
        assert_eq!(known.documents[&of_a], Some(document(2)));
        // Another document was dropped while version 3 was stored.
        known.remove(VIEW, "b");
        known.replace(VIEW, "a", document(3), 0);
        assert!(!known.documents.contains_key(&of_a));
        // A task that read version 2 before must not add it after.
        known.add(VIEW, "a", Some(document(2)), 1);
        assert!(!known.documents.contains_key(&of_a));
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one_of_a_full_memory() {
        let mut known = Known::default();
        known.add(VIEW, "a", Some(document(2)), 0);
        for number in 1..KNOWN_MAX {
            known.add(VIEW, &number.to_string(), None, 0);
        }
        assert_eq!(known.documents.len(), KNOWN_MAX);
        known.add(VIEW, "a", Some(document(1)), 0);
        assert_eq!(known.documents[&(VIEW, "a".to_owned())], Some(document(2)));
        assert_eq!(known.documents.len(), KNOWN_MAX);
    }
}
