//! Lists the deliveries of notifications with their states.

use async_trait::async_trait;
use domain::notification::delivery::{Delivery, End};
use infra::Error;

use super::Page;
use super::frame::when;
use super::request::Visit;
use super::table::{self, Cell, Head, Listing};
use super::texts::Texts;
use crate::app::wording;

pub(super) const PAGE: Page = table::page::<Delivery>(|texts| texts.deliveries);

#[async_trait]
impl Listing for Delivery {
    const NAME: &'static str = "deliveries";
    const PATH: &'static str = "/deliveries";
    const INDEX: &'static str = "delivery";

    fn head(texts: &'static Texts) -> Head {
        Head {
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
        }
    }

    async fn row(&self, visit: &Visit) -> Result<Option<Vec<Cell>>, Error> {
        let (app, language) = (visit.app(), visit.guest.language);
        let Some(requested) = &self.requested else {
            return Ok(None);
        };
        let last = self.last_failure.as_ref();
        let (state, class, detail) = match &self.end {
            Some(End::Succeeded(_)) => ("accepted", "good", String::new()),
            Some(End::Failed(failed)) => ("failed", "bad", failed.reason.clone()),
            None => (
                "open",
                "open",
                last.map_or("", |one| &one.reason).to_owned(),
            ),
        };
        Ok(Some(vec![
            Cell::ticket(requested.ticket.as_str()),
            Cell::Text(app.people.name(&requested.person).await?),
            Cell::Text(requested.channel.clone()),
            Cell::Text(requested.account.clone()),
            Cell::State {
                class,
                text: wording::delivery(language, state).to_owned(),
            },
            Cell::Text(self.attempts.made.to_string()),
            Cell::Time(when(app, language, requested.due)),
            Cell::text(&detail),
        ]))
    }
}
