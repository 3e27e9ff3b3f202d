//! Provides data about the current HTTP request. Functions can read this data without a parameter
//! for the data. The data includes the client address, the client app and user, and the headers of
//! conditional requests.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::http::HeaderValue;
use events::AppCode;

use crate::app::limits::{Of, Transfer};

/// The client that sent an HTTP request, identified by its IP address. The server adds this value
/// to the extensions of each HTTP request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// True after the credentials in the request are verified.
    pub is_known: Arc<AtomicBool>,
}

/// The data about one HTTP request.
pub(crate) struct Scope {
    pub(crate) peer: Option<Peer>,
    pub(crate) if_none_match: Option<HeaderValue>,
    pub(crate) if_range: Option<HeaderValue>,
    pub(crate) of: Mutex<Option<Of>>,
    /// While this value exists, the request is one of the concurrent requests of its client app and
    /// user. The number of these requests is limited. The value is dropped at the end of the
    /// request.
    pub(crate) place: Mutex<Option<Transfer>>,
    pub(crate) retry_after_s: AtomicU64,
}

tokio::task_local! {
    pub(crate) static SCOPE: Arc<Scope>;
}

fn with<T>(read: impl FnOnce(&Scope) -> Option<T>) -> Option<T> {
    SCOPE.try_with(|scope| read(scope)).ok().flatten()
}

/// Returns the IP address of the client that sent the current request. Returns `None` if the
/// address is unknown.
pub(crate) fn address() -> Option<IpAddr> {
    with(|scope| scope.peer.as_ref().map(|peer| peer.address))
}

/// Stores the verified client app and user of the current request. After this call, the limits of
/// this app and user apply to the request.
pub(crate) fn is_of(of: Of) {
    with(|scope| {
        if let Some(peer) = &scope.peer {
            peer.is_known.store(true, Ordering::Relaxed);
        }
        *scope.of.lock().expect("no holder panics") = Some(of);
        Some(())
    });
}

/// Keeps `place` until the current request ends. Until then, the request is one of the concurrent
/// requests of its client app and user.
pub(crate) fn hold(place: Transfer) {
    with(|scope| scope.place.lock().expect("no holder panics").replace(place));
}

/// Returns the client app and the user of the current request. The limits of this app and user
/// apply to the request. Returns `None` before the credentials are verified.
pub(crate) fn of() -> Option<Of> {
    with(|scope| *scope.of.lock().expect("no holder panics"))
}

/// Returns the header `If-None-Match` of the current HTTP request.
pub(crate) fn if_none_match() -> Option<String> {
    with(|scope| {
        scope
            .if_none_match
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    })
}

/// Returns the header `If-Range` of the current HTTP request.
pub(crate) fn if_range() -> Option<String> {
    with(|scope| {
        scope
            .if_range
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    })
}

/// Stores the number of seconds after which the client may repeat the current request. A response
/// with the status 429 contains this number in the header `Retry-After`.
pub(crate) fn retry_after(seconds: u32) {
    with(|scope| {
        scope.retry_after_s.store(seconds.into(), Ordering::Relaxed);
        Some(())
    });
}

tokio::task_local! {
    /// The client app that sent the current request. The value is set when the credentials are
    /// verified.
    pub(crate) static CALLER: OnceLock<AppCode>;
}

/// Stores the client app that sent the current request, for the log line about this request.
/// Outside of a request, this function has no effect.
pub(crate) fn note_caller(code: &AppCode) {
    let _ = CALLER.try_with(|caller| caller.set(code.clone()));
}
