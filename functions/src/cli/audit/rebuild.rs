//! Views built anew from the ledger, and streams followed again.

use std::collections::HashSet;

use domain::call::Call;
use domain::config::{App, Dictionary, Role, Service, SharedField};
use domain::draft::Draft;
use domain::views::Card;
use domain::views::delivery_card::DeliveryCard;
use domain::views::ticket_card::TicketCard;
use domain::views::workflow_card::WorkflowCard;
use events::Fact;
use infra::views::{Document, Views};
use infra::{Error, Ledger};
use serde_json::json;

use super::{PAGE, bar, words};
use crate::cli::place::Place;
use crate::cli::{Change, CommandError, print};
use crate::host::local::CHECKPOINT;
use crate::stream::follow::{Follower, read_card};
use crate::stream::parked::follow_or_park;
use crate::stream::project;

pub(super) async fn rebuild(place: &Place, wanted: Option<&str>, change: Change, json: bool) -> Result<(), CommandError> {
    let views = [
        TicketCard::VIEW,
        DeliveryCard::VIEW,
        Call::VIEW,
        Draft::VIEW,
        Service::VIEW,
        WorkflowCard::VIEW,
        Dictionary::VIEW,
        SharedField::VIEW,
        Role::VIEW,
        App::VIEW,
        project::DESK_BOARD,
    ];
    if let Some(wanted) = wanted.filter(|wanted| !views.contains(wanted)) {
        return Err(CommandError::Usage(format!("there is no view {wanted}; there are: {}", views.join(", "))));
    }
    let chosen: Vec<&str> = views.into_iter().filter(|view| wanted.is_none_or(|wanted| wanted == *view)).collect();
    if change.dry_run {
        print(json, &json!({ "would_rebuild": chosen }), || println!("would rebuild {}", chosen.join(", ")));
        return Ok(());
    }
    change.confirm(&format!("rebuild {}", chosen.join(", ")))?;
    let local = place.beside().await?;
    let mut rebuilt = Vec::new();
    for view in chosen {
        let outcome = rebuild_view(&local.ledger, &*local.views, view).await.map_err(words)?;
        if !json {
            println!("{view}: {} documents, {} differed from the old view", outcome.documents, outcome.different);
        }
        rebuilt.push(json!({ "view": view, "documents": outcome.documents, "different": outcome.different }));
    }
    print(json, &json!({ "views": rebuilt }), || {});
    Ok(())
}

/// What a rebuild found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub documents: u64,
    pub different: u64,
}

