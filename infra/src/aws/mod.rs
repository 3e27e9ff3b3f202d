//! Opens all ports (interfaces to storage and to other systems) of a desk in an AWS account or in
//! an emulator. The names of tables, queues and functions begin with the prefix of the desk.
//!
//! The SDK reads the region, the credentials and the endpoint from the environment. Examples are
//! `AWS_REGION`, `AWS_ENDPOINT_URL` and the role of a Lambda function.

pub mod inspect;

use std::sync::Arc;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{SharedCredentialsProvider, SharedHttpClient};
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
use crate::{Error, Kind, Ledger, Ports, blob, keys, pages, store, views};

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
///
/// The SDK searches the credentials in many places, such as profiles and the services of virtual machines. The programs of
/// the cloud functions must not call this function, because the code of all these places would make them larger.
pub async fn configure(region: Option<String>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(https())
        .retry_config(retries())
        .timeout_config(timeouts());
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

/// Returns the configuration of a cloud function. AWS Lambda passes the region, and the credentials of the role of the
/// function, in environment variables. `setting` returns the value of such a variable. The SDK itself reads the variables
/// with the credentials. An operator can add the variables `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT`, which
/// choose other endpoints. Returns an error if the region is missing, or if a variable has a wrong value.
pub fn configure_function(setting: impl Fn(&str) -> Option<String>) -> Result<SdkConfig, Error> {
    let region = setting("AWS_REGION").or_else(|| setting("AWS_DEFAULT_REGION"));
    let region = region.ok_or_else(|| Error::new(Kind::Misconfigured, "AWS_REGION is not set"))?;
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .http_client(https())
        .retry_config(retries())
        .timeout_config(timeouts())
        .identity_cache(IdentityCache::lazy().build())
        .credentials_provider(SharedCredentialsProvider::new(credentials));
    builder.set_endpoint_url(setting("AWS_ENDPOINT_URL"));
    builder.set_use_fips(switch(&setting, "AWS_USE_FIPS_ENDPOINT")?);
    builder.set_use_dual_stack(switch(&setting, "AWS_USE_DUALSTACK_ENDPOINT")?);
    Ok(builder.build())
}

/// Reads a variable with the value `true` or `false`. Returns `None` if it is not set.
fn switch(setting: impl Fn(&str) -> Option<String>, name: &str) -> Result<Option<bool>, Error> {
    let Some(value) = setting(name) else {
        return Ok(None);
    };
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(Error::new(
            Kind::Misconfigured,
            format!("{name} must be `true` or `false`"),
        )),
    }
}

fn https() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(TRIES_MAX)
        .with_initial_backoff(BACKOFF)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(TRY_TIMEOUT)
        .operation_timeout(REQUEST_TIMEOUT)
        .build()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_takes_its_configuration_from_the_environment() {
        let configure = |known: &[(&str, &str)]| {
            configure_function(|name| {
                let found = known.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let region = |config: &SdkConfig| config.region().map(ToString::to_string);
        let both = [("AWS_REGION", "r1"), ("AWS_DEFAULT_REGION", "r2")];
        let config = configure(&both).expect("a configuration");
        assert_eq!(region(&config), Some("r1".into()));
        assert_eq!(config.endpoint_url(), None);
        assert!(config.credentials_provider().is_some());
        let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        let config = configure(&[("AWS_DEFAULT_REGION", "r2"), endpoint]).expect("a configuration");
        assert_eq!(region(&config), Some("r2".into()));
        assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:9"));
        let missing = configure(&[endpoint]).expect_err("no region");
        assert!(missing.to_string().contains("AWS_REGION"), "{missing}");
        let other = [
            both[0],
            ("AWS_USE_FIPS_ENDPOINT", "TRUE"),
            ("AWS_USE_DUALSTACK_ENDPOINT", "false"),
        ];
        let config = configure(&other).expect("a configuration");
        assert_eq!(
            (config.use_fips(), config.use_dual_stack()),
            (Some(true), Some(false))
        );
        let wrong = configure(&[both[0], ("AWS_USE_FIPS_ENDPOINT", "1")]);
        let wrong = wrong.expect_err("a wrong value").to_string();
        assert!(wrong.contains("AWS_USE_FIPS_ENDPOINT"), "{wrong}");
    }
}
