//! Opens all ports in an AWS account or an emulator; the names of tables, queues and functions are
//! derived from a prefix.
//!
//! The SDK finds region, credentials and endpoint in its usual sources: `AWS_REGION`,
//! `AWS_ENDPOINT_URL`, the role of a Lambda function.

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

use crate::clock::{SystemClock, SystemRng};
use crate::keys::Keys;
use crate::meter::Meter;
use crate::pages::Pages;
use crate::queue::sqs::Sqs;
use crate::secrets::manager::Manager;
use crate::store::dynamodb::Item;
use crate::store::paged::Paged;
use crate::{Error, Kind, Ledger, Ports, blob, keys, pages, store, views};

/// Cache lifetime for configuration, people and secrets, milliseconds, because other processes
/// write them too.
pub const STALE_MS: i64 = 5_000;
/// Timeout of one attempt of a request, and of all its attempts.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout of the first connection at a start.
const WARM_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum attempts of a request; the random delays between them are at most 50, 100 and 200 ms.
const TRIES_MAX: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(50);

/// A table with its client and meter.
#[derive(Clone, Debug)]
pub struct Table {
    pub client: aws_sdk_dynamodb::Client,
    pub name: String,
    pub meter: Arc<Meter>,
}

impl Table {
    /// Reads one item consistently and counts the request under `kind`.
    pub(crate) async fn get(
        &self,
        kind: &'static str,
        key: impl Into<Item>,
    ) -> Result<Option<Item>, Error> {
        let get = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.into()))
            .consistent_read(true);
        let got = get
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let got = got.map_err(|error| failed(&format!("read {}", self.name), error))?;
        self.read(
            kind,
            got.item().map(item_bytes).unwrap_or_default(),
            got.consumed_capacity(),
        );
        Ok(got.item)
    }
    /// Returns a put of one item without a condition.
    pub(crate) fn put(&self, item: Item) -> PutItemFluentBuilder {
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    }
    /// Returns a query without conditions.
    pub(crate) fn query(&self) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    }
    /// Counts a read request.
    pub(crate) fn read(
        &self,
        kind: &'static str,
        bytes: usize,
        consumed: Option<&ConsumedCapacity>,
    ) {
        self.meter.read(
            kind,
            bytes,
            consumed.and_then(ConsumedCapacity::capacity_units),
        );
    }
    /// Counts a write request.
    pub(crate) fn wrote(
        &self,
        kind: &'static str,
        bytes: usize,
        consumed: Option<&ConsumedCapacity>,
    ) {
        self.meter.wrote(
            kind,
            bytes,
            consumed.and_then(ConsumedCapacity::capacity_units),
        );
    }
}

