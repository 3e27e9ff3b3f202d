//! Storages at which a simulated task can wait, crash or fail, before and after each call.

use async_trait::async_trait;
use events::Moment;
use infra::Error;
use infra::blob::Blob;
use infra::pages::{Page, Pages};
use infra::queue::{Message, Parked, Queue};
use infra::store::{Appended, Commit, Cursor, Head, Journal, Placed, Store, Walked};
use infra::views::{Document, Entry, Index, Range, Views};

/// What a simulation does before and after each call of a storage.
pub(crate) trait Gate: Send + Sync {
    /// Ends when the task may continue. After an error, the call of the storage returns this error.
    fn pass(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A storage behind a gate. Each call passes the gate before and after its execution.
pub(crate) struct Gated<T, G> {
    pub(crate) inner: T,
    pub(crate) gate: G,
}

macro_rules! gated {
    ($self:ident, $call:expr) => {{
        $self.gate.pass().await?;
        let answer = $call.await;
        $self.gate.pass().await?;
        answer
    }};
}

#[async_trait]
impl<T: Journal, G: Gate> Journal for Gated<T, G> {
    async fn append(&self, commit: Commit) -> Result<Appended, Error> {
        gated!(self, self.inner.append(commit))
    }
    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        gated!(self, self.inner.back(stream, before, limit))
    }
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error> {
        gated!(self, self.inner.forward(stream, from, limit))
    }
    async fn next(&self, stream: &str) -> Result<i64, Error> {
        gated!(self, self.inner.next(stream))
    }
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
        gated!(self, self.inner.walk(from, limit))
    }
}

#[async_trait]
impl<T: Store, G: Gate> Store for Gated<T, G> {
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error> {
        gated!(self, self.inner.feed(after, limit))
    }
    async fn head(&self) -> Result<Head, Error> {
        gated!(self, self.inner.head())
    }
    async fn past(&self, position: i64) {
        if self.gate.pass().await.is_ok() {
            self.inner.past(position).await;
            drop(self.gate.pass().await);
        }
    }
}

#[async_trait]
impl<T: Views, G: Gate> Views for Gated<T, G> {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        gated!(self, self.inner.get(view, key))
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
        gated!(
            self,
            self.inner
                .put_with(view, key, document, index, facets, expected)
        )
    }
    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error> {
        gated!(self, self.inner.range_after(range, after))
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        gated!(self, self.inner.count(view, index, from, to))
    }
    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error> {
        gated!(self, self.inner.scan(view, after, limit))
    }
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        gated!(self, self.inner.remove(view, key))
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        gated!(self, self.inner.clear(view))
    }
}

#[async_trait]
impl<T: Queue, G: Gate> Queue for Gated<T, G> {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        gated!(self, self.inner.put(queue, id, body, due))
    }
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        gated!(self, self.inner.take(queue, now, until, limit))
    }
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        gated!(self, self.inner.done(queue, message))
    }
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        gated!(self, self.inner.defer(queue, message, due))
    }
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        gated!(self, self.inner.park(queue, message, reason))
    }
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        gated!(self, self.inner.parked(limit))
    }
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        gated!(self, self.inner.redrive(queue, id, due))
    }
    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        gated!(self, self.inner.waiting(queue))
    }
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error> {
        gated!(self, self.inner.next_due(queue))
    }
    async fn arrival(&self, queue: &str) {
        if self.gate.pass().await.is_ok() {
            self.inner.arrival(queue).await;
            drop(self.gate.pass().await);
        }
    }
}

#[async_trait]
impl<T: Pages, G: Gate> Pages for Gated<T, G> {
    async fn put(&self, page: &Page) -> Result<bool, Error> {
        gated!(self, self.inner.put(page))
    }
    async fn get(&self, number: i64) -> Result<Option<Page>, Error> {
        gated!(self, self.inner.get(number))
    }
    async fn newest(&self) -> Result<Option<Page>, Error> {
        gated!(self, self.inner.newest())
    }
}

#[async_trait]
impl<T: Blob, G: Gate> Blob for Gated<T, G> {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        gated!(self, self.inner.put(key, bytes))
    }
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        gated!(self, self.inner.get(key))
    }
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error> {
        gated!(self, self.inner.list(prefix, most))
    }
    async fn remove(&self, key: &str) -> Result<(), Error> {
        gated!(self, self.inner.remove(key))
    }
}
