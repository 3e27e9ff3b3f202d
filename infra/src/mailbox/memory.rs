//! Implements a mailbox in memory for tests.

use std::sync::Mutex;

use async_trait::async_trait;
use events::Moment;

use super::{Cursor, Mailboxes, Page, Settings};

/// Maximum number of mails in one page.
const PAGE_MAX: usize = 2;

/// A mailbox in memory for tests. All accounts share it.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    validity: u32,
    /// The mails with the times at which they arrived.
    mails: Vec<(Moment, Vec<u8>)>,
    reads: usize,
}

impl Memory {
    /// Adds a mail at the end of the mailbox. The mail is newer than every start.
    pub fn add(&self, mail: &str) {
        self.add_at(mail, Moment(i64::MAX));
    }

    /// Adds a mail at the end of the mailbox. `at` is the time at which the mail arrived.
    pub fn add_at(&self, mail: &str, at: Moment) {
        let mut content = self.0.lock().expect("no holder panics");
        content.mails.push((at, mail.as_bytes().to_vec()));
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
        since: Option<Moment>,
    ) -> Result<Page, String> {
        if password.is_empty() {
            return Err("the login failed".to_owned());
        }
        let mut content = self.0.lock().expect("no holder panics");
        content.reads += 1;
        let validity = content.validity;
        let known = after.filter(|after| after.validity == validity);
        let first = known.map_or(0, |after| after.uid as usize);
        let page = content.mails.iter().skip(first).take(PAGE_MAX);
        let last = first + page.len();
        let is_new = |at: &Moment| since.is_none_or(|since| *at >= since);
        let mails: Vec<Vec<u8>> = page
            .filter(|(at, _)| is_new(at))
            .map(|(_, mail)| mail.clone())
            .collect();
        Ok(Page {
            has_more: last < content.mails.len(),
            cursor: Cursor {
                validity,
                uid: u32::try_from(last).unwrap_or(u32::MAX),
            },
            older: last - first - mails.len(),
            mails,
            too_large: Vec::new(),
        })
    }
}
