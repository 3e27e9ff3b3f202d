//! Asks DingTalk for a connection over which it reports messages and pressed buttons (the stream mode), and reads and answers
//! what arrives. The frames are those of the SDK of the vendor (PyPI package dingtalk-stream 0.24.3). A desk without a public
//! address needs this mode.

use events::channel_account::Defined;
use serde::Deserialize;
use serde_json::{Value, json};

use super::teams::is_loopback;
use super::{dingtalk, flag};
use crate::http::{HttpRequest, HttpResponse, Url};
use crate::inbound::dingtalk::{CARD_TOPIC, ROBOT_TOPIC};

/// The path of the interface that opens connections.
const PATH: &str = "/v1.0/gateway/connections/open";

/// Returns true if an account gets its messages over a connection.
pub fn is_streamed(account: &Defined) -> bool {
    account.channel.starts_with("dingtalk_") && flag(account, "stream") == Ok(true)
}

/// Returns the request for the address of a connection. `secret` is the secret of the account.
pub fn open(account: &Defined, secret: &str) -> Result<HttpRequest, String> {
    let (key, secret) = dingtalk::credentials(secret)?;
    let topic = |topic: &str| json!({ "type": "CALLBACK", "topic": topic });
    let body = json!({
        "clientId": key,
        "clientSecret": secret,
        "subscriptions": [topic(ROBOT_TOPIC), topic(CARD_TOPIC)],
        "ua": "ledgerdesk",
    });
    Ok(dingtalk::new_post(account, PATH, "", body.to_string()))
}

/// Reads the address of a connection in the response to the request of [`open`]. The address contains a ticket that DingTalk
/// accepts once, so it is secret. Only an address on this machine may be without TLS.
pub fn opened(response: &HttpResponse) -> Result<Url, String> {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let member = |key: &str| body[key].as_str().filter(|text| !text.is_empty());
    let (Some(endpoint), Some(ticket), true) =
        (member("endpoint"), member("ticket"), response.is_success())
    else {
        let code = member("code").unwrap_or("no code");
        let code = super::cut(&dingtalk::plain(code), 100);
        let status = response.status;
        return Err(format!(
            "DingTalk opened no connection (HTTP status {status}, {code})"
        ));
    };
    let url = endpoint.parse::<Url>().ok();
    let url = url.filter(|url| url.scheme() == "wss" || (url.scheme() == "ws" && is_loopback(url)));
    let mut url =
        url.ok_or("the response of DingTalk contains no address that begins with wss://")?;
    url.query_pairs_mut().append_pair("ticket", ticket);
    Ok(url)
}

/// A frame of DingTalk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// DingTalk checks the connection. The text must be sent back.
    Ping(String),
    /// DingTalk will close the connection, and another one must be opened.
    Disconnect,
    /// A message or the press of a button.
    Callback {
        topic: String,
        /// The id of the frame. A repeated frame has the same id.
        id: String,
        data: String,
    },
    /// The frame contains nothing for the desk. The text must be sent back, if there is one.
    Other(Option<String>),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: String,
    headers: Headers,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Headers {
    #[serde(default)]
    topic: String,
    #[serde(default, rename = "messageId")]
    id: String,
}

/// Reads a frame. Returns an English text if the frame is not readable.
pub fn frame(text: &str) -> Result<Frame, String> {
    let raw = serde_json::from_str::<Raw>(text);
    let Raw {
        kind,
        headers: Headers { topic, id },
        data,
    } = raw.map_err(|_| "the frame is not readable".to_owned())?;
    Ok(match (kind.as_str(), topic.as_str()) {
        ("SYSTEM", "disconnect") => Frame::Disconnect,
        ("SYSTEM", "ping") => Frame::Ping(ack(&id, 200, &data)),
        ("CALLBACK", _) if !id.is_empty() => Frame::Callback { topic, id, data },
        ("EVENT", _) if !id.is_empty() => {
            let ignored = json!({ "status": "SUCCESS", "message": "ignored" });
            Frame::Other(Some(ack(&id, 200, &ignored.to_string())))
        }
        _ => Frame::Other(None),
    })
}

