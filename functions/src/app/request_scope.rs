//! State of the request that is being handled: its address, its caller, its conditional headers.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::http::HeaderValue;
use events::AppCode;

use crate::app::limits::{Of, Transfer};

/// The other end of a connection; the host puts it into the extensions of a request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// Set once the caller showed valid credentials.
    pub is_known: Arc<AtomicBool>,
}

/// One request while it is handled.
pub(crate) struct Scope {
    pub(crate) peer: Option<Peer>,
    pub(crate) if_none_match: Option<HeaderValue>,
    pub(crate) if_range: Option<HeaderValue>,
    pub(crate) of: Mutex<Option<Of>>,
    /// The place of the request among those of its caller that are under way.
    pub(crate) place: Mutex<Option<Transfer>>,
    pub(crate) retry_after_s: AtomicU64,
}

tokio::task_local! {
    pub(crate) static SCOPE: Arc<Scope>;
}

fn with<T>(read: impl FnOnce(&Scope) -> Option<T>) -> Option<T> {
    SCOPE.try_with(|scope| read(scope)).ok().flatten()
}

/// The address that the present request comes from, where the host knows it.
pub(crate) fn address() -> Option<IpAddr> {
    with(|scope| scope.peer.as_ref().map(|peer| peer.address))
}

/// The caller of the present request showed valid credentials; what it writes counts for it.
pub(crate) fn is_of(of: Of) {
    with(|scope| {
        if let Some(peer) = &scope.peer {
            peer.is_known.store(true, Ordering::Relaxed);
        }
        *scope.of.lock().expect("no holder panics") = Some(of);
        Some(())
    });
}

/// Holds the place of the present request until it is answered.
pub(crate) fn hold(place: Transfer) {
    with(|scope| scope.place.lock().expect("no holder panics").replace(place));
}

/// For whom the present request counts.
pub(crate) fn of() -> Option<Of> {
    with(|scope| *scope.of.lock().expect("no holder panics"))
}

/// The header `If-None-Match` of the present request, as text.
pub(crate) fn if_none_match() -> Option<String> {
    with(|scope| {
        scope
            .if_none_match
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    })
}

/// The header `If-Range` of the present request, as text.
pub(crate) fn if_range() -> Option<String> {
    with(|scope| {
        scope
            .if_range
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    })
}

/// Seconds after which the present request may be repeated, for the header `Retry-After` of a 429.
pub(crate) fn retry_after(seconds: u32) {
    with(|scope| {
        scope.retry_after_s.store(seconds.into(), Ordering::Relaxed);
        Some(())
    });
}

tokio::task_local! {
    /// The app that calls, once it is identified.
    pub(crate) static CALLER: OnceLock<AppCode>;
}

/// Notes which app calls, for the line of the log. Does nothing outside a request.
pub(crate) fn note_caller(code: &AppCode) {
    let _ = CALLER.try_with(|caller| caller.set(code.clone()));
}
