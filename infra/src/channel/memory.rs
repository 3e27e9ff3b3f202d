//! Implements a mail relay in memory for tests. The relay collects the mails that the desk sends. A test can
//! set the replies of the relay.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Mail, MailError, MailReply, Mailer};

/// Maximum number of mails that the mail relay in memory collects. If the relay contains this many mails, sending a
/// further mail returns an error.
const MAILS_MAX: usize = 100_000;

/// The reply of the mail relay to one mail, or the reason why no reply arrived.
pub type Outcome = Result<MailReply, MailError>;

/// A mail relay in memory for tests.
#[derive(Debug, Default)]
pub struct Memory {
    sent: Mutex<Vec<Mail>>,
    planned: Mutex<VecDeque<Outcome>>,
}

impl Memory {
    /// Adds a planned outcome for a mail that is sent later. Each sent mail uses and removes the
    /// oldest planned outcome. If no planned outcome is left, the relay accepts the mail.
    pub fn plan(&self, outcome: Outcome) {
        self.planned
            .lock()
            .expect("no holder panics")
            .push_back(outcome);
    }

    /// Returns all collected mails and removes them from the relay. The result also contains mails that the
    /// relay refused.
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
