//! Lists the applications (requests for approval in external ITSMs) with their states.

use async_trait::async_trait;
use domain::itsm::application::{Application, Status};
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
        let Some(expires) = self.expires() else {
            return Ok(None);
        };
        let subject = match (&self.requested, &self.applied) {
            (Some(requested), _) => Cell::ticket(requested.ticket.as_str()),
            (None, Some(applied)) => Cell::text(&applied.subject),
            (None, None) => Cell::text(""),
        };
        let (state, class, detail) = shown(self);
        let detail = wording::application_problem(language, &detail);
        Ok(Some(vec![
            subject,
            Cell::Text(self.kind().to_owned()),
            Cell::text(&self.external),
            Cell::State {
                class,
                text: wording::application(language, state).to_owned(),
            },
            Cell::Text(self.attempts.made.to_string()),
            Cell::Time(when(app, language, expires)),
            Cell::text(&detail),
        ]))
    }
}

/// Returns the state of an application (a request for approval), the CSS class of this state, and
/// the reason for the outcome.
fn shown(application: &Application) -> (&'static str, &'static str, String) {
    let status = application.status();
    let class = match status {
        Status::Applying => "open",
        Status::Granted => "good",
        Status::Refused | Status::Failed | Status::Withdrawn | Status::Expired => "bad",
    };
    match &application.outcome {
        None => (application.step.name(), class, application.problem.clone()),
        Some(outcome) if outcome.reason.is_empty() => {
            (status.into(), class, application.problem.clone())
        }
        Some(outcome) => (status.into(), class, outcome.reason.clone()),
    }
}
