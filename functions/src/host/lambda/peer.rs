//! Finds the address of the client that sent a request to a Lambda function.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::http::Extensions;
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;

use crate::app::request_scope::Peer;

/// Returns the client of a request with these extensions. The API Gateway itself writes the address into the event, in the
/// member `requestContext.http.sourceIp`. A client can write each header, so no header is read. Returns `None` if the event
/// has no valid address.
pub(super) fn peer_of(extensions: &Extensions) -> Option<Peer> {
    let address = match extensions.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref()?,
        _ => return None,
    };
    let address: IpAddr = address.parse().ok()?;
    Some(Peer {
        address,
        is_known: Arc::new(AtomicBool::new(false)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns the address that the desk finds in an event of the API Gateway with this `sourceIp`.
    fn address(source_ip: &Value) -> Option<String> {
        let path = "/callbacks/bk-itsm/secret";
        let event = json!({
            "version": "2.0", "routeKey": "ANY /callbacks/{proxy+}", "rawPath": path, "rawQueryString": "",
            "headers": {
                "host": "desk.example.com", "x-forwarded-for": "10.1.2.3", "x-real-ip": "10.1.2.3",
                "forwarded": "for=10.1.2.3", "content-type": "application/json",
            },
            "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "desk.example.com", "domainPrefix": "desk",
                "http": {
                    "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": source_ip, "userAgent": "t",
                },
                "requestId": "r", "routeKey": "ANY /callbacks/{proxy+}", "stage": "$default",
                "time": "12/Mar/2026:19:03:58 +0000", "timeEpoch": 1,
            },
            "body": "{}", "isBase64Encoded": false,
        });
        let request = lambda_http::request::from_str(&event.to_string()).expect("an event");
        peer_of(request.extensions()).map(|peer| peer.address.to_string())
    }

    #[test]
    fn the_address_comes_from_the_gateway_and_from_no_header() {
        for (source_ip, expected) in [
            (json!("203.0.113.7"), Some("203.0.113.7")),
            (json!("2001:db8::1"), Some("2001:db8::1")),
            (json!("unknown"), None),
            (json!(""), None),
            (Value::Null, None),
        ] {
            assert_eq!(address(&source_ip).as_deref(), expected, "{source_ip}");
        }
    }

    #[test]
    fn a_request_without_an_event_has_no_address() {
        assert!(peer_of(&Extensions::new()).is_none());
    }
}
