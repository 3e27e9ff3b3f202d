//! Contains the contract suite of the event store: the tests that every adapter must pass. Each
//! adapter has a test that calls [`check`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Appended, COMMIT_BYTES_MAX, Commit, Head, PAGE_BYTES_MAX, Store};
use crate::Kind;
use crate::commit::{self, following};

/// Runs all tests on an empty store. In one of the tests, several writers try to store a commit
/// with the same stream and sequence number. This test is repeated `rounds` times.
///
/// The function `caught_up` waits until the feed (the ordered list of all commits) contains every
/// commit. If the store itself assigns the feed positions, this function returns immediately.
pub async fn check(store: Arc<dyn Store>, rounds: usize, caught_up: impl AsyncFn()) {
    appends_and_reads(&*store, &caught_up).await;
    pages_are_bounded(&*store).await;
    a_rejected_append_returns_the_stored_commit(&*store, &caught_up).await;
    a_too_large_commit_is_rejected(&*store).await;
    one_writer_wins_each_key(store.clone(), rounds).await;
    caught_up().await;
    the_feed_is_dense_and_chained(&*store).await;
    the_walk_returns_every_commit_once(&*store).await;
}

async fn stored(store: &dyn Store, commit: &Commit) {
    match store.append(commit.clone()).await.expect("append") {
        Appended::Stored { .. } => {}
        Appended::Taken(taken) => panic!("key already used by {taken:?}"),
    }
}

async fn appends_and_reads(store: &dyn Store, caught_up: &impl AsyncFn()) {
    assert_eq!(store.head().await.expect("head"), Head::default());
    assert_eq!(store.next("a").await.expect("next"), 1);
    let one = following("a", None, 3, 1, b"one");
    let mut two = following("a", Some(&one), 1, 2, b"two");
    two.snapshot = Some(super::Snapshot {
        fingerprint: [7; 16],
        state: b"{}".to_vec(),
    });
    stored(store, &one).await;
    caught_up().await;
    stored(store, &two).await;
    caught_up().await;
    store.past(1).await;
    let feed = store.feed(0, 10).await.expect("feed");
    assert_eq!(
        feed.iter()
            .map(|placed| (placed.position, placed.commit.first))
            .collect::<Vec<_>>(),
        [(1, 1), (2, 4)]
    );
    assert_eq!(store.next("a").await.expect("next"), 5);
    assert_eq!(
        store.back("a", None, 10).await.expect("back"),
        [two.clone(), one.clone()]
    );
    assert_eq!(
        store.back("a", Some(4), 10).await.expect("back"),
        std::slice::from_ref(&one)
    );
    assert_eq!(store.back("a", None, 1).await.expect("back"), [two.clone()]);
    assert_eq!(
        store.forward("a", 1, 10).await.expect("forward"),
        [one.clone(), two.clone()]
    );
    assert_eq!(store.forward("a", 2, 10).await.expect("forward"), [two]);
    assert!(store.back("b", None, 10).await.expect("back").is_empty());
}

async fn pages_are_bounded(store: &dyn Store) {
    let body = vec![b'x'; PAGE_BYTES_MAX / 4];
    let mut previous: Option<Commit> = None;
    for command in 0..8 {
        let commit = following("large", previous.as_ref(), 1, command, &body);
        stored(store, &commit).await;
        previous = Some(commit);
    }
    let mut seen = 0;
    let mut before = None;
    loop {
        let page = store.back("large", before, 100).await.expect("back");
        let Some(oldest) = page.last() else { break };
        assert!(
            page.len() <= 4,
            "a page holds at most {PAGE_BYTES_MAX} bytes"
        );
        before = Some(oldest.first);
        seen += page.len();
    }
    assert_eq!(seen, 8, "paging reaches the beginning");
}

async fn a_rejected_append_returns_the_stored_commit(
    store: &dyn Store,
    caught_up: &impl AsyncFn(),
) {
    let first = following("taken", None, 2, 1, b"first");
    stored(store, &first).await;
    caught_up().await;
    let head = store.head().await.expect("head");
    let late = following("taken", None, 1, 2, b"late");
    assert_eq!(
        store.append(late).await.expect("append"),
        Appended::Taken(Box::new(first.clone()))
    );
    assert_eq!(
        store.append(first.clone()).await.expect("append"),
        Appended::Taken(Box::new(first)),
        "a retry gets its own commit"
    );
    caught_up().await;
    assert_eq!(
        store.head().await.expect("head"),
        head,
        "a rejected append changes nothing"
    );
}

async fn a_too_large_commit_is_rejected(store: &dyn Store) {
    let error = store
        .append(following("huge", None, 1, 1, &vec![b'x'; COMMIT_BYTES_MAX]))
        .await
        .expect_err("too large");
    assert_eq!(error.kind, Kind::TooLarge);
    assert!(
        error.what.contains(&COMMIT_BYTES_MAX.to_string()),
        "the message names the limit: {error}"
    );
    assert_eq!(store.next("huge").await.expect("next"), 1);
}

async fn one_writer_wins_each_key(store: Arc<dyn Store>, rounds: usize) {
    let mut previous: Option<Commit> = None;
    for _ in 0..rounds {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..16 {
            let (store, commit) = (
                store.clone(),
                following("race", previous.as_ref(), 1, writer, &[writer]),
            );
            writers.spawn(
                async move { (commit.clone(), store.append(commit).await.expect("append")) },
            );
        }
        let outcomes = writers.join_all().await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Appended::Stored { .. }))
            .collect();
        assert_eq!(winners.len(), 1);
        let winner = winners[0].0.clone();
        for (_, outcome) in &outcomes {
            if let Appended::Taken(commit) = outcome {
                assert_eq!(
                    **commit, winner,
                    "every losing writer gets the winning commit"
                );
            }
        }
        previous = Some(winner);
    }
    assert_eq!(
        store.next("race").await.expect("next"),
        i64::try_from(rounds).expect("small") + 1
    );
}

async fn the_feed_is_dense_and_chained(store: &dyn Store) {
    let (mut position, mut feed_hash) = (0, [0; 32]);
    loop {
        let page = store.feed(position, 7).await.expect("feed");
        if page.is_empty() {
            break;
        }
        for placed in page {
            assert_eq!(placed.position, position + 1, "positions are dense");
            feed_hash = commit::feed_hash(&feed_hash, placed.position, &placed.commit.hash);
            assert_eq!(placed.feed_hash, feed_hash, "the feed is chained");
            assert_eq!(placed.commit.hash, placed.commit.expected_hash());
            position = placed.position;
        }
    }
    assert_eq!(
        store.head().await.expect("head"),
        Head {
            position,
            feed_hash
        }
    );
}

async fn the_walk_returns_every_commit_once(store: &dyn Store) {
    let mut walked: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
    let mut from = None;
    loop {
        let page = store.walk(from, 7).await.expect("walk");
        for commit in page.commits {
            let before = walked
                .entry(commit.stream.clone())
                .or_default()
                .insert(commit.first, commit.next());
            assert_eq!(
                before, None,
                "the walk returned {}:{} twice",
                commit.stream, commit.first
            );
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    for (stream, commits) in &walked {
        let end = commits.iter().fold(1, |expected, (first, next)| {
            if *first == expected {
                *next
            } else {
                panic!("{stream} has a gap before {first}")
            }
        });
        assert_eq!(store.next(stream).await.expect("next"), end);
    }
    assert!(walked.len() >= 4, "{walked:?}");
}
