//! Implements a mail relay in memory, for tests. The relay collects mails, and replies as a test requires.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Mail, MailError, MailReply, Mailer};

/// Maximum number of collected mails. Further mails get an error.
const MAILS_MAX: usize = 100_000;

/// A reply of the relay, or its absence.
pub type Outcome = Result<MailReply, MailError>;

/// A mail relay in memory.
#[derive(Debug, Default)]
pub struct Memory {
    sent: Mutex<Vec<Mail>>,
    planned: Mutex<VecDeque<Outcome>>,
}

impl Memory {
    /// Sets the outcome of the next mail without an outcome. All mails without an outcome are accepted.
    pub fn plan(&self, outcome: Outcome) {
        self.planned
            .lock()
            .expect("no holder panics")
            .push_back(outcome);
    }

    /// Returns and removes the collected mails. The relay also collects mails that it refused.
    pub fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.sent.lock().expect("no holder panics"))
    }
}

#[async_trait]
impl Mailer for Memory {
    async fn send(&self, mail: &Mail) -> Outcome {
        let mut sent = self.sent.lock().expect("no holder panics");
        if sent.len() >= MAILS_MAX {
            return Err(MailError::NotSent("the relay in memory is full".into()));
        }
        sent.push(mail.clone());
        let planned = self.planned.lock().expect("no holder panics").pop_front();
        planned.unwrap_or_else(|| {
            Ok(MailReply {
                code: 250,
                text: "2.0.0 accepted".into(),
            })
        })
    }
}
