//! Stores feed pages (parts of the ordered list of all commits) in memory, for tests and
//! simulations.

use std::sync::Mutex;

use async_trait::async_trait;

use super::{Page, Pages};
use crate::Error;

/// All pages, sorted by page number.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Vec<Page>>);

#[async_trait]
impl Pages for Memory {
    async fn put(&self, page: &Page) -> Result<bool, Error> {
        let mut pages = self.0.lock().expect("no holder panics");
        let is_next = page.number == i64::try_from(pages.len()).unwrap_or_default() + 1;
        if is_next {
            pages.push(page.clone());
        }
        Ok(is_next)
    }
    async fn get(&self, number: i64) -> Result<Option<Page>, Error> {
        let pages = self.0.lock().expect("no holder panics");
        Ok(usize::try_from(number - 1)
            .ok()
            .and_then(|at| pages.get(at))
            .cloned())
    }
    async fn newest(&self) -> Result<Option<Page>, Error> {
        Ok(self.0.lock().expect("no holder panics").last().cloned())
    }
}
