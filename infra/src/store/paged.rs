//! Implements [`Store`] for a journal (the table of all commits) that has no order across streams.
//! The journal contains the commits, and the feed pages contain their order. A separate process,
//! the indexer, builds the pages from the journal.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{Appended, Commit, Cursor, Head, Journal, PAGE_BYTES_MAX, Placed, Store, Walked};
use crate::Error;
use crate::blob::Blob;
use crate::pages::{Page, Pages, archive};

/// Time between two checks for a new feed page (a part of the ordered list of all commits). The
/// store makes these checks while a reader waits for new commits.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A feed page (a part of the ordered list of all commits), with its commits.
type Opened = (Page, Arc<Vec<Commit>>);

/// A store that consists of three parts: a journal (the table of all commits), feed pages (the
/// order of the commits) and an archive (blobs with the commits of the pages).
#[derive(Clone)]
pub struct Paged {
    pub journal: Arc<dyn Journal>,
    pub pages: Arc<dyn Pages>,
    pub blob: Arc<dyn Blob>,
    /// The feed page (a part of the ordered list of all commits) that was read last, with its
    /// commits. A reader usually continues with the following positions. These positions are often
    /// in the same page.
    last: Arc<Mutex<Option<Opened>>>,
}

impl Paged {
    pub fn new(journal: Arc<dyn Journal>, pages: Arc<dyn Pages>, blob: Arc<dyn Blob>) -> Self {
        Self {
            journal,
            pages,
            blob,
            last: Arc::default(),
        }
    }

    /// Returns the feed page (a part of the ordered list of all commits) that contains a given
    /// position, with the commits of the page. Returns `None` if the position is after the end of
    /// the feed.
    async fn page_at(&self, position: i64) -> Result<Option<Opened>, Error> {
        let last = self.last.lock().expect("no holder panics").clone();
        if let Some((page, commits)) = last {
            if (page.base..page.end()).contains(&position) {
                return Ok(Some((page, commits)));
            }
            if position == page.end() {
                return match self.pages.get(page.number + 1).await? {
                    Some(next) => self.open(next).await.map(Some),
                    None => Ok(None),
                };
            }
        }
        let Some(newest) = self.pages.newest().await? else {
            return Ok(None);
        };
        if position >= newest.end() {
            return Ok(None);
        }
        let (mut low, mut high) = (1, newest.number);
        while low < high {
            let middle = low + (high - low) / 2;
            let page = self.must(middle).await?;
            if position < page.end() {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let page = if low == newest.number {
            newest
        } else {
            self.must(low).await?
        };
        self.open(page).await.map(Some)
    }

    async fn must(&self, number: i64) -> Result<Page, Error> {
        self.pages
            .get(number)
            .await?
            .ok_or_else(|| Error::corrupt(format!("page {number} of the feed is missing")))
    }

    /// Reads the commits of a page, and checks that the commits match the entries of the page.
    /// Stores the page with its commits in the cache, and also returns the page with its commits.
    async fn open(&self, page: Page) -> Result<Opened, Error> {
        let commits = read(&*self.blob, &page).await?;
        let opened = (page, Arc::new(commits));
        *self.last.lock().expect("no holder panics") = Some(opened.clone());
        Ok(opened)
    }
}

/// Returns the commits of a page. Small pages contain their commits. For other pages, the commits
/// are read from the archive object of the page.
pub async fn read(blob: &dyn Blob, page: &Page) -> Result<Vec<Commit>, Error> {
    let Page {
        number,
        archive: name,
        ..
    } = page;
    let packed = match &page.inline {
        Some(inline) => inline.clone(),
        None => blob.get(&key(name)).await?.ok_or_else(|| {
            Error::corrupt(format!(
                "the archive object {name} of page {number} is missing"
            ))
        })?,
    };
    let commits = archive::unpack(name, &packed)?;
    let fits = commits.len() == page.entries.len()
        && page.entries.iter().zip(&commits).all(|(entry, commit)| {
            (&entry.stream, entry.first, entry.n, entry.hash)
                == (&commit.stream, commit.first, commit.n, commit.hash)
        });
    if fits {
        Ok(commits)
    } else {
        Err(Error::corrupt(format!(
            "page {number} and its archive object {name} do not name the same commits"
        )))
    }
}

/// Returns the blob key under which the archive object with the given name is stored.
pub fn key(name: &str) -> String {
    format!("archive/{name}")
}

#[async_trait]
impl Journal for Paged {
    async fn append(&self, commit: Commit) -> Result<Appended, Error> {
        // The feed pages are built later, so the position of the commit in the feed (the ordered
        // list of all commits) is not known yet.
        Ok(match self.journal.append(commit).await? {
            Appended::Stored { .. } => Appended::Stored { position: None },
            taken @ Appended::Taken(_) => taken,
        })
    }
    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        self.journal.back(stream, before, limit).await
    }
    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error> {
        self.journal.forward(stream, from, limit).await
    }
    async fn next(&self, stream: &str) -> Result<i64, Error> {
        self.journal.next(stream).await
    }
    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
        self.journal.walk(from, limit).await
    }
}

#[async_trait]
impl Store for Paged {
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error> {
        let (mut placed, mut bytes, mut next) = (Vec::new(), 0, after.max(0) + 1);
        while placed.len() < limit {
            let Some((page, commits)) = self.page_at(next).await? else {
                break;
            };
            for ((position, feed_hash), commit) in page
                .feed_hashes()
                .zip(commits.iter())
                .skip_while(|((position, _), _)| *position < next)
            {
                bytes += commit.body.len();
                if placed.len() == limit || (bytes > PAGE_BYTES_MAX && !placed.is_empty()) {
                    return Ok(placed);
                }
                placed.push(Placed {
                    position,
                    feed_hash,
                    commit: commit.clone(),
                });
            }
            next = page.end();
        }
        Ok(placed)
    }

    async fn head(&self) -> Result<Head, Error> {
        Ok(self
            .pages
            .newest()
            .await?
            .map_or_else(Head::default, |page| page.head()))
    }

    async fn past(&self, position: i64) {
        loop {
            if self.head().await.is_ok_and(|head| head.position > position) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn keeps_order(&self) -> bool {
        false
    }
}
