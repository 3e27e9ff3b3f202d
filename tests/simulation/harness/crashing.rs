//! The place at which a simulated task of the desk crashes: before or after a call of a storage, of an HTTP client or of a
//! mail relay.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use infra::Error;
use infra::channel::{Mail, MailError, MailReply, Mailer};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};

use crate::gated::{Gate, Gated};

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
    async fn reach(&self) {
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

/// A storage, an HTTP client or a mail relay at which a task can crash, before and after each call.
pub(crate) type Crashing<T> = Gated<T, Arc<CrashPoint>>;

impl Gate for Arc<CrashPoint> {
    async fn pass(&self) -> Result<(), Error> {
        self.reach().await;
        Ok(())
    }
}

macro_rules! with_crashes {
    ($self:ident, $call:expr) => {{
        $self.gate.reach().await;
        let answer = $call.await;
        $self.gate.reach().await;
        answer
    }};
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
