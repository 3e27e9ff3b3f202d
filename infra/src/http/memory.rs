//! An HTTP client in memory: records the requests and returns prepared responses.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{HttpClient, HttpRequest, HttpResponse};

/// Returns the prepared responses in order, then always `{"code": 0}`.
#[derive(Debug, Default)]
pub struct Memory {
    pub calls: Mutex<Vec<HttpRequest>>,
    pub answers: Mutex<VecDeque<Result<HttpResponse, String>>>,
}

#[async_trait]
impl HttpClient for Memory {
    async fn call(&self, call: &HttpRequest) -> Result<HttpResponse, String> {
        self.calls
            .lock()
            .expect("no holder panics")
            .push(call.clone());
        let next = self.answers.lock().expect("no holder panics").pop_front();
        next.unwrap_or_else(|| {
            Ok(HttpResponse {
                status: 200,
                body: br#"{"code":0}"#.to_vec(),
            })
        })
    }
}
