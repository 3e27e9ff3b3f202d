//! Derives the keys of the desk from one secret in AWS Secrets Manager. Inputs for a key are the
//! text of the secret and the name of the key.
//!
//! If the secret changed, all existing tokens would become invalid. Therefore the secret is not
//! changed automatically.

use async_trait::async_trait;
use aws_config::SdkConfig;
use tokio::sync::OnceCell;

use super::{Secret, Secrets};
use crate::sdk::failed;
use crate::{Error, Kind};

/// Minimum number of characters of the secret text. 32 random letters and digits contain 190 bits.
const TEXT_MIN: usize = 32;

/// A secret of the AWS account, from which all keys are derived.
#[derive(Clone, Debug)]
pub struct Manager {
    client: aws_sdk_secretsmanager::Client,
    name: String,
    /// Text of the secret. Empty before the first read.
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
