//! Runs one function of the desk as an AWS Lambda function. An HTTP request, a table stream (the
//! change stream of a DynamoDB table), a queue or a schedule starts each call of such a function.
//!
//! If the call processes a batch of queue messages, the function returns the ids of the failed
//! messages. SQS delivers only these messages again. If the call processes a batch of table stream
//! records, the function returns the id of the first failed record. AWS then delivers this record
//! and all later records again. The function skips the commits that it already processed.

mod peer;
pub mod start;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_lambda_events::dynamodb::{Event as StreamEvent, EventRecord};
use aws_lambda_events::sqs::SqsEvent;
use axum::extract::Request;
use axum::middleware::Next;
use domain::intent::Work;
use events::Moment;
use futures_util::future::join_all;
use infra::meter::Meter;
use infra::queue::Message;
use infra::queue::sqs::SqsMessage;
use infra::sdk::{Item, Value as Attribute};
use infra::store::Commit;
use infra::store::dynamodb::commit;
use infra::views::Document;
use infra::{Error, Kind};
use lambda_runtime::{Error as Broken, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::app::subscriptions::Everything;
use crate::catalog::{self, BACKGROUND, Function, HTTP, Trigger};
use crate::mqtt::fleet_message;
use crate::registry::{PROJECTIONS, REGISTRY};
use crate::stream::follow::births::Births;
use crate::stream::follow::{Follower, Received};
use crate::stream::index::{Arrived, Indexer, TAMPERED};
use crate::stream::project;
use crate::{App, host::metrics, queue, timer};

/// Maximum number of event streams that one call of a Lambda function processes at the same time.
const AT_ONCE: usize = 16;
/// Time between two searches for reached deadlines, in milliseconds. The schedule in the deployment
/// template must have the same interval.
const SWEEP_MS: i64 = 60_000;
/// Number of deliveries after which SQS moves a failed message to the dead letter queue. The
/// deployment template must configure SQS with the same number.
pub const RECEIVES_MAX: u32 = 5;
/// A table stream (the change stream of a DynamoDB table) consists of several shards, which deliver
/// commits independently. An older commit from a slow shard can arrive later than a newer commit
/// from a fast shard. This constant is the maximum delay of the older commit, in milliseconds.
const SHARD_LAG_MS: i64 = 300_000;
/// Time until SQS delivers a message again after a transient error, in milliseconds.
const AGAIN_MS: i64 = 5_000;

/// How a Lambda function reports that it cannot process a record of a table stream (the change
/// stream of a DynamoDB table).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamAnswers {
    /// The Lambda function returns the id of the first failed record. AWS supports this kind of
    /// report.
    #[default]
    Partial,
    /// The Lambda function returns an error for the whole call, so AWS delivers all records of the
    /// call again. Some local substitutes for AWS support only this kind of report.
    Whole,
}

/// Runs a Lambda function of the desk. This type contains all objects that the function needs.
#[derive(Clone)]
pub struct Host {
    app: App,
    answers: StreamAnswers,
    indexer: Arc<Indexer>,
    meter: Arc<Meter>,
    births: Arc<OnceCell<Births>>,
}

impl Host {
    /// Creates the object that runs a Lambda function. `meter` counts the requests that the desk
    /// sends to AWS services. `answers` selects how the function reports a failed record of a table
    /// stream (the change stream of a DynamoDB table).
    pub fn new(app: App, indexer: Indexer, meter: Arc<Meter>, answers: StreamAnswers) -> Self {
        Self {
            app,
            answers,
            indexer: Arc::new(indexer),
            meter,
            births: Arc::default(),
        }
    }

    /// Serves the HTTP requests of the Lambda function `name` until the process ends. Returns an error if
    /// [`HTTP`] has no function with this name.
    pub async fn serve(self, name: &str) -> Result<(), Broken> {
        let function = named(HTTP, name)?;
        let Trigger::Http { router } = function.trigger else {
            return Err(format!("no HTTP request starts the function {name}").into());
        };
        let router = router(self.app.clone());
        let counted = axum::middleware::from_fn(move |mut request: Request, next: Next| {
            let host = self.clone();
            async move {
                if let Some(peer) = peer::peer_of(request.extensions()) {
                    request.extensions_mut().insert(peer);
                }
                let response = next.run(request).await;
                host.print_metrics(function);
                response
            }
        });
        Box::pin(lambda_http::run(router.layer(counted))).await
    }

