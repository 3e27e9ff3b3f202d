//! Asks BlueKing's login service: `GET <base>/accounts/is_login/?bk_token=`, answered `{"result", "data": {"username"}}`.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::Login;
use crate::{Error, Kind};

/// A login service by its base URL.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    base: String,
}

impl Http {
    pub fn new(base: &str) -> Result<Self, Error> {
        let client = crate::tls::client()
            .timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| Error::because(Kind::Misconfigured, "cannot make an HTTP client", error))?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }
}

#[async_trait]
impl Login for Http {
    async fn who(&self, token: &str) -> Result<Option<String>, Error> {
        let away = |error: reqwest::Error| Error::because(Kind::Unavailable, "the login service does not answer", error.without_url());
        let url = format!("{}/accounts/is_login/", self.base);
        let response = self.client.get(url).query(&[("bk_token", token)]).send().await.map_err(away)?;
        let answer: Value = response.json().await.map_err(away)?;
        let name = answer["data"]["username"].as_str().or_else(|| answer["data"]["bk_username"].as_str());
        Ok(name.filter(|_| answer["result"] == true).map(str::to_owned))
    }
}
