//! Data of the current request that all functions can read. The data includes the address of the
//! client, the caller, and the headers for conditional requests.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::http::HeaderValue;
use events::AppCode;

use crate::app::limits::{Of, Transfer};

/// The client at the other end of the connection. The host stores this value in the extensions of
/// each request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// True after the caller has sent valid credentials.
    pub is_known: Arc<AtomicBool>,
}

/// The data of one request.
pub(crate) struct Scope {
    pub(crate) peer: Option<Peer>,
    pub(crate) if_none_match: Option<HeaderValue>,
    pub(crate) if_range: Option<HeaderValue>,
    pub(crate) of: Mutex<Option<Of>>,
    /// Counts this request as a concurrent request of the caller. The count ends when the request
    /// ends.
    pub(crate) place: Mutex<Option<Transfer>>,
    pub(crate) retry_after_s: AtomicU64,
}

tokio::task_local! {
    pub(crate) static SCOPE: Arc<Scope>;
}

fn with<T>(read: impl FnOnce(&Scope) -> Option<T>) -> Option<T> {
    SCOPE.try_with(|scope| read(scope)).ok().flatten()
}

/// Returns the address of the client of the current request. Returns `None` if the host provides no
/// address.
pub(crate) fn address() -> Option<IpAddr> {
    with(|scope| scope.peer.as_ref().map(|peer| peer.address))
}

/// Sets the caller of the current request after the credentials were verified. The bytes that the
/// request writes count for the limits of this caller.
pub(crate) fn is_of(of: Of) {
    with(|scope| {
        if let Some(peer) = &scope.peer {
            peer.is_known.store(true, Ordering::Relaxed);
        }
        *scope.of.lock().expect("no holder panics") = Some(of);
        Some(())
    });
}

/// Counts the current request as a concurrent request of the caller until the request is handled.
pub(crate) fn hold(place: Transfer) {
    with(|scope| scope.place.lock().expect("no holder panics").replace(place));
}

/// Returns the app and user whose limits apply to the current request.
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

/// Sets the number of seconds after which the client may repeat the current request. A response
/// with status 429 contains this number in the header `Retry-After`.
pub(crate) fn retry_after(seconds: u32) {
    with(|scope| {
        scope.retry_after_s.store(seconds.into(), Ordering::Relaxed);
        Some(())
    });
}

tokio::task_local! {
    /// The app that sent the current request. The value is set as soon as the app is identified.
    pub(crate) static CALLER: OnceLock<AppCode>;
}

/// Stores the app of the current request, so the log line of the request contains the app. Does
/// nothing if no request is being handled.
pub(crate) fn note_caller(code: &AppCode) {
    let _ = CALLER.try_with(|caller| caller.set(code.clone()));
}
