//! Defines connections over which both sides send texts at any time (WebSocket, RFC 6455).

use async_trait::async_trait;

/// Maximum size of one text, in bytes. The connection ends if the other side sends a longer text.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// A part that arrives over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// A frame without a text, such as the response to a ping.
    Alive,
    /// The other side closed the connection.
    Closed,
}

/// An open connection. The errors are English texts without secrets.
#[async_trait]
pub trait Socket: Send {
    /// Waits for the next part. If the returned future is dropped, no part is lost.
    async fn next(&mut self) -> Result<Part, String>;
    async fn send(&mut self, text: String) -> Result<(), String>;
    /// Sends a ping (RFC 6455, section 5.5.2). The response arrives as [`Part::Alive`].
    async fn ping(&mut self) -> Result<(), String>;
}

#[cfg(feature = "local")]
pub(super) use opened::open;

#[cfg(feature = "local")]
mod opened {
    use std::time::Duration;

    use async_trait::async_trait;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use futures_util::{SinkExt as _, StreamExt as _};
    use reqwest::header::{CONNECTION, UPGRADE};
    use reqwest::{Client, StatusCode, Upgraded, Url};
    use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

    use super::{Part, Socket, TEXT_BYTES_MAX};
    use crate::clock::{Rng as _, SystemRng};

    /// Maximum time to open a connection.
    const TIMEOUT: Duration = Duration::from_secs(20);
    /// The text that RFC 6455, section 1.3 adds to the key of a handshake.
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

    struct Opened(WebSocketStream<Upgraded>);

    /// Opens a connection with an HTTP/1.1 client. `url` has the scheme `http` or `https`.
    pub(in crate::http) async fn open(
        client: &Client,
        url: Url,
    ) -> Result<Box<dyn Socket>, String> {
        let mut random = [0; 16];
        SystemRng.fill(&mut random);
        let key = STANDARD.encode(random);
        let request = client
            .get(url)
            .timeout(TIMEOUT)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        // The URL contains the ticket of the connection, so it must not be in the reason.
        let response = request.send().await;
        let response = response.map_err(|error| error.without_url().to_string())?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status().as_u16();
            return Err(format!(
                "the server opened no connection (HTTP status {status})"
            ));
        }
        let expected = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
        let expected = STANDARD.encode(expected);
        let accepted = response.headers().get("sec-websocket-accept");
        if accepted.is_none_or(|accepted| accepted.as_bytes() != expected.as_bytes()) {
            return Err("the server sent a wrong response to the handshake".into());
        }
        let upgraded = response.upgrade().await;
        let upgraded = upgraded.map_err(|error| error.without_url().to_string())?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(TEXT_BYTES_MAX))
            .max_frame_size(Some(TEXT_BYTES_MAX))
            .max_write_buffer_size(2 * TEXT_BYTES_MAX);
        let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await;
        Ok(Box::new(Opened(stream)))
    }

    #[async_trait]
    impl Socket for Opened {
        async fn next(&mut self) -> Result<Part, String> {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => Ok(Part::Text(text.as_str().to_owned())),
                Some(Ok(Message::Close(_))) | None => Ok(Part::Closed),
                Some(Ok(_)) => Ok(Part::Alive),
                Some(Err(error)) => Err(error.to_string()),
            }
        }

        async fn send(&mut self, text: String) -> Result<(), String> {
            let sent = self.0.send(Message::text(text)).await;
            sent.map_err(|error| error.to_string())
        }

        async fn ping(&mut self) -> Result<(), String> {
            let sent = self.0.send(Message::Ping(Vec::new().into())).await;
            sent.map_err(|error| error.to_string())
        }
    }
}
