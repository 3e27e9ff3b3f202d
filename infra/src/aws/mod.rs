//! All ports from an AWS account (or a stand-in for one): which tables, queues and buckets there are follows from the prefix alone.
//!
//! Region, credentials and endpoint come from where the SDK looks for them: `AWS_REGION`, `AWS_ENDPOINT_URL`, the role of a Lambda.

pub mod inspect;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use crate::clock::{SystemChance, SystemClock};
use crate::keys::Keys;
use crate::meter::Meter;
use crate::pages::Pages;
use crate::queue::{Queue, sqs::Sqs};
use crate::secrets::{Secrets, manager::Manager};
use crate::store::dynamodb::Item;
use crate::store::paged::Paged;
use crate::views::Views;
use crate::{Error, Kind, Ledger, blob, keys, pages, store, views};

/// How long what was read of configuration, people and secrets may be held for true; others write too.
pub const STALE_MS: i64 = 5_000;
/// Longest time for one try of a request, and for all its tries.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time a start may spend on opening its first connection.
const WARM_TIMEOUT: Duration = Duration::from_secs(2);
/// Tries of a request; between them up to 50, 100, 200 ms by chance.
const TRIES_MAX: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(50);

/// A table with what is needed to talk to it.
#[derive(Clone, Debug)]
pub struct Table {
    pub client: aws_sdk_dynamodb::Client,
    pub name: String,
    pub meter: Arc<Meter>,
}

impl Table {
    /// Reads one item, consistently; `kind` is what it is counted as.
    pub(crate) async fn get(&self, kind: &'static str, key: impl Into<Item>) -> Result<Option<Item>, Error> {
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key.into())).consistent_read(true);
        let got = get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let got = got.map_err(|error| failed(&format!("read {}", self.name), error))?;
        self.read(kind, got.item().map(item_bytes).unwrap_or_default(), got.consumed_capacity());
        Ok(got.item)
    }
    /// A put of one item, still without a condition.
    pub(crate) fn put(&self, item: Item) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&self.name).set_item(Some(item)).return_consumed_capacity(ReturnConsumedCapacity::Total)
    }
    /// A query, still without its conditions.
    pub(crate) fn query(&self) -> QueryFluentBuilder {
        self.client.query().table_name(&self.name).return_consumed_capacity(ReturnConsumedCapacity::Total)
    }
    /// Counts a request that read.
    pub(crate) fn read(&self, kind: &'static str, bytes: usize, consumed: Option<&ConsumedCapacity>) {
        self.meter.read(kind, bytes, consumed.and_then(ConsumedCapacity::capacity_units));
    }
    /// Counts a request that wrote.
    pub(crate) fn wrote(&self, kind: &'static str, bytes: usize, consumed: Option<&ConsumedCapacity>) {
        self.meter.wrote(kind, bytes, consumed.and_then(ConsumedCapacity::capacity_units));
    }
}

/// The names of everything a desk has in the cloud.
#[derive(Clone, Debug)]
pub struct Names {
    pub prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }
    /// A table: `journal`, `feed`, `views`, `keys`.
    pub fn table(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
    /// A queue of work, or its dead letters.
    pub fn queue(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
    /// The secret that holds the desk's own keys.
    pub fn secret(&self) -> String {
        format!("{}/desk", self.prefix)
    }
    /// A function.
    pub fn function(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

/// One desk in the cloud.
#[derive(Clone)]
pub struct Cloud {
    pub config: SdkConfig,
    pub names: Names,
    /// The archive bucket; bucket names are the world's, so this one does not follow from the prefix alone.
    pub bucket: String,
    pub meter: Arc<Meter>,
    pub ledger: Ledger,
    pub pages: Arc<dyn Pages>,
    pub blob: Arc<dyn blob::Blob>,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    pub secrets: Arc<dyn Secrets>,
}

/// Reads region, credentials and endpoint from the environment; no request is made.
pub async fn configure(region: Option<String>) -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES_MAX).with_initial_backoff(BACKOFF))
        .timeout_config(
            TimeoutConfig::builder().connect_timeout(Duration::from_secs(2)).operation_attempt_timeout(TRY_TIMEOUT).operation_timeout(REQUEST_TIMEOUT).build(),
        );
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

impl Cloud {
    /// Makes every client; no request is made yet.
    pub fn new(config: SdkConfig, prefix: &str, bucket: &str) -> Self {
        let names = Names::new(prefix);
        let meter = Arc::new(Meter::default());
        let client = aws_sdk_dynamodb::Client::new(&config);
        let table = |name: &str| Table { client: client.clone(), name: names.table(name), meter: meter.clone() };
        let journal = Arc::new(store::dynamodb::Dynamodb::new(table("journal")));
        let pages: Arc<dyn Pages> = Arc::new(pages::dynamodb::Dynamodb::new(table("feed")));
        let blob: Arc<dyn blob::Blob> = Arc::new(blob::s3::S3::new(&config, bucket, meter.clone()));
        let store = Arc::new(Paged::new(journal, pages.clone(), blob.clone()));
        let clock = Arc::new(SystemClock);
        let keys: Arc<dyn Keys> = Arc::new(keys::dynamodb::Dynamodb::new(table("keys"), Arc::new(SystemChance), clock.clone()));
        let ledger = Ledger::new(store, keys, clock.clone(), Arc::new(SystemChance)).with_others(STALE_MS);
        Self {
            pages,
            blob,
            ledger,
            views: Arc::new(views::dynamodb::Dynamodb::new(table("views"))),
            queue: Arc::new(Sqs::new(&config, names.clone(), clock)),
            secrets: Arc::new(Manager::new(&config, &names.secret())),
            names,
            bucket: bucket.to_owned(),
            meter,
            config,
        }
    }

    /// Opens one connection, so that the first command need not wait for a TLS handshake.
    pub async fn warm(&self) {
        // Whether the answer is good does not matter here; the first command will say.
        match tokio::time::timeout(WARM_TIMEOUT, self.ledger.store.next("warm")).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the journal did not answer at start"),
            Err(_) => tracing::warn!("the journal did not answer in time at start"),
        }
    }
}

