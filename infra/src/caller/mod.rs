//! Calls the receivers that callbacks go to.

pub mod http;
pub mod memory;

use async_trait::async_trait;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What came back, at most [`ANSWER_BYTES_MAX`] of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Bytes of an answer that are read.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Posts JSON to a receiver. An `Err` says in words why there was no answer.
#[async_trait]
pub trait Caller: Send + Sync {
    async fn post(&self, call: &Call) -> Result<Answer, String>;
}
