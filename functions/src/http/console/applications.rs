//! Lists the applications (requests for approval in external ITSMs) with their states.

use domain::itsm::application::Application;

use super::frame::when;
use super::request::Visit;
use super::table::{self, Cell, Head};
use super::{Outcome, Page};
use crate::app::wording;

/// The index with all applications.
const INDEX: &str = "application";

pub(super) const PAGE: Page = Page {
    name: "applications",
    path: "/applications",
    label: Some(|texts| texts.applications),
    is_for_superusers: true,
    show: |visit| Box::pin(async move { show(&visit).await }),
    version: |visit| Box::pin(async move { table::version::<Application>(&visit, INDEX).await }),
    actions: &[],
};

async fn show(visit: &Visit) -> Outcome {
    let (app, texts, language) = (visit.app(), visit.texts(), visit.guest.language);
    let version = table::version::<Application>(visit, INDEX).await?;
    let selected = table::selected::<Application>(visit, INDEX).await?;
    let head = Head {
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
    };
    let mut rows = Vec::new();
    for (_, application) in &selected.cards {
        let Some(requested) = &application.requested else {
            continue;
        };
        let (state, class, detail) = shown(application);
        rows.push(vec![
            Cell::ticket(requested.ticket.as_str()),
            Cell::Text(requested.kind.clone()),
            Cell::text(&application.external),
            Cell::State {
                class,
                text: wording::application(language, state).to_owned(),
            },
            Cell::Text(application.attempts.made.to_string()),
            Cell::Time(when(app, language, requested.expires)),
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

/// Returns the state of an application, the class of the state, and the reason of the outcome.
fn shown(application: &Application) -> (&'static str, &'static str, String) {
    match &application.outcome {
        None => (application.step.name(), "open", String::new()),
        Some(outcome) => {
            let is_granted = outcome.outputs.values().any(|value| value == "granted");
            let (state, class) = match (outcome.succeeded, is_granted) {
                (true, true) => ("granted", "good"),
                (true, false) => ("refused", "bad"),
                (false, _) => ("failed", "bad"),
            };
            (state, class, outcome.reason.clone())
        }
    }
}
