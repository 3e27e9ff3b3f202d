//! One function of the catalog as a Lambda: how HTTP requests, table streams, queues and schedules arrive, and what is answered to each.
//!
//! Batches are answered per record: what failed comes again, the rest does not. A stream answers with the first record that failed, since
//! everything from there on comes again; what had worked then meets its own sequence and does nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_lambda_events::dynamodb::{Event as StreamEvent, EventRecord};
use aws_lambda_events::sqs::SqsEvent;
use events::Moment;
use infra::meter::Meter;
use infra::queue::Message;
use infra::queue::sqs::Letter;
use infra::store::Commit;
use infra::store::dynamodb::{Item, Value as Attribute, commit};
use infra::views::Document;
use infra::{Error, Kind};
use lambda_runtime::{Error as Broken, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::catalog::{FUNCTIONS, Function};
use crate::stream::follow::Follower;
use crate::stream::index::{Arrived, Indexer, TAMPERED};
use crate::stream::parked::follow_or_park;
use crate::stream::project;
use crate::{App, http, metrics, queue, timer};

/// Streams of one batch that are followed at once.
const AT_ONCE: usize = 16;
/// How far apart sweeps are, as the template has it.
const SWEEP_MS: i64 = 60_000;
/// Deliveries of a message before it goes to the dead letters; the template says the same.
pub const RECEIVES_MAX: u32 = 5;
/// When a message comes again that failed for a reason that may pass.
const AGAIN_MS: i64 = 5_000;

/// How a batch from a stream is answered where a part of it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamAnswers {
    /// The first failed record is named, as AWS understands it.
    #[default]
    Partial,
    /// The whole batch fails, for stand-ins that do not read partial answers.
    Whole,
}

/// A function with what it may touch.
#[derive(Clone)]
pub struct Host {
    app: App,
    answers: StreamAnswers,
    indexer: Arc<Indexer>,
    meter: Arc<Meter>,
}

impl Host {
    /// A desk whose feed is built by this indexer, and what its requests are counted by.
    pub fn new(app: App, indexer: Indexer, meter: Arc<Meter>, answers: StreamAnswers) -> Self {
        Self { app, answers, indexer: Arc::new(indexer), meter }
    }

