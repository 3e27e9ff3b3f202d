//! Lists the missions (work orders) of robots with their states.

use async_trait::async_trait;
use domain::fleet::dispatch::{Dispatch, Phase};
use infra::Error;

use super::Page;
use super::frame::when;
use super::request::Visit;
use super::table::{self, Cell, Head, Listing};
use super::texts::Texts;
use crate::app::wording;

pub(super) const PAGE: Page = table::page::<Dispatch>(|texts| texts.missions);

#[async_trait]
impl Listing for Dispatch {
    const NAME: &'static str = "missions";
    const PATH: &'static str = "/missions";
    const INDEX: &'static str = "dispatch";

    fn head(texts: &'static Texts) -> Head {
        Head {
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
        }
    }

    async fn row(&self, visit: &Visit) -> Result<Option<Vec<Cell>>, Error> {
        let (app, language) = (visit.app(), visit.guest.language);
        let Some(requested) = &self.requested else {
            return Ok(None);
        };
        let is_open = self.phase != Phase::Done;
        let (state, class) = match &self.outcome {
            Some(outcome) if outcome.succeeded => ("succeeded", "good"),
            Some(_) => ("failed", "bad"),
            None => (self.phase.name(), "open"),
        };
        let next = if is_open {
            Cell::Time(when(app, language, self.due))
        } else {
            Cell::text("")
        };
        Ok(Some(vec![
            Cell::ticket(requested.ticket.as_str()),
            Cell::Text(requested.task_type.clone()),
            Cell::Text(requested.station.clone()),
            Cell::text(&self.robot),
            Cell::State {
                class,
                text: wording::mission(language, state).to_owned(),
            },
            next,
            Cell::text(&detail(self)),
        ]))
    }
}

/// Returns the reason for the outcome of a mission (a work order for a robot). For an open mission, returns the
/// result of the last search for a robot.
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