    /// Handles the calls of the Lambda function `name` until the process ends. Returns an error if [`BACKGROUND`]
    /// has no function with this name.
    pub async fn process(self, name: &str) -> Result<(), Broken> {
        let function = named(BACKGROUND, name)?;
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
        metrics::print(
            function.name,
            self.app.ledger.clock.now(),
            &self.meter.take(),
        );
    }

    /// Handles one call of `function`. A table stream (the change stream of a DynamoDB table), a
    /// queue or a schedule sent the payload of the call. Returns a JSON value in the format that
    /// AWS expects for this source.
    pub async fn handle(&self, function: &Function, payload: Value) -> Result<Value, Error> {
        let unreadable = |error: serde_json::Error| {
            Error::because(
                Kind::Corrupt,
                format!("cannot read the payload of function {}", function.name),
                error,
            )
        };
        match function.name {
            "index" => {
                self.index(serde_json::from_value(payload).map_err(unreadable)?)
                    .await
            }
            "follow" => {
                self.follow(serde_json::from_value(payload).map_err(unreadable)?)
                    .await
            }
            "project" => project::project_all(PROJECTIONS, &self.app.ledger, &*self.app.views)
                .await
                .map(|position| json!({ "position": position })),
            "wake" => timer::wake::wake(&self.app, REGISTRY, Some(SWEEP_MS))
                .await
                .map(|fired| json!({ "fired": fired })),
            name => {
                self.work(name, serde_json::from_value(payload).map_err(unreadable)?)
                    .await
            }
        }
    }

