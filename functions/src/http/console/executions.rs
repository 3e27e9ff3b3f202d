//! Lists the executions of scripts with their states.

use domain::automation::execution::{End, Execution, is_done};

use super::frame::when;
use super::request::Visit;
use super::table::{self, Cell, Head};
use super::{Outcome, Page};
use crate::app::wording;

/// The index with all executions.
const INDEX: &str = "execution";

pub(super) const PAGE: Page = Page {
    name: "executions",
    path: "/executions",
    label: Some(|texts| texts.executions),
    is_for_superusers: true,
    show: |visit| Box::pin(async move { show(&visit).await }),
    version: |visit| Box::pin(async move { table::version::<Execution>(&visit, INDEX).await }),
    actions: &[],
};

async fn show(visit: &Visit) -> Outcome {
    let (app, texts, language) = (visit.app(), visit.texts(), visit.guest.language);
    let version = table::version::<Execution>(visit, INDEX).await?;
    let selected = table::selected::<Execution>(visit, INDEX).await?;
    let head = Head {
        heading: texts.executions,
        empty: texts.no_executions,
        columns: vec![
            texts.ticket,
            texts.node,
            texts.script,
            texts.status,
            texts.requested_at,
            texts.detail,
        ],
    };
    let mut rows = Vec::new();
    for (_, execution) in &selected.cards {
        let Some(requested) = &execution.requested else {
            continue;
        };
        let (class, detail) = match &execution.end {
            Some(End::Completed(completed)) if is_done(completed.outcome) => {
                ("good", completed.reason.clone())
            }
            Some(End::Completed(completed)) => ("bad", completed.reason.clone()),
            Some(End::Rejected(rejected)) => ("bad", rejected.reason.read().to_owned()),
            Some(End::Expired(_)) => ("bad", String::new()),
            None => ("open", String::new()),
        };
        rows.push(vec![
            Cell::ticket(requested.ticket.as_str()),
            Cell::Text(requested.name.clone()),
            Cell::Text(format!("{} {}", requested.script, requested.version)),
            Cell::State {
                class,
                text: wording::execution(language, execution.state()).to_owned(),
            },
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
