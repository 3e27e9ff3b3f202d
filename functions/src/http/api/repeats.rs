//! Stores responses under idempotency keys. A repeated request gets the response of the first
//! request.
//!
//! This is used for operations whose created object does not contain the key.

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

/// Longest response that is stored, in bytes. A response with ids, or with the problems of a
/// workflow definition, is shorter.
const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// The prefix of the names under which responses are stored in the key store.
const RESPONSES: &str = "answer/";
/// The members of a response that may name people. These members are not stored, because a stored
/// response must not name an erased person.
const NOT_STORED: [&str; 2] = ["report", "warnings"];

/// The lock of all requests with a key. If two requests arrive concurrently, the second request
/// waits and gets the stored response of the first request.
static LOCK: Mutex<()> = Mutex::const_new(());

/// A request with an idempotency key.
pub(super) struct Repeat {
    app: App,
    name: String,
    request: String,
    _guard: MutexGuard<'static, ()>,
}

#[derive(Serialize, Deserialize)]
struct Cached {
    /// The keyed hash of the user, the operation and the body.
    request: String,
    status: u16,
    body: Value,
}

impl Repeat {
    /// Returns a request with an idempotency key, and waits for its turn. Returns `None` if the
    /// request has no key.
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

    /// Returns the stored response of the same request. Rejects a different request with the same
    /// key.
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