/// What a request's failure means to us.
pub(crate) fn failed<E, R>(what: &str, error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug,
{
    let (kind, why) = match &error {
        SdkError::TimeoutError(_) => (Kind::Timeout, "no answer in time".to_owned()),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => (Kind::Timeout, "no answer in time".to_owned()),
        SdkError::DispatchFailure(failure) if failure.is_user() => (Kind::Misconfigured, words(failure.as_connector_error().map(|error| error as _))),
        SdkError::DispatchFailure(failure) => (Kind::Unavailable, words(failure.as_connector_error().map(|error| error as _))),
        SdkError::ConstructionFailure(_) => (Kind::Misconfigured, words(std::error::Error::source(&error))),
        SdkError::ResponseError(_) => (Kind::Unavailable, "the answer broke off or cannot be read".to_owned()),
        SdkError::ServiceError(refused) => {
            let code = refused.err().code().unwrap_or("an error without a code");
            let message = refused.err().message().unwrap_or_default();
            (kind_of(code, message), format!("{code}: {message}"))
        }
        _ => (Kind::Unavailable, "the request failed".to_owned()),
    };
    Error::new(kind, format!("cannot {what}: {}", why.trim_end_matches([':', ' '])))
}

/// The innermost reasons in one line; an outer one often says no more than "failure".
fn words(error: Option<&(dyn std::error::Error + 'static)>) -> String {
    let mut reasons = Vec::new();
    let mut next = error;
    while let Some(error) = next {
        let text = error.to_string();
        if reasons.last() != Some(&text) {
            reasons.push(text);
        }
        next = error.source();
    }
    if reasons.is_empty() { "the request failed".into() } else { reasons.join(": ") }
}

fn kind_of(code: &str, message: &str) -> Kind {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "Throttling"
        | "SlowDown"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "OverLimit"
        | "KmsThrottled" => Kind::Throttled,
        "AccessDeniedException"
        | "AccessDenied"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "AuthorizationError" => Kind::Denied,
        "ValidationException" if message.contains("size has exceeded") => Kind::TooLarge,
        "ResourceNotFoundException"
        | "NoSuchBucket"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "ValidationException"
        | "PermanentRedirect"
        | "IllegalLocationConstraintException" => Kind::Misconfigured,
        _ => Kind::Unavailable,
    }
}

/// The size of an item as the service counts it: names and values.
pub(crate) fn item_bytes(item: &HashMap<String, AttributeValue>) -> usize {
    fn value_bytes(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(number) => number.len() / 2 + 2,
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
            AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
            _ => 1,
        }
    }
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_who_acts_now() {
        assert_eq!(kind_of("ThrottlingException", ""), Kind::Throttled);
        assert_eq!(kind_of("AccessDeniedException", ""), Kind::Denied);
        assert_eq!(kind_of("ResourceNotFoundException", ""), Kind::Misconfigured);
        assert_eq!(kind_of("ValidationException", "Item size has exceeded the maximum allowed size"), Kind::TooLarge);
        assert_eq!(kind_of("InternalServerError", ""), Kind::Unavailable);
        assert_eq!(kind_of("TransactionConflictException", ""), Kind::Unavailable);
    }
}
