//! Proves a ledger: positions dense, both chains intact, every stream contiguous, every published head still true.

use std::collections::HashMap;

use super::{Commit, Hash, Head, Store, commit};
use crate::Error;

/// Commits read at once.
const PAGE: usize = 1000;
/// Findings that are listed; a broken ledger need not print a line per row.
const FINDINGS_MAX: usize = 100;

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub commits: u64,
    pub events: u64,
    pub streams: u64,
    pub head: Head,
    pub findings: Vec<String>,
    /// Streams that carry snapshots, for the check that refolds them.
    pub snapshotted: Vec<String>,
}

impl Verdict {
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
    /// Adds a finding, up to the bound.
    pub fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// Where each stream stands while the feed is walked.
struct Tail {
    next: i64,
    hash: Hash,
    has_snapshot: bool,
}

/// Walks the whole feed. `published` are heads from outside the ledger (`<data>/heads`, an auditor's own notes); `progress` is told every page.
pub async fn verify(store: &dyn Store, published: &[Head], progress: &mut (dyn FnMut(i64) + Send)) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let mut streams: HashMap<String, Tail> = HashMap::new();
    let mut published: Vec<Head> = published.to_vec();
    published.retain(|head| head.position > 0);
    published.sort_by_key(|head| head.position);
    let mut published = published.into_iter().peekable();
    loop {
        let page = match store.feed(verdict.head.position, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                verdict.find(error.to_string());
                break;
            }
        };
        if page.is_empty() {
            break;
        }
        for placed in page {
            let position = placed.position;
            let expected = verdict.head.position + 1;
            if position != expected {
                verdict.find(format!("position {expected} is missing; the next one is {position}"));
            }
            check_commit(&mut verdict, &mut streams, position, &placed.commit);
            if placed.feed_hash != commit::feed_hash(&verdict.head.feed_hash, position, &placed.commit.hash) {
                verdict.find(format!("position {position}: the feed's chain is broken"));
            }
            // Go on from what is stored, so that one break is told once.
            verdict.head = Head { position, feed_hash: placed.feed_hash };
            while let Some(head) = published.next_if(|head| head.position <= position) {
                if head.position == position && head.feed_hash != placed.feed_hash {
                    verdict.find(format!("position {position} is not what was published: the history before it was changed"));
                }
            }
        }
        progress(verdict.head.position);
    }
    if let Some(head) = published.last() {
        verdict.find(format!("the ledger ends at {}, but {} was published: its tail is missing", verdict.head.position, head.position));
    }
    verdict.streams = streams.len() as u64;
    verdict.snapshotted = streams.into_iter().filter(|(_, tail)| tail.has_snapshot).map(|(stream, _)| stream).collect();
    verdict.snapshotted.sort();
    Ok(verdict)
}

fn check_commit(verdict: &mut Verdict, streams: &mut HashMap<String, Tail>, position: i64, commit: &Commit) {
    let Commit { stream, first, n, .. } = commit;
    verdict.commits += 1;
    verdict.events += u64::try_from(*n).unwrap_or_default();
    if commit.hash != commit.expected_hash() {
        verdict.find(format!("position {position} ({stream}:{first}): the hash does not fit the content"));
    }
    let counted = events::Body::read(&commit.body).map(|body| body.events.len());
    if counted.as_ref().ok().and_then(|counted| i64::try_from(*counted).ok()) != Some(*n) {
        verdict.find(format!("position {position} ({stream}:{first}): the body does not hold {n} events"));
    }
    let tail = streams.entry(stream.clone()).or_insert(Tail { next: 1, hash: [0; 32], has_snapshot: false });
    if *first != tail.next {
        verdict.find(format!("position {position}: {stream} goes on at {first}, expected {}", tail.next));
    }
    if commit.prev_hash != tail.hash {
        verdict.find(format!("position {position} ({stream}:{first}): the stream's chain is broken"));
    }
    tail.next = commit.next();
    tail.hash = commit.hash;
    tail.has_snapshot |= commit.snapshot.is_some();
}