/// The names of all cloud resources of a desk.
#[derive(Clone, Debug)]
pub struct Names {
    pub prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }
    /// Returns the name of a table: `journal`, `feed`, `views` or `keys`.
    pub fn table(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
    /// Returns the name of a queue or dead-letter queue.
    pub fn queue(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
    /// Returns the name of the secret from which the keys of the desk are derived.
    pub fn secret(&self) -> String {
        format!("{}/desk", self.prefix)
    }
    /// Returns the name of a function.
    pub fn function(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

/// The ports of a desk in the cloud.
#[derive(Clone)]
pub struct Cloud {
    pub config: SdkConfig,
    pub names: Names,
    /// The archive bucket. Bucket names are global, so the name is not derived from the prefix.
    pub bucket: String,
    pub meter: Arc<Meter>,
    /// The pages of the feed.
    pub pages: Arc<dyn Pages>,
    pub ports: Ports,
}

/// Loads region, credentials and endpoint from the environment; sends no request.
pub async fn configure(region: Option<String>) -> SdkConfig {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(TRIES_MAX)
                .with_initial_backoff(BACKOFF),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(2))
                .operation_attempt_timeout(TRY_TIMEOUT)
                .operation_timeout(REQUEST_TIMEOUT)
                .build(),
        );
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

impl Cloud {
    /// Creates the AWS clients; the queue client uses the queues with the given names. Sends no
    /// request.
    pub fn new(config: SdkConfig, prefix: &str, bucket: &str, queues: &[&'static str]) -> Self {
        let names = Names::new(prefix);
        let meter = Arc::new(Meter::default());
        let client = aws_sdk_dynamodb::Client::new(&config);
        let table = |name: &str| Table {
            client: client.clone(),
            name: names.table(name),
            meter: meter.clone(),
        };
        let journal = Arc::new(store::dynamodb::Dynamodb::new(table("journal")));
        let pages: Arc<dyn Pages> = Arc::new(pages::dynamodb::Dynamodb::new(table("feed")));
        let blob: Arc<dyn blob::Blob> = Arc::new(blob::s3::S3::new(&config, bucket, meter.clone()));
        let store = Arc::new(Paged::new(journal, pages.clone(), blob.clone()));
        let clock = Arc::new(SystemClock);
        let keys: Arc<dyn Keys> = Arc::new(keys::dynamodb::Dynamodb::new(
            table("keys"),
            Arc::new(SystemRng),
            clock.clone(),
        ));
        let ledger =
            Ledger::new(store, keys, clock.clone(), Arc::new(SystemRng)).with_others(STALE_MS);
        let ports = Ports {
            secrets: Arc::new(Manager::new(&config, &names.secret())),
            ..Ports::over(
                ledger,
                Arc::new(views::dynamodb::Dynamodb::new(table("views"))),
                Arc::new(Sqs::new(&config, names.clone(), queues, clock)),
                blob,
            )
        };
        Self {
            pages,
            ports,
            names,
            bucket: bucket.to_owned(),
            meter,
            config,
        }
    }

    /// Opens one connection, so that the first command does not wait for a TLS handshake.
    pub async fn warm(&self) {
        // A failure is only logged, because the first command repeats the request.
        match tokio::time::timeout(WARM_TIMEOUT, self.ports.ledger.store.next("warm")).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "request to the journal failed at start"),
            Err(_) => tracing::warn!("request to the journal timed out at start"),
        }
    }
}

/// Translates the failure of a request.
pub(crate) fn failed<E, R>(what: &str, error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug,
{
    let (kind, reason) = match &error {
        SdkError::TimeoutError(_) => (Kind::Timeout, "no response in time".to_owned()),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            (Kind::Timeout, "no response in time".to_owned())
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => (
            Kind::Misconfigured,
            causes(failure.as_connector_error().map(|error| error as _)),
        ),
        SdkError::DispatchFailure(failure) => (
            Kind::Unavailable,
            causes(failure.as_connector_error().map(|error| error as _)),
        ),
        SdkError::ConstructionFailure(_) => (
            Kind::Misconfigured,
            causes(std::error::Error::source(&error)),
        ),
        SdkError::ResponseError(_) => (
            Kind::Unavailable,
            "the response is incomplete or unreadable".to_owned(),
        ),
        SdkError::ServiceError(rejected) => {
            let code = rejected.err().code().unwrap_or("an error without a code");
            let message = rejected.err().message().unwrap_or_default();
            (kind_of(code, message), format!("{code}: {message}"))
        }
        _ => (Kind::Unavailable, "the request failed".to_owned()),
    };
    Error::new(
        kind,
        format!("cannot {what}: {}", reason.trim_end_matches([':', ' '])),
    )
}

/// Joins the causes of an error in one line, because the outer cause alone is often only "failure".
fn causes(error: Option<&(dyn std::error::Error + 'static)>) -> String {
    let mut reasons = Vec::new();
    let mut next = error;
    while let Some(error) = next {
        let text = error.to_string();
        if reasons.last() != Some(&text) {
            reasons.push(text);
        }
        next = error.source();
    }
    if reasons.is_empty() {
        "the request failed".into()
    } else {
        reasons.join(": ")
    }
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

/// Returns the size of an item as the service counts it: bytes of names and values.
pub(crate) fn item_bytes(item: &HashMap<String, AttributeValue>) -> usize {
    fn value_bytes(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(number) => number.len() / 2 + 2,
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
            AttributeValue::L(values) => {
                3 + values
                    .iter()
                    .map(|value| 1 + value_bytes(value))
                    .sum::<usize>()
            }
            _ => 1,
        }
    }
    item.iter()
        .map(|(name, value)| name.len() + value_bytes(value))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_map_to_the_kind_of_error() {
        assert_eq!(kind_of("ThrottlingException", ""), Kind::Throttled);
        assert_eq!(kind_of("AccessDeniedException", ""), Kind::Denied);
        assert_eq!(
            kind_of("ResourceNotFoundException", ""),
            Kind::Misconfigured
        );
        assert_eq!(
            kind_of(
                "ValidationException",
                "Item size has exceeded the maximum allowed size"
            ),
            Kind::TooLarge
        );
        assert_eq!(kind_of("InternalServerError", ""), Kind::Unavailable);
        assert_eq!(
            kind_of("TransactionConflictException", ""),
            Kind::Unavailable
        );
    }
}
