//! Rebuilds the view of a card from the ledger, without access to a queue.

use domain::views::Card;
use events::Event;
use infra::store::Commit;
use infra::views::{Document, Views};
use infra::{Error, Ledger};

use super::card_put;
use crate::app::cards::read_card;

/// Commits and documents per read.
const PAGE: usize = 1000;

/// The result of a rebuild: the number of documents, and of those that differed from the old view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub documents: u64,
    pub different: u64,
}

/// Builds the view of a card next to the old one, compares both, and replaces documents that differ.
///
/// A rebuild has no access to a queue, so it cannot send anything. The sequence of a card is also
/// the checkpoint of its reactions. No card is therefore folded beyond the old card, or beyond the
/// position `followed` of the follower in the feed. A card that the follower updates during the
/// rebuild stays.
pub async fn cards<C: Card>(
    ledger: &Ledger,
    views: &dyn Views,
    followed: i64,
) -> Result<Rebuilt, Error> {
    let new_view = format!("{}~new", C::VIEW);
    // An interrupted rebuild may have left documents.
    views.clear(&new_view).await?;
    if ledger.store.keeps_order() {
        refold_the_feed::<C>(ledger, views, &new_view, followed).await?;
    } else {
        refold_each_stream::<C>(ledger, views, &new_view).await?;
    }
    let mut rebuilt = Rebuilt {
        documents: 0,
        different: 0,
    };
    let mut after = String::new();
    loop {
        let page = views.scan(&new_view, &after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        for (key, document) in page {
            rebuilt.documents += 1;
            let old = views.get(C::VIEW, &key).await?;
            // A card that the follower updated during the rebuild stays.
            let is_newer = old
                .as_ref()
                .is_some_and(|old| old.sequence > document.sequence);
            if !is_newer {
                let card: C = read_card(ledger, &key, &document).await?;
                rebuilt.different +=
                    u64::from(!is_same(ledger, &key, old.as_ref(), &document, &card).await?);
                // An equal card is stored too, because its index entries may differ.
                views
                    .put_with(
                        C::VIEW,
                        &key,
                        &document,
                        &card.index(),
                        &card.facets(),
                        old.map_or(0, |old| old.sequence),
                    )
                    .await?;
            }
        }
    }
    rebuilt.different += drop_orphans::<C>(ledger, views).await?;
    views.clear(&new_view).await?;
    Ok(rebuilt)
}

/// Returns whether the old document equals the rebuilt card.
///
/// Personal values are opened first, because equal values have different ciphertexts.
async fn is_same<C: Card>(
    ledger: &Ledger,
    key: &str,
    old: Option<&Document>,
    new: &Document,
    card: &C,
) -> Result<bool, Error> {
    let Some(old) = old.filter(|old| old.sequence == new.sequence) else {
        return Ok(false);
    };
    match read_card::<C>(ledger, key, old).await {
        Ok(old) => Ok(old == *card),
        Err(error) if error.is_poison() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Folds cards from a feed with every stream in order, up to the position of the follower.
async fn refold_the_feed<C: Card>(
    ledger: &Ledger,
    views: &dyn Views,
    new_view: &str,
    followed: i64,
) -> Result<(), Error> {
    let mut position = 0;
    loop {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        for placed in page
            .iter()
            .filter(|placed| events::aggregate_of(&placed.commit.stream) == C::Event::AGGREGATE)
        {
            if placed.position > followed {
                return Ok(());
            }
            let old = views.get(C::VIEW, &placed.commit.stream).await?;
            if old.is_none_or(|old| placed.commit.next() - 1 <= old.sequence) {
                refold::<C>(ledger, views, new_view, &placed.commit).await?;
            }
        }
        position = last.position;
    }
}

/// Folds every existing card from its stream, up to its sequence.
///
/// A missing card was lost or its stream was never followed. It is left to `ledgerdesk audit follow`,
/// because a card is also the checkpoint of its reactions.
async fn refold_each_stream<C: Card>(
    ledger: &Ledger,
    views: &dyn Views,
    new_view: &str,
) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = views.scan(C::VIEW, &after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after.clone_from(last);
        for (stream, old) in page {
            let mut from = 1;
            while from <= old.sequence {
                let commits = ledger.store.forward(&stream, from, 100).await?;
                let Some(last) = commits.last() else { break };
                from = last.next();
                for commit in commits
                    .iter()
                    .filter(|commit| commit.next() - 1 <= old.sequence)
                {
                    refold::<C>(ledger, views, new_view, commit).await?;
                }
            }
        }
    }
}

/// Removes documents whose stream does not exist.
async fn drop_orphans<C: Card>(ledger: &Ledger, views: &dyn Views) -> Result<u64, Error> {
    let (mut dropped, mut after) = (0, String::new());
    loop {
        let page = views.scan(C::VIEW, &after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(dropped);
        };
        after.clone_from(last);
        for (key, _) in page {
            if ledger.store.next(&key).await? == 1 {
                views.remove(C::VIEW, &key).await?;
                dropped += 1;
            }
        }
    }
}

/// Folds one commit into the card of another view; a step of a rebuild, which cannot send anything.
async fn refold<C: Card>(
    ledger: &Ledger,
    views: &dyn Views,
    view: &str,
    commit: &Commit,
) -> Result<(), Error> {
    let stored = views.get(view, &commit.stream).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    if commit.next() - 1 <= sequence {
        return Ok(());
    }
    if commit.first != sequence + 1 {
        return Err(Error::corrupt(format!(
            "commit {}:{} does not follow its card, which has sequence {sequence}",
            commit.stream, commit.first
        )));
    }
    let mut card = match &stored {
        Some(document) => read_card::<C>(ledger, &commit.stream, document).await?,
        None => C::default(),
    };
    for envelope in ledger.envelopes::<C::Event>(commit).await? {
        card.fold(&envelope);
    }
    let put = card_put(
        ledger,
        view,
        &commit.stream,
        &card,
        commit.next() - 1,
        sequence,
    )
    .await?;
    put.store(views).await.map(drop)
}
