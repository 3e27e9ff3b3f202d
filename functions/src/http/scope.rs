//! Creates a scope for each HTTP request. A scope contains data that all functions can read while
//! the server handles the request: the peer address, the conditional headers, and the caller. The
//! limits of this caller apply to the request.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use infra::Error;

use super::{api, blueking};
use crate::App;
use crate::app::limits::{LARGE_ANSWER, Of, Transfer};
use crate::app::request_scope::{Peer, SCOPE, Scope};

/// Returns whether the header `If-None-Match` contains the entity tag `tag` (RFC 9110 13.1.2). The
/// header value `*` matches every tag. The comparison ignores the prefix `W/` of a weak tag.
pub fn is_known(if_none_match: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if_none_match.trim() == "*"
        || if_none_match
            .split(',')
            .any(|known| opaque(known) == opaque(tag))
}

/// Handles a request in a new scope, which contains data that other functions can read during the
/// request. The server counts and limits the bytes that each caller writes. If the request writes
/// data, the function adds the size of the request body to the count of the caller.
pub(super) async fn open(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_v1 = path.starts_with("/v1/");
    // These conditions select the requests that write data. In the BlueKing API, read operations
    // accept POST too, and they do not count as writes. File uploads also do not count, because
    // other limits apply to uploads.
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD)
        && if is_v1 {
            !is_upload(path)
        } else {
            !blueking::is_read(path)
        };
    // The limit for large responses can replace a response by an error. A write in the API `/v1` is
    // already stored at this time, so an error response would be wrong. The limit therefore does
    // not apply to these writes.
    let is_bounded = !is_v1 || matches!(*request.method(), Method::GET | Method::HEAD);
    let request_id = blueking::render::request_id(request.headers(), &app);
    let (parts, body) = request.into_parts();
    let conditional = |headers: &HeaderMap, name: header::HeaderName| headers.get(name).cloned();
    let scope = Arc::new(Scope {
        peer: parts.extensions.get::<Peer>().cloned(),
        if_none_match: conditional(&parts.headers, header::IF_NONE_MATCH),
        if_range: conditional(&parts.headers, header::IF_RANGE),
        of: Mutex::default(),
        place: Mutex::default(),
        retry_after_s: AtomicU64::new(1),
    });
    let bytes = Arc::new(AtomicU64::new(0));
    let body = if writes {
        Body::new(Counted {
            body,
            bytes: bytes.clone(),
        })
    } else {
        body
    };
    let mut response = SCOPE
        .scope(scope.clone(), next.run(Request::from_parts(parts, body)))
        .await;
    let of = *scope.of.lock().expect("no holder panics");
    if let Some(of) = of {
        // A rejected request of the API `/v1` has written no data, so it counts as 0 bytes. The
        // BlueKing API uses status 200 also for errors, so the bytes of all its requests count.
        let written = if is_v1 && !response.status().is_success() {
            0
        } else {
            bytes.load(Ordering::Relaxed)
        };
        app.limits.wrote(of, written, app.ledger.clock.now());
        if is_bounded {
            let rejected = |error| {
                if is_v1 {
                    api::refused(error)
                } else {
                    blueking::refused(error, &request_id)
                }
            };
            response = metered(&app, of, response).unwrap_or_else(rejected);
        }
    }
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(
            header::RETRY_AFTER,
            scope.retry_after_s.load(Ordering::Relaxed).max(1).into(),
        );
    }
    response
}

/// Returns whether requests to a path upload files. Other limits apply to uploads than to other
/// requests that write data.
fn is_upload(path: &str) -> bool {
    path.starts_with("/v1/attachments") || path.starts_with("/v1/uploads")
}

/// The server limits the number of unread response bytes of each caller. If the response is large,
/// the function adds its bytes to this number until the client has read the whole response. Returns
/// an error if the caller already has too many unread bytes.
fn metered(app: &App, of: Of, response: Response) -> Result<Response, Error> {
    let bytes = http_body::Body::size_hint(response.body())
        .exact()
        .and_then(|bytes| usize::try_from(bytes).ok());
    // A response without a known size contains a file. Other limits apply to downloads of files. A
    // small response does not count toward the limit for unread bytes.
    let Some(bytes) = bytes.filter(|bytes| *bytes > LARGE_ANSWER) else {
        return Ok(response);
    };
    let transfer = app.limits.answer(of, bytes)?;
    Ok(response.map(|body| {
        Body::new(Metered {
            body,
            rest: Bytes::new(),
            _transfer: transfer,
        })
    }))
}

/// The largest number of response bytes that are sent in one piece.
const PIECE_BYTES: usize = 32 << 10;

/// A large response body that is sent in small pieces. The number of unread bytes of a caller is
/// limited. The bytes of this body count toward this limit until the `Metered` value is dropped.
struct Metered {
    body: Body,
    /// The unsent bytes of the data block that was last read from `body`.
    rest: Bytes,
    _transfer: Transfer,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return other,
            }
        }
        let most = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(most)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // `Metered` is used only for bodies with a known size. The result is therefore the exact
        // number of unsent bytes.
        let unread = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(unread + self.rest.len() as u64)
    }
}

/// A request body that counts its bytes when the request handler reads them.
struct Counted {
    body: Body,
    bytes: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes.fetch_add(
                frame.data_ref().map_or(0, Bytes::len) as u64,
                Ordering::Relaxed,
            );
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_match_by_weak_comparison() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*", " W/\"b\" ,W/\"a\""] {
            assert!(is_known(known, "\"a\""), "{known}");
        }
        for other in ["\"b\"", "a", "", "\"ab\"", "\"A\""] {
            assert!(!is_known(other, "\"a\""), "{other}");
        }
        assert!(is_known("\"a\"", "W/\"a\""));
    }
}
