//! Stores responses under idempotency keys, for operations whose created object does not contain
//! the key. A repeated request gets the response of the first one.

use axum::Json;
use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::problem::{ApiResult, Problem};
use super::request::Asked;
use crate::App;

/// Longest response that is stored, in bytes. Ids and the problems of a workflow definition fit.
const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// Prefix of the names of stored responses in the key store.
const RESPONSES: &str = "answer/";
/// Members that may name people. They are not stored, so that no stored response names an erased
/// person.
const NOT_STORED: [&str; 2] = ["report", "warnings"];

/// Requests with a key run one at a time. Of two concurrent requests the second one finds the
/// response of the first.
static LOCK: Mutex<()> = Mutex::const_new(());

/// One request under its idempotency key.
pub(super) struct Repeat {
    app: App,
    name: String,
    request: String,
    _guard: MutexGuard<'static, ()>,
}

#[derive(Serialize, Deserialize)]
struct Cached {
    /// Keyed hash of user, operation and body.
    request: String,
    status: u16,
    body: Value,
}

impl Repeat {
    /// Returns the request under its key, or `None` if it has no key.
    pub(super) async fn of(request: &Asked, operation: &str) -> Result<Option<Self>, Problem> {
        let Some(key) = &request.idempotency_key else {
            return Ok(None);
        };
        let secret = request.app.keys().await?.fingerprint;
        let name = blake3::keyed_hash(
            &secret,
            format!("{}\0{key}", request.caller.app.as_str()).as_bytes(),
        )
        .to_hex();
        let fingerprint = request.fingerprint(operation).await?;
        Ok(Some(Self {
            app: request.app.clone(),
            name: format!("{RESPONSES}{}", &name[..32]),
            request: fingerprint,
            _guard: LOCK.lock().await,
        }))
    }

    /// Returns the stored response of the same request. Rejects another request under the same key.
    pub(super) async fn answer(&self) -> Result<Option<Response>, Problem> {
        let Some(bytes) = self.app.ledger.keys.secret(&self.name).await? else {
            return Ok(None);
        };
        let Ok(stored) = serde_json::from_slice::<Cached>(&bytes) else {
            return Ok(None);
        };
        if stored.request != self.request {
            return Err(Problem::key_reused());
        }
        Ok(Some(
            (
                StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK),
                Json(stored.body),
            )
                .into_response(),
        ))
    }

    /// Stores the response of an executed request.
    pub(super) async fn keep(self, response: Response) -> ApiResult {
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, RESPONSE_BYTES_MAX).await else {
            return Err(Problem::conflict(
                "the response is too long to be stored under the idempotency key",
            ));
        };
        let mut stored = Cached {
            request: self.request,
            status: parts.status.as_u16(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        };
        for member in NOT_STORED {
            if let Some(value) = stored.body.get_mut(member) {
                *value = Value::Array(Vec::new());
            }
        }
        let text = serde_json::to_vec(&stored).unwrap_or_default();
        self.app.ledger.keys.keep_secret(&self.name, &text).await?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}
