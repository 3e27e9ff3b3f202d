//! Lists the applications (requests for approval in external ITSMs) with their states.

use async_trait::async_trait;
use domain::itsm::application::Application;
use infra::Error;

use super::Page;
use super::frame::when;
use super::request::Visit;
use super::table::{self, Cell, Head, Listing};
use super::texts::Texts;
use crate::app::wording;

pub(super) const PAGE: Page = table::page::<Application>(|texts| texts.applications);

#[async_trait]
impl Listing for Application {
    const NAME: &'static str = "applications";
    const PATH: &'static str = "/applications";
    const INDEX: &'static str = "application";

    fn head(texts: &'static Texts) -> Head {
        Head {
            heading: texts.applications,
            empty: texts.no_applications,
            columns: vec![
                texts.ticket,
                texts.kind,
                texts.external_ticket,
                texts.status,
                texts.attempts,
                texts.expires,
                texts.detail,
            ],
        }
    }

    async fn row(&self, visit: &Visit) -> Result<Option<Vec<Cell>>, Error> {
        let (app, language) = (visit.app(), visit.guest.language);
        let Some(requested) = &self.requested else {
            return Ok(None);
        };
        let (state, class, detail) = shown(self);
        Ok(Some(vec![
            Cell::ticket(requested.ticket.as_str()),
            Cell::Text(requested.kind.clone()),
            Cell::text(&self.external),
            Cell::State {
                class,
                text: wording::application(language, state).to_owned(),
            },
            Cell::Text(self.attempts.made.to_string()),
            Cell::Time(when(app, language, requested.expires)),
            Cell::text(&detail),
        ]))
    }
}

/// Returns the state of an application (a request for approval), the CSS class of this state, and
/// the reason for the outcome.
fn shown(application: &Application) -> (&'static str, &'static str, String) {
    match &application.outcome {
        None => (application.step.name(), "open", String::new()),
        Some(outcome) => {
            let is_granted = outcome.outputs.values().any(|value| value == "granted");
            let (state, class) = match (outcome.succeeded, is_granted) {
                (true, true) => ("granted", "good"),
                (true, false) => ("refused", "bad"),
                (false, _) if application.withdrawal.is_some() => ("withdrawn", "bad"),
                (false, _) => ("failed", "bad"),
            };
            (state, class, outcome.reason.clone())
        }
    }
}
