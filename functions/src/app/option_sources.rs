//! Reads field options from other systems and caches them. The requests run concurrently and obey
//! the egress rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::options::{self, Offered, Question};
use domain::ticket::Ticket;
use domain::ticket::form::{self, Offer};
use events::Entry;
use events::workflow::{Definition, Field, Node};
use infra::cache::{Bounds, Cache};
use infra::http::HttpClient;
use infra::{Error, Ledger};

use crate::app::outbound::{self, Described};

/// Cache lifetime of options, in milliseconds.
const OFFER_MS: i64 = 60_000;
/// Cache lifetime of the error of a failed request for options, in milliseconds.
const NO_OFFER_MS: i64 = 5_000;
/// Largest response with options, in bytes.
const OFFER_BYTES_MAX: usize = 1 << 20;
/// The bounds of the cached responses. The weight is the number of options.
const CACHE: Bounds = Bounds {
    entries: 200,
    weight: 100_000,
};

/// A cache of the options of other systems. Each entry has a time of expiry.
pub struct Offers {
    ledger: Ledger,
    http: Arc<dyn HttpClient>,
    cache: Cache<Question, Offered>,
}

impl Offers {
    pub fn new(ledger: Ledger, http: Arc<dyn HttpClient>) -> Self {
        Self {
            ledger,
            http,
            cache: Cache::new(CACHE),
        }
    }

    /// Returns the options of a request from the cache or from the other system.
    pub async fn ask(&self, question: &Question) -> Result<Offered, Error> {
        let now = self.ledger.clock.now();
        if let Some(offered) = self.cache.get(question, now) {
            return Ok(offered);
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
        let offered = match outbound::request(&*self.ledger.keys, described).await? {
            Ok(request) => match self.http.send(&request).await {
                Ok(response) => options::read(question, response.status, &response.body),
                Err(error) => Err(error.to_string()),
            },
            Err(reason) => Err(reason),
        };
        // The lifetime begins after the request, because the request may take long.
        let now = self.ledger.clock.now();
        let held_ms = if offered.is_ok() {
            OFFER_MS
        } else {
            NO_OFFER_MS
        };
        let count = offered
            .as_ref()
            .map_or(0, |choices| options::count(choices));
        let until = now.plus_ms(held_ms);
        self.cache
            .put(question.clone(), offered.clone(), count, until);
        Ok(offered)
    }

    /// Requests the options of all given fields before a decision. The requests run concurrently,
    /// and no lock is held.
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

    /// Returns the options of each request. All requests run concurrently.
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