/// Returns the answer to a frame. DingTalk repeats a frame that gets no answer or another code than 200. `data` is JSON.
#[must_use]
pub fn ack(id: &str, code: u16, data: &str) -> String {
    let message = if code == 200 { "OK" } else { "not stored" };
    json!({
        "code": code,
        "headers": { "contentType": "application/json", "messageId": id },
        "message": message,
        "data": data,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::contract::account;
    use super::*;

    #[test]
    fn a_connection_is_requested_with_the_credentials_of_the_app() {
        let secret = r#"{"app_key": "k", "app_secret": "s"}"#;
        let request = open(&account("dingtalk_card"), secret).unwrap();
        assert_eq!(request.url, format!("https://api.dingtalk.com{PATH}"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            (&body["clientId"], &body["clientSecret"]),
            (&json!("k"), &json!("s"))
        );
        let topics = body["subscriptions"].as_array().unwrap();
        let topics: Vec<_> = topics.iter().map(|one| &one["topic"]).collect();
        assert_eq!(topics, [&json!(ROBOT_TOPIC), &json!(CARD_TOPIC)]);
        assert!(open(&account("dingtalk_card"), "x").is_err());
    }

    #[test]
    fn the_address_of_a_connection_has_tls() {
        let read = |status: u16, body: &Value| {
            let response = HttpResponse::of(status, body.to_string().as_bytes());
            opened(&response).map(String::from)
        };
        let body = |endpoint: &str| json!({ "endpoint": endpoint, "ticket": "a+b=" });
        assert_eq!(
            read(
                200,
                &body("wss://wss-open-connection.dingtalk.com:443/connect")
            ),
            Ok("wss://wss-open-connection.dingtalk.com/connect?ticket=a%2Bb%3D".into())
        );
        assert!(read(200, &body("ws://127.0.0.1:7/connect")).is_ok());
        for (status, body) in [
            (200, body("ws://gateway.example/connect")),
            (200, body("https://gateway.example/connect")),
            (200, body("")),
            (200, json!({ "endpoint": "wss://gateway.example/" })),
            (401, body("wss://gateway.example/")),
            (400, json!({ "code": "authFailed", "message": "m" })),
        ] {
            let reason = read(status, &body).unwrap_err();
            assert!(!reason.contains("a+b="), "{reason}");
        }
    }

    #[test]
    fn each_kind_of_frame_is_read() {
        let read = |kind: &str, topic: &str, data: &str| {
            let headers =
                json!({ "topic": topic, "messageId": "m1", "contentType": "application/json" });
            let frame =
                json!({ "specVersion": "1.0", "type": kind, "headers": headers, "data": data });
            super::frame(&frame.to_string())
        };
        let Ok(Frame::Ping(answer)) = read("SYSTEM", "ping", r#"{"opaque":"x"}"#) else {
            panic!("a ping")
        };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["code"], 200);
        assert_eq!(answer["headers"]["messageId"], "m1");
        assert_eq!(answer["data"], r#"{"opaque":"x"}"#);
        assert_eq!(read("SYSTEM", "disconnect", ""), Ok(Frame::Disconnect));
        let callback = Frame::Callback {
            topic: CARD_TOPIC.into(),
            id: "m1".into(),
            data: "{}".into(),
        };
        assert_eq!(read("CALLBACK", CARD_TOPIC, "{}"), Ok(callback));
        assert!(matches!(
            read("EVENT", "*", "{}"),
            Ok(Frame::Other(Some(_)))
        ));
        assert_eq!(read("NEW", "x", "{}"), Ok(Frame::Other(None)));
        for wrong in ["", "{", "[]", r#"{"type":"SYSTEM"}"#, "我"] {
            assert!(super::frame(wrong).is_err(), "{wrong}");
        }
    }
}
