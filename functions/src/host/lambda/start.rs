//! Starts a cloud function: reads its settings and opens the storage. AWS Lambda starts one of two programs,
//! `bootstrap-http` or `bootstrap-background`. The environment variable `_HANDLER` contains the name of the
//! function. Other environment variables contain the settings of the desk.

use std::sync::Arc;

use infra::Ports;
use infra::accounts::ldap::Ldap;
use infra::aws::{Cloud, configure_function};
use infra::channel::smtp::Smtp;
use infra::directory::file::File;
use infra::directory::{Directory, http::Http as HttpDirectory};
use infra::http::client::Client as HttpClient;
use infra::http::egress::Egress;
use infra::login::{Login, http::Http as HttpLogin, memory::Memory as NoLogin};
use lambda_runtime::Error;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{Host, StreamAnswers};
use crate::App;
use crate::app::times;
use crate::app::{FILE_BYTES_MAX, Settings};
use crate::catalog::queues;
use crate::stream::index::Indexer;

/// The functions that have no permission to read the journal (the database table of all commits).
/// All other functions read the journal once when they start, to open the connection to the
/// database before the first call.
const NO_JOURNAL: [&str; 3] = ["index", "project", "wake"];

/// Maximum size of a response body, in bytes. Lambda allows 6 MiB for a whole response. The headers
/// and the base64 encoding of the body need a part of these 6 MiB.
const RESPONSE_BYTES_MAX: u64 = 4 << 20;

/// Adds the ports of the functions that send mails and work on accounts in directories (LDAP servers).
pub fn with_senders(ports: Ports, egress: &Egress) -> Ports {
    Ports {
        mailer: Arc::new(Smtp::new(egress.clone())),
        accounts: Arc::new(Ldap::new(egress.clone())),
        ..ports
    }
}

/// Creates the object that runs a function, and returns it with the name of the function. `connect` adds the ports that
/// only some functions need: the program of the other functions must not contain their code. Returns an error if a
/// setting is missing or wrong.
pub async fn start(connect: fn(Ports, &Egress) -> Ports) -> Result<(Host, String), Error> {
    let filter = setting("LEDGERDESK_LOG").unwrap_or_else(|| "info".into());
    let levels = filter.parse::<Targets>();
    let levels = levels.map_err(|error| format!("LEDGERDESK_LOG: {error}"))?;
    let log = tracing_subscriber::fmt::layer()
        .json()
        .with_timer(times::LogTime);
    tracing_subscriber::registry().with(log).with(levels).init();
    let function = setting("_HANDLER").ok_or("_HANDLER is not set; it must name a function")?;
    let prefix = setting("LEDGERDESK_PREFIX")
        .ok_or("LEDGERDESK_PREFIX is not set; it must be the prefix of the desk's tables")?;
    let bucket = setting("LEDGERDESK_BUCKET")
        .ok_or("LEDGERDESK_BUCKET is not set; it must name the archive bucket")?;
    let config = configure_function(setting)?;
    let cloud = Cloud::new(config, &prefix, &bucket, &queues());
    let warmed = tokio::spawn({
        let (cloud, reads_journal) = (cloud.clone(), !NO_JOURNAL.contains(&function.as_str()));
        async move {
            if reads_journal {
                cloud.warm().await;
            }
        }
    });
    let login: Arc<dyn Login> = match setting("LEDGERDESK_LOGIN") {
        Some(base) => Arc::new(HttpLogin::new(
            &base,
            Arc::new(HttpClient::trusted()?),
            Arc::new(infra::clock::SystemClock),
        )),
        None => Arc::new(NoLogin::default()),
    };
    let zone = setting("LEDGERDESK_ZONE").unwrap_or_else(|| times::DEFAULT_ZONE.into());
    let settings = Settings {
        site: setting("LEDGERDESK_SITE")
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned(),
        zone: times::zone(&zone).map_err(|reason| format!("LEDGERDESK_ZONE: {reason}"))?,
        file_bytes_max: FILE_BYTES_MAX,
        response_bytes_max: Some(RESPONSE_BYTES_MAX),
        is_streaming: false,
    };
    let egress = Egress::read(&setting("LEDGERDESK_EGRESS").unwrap_or_default())?;
    let http = Arc::new(HttpClient::new(egress.clone())?);
    let directory: Arc<dyn Directory> = match setting("LEDGERDESK_DIRECTORY") {
        Some(url) => Arc::new(HttpDirectory::new(
            &url,
            Arc::new(HttpClient::trusted()?),
            cloud.ports.ledger.clock.clone(),
        )?),
        None => Arc::new(File::default()),
    };
    let ports = Ports {
        http,
        login,
        directory,
        ..connect(cloud.ports.clone(), &egress)
    };
    let app = App::new(ports, settings, Arc::default())?;
    app.limits.apply();
    warmed.await?;
    let answers = if setting("LEDGERDESK_STREAM_ANSWERS").as_deref() == Some("whole") {
        StreamAnswers::Whole
    } else {
        StreamAnswers::Partial
    };
    let indexer = Indexer::new(
        cloud.pages.clone(),
        cloud.ports.blob.clone(),
        app.ledger.clock.clone(),
    );
    let host = Host::new(app, indexer, cloud.meter, answers);
    Ok((host, function))
}

/// Returns a setting from an environment variable. Returns `None` if the variable is not set or
/// empty.
#[expect(
    clippy::disallowed_methods,
    reason = "Lambda passes settings in the environment"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
