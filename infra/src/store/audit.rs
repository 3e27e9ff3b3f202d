//! Verifies a ledger. The function `verify` makes these checks:
//!
//! - Feed positions and streams have no gaps.
//! - The hash chains of the feed and of each stream are correct.
//! - The ledger matches the published heads (feed positions with hashes).
//!
//! The function `compare` checks that the feed (the ordered list of all commits) and the journal
//! (the table of all commits) contain the same commits.

use std::collections::{BTreeSet, HashMap};

use events::Moment;

use super::resequencer::InOrder;
use super::{Commit, Hash, Head, Placed, Store};
use crate::{Error, commit};

/// Maximum number of commits that one read returns.
const PAGE: usize = 1000;
/// Maximum number of findings (detected problems) in a result. Without this limit, a badly damaged
/// ledger could cause one finding per row.
const FINDINGS_MAX: usize = 100;

/// The result of the verification of a ledger.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub commits: u64,
    pub events: u64,
    pub streams: u64,
    pub head: Head,
    pub findings: Vec<String>,
    /// Names of the streams that contain snapshots (serialized states). The caller computes the
    /// state of each stream from its events, and compares this state with the snapshots.
    pub snapshotted: Vec<String>,
}

impl Verdict {
    /// Returns true if the verification found no problem.
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
    /// Adds a finding (a detected problem) to this result, if the result has fewer than
    /// `FINDINGS_MAX` findings.
    pub fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// The end of the part of a stream that was already read: the next expected sequence number and the
/// hash of the last commit.
struct Tail {
    next: i64,
    hash: Hash,
    has_snapshot: bool,
}

/// Verifies the feed (the ordered list of all commits).
///
/// `published` contains heads (feed positions with hashes) that were stored outside the ledger.
/// Examples are the file `<data>/heads` and the notes of an auditor. After each page of commits,
/// the function `progress` is called with the position of the last verified commit.
pub async fn verify(
    store: &dyn Store,
    published: &[Head],
    progress: &mut (dyn FnMut(i64) + Send),
) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let mut streams: HashMap<String, Tail> = HashMap::new();
    let mut published: Vec<Head> = published.to_vec();
    published.retain(|head| head.position > 0);
    published.sort_by_key(|head| head.position);
    let mut published = published.into_iter().peekable();
    let mut order = InOrder::default();
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
                verdict.find(format!(
                    "position {expected} is missing; the next one is {position}"
                ));
            }
            // A feed that is built from a DynamoDB table stream can contain a commit before an
            // earlier commit of the same stream. For such a feed, `keeps_order` returns false, and the
            // commits are sorted before the check.
            if store.keeps_order() {
                check_commit(&mut verdict, &mut streams, position, &placed.commit);
            } else {
                order.take(placed.clone()).iter().for_each(|placed| {
                    check_commit(&mut verdict, &mut streams, placed.position, &placed.commit);
                });
            }
            if placed.feed_hash
                != commit::feed_hash(&verdict.head.feed_hash, position, &placed.commit.hash)
            {
                verdict.find(format!("position {position}: the feed's chain is broken"));
            }
            // The check continues with the stored hash and not with the computed hash. Otherwise,
            // one wrong hash would cause a finding for every later commit.
            verdict.head = Head {
                position,
                feed_hash: placed.feed_hash,
            };
            while let Some(head) = published.next_if(|head| head.position <= position) {
                if head.position == position && head.feed_hash != placed.feed_hash {
                    verdict.find(format!("position {position} is not what was published: the history before it was changed"));
                }
            }
        }
        progress(verdict.head.position);
    }
    for placed in order.left() {
        check_commit(&mut verdict, &mut streams, placed.position, &placed.commit);
    }
    if let Some(head) = published.last() {
        verdict.find(format!(
            "the ledger ends at {}, but {} was published: its tail is missing",
            verdict.head.position, head.position
        ));
    }
    verdict.streams = streams.len() as u64;
    verdict.snapshotted = streams
        .into_iter()
        .filter(|(_, tail)| tail.has_snapshot)
        .map(|(stream, _)| stream)
        .collect();
    verdict.snapshotted.sort();
    Ok(verdict)
}

fn check_commit(
    verdict: &mut Verdict,
    streams: &mut HashMap<String, Tail>,
    position: i64,
    commit: &Commit,
) {
    let Commit {
        stream, first, n, ..
    } = commit;
    verdict.commits += 1;
    verdict.events += u64::try_from(*n).unwrap_or_default();
    if commit.hash != commit.expected_hash() {
        verdict.find(format!(
            "position {position} ({stream}:{first}): the hash does not fit the content"
        ));
    }
    let counted = events::Body::read(&commit.body).map(|body| body.events.len());
    if counted
        .as_ref()
        .ok()
        .and_then(|counted| i64::try_from(*counted).ok())
        != Some(*n)
    {
        verdict.find(format!(
            "position {position} ({stream}:{first}): the body does not hold {n} events"
        ));
    }
    let tail = streams.entry(stream.clone()).or_insert(Tail {
        next: 1,
        hash: [0; 32],
        has_snapshot: false,
    });
    if *first != tail.next {
        verdict.find(format!(
            "position {position}: {stream} continues at {first}, expected {}",
            tail.next
        ));
    }
    if commit.prev_hash != tail.hash {
        verdict.find(format!(
            "position {position} ({stream}:{first}): the stream's chain is broken"
        ));
    }
    tail.next = commit.next();
    tail.hash = commit.hash;
    tail.has_snapshot |= commit.snapshot.is_some();
}

