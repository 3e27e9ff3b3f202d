//! Lists the executions of scripts with their states.

use async_trait::async_trait;
use domain::automation::execution::{End, Execution, is_done};
use infra::Error;

use super::Page;
use super::frame::when;
use super::request::Visit;
use super::table::{self, Cell, Head, Listing};
use super::texts::Texts;
use crate::app::wording;

pub(super) const PAGE: Page = table::page::<Execution>(|texts| texts.executions);

#[async_trait]
impl Listing for Execution {
    const NAME: &'static str = "executions";
    const PATH: &'static str = "/executions";
    const INDEX: &'static str = "execution";

    fn head(texts: &'static Texts) -> Head {
        Head {
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
        }
    }

    async fn row(&self, visit: &Visit) -> Result<Option<Vec<Cell>>, Error> {
        let (app, language) = (visit.app(), visit.guest.language);
        let Some(requested) = &self.requested else {
            return Ok(None);
        };
        let said = |completed| wording::failure(language, completed).unwrap_or_default();
        let (class, detail) = match &self.end {
            Some(End::Completed(completed)) if is_done(completed.outcome) => {
                ("good", said(completed))
            }
            Some(End::Completed(completed)) => ("bad", said(completed)),
            Some(End::Rejected(rejected)) => ("bad", rejected.reason.read().to_owned()),
            Some(End::Expired(_)) => ("bad", String::new()),
            None => ("open", String::new()),
        };
        Ok(Some(vec![
            Cell::ticket(requested.ticket.as_str()),
            Cell::Text(requested.name.clone()),
            Cell::Text(format!("{} {}", requested.script, requested.version)),
            Cell::State {
                class,
                text: wording::execution(language, self.state()).to_owned(),
            },
            Cell::Time(when(app, language, requested.due)),
            Cell::text(&detail),
        ]))
    }
}
