//! Loads field options from other systems and caches these options. Requests to other systems run
//! concurrently and follow the rules of the desk for outgoing requests.

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

/// Time for which the loaded options of a form field stay in the cache, in milliseconds.
const OFFER_MS: i64 = 60_000;
/// Time for which the error of a failed request for options stays in the cache, in milliseconds.
const NO_OFFER_MS: i64 = 5_000;
/// Maximum size of a response that contains options, in bytes.
const OFFER_BYTES_MAX: usize = 1 << 20;
/// The size limits of the cache for options. `entries` is the maximum number of cached responses.
/// `weight` is the maximum number of options in all cached responses.
const CACHE: Bounds = Bounds {
    entries: 200,
    weight: 100_000,
};

/// Loads field options from other systems, and caches the results for a limited time.
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

    /// Returns the options for one request to another system. If the options are not in the cache,
    /// this function sends the request.
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
        // The request may take a long time. The cache time therefore starts after the response.
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

    /// Requests the options of the form fields in `given` from other systems, and stores the
    /// options in the cache. The caller uses this function before the caller executes a command
    /// with these fields, because the command needs the options. The requests run concurrently, and
    /// this function holds no lock during the requests.
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

    /// Returns the options for several requests to other systems. The requests run concurrently.
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
