//! Implements a mailbox in memory for tests.

use std::sync::Mutex;

use async_trait::async_trait;

use super::{Cursor, Mailboxes, Page, Settings};

/// Maximum number of mails in one page.
const PAGE_MAX: usize = 2;

/// A mailbox in memory for tests. All accounts share it.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    validity: u32,
    mails: Vec<Vec<u8>>,
    reads: usize,
}

impl Memory {
    /// Adds a mail at the end of the mailbox.
    pub fn add(&self, mail: &str) {
        let mut content = self.0.lock().expect("no holder panics");
        content.mails.push(mail.as_bytes().to_vec());
    }

    /// Gives new numbers to all mails, as a server does after it was restored.
    pub fn renumber(&self) {
        self.0.lock().expect("no holder panics").validity += 1;
    }

    /// Returns how often a page was read.
    pub fn reads(&self) -> usize {
        self.0.lock().expect("no holder panics").reads
    }
}

#[async_trait]
impl Mailboxes for Memory {
    async fn read(
        &self,
        _settings: &Settings,
        password: &str,
        after: Option<Cursor>,
    ) -> Result<Page, String> {
        if password.is_empty() {
            return Err("the login failed".to_owned());
        }
        let mut content = self.0.lock().expect("no holder panics");
        content.reads += 1;
        let validity = content.validity;
        let known = after.filter(|after| after.validity == validity);
        let first = known.map_or(0, |after| after.uid as usize);
        let mails: Vec<Vec<u8>> = content
            .mails
            .iter()
            .skip(first)
            .take(PAGE_MAX)
            .cloned()
            .collect();
        let last = first + mails.len();
        Ok(Page {
            has_more: last < content.mails.len(),
            cursor: Cursor {
                validity,
                uid: u32::try_from(last).unwrap_or(u32::MAX),
            },
            mails,
            too_large: Vec::new(),
        })
    }
}
