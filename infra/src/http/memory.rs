//! Implements an HTTP client in memory, for tests. The client stores the requests and returns
//! prepared responses.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{HttpClient, HttpError, HttpRequest, HttpResponse};

/// A client that returns prepared responses in order. After the last prepared response, every
/// response is `{"code": 0}`.
#[derive(Debug, Default)]
pub struct Memory {
    pub calls: Mutex<Vec<HttpRequest>>,
    pub answers: Mutex<VecDeque<Result<HttpResponse, HttpError>>>,
}

#[async_trait]
impl HttpClient for Memory {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        self.calls
            .lock()
            .expect("no holder panics")
            .push(request.clone());
        let next = self.answers.lock().expect("no holder panics").pop_front();
        next.unwrap_or_else(|| Ok(HttpResponse::of(200, br#"{"code":0}"#)))
    }
}