    /// Gives each commit of a batch a position in the feed (the sequence of all commits). The batch
    /// comes from the table stream (the change stream of the table of commits). Returns the JSON
    /// result of the call, which contains the number of these commits.
    ///
    /// The ledger only inserts records into this table, the journal. A changed or deleted record
    /// therefore means that another program changed the journal. The function reports such a record
    /// as a sign of tampering.
    async fn index(&self, event: StreamEvent) -> Result<Value, Error> {
        let mut arrived = Vec::new();
        for record in &event.records {
            let sign = match (record.event_name.as_str(), new_commit(record)) {
                ("INSERT", Ok(commit)) => {
                    let written = Moment(
                        record
                            .change
                            .approximate_creation_date_time
                            .timestamp_millis(),
                    );
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

    /// Stores `sign`, a text that describes a change of the journal (the table of all commits) by
    /// another program. The command `audit check` later finds this entry. The function also prints
    /// a metric that triggers an alarm.
    async fn report(&self, sign: &str) -> Result<(), Error> {
        tracing::error!(
            sign,
            "the journal was changed by another writer than the ledger"
        );
        metrics::print_tampering(self.app.ledger.clock.now());
        let document = Document {
            sequence: 1,
            body: sign.as_bytes().to_vec(),
        };
        // The key of the stored entry is a hash of `sign`. The text itself is not a suitable key.
        // Another program possibly chose this text, and the text can have any length.
        self.app
            .views
            .put(
                TAMPERED,
                &blake3::hash(sign.as_bytes()).to_hex()[..32],
                &document,
                &[],
                0,
            )
            .await
            .map(drop)
    }

    /// Processes a batch of commits from the table stream (the change stream of the table of
    /// commits). The function updates deadlines and cards (stored summaries), and puts messages
    /// into queues. The commits of one event stream are processed in order. Different event streams
    /// are processed at the same time. If a record failed, the returned JSON result contains the
    /// first failed record.
    async fn follow(&self, event: StreamEvent) -> Result<Value, Error> {
        let mut streams: BTreeMap<String, Vec<(usize, Commit)>> = BTreeMap::new();
        for (at, record) in event
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.event_name == "INSERT")
        {
            match new_commit(record) {
                Ok(commit) => streams
                    .entry(commit.stream.clone())
                    .or_default()
                    .push((at, commit)),
                // This record is not a commit of the ledger. The function `index` receives the same
                // record and reports it as a sign of tampering.
                Err(error) => tracing::error!(%error, "record skipped: not a commit of the ledger"),
            }
        }
        // A reaction is a function that creates messages from events. A new reaction gets a start
        // time, and ignores all commits before this time. The new reaction must process all commits
        // of this batch. It must also process older commits that arrive later from a slow part of
        // the change stream. The start time is therefore earlier than the oldest commit of this
        // batch.
        let Some(oldest) = streams
            .values()
            .flatten()
            .map(|(_, commit)| commit.at)
            .min()
        else {
            return Ok(json!({ "batchItemFailures": [] }));
        };
        let births = self
            .births
            .get_or_try_init(|| {
                Births::activate_at(
                    &self.app.ledger,
                    REGISTRY,
                    None,
                    oldest.plus_ms(-SHARD_LAG_MS),
                )
            })
            .await?;
        let mut tasks: JoinSet<Option<(usize, Error)>> = JoinSet::new();
        let mut failed: Option<(usize, Error)> = None;
        let mut note_failure = |outcome: Option<(usize, Error)>| {
            if let Some((at, error)) = outcome
                && failed.as_ref().is_none_or(|(first, _)| at < *first)
            {
                failed = Some((at, error));
            }
        };
        for commits in streams.into_values() {
            if tasks.len() >= AT_ONCE
                && let Some(outcome) = tasks.join_next().await
            {
                note_failure(joined(outcome));
            }
            tasks.spawn(follow_stream(self.app.clone(), births.clone(), commits));
        }
        while let Some(outcome) = tasks.join_next().await {
            note_failure(joined(outcome));
        }
        match failed {
            None => Ok(json!({ "batchItemFailures": [] })),
            Some((at, error)) => {
                tracing::warn!(%error, record = at, of = event.records.len(), "cannot follow a part of a batch");
                let sequence = event
                    .records
                    .get(at)
                    .and_then(|record| record.change.sequence_number.clone());
                match (self.answers, sequence) {
                    (StreamAnswers::Partial, Some(sequence)) => {
                        Ok(json!({ "batchItemFailures": [{ "itemIdentifier": sequence }] }))
                    }
                    _ => Err(error),
                }
            }
        }
    }

    /// Processes the messages of a queue batch. Returns a JSON result with the ids of the failed
    /// messages.
    ///
    /// After a transient error, the function puts the message into the queue again with a delay. A
    /// message that fails only with transient errors therefore never moves to the dead letter
    /// queue.
    async fn work(&self, name: &str, event: SqsEvent) -> Result<Value, Error> {
        let is_of_robots = name == fleet_message::NAME;
        let works = event.records.into_iter().map(|record| async move {
            let id = record.message_id.clone().unwrap_or_default();
            let body = record.body.as_deref().unwrap_or_default();
            if is_of_robots {
                // The message broker of the robots puts this message directly into the queue. The
                // message therefore has another format than the messages of other queues, and
                // `from_queue` reads this format.
                let processed = fleet_message::from_queue(&self.app, body).await;
                return processed.err().map(|error| {
                    tracing::error!(%error, message = id, "message of a robot failed");
                    json!({ "itemIdentifier": id })
                });
            }
            let sqs_message = SqsMessage::read(&id, body);
            let attempts = record
                .attributes
                .get("ApproximateReceiveCount")
                .and_then(|count| count.parse().ok())
                .unwrap_or(1);
            let worked = self.work_on(name, sqs_message, attempts).await;
            worked.err().map(|error| {
                tracing::error!(%error, queue = name, message = id, attempts, "message failed");
                json!({ "itemIdentifier": id })
            })
        });
        // The processing of one message can take a long time, for example because of a slow
        // receiver. All messages of a batch are therefore processed at the same time.
        let failures: Vec<Value> = join_all(works).await.into_iter().flatten().collect();
        Ok(json!({ "batchItemFailures": failures }))
    }

    async fn work_on(
        &self,
        name: &str,
        sqs_message: SqsMessage,
        attempts: u32,
    ) -> Result<(), Error> {
        let now = self.app.ledger.clock.now();
        let send_again = async |due: Moment| {
            self.app
                .queue
                .put(name, &sqs_message.id, sqs_message.body.as_bytes(), due)
                .await
        };
        if sqs_message.due > now.0 {
            return send_again(Moment(sqs_message.due)).await;
        }
        let message = Message {
            id: sqs_message.id.clone(),
            body: sqs_message.body.clone().into_bytes(),
            attempts,
            abandoned: attempts,
            receipt: String::new(),
        };
        let execute = catalog::handler(name).ok_or_else(|| {
            let what = format!("there is no function for queue {name}");
            Error::new(Kind::Misconfigured, what)
        })?;
        match queue::work(&self.app, REGISTRY, execute, &message).await {
            // This message reports a reached deadline, and its processing failed with a transient
            // error. The deadline is still stored. The next search for reached deadlines therefore
            // puts the message into the queue again. The function only logs the error and returns
            // success.
            Err(error)
                if error.is_transient() && matches!(queue::read(&message), Ok(Work::Due(_))) =>
            {
                tracing::warn!(%error, message = sqs_message.id, "due work deferred to the next sweep");
                Ok(())
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, queue = name, message = sqs_message.id, "message deferred");
                send_again(now.plus_ms(AGAIN_MS)).await
            }
            result => result,
        }
    }
}

/// Returns the function of `functions` with this name.
fn named(functions: &'static [Function], name: &str) -> Result<&'static Function, Broken> {
    let found = functions.iter().find(|function| function.name == name);
    found.ok_or_else(|| format!("this program has no function {name}").into())
}

/// Processes the commits of one event stream in order. Each entry of `commits` contains a commit
/// and the position of its record in the batch. Returns `None` after success. After an error,
/// returns the position of the first commit in `commits`, and the error. AWS must then deliver the
/// record at this position and all later records again.
async fn follow_stream(
    app: App,
    births: Births,
    commits: Vec<(usize, Commit)>,
) -> Option<(usize, Error)> {
    let follower = Follower {
        ledger: &app.ledger,
        views: &*app.views,
        writer: &*app.page_writer,
        births: &births,
        wanted: &Everything,
        registry: REGISTRY,
    };
    let first = commits.first().map_or(0, |(at, _)| *at);
    let page = commits
        .into_iter()
        .map(|(_, commit)| Received::from(commit))
        .collect();
    // All commits of the event stream are processed in one call. An error of this call does not
    // identify the failed commit. AWS must therefore deliver all these commits again.
    let followed = follower.follow_page(page, None).await;
    followed.err().map(|error| (first, error))
}

fn joined(
    outcome: Result<Option<(usize, Error)>, tokio::task::JoinError>,
) -> Option<(usize, Error)> {
    outcome.unwrap_or_else(|error| {
        Some((
            0,
            Error::because(Kind::Unavailable, "the follower task panicked", error),
        ))
    })
}

fn name_of(record: &EventRecord) -> String {
    let keys: HashMap<String, serde_dynamo::AttributeValue> = record.change.keys.clone().into();
    let text = |name: &str| match keys.get(name) {
        Some(serde_dynamo::AttributeValue::S(text) | serde_dynamo::AttributeValue::N(text)) => {
            text.clone()
        }
        _ => "?".to_owned(),
    };
    format!("{}:{}", text("p"), text("s"))
}

/// Converts a record of the table stream (the change stream of the table of commits) to a commit.
/// Returns an error if the record is not in the format of the ledger.
fn new_commit(record: &EventRecord) -> Result<Commit, Error> {
    let image: HashMap<String, serde_dynamo::AttributeValue> =
        record.change.new_image.clone().into();
    let attribute = |value| match value {
        serde_dynamo::AttributeValue::S(text) => Attribute::S(text),
        serde_dynamo::AttributeValue::N(number) => Attribute::N(number),
        serde_dynamo::AttributeValue::B(bytes) => Attribute::B(bytes.into()),
        _ => Attribute::Null(true),
    };
    let item: Item = image
        .into_iter()
        .map(|(name, value)| (name, attribute(value)))
        .collect();
    let commit = commit(&item)?;
    if !commit.is_well_named() {
        return Err(Error::corrupt(
            "the stream name does not have the form of the ledger",
        ));
    }
    if commit.hash != commit.expected_hash() {
        return Err(Error::corrupt(format!(
            "the hash of {}:{} does not match its content",
            commit.stream, commit.first
        )));
    }
    Ok(commit)
}
