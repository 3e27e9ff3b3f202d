//! Lists the deliveries of notifications with their states.

use domain::notification::delivery::{Delivery, End};

use super::frame::when;
use super::request::Visit;
use super::table::{self, Cell, Head};
use super::{Outcome, Page};
use crate::app::wording;

/// The index with all deliveries.
const INDEX: &str = "delivery";

pub(super) const PAGE: Page = Page {
    name: "deliveries",
    path: "/deliveries",
    label: Some(|texts| texts.deliveries),
    is_for_superusers: true,
    show: |visit| Box::pin(async move { show(&visit).await }),
    version: |visit| Box::pin(async move { table::version::<Delivery>(&visit, INDEX).await }),
    actions: &[],
};

async fn show(visit: &Visit) -> Outcome {
    let (app, texts, language) = (visit.app(), visit.texts(), visit.guest.language);
    let version = table::version::<Delivery>(visit, INDEX).await?;
    let selected = table::selected::<Delivery>(visit, INDEX).await?;
    let head = Head {
        heading: texts.deliveries,
        empty: texts.no_deliveries,
        columns: vec![
            texts.ticket,
            texts.recipient,
            texts.channel,
            texts.account,
            texts.status,
            texts.attempts,
            texts.requested_at,
            texts.detail,
        ],
    };
    let mut rows = Vec::new();
    for (_, delivery) in &selected.cards {
        let Some(requested) = &delivery.requested else {
            continue;
        };
        let last = delivery.last_failure.as_ref();
        let (state, class, detail) = match &delivery.end {
            Some(End::Succeeded(_)) => ("accepted", "good", String::new()),
            Some(End::Failed(failed)) => ("failed", "bad", failed.reason.clone()),
            None => (
                "open",
                "open",
                last.map_or("", |one| &one.reason).to_owned(),
            ),
        };
        rows.push(vec![
            Cell::ticket(requested.ticket.as_str()),
            Cell::Text(app.people.name(&requested.person).await?),
            Cell::Text(requested.channel.clone()),
            Cell::Text(requested.account.clone()),
            Cell::State {
                class,
                text: wording::delivery(language, state).to_owned(),
            },
            Cell::Text(delivery.attempts.made.to_string()),
            Cell::Time(when(app, language, requested.due)),
            Cell::text(&detail),
        ]);
    }
    Ok(table::show(
        visit,
        &PAGE,
        head,
        version,
        selected.count,
        rows,
    ))
}