/// Builds a view anew beside the old one, compares the two, and puts what differs in the old one's place. There is no queue here: it cannot send anything.
///
/// A card's sequence is also the checkpoint of its reactions, so no card is brought further than the follower brought it: neither past the follower's place
/// in the feed nor past the old card. A card that moved on meanwhile is the follower's and stays.
pub async fn rebuild_view(ledger: &Ledger, views: &dyn Views, view: &str) -> Result<Rebuilt, Error> {
    match view {
        TicketCard::VIEW => rebuild_cards::<TicketCard>(ledger, views).await,
        DeliveryCard::VIEW => rebuild_cards::<DeliveryCard>(ledger, views).await,
        Call::VIEW => rebuild_cards::<Call>(ledger, views).await,
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
    let beside = format!("{}~new", C::VIEW);
    // What an interrupted rebuild left behind is thrown away.
    views.clear(&beside).await?;
    if ledger.store.keeps_order() {
        refold_the_feed::<C>(ledger, views, &beside).await?;
    } else {
        refold_each_stream::<C>(ledger, views, &beside).await?;
    }
    let mut rebuilt = Rebuilt { documents: 0, different: 0 };
    let mut after = String::new();
    loop {
        let page = views.scan(&beside, &after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        for (key, document) in page {
            rebuilt.documents += 1;
            let old = views.get(C::VIEW, &key).await?;
            // A card that moved on meanwhile is the follower's and stays.
            let moved_on = old.as_ref().is_some_and(|old| old.sequence > document.sequence);
            if !moved_on {
                let card: C = read_card(ledger, &key, &document).await?;
                rebuilt.different += u64::from(!is_same(ledger, &key, old.as_ref(), &document, &card).await?);
                // Also where the card is the same: lists may be others than they were.
                views.put_with(C::VIEW, &key, &document, &card.index(), &card.facets(), old.map_or(0, |old| old.sequence)).await?;
            }
        }
    }
    rebuilt.different += drop_strangers::<C>(ledger, views).await?;
    views.clear(&beside).await?;
    Ok(rebuilt)
}

/// Compares the old document with the card that was built anew. Personal values are opened first: sealed twice, the same value has two ciphertexts.
async fn is_same<C: Card>(ledger: &Ledger, key: &str, old: Option<&Document>, new: &Document, card: &C) -> Result<bool, Error> {
    let Some(old) = old.filter(|old| old.sequence == new.sequence) else { return Ok(false) };
    match read_card::<C>(ledger, key, old).await {
        Ok(old) => Ok(old == *card),
        Err(error) if error.is_of_content() => Ok(false),
        Err(error) => Err(error),
    }
}

/// One walk over a feed that holds each stream in order, up to where the follower stands.
async fn refold_the_feed<C: Card>(ledger: &Ledger, views: &dyn Views, beside: &str) -> Result<(), Error> {
    let followed = views.get(CHECKPOINT, "follow").await?.map_or(0, |checkpoint| checkpoint.sequence);
    let mut position = 0;
    loop {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        for placed in page.iter().filter(|placed| events::aggregate_of(&placed.commit.stream) == C::Event::AGGREGATE) {
            if placed.position > followed {
                return Ok(());
            }
            let old = views.get(C::VIEW, &placed.commit.stream).await?;
            if old.is_none_or(|old| placed.commit.next() - 1 <= old.sequence) {
                project::refold::<C>(ledger, views, beside, &placed.commit).await?;
            }
        }
        position = last.position;
    }
}

/// Every card that is there, folded from its own stream up to where it stands. Where there is no card, nothing was followed yet, or the card was lost:
/// that is for [`follow_again`], since a card is also the checkpoint of its reactions.
async fn refold_each_stream<C: Card>(ledger: &Ledger, views: &dyn Views, beside: &str) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = views.scan(C::VIEW, &after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        for (stream, old) in page {
            let mut from = 1;
            while from <= old.sequence {
                let commits = ledger.store.forward(&stream, from, 100).await?;
                let Some(last) = commits.last() else { break };
                from = last.next();
                for commit in commits.iter().filter(|commit| commit.next() - 1 <= old.sequence) {
                    project::refold::<C>(ledger, views, beside, commit).await?;
                }
            }
        }
    }
}

/// Follows every stream of the feed again from its card, and brings the board up to the feed's end.
pub(super) async fn follow_again(place: &Place, change: Change, json: bool) -> Result<(), CommandError> {
    if change.dry_run {
        let head = place.read().await?.store.head().await.map_err(words)?.position;
        print(json, &json!({ "would_follow_up_to": head }), || println!("would follow every stream up to position {head}"));
        return Ok(());
    }
    change.confirm("follow every stream again")?;
    let desk = place.beside().await?;
    let follower = Follower { ledger: &desk.ledger, views: &*desk.views, queue: &*desk.queue };
    let bar = bar(desk.ledger.store.head().await.map_err(words)?.position);
    let (mut seen, mut position) = (HashSet::new(), 0);
    loop {
        let page = desk.ledger.store.feed(position, PAGE).await.map_err(words)?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for placed in page {
            if seen.insert(placed.commit.stream.clone())
                && let Some(newest) = desk.ledger.store.back(&placed.commit.stream, None, 1).await.map_err(words)?.pop()
            {
                follow_or_park(follower, &newest).await.map_err(words)?;
            }
        }
        bar.set_position(position.unsigned_abs());
    }
    project::desk_board(&desk.ledger, &*desk.views).await.map_err(words)?;
    bar.finish_and_clear();
    print(json, &json!({ "streams": seen.len(), "position": position }), || {
        println!("{} streams are followed, the board is at position {position}", seen.len());
    });
    Ok(())
}

/// Removes documents whose stream does not exist.
async fn drop_strangers<C: Card>(ledger: &Ledger, views: &dyn Views) -> Result<u64, Error> {
    let (mut dropped, mut after) = (0, String::new());
    loop {
        let page = views.scan(C::VIEW, &after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(dropped) };
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
    let project::Replayed { board, position, .. } = project::replay(ledger, |placed| placed.position <= reached, |_| {}).await?;
    let different = u64::from(board != old);
    if different > 0 {
        project::put_board(views, position, &board).await?;
    }
    Ok(Rebuilt { documents: 1, different })
}
