//! Reads definitions from a TOML file, and stores these definitions. The file defines integrations
//! (connections to other systems) and application kinds (types of tickets in external ITSMs).

mod entries;
mod kinds;
mod mapping_file;

use std::path::Path;

use domain::config::{ApplicationKind, Integration};
use events::{Meta, application_kind, integration};
use infra::keys::Keys;
use infra::{Error, Kind, itsm};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::administration;
use crate::App;
use crate::app::definition_files::{define, unique};
pub(super) use entries::integration_from;
use entries::{IntegrationEntry, integration_of};
pub(super) use kinds::kind_from;
use kinds::{LogPlatform, kind_of};
pub(super) use mapping_file::MappingFile;
use mapping_file::mapping_of;

/// Returns the secret with which the desk identifies itself to an external system. If the key store has no readable
/// secret, the inner `Err` is the name under which the key store must contain it.
pub async fn secret_of(
    keys: &dyn Keys,
    integration: &str,
) -> Result<Result<String, String>, Error> {
    let name = format!("integration/{integration}");
    let secret = keys.secret(&name).await?;
    let secret = secret.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(secret.ok_or(name))
}

/// Returns the reason why no request can be sent if the key store has no secret with this name.
pub fn no_secret(name: &str) -> String {
    format!(
        "the secret {name} is not in the key store; run `ledgerdesk setup --secret {name}=FILE`"
    )
}

/// The content of a TOML file that defines integrations (connections to other systems) and
/// application kinds (types of tickets in external ITSMs).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    integration: Vec<IntegrationEntry>,
    #[serde(default)]
    application_kind: Vec<Map<String, Value>>,
    #[serde(flatten)]
    log_platform: LogPlatform,
}

/// The checked definitions from a TOML file: integrations (connections to other systems) and
/// application kinds (types of tickets in external ITSMs).
#[derive(Debug, Default)]
pub struct Definitions {
    pub integrations: Vec<integration::Defined>,
    pub kinds: Vec<application_kind::Defined>,
}

impl Definitions {
    /// Reads and checks the text of a TOML file, and returns its definitions. The function
    /// `read_file` returns the text of a mapping file, or the reason why this file is unreadable.
    /// An error is an English text with the name of the wrong entry.
    pub fn read(
        text: &str,
        read_file: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut definitions = Self::default();
        for mut entry in file.integration {
            if itsm::find(&entry.kind).is_some() && entry.url.is_none() {
                entry.url.clone_from(&file.log_platform.root);
            }
            let mapping = match &entry.mapping {
                Some(path) => Some(mapping_of(&entry.name, path, read_file)?),
                None => None,
            };
            definitions
                .integrations
                .push(integration_of(entry, mapping)?);
        }
        for members in file.application_kind {
            definitions
                .kinds
                .push(kind_of(members, &file.log_platform)?);
        }
        let names = definitions.integrations.iter().map(|one| &one.name);
        unique("integration", names)?;
        unique(
            "application_kind",
            definitions.kinds.iter().map(|one| &one.name),
        )?;
        Ok(definitions)
    }

    /// Stores all definitions from the TOML file. The integration of an application kind (a type of
    /// ticket in an external ITSM) must be among these definitions or already stored. If the same
    /// definition is already stored, no event is added. If one definition is wrong, nothing is stored.
    pub async fn store(&self, app: &App) -> Result<(), Error> {
        Self::store_all(app, std::slice::from_ref(self)).await
    }

    /// Stores the definitions of several files, as [`Definitions::store`] does. An application kind of one file can use an
    /// integration of another one.
    pub async fn store_all(app: &App, files: &[Self]) -> Result<(), Error> {
        Self::check_all(app, files).await?;
        for defined in files.iter().flat_map(|file| &file.integrations) {
            define::<Integration>(app, &defined.name, defined).await?;
            let meta = Meta::system("setup", "setup");
            administration::integrate(app, defined, meta).await?;
        }
        for defined in files.iter().flat_map(|file| &file.kinds) {
            define::<ApplicationKind>(app, &defined.name, defined).await?;
        }
        Ok(())
    }

    /// Returns whether an integration is defined in one of the files, or is already stored.
    pub async fn is_defined(app: &App, files: &[Self], integration: &str) -> Result<bool, Error> {
        let mut new = files.iter().flat_map(|file| &file.integrations);
        if new.any(|one| one.name == integration) {
            return Ok(true);
        }
        let stored = app.configuration.integration(integration).await?;
        Ok(stored.defined.is_some())
    }

    /// Returns an error if the integration of an application kind is neither in one of the files nor already stored.
    pub async fn check_all(app: &App, files: &[Self]) -> Result<(), Error> {
        for kind in files.iter().flat_map(|file| &file.kinds) {
            let name = &kind.integration;
            if Self::is_defined(app, files, name).await? {
                continue;
            }
            return Err(Error::new(
                Kind::Misconfigured,
                format!(
                    "application_kind {}: integration {name} does not exist",
                    kind.name
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
