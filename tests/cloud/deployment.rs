//! This module creates a separate deployment for one test. The deployment has the tables, queues and secret
//! of the deployment template, but no functions.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    ScalarAttributeType, StreamSpecification, StreamViewType, TableStatus,
};
use events::Moment;
use infra::aws::{Cloud, Table, configure};
use infra::clock::{Clock as _, Rng as _, SystemClock, SystemRng};
use infra::commit::following;
use infra::commit::hex;
use infra::meter::Meter;
use infra::queue::sqs::dead;
use infra::sdk::Value;
use infra::store::dynamodb::item;

use crate::desk::{setting, until};

/// Returns the name of a resource with a random part, so that no other test uses the same name.
pub(crate) fn fresh(name: &str) -> String {
    let mut bytes = [0; 6];
    SystemRng.fill(&mut bytes);
    format!("test-{name}-{}", hex(&bytes))
}

/// Creates a DynamoDB table. Returns the table and the ARN of the DynamoDB stream of this table.
pub(crate) async fn table(
    config: &SdkConfig,
    name: &str,
    sort: Option<ScalarAttributeType>,
    stream: Option<StreamViewType>,
) -> (Table, String) {
    let client = aws_sdk_dynamodb::Client::new(config);
    let attribute = |name: &str, kind| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(kind)
            .build()
            .expect("an attribute")
    };
    let key = |name: &str, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .expect("a key")
    };
    let mut create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("p", ScalarAttributeType::S))
        .key_schema(key("p", KeyType::Hash));
    if let Some(kind) = stream {
        create = create.stream_specification(
            StreamSpecification::builder()
                .stream_enabled(true)
                .stream_view_type(kind)
                .build()
                .expect("a stream"),
        );
    }
    if let Some(kind) = sort {
        create = create
            .attribute_definitions(attribute("s", kind))
            .key_schema(key("s", KeyType::Range));
    }
    let created = create.send().await.expect("a table");
    let arn = created
        .table_description()
        .and_then(|table| table.latest_stream_arn())
        .unwrap_or_default()
        .to_owned();
    until("the table", async || {
        let described = client.describe_table().table_name(name).send().await.ok()?;
        (described.table()?.table_status()? == &TableStatus::Active).then_some(())
    })
    .await;
    (
        Table {
            client,
            name: name.to_owned(),
            meter: Arc::new(Meter::default()),
        },
        arn,
    )
}

/// A deployed desk without functions. Stored commits are therefore not added to the feed (the ordered list
/// of all commits), and the views (stored lists) are not updated.
pub(crate) struct Deployment {
    pub(crate) prefix: String,
    pub(crate) cloud: Cloud,
    client: aws_sdk_dynamodb::Client,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        let (config, prefix) = (configure(None).await, fresh("desk"));
        let client = aws_sdk_dynamodb::Client::new(&config);
        for (name, sort, stream) in [
            (
                "journal",
                Some(ScalarAttributeType::N),
                Some(StreamViewType::NewImage),
            ),
            (
                "feed",
                Some(ScalarAttributeType::N),
                Some(StreamViewType::KeysOnly),
            ),
            ("views", Some(ScalarAttributeType::S), None),
            ("keys", None, None),
        ] {
            let (table, _) =
                table(&config, &format!("{prefix}-{name}"), sort, stream.clone()).await;
            if stream.is_some() {
                let on = PointInTimeRecoverySpecification::builder()
                    .point_in_time_recovery_enabled(true)
                    .build()
                    .expect("a setting");
                client
                    .update_continuous_backups()
                    .table_name(table.name)
                    .point_in_time_recovery_specification(on)
                    .send()
                    .await
                    .expect("recovery");
            }
        }
        let queues = aws_sdk_sqs::Client::new(&config);
        for name in functions::catalog::queues()
            .iter()
            .flat_map(|name| [(*name).to_owned(), dead(name)])
        {
            queues
                .create_queue()
                .queue_name(format!("{prefix}-{name}"))
                .send()
                .await
                .expect("a queue");
        }
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        secrets
            .create_secret()
            .name(format!("{prefix}/desk"))
            .secret_string("x".repeat(64))
            .send()
            .await
            .expect("a secret");
        let cloud = Cloud::new(
            config,
            &prefix,
            &setting("LEDGERDESK_BUCKET"),
            &functions::catalog::queues(),
        );
        Self {
            prefix,
            cloud,
            client,
        }
    }

    /// Stores one commit in each of the given streams. The time of the commits is two minutes in the past.
    pub(crate) async fn store(&self, streams: &[&str]) {
        for stream in streams {
            let mut commit = following(stream, None, 1, 1, b"{}");
            commit.at = Moment(SystemClock.now().0 - 120_000);
            commit.hash = commit.expected_hash();
            self.cloud
                .ports
                .ledger
                .store
                .append(commit)
                .await
                .expect("stored");
        }
    }

    /// Deletes the first commit of a stream directly in the table, like a program that does not use the
    /// ledger.
    pub(crate) async fn remove(&self, stream: &str) {
        let delete = self
            .client
            .delete_item()
            .table_name(self.cloud.names.table("journal"));
        delete
            .key("p", Value::S(stream.into()))
            .key("s", Value::N("1".into()))
            .send()
            .await
            .expect("removed");
    }

    /// Replaces the first commit of a stream by another valid commit, directly in the table, like a program
    /// that does not use the ledger.
    pub(crate) async fn overwrite(&self, stream: &str) {
        let mut other = following(stream, None, 1, 7, b"{}");
        other.at = Moment(SystemClock.now().0 - 120_000);
        other.hash = other.expected_hash();
        let put = self
            .client
            .put_item()
            .table_name(self.cloud.names.table("journal"))
            .set_item(Some(item(&other)));
        put.send().await.expect("overwritten");
    }

    pub(crate) async fn turn_stream_off(&self, table: &str) {
        let off = StreamSpecification::builder()
            .stream_enabled(false)
            .build()
            .expect("a setting");
        self.client
            .update_table()
            .table_name(self.cloud.names.table(table))
            .stream_specification(off)
            .send()
            .await
            .expect("off");
    }

    pub(crate) async fn delete(&self, table: &str) {
        self.client
            .delete_table()
            .table_name(self.cloud.names.table(table))
            .send()
            .await
            .expect("gone");
    }
}
