//! Contains shared functions for tables, resource names and errors of the AWS SDK. All adapters for
//! AWS services use this module.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};

use crate::meter::Meter;
use crate::{Error, Kind};

/// Milliseconds for which configuration, people and secrets stay in the cache. The time is short,
/// because other processes also change this data.
pub const STALE_MS: i64 = 5_000;
/// The value of an attribute in DynamoDB.
pub type Value = AttributeValue;
/// An item of a DynamoDB table.
pub type Item = HashMap<String, AttributeValue>;

/// A DynamoDB table, with its client and a meter that counts the requests.
#[derive(Clone, Debug)]
pub struct Table {
    pub client: aws_sdk_dynamodb::Client,
    pub name: String,
    pub meter: Arc<Meter>,
}

impl Table {
    /// Reads one item with a consistent read. The meter counts the read under the name `kind`.
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
    /// Returns a request that puts one item. The caller can add a condition, and then sends the
    /// request.
    pub(crate) fn put(&self, item: Item) -> PutItemFluentBuilder {
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    }
    /// Returns a query of the table. The caller adds the conditions and sends the query.
    pub(crate) fn query(&self) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    }
    /// Counts a read request in the meter, with the kind of request, the bytes and the capacity
    /// units.
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
    /// Counts a write request in the meter, with the kind of request, the bytes and the capacity
    /// units.
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

/// Creates the names of all cloud resources of a desk. Every name begins with the prefix of the
/// desk.
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
    /// Returns the name of the secret in AWS Secrets Manager from which the desk derives its keys.
    pub fn secret(&self) -> String {
        format!("{}/desk", self.prefix)
    }
    /// Returns the name of a Lambda function.
    pub fn function(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

/// Converts a failed request to an [`Error`]. Its message is `cannot <what>`, followed by the
/// reason.
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

/// Returns the texts of an error and its causes, joined in one line. The text of the error without
/// its causes is often only "failure".
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

/// Returns the size of an item as DynamoDB computes it: the number of bytes of all names and
/// values.
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
