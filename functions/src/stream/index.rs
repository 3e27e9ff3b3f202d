//! Turns the journal's stream into the gap-free feed: bodies are archived first, then an immutable page says which commit stands where.
//!
//! Nothing is decoded, so that no event can stand in the way. A commit is given one position however often it is delivered: before a page is
//! put, every page that could hold one of its commits is looked at. A page can hold a commit only if it was put after the commit was made, so
//! that fresh commits are held against the newest pages, which are in memory, and a stream that is delivered anew from its beginning is held
//! against everything since.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use events::Moment;
use infra::blob::Blob;
use infra::clock::Clock;
use infra::pages::{BODIES_BYTES_MAX, ENTRIES_MAX, INLINE_BYTES_MAX, Page, Pages, archive};
use infra::store::{Commit, paged};
use infra::{Error, Kind};

/// How far the clocks of writers, of the stream and of this function may be apart.
const SKEW_MS: i64 = 5 * 60_000;
/// Pages kept in memory; older ones are read again when they are needed.
const PAGES_MAX: usize = 2_000;
/// Times a page is made anew because another indexer put one first.
const RACES_MAX: u32 = 50;

/// The view of what the journal's stream told that should never happen.
pub const TAMPERED: &str = "tampered";

/// A commit as the stream brought it.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub commit: Commit,
    /// When it was written, by the stream's own clock where that is known.
    pub written: Moment,
}

/// Builds the feed of one ledger; what it keeps in memory only spares reads.
pub struct Indexer {
    pages: Arc<dyn Pages>,
    blob: Arc<dyn Blob>,
    clock: Arc<dyn Clock>,
    kept: Mutex<BTreeMap<i64, Arc<Page>>>,
}

impl Indexer {
    pub fn new(pages: Arc<dyn Pages>, blob: Arc<dyn Blob>, clock: Arc<dyn Clock>) -> Self {
        Self { pages, blob, clock, kept: Mutex::default() }
    }

    /// Gives every commit that has none its position; says how many there were.
    pub async fn index(&self, arrived: &[Arrived]) -> Result<usize, Error> {
        let mut indexed = 0;
        let mut waiting: Vec<&Arrived> = in_stream_order(arrived);
        for _ in 0..RACES_MAX + u32::try_from(arrived.len()).unwrap_or(u32::MAX) {
            let newest = self.newest().await?;
            let known = self.known(newest.as_deref(), &waiting).await?;
            waiting.retain(|arrived| !known.contains(&place(&arrived.commit)));
            if waiting.is_empty() {
                return Ok(indexed);
            }
            let commits: Vec<Commit> = waiting[..fitting(&waiting)].iter().map(|arrived| arrived.commit.clone()).collect();
            let (name, packed) = archive::pack(&commits)?;
            let mut page = Page::following(newest.as_deref(), self.clock.now(), name, &commits);
            if packed.len() <= INLINE_BYTES_MAX {
                page = page.with_inline(packed);
            } else {
                self.blob.put(&paged::key(&page.archive), packed).await?;
            }
            if self.pages.put(&page).await? {
                indexed += commits.len();
                self.keep(page);
            } else {
                // Somebody else put this number: what is in memory is old.
                self.refresh().await?;
            }
        }
        Err(Error::new(Kind::Conflict, "others put pages all the time"))
    }

    /// Which of these commits have no position yet.
    pub async fn missing(&self, arrived: &[Arrived]) -> Result<Vec<Commit>, Error> {
        let newest = self.refresh().await?;
        let all: Vec<&Arrived> = arrived.iter().collect();
        let known = self.known(newest.as_deref(), &all).await?;
        Ok(arrived.iter().map(|arrived| &arrived.commit).filter(|commit| !known.contains(&place(commit))).cloned().collect())
    }

    /// The newest page, from memory if there is one: if it is old, the put that follows it fails.
    async fn newest(&self) -> Result<Option<Arc<Page>>, Error> {
        if let Some((_, page)) = self.kept.lock().expect("no holder panics").last_key_value() {
            return Ok(Some(page.clone()));
        }
        self.refresh().await
    }

    async fn refresh(&self) -> Result<Option<Arc<Page>>, Error> {
        let newest = self.pages.newest().await?;
        Ok(newest.map(|page| self.keep(page)))
    }

    fn keep(&self, page: Page) -> Arc<Page> {
        let page = Arc::new(page);
        let mut kept = self.kept.lock().expect("no holder panics");
        kept.insert(page.number, page.clone());
        while kept.len() > PAGES_MAX {
            kept.pop_first();
        }
        page
    }

    async fn page(&self, number: i64) -> Result<Arc<Page>, Error> {
        if let Some(page) = self.kept.lock().expect("no holder panics").get(&number) {
            return Ok(page.clone());
        }
        let page = self.pages.get(number).await?.ok_or_else(|| Error::corrupt(format!("page {number} of the feed is missing")))?;
        Ok(self.keep(page))
    }

