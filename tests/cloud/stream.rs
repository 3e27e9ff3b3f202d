//! This module reads the stream of a DynamoDB table, like AWS Lambda does. The contract tests need this
//! module, because their tables have no functions that read the stream.

use aws_sdk_dynamodbstreams::types::{OperationType, ShardIteratorType};
use events::Moment;
use functions::stream::index::Arrived;
use infra::sdk::{Item, Value};
use infra::store::dynamodb::commit;

/// The stream of one DynamoDB table. Each call of [`Stream::all`] reads the stream from its beginning.
pub(crate) struct Stream {
    client: aws_sdk_dynamodbstreams::Client,
    arn: String,
}

impl Stream {
    pub(crate) fn new(config: &aws_config::SdkConfig, arn: &str) -> Self {
        Self {
            client: aws_sdk_dynamodbstreams::Client::new(config),
            arn: arn.to_owned(),
        }
    }

    /// Returns all commits of the stream, from all shards.
    pub(crate) async fn all(&self) -> Vec<Arrived> {
        let described = self
            .client
            .describe_stream()
            .stream_arn(&self.arn)
            .send()
            .await
            .expect("a stream");
        let mut arrived = Vec::new();
        for shard in described.stream_description().expect("described").shards() {
            let iterator = self
                .client
                .get_shard_iterator()
                .stream_arn(&self.arn)
                .shard_id(shard.shard_id().expect("an id"));
            let iterator = iterator
                .shard_iterator_type(ShardIteratorType::TrimHorizon)
                .send()
                .await
                .expect("an iterator");
            let mut next = iterator.shard_iterator().map(str::to_owned);
            while let Some(iterator) = next {
                let got = self
                    .client
                    .get_records()
                    .shard_iterator(iterator)
                    .send()
                    .await
                    .expect("records");
                if got.records().is_empty() {
                    break;
                }
                arrived.extend(
                    got.records()
                        .iter()
                        .filter(|record| record.event_name() == Some(&OperationType::Insert))
                        .map(read),
                );
                next = got.next_shard_iterator().map(str::to_owned);
            }
        }
        arrived
    }
}

fn read(record: &aws_sdk_dynamodbstreams::types::Record) -> Arrived {
    use aws_sdk_dynamodbstreams::types::AttributeValue as Streamed;
    let change = record.dynamodb().expect("a change");
    let attribute = |value: &Streamed| match value {
        Streamed::S(text) => Value::S(text.clone()),
        Streamed::N(number) => Value::N(number.clone()),
        Streamed::B(bytes) => Value::B(bytes.clone()),
        other => panic!("{other:?}"),
    };
    let item: Item = change
        .new_image()
        .expect("an image")
        .iter()
        .map(|(name, value)| (name.clone(), attribute(value)))
        .collect();
    let written = change
        .approximate_creation_date_time()
        .map_or(i64::MAX, |at| at.to_millis().expect("a time"));
    Arrived {
        commit: commit(&item).expect("a commit"),
        written: Moment(written),
    }
}