    /// Serves invocations of the function of that name until the process is ended.
    pub async fn run(self, name: &str) -> Result<(), Broken> {
        let function = FUNCTIONS.iter().find(|function| function.name == name).ok_or_else(|| format!("there is no function {name}"))?;
        if function.name == "command" {
            let router = http::router(self.app.clone());
            let counted = axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
                let host = self.clone();
                async move {
                    let response = next.run(request).await;
                    host.print_metrics(function);
                    response
                }
            });
            return Box::pin(lambda_http::run(router.layer(counted))).await;
        }
        let handler = service_fn(move |event: LambdaEvent<Value>| {
            let host = self.clone();
            async move {
                let answer = host.handle(function, event.payload).await;
                host.print_metrics(function);
                answer.map_err(|error| Broken::from(error.to_string()))
            }
        });
        Box::pin(lambda_runtime::run(handler)).await
    }

    fn print_metrics(&self, function: &Function) {
        metrics::print(function.name, self.app.ledger.clock.now(), &self.meter.take());
    }

    /// Handles one invocation of anything but HTTP; what is answered depends on what set it going.
    pub async fn handle(&self, function: &Function, payload: Value) -> Result<Value, Error> {
        let unreadable = |error: serde_json::Error| Error::because(Kind::Corrupt, format!("the event of {} cannot be read", function.name), error);
        match function.name {
            "index" => self.index(serde_json::from_value(payload).map_err(unreadable)?).await,
            "follow" => self.follow(serde_json::from_value(payload).map_err(unreadable)?).await,
            "project" => project::desk_board(&self.app.ledger, &*self.app.views).await.map(|position| json!({ "position": position })),
            "wake" => timer::wake::wake(&self.app, Some(SWEEP_MS)).await.map(|fired| json!({ "fired": fired })),
            name => self.work(name, serde_json::from_value(payload).map_err(unreadable)?).await,
        }
    }

    /// Gives the commits of a batch their positions; anything but a new commit is a sign that somebody wrote past the ledger.
    async fn index(&self, event: StreamEvent) -> Result<Value, Error> {
        let mut arrived = Vec::new();
        for record in &event.records {
            let sign = match (record.event_name.as_str(), new_commit(record)) {
                ("INSERT", Ok(commit)) => {
                    let written = Moment(record.change.approximate_creation_date_time.timestamp_millis());
                    arrived.push(Arrived { commit, written });
                    continue;
                }
                ("INSERT", Err(error)) => error.to_string(),
                (change, _) => format!("{change} of {}", name_of(record)),
            };
            self.report(&sign).await?;
        }
        let indexed = self.indexer.index(&arrived).await?;
        Ok(json!({ "indexed": indexed, "batchItemFailures": [] }))
    }

    /// Remembers a sign of tampering where audits and operators see it, and raises the alarm.
    async fn report(&self, sign: &str) -> Result<(), Error> {
        tracing::error!(sign, "the journal was written to past the ledger");
        metrics::print_tampering(self.app.ledger.clock.now());
        let document = Document { sequence: 1, body: sign.as_bytes().to_vec() };
        // Whoever wrote there chose the text; a key is made of it that fits.
        self.app.views.put(TAMPERED, &blake3::hash(sign.as_bytes()).to_hex()[..32], &document, &[], 0).await.map(drop)
    }

    /// Follows the commits of a batch: each stream in order, several streams at once.
    async fn follow(&self, event: StreamEvent) -> Result<Value, Error> {
        let mut streams: BTreeMap<String, Vec<(usize, Commit)>> = BTreeMap::new();
        for (at, record) in event.records.iter().enumerate().filter(|(_, record)| record.event_name == "INSERT") {
            match new_commit(record) {
                Ok(commit) => streams.entry(commit.stream.clone()).or_default().push((at, commit)),
                // Whoever wrote this was not the ledger; the indexer raises the alarm.
                Err(error) => tracing::error!(%error, "a record was left out"),
            }
        }
        let mut works: JoinSet<Option<(usize, Error)>> = JoinSet::new();
        let mut failed: Option<(usize, Error)> = None;
        let mut worst = |outcome: Option<(usize, Error)>| {
            if let Some((at, error)) = outcome
                && failed.as_ref().is_none_or(|(first, _)| at < *first)
            {
                failed = Some((at, error));
            }
        };
        for commits in streams.into_values() {
            if works.len() >= AT_ONCE
                && let Some(outcome) = works.join_next().await
            {
                worst(joined(outcome));
            }
            works.spawn(follow_stream(self.app.clone(), commits));
        }
        while let Some(outcome) = works.join_next().await {
            worst(joined(outcome));
        }
        match failed {
            None => Ok(json!({ "batchItemFailures": [] })),
            Some((at, error)) => {
                tracing::warn!(%error, record = at, of = event.records.len(), "a batch was followed in part");
                let sequence = event.records.get(at).and_then(|record| record.change.sequence_number.clone());
                match (self.answers, sequence) {
                    (StreamAnswers::Partial, Some(sequence)) => Ok(json!({ "batchItemFailures": [{ "itemIdentifier": sequence }] })),
                    _ => Err(error),
                }
            }
        }
    }

    /// Works on the messages of a batch and names those that failed; what may pass is sent again for later, and never set aside.
    async fn work(&self, name: &str, event: SqsEvent) -> Result<Value, Error> {
        let mut failures = Vec::new();
        for record in event.records {
            let id = record.message_id.clone().unwrap_or_default();
            let letter = Letter::read(&id, record.body.as_deref().unwrap_or_default());
            let attempts = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
            if let Err(error) = self.work_on(name, letter, attempts).await {
                tracing::error!(%error, queue = name, message = id, attempts, "a message failed");
                failures.push(json!({ "itemIdentifier": id }));
            }
        }
        Ok(json!({ "batchItemFailures": failures }))
    }

    async fn work_on(&self, name: &str, letter: Letter, attempts: u32) -> Result<(), Error> {
        let now = self.app.ledger.clock.now();
        let again = async |due: Moment| self.app.queue.put(name, &letter.id, letter.body.as_bytes(), due).await;
        if letter.due > now.0 {
            return again(Moment(letter.due)).await;
        }
        let message = Message { id: letter.id.clone(), body: letter.body.clone().into_bytes(), attempts, broken_off: attempts, receipt: String::new() };
        match queue::work(&self.app, name, &message).await {
            // The deadline that this message told of stands in its row, and sweeps tell of it again.
            Err(error) if error.is_passing() && name == "attempt" => {
                tracing::warn!(%error, message = letter.id, "an attempt is left to the next sweep");
                Ok(())
            }
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, queue = name, message = letter.id, "a message is tried again later");
                again(now.plus_ms(AGAIN_MS)).await
            }
            worked => worked,
        }
    }
}

/// Follows the commits of one stream in their order; stops at the first that fails.
async fn follow_stream(app: App, commits: Vec<(usize, Commit)>) -> Option<(usize, Error)> {
    let follower = Follower { ledger: &app.ledger, views: &*app.views, queue: &*app.queue };
    for (at, commit) in commits {
        if let Err(error) = follow_or_park(follower, &commit).await {
            return Some((at, error));
        }
    }
    None
}

fn joined(outcome: Result<Option<(usize, Error)>, tokio::task::JoinError>) -> Option<(usize, Error)> {
    outcome.unwrap_or_else(|error| Some((0, Error::because(Kind::Unavailable, "following broke off", error))))
}

fn name_of(record: &EventRecord) -> String {
    let keys: HashMap<String, serde_dynamo::AttributeValue> = record.change.keys.clone().into();
    let text = |name: &str| match keys.get(name) {
        Some(serde_dynamo::AttributeValue::S(text) | serde_dynamo::AttributeValue::N(text)) => text.clone(),
        _ => "?".to_owned(),
    };
    format!("{}:{}", text("p"), text("s"))
}

/// The commit that a record brings.
fn new_commit(record: &EventRecord) -> Result<Commit, Error> {
    let image: HashMap<String, serde_dynamo::AttributeValue> = record.change.new_image.clone().into();
    let attribute = |value| match value {
        serde_dynamo::AttributeValue::S(text) => Attribute::S(text),
        serde_dynamo::AttributeValue::N(number) => Attribute::N(number),
        serde_dynamo::AttributeValue::B(bytes) => Attribute::B(bytes.into()),
        _ => Attribute::Null(true),
    };
    let item: Item = image.into_iter().map(|(name, value)| (name, attribute(value))).collect();
    let commit = commit(&item)?;
    if !commit.is_well_named() {
        return Err(Error::corrupt("a stream has a name that the ledger would not give it"));
    }
    if commit.hash != commit.expected_hash() {
        return Err(Error::corrupt(format!("the hash of {}:{} does not fit its content", commit.stream, commit.first)));
    }
    Ok(commit)
}