    /// Which of these commits have a position already.
    async fn known(&self, newest: Option<&Page>, waiting: &[&Arrived]) -> Result<HashSet<(String, i64)>, Error> {
        let Some(newest) = newest else { return Ok(HashSet::new()) };
        let Some(oldest) = waiting.iter().map(|arrived| arrived.written.min(arrived.commit.at)).min() else { return Ok(HashSet::new()) };
        let wanted: HashSet<(&str, i64)> = waiting.iter().map(|arrived| (arrived.commit.stream.as_str(), arrived.commit.first)).collect();
        let mut known = HashSet::new();
        let mut number = newest.number;
        while number > 0 {
            let page = self.page(number).await?;
            let entries = page.entries.iter().filter(|entry| wanted.contains(&(entry.stream.as_str(), entry.first)));
            known.extend(entries.map(|entry| (entry.stream.clone(), entry.first)));
            if page.at.0 < oldest.0 - SKEW_MS {
                break;
            }
            number -= 1;
        }
        Ok(known)
    }
}

fn place(commit: &Commit) -> (String, i64) {
    (commit.stream.clone(), commit.first)
}

/// Each commit once; the commits of one stream in their order, at the places where that stream's commits arrived.
fn in_stream_order(arrived: &[Arrived]) -> Vec<&Arrived> {
    let mut seen = HashSet::new();
    let once: Vec<&Arrived> = arrived.iter().filter(|arrived| seen.insert(place(&arrived.commit))).collect();
    let mut streams: HashMap<&str, Vec<&Arrived>> = HashMap::new();
    for arrived in &once {
        streams.entry(&arrived.commit.stream).or_default().push(arrived);
    }
    for commits in streams.values_mut() {
        commits.sort_by_key(|arrived| std::cmp::Reverse(arrived.commit.first));
    }
    once.iter().filter_map(|arrived| streams.get_mut(arrived.commit.stream.as_str())?.pop()).collect()
}

/// How many of them fit into one page; at least one.
fn fitting(waiting: &[&Arrived]) -> usize {
    let mut bytes = 0;
    let fits = |arrived: &&&Arrived| {
        bytes += arrived.commit.body.len();
        bytes <= BODIES_BYTES_MAX
    };
    waiting.iter().take(ENTRIES_MAX).take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use infra::clock::HandClock;
    use infra::store::contract::following;
    use infra::{blob, pages};

    fn indexer(clock: &Arc<HandClock>, pages: &Arc<pages::memory::Memory>, blob: &Arc<blob::memory::Memory>) -> Indexer {
        Indexer::new(pages.clone(), blob.clone(), clock.clone())
    }

    fn arrived(commits: &[Commit]) -> Vec<Arrived> {
        commits.iter().map(|commit| Arrived { commit: commit.clone(), written: commit.at }).collect()
    }

    #[tokio::test]
    async fn a_commit_gets_one_position_however_often_and_late_it_comes() {
        let (clock, pages, blob) = (Arc::new(HandClock::at(Moment(1_795_000_000_000))), Arc::default(), Arc::default());
        let first = indexer(&clock, &pages, &blob);
        let mut commits = Vec::new();
        for number in 0..40_u8 {
            clock.turn(60_000);
            let mut commit = following(&format!("ticket-{number}"), None, 1, number, b"{}");
            commit.at = clock.now();
            commits.push(commit.clone());
            assert_eq!(first.index(&arrived(&[commit])).await.expect("indexed"), 1);
        }
        assert_eq!(first.index(&arrived(&commits[38..])).await.expect("indexed"), 0, "the same instance again");
        let cold = indexer(&clock, &pages, &blob);
        assert_eq!(cold.index(&arrived(&commits[39..])).await.expect("indexed"), 0, "another instance");
        assert_eq!(cold.index(&arrived(&commits)).await.expect("indexed"), 0, "the whole stream from its beginning");
        assert_eq!(pages.newest().await.expect("newest").expect("a page").end(), 41);
    }

    #[tokio::test]
    async fn two_indexers_take_turns_and_a_stream_keeps_its_order_within_a_batch() {
        let (clock, pages, blob) = (Arc::new(HandClock::at(Moment(1_795_000_000_000))), Arc::default(), Arc::default());
        let (one, two) = (indexer(&clock, &pages, &blob), indexer(&clock, &pages, &blob));
        let a1 = following("a", None, 1, 1, b"{}");
        let a2 = following("a", Some(&a1), 2, 2, b"{}");
        let b1 = following("b", None, 1, 3, b"{}");
        assert_eq!(one.index(&arrived(&[a2.clone(), b1.clone(), a1.clone(), a2.clone()])).await.expect("indexed"), 3);
        let c1 = following("c", None, 1, 4, b"{}");
        assert_eq!(two.index(&arrived(&[b1, c1.clone()])).await.expect("indexed"), 1);
        let d1 = following("d", None, 1, 5, b"{}");
        assert_eq!(one.index(&arrived(&[c1, d1])).await.expect("indexed"), 1, "one looks at what two has put meanwhile");
        let mut feed = Vec::new();
        for number in 1..=3 {
            let page = pages.get(number).await.expect("get").expect("a page");
            feed.extend(page.entries.iter().map(|entry| (entry.stream.clone(), entry.first)));
        }
        let feed: Vec<_> = feed.iter().map(|(stream, first)| (stream.as_str(), *first)).collect();
        assert_eq!(feed, [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("d", 1)]);
    }
}
