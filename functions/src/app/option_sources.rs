//! What other systems offer to choose from: asked within egress, side by side, and held for true for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use domain::options::{self, Offered, Question};
use domain::ticket::Ticket;
use domain::ticket::form::{self, Offer};
use events::workflow::{Definition, Field, Node};
use events::{Entry, Moment};
use infra::http::HttpClient;
use infra::{Error, Ledger};

use crate::app::outbound::{self, Described};

/// How long what another system offered is held for true.
const OFFER_MS: i64 = 60_000;
/// How long it is held for true that it offered nothing.
const NO_OFFER_MS: i64 = 5_000;
/// Bytes of such an offer.
const OFFER_BYTES_MAX: usize = 1 << 20;
/// Offers kept in memory.
const OFFERS_MAX: usize = 200;
/// Options in all of them.
const OFFERED_MAX: usize = 100_000;

/// Offers, and until when each is held for true.
pub struct Offers {
    ledger: Ledger,
    caller: Arc<dyn HttpClient>,
    kept: Mutex<BTreeMap<Question, (Moment, Offered)>>,
}

impl Offers {
    pub fn new(ledger: Ledger, caller: Arc<dyn HttpClient>) -> Self {
        Self {
            ledger,
            caller,
            kept: Mutex::default(),
        }
    }

    /// What another system offers, held for true for a minute; that it offers nothing, for a moment.
    pub async fn ask(&self, question: &Question) -> Result<Offered, Error> {
        let now = self.ledger.clock.now();
        if let Some((until, offered)) = self.kept.lock().expect("no holder panics").get(question)
            && *until > now
        {
            return Ok(offered.clone());
        }
        let described = Described {
            method: question.method.clone(),
            url: question.url.clone(),
            headers: question.headers.clone(),
            body: question.body.clone(),
            secret: &question.secret,
            timeout_ms: question.timeout_ms,
            response_bytes_max: OFFER_BYTES_MAX,
        };
        let came = outbound::call(&*self.caller, &*self.ledger.keys, described).await?;
        let offered = came.and_then(|answer| options::read(question, answer.status, &answer.body));
        // Asking takes its time, which is not part of what is held.
        let now = self.ledger.clock.now();
        let held_ms = if offered.is_ok() {
            OFFER_MS
        } else {
            NO_OFFER_MS
        };
        let mut kept = self.kept.lock().expect("no holder panics");
        kept.retain(|_, (until, _)| *until > now);
        let options = |offered: &Offered| {
            offered
                .as_ref()
                .map_or(0, |choices| options::count(choices))
        };
        if kept.len() >= OFFERS_MAX
            || kept
                .values()
                .map(|(_, offered)| options(offered))
                .sum::<usize>()
                + options(&offered)
                > OFFERED_MAX
        {
            kept.clear();
        }
        kept.insert(question.clone(), (now.plus_ms(held_ms), offered.clone()));
        Ok(offered)
    }

    /// Asks for the options that a form hangs on before anybody decides on it: all at once, and while nothing is held.
    pub async fn ask_ahead(
        &self,
        definition: &Definition,
        node: &Node,
        given: &[Entry],
        held: &Ticket,
    ) -> Result<(), Error> {
        let is_given = |field: &&Field| {
            field.source.is_some() && given.iter().any(|entry| entry.key == field.key)
        };
        let questions = definition
            .fields_of(node)
            .filter(is_given)
            .filter_map(
                |field| match form::offer(definition, node, given, held, field) {
                    Offer::Asked(Ok(question)) => Some(question),
                    _ => None,
                },
            );
        self.ask_all(questions.collect()).await.map(drop)
    }

    /// Asks every question once, side by side.
    pub async fn ask_all(
        &self,
        questions: BTreeSet<Question>,
    ) -> Result<Vec<(Question, Offered)>, Error> {
        let asked = questions.into_iter().map(|question| async move {
            self.ask(&question).await.map(|offered| (question, offered))
        });
        futures_util::future::join_all(asked)
            .await
            .into_iter()
            .collect()
    }
}
