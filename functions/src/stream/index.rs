//! Builds the feed: the sequence of all commits with position numbers without gaps. The source is
//! the table stream (the change stream of the database table with the commits).
//!
//! The indexer stores the bodies of new commits in an archive. Then the indexer stores a page,
//! which is a list of commits that never changes. The indexer does not decode events. Therefore, an
//! unreadable event cannot stop the feed.
//!
//! The table stream may deliver a commit several times, but each commit gets only one position.
//! Before the indexer stores a page, it searches the stored pages for the delivered commits. The
//! search ends at the first page that is older than all these commits, because a page is never
//! older than its commits.
//!
//! For new commits, only the newest pages are searched, and these pages are in memory. If the table
//! stream is read again from its start, many older pages are searched too.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use events::Moment;
use infra::blob::Blob;
use infra::clock::Clock;
use infra::pages::{BODIES_BYTES_MAX, ENTRIES_MAX, INLINE_BYTES_MAX, Page, Pages, archive};
use infra::store::{Commit, paged};
use infra::{Error, Kind};

/// Largest assumed difference between two clocks, in milliseconds. There are three kinds of clocks:
/// the clock of this function, the clock of the table stream, and the clocks of the processes that
/// write commits. The table stream is the change stream of the database table with the commits.
const SKEW_MS: i64 = 5 * 60_000;
/// Maximum number of pages (lists of commits) of the feed in memory. If an older page is necessary,
/// the indexer (the builder of the feed) reads this page again.
const PAGES_MAX: usize = 2_000;
/// Maximum number of failed attempts to store a page. An attempt fails if another process stored a
/// page with the same number first.
const RACES_MAX: u32 = 50;

/// The name of the view (a stored table) with signs of tampering. Each sign describes a change of
/// the journal (the table of all commits) by another program.
pub const TAMPERED: &str = "tampered";

/// A commit that arrived from the table stream (the change stream of the table with all commits).
#[derive(Clone, Debug)]
pub struct Arrived {
    pub commit: Commit,
    /// The time at which the commit was written, from the clock of the table stream (the change
    /// stream of the database table). If the record of the table stream contains no time, this
    /// field contains the time of the commit.
    pub written: Moment,
}

/// Stores the pages (lists of commits) of the feed, which is the numbered sequence of all commits.
/// The cache of pages only makes the work faster, and does not change the result.
pub struct Indexer {
    pages: Arc<dyn Pages>,
    blob: Arc<dyn Blob>,
    clock: Arc<dyn Clock>,
    cache: Mutex<BTreeMap<i64, Arc<Page>>>,
}

impl Indexer {
    /// Creates an indexer (the builder of the feed) without cached pages.
    pub fn new(pages: Arc<dyn Pages>, blob: Arc<dyn Blob>, clock: Arc<dyn Clock>) -> Self {
        Self {
            pages,
            blob,
            clock,
            cache: Mutex::default(),
        }
    }

    /// Assigns a position in the feed (the sequence of all commits) to each delivered commit that
    /// has no position yet. Returns the number of commits that got a position.
    pub async fn index(&self, arrived: &[Arrived]) -> Result<usize, Error> {
        let mut indexed = 0;
        let mut waiting: Vec<&Arrived> = in_stream_order(arrived);
        for _ in 0..RACES_MAX + u32::try_from(arrived.len()).unwrap_or(u32::MAX) {
            let newest = self.newest().await?;
            let known = self.known(newest.as_deref(), &waiting).await?;
            waiting.retain(|arrived| !known.contains(&stream_and_first(&arrived.commit)));
            if waiting.is_empty() {
                return Ok(indexed);
            }
            let commits: Vec<Commit> = waiting[..fitting(&waiting)]
                .iter()
                .map(|arrived| arrived.commit.clone())
                .collect();
            let (name, packed) = archive::pack(&commits)?;
            let mut page = Page::following(newest.as_deref(), self.clock.now(), name, &commits);
            if packed.len() <= INLINE_BYTES_MAX {
                page = page.with_inline(packed);
            } else {
                self.blob.put(&paged::key(&page.archive), packed).await?;
            }
            if self.pages.put(&page).await? {
                indexed += commits.len();
                self.cache_page(page);
            } else {
                // Another process stored a page with the same number first. The cache does not
                // contain that page, so the newest page is read again.
                self.refresh().await?;
            }
        }
        Err(Error::new(
            Kind::Conflict,
            "cannot store a page of the feed: other indexers stored theirs first every time",
        ))
    }

