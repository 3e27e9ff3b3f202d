//! Implements two commands. `ledgerdesk audit rebuild` builds views (stored tables) again from the
//! ledger. `ledgerdesk audit follow` processes all streams again and builds lost views again.

use std::collections::HashSet;

use infra::views::Views;
use infra::{Error, Ledger};
use serde_json::json;

use super::{PAGE, bar, words};
use crate::app::subscriptions::Everything;
use crate::cli::target::Target;
use crate::cli::{Change, CommandError, print};
use crate::host::local::CHECKPOINT;
use crate::registry::{PROJECTIONS, REGISTRY};
use crate::stream::follow::Follower;
use crate::stream::follow::births::Births;
use crate::stream::follow::rebuild::Rebuilt;
use crate::stream::project::project_all;

pub(super) async fn rebuild(
    target: &Target,
    requested: Option<&str>,
    change: Change,
    json: bool,
) -> Result<(), CommandError> {
    let cards = REGISTRY.iter().filter_map(|aggregate| aggregate.view());
    let projections = PROJECTIONS.iter().map(|projection| projection.view());
    let views: Vec<&str> = cards.chain(projections).collect();
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

/// Builds one view (a stored table) again from the ledger. The result contains the number of
/// documents in the view, and the number of documents that were wrong or missing before. Returns an
/// error if no view has the name `view`.
pub async fn rebuild_view(
    ledger: &Ledger,
    views: &dyn Views,
    view: &str,
) -> Result<Rebuilt, Error> {
    let followed = views
        .get(CHECKPOINT, "follow")
        .await?
        .map_or(0, |checkpoint| checkpoint.sequence);
    if let Some(aggregate) = REGISTRY.iter().find(|row| row.view() == Some(view)) {
        return aggregate.rebuild(ledger, views, followed).await;
    }
    match PROJECTIONS.iter().find(|row| row.view() == view) {
        Some(projection) => projection.rebuild(ledger, views).await,
        None => Err(Error::new(
            infra::Kind::Misconfigured,
            format!("there is no view {view}"),
        )),
    }
}

/// Processes the streams of the ledger again. The card of a stream (its stored state) contains the
/// sequence number of the last processed event. The function processes all later events, or all
/// events if the card is lost. The function then updates the board (the totals of the service
/// desk). With `--dry-run`, the function only prints the last position of the ledger.
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
    let births = Births::load(&desk.ledger, REGISTRY).await.map_err(words)?;
    let follower = Follower {
        ledger: &desk.ledger,
        views: &*desk.views,
        writer: &*desk.page_writer,
        births: &births,
        wanted: &Everything,
        registry: REGISTRY,
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
                let page = vec![newest.into()];
                follower.follow_page(page, None).await.map_err(words)?;
            }
        }
        bar.set_position(position.unsigned_abs());
    }
    project_all(PROJECTIONS, &desk.ledger, &*desk.views)
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
