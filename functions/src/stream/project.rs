//! Multi-stream projections: they read only the feed, store their position in their document, and
//! have no access to a queue.

use domain::views::Card;
use domain::views::desk_board::DeskBoard;
use infra::store::{Commit, Placed};
use infra::views::{Document, Views};
use infra::{Error, Ledger};

use super::follow::put_card;
use super::parked::{Parked, park};

/// Commits per write of a document.
const PAGE: usize = 500;
/// The view of the desk board.
pub const DESK_BOARD: &str = "desk_board";
const KEY: &str = "all";

/// Folds the desk board up to the end of the feed; returns the position reached.
pub async fn desk_board(ledger: &Ledger, views: &dyn Views) -> Result<i64, Error> {
    loop {
        let (position, board) = board(views, DESK_BOARD).await?;
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(position);
        };
        let mut folded = board;
        for placed in &page {
            if let Err(error) = fold(ledger, &mut folded, &placed.commit).await {
                if !error.is_poison() {
                    return Err(error);
                }
                let (stream, from) = (placed.commit.stream.clone(), placed.commit.first);
                park(
                    views,
                    &Parked {
                        consumer: DESK_BOARD.into(),
                        stream,
                        from,
                        reason: error.to_string(),
                        at: ledger.clock.now(),
                    },
                )
                .await?;
            }
        }
        // If another worker stored the board first, the next round starts from its document.
        let body = serde_json::to_vec(&folded).unwrap_or_default();
        views
            .put(
                DESK_BOARD,
                KEY,
                &Document {
                    sequence: last.position,
                    body,
                },
                &[],
                position,
            )
            .await?;
    }
}

/// Stores a rebuilt board as of `position`; returns false if the stored board has another position.
pub async fn put_board(views: &dyn Views, position: i64, board: &DeskBoard) -> Result<bool, Error> {
    let body = serde_json::to_vec(board).unwrap_or_default();
    views
        .put(
            DESK_BOARD,
            KEY,
            &Document {
                sequence: position,
                body,
            },
            &[],
            position,
        )
        .await
}

/// Returns the stored board and its position.
pub async fn board(views: &dyn Views, view: &str) -> Result<(i64, DeskBoard), Error> {
    match views.get(view, KEY).await? {
        None => Ok((0, DeskBoard::default())),
        Some(document) => {
            let board = serde_json::from_slice(&document.body).map_err(|error| {
                Error::because(infra::Kind::Corrupt, "cannot read the board", error)
            })?;
            Ok((document.sequence, board))
        }
    }
}

/// Folds one commit into a board.
pub async fn fold(ledger: &Ledger, board: &mut DeskBoard, commit: &Commit) -> Result<(), Error> {
    match events::aggregate_of(&commit.stream) {
        "ticket" => ledger
            .read(commit)
            .await?
            .1
            .iter()
            .for_each(|(event, _)| board.ticket(event)),
        "callback" => ledger
            .read(commit)
            .await?
            .1
            .iter()
            .for_each(|(event, _)| board.delivery(event)),
        _ => {}
    }
    Ok(())
}

/// The result of a replay of the feed.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    pub board: DeskBoard,
    /// The last position that was folded.
    pub position: i64,
    pub events: i64,
}

/// Folds a board from the beginning of the feed to the first commit that `includes` rejects.
///
/// Calls `progress` with the position after every page.
pub async fn replay(
    ledger: &Ledger,
    includes: impl Fn(&Placed) -> bool,
    progress: impl Fn(i64),
) -> Result<Replayed, Error> {
    let mut replayed = Replayed::default();
    loop {
        let page = ledger.store.feed(replayed.position, PAGE).await?;
        if page.is_empty() {
            return Ok(replayed);
        }
        for placed in &page {
            if !includes(placed) {
                return Ok(replayed);
            }
            fold(ledger, &mut replayed.board, &placed.commit).await?;
            replayed.position = placed.position;
            replayed.events += placed.commit.n;
        }
        progress(replayed.position);
    }
}

/// Folds one commit into the card of another view; a step of a rebuild, which cannot send anything.
pub async fn refold<C: Card>(
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
        Some(document) => {
            crate::app::cards::read_card::<C>(ledger, &commit.stream, document).await?
        }
        None => C::default(),
    };
    for envelope in ledger.envelopes::<C::Event>(commit).await? {
        card.fold(&envelope);
    }
    put_card(ledger, views, view, commit, &card, sequence)
        .await
        .map(drop)
}
