//! Storages, an HTTP client and a mail relay at which a simulated task of the desk can crash, before and after each call.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use events::Moment;
use infra::Error;
use infra::channel::{Mail, MailError, MailReply, Mailer};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use infra::queue::{Message, Parked, Queue};
use infra::store::{Appended, Commit, Cursor, Head, Journal, Placed, Store, Walked};
use infra::views::{Document, Entry, Index, Range, Views};

/// The place at which a task of the desk crashes: a number of calls of storages and external systems.
#[derive(Debug, Default)]
pub(crate) struct CrashPoint {
    /// The number of calls until the crash. The number is 0 if no crash is planned.
    left: AtomicUsize,
    has_crashed: AtomicBool,
}

impl CrashPoint {
    pub(crate) fn plan(&self, calls: usize) {
        self.left.store(calls, Ordering::Relaxed);
        self.has_crashed.store(false, Ordering::Relaxed);
    }

    /// Counts a place at which a crash is possible. At the planned place, the task never continues.
    async fn pass(&self) {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return;
        }
        self.left.store(left - 1, Ordering::Relaxed);
        if left == 1 {
            self.has_crashed.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
    }

    /// Runs a task until it ends or crashes. Returns `None` after a crash. The caller drops the task.
    pub(crate) async fn run<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        let mut task = pin!(task);
        poll_fn(|context| match task.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.has_crashed.load(Ordering::Relaxed) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// A storage or an HTTP client at which a task can crash, before and after each call.
pub(crate) struct Crashing<T> {
    pub(crate) inner: T,
    pub(crate) point: Arc<CrashPoint>,
}

macro_rules! with_crashes {
    ($self:ident, $call:expr) => {{
        $self.point.pass().await;
        let answer = $call.await;
        $self.point.pass().await;
        answer
    }};
}

#[async_trait]
impl<T: Journal> Journal for Crashing<T> {
    async fn append(&self, commit: Commit) -> Result<Appended, Error> {
        with_crashes!(self, self.inner.append(commit))
    }
    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        with_crashes!(self, self.inner.back(stream, before, limit))
    }
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error> {
        with_crashes!(self, self.inner.forward(stream, from, limit))
    }
    async fn next(&self, stream: &str) -> Result<i64, Error> {
        with_crashes!(self, self.inner.next(stream))
    }
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
        with_crashes!(self, self.inner.walk(from, limit))
    }
}

#[async_trait]
impl<T: Store> Store for Crashing<T> {
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error> {
        with_crashes!(self, self.inner.feed(after, limit))
    }
    async fn head(&self) -> Result<Head, Error> {
        with_crashes!(self, self.inner.head())
    }
    async fn past(&self, position: i64) {
        with_crashes!(self, self.inner.past(position));
    }
}

#[async_trait]
impl<T: Views> Views for Crashing<T> {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        with_crashes!(self, self.inner.get(view, key))
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
        with_crashes!(
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
        with_crashes!(self, self.inner.range_after(range, after))
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        with_crashes!(self, self.inner.count(view, index, from, to))
    }
    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error> {
        with_crashes!(self, self.inner.scan(view, after, limit))
    }
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        with_crashes!(self, self.inner.remove(view, key))
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        with_crashes!(self, self.inner.clear(view))
    }
}

#[async_trait]
impl<T: Queue> Queue for Crashing<T> {
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error> {
        with_crashes!(self, self.inner.put(queue, id, body, due))
    }
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        with_crashes!(self, self.inner.take(queue, now, until, limit))
    }
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error> {
        with_crashes!(self, self.inner.done(queue, message))
    }
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error> {
        with_crashes!(self, self.inner.defer(queue, message, due))
    }
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error> {
        with_crashes!(self, self.inner.park(queue, message, reason))
    }
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error> {
        with_crashes!(self, self.inner.parked(limit))
    }
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error> {
        with_crashes!(self, self.inner.redrive(queue, id, due))
    }
    async fn waiting(&self, queue: &str) -> Result<u64, Error> {
        with_crashes!(self, self.inner.waiting(queue))
    }
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error> {
        with_crashes!(self, self.inner.next_due(queue))
    }
    async fn arrival(&self, queue: &str) {
        with_crashes!(self, self.inner.arrival(queue));
    }
}

#[async_trait]
impl<T: HttpClient> HttpClient for Crashing<Arc<T>> {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        with_crashes!(self, self.inner.send(request))
    }
}

#[async_trait]
impl<T: Mailer> Mailer for Crashing<Arc<T>> {
    async fn send(&self, mail: &Mail) -> Result<MailReply, MailError> {
        with_crashes!(self, self.inner.send(mail))
    }
}
