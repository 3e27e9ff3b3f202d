//! A receiver in memory: keeps the calls and answers as it was told.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Answer, Call, Caller};

/// Answers in order, then `{"code": 0}` for ever.
#[derive(Debug, Default)]
pub struct Memory {
    pub calls: Mutex<Vec<Call>>,
    pub answers: Mutex<VecDeque<Result<Answer, String>>>,
}

#[async_trait]
impl Caller for Memory {
    async fn call(&self, call: &Call) -> Result<Answer, String> {
        self.calls.lock().expect("no holder panics").push(call.clone());
        let next = self.answers.lock().expect("no holder panics").pop_front();
        next.unwrap_or_else(|| Ok(Answer { status: 200, body: br#"{"code":0}"#.to_vec() }))
    }
}
