//! The scope of the current request: the peer, the caller, and the conditional headers of the
//! request.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::http::HeaderValue;
use events::AppCode;

use crate::app::limits::{Of, Transfer};

/// The peer of a connection. The host stores the peer in the extensions of a request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// Set to true when the caller has presented valid credentials.
    pub is_known: Arc<AtomicBool>,
}

/// The scope of one request.
pub(crate) struct Scope {
    pub(crate) peer: Option<Peer>,
    pub(crate) if_none_match: Option<HeaderValue>,
    pub(crate) if_range: Option<HeaderValue>,
    pub(crate) of: Mutex<Option<Of>>,
    /// The entry of the request in the number of concurrent requests of the caller. The entry is
    /// released when the scope ends.
    pub(crate) place: Mutex<Option<Transfer>>,
    pub(crate) retry_after_s: AtomicU64,
}

tokio::task_local! {
    pub(crate) static SCOPE: Arc<Scope>;
}

fn with<T>(read: impl FnOnce(&Scope) -> Option<T>) -> Option<T> {
    SCOPE.try_with(|scope| read(scope)).ok().flatten()
}

/// Returns the peer address of the current request; `None` if the host does not provide an address.
pub(crate) fn address() -> Option<IpAddr> {
    with(|scope| scope.peer.as_ref().map(|peer| peer.address))
}

/// Sets the caller of the current request after the credentials of the caller were verified. The
/// written bytes of the request are counted for this caller.
pub(crate) fn is_of(of: Of) {
    with(|scope| {
        if let Some(peer) = &scope.peer {
            peer.is_known.store(true, Ordering::Relaxed);
        }
        *scope.of.lock().expect("no holder panics") = Some(of);
        Some(())
    });
}

/// Keeps the current request in the number of concurrent requests of the caller until the request
/// is handled.
pub(crate) fn hold(place: Transfer) {
    with(|scope| scope.place.lock().expect("no holder panics").replace(place));
}

/// Returns the caller whose limits apply to the current request.
pub(crate) fn of() -> Option<Of> {
    with(|scope| *scope.of.lock().expect("no holder panics"))
}

/// Returns the header `If-None-Match` of the current request.
pub(crate) fn if_none_match() -> Option<String> {
    with(|scope| {
        scope
            .if_none_match
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    })
}

/// Returns the header `If-Range` of the current request.
pub(crate) fn if_range() -> Option<String> {
    with(|scope| {
        scope
            .if_range
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    })
}

/// Sets the number of seconds after which the current request may be repeated. The number is sent
/// as the header `Retry-After` of a 429.
pub(crate) fn retry_after(seconds: u32) {
    with(|scope| {
        scope.retry_after_s.store(seconds.into(), Ordering::Relaxed);
        Some(())
    });
}

tokio::task_local! {
    /// The app of the current request. The value is set when the app is identified.
    pub(crate) static CALLER: OnceLock<AppCode>;
}

/// Sets the app of the current request for the log line of the request. Does nothing outside of a
/// request.
pub(crate) fn note_caller(code: &AppCode) {
    let _ = CALLER.try_with(|caller| caller.set(code.clone()));
}
