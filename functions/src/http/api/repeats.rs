//! Stores responses together with the idempotency keys of their requests. If a client repeats a
//! request with the same idempotency key, the client gets the stored response, and the request is
//! not executed again.
//!
//! Some operations create an object that does not contain the idempotency key. Without a stored
//! response, a repeated request would create a second object. Other operations create an object
//! that contains the idempotency key. For these operations, the desk needs no stored response to
//! recognize a repeated request.

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

/// The largest size of a stored response, in bytes. Normal responses are smaller, even if they list
/// all problems of a workflow definition.
const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// The prefix of the names of stored responses. The responses are stored as secrets in the key
/// store (the store of user names and keys).
const RESPONSES: &str = "answer/";
/// The response members that can contain user names. The server does not store these members,
/// because a stored response must not contain the name of a person who is erased later.
const NOT_STORED: [&str; 2] = ["report", "warnings"];

/// A lock for all requests with an idempotency key. If two requests use the same idempotency key at
/// the same time, the second request waits for the first request. The second request then gets the
/// stored response.
static LOCK: Mutex<()> = Mutex::const_new(());

/// A running request with an idempotency key. A lock ensures that only one request with an
/// idempotency key runs at a time.
pub(super) struct Repeat {
    app: App,
    name: String,
    request: String,
    _guard: MutexGuard<'static, ()>,
}

#[derive(Serialize, Deserialize)]
struct Cached {
    /// A keyed hash of the user, the operation and the body of the first request. A later request
    /// with the same idempotency key must have the same hash.
    request: String,
    status: u16,
    body: Value,
}

impl Repeat {
    /// Waits until no other request with an idempotency key runs. Returns a value that represents
    /// this request. All other requests with an idempotency key wait until this value is dropped.
    /// Returns `None` immediately if `request` has no idempotency key.
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

    /// Returns the stored response if the desk already executed a request with the same idempotency
    /// key and the same content. Returns `None` if no response is stored for the idempotency key.
    /// Returns an error if a request with other content used the same idempotency key.
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

    /// Stores the response of this request and returns the response.
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
