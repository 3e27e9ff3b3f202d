//! Answers of operations that create something without storing the idempotency key in it: a repeated request is answered as the first one was.

use axum::Json;
use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::asked::Asked;
use super::problem::{Answer, Problem};
use crate::App;

/// Longest answer that is kept: ids and the problems of a definition fit.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// What the names of kept answers begin with in the key store.
const ANSWERS: &str = "answer/";
/// Members that may name people. They are not kept, so that an erased person is in no kept answer.
const NOT_KEPT: [&str; 2] = ["report", "warnings"];

/// One request with a key at a time: of two concurrent ones the second finds the answer of the first.
static TURN: Mutex<()> = Mutex::const_new(());

/// One request under its key.
pub(super) struct Repeat {
    app: App,
    name: String,
    request: String,
    _turn: MutexGuard<'static, ()>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// The fingerprint of user, operation and body.
    request: String,
    status: u16,
    body: Value,
}

impl Repeat {
    /// The request of a caller, if it comes under a key.
    pub(super) async fn of(asked: &Asked, operation: &str) -> Result<Option<Self>, Problem> {
        let Some(key) = &asked.idempotency_key else { return Ok(None) };
        let secret = asked.app.keys().await?.fingerprint;
        let name = blake3::keyed_hash(&secret, format!("{}\0{key}", asked.caller.app.as_str()).as_bytes()).to_hex();
        let request = asked.fingerprint(operation).await?;
        Ok(Some(Self { app: asked.app.clone(), name: format!("{ANSWERS}{}", &name[..32]), request, _turn: TURN.lock().await }))
    }

    /// The answer to the same request under this key, if there was one. Another request under it is rejected.
    pub(super) async fn answer(&self) -> Result<Option<Response>, Problem> {
        let Some(bytes) = self.app.ledger.keys.secret(&self.name).await? else { return Ok(None) };
        let Ok(kept) = serde_json::from_slice::<Kept>(&bytes) else { return Ok(None) };
        if kept.request != self.request {
            return Err(Problem::key_reused());
        }
        Ok(Some((StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK), Json(kept.body)).into_response()))
    }

    /// Keeps the answer of an executed request.
    pub(super) async fn keep(self, response: Response) -> Answer {
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, ANSWER_BYTES_MAX).await else { return Err(Problem::conflict("the answer is too long to be kept under a key")) };
        let mut kept = Kept { request: self.request, status: parts.status.as_u16(), body: serde_json::from_slice(&bytes).unwrap_or_default() };
        for member in NOT_KEPT {
            if let Some(value) = kept.body.get_mut(member) {
                *value = Value::Array(Vec::new());
            }
        }
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        self.app.ledger.keys.keep_secret(&self.name, &text).await?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}
