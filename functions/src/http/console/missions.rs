//! Lists the missions of robots with their states.

use domain::fleet::dispatch::{Dispatch, Phase};

use super::frame::when;
use super::request::Visit;
use super::table::{self, Cell, Head};
use super::{Outcome, Page};
use crate::app::wording;

/// The index with all missions.
const INDEX: &str = "dispatch";

pub(super) const PAGE: Page = Page {
    name: "missions",
    path: "/missions",
    label: Some(|texts| texts.missions),
    is_for_superusers: true,
    show: |visit| Box::pin(async move { show(&visit).await }),
    version: |visit| Box::pin(async move { table::version::<Dispatch>(&visit, INDEX).await }),
    actions: &[],
};

async fn show(visit: &Visit) -> Outcome {
    let (app, texts, language) = (visit.app(), visit.texts(), visit.guest.language);
    let version = table::version::<Dispatch>(visit, INDEX).await?;
    let selected = table::selected::<Dispatch>(visit, INDEX).await?;
    let head = Head {
        heading: texts.missions,
        empty: texts.no_missions,
        columns: vec![
            texts.ticket,
            texts.task_type,
            texts.station,
            texts.robot,
            texts.status,
            texts.next_step,
            texts.detail,
        ],
    };
    let mut rows = Vec::new();
    for (_, mission) in &selected.cards {
        let Some(requested) = &mission.requested else {
            continue;
        };
        let is_open = mission.phase != Phase::Done;
        let (state, class) = match &mission.outcome {
            Some(outcome) if outcome.succeeded => ("succeeded", "good"),
            Some(_) => ("failed", "bad"),
            None => (mission.phase.name(), "open"),
        };
        let next = if is_open {
            Cell::Time(when(app, language, mission.due))
        } else {
            Cell::text("")
        };
        rows.push(vec![
            Cell::ticket(requested.ticket.as_str()),
            Cell::Text(requested.task_type.clone()),
            Cell::Text(requested.station.clone()),
            Cell::text(&mission.robot),
            Cell::State {
                class,
                text: wording::mission(language, state).to_owned(),
            },
            next,
            Cell::text(&detail(mission)),
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

/// Returns the reason of the outcome. For an open mission, returns the result of the last search for a robot.
fn detail(mission: &Dispatch) -> String {
    if let Some(outcome) = &mission.outcome {
        return outcome.reason.clone();
    }
    let reasons = mission.reasons.iter();
    let reasons: Vec<String> = reasons
        .map(|(robot, reason)| format!("{robot}: {reason}"))
        .collect();
    reasons.join(", ")
}