/// The result of the comparison of the feed (the ordered list of all commits) and the journal (the
/// table of all commits).
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Number of commits that are in the feed (the ordered list of all commits) and also in the
    /// journal (the table of all commits).
    pub both: u64,
    /// Commits of the journal (the table of all commits) that are missing in the feed (the ordered list of all
    /// commits). The feed is built with a delay. It must be complete only up to the time `indexed_until`, so this list
    /// contains no later commits.
    pub not_in_feed: Vec<Commit>,
    /// Number of journal commits that the feed (the ordered list of all commits) does not contain yet. The feed is
    /// built with a delay and must be complete only up to the time `indexed_until`. The counted commits are later than
    /// this time.
    pub on_their_way: u64,
    /// Descriptions of the other differences between the feed (the ordered list of all commits) and
    /// the journal (the table of all commits). The commits that are missing in the feed are
    /// recorded in other fields.
    wrong: Vec<String>,
    /// Names of the streams that contain snapshots (serialized states).
    pub snapshotted: Vec<String>,
}

/// Compares the feed (the ordered list of all commits) with the journal (the table of all commits). Each commit must be
/// exactly once in the feed and exactly once in the journal, with the same content. The feed is built with a delay and
/// must be complete only up to the time `indexed_until`. A later commit that is missing in the feed is therefore not
/// reported as a difference.
pub async fn compare(
    store: &dyn Store,
    indexed_until: Moment,
    progress: &mut (dyn FnMut(i64) + Send),
) -> Result<Compared, Error> {
    let mut in_feed: HashMap<(String, i64), (i64, Hash)> = HashMap::new();
    let mut compared = Compared::default();
    let mut position = 0;
    loop {
        let page = store.feed(position, PAGE).await?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for Placed {
            position, commit, ..
        } in page
        {
            if let Some((first, _)) = in_feed.insert(
                (commit.stream.clone(), commit.first),
                (position, commit.hash),
            ) {
                compared.find(format!(
                    "{}:{} has two positions, {first} and {position}",
                    commit.stream, commit.first
                ));
            }
        }
        progress(position);
    }
    let mut from = None;
    let mut snapshotted = BTreeSet::new();
    loop {
        let walked = store.walk(from, PAGE).await?;
        walked
            .unreadable
            .into_iter()
            .for_each(|reason| compared.find(reason));
        for commit in walked.commits {
            let name = format!("{}:{}", commit.stream, commit.first);
            if commit.hash != commit.expected_hash() {
                compared.find(format!(
                    "{name}: the hash does not fit the content of the journal"
                ));
                // A journal row with a wrong hash is not a valid commit, so the feed (the ordered
                // list of all commits) does not need to contain the row. If the feed contains the
                // row, the code below compares the two hashes and finds the difference.
                if !in_feed.contains_key(&(commit.stream.clone(), commit.first)) {
                    continue;
                }
            }
            if commit.snapshot.is_some() {
                snapshotted.insert(commit.stream.clone());
            }
            match in_feed.remove(&(commit.stream.clone(), commit.first)) {
                Some((_, hash)) if hash == commit.hash => compared.both += 1,
                Some((position, _)) => compared.find(format!("{name} is another commit in the journal than at position {position} of the feed")),
                None if commit.at <= indexed_until => compared.not_in_feed.push(commit),
                None => compared.on_their_way += 1,
            }
        }
        from = walked.next;
        if from.is_none() {
            break;
        }
    }
    // At this point, `in_feed` contains only commits that the read of the whole journal did not
    // return. The following loop reads each of these commits directly from the journal. If the read
    // finds no commit, the commit was removed from the journal.
    for ((stream, first), (position, _)) in in_feed {
        if store
            .forward(&stream, first, 1)
            .await?
            .first()
            .is_none_or(|commit| commit.first != first)
        {
            compared.find(format!(
                "position {position} ({stream}:{first}) is not in the journal any more"
            ));
        }
    }
    compared.snapshotted = snapshotted.into_iter().collect();
    Ok(compared)
}

impl Compared {
    /// Returns descriptions of the differences between the feed (the ordered list of all commits) and the journal (the
    /// table of all commits). One description covers all commits that are missing in the feed.
    pub fn findings(&self) -> Vec<String> {
        let lost = self.not_in_feed.iter().min_by_key(|commit| commit.at).map(|oldest| {
            let (count, name) = (self.not_in_feed.len(), format!("{}:{}", oldest.stream, oldest.first));
            format!("{count} commits of the journal are not in the feed, the oldest is {name}: the indexer is stopped or lost them")
        });
        self.wrong.iter().cloned().chain(lost).collect()
    }
    /// Adds a finding (a detected difference) if the list of differences has fewer than
    /// `FINDINGS_MAX` entries.
    pub fn find(&mut self, finding: String) {
        if self.wrong.len() < FINDINGS_MAX {
            self.wrong.push(finding);
        }
    }
}
