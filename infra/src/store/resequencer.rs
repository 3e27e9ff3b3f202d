//! Sorts the commits of a feed (a list of all commits), so that the commits of each stream are in
//! order. A commit that arrives before an earlier commit of its stream waits for the earlier
//! commit.

use std::collections::{BTreeMap, HashMap};

use super::Placed;

/// Sorts commits within each stream. `next` contains the next expected sequence number of each
/// stream. `waiting` contains the commits that arrived before an earlier commit of their stream.
#[derive(Debug, Default)]
pub struct InOrder {
    next: HashMap<String, i64>,
    waiting: HashMap<String, BTreeMap<i64, Placed>>,
}

impl InOrder {
    /// Takes the next commit of the feed (a list of all commits). If an earlier commit of the
    /// stream is missing, the commit must wait and the result is empty. Otherwise, the result
    /// contains the commit, and all waiting commits that directly follow it in the stream.
    pub fn take(&mut self, placed: Placed) -> Vec<Placed> {
        let next = self.next.entry(placed.commit.stream.clone()).or_insert(1);
        if placed.commit.first > *next {
            self.waiting
                .entry(placed.commit.stream.clone())
                .or_default()
                .insert(placed.commit.first, placed);
            return Vec::new();
        }
        *next = placed.commit.next().max(*next);
        let mut ready = vec![placed];
        if let Some(waiting) = self.waiting.get_mut(&ready[0].commit.stream) {
            while let Some(follows) = waiting.remove(next) {
                *next = follows.commit.next();
                ready.push(follows);
            }
            if waiting.is_empty() {
                self.waiting.remove(&ready[0].commit.stream);
            }
        }
        ready
    }

    /// Returns the commits that still wait for an earlier commit of their stream.
    pub fn left(self) -> impl Iterator<Item = Placed> {
        self.waiting.into_values().flat_map(BTreeMap::into_values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::following;

    #[test]
    fn commits_are_reordered_and_those_without_predecessor_are_left() {
        let mut previous = None;
        let mut placed = Vec::new();
        for position in 1..=5 {
            let commit = following("a", previous.as_ref(), 2, 1, b"{}");
            placed.push(Placed {
                position,
                feed_hash: [0; 32],
                commit: commit.clone(),
            });
            previous = Some(commit);
        }
        let mut order = InOrder::default();
        let mut firsts = Vec::new();
        for at in [1, 0, 3, 2] {
            firsts.extend(
                order
                    .take(placed[at].clone())
                    .into_iter()
                    .map(|placed| placed.commit.first),
            );
        }
        assert_eq!(firsts, [1, 3, 5, 7]);
        let mut order = InOrder::default();
        assert!(order.take(placed[4].clone()).is_empty());
        assert_eq!(
            order
                .left()
                .map(|placed| placed.position)
                .collect::<Vec<_>>(),
            [5]
        );
    }
}