    /// Returns the delivered commits that have no position in the feed (the sequence of all
    /// commits) yet.
    pub async fn missing(&self, arrived: &[Arrived]) -> Result<Vec<Commit>, Error> {
        let newest = self.refresh().await?;
        let all: Vec<&Arrived> = arrived.iter().collect();
        let known = self.known(newest.as_deref(), &all).await?;
        Ok(arrived
            .iter()
            .map(|arrived| &arrived.commit)
            .filter(|commit| !known.contains(&stream_and_first(commit)))
            .cloned()
            .collect())
    }

    /// Returns the newest page (list of commits) of the feed. The page comes from the cache if
    /// possible. If another process has stored a newer page, the next attempt to store a page fails
    /// and is repeated.
    async fn newest(&self) -> Result<Option<Arc<Page>>, Error> {
        if let Some((_, page)) = self
            .cache
            .lock()
            .expect("no holder panics")
            .last_key_value()
        {
            return Ok(Some(page.clone()));
        }
        self.refresh().await
    }

    async fn refresh(&self) -> Result<Option<Arc<Page>>, Error> {
        let newest = self.pages.newest().await?;
        Ok(newest.map(|page| self.cache_page(page)))
    }

    fn cache_page(&self, page: Page) -> Arc<Page> {
        let page = Arc::new(page);
        let mut cache = self.cache.lock().expect("no holder panics");
        cache.insert(page.number, page.clone());
        while cache.len() > PAGES_MAX {
            cache.pop_first();
        }
        page
    }

    async fn page(&self, number: i64) -> Result<Arc<Page>, Error> {
        if let Some(page) = self.cache.lock().expect("no holder panics").get(&number) {
            return Ok(page.clone());
        }
        let page = self
            .pages
            .get(number)
            .await?
            .ok_or_else(|| Error::corrupt(format!("page {number} of the feed is missing")))?;
        Ok(self.cache_page(page))
    }

    /// Returns the delivered commits that already have a position in the feed (the sequence of all
    /// commits). The result identifies each commit by the name of its stream and the number of its
    /// first event.
    async fn known(
        &self,
        newest: Option<&Page>,
        waiting: &[&Arrived],
    ) -> Result<HashSet<(String, i64)>, Error> {
        let Some(newest) = newest else {
            return Ok(HashSet::new());
        };
        let Some(oldest) = waiting
            .iter()
            .map(|arrived| arrived.written.min(arrived.commit.at))
            .min()
        else {
            return Ok(HashSet::new());
        };
        let searched: HashSet<(&str, i64)> = waiting
            .iter()
            .map(|arrived| (arrived.commit.stream.as_str(), arrived.commit.first))
            .collect();
        let mut known = HashSet::new();
        let mut number = newest.number;
        while number > 0 {
            let page = self.page(number).await?;
            let entries = page
                .entries
                .iter()
                .filter(|entry| searched.contains(&(entry.stream.as_str(), entry.first)));
            known.extend(entries.map(|entry| (entry.stream.clone(), entry.first)));
            if page.at.0 < oldest.0 - SKEW_MS {
                break;
            }
            number -= 1;
        }
        Ok(known)
    }
}

fn stream_and_first(commit: &Commit) -> (String, i64) {
    (commit.stream.clone(), commit.first)
}

/// Returns the delivered commits without duplicates. The commits of each stream are sorted by their
/// event numbers.
///
/// Only commits of the same stream exchange their places in the list. The order of the streams in
/// the list therefore does not change.
fn in_stream_order(arrived: &[Arrived]) -> Vec<&Arrived> {
    let mut seen = HashSet::new();
    let once: Vec<&Arrived> = arrived
        .iter()
        .filter(|arrived| seen.insert(stream_and_first(&arrived.commit)))
        .collect();
    let mut streams: HashMap<&str, Vec<&Arrived>> = HashMap::new();
    for arrived in &once {
        streams
            .entry(&arrived.commit.stream)
            .or_default()
            .push(arrived);
    }
    for commits in streams.values_mut() {
        commits.sort_by_key(|arrived| std::cmp::Reverse(arrived.commit.first));
    }
    once.iter()
        .filter_map(|arrived| streams.get_mut(arrived.commit.stream.as_str())?.pop())
        .collect()
}

