//! `ledgerdesk audit rebuild` and `audit follow`: rebuild views from the ledger, and follow streams
//! again.

use std::collections::HashSet;

use domain::api_call::ApiCall;
use domain::config::{App, Dictionary, Role, Service, SharedField};
use domain::draft::Draft;
use domain::views::Card;
use domain::views::callback_card::CallbackCard;
use domain::views::ticket_card::TicketCard;
use domain::views::workflow_card::WorkflowCard;
use events::Event;
use infra::views::{Document, Views};
use infra::{Error, Ledger};
use serde_json::json;

use super::{PAGE, bar, words};
use crate::app::cards::read_card;
use crate::cli::target::Target;
use crate::cli::{Change, CommandError, print};
use crate::host::local::CHECKPOINT;
use crate::stream::follow::Follower;
use crate::stream::parked::follow_or_park;
use crate::stream::project;

pub(super) async fn rebuild(
    target: &Target,
    requested: Option<&str>,
    change: Change,
    json: bool,
) -> Result<(), CommandError> {
    let views = [
        TicketCard::VIEW,
        CallbackCard::VIEW,
        ApiCall::VIEW,
        Draft::VIEW,
        Service::VIEW,
        WorkflowCard::VIEW,
        Dictionary::VIEW,
        SharedField::VIEW,
        Role::VIEW,
        App::VIEW,
        project::DESK_BOARD,
    ];
    if let Some(unknown) = requested.filter(|view| !views.contains(view)) {
        return Err(CommandError::Usage(format!(
            "there is no view {unknown}; the views are: {}",
            views.join(", ")
        )));
    }
    let chosen: Vec<&str> = views
        .into_iter()
        .filter(|view| requested.is_none_or(|requested| requested == *view))
        .collect();
    if change.dry_run {
        print(json, &json!({ "would_rebuild": chosen }), || {
            println!("would rebuild {}", chosen.join(", "));
        });
        return Ok(());
    }
    change.confirm(&format!("rebuild {}", chosen.join(", ")))?;
    let local = target.beside().await?;
    let mut rebuilt = Vec::new();
    for view in chosen {
        let outcome = rebuild_view(&local.ledger, &*local.views, view)
            .await
            .map_err(words)?;
        if !json {
            println!(
                "{view}: {} documents, {} differed from the old view",
                outcome.documents, outcome.different
            );
        }
        rebuilt.push(
            json!({ "view": view, "documents": outcome.documents, "different": outcome.different }),
        );
    }
    print(json, &json!({ "views": rebuilt }), || {});
    Ok(())
}

/// The result of a rebuild: the number of documents, and of those that differed from the old view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub documents: u64,
    pub different: u64,
}

/// Builds a view next to the old one, compares both, and replaces documents that differ.
///
/// A rebuild has no access to a queue, so it cannot send anything. The sequence of a card is also
/// the checkpoint of its reactions. No card is therefore folded beyond the old card, or beyond the
/// position of the follower in the feed. A card that the follower updates during the rebuild stays.
pub async fn rebuild_view(
    ledger: &Ledger,
    views: &dyn Views,
    view: &str,
) -> Result<Rebuilt, Error> {
    match view {
        TicketCard::VIEW => rebuild_cards::<TicketCard>(ledger, views).await,
        CallbackCard::VIEW => rebuild_cards::<CallbackCard>(ledger, views).await,
        ApiCall::VIEW => rebuild_cards::<ApiCall>(ledger, views).await,
        Draft::VIEW => rebuild_cards::<Draft>(ledger, views).await,
        WorkflowCard::VIEW => rebuild_cards::<WorkflowCard>(ledger, views).await,
        Dictionary::VIEW => rebuild_cards::<Dictionary>(ledger, views).await,
        SharedField::VIEW => rebuild_cards::<SharedField>(ledger, views).await,
        Service::VIEW => rebuild_cards::<Service>(ledger, views).await,
        Role::VIEW => rebuild_cards::<Role>(ledger, views).await,
        App::VIEW => rebuild_cards::<App>(ledger, views).await,
        _ => rebuild_board(ledger, views).await,
    }
}

async fn rebuild_cards<C: Card>(ledger: &Ledger, views: &dyn Views) -> Result<Rebuilt, Error> {
    let new_view = format!("{}~new", C::VIEW);
    // An interrupted rebuild may have left documents.
    views.clear(&new_view).await?;
    if ledger.store.keeps_order() {
        refold_the_feed::<C>(ledger, views, &new_view).await?;
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
) -> Result<(), Error> {
    let followed = views
        .get(CHECKPOINT, "follow")
        .await?
        .map_or(0, |checkpoint| checkpoint.sequence);
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
                project::refold::<C>(ledger, views, new_view, &placed.commit).await?;
            }
        }
        position = last.position;
    }
}

/// Folds every existing card from its stream, up to its sequence.
///
/// A missing card was lost or its stream was never followed. It is left to [`follow_again`],
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
                    project::refold::<C>(ledger, views, new_view, commit).await?;
                }
            }
        }
    }
}

/// Follows every stream of the feed again from its card, and folds the board up to the end of the
/// feed.
pub(super) async fn follow_again(
    target: &Target,
    change: Change,
    json: bool,
) -> Result<(), CommandError> {
    if change.dry_run {
        let head = target
            .read()
            .await?
            .store
            .head()
            .await
            .map_err(words)?
            .position;
        print(json, &json!({ "would_follow_up_to": head }), || {
            println!("would follow every stream up to position {head}");
        });
        return Ok(());
    }
    change.confirm("follow every stream again")?;
    let desk = target.beside().await?;
    let follower = Follower {
        ledger: &desk.ledger,
        views: &*desk.views,
        queue: &*desk.queue,
    };
    let bar = bar(desk.ledger.store.head().await.map_err(words)?.position);
    let (mut seen, mut position) = (HashSet::new(), 0);
    loop {
        let page = desk
            .ledger
            .store
            .feed(position, PAGE)
            .await
            .map_err(words)?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for placed in page {
            if seen.insert(placed.commit.stream.clone())
                && let Some(newest) = desk
                    .ledger
                    .store
                    .back(&placed.commit.stream, None, 1)
                    .await
                    .map_err(words)?
                    .pop()
            {
                follow_or_park(follower, &newest).await.map_err(words)?;
            }
        }
        bar.set_position(position.unsigned_abs());
    }
    project::desk_board(&desk.ledger, &*desk.views)
        .await
        .map_err(words)?;
    bar.finish_and_clear();
    print(
        json,
        &json!({ "streams": seen.len(), "position": position }),
        || {
            println!(
                "{} streams are followed, the board is at position {position}",
                seen.len()
            );
        },
    );
    Ok(())
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

async fn rebuild_board(ledger: &Ledger, views: &dyn Views) -> Result<Rebuilt, Error> {
    let (reached, old) = project::board(views, project::DESK_BOARD).await?;
    let project::Replayed {
        board, position, ..
    } = project::replay(ledger, |placed| placed.position <= reached, |_| {}).await?;
    let different = u64::from(board != old);
    if different > 0 {
        project::put_board(views, position, &board).await?;
    }
    Ok(Rebuilt {
        documents: 1,
        different,
    })
}
