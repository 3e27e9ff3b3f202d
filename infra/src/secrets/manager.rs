//! Derives the keys of the desk from one secret in AWS Secrets Manager. Each key is computed from
//! the text of the secret and the name of the key.
//!
//! The secret must not be changed automatically, because a changed secret would make all existing
//! tokens invalid.

use async_trait::async_trait;
use aws_config::SdkConfig;
use tokio::sync::OnceCell;

use super::{Secret, Secrets};
use crate::sdk::failed;
use crate::{Error, Kind};

/// Minimum number of characters in the text of the secret. A text of 32 random letters and digits
/// contains 190 bits of randomness.
const TEXT_MIN: usize = 32;

/// The named keys of the desk, which are derived from one secret of the AWS account.
#[derive(Clone, Debug)]
pub struct Manager {
    client: aws_sdk_secretsmanager::Client,
    name: String,
    /// The text of the secret. The cell is empty until the secret is read for the first time.
    text: OnceCell<String>,
}

impl Manager {
    pub fn new(config: &SdkConfig, name: &str) -> Self {
        Self {
            client: aws_sdk_secretsmanager::Client::new(config),
            name: name.to_owned(),
            text: OnceCell::new(),
        }
    }
}

#[async_trait]
impl Secrets for Manager {
    async fn secret(&self, name: &str) -> Result<Secret, Error> {
        let text = self.text.get_or_try_init(|| self.read()).await?;
        Ok(blake3::derive_key(
            &format!("ledgerdesk 2026-11-24 {name}"),
            text.as_bytes(),
        ))
    }
}

impl Manager {
    async fn read(&self) -> Result<String, Error> {
        let got = self
            .client
            .get_secret_value()
            .secret_id(&self.name)
            .send()
            .await;
        let got = got.map_err(|error| failed(&format!("read the secret {}", self.name), error))?;
        let text = got.secret_string().unwrap_or_default();
        if text.len() < TEXT_MIN {
            return Err(Error::new(
                Kind::Misconfigured,
                format!(
                    "the secret {} has fewer than {TEXT_MIN} characters",
                    self.name
                ),
            ));
        }
        Ok(text.to_owned())
    }
}
