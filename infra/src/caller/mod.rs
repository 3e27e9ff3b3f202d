//! Calls others over HTTP: receivers of callbacks, and what automatic nodes call.

pub mod egress;
pub mod http;
pub mod memory;

use async_trait::async_trait;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// JSON; nothing is sent where it is empty.
    pub body: Vec<u8>,
    pub timeout: std::time::Duration,
    /// Bytes of the answer that are read; what is longer is cut there.
    pub answer_bytes_max: usize,
}

/// Longest time for a callback.
pub const CALLBACK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Bytes that are read of an answer that only says how it went.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Headers that belong to the connection or the framing of a message (RFC 9110 7.6.1, RFC 9112): the HTTP client sets them.
pub fn is_of_connection(name: &str) -> bool {
    const OF_CONNECTION: [&str; 14] = [
        "host",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "http2-settings",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
    ];
    let name = name.to_ascii_lowercase();
    OF_CONNECTION.contains(&name.as_str()) || name.starts_with("proxy-")
}

/// Makes a call. An `Err` says in words why there was no answer.
#[async_trait]
pub trait Caller: Send + Sync {
    /// The reason why no call to a URL can be made, as far as its text shows; a name is looked up only when it is called.
    fn refuses(&self, _url: &str) -> Option<String> {
        None
    }
    async fn call(&self, call: &Call) -> Result<Answer, String>;
}
