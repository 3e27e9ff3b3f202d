//! Opens all ports (interfaces to storage and to other systems) of a desk in an AWS account or in
//! an emulator. The names of tables, queues and functions begin with the prefix of the desk.
//!
//! The SDK reads the region, the credentials and the endpoint from the environment. Examples are
//! `AWS_REGION`, `AWS_ENDPOINT_URL` and the role of a Lambda function.

pub mod inspect;

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use crate::clock::{SystemClock, SystemRng};
use crate::fleet::iot::Iot;
use crate::keys::Keys;
use crate::meter::Meter;
use crate::pages::Pages;
use crate::queue::sqs::Sqs;
use crate::sdk::STALE_MS;
use crate::secrets::manager::Manager;
use crate::store::paged::Paged;
use crate::{Ledger, Ports, blob, keys, pages, store, views};

pub use crate::sdk::{Names, Table};

/// Timeouts of AWS requests. `TRY_TIMEOUT` limits one attempt. `REQUEST_TIMEOUT` limits all
/// attempts of a request together.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout of the small request that opens a connection to DynamoDB when the process starts.
const WARM_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of attempts for one request. The pauses between the four attempts are random.
/// Their maximums are 50, 100 and 200 ms.
const TRIES_MAX: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(50);

/// The ports (interfaces to storage and to other systems) of a desk in the AWS cloud.
#[derive(Clone)]
pub struct Cloud {
    pub config: SdkConfig,
    pub names: Names,
    /// Name of the S3 bucket for archive objects (compressed commits). A bucket name must be unique
    /// in all of AWS. This name is therefore configured separately and not built from the prefix of
    /// the desk.
    pub bucket: String,
    pub meter: Arc<Meter>,
    /// The pages of the feed (the ordered list of all commits).
    pub pages: Arc<dyn Pages>,
    pub ports: Ports,
}

/// Loads the region, the credentials and the endpoint from the environment. Sends no request.
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
    /// Creates the AWS clients of a desk, without sending a request. `queues` contains the names of
    /// the work queues.
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
            fleet: Arc::new(Iot::new(&config)),
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

    /// Opens a connection when the process starts, by sending one small request. The first command
    /// then does not wait for a TLS handshake.
    pub async fn warm(&self) {
        // If the request that opens the connection fails or takes too long, the function only logs
        // a warning. The first command then opens the connection.
        match tokio::time::timeout(WARM_TIMEOUT, self.ports.ledger.store.next("warm")).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "request to the journal failed at start"),
            Err(_) => tracing::warn!("request to the journal timed out at start"),
        }
    }
}
