//! The scope of a request: the address that it comes from, conditional headers, and the caller for whom it is counted.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use infra::Error;

use super::limits::{LARGE_ANSWER, Of, Transfer};
use super::{blueking, v1};
use crate::App;

/// The other end of a connection; the host puts it into the extensions of a request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// Set once the caller showed valid credentials.
    pub is_known: Arc<AtomicBool>,
}

/// One request while it is handled.
struct Scope {
    peer: Option<Peer>,
    if_none_match: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
    of: Mutex<Option<Of>>,
    /// The place of the request among those of its caller that are under way.
    place: Mutex<Option<Transfer>>,
    retry_after_s: AtomicU64,
}

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

fn with<T>(read: impl FnOnce(&Scope) -> Option<T>) -> Option<T> {
    SCOPE.try_with(|scope| read(scope)).ok().flatten()
}

/// The address that the present request comes from, where the host knows it.
pub(super) fn address() -> Option<IpAddr> {
    with(|scope| scope.peer.as_ref().map(|peer| peer.address))
}

/// The caller of the present request showed valid credentials; what it writes counts for it.
pub(super) fn is_of(of: Of) {
    with(|scope| {
        if let Some(peer) = &scope.peer {
            peer.is_known.store(true, Ordering::Relaxed);
        }
        *scope.of.lock().expect("no holder panics") = Some(of);
        Some(())
    });
}

/// Holds the place of the present request until it is answered.
pub(super) fn hold(place: Transfer) {
    with(|scope| scope.place.lock().expect("no holder panics").replace(place));
}

/// For whom the present request counts.
pub(super) fn of() -> Option<Of> {
    with(|scope| *scope.of.lock().expect("no holder panics"))
}

/// The header `If-None-Match` of the present request, as text.
pub(super) fn if_none_match() -> Option<String> {
    with(|scope| scope.if_none_match.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned))
}

/// The header `If-Range` of the present request, as text.
pub(super) fn if_range() -> Option<String> {
    with(|scope| scope.if_range.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned))
}

/// Seconds after which the present request may be repeated, for the header `Retry-After` of a 429.
pub(super) fn retry_after(seconds: u32) {
    with(|scope| {
        scope.retry_after_s.store(seconds.into(), Ordering::Relaxed);
        Some(())
    });
}

/// Says whether `If-None-Match` names a tag (RFC 9110 13.1.2), by weak comparison.
pub fn is_known(if_none_match: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if_none_match.trim() == "*" || if_none_match.split(',').any(|known| opaque(known) == opaque(tag))
}

/// Opens the scope of a request, and counts what it wrote.
pub(super) async fn open(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_v1 = path.starts_with("/v1/");
    // Reads of the BlueKing API come by POST, too; files have bounds of their own.
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD) && if is_v1 { !is_upload(path) } else { !blueking::is_read(path) };
    // An answer to a write is not withheld: what it tells has happened.
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
    let body = if writes { Body::new(Counted { body, bytes: bytes.clone() }) } else { body };
    let mut response = SCOPE.scope(scope.clone(), next.run(Request::from_parts(parts, body))).await;
    let of = *scope.of.lock().expect("no holder panics");
    if let Some(of) = of {
        // A request that was rejected over `/v1` wrote nothing; the BlueKing API answers every request alike.
        let written = if is_v1 && !response.status().is_success() { 0 } else { bytes.load(Ordering::Relaxed) };
        app.limits.wrote(of, written, app.ledger.clock.now());
        if is_bounded {
            let refused = |error| if is_v1 { v1::refused(error) } else { blueking::refused(error, &request_id) };
            response = held(&app, of, response).unwrap_or_else(refused);
        }
    }
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, scope.retry_after_s.load(Ordering::Relaxed).max(1).into());
    }
    response
}

/// Files have bounds of their own.
fn is_upload(path: &str) -> bool {
    path.starts_with("/v1/attachments") || path.starts_with("/v1/uploads")
}

/// Has a large answer count until its client has taken it; an error where its caller leaves too many untaken.
fn held(app: &App, of: Of, response: Response) -> Result<Response, Error> {
    let bytes = http_body::Body::size_hint(response.body()).exact().and_then(|bytes| usize::try_from(bytes).ok());
    // A body without a known size is a file, which has bounds of its own.
    let Some(bytes) = bytes.filter(|bytes| *bytes > LARGE_ANSWER) else { return Ok(response) };
    let place = app.limits.answer(of, bytes)?;
    Ok(response.map(|body| Body::new(Held { body, left: Bytes::new(), _place: place })))
}

/// Bytes of an answer that are given to the connection at once.
const PIECE_BYTES: usize = 32 << 10;

/// An answer that is given out in pieces, so that it ends when its client has taken it.
struct Held {
    body: Body,
    /// What is left of the piece that came last.
    left: Bytes,
    _place: Transfer,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.left.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.left = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return other,
            }
        }
        let most = self.left.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(most)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Only bodies of a known size are held.
        let rest = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(rest + self.left.len() as u64)
    }
}

/// A body whose bytes are counted.
struct Counted {
    body: Body,
    bytes: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
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
    fn a_tag_is_known_by_weak_comparison() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*", " W/\"b\" ,W/\"a\""] {
            assert!(is_known(known, "\"a\""), "{known}");
        }
        for other in ["\"b\"", "a", "", "\"ab\"", "\"A\""] {
            assert!(!is_known(other, "\"a\""), "{other}");
        }
        assert!(is_known("\"a\"", "W/\"a\""));
    }
}