/// Returns how many commits of `waiting` fit into the next page (list of commits) of the feed.
/// `waiting` contains commits without a position in the feed. The result is at least 1.
fn fitting(waiting: &[&Arrived]) -> usize {
    let mut bytes = 0;
    let fits = |arrived: &&&Arrived| {
        bytes += arrived.commit.body.len();
        bytes <= BODIES_BYTES_MAX
    };
    waiting
        .iter()
        .take(ENTRIES_MAX)
        .take_while(fits)
        .count()
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use infra::clock::ManualClock;
    use infra::commit::following;
    use infra::{blob, pages};

    fn indexer(
        clock: &Arc<ManualClock>,
        pages: &Arc<pages::memory::Memory>,
        blob: &Arc<blob::memory::Memory>,
    ) -> Indexer {
        Indexer::new(pages.clone(), blob.clone(), clock.clone())
    }

    fn arrived(commits: &[Commit]) -> Vec<Arrived> {
        commits
            .iter()
            .map(|commit| Arrived {
                commit: commit.clone(),
                written: commit.at,
            })
            .collect()
    }

    #[tokio::test]
    async fn a_repeated_or_late_commit_keeps_its_one_position() {
        let (clock, pages, blob) = (
            Arc::new(ManualClock::at(Moment(1_795_000_000_000))),
            Arc::default(),
            Arc::default(),
        );
        let first = indexer(&clock, &pages, &blob);
        let mut commits = Vec::new();
        for number in 0..40_u8 {
            clock.advance(60_000);
            let mut commit = following(&format!("ticket-{number}"), None, 1, number, b"{}");
            commit.at = clock.now();
            commits.push(commit.clone());
            assert_eq!(first.index(&arrived(&[commit])).await.expect("indexed"), 1);
        }
        assert_eq!(
            first
                .index(&arrived(&commits[38..]))
                .await
                .expect("indexed"),
            0,
            "the same instance again"
        );
        let cold = indexer(&clock, &pages, &blob);
        assert_eq!(
            cold.index(&arrived(&commits[39..])).await.expect("indexed"),
            0,
            "another instance"
        );
        assert_eq!(
            cold.index(&arrived(&commits)).await.expect("indexed"),
            0,
            "the whole table stream from its beginning"
        );
        assert_eq!(
            pages.newest().await.expect("newest").expect("a page").end(),
            41
        );
    }

    #[tokio::test]
    async fn two_indexers_share_a_feed_and_a_batch_keeps_stream_order() {
        let (clock, pages, blob) = (
            Arc::new(ManualClock::at(Moment(1_795_000_000_000))),
            Arc::default(),
            Arc::default(),
        );
        let (one, two) = (
            indexer(&clock, &pages, &blob),
            indexer(&clock, &pages, &blob),
        );
        let a1 = following("a", None, 1, 1, b"{}");
        let a2 = following("a", Some(&a1), 2, 2, b"{}");
        let b1 = following("b", None, 1, 3, b"{}");
        assert_eq!(
            one.index(&arrived(&[a2.clone(), b1.clone(), a1.clone(), a2.clone()]))
                .await
                .expect("indexed"),
            3
        );
        let c1 = following("c", None, 1, 4, b"{}");
        assert_eq!(
            two.index(&arrived(&[b1, c1.clone()]))
                .await
                .expect("indexed"),
            1
        );
        let d1 = following("d", None, 1, 5, b"{}");
        assert_eq!(
            one.index(&arrived(&[c1, d1])).await.expect("indexed"),
            1,
            "the first indexer reads the page that the second one stored"
        );
        let mut feed = Vec::new();
        for number in 1..=3 {
            let page = pages.get(number).await.expect("get").expect("a page");
            feed.extend(
                page.entries
                    .iter()
                    .map(|entry| (entry.stream.clone(), entry.first)),
            );
        }
        let feed: Vec<_> = feed
            .iter()
            .map(|(stream, first)| (stream.as_str(), *first))
            .collect();
        assert_eq!(feed, [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("d", 1)]);
    }
}
