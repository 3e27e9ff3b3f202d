//! Opens the service desk that a command works on. The data of the service desk is in a directory
//! on this machine or in tables in the cloud.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
#[cfg(feature = "aws")]
use infra::aws::{Cloud, configure};
use infra::http::client::Client as HttpClient;
use infra::http::egress::Egress;
use infra::{Error, Ledger};
use infra::{Ports, local};
use jiff::tz::TimeZone;

use super::CommandError;
#[cfg(not(feature = "aws"))]
use super::no_cloud::{Cloud, NO_CLOUD};
use crate::App;
use crate::app::Settings;
#[cfg(feature = "aws")]
use crate::catalog::queues;
use crate::registry::counted;

/// The default directory of a service desk.
const DATA: &str = "data";

#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The directory of the service desk [default: data].
    #[arg(long, global = true, conflicts_with = "cloud", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Use a service desk in the cloud. This is the default if --prefix is set and --data is not
    /// set.
    #[arg(long, global = true)]
    pub cloud: bool,
    /// The prefix of the names of the tables and queues, such as `ledgerdesk-prod`.
    #[arg(long, global = true, env = "LEDGERDESK_PREFIX")]
    pub prefix: Option<String>,
    /// The S3 bucket that contains the archive of the desk.
    #[arg(long, global = true, env = "LEDGERDESK_BUCKET")]
    pub bucket: Option<String>,
    /// The region of the cloud [default: from the environment or the profile].
    #[arg(long, global = true)]
    pub region: Option<String>,
}

/// Creates the object that executes all operations of the service desk for a command. For safety,
/// this object sends no requests to private networks and accepts no login token.
pub fn app(ports: Ports) -> Result<App, String> {
    app_in(ports, Settings::default().zone)
}

/// Does the same as [`app`], for a desk in the given time zone.
pub fn app_in(ports: Ports, zone: TimeZone) -> Result<App, String> {
    let http = Arc::new(HttpClient::new(Egress::default()).map_err(words)?);
    let settings = Settings {
        zone,
        ..Settings::default()
    };
    App::new(Ports { http, ..ports }, settings, Arc::default()).map_err(words)
}

fn words(error: Error) -> String {
    error.to_string()
}

impl Target {
    /// Returns whether the service desk is in the cloud.
    pub fn is_cloud(&self) -> bool {
        self.cloud
            || (self.data.is_none()
                && self
                    .prefix
                    .as_deref()
                    .is_some_and(|prefix| !prefix.is_empty()))
    }

    /// Returns the directory of the service desk, or `None` if the service desk is in the cloud.
    pub fn directory(&self) -> Option<&Path> {
        (!self.is_cloud()).then(|| self.data.as_deref().unwrap_or(Path::new(DATA)))
    }

    /// Returns an error if the directory contains no service desk. Without this check, a wrong
    /// directory name in a command would create a new service desk in this directory.
    pub fn exists(&self) -> Result<(), CommandError> {
        match self.directory() {
            Some(directory) if !directory.join("ledger.db").exists() => {
                Err(format!("there is no desk in {}: name its directory with --data; `ledgerdesk serve` creates a new desk", directory.display()).into())
            }
            _ => Ok(()),
        }
    }

    /// Creates the clients for the tables and queues in the cloud, without sending a request.
    ///
    /// Returns an error if the prefix, the bucket or the region is missing.
    #[cfg(feature = "aws")]
    pub async fn connect(&self) -> Result<Cloud, String> {
        let prefix = self.prefix.as_deref().ok_or("--cloud needs --prefix (or LEDGERDESK_PREFIX): the prefix of the names of the desk's tables")?;
        let bucket = self
            .bucket
            .as_deref()
            .ok_or("--cloud needs --bucket (or LEDGERDESK_BUCKET): the desk's archive bucket")?;
        let config = configure(self.region.clone()).await;
        if config.region().is_none() {
            return Err("no region is set: use --region or AWS_REGION".into());
        }
        Ok(Cloud::new(config, prefix, bucket, &queues()))
    }

    /// Returns an error, because this program was built without the feature `aws`.
    #[cfg(not(feature = "aws"))]
    #[expect(
        clippy::unused_async,
        reason = "the function of a program with the feature `aws` is async"
    )]
    pub async fn connect(&self) -> Result<Cloud, String> {
        Err(NO_CLOUD.into())
    }

    /// Opens the ledger read-only. The service desk may run at the same time.
    pub async fn read(&self) -> Result<Ledger, String> {
        match self.directory() {
            Some(directory) => local::read(directory).map_err(words),
            None => Ok(self.connect().await?.ports.ledger),
        }
    }

    /// Opens all stores (such as the ledger, the views and the key store) read-only. The service
    /// desk may run at the same time.
    pub async fn read_all(&self) -> Result<Ports, String> {
        match self.directory() {
            Some(directory) => Ok(local::read_all(directory).map_err(words)?),
            None => Ok(self.connect().await?.ports),
        }
    }

    /// Opens all stores (such as the ledger and the key store) while the service desk may run at
    /// the same time. If the data is in a directory, the ledger is opened read-only, and all other
    /// stores are opened for writing.
    pub async fn beside(&self) -> Result<Ports, String> {
        match self.directory() {
            Some(directory) => Ok(local::beside(directory, &counted()).map_err(words)?),
            None => Ok(self.connect().await?.ports),
        }
    }

    /// Opens all stores (such as the ledger, the views and the key store) for a command that
    /// writes. If the data is in a directory and another process uses the service desk, the
    /// function returns an error.
    pub async fn write(&self) -> Result<Ports, String> {
        match self.directory() {
            Some(directory) => {
                Ok(local::open(directory, &Arc::default(), &counted()).map_err(words)?)
            }
            None => Ok(self.connect().await?.ports),
        }
    }
}

/// Formats the location of the service desk for messages. The location is the directory on this
/// machine, or the prefix of the table names in the cloud.
impl std::fmt::Display for Target {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.directory() {
            Some(directory) => write!(out, "{}", directory.display()),
            None => write!(out, "{}", self.prefix.as_deref().unwrap_or_default()),
        }
    }
}
