//! Builds the cards (the stored summaries of streams) of one aggregate type again from the ledger.
//! The normal update of a card also sends messages. A rebuild must not send these messages again,
//! so this module has no access to queues.

use infra::store::Commit;
use infra::views::{Document, Views};
use infra::{Error, Ledger};

use super::card::{AnyCard, card_put, read_with_personals};

/// Maximum number of commits or stored documents that one read returns.
const PAGE: usize = 1000;

/// The result of a rebuild. `documents` counts the cards (the stored summaries of streams) that
/// were built. `different` counts the stored cards that were wrong, missing or without a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub documents: u64,
    pub different: u64,
}

/// Builds all cards (stored summaries of streams) of one type in a second view (a stored table).
/// Then replaces the stored cards with the new cards. Returns the numbers of built and changed
/// cards.
///
/// A card contains a sequence number: the number of the last processed event of the stream. The
/// follower (the normal update of cards) sends messages only for events with higher numbers. If a
/// new card had a higher number than the stored card, some messages would never be sent. For this
/// reason, each card is built only up to the sequence number of the stored card.
///
/// The feed (the ordered list of all commits) is read only up to `followed`, the last position that
/// the follower has processed. If the follower updates a card during the rebuild, the rebuild does
/// not replace this card. `fresh` is a card without commits.
pub(super) async fn cards(
    ledger: &Ledger,
    views: &dyn Views,
    fresh: &dyn AnyCard,
    followed: i64,
) -> Result<Rebuilt, Error> {
    let view = fresh.view();
    let new_view = format!("{view}~new");
    // An interrupted earlier rebuild may have left documents in the view `new_view` (a stored
    // table). These documents are deleted first.
    views.clear(&new_view).await?;
    if ledger.store.keeps_order() {
        refold_the_feed(ledger, views, fresh, &new_view, followed).await?;
    } else {
        refold_each_stream(ledger, views, fresh, &new_view).await?;
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
            let old = views.get(view, &key).await?;
            // The follower (the normal update of cards) may have stored a newer card (summary of
            // the stream) during the rebuild. The newer card must remain.
            let is_newer = old
                .as_ref()
                .is_some_and(|old| old.sequence > document.sequence);
            if !is_newer {
                let mut card = fresh.fresh();
                read_with_personals(ledger, card.as_mut(), &key, &document).await?;
                let old_sequence = old.as_ref().map_or(0, |old| old.sequence);
                let old = old.filter(|old| old.sequence == document.sequence);
                let is_same = is_same(ledger, &key, old.as_ref(), card.as_ref()).await?;
                rebuilt.different += u64::from(!is_same);
                // An unchanged card (the stored summary of a stream) is also written. A newer
                // version of the desk can compute other index entries for the same card. The write
                // then replaces the old index entries.
                views
                    .put_with(
                        view,
                        &key,
                        &document,
                        &card.index(),
                        &card.facets(),
                        old_sequence,
                    )
                    .await?;
            }
        }
    }
    rebuilt.different += drop_orphans(ledger, views, view).await?;
    views.clear(&new_view).await?;
    Ok(rebuilt)
}

/// Returns true if the new card (the stored summary of a stream) equals the stored card `old` with the same sequence
/// number.
///
/// Each encryption of the same value gives a different result. The personal values are therefore
/// decrypted for the comparison.
async fn is_same(
    ledger: &Ledger,
    key: &str,
    old: Option<&Document>,
    card: &dyn AnyCard,
) -> Result<bool, Error> {
    let Some(document) = old else {
        return Ok(false);
    };
    let mut old = card.fresh();
    match read_with_personals(ledger, old.as_mut(), key, document).await {
        Ok(()) => Ok(old.equals(card)),
        Err(error) if error.is_poison() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Builds all cards (stored summaries of streams) of one type from the feed (the sequence of all
/// commits), up to the feed position `followed`. This function requires a store in which the feed
/// contains the commits of each stream in their original order.
async fn refold_the_feed(
    ledger: &Ledger,
    views: &dyn Views,
    fresh: &dyn AnyCard,
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
            .filter(|placed| events::aggregate_of(&placed.commit.stream) == fresh.aggregate())
        {
            if placed.position > followed {
                return Ok(());
            }
            let old = views.get(fresh.view(), &placed.commit.stream).await?;
            if old.is_none_or(|old| placed.commit.next() - 1 <= old.sequence) {
                refold(ledger, views, fresh, new_view, &placed.commit).await?;
            }
        }
        position = last.position;
    }
}

/// Builds each card (the stored summary of a stream) from the commits of its stream. A card is
/// built only up to the last event in the stored card.
///
/// A stream without a stored card is skipped, because the messages for its commits are possibly not
/// sent yet. A new card would mark these commits as processed, and the messages would be lost. Only
/// the command `ledgerdesk audit follow` may create a missing card, because this command also
/// creates the messages.
async fn refold_each_stream(
    ledger: &Ledger,
    views: &dyn Views,
    fresh: &dyn AnyCard,
    new_view: &str,
) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = views.scan(fresh.view(), &after, PAGE).await?;
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
                    refold(ledger, views, fresh, new_view, commit).await?;
                }
            }
        }
    }
}

/// Deletes each stored card (summary of a stream) whose stream does not exist. Returns the number
/// of deleted cards.
async fn drop_orphans(ledger: &Ledger, views: &dyn Views, view: &str) -> Result<u64, Error> {
    let (mut dropped, mut after) = (0, String::new());
    loop {
        let page = views.scan(view, &after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(dropped);
        };
        after.clone_from(last);
        for (key, _) in page {
            if ledger.store.next(&key).await? == 1 {
                views.remove(view, &key).await?;
                dropped += 1;
            }
        }
    }
}

/// Applies one commit to the card (the stored summary) of its stream in the view `view`. No
/// messages are sent, because this function has no access to queues.
async fn refold(
    ledger: &Ledger,
    views: &dyn Views,
    fresh: &dyn AnyCard,
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
    let mut card = fresh.fresh();
    if let Some(document) = &stored {
        read_with_personals(ledger, card.as_mut(), &commit.stream, document).await?;
    }
    card.decode(commit)?;
    ledger.open(card.personals_of(0).into_iter()).await?;
    card.apply(0, commit, &|_, _| false);
    let put = card_put(
        ledger,
        view,
        &commit.stream,
        card.as_ref(),
        commit.next() - 1,
        sequence,
    )
    .await?;
    put.store(views).await.map(drop)
}
