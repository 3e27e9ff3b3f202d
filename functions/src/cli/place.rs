//! Where a desk is that a command works on: a directory of this machine, or tables in the cloud.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use infra::aws::{Cloud, configure};
use infra::blob::Blob;
use infra::caller::egress::Egress;
use infra::caller::http::Http as Caller;
use infra::directory::file::File;
use infra::local::Local;
use infra::login::memory::Memory as NoLogin;
use infra::queue::Queue;
use infra::secrets::Secrets;
use infra::views::Views;
use infra::{Error, Ledger};

use super::CommandError;
use crate::App;
use crate::app::{Ports, Settings};

/// The directory a desk is in unless something else is said.
const DATA: &str = "data";

#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The directory of the desk [default: data].
    #[arg(long, global = true, conflicts_with = "cloud", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The desk is in the cloud; also the case if a prefix is set and --data is absent.
    #[arg(long, global = true)]
    pub cloud: bool,
    /// The prefix of the names of its tables and queues, such as `ledgerdesk-prod`.
    #[arg(long, global = true, env = "LEDGERDESK_PREFIX")]
    pub prefix: Option<String>,
    /// Its archive bucket.
    #[arg(long, global = true, env = "LEDGERDESK_BUCKET")]
    pub bucket: Option<String>,
    /// The region of the cloud; from the environment or the profile if absent.
    #[arg(long, global = true)]
    pub region: Option<String>,
}

/// The ports of a desk, wherever it is.
#[derive(Clone)]
pub struct Opened {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    pub secrets: Arc<dyn Secrets>,
    pub blob: Arc<dyn Blob>,
}

impl From<Local> for Opened {
    fn from(Local { ledger, views, queue, secrets, blob }: Local) -> Self {
        Self { ledger, views, queue, secrets, blob }
    }
}

impl From<Cloud> for Opened {
    fn from(Cloud { ledger, views, queue, secrets, blob, .. }: Cloud) -> Self {
        Self { ledger, views, queue, secrets, blob }
    }
}

impl Opened {
    /// A desk over these ports that calls nobody inside, and lets nobody in: for the command line.
    pub fn app(self) -> Result<App, String> {
        let Self { ledger, views, queue, secrets, blob } = self;
        let caller = Arc::new(Caller::new(Egress::default()).map_err(words)?);
        let ports = Ports { ledger, views, queue, caller, blob, login: Arc::new(NoLogin::default()), directory: Arc::new(File::default()), secrets };
        App::new(ports, Settings::default(), Arc::default()).map_err(words)
    }
}

fn words(error: Error) -> String {
    error.to_string()
}

impl Place {
    /// Says whether the cloud is meant.
    pub fn is_cloud(&self) -> bool {
        self.cloud || (self.data.is_none() && self.prefix.as_deref().is_some_and(|prefix| !prefix.is_empty()))
    }

    /// The directory, where one is meant.
    pub fn directory(&self) -> Option<&Path> {
        (!self.is_cloud()).then(|| self.data.as_deref().unwrap_or(Path::new(DATA)))
    }

    /// Rejects a directory without a desk: a misspelled name would make another desk.
    pub fn exists(&self) -> Result<(), CommandError> {
        match self.directory() {
            Some(directory) if !directory.join("ledger.db").exists() => {
                Err(format!("there is no desk in {}: name its directory with --data; `ledgerdesk serve` makes a new one", directory.display()).into())
            }
            _ => Ok(()),
        }
    }

    /// The desk in the cloud; no request is made yet.
    pub async fn connect(&self) -> Result<Cloud, String> {
        let prefix = self.prefix.as_deref().ok_or("--cloud needs --prefix (or LEDGERDESK_PREFIX): what the names of the desk's tables begin with")?;
        let bucket = self.bucket.as_deref().ok_or("--cloud needs --bucket (or LEDGERDESK_BUCKET): the desk's archive bucket")?;
        let config = configure(self.region.clone()).await;
        if config.region().is_none() {
            return Err("no region is set: use --region or AWS_REGION".into());
        }
        Ok(Cloud::new(config, prefix, bucket))
    }

    /// The ledger for reading, safe beside a running desk.
    pub async fn read(&self) -> Result<Ledger, String> {
        match self.directory() {
            Some(directory) => Local::read(directory).map_err(words),
            None => Ok(self.connect().await?.ledger),
        }
    }

    /// All ports for reading alone, beside a running desk.
    pub async fn read_all(&self) -> Result<Opened, String> {
        match self.directory() {
            Some(directory) => Ok(Local::read_all(directory).map_err(words)?.into()),
            None => Ok(self.connect().await?.into()),
        }
    }

    /// All ports, beside a running desk.
    pub async fn beside(&self) -> Result<Opened, String> {
        match self.directory() {
            Some(directory) => Ok(Local::beside(directory).map_err(words)?.into()),
            None => Ok(self.connect().await?.into()),
        }
    }

    /// All ports for writing commands; on one machine a running desk must be stopped first.
    pub async fn write(&self) -> Result<Opened, String> {
        match self.directory() {
            Some(directory) => Ok(Local::open(directory, &Arc::default()).map_err(words)?.into()),
            None => Ok(self.connect().await?.into()),
        }
    }
}

/// Shown in messages.
impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.directory() {
            Some(directory) => write!(out, "{}", directory.display()),
            None => write!(out, "{}", self.prefix.as_deref().unwrap_or_default()),
        }
    }
}
